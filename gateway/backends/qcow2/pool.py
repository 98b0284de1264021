"""An open pool of images: what every change of volumes and snapshots is made of. All of it blocks."""

from __future__ import annotations

import fcntl
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import msgspec

from gateway.backends.files.names import flush
from gateway.backends.qcow2.devices import Devices
from gateway.backends.qcow2.images import Images, Layer, new_name, read_layer
from gateway.backends.qcow2.layout import Layout, SnapshotSidecar, VolumeSidecar, parse_device
from gateway.backends.qcow2.nodes import Target
from gateway.backends.qcow2.process import file_lock
from gateway.core.backend import FaultHook
from gateway.core.errors import LimitExceeded, NotFound, Unavailable
from gateway.core.runner import Circuit, SystemRunner

Step = Callable[[str], None]

SNAPSHOT_MAX = 200
"""Snapshots of one volume: reading what lies at the bottom passes through all of them."""
DEPTH_MAX = 600
"""Layers of one chain, clones of clones included."""


class Qcow2Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of a pool of qcow2 images.

    path: a directory for this pool alone, on any file system; a relative one begins at the configuration file.
    threads: how many changes may be under way at once.
    """

    path: Path
    threads: int = 4


class Volume(msgspec.Struct, frozen=True):
    """A volume that is ours: its sidecar and its head as they are now."""

    sidecar: VolumeSidecar
    head: Layer
    family: UUID


class Snapshot(msgspec.Struct, frozen=True):
    """A snapshot that is ours."""

    sidecar: SnapshotSidecar
    layer: Layer
    family: UUID


class FamilyLock:
    """A process's hold on a family: one byte of a file for each, by its id; two that meet only wait for each other."""

    def __init__(self, path: Path, family: UUID) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.fcntl(self._fd, fcntl.F_OFD_SETLKW, file_lock(family.int >> 68, 1))
        except BaseException:
            os.close(self._fd)
            raise

    def release(self) -> None:
        """Let go."""
        os.close(self._fd)


