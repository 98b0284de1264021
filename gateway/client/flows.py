"""The steps of an operation, without the I/O: generators that yield requests and pauses and get answers."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from typing import Any, Generic, TypeVar
from urllib.parse import urlencode

import msgspec

from gateway.client.records import Job
from gateway.client.wire import Call, ClientError, Pause, Reply, decode, exactly

T = TypeVar("T")
R = TypeVar("R")

Flow = Generator[Call | Pause, Reply, T]
Progress = Callable[[Job], None]
"""Called with a job every time it was looked at."""

JOBS = "/api/cluster/jobs"
_JOB_FIELDS = "uuid,description,state,message,code,error,start_time,end_time"
_NOT_FOUND = "4"
_RETRIED = frozenset({429, 503})
_ENDED = frozenset({200, 201})
_ABSENT = 404
_ATTEMPTS = 4
_PAUSE_MAX_S = 30.0
_FIRST_POLL_S = 0.05
_LAST_POLL_S = 1.0


class Listing(msgspec.Struct, Generic[R], frozen=True, kw_only=True):
    """A question with many answers, which arrive page by page."""

    path: str
    kind: type[R]
    query: tuple[tuple[str, str], ...] = ()


class Page(msgspec.Struct, Generic[R], frozen=True):
    """Some of the answers. `following` leads to the next ones; empty at the end."""

    records: tuple[R, ...]
    following: str = ""


class _Link(msgspec.Struct, frozen=True):
    href: str = ""


class _Links(msgspec.Struct, frozen=True):
    next: _Link = _Link()


class _Envelope(msgspec.Struct, Generic[R], frozen=True):
    records: tuple[R, ...] = ()
    links: _Links = msgspec.field(default=_Links(), name="_links")
    next: str = ""


class _JobRef(msgspec.Struct, frozen=True):
    uuid: str = ""


class _Accepted(msgspec.Struct, frozen=True):
    job: _JobRef | None = None


def ask(call: Call) -> Flow[Reply]:
    """Send a reading request; again, a few times, while the gateway is too busy to answer."""
    for attempt in range(1, _ATTEMPTS + 1):
        reply = yield call
        if reply.status not in _RETRIED or attempt == _ATTEMPTS:
            return reply
        yield Pause(min(reply.retry_after_s or attempt, _PAUSE_MAX_S))
    raise AssertionError("the loop returns")


def fetch(path: str, kind: type[R], *, fields: str) -> Flow[R]:
    """Give one object by its path."""
    reply = yield from ask(Call(method="GET", path=path, query=(("fields", fields),)))
    return decode(reply, kind)


def page(listing: Listing[R], following: str = "") -> Flow[Page[R]]:
    """Give the first page, or the one that `following` of the page before leads to."""
    call = Call(method="GET", path=following or listing.path, query=() if following else listing.query)
    envelope = decode((yield from ask(call)), _Envelope[listing.kind])  # type: ignore[name-defined]
    onward = envelope.links.next.href
    # A link that leads elsewhere would take the password with it; one that leads nowhere new would never end.
    if onward and (not onward.startswith("/api/") or onward == following):
        raise ClientError(0, "", f"the link of the next page is wrong: {onward!r}")
    if envelope.next:
        onward = f"{listing.path}?{urlencode((*listing.query, ('after', envelope.next)))}"
        if onward == following:
            raise ClientError(0, "", f"the next page begins where this one does: {envelope.next!r}")
    return Page(envelope.records, onward)


def gathered(listing: Listing[R]) -> Flow[tuple[R, ...]]:
    """Give every answer at once."""
    part = yield from page(listing)
    found = list(part.records)
    while part.following:
        part = yield from page(listing, part.following)
        found += part.records
    return tuple(found)


def find(listing: Listing[R], *, kind: str, name: str, named: Callable[[R], str]) -> Flow[R]:
    """Give the only object with this name; ClientError when there is none, or more than one."""
    exact = msgspec.structs.replace(listing, query=(*listing.query, ("name", exactly(name))))
    found = [record for record in (yield from gathered(exact)) if named(record) == name]
    if not found:
        raise ClientError(404, _NOT_FOUND, f"there is no {kind} {name!r}", "name")
    if len(found) > 1:
        raise ClientError(0, "", f"there are {len(found)} {kind}s named {name!r}; say in which tenant", "svm.name")
    return found[0]


def change(
    method: str,
    path: str,
    body: Mapping[str, Any] | None = None,
    *,
    query: Iterable[tuple[str, str]] = (),
    wait_s: int = 0,
    patience_s: float | None = None,
    progress: Progress | None = None,
) -> Flow[None]:
    """Send a change and wait for its end. A change is never sent twice.

    `wait_s`: so long the door is asked to hold its answer back until the change
    has ended, which spares looking at its job. `patience_s`: see `finished`.
    """
    call = Call(
        method=method,
        path=path,
        query=(("return_timeout", str(wait_s)), *query),
        body=body,
        patience_s=float(wait_s),
    )
    reply = yield call
    accepted = decode(reply, _Accepted)
    # The job of an answer that waited for it is over, and may be forgotten.
    over = wait_s > 0 and reply.status in _ENDED
    if accepted.job is not None and accepted.job.uuid and not over:
        try:
            yield from finished(accepted.job.uuid, patience_s=patience_s, progress=progress)
        except ClientError as error:
            if error.status == _ABSENT:
                # No object is missing: nobody knows any more how the change ended.
                raise ClientError(0, "", f"the job {accepted.job.uuid} is forgotten") from error
            raise


def job(uuid: str) -> Flow[Job]:
    """Give a job."""
    return (yield from fetch(f"{JOBS}/{uuid}", Job, fields=_JOB_FIELDS))


def finished(uuid: str, *, patience_s: float | None = None, progress: Progress | None = None) -> Flow[Job]:
    """Give a job once it has ended; ClientError when it failed, or has not ended after `patience_s` of waiting."""
    pause, waited = _FIRST_POLL_S, 0.0
    while True:
        seen = yield from job(uuid)
        if progress is not None:
            progress(seen)
        if seen.ended:
            break
        if patience_s is not None and waited >= patience_s:
            raise ClientError(0, "", f"the job {uuid} is still {seen.state!r}", late=True)
        yield Pause(pause)
        waited += pause
        pause = min(pause * 2, _LAST_POLL_S)
    if seen.state == "success":
        return seen
    if seen.error is not None:
        raise ClientError(0, seen.error.code, seen.error.message, seen.error.target)
    raise ClientError(0, str(seen.code or ""), seen.message or f"the job ended as {seen.state!r}")


def jobs() -> Listing[Job]:
    """Ask for every job that is remembered."""
    return Listing(path=JOBS, kind=Job, query=(("fields", _JOB_FIELDS),))
