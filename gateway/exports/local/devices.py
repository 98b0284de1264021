"""Loop devices of this host: made, found, measured, ended; and who uses a device."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import struct
import time
from pathlib import Path

import msgspec
import structlog

from gateway.core.errors import Unavailable
from gateway.core.mount_table import in_user_space
from gateway.core.runner import Runner

log = structlog.get_logger(__name__)

WHAT = "local"
LOOP_CONTROL = Path("/dev/loop-control")
BUSY_TRIES = 5
BUSY_PAUSE_S = 0.05

_CLR_FD, _SET_STATUS, _GET_STATUS = 0x4C01, 0x4C04, 0x4C05
_STATUS_BYTES = 232
_FLAGS = struct.Struct("@I")
_FLAGS_AT = 52
"""Where `struct loop_info64` has its flags: after five numbers of 64 bits and three of 32."""

_AUTOCLEAR = 4
_DELETED = " (deleted)"
_COLUMNS = "NAME,AUTOCLEAR,BACK-FILE,BACK-INO,RO,OFFSET,SIZELIMIT"
_BLOCK = Path("/sys/block")


class Loop(msgspec.Struct, frozen=True):
    """A loop device that has a file, as losetup tells."""

    name: str
    back_file: str | None = msgspec.field(name="back-file", default=None)
    inode: int | None = msgspec.field(name="back-ino", default=None)
    ro: bool = False
    autoclear: bool = False
    offset: int = 0
    sizelimit: int = 0

    def shows(self, path: str) -> bool:
        """Tell whether it shows the whole of the file that is, or was, at a path, and is not about to go."""
        whole = not self.offset and not self.sizelimit and not self.autoclear
        # Not by inode: what the kernel tells is that of the file system below, where one lies over another.
        return whole and (self.back_file or "").removesuffix(_DELETED) == os.path.realpath(path)

    @property
    def deleted(self) -> bool:
        """Tell whether its file has lost its name."""
        return (self.back_file or "").endswith(_DELETED)

    def token(self) -> str:
        """Give what tells this setting up of the device from every other one, "" where the kernel does not count them.

        The kernel's number (Linux 5.15) begins anew when the host does; the inode tells such apart.
        """
        try:
            number = (_BLOCK / Path(self.name).name / "diskseq").read_text().strip()
        except OSError:
            return ""
        return f"{number}/{self.inode}"


class _Listing(msgspec.Struct, frozen=True):
    loopdevices: tuple[Loop, ...] = ()


class Loops:
    """The loop devices. Every method blocks."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner

    def all(self) -> dict[str, Loop]:
        """Give every loop device that has a file, by name."""
        text = self._run("losetup", "--list", "--json", "--output", _COLUMNS)
        listing = msgspec.json.decode(text, type=_Listing, strict=False) if text.strip() else _Listing()
        return {loop.name: loop for loop in listing.loopdevices}

    def make(self, path: str, *, write: bool) -> str:
        """Give the name of a new device that shows a file. It goes round the page cache where the file can.

        It does not where a program serves the file: what QEMU serves of an image
        comes back wrong then, as an ext4 with bad checksums (Linux 6.18).

        Sectors are always of one size: the kernel would choose larger ones for a
        file that shares blocks with a snapshot, which what is on it may not bear.
        """
        words = ("losetup", "--find", "--show", "--sector-size", "512", *(() if write else ("--read-only",)))
        if not in_user_space(Path(path)):
            done = self._runner.run((*words, "--direct-io=on", path))
            if done.status == 0:
                return done.text.strip()
        return self._run(*words, path).decode().strip()

    def measure(self, name: str, path: str) -> None:
        """Have the size of the file noticed by the device; whoever has it open sees the new size at once."""
        if size_of(name) != size_of(path):
            self._run("losetup", "--set-capacity", name)

    def end(self, name: str, *, force: bool) -> bool:
        """End a device. False, and nothing has changed, when somebody has it open.

        By force it ends as soon as nobody has it open any more.
        """
        for attempt in range(BUSY_TRIES):
            if attempt:
                # What looks at new devices has them open for a moment, too.
                time.sleep(BUSY_PAUSE_S)
            if self._try_end(name, force=force):
                return True
        return False

    def _try_end(self, name: str, *, force: bool) -> bool:
        """See `end`. The kernel alone knows who has it open: it is told to end it with the last user, and asked."""
        try:
            device = os.open(name, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return True
        try:
            fcntl.ioctl(device, _CLR_FD)
            status = bytearray(_STATUS_BYTES)
            fcntl.ioctl(device, _GET_STATUS, status)
            if force:
                return True
            (flags,) = _FLAGS.unpack_from(status, _FLAGS_AT)
            _FLAGS.pack_into(status, _FLAGS_AT, flags & ~_AUTOCLEAR)
            fcntl.ioctl(device, _SET_STATUS, status)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return True
            if error.errno == errno.EBUSY:
                return False
            log.warning("loop device not ended", device=name, error=error.strerror)
            raise Unavailable(what=WHAT, reason="a loop device could not be ended") from error
        finally:
            os.close(device)
        return False

    def _run(self, *arguments: str) -> bytes:
        done = self._runner.run(arguments)
        if done.status != 0:
            log.warning("losetup failed", arguments=list(arguments), detail=done.stderr.strip())
            raise Unavailable(what=WHAT, reason="losetup failed")
        return done.stdout


def size_of(path: str) -> int:
    """Give the size in bytes of a file or device."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.lseek(descriptor, 0, os.SEEK_END)
    finally:
        os.close(descriptor)


def is_device(path: str) -> bool:
    """Tell whether there is a block device at a path. Unavailable when there is nothing."""
    try:
        return stat.S_ISBLK(os.stat(path).st_mode)  # noqa: PTH116
    except OSError as error:
        raise Unavailable(what=WHAT, reason="the source is not there") from error


def in_use(path: str) -> bool:
    """Tell whether somebody has a device open that is none of ours: a mount, a device on top of it, a process."""
    try:
        number = os.stat(path).st_rdev  # noqa: PTH116
        os.close(os.open(path, os.O_RDONLY | os.O_EXCL | os.O_CLOEXEC))
    except FileNotFoundError:
        return False
    except OSError as error:
        if error.errno == errno.EBUSY:
            return True
        raise
    return any(_has_open(process, number) for process in Path("/proc").iterdir() if process.name.isdigit())


def _has_open(process: Path, number: int) -> bool:
    # Processes end while they are looked at, and files in them are closed.
    with contextlib.suppress(OSError), os.scandir(process / "fd") as descriptors:
        for descriptor in descriptors:
            with contextlib.suppress(OSError):
                found = descriptor.stat()
                if stat.S_ISBLK(found.st_mode) and found.st_rdev == number:
                    return True
    return False
