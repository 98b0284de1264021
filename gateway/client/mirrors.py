"""Volumes that follow others: ONTAP's SnapMirror relationships."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from gateway.client.flows import Flow, Listing, Progress, change, fetch, gathered
from gateway.client.records import Mirror
from gateway.client.wire import ClientError, Pause, exactly

_PATH = "/api/snapmirror/relationships"
_FIELDS = (
    "uuid,source,destination,state,healthy,unhealthy_reason,policy,transfer_schedule,throttle,lag_time,"
    "exported_snapshot,transfer,last_transfer_type,total_transfer_bytes"
)
_GOING = frozenset({"queued", "transferring"})
_FIRST_POLL_S = 0.05
_LAST_POLL_S = 2.0


def every(*, tenant: str | None = None) -> Listing[Mirror]:
    """Ask for every mirror, or for those whose volumes belong to one tenant."""
    query = [("fields", _FIELDS)]
    if tenant is not None:
        query.append(("destination.svm.name", exactly(tenant)))
    return Listing(path=_PATH, kind=Mirror, query=tuple(query))


def show(volume: str, *, tenant: str | None = None) -> Flow[Mirror]:
    """Give the mirror that a volume is. `tenant` is needed when several have a volume of that name."""
    path = f"*:{exactly(volume)}" if tenant is None else exactly(f"{tenant}:{volume}")
    listing = every()
    named = msgspec.structs.replace(listing, query=(*listing.query, ("destination.path", path)))
    found = [one for one in (yield from gathered(named)) if one.destination.path.partition(":")[2] == volume]
    if not found:
        raise ClientError(404, "4", f"no volume {volume!r} is a mirror", "name")
    if len(found) > 1:
        raise ClientError(0, "", f"there are {len(found)} mirrors named {volume!r}; say in which tenant", "svm.name")
    return found[0]


def create(
    volume: str,
    *,
    tenant: str,
    source: str,
    source_tenant: str,
    policy: str | None = None,
    schedule: str | None = None,
    throttle: int | None = None,
    progress: Progress | None = None,
) -> Flow[Mirror]:
    """Make a volume follow another one, begin to fill it, and give the mirror.

    The volume is made, unless one of type `dp` waits for it. `throttle` is KiB per second.
    """
    body: dict[str, Any] = {
        "source": {"path": f"{source_tenant}:{source}"},
        "destination": {"path": f"{tenant}:{volume}"},
        "create_destination": {"enabled": True},
        "state": "snapmirrored",
    }
    optional = {"policy": policy, "transfer_schedule": schedule}
    body |= {name: {"name": value} for name, value in optional.items() if value is not None}
    if throttle is not None:
        body["throttle"] = throttle
    yield from change("POST", _PATH, body, progress=progress)
    return (yield from show(volume, tenant=tenant))


def update(uuid: str, *, snapshot: str | None = None) -> Flow[None]:
    """Begin a transfer, of a snapshot that the source has or as the policy says."""
    body = {} if snapshot is None else {"source_snapshot": snapshot}
    return change("POST", f"{_PATH}/{uuid}/transfers", body)


def patch(uuid: str, values: Mapping[str, Any], *, progress: Progress | None = None) -> Flow[Mirror]:
    """Set fields as ONTAP names them, such as `{"state": "broken_off"}`, and give the mirror as it is then."""
    yield from change("PATCH", f"{_PATH}/{uuid}", values, progress=progress)
    return (yield from fetch(f"{_PATH}/{uuid}", Mirror, fields=_FIELDS))


def reverse(mirror: Mirror, *, progress: Progress | None = None) -> Flow[Mirror]:
    """Let the source of a broken mirror follow its volume from now on."""
    ends = {"source": {"path": mirror.destination.path}, "destination": {"path": mirror.source.path}}
    return patch(mirror.uuid, {**ends, "state": "snapmirrored"}, progress=progress)


def delete(uuid: str, *, keep_common: bool = False, progress: Progress | None = None) -> Flow[None]:
    """End a mirror; both volumes stay. `keep_common`: so does the newest snapshot that both have."""
    query = [("destination_only", "true")] if keep_common else []
    return change("DELETE", f"{_PATH}/{uuid}", query=query, progress=progress)


def settled(uuid: str) -> Flow[Mirror]:
    """Give a mirror once no transfer runs; ClientError when the last one failed."""
    pause = _FIRST_POLL_S
    while True:
        found = yield from fetch(f"{_PATH}/{uuid}", Mirror, fields=_FIELDS)
        if found.transfer is None or found.transfer.state not in _GOING:
            break
        yield Pause(pause)
        pause = min(pause * 2, _LAST_POLL_S)
    if not found.healthy:
        reason = found.unhealthy_reason[0] if found.unhealthy_reason else None
        raise ClientError(0, reason.code if reason else "", reason.message if reason else "the transfer failed")
    return found
