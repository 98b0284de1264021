"""One run of a replication, from its record to its end; each step can be done again by whoever takes it over.

What was done is found in the catalog: the snapshot that is to be sent by its
id, its copy by the lineage. So a run that a crash interrupted is simply begun
again, and goes on where it was.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import suppress
from uuid import UUID, uuid4

import msgspec

from gateway.core import errors
from gateway.core.capability import require
from gateway.core.catalog import put
from gateway.core.change import Plan
from gateway.core.context import Core
from gateway.core.model import AttachMode, Snapshot, SnapshotState, Volume, utc_now
from gateway.core.notes import lasting
from gateway.core.receiving import FAR, streams
from gateway.core.replicas import Common, common_of, current, own_mark, snapshots_at
from gateway.core.replication_model import (
    Replication,
    ReplicationPolicy,
    ReplicationState,
    SnapshotChoice,
    Transfer,
    TransferKind,
    TransferMethod,
    TransferState,
)
from gateway.core.replication_policies import OWN_LABEL
from gateway.core.snapshots import require_one_more
from gateway.core.sources import newest_common, source_of, usable
from gateway.core.tidying import tidy
from gateway.core.volumes import restoration, settled

FAULTS = (
    "transfer.begun",
    "transfer.rebased",
    "transfer.taken",
    "transfer.copied",
    "transfer.advanced",
    "transfer.tidied",
    "transfer.ended",
)
"""The points of a run: behind each of its steps."""

_RETRIES = 20


async def amend(core: Core, replication_id: UUID, change: Callable[[Replication], Replication]) -> Replication:
    """Read, change and write a replication; a race with another one reads again."""
    for attempt in range(_RETRIES + 1):
        before = await core.get(Replication, replication_id)
        after = change(before)
        if after == before:
            return before
        try:
            stored = await core.catalog.commit(put(after))
        except errors.StaleRevision:
            if attempt == _RETRIES:
                raise
            continue
        return stored[replication_id]  # type: ignore[return-value]
    raise AssertionError


async def tell(core: Core, replication: Replication, *, also: Collection[UUID] = ()) -> None:
    """Let the source's gateway know who follows, and keep the base, and `also` others.

    What may be the base is all that came, while nobody has looked for it since a rebuild.
    """
    source = source_of(core, replication)
    await source.follow()
    base = None if replication.base_id is None else await core.catalog.get(Snapshot, replication.base_id)
    halves = await snapshots_at(core, replication.volume_id) if base is None else (base,)
    await source.keep({key for one in halves for key in (one.id, one.lineage) if key is not None} | {*also})


async def turn(core: Core, replication_id: UUID, state: ReplicationState) -> Replication:
    """Put a replication into another state, and tell the pools, from which it can be rebuilt."""
    after = await amend(core, replication_id, lambda one: msgspec.structs.replace(one, state=state))
    await core.manifest.write()
    return after


async def mark(core: Core, volume_id: UUID, replication_id: UUID | None, *, description: str) -> None:
    """Make a volume one that only follows (None: one that is written to). InUse while nodes write to it."""

    async def plan() -> Plan:
        before = await settled(core, volume_id)
        if replication_id is not None:
            if any(attachment.mode is AttachMode.READ_WRITE for attachment in before.attachments):
                raise errors.InUse(kind="volume", ref=before.name, by="attachments", action="replicate")
            if any(not mount.read_only for mount in before.mounts):
                raise errors.InUse(kind="volume", ref=before.name, by="mounts", action="replicate")
        after = msgspec.structs.replace(before, replica_of=replication_id)
        return Plan(
            operation="volume.update", description=description, pool_id=before.pool_id, before=before, after=after
        )

    if (await core.get(Volume, volume_id)).replica_of != replication_id:
        await (await core.start({volume_id}, plan)).result()


async def bring_back(core: Core, replication: Replication, *, description: str) -> None:
    """Give the destination the content of the newest common snapshot again. InvalidState when there is none."""
    base = await _base_of(core, replication)

    async def plan() -> Plan:
        before = await settled(core, replication.volume_id)
        keeps = core.pools.get(before.pool_id).capability(before.kind).can("restore_keeps_newer")
        return await restoration(core, before, base, description=description, discard_newer=not keeps)

    await (await core.start({replication.volume_id}, plan)).result()


async def _base_of(core: Core, replication: Replication) -> Snapshot:
    """Give the destination's copy of the newest common snapshot.

    A source at a peer need not answer for that: what came last is at the destination. Where ends were turned
    around, the base may be newer than any copy.
    """
    if replication.source.peer_id is not None:
        here = await snapshots_at(core, replication.volume_id)
        halves = [one for one in here if one.lineage is not None or one.id == replication.base_id]
        valid = [one for one in halves if one.state is SnapshotState.VALID]
        if valid:
            return valid[-1]
    common = None if replication.source.peer_id is not None else await newest_common(core, replication)
    base_id = common.destination.id if common is not None else replication.base_id
    base = None if base_id is None else await core.catalog.get(Snapshot, base_id)
    if base is None:
        raise _without_base(replication)
    return base


async def free(core: Core, replication: Replication, *, description: str) -> None:
    """Make the destination a volume that is written to, with the content of the base where there is one."""
    if replication.torn and replication.state is not ReplicationState.UNINITIALIZED:
        await bring_back(core, replication, description=description)
        await amend(core, replication.id, lambda one: msgspec.structs.replace(one, torn=False))
    volume = await core.catalog.get(Volume, replication.volume_id)
    if volume is not None and volume.replica_of == replication.id:
        await mark(core, volume.id, None, description=description)


async def settle(core: Core, replication_id: UUID, *, description: str) -> None:
    """Bring state, base and the destination's mark together after whatever ended between them, or after a rebuild."""
    replication = await core.get(Replication, replication_id)
    volume = await core.catalog.get(Volume, replication.volume_id)
    if volume is None or await current(core, replication) is not None:
        return
    follows = volume.replica_of == replication_id
    if replication.state is ReplicationState.UNINITIALIZED:
        await mark(core, volume.id, replication_id, description=description)
    elif replication.state is ReplicationState.BROKEN:
        if follows:
            await free(core, replication, description=description)
    elif not follows:
        await turn(core, replication_id, ReplicationState.BROKEN)
    if replication.base_id is None and replication.state is not ReplicationState.UNINITIALIZED:
        common = await newest_common(core, replication)
        if common is not None:
            await amend(core, replication_id, lambda one: _based(one, common))


