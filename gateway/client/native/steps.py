"""The steps that all operations on the gateway's own resources are made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeVar

import msgspec

from gateway.client.flows import Flow, ask
from gateway.client.native.records import Job
from gateway.client.wire import Call, ClientError, Pause, Reply, decode

R = TypeVar("R")

ROOT = "/gateway"
WAIT_S: Final = 30
"""How long a request stays for the end of its change; after that its job is asked."""

_ACCEPTED = 202
_BROKEN = 500
_FIRST_POLL_S = 0.05
_LAST_POLL_S = 1.0
_LOST_POLLS = 15


class _JobRef(msgspec.Struct, frozen=True):
    id: str


class _Accepted(msgspec.Struct, frozen=True):
    job: _JobRef


def read(path: str, kind: type[R], query: tuple[tuple[str, str], ...] = ()) -> Flow[R]:
    """Give what there is at a path."""
    return decode((yield from ask(Call(method="GET", path=path, query=query))), kind)


def send(
    method: str, path: str, body: msgspec.Struct | dict[str, Any] | None = None, *, flags: Mapping[str, bool] = {}
) -> Flow[Reply | Job]:
    """Send a change, once, and give its answer, or its job that ended later and well.

    ClientError when it fails, or when it is not known what became of it.
    """
    query = {"wait": str(WAIT_S)}
    query |= {name: "true" if flag else "false" for name, flag in flags.items()}
    content = msgspec.to_builtins(body)
    reply = yield Call(method=method, path=path, query=tuple(query.items()), body=content, patience_s=WAIT_S)
    if reply.status != _ACCEPTED:
        decode(reply, msgspec.Raw)
        return reply
    return (yield from finished(decode(reply, _Accepted).job.id))


def made(answer: Reply | Job, kind: type[R], collection: str) -> Flow[R]:
    """Give the object that a change was about, from its answer or from where its job says."""
    if isinstance(answer, Reply):
        return decode(answer, kind)
    return (yield from read(f"{collection}/{answer.target_id}", kind))


def job(job_id: str) -> Flow[Job]:
    """Give a job."""
    return read(f"{ROOT}/jobs/{job_id}", Job)


def finished(job_id: str) -> Flow[Job]:
    """Give a job once it has ended; ClientError when it failed.

    A gateway that is away meanwhile, as while it restarts, is asked again for a while: it remembers its jobs.
    """
    pause, lost = _FIRST_POLL_S, 0
    while True:
        try:
            seen = yield from job(job_id)
        except ClientError as error:
            lost += 1
            if lost > _LOST_POLLS or not is_lost(error):
                raise
        else:
            if seen.ended:
                break
            lost = 0
        yield Pause(pause)
        pause = min(pause * 2, _LAST_POLL_S)
    if seen.error is not None:
        raise ClientError(0, seen.error.code, seen.error.message, fields=seen.error.fields)
    if seen.state != "success":
        raise ClientError(0, "", f"the job ended as {seen.state!r}")
    return seen


def is_absent(error: ClientError, kind: str) -> bool:
    """Tell whether a change failed because there is no such object, rather than no such path."""
    return error.code == "NotFound" and error.fields.get("kind") == kind


def is_unknown(error: ClientError) -> bool:
    """Tell whether a change may have happened, or may yet: it was sent, and nothing came back."""
    return is_lost(error) and not error.unsent


def is_lost(error: ClientError) -> bool:
    """Tell whether it is not known what became of a change: nothing that the gateway said was received.

    What is between it and the client, such as a proxy, answers without a code.
    """
    return not error.code and (error.status == 0 or error.status >= _BROKEN)
