"""openstorage: the SDK by its official client over gRPC, the SDK over HTTP, the older REST API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import httpx
import openstorage_client
from dialect import BLOCKS, FILES, GIB, Case, Dialect, RefusedError, Seen, Snap, Surroundings

_TABLE = """
[frontend.openstorage]
grpc = "127.0.0.1:0"
rest = "127.0.0.1:0"
older = "127.0.0.1:0"
"""
_FORMATS = {FILES: "FS_TYPE_VFS", BLOCKS: "FS_TYPE_EXT4"}
_FORMATS_OF_FILES = {"FS_TYPE_VFS", "FS_TYPE_BTRFS"}
"""The door tells the pool's file system where it knows it; an empty volume of blocks has none."""


class Sdk(Dialect):
    """Snapshots are volumes that are read-only."""

    table = _TABLE

    def __init__(self, mounts: Path) -> None:
        self._mounts = mounts

    def make(self, name: str, kind: str, size: int = GIB, *, pool: str = "memory") -> None:
        spec = {"size": str(size), "ha_level": "1", "format": _FORMATS[kind]}
        self._call("Volume/Create", name=name, spec={**spec, "replica_set": {"pool_uuids": [self._pool(pool)]}})

    def find(self, name: str) -> Seen:
        return self.look(name)

    def look(self, volume_id: str) -> Seen:
        return _seen(self._call("Volume/Inspect", volume_id=volume_id)["volume"])

    def names(self) -> set[str]:
        found = [each["volume"] for each in self._call("Volume/InspectWithFilters").get("volumes", [])]
        return {volume["locator"]["name"] for volume in found if not volume.get("readonly")}

    def remove(self, volume: Seen) -> None:
        self._call("Volume/Delete", volume_id=volume.id)

    def snapshot(self, volume: Seen, name: str) -> Snap:
        return Snap(self._call("Volume/SnapshotCreate", volume_id=volume.id, name=name)["snapshot_id"], name)

    def snapshots(self, volume: Seen) -> set[Snap]:
        ids = self._call("Volume/SnapshotEnumerate", volume_id=volume.id).get("volume_snapshot_ids", [])
        return {Snap(each, self._call("Volume/Inspect", volume_id=each)["name"]) for each in ids}

    def remove_snapshot(self, _volume: Seen, snapshot: Snap) -> None:
        self._call("Volume/Delete", volume_id=snapshot.id)

    def restore(self, volume: Seen, snapshot: Snap) -> None:
        self._call("Volume/SnapshotRestore", volume_id=volume.id, snapshot_id=snapshot.id)

    def copy(self, volume: Seen, name: str) -> None:
        self._call("Volume/Clone", name=name, parent_id=volume.id)

    def copy_of_snapshot(self, _volume: Seen, snapshot: Snap, name: str) -> None:
        self._call("Volume/Clone", name=name, parent_id=snapshot.id)

    def resize(self, volume: Seen, size: int) -> None:
        self._call("Volume/Update", volume_id=volume.id, spec={"size": str(size)})

    def attach(self, volume: Seen) -> None:
        self._call("MountAttach/Attach", volume_id=volume.id)

    def detach(self, volume: Seen) -> None:
        self._call("MountAttach/Detach", volume_id=volume.id)

    def mount(self, volume: Seen) -> Path:
        place = self._mounts / str(volume.id)
        place.mkdir()
        self._call("MountAttach/Mount", volume_id=volume.id, mount_path=str(place))
        return place

    def unmount(self, volume: Seen) -> None:
        self._call("MountAttach/Unmount", volume_id=volume.id, mount_path=str(self._mounts / str(volume.id)))

    def _pool(self, name: str) -> str:
        """Give the id of a pool, as nodes tell it."""
        (node,) = self._call("Node/Enumerate")["node_ids"]
        pools = self._call("Node/Inspect", node_id=node)["node"]["pools"]
        return next(pool["uuid"] for pool in pools if pool["labels"]["name"] == name)

    def _call(self, name: str, /, **request: Any) -> Any:
        raise NotImplementedError


class SdkOverGrpc(Sdk):
    """The official client."""

    name = "openstorage"
    words: ClassVar[Mapping[Case, str]] = {
        Case.UNKNOWN: "^NOT_FOUND: Volume .* not found",
        Case.TAKEN: "^ALREADY_EXISTS: Volume .* already exists",
        Case.PINNED: "^FAILED_PRECONDITION: cannot delete snapshot .*\\(clones\\)",
        Case.ATTACHED: "^FAILED_PRECONDITION: cannot delete volume .*\\(attachments\\)",
        Case.MOUNTED: "^FAILED_PRECONDITION: cannot delete volume .*\\(mounts\\)",
        Case.UNABLE: "^UNIMPLEMENTED: no snapshot on poor: disabled by the operator",
        Case.SMALLER: "^INVALID_ARGUMENT: no shrink on memory",
    }

    def __init__(self, client: openstorage_client.Client, mounts: Path) -> None:
        super().__init__(mounts)
        self._client = client

    @classmethod
    @contextmanager
    def open(cls, around: Surroundings) -> Iterator[SdkOverGrpc]:
        target = around.gateway.addresses["openstorage"]
        with openstorage_client.official_client(around.openstorage_python, target) as client:
            yield cls(client, around.mounts)

    def _call(self, name: str, /, **request: Any) -> Any:
        try:
            return self._client(name, **request)
        except openstorage_client.RefusedError as error:
            raise RefusedError(str(error)) from None


