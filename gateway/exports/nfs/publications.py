"""The steps of publishing and withdrawing, in an order that any crash may cut.

A record is written before its mount, its junction directories and its export
are made, and goes last. So whatever exists can be found from a record, and
withdrawing works from every half-done stage.

ganesha has two rules about nested paths: an export appears inside another only
if added after it, to a directory that exists there, and one with exports
inside cannot be removed. Both are met by taking the inner exports out for a
moment. They keep their numbers, so their clients' handles stay valid.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from uuid import UUID

import msgspec
import structlog

from gateway.core.backend import FaultHook
from gateway.core.errors import Busy, GatewayError, InvalidArgument, Timeout, Unavailable
from gateway.core.exporter import Export
from gateway.core.handles import LocalPath
from gateway.exports.nfs import mounts
from gateway.exports.nfs.ganesha import Ganesha
from gateway.exports.nfs.mounts import Mounts
from gateway.exports.nfs.records import Junction, Record, Records
from gateway.exports.nfs.stanza import check, export_stanza, is_beneath, nearest
from gateway.exports.process import write_atomically

log = structlog.get_logger(__name__)

FAULT_POINTS = (
    "nfs.publish.recorded",
    "nfs.publish.mounted",
    "nfs.publish.joined",
    "nfs.publish.written",
    "nfs.publish.applied",
    "nfs.withdraw.applied",
    "nfs.withdraw.unmounted",
    "nfs.withdraw.forgotten",
)


def addresses(host: str) -> tuple[str, ...]:
    """Give the addresses of a host name; none when it is not known now."""
    try:
        found = socket.getaddrinfo(host, None, proto=socket.IPPROTO_TCP)
    except OSError as error:
        log.warning("nfs client not resolved", client=host, detail=str(error))
        return ()
    return tuple(dict.fromkeys(str(entry[4][0]).partition("%")[0] for entry in found))


def _source(export: Export) -> Path:
    if not isinstance(export.source, LocalPath):
        raise InvalidArgument(field="source", reason="only a directory of this host can be published over NFS")
    return Path(export.source.path)


def _by_path(record: Record) -> str:
    return record.export.path


class Publications:
    """Keeps the server's exports as the records say. Every method blocks; a lock lets one thread in at a time."""

    def __init__(self, server: Ganesha, records: Records, places: Mounts, fault: FaultHook) -> None:
        self._server = server
        self._records = records
        self._mounts = places
        self._fault = fault
        self._active: set[int] = set()
        self._lock = threading.Lock()

    def open(self) -> None:
        """Adopt or start the server, then bring back what is recorded and end what is not."""
        with self._lock:
            self._server.prepare()
            self._records.load()
            if not self._server.adopt():
                self._start()
            self._settle()

    def revive(self) -> None:
        """Start the server anew, with all its exports, if it is down."""
        with self._lock:
            if not self._server.alive():
                self._active = set()
                self._start()
                self._settle()

    def close(self) -> None:
        """Stop the server and let go of every source. The records stay for the next start."""
        with self._lock:
            self._active = set()
            self._server.stop()
            for export_id in self._mounts.ids():
                self._mounts.release(export_id)

    def publish(self, export: Export) -> None:
        """Make the publication as described; see `Exporter.publish`."""
        check(export)
        source = _source(export)
        with self._lock:
            record = self._records.get(export.id)
            if record is not None:
                if self._fits(record, export, source):
                    if record.export != export:
                        self._change_rules(record, export)
                    return
                self._withdraw(export.id)
            self._publish(export, source)

    def withdraw(self, export_id: UUID) -> None:
        """End the publication from whatever stage it is at; see `Exporter.withdraw`."""
        with self._lock:
            if export_id in self._records.ids() | self._mounts.ids():
                self._withdraw(export_id)

    def published(self) -> dict[UUID, Export | None]:
        """Give what the server has now. None: half-done, forgotten by the server, or without a readable record."""
        with self._lock:
            self._active = set(self._server.bus.exports())
            found: dict[UUID, Export | None] = dict.fromkeys(self._records.ids() | self._mounts.ids())
            for export_id, record in self._records.all().items():
                if record.number in self._active:
                    found[export_id] = record.export
            return found

    def _fits(self, record: Record, export: Export, source: Path) -> bool:
        """Tell whether the live publication differs in nothing but its rules."""
        old = record.export
        return (
            (old.path, old.source, old.generation) == (export.path, export.source, export.generation)
            and record.number in self._active
            and (not record.mounted or mounts.same_directory(self._mounts.point(export.id), source))
        )

    def _publish(self, export: Export, source: Path) -> None:
        if not mounts.is_directory(source):
            raise Unavailable(what="nfs", reason="the source is not there")
        if any(other.export.path == export.path for other in self._records.all().values()):
            raise Busy(what="nfs path is still published for another volume", retry_after=1)
        number = self._records.free_number(self._active)
        record = Record(number=number, export=export, mounted=mounts.needs_mount(source))
        self._records.put(record)
        self._fault("nfs.publish.recorded")
        with self._without_inner(export.path):
            self._attach(export.id)
        self._fault("nfs.publish.applied")
        self._include()

    def _change_rules(self, record: Record, export: Export) -> None:
        changed = msgspec.structs.replace(record, export=export)
        self._write_stanza(changed)
        self._fault("nfs.publish.written")
        try:
            self._server.bus.update(record.number, self._records.stanza(export.id))
        except GatewayError:
            # what clients have now is not known: the next attempt publishes anew
            self._active.discard(record.number)
            raise
        # not before: until then the record says truly what clients have
        self._records.put(changed)
        self._fault("nfs.publish.applied")

    def _withdraw(self, export_id: UUID) -> None:
        record = self._records.get(export_id)
        if record is not None:
            with self._without_inner(record.export.path):
                self._detach(record.number)
        else:
            self._detach_unknown(export_id)
        self._fault("nfs.withdraw.applied")
        self._mounts.release(export_id)
        self._fault("nfs.withdraw.unmounted")
        if record is not None and record.junction is not None:
            mounts.remove_directories(Path(record.junction.root), record.junction.made)
        self._records.remove(export_id)
        self._fault("nfs.withdraw.forgotten")
        self._include()

    def _attach(self, export_id: UUID) -> None:
        """Take every step from a record to a live export. Steps already taken are found so."""
        record = self._prepare(export_id)
        self._server.bus.add(record.number, self._records.stanza(export_id))
        self._active.add(record.number)

    def _prepare(self, export_id: UUID) -> Record:
        record = self._records.all()[export_id]
        if not mounts.is_directory(_source(record.export)):
            raise Unavailable(what="nfs", reason="the source is not there")
        if record.mounted:
            self._mounts.bind(export_id, _source(record.export))
        self._fault("nfs.publish.mounted")
        record = self._join(record)
        self._fault("nfs.publish.joined")
        self._write_stanza(record)
        self._fault("nfs.publish.written")
        return record

    def _root(self, record: Record) -> Path:
        return self._mounts.point(record.export.id) if record.mounted else _source(record.export)

    def _write_stanza(self, record: Record) -> None:
        text = export_stanza(record.number, record.export, self._root(record), addresses)
        write_atomically(self._records.stanza(record.export.id), text.encode())

    def _join(self, record: Record) -> Record:
        """Make the directory inside the publication around this one, where clients will meet this one."""
        live = {r.export.path: r for r in self._records.all().values() if r.number in self._active}
        around = nearest(record.export.path, tuple(live))
        if around is None:
            return record
        relative = record.export.path[len(around) + 1 :]
        root = _source(live[around].export)
        missing = mounts.missing_directories(root, relative)
        if missing:
            earlier = record.junction
            made = missing if earlier is None or earlier.root != str(root) else (*earlier.made, *missing)
            record = msgspec.structs.replace(
                record, junction=Junction(root=str(root), made=tuple(sorted(set(made), key=len)))
            )
            self._records.put(record)
        try:
            mounts.make_directories(root, relative)
        except OSError as error:
            if error.errno in (errno.ENOTDIR, errno.ELOOP, errno.EROFS):
                reason = f"the junction cannot be made in the volume around it: {os.strerror(error.errno)}"
                raise InvalidArgument(field="path", value=record.export.path, reason=reason) from error
            raise Unavailable(what="nfs", reason=f"junction directory: {error.strerror}") from error
        return record

    def _detach(self, number: int) -> None:
        """End the export. A server that does not run has none, and will start without it."""
        if self._server.alive():
            self._server.bus.remove(number)
        self._active.discard(number)

    def _detach_unknown(self, export_id: UUID) -> None:
        if self._server.alive():
            point = str(self._mounts.point(export_id))
            for number, path in self._server.bus.exports().items():
                if path == point:
                    self._detach(number)

    @contextlib.contextmanager
    def _without_inner(self, path: str) -> Iterator[None]:
        """Take the exports inside a path out while the one at the path changes."""
        live = (record for record in self._records.all().values() if record.number in self._active)
        inner = sorted((record for record in live if is_beneath(record.export.path, path)), key=_by_path)
        try:
            for record in reversed(inner):
                self._detach(record.number)
            yield
        finally:
            for record in inner:
                if record.number not in self._active:
                    self._tolerantly(lambda record=record: self._attach(record.export.id), record)  # type: ignore[misc]

    def _tolerantly(self, step: Callable[[], object], record: Record) -> bool:
        """Take a step for one publication without harm to the others; `published` shows that it failed."""
        try:
            step()
        except GatewayError as error:
            log.warning("nfs export left out", export=str(record.export.id), error=type(error).__name__, **error.fields)
            return False
        return True

    def _start(self) -> None:
        """Start the server with every export that can be made ready before."""
        self._server.stop()
        self._active = set()
        stanzas = []
        for record in sorted(self._records.all().values(), key=_by_path):
            if self._tolerantly(lambda record=record: self._prepare(record.export.id), record):  # type: ignore[misc]
                # counts as live already, so that what lies inside finds its surroundings
                self._active.add(record.number)
                stanzas.append(self._records.stanza(record.export.id))
        self._active = set()
        self._server.start(stanzas)

    def _settle(self) -> None:
        """Make the running server's exports those of the records."""
        self._active = set(self._server.bus.exports())
        known: Mapping[int, Record] = {record.number: record for record in self._records.all().values()}
        while strangers := self._active - set(known):
            # one that has others inside goes only after them
            dropped = [number for number in strangers if self._drop(number)]
            if not dropped:
                log.warning("nfs exports of unknown origin stay", numbers=sorted(strangers))
                break
        for record in sorted(known.values(), key=_by_path):
            if record.number not in self._active:
                self._tolerantly(lambda record=record: self._add_in_place(record), record)  # type: ignore[misc]
        self._include()

    def _add_in_place(self, record: Record) -> None:
        with self._without_inner(record.export.path):
            self._attach(record.export.id)

    def _drop(self, number: int) -> bool:
        try:
            self._detach(number)
        except (Unavailable, Timeout):
            return False
        return True

    def _include(self) -> None:
        live = [record for record in self._records.all().values() if record.number in self._active]
        self._server.include([self._records.stanza(r.export.id) for r in sorted(live, key=_by_path)])
