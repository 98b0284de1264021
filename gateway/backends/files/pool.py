"""An open pool of files: what every change of volumes and snapshots is made of. All of it blocks."""

from __future__ import annotations

import contextlib
import os
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import msgspec

from gateway.backends.files.failures import GONE
from gateway.backends.files.layout import (
    CONTENT,
    Layout,
    SnapshotSidecar,
    VolumeSidecar,
    snapshot_sidecar,
    volume_sidecar,
)
from gateway.backends.files.lock import Lock
from gateway.backends.files.names import PASSABLE, flush, move, put_on_disk
from gateway.core.backend import FaultHook
from gateway.core.errors import GatewayError, NotFound, Unavailable
from gateway.core.model import VolumeKind

BLOCK = 512
"""The unit of `st_blocks`, whatever the file system's own is."""

Step = Callable[[str], None]


class Volume(msgspec.Struct, frozen=True):
    """A volume that is ours. `length` and `held` are the bytes of its raw file, apparent and allocated."""

    sidecar: VolumeSidecar
    container: Path
    kind: VolumeKind
    length: int
    held: int

    @property
    def content(self) -> Path:
        """Give the directory or raw file."""
        return self.container / CONTENT


class Snapshot(msgspec.Struct, frozen=True):
    """A snapshot that is ours."""

    sidecar: SnapshotSidecar
    container: Path
    held: int

    @property
    def content(self) -> Path:
        """Give the raw file."""
        return self.container / CONTENT


class Hold:
    """What keeps a pool ours: its lock, and the certainty that its path still leads to it.

    After an error that only a new mount can end, the lock is let go, because
    an open file would keep the old mount busy; it is taken again when the same
    pool is back at the path.
    """

    def __init__(self, name: str, layout: Layout, pool: UUID, lock: Lock, *, regain: Callable[[], None]) -> None:
        self._name = name
        self._layout = layout
        self.pool = pool
        self._lock: Lock | None = lock
        self._place = _identity(layout.volumes)
        self._regain = regain
        self._closed = False
        self._changing = threading.Lock()

    def check(self) -> None:
        """Raise Unavailable when the path does not lead to this pool any more, instead of finding it empty."""
        try:
            in_place = _identity(self._layout.volumes) == self._place
        except FileNotFoundError:
            in_place = False
        if not in_place or self._lock is None:
            self._take()

    def let_go(self) -> None:
        """Keep nothing of the file system open."""
        with self._changing:
            if self._lock is not None:
                self._lock.release()
                self._lock = None

    def close(self) -> None:
        """Let go for ever. Idempotent."""
        self._closed = True
        self.let_go()

    def _take(self) -> None:
        self._regain()
        try:
            record = self._layout.pool_record()
        except msgspec.DecodeError:
            record = None
        if record is None or record.id != self.pool:
            raise Unavailable(what=self._name, reason="another file system, or none, is at its path now")
        place, taken = _identity(self._layout.volumes), Lock(self._layout.lock)
        taken.share()
        with self._changing:
            released = taken if self._closed else self._lock
            if not self._closed:
                self._lock, self._place = taken, place
        if released is not None:
            released.release()


