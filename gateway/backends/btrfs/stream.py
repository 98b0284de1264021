"""The `btrfs` program's two streams: the one thing that the kernel offers to no library. All of it blocks."""

from __future__ import annotations

import contextlib
import os
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO
from uuid import UUID

import msgspec

from gateway.core.errors import GatewayError, InvalidArgument, NotFound, OutOfSpace, Unavailable

CHUNK = 1024 * 1024
HEAD_MAX = 64 * 1024
_PROGRAM = "btrfs"
_COMPLAINTS_MAX = 64 * 1024

_MAGIC = b"btrfs-stream\0"
_STREAM = struct.Struct("<13sI")
_COMMAND = struct.Struct("<IHI")
_ATTRIBUTE = struct.Struct("<HH")
_NEW_SUBVOLUME = 1
_CHANGED_SNAPSHOT = 2
_BASE_UUID = 20

Failure = Callable[[str], GatewayError]

RECEIVE_FAILURES: Mapping[str, Failure] = {
    "cannot find parent subvolume": lambda _pool: NotFound(kind="snapshot", ref="the base of the stream"),
    "No space left on device": lambda pool: OutOfSpace(pool=pool),
    "Disk quota exceeded": lambda pool: OutOfSpace(pool=pool),
    "Read-only file system": lambda pool: Unavailable(what=pool, reason="mounted read-only"),
    "Input/output error": lambda pool: Unavailable(what=pool, reason="input/output error"),
}
"""What `btrfs receive` complains of -> the error; anything else is the stream's fault."""


class Head(msgspec.Struct, frozen=True):
    """What a stream says first. `base`: the uuid of the subvolume that it is the difference from."""

    base: UUID | None


def parse_head(data: bytes) -> Head | None:
    """Read the head of a stream; None when more of it is needed. InvalidArgument when it is no stream."""
    start = _STREAM.size + _COMMAND.size
    if data[: len(_MAGIC)] != _MAGIC[: len(data)]:
        raise broken_stream()
    if len(data) < start:
        return None
    length, command, _ = _COMMAND.unpack_from(data, _STREAM.size)
    if command not in {_NEW_SUBVOLUME, _CHANGED_SNAPSHOT} or length > HEAD_MAX - start:
        raise broken_stream()
    if len(data) < start + length:
        return None
    if command == _NEW_SUBVOLUME:
        return Head(base=None)
    base = _attributes(data[start : start + length]).get(_BASE_UUID, b"")
    if len(base) != 16:  # noqa: PLR2004 - bytes of a uuid
        raise broken_stream()
    return Head(base=UUID(bytes=base))


def _attributes(data: bytes) -> dict[int, bytes]:
    found, position = {}, 0
    while position + _ATTRIBUTE.size <= len(data):
        kind, length = _ATTRIBUTE.unpack_from(data, position)
        position += _ATTRIBUTE.size
        found[kind] = data[position : position + length]
        position += length
    return found


def installed() -> bool:
    """Tell whether there is a `btrfs` program."""
    return shutil.which(_PROGRAM) is not None


class _Program:
    """A running `btrfs`. Its complaints go to a file, so that it can never wait for us to read them."""

    def __init__(self, *arguments: str | Path, stdin: int, stdout: int) -> None:
        self._complaints: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `stop`
        try:
            self.process = subprocess.Popen(
                [_PROGRAM, "--quiet", *[str(argument) for argument in arguments]],
                stdin=stdin,
                stdout=stdout,
                stderr=self._complaints,
                env={**os.environ, "LC_ALL": "C"},
            )
        except BaseException:
            self._complaints.close()
            raise

    def complaints(self) -> str:
        """Give what the program wrote to its standard error; nothing any more after `stop`."""
        if self._complaints.closed:
            return ""
        self._complaints.seek(0)
        return self._complaints.read(_COMPLAINTS_MAX).decode(errors="replace")

    def stop(self) -> None:
        """End the program if it still runs, and let go of everything. Idempotent."""
        self.process.kill()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        self.process.wait()
        self._complaints.close()


class Sender:
    """A running `btrfs send` of a read-only subvolume, whole or as the difference from `base`."""

    def __init__(self, pool: str, path: Path, base: Path | None) -> None:
        parent = () if base is None else ("-p", base)
        self._pool = pool
        self._program = _Program("send", *parent, path, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)

    def read(self) -> bytes:
        """Give the next part; empty at the end of a whole stream. Unavailable when it broke off."""
        process = self._program.process
        part = b"" if process.stdout is None else process.stdout.read(CHUNK)
        if not part and process.wait():
            raise Unavailable(what=self._pool, reason=f"btrfs send: {self._program.complaints().strip()}")
        return part

    def kill(self) -> None:
        """Make the program end, without waiting for it. Does not block."""
        self._program.process.kill()

    def stop(self) -> None:
        """End the program. Idempotent."""
        self._program.stop()


class Receiver:
    """A running `btrfs receive` into a directory of its own."""

    def __init__(self, pool: str, folder: Path) -> None:
        self._pool = pool
        self._program = _Program("receive", folder, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)

    def write(self, part: bytes) -> None:
        """Hand over the next part; the reason when the program does not want it."""
        try:
            if self._program.process.stdin is not None:
                self._program.process.stdin.write(part)
        except BrokenPipeError:
            self.finish()
            raise

    def finish(self) -> None:
        """End the stream and wait until all of it is taken; raises why not."""
        process = self._program.process
        with contextlib.suppress(BrokenPipeError):
            if process.stdin is not None:
                process.stdin.close()
        if process.wait() == 0:
            return
        complaints = self._program.complaints()
        for text, failure in RECEIVE_FAILURES.items():
            if text in complaints:
                raise failure(self._pool)
        raise broken_stream()

    def kill(self) -> None:
        """Make the program end, without waiting for it. Does not block."""
        self._program.process.kill()

    def stop(self) -> None:
        """End the program. Idempotent."""
        self._program.stop()


def broken_stream() -> GatewayError:
    """Give the error of a stream that is damaged, cut short or no stream at all."""
    return InvalidArgument(field="stream", reason="broken or cut short")
