"""The ONTAP door over a core in this process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from gateway.config import Address, LimitSettings
from gateway.core.context import Core
from gateway.core.door import Trace
from gateway.core.observer import SilentObserver
from gateway.core.principal import Authenticator, Principal
from gateway.frontends.ontap_rest.door import OntapDoor
from gateway.frontends.ontap_rest.sources import DataAddress
from gateway.server.http import Listener

MIB = 1 << 20


class Everyone:
    async def authenticate(self, authorization: str | None, *, peer: str = "") -> Principal:
        del authorization, peer
        return Principal(name="tester", roles=("system.admin",), groups=("*",))


@asynccontextmanager
async def door_to(
    core: Core, authenticator: Authenticator, addresses: tuple[DataAddress, ...] = ()
) -> AsyncIterator[httpx.AsyncClient]:
    """Give a client of a door of its own to the core. `addresses`: where exporters are said to be."""
    door = OntapDoor(
        core,
        authenticator,
        name="unit",
        addresses=addresses,
        max_body_bytes=MIB,
        receive_timeout_s=30,
        observer=SilentObserver(),
    )
    await door.open()
    listener = Listener(
        lambda request: door.handle(request, Trace()),
        Address("127.0.0.1", 0),
        limits=LimitSettings(),
        refuse=door.refuse,
    )
    await listener.start()
    try:
        async with httpx.AsyncClient(
            base_url=f"http://{listener.address}/api", trust_env=False, verify=False, timeout=60
        ) as client:
            yield client
    finally:
        await listener.stop()
