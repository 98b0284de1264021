"""The drivers that have a page, and how a small real instance of each is had."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import msgspec

from gateway.core.backend import FaultHook, VolumeBackend
from gateway.testing.btrfs_pool import btrfs_pool
from gateway.testing.live import ACCOUNT, PASSWORD, live_gateway
from gateway.testing.loop_pool import loop_pool, run
from gateway.testing.mirror import mirror
from gateway.testing.moto_store import moto_store
from gateway.testing.object_store import fresh_options
from gateway.testing.perforce import DEPOT, USER, on_stand_in

Table = Mapping[str, object]
Opener = Callable[[Path], AbstractContextManager[Table]]
"""Makes a substrate in a folder and gives the options of a pool on it; the substrate goes with the block."""

Make = Callable[[str, Any, FaultHook], VolumeBackend]
"""Makes a backend of a pool's name and options."""


class Instance(msgspec.Struct, frozen=True, kw_only=True):
    """One substrate to open a driver on.

    root: only root can make it. make: makes the backend in place of the driver,
    where a stand-in is all that can be had of its substrate. device: the kernel's node without which it
    cannot be opened here; its kept record is used then.
    """

    opener: Opener
    root: bool = True
    device: str = ""
    make: Make | None = None

    def here(self, *, root: bool) -> bool:
        """Tell whether this process can open it on this machine."""
        return (root or not self.root) and (not self.device or Path(self.device).exists())


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """A driver's entry. `example`: the options of a first pool. `instances`: by what tells them apart, as "on XFS"."""

    example: Table
    instances: Mapping[str, Instance]


@contextmanager
def _nothing(_folder: Path) -> Iterator[Table]:
    yield {}


@contextmanager
def _btrfs(folder: Path) -> Iterator[Table]:
    with btrfs_pool(folder) as mount:
        yield {"path": str(mount)}


def _on(filesystem: str) -> Opener:
    @contextmanager
    def opener(folder: Path) -> Iterator[Table]:
        with loop_pool(folder, filesystem) as mount:
            yield {"path": str(mount)}

    return opener


@contextmanager
def _nfs(folder: Path) -> Iterator[Table]:
    with loop_pool(folder / "disk", "ext4") as disk, mirror(folder, disk) as server:
        yield {"path": str(server.mount), "server": "192.0.2.1", "export": "/export"}


@contextmanager
def _cluster(folder: Path) -> Iterator[Table]:
    with live_gateway(folder / "cluster") as far:
        yield {"url": far.url, "user": ACCOUNT, "password": PASSWORD, "svm": "svm1", "address": "192.0.2.1"}


@contextmanager
def _zpool(folder: Path) -> Iterator[Table]:
    image = folder / "zfs.img"
    run("truncate", "-s", "1G", str(image))
    run("zpool", "create", "-m", "none", "gwpages", str(image))
    try:
        yield {"pool": "gwpages", "mountpoint": str(folder / "mnt")}
    finally:
        run("zpool", "destroy", "-f", "gwpages")


@contextmanager
def _folder(folder: Path) -> Iterator[Table]:
    yield {"path": str(folder)}


@contextmanager
def _store(_folder: Path) -> Iterator[Table]:
    with moto_store() as server:
        yield msgspec.structs.asdict(fresh_options(server))


@contextmanager
def _stand_in(_folder: Path) -> Iterator[Table]:
    yield {"port": "perforce.example:1666", "depot": DEPOT, "user": USER}


SUBJECTS: Mapping[str, Subject] = {
    "zfs": Subject(example={"pool": "tank"}, instances={"": Instance(opener=_zpool, device="/dev/zfs")}),
    "btrfs": Subject(example={"path": "/srv/fast"}, instances={"": Instance(opener=_btrfs)}),
    "directory": Subject(
        example={"path": "/srv/files"},
        instances={
            "on ext4": Instance(opener=_on("ext4")),
            "on XFS": Instance(opener=_on("xfs")),
            "on btrfs": Instance(opener=_on("btrfs")),
        },
    ),
    "qcow2": Subject(example={"path": "/srv/images"}, instances={"": Instance(opener=_on("ext4"))}),
    "nfs": Subject(
        example={"path": "/mnt/filer", "server": "filer.example", "export": "/export"},
        instances={"": Instance(opener=_nfs)},
    ),
    "s3": Subject(
        example={
            "endpoint": "https://s3.example",
            "bucket": "volumes",
            "region": "us-east-1",
            "credentials": "env:ARCHIVE",
        },
        instances={"": Instance(opener=_store, root=False)},
    ),
    "git-lfs": Subject(example={"path": "/srv/git"}, instances={"": Instance(opener=_folder, root=False)}),
    "ontap": Subject(
        example={
            "url": "https://cluster.example",
            "user": "gateway",
            "password": "env:CLUSTER_PASSWORD",
            "svm": "svm1",
            "ca": "cluster.pem",
        },
        instances={"": Instance(opener=_cluster, root=False)},
    ),
    "perforce": Subject(
        example={
            "port": "ssl:perforce.example:1666",
            "depot": "volumes",
            "user": "gateway",
            "password": "env:PERFORCE_PASSWORD",
        },
        instances={"": Instance(opener=_stand_in, root=False, make=on_stand_in)},
    ),
    "memory": Subject(example={}, instances={"": Instance(opener=_nothing, root=False)}),
}
"""Driver -> its entry, in the order of the pages."""
