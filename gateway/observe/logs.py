"""The structured log: one event per line, lower case names, typed fields, no secrets."""

from __future__ import annotations

import itertools
import json
import logging
import secrets
from collections.abc import Mapping, MutableMapping, Sequence
from contextvars import ContextVar
from typing import Any, BinaryIO

import msgspec
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from gateway.config import LogFormat, LogLevel, LogSettings

REQUEST_ID: ContextVar[str] = ContextVar("request_id", default="")
"""The request that the running task works for; every log line carries it."""

_LEVELS: Mapping[LogLevel, int] = {
    LogLevel.DEBUG: logging.DEBUG,
    LogLevel.INFO: logging.INFO,
    LogLevel.WARNING: logging.WARNING,
    LogLevel.ERROR: logging.ERROR,
}
_SECRET = frozenset({"password", "passwd", "authorization", "secret", "token", "credential", "credentials", "cookie"})
_HIDDEN = "(hidden)"


class RequestIds:
    """Gives ids that are unique among all processes and cost nothing."""

    def __init__(self) -> None:
        self._prefix = secrets.token_hex(5)
        self._numbers = itertools.count(1)

    def new(self) -> str:
        """Give the next id."""
        return f"{self._prefix}-{next(self._numbers):x}"


class AuditLog:
    """One line per change: who, through which door, did what to what, and how it ended."""

    def __init__(self, logger: structlog.typing.FilteringBoundLogger | None = None) -> None:
        self._log = logger if logger is not None else structlog.get_logger("gateway.audit")

    def record(self, *, who: str, door: str, operation: str, target: str, outcome: str, job: str = "") -> None:
        """Write the line. `outcome` is `success`, `accepted` (a job goes on) or the error's class name."""
        self._log.info("audit", who=who, door=door, operation=operation, target=target, outcome=outcome, job=job)


def configure_logging(settings: LogSettings, stream: BinaryIO) -> None:
    """Send every logger of this process, structlog's and the standard library's, to the stream.

    Called once, where the process starts; a second call replaces the first.
    """
    structlog.configure(
        processors=[*_PROCESSORS, *_renderers(settings.format, colors=stream.isatty())],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[settings.level]),
        logger_factory=structlog.BytesLoggerFactory(stream),
        cache_logger_on_first_use=False,
    )
    # Other people's libraries report at their own discretion; below WARNING it is noise.
    logging.basicConfig(handlers=[_Forward()], level=max(_LEVELS[settings.level], logging.WARNING), force=True)


def hand_over_logging() -> None:
    """Let lines go where the program around the gateway wants them.

    A program that has configured structlog decides already. Any other gets
    them as from any library, from the standard library's loggers `gateway.*`;
    otherwise structlog would print them.
    """
    if not structlog.is_configured():
        structlog.configure(
            processors=[structlog.stdlib.filter_by_level, *_CONTENTS, _as_message],
            wrapper_class=structlog.stdlib.BoundLogger,
            logger_factory=structlog.stdlib.LoggerFactory(),
            cache_logger_on_first_use=False,
        )


class _Forward(logging.Handler):
    """Hands lines of the standard library's loggers to structlog."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            structlog.get_logger(record.name).log(
                record.levelno, record.getMessage(), logger=record.name, exc_info=record.exc_info or None
            )
        except Exception:  # noqa: BLE001 - a log line must not end what it reports on
            self.handleError(record)


def _add_request_id(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    request_id = REQUEST_ID.get()
    if request_id:
        event.setdefault("request_id", request_id)
    return event


def _hide_secrets(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    _hide(event)
    return event


def _hide(fields: MutableMapping[str, Any]) -> None:
    for key, value in fields.items():
        if str(key).lower() in _SECRET:
            fields[key] = _HIDDEN
        elif isinstance(value, dict):
            fields[key] = inner = dict(value)
            _hide(inner)


_CONTENTS: Sequence[Processor] = (structlog.contextvars.merge_contextvars, _add_request_id, _hide_secrets)
_PROCESSORS: Sequence[Processor] = (
    *_CONTENTS,
    structlog.processors.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
)


def _renderers(form: LogFormat, *, colors: bool) -> Sequence[Processor]:
    if form is LogFormat.JSON:
        return (structlog.processors.format_exc_info, _as_json)
    # Others that may be installed beside us show what variables hold, passwords too.
    plain = structlog.dev.plain_traceback
    return (structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=plain), _as_bytes)


def _as_json(_logger: WrappedLogger, _method: str, event: EventDict) -> bytes:
    ordered = {key: event.pop(key) for key in ("timestamp", "level", "event") if key in event}
    line = {**ordered, **event}
    try:
        return msgspec.json.encode(line, enc_hook=repr)
    except UnicodeEncodeError:  # lone surrogates; the slow encoder escapes them
        return json.dumps(line, default=repr).encode()


def _as_bytes(_logger: WrappedLogger, _method: str, line: Any) -> bytes:
    return str(line).encode("utf-8", "backslashreplace")


def _as_message(_logger: WrappedLogger, _method: str, event: EventDict) -> tuple[tuple[str, str], dict[str, Any]]:
    """Give what a logger of the standard library is called with."""
    error = event.pop("exc_info", None)
    words = [str(event.pop("event")), *(f"{key}={value!r}" for key, value in event.items())]
    return ("%s", " ".join(words)), {"exc_info": error}
