"""The mount calls of this host, in process: mounts that are made whole before anybody can see them.

Everything here blocks and raises plain OSError. A mount is made detached,
given all its attributes, and put into its place in one step, so that a process
that dies on the way leaves nothing behind. Why system calls: mount(8) has to
be root whatever its capabilities are, follows links that were planted
meanwhile, and makes a mount read-only only after it could be written to.
The numbers are those of every architecture but one (asm-generic/unistd.h).
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

_OPEN_TREE, _MOVE_MOUNT, _FSOPEN, _FSCONFIG, _FSMOUNT, _OPENAT2, _MOUNT_SETATTR = 428, 429, 430, 431, 432, 437, 442

_AT_EMPTY_PATH = 0x1000
_CLONE, _CLOEXEC = 1, os.O_CLOEXEC
_MOVE_EMPTY_PATHS = 0x04 | 0x40
_FSOPEN_CLOEXEC = _FSMOUNT_CLOEXEC = 1
_SET_FLAG, _SET_STRING, _CREATE = 0, 1, 6
_BENEATH = 0x01 | 0x04 | 0x08
"""RESOLVE_NO_XDEV, RESOLVE_NO_SYMLINKS, RESOLVE_BENEATH of linux/openat2.h."""

_NOFOLLOW, _DETACH = 8, 2
_ATIME = 0x70

_FREEZE, _THAW = 0xC0045877, 0xC0045878
_ZERO_OUT = 0x127F
_SAID_BYTES = 4096

ATTRIBUTES = {
    "ro": 0x01,
    "nosuid": 0x02,
    "nodev": 0x04,
    "noexec": 0x08,
    "relatime": 0x00,
    "noatime": 0x10,
    "nodiratime": 0x80,
}
"""Option of a mount itself, which others of the same file system do not share -> MOUNT_ATTR_* of linux/mount.h."""

_libc = ctypes.CDLL(None, use_errno=True)


class _MountAttr(ctypes.Structure):
    _fields_ = (
        ("set", ctypes.c_uint64),
        ("clear", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns", ctypes.c_uint64),
    )


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def _call(number: int, *arguments: object) -> int:
    result = int(_libc.syscall(ctypes.c_long(number), *arguments))
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


@contextlib.contextmanager
def closing(descriptor: int) -> Iterator[int]:
    """Give a descriptor, and close it."""
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def open_below(root: int, relative: str) -> int:
    """Give a descriptor of a directory below `root` ("": of itself), reached through no link and no other mount."""
    how = _OpenHow(os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, 0, _BENEATH)
    path = os.fsencode(relative or ".")
    return _call(_OPENAT2, ctypes.c_int(root), path, ctypes.byref(how), ctypes.c_size_t(ctypes.sizeof(how)))


def clone_tree(path: str) -> int:
    """Give a detached mount of the directory at a path, and of nothing mounted below it."""
    with closing(os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)) as source:
        flags = ctypes.c_uint(_CLONE | _CLOEXEC | _AT_EMPTY_PATH)
        return _call(_OPEN_TREE, ctypes.c_int(source), b"", flags)


def make_tree(filesystem: str, device: str, options: Iterable[str]) -> int:
    """Give a detached mount of the file system on a device. What the kernel says of a failure is its `filename`."""
    with closing(_call(_FSOPEN, os.fsencode(filesystem), ctypes.c_uint(_FSOPEN_CLOEXEC))) as context:
        try:
            _configure(context, _SET_STRING, b"source", os.fsencode(device))
            for option in options:
                key, given, value = option.partition("=")
                if given:
                    _configure(context, _SET_STRING, key.encode(), value.encode())
                else:
                    _configure(context, _SET_FLAG, key.encode(), None)
            _configure(context, _CREATE, None, None)
            return _call(_FSMOUNT, ctypes.c_int(context), ctypes.c_uint(_FSMOUNT_CLOEXEC), ctypes.c_uint(0))
        except OSError as error:
            raise OSError(error.errno, error.strerror, _said(context)) from error


def _configure(context: int, command: int, key: bytes | None, value: bytes | None) -> None:
    _call(_FSCONFIG, ctypes.c_int(context), ctypes.c_uint(command), key, value, ctypes.c_int(0))


def _said(context: int) -> str:
    lines = []
    # The kernel gives one line at a time and ENODATA after the last.
    with contextlib.suppress(OSError):
        while line := os.read(context, _SAID_BYTES):
            lines.append(line.decode(errors="replace").strip())
    return "; ".join(lines)


def set_attributes(tree: int, names: Iterable[str]) -> None:
    """Give a mount the attributes of these names, see `ATTRIBUTES`, and no others."""
    wanted = 0
    for name in names:
        wanted |= ATTRIBUTES[name]
    clear = _ATIME
    for value in ATTRIBUTES.values():
        clear |= value
    attributes = _MountAttr(wanted, clear, 0, 0)
    size = ctypes.c_size_t(ctypes.sizeof(attributes))
    _call(_MOUNT_SETATTR, ctypes.c_int(tree), b"", ctypes.c_uint(_AT_EMPTY_PATH), ctypes.byref(attributes), size)


def place(tree: int, directory: int) -> None:
    """Put a detached mount onto a directory. Other mount name spaces see it where that directory's mount is shared."""
    _call(_MOVE_MOUNT, ctypes.c_int(tree), b"", ctypes.c_int(directory), b"", ctypes.c_uint(_MOVE_EMPTY_PATHS))


def unmount(parent: int, name: str, *, lazily: bool) -> None:
    """Take away the mount on a directory. EBUSY while it is in use, unless `lazily`: then its last user ends it."""
    path = f"/proc/self/fd/{parent}/{name}"
    if _libc.umount2(os.fsencode(path), ctypes.c_int(_NOFOLLOW | (_DETACH if lazily else 0))) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def sync_filesystem(path: str) -> None:
    """Have everything that was written to the file system of a path so far on stable storage."""
    with closing(os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)) as directory:
        if _libc.syncfs(ctypes.c_int(directory)) != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))


def mount_of(descriptor: int) -> int:
    """Give the number in the kernel's table of the mount that a descriptor was opened on."""
    with open(f"/proc/self/fdinfo/{descriptor}", encoding="ascii") as told:  # noqa: PTH123
        fields = dict(line.split(":", 1) for line in told if ":" in line)
    return int(fields["mnt_id"])


def freeze(directory: int) -> bool:
    """Hold all writes to a file system, consistent on its device; False when somebody holds them already."""
    try:
        fcntl.ioctl(directory, _FREEZE, 0)
    except OSError as error:
        if error.errno == errno.EBUSY:
            return False
        raise
    return True


def thaw(directory: int) -> None:
    """Let writes to a file system go on. Not held: succeeds."""
    try:
        fcntl.ioctl(directory, _THAW, 0)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise


def zero_out(device: str, size: int) -> None:
    """Make a block device read as zeros."""
    with closing(os.open(device, os.O_RDWR | os.O_CLOEXEC)) as opened:
        fcntl.ioctl(opened, _ZERO_OUT, (0).to_bytes(8, "little") + size.to_bytes(8, "little"))
        os.fsync(opened)


def identity(path: str) -> tuple[int, int] | None:
    """Give what no other directory of this host has while it is mounted, whatever its name; None for no directory."""
    try:
        found = os.stat(path, follow_symlinks=False)  # noqa: PTH116
    except OSError:
        return None
    return found.st_dev, found.st_ino


def same_directory(one: str, other: str) -> bool:
    """Tell whether two paths name one directory of one file system. Missing ones are never the same."""
    try:
        return Path(one).samefile(other)
    except OSError:
        return False
