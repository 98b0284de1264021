"""The last changes and events of a gateway, in two files of its own that take turns."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Final

import msgspec
import structlog

from gateway.core.door import Trace
from gateway.core.trail import Entry

_LINES_MAX: Final = 10_000
_TEXT_MAX: Final = 512
_DECODER: Final = msgspec.json.Decoder(Entry)
_ENCODER: Final = msgspec.json.Encoder()


class FileTrail:
    """Keeps as many lines as it may, also for the next process. Belongs to one event loop; close it at the end.

    A line is written at once and not flushed to the disk. Where it cannot be
    written the lines are kept in memory only, and the log says so once.
    """

    def __init__(self, path: Path, *, most: int = _LINES_MAX, clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._before = path.with_name(f"{path.name}.1")
        self._half = max(1, most // 2)
        self._clock = clock
        self._kept: deque[Entry] = deque(maxlen=most)
        self._written = 0
        self._number = 0
        self._file: BinaryIO | None = None

    def open(self) -> None:
        """Read what an earlier process left. A line that cannot be read is left out."""
        for path in (self._before, self._path):
            lines = _lines(path)
            self._written = len(lines)
            for line in lines:
                with suppress(msgspec.DecodeError):
                    self._kept.append(_DECODER.decode(line))
        self._number = max((entry.number for entry in self._kept), default=0)
        self._begin("ab")
        if self._file is not None and _torn(self._path):
            with suppress(OSError):
                self._file.write(b"\n")

    def close(self) -> None:
        """Close the file. Idempotent."""
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def entries(self) -> Sequence[Entry]:
        """See `gateway.core.trail.Trail`."""
        return tuple(self._kept)

    def change(self, trace: Trace, *, door: str, peer: str, request: str) -> None:
        """Keep a change that somebody asked for."""
        self._keep(
            Entry(
                number=self._number + 1,
                time=self._now(),
                door=door,
                who=_short(trace.who),
                peer=peer,
                operation=trace.operation,
                target=_short(trace.target),
                outcome=trace.outcome,
                job=trace.job,
                request=request,
                tenant_id=trace.tenant_id,
            )
        )

    def event(self, name: str, parameters: Mapping[str, str]) -> None:
        """Keep something that happened."""
        told = {key: _short(value) for key, value in parameters.items()}
        self._keep(Entry(number=self._number + 1, time=self._now(), operation=name, parameters=told))

    def _now(self) -> datetime:
        return datetime.fromtimestamp(int(self._clock()), UTC)

    def _keep(self, entry: Entry) -> None:
        self._number = entry.number
        self._kept.append(entry)
        if self._file is None:
            return
        try:
            if self._written >= self._half:
                self._file.close()
                self._path.replace(self._before)
                self._written = 0
                self._begin("wb")
            self._file.write(_ENCODER.encode(entry) + b"\n")
            self._written += 1
        except OSError as error:
            self._give_up(error)

    def _begin(self, mode: str) -> None:
        try:
            file = open(self._path, mode, buffering=0, opener=_private)  # noqa: SIM115 - closed by `close`
            # Made so, and not changed to it: who had it open before could read on.
            self._file = file  # type: ignore[assignment] # binary and unbuffered
            self._path.chmod(0o600)
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        with suppress(OSError):
            self.close()
        structlog.get_logger("gateway.audit").warning("trail_not_written", reason=error.strerror)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _lines(path: Path) -> list[bytes]:
    try:
        return path.read_bytes().splitlines()
    except OSError:
        return []


def _torn(path: Path) -> bool:
    """Tell whether the last line has no end, because its process had none either."""
    try:
        content = path.read_bytes()
    except OSError:
        return False
    return bool(content) and not content.endswith(b"\n")


def _short(text: str) -> str:
    """Give a text as a line may have it: cut, and with nothing that UTF-8 cannot carry."""
    return text[:_TEXT_MAX].encode("utf-8", "replace").decode("utf-8")
