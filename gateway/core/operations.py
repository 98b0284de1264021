"""Every operation that touches a substrate, and what becomes of it after a crash.

An operation is described completely by its `Intent`, so that a later process
can finish or take back what an earlier one began. Its parts, in the order in
which `gateway.core.change` calls them:

* `shown(intent)`    the records that readers see while it runs (journalled with the intent),
* `apply(intent)`    the substrate's part; idempotent,
* `finish(intent)`   the records that make it true, one commit with the end of the intent,
* `revert(intent)`   after a failure: undo on the substrate, and the records as they were,
* `happened(intent)` after a crash: did the substrate's part take effect? True leads to
                     `apply` and `finish` (roll forward), False to `revert` (roll back).

`OPERATIONS` is the table. `finish` and the records of `revert` are computed
from the catalog's present rows and may be computed twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import msgspec

from gateway.core import errors
from gateway.core.backend import (
    CloneBackend,
    ConvertBackend,
    GroupMember,
    GroupSnapshotBackend,
    Observed,
    ObservedSnapshot,
    PermissionsBackend,
    ResizeBackend,
    RestoreBackend,
    SnapshotBackend,
)
from gateway.core.catalog import Batch, put
from gateway.core.filing import CloneFile, DeleteFile, MakeDirectory, UpdateFile
from gateway.core.model import Intent, Snapshot, SnapshotState, Volume, VolumeKind, VolumeState
from gateway.core.moving import MoveVolume
from gateway.core.operation import Context, Operation, leave_origin, lost_by, make_gone, needed, spec_of
from gateway.core.receiving import ReceiveSnapshot


class CreateVolume:
    async def shown(self, context: Context, intent: Intent) -> Batch:
        after = msgspec.structs.replace(needed(intent.after), state=VolumeState.CREATING)
        return context.references(after) + put(after)

    async def apply(self, context: Context, intent: Intent) -> None:
        await context.backend(intent).create(await spec_of(context, needed(intent.after), root=True))

    async def finish(self, context: Context, intent: Intent) -> Batch:
        after = needed(intent.after)
        present = await context.present(after)
        return put(msgspec.structs.replace(after, revision=present.revision))

    async def revert(self, context: Context, intent: Intent) -> Batch:
        after = needed(intent.after)
        await context.backend(intent).delete(after.id)
        return await context.unborn(after)

    async def happened(self, context: Context, intent: Intent) -> bool:
        return await context.backend(intent).inspect(needed(intent.after).id) is not None


class CloneVolume:
    """`also` holds the base snapshot when the caller named none; `snapshot_before` the one named."""

    def _base(self, intent: Intent) -> Snapshot:
        return intent.also[0] if intent.also else needed(intent.snapshot_before)

    async def shown(self, context: Context, intent: Intent) -> Batch:
        after = msgspec.structs.replace(needed(intent.after), state=VolumeState.CREATING)
        base = (msgspec.structs.replace(made, state=SnapshotState.CREATING) for made in intent.also)
        return context.references(after) + put(after, *base)

    async def apply(self, context: Context, intent: Intent) -> None:
        after, base = needed(intent.after), self._base(intent)
        for made in intent.also:
            await context.part(intent, SnapshotBackend).snapshot(made.volume_id, made.id, await context.note(made))
            context.fault("volume.clone.based")
        spec = await spec_of(context, after, root=False)
        await context.part(intent, CloneBackend).clone(base.volume_id, base.id, spec)

    async def finish(self, context: Context, intent: Intent) -> Batch:
        after, base = needed(intent.after), self._base(intent)
        clone = msgspec.structs.replace(after, revision=(await context.present(after)).revision)
        snapshot = await context.present(base)
        based = msgspec.structs.replace(snapshot, state=SnapshotState.VALID, clone_count=snapshot.clone_count + 1)
        parent = await context.counted(base.volume_id, snapshots=len(intent.also), clones=1)
        return put(clone, based) + parent

    async def revert(self, context: Context, intent: Intent) -> Batch:
        after = needed(intent.after)
        await context.backend(intent).delete(after.id)
        for made in intent.also:
            await context.part(intent, SnapshotBackend).delete_snapshot(made.volume_id, made.id)
        return await context.unborn(after, *intent.also)

    async def happened(self, context: Context, intent: Intent) -> bool:
        return await context.backend(intent).inspect(needed(intent.after).id) is not None


class DeleteVolume:
    """`also` holds the volume's snapshots, which go with it."""

    async def shown(self, context: Context, intent: Intent) -> Batch:
        return put(msgspec.structs.replace(needed(intent.before), state=VolumeState.DELETING))

    async def apply(self, context: Context, intent: Intent) -> None:
        before = needed(intent.before)
        await context.publisher.withdraw(before, force=intent.force)
        context.fault("volume.delete.withdrawn")
        for snapshot in intent.also:
            await context.part(intent, SnapshotBackend).delete_snapshot(before.id, snapshot.id)
            context.fault("volume.delete.snapshot")
        backend = context.backend(intent)
        await make_gone(lambda: backend.delete(before.id), lambda: backend.inspect(before.id))

    async def finish(self, context: Context, intent: Intent) -> Batch:
        before = needed(intent.before)
        batch = await context.unborn(*intent.also, before)
        return batch + await leave_origin(context, before)

    async def revert(self, context: Context, intent: Intent) -> Batch:
        before = needed(intent.before)
        present = await context.present(before)
        gone = await lost_by(context, intent)
        kept = msgspec.structs.replace(
            before, revision=present.revision, snapshot_count=before.snapshot_count - len(gone)
        )
        return await context.unborn(*gone) + put(kept)

    async def happened(self, context: Context, intent: Intent) -> bool:
        return True


