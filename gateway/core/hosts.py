"""Use cases of host groups. They touch no substrate; publications follow a changed group."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from uuid import UUID, uuid4

import msgspec

from gateway.core import errors
from gateway.core.catalog import Batch, Guard, drop, put, when
from gateway.core.context import Core
from gateway.core.model import HostGroup, Initiator, Tenant, Volume, utc_now
from gateway.core.query import Compare, Op
from gateway.core.targets import check_initiator
from gateway.core.volumes import check_name, check_text

_COMMENT_MAX = 254
_STALE_RETRIES = 10


class NewHostGroup(msgspec.Struct, frozen=True, kw_only=True):
    """What a caller says about a host group."""

    name: str
    tenant_id: UUID
    comment: str = ""
    initiators: tuple[Initiator, ...] = ()
    annotations: dict[str, str] = {}


class HostGroupChange(msgspec.Struct, frozen=True, kw_only=True):
    """New values; UNSET leaves a thing as it is."""

    name: str | msgspec.UnsetType = msgspec.UNSET
    comment: str | msgspec.UnsetType = msgspec.UNSET
    initiators: tuple[Initiator, ...] | msgspec.UnsetType = msgspec.UNSET
    annotations: dict[str, str] | msgspec.UnsetType = msgspec.UNSET


async def create(core: Core, new: NewHostGroup) -> HostGroup:
    """Make a host group. AlreadyExists for its name within the tenant."""
    await core.get(Tenant, new.tenant_id)
    group = _checked(
        HostGroup(id=uuid4(), created=utc_now(), **{name: getattr(new, name) for name in new.__struct_fields__})
    )
    gone = errors.NotFound(kind="tenant", ref=str(new.tenant_id))
    there = when(Guard(Tenant, Compare("id", Op.EQ, new.tenant_id), exists=True, error=gone))
    await core.catalog.commit(there + put(group))
    await core.manifest.write()
    return await core.get(HostGroup, group.id)


async def update(core: Core, group_id: UUID, change: HostGroupChange) -> HostGroup:
    """Change a host group."""
    given = {name: value for name in change.__struct_fields__ if (value := getattr(change, name)) is not msgspec.UNSET}
    return await _change(core, group_id, lambda group: msgspec.structs.replace(group, **given))


async def put_initiators(core: Core, group_id: UUID, initiators: Iterable[Initiator]) -> HostGroup:
    """Add initiators, or change the comments of those that are there."""
    new = {check_initiator("initiators.name", one.name): one.comment for one in initiators}

    def added(group: HostGroup) -> HostGroup:
        merged = {one.name: one.comment for one in group.initiators} | new
        return msgspec.structs.replace(
            group, initiators=tuple(Initiator(name=name, comment=comment) for name, comment in merged.items())
        )

    return await _change(core, group_id, added)


async def remove_initiator(core: Core, group_id: UUID, name: str, *, force: bool = False) -> HostGroup:
    """Remove an initiator. NotFound when it is not in the group; InUse while the group has volumes, unless by force.

    By force it is also cut off when it is connected.
    """

    def removed(group: HostGroup) -> HostGroup:
        kept = tuple(one for one in group.initiators if one.name != name.lower())
        if len(kept) == len(group.initiators):
            raise errors.NotFound(kind="initiator", ref=name)
        return msgspec.structs.replace(group, initiators=kept)

    return await _change(core, group_id, removed, unmapped=not force, force=force)


async def delete(core: Core, group_id: UUID) -> None:
    """Remove a host group. InUse while volumes are attached to it."""
    group = await core.get(HostGroup, group_id)
    await core.catalog.commit(_no_volumes(group, "delete") + drop(group))
    await core.manifest.write()


async def _change(
    core: Core,
    group_id: UUID,
    change: Callable[[HostGroup], HostGroup],
    *,
    unmapped: bool = False,
    force: bool = False,
) -> HostGroup:
    """Read, change and write one group; a race with another process reads again."""
    async with core.changes.locks.holding(group_id):
        for attempt in range(_STALE_RETRIES + 1):
            before = await core.get(HostGroup, group_id)
            after = _checked(change(before))
            guard = _no_volumes(before, "update") if unmapped else Batch()
            try:
                await core.catalog.commit(guard + put(after) if after != before else Batch())
            except errors.StaleRevision:
                if attempt == _STALE_RETRIES:
                    raise
                continue
            break
    await core.manifest.write()
    if after.initiators != before.initiators:
        await core.publisher.converge_node(str(group_id), core.changes.locks, force=force)
    return await core.get(HostGroup, group_id)


def _checked(group: HostGroup) -> HostGroup:
    """Give the group with names as they are compared, none twice."""
    check_name("name", group.name)
    check_text("comment", group.comment, _COMMENT_MAX)
    named = {check_initiator("initiators.name", one.name): one.comment for one in group.initiators}
    if len(named) < len(group.initiators):
        raise errors.InvalidArgument(field="initiators.name", reason="an initiator is there twice")
    for comment in named.values():
        check_text("initiators.comment", comment, _COMMENT_MAX)
    return msgspec.structs.replace(
        group, initiators=tuple(Initiator(name=name, comment=comment) for name, comment in named.items())
    )


def _no_volumes(group: HostGroup, action: str) -> Batch:
    used = Compare("attachment.node", Op.EQ, str(group.id))
    in_use = errors.InUse(kind="host group", ref=group.name, by="attachments", action=action)
    return when(Guard(Volume, used, exists=False, error=in_use))