class Pool:
    """The parts that changes share. Raises OSError, Refused and errors of the core."""

    def __init__(self, name: str, options: Qcow2Options, *, layout: Layout, fault: FaultHook) -> None:
        self.name = name
        self.options = options
        self.layout = layout
        runner = Circuit(SystemRunner(), what=name)
        self.images = Images(name, runner)
        self.devices = Devices(name, layout, runner, locate=self.locate)
        self.pinned: Counter[int] = Counter()
        """Inodes of layers that a stream is being read from."""
        self._fault = fault
        self._place = _identity(layout.images)

    def check_place(self) -> None:
        """Raise Unavailable when the path does not lead to this pool any more, instead of finding it empty."""
        try:
            if _identity(self.layout.images) == self._place:
                return
        except FileNotFoundError:
            pass
        raise Unavailable(what=self.name, reason="another file system, or none, is at its path now")

    def steps(self, operation: str) -> Step:
        """Give the function that an operation calls after each of its steps; see `faults.STEPS`."""

        def passed(step: str) -> None:
            self._fault(f"qcow2.{operation}.{step}")

        return passed

    def lock(self, family: UUID) -> FamilyLock:
        """Keep other processes from the layers of a family until it is released."""
        return FamilyLock(self.layout.changes, family)

    # --- what is there ---

    def find_volume(self, volume: UUID) -> Volume | None:
        """Give a volume of ours, or None."""
        family = self.layout.family(volume)
        sidecar = self.layout.volume_sidecar(volume)
        head = None if sidecar is None else read_layer(self.name, self.layout.layer(family, sidecar.head))
        return None if sidecar is None or head is None else Volume(sidecar, head, family)

    def volume(self, volume: UUID) -> Volume:
        """Give a volume of ours, or raise NotFound."""
        found = self.find_volume(volume)
        if found is None:
            raise NotFound(kind="volume", ref=str(volume))
        return found

    def find_snapshot(self, volume: UUID, snapshot: UUID) -> Snapshot | None:
        """Give a snapshot of ours, or None."""
        family = self.layout.family(volume)
        sidecar = self.layout.snapshot_sidecar(volume, snapshot) or self._taken(volume, snapshot)
        layer = None if sidecar is None else read_layer(self.name, self.layout.layer(family, sidecar.layer))
        return None if sidecar is None or layer is None else Snapshot(sidecar, layer, family)

    def _taken(self, volume: UUID, snapshot: UUID) -> SnapshotSidecar | None:
        owner = self.layout.volume_sidecar(volume)
        taken = None if owner is None else owner.taken
        return taken if taken is not None and taken.id == snapshot else None

    def snapshot(self, volume: UUID, snapshot: UUID) -> Snapshot:
        """Give a snapshot of ours, or raise NotFound."""
        found = self.find_snapshot(volume, snapshot)
        if found is None:
            raise NotFound(kind="snapshot", ref=str(snapshot))
        return found

    def locate(self, device: str) -> Target | None:
        """Give what a raw view is to show now; None when that is gone."""
        parsed = parse_device(device)
        if parsed is None:
            return None
        volume, snapshot = parsed
        if snapshot is None:
            found = self.find_volume(volume)
            return None if found is None else self.target(found)
        taken = self.find_snapshot(volume, snapshot)
        return None if taken is None else self.frozen(taken)

    def top(self, device: str, family: UUID) -> str | None:
        """Give the layer that a raw view shows; None when that is gone, or of another family."""
        parsed = parse_device(device)
        if parsed is None or self.layout.family(parsed[0]) != family:
            return None
        volume, snapshot = parsed
        if snapshot is not None:
            taken = self.find_snapshot(volume, snapshot)
            return None if taken is None else taken.sidecar.layer
        sidecar = self.layout.volume_sidecar(volume)
        return None if sidecar is None else sidecar.head

    def target(self, found: Volume) -> Target:
        """Give what a volume shows."""
        return Target(self.images.chain(found.head.path), writable=True)

    def frozen(self, found: Snapshot) -> Target:
        """Give what a snapshot shows."""
        return Target(self.images.chain(found.layer.path), writable=False)

    # --- parts of a change ---

    def prepare(self, volume: UUID, family: UUID) -> None:
        """Make the directories of a new volume, durably. They mean nothing until a sidecar is there."""
        if family != volume:
            link = self.layout.kin / str(volume)
            if self.layout.family(volume) != family:
                link.unlink(missing_ok=True)
                link.symlink_to(str(family))
                flush(self.layout.kin)
        notes = self.layout.notes / str(family)
        for folder in (self.layout.layers(family), notes, notes / str(volume)):
            if not folder.is_dir():
                folder.mkdir(mode=0o700, exist_ok=True)
                flush(folder.parent)

    def layer(self, family: UUID, volume: UUID, size: int, *, on: Layer | None = None) -> Layer:
        """Make an empty layer for a volume, durably. It means nothing until a sidecar names it."""
        if on is not None:
            depth = len(self.images.chain(on.path))
            if depth >= DEPTH_MAX:
                raise LimitExceeded(limit="depth", value=depth + 1, minimum=None, maximum=DEPTH_MAX)
        path = self.layout.layer(family, new_name(volume))
        try:
            made = self.images.make(path, size, None if on is None else on.name)
            flush(path.parent)
        except Exception:
            path.unlink(missing_ok=True)
            raise
        return made

    def put_volume(self, sidecar: VolumeSidecar, passed: Step) -> None:
        """Replace a volume's sidecar, durably."""
        self.layout.put_volume(sidecar, lambda: passed("written"))
        passed("noted")
        flush(self.layout.folder(sidecar.id))

    def put_snapshot(self, sidecar: SnapshotSidecar, passed: Step) -> None:
        """Replace a snapshot's sidecar, durably."""
        self.layout.put_snapshot(sidecar, lambda: passed("written"))
        passed("noted")
        flush(self.layout.folder(sidecar.volume))

    def place_taken(self, volume: UUID) -> None:
        """Give the snapshot that a volume's sidecar speaks of a sidecar of its own, if it has none yet."""
        sidecar = self.layout.volume_sidecar(volume)
        taken = None if sidecar is None else sidecar.taken
        if taken is not None and not self.layout.snapshot_note(volume, taken.id).exists():
            self.layout.put_snapshot(taken)
            flush(self.layout.folder(volume))


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino
