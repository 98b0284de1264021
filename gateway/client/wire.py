"""Requests and answers as data, and what an answer means."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

R = TypeVar("R")

_SUCCESS = range(200, 300)


class ClientError(Exception):
    """What went wrong: HTTP status, the door's code and text, the field at fault.

    Status 0: there was no usable answer, or a job failed after its request was accepted.
    `fields`: what the gateway's own resources say of an error beside its text, by name.
    `unsent`: the request did not get as far as the gateway. `late`: it waited for longer than it is patient.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        target: str = "",
        *,
        fields: Mapping[str, Any] | None = None,
        unsent: bool = False,
        late: bool = False,
    ) -> None:
        self.status = status
        self.code = code
        self.message = message
        self.target = target
        self.unsent = unsent
        self.late = late
        self.fields: Mapping[str, Any] = dict(fields or {})
        super().__init__(message)

    def __str__(self) -> str:
        where = f" (field {self.target})" if self.target else ""
        number = f" [code {self.code}]" if self.code else ""
        return f"{self.message}{where}{number}"


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One HTTP request. `path` may carry a query of its own (the link of a next page).

    `patience_s`: how much longer than usual its answer may take.
    """

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    body: Mapping[str, Any] | None = None
    patience_s: float = 0.0


class Pause(msgspec.Struct, frozen=True):
    """Wait before the next step. Answered by an empty `Reply`."""

    seconds: float


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """One HTTP answer. `retry_after_s` is what the door asked for, if it did."""

    status: int
    body: bytes = b""
    retry_after_s: float | None = None


class _ErrorBody(msgspec.Struct, frozen=True):
    message: str = ""
    code: str | int = ""
    target: str = ""
    fields: dict[str, Any] = {}


class _Failed(msgspec.Struct, frozen=True):
    error: _ErrorBody


def decode(reply: Reply, kind: type[R]) -> R:
    """Give the record in a successful answer; ClientError for everything else."""
    if reply.status not in _SUCCESS:
        raise failure(reply)
    try:
        return msgspec.json.decode(reply.body, type=kind)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ClientError(0, "", f"the answer cannot be understood: {error}") from None


def failure(reply: Reply) -> ClientError:
    """Give the error that an answer describes; one that describes none keeps its status."""
    try:
        error = msgspec.json.decode(reply.body, type=_Failed).error
    except (msgspec.DecodeError, RecursionError):
        return ClientError(reply.status, "", f"the gateway answered with HTTP status {reply.status}")
    return ClientError(reply.status, str(error.code), error.message, error.target, fields=error.fields)


def exactly(text: str) -> str:
    """Give a query value that matches this text and nothing else. ClientError for text that cannot be quoted."""
    if text and text.replace("_", "").replace("-", "").isalnum() and text != "null":
        return text
    if "{" not in text and "}" not in text:
        return f"{{{text}}}"
    if '"' not in text:
        return f'"{text}"'
    raise ClientError(0, "", f"{text!r} cannot be searched for")
