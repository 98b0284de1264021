"""The Docker volume plugin, as the daemon speaks to it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import httpx
from dialect import GIB, MOUNTS, Case, Dialect, RefusedError, Seen, Snap, Surroundings

_TABLE = f"""
[export.mounts]
paths = ["{MOUNTS}"]

[frontend.docker]
socket = ""
listen = "127.0.0.1:0"
"""
_NAMELESS = "the protocol knows volumes by name, and nothing else by any"


class Docker(Dialect):
    """Volumes are named. What they are is in their status, which Docker shows and does not understand."""

    name = "docker"
    table = _TABLE
    lacks: ClassVar[Mapping[str, str]] = {
        "look": _NAMELESS,
        "snapshot": _NAMELESS,
        "snapshots": _NAMELESS,
        "remove_snapshot": _NAMELESS,
        "restore": _NAMELESS,
        "resize": "a volume has the size with which it was made",
        "attach": "a volume is mounted, on the gateway's host and no other",
        "detach": "a volume is mounted, on the gateway's host and no other",
    }
    words: ClassVar[Mapping[Case, str]] = {
        Case.UNKNOWN: "^200 volume .* not found",
        Case.TAKEN: "^200 volume .* already exists, and is not what was asked for",
        Case.ATTACHED: r"^200 cannot delete volume .*\(attachments\)",
        Case.MOUNTED: r"^200 cannot delete volume .*\(mounts\)",
    }

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    @classmethod
    @contextmanager
    def open(cls, around: Surroundings) -> Iterator[Docker]:
        with httpx.Client(base_url=around.gateway.addresses["docker-tcp"], timeout=60, verify=False) as client:
            yield cls(client)

    def make(self, name: str, kind: str, size: int = GIB, *, pool: str = "memory") -> None:
        self._ask("Create", name, {"size": f"{size // GIB}G", "pool": pool, "kind": kind})

    def find(self, name: str) -> Seen:
        found = self._ask("Get", name)["Volume"]
        status = found["Status"]
        return Seen(status["id"], found["Name"], status["size"], status["kind"])

    def names(self) -> set[str]:
        return {volume["Name"] for volume in self._ask("List")["Volumes"]}

    def remove(self, volume: Seen) -> None:
        self._ask("Remove", volume.name)

    def copy(self, volume: Seen, name: str) -> None:
        self._ask("Create", name, {"from": volume.name})

    def copy_of_snapshot(self, volume: Seen, snapshot: Snap, name: str) -> None:
        self._ask("Create", name, {"from": f"{volume.name}@{snapshot.name}"})

    def mount(self, volume: Seen) -> Path:
        return Path(self._ask("Mount", volume.name)["Mountpoint"])

    def unmount(self, volume: Seen) -> None:
        self._ask("Unmount", volume.name)

    def _ask(self, call: str, name: str = "", options: Mapping[str, str] | None = None) -> Any:
        request = {"Name": name, "Opts": options, "ID": "matrix"}
        answer = self._client.post(f"/VolumeDriver.{call}", json=request)
        told = answer.json()
        if told.get("Err"):
            raise RefusedError(f"{answer.status_code} {told['Err']}")
        return told
