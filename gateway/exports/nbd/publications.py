"""The steps of publishing and withdrawing NBD exports, in an order that any crash may cut.

Each volume is one block node of the server, each of its accesses one export of
it. What goes is taken away before the record changes, what comes is made after
it, so a node that is found beside a record was made for that record.

The server tells no client that a size has changed, and changes none while the
node is exported. So a new size waits until nobody is connected.
"""

from __future__ import annotations

import os
import stat
import threading
from uuid import UUID

import msgspec
import structlog

from gateway.core.backend import FaultHook
from gateway.core.errors import GatewayError, InUse, InvalidArgument, Unavailable
from gateway.core.exporter import BlockExport
from gateway.core.qmp import Refused
from gateway.exports.nbd.server import WHAT, Monitor, StorageDaemon
from gateway.exports.records import Grant, Record, Records, record_of

log = structlog.get_logger(__name__)

FAULT_POINTS = (
    "nbd.publish.narrowed",
    "nbd.publish.recorded",
    "nbd.publish.opened",
    "nbd.publish.shared",
    "nbd.withdraw.narrowed",
    "nbd.withdraw.forgotten",
)

_NAME_MAX = 4096
_NODE_DIGITS = 30
"""A node's name has at most 31 characters."""


class Open(msgspec.Struct, frozen=True, kw_only=True):
    """A node of the server: what it was opened for. `shares` are its exports by id."""

    path: str
    read_only: bool
    generation: int
    size: int
    shares: dict[str, Grant]


def check(export: BlockExport) -> None:
    """Raise InvalidArgument for a description that could never be published."""
    for access in export.access:
        if not access.target or len(access.target.encode()) > _NAME_MAX or not access.target.isprintable():
            raise InvalidArgument(field="target", value=access.target[:64], reason="cannot name an NBD export")


def node_name(volume: UUID) -> str:
    """Give the name of a volume's node."""
    return f"v{volume.hex[:_NODE_DIGITS]}"


def share_id(grant: Grant) -> str:
    """Give the id of an access' export."""
    return f"a{grant.id.hex}"


def _opened(record: Record, shares: dict[str, Grant]) -> Open:
    return Open(
        path=record.source.path,
        read_only=record.source.read_only,
        generation=record.generation,
        size=record.size,
        shares=shares,
    )


