"""Igroups and their initiators, and the maps that give them LUNs."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

import msgspec

from gateway.core import attachments, errors, hosts
from gateway.core.attachments import NewAttachment
from gateway.core.catalog import walk
from gateway.core.context import Core
from gateway.core.model import Attachment, HostGroup, Initiator, Tenant, Volume
from gateway.core.query import Compare, Op, Order, Query
from gateway.frontends.ontap_rest import kept
from gateway.frontends.ontap_rest.ask import Ask
from gateway.frontends.ontap_rest.body import Values
from gateway.frontends.ontap_rest.endpoint import Keyed
from gateway.frontends.ontap_rest.errors import WireError
from gateway.frontends.ontap_rest.writes.luns import lun_of
from gateway.frontends.ontap_rest.writes.names import check_agree, tenant_of, text

_PROTOCOL = "mixed"
_ALLOW = "allow_delete_while_mapped"


async def create(ask: Ask, values: Values) -> HostGroup:
    """Make an igroup, with initiators when the body brings some."""
    tenant = await tenant_of(ask, values)
    listed = values.get("initiators")
    new = hosts.NewHostGroup(
        name=text(values, "name") or "",
        tenant_id=tenant.id,
        comment=text(values, "comment") or "",
        initiators=_initiators(listed if isinstance(listed, list) else ()),
        annotations={
            kept.OS_TYPE: text(values, "os_type") or "",
            kept.PROTOCOL: text(values, "protocol") or _PROTOCOL,
        },
    )
    return await hosts.create(ask.core, new)


async def modify(ask: Ask, group: HostGroup, values: Values) -> None:
    """Change an igroup's name, comment or operating system."""
    unset = msgspec.UNSET
    system = text(values, "os_type")
    change = hosts.HostGroupChange(
        name=text(values, "name") or unset,
        comment=(text(values, "comment") or "") if "comment" in values else unset,
        annotations={**group.annotations, kept.OS_TYPE: system} if system else unset,
    )
    await hosts.update(ask.core, group.id, change)


async def delete(ask: Ask, group: HostGroup) -> None:
    """Remove an igroup; `allow_delete_while_mapped` unmaps it first."""
    if ask.parameters.options.get(_ALLOW) is True:
        query = Query(where=Compare("attachment.node", Op.EQ, str(group.id)), order=(Order("id"),))
        mapped = [volume async for volume in walk(ask.core.catalog, Volume, query)]
        for volume in mapped:
            await _unmap(ask, volume, group.id)
    await hosts.delete(ask.core, group.id)


async def put_back(ask: Ask, before: HostGroup, after: HostGroup) -> None:
    """Undo a change of an igroup."""
    change = hosts.HostGroupChange(name=before.name, comment=before.comment, annotations=before.annotations)
    await hosts.update(ask.core, after.id, change)


async def add_initiator(ask: Ask, group: HostGroup, values: Values) -> Keyed:
    """Add an initiator to an igroup."""
    (initiator,) = _initiators([values])
    if any(present.name == initiator.name for present in group.initiators):
        message = f'Initiator "{initiator.name}" is already in the initiator group.'
        raise WireError(409, "5374035", message=message, target="name")
    await hosts.put_initiators(ask.core, group.id, [initiator])
    return Keyed((initiator.name,))


async def modify_initiator(ask: Ask, found: tuple[HostGroup, Initiator], values: Values) -> None:
    """Change an initiator's comment."""
    group, initiator = found
    if "comment" in values:
        changed = msgspec.structs.replace(initiator, comment=text(values, "comment") or "")
        await hosts.put_initiators(ask.core, group.id, [changed])


async def remove_initiator(ask: Ask, found: tuple[HostGroup, Initiator]) -> None:
    """Remove an initiator from an igroup; from a mapped one only with `allow_delete_while_mapped`."""
    force = ask.parameters.options.get(_ALLOW) is True
    await hosts.remove_initiator(ask.core, found[0].id, found[1].name, force=force)


async def put_initiator_back(ask: Ask, before: tuple[HostGroup, Initiator], after: tuple[HostGroup, Initiator]) -> None:
    """Undo a change of an initiator."""
    await hosts.put_initiators(ask.core, after[0].id, [before[1]])


async def create_map(ask: Ask, values: Values) -> Keyed:
    """Map a LUN to an igroup; a LUN may have several."""
    core = ask.core
    tenant = await tenant_of(ask, values)
    volume = await lun_of(core, tenant, name=text(values, "lun.name"), uuid=text(values, "lun.uuid"), path="lun")
    group = await _group(core, values, tenant)
    if any(attachment.node == str(group.id) for attachment in volume.attachments):
        raise errors.AlreadyExists(kind="attachment", name=group.name, field="node")
    number = values.get("logical_unit_number")
    new = NewAttachment(host_group_id=group.id, lun=number if isinstance(number, int) else None, shared=True)
    started = await attachments.attach(core, volume.id, new, description=ask.description)
    await started.result()
    return Keyed((str(volume.id), str(group.id)))


async def delete_map(ask: Ask, found: tuple[Volume, Attachment]) -> None:
    """End a map. As with ONTAP, initiators that are logged in lose the LUN."""
    volume, attachment = found
    if attachment.host_group_id is not None:
        await _unmap(ask, volume, attachment.host_group_id)


async def _unmap(ask: Ask, volume: Volume, group_id: UUID) -> None:
    started = await attachments.detach(ask.core, volume.id, str(group_id), description=ask.description, force=True)
    await started.result()


async def _group(core: Core, values: Values, tenant: Tenant) -> HostGroup:
    name, uuid = text(values, "igroup.name"), text(values, "igroup.uuid")
    found: HostGroup | None = None
    if uuid is not None:
        try:
            found = await core.catalog.get(HostGroup, UUID(uuid))
        except ValueError:
            found = None
    elif name is not None:
        found = await core.find(HostGroup, name=name, tenant__id=tenant.id)
    if found is None or found.tenant_id != tenant.id:
        raise errors.NotFound(kind="host group", ref=name or uuid)
    check_agree("igroup", agree=name is None or found.name == name)
    return found


def _initiators(listed: Iterable[Values]) -> tuple[Initiator, ...]:
    """Read initiators; the same one twice counts once, unless its comments differ."""
    found: dict[str, Initiator] = {}
    for values in listed:
        name, comment = (text(values, "name") or "").lower(), text(values, "comment") or ""
        if not name:
            raise WireError(400, "5374033", message='The initiator\'s "name" is required.', target="initiators.name")
        if found.setdefault(name, Initiator(name=name, comment=comment)).comment != comment:
            message = f'Initiator "{name}" was given twice with different comments.'
            raise WireError(400, "5374917", message=message, target="initiators.comment")
    return tuple(found.values())
