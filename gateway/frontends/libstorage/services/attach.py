"""Attach and detach. A call is about the instance that its client tells of itself."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from contextlib import suppress
from ipaddress import ip_address
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import msgspec

from gateway.core import attachments, errors, volumes
from gateway.core.attachments import NewAttachment
from gateway.core.catalog import walk
from gateway.core.exports import NfsServer
from gateway.core.handles import NfsExport
from gateway.core.model import Attachment, AttachMode, Transport, Volume, VolumeKind
from gateway.core.query import Compare, Op, Order, Query
from gateway.frontends.libstorage import model
from gateway.frontends.libstorage.ask import Ask
from gateway.frontends.libstorage.bodies import VolumeAttachRequest, VolumeDetachRequest
from gateway.frontends.libstorage.changing import finished, handles_of
from gateway.frontends.libstorage.errors import LsError, batch_error
from gateway.frontends.libstorage.headers import InstanceId
from gateway.frontends.libstorage.lookup import find_volume, service_of, volumes_of
from gateway.frontends.libstorage.masks import Mask
from gateway.frontends.libstorage.render import View, export_name, mounts_files, volume_after
from gateway.frontends.libstorage.site import Service

_AT_ONCE = 8
"""How many volumes are detached at a time."""

_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_ANY = model.NextDeviceInfo(ignore=False, prefix="xvd", pattern="[a-z]")
"""The devices of nodes whose driver does not say which it takes."""

_INITIATORS = ("initiator", "initiators", "iqn")
"""Options that name the node's iSCSI initiator."""


async def attach(ask: Ask) -> model.VolumeAttachResponse:
    """Attach a volume to the asking instance; once more gives the same attachment.

    Files are published to the instance where there is an exporter, and may
    be attached to several; blocks are by the service's transport, and InUse
    while another has them, unless by force, which ends what others have.
    """
    service = service_of(ask)
    instance = ask.require_instance(service)
    wanted = ask.wanted(VolumeAttachRequest)
    volume = await find_volume(ask)
    present = _own(volume, instance.id)
    new = NewAttachment(
        node=instance.id if present is None else present.node,
        transport=_transport(ask, service, volume) if present is None else present.transport,
        mode=AttachMode.READ_WRITE if present is None else present.mode,
        preempt=wanted.force,
    )
    if new.transport is Transport.ISCSI:
        found = _initiators(instance, wanted.opts) if present is None else present.initiators
        new = msgspec.structs.replace(new, initiators=found)
    if new.transport is Transport.NFS:
        new = msgspec.structs.replace(new, clients=_clients(ask, instance, volume))
    await _attach(ask, volume, new, proposed=wanted.next_device_name.lower())
    volume = await ask.core.get(Volume, volume.id)
    shown = await _after(ask, volume, View(service=service, mask=Mask.REQUESTED, instance=instance.id))
    own = _own(volume, instance.id)
    token = "" if own is None or mounts_files(service, volume) else own.device
    return model.VolumeAttachResponse(volume=shown, attach_token=token)


async def detach(ask: Ask) -> model.Volume:
    """Detach a volume from the asking instance. One that it does not have is detached already."""
    service = service_of(ask)
    view = View(service=service, mask=Mask.REQUESTED, instance=ask.require_instance(service).id)
    wanted = ask.wanted(VolumeDetachRequest)
    volume = await find_volume(ask)
    await _detach(ask, volume, view.instance, force=wanted.force)
    return await _after(ask, await ask.core.get(Volume, volume.id), view)


async def detach_service(ask: Ask) -> dict[str, model.Volume]:
    """Detach every volume of a service from the asking instance, and give all of them.

    Where some cannot be it is the error of a batch, with those that were.
    """
    service = service_of(ask)
    ask.require_instance(service)
    wanted = ask.wanted(VolumeDetachRequest)
    done = await _detach_all(ask, (service,), force=wanted.force)
    return done.get(service.name, {})


async def detach_all(ask: Ask) -> dict[str, dict[str, model.Volume]]:
    """Do the same for every service; those without volumes are left out."""
    wanted = ask.wanted(VolumeDetachRequest)
    return await _detach_all(ask, tuple(ask.site.services.values()), force=wanted.force)


async def _attach(ask: Ask, volume: Volume, new: NewAttachment, *, proposed: str) -> None:
    """Attach a volume under the device that is proposed, else the one that it has, else the first free one."""
    service = service_of(ask)
    description = f"libStorage: attach {volume.name} to {new.node}"
    named = await _own_export(ask, volume) if mounts_files(service, volume) else proposed
    own = _own(volume, new.node)
    if named or mounts_files(service, volume) or (own is not None and own.device):
        new = msgspec.structs.replace(new, device=named)
        await finished(ask, await attachments.attach(ask.core, volume.id, new, description=description))
        return
    # Two that come at once must not be given one device.
    async with ask.core.changes.locks.holding(uuid5(NAMESPACE_URL, f"libstorage.device:{new.node}")):
        new = msgspec.structs.replace(new, device=await _free_device(ask, service, new.node))
        await finished(ask, await attachments.attach(ask.core, volume.id, new, description=description))


