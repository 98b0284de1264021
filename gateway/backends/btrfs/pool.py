"""An open btrfs pool: what every change of volumes and snapshots is made of. All of it blocks."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID

import msgspec

from gateway.backends.btrfs.kernel import UNLIMITED, Filesystem, Kernel, Subvolume, Usage
from gateway.backends.btrfs.layout import Layout, SnapshotSidecar, VolumeSidecar
from gateway.backends.files.names import PASSABLE
from gateway.core.backend import FaultHook
from gateway.core.errors import GatewayError, NotFound, Unavailable
from gateway.core.model import RootDirectory

Step = Callable[[str], None]


class BtrfsOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of a btrfs pool.

    path: a directory on a mounted btrfs, for this pool alone; a relative one begins at the configuration file.
    quota: volumes' sizes are enforced; quotas are turned on where they are off.
    threads: how many changes may be under way at once.
    durable: every change is committed to disk before it returns.
    """

    path: Path
    quota: bool = True
    threads: int = 4
    durable: bool = True


class Volume(msgspec.Struct, frozen=True):
    """A volume that is ours: its sidecar and its subvolume as they are now."""

    sidecar: VolumeSidecar
    subvolume: Subvolume
    path: Path


class Snapshot(msgspec.Struct, frozen=True):
    """A snapshot that is ours."""

    sidecar: SnapshotSidecar
    subvolume: Subvolume
    path: Path


class Pool:
    """The parts that changes share. Raises OSError and errors of the core."""

    def __init__(
        self,
        name: str,
        options: BtrfsOptions,
        *,
        kernel: Kernel,
        layout: Layout,
        filesystem: Filesystem,
        fault: FaultHook,
    ) -> None:
        self.name = name
        self.options = options
        self.kernel = kernel
        self.layout = layout
        self.filesystem = filesystem
        self._fault = fault
        self._place = _identity(layout.volumes)

    def check_place(self) -> None:
        """Raise Unavailable when the path does not lead to this pool any more, instead of finding it empty."""
        try:
            if _identity(self.layout.volumes) == self._place:
                return
        except FileNotFoundError:
            pass
        raise Unavailable(what=self.name, reason="another file system, or none, is at its path now")

    def steps(self, operation: str) -> Step:
        """Give the function that an operation calls after each of its steps; see `faults.STEPS`."""

        def passed(step: str) -> None:
            self._fault(f"btrfs.{operation}.{step}")

        return passed

    def keep(self, *folders: Path) -> None:
        """Make what was done to the names in these directories durable, if the pool is to; see `Kernel.flush`."""
        if self.options.durable:
            for folder in folders:
                self.kernel.flush(folder)

    def keep_all(self) -> None:
        """Make everything durable, if the pool is to; file data too, so only where nothing less will do."""
        if self.options.durable:
            self.kernel.sync(self.layout.root)

    # --- what is there ---

    def find_volume(self, volume: UUID) -> Volume | None:
        """Give a volume of ours; None when nothing, or something else, is in its place."""
        path = self.layout.volume(volume)
        subvolume = self.kernel.subvolume(path)
        sidecar = None if subvolume is None else self.layout.volume_sidecar(volume)
        if subvolume is None or sidecar is None or not sidecar.speaks_of(subvolume.uuid):
            return None
        return Volume(sidecar, subvolume, path)

    def volume(self, volume: UUID) -> Volume:
        """Give a volume of ours, or raise NotFound."""
        found = self.find_volume(volume)
        if found is None:
            raise NotFound(kind="volume", ref=str(volume))
        return found

    def find_snapshot(self, volume: UUID, snapshot: UUID) -> Snapshot | None:
        """Give a whole snapshot of ours; None when nothing, or something else, is in its place."""
        path = self.layout.snapshot(volume, snapshot)
        subvolume = self.kernel.subvolume(path)
        sidecar = None if subvolume is None else self.layout.snapshot_sidecar(snapshot)
        if subvolume is None or sidecar is None or sidecar.volume != volume or not _is_image(sidecar, subvolume):
            return None
        return Snapshot(sidecar, subvolume, path)

    def snapshot(self, volume: UUID, snapshot: UUID) -> Snapshot:
        """Give a snapshot of ours, or raise NotFound."""
        found = self.find_snapshot(volume, snapshot)
        if found is None:
            raise NotFound(kind="snapshot", ref=str(snapshot))
        return found

    def usage(self, subvolume: Subvolume) -> Usage | None:
        """Give the bytes of a subvolume as of the last commit."""
        return self.kernel.usage(self.filesystem.id, subvolume.id)

    # --- parts of a change ---

    def family(self, volume: UUID) -> Path:
        """Give the directory of a volume's snapshots, made if need be."""
        path = self.layout.family(volume)
        if not path.is_dir():
            path.mkdir(exist_ok=True)
            path.chmod(PASSABLE)
        return path

    def limit(self, subvolume: Subvolume, size: int) -> None:
        """Give a subvolume its size. Always set where qgroups are on: a copy inherits the limit of its source."""
        self._limit(subvolume, size if self.options.quota else UNLIMITED)

    def lift_limit(self, subvolume: Subvolume) -> None:
        """Take an inherited limit away: the source may be full, and then nothing can be changed in its copy."""
        self._limit(subvolume, UNLIMITED)

    def _limit(self, subvolume: Subvolume, size: int) -> None:
        try:
            self.kernel.limit(self.layout.root, subvolume.id, size)
        except OSError as error:
            if error.errno != errno.ENOTCONN:
                raise
            if self.options.quota:
                raise Unavailable(what=self.name, reason="quotas were turned off") from error

    def staged_subvolume(self, path: Path) -> Subvolume:
        """Give the subvolume that was just made at `path`."""
        found = self.kernel.subvolume(path)
        if found is None:
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        return found

    def discard(self, path: Path) -> None:
        """Remove whatever a change left in `path`: a subvolume, or a directory of them. Nothing there: succeeds."""
        if self.kernel.subvolume(path) is not None:
            self.kernel.delete_subvolume(path)
        elif path.is_dir() and not path.is_symlink():
            for inner in path.iterdir():
                self.discard(inner)
            path.rmdir()
        else:
            path.unlink(missing_ok=True)

    def discard_later(self, path: Path) -> None:
        """Remove what is of no use any more. What the kernel holds on to stays in staging until the next open."""
        with contextlib.suppress(OSError):
            self.discard(path)

    @contextlib.contextmanager
    def staged(self, path: Path) -> Iterator[Path]:
        """Give an empty place to make something; when the body fails, what it left there is removed.

        Only errors of the kernel and the core clean up: an end of the process
        would not, and the tests of that raise something else.
        """
        self.discard(path)
        try:
            yield path
        except (OSError, GatewayError):
            self.discard_later(path)
            raise


def set_root(path: Path, root: RootDirectory) -> None:
    """Set owner, then mode: a change of owner takes set-id bits away."""
    os.chown(path, root.uid, root.gid)
    path.chmod(root.mode)


def _is_image(sidecar: SnapshotSidecar, subvolume: Subvolume) -> bool:
    if not subvolume.read_only:
        return False
    if sidecar.tree is not None:
        return subvolume.uuid == sidecar.tree
    return subvolume.parent == sidecar.source and subvolume.created >= sidecar.after


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino
