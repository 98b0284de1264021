"""The SDK's REST door on a real socket, over something that answers calls as a test wishes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import httpx
import pytest
from google.protobuf.message import Message
from grpc import StatusCode

from gateway.config import Address, LimitSettings
from gateway.core.door import Trace
from gateway.frontends.openstorage.call import SdkError
from gateway.frontends.openstorage.rest import RestDoor
from gateway.frontends.openstorage.schema import Method, Schema, load_schema
from gateway.server.http import Listener

SCHEMA: Schema = load_schema()
METHODS: list[Method] = [method for service in SCHEMA.values() for method in service.methods.values()]
PACKAGE = "/openstorage.api."
LIMITS = LimitSettings(max_body_bytes=64 * 1024, shutdown_timeout_s=5)


def method(name: str) -> Method:
    """Give a method by `Service/Call`, where `OpenStorage` is left out."""
    service, call = name.split("/")
    return SCHEMA[f"OpenStorage{service}"].methods[call]


class Script:
    """Keeps what it is asked, and answers what a test puts into it; an empty response otherwise."""

    def __init__(self) -> None:
        self.schema = SCHEMA
        self.path = ""
        self.request: Message | None = None
        self.authorization: str | None = None
        self.peer = ""
        self.responses: list[Message] = []
        self.error: BaseException | None = None
        self.stalls = False
        self.closed = 0

    async def answer(
        self, path: str, request: Message, *, authorization: str | None, peer: str, trace: Trace
    ) -> Message:
        self._keep(path, request, authorization, peer, trace)
        if self.stalls:
            await _for_ever()
        if self.error is not None:
            raise self.error
        return self.responses[0] if self.responses else self._method(path).response()

    async def stream(
        self, path: str, request: Message, *, authorization: str | None, peer: str, trace: Trace
    ) -> AsyncGenerator[Message, None]:
        self._keep(path, request, authorization, peer, trace)
        try:
            for response in self.responses:
                yield response
            if self.stalls:
                await _for_ever()
            if self.error is not None:
                raise self.error
        finally:
            self.closed += 1

    def _keep(self, path: str, request: Message, authorization: str | None, peer: str, trace: Trace) -> None:
        trace.who = "somebody"
        self.path, self.request, self.authorization, self.peer = path, request, authorization, peer

    def _method(self, path: str) -> Method:
        return next(each for each in METHODS if each.path == path)


class Rest:
    """The door, its script, and a client of it."""

    def __init__(self, script: Script, client: httpx.AsyncClient, traces: list[Trace], address: Address) -> None:
        self.script = script
        self.client = client
        self.traces = traces
        self.address = address

    async def ask(self, verb: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        """Send a request; a body is JSON, `bytes` are sent as they are. `_` in a header's name stands for `-`."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        return await self.client.request(verb, path, content=content, headers=sent)


@asynccontextmanager
async def rest_door(limits: LimitSettings = LIMITS) -> AsyncIterator[Rest]:
    script, traces = Script(), []
    door = RestDoor(
        script,
        served=frozenset(each.path for each in METHODS),
        max_body_bytes=limits.max_body_bytes,
        receive_timeout_s=limits.receive_timeout_s,
    )

    async def handle(request: Any) -> Any:
        traces.append(Trace())
        return await door.handle(request, traces[-1])

    listener = Listener(handle, Address("127.0.0.1", 0), limits=limits, refuse=door.refuse)
    await listener.start()
    try:
        async with httpx.AsyncClient(
            base_url=f"http://{listener.address}", timeout=30, trust_env=False, verify=False
        ) as client:
            yield Rest(script, client, traces, listener.address)
    finally:
        await listener.stop()
        await door.close()


@contextmanager
def refused(text: str = "", code: StatusCode = StatusCode.INVALID_ARGUMENT) -> Iterator[None]:
    """Expect an SdkError whose text has the given one in it."""
    with pytest.raises(SdkError) as caught:
        yield
    assert caught.value.code is code
    assert text in caught.value.text


async def _for_ever() -> None:
    await asyncio.Event().wait()
