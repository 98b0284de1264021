"""The steps of publishing and withdrawing trees, in an order that any crash may cut.

The records are all that the server goes by: what has none is not served. What
is under way for a volume that is withdrawn, or that is published as something
else, is ended after its record has changed.
"""

from __future__ import annotations

import threading
from pathlib import Path
from urllib.parse import unquote, urlsplit
from uuid import UUID

import structlog

from gateway.core.backend import FaultHook
from gateway.core.errors import Unavailable
from gateway.core.exporter import TreeExport
from gateway.exports.git.records import Record
from gateway.exports.git.server import WHAT, Server
from gateway.exports.records import Records

log = structlog.get_logger(__name__)

FAULT_POINTS = ("git.publish.recorded", "git.publish.ended", "git.withdraw.forgotten", "git.withdraw.ended")


def record_of(export: TreeExport) -> Record:
    """Give what is remembered of an export; Unavailable when its repository is not on this host."""
    parts = urlsplit(export.source.url)
    if parts.scheme != "file" or parts.netloc:
        raise Unavailable(what=WHAT, reason="the repository is not on this host")
    return Record(
        id=export.id,
        repository=unquote(parts.path),
        namespace=export.source.namespace,
        write=not export.source.read_only,
        generation=export.generation,
    )


class Publications:
    """Keeps the server and its records. One thread at a time is let in."""

    def __init__(self, server: Server, records: Records[Record], fault: FaultHook) -> None:
        self._server = server
        self._records = records
        self._fault = fault
        self._lock = threading.Lock()

    def open(self) -> bytes:
        """Adopt or start the server, which serves what is recorded; give the key of the tokens."""
        with self._lock:
            key = self._server.prepare()
            self._records.load()
            if not self._server.adopt():
                self._server.start()
            return key

    def revive(self) -> None:
        """Start the server anew if it is down."""
        with self._lock:
            if not self._server.alive():
                self._server.start()

    def close(self) -> None:
        """Stop the server. The records stay for the next `open`."""
        with self._lock:
            self._server.stop()

    def pids(self) -> tuple[int, ...]:
        """Give the processes whose end means that the server is down."""
        return self._server.pids()

    def alive(self) -> bool:
        """Tell whether all of them run."""
        return self._server.alive()

    def publish(self, export: TreeExport) -> None:
        """Make the publication as described."""
        wanted = record_of(export)
        if not Path(wanted.repository).is_dir():
            raise Unavailable(what=WHAT, reason="the repository is not there")
        with self._lock:
            before = self._records.get(wanted.id)
            if before == wanted:
                return
            self._records.put(wanted)
            self._fault("git.publish.recorded")
            if before is not None:
                self._end(wanted.id)
            self._fault("git.publish.ended")

    def withdraw(self, export_id: UUID) -> None:
        """End the publication, from whatever stage it is at."""
        with self._lock:
            if export_id in self._records.ids():
                self._records.remove(export_id)
            self._fault("git.withdraw.forgotten")
            self._end(export_id)
            self._fault("git.withdraw.ended")

    def published(self) -> frozenset[UUID]:
        """Give what is published."""
        with self._lock:
            return self._records.ids()

    def _end(self, volume: UUID) -> None:
        """End what is under way. A server that is down has nothing under way."""
        if self._server.alive():
            self._server.order(f"end {volume}")
