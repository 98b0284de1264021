"""Attach and detach: the door chooses by which way a node reaches a volume, and tells that way."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.core import attachments, errors
from gateway.core.context import Core
from gateway.core.model import Attachment, Tenant, TenantState, Transport, Volume
from gateway.core.targets import check_initiator, service_of
from gateway.core.volumes import settled
from gateway.frontends.native import logins, model, render
from gateway.frontends.native.ask import Ask
from gateway.frontends.native.bodies import Detachment, NewAttachment, Nothing
from gateway.frontends.native.here import is_here
from gateway.frontends.native.lookup import NODE, asked_volume, volume_of


async def attach(ask: Ask[Nothing, NewAttachment]) -> model.Attached:
    """Attach a volume to a node by the first way that the node can use and that leads to the bytes.

    The same again gives the same. What a node has otherwise, such as by other
    initiators, is made anew when nothing of it is connected.
    """
    core, wanted = ask.core, ask.body
    # Who may not change the volume must not leave anything behind either, such as a login.
    volume = await settled(core, (await asked_volume(ask)).id)
    tenant = await core.get(Tenant, volume.tenant_id)
    initiators = tuple(dict.fromkeys(check_initiator("initiators", name) for name in wanted.initiators))
    present = next((each for each in volume.attachments if each.node == wanted.node), None)
    transport = _chosen(core, volume, tenant, wanted, present)
    new = attachments.NewAttachment(
        node=wanted.node,
        transport=transport,
        mode=wanted.mode,
        initiators=initiators if transport is Transport.ISCSI else (),
        clients=wanted.addresses if transport is Transport.NFS else (),
        shared=wanted.shared,
    )
    if present is not None and not _same(present, new):
        await _end(ask, volume, present)
    login = None
    if transport is Transport.ISCSI and wanted.chap:
        login = await logins.ensure(core, tenant, volume, initiators)
    elif transport is Transport.ISCSI:
        login = await logins.present(core, tenant, volume, initiators)
    description = f"native: attach {volume.name} to {wanted.node}"
    await ask.done(await attachments.attach(core, volume.id, new, description=description))
    return await _told(core, volume, wanted.node, login)


async def detach(ask: Ask[Detachment, Nothing]) -> None:
    """End a node's attachment."""
    volume, node = await asked_volume(ask), ask.keys[NODE]
    description = f"native: detach {volume.name} from {node}"
    await ask.done(await attachments.detach(ask.core, volume.id, node, description=description, force=ask.query.force))


def _chosen(core: Core, volume: Volume, tenant: Tenant, wanted: NewAttachment, present: Attachment | None) -> Transport:
    """Give the way: the one that the node has already while it can be used, else the first; Unsupported."""
    if tenant.state is not TenantState.RUNNING:
        raise errors.InvalidState(kind="tenant", ref=tenant.name, state=tenant.state, action="attach volumes of")
    offered = core.publisher.ways(volume.pool_id, volume.kind)
    usable = [way for way in offered if way in wanted.ways and not _hindered(way, tenant, wanted)]
    if present is not None and present.transport in usable:
        return present.transport
    if usable:
        return usable[0]
    told = [_list(offered), _list(wanted.ways), *filter(None, (_hindered(way, tenant, wanted) for way in offered))]
    raise errors.Unsupported(
        capability="attach",
        backend=core.pools.get(volume.pool_id).name,
        reason="; ".join([f"offered: {told[0]}", f"the node can use: {told[1]}", *told[2:]]),
    )


def _hindered(way: Transport, tenant: Tenant, wanted: NewAttachment) -> str:
    """Give why a node that can use a way would not get to the bytes by it, "" when it would."""
    if way not in wanted.ways:
        return ""
    if way is Transport.LOCAL and not is_here(wanted.node, wanted.addresses):
        return "local: the node is another host than the gateway's"
    if way is Transport.ISCSI and not wanted.initiators:
        return "iscsi: the node names no initiator"
    service = service_of(tenant)
    if way is Transport.ISCSI and (service.removed or not service.enabled):
        return "iscsi: the tenant's service is off"
    return ""


def _same(present: Attachment, new: attachments.NewAttachment) -> bool:
    wanted = (new.transport, new.mode, new.initiators)
    return (present.transport, present.mode, present.initiators) == wanted and present.host_group_id is None


async def _end(ask: Ask[Nothing, NewAttachment], volume: Volume, present: Attachment) -> None:
    """End what a node has, so that it can have something else; InUse while it is connected."""
    if present.host_group_id is not None:
        raise errors.AlreadyExists(kind="attachment", name=present.node, field="node", same_spec=False)
    description = f"native: detach {volume.name} from {present.node}"
    await ask.done(await attachments.detach(ask.core, volume.id, present.node, description=description))


async def _told(core: Core, volume: Volume, node: str, login: model.Login | None) -> model.Attached:
    after = await volume_of(core, volume.id)
    attachment = next((each for each in after.attachments if each.node == node), None)
    if attachment is None:
        raise errors.Conflict(kind="volume", ref=after.name, holder="volume.update")
    handle = await core.publisher.way(after, attachment)
    if handle is None:
        raise errors.InvalidState(kind="volume", ref=after.name, state=after.state, action="attach")
    return model.Attached(attachment=render.attachment(attachment), handle=handle, login=login)


def _list(ways: Sequence[Transport]) -> str:
    return ", ".join(ways) or "nothing"
