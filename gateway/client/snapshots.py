from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.client.flows import Flow, Listing, Progress, change, fetch, find
from gateway.client.records import Snapshot
from gateway.client.volumes import PATH

_FIELDS = "uuid,name,volume,create_time,comment,size"


def every(volume_uuid: str) -> Listing[Snapshot]:
    """Ask for every snapshot of a volume."""
    return Listing(path=_path(volume_uuid), kind=Snapshot, query=(("fields", _FIELDS),))


def show(volume_uuid: str, name: str) -> Flow[Snapshot]:
    """Give a snapshot by name."""
    return find(every(volume_uuid), kind="snapshot", name=name, named=lambda snapshot: snapshot.name)


def create(volume_uuid: str, name: str, *, comment: str = "", progress: Progress | None = None) -> Flow[Snapshot]:
    """Take a snapshot and give it."""
    body = {"name": name, "comment": comment} if comment else {"name": name}
    yield from change("POST", _path(volume_uuid), body, progress=progress)
    return (yield from show(volume_uuid, name))


def patch(
    volume_uuid: str, uuid: str, values: Mapping[str, Any], *, progress: Progress | None = None
) -> Flow[Snapshot]:
    """Set fields as ONTAP names them, such as `{"name": "new"}`, and give the snapshot as it is then."""
    path = f"{_path(volume_uuid)}/{uuid}"
    yield from change("PATCH", path, values, progress=progress)
    return (yield from fetch(path, Snapshot, fields=_FIELDS))


def delete(volume_uuid: str, uuid: str, *, progress: Progress | None = None) -> Flow[None]:
    """Delete a snapshot."""
    return change("DELETE", f"{_path(volume_uuid)}/{uuid}", progress=progress)


def _path(volume_uuid: str) -> str:
    return f"{PATH}/{volume_uuid}/snapshots"
