"""The operations on single files and directories of a volume; see `gateway.core.operations`.

`before` is the volume; `after` is there where its record changes with the
file, as when a door keeps something about a directory.
"""
# ruff: noqa: D102, ARG002 - `Operation` carries the contract of the methods

from __future__ import annotations

import asyncio
import contextlib
from abc import ABC, abstractmethod
from asyncio import FIRST_COMPLETED

import msgspec

from gateway.core import errors
from gateway.core.backend import CloneFileBackend, FilesBackend
from gateway.core.catalog import Batch, put
from gateway.core.entries import FileKind, FileSource
from gateway.core.model import FileChange, Intent, RootDirectory
from gateway.core.operation import Context, needed


class _FileOperation(ABC):
    """What they share: the volume's record follows the file."""

    async def shown(self, context: Context, intent: Intent) -> Batch:
        return Batch()

    async def apply(self, context: Context, intent: Intent) -> None:
        await self.deed(context, intent)
        context.fault("file.changed")
        if intent.after is not None:
            await context.backend(intent).annotate(intent.after.id, await context.note(intent.after))

    async def finish(self, context: Context, intent: Intent) -> Batch:
        if intent.after is None:
            return Batch()
        present = await context.present(intent.after)
        return put(msgspec.structs.replace(present, annotations=intent.after.annotations))

    async def revert(self, context: Context, intent: Intent) -> Batch:
        before = needed(intent.before)
        backend = context.backend(intent)
        if await backend.inspect(before.id) is None:
            return Batch()
        await self.undo(context, intent)
        if intent.after is not None:
            await backend.annotate(before.id, await context.note(before))
        return Batch()

    @abstractmethod
    async def deed(self, context: Context, intent: Intent) -> None:
        """Do it on the substrate. Idempotent."""

    @abstractmethod
    async def undo(self, context: Context, intent: Intent) -> None:
        """Undo as much of it as was done and can be undone."""


class CloneFile(_FileOperation):
    """The intent's id is the token. What was overwritten does not come back."""

    async def deed(self, context: Context, intent: Intent) -> None:
        change = _change(intent)
        await context.part(intent, CloneFileBackend).clone_file(
            needed(intent.before).id,
            FileSource(path=change.path, snapshot=change.snapshot_id),
            change.to,
            token=intent.id,
            overwrite=change.overwrite,
        )

    async def undo(self, context: Context, intent: Intent) -> None:
        change, volume = _change(intent), needed(intent.before).id
        if await self.happened(context, intent) and not change.overwrite:
            files = context.part(intent, FilesBackend)
            copy = await files.inspect_file(volume, None, change.to)
            if copy is not None:
                await files.delete_file(volume, change.to, inode=copy.inode)

    async def happened(self, context: Context, intent: Intent) -> bool:
        volume = needed(intent.before).id
        return await context.part(intent, CloneFileBackend).settle_clone_file(volume, _change(intent).to, intent.id)


class UpdateFile(_FileOperation):
    """Another path, and another owner and mode of a directory."""

    async def deed(self, context: Context, intent: Intent) -> None:
        change, volume = _change(intent), needed(intent.before).id
        files = context.part(intent, FilesBackend)
        if change.to != change.path:
            await files.rename_file(volume, change.path, change.to, inode=change.inode)
        if change.root is not None:
            await files.make_directory(volume, change.to, change.root)

    async def undo(self, context: Context, intent: Intent) -> None:
        change, volume = _change(intent), needed(intent.before).id
        files = context.part(intent, FilesBackend)
        there = await files.inspect_file(volume, None, change.to)
        if there is None or there.inode != change.inode:
            return
        if change.root_before is not None:
            await files.make_directory(volume, change.to, change.root_before)
        if change.to != change.path:
            await files.rename_file(volume, change.to, change.path, inode=change.inode)

    async def happened(self, context: Context, intent: Intent) -> bool:
        change = _change(intent)
        there = await context.part(intent, FilesBackend).inspect_file(needed(intent.before).id, None, change.to)
        return there is not None and there.inode == change.inode


class DeleteFile(_FileOperation):
    """There is no way back, and no need of one: what was cut short goes on.

    A tree whose removal takes longer than the gateway lives is left in part, as its user is told.
    """

    async def deed(self, context: Context, intent: Intent) -> None:
        change = _change(intent)
        removing = asyncio.ensure_future(
            context.part(intent, FilesBackend).delete_file(
                needed(intent.before).id, change.path, inode=change.inode, recursive=change.recursive
            )
        )
        ending = asyncio.ensure_future(context.stopping.wait())
        try:
            await asyncio.wait({removing, ending} if change.recursive else {removing}, return_when=FIRST_COMPLETED)
            if not removing.done():
                raise errors.Unavailable(what="gateway", reason="it is stopping")
            removing.result()
        finally:
            for task in (removing, ending):
                task.cancel()
                await asyncio.wait({task})

    async def undo(self, context: Context, intent: Intent) -> None:
        pass

    async def happened(self, context: Context, intent: Intent) -> bool:
        return True


class MakeDirectory(_FileOperation):
    """One that was not there before."""

    async def deed(self, context: Context, intent: Intent) -> None:
        change = _change(intent)
        root = change.root or RootDirectory()
        await context.part(intent, FilesBackend).make_directory(needed(intent.before).id, change.path, root)

    async def undo(self, context: Context, intent: Intent) -> None:
        change, volume = _change(intent), needed(intent.before).id
        files = context.part(intent, FilesBackend)
        made = await files.inspect_file(volume, None, change.path)
        if made is not None and made.kind is FileKind.DIRECTORY:
            # What clients put into it meanwhile is theirs.
            with contextlib.suppress(errors.InUse):
                await files.delete_file(volume, change.path, inode=made.inode)

    async def happened(self, context: Context, intent: Intent) -> bool:
        volume = needed(intent.before).id
        made = await context.part(intent, FilesBackend).inspect_file(volume, None, _change(intent).path)
        return made is not None and made.kind is FileKind.DIRECTORY


def _change(intent: Intent) -> FileChange:
    if intent.file is None:
        raise errors.Internal(incident="an intent lacks what happens to the file")
    return intent.file