_ROUTES = {
    "Volume/Create": "POST /v1/volumes",
    "Volume/Inspect": "GET /v1/volumes/inspect/{volume_id}",
    "Volume/InspectWithFilters": "POST /v1/volumes/inspectwithfilters",
    "Volume/Update": "PUT /v1/volumes/{volume_id}",
    "Volume/Delete": "DELETE /v1/volumes/{volume_id}",
    "Volume/Clone": "POST /v1/volumes/clone",
    "Volume/SnapshotCreate": "POST /v1/volumes/snapshots",
    "Volume/SnapshotEnumerate": "GET /v1/volumes/snapshots",
    "Volume/SnapshotRestore": "POST /v1/volumes/snapshots/restore",
    "MountAttach/Attach": "POST /v1/mountattach/attach",
    "MountAttach/Detach": "POST /v1/mountattach/detach",
    "MountAttach/Mount": "POST /v1/mountattach/mount",
    "MountAttach/Unmount": "POST /v1/mountattach/unmount",
    "Node/Enumerate": "GET /v1/nodes",
    "Node/Inspect": "GET /v1/nodes/inspect/{node_id}",
}


class SdkOverHttp(Sdk):
    """Any client of HTTP."""

    name = "openstorage-rest"
    words: ClassVar[Mapping[Case, str]] = {
        Case.UNKNOWN: "^404 5 Volume .* not found",
        Case.TAKEN: "^409 6 Volume .* already exists",
        Case.PINNED: "^400 9 cannot delete snapshot .*\\(clones\\)",
        Case.ATTACHED: "^400 9 cannot delete volume .*\\(attachments\\)",
        Case.MOUNTED: "^400 9 cannot delete volume .*\\(mounts\\)",
        Case.UNABLE: "^501 12 no snapshot on poor: disabled by the operator",
        Case.SMALLER: "^400 3 no shrink on memory",
    }

    def __init__(self, client: httpx.Client, mounts: Path) -> None:
        super().__init__(mounts)
        self._client = client

    @classmethod
    @contextmanager
    def open(cls, around: Surroundings) -> Iterator[SdkOverHttp]:
        with httpx.Client(base_url=around.gateway.addresses[cls.name], timeout=60, verify=False) as client:
            yield cls(client, around.mounts)

    def _call(self, name: str, /, **request: Any) -> Any:
        verb, path = _ROUTES[name].format(**request).split()
        inside = {"params": request} if verb == "GET" else {"json": request} if verb != "DELETE" else {}
        answer = self._client.request(verb, path, **inside)
        if answer.is_error:
            raise RefusedError(f"{answer.status_code} {answer.json()['code']} {answer.json()['message']}")
        return answer.json()


_OLDER_VOLUMES, _OLDER_SNAPSHOTS = "/v1/osd-volumes", "/v1/osd-snapshot"
_OLDER_FORMATS = {FILES: 5, BLOCKS: 2}
_OLDER_FORMATS_OF_FILES = {5, 1}


