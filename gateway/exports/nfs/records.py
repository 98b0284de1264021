"""What the exporter remembers: one durable record per publication."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Collection
from pathlib import Path
from uuid import UUID

import msgspec

from gateway.core.errors import Unavailable
from gateway.core.exporter import Export
from gateway.exports.nfs.stanza import NUMBER_MAX
from gateway.exports.process import sync_directory, write_atomically


class Junction(msgspec.Struct, frozen=True, kw_only=True):
    """Directories that were made in the publication around this one. `root` is that one's source."""

    root: str
    made: tuple[str, ...]


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One publication: its description and its number, which is part of every client's file handles."""

    number: int
    export: Export
    mounted: bool
    junction: Junction | None = None


class Records:
    """The directory of records (`<id>.json`) and of the stanzas rendered from them (`<id>.conf`)."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._known: dict[UUID, Record] = {}
        self._last = 0

    def load(self) -> None:
        """Read every record; one that cannot be read counts as unknown."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._known = {}
        for path in self._directory.glob("*.json"):
            with contextlib.suppress(ValueError, msgspec.MsgspecError):
                self._known[UUID(path.stem)] = msgspec.json.decode(path.read_bytes(), type=Record)
        self._last = max((record.number for record in self._known.values()), default=0)

    def all(self) -> dict[UUID, Record]:
        """Give every record by publication."""
        return dict(self._known)

    def get(self, export_id: UUID) -> Record | None:
        """Give one record."""
        return self._known.get(export_id)

    def ids(self) -> set[UUID]:
        """Give the id of every publication that has any file here."""
        found = set(self._known)
        for path in self._directory.iterdir():
            with contextlib.suppress(ValueError):
                found.add(UUID(path.name.partition(".")[0]))
        return found

    def stanza(self, export_id: UUID) -> Path:
        """Give the place of the stanza that the server reads."""
        return self._directory / f"{export_id}.conf"

    def put(self, record: Record) -> None:
        """Keep a record durably."""
        path = self._directory / f"{record.export.id}.json"
        write_atomically(path, msgspec.json.encode(record), durable=True)
        self._known[record.export.id] = record
        self._last = max(self._last, record.number)

    def remove(self, export_id: UUID) -> None:
        """Forget a publication durably. Nothing there: succeeds."""
        self._known.pop(export_id, None)
        for suffix in (".conf", ".conf.new", ".json.new", ".json"):
            (self._directory / f"{export_id}{suffix}").unlink(missing_ok=True)
        sync_directory(self._directory)

    def free_number(self, active: Collection[int]) -> int:
        """Give a number that nobody has, one that was not in use lately if possible."""
        taken = {record.number for record in self._known.values()} | set(active)
        candidates = itertools.chain(range(self._last + 1, NUMBER_MAX + 1), range(1, self._last + 1))
        for candidate in candidates:
            if candidate not in taken:
                return candidate
        raise Unavailable(what="nfs", reason=f"all {NUMBER_MAX} export numbers are taken")
