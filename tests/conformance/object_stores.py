"""The S3 instances of the conformance suite: a prefix of its own for each case, in a bucket that serves all of them.

Content is read and written as clients do it: by plain HTTP, with signed requests.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import cast
from uuid import UUID

import httpx

from gateway.backends.s3 import S3Backend
from gateway.core.backend import SignAction, SignBackend, SignRequest, VolumeBackend
from gateway.core.handles import ObjectStore
from gateway.core.model import RootDirectory, VolumeKind
from gateway.testing.backends import Content, Harness
from gateway.testing.backends.content import Loose
from gateway.testing.object_store import S3Server, fresh_options

SIZE = 1 << 18


class SignedContent(Loose):
    """Content behind signed requests."""

    def __init__(self, backend: SignBackend, http: httpx.AsyncClient, volume: UUID, snapshot: UUID | None) -> None:
        self._backend = backend
        self._http = http
        self._volume = volume
        self._snapshot = snapshot

    async def read(self, path: str) -> bytes:
        answer = await self._ask(SignRequest(action=SignAction.GET, key=path))
        if answer.status_code == httpx.codes.NOT_FOUND:
            raise KeyError(path)
        return answer.raise_for_status().content

    async def write(self, path: str, data: bytes) -> None:
        request = SignRequest(action=SignAction.PUT, key=path, size=len(data), content_type="application/octet-stream")
        (await self._ask(request, data)).raise_for_status()

    async def remove(self, path: str) -> None:
        if path not in await self.paths():
            raise KeyError(path)
        (await self._ask(SignRequest(action=SignAction.DELETE, key=path))).raise_for_status()

    async def paths(self) -> set[str]:
        found = [each.key async for each in self._backend.objects(self._volume, self._snapshot)]
        assert found == sorted(set(found))
        return set(found)

    async def root(self) -> RootDirectory:
        raise NotImplementedError("objects have no top directory")

    async def _ask(self, request: SignRequest, data: bytes | None = None) -> httpx.Response:
        signed = await self._backend.sign(self._volume, self._snapshot, request)
        return await self._http.request(signed.method, signed.url, headers=signed.headers, content=data)


@dataclass
class ObjectHarness(Harness):
    """A pool whose content is reached by signed requests."""

    http: httpx.AsyncClient = field(default_factory=lambda: httpx.AsyncClient(verify=False, trust_env=False))

    @asynccontextmanager
    async def files(self, volume: UUID, snapshot: UUID | None = None) -> AsyncIterator[Content]:
        handle = await self.opened.access(volume, snapshot)
        assert isinstance(handle, ObjectStore)
        assert handle.read_only == (snapshot is not None)
        yield SignedContent(cast("SignBackend", self.opened), self.http, volume, snapshot)


@asynccontextmanager
async def object_store(server: S3Server) -> AsyncIterator[ObjectHarness]:
    """Open a fresh pool in a part of the bucket."""
    options = fresh_options(server)

    async def opened() -> S3Backend:
        backend = S3Backend("conformance", options)
        await backend.open()
        return backend

    async def reopen() -> VolumeBackend:
        await harness.opened.close()
        return await opened()

    def unused(_handle: object) -> SignedContent:
        raise AssertionError

    harness = ObjectHarness(opened=await opened(), content=unused, reopen=reopen, size=SIZE, kind=VolumeKind.OBJECTS)
    try:
        yield harness
    finally:
        await harness.http.aclose()
        await harness.opened.close()
