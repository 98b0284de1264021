"""The operation by which a volume changes its pool: see `gateway.core.operations`.

While it goes on both pools have the volume under its id. The note of the new
half decides which one is the volume: it says the old pool until all else of it
is in place, and by the one write that lets it say the new pool the volume is
there. Before that the new half goes when anything fails, after it the old one.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial

import msgspec

from gateway.core import errors
from gateway.core.backend import ReplicationBackend, SnapshotBackend, VolumeBackend
from gateway.core.catalog import Batch, put
from gateway.core.model import Intent, Snapshot, SnapshotState, Volume
from gateway.core.operation import Context, leave_origin, lost_by, make_gone, needed, spec_of


class MoveVolume:
    """`snapshot_after` is what is sent, and has one id in both pools; `also` holds spare snapshots, which stay behind.

    Neither is there when it is over.
    """

    async def shown(self, context: Context, intent: Intent) -> Batch:
        return put(msgspec.structs.replace(needed(intent.snapshot_after), state=SnapshotState.CREATING))

    async def apply(self, context: Context, intent: Intent) -> None:
        before, after = needed(intent.before), needed(intent.after)
        if not await self.happened(context, intent):
            await context.publisher.withdraw(before)
            context.fault("volume.move.withdrawn")
            await self._send(context, before, after, needed(intent.snapshot_after))
            await self._new(context, intent).annotate(after.id, await context.note(after))
            context.fault("volume.move.arrived")
        await self._remove_old(context, intent)

    async def finish(self, context: Context, intent: Intent) -> Batch:
        before, after = needed(intent.before), needed(intent.after)
        present = await context.present(after)
        observed = await self._new(context, intent).inspect(after.id)
        moved = msgspec.structs.replace(
            after, revision=present.revision, used=observed.used if observed else present.used
        )
        gone = await context.unborn(needed(intent.snapshot_after), *intent.also)
        return gone + put(moved) + await leave_origin(context, before)

    async def revert(self, context: Context, intent: Intent) -> Batch:
        """There is no way back once the old half is gone, whatever took it: write what is true."""
        before, after, sent = needed(intent.before), needed(intent.after), needed(intent.snapshot_after)
        new = self._new(context, intent)
        await context.part_of(after.pool_id, SnapshotBackend).delete_snapshot(after.id, sent.id)
        if await context.backend(intent).inspect(before.id) is None and await new.inspect(after.id) is not None:
            await new.annotate(after.id, await context.note(after))
            return await self.finish(context, intent)
        await make_gone(partial(new.delete, after.id), partial(new.inspect, after.id))
        await context.part(intent, SnapshotBackend).delete_snapshot(before.id, sent.id)
        gone = await lost_by(context, intent)
        counted = await context.counted(before.id, snapshots=-len(gone)) if gone else Batch()
        return await context.unborn(sent, *gone) + counted

    async def happened(self, context: Context, intent: Intent) -> bool:
        after = needed(intent.after)
        observed = await self._new(context, intent).inspect(after.id)
        wanted = await context.note(after)
        return observed is not None and observed.note is not None and observed.note.document == wanted.document

    def _new(self, context: Context, intent: Intent) -> VolumeBackend:
        return context.pools.get(needed(intent.after).pool_id).backend

    async def _send(self, context: Context, before: Volume, after: Volume, sent: Snapshot) -> None:
        """Make the new half, with the note that the old one has."""
        note = await context.note(sent)
        await context.part_of(before.pool_id, SnapshotBackend).snapshot(before.id, sent.id, note)
        context.fault("volume.move.taken")
        spec = await spec_of(context, before, root=False)
        # Whoever takes a stream may stop anywhere in it; what sends it then still holds the snapshot.
        async with aclosing(_sending(context, sent)) as stream:
            await context.part_of(after.pool_id, ReplicationBackend).receive(spec, sent.id, note, stream)
        context.fault("volume.move.received")
        await context.part_of(after.pool_id, SnapshotBackend).delete_snapshot(after.id, sent.id)
        context.fault("volume.move.cleared")

    async def _remove_old(self, context: Context, intent: Intent) -> None:
        old, snapshots = context.backend(intent), context.part(intent, SnapshotBackend)
        before = needed(intent.before)
        for snapshot in (*intent.also, needed(intent.snapshot_after)):
            key = (before.id, snapshot.id)
            await make_gone(partial(snapshots.delete_snapshot, *key), partial(snapshots.inspect_snapshot, *key))
            context.fault("volume.move.snapshot")
        await make_gone(partial(old.delete, before.id), partial(old.inspect, before.id))


async def _sending(context: Context, sent: Snapshot) -> AsyncGenerator[bytes, None]:
    """Yield what is sent. Unavailable when the gateway stops meanwhile, which must not wait for the end."""
    stream = context.part_of(sent.pool_id, ReplicationBackend).send(sent.volume_id, sent.id, None)
    try:
        async for part in stream:
            if context.stopping.is_set():
                raise errors.Unavailable(what="gateway", reason="it is stopping")
            yield part
    finally:
        if isinstance(stream, AsyncGenerator):
            await stream.aclose()