class Older(Dialect):
    """Refusals are inside of answers that are 200."""

    name = "openstorage-older"
    table = _TABLE
    words: ClassVar[Mapping[Case, str]] = {
        Case.UNKNOWN: "^200 no volume",
        Case.TAKEN: "^200 rpc error: code = AlreadyExists desc = Volume .* already exists",
        Case.PINNED: "^200 rpc error: code = FailedPrecondition desc = cannot delete snapshot .*\\(clones\\)",
        Case.ATTACHED: "^200 rpc error: code = FailedPrecondition desc = cannot delete volume .*\\(attachments\\)",
        Case.MOUNTED: "^200 rpc error: code = FailedPrecondition desc = cannot delete volume .*\\(mounts\\)",
        Case.UNABLE: "^200 rpc error: code = Unimplemented desc = no snapshot on poor: disabled by the operator",
        Case.SMALLER: "^400 rpc error: code = InvalidArgument desc = no shrink on memory",
    }

    def __init__(self, client: httpx.Client, mounts: Path) -> None:
        self._client = client
        self._mounts = mounts

    @classmethod
    @contextmanager
    def open(cls, around: Surroundings) -> Iterator[Older]:
        with httpx.Client(base_url=around.gateway.addresses[cls.name], timeout=60, verify=False) as client:
            yield cls(client, around.mounts)

    def make(self, name: str, kind: str, size: int = GIB, *, pool: str = "memory") -> None:
        spec = {"size": size, "ha_level": 1, "format": _OLDER_FORMATS[kind]}
        spec["replica_set"] = {"pool_uuids": [self._pool(pool)]}
        self._ask("POST", _OLDER_VOLUMES, {"locator": {"name": name}, "spec": spec})

    def find(self, name: str) -> Seen:
        return self._one(name, {"Name": name})

    def look(self, volume_id: str) -> Seen:
        return self._one(volume_id, {"VolumeID": volume_id})

    def names(self) -> set[str]:
        found = self._ask("GET", _OLDER_VOLUMES)
        return {volume["locator"]["name"] for volume in found if not volume.get("readonly")}

    def remove(self, volume: Seen) -> None:
        self._ask("DELETE", f"{_OLDER_VOLUMES}/{volume.id}")

    def snapshot(self, volume: Seen, name: str) -> Snap:
        return Snap(self._taken(volume.id, name, readonly=True), name)

    def snapshots(self, volume: Seen) -> set[Snap]:
        found = self._ask("GET", f"{_OLDER_SNAPSHOTS}?VolumeID={volume.id}")
        return {Snap(each["id"], each["locator"]["name"]) for each in found if each.get("readonly")}

    def remove_snapshot(self, _volume: Seen, snapshot: Snap) -> None:
        self._ask("DELETE", f"{_OLDER_VOLUMES}/{snapshot.id}")

    def restore(self, volume: Seen, snapshot: Snap) -> None:
        self._ask("POST", f"{_OLDER_SNAPSHOTS}/restore/{volume.id}?SnapID={snapshot.id}")

    def copy(self, volume: Seen, name: str) -> None:
        self._taken(volume.id, name, readonly=False)

    def copy_of_snapshot(self, _volume: Seen, snapshot: Snap, name: str) -> None:
        self._taken(snapshot.id, name, readonly=False)

    def resize(self, volume: Seen, size: int) -> None:
        self._ask("PUT", f"{_OLDER_VOLUMES}/{volume.id}", {"spec": {"size": size}})

    def attach(self, volume: Seen) -> None:
        self._ask("PUT", f"{_OLDER_VOLUMES}/{volume.id}", {"action": {"attach": 2}})

    def detach(self, volume: Seen) -> None:
        self._ask("PUT", f"{_OLDER_VOLUMES}/{volume.id}", {"action": {"attach": 1}})

    def mount(self, volume: Seen) -> Path:
        place = self._mounts / str(volume.id)
        place.mkdir()
        self._ask("PUT", f"{_OLDER_VOLUMES}/{volume.id}", {"action": {"mount": 2, "mount_path": str(place)}})
        return place

    def unmount(self, volume: Seen) -> None:
        place = self._mounts / str(volume.id)
        self._ask("PUT", f"{_OLDER_VOLUMES}/{volume.id}", {"action": {"mount": 1, "mount_path": str(place)}})

    def _pool(self, name: str) -> str:
        (node,) = self._ask("GET", "/v1/cluster/enumerate")["Nodes"]
        return str(next(pool["uuid"] for pool in node["Pools"] if pool["labels"]["name"] == name))

    def _one(self, ref: str, query: dict[str, str]) -> Seen:
        found = self._ask("GET", _OLDER_VOLUMES, params=query)
        if not found:
            raise RefusedError(f"200 no volume {ref}")
        (volume,) = found
        return _seen_older(volume)

    def _taken(self, parent: str | None, name: str, *, readonly: bool) -> str:
        body = {"id": parent, "locator": {"name": name}, "readonly": readonly}
        return str(self._ask("POST", _OLDER_SNAPSHOTS, body)["volume_create_response"]["id"])

    def _ask(self, verb: str, path: str, body: Any = None, params: Any = None) -> Any:
        answer = self._client.request(verb, path, json=body, params=params)
        if answer.is_error:
            raise RefusedError(f"{answer.status_code} {answer.text}")
        told = answer.json()
        if failure := _failure(told):
            raise RefusedError(f"200 {failure}")
        return told


def _failure(told: Any) -> str:
    """Give the error that an answer has somewhere inside."""
    if not isinstance(told, dict):
        return ""
    return str(told.get("error", "")) or next(filter(None, map(_failure, told.values())), "")


def _seen(volume: Any) -> Seen:
    kind = FILES if volume.get("format") in _FORMATS_OF_FILES else BLOCKS
    return Seen(volume["id"], volume["locator"]["name"], int(volume["spec"]["size"]), kind)


def _seen_older(volume: Any) -> Seen:
    kind = FILES if volume.get("format") in _OLDER_FORMATS_OF_FILES else BLOCKS
    return Seen(volume["id"], volume["locator"]["name"], volume["spec"]["size"], kind)
