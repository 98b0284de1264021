"""Use cases of mounts: where on the gateway's own host the files of a volume are.

A mount belongs to its volume's record, and so to its note, like an attachment.
"""

from __future__ import annotations

from uuid import NAMESPACE_URL, UUID, uuid4, uuid5

import msgspec

from gateway.core import errors
from gateway.core.change import Plan, Started
from gateway.core.context import Core
from gateway.core.model import AttachMode, Mount, Volume, VolumeKind, VolumeState, utc_now
from gateway.core.mounting import Mounting
from gateway.core.notes import require_short
from gateway.core.volumes import check_text, settled

_PATH_MAX = 4095
_OPTIONS_MAX = 4096


class NewMount(msgspec.Struct, frozen=True, kw_only=True):
    """What a caller says about a mount.

    `format`: the file system that a block volume has to have; one with nothing
    but zeros gets it. "" takes whatever there is, and makes the usual one.
    """

    path: str
    read_only: bool = False
    options: dict[str, str] = {}
    format: str = ""


async def mount(core: Core, volume_id: UUID, new: NewMount, *, description: str) -> Started:
    """Start mounting a volume on this host. The same mount again only makes what is not there any more.

    Unsupported where nothing may be mounted; InvalidArgument for a path, option
    or format that cannot be; AlreadyExists when the path has another mount;
    InUse when another node may write the blocks; InvalidState unless the volume
    is online.
    """
    check_text("path", new.path, _PATH_MAX)
    for key, value in new.options.items():
        check_text("options", f"{key}={value}", _OPTIONS_MAX)
    mounting = _mounting(core)
    read_only = new.read_only or "ro" in new.options
    wanted = Mount(
        id=uuid4(),
        node=mounting.node,
        path=new.path,
        created=utc_now(),
        read_only=read_only,
        options={key: value for key, value in new.options.items() if key not in {"ro", "rw"}},
    )

    async def plan() -> Plan:
        before = await settled(core, volume_id)
        after = before
        if not await _present(core, before, wanted):
            if before.state is not VolumeState.ONLINE:
                raise errors.InvalidState(kind="volume", ref=before.name, state=before.state, action="mount")
            _fence(before, wanted)
            found = await mounting.check(before, wanted, kind=new.format)
            after = msgspec.structs.replace(before, mounts=(*before.mounts, wanted), format=found)
            require_short(after, "mounts")
        return Plan(
            operation="volume.update", description=description, pool_id=before.pool_id, before=before, after=after
        )

    # Two volumes that are mounted at one path at once must not both find it free.
    return await core.start({volume_id, uuid5(NAMESPACE_URL, f"mount:{wanted.node}:{wanted.path}")}, plan)


async def unmount(
    core: Core, volume_id: UUID, path: str, *, description: str, force: bool = False, delete_path: bool = False
) -> Started:
    """Start ending a mount of this host. NotFound when there is none; InUse while it is in use, unless by force.

    By force it goes out of sight at once, and is gone with its last user.
    `delete_path` removes its directory too; one that was made for it goes in any case.
    """
    mounting = _mounting(core)

    async def plan() -> Plan:
        before = await settled(core, volume_id, broken_too=True)
        ended = next((mount for mount in mounting.wished(before) if mount.path == path), None)
        if ended is None:
            raise errors.NotFound(kind="mount", ref=path)
        return Plan(
            operation="volume.update",
            description=description,
            pool_id=before.pool_id,
            before=before,
            after=msgspec.structs.replace(before, mounts=tuple(one for one in before.mounts if one is not ended)),
            force=force,
            delete_path=delete_path,
        )

    return await core.start({volume_id}, plan)


def _mounting(core: Core) -> Mounting:
    mounting = core.publisher.mounting
    if mounting is None:
        raise errors.Unsupported(
            capability="mount", backend="this host", reason="the configuration names no paths to mount at"
        )
    return mounting


async def _present(core: Core, volume: Volume, wanted: Mount) -> bool:
    """Tell whether the volume has this very mount; AlreadyExists when something else is mounted there."""
    for mount in volume.mounts:
        if (mount.node, mount.path) == (wanted.node, wanted.path):
            if (mount.read_only, mount.options) == (wanted.read_only, wanted.options):
                return True
            raise errors.AlreadyExists(kind="mount", name=wanted.path, field="path", same_spec=False)
    if await core.find(Volume, mount__path=f"{wanted.node}:{wanted.path}") is not None:
        raise errors.AlreadyExists(kind="mount", name=wanted.path, field="path")
    return False


def _fence(volume: Volume, wanted: Mount) -> None:
    """Raise InUse when another node could write to a file system of this one, or the other way round."""
    if volume.kind is not VolumeKind.BLOCK or volume.multi_attach:
        return
    for attachment in volume.attachments:
        writes = attachment.mode is AttachMode.READ_WRITE or not wanted.read_only
        if attachment.node != wanted.node and writes:
            raise errors.InUse(kind="volume", ref=volume.name, by="attachments", action="mount")
