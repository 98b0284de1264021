"""Publishes directories of this host over NFSv4 with an nfs-ganesha of our own."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Literal, ParamSpec, TypeVar
from uuid import UUID

import msgspec
import structlog

from gateway.core.backend import FaultHook, no_fault
from gateway.core.errors import Unavailable
from gateway.core.exporter import Export
from gateway.core.handles import NfsExport
from gateway.core.needs import Need, capability, listening, program
from gateway.core.worker import Worker
from gateway.exports.nfs.ganesha import Ganesha
from gateway.exports.nfs.mounts import Mounts
from gateway.exports.nfs.publications import FAULT_POINTS, Publications
from gateway.exports.nfs.records import Records
from gateway.exports.nfs.stanza import main_settings
from gateway.exports.place import lock
from gateway.exports.watch import Watch

__all__ = ["FAULT_POINTS", "NfsExporter", "NfsOptions"]

log = structlog.get_logger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

NFS_VERSION = "4.1"


class NfsOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table `[export.nfs]`. `address` is told to clients, `bind` is the address listened on."""

    engine: Literal["ganesha"] = "ganesha"
    address: str = "127.0.0.1"
    bind: str = "127.0.0.1"
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)] = 2049
    threads: Annotated[int, msgspec.Meta(ge=1, le=16)] = 2


class NfsExporter:
    """An `Exporter` with nfs-ganesha. State lies under `state_dir`, which one process owns while it is open.

    The server outlives a killed gateway and is adopted by the next one. It is
    watched by pidfd and started anew, with all exports, when it ends.
    """

    def __init__(self, options: NfsOptions, state_dir: Path, *, fault: FaultHook = no_fault) -> None:
        self._options = options
        state_dir = state_dir.absolute()
        settings = main_settings(bind=options.bind, port=options.port, recovery=state_dir / "recovery")
        self._server = Ganesha(settings=settings, bind=options.bind, port=options.port, state_dir=state_dir)
        self._publications = Publications(
            self._server, Records(state_dir / "exports"), Mounts(state_dir / "mnt"), fault
        )
        self._lock = state_dir / "lock"
        self._held: int | None = None
        self._worker: Worker | None = None
        self._watch: Watch | None = None

    @classmethod
    def needs(cls, options: NfsOptions) -> tuple[Need, ...]:
        """Say what the server takes; see `gateway.core.needs`."""
        return (
            program("ganesha.nfsd", "serves NFS"),
            program("dbus-daemon", "carries orders to ganesha"),
            capability("CAP_SYS_ADMIN", "to mount what is exported"),
            capability("CAP_DAC_READ_SEARCH", "to open files by their handles"),
            capability("CAP_DAC_OVERRIDE", "to act for clients of any user"),
            capability("CAP_SETUID", "to act for clients of any user"),
            capability("CAP_SETGID", "to act for clients of any group"),
            capability("CAP_CHOWN", "to act for clients' root"),
            capability("CAP_FOWNER", "to act for clients' root"),
            *listening(options.port),
        )

    async def open(self) -> None:
        """Start or find the server; bring back what was published. Unavailable while another process has it."""
        if self._worker is not None:
            return
        self._held = lock(self._lock, what="nfs")
        self._worker = Worker("nfs", self._options.threads)
        try:
            await self._run(self._publications.open)
        except BaseException:
            await self._release()
            raise
        self._watch = Watch("nfs", pids=self._server.pids, alive=self._server.alive, revive=self._revive)

    async def publish(self, export: Export) -> None:
        """See `Exporter`."""
        await self._run(self._publications.publish, export)

    async def withdraw(self, export_id: UUID) -> None:
        """See `Exporter`."""
        await self._run(self._publications.withdraw, export_id)

    async def published(self) -> Mapping[UUID, Export | None]:
        """See `Exporter`. None also for one that is half-done or that the server has lost."""
        return await self._run(self._publications.published)

    def handle(self, export: Export) -> NfsExport:
        """See `Exporter`. Read only when no rule lets anybody write."""
        read_only = export.source.read_only or not any(rule.write for rule in export.rules)
        return NfsExport(
            address=self._options.address,
            port=self._options.port,
            path=export.path,
            version=NFS_VERSION,
            read_only=read_only,
        )

    async def close(self) -> None:
        """Stop the server and take the mounts away. What was published comes back with the next `open`."""
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
        worker, self._worker = self._worker, None
        if worker is not None:
            await worker.close()
        if self._held is not None:
            os.close(self._held)
            self._held = None

    async def _revive(self) -> None:
        await self._run(self._publications.revive)

    async def _run(self, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        if self._worker is None:
            raise Unavailable(what="nfs", reason="the exporter is not open")
        try:
            return await self._worker.run(fn, *args, **kwargs)
        except OSError as error:
            log.warning("nfs state directory failed", error=str(error))
            raise Unavailable(what="nfs", reason=f"state directory: {error.strerror}") from error