class UpdateVolume:
    """Size, root directory and everything that the note carries. The note is written last: it tells what is true.

    Where volumes cannot shrink there is no way back from a new size: what a
    crash left grown goes on, what failed later keeps its size.
    """

    async def shown(self, context: Context, intent: Intent) -> Batch:
        return Batch()

    async def apply(self, context: Context, intent: Intent) -> None:
        before, after = needed(intent.before), needed(intent.after)
        if after.state is not VolumeState.ONLINE:
            await context.publisher.withdraw(before, force=intent.force)
            context.fault("volume.update.withdrawn")
        elif after.junction_path != before.junction_path:
            await context.publisher.unexport(before)
            context.fault("volume.update.withdrawn")
        elif after.attachments != before.attachments:
            await context.publisher.narrow(before, after, force=intent.force)
            context.fault("volume.update.narrowed")
        if after.mounts != before.mounts:
            await context.publisher.remount(before, after, force=intent.force, delete_path=intent.delete_path)
            context.fault("volume.update.remounted")
        await self._shape(context, intent, before, after)
        backend = context.backend(intent)
        # A broken volume may be gone: what it is attached to ends all the same, and there is no note to write.
        if before.state is not VolumeState.ERROR or await backend.inspect(after.id) is not None:
            await backend.annotate(after.id, await context.note(after))

    async def finish(self, context: Context, intent: Intent) -> Batch:
        after = needed(intent.after)
        present = await context.present(after)
        return context.references(after) + put(
            msgspec.structs.replace(
                after,
                revision=present.revision,
                used=present.used,
                snapshot_count=present.snapshot_count,
                clone_count=present.clone_count,
            )
        )

    async def revert(self, context: Context, intent: Intent) -> Batch:
        before, after = needed(intent.before), needed(intent.after)
        backend = context.backend(intent)
        if after.mounts != before.mounts:
            # Those that ended come back with everything else that was withdrawn.
            await context.publisher.keep_mounts(before)
        observed = await backend.inspect(before.id)
        if observed is None:
            return Batch()
        true = before
        if self._grown_for_good(context, intent, observed):
            true = msgspec.structs.replace(before, size=after.size)
        try:
            await self._shape(context, intent, after, true)
        except errors.LimitExceeded:
            # Clients filled the new room meanwhile, so the old size is no longer to be had: write what is true.
            true = msgspec.structs.replace(before, size=before.size if observed.size is None else observed.size)
        await backend.annotate(true.id, await context.note(true))
        if true == before:
            return Batch()
        present = await context.present(before)
        return put(msgspec.structs.replace(present, size=true.size))

    async def happened(self, context: Context, intent: Intent) -> bool:
        after = needed(intent.after)
        observed = await context.backend(intent).inspect(after.id)
        if observed is not None and self._grown_for_good(context, intent, observed):
            return True
        wanted = await context.note(after)
        return observed is not None and observed.note is not None and observed.note.document == wanted.document

    def _grown_for_good(self, context: Context, intent: Intent, observed: Observed) -> bool:
        """Tell whether the substrate has the new size already and cannot give the old one back."""
        before, after = needed(intent.before), needed(intent.after)
        shrinks = context.pools.get(intent.pool_id).capability(before.kind).can("shrink")
        return not shrinks and before.size < after.size == observed.size

    async def _shape(self, context: Context, intent: Intent, old: Volume, new: Volume) -> None:
        if new.size != old.size:
            await context.part(intent, ResizeBackend).resize(new.id, new.size)
            context.fault("volume.update.resized")
        if new.root != old.root:
            await context.part(intent, PermissionsBackend).set_root(new.id, new.root)
            context.fault("volume.update.permitted")


