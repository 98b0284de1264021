"""Surrounds a door's handler with what every door needs alike: metrics, access lines, audit, the last resort."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from uuid import uuid4

from aiohttp import web

from gateway.core.door import Trace
from gateway.core.observer import Observer
from gateway.observe import REQUEST_ID, AccessLog, AuditLog, Metrics, RequestIds, RouteMetric
from gateway.server.http import Refuse
from gateway.server.own import OwnResources

Door = Callable[[web.BaseRequest, Trace], Awaitable[web.StreamResponse]]
_UNROUTED = "(none)"
_DIALECTS = "/api/"


class Watch:
    """One per listener. Its `handle` is what the listener calls."""

    def __init__(
        self,
        name: str,
        door: Door,
        *,
        metrics: Metrics,
        access: AccessLog,
        own: OwnResources,
        refuse: Refuse,
        observer: Observer,
    ) -> None:
        self._name = name
        self._door = door
        self._metrics = metrics
        self._access = access
        self._own = own
        self._refuse = refuse
        self._observer = observer
        self._audit = AuditLog()
        self._ids = RequestIds()
        self._routes: dict[tuple[str, str], RouteMetric] = {}

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request; a defect of the door becomes a 500 that tells nothing but where the log has it."""
        start, trace, request_id = time.perf_counter(), Trace(), self._ids.new()
        REQUEST_ID.set(request_id)
        try:
            response = await self._answer(request, trace)
        except Exception as error:  # noqa: BLE001 - the last resort of every door
            incident = uuid4().hex
            self._observer.defect(incident, error)
            response = self._refuse(500, f"An unexpected internal error occurred (incident {incident})")
        seconds = time.perf_counter() - start
        self._route(trace.route or _UNROUTED, request.method).observe(response.status, seconds)
        self._access.record(
            door=self._name,
            method=request.method,
            path=request.raw_path,
            status=response.status,
            seconds=seconds,
            size=response.content_length or 0,
            who=trace.who,
            peer=request.remote or "",
            request_id=request_id,
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
        return response

    async def _answer(self, request: web.BaseRequest, trace: Trace) -> web.StreamResponse:
        # Decoding a path costs more than seeing that it is not one of ours.
        if not request.raw_path.startswith(_DIALECTS) and self._own.has(request.path):
            return await self._own.handle(request, trace)
        return await self._door(request, trace)

    def _route(self, route: str, method: str) -> RouteMetric:
        # Methods come from clients: only known ones may make a metric of their own.
        word = method if method in {"GET", "HEAD", "POST", "PATCH", "DELETE", "OPTIONS", "PUT"} else "other"
        found = self._routes.get((route, word))
        if found is None:
            found = self._routes[route, word] = self._metrics.route(door=self._name, route=route, method=word)
        return found
