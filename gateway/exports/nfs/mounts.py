"""Private mounts and junction directories: what the export server needs from the file system.

Debian's ganesha knows a file system by an entry of the mount table, and a btrfs
subvolume has none. A bind mount of the subvolume gives it one: the device
number is the subvolume's own, and client handles (export number, the
subvolume's fsid, inode) stay valid over a remount.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import re
import stat
import subprocess
import time
from pathlib import Path
from uuid import UUID

import structlog

from gateway.core.errors import Unavailable

log = structlog.get_logger(__name__)

BTRFS_MAGIC = 0x9123683E
TOOL_LIMIT_S = 20
BUSY_TRIES = 20
BUSY_PAUSE_S = 0.05
_STATFS_BYTES = 256
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_OCTAL = re.compile(r"\\([0-7]{3})")


def needs_mount(source: Path) -> bool:
    """Tell whether ganesha can reach the directory only through a mount of its own."""
    # os.statvfs hides the file system's type
    libc = ctypes.CDLL(None, use_errno=True)
    buffer = ctypes.create_string_buffer(_STATFS_BYTES)
    if libc.statfs(os.fsencode(source), buffer) != 0:
        number = ctypes.get_errno()
        raise Unavailable(what="nfs", reason=f"source: {os.strerror(number)}")
    return ctypes.cast(buffer, ctypes.POINTER(ctypes.c_long)).contents.value == BTRFS_MAGIC


def mount_points() -> set[str]:
    """Give every mount point of this process's name space."""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as table:  # noqa: PTH123
        return {_OCTAL.sub(lambda m: chr(int(m[1], 8)), line.split(" ")[4]) for line in table}


def same_directory(one: Path, other: Path) -> bool:
    """Tell whether both name the same directory of the same subvolume. Missing ones are never the same."""
    try:
        return one.samefile(other)
    except OSError:
        return False


def _run(*argv: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(argv, capture_output=True, text=True, timeout=TOOL_LIMIT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(what="nfs", reason=f"{argv[0]}: {type(error).__name__}") from error


class Mounts:
    """The private mounts below one directory, named by the id of what they serve."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def point(self, export_id: UUID) -> Path:
        """Give the place of a publication's mount."""
        return self._root / str(export_id)

    def bind(self, export_id: UUID, source: Path) -> Path:
        """Give a mount of the source, made or found. A mount of something else is replaced."""
        point = self.point(export_id)
        if same_directory(point, source):
            return point
        self.release(export_id)
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        point.mkdir(mode=0o700)
        done = _run("mount", "--bind", str(source), str(point))
        if done.returncode != 0:
            log.warning("nfs mount failed", export=str(export_id), detail=done.stderr.strip())
            raise Unavailable(what="nfs", reason="the volume could not be mounted for the export server")
        return point

    def release(self, export_id: UUID) -> None:
        """Take the mount away. Nothing there: succeeds."""
        point = self.point(export_id)
        for attempt in range(BUSY_TRIES):
            if str(point) not in mount_points():
                break
            if _run("umount", str(point)).returncode != 0:
                if attempt == BUSY_TRIES - 2:
                    log.warning("nfs mount busy, detached lazily", export=str(export_id))
                    _run("umount", "--lazy", str(point))
                # the server closes its last descriptors a moment after it forgot the export
                time.sleep(BUSY_PAUSE_S)
        else:
            raise Unavailable(what="nfs", reason="the volume's mount could not be taken away")
        with contextlib.suppress(FileNotFoundError):
            point.rmdir()

    def ids(self) -> set[UUID]:
        """Give the ids of all mounts, and of places left behind."""
        found = set()
        if self._root.is_dir():
            for entry in self._root.iterdir():
                with contextlib.suppress(ValueError):
                    found.add(UUID(entry.name))
        return found


def missing_directories(root: Path, relative: str) -> tuple[str, ...]:
    """Give those directories on the way to `relative`, outermost first, that do not exist below `root`."""
    parts = relative.split("/")
    paths = ["/".join(parts[: depth + 1]) for depth in range(len(parts))]
    return tuple(path for path in paths if not os.path.lexists(root / path))


def make_directories(root: Path, relative: str) -> None:
    """Make every directory on the way to `relative`. Follows no link: clients can plant them in the tree."""
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for name in relative.split("/"):
            with contextlib.suppress(FileExistsError):
                os.mkdir(name, 0o755, dir_fd=descriptor)
            inner = os.open(name, _DIRECTORY, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = inner
    finally:
        os.close(descriptor)


def remove_directories(root: Path, relatives: tuple[str, ...]) -> None:
    """Remove the named directories, innermost first, as far as they exist and are empty. Follows no link."""
    for relative in reversed(relatives):
        *way, name = relative.split("/")
        try:
            descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            return
        try:
            for part in way:
                inner = os.open(part, _DIRECTORY, dir_fd=descriptor)
                os.close(descriptor)
                descriptor = inner
            os.rmdir(name, dir_fd=descriptor)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTEMPTY, errno.ENOTDIR, errno.ELOOP, errno.EROFS):
                log.warning("junction directory kept", path=relative, error=error.strerror)
        finally:
            os.close(descriptor)


def is_directory(path: Path) -> bool:
    """Tell whether the path is a directory and no link."""
    try:
        return stat.S_ISDIR(path.lstat().st_mode)
    except OSError:
        return False
