"""Which handler has which route."""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import NamedTuple

import msgspec

from gateway.frontends.libstorage import listing
from gateway.frontends.libstorage.ask import Ask
from gateway.frontends.libstorage.bodies import (
    SnapshotCopyRequest,
    VolumeAttachRequest,
    VolumeCopyRequest,
    VolumeCreateRequest,
    VolumeDetachRequest,
    VolumeSnapshotRequest,
)
from gateway.frontends.libstorage.lookup import service_of
from gateway.frontends.libstorage.masks import needs_instance
from gateway.frontends.libstorage.services import attach, services, snapshots, tasks, volumes
from gateway.frontends.libstorage.services import help as helping

Handler = Callable[[Ask], Awaitable[object]]
"""Gives what `encode.body` writes, or a body that is written already."""

Check = Callable[[Ask], object]
"""Refuses at once what would otherwise be the end of a task."""

Ready = Callable[[Ask], bytes | None]
"""Gives an answer that is there without any work, None when there is none."""

_VOLUMES, _VOLUME = "/volumes/{service}", "/volumes/{service}/{volume}"
_SNAPSHOTS, _SNAPSHOT = "/snapshots/{service}", "/snapshots/{service}/{snapshot}"
_EVERY_SERVICE = frozenset({"/services", "/volumes", "/snapshots"})


class Scope(enum.Enum):
    """Which services a route is about: whoever calls it must be let in by each of them."""

    NONE = enum.auto()
    ONE = enum.auto()
    EVERY = enum.auto()


class Route(NamedTuple):
    """A verb and a path with keys in braces, each one segment. `query`: a parameter that must be there as well.

    `status`: of an answer; one of 204 has no body. `operation` names a change
    in the audit, reads have none. `task`: it may outlast its request.
    `single`: it is done once the one job is that it begins. `checks`: what is
    refused at once also when nobody waits for the rest. `ready`: gives an
    answer that need not be worked out again.
    """

    verb: str
    template: str
    handler: Handler
    query: str = ""
    status: int = 200
    operation: str = ""
    task: bool = False
    single: bool = False
    checks: tuple[Check, ...] = ()
    ready: Ready | None = None

    @property
    def scope(self) -> Scope:
        """Give which services it is about."""
        if "{service}" in self.template:
            return Scope.ONE
        return Scope.EVERY if self.template in _EVERY_SERVICE else Scope.NONE

    @property
    def name(self) -> str:
        """Give it as metrics call it."""
        return f"{self.template}?{self.query}" if self.query else self.template


def _known(ask: Ask) -> None:
    """Refuse a call that has to know which instance asks, when that was not told."""
    ask.require_instance(service_of(ask))


def _masked(ask: Ask) -> None:
    """The same, where the mask is what has to know."""
    if needs_instance(ask.query.mask()):
        _known(ask)


def _read(template: str, handler: Handler, *checks: Check) -> Route:
    return Route("GET", template, handler, task=True, checks=checks)


def _list(template: str, handler: Handler, ready: Ready, *checks: Check) -> Route:
    return Route("GET", template, handler, task=True, checks=checks, ready=ready)


def _change(
    template: str,
    query: str,
    handler: Handler,
    status: int,
    operation: str,
    body: type[msgspec.Struct],
    *checks: Check,
    single: bool = True,
) -> Route:
    checks = (*checks, partial(Ask.wanted, kind=body))
    return Route("POST", template, handler, query, status, operation, task=True, single=single, checks=checks)


def _remove(template: str, handler: Handler, status: int, operation: str) -> Route:
    return Route("DELETE", template, handler, "", status, operation, task=True, single=True)


ROUTES: Sequence[Route] = (
    Route("GET", "/", helping.root),
    Route("GET", "/help", helping.index),
    Route("GET", "/help/version", helping.version),
    Route("GET", "/help/config", helping.secrets),
    Route("GET", "/help/env", helping.secrets),
    Route("GET", "/executors", helping.executors),
    Route("GET", "/executors/{executor}", helping.executor),
    Route("HEAD", "/executors/{executor}", helping.executor),
    Route("GET", "/services", services.enumerate_),
    Route("GET", "/services/{service}", services.inspect),
    _list("/volumes", listing.volumes, listing.kept_volumes, listing.read_filter),
    _list(_VOLUMES, listing.volumes, listing.kept_volumes, listing.read_filter, _masked),
    _read(_VOLUME, volumes.inspect, _masked),
    _change("/volumes", "detach", attach.detach_all, 205, "volume.detach", VolumeDetachRequest, single=False),
    _change(_VOLUMES, "detach", attach.detach_service, 205, "volume.detach", VolumeDetachRequest, _known, single=False),
    _change(_VOLUMES, "", volumes.create, 201, "volume.create", VolumeCreateRequest),
    _change(_VOLUME, "copy", volumes.copy, 201, "volume.copy", VolumeCopyRequest),
    _change(_VOLUME, "snapshot", volumes.snapshot, 201, "snapshot.create", VolumeSnapshotRequest),
    _change(_VOLUME, "attach", attach.attach, 200, "volume.attach", VolumeAttachRequest, _known),
    _change(_VOLUME, "detach", attach.detach, 205, "volume.detach", VolumeDetachRequest, _known),
    _remove(_VOLUME, volumes.remove, 204, "volume.delete"),
    _list("/snapshots", listing.snapshots, listing.kept_snapshots),
    _list(_SNAPSHOTS, listing.snapshots, listing.kept_snapshots),
    _read(_SNAPSHOT, snapshots.inspect),
    _change(_SNAPSHOT, "create", snapshots.create_volume, 201, "volume.create", VolumeCreateRequest),
    _change(_SNAPSHOT, "copy", snapshots.copy, 201, "snapshot.copy", SnapshotCopyRequest),
    _remove(_SNAPSHOT, snapshots.remove, 205, "snapshot.delete"),
    Route("GET", "/tasks", tasks.enumerate_),
    Route("GET", "/tasks/{task}", tasks.inspect),
)
"""What is served. The first that fits a request has it."""
