"""A page too large to be copied together is sent in pieces: whole, and without harm when the client leaves."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest
from aiohttp import ClientSession, TCPConnector

from gateway.config import Address, LimitSettings
from gateway.core.catalog import put
from gateway.core.door import Trace
from gateway.core.model import Pool, Tenant, Volume, utc_now
from gateway.core.observer import SilentObserver
from gateway.core.principal import Principal
from gateway.core.query import Query
from gateway.frontends.ontap_rest.door import OntapDoor
from gateway.server.http import Listener
from gateway.testing.cores import core_on, memory_pool

COUNT = 700
PATH = "/api/storage/volumes?fields=**&max_records=10000"


class Everyone:
    """Lets everybody in."""

    async def authenticate(self, authorization: str | None, *, peer: str = "") -> Principal:
        del authorization, peer
        return Principal(name="test", roles=("system.view",), groups=("*",))


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[tuple[str, list[asyncio.Task[object] | None], list[Exception]]]:
    """Give the address of a door before many volumes, the tasks that handled requests, and what escaped them."""
    tasks: list[asyncio.Task[object] | None] = []
    escaped: list[Exception] = []
    async with core_on(tmp_path, [memory_pool()]) as core:
        tenant, pool = [(await core.catalog.page(kind, Query(limit=1))).records[0] for kind in (Tenant, Pool)]
        now = utc_now()
        volumes = [
            Volume(id=uuid4(), name=f"v{n:04}", tenant_id=tenant.id, pool_id=pool.id, created=now, size=1 << 30)
            for n in range(COUNT)
        ]
        await core.catalog.commit(put(*volumes))
        door = OntapDoor(
            core,
            Everyone(),
            name="unit",
            addresses=(),
            max_body_bytes=1 << 20,
            receive_timeout_s=30,
            observer=SilentObserver(),
        )
        await door.open()

        async def handle(request):
            tasks.append(asyncio.current_task())
            try:
                return await door.handle(request, Trace())
            except Exception as error:
                escaped.append(error)
                raise

        listener = Listener(handle, Address("127.0.0.1", 0), limits=LimitSettings(), refuse=door.refuse)
        await listener.start()
        yield f"http://{listener.address}", tasks, escaped
        await listener.stop()


async def test_it_arrives_whole(served) -> None:
    url, _, escaped = served
    async with ClientSession(connector=TCPConnector(limit=1)) as client:
        for _ in range(2):
            async with client.get(url + PATH) as answer:
                body = await answer.read()
                assert answer.headers["Content-Type"] == "application/hal+json"
                assert len(body) == int(answer.headers["Content-Length"]) > 1 << 20
            page = json.loads(body)
            assert page["num_records"] == len(page["records"]) == COUNT
            assert len({record["uuid"] for record in page["records"]}) == COUNT
        async with client.get(f"{url}{PATH}&pretty=false") as answer:
            assert json.loads(await answer.read())["records"] == page["records"]
        async with client.head(url + PATH) as answer:
            assert (answer.status, await answer.read()) == (200, b"")
    assert escaped == []


async def test_a_client_that_leaves_in_the_middle_is_no_defect(served) -> None:
    url, tasks, escaped = served
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"GET {PATH} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    writer.transport.abort()
    (task,) = tasks
    assert task is not None
    await asyncio.wait({task}, timeout=30)
    assert task.done()
    assert escaped == []