class ConvertVolume:
    """An empty volume of files becomes one of blocks, with the same id."""

    async def shown(self, context: Context, intent: Intent) -> Batch:
        return Batch()

    async def apply(self, context: Context, intent: Intent) -> None:
        spec = await spec_of(context, needed(intent.after), root=False)
        await context.part(intent, ConvertBackend).convert(spec)

    async def finish(self, context: Context, intent: Intent) -> Batch:
        after = needed(intent.after)
        present = await context.present(after)
        observed = await context.backend(intent).inspect(after.id)
        return put(
            msgspec.structs.replace(after, revision=present.revision, used=observed.used if observed else after.used)
        )

    async def revert(self, context: Context, intent: Intent) -> Batch:
        """There is no way back from blocks, although something after it failed: write what is true."""
        before = needed(intent.before)
        backend = context.backend(intent)
        observed = await backend.inspect(before.id)
        if observed is None:
            # It failed between the two, as when the pool has no room for the new one. The old one was empty.
            await backend.create(await spec_of(context, before, root=True))
        elif observed.kind is not before.kind:
            return await self.finish(context, intent)
        return Batch()

    async def happened(self, context: Context, intent: Intent) -> bool:
        """Also when neither is there any more: then only going on helps."""
        observed = await context.backend(intent).inspect(needed(intent.after).id)
        return observed is None or observed.kind is VolumeKind.BLOCK


class SplitVolume:
    async def shown(self, context: Context, intent: Intent) -> Batch:
        return Batch()

    async def apply(self, context: Context, intent: Intent) -> None:
        after = needed(intent.after)
        await context.part(intent, CloneBackend).split(after.id)
        context.fault("volume.split.split")
        await context.backend(intent).annotate(after.id, await context.note(after))

    async def finish(self, context: Context, intent: Intent) -> Batch:
        present = await context.present(needed(intent.after))
        return put(msgspec.structs.replace(present, origin=None)) + await leave_origin(context, present)

    async def revert(self, context: Context, intent: Intent) -> Batch:
        before = needed(intent.before)
        if await context.backend(intent).inspect(before.id) is not None:
            await context.backend(intent).annotate(before.id, await context.note(before))
        return Batch()

    async def happened(self, context: Context, intent: Intent) -> bool:
        return await context.backend(intent).inspect(needed(intent.after).id) is not None


