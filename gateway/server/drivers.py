"""Which backends and exporters there are: found by entry point, so outsiders add theirs without touching ours."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Protocol, cast

import msgspec

from gateway.core.backend import FaultHook, VolumeBackend
from gateway.exports.nfs import NfsOptions

GROUP = "gateway.backends"
EXPORTERS: Mapping[str, type[msgspec.Struct]] = {"nfs": NfsOptions}


class Driver(Protocol):
    """A backend class as configuration and assembly see it."""

    Options: type[msgspec.Struct]

    def __call__(self, name: str, options: msgspec.Struct, *, fault: FaultHook) -> VolumeBackend:
        """Make the backend of one pool."""


def drivers() -> dict[str, Driver]:
    """Give every installed backend by driver name."""
    return {point.name: cast("Driver", point.load()) for point in entry_points(group=GROUP)}


def driver_options() -> dict[str, type[msgspec.Struct]]:
    """Give the options record of every driver, as `gateway.config.load` wants it."""
    return {name: driver.Options for name, driver in drivers().items()}
