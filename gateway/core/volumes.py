"""Use cases of volumes: create, update, delete, restore, access."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid4, uuid5

import msgspec

from gateway.core import errors
from gateway.core.assigned import require_assigned
from gateway.core.capability import require, require_size
from gateway.core.catalog import walk
from gateway.core.change import Plan, Started
from gateway.core.context import Core
from gateway.core.handles import AccessHandle
from gateway.core.lines import check_lines
from gateway.core.model import (
    ExportPolicy,
    RootDirectory,
    Schedule,
    Snapshot,
    SnapshotPolicy,
    SnapshotSchedule,
    SnapshotState,
    Tenant,
    Volume,
    VolumeKind,
    VolumeState,
    utc_now,
)
from gateway.core.notes import require_short
from gateway.core.ownership import Access, Ownership, changed, owned, permit
from gateway.core.query import And, Compare, Op, Order, Query
from gateway.core.replicas import require_unneeded, require_unreplicated, require_writable

_TEXT_MAX = 32 * 1024
_NAME_MAX = 255
_USER_MAX = (1 << 32) - 2
_MODE_MAX = 0o7777
_ACTIONS: Mapping[Access, str] = {Access.READ: "read", Access.WRITE: "change", Access.ADMIN: "delete"}
_JUNCTION_PATH = re.compile(r"(?:/(?!\.{1,2}(?:/|$))[^/\x00-\x1f\x7f]{1,255})+")


class NewVolume(msgspec.Struct, frozen=True, kw_only=True):
    """What a caller says about a volume to make; names are resolved to ids before.

    `ownership` says what others may; the owner is who makes it. `replica`: it
    is to become the destination of a replication, so nobody writes to it before that.
    """

    id: UUID = msgspec.field(default_factory=uuid4)
    name: str
    tenant_id: UUID
    pool_id: UUID
    size: int
    kind: VolumeKind = VolumeKind.FILESYSTEM
    state: VolumeState = VolumeState.ONLINE
    thick: bool = False
    comment: str = ""
    labels: dict[str, str] = {}
    junction_path: str | None = None
    export_policy_id: UUID | None = None
    snapshot_policy_id: UUID | None = None
    more_snapshot_policy_ids: tuple[UUID, ...] = ()
    schedules: tuple[SnapshotSchedule, ...] = ()
    root: RootDirectory = RootDirectory()
    multi_attach: bool = False
    annotations: dict[str, str] = {}
    ownership: Ownership | None = None
    replica: bool = False


class VolumeChange(msgspec.Struct, frozen=True, kw_only=True):
    """New values; UNSET leaves a thing as it is. `junction_path` None takes the volume out of the name space.

    `root_mode`, `root_uid`, `root_gid` are the parts of `Volume.root`. For
    `ownership` see `gateway.core.ownership.changed`.
    """

    name: str | msgspec.UnsetType = msgspec.UNSET
    size: int | msgspec.UnsetType = msgspec.UNSET
    state: VolumeState | msgspec.UnsetType = msgspec.UNSET
    comment: str | msgspec.UnsetType = msgspec.UNSET
    labels: dict[str, str] | msgspec.UnsetType = msgspec.UNSET
    junction_path: str | msgspec.UnsetType | None = msgspec.UNSET
    export_policy_id: UUID | msgspec.UnsetType | None = msgspec.UNSET
    snapshot_policy_id: UUID | msgspec.UnsetType | None = msgspec.UNSET
    more_snapshot_policy_ids: tuple[UUID, ...] | msgspec.UnsetType = msgspec.UNSET
    schedules: tuple[SnapshotSchedule, ...] | msgspec.UnsetType = msgspec.UNSET
    multi_attach: bool | msgspec.UnsetType = msgspec.UNSET
    annotations: dict[str, str] | msgspec.UnsetType = msgspec.UNSET
    ownership: Ownership | msgspec.UnsetType | None = msgspec.UNSET
    root_mode: int | msgspec.UnsetType = msgspec.UNSET
    root_uid: int | msgspec.UnsetType = msgspec.UNSET
    root_gid: int | msgspec.UnsetType = msgspec.UNSET


async def create(core: Core, new: NewVolume, *, description: str, caseless: bool = False) -> Started:
    """Start making a volume. `caseless`: no other of its tenant may have the name in any case.

    Raises NotFound for its tenant, pool or policies, AlreadyExists for its
    name or junction path, Unsupported, LimitExceeded or InvalidArgument.
    """
    volume = Volume(
        created=utc_now(),
        replica_of=new.id if new.replica else None,
        **{
            **{name: getattr(new, name) for name in new.__struct_fields__ if name != "replica"},
            "ownership": owned(core.caller, new.ownership),
        },
    )

    async def plan() -> Plan:
        await check(core, volume, caseless=caseless)
        await require_assigned(core, volume.tenant_id, volume.pool_id)
        capability = core.pools.get(volume.pool_id).capability(volume.kind)
        require(capability, "thick" if volume.thick else "thin")
        require_size(capability, volume.size)
        if volume.root != RootDirectory():
            require(capability, "permissions")
        if await takes_snapshots(core, volume):
            require(capability, "snapshot")
        return Plan(operation="volume.create", description=description, pool_id=volume.pool_id, after=volume)

    return await core.start({volume.id, *name_keys(new.tenant_id, new.name, caseless=caseless)}, plan)


async def update(
    core: Core,
    volume_id: UUID,
    change: VolumeChange,
    *,
    description: str,
    annotated: Mapping[str, str] | None = None,
) -> Started:
    """Start changing a volume. Going offline takes it out of the name space, as no client could reach it any more.

    `annotated`: the annotations from which the new ones were made; Conflict
    when they have changed meanwhile.
    """

    async def wanted(before: Volume) -> VolumeChange:
        if annotated is not None and before.annotations != annotated:
            raise errors.Conflict(kind="volume", ref=before.name, holder="volume.update")
        return change

    return await revise(core, volume_id, wanted, description=description)


async def revise(
    core: Core, volume_id: UUID, wanted: Callable[[Volume], Awaitable[VolumeChange]], *, description: str
) -> Started:
    """Start changing a volume as `wanted` says of it as it is by then, so that two who add to it lose nothing."""

    async def plan() -> Plan:
        before = await settled(core, volume_id)
        change = await wanted(before)
        after = _changed(before, change)
        if change.ownership is not msgspec.UNSET:
            permit(core.caller, before, Access.ADMIN, action="change the rights to")
            after = msgspec.structs.replace(after, ownership=changed(core.caller, before.ownership, change.ownership))
        if after == before:
            return Plan(
                operation="volume.update", description=description, pool_id=before.pool_id, before=before, after=before
            )
        await check(core, after)
        capability = core.pools.get(before.pool_id).capability(before.kind)
        if (after.size, after.root) != (before.size, before.root):
            require_writable(before, action="change")
        if after.size != before.size:
            require(capability, "resize")
            if after.size < before.size:
                require(capability, "shrink")
                if before.kind is VolumeKind.BLOCK and before.mounts:
                    raise errors.InUse(kind="volume", ref=before.name, by="mounts", action="shrink")
            require_size(capability, after.size)
        if after.root != before.root:
            require(capability, "permissions")
        if _lines(after) != _lines(before) and await takes_snapshots(core, after):
            require(capability, "snapshot")
        return Plan(
            operation="volume.update", description=description, pool_id=before.pool_id, before=before, after=after
        )

    return await core.start({volume_id}, plan)


async def put_back(core: Core, before: Volume, after: Volume, *, description: str) -> Started:
    """Start undoing an update that led from `before` to `after`; what others changed meanwhile stays.

    InvalidState when it was a restore or a split, which cannot be undone.
    """
    for word, then, now in (("restored", before.generation, after.generation), ("split", before.origin, after.origin)):
        if then != now:
            raise errors.InvalidState(kind="volume", ref=after.name, state=word, action="take back")
    old, new = _values(before), _values(after)
    given = {name: value for name, value in old.items() if value != new[name]}
    return await update(core, after.id, VolumeChange(**given), description=description)


async def convert(core: Core, volume_id: UUID, *, size: int, annotations: dict[str, str], description: str) -> Started:
    """Start turning an empty filesystem volume into a block volume of `size` bytes.

    It stays the same volume. InUse when it holds anything, or has snapshots,
    clones, a junction path, attachments or mounts; Unsupported where the pool cannot.
    """

    async def plan() -> Plan:
        before = await settled(core, volume_id)
        await require_unreplicated(core, before, action="convert")
        pool = core.pools.get(before.pool_id)
        require(pool.capability(before.kind), "convert")
        for by, there in (
            ("snapshots", before.snapshot_count),
            ("clones", before.clone_count),
            ("clone", before.origin),
            ("export", before.junction_path),
            ("attachments", before.attachments),
            ("mounts", before.mounts),
        ):
            if there:
                raise errors.InUse(kind="volume", ref=before.name, by=by, action="convert")
        require_size(pool.capability(VolumeKind.BLOCK), size)
        after = msgspec.structs.replace(
            before,
            kind=VolumeKind.BLOCK,
            size=size,
            annotations=annotations,
            root=RootDirectory(),
            generation=before.generation + 1,
        )
        _check_values(after)
        return Plan(
            operation="volume.convert", description=description, pool_id=before.pool_id, before=before, after=after
        )

    return await core.start({volume_id}, plan)


async def delete(
    core: Core, volume_id: UUID, *, description: str, with_snapshots: bool = True, force: bool = False
) -> Started:
    """Start deleting a volume and its snapshots.

    InUse when clones hang on it, when a snapshot must not be deleted yet, when
    nodes are attached or it is mounted (unless by `force`, which cuts them
    off), (`with_snapshots` False) when it has snapshots, or while a replication
    has it at one of its ends. See
    `gateway.core.retired` for volumes that others still need.
    """
    volume = await core.get(Volume, volume_id)
    keys = {volume_id} | ({volume.origin.volume_id} if volume.origin else set())

    async def plan() -> Plan:
        before = await settled(core, volume_id, access=Access.ADMIN, broken_too=True, retired_too=True)
        await require_unreplicated(core, before, action="delete")
        snapshots = await snapshots_of(core, volume_id)
        return deletion(before, snapshots, description=description, with_snapshots=with_snapshots, force=force)

    return await core.start(keys, plan)


def deletion(
    before: Volume, snapshots: tuple[Snapshot, ...], *, description: str, with_snapshots: bool = True, force: bool
) -> Plan:
    """Give the plan that deletes a volume and these, all of its snapshots; InUse as `delete` says."""
    if before.clone_count:
        raise errors.InUse(kind="volume", ref=before.name, by="clones", action="delete")
    if before.attachments and not force:
        raise errors.InUse(kind="volume", ref=before.name, by="attachments", action="delete")
    if before.mounts and not force:
        raise errors.InUse(kind="volume", ref=before.name, by="mounts", action="delete")
    if not with_snapshots and not all(snapshot.transient and not snapshot.clone_count for snapshot in snapshots):
        raise errors.InUse(kind="volume", ref=before.name, by="snapshots", action="delete")
    for snapshot in snapshots:
        if snapshot.expires is not None and snapshot.expires > utc_now():
            raise errors.InUse(kind="volume", ref=before.name, by="expiry", action="delete")
    return Plan(
        operation="volume.delete",
        description=description,
        pool_id=before.pool_id,
        before=before,
        also=snapshots,
        force=force,
    )


async def restore(core: Core, volume_id: UUID, snapshot_id: UUID, *, description: str, discard_newer: bool) -> Started:
    """Start bringing a snapshot's content back in place.

    `discard_newer` removes the snapshots taken after it; without it Unsupported
    where the substrate cannot keep them. InUse when one of those to go has
    clones or an expiry or a replication needs it, or when the volume is mounted,
    because whoever uses a mount would go on with what was there; InvalidState
    when it is not online, or only follows another one.
    """

    async def plan() -> Plan:
        before = await settled(core, volume_id)
        if before.state is not VolumeState.ONLINE:
            raise errors.InvalidState(kind="volume", ref=before.name, state=before.state, action="restore")
        require_writable(before, action="restore")
        if before.mounts:
            raise errors.InUse(kind="volume", ref=before.name, by="mounts", action="restore")
        snapshot = await core.get(Snapshot, snapshot_id)
        if snapshot.volume_id != volume_id:
            raise errors.NotFound(kind="snapshot", ref=str(snapshot_id))
        if snapshot.state is not SnapshotState.VALID:
            raise errors.InvalidState(kind="snapshot", ref=snapshot.name, state=snapshot.state, action="restore")
        return await restoration(core, before, snapshot, description=description, discard_newer=discard_newer)

    return await core.start({volume_id}, plan)


async def restoration(core: Core, before: Volume, to: Snapshot, *, description: str, discard_newer: bool) -> Plan:
    """Give the plan that brings a snapshot's content back in place; Unsupported and InUse as `restore` says."""
    capability = core.pools.get(before.pool_id).capability(before.kind)
    require(capability, "restore")
    newer = tuple(
        other for other in await snapshots_of(core, before.id) if (other.created, other.id) > (to.created, to.id)
    )
    if newer and not discard_newer:
        require(capability, "restore_keeps_newer")
        newer = ()
    _removable(newer)
    await require_unneeded(core, *newer, action="restore")
    return Plan(
        operation="volume.restore",
        description=description,
        pool_id=before.pool_id,
        before=before,
        after=msgspec.structs.replace(before, generation=before.generation + 1),
        snapshot_before=to,
        also=newer,
    )


