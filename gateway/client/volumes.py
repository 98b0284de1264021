"""Volumes and clones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from gateway.client.flows import Flow, Listing, Progress, ask, change, fetch, find
from gateway.client.records import Handle, Volume
from gateway.client.wire import Call, ClientError, decode, exactly

PATH = "/api/storage/volumes"
_LUNS = "/api/storage/luns"
_LUN = "lun0"
_FIELDS = (
    "uuid,name,svm,aggregates,size,state,comment,create_time,nas.path,nas.export_policy.name,space.size,space.used,"
    "space.available,clone.is_flexclone,clone.parent_volume,clone.parent_snapshot,snapshot_count,_tags"
)


class _Handles(msgspec.Struct, frozen=True):
    handles: tuple[Handle, ...]


class _Token(msgspec.Struct, frozen=True):
    token: str


def every(*, tenant: str | None = None, clones_only: bool = False) -> Listing[Volume]:
    """Ask for every volume, of one tenant or of all."""
    query = [("fields", _FIELDS)]
    if tenant is not None:
        query.append(("svm.name", exactly(tenant)))
    if clones_only:
        query.append(("clone.is_flexclone", "true"))
    return Listing(path=PATH, kind=Volume, query=tuple(query))


def show(name: str, *, tenant: str | None = None) -> Flow[Volume]:
    """Give a volume by name. `tenant` is needed when several have one of that name."""
    return find(every(tenant=tenant), kind="volume", name=name, named=lambda volume: volume.name)


def get(uuid: str) -> Flow[Volume]:
    """Give a volume by id."""
    return fetch(f"{PATH}/{uuid}", Volume, fields=_FIELDS)


def create(
    name: str,
    *,
    tenant: str,
    pool: str,
    size: int,
    comment: str = "",
    path: str | None = None,
    export_policy: str | None = None,
    tags: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> Flow[Volume]:
    """Make a volume of `size` bytes and give it. `path` mounts it there."""
    body: dict[str, Any] = {"name": name, "svm": {"name": tenant}, "aggregates": [{"name": pool}], "size": size}
    body |= _optional(comment=comment, path=path, export_policy=export_policy, tags=tags)
    yield from change("POST", PATH, body, progress=progress)
    return (yield from show(name, tenant=tenant))


def create_block(
    name: str,
    *,
    tenant: str,
    pool: str,
    size: int,
    comment: str = "",
    os_type: str = "linux",
    progress: Progress | None = None,
) -> Flow[Volume]:
    """Make a block volume of `size` bytes, and give it: a volume that holds one LUN, as ONTAP has it."""
    made = yield from create(name, tenant=tenant, pool=pool, size=size, comment=comment, progress=progress)
    body: dict[str, Any] = {
        "name": f"/vol/{name}/{_LUN}",
        "svm": {"name": tenant},
        "os_type": os_type,
        "space": {"size": size},
    }
    try:
        yield from change("POST", _LUNS, body, progress=progress)
    except ClientError:
        yield from delete(made.uuid, progress=progress)
        raise
    return (yield from get(made.uuid))


def clone(
    name: str,
    *,
    tenant: str,
    parent: str,
    snapshot: str | None = None,
    comment: str = "",
    path: str | None = None,
    export_policy: str | None = None,
    progress: Progress | None = None,
) -> Flow[Volume]:
    """Make a clone of a volume, as it is or as a snapshot has it, and give it."""
    origin: dict[str, Any] = {"is_flexclone": True, "parent_volume": {"name": parent}}
    if snapshot is not None:
        origin["parent_snapshot"] = {"name": snapshot}
    body: dict[str, Any] = {"name": name, "svm": {"name": tenant}, "clone": origin}
    body |= _optional(comment=comment, path=path, export_policy=export_policy, tags=None)
    yield from change("POST", PATH, body, progress=progress)
    return (yield from show(name, tenant=tenant))


def patch(uuid: str, values: Mapping[str, Any], *, progress: Progress | None = None) -> Flow[Volume]:
    """Set fields as ONTAP names them, such as `{"size": 2 << 30}`, and give the volume as it is then."""
    yield from change("PATCH", f"{PATH}/{uuid}", values, progress=progress)
    return (yield from get(uuid))


def split(uuid: str, *, progress: Progress | None = None) -> Flow[Volume]:
    """Make a clone independent of its parent."""
    return patch(uuid, {"clone": {"split_initiated": True}}, progress=progress)


def restore(uuid: str, snapshot: str, *, progress: Progress | None = None) -> Flow[Volume]:
    """Bring the content of a snapshot back."""
    return patch(uuid, {"restore_to": {"snapshot": {"name": snapshot}}}, progress=progress)


def delete(uuid: str, *, progress: Progress | None = None) -> Flow[None]:
    """Delete a volume."""
    return change("DELETE", f"{PATH}/{uuid}", progress=progress)


def access(uuid: str) -> Flow[tuple[Handle, ...]]:
    """Give every way to a volume's bytes. This is the gateway's own resource; a real ONTAP has none."""
    reply = yield from ask(Call(method="GET", path=f"/gateway/volumes/{uuid}/access"))
    return decode(reply, _Handles).handles


def token(uuid: str, *, write: bool) -> Flow[str]:
    """Give what opens a published tree, for reading or also for writing. The gateway's own resource, too."""
    reply = yield from ask(Call(method="POST", path=f"/gateway/volumes/{uuid}/tokens", body={"write": write}))
    return decode(reply, _Token).token


def _optional(
    *, comment: str, path: str | None, export_policy: str | None, tags: Mapping[str, str] | None
) -> dict[str, Any]:
    body: dict[str, Any] = {}
    if comment:
        body["comment"] = comment
    nas: dict[str, Any] = {}
    if path is not None:
        nas["path"] = path
    if export_policy is not None:
        nas["export_policy"] = {"name": export_policy}
    if nas:
        body["nas"] = nas
    if tags:
        body["_tags"] = [f"{key}:{value}" for key, value in tags.items()]
    return body
