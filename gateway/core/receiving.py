"""The operation by which a replication's destination gets a snapshot of its source: see `gateway.core.operations`.

Between pools that understand each other's streams it is all or nothing. Else
the mover makes the destination's content that of the snapshot, and a snapshot
is taken there; when that breaks off, the destination is somewhere between the
base and what was to come, until it is done again or the base is brought back.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager, suppress
from functools import partial
from uuid import UUID

import msgspec

from gateway.core import errors
from gateway.core.backend import HostBackend, ObservedSnapshot, ReplicationBackend, SnapshotBackend
from gateway.core.catalog import Batch, Catalog, put
from gateway.core.model import Intent, Snapshot, SnapshotState, Volume, VolumeKind
from gateway.core.mover import MoveJob, MoveProgress, Place, PlaceBackend
from gateway.core.operation import Context, make_gone, needed, spec_of
from gateway.core.peering import Sending
from gateway.core.pools import OpenPool
from gateway.core.replication_model import Replication, Transfer, TransferKind

FAR = UUID(int=0)
"""The pool of snapshots that are at a peer."""

_TELL_S = 1.0


def streams(kind: VolumeKind, source: OpenPool, destination: OpenPool) -> bool:
    """Tell whether snapshots go from one pool to the other as streams."""
    if any(kind not in pool.capabilities for pool in (source, destination)):
        return False
    able = all(pool.capability(kind).can("replicate") for pool in (source, destination))
    return able and source.substrate.driver == destination.substrate.driver


def content_kind(source: VolumeKind, destination: VolumeKind) -> VolumeKind:
    """Give what goes from a volume of one kind to one of another: objects may hold the files or blocks of the other."""
    return source if destination is VolumeKind.OBJECTS else destination


async def source_handle(pool: OpenPool, volume_id: UUID, snapshot_id: UUID | None) -> Place:
    """Give the way by which a mover reads a snapshot; while there is none, that to the volume, which is alike."""
    backend = pool.backend
    if isinstance(backend, PlaceBackend):
        return await backend.place(volume_id, snapshot_id)
    return msgspec.structs.replace(await backend.access(volume_id, snapshot_id), read_only=True)


async def destination_handle(pool: OpenPool, volume_id: UUID) -> Place:
    """Give the way by which a mover writes a volume."""
    backend = pool.backend
    if isinstance(backend, PlaceBackend):
        return await backend.place(volume_id)
    return await backend.here(volume_id) if isinstance(backend, HostBackend) else await backend.access(volume_id)


class Meter:
    """Counts the bytes of a transfer, keeps them in its record, and tells how long to pause for its throttle."""

    def __init__(
        self, catalog: Catalog, transfer: Transfer | None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.transfer = transfer
        self._catalog = catalog
        self._clock = clock
        self._before = 0 if transfer is None else transfer.bytes_transferred
        self._throttle = 0 if transfer is None else transfer.throttle
        self._begun = self._told = clock()
        self._moved = 0
        self._total: int | None = None

    def moved(self, count: int) -> float:
        """Count more bytes; give the seconds by which they came too early."""
        self._moved += count
        return 0 if not self._throttle else max(0.0, self._moved / self._throttle - (self._clock() - self._begun))

    def follow(self, progress: MoveProgress) -> None:
        """Take over what a mover counts."""
        self._moved, self._total = progress.bytes_transferred, progress.bytes_total

    async def tell(self, *, last: bool = False) -> None:
        """Write down what was counted, now and then, and the last time in any case."""
        if self.transfer is None or not (last or self._clock() - self._told >= _TELL_S):
            return
        self._told = self._clock()
        present = await self._catalog.get(Transfer, self.transfer.id)
        if present is None or present.ended is not None:
            return
        total = None if self._total is None else self._before + self._total
        known = msgspec.structs.replace(present, bytes_transferred=self._before + self._moved, bytes_total=total)
        with suppress(errors.StaleRevision):
            await self._catalog.commit(put(known))


class ReceiveSnapshot:
    """`snapshot_before` is the source's, `snapshot_after` becomes its copy; `also` holds the source's half of the base.

    Without one the volume is empty, and made anew by what comes.
    """

    async def shown(self, context: Context, intent: Intent) -> Batch:
        return put(msgspec.structs.replace(needed(intent.snapshot_after), state=SnapshotState.CREATING))

    async def apply(self, context: Context, intent: Intent) -> None:
        before, after = needed(intent.before), needed(intent.after)
        if not await self.happened(context, intent):
            meter = Meter(context.catalog, await _transfer(context, after))
            if self._streams(context, intent):
                await self._stream(context, intent, meter)
            else:
                await self._move(context, intent, meter)
        if after.root != before.root:
            await context.backend(intent).annotate(after.id, await context.note(after))
            context.fault("snapshot.receive.annotated")

    async def finish(self, context: Context, intent: Intent) -> Batch:
        after, snapshot = needed(intent.after), needed(intent.snapshot_after)
        volume, taken = await context.present(after), await context.present(snapshot)
        observed = await context.backend(intent).inspect(after.id)
        copied = await self._observed(context, intent)
        return put(
            msgspec.structs.replace(
                snapshot, revision=taken.revision, size=copied.size if copied is not None else snapshot.size
            ),
            msgspec.structs.replace(
                volume,
                root=after.root,
                generation=after.generation,
                used=volume.used if observed is None else observed.used,
                snapshot_count=volume.snapshot_count + 1,
            ),
        )

    async def revert(self, context: Context, intent: Intent) -> Batch:
        """A copy that came stays, although something after it failed: the volume has its content by then."""
        before = needed(intent.before)
        backend = context.backend(intent)
        if await self.happened(context, intent):
            await backend.annotate(before.id, await context.note(needed(intent.after)))
            return await self.finish(context, intent)
        if await backend.inspect(before.id) is None:
            await backend.create(await spec_of(context, before, root=True))
        return await context.unborn(needed(intent.snapshot_after))

    async def happened(self, context: Context, intent: Intent) -> bool:
        return await self._observed(context, intent) is not None

    async def _observed(self, context: Context, intent: Intent) -> ObservedSnapshot | None:
        taken = needed(intent.snapshot_after)
        return await context.part(intent, SnapshotBackend).inspect_snapshot(taken.volume_id, taken.id)

    def _streams(self, context: Context, intent: Intent) -> bool:
        source, volume = needed(intent.snapshot_before), needed(intent.after)
        if source.pool_id == FAR:
            return False
        return streams(volume.kind, context.pools.get(source.pool_id), context.pools.get(volume.pool_id))

    async def _stream(self, context: Context, intent: Intent, meter: Meter) -> None:
        volume, backend = needed(intent.after), context.backend(intent)
        if not intent.also:
            # The first stream makes the volume: what there is holds nothing.
            await context.publisher.withdraw(volume)
            context.fault("snapshot.receive.withdrawn")
            await make_gone(partial(backend.delete, volume.id), partial(backend.inspect, volume.id))
            context.fault("snapshot.receive.cleared")
        base = intent.also[0].id if intent.also else None
        copy = needed(intent.snapshot_after)
        spec = await spec_of(context, volume, root=False)
        async with aclosing(_sending(context, needed(intent.snapshot_before), base, meter)) as stream:
            await context.part(intent, ReplicationBackend).receive(spec, copy.id, await context.note(copy), stream)
        context.fault("snapshot.receive.received")
        await meter.tell(last=True)

    async def _move(self, context: Context, intent: Intent, meter: Meter) -> None:
        volume, sent = needed(intent.after), needed(intent.snapshot_before)
        transfer = meter.transfer
        async with _sent(context, sent, volume) as sending:
            job = MoveJob(
                id=needed(intent.snapshot_after).id if transfer is None else transfer.id,
                kind=content_kind(sending.kind, volume.kind),
                source=sending.place,
                destination=await destination_handle(context.pools.get(volume.pool_id), volume.id),
                size=sent.volume_size or volume.size,
                throttle=0 if transfer is None else transfer.throttle,
                full=transfer is None or transfer.kind is not TransferKind.UPDATE,
            )
            await _moving(context, job, meter)
        context.fault("snapshot.receive.moved")
        copy = needed(intent.snapshot_after)
        await context.part(intent, SnapshotBackend).snapshot(volume.id, copy.id, await context.note(copy))
        context.fault("snapshot.receive.taken")


@asynccontextmanager
async def _sent(context: Context, sent: Snapshot, volume: Volume) -> AsyncIterator[Sending]:
    """Give what is sent into a volume: a snapshot of a pool, or one of a peer."""
    if sent.pool_id != FAR:
        source = await context.catalog.get(Volume, sent.volume_id)
        place = await source_handle(context.pools.get(sent.pool_id), sent.volume_id, sent.id)
        yield Sending(volume.kind if source is None else source.kind, place)
        return
    replication = await _replication(context, volume)
    if context.peers is None or replication is None or replication.source.peer_id is None:
        raise errors.Unavailable(what="peer", reason="there is none that it could come from")
    far = context.peers.source(replication.source.peer_id, replication)
    async with far.sending(sent) as sending:
        yield sending
        # Of one that was being deleted meanwhile anything may have come: it must not pass for a copy.
        there = [one.state for one in await far.snapshots() if one.id == sent.id]
        if there != [SnapshotState.VALID]:
            raise errors.Unavailable(what="source", reason="its gateway does not keep the snapshot any more")


async def _replication(context: Context, volume: Volume) -> Replication | None:
    """Give the replication whose destination a volume is."""
    return None if volume.replica_of is None else await context.catalog.get(Replication, volume.replica_of)


async def _transfer(context: Context, volume: Volume) -> Transfer | None:
    """Give the transfer under way into a volume."""
    replication = await _replication(context, volume)
    if replication is None or replication.transfer_id is None:
        return None
    return await context.catalog.get(Transfer, replication.transfer_id)


async def _sending(context: Context, sent: Snapshot, base: UUID | None, meter: Meter) -> AsyncGenerator[bytes, None]:
    """Yield what is sent, as quickly as it may go. Unavailable when the gateway or the transfer is to end meanwhile."""
    stream = context.part_of(sent.pool_id, ReplicationBackend).send(sent.volume_id, sent.id, base)
    halted = _halted(context, meter)
    try:
        async for part in stream:
            early = meter.moved(len(part))
            if early:
                with suppress(TimeoutError):
                    await asyncio.wait_for(_either(context.stopping, halted), early)
            _require_going(context, halted)
            await meter.tell()
            yield part
    finally:
        if isinstance(stream, AsyncGenerator):
            await stream.aclose()


async def _moving(context: Context, job: MoveJob, meter: Meter) -> None:
    """Let the mover do a job of a transfer."""
    meter.follow(await moved(context, job, _halted(context, meter), follow=meter.follow, tell=meter.tell))
    await meter.tell(last=True)


async def moved(
    context: Context,
    job: MoveJob,
    halted: asyncio.Event,
    *,
    follow: Callable[[MoveProgress], None],
    tell: Callable[[], Awaitable[None]],
) -> MoveProgress:
    """Let the mover do a job. Unavailable when the gateway is to end meanwhile, or `halted` is set: then it is ended.

    `follow` is told how far it is, and `tell` called now and then.
    """
    if context.mover is None:
        raise errors.Unsupported(capability="replicate", reason="there is no mover")
    moving = asyncio.ensure_future(context.mover.move(job, progress=follow))
    ending = asyncio.ensure_future(_either(context.stopping, halted))
    try:
        while not moving.done():
            await asyncio.wait({moving, ending}, timeout=_TELL_S, return_when=asyncio.FIRST_COMPLETED)
            if not moving.done():
                _require_going(context, halted)
            await tell()
        return moving.result()
    finally:
        for task in (moving, ending):
            task.cancel()
            await asyncio.wait({task})


def _halted(context: Context, meter: Meter) -> asyncio.Event:
    return asyncio.Event() if meter.transfer is None else context.carried.halted(meter.transfer.id)


def _require_going(context: Context, halted: asyncio.Event) -> None:
    if context.stopping.is_set():
        raise errors.Unavailable(what="gateway", reason="it is stopping")
    if halted.is_set():
        raise errors.Unavailable(what="transfer", reason="it was aborted")


async def _either(*events: asyncio.Event) -> None:
    """Wait until one of the events is set."""
    waiting = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()
