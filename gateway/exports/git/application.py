"""What the server answers: who may come in, and which part a request goes to."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID

import msgspec
import structlog
from aiohttp import web

from gateway.exports.git import smart
from gateway.exports.git.claims import NewClaim, Page, Release, claims_of
from gateway.exports.git.lfs import Problem, Store, Transfers, answer, chunks, parsed, problem
from gateway.exports.git.records import LOCKS, Place, Record, read
from gateway.exports.git.tokens import Tokens

log = structlog.get_logger(__name__)

_PATH = re.compile(r"/(?P<volume>[0-9a-f-]{36})(?:/(?P<snapshot>[0-9a-f-]{36}))?\.git/(?P<rest>.+)\Z")
_LFS = "info/lfs/"
_READS, _WRITES = "git-upload-pack", "git-receive-pack"
_DOCUMENT_MAX = 16 * 1024**2
_SILENT_S = 600.0
_REALM = 'Basic realm="volume-gateway"'


class Asked(msgspec.Struct, frozen=True):
    """A request that may come in."""

    place: Place
    record: Record
    namespace: str
    rest: str
    user: str
    authorization: str
    write: bool


class Application:
    """Serves the volumes whose records are in a folder.

    A volume that is withdrawn is not served any more; `end` ends what is under way for it.
    `base`: the URL that clients are told; empty: the one that they came by.
    """

    def __init__(
        self,
        folder: Path,
        *,
        tokens: Tokens,
        base: str,
        processes: int,
        silent_s: float = _SILENT_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder = folder
        self._tokens = tokens
        self._base = base
        self._processes = asyncio.Semaphore(processes)
        self._silent_s = silent_s
        self._clock = clock
        self._running: dict[UUID, set[asyncio.Task[object]]] = {}
        self._claims = asyncio.Lock()

    def handler(self) -> web.Application:
        """Give it as aiohttp runs it."""
        made = web.Application(client_max_size=_DOCUMENT_MAX)
        made.router.add_route("*", "/{path:.*}", self._handle)
        return made

    async def end(self, volume: UUID) -> None:
        """End all requests for a volume and wait until they have."""
        running = self._running.get(volume, set()) - {asyncio.current_task()}
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        started = self._clock()
        try:
            asked = self._admitted(request)
            # From the record to here nothing waits, so `end` misses nobody.
            async with self._noted(asked.place.volume):
                response = await self._serve(request, asked)
        except Problem as refused:
            response = problem(refused.status, refused.message)
            if refused.status == 401:  # noqa: PLR2004 - Unauthorized
                response.headers["WWW-Authenticate"] = response.headers["LFS-Authenticate"] = _REALM
        took_s = round(self._clock() - started, 4)
        log.info("git request", method=request.method, path=request.path, status=response.status, took_s=took_s)
        return response

    @asynccontextmanager
    async def _noted(self, volume: UUID) -> AsyncIterator[None]:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - for the type checker: a handler runs in one
        running = self._running.setdefault(volume, set())
        running.add(task)
        try:
            yield
        finally:
            running.discard(task)
            if not running:
                self._running.pop(volume, None)

    # --- who may come in ---

    def _admitted(self, request: web.Request) -> Asked:
        user, token = _login(request.headers.get("Authorization", ""))
        grant = self._tokens.grant(token)
        if grant is None:
            raise Problem(401, "a token is needed as the password")
        found = _PATH.match(request.path)
        place = None if found is None else _place(found["volume"], found["snapshot"])
        record = None if place is None else read(self._folder, place.volume)
        if found is None or place is None or record is None or grant.volume != place.volume:
            raise Problem(404, "no such repository")
        return Asked(
            place=place,
            record=record,
            namespace=_namespace(record, place),
            rest=found["rest"],
            user=user,
            authorization=request.headers["Authorization"],
            write=grant.write and record.write and place.snapshot is None,
        )

    # --- which part ---

    async def _serve(self, request: web.Request, asked: Asked) -> web.StreamResponse:
        if asked.place.snapshot is not None and not await self._is_there(asked):
            raise Problem(404, "no such repository")
        if asked.rest.startswith(_LFS):
            return await self._serve_lfs(request, asked, asked.rest.removeprefix(_LFS))
        service = request.query.get("service", "") if asked.rest == "info/refs" else asked.rest
        method = "GET" if asked.rest == "info/refs" else "POST"
        if service not in {_READS, _WRITES} or request.method != method:
            raise Problem(404, "no such service")
        if service == _WRITES and not asked.write:
            raise Problem(403, "read only")
        async with self._processes:
            return await smart.serve(
                request,
                repository=asked.record.repository,
                namespace=asked.namespace,
                service=f"/{asked.rest}",
                query=f"service={service}" if asked.rest == "info/refs" else "",
                user=asked.user,
                silent_s=self._silent_s,
            )

    async def _is_there(self, asked: Asked) -> bool:
        """Tell whether there is a name space: every one has a HEAD."""
        head = "".join(f"refs/namespaces/{part}/" for part in asked.namespace.split("/")) + "HEAD"
        line = ("git", f"--git-dir={asked.record.repository}", "symbolic-ref", "--quiet", head)
        quiet = asyncio.subprocess.DEVNULL
        process = await asyncio.create_subprocess_exec(*line, stdin=quiet, stdout=quiet, stderr=quiet)
        return await process.wait() == 0

    async def _serve_lfs(self, request: web.Request, asked: Asked, rest: str) -> web.StreamResponse:
        store = Store(Path(asked.record.repository))
        base = self._base or str(request.url.origin())
        transfers = Transfers(store, f"{base}{asked.place.path}/info/lfs", asked.authorization)
        match request.method, rest.split("/"):
            case "POST", ["objects", "batch"]:
                return await transfers.batch(await request.read(), write=asked.write)
            case "POST", ["verify"]:
                return await transfers.verify(await request.read())
            case (("GET" | "HEAD"), ["objects", oid]):
                return await transfers.download(oid)
            case "PUT", ["objects", oid]:
                _require(asked)
                return await transfers.upload(oid, chunks(request.content))
            case _, ["locks", *more]:
                return await self._serve_locks(request, asked, more)
        raise Problem(404, "no such service")

    async def _serve_locks(self, request: web.Request, asked: Asked, rest: list[str]) -> web.Response:
        claims = claims_of(self._folder / LOCKS, asked.place.volume)
        data = await request.read() or b"{}"
        async with self._claims:
            match request.method, rest:
                case "GET", []:
                    return answer(await asyncio.to_thread(claims.found, dict(request.query)))
                case "POST", []:
                    _require(asked)
                    status, said = await asyncio.to_thread(claims.make, parsed(data, NewClaim), asked.user)
                    return answer(said, status)
                case "POST", ["verify"]:
                    _require(asked)
                    return answer(await asyncio.to_thread(claims.verified, parsed(data, Page), asked.user))
                case "POST", [key, "unlock"]:
                    _require(asked)
                    wanted = parsed(data, Release)
                    return answer(await asyncio.to_thread(claims.release, key, wanted, asked.user))
        raise Problem(404, "no such service")


def _require(asked: Asked) -> None:
    if not asked.write:
        raise Problem(403, "read only")


def _login(header: str) -> tuple[str, str]:
    """Give user and password; empty ones when there are none."""
    scheme, _, said = header.partition(" ")
    # A ValueError: not base64, not even ASCII, or no text in it.
    with contextlib.suppress(ValueError):
        if scheme.lower() == "basic":
            user, _, password = base64.b64decode(said.strip(), validate=True).decode().partition(":")
            return user if user.isprintable() and user else "anybody", password
    return "", ""


def _place(volume: str, snapshot: str | None) -> Place | None:
    try:
        return Place(UUID(volume), None if snapshot is None else UUID(snapshot))
    except ValueError:
        return None


def _namespace(record: Record, place: Place) -> str:
    """Give the name space of a volume or of a snapshot of it; see `gateway.core.handles.GitRemote`."""
    if place.snapshot is None:
        return record.namespace
    family, slash, _ = record.namespace.rpartition("/")
    return f"{family}{slash}{place.snapshot}"
