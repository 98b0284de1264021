"""Block volumes as devices of this host: loop devices that end with their last user, and what is on a device.

A loop device over a file is set up so that the kernel ends it itself when its
last user, a mount or an open descriptor, is gone: nothing has to be found and
ended after a crash.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

from gateway.core.errors import Unavailable
from gateway.core.handles import LocalPath
from gateway.core.mount_table import in_user_space
from gateway.exports.mounts.kernel import closing, zero_out
from gateway.exports.mounts.points import WHAT

LOOP_CONTROL = Path("/dev/loop-control")

_BLOCK = Path("/sys/block")
_GET_FREE, _CONFIGURE, _SET_CAPACITY = 0x4C82, 0x4C0A, 0x4C07
_READ_ONLY, _AUTOCLEAR, _DIRECT_IO = 1, 4, 16
_CONFIG = struct.Struct("@II")
_CONFIG_BYTES = 304
_FLAGS = struct.Struct("@I")
_SECTOR = 512
"""Bytes of a sector, whatever lies below, as other ways to the same blocks have it.

A file that shares blocks with a snapshot would get larger ones from the kernel, and what was made before could not be
mounted any more.
"""

_FLAGS_AT = 8 + 52
"""Where `struct loop_config` has the flags: two numbers of 32 bits, then `struct loop_info64`."""

_SET_UP_TRIES = 10
_PIECE = 1 << 20
_SAMPLES = 256
_SAMPLE = 1 << 16


@contextlib.contextmanager
def device_of(source: LocalPath) -> Iterator[str]:
    """Give the device that shows the blocks of a source; one that is made goes unless somebody uses it afterwards."""
    if is_device(source.path):
        yield source.path
        return
    present = next((name for name in _loops() if shows(name, source.path)), None)
    if present is not None:
        with closing(os.open(present, os.O_RDONLY | os.O_CLOEXEC)):
            # It may have ended in between; held open it cannot any more.
            if shows(present, source.path):
                yield present
                return
    with _set_up(source) as made:
        yield made


def is_device(path: str) -> bool:
    """Tell whether there is a block device at a path. Unavailable when there is nothing."""
    try:
        return stat.S_ISBLK(os.stat(path).st_mode)  # noqa: PTH116
    except OSError as error:
        raise Unavailable(what=WHAT, reason="the volume's blocks are not there") from error


def shows(device: str, path: str) -> bool:
    """Tell whether a device shows the whole of what is at a path, and can be written if that can."""
    if device == path:
        return True
    loop = _BLOCK / Path(device).name / "loop"
    try:
        backing = (loop / "backing_file").read_text(errors="surrogateescape").rstrip("\n")
        whole = all(int((loop / name).read_text()) == 0 for name in ("offset", "sizelimit"))
        writable = int((loop.parent / "ro").read_text()) == 0
    except (OSError, ValueError):
        return False
    return whole and writable and backing == os.path.realpath(path)


def measure(device: str, path: str) -> None:
    """Have a new size of a file noticed by the device over it."""
    if device != path and size_of(device) != size_of(path):
        with closing(os.open(device, os.O_RDONLY | os.O_CLOEXEC)) as opened:
            fcntl.ioctl(opened, _SET_CAPACITY)


def size_of(path: str) -> int:
    """Give the size in bytes of a file or device."""
    with closing(os.open(path, os.O_RDONLY | os.O_CLOEXEC)) as opened:
        return os.lseek(opened, 0, os.SEEK_END)


def is_blank(path: str, check: Callable[[], None]) -> bool:
    """Tell whether nothing but zeros is in a file. Of a device its beginning, its end and samples are looked at."""
    with closing(os.open(path, os.O_RDONLY | os.O_CLOEXEC)) as opened:
        size = os.lseek(opened, 0, os.SEEK_END)
        extents = _samples(size) if is_device(path) else _extents(opened)
        for start, end in extents:
            for at in range(start, end, _PIECE):
                check()
                if any(os.pread(opened, min(_PIECE, end - at), at)):
                    return False
    return True


def blank(path: str) -> None:
    """Make a file or device hold nothing but zeros again. Space that a file has been given stays its own."""
    if is_device(path):
        zero_out(path, size_of(path))
        return
    with closing(os.open(path, os.O_RDWR | os.O_CLOEXEC)) as opened:
        for start, end in _extents(opened):
            for at in range(start, end, _PIECE):
                os.pwrite(opened, bytes(min(_PIECE, end - at)), at)
        os.fsync(opened)


def _extents(opened: int) -> Iterator[tuple[int, int]]:
    """Yield where a file has data: not where it has holes, or space that was never written."""
    end = 0
    while True:
        try:
            start = os.lseek(opened, end, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return
            raise
        end = os.lseek(opened, start, os.SEEK_HOLE)
        yield start, end


def _samples(size: int) -> Iterator[tuple[int, int]]:
    yield 0, min(size, 16 * _PIECE)
    yield max(0, size - 16 * _PIECE), size
    for number in range(1, _SAMPLES):
        at = size * number // _SAMPLES // _SAMPLE * _SAMPLE
        yield at, min(size, at + _SAMPLE)


def _loops() -> Iterator[str]:
    """Yield the loop devices that do not end of themselves: those that others have made for good."""
    for loop in sorted(_BLOCK.glob("loop*/loop")):
        with contextlib.suppress(OSError, ValueError):
            if int((loop / "autoclear").read_text()) == 0:
                yield f"/dev/{loop.parent.name}"


@contextlib.contextmanager
def _set_up(source: LocalPath) -> Iterator[str]:
    mode = os.O_RDONLY if source.read_only else os.O_RDWR
    # What QEMU serves of an image comes back wrong then: an ext4 that was just made had bad checksums (Linux 6.18).
    direct = not in_user_space(Path(source.path))
    try:
        with closing(os.open(source.path, mode | os.O_CLOEXEC)) as file:
            for _ in range(_SET_UP_TRIES):
                name = _free()
                device = os.open(name, mode | os.O_CLOEXEC)
                try:
                    if _configure(device, file, read_only=source.read_only, direct=direct):
                        yield name
                        return
                finally:
                    os.close(device)
    except OSError as error:
        raise Unavailable(what=WHAT, reason=f"loop device: {error.strerror}") from error
    raise Unavailable(what=WHAT, reason="there is no free loop device")


def _free() -> str:
    with closing(os.open(LOOP_CONTROL, os.O_RDWR | os.O_CLOEXEC)) as control:
        return f"/dev/loop{fcntl.ioctl(control, _GET_FREE)}"


def _configure(device: int, file: int, *, read_only: bool, direct: bool) -> bool:
    """Have a free loop device show a file. False when somebody else was faster.

    `direct`: it may go round the page cache, if the file can.
    """
    config = bytearray(_CONFIG_BYTES)
    _CONFIG.pack_into(config, 0, file, _SECTOR)
    for round_cache in (_DIRECT_IO, 0) if direct else (0,):
        _FLAGS.pack_into(config, _FLAGS_AT, _AUTOCLEAR | round_cache | (_READ_ONLY if read_only else 0))
        try:
            fcntl.ioctl(device, _CONFIGURE, bytes(config))
        except OSError as error:
            if error.errno == errno.EBUSY:
                return False
            if not round_cache:
                raise
        else:
            return True
    return False