class Pool:
    """The parts that changes share. Raises OSError and errors of the core.

    wanted: called after each step; raises when the change's caller has given it up.
    durable: changes are on disk before they return.
    littered: something was thrown away that is still to be removed.
    """

    def __init__(
        self,
        name: str,
        layout: Layout,
        hold: Hold,
        *,
        driver: str,
        durable: bool,
        fault: FaultHook,
        wanted: Callable[[], None],
    ) -> None:
        self.name = name
        self.layout = layout
        self.hold = hold
        self._driver = driver
        self.durable = durable
        self._fault = fault
        self._wanted = wanted
        self.littered = False

    @property
    def id(self) -> UUID:
        """Give the identity that travels with the pool."""
        return self.hold.pool

    @contextmanager
    def touched(self) -> Iterator[None]:
        """Make sure before a block that the pool is where it was; let go of it when it fails for good."""
        try:
            self.hold.check()
            yield
        except OSError as error:
            if error.errno in GONE:
                self.hold.let_go()
            raise

    def steps(self, operation: str) -> Step:
        """Give the function that an operation calls after each of its steps."""

        def passed(step: str) -> None:
            self._fault(f"{self._driver}.{operation}.{step}")
            self._wanted()

        return passed

    def keep(self, *folders: Path) -> None:
        """Make what was done to the names in these directories durable, if the pool is to."""
        if self.durable:
            for folder in folders:
                flush(folder)

    def keep_file(self, fd: int) -> None:
        """Make what was done to an open file durable, if the pool is to."""
        if self.durable:
            put_on_disk(fd)

    # --- what is there ---

    def find_volume(self, volume: UUID) -> Volume | None:
        """Give a volume of ours; None when nothing, or something else, is in its place."""
        container = self.layout.volume(volume)
        sidecar = volume_sidecar(container, volume)
        status = _status(container / CONTENT)
        if sidecar is None or status is None:
            return None
        kind = VolumeKind.FILESYSTEM if stat.S_ISDIR(status.st_mode) else VolumeKind.BLOCK
        return Volume(sidecar, container, kind, status.st_size, status.st_blocks * BLOCK)

    def volume(self, volume: UUID) -> Volume:
        """Give a volume of ours, or raise NotFound."""
        found = self.find_volume(volume)
        if found is None:
            raise NotFound(kind="volume", ref=str(volume))
        return found

    def find_snapshot(self, volume: UUID, snapshot: UUID) -> Snapshot | None:
        """Give a snapshot of ours; None when nothing, or something else, is in its place."""
        container = self.layout.snapshot(volume, snapshot)
        sidecar = snapshot_sidecar(container, volume, snapshot)
        status = _status(container / CONTENT)
        if sidecar is None or status is None or not stat.S_ISREG(status.st_mode):
            return None
        return Snapshot(sidecar, container, status.st_blocks * BLOCK)

    def snapshot(self, volume: UUID, snapshot: UUID) -> Snapshot:
        """Give a snapshot of ours, or raise NotFound."""
        found = self.find_snapshot(volume, snapshot)
        if found is None:
            raise NotFound(kind="snapshot", ref=str(snapshot))
        return found

    # --- parts of a change ---

    @contextmanager
    def staged(self, token: UUID) -> Iterator[Path]:
        """Give a new container to fill; when the body fails, what it left there is thrown away.

        Only errors of the kernel and the core clean up: an end of the process
        would not, and the tests of that raise something else.
        """
        path = self.layout.staged(token)
        self.discard(path)
        path.mkdir()
        try:
            path.chmod(PASSABLE)
            yield path
        except (OSError, GatewayError):
            with contextlib.suppress(OSError):
                self.discard(path)
            raise

    def discard(self, path: Path) -> None:
        """Throw away whatever is at `path`; it is removed later. Nothing there: succeeds."""
        with contextlib.suppress(FileNotFoundError):
            path.rename(self.layout.trash())
            self.littered = True

    def family(self, volume: UUID) -> Path:
        """Give the directory of a volume's snapshots, made if need be, durably."""
        path = self.layout.family(volume)
        if not path.is_dir():
            path.mkdir(exist_ok=True)
            path.chmod(PASSABLE)
        self.keep(self.layout.snapshots)
        return path

    def place(self, staged: Path, place: Path) -> None:
        """Bring a container into its place for good, in one step. FileExistsError when something is there."""
        self.keep(staged)
        move(staged, place)


def _status(path: Path) -> os.stat_result | None:
    """Give the status of content; None when there is none, or when it is neither a file nor a directory."""
    try:
        status = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return status if stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode) else None


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino
