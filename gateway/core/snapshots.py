"""Use cases of snapshots: create, update, delete, access."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import datetime
from uuid import UUID, uuid4

import msgspec

from gateway.core import errors
from gateway.core.capability import require
from gateway.core.change import Plan, Started
from gateway.core.context import Core
from gateway.core.handles import AccessHandle
from gateway.core.model import Snapshot, SnapshotState, Volume, VolumeState, utc_now
from gateway.core.notes import require_short
from gateway.core.ownership import Access, permit
from gateway.core.replicas import require_unneeded, require_whole
from gateway.core.volumes import check_name, check_text, settled

_COMMENT_MAX = 4096
_LABEL_MAX = 255


class NewSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """What a caller says about a snapshot to take. `taken_by` and `due` are the scheduler's."""

    name: str
    volume_id: UUID
    comment: str = ""
    label: str = ""
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    expires: datetime | None = None
    taken_by: str = ""
    due: datetime | None = None


class SnapshotChange(msgspec.Struct, frozen=True, kw_only=True):
    """New values; UNSET leaves a thing as it is."""

    name: str | msgspec.UnsetType = msgspec.UNSET
    comment: str | msgspec.UnsetType = msgspec.UNSET
    label: str | msgspec.UnsetType = msgspec.UNSET
    labels: dict[str, str] | msgspec.UnsetType = msgspec.UNSET
    annotations: dict[str, str] | msgspec.UnsetType = msgspec.UNSET
    expires: datetime | msgspec.UnsetType | None = msgspec.UNSET


async def create(core: Core, new: NewSnapshot, *, description: str, snapshot_id: UUID | None = None) -> Started:
    """Start taking a snapshot. AlreadyExists for its name; LimitExceeded when the volume has as many as it may.

    `snapshot_id`: the id that it is to have, for who has to find it again after a crash.
    """
    made_id = snapshot_id or uuid4()

    async def plan() -> Plan:
        volume, snapshot = await planned(core, new, snapshot_id=made_id, created=utc_now())
        return Plan(
            operation="snapshot.create",
            description=description,
            pool_id=volume.pool_id,
            before=volume,
            after=volume,
            snapshot_after=snapshot,
        )

    return await core.start({new.volume_id}, plan)


async def planned(core: Core, new: NewSnapshot, *, snapshot_id: UUID, created: datetime) -> tuple[Volume, Snapshot]:
    """Give the volume as it is, and the snapshot that is to be taken of it; raise what forbids that."""
    volume = await settled(core, new.volume_id, access=Access.READ)
    if volume.state is not VolumeState.ONLINE:
        raise errors.InvalidState(kind="volume", ref=volume.name, state=volume.state, action="snapshot")
    await require_whole(core, volume, action="snapshot")
    require_one_more(core, volume)
    snapshot = Snapshot(
        id=snapshot_id,
        name=new.name,
        volume_id=volume.id,
        tenant_id=volume.tenant_id,
        pool_id=volume.pool_id,
        created=created,
        comment=new.comment,
        label=new.label,
        labels=new.labels,
        annotations=new.annotations,
        expires=new.expires,
        taken_by=new.taken_by,
        due=new.due,
        volume_size=volume.size,
    )
    await _check(core, snapshot)
    return volume, snapshot


def require_one_more(core: Core, volume: Volume) -> None:
    """Raise Unsupported or LimitExceeded unless another snapshot of the volume can be taken."""
    capability = core.pools.get(volume.pool_id).capability(volume.kind)
    require(capability, "snapshot")
    most = capability.facts.snapshot_max
    if most is not None and volume.snapshot_count >= most:
        raise errors.LimitExceeded(limit="snapshots", value=volume.snapshot_count + 1, minimum=0, maximum=most)


async def update(core: Core, snapshot_id: UUID, change: SnapshotChange, *, description: str) -> Started:
    """Start changing a snapshot's name, texts or expiry. A renamed one is the user's: it does not go by itself."""

    async def wanted(_before: Snapshot) -> SnapshotChange:
        return change

    return await revise(core, snapshot_id, wanted, description=description)


async def revise(
    core: Core, snapshot_id: UUID, wanted: Callable[[Snapshot], Awaitable[SnapshotChange]], *, description: str
) -> Started:
    """Start changing a snapshot as `wanted` says of it as it is by then."""
    found = await core.get(Snapshot, snapshot_id)

    async def plan() -> Plan:
        before = await settled_one(core, snapshot_id, access=Access.WRITE)
        change = await wanted(before)
        given = {
            name: value for name in change.__struct_fields__ if (value := getattr(change, name)) is not msgspec.UNSET
        }
        after = msgspec.structs.replace(before, **given)
        if after.name != before.name:
            after = msgspec.structs.replace(after, taken_by="", due=None)
        await _check(core, after)
        return Plan(
            operation="snapshot.update",
            description=description,
            pool_id=before.pool_id,
            snapshot_before=before,
            snapshot_after=after,
        )

    return await core.start({found.volume_id}, plan)


async def put_back(core: Core, before: Snapshot, after: Snapshot, *, description: str) -> Started:
    """Start undoing an update that led from `before` to `after`; what others changed meanwhile stays."""
    given = {
        name: value
        for name in SnapshotChange.__struct_fields__
        if (value := getattr(before, name)) != getattr(after, name)
    }
    return await update(core, after.id, SnapshotChange(**given), description=description)


async def delete(core: Core, snapshot_id: UUID, *, description: str) -> Started:
    """Start deleting a snapshot. InUse when a clone or a replication needs it, or its expiry is not reached."""
    found = await core.get(Snapshot, snapshot_id)

    async def plan() -> Plan:
        before = await settled_one(core, snapshot_id, access=Access.ADMIN, broken_too=True)
        await require_unneeded(core, before)
        return deletion(before, description=description)

    return await core.start({found.volume_id}, plan)


async def remove(core: Core, surplus: Sequence[Snapshot], *, description: str) -> None:
    """Delete snapshots, but for those with a clone or an expiry, and those that are out of reach."""
    for snapshot in surplus:
        expired = snapshot.expires is None or snapshot.expires <= utc_now()
        whole = snapshot.state in {SnapshotState.VALID, SnapshotState.ERROR}
        if whole and expired and not snapshot.clone_count:
            with suppress(errors.NotFound, errors.InUse, errors.InvalidState, errors.Unavailable):
                await (await delete(core, snapshot.id, description=description)).result()


def deletion(before: Snapshot, *, description: str) -> Plan:
    """Give the plan that deletes a snapshot; InUse as `delete` says."""
    if before.clone_count:
        raise errors.InUse(kind="snapshot", ref=before.name, by="clones", action="delete")
    require_expired(before)
    return Plan(operation="snapshot.delete", description=description, pool_id=before.pool_id, snapshot_before=before)


def require_expired(snapshot: Snapshot) -> None:
    """Raise InUse while the snapshot must not be deleted."""
    if snapshot.expires is not None and snapshot.expires > utc_now():
        raise errors.InUse(kind="snapshot", ref=snapshot.name, by="expiry", action="delete")


async def access(core: Core, snapshot_id: UUID) -> tuple[AccessHandle, ...]:
    """Give every way to the snapshot's bytes. Asks the substrate, unlike other reads."""
    snapshot = await core.get(Snapshot, snapshot_id)
    volume = await core.get(Volume, snapshot.volume_id)
    permit(core.caller, volume, Access.READ, action="read")
    own = await core.pools.get(volume.pool_id).backend.access(volume.id, snapshot.id)
    trees = core.publisher.trees
    return (own, *(await trees.handles(volume, snapshot) if trees is not None else ()))


async def settled_one(core: Core, snapshot_id: UUID, *, access: Access, broken_too: bool = False) -> Snapshot:
    """Give a snapshot that a change may start from.

    PermissionDenied when the caller may do less with its volume than `access`;
    InvalidState when it is being made or deleted, or is broken.
    """
    snapshot = await core.get(Snapshot, snapshot_id)
    if core.caller is not None:
        volume = await core.get(Volume, snapshot.volume_id)
        permit(core.caller, volume, access, action="change a snapshot of")
    allowed = {SnapshotState.VALID} | ({SnapshotState.ERROR} if broken_too else set())
    if snapshot.state not in allowed:
        raise errors.InvalidState(kind="snapshot", ref=snapshot.name, state=snapshot.state, action="change")
    return snapshot


async def _check(core: Core, snapshot: Snapshot) -> None:
    check_name("name", snapshot.name)
    check_text("comment", snapshot.comment, _COMMENT_MAX)
    check_text("label", snapshot.label, _LABEL_MAX)
    require_short(snapshot, "comment", "labels", "annotations")
    other = await core.find(Snapshot, volume__id=snapshot.volume_id, name=snapshot.name)
    if other is not None and other.id != snapshot.id:
        raise errors.AlreadyExists(kind="snapshot", name=snapshot.name, field="name")
