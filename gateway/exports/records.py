"""What the exporters of blocks remember: one durable record per publication, and never a password."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Generic, Protocol, TypeVar
from uuid import UUID

import msgspec

from gateway.core.exporter import BlockAccess, BlockExport
from gateway.core.handles import LocalPath
from gateway.exports.process import sync_directory, write_atomically


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """A `BlockAccess` as it is remembered. `chap`: its logins, which are not, have to be told again."""

    id: UUID
    target: str
    lun: int
    write: bool
    initiators: tuple[str, ...] = ()
    chap: bool = False


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """A `BlockExport` as it is remembered.

    Of two records that speak of one target the one with the higher `turn` counts.
    """

    id: UUID
    serial: str
    size: int
    source: LocalPath
    grants: tuple[Grant, ...]
    generation: int = 0
    turn: int = 0


class Identified(Protocol):
    """A record of a publication."""

    @property
    def id(self) -> UUID:
        """Give the publication's id."""


R = TypeVar("R", bound=Identified)


def record_of(export: BlockExport, *, turn: int = 0) -> Record:
    """Give what is remembered of an export."""
    return Record(
        id=export.id,
        serial=export.serial,
        size=export.size,
        source=export.source,
        grants=tuple(_grant(access) for access in export.access),
        generation=export.generation,
        turn=turn,
    )


def _grant(access: BlockAccess) -> Grant:
    return Grant(
        id=access.id,
        target=access.target,
        lun=access.lun,
        write=access.write,
        initiators=access.initiators,
        chap=bool(access.logins),
    )


class Records(Generic[R]):
    """The directory of records, `<id>.json`. Not safe for use from two threads at once."""

    def __init__(self, directory: Path, kind: type[R]) -> None:
        self._directory = directory
        self._kind = kind
        self._known: dict[UUID, R] = {}
        self._broken: set[UUID] = set()

    def load(self) -> None:
        """Read every record."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._known, self._broken = {}, set()
        for path in self._directory.glob("*.json"):
            with contextlib.suppress(ValueError):
                key = UUID(path.stem)
                try:
                    self._known[key] = msgspec.json.decode(path.read_bytes(), type=self._kind)
                except msgspec.MsgspecError:
                    self._broken.add(key)

    def all(self) -> tuple[R, ...]:
        """Give every record that can be read."""
        return tuple(self._known.values())

    def ids(self) -> frozenset[UUID]:
        """Give the id of every publication, also of those whose record cannot be read."""
        return frozenset(self._known) | self._broken

    def get(self, export_id: UUID) -> R | None:
        """Give one record; None when there is none, or when it cannot be read."""
        return self._known.get(export_id)

    def put(self, record: R) -> None:
        """Keep a record durably."""
        write_atomically(self._directory / f"{record.id}.json", msgspec.json.encode(record), durable=True)
        self._known[record.id] = record
        self._broken.discard(record.id)

    def remove(self, export_id: UUID) -> None:
        """Forget a publication durably. Nothing there: succeeds."""
        self._known.pop(export_id, None)
        self._broken.discard(export_id)
        for suffix in (".json.new", ".json"):
            (self._directory / f"{export_id}{suffix}").unlink(missing_ok=True)
        sync_directory(self._directory)