class Publications:
    """Keeps the server's exports as the records say; see `gateway.exports.blocks.Steps`."""

    def __init__(self, server: StorageDaemon, records: Records[Record], fault: FaultHook) -> None:
        self._server = server
        self._records = records
        self._fault = fault
        self._open: dict[UUID, Open] = {}
        self._lock = threading.Lock()

    def open(self) -> None:
        """See `Steps`."""
        with self._lock:
            self._server.prepare()
            self._records.load()
            self._open = {}
            if self._server.adopt():
                with self._server.talking() as monitor:
                    self._recognise(monitor)
            else:
                self._server.start()
            self._settle()

    def revive(self) -> None:
        """See `Steps`."""
        with self._lock:
            self._ensure_alive()

    def close(self) -> None:
        """See `Steps`."""
        with self._lock:
            self._open = {}
            self._server.stop()

    def pids(self) -> tuple[int, ...]:
        """See `Steps`."""
        return self._server.pids()

    def alive(self) -> bool:
        """See `Steps`."""
        return self._server.alive()

    def publish(self, export: BlockExport, *, force: bool) -> None:
        """See `Steps`."""
        check(export)
        wanted = record_of(export)
        with self._lock:
            self._ensure_alive()
            with self._server.talking() as monitor:
                self._narrow(monitor, wanted, force=force)
                self._fault("nbd.publish.narrowed")
                if self._records.get(wanted.id) != wanted:
                    self._records.put(wanted)
                self._fault("nbd.publish.recorded")
                self._resize(monitor, wanted)
                self._serve(monitor, wanted)

    def withdraw(self, export_id: UUID, *, force: bool) -> None:
        """See `Steps`."""
        with self._lock:
            if export_id not in self._records.ids():
                return
            self._ensure_alive()
            with self._server.talking() as monitor:
                there = self._open.get(export_id)
                if there is not None:
                    self._end(monitor, export_id, frozenset(there.shares), force=force)
                    self._shut(monitor, export_id)
            self._fault("nbd.withdraw.narrowed")
            self._records.remove(export_id)
            self._fault("nbd.withdraw.forgotten")

    def published(self) -> frozenset[UUID]:
        """See `Steps`."""
        with self._lock:
            return self._records.ids()

    def _narrow(self, monitor: Monitor, wanted: Record, *, force: bool) -> None:
        there = self._open.get(wanted.id)
        if there is None:
            return
        to_be = _opened(wanted, {share_id(grant): grant for grant in wanted.grants})
        if (there.path, there.read_only, there.generation) != (to_be.path, to_be.read_only, to_be.generation):
            self._end(monitor, wanted.id, frozenset(there.shares), force=force)
            self._shut(monitor, wanted.id)
            return
        ending = {key for key, grant in there.shares.items() if to_be.shares.get(key) != grant}
        self._end(monitor, wanted.id, frozenset(ending), force=force)

    def _resize(self, monitor: Monitor, wanted: Record) -> None:
        there = self._open.get(wanted.id)
        if there is None or there.size == wanted.size:
            return
        try:
            self._end(monitor, wanted.id, frozenset(there.shares), force=False)
        except InUse:
            log.info("nbd export keeps its size while a client is connected", volume=str(wanted.id))
        else:
            self._shut(monitor, wanted.id)

    def _serve(self, monitor: Monitor, record: Record) -> None:
        there = self._open.get(record.id)
        if there is None:
            self._add_node(monitor, record)
            there = self._open[record.id] = _opened(record, {})
        self._fault("nbd.publish.opened")
        for grant in record.grants:
            if share_id(grant) not in there.shares:
                self._share(monitor, record.id, grant)
            self._fault("nbd.publish.shared")

    def _add_node(self, monitor: Monitor, record: Record) -> None:
        try:
            device = stat.S_ISBLK(os.stat(record.source.path).st_mode)  # noqa: PTH116
        except OSError as error:
            raise Unavailable(what=WHAT, reason="the source is not there") from error
        # Who may use the source is the core's to say; qemu's locks would only keep its own tools out.
        file = {
            "driver": "host_device" if device else "file",
            "filename": record.source.path,
            "locking": "off",
            "discard": "unmap",
        }
        name, read_only = node_name(record.id), record.source.read_only
        monitor.do("blockdev-add", driver="raw", node_name=name, read_only=read_only, discard="unmap", file=file)

    def _share(self, monitor: Monitor, volume: UUID, grant: Grant) -> None:
        there = self._open[volume]
        monitor.do(
            "block-export-add",
            type="nbd",
            id=share_id(grant),
            node_name=node_name(volume),
            name=grant.target,
            writable=grant.write and not there.read_only,
        )
        there.shares[share_id(grant)] = grant

    def _end(self, monitor: Monitor, volume: UUID, shares: frozenset[str], *, force: bool) -> None:
        """End exports of a volume. InUse, and all as before, when a client is connected to one, unless by force."""
        there = self._open[volume]
        ended: list[Grant] = []
        for share in sorted(shares):
            try:
                monitor.do("block-export-del", id=share, mode="hard" if force else "safe")
            except Refused as refused:
                if share in monitor.shares():
                    for grant in ended:
                        self._share(monitor, volume, grant)
                    raise InUse(kind="volume", ref=str(volume), by="sessions", action="detach") from refused
            else:
                monitor.await_end(share)
            ended.append(there.shares.pop(share))

    def _shut(self, monitor: Monitor, volume: UUID) -> None:
        monitor.do("blockdev-del", node_name=node_name(volume))
        del self._open[volume]

    def _ensure_alive(self) -> None:
        if not self._server.alive():
            self._open = {}
            self._server.start()
            self._settle()

    def _recognise(self, monitor: Monitor) -> None:
        """Tell which nodes and exports of an adopted server belong to which record; end those that belong to none."""
        nodes, shares = monitor.nodes(), monitor.shares()
        known = {node_name(record.id): record for record in self._records.all()}
        for name in nodes.keys() & known.keys():
            record = known[name]
            mine = {share_id(grant): grant for grant in record.grants if share_id(grant) in shares}
            found = _opened(record, mine)
            self._open[record.id] = msgspec.structs.replace(found, size=nodes[name].image.virtual_size)
        for share in shares - {key for there in self._open.values() for key in there.shares}:
            monitor.do("block-export-del", id=share, mode="hard")
            monitor.await_end(share)
        for name in nodes.keys() - known.keys():
            monitor.do("blockdev-del", node_name=name)

    def _settle(self) -> None:
        """Make the server's exports those of the records."""
        for record in self._records.all():
            try:
                with self._server.talking() as monitor:
                    self._serve(monitor, record)
            except GatewayError as error:
                log.warning("nbd publication left out", error=type(error).__name__, **error.fields)
