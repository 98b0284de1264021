"""Which handler has which route."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from gateway.frontends.openstorage.older import cluster, policies, snapshots, volume_set, volumes
from gateway.frontends.openstorage.older.answer import Answer, Refused
from gateway.frontends.openstorage.older.ask import Ask
from gateway.frontends.openstorage.older.refused import ABSENT
from gateway.frontends.routing import segments

Handler = Callable[[Ask], Awaitable[Answer]]


class Route(NamedTuple):
    """A verb and a path with keys in braces, each one segment. `admin`: for administrators only."""

    verb: str
    template: str
    handler: Handler
    admin: bool = False


def _refuse(status: int, text: str) -> Handler:
    async def refuse(_ask: Ask) -> Answer:
        raise Refused(status, text)

    return refuse


SERVED: Sequence[Route] = (
    Route("GET", "/osd-volumes/versions", volumes.versions),
    Route("GET", "/v1/osd-volumes/versions", volumes.no_versions),
    Route("POST", "/v1/osd-volumes", volumes.create),
    Route("GET", "/v1/osd-volumes", volumes.enumerate_),
    Route("GET", "/v1/osd-volumes/stats", volumes.stats),
    Route("GET", "/v1/osd-volumes/stats/{id}", volumes.stats),
    Route("GET", "/v1/osd-volumes/usedsize", volumes.used_size),
    Route("GET", "/v1/osd-volumes/usedsize/{id}", volumes.used_size),
    Route("GET", "/v1/osd-volumes/usage", volumes.usage),
    Route("GET", "/v1/osd-volumes/usage/{id}", volumes.usage),
    Route("GET", "/v1/osd-volumes/requests", volumes.requests),
    Route("GET", "/v1/osd-volumes/requests/{id}", volumes.requests),
    Route("POST", "/v1/osd-volumes/quiesce/{id}", volumes.quiesce),
    Route("POST", "/v1/osd-volumes/unquiesce/{id}", volumes.unquiesce),
    Route("GET", "/v1/osd-volumes/catalog/{id}", volumes.catalog),
    Route("GET", "/v1/osd-volumes/{id}", volumes.inspect),
    Route("PUT", "/v1/osd-volumes/{id}", volume_set.set_volume),
    Route("DELETE", "/v1/osd-volumes/{id}", volumes.delete),
    Route("POST", "/v1/osd-snapshot", snapshots.create),
    Route("GET", "/v1/osd-snapshot", snapshots.enumerate_),
    Route("POST", "/v1/osd-snapshot/snapshotgroup", snapshots.create_group),
    Route("POST", "/v1/osd-snapshot/restore/{id}", snapshots.restore),
    Route("GET", "/cluster/versions", volumes.versions, admin=True),
    Route("GET", "/v1/cluster/enumerate", cluster.enumerate_, admin=True),
    Route("GET", "/v1/cluster/status", cluster.status, admin=True),
    Route("GET", "/v1/cluster/nodestatus", cluster.node_status, admin=True),
    Route("GET", "/v1/cluster/nodehealth", cluster.node_health),
    Route("GET", "/v1/cluster/peerstatus", cluster.peer_status, admin=True),
    Route("GET", "/v1/cluster/inspect/{id}", cluster.inspect, admin=True),
    Route("GET", "/v1/cluster/getnodeidfromip/{idip}", cluster.node_id, admin=True),
    Route("DELETE", "/v1/cluster", cluster.remove, admin=True),
    Route("GET", "/v1/cluster/alerts/{resource}", cluster.alerts, admin=True),
    Route("DELETE", "/v1/cluster/alerts/{resource}/{id}", cluster.erase_alert, admin=True),
    Route("GET", "/v1/cluster/schedpolicy", policies.enumerate_, admin=True),
    Route("POST", "/v1/cluster/schedpolicy", policies.create, admin=True),
    Route("PUT", "/v1/cluster/schedpolicy", policies.update, admin=True),
    Route("GET", "/v1/cluster/schedpolicy/{name}", policies.inspect, admin=True),
    Route("DELETE", "/v1/cluster/schedpolicy/{name}", policies.delete, admin=True),
    Route("DELETE", "/v1/cluster/{id}", cluster.remove, admin=True),
)
"""What is served. The first that fits a path has it, so names come before keys."""

ROUTES: Sequence[Route] = (
    *(Route(each.verb, each.template, _refuse(each.status, each.text), admin=each.admin) for each in ABSENT),
    *SERVED,
)


def place(raw_path: str) -> tuple[str, ...]:
    """Split a path and decode its segments. A slash at the end says nothing."""
    return segments(raw_path.removesuffix("/"))
