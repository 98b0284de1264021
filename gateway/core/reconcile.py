"""Compares catalog and substrate: adopts, corrects, flags. Deletes nothing it does not know.

Runs at start, on a timer and on demand, one pool at a time, while changes go
on. What a scan saw may be over when it is compared, so a difference is looked
at again with the volume locked before anything is written. A volatile pool
starts empty, so there (and only there) catalog rows without an object are
forgotten at start.
"""

from __future__ import annotations

from uuid import UUID

import msgspec

from gateway.core import errors
from gateway.core.backend import Observed, ObservedSnapshot, Offer, SnapshotBackend
from gateway.core.catalog import Batch, drop, put, walk
from gateway.core.context import Core
from gateway.core.model import (
    Attachment,
    ExportPolicy,
    HostGroup,
    Intent,
    Record,
    Snapshot,
    SnapshotPolicy,
    SnapshotState,
    Tenant,
    Volume,
    VolumeState,
    utc_now,
)
from gateway.core.notes import note, read_snapshot, read_volume
from gateway.core.observer import Observer
from gateway.core.pools import OpenPool
from gateway.core.query import And, Compare, Filter, IsNull, Not, Op, Or, Order, Query
from gateway.core.replicas import into
from gateway.core.replication_model import Replication
from gateway.core.schedules import named
from gateway.core.volumes import snapshots_of

