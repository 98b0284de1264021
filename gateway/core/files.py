"""Use cases of single files and directories within filesystem volumes. All of them ask the substrate.

`annotations`, where a change takes them, gives the volume's annotations as
they are to be once it is done, from the volume as it is when it begins.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar
from uuid import UUID

import msgspec

from gateway.core import errors
from gateway.core.backend import CloneFileBackend, FilesBackend
from gateway.core.capability import require
from gateway.core.change import Plan, Started
from gateway.core.context import Core
from gateway.core.entries import Entry, FileKind, FileSource, checked_path, parted
from gateway.core.model import FileChange, RootDirectory, Snapshot, SnapshotState, Volume, VolumeState
from gateway.core.notes import require_short
from gateway.core.ownership import Access, permit
from gateway.core.replicas import require_writable
from gateway.core.volumes import check_root, settled

Annotations = Callable[[Volume], dict[str, str]]
B = TypeVar("B")


class Listing(msgspec.Struct, frozen=True):
    """Some of a directory, in order of names. `after` is the last of the names where there may be more, else empty."""

    records: tuple[Entry, ...]
    after: str


async def page(
    core: Core, volume_id: UUID, path: str, *, snapshot_id: UUID | None = None, after: str = "", limit: int
) -> Listing:
    """Give at most `limit` of what a directory of a volume or snapshot holds: those whose names come after `after`.

    Unsupported where the pool does not look into volumes; NotFound (kind
    "file") when there is no such directory.
    """
    backend = await _readable(core, volume_id, snapshot_id)
    found = await backend.list_files(
        volume_id, snapshot_id, checked_path("path", path, top=True), after=after, limit=limit
    )
    return Listing(tuple(found), found[-1].name if len(found) == limit else "")


async def entry(core: Core, volume_id: UUID, path: str, *, snapshot_id: UUID | None = None) -> Entry:
    """Give what is at a path of a volume or snapshot; NotFound (kind "file") when nothing is."""
    backend = await _readable(core, volume_id, snapshot_id)
    return await _there(backend, volume_id, checked_path("path", path, top=True), snapshot_id=snapshot_id)


async def clone(
    core: Core, volume_id: UUID, source: FileSource, to: str, *, description: str, overwrite: bool = False
) -> Started:
    """Start copying a file of a volume, or of a snapshot of it, to a path of the volume by sharing its blocks.

    Unsupported where the substrate cannot; NotFound for the file, and for the
    directory that the copy is to be in; AlreadyExists when something is there
    already, unless it is a file and `overwrite`.
    """
    path, to = checked_path("path", source.path), checked_path("to", to)

    async def plan() -> Plan:
        before = await _changeable(core, volume_id, "clone_file")
        await _require_snapshot(core, before, source.snapshot)
        backend = _part(core, before, FilesBackend)
        _part(core, before, CloneFileBackend)
        found = await _there(backend, volume_id, path, snapshot_id=source.snapshot)
        if found.kind is not FileKind.FILE:
            raise errors.InvalidArgument(field="path", value=path[:64], reason=f"is a {found.kind}")
        await _require_free(backend, volume_id, to, but=FileKind.FILE if overwrite else None)
        change = FileChange(path=path, to=to, snapshot_id=source.snapshot, overwrite=overwrite)
        return _planned("file.clone", before, change, description=description)

    return await core.start({volume_id}, plan)


async def update(
    core: Core,
    volume_id: UUID,
    path: str,
    *,
    to: str | None = None,
    root: RootDirectory | None = None,
    description: str,
    annotations: Annotations | None = None,
) -> Started:
    """Start giving a file or directory another path, and a directory (`root`) another owner and mode.

    NotFound for what is not there, and for the directory that it is to be in;
    AlreadyExists when something has the path already.
    """
    path = checked_path("path", path)
    target = path if to is None else checked_path("to", to)
    if root is not None:
        check_root(root)

    async def plan() -> Plan:
        before = await _changeable(core, volume_id, "files")
        backend = _part(core, before, FilesBackend)
        found = await _there(backend, volume_id, path)
        if target != path:
            if target.startswith(f"{path}/"):
                raise errors.InvalidArgument(field="to", value=target[:64], reason="lies within what is renamed")
            await _require_free(backend, volume_id, target)
        if root is not None:
            require(core.pools.get(before.pool_id).capability(before.kind), "permissions")
            if found.kind is not FileKind.DIRECTORY:
                raise errors.InvalidArgument(field="path", value=path[:64], reason=f"is a {found.kind}")
        change = FileChange(
            path=path, to=target, inode=found.inode, root=root, root_before=None if root is None else found.rights
        )
        return _planned("file.update", before, change, description=description, annotations=annotations)

    return await core.start({volume_id}, plan)


async def delete(
    core: Core,
    volume_id: UUID,
    path: str,
    *,
    description: str,
    recursive: bool = False,
    annotations: Annotations | None = None,
) -> Started:
    """Start removing a file or directory; NotFound when it is not there.

    InUse (by "content") for a directory that holds anything, unless `recursive`.
    """
    path = checked_path("path", path)

    async def plan() -> Plan:
        before = await _changeable(core, volume_id, "files")
        backend = _part(core, before, FilesBackend)
        found = await _there(backend, volume_id, path)
        if (
            found.kind is FileKind.DIRECTORY
            and not recursive
            and await backend.list_files(volume_id, None, path, limit=1)
        ):
            raise errors.InUse(kind="file", ref=path, by="content", action="delete")
        change = FileChange(path=path, inode=found.inode, recursive=recursive)
        return _planned("file.delete", before, change, description=description, annotations=annotations)

    return await core.start({volume_id}, plan)


async def make_directory(
    core: Core,
    volume_id: UUID,
    path: str,
    root: RootDirectory,
    *,
    description: str,
    annotations: Annotations | None = None,
) -> Started:
    """Start making a directory with an owner and a mode. AlreadyExists when something has the path.

    Unsupported for another owner than root where the pool cannot give files away.
    """
    path = checked_path("path", path)
    check_root(root)

    async def plan() -> Plan:
        before = await _changeable(core, volume_id, "files")
        if (root.uid, root.gid) != (0, 0):
            require(core.pools.get(before.pool_id).capability(before.kind), "permissions")
        await _require_free(_part(core, before, FilesBackend), volume_id, path)
        change = FileChange(path=path, root=root)
        return _planned("file.make", before, change, description=description, annotations=annotations)

    return await core.start({volume_id}, plan)


async def _readable(core: Core, volume_id: UUID, snapshot_id: UUID | None) -> FilesBackend:
    volume = await core.get(Volume, volume_id)
    permit(core.caller, volume, Access.READ, action="read")
    require(core.pools.get(volume.pool_id).capability(volume.kind), "files")
    _require_online(volume, action="read")
    await _require_snapshot(core, volume, snapshot_id)
    return _part(core, volume, FilesBackend)


async def _changeable(core: Core, volume_id: UUID, capability: str) -> Volume:
    volume = await settled(core, volume_id)
    require(core.pools.get(volume.pool_id).capability(volume.kind), capability)
    _require_online(volume, action="change")
    require_writable(volume, action="change")
    return volume


def _part(core: Core, volume: Volume, protocol: type[B]) -> B:
    backend = core.pools.get(volume.pool_id).backend
    assert isinstance(backend, protocol)  # noqa: S101 - the capability is there because it is
    return backend


def _require_online(volume: Volume, *, action: str) -> None:
    if volume.state is not VolumeState.ONLINE:
        raise errors.InvalidState(kind="volume", ref=volume.name, state=volume.state, action=action)


async def _require_snapshot(core: Core, volume: Volume, snapshot_id: UUID | None) -> None:
    if snapshot_id is None:
        return
    snapshot = await core.get(Snapshot, snapshot_id)
    if snapshot.volume_id != volume.id or snapshot.state is not SnapshotState.VALID:
        raise errors.NotFound(kind="snapshot", ref=str(snapshot_id))


async def _there(backend: FilesBackend, volume_id: UUID, path: str, *, snapshot_id: UUID | None = None) -> Entry:
    found = await backend.inspect_file(volume_id, snapshot_id, path)
    if found is None:
        raise errors.NotFound(kind="file", ref=path)
    return found


async def _require_free(backend: FilesBackend, volume_id: UUID, path: str, *, but: FileKind | None = None) -> None:
    """Raise unless nothing, or something of the kind `but`, is at a path in a directory that is there."""
    folder, _ = parted(path)
    above = await _there(backend, volume_id, folder)
    if above.kind is not FileKind.DIRECTORY:
        raise errors.NotFound(kind="file", ref=folder)
    present = await backend.inspect_file(volume_id, None, path)
    if present is not None and present.kind is not but:
        raise errors.AlreadyExists(kind="file", name=path, field="to")


def _planned(
    operation: str, before: Volume, change: FileChange, *, description: str, annotations: Annotations | None = None
) -> Plan:
    after = None
    if annotations is not None:
        after = msgspec.structs.replace(before, annotations=annotations(before))
        require_short(after, "annotations")
    return Plan(
        operation=operation,
        description=description,
        pool_id=before.pool_id,
        before=before,
        after=after,
        file=change,
    )
