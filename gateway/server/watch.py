"""Surrounds a door's handler with what every door needs alike: metrics, access lines, audit, the last resort."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from uuid import uuid4

from aiohttp import web

from gateway.core.door import Trace
from gateway.core.observer import Observer
from gateway.observe import REQUEST_ID, AccessLog, AuditLog, FileTrail, Metrics, RequestIds, RouteMetric
from gateway.server.http import Refuse

Door = Callable[[web.BaseRequest, Trace], Awaitable[web.StreamResponse]]
_UNROUTED = "(none)"
_METHODS = frozenset({"GET", "HEAD", "POST", "PATCH", "DELETE", "OPTIONS", "PUT"})


class Ledger:
    """Writes down every answered request of a door: a metric per route, an access line, an audit line for changes.

    `trail` keeps what the audit lines say, too.
    """

    def __init__(self, name: str, *, metrics: Metrics, access: AccessLog, trail: FileTrail | None = None) -> None:
        self._name = name
        self._trail = trail
        self._metrics = metrics
        self._access = access
        self._audit = AuditLog()
        self._ids = RequestIds()
        self._routes: dict[tuple[str, str], RouteMetric] = {}

    def begin(self) -> str:
        """Give a request its id, which log lines carry from now on."""
        request_id = self._ids.new()
        REQUEST_ID.set(request_id)
        return request_id

    def end(
        self,
        trace: Trace,
        *,
        method: str,
        path: str,
        status: int,
        seconds: float,
        size: int,
        peer: str,
        request_id: str,
    ) -> None:
        """Write down how it was answered. What the client calls its operation stands behind the request's own id."""
        self._route(trace.route or _UNROUTED, method).observe(status, seconds)
        self._access.record(
            door=self._name,
            method=method,
            path=path,
            status=status,
            seconds=seconds,
            size=size,
            who=trace.who,
            peer=peer,
            request_id=f"{request_id}/{trace.client_id}" if trace.client_id else request_id,
        )
        if trace.operation:
            self._audit.record(
                who=trace.who,
                door=self._name,
                operation=trace.operation,
                target=trace.target,
                outcome=trace.outcome,
                job=trace.job,
            )
            if self._trail is not None:
                self._trail.change(trace, door=self._name, peer=peer, request=request_id)

    def _route(self, route: str, method: str) -> RouteMetric:
        # Methods come from clients: only known ones may make a metric of their own.
        word = method if method in _METHODS else "other"
        found = self._routes.get((route, word))
        if found is None:
            found = self._routes[route, word] = self._metrics.route(door=self._name, route=route, method=word)
        return found


class Watch:
    """One per door and listener. Its `handle` is what the listener calls."""

    def __init__(
        self,
        ledger: Ledger,
        door: Door,
        *,
        refuse: Refuse,
        observer: Observer,
    ) -> None:
        self._ledger = ledger
        self._door = door
        self._refuse = refuse
        self._observer = observer

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request; a defect of the door becomes a 500 that tells nothing but where the log has it."""
        start, trace, request_id = time.perf_counter(), Trace(), self._ledger.begin()
        try:
            response = await self._door(request, trace)
        except Exception as error:  # noqa: BLE001 - the last resort of every door
            incident = uuid4().hex
            self._observer.defect(incident, error)
            response = self._refuse(500, f"An unexpected internal error occurred (incident {incident})")
        self._ledger.end(
            trace,
            method=request.method,
            path=request.raw_path,
            status=response.status,
            seconds=time.perf_counter() - start,
            size=response.content_length or 0,
            peer=request.remote or "",
            request_id=request_id,
        )
        return response
