"""What an opened pool turned out to be, in a form that is kept beside its page."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

import msgspec

from gateway.core.backend import VolumeBackend, derive, no_fault
from gateway.core.capability import Capability
from gateway.core.model import VolumeKind
from gateway.core.secret import AccessKeys, Secret
from gateway.server.drivers import Driver
from gateway.testing.pages.subjects import Instance, Table


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One opened instance: what no name, identity or free space of a machine is part of."""

    handles: tuple[str, ...]
    volatile: bool
    kinds: Mapping[VolumeKind, Capability]


def options(driver: Driver, table: Table) -> msgspec.Struct:
    """Give the options that a table makes."""
    return msgspec.convert(table, driver.Options, dec_hook=_taken)


def _taken(kind: type, value: object) -> object:
    if kind is AccessKeys and not isinstance(value, AccessKeys):
        return AccessKeys("example", Secret(str(value)))
    return value if isinstance(value, kind) else kind(value)


def take(name: str, driver: Driver, instance: Instance, folder: Path) -> Record:
    """Open the driver on an instance made in `folder` and give its record."""
    with instance.opener(folder) as table:
        asked = options(driver, table)
        backend = instance.make(name, asked, no_fault) if instance.make else driver(name, asked, fault=no_fault)
        return asyncio.run(_opened(name, backend))


async def _opened(name: str, backend: VolumeBackend) -> Record:
    await backend.open()
    try:
        found = backend.describe()
        return Record(handles=found.handles, volatile=found.volatile, kinds=derive(name, backend))
    finally:
        await backend.close()


def kept(path: Path) -> dict[str, Record]:
    """Give the records in a file by instance; none when there is no file."""
    if not path.exists():
        return {}
    return msgspec.json.decode(path.read_bytes(), type=dict[str, Record])


def keep(path: Path, records: Mapping[str, Record]) -> None:
    """Write the records so that the same ones always make the same file."""
    text = msgspec.json.format(msgspec.json.encode(records, order="sorted"), indent=2)
    path.write_bytes(text + b"\n")
