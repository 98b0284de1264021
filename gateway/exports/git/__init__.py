"""Publishes trees under version control over HTTP: git's own protocol and that of git-lfs, by a server of our own."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, ParamSpec, TypeVar
from uuid import UUID

import msgspec
import structlog

from gateway.core.backend import FaultHook, no_fault
from gateway.core.errors import Unavailable
from gateway.core.exporter import TreeExport
from gateway.core.handles import GitRemote
from gateway.core.needs import Need, listening, program
from gateway.core.secret import Secret
from gateway.core.worker import Worker
from gateway.exports.git.publications import FAULT_POINTS, Publications
from gateway.exports.git.records import EXPORTS, Place, Record, Settings
from gateway.exports.git.server import WHAT, Server
from gateway.exports.git.tokens import Tokens
from gateway.exports.place import lock
from gateway.exports.records import Records
from gateway.exports.watch import Watch

__all__ = ["FAULT_POINTS", "GitExporter", "GitOptions"]

log = structlog.get_logger(__name__)

P = ParamSpec("P")
T = TypeVar("T")


class GitOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table `[export.git]`. `address` is told to clients, `bind` is the address listened on.

    `public_url` is told to clients instead, where a proxy stands before the
    server. `certificate` and `key` are files in PEM; without them tokens travel
    in the clear. `token_s`: for how many seconds a token is good. `processes`:
    how many requests run git at once.
    """

    address: str = "127.0.0.1"
    bind: str = "127.0.0.1"
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)] = 8418
    public_url: str = ""
    certificate: Path | None = None
    key: Path | None = None
    token_s: Annotated[int, msgspec.Meta(ge=1)] = 2_592_000
    processes: Annotated[int, msgspec.Meta(ge=1, le=256)] = 16
    threads: Annotated[int, msgspec.Meta(ge=1, le=16)] = 2


class GitExporter:
    """A `TreeExporter` with git's own programs. State lies under `state_dir`, which one process owns while it is open.

    The server outlives a killed gateway and is adopted by the next one. It is
    watched by pidfd and started anew when it ends.
    """

    def __init__(self, options: GitOptions, state_dir: Path, *, fault: FaultHook = no_fault) -> None:
        state_dir = state_dir.absolute()
        self._options = options
        self._base = base_url(options)
        settings = Settings(
            bind=options.bind,
            port=options.port,
            base=self._base,
            processes=options.processes,
            certificate="" if options.certificate is None else str(options.certificate.absolute()),
            key="" if options.key is None else str(options.key.absolute()),
        )
        server, records = Server(settings, state_dir), Records(state_dir / EXPORTS, Record)
        self._publications = Publications(server, records, fault)
        self._lock = state_dir / "lock"
        self._held: int | None = None
        self._worker: Worker | None = None
        self._watch: Watch | None = None
        self._tokens: Tokens | None = None

    @classmethod
    def needs(cls, options: GitOptions) -> tuple[Need, ...]:
        """Say what the server takes; see `gateway.core.needs`."""
        return (program("git", "serves git"), *listening(options.port))

    async def open(self) -> None:
        """Start or find the server; what was published is served. Unavailable while another process has it."""
        if self._worker is not None:
            return
        self._held = lock(self._lock, what=WHAT)
        self._worker = Worker(WHAT, self._options.threads)
        try:
            self._tokens = Tokens(await self._run(self._publications.open), time.time)
        except BaseException:
            await self._release()
            raise
        self._watch = Watch(WHAT, pids=self._publications.pids, alive=self._publications.alive, revive=self._revive)

    async def publish(self, export: TreeExport) -> None:
        """See `TreeExporter`."""
        await self._run(self._publications.publish, export)

    async def withdraw(self, export_id: UUID) -> None:
        """See `TreeExporter`."""
        await self._run(self._publications.withdraw, export_id)

    async def published(self) -> frozenset[UUID]:
        """See `TreeExporter`."""
        return await self._run(self._publications.published)

    def handle(self, export: TreeExport, snapshot: UUID | None = None) -> GitRemote:
        """See `TreeExporter`."""
        read_only = export.source.read_only or snapshot is not None
        return GitRemote(url=f"{self._base}{Place(export.id, snapshot).path}", read_only=read_only)

    def token(self, export_id: UUID, *, write: bool) -> Secret:
        """See `TreeExporter`."""
        if self._tokens is None:
            raise Unavailable(what=WHAT, reason="the exporter is not open")
        return Secret(self._tokens.make(export_id, write=write, lifetime_s=self._options.token_s))

    async def close(self) -> None:
        """Stop the server. What was published comes back with the next `open`."""
        if self._worker is None:
            return
        if self._watch is not None:
            await self._watch.stop()
            self._watch = None
        try:
            await self._run(self._publications.close)
        finally:
            await self._release()

    async def _release(self) -> None:
        worker, self._worker, self._tokens = self._worker, None, None
        if worker is not None:
            await worker.close()
        if self._held is not None:
            os.close(self._held)
            self._held = None

    async def _revive(self) -> None:
        await self._run(self._publications.revive)

    async def _run(self, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        if self._worker is None:
            raise Unavailable(what=WHAT, reason="the exporter is not open")
        try:
            return await self._worker.run(fn, *args, **kwargs)
        except OSError as error:
            log.warning("git state directory failed", error=str(error))
            raise Unavailable(what=WHAT, reason=f"state directory: {error.strerror}") from error


def base_url(options: GitOptions) -> str:
    """Give the URL that clients are told, without a slash at its end."""
    if options.public_url:
        return options.public_url.rstrip("/")
    scheme = "http" if options.certificate is None else "https"
    address = f"[{options.address}]" if ":" in options.address else options.address
    return f"{scheme}://{address}:{options.port}"