async def _detach(ask: Ask, volume: Volume, instance: str, *, force: bool) -> None:
    own = _own(volume, instance)
    if own is None:
        return
    description = f"libStorage: detach {volume.name} from {own.node}"
    with suppress(errors.NotFound):  # somebody else was first
        started = await attachments.detach(ask.core, volume.id, own.node, description=description, force=force)
        await finished(ask, started)


async def _detach_all(ask: Ask, services: tuple[Service, ...], *, force: bool) -> dict[str, dict[str, model.Volume]]:
    """Detach what there is, a few at a time, and give it as it is then; the error of the batch when some failed."""
    turns = asyncio.Semaphore(_AT_ONCE)
    done: dict[str, dict[str, model.Volume]] = {}
    failures: list[errors.GatewayError | LsError] = []

    async def one(volume: Volume, view: View) -> None:
        async with turns:
            try:
                await _detach(ask, volume, view.instance, force=force)
                shown = await _after(ask, await ask.core.get(Volume, volume.id), view)
            except errors.GatewayError as error:
                failures.append(error)
            else:
                done.setdefault(view.service.name, {})[shown.id] = shown

    for service in services:
        try:
            view = View(service=service, mask=Mask.REQUESTED, instance=ask.require_instance(service).id)
            attached = []
            async for volume in volumes_of(ask, service):
                if _own(volume, view.instance) is None:
                    done.setdefault(service.name, {})[str(volume.id)] = volume_after(volume, view)
                else:
                    attached.append(volume)
        except (errors.GatewayError, LsError) as error:
            failures.append(error)
            continue
        await asyncio.gather(*(one(volume, view) for volume in attached))
    if failures:
        raise batch_error(done, failures[0])
    return done


async def _after(ask: Ask, volume: Volume, view: View) -> model.Volume:
    """Give a volume after the instance attached or detached it."""
    own = _own(volume, view.instance)
    handles = await handles_of(ask, volume) if own is not None else ()
    return volume_after(volume, view, location=ask.core.publisher.location(volume), handles=handles)


def _own(volume: Volume, instance: str) -> Attachment | None:
    """Give an instance's attachment of a volume. Ids count in any case."""
    return next((each for each in volume.attachments if each.node.lower() == instance.lower()), None)


def _transport(ask: Ask, service: Service, volume: Volume) -> Transport:
    """Give by which way a new attachment leads to a volume. Who mounts exports has no use for files on this host."""
    if volume.kind is VolumeKind.BLOCK:
        return service.transport
    over_nfs = mounts_files(service, volume) or ask.core.publisher.files_by(volume.pool_id) is not None
    return Transport.NFS if over_nfs else Transport.LOCAL


async def _own_export(ask: Ask, volume: Volume) -> str:
    """Give the name of a volume's export at the server on which its pool is; empty where the exporter has it."""
    if ask.core.publisher.files_by(volume.pool_id) is not NfsServer.OWN:
        return ""
    handles = await volumes.access(ask.core, volume.id)
    return next((export_name(handle) for handle in handles if isinstance(handle, NfsExport)), "")


def _clients(ask: Ask, instance: InstanceId, volume: Volume) -> tuple[str, ...]:
    """Give the addresses from which an instance reaches exports: its id where that is one, else that of its request.

    On the exporter's own host it comes from the exporter's address.
    """
    asked_from = _address(ask.peer)
    found = [_address(instance.id) or asked_from]
    if not ask.peer or (asked_from and ip_address(asked_from).is_loopback):
        at = ask.core.publisher.location(msgspec.structs.replace(volume, junction_path="/"))
        found.append(_address(at.address) if isinstance(at, NfsExport) else "")
    return tuple(dict.fromkeys(filter(None, found)))


def _address(text: str) -> str:
    """Give an address without its zone, empty for what is none."""
    plain = text.partition("%")[0]
    try:
        return str(ip_address(plain))
    except ValueError:
        return ""


def _initiators(instance: InstanceId, opts: Mapping[str, Any]) -> tuple[str, ...]:
    """Give the instance's iSCSI names, from the options or from what it tells of itself."""
    told = {key.lower(): value for key, value in {**instance.fields, **opts}.items()}
    given = next((told[name] for name in _INITIATORS if told.get(name)), "")
    names = given.replace(",", " ").split() if isinstance(given, str) else given
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise errors.InvalidArgument(field="opts.initiator", reason="must name the iSCSI initiator of the instance")
    return tuple(names)


async def _free_device(ask: Ask, service: Service, node: str) -> str:
    """Give the first name of a device that no volume has on a node; LimitExceeded when all are taken."""
    of_driver = service.driver.next_device
    drawn = of_driver if of_driver is not None and of_driver.prefix else _ANY
    names = [f"/dev/{drawn.prefix}{letter}" for letter in _LETTERS if re.fullmatch(drawn.pattern, letter)]
    query = Query(where=Compare("attachment.node", Op.EQ, node), order=(Order("id"),))
    taken = {
        attachment.device
        async for volume in walk(ask.core.catalog, Volume, query)
        for attachment in volume.attachments
        if attachment.node == node
    }
    free = next((name for name in names if name not in taken), None)
    if free is None:
        raise errors.LimitExceeded(limit="devices", value=len(names) + 1, minimum=0, maximum=len(names))
    return free
