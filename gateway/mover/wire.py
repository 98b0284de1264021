"""What the gateway and the process tell each other: a job on standard input, lines of JSON on standard output."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.core.errors import ErrorRecord
from gateway.core.mover import MoveJob, MoveProgress
from gateway.core.secret import AccessKeys


class Moving(msgspec.Struct, frozen=True, kw_only=True, tag="moving"):
    """So far."""

    progress: MoveProgress


class Moved(msgspec.Struct, frozen=True, kw_only=True, tag="moved"):
    """All of it. The last line."""

    progress: MoveProgress


class Failed(msgspec.Struct, frozen=True, kw_only=True, tag="failed"):
    """Not all of it. The last line."""

    error: ErrorRecord


Line = Moving | Moved | Failed


def encode_job(job: MoveJob) -> bytes:
    """Give the line that a job is. It holds secrets: nowhere does it go but to the process."""
    return msgspec.json.encode(job, enc_hook=_plain) + b"\n"


def decode_job(line: bytes) -> MoveJob:
    """Give the job that a line is."""
    return msgspec.json.decode(line, type=MoveJob, dec_hook=_keys)


def _plain(value: Any) -> dict[str, str]:
    if not isinstance(value, AccessKeys):
        raise NotImplementedError(type(value).__name__)
    token = value.token.reveal() if value.token else ""
    return {"access_key": value.access, "secret_key": value.secret.reveal(), "session_token": token}


def _keys(kind: type, value: Any) -> Any:
    if kind is not AccessKeys:
        raise NotImplementedError(kind.__name__)
    return AccessKeys.named(value)