async def access(core: Core, volume_id: UUID) -> tuple[AccessHandle, ...]:
    """Give every way to the volume's bytes. Asks the substrate, unlike other reads."""
    volume = await core.get(Volume, volume_id)
    permit(core.caller, volume, Access.READ, action="read")
    return await core.publisher.handles(volume)


async def settled(
    core: Core,
    volume_id: UUID,
    *,
    access: Access = Access.WRITE,
    broken_too: bool = False,
    retired_too: bool = False,
) -> Volume:
    """Give a volume that a change may start from.

    PermissionDenied when the caller may do less with it than `access`;
    InvalidState when it is being made or deleted, is broken, or is retired.
    """
    volume = await core.get(Volume, volume_id)
    permit(core.caller, volume, access, action=_ACTIONS[access])
    if volume.retired is not None and not retired_too:
        raise errors.InvalidState(kind="volume", ref=volume.name, state="retired", action="change")
    allowed = {VolumeState.ONLINE, VolumeState.OFFLINE} | ({VolumeState.ERROR} if broken_too else set())
    if volume.state not in allowed:
        raise errors.InvalidState(kind="volume", ref=volume.name, state=volume.state, action="change")
    return volume


async def snapshots_of(core: Core, volume_id: UUID) -> tuple[Snapshot, ...]:
    """Give a volume's snapshots, oldest first."""
    query = Query(where=Compare("volume.id", Op.EQ, volume_id), order=(Order("created"),))
    return tuple([snapshot async for snapshot in walk(core.catalog, Snapshot, query)])


