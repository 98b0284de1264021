"""What the gateway and its processes tell each other: a job on standard input, lines of JSON on standard output."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import msgspec

from gateway.core.errors import ErrorRecord
from gateway.core.model import VolumeKind
from gateway.core.mover import MoveJob, MoveProgress
from gateway.core.secret import AccessKeys, Secret


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


class SendJob(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be sent, to whom, and where that comes for it. `ports`: where to listen; none: anywhere."""

    id: UUID
    kind: VolumeKind
    path: str
    host: str
    ports: tuple[int, ...]
    certificate: str
    key: str
    peer_certificate: str
    token: Secret
    patience_s: float


class Listening(msgspec.Struct, frozen=True, kw_only=True, tag="listening"):
    """It may be fetched."""

    address: str
    port: int


class Sent(msgspec.Struct, frozen=True, kw_only=True, tag="sent"):
    """It was fetched. The last line."""


SendLine = Listening | Sent | Failed


def encode_job(job: MoveJob | SendJob) -> bytes:
    """Give the line that a job is. It holds secrets: nowhere does it go but to the process."""
    return msgspec.json.encode(job, enc_hook=plain) + b"\n"


def decode_job(line: bytes) -> MoveJob:
    """Give the job that a line is."""
    return msgspec.json.decode(line, type=MoveJob, dec_hook=secret)


def decode_send_job(line: bytes) -> SendJob:
    """The same for what is to be sent."""
    return msgspec.json.decode(line, type=SendJob, dec_hook=secret)


def plain(value: Any) -> dict[str, str] | str:
    """Give what msgspec writes for a secret."""
    if isinstance(value, Secret):
        return value.reveal()
    if not isinstance(value, AccessKeys):
        raise NotImplementedError(type(value).__name__)
    token = value.token.reveal() if value.token else ""
    return {"access_key": value.access, "secret_key": value.secret.reveal(), "session_token": token}


def secret(kind: type, value: Any) -> Any:
    """Give the secret that `plain` wrote."""
    if kind is Secret:
        return Secret(value)
    if kind is not AccessKeys:
        raise NotImplementedError(kind.__name__)
    return AccessKeys.named(value)