class RestoreVolume:
    """`snapshot_before` is restored; `also` holds newer snapshots that go. The intent's id is the restore's token."""

    async def shown(self, context: Context, intent: Intent) -> Batch:
        return Batch()

    async def apply(self, context: Context, intent: Intent) -> None:
        volume, snapshot = needed(intent.before), needed(intent.snapshot_before)
        await context.publisher.withdraw(volume)
        context.fault("volume.restore.withdrawn")
        await context.part(intent, RestoreBackend).restore(volume.id, snapshot.id, intent.id)
        context.fault("volume.restore.restored")
        for newer in intent.also:
            await context.part(intent, SnapshotBackend).delete_snapshot(volume.id, newer.id)
            context.fault("volume.restore.snapshot")
        after = needed(intent.after)
        await context.backend(intent).annotate(after.id, await context.note(after))
        context.fault("volume.restore.annotated")
        await context.part(intent, RestoreBackend).settle_restore(volume.id, intent.id)

    async def finish(self, context: Context, intent: Intent) -> Batch:
        return await self._restored(context, intent, intent.also)

    async def revert(self, context: Context, intent: Intent) -> Batch:
        """Content that came back stays, although something after it failed: write what is true."""
        after = needed(intent.after)
        backend = context.backend(intent)
        if await backend.inspect(after.id) is None or not await self.happened(context, intent):
            return Batch()
        await backend.annotate(after.id, await context.note(after))
        return await self._restored(context, intent, await lost_by(context, intent))

    async def _restored(self, context: Context, intent: Intent, gone: Sequence[Snapshot]) -> Batch:
        volume = needed(intent.after)
        observed = await context.backend(intent).inspect(volume.id)
        present = await context.present(volume)
        restored = msgspec.structs.replace(
            present,
            generation=volume.generation,
            used=observed.used if observed else present.used,
            snapshot_count=present.snapshot_count - len(gone),
        )
        return await context.unborn(*gone) + put(restored)

    async def happened(self, context: Context, intent: Intent) -> bool:
        return await context.part(intent, RestoreBackend).settle_restore(needed(intent.before).id, intent.id)


class CreateSnapshot:
    """Also where there are several: when not all of them are there after a crash, the others go."""

    def _taken(self, intent: Intent) -> tuple[Snapshot, ...]:
        return (needed(intent.snapshot_after),)

    async def shown(self, context: Context, intent: Intent) -> Batch:
        return put(*(msgspec.structs.replace(one, state=SnapshotState.CREATING) for one in self._taken(intent)))

    async def apply(self, context: Context, intent: Intent) -> None:
        snapshot = needed(intent.snapshot_after)
        backend = context.part(intent, SnapshotBackend)
        await backend.snapshot(snapshot.volume_id, snapshot.id, await context.note(snapshot))

    async def finish(self, context: Context, intent: Intent) -> Batch:
        batch = Batch()
        for snapshot, observed in zip(self._taken(intent), await self._observed(context, intent), strict=True):
            present = await context.present(snapshot)
            taken = msgspec.structs.replace(
                snapshot, revision=present.revision, size=observed.size if observed else snapshot.size
            )
            batch += put(taken) + await context.counted(snapshot.volume_id, snapshots=1)
            await asyncio.sleep(0)  # see `gateway.core.groups`: there may be many
        return batch

    async def revert(self, context: Context, intent: Intent) -> Batch:
        for snapshot in self._taken(intent):
            await context.part(intent, SnapshotBackend).delete_snapshot(snapshot.volume_id, snapshot.id)
        return await context.unborn(*self._taken(intent))

    async def happened(self, context: Context, intent: Intent) -> bool:
        return None not in await self._observed(context, intent)

    async def _observed(self, context: Context, intent: Intent) -> list[ObservedSnapshot | None]:
        backend = context.part(intent, SnapshotBackend)
        return await asyncio.gather(*(backend.inspect_snapshot(one.volume_id, one.id) for one in self._taken(intent)))


