"""Which handler has which route, what it takes, and which call of the core's words a caller must be allowed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Generic, TypeVar

import msgspec

from gateway.frontends.native import bodies
from gateway.frontends.native.ask import Ask
from gateway.frontends.native.bodies import Nothing
from gateway.frontends.native.services import attachments, objects, policies, pools, replications, snapshots, volumes

Q = TypeVar("Q", bound=msgspec.Struct)
B = TypeVar("B", bound=msgspec.Struct)
Call = tuple[str, str]

_VOLUMES, _VOLUME = "/gateway/volumes", "/gateway/volumes/{volume}"
_SNAPSHOTS, _SNAPSHOT = "/gateway/snapshots", "/gateway/snapshots/{snapshot}"
_REPLICATIONS, _REPLICATION = "/gateway/replications", "/gateway/replications/{replication}"
_TRANSFERS, _TRANSFER = f"{_REPLICATION}/transfers", f"{_REPLICATION}/transfers/{{transfer}}"
_POLICY = "/gateway/tenants/{tenant}/export-policies/{policy}"


class Route(msgspec.Struct, Generic[Q, B], frozen=True):
    """A verb and a path with keys in braces, and who answers.

    `call`: the service and api that the caller's roles must allow. `operation`
    names a change in the audit, reads have none; changes take the parameter
    `wait` beside those of `query`. `made`: what it gives is new.
    """

    verb: str
    template: str
    handler: Callable[[Ask[Q, B]], Awaitable[object]]
    call: Call
    query: type[Q]
    body: type[B]
    operation: str = ""
    made: bool = False


def _read(
    template: str, handler: Callable[[Ask[Q, Nothing]], Awaitable[object]], call: Call, query: type[Q]
) -> Route[Q, Nothing]:
    return Route("GET", template, handler, call, query, Nothing)


def _show(template: str, handler: Callable[[Ask[Nothing, Nothing]], Awaitable[object]], call: Call) -> Route[Any, Any]:
    return _read(template, handler, call, Nothing)


def _change(
    verb: str,
    template: str,
    handler: Callable[[Ask[Nothing, B]], Awaitable[object]],
    call: Call,
    body: type[B],
    operation: str,
    *,
    made: bool = False,
) -> Route[Nothing, B]:
    return Route(verb, template, handler, call, Nothing, body, operation, made)


def _remove(
    template: str, handler: Callable[[Ask[Q, Nothing]], Awaitable[object]], call: Call, query: type[Q], operation: str
) -> Route[Q, Nothing]:
    return Route("DELETE", template, handler, call, query, Nothing, operation)


ROUTES: Sequence[Route[Any, Any]] = (
    _show("/gateway/pools", pools.pools, ("cluster", "enumerate")),
    _show("/gateway/tenants", pools.tenants, ("cluster", "enumerate")),
    _show("/gateway/jobs/{job}", pools.job, ("cluster", "inspect")),
    _read(_VOLUMES, volumes.enumerate_, ("volume", "enumerate"), bodies.VolumesWanted),
    _change("POST", _VOLUMES, volumes.create, ("volume", "create"), bodies.NewVolume, "volume.create", made=True),
    _show(_VOLUME, volumes.inspect, ("volume", "inspect")),
    _change("PATCH", _VOLUME, volumes.change, ("volume", "update"), bodies.VolumeChange, "volume.update"),
    _remove(_VOLUME, volumes.delete, ("volume", "delete"), bodies.Removal, "volume.delete"),
    _show(f"{_VOLUME}/access", volumes.access, ("volume", "inspect")),
    _read(f"{_VOLUME}/objects", objects.enumerate_, ("volume", "inspect"), bodies.ObjectsWanted),
    _change("POST", f"{_VOLUME}/sign", objects.sign, ("mountattach", "attach"), bodies.Signing, "volume.sign"),
    _change("POST", f"{_VOLUME}/tokens", volumes.token, ("mountattach", "attach"), bodies.NewToken, "volume.token"),
    _change("POST", f"{_VOLUME}/clone", volumes.clone, ("volume", "clone"), bodies.NewClone, "volume.clone", made=True),
    _change(
        "POST", f"{_VOLUME}/restore", volumes.restore, ("volume", "snapshotrestore"), bodies.Restore, "volume.restore"
    ),
    _change("POST", f"{_VOLUME}/move", volumes.move, ("volume", "update"), bodies.Move, "volume.move"),
    _change(
        "POST",
        f"{_VOLUME}/attachments",
        attachments.attach,
        ("mountattach", "attach"),
        bodies.NewAttachment,
        "volume.attach",
    ),
    _remove(
        f"{_VOLUME}/attachments/{{node}}",
        attachments.detach,
        ("mountattach", "detach"),
        bodies.Detachment,
        "volume.detach",
    ),
    _change(
        "POST",
        f"{_VOLUME}/snapshots",
        snapshots.create,
        ("volume", "snapshotcreate"),
        bodies.NewSnapshot,
        "snapshot.create",
        made=True,
    ),
    _read(_SNAPSHOTS, snapshots.enumerate_, ("volume", "snapshotenumerate"), bodies.SnapshotsWanted),
    _show(_SNAPSHOT, snapshots.inspect, ("volume", "inspect")),
    _show(f"{_SNAPSHOT}/access", snapshots.access, ("volume", "inspect")),
    _change("PATCH", _SNAPSHOT, snapshots.change, ("volume", "update"), bodies.SnapshotChange, "snapshot.update"),
    _remove(_SNAPSHOT, snapshots.delete, ("volume", "delete"), bodies.SnapshotRemoval, "snapshot.delete"),
    _change(
        "POST",
        "/gateway/snapshot-groups",
        snapshots.create_group,
        ("volume", "snapshotcreate"),
        bodies.NewGroup,
        "snapshot.group",
        made=True,
    ),
    _read(_REPLICATIONS, replications.enumerate_, ("volume", "enumerate"), bodies.ReplicationsWanted),
    _change(
        "POST",
        _REPLICATIONS,
        replications.create,
        ("volume", "update"),
        bodies.NewReplication,
        "replication.create",
        made=True,
    ),
    _show(_REPLICATION, replications.inspect, ("volume", "inspect")),
    _change(
        "PATCH",
        _REPLICATION,
        replications.change,
        ("volume", "update"),
        bodies.ReplicationChange,
        "replication.update",
    ),
    _remove(_REPLICATION, replications.delete, ("volume", "update"), bodies.Letting, "replication.delete"),
    _change(
        "POST",
        f"{_REPLICATION}/break",
        replications.break_,
        ("volume", "update"),
        Nothing,
        "replication.break",
    ),
    _change(
        "POST",
        f"{_REPLICATION}/resync",
        replications.resync,
        ("volume", "update"),
        bodies.Turning,
        "replication.resync",
    ),
    _change(
        "POST",
        f"{_REPLICATION}/reverse",
        replications.reverse,
        ("volume", "update"),
        bodies.Turning,
        "replication.reverse",
    ),
    _read(_TRANSFERS, replications.enumerate_transfers, ("volume", "inspect"), bodies.PageWanted),
    _change(
        "POST",
        _TRANSFERS,
        replications.transfer,
        ("volume", "update"),
        bodies.NewTransfer,
        "transfer.create",
        made=True,
    ),
    _show(_TRANSFER, replications.inspect_transfer, ("volume", "inspect")),
    _remove(_TRANSFER, replications.abort, ("volume", "update"), Nothing, "transfer.abort"),
    _show("/gateway/replication-policies", replications.policies, ("cluster", "enumerate")),
    _show(_POLICY, policies.inspect, ("cluster", "inspect")),
    _change("PUT", _POLICY, policies.put, ("cluster", "update"), bodies.Rules, "export_policy.put"),
    _remove(_POLICY, policies.delete, ("cluster", "delete"), Nothing, "export_policy.delete"),
)
