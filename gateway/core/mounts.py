"""Use cases of mounts: where on the gateway's own host the files of a volume are.

A mount belongs to its volume's record, and so to its note, like an attachment.
"""

from __future__ import annotations

from collections.abc import Callable
from uuid import NAMESPACE_URL, UUID, uuid4, uuid5

import msgspec

from gateway.core import errors
from gateway.core.change import Plan, Started
from gateway.core.context import Core
from gateway.core.model import AttachMode, Mount, Volume, VolumeKind, VolumeState, utc_now
from gateway.core.mounting import Mounting
from gateway.core.notes import require_short
from gateway.core.replicas import require_writable
from gateway.core.volumes import check_text, settled

_PATH_MAX = 4095
_OPTIONS_MAX = 4096
_USER_MAX = 80


class NewMount(msgspec.Struct, frozen=True, kw_only=True):
    """What a caller says about a mount.

    `format`: the file system that a block volume has to have; one with nothing
    but zeros gets it. "" takes whatever there is, and makes the usual one.
    `user`: who needs the mount, of several who may need the same one.
    """

    path: str
    read_only: bool = False
    options: dict[str, str] = {}
    format: str = ""
    user: str = ""


async def mount(core: Core, volume_id: UUID, new: NewMount, *, description: str) -> Started:
    """Start mounting a volume on this host. The same mount again only makes what is not there any more.

    A mount that is there serves another user, too, and ends with the last one.

    Unsupported where nothing may be mounted; InvalidArgument for a path, option
    or format that cannot be; AlreadyExists when the path has another mount;
    InUse when another node may write the blocks; InvalidState unless the volume
    is online, and to write to one that only follows another.
    """
    check_text("path", new.path, _PATH_MAX)
    check_text("user", new.user, _USER_MAX)
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
        users=(new.user,) if new.user else (),
    )

    async def plan() -> Plan:
        before = await settled(core, volume_id)
        present = await _present(core, before, wanted)
        if present is not None:
            after = _with_users(before, present, tuple(dict.fromkeys((*_users(present), new.user))))
        else:
            if before.state is not VolumeState.ONLINE:
                raise errors.InvalidState(kind="volume", ref=before.name, state=before.state, action="mount")
            if not read_only:
                require_writable(before, action="mount")
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
    core: Core,
    volume_id: UUID,
    path: str,
    *,
    description: str,
    user: str = "",
    force: bool = False,
    delete_path: bool = False,
) -> Started:
    """Start ending a mount of this host, for all users, or for one: then it stays while another needs it.

    NotFound when there is none, or not of the user; InUse while it is in use,
    unless by force. By force it goes out of sight at once, and is gone with its
    last user. `delete_path` removes its directory too; one that was made for it
    goes in any case.
    """

    def left(mount: Mount) -> tuple[str, ...]:
        if user and user not in mount.users:
            raise errors.NotFound(kind="mount user", ref=user)
        return tuple(one for one in mount.users if one != user) if user else ()

    return await _leave(core, volume_id, path, left, description=description, force=force, delete_path=delete_path)


async def drop_users(
    core: Core, volume_id: UUID, path: str, gone: Callable[[str], bool], *, description: str, force: bool = False
) -> Started:
    """Start taking those who are gone from the users of a mount; with nobody left it ends. See `unmount`.

    Whoever said no name is not asked about, and stays.
    """

    def left(mount: Mount) -> tuple[str, ...]:
        return tuple(one for one in _users(mount) if not one or not gone(one))

    return await _leave(core, volume_id, path, left, description=description, force=force)


async def _leave(
    core: Core,
    volume_id: UUID,
    path: str,
    left: Callable[[Mount], tuple[str, ...]],
    *,
    description: str,
    force: bool,
    delete_path: bool = False,
) -> Started:
    """Start leaving a mount to those of its users who are left; it ends when that is nobody."""
    mounting = _mounting(core)

    async def plan() -> Plan:
        before = await settled(core, volume_id, broken_too=True)
        mount = next((one for one in mounting.wished(before) if one.path == path), None)
        if mount is None:
            raise errors.NotFound(kind="mount", ref=path)
        return Plan(
            operation="volume.update",
            description=description,
            pool_id=before.pool_id,
            before=before,
            after=_with_users(before, mount, left(mount)),
            force=force,
            delete_path=delete_path,
        )

    return await core.start({volume_id}, plan)


def _users(mount: Mount) -> tuple[str, ...]:
    """Give who needs a mount: somebody without a name while nobody said one."""
    return mount.users or ("",)


def _with_users(volume: Volume, mount: Mount, users: tuple[str, ...]) -> Volume:
    """Give the volume with those users of the mount; without the mount when there are none."""
    kept = msgspec.structs.replace(mount, users=() if users == ("",) else users)
    left = tuple(kept if one is mount else one for one in volume.mounts if users or one is not mount)
    return msgspec.structs.replace(volume, mounts=left)


def _mounting(core: Core) -> Mounting:
    mounting = core.publisher.mounting
    if mounting is None:
        raise errors.Unsupported(
            capability="mount", backend="this host", reason="the configuration names no paths to mount at"
        )
    return mounting


async def _present(core: Core, volume: Volume, wanted: Mount) -> Mount | None:
    """Give this very mount when the volume has it; AlreadyExists when something else is mounted there."""
    for mount in volume.mounts:
        if (mount.node, mount.path) == (wanted.node, wanted.path):
            if (mount.read_only, mount.options) == (wanted.read_only, wanted.options):
                return mount
            raise errors.AlreadyExists(kind="mount", name=wanted.path, field="path", same_spec=False)
    if await core.find(Volume, mount__path=f"{wanted.node}:{wanted.path}") is not None:
        raise errors.AlreadyExists(kind="mount", name=wanted.path, field="path")
    return None


def _fence(volume: Volume, wanted: Mount) -> None:
    """Raise InUse when another node could write to a file system of this one, or the other way round."""
    if volume.kind is not VolumeKind.BLOCK or volume.multi_attach:
        return
    for attachment in volume.attachments:
        writes = attachment.mode is AttachMode.READ_WRITE or not wanted.read_only
        if attachment.node != wanted.node and writes:
            raise errors.InUse(kind="volume", ref=volume.name, by="attachments", action="mount")
