"""The native door on a real socket over a core in this process, asked by the client that drivers have."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
from core_scene import MIB, Script, scripted_pool

from gateway.client import AsyncClient, ClientError, Flow, Listing, native
from gateway.config import Address, LimitSettings
from gateway.core import errors
from gateway.core.context import Core
from gateway.core.door import Trace
from gateway.core.exporter import BlockExporter, Exporter, TreeExporter
from gateway.core.model import Transport
from gateway.core.pools import Configured
from gateway.core.principal import Principal
from gateway.frontends.native.door import NativeDoor
from gateway.server.http import Listener
from gateway.testing.cores import core_on

T = TypeVar("T")
R = TypeVar("R")

CALLERS = {
    caller.name: caller
    for caller in (
        Principal(name="root", roles=("system.admin",), groups=("*",)),
        Principal(name="alice", roles=("system.user",)),
        Principal(name="bob", roles=("system.user",)),
        Principal(name="viewer", roles=("system.view",), groups=("*",)),
    )
}
NOWHERE = "00000000-0000-4000-8000-000000000000"


class Named:
    """Believes every name of HTTP Basic, whatever its password."""

    async def authenticate(self, authorization: str | None, *, peer: str = "") -> Principal:
        del peer
        if authorization is None:
            raise errors.Unauthenticated(reason="missing")
        name = base64.b64decode(authorization.partition(" ")[2]).decode().partition(":")[0]
        return CALLERS[name]


class Scene:
    """A door and its callers. What it left on the requests is in `traces`."""

    def __init__(self, core: Core, url: str, traces: list[Trace], *, clients: Mapping[str, AsyncClient]) -> None:
        self.core = core
        self.traces = traces
        self._url = url
        self._clients = clients

    async def run(self, flow: Flow[T], who: str = "root") -> T:
        return await self._clients[who].run(flow)

    async def all(self, listing: Listing[R], who: str = "root") -> list[R]:
        return [one async for one in self._clients[who].each(listing)]

    async def refused(self, flow: Flow[Any], code: str, who: str = "root", **fields: object) -> ClientError:
        with pytest.raises(ClientError) as caught:
            await self.run(flow, who)
        assert caught.value.code == code, caught.value
        assert fields.items() <= dict(caught.value.fields).items(), caught.value.fields
        return caught.value

    async def ask(self, verb: str, path: str, body: Any = None, *, who: str = "root", **more: Any) -> httpx.Response:
        content = {"content": body} if isinstance(body, bytes) else {"json": body}
        auth = httpx.BasicAuth(who, "x") if who else None
        async with httpx.AsyncClient(base_url=self._url, auth=auth, verify=False, trust_env=False) as client:
            return await client.request(verb, path, **content, **more)

    async def told(self, verb: str, path: str, body: Any = None, **more: Any) -> Any:
        """Give the error of a refusal."""
        answer = await self.ask(verb, path, body, **more)
        return answer.status_code, answer.json()["error"]

    async def make(self, name: str, *, who: str = "root", **more: Any) -> native.Volume:
        return await self.run(native.create_volume(new(name, **more)), who)


def new(name: str, **more: Any) -> native.NewVolume:
    """Give what is said about a volume."""
    return native.NewVolume(**{"name": name, "tenant": "svm1", "pool": "memory", "size": 20 * MIB, **more})


@asynccontextmanager
async def native_door(
    folder: Path,
    pools: Sequence[Configured] = (),
    *,
    exporter: Exporter | None = None,
    block: Mapping[Transport, BlockExporter] = {},
    trees: TreeExporter | None = None,
    answer_timeout_s: float = 150,
) -> AsyncIterator[Scene]:
    """Give a door to a core, on a pool in memory whose volumes claim to be on this host if no other is given."""
    configured = pools or [scripted_pool(Script())]
    async with core_on(folder, configured, exporter=exporter, block=block, trees=trees) as core:
        door = NativeDoor(core, Named(), max_body_bytes=MIB, receive_timeout_s=30, answer_timeout_s=answer_timeout_s)
        traces: list[Trace] = []

        async def handle(request: Any) -> Any:
            traces.append(Trace())
            return await door.handle(request, traces[-1])

        listener = Listener(handle, Address("127.0.0.1", 0), limits=LimitSettings(), refuse=door.refuse)
        await listener.start()
        async with AsyncExitStack() as stack:
            stack.push_async_callback(listener.stop)
            url = f"http://{listener.address}"
            clients = {
                name: await stack.enter_async_context(AsyncClient(url, user=name, password="x", verify=False))
                for name in CALLERS
            }
            yield Scene(core, url, traces, clients=clients)