def name_keys(tenant_id: UUID, name: str, *, caseless: bool) -> frozenset[UUID]:
    """Give what else the making of a volume locks: two whose names differ in case only must not be made at once."""
    return frozenset({uuid5(NAMESPACE_URL, f"name:{tenant_id}/{name.casefold()}")} if caseless else ())


async def check(core: Core, volume: Volume, *, caseless: bool = False) -> None:
    """Raise unless texts are usable, the references exist, and the names are free."""
    _check_values(volume)
    await core.get(Tenant, volume.tenant_id)
    if volume.export_policy_id is not None:
        policy = await core.get(ExportPolicy, volume.export_policy_id)
        if policy.tenant_id != volume.tenant_id:
            raise errors.NotFound(kind="export policy", ref=policy.name)
    for key in policies_of(volume):
        plan = await core.get(SnapshotPolicy, key)
        if plan.tenant_id not in {None, volume.tenant_id}:
            raise errors.NotFound(kind="snapshot policy", ref=plan.name)
    for line in volume.schedules:
        if await core.find(Schedule, name=line.schedule) is None:
            raise errors.NotFound(kind="schedule", ref=line.schedule)
    if volume.junction_path is not None and volume.state is not VolumeState.ONLINE:
        raise errors.InvalidState(kind="volume", ref=volume.name, state=volume.state, action="mount")
    await _names_free(core, volume, caseless=caseless)


