"""What git complains of in the core's words: the table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import msgspec
import structlog

from gateway.backends.files import failures as files
from gateway.backends.files.failures import Failure, busy, out_of_space, unavailable
from gateway.core.errors import GatewayError, Unavailable

log = structlog.get_logger(__name__)

DAMAGED = "the repository is damaged"

COMPLAINTS: Mapping[str, Failure] = {
    "No space left on device": out_of_space,
    "Disk quota exceeded": out_of_space,
    "Read-only file system": unavailable("mounted read-only, or made so after an error"),
    "Input/output error": unavailable("input/output error"),
    "Permission denied": unavailable("not permitted"),
    "not a git repository": unavailable("the repository is gone"),
    # Of two changes of one ref the later one loses; the core holds its own apart, so the other is a stranger's.
    "but expected": busy,
    "already exists": busy,
    "File exists": busy,
    "unable to resolve reference": busy,
    "corrupt": unavailable(DAMAGED),
    "bad object": unavailable(DAMAGED),
    "missing": unavailable(DAMAGED),
    "unable to read": unavailable(DAMAGED),
    "nonexistent object": unavailable(DAMAGED),
    "inflate": unavailable(DAMAGED),
}
"""What git complains of in the C locale -> the error. It has one exit status for everything."""


def complaint(pool: str, command: str, text: str) -> GatewayError:
    """Give the error that git's complaint means; the text itself goes to the log."""
    log.warning("git refused", pool=pool, command=command, text=text.strip()[:2000])
    for part, failure in COMPLAINTS.items():
        if part in text:
            return failure(pool)
    return Unavailable(what=pool, reason=f"git {command} failed")


@contextmanager
def translated(pool: str) -> Iterator[None]:
    """Turn every OSError and damaged sidecar of the body into an error of the core."""
    try:
        with files.translated(pool):
            yield
    except msgspec.DecodeError as error:
        raise Unavailable(what=pool, reason="a sidecar is damaged") from error
