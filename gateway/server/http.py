"""An HTTP(S) listener around a door's handler: address, TLS, bounds, graceful stop."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable

from aiohttp import web

from gateway.config import Address, LimitSettings

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
MAX_LINE = 64 * 1024


class Listener:
    """One socket and its connections. `address` is known once `start` returned (port 0 was resolved)."""

    def __init__(
        self, handler: Handler, address: Address, *, limits: LimitSettings, tls: ssl.SSLContext | None = None
    ) -> None:
        self._server = web.Server(
            handler,
            access_log=None,
            keepalive_timeout=75,
            max_line_size=MAX_LINE,
            max_field_size=MAX_LINE,
            lingering_time=1,
            handler_cancellation=False,
        )
        self._runner = web.ServerRunner(self._server, handle_signals=False)
        self._limits = limits
        self._tls = tls
        self._site: web.TCPSite | None = None
        self.address = address

    async def start(self) -> None:
        """Listen. OSError when the address cannot be had."""
        await self._runner.setup()
        self._site = web.TCPSite(
            self._runner, self.address.host, self.address.port, ssl_context=self._tls, backlog=1024, reuse_address=True
        )
        await self._site.start()
        host, port = self._runner.addresses[0][:2]
        self.address = Address(str(host), int(port))

    async def stop(self) -> None:
        """Accept nothing more, let running requests end (bounded), close. Idempotent."""
        if self._site is not None:
            await self._site.stop()
            self._site = None
        try:
            async with asyncio.timeout(self._limits.shutdown_timeout_s):
                await self._server.shutdown(self._limits.shutdown_timeout_s)
        except TimeoutError:
            pass
        await self._runner.cleanup()
