"""Which backends and exporters there are: found by entry point, so outsiders add theirs without touching ours."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Protocol, cast

import msgspec

from gateway.config import Settings
from gateway.core.backend import FaultHook, VolumeBackend
from gateway.core.exporter import BlockExporter
from gateway.core.model import Transport
from gateway.core.needs import Need
from gateway.exports.git import GitExporter, GitOptions
from gateway.exports.iscsi import IscsiExporter
from gateway.exports.local import LocalExporter
from gateway.exports.mounts import HostMounter, MountsOptions
from gateway.exports.nbd import NbdExporter
from gateway.exports.nfs import NfsExporter, NfsOptions
from gateway.frontends.docker.settings import DockerOptions
from gateway.frontends.libstorage.settings import LibstorageOptions
from gateway.frontends.openstorage.settings import OpenstorageOptions

GROUP = "gateway.backends"


class Driver(Protocol):
    """A backend class as configuration and assembly see it."""

    Options: type[msgspec.Struct]

    def __call__(self, name: str, options: msgspec.Struct, *, fault: FaultHook) -> VolumeBackend:
        """Make the backend of one pool."""


class BlockDriver(Protocol):
    """The class of a block exporter as configuration and assembly see it."""

    Options: type[msgspec.Struct]

    def __call__(self, options: msgspec.Struct, state_dir: Path, *, fault: FaultHook) -> BlockExporter:
        """Make the exporter; its state is kept in `state_dir`."""


BLOCK_EXPORTERS: Mapping[Transport, BlockDriver] = {
    Transport.ISCSI: cast("BlockDriver", IscsiExporter),
    Transport.NBD: cast("BlockDriver", NbdExporter),
    Transport.LOCAL: cast("BlockDriver", LocalExporter),
}
EXPORTERS: Mapping[str, type[msgspec.Struct]] = {
    "nfs": NfsOptions,
    **{transport.value: driver.Options for transport, driver in BLOCK_EXPORTERS.items()},
    "mounts": MountsOptions,
    "git": GitOptions,
}
"""Kind of export, as `[export.*]` names it -> its options."""

DOORS: Mapping[str, type[msgspec.Struct]] = {
    "openstorage": OpenstorageOptions,
    "libstorage": LibstorageOptions,
    "docker": DockerOptions,
}
"""Further door, as `[frontend.*]` names it -> its options."""


@cache
def drivers() -> Mapping[str, Driver]:
    """Give every installed backend by driver name. Looks through all that is installed, once for the process."""
    return {point.name: cast("Driver", point.load()) for point in entry_points(group=GROUP)}


def one_driver(name: str) -> Driver:
    """Give one driver, and load no other; KeyError when it is not installed."""
    for point in entry_points(group=GROUP, name=name):
        return cast("Driver", point.load())
    raise KeyError(name)


def driver_options() -> dict[str, type[msgspec.Struct]]:
    """Give the options record of every driver, as `gateway.config.load` wants it."""
    return {name: driver.Options for name, driver in drivers().items()}


def needs_of(settings: Settings) -> dict[str, tuple[Need, ...]]:
    """Give what each configured pool and export needs of the machine, by its place in the configuration."""
    known = drivers()
    found = {
        f"backend.{pool.name}": needs_of_driver(known[pool.driver], pool.options) for pool in settings.backend.values()
    }
    exporters: dict[str, object] = {
        "nfs": NfsExporter,
        **{transport.value: driver for transport, driver in BLOCK_EXPORTERS.items()},
        "mounts": HostMounter,
        "git": GitExporter,
    }
    return found | {
        f"export.{kind}": needs_of_driver(exporters[kind], options) for kind, options in settings.export.items()
    }


def needs_of_driver(driver: object, options: msgspec.Struct) -> tuple[Need, ...]:
    """Give what a backend or exporter class needs for these options; nothing when it does not say."""
    stated = getattr(driver, "needs", None)
    return tuple(stated(options)) if stated is not None else ()