def _based(replication: Replication, common: Common) -> Replication:
    created = common.source.created
    return msgspec.structs.replace(replication, base_id=common.destination.id, base_created=created)


class Run:
    """Carries one transfer to its end."""

    def __init__(self, core: Core, transfer: Transfer, *, description: str) -> None:
        self._core = msgspec.structs.replace(core, caller=None, request="")
        self._transfer = transfer
        self._description = description
        self._fault = core.changes.context.fault
        self._halted = core.changes.context.carried.halted(transfer.id)

    async def run(self) -> Transfer:
        """Do all of it; give the transfer as it ended, or as it is when the gateway stops meanwhile."""
        stopping = self._core.changes.context.stopping
        try:
            self._fault("transfer.begun")
            await self._work()
        except errors.GatewayError as error:
            if stopping.is_set() and not self._halted.is_set():
                return self._transfer
            return await self._end(error)
        except Exception as error:  # noqa: BLE001 - a defect must not leave the transfer under way for ever
            return await self._end(errors.Internal(incident=self._core.changes.defect(error)))
        return await self._end(None)

    async def _work(self) -> None:
        core = self._core
        replication = await core.get(Replication, self._transfer.replication_id)
        policy = await core.get(ReplicationPolicy, replication.policy_id)
        await self._told(replication)
        if self._transfer.kind is TransferKind.RESYNC:
            await self._rebase(replication)
        for snapshot in await self._wanted(replication, policy):
            self._require_going()
            copy = await self._copied(replication, snapshot)
            self._fault("transfer.copied")
            await self._advance(snapshot, copy)
            self._fault("transfer.advanced")
        await self._tidied(replication.id)
        self._fault("transfer.tidied")

    async def _told(self, replication: Replication) -> None:
        """Let the source's gateway keep what this needs: whoever made the replication may have died before that."""
        about = self._transfer.snapshot_id
        await tell(self._core, replication, also=() if about is None else (about,))

    async def _tidied(self, replication_id: UUID) -> None:
        with suppress(errors.GatewayError):  # what stays over is found by the next one
            await tidy(self._core, replication_id, description=self._description)

    def _require_going(self) -> None:
        if self._halted.is_set() or self._core.changes.draining:
            raise errors.Unavailable(what="transfer", reason="it was ended early")

    async def _rebase(self, replication: Replication) -> None:
        """Discard what was written to the destination since the newest common snapshot."""
        if replication.state is not ReplicationState.BROKEN:
            return
        await mark(self._core, replication.volume_id, replication.id, description=self._description)
        await bring_back(self._core, replication, description=self._description)
        await turn(self._core, replication.id, ReplicationState.MIRRORED)
        self._fault("transfer.rebased")

    async def _wanted(self, replication: Replication, policy: ReplicationPolicy) -> list[Snapshot]:
        """Give the source's snapshots to send, oldest first: the one that the transfer is about, and those it passes.

        Passed are those that a rule of the policy keeps by their label, or all where it says so.
        """
        if self._transfer.snapshot_id is None:
            return []
        last = await self._last(replication, self._transfer.snapshot_id)
        there = await source_of(self._core, replication).snapshots()
        common = common_of(there, await snapshots_at(self._core, replication.volume_id))
        since = None if common is None else (common.source.created, common.source.id)
        labels = {rule.label for rule in policy.rules} - {OWN_LABEL}
        every = policy.choice is SnapshotChoice.ALL and not policy.rules
        passed = [
            one
            for one in there
            if one.state is SnapshotState.VALID
            and not one.internal
            and one.taken_by != own_mark(replication.id)
            and (one.label in labels or every)
            and (since is None or (one.created, one.id) > since)
            and (one.created, one.id) < (last.created, last.id)
        ]
        return [*passed, last]

    async def _last(self, replication: Replication, snapshot_id: UUID) -> Snapshot:
        """Give the snapshot that the transfer is about; it is taken now when it is to be and is not there."""
        source = source_of(self._core, replication)
        found = next((one for one in await source.snapshots() if one.id == snapshot_id), None)
        if found is None and self._transfer.taken:
            # What transfers that failed have taken would add up until one succeeds.
            await self._tidied(replication.id)
            found = await source.take(snapshot_id, description=self._description)
            self._fault("transfer.taken")
        if found is None:
            raise errors.NotFound(kind="snapshot", ref=str(snapshot_id))
        return usable(found)

    async def _copied(self, replication: Replication, sent: Snapshot) -> Snapshot:
        """Give the destination's copy of a snapshot; it is received now when it is not there."""
        there = await self._copy_of(replication, sent)
        if there is not None:
            await self._mended(replication.id)
            return there
        core, copy_id = self._core, uuid4()
        source = await source_of(core, replication).volume()
        await self._fit(replication, sent)
        if self._transfer.method is TransferMethod.MOVER:
            await amend(core, replication.id, lambda one: msgspec.structs.replace(one, torn=True))

        async def plan() -> Plan:
            before = await settled(core, replication.volume_id)
            if before.replica_of != replication.id:
                raise errors.InvalidState(
                    kind="volume", ref=before.name, state="not a replica of it", action="transfer"
                )
            require_one_more(core, before)
            streamed = self._streamed(sent, before)
            return Plan(
                operation="snapshot.receive",
                description=self._description,
                pool_id=before.pool_id,
                before=before,
                after=msgspec.structs.replace(
                    before,
                    root=source.root if source.kind is before.kind else before.root,
                    generation=before.generation + (1 if streamed else 0),
                ),
                snapshot_before=sent,
                snapshot_after=await self._copy(replication, sent, copy_id, before),
                also=await self._base(replication, before) if streamed else (),
            )

        started = await core.start({replication.volume_id}, plan)
        try:
            await started.result()
        except errors.GatewayError:
            there = await self._copy_of(replication, sent)
            if there is None:
                raise
            return there
        return await core.get(Snapshot, copy_id)

    def _streamed(self, sent: Snapshot, volume: Volume) -> bool:
        pools = self._core.pools
        return sent.pool_id != FAR and streams(volume.kind, pools.get(sent.pool_id), pools.get(volume.pool_id))

    async def _mended(self, replication_id: UUID) -> None:
        """Bring the newest copy back where the destination may be on the way to one that does not come any more."""
        present = await self._core.get(Replication, replication_id)
        if present.torn:
            await bring_back(self._core, present, description=self._description)

    async def _copy_of(self, replication: Replication, sent: Snapshot) -> Snapshot | None:
        found = await self._core.find(Snapshot, lineage=sent.id, volume__id=replication.volume_id)
        if found is not None and found.state is not SnapshotState.VALID:
            raise errors.InvalidState(kind="snapshot", ref=found.name, state=found.state, action="transfer")
        return found

    async def _base(self, replication: Replication, volume: Volume) -> tuple[Snapshot, ...]:
        """Give the source's half of what a stream builds on; none for the first one."""
        common = await newest_common(self._core, replication)
        if common is not None:
            return (common.source,)
        if replication.state is not ReplicationState.UNINITIALIZED:
            raise _without_base(replication)
        if volume.snapshot_count:
            raise errors.InUse(kind="volume", ref=volume.name, by="snapshots", action="transfer")
        return ()

    async def _copy(self, replication: Replication, sent: Snapshot, copy_id: UUID, volume: Volume) -> Snapshot:
        """Give the copy as it is to be. It keeps the name, unless the destination has another one of it."""
        own = own_mark(replication.id)
        taken = await self._core.find(Snapshot, name=sent.name, volume__id=volume.id) is not None
        return Snapshot(
            id=copy_id,
            name=f"{sent.name[:200]}.{copy_id.hex[:8]}" if taken else sent.name,
            volume_id=volume.id,
            tenant_id=volume.tenant_id,
            pool_id=volume.pool_id,
            created=utc_now(),
            comment=sent.comment,
            label=sent.label,
            labels=sent.labels,
            annotations=sent.annotations,
            taken_by=own if sent.taken_by == own else "",
            volume_size=sent.volume_size,
            lineage=sent.id,
        )

    async def _fit(self, replication: Replication, sent: Snapshot) -> None:
        """Let the destination grow as the source did, where its size limits anything."""
        core = self._core
        volume = await core.get(Volume, replication.volume_id)
        able = core.pools.get(volume.pool_id).capability(volume.kind)
        if volume.size >= sent.volume_size or not (able.can("resize") or able.can("quota")):
            return

        async def plan() -> Plan:
            before = await settled(core, replication.volume_id)
            require(core.pools.get(before.pool_id).capability(before.kind), "resize")
            after = msgspec.structs.replace(before, size=max(before.size, sent.volume_size))
            return Plan(
                operation="volume.update",
                description=self._description,
                pool_id=before.pool_id,
                before=before,
                after=after,
            )

        await (await core.start({replication.volume_id}, plan)).result()

    async def _advance(self, sent: Snapshot, copy: Snapshot) -> None:
        """Make the copy the base."""
        before = await self._core.get(Replication, self._transfer.replication_id)
        there = source_of(self._core, before)
        named = await there.volume()

        def advanced(one: Replication) -> Replication:
            state = one.state if one.state is ReplicationState.PAUSED else ReplicationState.MIRRORED
            source = msgspec.structs.replace(one.source, tenant=named.tenant or one.source.tenant, volume=named.name)
            return msgspec.structs.replace(
                one, state=state, base_id=copy.id, base_created=sent.created, torn=False, source=source
            )

        after = await amend(self._core, before.id, advanced)
        await there.keep({sent.id, self._transfer.snapshot_id or sent.id})
        if lasting(after) != lasting(before):
            await self._core.manifest.write()

    async def _end(self, error: errors.GatewayError | None) -> Transfer:
        """Write how it ended, into the transfer and the replication at once."""
        core, now = self._core, utc_now()
        for attempt in range(_RETRIES + 1):
            transfer = await core.get(Transfer, self._transfer.id)
            replication = await core.get(Replication, transfer.replication_id)
            ended = msgspec.structs.replace(
                transfer,
                state=self._state(error),
                ended=now,
                error=None if error is None else error.to_record(),
                bytes_total=transfer.bytes_transferred if error is None else transfer.bytes_total,
            )
            try:
                stored = await core.catalog.commit(put(ended, _accounted(replication, ended, error)))
            except errors.StaleRevision:
                if attempt == _RETRIES:
                    raise
                continue
            break
        self._fault("transfer.ended")
        with suppress(errors.GatewayError):
            await settle(core, replication.id, description=self._description)
        return stored[ended.id]  # type: ignore[return-value]

    def _state(self, error: errors.GatewayError | None) -> TransferState:
        if error is None:
            return TransferState.SUCCESS
        return TransferState.ABORTED if self._halted.is_set() else TransferState.FAILED


def _accounted(replication: Replication, ended: Transfer, error: errors.GatewayError | None) -> Replication:
    """Give the replication with what one of its transfers came to."""
    if error is not None:
        return msgspec.structs.replace(replication, healthy=False, reason=str(error))
    seconds = int((utc_now() - ended.created).total_seconds())
    return msgspec.structs.replace(
        replication,
        healthy=True,
        reason="",
        total_bytes=replication.total_bytes + ended.bytes_transferred,
        total_duration_s=replication.total_duration_s + max(seconds, 0),
    )


def _without_base(replication: Replication) -> errors.GatewayError:
    state = "without a common snapshot"
    return errors.InvalidState(kind="replication", ref=str(replication.id), state=state, action="transfer")
