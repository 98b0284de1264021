"""ONTAP REST, as its clients speak it: jobs are waited for by `return_timeout`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import httpx
from dialect import BLOCKS, FILES, GIB, TENANT, Case, Dialect, RefusedError, Seen, Snap, Surroundings

from gateway.testing.live import ACCOUNT, PASSWORD

_VOLUMES, _LUNS, _IGROUPS, _MAPS = (
    "/api/storage/volumes",
    "/api/storage/luns",
    "/api/protocols/san/igroups",
    "/api/protocols/san/lun-maps",
)
_SVM = {"name": TENANT}
_FIELDS = "uuid,name,size,nas"
_IGROUP = "matrix"
_HOSTS = "hosts mount what is exported to them by themselves"


class Ontap(Dialect):
    """The volume is a FlexVol; one of blocks holds a LUN."""

    name = "ontap"
    attaches = (BLOCKS,)
    lacks: ClassVar[Mapping[str, str]] = {"mount": _HOSTS, "unmount": _HOSTS}
    words: ClassVar[Mapping[Case, str]] = {
        # To its clients what is not there is an empty list.
        Case.UNKNOWN: "^200 no record",
        Case.TAKEN: "^409 917526 Duplicate volume name",
        Case.PINNED: "^409 1638555 Snapshot .* is busy or locked: clones",
        Case.ATTACHED: "^409 1254197 The LUN of volume .* is mapped, or hosts have its files",
        Case.MOUNTED: "^409 8 Cannot delete volume .* in use by mounts",
        Case.UNABLE: "^400 1638644 .*not supported on this platform",
        Case.SMALLER: "^400 5374892 The size of a LUN cannot be reduced",
    }

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    @classmethod
    @contextmanager
    def open(cls, around: Surroundings) -> Iterator[Ontap]:
        with httpx.Client(base_url=around.gateway.url, auth=(ACCOUNT, PASSWORD), timeout=60, verify=False) as client:
            yield cls(client)

    def make(self, name: str, kind: str, size: int = GIB, *, pool: str = "memory") -> None:
        self._ask("POST", _VOLUMES, {"name": name, "svm": _SVM, "aggregates": [{"name": pool}], "size": size})
        if kind == BLOCKS:
            lun = {"name": f"/vol/{name}/lun0", "svm": _SVM, "os_type": "linux", "space": {"size": size}}
            self._ask("POST", _LUNS, lun)

    def find(self, name: str) -> Seen:
        return self._one(self._ask("GET", f"{_VOLUMES}?name={name}&fields={_FIELDS}")["records"], name)

    def look(self, volume_id: str) -> Seen:
        return _seen(self._ask("GET", f"{_VOLUMES}/{volume_id}?fields={_FIELDS}"))

    def names(self) -> set[str]:
        return {record["name"] for record in self._ask("GET", _VOLUMES)["records"]}

    def remove(self, volume: Seen) -> None:
        self._ask("DELETE", f"{_VOLUMES}/{volume.id}")

    def snapshot(self, volume: Seen, name: str) -> Snap:
        self._ask("POST", f"{_VOLUMES}/{volume.id}/snapshots", {"name": name})
        (found,) = (snap for snap in self.snapshots(volume) if snap.name == name)
        return found

    def snapshots(self, volume: Seen) -> set[Snap]:
        records = self._ask("GET", f"{_VOLUMES}/{volume.id}/snapshots")["records"]
        return {Snap(record["uuid"], record["name"]) for record in records}

    def remove_snapshot(self, volume: Seen, snapshot: Snap) -> None:
        self._ask("DELETE", f"{_VOLUMES}/{volume.id}/snapshots/{snapshot.id}")

    def restore(self, volume: Seen, snapshot: Snap) -> None:
        self._ask("PATCH", f"{_VOLUMES}/{volume.id}", {"restore_to": {"snapshot": {"name": snapshot.name}}})

    def copy(self, volume: Seen, name: str) -> None:
        self._clone(name, {"parent_volume": {"name": volume.name}})

    def copy_of_snapshot(self, volume: Seen, snapshot: Snap, name: str) -> None:
        self._clone(name, {"parent_volume": {"name": volume.name}, "parent_snapshot": {"name": snapshot.name}})

    def resize(self, volume: Seen, size: int) -> None:
        if volume.kind == BLOCKS:
            self._ask("PATCH", f"{_LUNS}/{volume.id}", {"space": {"size": size}})
        else:
            self._ask("PATCH", f"{_VOLUMES}/{volume.id}", {"size": size})

    def attach(self, volume: Seen) -> None:
        if not self._ask("GET", f"{_IGROUPS}?name={_IGROUP}")["records"]:
            initiators = [{"name": "iqn.1993-08.org.debian:01:matrix"}]
            group = {"name": _IGROUP, "svm": _SVM, "os_type": "linux", "protocol": "iscsi", "initiators": initiators}
            self._ask("POST", _IGROUPS, group)
        self._ask("POST", _MAPS, {"svm": _SVM, "lun": {"uuid": volume.id}, "igroup": {"name": _IGROUP}})

    def detach(self, volume: Seen) -> None:
        self._ask("DELETE", f"{_MAPS}?lun.uuid={volume.id}&igroup.name={_IGROUP}")

    def folder(self, volume_id: str) -> Path:
        """Give where a volume's files are on this host. This is the gateway's own resource; ONTAP has none."""
        return Path(self._ask("GET", f"/gateway/volumes/{volume_id}/access")["handles"][0]["path"])

    def _clone(self, name: str, origin: dict[str, Any]) -> None:
        self._ask("POST", _VOLUMES, {"name": name, "svm": _SVM, "clone": {"is_flexclone": True, **origin}})

    @staticmethod
    def _one(records: list[Any], name: str) -> Seen:
        if not records:
            raise RefusedError(f"200 no record of {name}")
        (record,) = records
        return _seen(record)

    def _ask(self, verb: str, path: str, body: Any = None) -> Any:
        target = path if verb == "GET" else f"{path}{'&' if '?' in path else '?'}return_timeout=60"
        answer = self._client.request(verb, target, json=body)
        told = answer.json() if answer.content else {}
        if answer.is_error:
            raise RefusedError(f"{answer.status_code} {told['error']['code']} {told['error']['message']}")
        return told


def _seen(record: Any) -> Seen:
    return Seen(record["uuid"], record["name"], record["size"], FILES if "nas" in record else BLOCKS)
