"""Large files over HTTP: the batch API of git-lfs, and its basic transfers to and from the repository's own store.

What is here already is not sent again. Before a client is told so the file is
made fresh, so that nothing throws it away before the revision that needs it
has arrived: see `_Store.touch`.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import os
import re
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import msgspec
from aiohttp import web

MEDIA_TYPE = "application/vnd.git-lfs+json"
_CHUNK = 1024**2
_OID = re.compile(r"[0-9a-f]{64}\Z")


class Wanted(msgspec.Struct, frozen=True):
    """A large file as a client speaks of it."""

    oid: str
    size: Annotated[int, msgspec.Meta(ge=0)]


class Batch(msgspec.Struct, frozen=True):
    """What a client wants to send or to have."""

    operation: str
    objects: Annotated[list[Wanted], msgspec.Meta(max_length=10_000)]
    hash_algo: str = "sha256"


class Problem(Exception):  # noqa: N818 - it is an answer, by its status
    """What is told to a client that asked wrongly."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


def answer(body: object, status: int = 200) -> web.Response:
    """Give an answer as git-lfs expects it."""
    return web.Response(status=status, body=msgspec.json.encode(body), content_type=MEDIA_TYPE)


def problem(status: int, message: str) -> web.Response:
    """Give a refusal as git-lfs expects it."""
    return answer({"message": message}, status)


class Store:
    """The large files of one repository. Everything here blocks."""

    def __init__(self, repository: Path) -> None:
        self._top = repository / "lfs"

    def path(self, oid: str) -> Path:
        """Give the place of a file."""
        return self._top / "objects" / oid[:2] / oid[2:4] / oid

    def size(self, oid: str) -> int | None:
        """Give a file's bytes; None when it is not here."""
        try:
            return self.path(oid).stat().st_size
        except FileNotFoundError:
            return None

    def touch(self, oid: str) -> int | None:
        """Give a file's bytes, and see to it that it stays for a while; None when it is not here."""
        with self._unmolested():
            try:
                os.utime(self.path(oid))
            except FileNotFoundError:
                return None
            return self.size(oid)

    def part(self) -> Path:
        """Give a place for a file that is arriving."""
        folder = self._top / "tmp"
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"arriving-{secrets.token_hex(16)}"

    def place(self, part: Path, oid: str) -> None:
        """Put a file that has arrived, and is on disk, into its place durably."""
        target = self.path(oid)
        with self._unmolested():
            target.parent.mkdir(parents=True, exist_ok=True)
            part.replace(target)
        for folder in (target.parent, *target.parents[1:4]):
            _sync(folder)

    @contextmanager
    def _unmolested(self) -> Iterator[None]:
        """Keep the backend from throwing files away, for a block that does not last."""
        self._top.mkdir(exist_ok=True)
        with (self._top / "collect.lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH)
            yield


class Transfers:
    """Answers the requests of git-lfs for one repository. `base`: the URL below which its objects are."""

    def __init__(self, store: Store, base: str, authorization: str) -> None:
        self._store = store
        self._base = base
        self._header = {"Authorization": authorization}

    async def batch(self, data: bytes, *, write: bool) -> web.Response:
        """Say for each file where it is to be sent or had, or why not."""
        wanted = parsed(data, Batch)
        if wanted.operation not in {"download", "upload"}:
            raise Problem(422, "no such operation")
        if wanted.operation == "upload" and not write:
            raise Problem(403, "read only")
        if wanted.hash_algo != "sha256":
            raise Problem(409, "only sha256 is supported")
        say = self._upload if wanted.operation == "upload" else self._download
        said = await asyncio.to_thread(lambda: [say(one) for one in wanted.objects])
        return answer({"transfer": "basic", "objects": said, "hash_algo": "sha256"})

    def _upload(self, wanted: Wanted) -> dict[str, Any]:
        if not _OID.match(wanted.oid):
            return _failed(wanted, 422, "no sha256")
        if self._store.touch(wanted.oid) == wanted.size:
            return {"oid": wanted.oid, "size": wanted.size}
        verify = {"href": f"{self._base}/verify", "header": self._header}
        return {**self._open(wanted), "actions": {"upload": self._action(wanted), "verify": verify}}

    def _download(self, wanted: Wanted) -> dict[str, Any]:
        size = self._store.size(wanted.oid) if _OID.match(wanted.oid) else None
        if size is None:
            return _failed(wanted, 404, "not here")
        return {**self._open(wanted), "size": size, "actions": {"download": self._action(wanted)}}

    def _open(self, wanted: Wanted) -> dict[str, Any]:
        return {"oid": wanted.oid, "size": wanted.size, "authenticated": True}

    def _action(self, wanted: Wanted) -> dict[str, Any]:
        return {"href": f"{self._base}/objects/{wanted.oid}", "header": self._header}

    async def verify(self, data: bytes) -> web.Response:
        """Tell whether a file is here as it was sent."""
        wanted = parsed(data, Wanted)
        size = await asyncio.to_thread(self._store.size, wanted.oid) if _OID.match(wanted.oid) else None
        if size != wanted.size:
            raise Problem(404, "not here")
        return answer({})

    async def download(self, oid: str) -> web.StreamResponse:
        """Give a file, or a range of it."""
        if not _OID.match(oid) or await asyncio.to_thread(self._store.size, oid) is None:
            raise Problem(404, "not here")
        return web.FileResponse(self._store.path(oid), headers={"Content-Type": "application/octet-stream"})

    async def upload(self, oid: str, content: AsyncIterator[bytes]) -> web.Response:
        """Take a file; what does not have the hash that it should is thrown away."""
        if not _OID.match(oid):
            raise Problem(422, "no sha256")
        part = await asyncio.to_thread(self._store.part)
        try:
            found = await _received(part, content)
            if found != oid:
                raise Problem(422, "what was sent has another sha256")
            await asyncio.to_thread(self._store.place, part, oid)
        finally:
            with contextlib.suppress(FileNotFoundError):
                part.unlink()
        return answer({})


async def _received(part: Path, content: AsyncIterator[bytes]) -> str:
    """Write what comes to a file, on disk, and give its hash."""
    digest = hashlib.sha256()
    with part.open("xb") as file:

        def take(data: bytes) -> None:
            digest.update(data)
            file.write(data)

        def settle() -> None:
            file.flush()
            os.fsync(file.fileno())

        async for data in content:
            await asyncio.to_thread(take, data)
        await asyncio.to_thread(settle)
    return digest.hexdigest()


async def chunks(stream: Any) -> AsyncIterator[bytes]:
    """Yield a request's body in large pieces."""
    kept: list[bytes] = []
    length = 0
    async for data in stream.iter_any():
        kept.append(data)
        length += len(data)
        if length >= _CHUNK:
            yield b"".join(kept)
            kept, length = [], 0
    if kept:
        yield b"".join(kept)


def parsed(data: bytes, kind: type[Any]) -> Any:
    """Give a request's body as a record."""
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.MsgspecError:
        raise Problem(422, "not understood") from None


def _failed(wanted: Wanted, code: int, message: str) -> dict[str, Any]:
    return {"oid": wanted.oid, "size": wanted.size, "error": {"code": code, "message": message}}


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