def policies_of(volume: Volume) -> tuple[UUID, ...]:
    """Give the ids of all snapshot policies of a volume, the first one first."""
    first = () if volume.snapshot_policy_id is None else (volume.snapshot_policy_id,)
    return (*first, *volume.more_snapshot_policy_ids)


async def takes_snapshots(core: Core, volume: Volume) -> bool:
    """Tell whether a volume's policies or own lines ask for any snapshots."""
    found = await core.catalog.get_many(SnapshotPolicy, policies_of(volume))
    return bool(volume.schedules) or any(policy.copies for policy in found.values())


def _lines(volume: Volume) -> tuple[object, ...]:
    return (policies_of(volume), volume.schedules)


def _check_values(volume: Volume) -> None:
    check_name("name", volume.name)
    keys = policies_of(volume)
    if len(set(keys)) < len(keys):
        raise errors.InvalidArgument(field="more_snapshot_policy_ids", reason="names a policy twice")
    check_lines("schedules", volume.schedules)
    check_text("comment", volume.comment, _TEXT_MAX)
    if volume.junction_path is not None and not _JUNCTION_PATH.fullmatch(volume.junction_path):
        reason = 'must begin with "/" and must not end with it or hold ".", ".." or empty parts'
        raise errors.InvalidArgument(field="junction_path", value=volume.junction_path[:64], reason=reason)
    if volume.junction_path is not None and volume.kind is not VolumeKind.FILESYSTEM:
        raise errors.InvalidArgument(
            field="junction_path", value=volume.junction_path[:64], reason=f"a volume of kind {volume.kind} has no path"
        )
    if volume.state not in {VolumeState.ONLINE, VolumeState.OFFLINE}:
        raise errors.InvalidArgument(field="state", value=volume.state, reason="cannot be asked for")
    check_root(volume.root)
    check_rights(volume.ownership)
    require_short(volume, "comment", "labels", "junction_path", "attachments", "annotations", "ownership")