class CreateSnapshotGroup(CreateSnapshot):
    """`also` holds the snapshots."""

    def _taken(self, intent: Intent) -> tuple[Snapshot, ...]:
        return intent.also

    async def apply(self, context: Context, intent: Intent) -> None:
        members = [
            GroupMember(volume=one.volume_id, snapshot=one.id, note=await context.note(one)) for one in intent.also
        ]
        await context.part(intent, GroupSnapshotBackend).snapshot_group(members)


class DeleteSnapshot:
    async def shown(self, context: Context, intent: Intent) -> Batch:
        return put(msgspec.structs.replace(needed(intent.snapshot_before), state=SnapshotState.DELETING))

    async def apply(self, context: Context, intent: Intent) -> None:
        snapshot = needed(intent.snapshot_before)
        backend, key = context.part(intent, SnapshotBackend), (snapshot.volume_id, snapshot.id)
        await make_gone(lambda: backend.delete_snapshot(*key), lambda: backend.inspect_snapshot(*key))

    async def finish(self, context: Context, intent: Intent) -> Batch:
        snapshot = needed(intent.snapshot_before)
        return await context.unborn(snapshot) + await context.counted(snapshot.volume_id, snapshots=-1)

    async def revert(self, context: Context, intent: Intent) -> Batch:
        snapshot = needed(intent.snapshot_before)
        present = await context.present(snapshot)
        return put(msgspec.structs.replace(snapshot, revision=present.revision))

    async def happened(self, context: Context, intent: Intent) -> bool:
        return True


class UpdateSnapshot:
    async def shown(self, context: Context, intent: Intent) -> Batch:
        return Batch()

    async def apply(self, context: Context, intent: Intent) -> None:
        await self._annotate(context, intent, needed(intent.snapshot_after))

    async def finish(self, context: Context, intent: Intent) -> Batch:
        after = needed(intent.snapshot_after)
        present = await context.present(after)
        return put(msgspec.structs.replace(after, revision=present.revision, clone_count=present.clone_count))

    async def revert(self, context: Context, intent: Intent) -> Batch:
        before = needed(intent.snapshot_before)
        backend = context.part(intent, SnapshotBackend)
        if await backend.inspect_snapshot(before.volume_id, before.id) is not None:
            await self._annotate(context, intent, before)
        return Batch()

    async def happened(self, context: Context, intent: Intent) -> bool:
        after = needed(intent.snapshot_after)
        observed = await context.part(intent, SnapshotBackend).inspect_snapshot(after.volume_id, after.id)
        wanted = await context.note(after)
        return observed is not None and observed.note is not None and observed.note.document == wanted.document

    async def _annotate(self, context: Context, intent: Intent, snapshot: Snapshot) -> None:
        backend = context.part(intent, SnapshotBackend)
        await backend.annotate_snapshot(snapshot.volume_id, snapshot.id, await context.note(snapshot))


OPERATIONS: Mapping[str, Operation] = {
    "volume.create": CreateVolume(),
    "volume.clone": CloneVolume(),
    "volume.delete": DeleteVolume(),
    "volume.update": UpdateVolume(),
    "volume.retire": UpdateVolume(),
    "volume.convert": ConvertVolume(),
    "volume.split": SplitVolume(),
    "volume.move": MoveVolume(),
    "volume.restore": RestoreVolume(),
    "snapshot.create": CreateSnapshot(),
    "snapshot.group": CreateSnapshotGroup(),
    "snapshot.receive": ReceiveSnapshot(),
    "snapshot.delete": DeleteSnapshot(),
    "snapshot.update": UpdateSnapshot(),
    "file.clone": CloneFile(),
    "file.update": UpdateFile(),
    "file.delete": DeleteFile(),
    "file.make": MakeDirectory(),
}

LASTING = frozenset({"volume.move", "snapshot.receive", "file.delete"})
"""Those that may last for hours, because all that a volume or tree holds is touched: nobody waits for them to end."""