MISSING = "missing from the substrate"
_AT_ONCE = 200


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One difference. `did` is one of: adopted, corrected, flagged, forgotten."""

    did: str
    kind: str
    ref: str
    why: str


class Reconciler:
    """One comparison of one pool; `findings` collects what it found."""

    def __init__(self, core: Core, pool: OpenPool, observer: Observer) -> None:
        self._core = core
        self._pool = pool
        self._observer = observer
        # Asking for one object costs some substrates a flush: what the scans saw is not asked for again.
        self._scanned: set[UUID] = set()
        self._needed: set[UUID | None] = set()
        self.findings: list[Finding] = []

    async def run(self, *, at_start: bool = False) -> list[Finding]:
        """Compare everything; give and log the differences."""
        if at_start and self._pool.substrate.volatile:
            await self._forget_volatile()
        orphans = [observed async for observed in self._pool.backend.scan() if await self._volume(observed)]
        for observed in _parents_first(orphans):
            await self._adopt_volume(observed)
        backend = self._pool.backend
        if isinstance(backend, SnapshotBackend) and "snapshot" in self._operations():
            async for seen in backend.scan_snapshots():
                await self._snapshot(seen, backend)
        await self._missing()
        await self._recount({observed.id for observed in orphans if observed.id is not None})
        await self._let_go()
        await self._core.pools.observe(self._pool)
        return self.findings

    def _operations(self) -> frozenset[str]:
        return frozenset().union(*(c.operations for c in self._pool.capabilities.values()))

    # --- what the substrate has ---

    async def _volume(self, observed: Observed) -> bool:
        """Compare one volume of the substrate; give True when the catalog does not know it but could."""
        if observed.id is None or (observed.note is None and observed.offer is None):
            self._found("flagged", "volume", observed.place or str(observed.id), "not made by this gateway")
            return False
        self._scanned.add(observed.id)
        volume = await self._core.catalog.get(Volume, observed.id)
        if volume is None:
            return True
        if volume.pool_id == self._pool.id:
            await self._compare(volume, observed)
        else:
            await self._elsewhere(volume)
        return False

    async def _elsewhere(self, volume: Volume) -> None:
        """Flag what a volume of another pool has here, unless it is on its way."""
        if await self._changing(volume.id):
            return
        async with self._core.changes.holding(volume.id):
            present, here = await self._core.catalog.get(Volume, volume.id), await self._pool.backend.inspect(volume.id)
        if present is not None and here is not None and present.pool_id != self._pool.id:
            self._found("flagged", "volume", present.name, "the catalog has it in another pool")

    async def _compare(self, volume: Volume, observed: Observed) -> None:
        if _sized(volume, observed) and not _lost(volume):
            if observed.used != volume.used:
                await self._write(volume.id, put(msgspec.structs.replace(volume, used=observed.used)))
            return
        if await self._changing(volume.id):
            return
        async with self._core.changes.holding(volume.id):
            present, now = await self._core.catalog.get(Volume, volume.id), await self._pool.backend.inspect(volume.id)
            if present is None or now is None or (_sized(present, now) and not _lost(present)):
                return
            healed = _lost(present)
            true = msgspec.structs.replace(
                present,
                used=now.used,
                size=present.size if now.size is None else now.size,
                state=_noted_state(now) if healed else present.state,
                reason="" if healed else present.reason,
            )
            if healed and present.retired is not None:
                # It was retired while it could not be told so.
                true = msgspec.structs.replace(true, state=VolumeState.OFFLINE)
                tenant = await self._core.get(Tenant, true.tenant_id)
                await self._pool.backend.annotate(true.id, note(true, tenant.name))
            if await self._commit(put(true)):
                self._found("corrected", "volume", present.name, "is back" if healed else "size changed outside")

    async def _adopt_volume(self, seen: Observed) -> None:
        if seen.id is None:
            return
        async with self._core.changes.holding(seen.id):
            observed = await self._pool.backend.inspect(seen.id)
            if observed is None or await self._core.catalog.get(Volume, seen.id) is not None:
                return
            if observed.note is None and observed.offer is not None:
                observed = await self._taken_on(observed, observed.offer)
            if observed is not None:
                await self._adopt_orphan(observed)

    async def _taken_on(self, observed: Observed, offer: Offer) -> Observed | None:
        """Give what somebody else made a note, as if it were made here; None when its tenant is unknown."""
        where = Query(where=Compare("name", Op.EQ, offer.tenant), limit=1)
        tenants = (await self._core.catalog.page(Tenant, where)).records
        if not tenants or observed.id is None:
            self._found("flagged", "volume", offer.name, f"there is no tenant {offer.tenant!r} to adopt it")
            return None
        volume = Volume(
            id=observed.id,
            name=offer.name,
            tenant_id=tenants[0].id,
            pool_id=self._pool.id,
            created=utc_now(),
            kind=observed.kind,
            size=observed.size or 0,
        )
        noted = note(volume, offer.tenant)
        await self._pool.backend.annotate(volume.id, noted)
        return msgspec.structs.replace(observed, note=noted)

    async def _adopt_orphan(self, observed: Observed) -> None:
        noted = observed.note
        volume = read_volume(noted) if noted else None
        if volume is None or volume.id != observed.id or volume.pool_id != self._pool.id:
            self._needed.add(observed.origin)
            self._found("flagged", "volume", observed.place or str(observed.id), "its note cannot be believed")
            return
        if await self._core.catalog.get(Tenant, volume.tenant_id) is None:
            self._needed.add(_parent(observed))
            self._found("flagged", "volume", volume.name, f"its tenant {noted.tenant if noted else ''!r} is unknown")
            return
        adopted = msgspec.structs.replace(
            await self._known_references(volume),
            size=volume.size if observed.size is None else observed.size,
            used=observed.used,
            # Nobody may collect it before everything that depends on it is known, too: see `_let_go`.
            state=volume.state if volume.retired is None else VolumeState.CREATING,
        )
        try:
            await self._core.catalog.commit(put(adopted))
        except errors.AlreadyExists as error:
            self._needed.add(_parent(observed))
            self._found("flagged", "volume", volume.name, f"its {error.field} is taken by another volume")
            return
        self._found("adopted", "volume", volume.name, "was not in the catalog")

    async def _known_references(self, volume: Volume) -> Volume:
        """Give the volume without references to a parent, a policy or a host group that no longer exists."""
        parent = volume.origin.volume_id if volume.origin else None
        references: tuple[tuple[str, type[Record], UUID | None, str], ...] = (
            ("origin", Volume, parent, "its parent is gone; it is no clone any more"),
            ("export_policy_id", ExportPolicy, volume.export_policy_id, "its export policy is unknown"),
            ("snapshot_policy_id", SnapshotPolicy, volume.snapshot_policy_id, "its snapshot policy is unknown"),
        )
        for field, kind, key, why in references:
            if key is not None and await self._core.catalog.get(kind, key) is None:
                self._found("corrected", "volume", volume.name, why)
                volume = msgspec.structs.replace(volume, **{field: None})
        followed = volume.replica_of
        if followed not in {None, volume.id} and await self._core.catalog.get(Replication, followed) is None:
            self._found("corrected", "volume", volume.name, "the replication into it is unknown")
            volume = msgspec.structs.replace(volume, replica_of=None)
        volume = await self._known_lines(volume)
        known = tuple([a for a in volume.attachments if await self._known_node(a)])
        if known != volume.attachments:
            self._found("corrected", "volume", volume.name, "a host group that it was attached to is unknown")
            volume = msgspec.structs.replace(volume, attachments=known)
        return volume

    async def _known_lines(self, volume: Volume) -> Volume:
        catalog = self._core.catalog
        there = await catalog.get_many(SnapshotPolicy, volume.more_snapshot_policy_ids)
        schedules = await named(self._core, (line.schedule for line in volume.schedules))
        known = msgspec.structs.replace(
            volume,
            more_snapshot_policy_ids=tuple(key for key in volume.more_snapshot_policy_ids if key in there),
            schedules=tuple(line for line in volume.schedules if line.schedule in schedules),
        )
        if known != volume:
            self._found("corrected", "volume", volume.name, "a policy or schedule of its snapshots is unknown")
        return known

    async def _known_node(self, attachment: Attachment) -> bool:
        group = attachment.host_group_id
        return group is None or await self._core.catalog.get(HostGroup, group) is not None

    async def _snapshot(self, seen: ObservedSnapshot, backend: SnapshotBackend) -> None:
        if seen.id is None or seen.note is None:
            self._found("flagged", "snapshot", seen.place or str(seen.id), "not made by this gateway")
            return
        self._scanned.add(seen.id)
        known = await self._core.catalog.get(Snapshot, seen.id)
        if known is not None:
            if known.state is SnapshotState.ERROR and known.reason == MISSING:
                healed = msgspec.structs.replace(known, state=SnapshotState.VALID, reason="")
                await self._write(known.volume_id, put(healed))
            return
        snapshot = read_snapshot(seen.note)
        if snapshot is None or snapshot.id != seen.id or snapshot.volume_id != seen.volume_id:
            self._needed.add(seen.volume_id)
            self._found("flagged", "snapshot", seen.place or str(seen.id), "its note cannot be believed")
            return
        if await self._changing(snapshot.volume_id):
            self._needed.add(snapshot.volume_id)
            return
        async with self._core.changes.holding(snapshot.volume_id):
            if await backend.inspect_snapshot(snapshot.volume_id, snapshot.id) is None:
                return
            if await self._core.catalog.get(Snapshot, snapshot.id) is not None:
                return
            clones = await self._core.catalog.count(Volume, _clones("origin.snapshot.id", snapshot.id))
            known_clones = msgspec.structs.replace(
                snapshot,
                size=seen.size,
                clone_count=clones,
                # Its last clone may be there all the same, only not in the catalog.
                transient=snapshot.transient and clones > 0,
            )
            await self._adopt_snapshot(known_clones)
        await self._recount_snapshot(snapshot.id)
        await self._recount({snapshot.volume_id})

    async def _adopt_snapshot(self, snapshot: Snapshot) -> None:
        volume = await self._core.catalog.get(Volume, snapshot.volume_id)
        if volume is None or volume.pool_id != self._pool.id:
            why = "its volume is unknown" if volume is None else "the catalog has its volume in another pool"
            self._found("flagged", "snapshot", snapshot.name, why)
            return
        try:
            await self._core.catalog.commit(put(snapshot))
        except errors.AlreadyExists:
            self._needed.add(snapshot.volume_id)
            self._found("flagged", "snapshot", snapshot.name, "its name is taken by another snapshot of the volume")
            return
        self._found("adopted", "snapshot", snapshot.name, "was not in the catalog")

    # --- what the catalog has ---

    async def _missing(self) -> None:
        query = Query(where=Compare("pool.id", Op.EQ, self._pool.id), order=(Order("id"),), limit=_AT_ONCE)
        async for volume in walk(self._core.catalog, Volume, query):
            if volume.state in {VolumeState.ONLINE, VolumeState.OFFLINE}:
                await self._check_present(volume)

    async def _check_present(self, volume: Volume) -> None:
        if volume.id not in self._scanned and await self._pool.backend.inspect(volume.id) is None:
            lost = msgspec.structs.replace(volume, state=VolumeState.ERROR, reason=MISSING)
            if await self._write(volume.id, put(lost)):
                self._found("flagged", "volume", volume.name, MISSING)
            return
        if not volume.snapshot_count or not isinstance(self._pool.backend, SnapshotBackend):
            return
        for snapshot in await snapshots_of(self._core, volume.id):
            if snapshot.state is not SnapshotState.VALID or snapshot.id in self._scanned:
                continue
            if await self._pool.backend.inspect_snapshot(volume.id, snapshot.id) is None:
                lost_one = msgspec.structs.replace(snapshot, state=SnapshotState.ERROR, reason=MISSING)
                if await self._write(volume.id, put(lost_one)):
                    self._found("flagged", "snapshot", snapshot.name, MISSING)

    async def _forget_volatile(self) -> None:
        """Forget what a volatile pool lost with its process."""
        query = Query(where=Compare("pool.id", Op.EQ, self._pool.id), limit=_AT_ONCE)
        forgotten = 0
        while records := (await self._core.catalog.page(Volume, query)).records:
            for volume in records:
                followed = await into(self._core, volume.id)
                await self._core.catalog.commit(drop(*followed, *await snapshots_of(self._core, volume.id), volume))
                forgotten += 1
        if forgotten:
            self._found("forgotten", "pool", self._pool.name, f"{forgotten} volumes went with the process's memory")

    async def _let_go(self) -> None:
        """Let retired volumes that were adopted be collected, unless something that may need them was not adopted."""
        where = And((Compare("pool.id", Op.EQ, self._pool.id), Not(IsNull("retired"))))
        async for volume in walk(self._core.catalog, Volume, Query(where=where, order=(Order("id"),))):
            if volume.state is VolumeState.CREATING and volume.id not in self._needed:
                await self._write(volume.id, put(msgspec.structs.replace(volume, state=VolumeState.OFFLINE)))

    # --- counters ---

    async def _recount(self, adopted: set[UUID]) -> None:
        """Set the counters of adopted volumes, their parents and base snapshots to what the catalog holds."""
        affected = set(adopted)
        for volume in (await self._core.catalog.get_many(Volume, adopted)).values():
            if volume.origin is not None:
                affected.add(volume.origin.volume_id)
                await self._recount_snapshot(volume.origin.snapshot_id)
        for volume_id in affected:
            await self._recount_volume(volume_id)

    async def _recount_volume(self, volume_id: UUID) -> None:
        catalog = self._core.catalog
        async with self._core.changes.holding(volume_id):
            while True:
                volume = await catalog.get(Volume, volume_id)
                if volume is None:
                    return
                counted = msgspec.structs.replace(
                    volume,
                    snapshot_count=await catalog.count(Snapshot, _snapshots(volume_id)),
                    clone_count=await catalog.count(Volume, _clones("origin.volume.id", volume_id)),
                )
                if counted == volume or await self._commit(put(counted)):
                    return

    async def _recount_snapshot(self, snapshot_id: UUID | None) -> None:
        catalog = self._core.catalog
        found = await catalog.get(Snapshot, snapshot_id) if snapshot_id else None
        if found is None:
            return
        async with self._core.changes.holding(found.volume_id):
            while True:
                snapshot = await catalog.get(Snapshot, found.id)
                if snapshot is None:
                    return
                clones = await catalog.count(Volume, _clones("origin.snapshot.id", found.id))
                counted = msgspec.structs.replace(snapshot, clone_count=clones)
                if counted == snapshot or await self._commit(put(counted)):
                    return

    async def _write(self, volume_id: UUID, batch: Batch) -> bool:
        """Commit a correction unless a change works on the volume; what it changes is compared at the next run."""
        return not await self._changing(volume_id) and await self._commit(batch)

    async def _changing(self, volume_id: UUID) -> bool:
        """Tell whether a change works on the volume: of this process, of another one, or one that waits for a pool."""
        if self._core.changes.locks.held(volume_id):
            return True
        return await self._core.catalog.count(Intent, Compare("key", Op.EQ, volume_id)) > 0

    async def _commit(self, batch: Batch) -> bool:
        try:
            await self._core.catalog.commit(batch)
        except errors.StaleRevision:
            return False
        return True

    def _found(self, did: str, kind: str, ref: str, why: str) -> None:
        self.findings.append(Finding(did=did, kind=kind, ref=ref, why=why))
        self._observer.event(f"reconcile_{did}", pool=self._pool.name, kind=kind, ref=ref, why=why)


def _parents_first(orphans: list[Observed]) -> list[Observed]:
    """Order a scan so that a clone comes behind its parent, by which it is recognised as a clone."""
    waiting = {observed.id: observed for observed in orphans}
    ordered: list[Observed] = []
    for observed in orphans:
        line: list[Observed] = []
        found: Observed | None = observed
        while found is not None and waiting.pop(found.id, None) is not None:
            line.append(found)
            found = waiting.get(_parent(found))
        ordered += reversed(line)
    return ordered


def _parent(observed: Observed) -> UUID | None:
    noted = read_volume(observed.note) if observed.note else None
    return noted.origin.volume_id if noted and noted.origin else None


def _noted_state(observed: Observed) -> VolumeState:
    """Give the state that a volume had before it went missing; what changed it since may have noted that it was."""
    noted = read_volume(observed.note) if observed.note else None
    return VolumeState.ONLINE if noted is None or noted.state is VolumeState.ERROR else noted.state


def _snapshots(volume_id: UUID) -> Filter:
    """Select what a counter counts: the change that makes a thing counts it at its end."""
    return And((Compare("volume.id", Op.EQ, volume_id), Not(Compare("state", Op.EQ, SnapshotState.CREATING.value))))


def _clones(field: str, key: UUID) -> Filter:
    """The same for clones. A retired one is made, although it waits for `_let_go`."""
    made = Or((Not(Compare("state", Op.EQ, VolumeState.CREATING.value)), Not(IsNull("retired"))))
    return And((Compare(field, Op.EQ, key), made))


def _sized(volume: Volume, observed: Observed) -> bool:
    return observed.size is None or observed.size == volume.size


def _lost(volume: Volume) -> bool:
    return volume.state is VolumeState.ERROR and volume.reason == MISSING
