"""Access lines by an encoder of their own: the general log costs ten times as much per line."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import UTC, datetime

import msgspec

from gateway.config import LogFormat, LogSettings

_READS = frozenset({"GET", "HEAD", "OPTIONS"})
_FAILURE = 400
_SECRET = re.compile(r"([?&][^=&]*pass(?:word|phrase)[^=&]*=)[^&]*", re.IGNORECASE)
"""Whatever becomes of a password that a client puts into a query: the line must not keep it."""


class _Line(msgspec.Struct, frozen=True, gc=False):
    timestamp: str
    level: str
    event: str
    door: str
    method: str
    path: str
    status: int
    ms: float
    bytes: int
    who: str
    peer: str
    request_id: str


class AccessLog:
    """Writes one line per request. Of reads that succeed only the configured share is written, evenly spread."""

    def __init__(
        self, settings: LogSettings, write: Callable[[bytes], object], *, clock: Callable[[], float] = time.time
    ) -> None:
        self._share = settings.access_sample
        self._encode = _as_json if settings.format is LogFormat.JSON else _as_text
        self._write = write
        self._clock = clock
        self._owed = 0.0
        self._second = -1
        self._stamp = ""

    def record(
        self,
        *,
        door: str,
        method: str,
        path: str,
        status: int,
        seconds: float,
        size: int = 0,
        who: str = "",
        peer: str = "",
        request_id: str = "",
    ) -> None:
        """Tell of one answered request; `path` as it was sent, `size` in bytes of the answer's body."""
        if status < _FAILURE and method in _READS:
            self._owed += self._share
            if self._owed < 1.0:
                return
            self._owed -= 1.0
        if "?" in path and "pass" in path.lower():
            path = _SECRET.sub(r"\1***", path)
        ms = round(seconds * 1000, 3)
        self._write(
            self._encode(
                _Line(self._now(), "info", "access", door, method, path, status, ms, size, who, peer, request_id)
            )
        )

    def _now(self) -> str:
        now = self._clock()
        second = int(now)
        if second != self._second:
            self._second = second
            self._stamp = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        return f"{self._stamp}.{int((now - second) * 1_000_000):06d}Z"


_encoder = msgspec.json.Encoder()


def _as_json(line: _Line) -> bytes:
    try:
        return _encoder.encode(line) + b"\n"
    except UnicodeEncodeError:  # broken UTF-8 in the request arrives as lone surrogates, as may names in tokens
        told = {"path": ascii(line.path), "who": ascii(line.who), "request_id": ascii(line.request_id)}
        return _encoder.encode(msgspec.structs.replace(line, **told)) + b"\n"


def _as_text(line: _Line) -> bytes:
    # These are the client's, or its token's; what is not printable must not reach a terminal.
    path, who, request = (text if text.isprintable() else repr(text) for text in (line.path, line.who, line.request_id))
    text = (
        f"{line.timestamp} [access] {line.door} {line.method} {path} {line.status} {line.ms}ms {line.bytes}B"
        f" who={who or '-'} peer={line.peer or '-'} request_id={request or '-'}\n"
    )
    return text.encode("utf-8", "backslashreplace")
