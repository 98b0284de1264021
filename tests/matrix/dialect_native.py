"""The gateway's own resources, by the client that drivers have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import ClassVar, TypeVar

from dialect import GIB, TENANT, Case, Dialect, RefusedError, Seen, Snap, Surroundings

from gateway.client import Client, ClientError, Flow, native
from gateway.testing.live import ACCOUNT, PASSWORD

T = TypeVar("T")

_NODE = "matrix"
_NODES = "nodes mount what they have attached by themselves"


class Native(Dialect):
    """Every word of the core's that a driver needs."""

    name = "native"
    attaches = ()
    """What is in memory, or in a folder without an exporter, no other host can reach, and the door says so."""
    lacks: ClassVar[Mapping[str, str]] = {"mount": _NODES, "unmount": _NODES}
    words: ClassVar[Mapping[Case, str]] = {
        # To drivers what is not there is None.
        Case.UNKNOWN: "^200 no volume",
        Case.TAKEN: "^409 AlreadyExists volume .* already exists",
        Case.PINNED: "^409 InUse .*clones",
        Case.ATTACHED: "^409 InUse .*attachments",
        Case.MOUNTED: "^409 InUse .*mounts",
        Case.UNABLE: "^501 Unsupported no snapshot on poor",
        Case.SMALLER: "^501 Unsupported no shrink",
    }

    def __init__(self, client: Client) -> None:
        self._client = client

    @classmethod
    @contextmanager
    def open(cls, around: Surroundings) -> Iterator[Native]:
        with Client(around.gateway.url, user=ACCOUNT, password=PASSWORD) as client:
            yield cls(client)

    def make(self, name: str, kind: str, size: int = GIB, *, pool: str = "memory") -> None:
        self._run(native.create_volume(native.NewVolume(name=name, tenant=TENANT, pool=pool, size=size, kind=kind)))

    def find(self, name: str) -> Seen:
        found = self._run(native.volume_named(name, tenant=TENANT))
        if found is None:
            raise RefusedError(f"200 no volume {name}")
        return _seen(found)

    def look(self, volume_id: str) -> Seen:
        return _seen(self._run(native.volume(volume_id)))

    def names(self) -> set[str]:
        return {volume.name for volume in self._client.each(native.volumes())}

    def remove(self, volume: Seen) -> None:
        self._run(native.delete_volume(str(volume.id)))

    def snapshot(self, volume: Seen, name: str) -> Snap:
        return _snap(self._run(native.create_snapshot(str(volume.id), name)))

    def snapshots(self, volume: Seen) -> set[Snap]:
        return {_snap(each) for each in self._client.each(native.snapshots(volume=volume.id))}

    def remove_snapshot(self, _volume: Seen, snapshot: Snap) -> None:
        self._run(native.delete_snapshot(snapshot.id))

    def restore(self, volume: Seen, snapshot: Snap) -> None:
        self._run(native.restore_volume(str(volume.id), snapshot.id))

    def copy(self, volume: Seen, name: str) -> None:
        self._run(native.clone_volume(str(volume.id), native.NewClone(name=name)))

    def copy_of_snapshot(self, volume: Seen, snapshot: Snap, name: str) -> None:
        self._run(native.clone_volume(str(volume.id), native.NewClone(name=name, snapshot=snapshot.id)))

    def resize(self, volume: Seen, size: int) -> None:
        self._run(native.change_volume(str(volume.id), {"size": size}))

    def attach(self, volume: Seen) -> None:
        new = native.NewAttachment(node=_NODE, ways=("local", "iscsi", "nfs", "nbd"))
        self._run(native.attach(str(volume.id), new))

    def detach(self, volume: Seen) -> None:
        self._run(native.detach(str(volume.id), _NODE))

    def _run(self, flow: Flow[T]) -> T:
        try:
            return self._client.run(flow)
        except ClientError as error:
            raise RefusedError(f"{error.status} {error.code} {error.message}") from None


def _seen(volume: native.Volume) -> Seen:
    return Seen(volume.id, volume.name, volume.size, volume.kind)


def _snap(snapshot: native.Snapshot) -> Snap:
    return Snap(snapshot.id, snapshot.name)