def check_root(root: RootDirectory) -> None:
    """Raise InvalidArgument for an owner or mode that no directory can have."""
    for field, value, most in (
        ("root.uid", root.uid, _USER_MAX),
        ("root.gid", root.gid, _USER_MAX),
        ("root.mode", root.mode, _MODE_MAX),
    ):
        if not 0 <= value <= most:
            raise errors.InvalidArgument(field=field, value=value, reason=f"must be 0 to {most}")


async def _names_free(core: Core, volume: Volume, *, caseless: bool) -> None:
    """Refuse a taken name before journalling; the catalog's unique indexes refuse the race."""
    named = Compare("name_key", Op.EQ, volume.name.casefold()) if caseless else Compare("name", Op.EQ, volume.name)
    same = And((named, Compare("tenant.id", Op.EQ, volume.tenant_id)))
    for other in (await core.catalog.page(Volume, Query(where=same, limit=1))).records:
        if other.id != volume.id:
            raise errors.AlreadyExists(kind="volume", name=volume.name, field="name")
    if volume.junction_path is not None:
        mounted = Compare("junction_key", Op.EQ, volume.junction_path.casefold())
        for other in (await core.catalog.page(Volume, Query(where=mounted, limit=1))).records:
            if other.id != volume.id:
                raise errors.AlreadyExists(kind="volume", name=volume.junction_path, field="junction_path")


def check_name(field: str, name: str) -> None:
    """Raise InvalidArgument for a name that no substrate and no dialect could carry."""
    if not name or len(name.encode()) > _NAME_MAX:
        raise errors.InvalidArgument(field=field, value=name[:64], reason="must have 1 to 255 bytes")
    if "/" in name or not name.isprintable() or name in {".", ".."}:
        raise errors.InvalidArgument(field=field, value=name[:64], reason="holds a slash or a control character")


def check_rights(ownership: Ownership | None) -> None:
    """Raise InvalidArgument for names in an ownership that nobody could have."""
    if ownership is None:
        return
    check_text("ownership.owner", ownership.owner, _NAME_MAX)
    for field, names in (("groups", ownership.groups), ("collaborators", ownership.collaborators)):
        for name in names:
            if not name:
                raise errors.InvalidArgument(field=f"ownership.{field}", value="", reason="must not be empty")
            check_text(f"ownership.{field}", name, _NAME_MAX)


def check_text(field: str, text: str, most: int) -> None:
    """Raise InvalidArgument for a text of more than `most` bytes, or with a NUL in it."""
    if "\x00" in text or len(text.encode()) > most:
        raise errors.InvalidArgument(field=field, value=text[:64], reason="too long, or holds a NUL")


def _values(volume: Volume) -> dict[str, Any]:
    """Give what a `VolumeChange` can set, as it is."""
    root = {f"root_{part}": getattr(volume.root, part) for part in volume.root.__struct_fields__}
    return {name: root[name] if name in root else getattr(volume, name) for name in VolumeChange.__struct_fields__}


def _changed(before: Volume, change: VolumeChange) -> Volume:
    given = {name: value for name in change.__struct_fields__ if (value := getattr(change, name)) is not msgspec.UNSET}
    if given.get("state", before.state) is not VolumeState.ONLINE:
        given.setdefault("junction_path", None)
    root = {part: given.pop(f"root_{part}") for part in before.root.__struct_fields__ if f"root_{part}" in given}
    return msgspec.structs.replace(before, root=msgspec.structs.replace(before.root, **root), **given)


def _removable(snapshots: tuple[Snapshot, ...]) -> None:
    for snapshot in snapshots:
        if snapshot.clone_count:
            raise errors.InUse(kind="snapshot", ref=snapshot.name, by="clones", action="restore")
        if snapshot.expires is not None and snapshot.expires > utc_now():
            raise errors.InUse(kind="snapshot", ref=snapshot.name, by="expiry", action="restore")
        if snapshot.state is not SnapshotState.VALID:
            raise errors.InvalidState(kind="snapshot", ref=snapshot.name, state=snapshot.state, action="restore")
