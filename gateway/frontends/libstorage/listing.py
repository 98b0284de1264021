"""Lists of volumes and snapshots as text, which is kept while nothing in the catalog changes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Hashable, Iterable, Mapping
from typing import Any

import msgspec

from gateway.core.errors import GatewayError
from gateway.core.query import ALL, Compare, Filter, Op
from gateway.frontends.libstorage import filters, model
from gateway.frontends.libstorage.ask import Ask
from gateway.frontends.libstorage.encode import body, body_of_many
from gateway.frontends.libstorage.errors import LsError, batch_error, ls_error
from gateway.frontends.libstorage.lookup import snapshots_of, volumes_of
from gateway.frontends.libstorage.masks import Mask, needs_instance
from gateway.frontends.libstorage.render import View, snapshot_record, volume_shown
from gateway.frontends.libstorage.site import Service, StorageType

Records = Mapping[str, model.Volume | model.Snapshot]
"""By id."""


def view_of(ask: Ask, service: Service, mask: int) -> View:
    """Give how the caller looks at a service's volumes; 400 when the mask asks what only a known node can be told."""
    instance = ask.require_instance(service) if needs_instance(mask) else ask.instance(service)
    told = ask.local_devices(service)
    return View(
        service=service,
        mask=mask,
        instance="" if instance is None else instance.id,
        devices=told,
    )


def read_filter(ask: Ask) -> filters.Filter | None:
    """Give the filter that the caller set; LsError for a bad one. A parameter without a value asks for nothing."""
    if ask.query.values.get("filter", True) is True:
        return None
    try:
        return filters.parse_filter(ask.query.text("filter"))
    except filters.BadFilter as error:
        raise ls_error(error) from None


async def volumes(ask: Ask) -> bytes:
    """Give the volumes of a service by their ids, as the mask and the filter select them; of all services by service.

    Where one of all services fails the error is the batch's, with what the
    others gave.
    """
    wanted = read_filter(ask)

    async def records(service: Service) -> Records:
        shown = _shown(ask, view_of(ask, service, ask.query.mask()), wanted)
        return {record.id: record async for record in shown}

    return await _written(ask, _volumes_key(ask), records)


async def snapshots(ask: Ask) -> bytes:
    """Give the snapshots of a service, or of all, in the same way."""

    async def records(service: Service) -> Records:
        shown = (snapshot_record(found.snapshot, found.volume) async for found in snapshots_of(ask, service))
        return {record.id: record async for record in shown}

    return await _written(ask, _snapshots_key(ask), records)


def kept_volumes(ask: Ask) -> bytes | None:
    """Give what `volumes` would, if it is as it was the last time."""
    return ask.answers.get(_volumes_key(ask), ask.version)


def kept_snapshots(ask: Ask) -> bytes | None:
    """Give what `snapshots` would, in the same way."""
    return ask.answers.get(_snapshots_key(ask), ask.version)


def _volumes_key(ask: Ask) -> Hashable:
    """Give what else than the catalog the answer depends on; None for what is not kept."""
    services, mask = _services(ask), ask.query.mask()
    if mask & Mask.DEVICES and any(each.driver.type is not StorageType.OBJECT for each in services):
        # What a node has is much to keep answers by.
        return None
    nodes = tuple(instance.id if (instance := ask.instance(each)) else "" for each in services) if mask else ()
    return "volumes", _name(ask), mask, ask.query.text("filter"), nodes, ask.core.caller


def _snapshots_key(ask: Ask) -> Hashable:
    return "snapshots", _name(ask), ask.core.caller


def _services(ask: Ask) -> Collection[Service]:
    return ask.site.services.values() if ask.service is None else (ask.service,)


def _name(ask: Ask) -> str:
    return "" if ask.service is None else ask.service.name


async def _written(ask: Ask, key: Hashable, records: Callable[[Service], Awaitable[Records]]) -> bytes:
    if ask.service is not None:
        text = await body_of_many(await records(ask.service))
    else:
        text = await _of_all(_services(ask), records)
    if key is not None:
        # What clients say of themselves is in the key, and may be much longer than the answer.
        ask.answers.put(key, ask.version, text, weight=len(text) + len(ascii(key)))
    return text


async def _of_all(services: Iterable[Service], records: Callable[[Service], Awaitable[Records]]) -> bytes:
    found: dict[str, Records] = {}
    for service in services:
        try:
            found[service.name] = await records(service)
        except (GatewayError, LsError) as error:
            raise batch_error(found, error) from error
    parts = []
    for name in sorted(found):
        text = await body_of_many(found[name])
        # There are no line breaks but those between members.
        parts.append(body(name) + b": " + text.replace(b"\n", b"\n  "))
    return b"{\n  " + b",\n  ".join(parts) + b"\n}" if parts else b"{}"


async def _shown(ask: Ask, view: View, wanted: filters.Filter | None) -> AsyncIterator[model.Volume]:
    """Yield the volumes of a service that the caller sees and the filter lets pass."""
    location = ask.core.publisher.location
    async for volume in volumes_of(ask, view.service, _selected(view.mask)):
        record = volume_shown(volume, view, location=location(volume) if volume.attachments else None)
        if wanted is not None:
            # A filter may have hundreds of parts, so others have a turn behind each record.
            await asyncio.sleep(0)
        if record is not None and (wanted is None or filters.matches(wanted, _plain(record))):
            yield record


def _selected(mask: int) -> Filter:
    """Give what the catalog can tell of the volumes that a mask leaves out."""
    attached, unattached = bool(mask & Mask.ATTACHED), bool(mask & Mask.UNATTACHED)
    if attached == unattached:
        return ALL
    return Compare("attachment_count", Op.GT if attached else Op.EQ, 0)


def _plain(record: model.Volume) -> Mapping[str, Any]:
    plain: Mapping[str, Any] = msgspec.to_builtins(record)
    return plain
