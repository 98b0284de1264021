"""The libStorage door on a real socket over a core in memory, with routes of the test's own beside its own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import jwt

from gateway.config import Address, LimitSettings
from gateway.core.context import Core
from gateway.core.door import Trace
from gateway.core.observer import SilentObserver
from gateway.frontends.libstorage.auth import Auth
from gateway.frontends.libstorage.door import LibstorageDoor
from gateway.frontends.libstorage.routes import ROUTES, Route
from gateway.frontends.libstorage.settings import LibstorageOptions
from gateway.frontends.libstorage.site import Site
from gateway.server.http import Listener
from gateway.testing.cores import core_on, memory_pool

KEY = "correct horse battery staple, and more of it"
POOLS = ("memory", "spare")
PLAIN = LibstorageOptions()


class Watcher(SilentObserver):
    """Keeps the defects that are reported."""

    def __init__(self) -> None:
        self.defects: list[BaseException] = []

    def defect(self, incident: str, error: BaseException) -> None:  # noqa: ARG002 - the protocol has it
        self.defects.append(error)


class Scene:
    """A door, a client of it, and what the door left on each request."""

    def __init__(self, core: Core, door: LibstorageDoor, client: httpx.AsyncClient, watcher: Watcher) -> None:
        self.core = core
        self.door = door
        self.client = client
        self.watcher = watcher
        self.traces: list[Trace] = []

    async def ask(self, verb: str, path: str, headers: Mapping[str, str] = {}, **more: Any) -> httpx.Response:
        """Send a request; its path goes out as it is."""
        return await self.client.request(verb, path, headers=dict(headers), **more)

    async def refused(self, verb: str, path: str, status: int, headers: Mapping[str, str] = {}, **more: Any) -> Any:
        """Give the body of a refusal as (message, error), whose form is checked."""
        answer = await self.ask(verb, path, headers, **more)
        assert (answer.status_code, answer.headers["Content-Type"]) == (status, "application/json"), answer.text
        assert answer.headers["Libstorage-Servername"] == "here"
        told = answer.json()
        assert set(told) == {"message", "status", "error"}
        assert told["status"] == status
        return told["message"], told["error"]

    async def task(self, number: int, state: str) -> Any:
        """Give a task as soon as it has a state. What it waits for happens on this very loop."""
        while True:
            found = (await self.ask("GET", f"/tasks/{number}")).json()
            if found["state"] == state:
                return found
            await asyncio.sleep(0)


@asynccontextmanager
async def scene(folder: Path, options: LibstorageOptions = PLAIN, routes: Sequence[Route] = ()) -> AsyncIterator[Scene]:
    """Give a door with two pools, and so with two services unless the options say other ones."""
    watcher = Watcher()
    async with core_on(folder, [memory_pool(name) for name in POOLS], observer=watcher) as core:
        site = Site.of(
            options,
            name="here",
            tenant="svm1",
            pools={pool.name: tuple(pool.capabilities) for pool in core.pools},
            nfs=(),
        )
        door = LibstorageDoor(
            core,
            site,
            Auth(options),
            max_body_bytes=64 * 1024,
            receive_timeout_s=5,
            observer=watcher,
            routes=[*routes, *ROUTES],
        )
        await door.open()
        made: list[Scene] = []

        async def handle(request: Any) -> Any:
            trace = Trace()
            made[0].traces.append(trace)
            return await door.handle(request, trace)

        listener = Listener(
            handle, Address("127.0.0.1", 0), limits=LimitSettings(shutdown_timeout_s=5), refuse=door.refuse
        )
        await listener.start()
        async with httpx.AsyncClient(base_url=f"http://{listener.address}", trust_env=False, verify=False) as client:
            made.append(Scene(core, door, client, watcher))
            try:
                yield made[0]
            finally:
                await listener.stop()
                await door.close()


def token(subject: str = "akutz", *, key: Any = KEY, algorithm: str = "HS256", **claims: Any) -> str:
    """Give a token that holds for a minute; a claim of None is left out."""
    now = int(time.time())
    told = {"sub": subject, "iat": now - 10, "nbf": now - 10, "exp": now + 60, **claims}
    return jwt.encode({name: value for name, value in told.items() if value is not None}, key, algorithm=algorithm)


def bearer(text: str) -> dict[str, str]:
    """Give the headers that carry a token."""
    return {"Authorization": f"Bearer {text}"}
