"""An open ZFS pool: what every change of volumes and snapshots is made of. All of it blocks."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Literal
from uuid import UUID

import msgspec

from gateway.backends.zfs.commands import Commands, Dataset, Snap
from gateway.backends.zfs.documents import load, part_names, store
from gateway.backends.zfs.failures import Meaning, Refused
from gateway.backends.zfs.records import (
    INCOMING,
    POOL,
    SNAPSHOT,
    VOLUME,
    PoolRecord,
    SnapshotRecord,
    VolumeRecord,
    decode_pool,
    decode_snapshot,
    decode_volume,
    encode,
    parse_id,
)
from gateway.core.backend import FaultHook
from gateway.core.errors import Busy, NotFound, Unavailable
from gateway.core.model import RootDirectory, VolumeKind

Step = Callable[[str], None]

_AT_ONCE = 50
"""Datasets whose parts one command asks for."""
_REMEMBERED = 64
"""Documents that several snapshots of one instant share, kept decoded while they are listed."""


class ZfsEncryption(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the datasets of a new pool are encrypted.

    keylocation: a reference such as file:///etc/gateway/key.
    keyformat: what is found there.
    cipher: as ZFS names it.
    """

    keylocation: str
    keyformat: Literal["raw", "hex", "passphrase"] = "raw"
    cipher: str = "aes-256-gcm"


class ZfsOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of a ZFS pool.

    pool: the zpool.
    parent: the dataset below it that is this gateway pool's alone; made where it is missing.
    mountpoint: where a parent that is made is mounted; otherwise ZFS decides.
    engine: `lzc` calls libzfs_core, `cli` starts a program for each change, `auto` takes what is there.
    threads: how many changes may be under way at once.
    timeout_s: how long ZFS may take for one step; what grows with its work may take ten times longer.
    volblocksize: bytes in a block of a new block volume.
    encryption: the parent that is made is encrypted, and all in it.
    lock_dir: where processes that use the same pool find each other; otherwise /run/lock.
    """

    pool: str
    parent: str = "gateway"
    mountpoint: Path | None = None
    engine: Literal["auto", "cli", "lzc"] = "auto"
    threads: int = 4
    timeout_s: float = 60.0
    volblocksize: int = 16384
    encryption: ZfsEncryption | None = None
    lock_dir: Path | None = None


class Volume(msgspec.Struct, frozen=True):
    """A volume that is ours."""

    record: VolumeRecord
    dataset: Dataset

    @property
    def kind(self) -> VolumeKind:
        """Give the kind that the dataset is."""
        return VolumeKind.BLOCK if self.dataset.block else VolumeKind.FILESYSTEM

    @property
    def size(self) -> int:
        """Give the size in force, or what was recorded where none is."""
        return (self.dataset.volsize if self.dataset.block else self.dataset.refquota) or self.record.size


class Snapshot(msgspec.Struct, frozen=True):
    """A snapshot that is ours."""

    record: SnapshotRecord
    snap: Snap


class Pool:
    """The parts that changes share. Raises `Refused`, OSError and errors of the core."""

    def __init__(
        self,
        name: str,
        options: ZfsOptions,
        *,
        record: PoolRecord,
        commands: Commands,
        fault: FaultHook,
        may_mount: bool,
        quota: bool,
    ) -> None:
        self.name = name
        self.record = record
        self.options = options
        self.commands = commands
        self.may_mount = may_mount
        self.quota = quota
        self.parent = f"{options.pool}/{options.parent}"
        self._fault = fault

    def steps(self, operation: str) -> Step:
        """Give the function that an operation calls after each of its steps; see `faults.STEPS`."""

        def passed(step: str) -> None:
            self._fault(f"zfs.{operation}.{step}")

        return passed

    # --- names ---

    def place(self, volume: UUID) -> str:
        """Give the dataset of a volume."""
        return f"{self.parent}/{volume}"

    def snapshot_place(self, volume: UUID, snapshot: UUID) -> str:
        """Give the name of a snapshot."""
        return f"{self.parent}/{volume}@{snapshot}"

    def arriving(self, volume: UUID) -> str:
        """Give the dataset of a volume that is being received."""
        return f"{self.parent}/{INCOMING}{volume}"

    # --- what is there ---

    def dataset(self, name: str) -> Dataset | None:
        """Give a dataset; None when there is none."""
        found = next(iter(self.commands.datasets(name, VOLUME)), None)
        if found is None:
            self.check_place()
        return found

    def check_place(self) -> None:
        """Raise Unavailable when the pool is not where it was. Asked whenever something was not found."""
        value = self.commands.get(self.parent, POOL).get(POOL)
        if value is None or decode_pool(value) != self.record:
            raise Unavailable(what=self.name, reason=f"another pool, or none, is at {self.parent} now")

    def find(self, volume: UUID) -> Volume | None:
        """Give a whole volume of ours; None when nothing, or something else, is in its place."""
        found = self.unfinished(volume)
        return found if found is not None and found.record.whole else None

    def unfinished(self, volume: UUID) -> Volume | None:
        """Give a volume of ours, also one that is only being made."""
        dataset = self.dataset(self.place(volume))
        record = None if dataset is None else self.volume_records([dataset]).get(dataset.name)
        return None if dataset is None or record is None else Volume(record, dataset)

    def volume(self, volume: UUID) -> Volume:
        """Give a volume of ours, or raise NotFound."""
        found = self.find(volume)
        if found is None:
            raise NotFound(kind="volume", ref=str(volume))
        return found

    def volume_records(self, datasets: Sequence[Dataset]) -> dict[str, VolumeRecord]:
        """Give what is recorded of datasets, by name; those that are not ours are left out."""
        found = {}
        documents = self._documents(VOLUME, ((dataset.name, dataset.head) for dataset in datasets))
        for name, document in documents.items():
            volume = parse_id(name.rpartition("/")[2])
            record = None if volume is None else decode_volume(document, volume)
            if record is not None:
                found[name] = record
        return found

    def snapshots_of(self, dataset: str) -> list[Snap]:
        """Give all snapshots of a dataset, whoever took them, in the order in which they were taken."""
        return sorted(self.commands.snaps(dataset, SNAPSHOT, depth=1), key=lambda snap: snap.createtxg)

    def snapshot_records(self, snaps: Sequence[Snap]) -> dict[str, SnapshotRecord]:
        """Give what is recorded of snapshots, by name; those that are not ours are left out."""
        found = {}
        documents = self._documents(SNAPSHOT, ((snap.name, snap.head) for snap in snaps))
        for name, document in documents.items():
            snapshot = parse_id(name.rpartition("@")[2].removeprefix(INCOMING))
            record = None if snapshot is None else decode_snapshot(document, snapshot)
            if record is not None:
                found[name] = record
        return found

    def find_snapshot(self, volume: UUID, snapshot: UUID) -> Snapshot | None:
        """Give a snapshot of ours; None when nothing, or something else, has its name.

        Somebody who promotes a clone by hand moves snapshots of its source to
        it; so where the source has become a clone, its origin is looked at too.
        """
        place, seen = self.place(volume), set[str]()
        while place not in seen:
            seen.add(place)
            for snap in self.commands.snaps(f"{place}@{snapshot}", SNAPSHOT):
                record = self.snapshot_records([snap]).get(snap.name)
                if record is not None and record.volume == volume and not snap.deferred:
                    return Snapshot(record, snap)
            origin = self.commands.get(place, "origin").get("origin")
            if origin is None or not origin.startswith(f"{self.parent}/"):
                break
            place = origin.partition("@")[0]
        self.check_place()
        return None

    def snapshot(self, volume: UUID, snapshot: UUID) -> Snapshot:
        """Give a snapshot of ours, or raise NotFound."""
        found = self.find_snapshot(volume, snapshot)
        if found is None:
            raise NotFound(kind="snapshot", ref=str(snapshot))
        return found

    def split_off(self, clones: Iterable[str]) -> bool:
        """Tell whether nobody counts these datasets as clones any more: each is a volume of ours that was split."""
        for name in clones:
            volume = parse_id(name.removeprefix(f"{self.parent}/"))
            found = None if volume is None else self.find(volume)
            if found is None or not found.record.split:
                return False
        return True

    def _documents(self, prop: str, heads: Iterable[tuple[str, str | None]]) -> dict[str, bytes]:
        loaded = lru_cache(_REMEMBERED)(lambda head: load(prop, head, {}))
        found: dict[str, bytes] = {}
        parted: dict[str, str] = {}
        for name, head in heads:
            if head is None:
                continue
            if part_names(prop, head):
                parted[name] = head
            elif (document := loaded(head)) is not None:
                found[name] = document
        names = list(parted)
        for start in range(0, len(names), _AT_ONCE):
            some = names[start : start + _AT_ONCE]
            wanted = sorted({part for name in some for part in part_names(prop, parted[name])})
            for name, parts in self.commands.values(some, wanted).items():
                document = load(prop, parted[name], parts)
                if document is not None:
                    found[name] = document
        return found

    # --- parts of a change ---

    def describe(self, found: Volume, record: VolumeRecord, passed: Step) -> None:
        """Replace what is recorded of a volume."""
        self.write(found.dataset.name, VOLUME, encode(record), present=found.dataset.head, passed=passed)

    def write(
        self, dataset: str, prop: str, document: bytes, *, present: str | None, passed: Step, last: str = "noted"
    ) -> None:
        """Replace a document. The value that is set last decides which one counts."""
        stored = store(prop, document, present)
        if stored.parts:
            self.commands.set(dataset, stored.parts)
            passed("written")
        self.commands.set(dataset, {prop: stored.head})
        passed(last)
        old = () if present is None else part_names(prop, present)
        if old:
            self.commands.set(dataset, dict.fromkeys(old, ""))

    def mounted(self, dataset: Dataset) -> Path:
        """Give where a filesystem is mounted, which it is then; Unavailable when that cannot be had."""
        if not dataset.mountpoint.startswith("/"):
            raise Unavailable(what=self.name, reason=f"the mountpoint of {self.parent} is {dataset.mountpoint}")
        if not dataset.mounted:
            if not self.may_mount:
                raise Unavailable(what=self.name, reason="the volume is not mounted, and mounting needs root")
            self.commands.mount(dataset.name)
        return Path(dataset.mountpoint)

    def unmounted(self, dataset: Dataset) -> None:
        """Unmount a filesystem if it is mounted; Busy while something is open in it."""
        if dataset.block or not dataset.mounted:
            return
        if not self.may_mount:
            raise Unavailable(what=self.name, reason="the volume is mounted, and unmounting needs root")
        try:
            self.commands.unmount(dataset.name)
        except Refused as refused:
            if refused.meaning is Meaning.BUSY:
                raise Busy(what=str(dataset.mountpoint)) from refused
            raise

    def user(self, prop: str, document: bytes) -> Mapping[str, str]:
        """Give the properties by which a new dataset or snapshot gets a document."""
        stored = store(prop, document)
        return {**stored.parts, prop: stored.head}


def set_root(path: Path, root: RootDirectory) -> None:
    """Set owner, then mode (a change of owner takes set-id bits away), durably."""
    os.chown(path, root.uid, root.gid)
    path.chmod(root.mode)
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
