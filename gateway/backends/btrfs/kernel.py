"""The btrfs calls of this host, in process: libbtrfsutil by ctypes, quotas by ioctl.

Everything here blocks (the GIL is released) and raises plain OSError. Why
ctypes: the library's own Python module is built for one interpreter and cannot
be reached from a virtual environment. The structures are the public ones of
`btrfsutil.h` (library version 1) and `linux/btrfs.h`.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import msgspec

from gateway.backends.files import names
from gateway.backends.files.names import descriptor

SUBVOLUME_INODE = 256
UNLIMITED = 2**64 - 1

_LIBRARY = "libbtrfsutil.so.1"
_SYSFS = Path("/sys/fs/btrfs")
_RECURSIVE = 1
_READ_ONLY = 2
_ROOT_READ_ONLY = 1

_WRITE, _READ = 1, 2


def _number(direction: int, number: int, size: int) -> int:
    return (direction << 30) | (size << 16) | (0x94 << 8) | number


_FS_INFO = _number(_READ, 31, 1024)
_QUOTA_CTL = _number(_READ | _WRITE, 40, 16)
_QGROUP_LIMIT = _number(_READ, 43, 48)
_QUOTA_RESCAN = _number(_WRITE, 44, 64)
_QUOTA_RESCAN_WAIT = _number(0, 46, 0)

_ENABLE_QGROUPS = 1
_LIMIT_REFERENCED = 1
_NO_DROP_THRESHOLD = "8"


class Filesystem(msgspec.Struct, frozen=True):
    """What identifies a mounted btrfs. `node_size` in bytes is charged to every subvolume, even an empty one."""

    id: UUID
    node_size: int


class Subvolume(msgspec.Struct, frozen=True):
    """What the kernel knows about one subvolume. `created` and `changed` are transaction numbers."""

    id: int
    uuid: UUID
    parent: UUID | None
    received: UUID | None
    created: int
    changed: int
    read_only: bool


class Usage(msgspec.Struct, frozen=True):
    """A qgroup's bytes: what is reachable, and the most that may be (None: no limit)."""

    referenced: int
    limit: int | None


