"""Streams of snapshots: their head, and the programs that write and read them. All of it blocks."""

from __future__ import annotations

import contextlib
import os
import struct
import subprocess
import tempfile
from collections.abc import Sequence
from typing import IO

import msgspec

from gateway.backends.zfs.failures import Meaning, Refused, broken_stream, refusal
from gateway.core.errors import Unavailable

CHUNK = 1024 * 1024
_COMPLAINTS_MAX = 64 * 1024

_MAGIC = 0x2F5BACBAC
_BEGIN = struct.Struct("<IIQQQIIQQ")
_BEGIN_SWAPPED = struct.Struct(">IIQQQIIQQ")
_FLAGS = 2
"""Bits below the feature flags in a stream's version."""
_RESUMING = 1 << 20
_BLOCK = 3
_RECORD_BEGIN = 0

HEAD_SIZE = _BEGIN.size


class Head(msgspec.Struct, frozen=True):
    """What a stream says first. Snapshots are named by their guid; `base` 0: everything is in the stream.

    resuming: it goes on where an earlier one broke off.
    """

    snapshot: int
    base: int
    block: bool
    resuming: bool


def parse_head(data: bytes) -> Head:
    """Read the first `HEAD_SIZE` bytes of a stream; InvalidArgument when it is no stream of one snapshot."""
    if len(data) < HEAD_SIZE:
        raise broken_stream()
    for form in (_BEGIN, _BEGIN_SWAPPED):
        record, _, magic, version, _, kind, _, snapshot, base = form.unpack_from(data)
        if magic == _MAGIC:
            break
    else:
        raise broken_stream()
    if record != _RECORD_BEGIN or not snapshot:
        raise broken_stream()
    return Head(snapshot, base, kind == _BLOCK, bool((version >> _FLAGS) & _RESUMING))


class _Program:
    """A running `zfs`. Its complaints go to a file, so that it can never wait for us to read them."""

    def __init__(self, arguments: Sequence[str], *, stdin: int, stdout: int) -> None:
        self._complaints: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `stop`
        try:
            self.process = subprocess.Popen(
                arguments, stdin=stdin, stdout=stdout, stderr=self._complaints, env={**os.environ, "LC_ALL": "C"}
            )
        except OSError as error:
            self._complaints.close()
            raise Unavailable(what=arguments[0], reason=f"cannot be started: {error.strerror}") from error

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
    """A running `zfs send`."""

    def __init__(self, pool: str, arguments: Sequence[str]) -> None:
        self._pool = pool
        self._program = _Program(["zfs", "send", *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)

    def read(self) -> bytes:
        """Give the next part; empty at the end of a whole stream. Unavailable when it broke off."""
        process = self._program.process
        part = b"" if process.stdout is None else process.stdout.read(CHUNK)
        if not part and process.wait():
            refused = refusal(self._program.complaints())
            if refused.meaning is Meaning.DEFECT:
                raise Unavailable(what=self._pool, reason="zfs send broke off") from refused
            raise refused
        return part

    def kill(self) -> None:
        """Make the program end, without waiting for it. Does not block."""
        self._program.process.kill()

    def stop(self) -> None:
        """End the program. Idempotent."""
        self._program.stop()


class Receiver:
    """A running `zfs receive`."""

    def __init__(self, arguments: Sequence[str]) -> None:
        self._program = _Program(["zfs", "receive", *arguments], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)

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
        if process.wait():
            refused = refusal(self._program.complaints())
            # Whatever else it says of a stream, the stream is at fault.
            raise Refused(Meaning.STREAM, refused.text) if refused.meaning is Meaning.DEFECT else refused

    def kill(self) -> None:
        """Make the program end, without waiting for it. Does not block."""
        self._program.process.kill()

    def stop(self) -> None:
        """End the program. Idempotent."""
        self._program.stop()
