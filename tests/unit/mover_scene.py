"""Trees to be moved: what is in one, byte by byte, and a move within this process."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import subprocess
from pathlib import Path
from uuid import uuid4

from gateway.core.backend import FaultHook, no_fault
from gateway.core.handles import LocalPath
from gateway.core.model import VolumeKind
from gateway.core.mover import MoveJob, MoveProgress
from gateway.mover.ends import move
from gateway.mover.meter import Meter
from gateway.mover.wire import decode_job
from gateway.testing.faults import KillAt

TREE, BLOCK = VolumeKind.FILESYSTEM, VolumeKind.BLOCK
Picture = dict[str, tuple[object, ...]]
MEMORY = Path("/dev/shm") if Path("/dev/shm").is_dir() else None


def job(source: Path, destination: Path, kind: VolumeKind = TREE, **options: object) -> MoveJob:
    return MoveJob(
        id=uuid4(),
        kind=kind,
        source=LocalPath(path=str(source), read_only=True),
        destination=LocalPath(path=str(destination)),
        size=1 << 30,
        **options,
    )


def moved(given: MoveJob, *, fault: FaultHook = no_fault) -> MoveProgress:
    """Move here and now."""
    meter = Meter(given.throttle, lambda _progress: None, fault=fault)
    with masked(0):
        move(given, meter)
    return meter.progress


@contextlib.contextmanager
def masked(mask: int):
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def die(document: str, point: str, count: str) -> None:
    """Move, and be killed at a point: what the forks of the tests do."""
    moved(decode_job(document.encode()), fault=KillAt(point, int(count)))


def picture(root: Path) -> Picture:
    """Give all that can be seen of a tree; names of one file know of each other."""
    seen: Picture = {}
    first: dict[int, str] = {}
    for path in (root, *sorted(root.rglob("*"))):
        status, name = path.lstat(), str(path.relative_to(root))
        attributes = {key: os.getxattr(path, key, follow_symlinks=False) for key in _attributes(path)}
        shape = (status.st_mode, status.st_uid, status.st_gid, status.st_rdev, status.st_mtime_ns)
        content: object = None
        if stat.S_ISREG(status.st_mode):
            content = (status.st_size, hashlib.sha256(path.read_bytes()).hexdigest())
        elif stat.S_ISLNK(status.st_mode):
            content = str(path.readlink())
        link = name if stat.S_ISDIR(status.st_mode) else first.setdefault(status.st_ino, name)
        seen[name] = (shape, attributes, content, link)
    return seen


def _attributes(path: Path) -> list[str]:
    return [key for key in os.listxattr(path, follow_symlinks=False) if key != "security.selinux"]


def same(source: Path, destination: Path) -> None:
    """Fail unless two trees are equal in all that can be seen."""
    assert picture(destination) == picture(source)


@contextlib.contextmanager
def loop_device(image: Path):
    """Give a device over a file."""
    made = subprocess.run(
        ["losetup", "--find", "--show", str(image)], check=True, capture_output=True, text=True
    ).stdout.strip()
    try:
        yield Path(made)
    finally:
        subprocess.run(["losetup", "--detach", made], check=True)