class _Time(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _Info(ctypes.Structure):
    _fields_ = (
        ("id", ctypes.c_uint64),
        ("parent_id", ctypes.c_uint64),
        ("dir_id", ctypes.c_uint64),
        ("flags", ctypes.c_uint64),
        ("uuid", ctypes.c_uint8 * 16),
        ("parent_uuid", ctypes.c_uint8 * 16),
        ("received_uuid", ctypes.c_uint8 * 16),
        ("generation", ctypes.c_uint64),
        ("ctransid", ctypes.c_uint64),
        ("otransid", ctypes.c_uint64),
        ("stransid", ctypes.c_uint64),
        ("rtransid", ctypes.c_uint64),
        ("ctime", _Time),
        ("otime", _Time),
        ("stime", _Time),
        ("rtime", _Time),
    )


_SIGNATURES = {
    "btrfs_util_create_subvolume": (ctypes.c_char_p, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p),
    "btrfs_util_create_snapshot": (
        ctypes.c_char_p,
        ctypes.c_char_p,
        ctypes.c_int,
        ctypes.c_void_p,
        ctypes.c_void_p,
    ),
    "btrfs_util_delete_subvolume": (ctypes.c_char_p, ctypes.c_int),
    "btrfs_util_subvolume_info": (ctypes.c_char_p, ctypes.c_uint64, ctypes.POINTER(_Info)),
    "btrfs_util_set_subvolume_read_only": (ctypes.c_char_p, ctypes.c_bool),
    "btrfs_util_sync": (ctypes.c_char_p,),
    "btrfs_util_create_subvolume_iterator": (
        ctypes.c_char_p,
        ctypes.c_uint64,
        ctypes.c_int,
        ctypes.POINTER(ctypes.c_void_p),
    ),
    "btrfs_util_subvolume_iterator_next": (
        ctypes.c_void_p,
        ctypes.POINTER(ctypes.c_void_p),
        ctypes.POINTER(ctypes.c_uint64),
    ),
}
_END_OF_ITERATION = 1


class Kernel:
    """The calls. Making one raises OSError when libbtrfsutil is not installed."""

    def __init__(self) -> None:
        self._util = ctypes.CDLL(_LIBRARY, use_errno=True)
        for name, arguments in _SIGNATURES.items():
            function = getattr(self._util, name)
            function.argtypes = arguments
            function.restype = ctypes.c_int
        self._util.btrfs_util_destroy_subvolume_iterator.argtypes = (ctypes.c_void_p,)
        self._util.btrfs_util_destroy_subvolume_iterator.restype = None
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._libc.free.argtypes = (ctypes.c_void_p,)

    # --- subvolumes ---

    def create_subvolume(self, path: Path) -> None:
        """Make an empty subvolume."""
        self._call("btrfs_util_create_subvolume", path, os.fsencode(path), 0, None, None)

    def create_snapshot(self, source: Path, path: Path, *, read_only: bool) -> None:
        """Make a snapshot. The call commits a transaction, so the snapshot is durable when it returns."""
        flags = _READ_ONLY if read_only else 0
        self._call("btrfs_util_create_snapshot", path, os.fsencode(source), os.fsencode(path), flags, None, None)

    def delete_subvolume(self, path: Path) -> None:
        """Remove a subvolume with all that are nested in it, read-only ones too. Space comes back later."""
        try:
            self._call("btrfs_util_delete_subvolume", path, os.fsencode(path), _RECURSIVE)
        except OSError as error:
            if error.errno != errno.EROFS:
                raise
            for nested in [path, *(path / relative for relative in self._nested(path))]:
                self.set_read_only(nested, False)
            self._call("btrfs_util_delete_subvolume", path, os.fsencode(path), _RECURSIVE)

    def subvolume(self, path: Path) -> Subvolume | None:
        """Give the subvolume whose root is `path`; None when nothing or something else is there."""
        try:
            status = path.lstat()
        except FileNotFoundError:
            return None
        if status.st_ino != SUBVOLUME_INODE:
            return None
        info = _Info()
        self._call("btrfs_util_subvolume_info", path, os.fsencode(path), 0, ctypes.byref(info))
        return Subvolume(
            id=info.id,
            uuid=UUID(bytes=bytes(info.uuid)),
            parent=_uuid(info.parent_uuid),
            received=_uuid(info.received_uuid),
            created=info.otransid,
            changed=info.generation,
            read_only=bool(info.flags & _ROOT_READ_ONLY),
        )

    def set_read_only(self, path: Path, read_only: bool) -> None:
        """Set or clear the read-only flag. A received uuid survives both."""
        self._call("btrfs_util_set_subvolume_read_only", path, os.fsencode(path), read_only)

    def _nested(self, path: Path) -> Iterator[str]:
        """Yield the subvolumes below `path`, parents first, as relative paths."""
        iterator = ctypes.c_void_p()
        self._call("btrfs_util_create_subvolume_iterator", path, os.fsencode(path), 0, 0, ctypes.byref(iterator))
        try:
            while True:
                text = ctypes.c_void_p()
                code = self._util.btrfs_util_subvolume_iterator_next(iterator, ctypes.byref(text), None)
                if code == _END_OF_ITERATION:
                    return
                if code:
                    raise _os_error(path)
                try:
                    yield os.fsdecode(ctypes.string_at(text.value or 0))
                finally:
                    self._libc.free(text)
        finally:
            self._util.btrfs_util_destroy_subvolume_iterator(iterator)

    # --- durability and atomic places ---

    def flush(self, folder: Path) -> None:
        """Make what was done to the names in a directory durable.

        Where subvolumes were moved or removed the kernel commits the whole
        transaction for it, and with that every earlier change of the file system.
        (START_SYNC with WAIT_SYNC would say the same more plainly, but when
        several threads do it the wake-up of the kernel's own thread can get
        lost, and all wait for the next periodic commit, half a minute later.)
        """
        names.flush(folder)

    def sync(self, path: Path) -> None:
        """Write out everything, file data too. Usage counts are exact afterwards."""
        self._call("btrfs_util_sync", path, os.fsencode(path))

    def move(self, source: Path, target: Path) -> None:
        """Rename; FileExistsError when the target is there."""
        names.move(source, target)

    def exchange(self, one: Path, other: Path) -> None:
        """Let two names change places in one step."""
        names.exchange(one, other)

    # --- the file system and its quotas ---

    def filesystem(self, path: Path) -> Filesystem:
        """Give the identity of the btrfs that holds `path`; ENOTTY when it is another kind of file system."""
        answer = bytearray(1024)
        with descriptor(path) as fd:
            fcntl.ioctl(fd, _FS_INFO, answer)
        (node_size,) = struct.unpack_from("<I", answer, 32)
        return Filesystem(id=UUID(bytes=bytes(answer[16:32])), node_size=node_size)

    def quota_mode(self, filesystem: UUID) -> str | None:
        """Give "qgroup", "squota", or None when quotas are off."""
        folder = _qgroups(filesystem)
        if not folder.is_dir():
            return None
        mode = folder / "mode"
        # Before Linux 6.7 there is one mode and no file that names it.
        return mode.read_text().strip() if mode.exists() else "qgroup"

    def quota_consistent(self, filesystem: UUID) -> bool:
        """Tell whether usage is being counted; if not, limits are not enforced either until a rescan."""
        mark = _qgroups(filesystem) / "inconsistent"
        return not mark.exists() or mark.read_text().strip() == "0"

    def enable_quota(self, path: Path) -> None:
        """Turn full qgroups on. Usage is not known before a rescan has ended."""
        with descriptor(path) as fd:
            fcntl.ioctl(fd, _QUOTA_CTL, bytearray(struct.pack("<QQ", _ENABLE_QGROUPS, 0)))

    def rescan_quota(self, path: Path, *, wait: bool) -> None:
        """Count all usage anew, or join the count under way."""
        with descriptor(path) as fd:
            try:
                fcntl.ioctl(fd, _QUOTA_RESCAN, bytearray(64))
            except OSError as error:
                if error.errno != errno.EINPROGRESS:
                    raise
            if wait:
                fcntl.ioctl(fd, _QUOTA_RESCAN_WAIT, 0)

    def count_big_deletions(self, filesystem: UUID) -> None:
        """Forbid the kernel to stop counting (and with it enforcing) when a big subvolume is deleted."""
        knob = _qgroups(filesystem) / "drop_subtree_threshold"
        if knob.exists():
            knob.write_text(_NO_DROP_THRESHOLD)

    def limit(self, path: Path, subvolume: int, size: int) -> None:
        """Set the most bytes a subvolume may reach; UNLIMITED takes the limit away. ENOTCONN: quotas are off."""
        with descriptor(path) as fd:
            request = struct.pack("<6Q", subvolume, _LIMIT_REFERENCED, size, 0, 0, 0)
            fcntl.ioctl(fd, _QGROUP_LIMIT, bytearray(request))

    def usage(self, filesystem: UUID, subvolume: int) -> Usage | None:
        """Give a subvolume's qgroup as of the last commit; None without quotas."""
        folder = _qgroups(filesystem) / f"0_{subvolume}"
        try:
            referenced, limit = ((folder / name).read_bytes() for name in ("referenced", "max_referenced"))
        except (FileNotFoundError, NotADirectoryError):
            return None
        # The kernel shows a limit that was never set, or was taken away, as 0.
        return Usage(referenced=int(referenced), limit=int(limit) or None)

    def _call(self, name: str, path: Path, *arguments: object) -> None:
        if getattr(self._util, name)(*arguments):
            raise _os_error(path)


def _qgroups(filesystem: UUID) -> Path:
    return _SYSFS / str(filesystem) / "qgroups"


def _uuid(raw: ctypes.Array[ctypes.c_uint8]) -> UUID | None:
    value = bytes(raw)
    return UUID(bytes=value) if any(value) else None


def _os_error(path: Path) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number), str(path))
