"""What every door that speaks HTTP is served with."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path
from typing import Protocol

import msgspec
from aiohttp import web

from gateway.config import Address, LimitSettings
from gateway.core.door import Trace
from gateway.core.observer import Observer
from gateway.observe import AccessLog, Metrics
from gateway.server.http import FIELD_MAX, Listener
from gateway.server.tls import Certificate
from gateway.server.watch import Ledger, Watch


class HttpDoor(Protocol):
    """A door as a listener sees it."""

    async def handle(self, request: web.BaseRequest, trace: Trace) -> web.StreamResponse:
        """Answer one request."""

    def refuse(self, status: int, reason: str) -> web.Response:
        """Give the answer to what could not be read as a request."""


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """The gateway's own parts that doors share."""

    limits: LimitSettings
    certificate: Certificate
    metrics: Metrics
    access: AccessLog
    observer: Observer

    def ledger(self, name: str) -> Ledger:
        """Give the book of one way in."""
        return Ledger(name, metrics=self.metrics, access=self.access)

    async def listen(
        self,
        stack: AsyncExitStack,
        name: str,
        door: HttpDoor,
        at: Address | Path,
        *,
        tls: bool,
        field_max: int = FIELD_MAX,
    ) -> str:
        """Serve a door at an address, or at the path of a UNIX socket, which has no TLS; give its URL."""
        secured = tls and isinstance(at, Address)
        if isinstance(at, Path):
            at.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
        listener = Listener(
            Watch(self.ledger(name), door.handle, refuse=door.refuse, observer=self.observer).handle,
            at,
            limits=self.limits,
            refuse=door.refuse,
            tls=self.certificate.context() if secured else None,
            field_max=field_max,
        )
        await listener.start()
        stack.push_async_callback(listener.stop)
        if isinstance(at, Path):
            return f"unix://{at}"
        return f"{'https' if secured else 'http'}://{listener.address}"
