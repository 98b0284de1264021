"""What is kept in the descriptions of streams and labels, and how the objects of a pool are called.

A description begins with a line for people, then has the record, packed into
letters, between two marks. One that was cut short, or changed, does not decode.
"""

from __future__ import annotations

import base64
import binascii
import re
import zlib
from typing import Final, TypeVar
from uuid import UUID

import msgspec

from gateway.core.backend import Note

FORMAT: Final = 1
_BEGIN: Final = f"gateway-record {FORMAT}"
_END: Final = "gateway-record end"
_WIDTH: Final = 76
_TITLE_MAX: Final = 100


class PoolRecord(msgspec.Struct, frozen=True):
    """What makes a depot a pool."""

    id: UUID
    format: int = FORMAT


class ManifestRecord(msgspec.Struct, frozen=True):
    """The core's document for the whole pool."""

    document: bytes


class VolumeRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A volume. `whole`: neither being made nor being deleted. `restored`: token of the last restore."""

    id: UUID
    size: int
    note: Note
    whole: bool = True
    origin: UUID | None = None
    origin_snapshot: UUID | None = None
    restored: UUID | None = None


class SnapshotRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot: the changelist that it is a name for, and the bytes of the files there."""

    id: UUID
    volume: UUID
    change: int
    size: int
    note: Note


R = TypeVar("R", PoolRecord, ManifestRecord, VolumeRecord, SnapshotRecord)


def encode(title: str, record: PoolRecord | ManifestRecord | VolumeRecord | SnapshotRecord) -> str:
    """Give a description."""
    packed = base64.b64encode(zlib.compress(msgspec.msgpack.encode(record))).decode("ascii")
    lines = [packed[start : start + _WIDTH] for start in range(0, len(packed), _WIDTH)]
    plain = "".join(letter if letter.isascii() and letter.isprintable() else "?" for letter in title)
    return "\n".join([plain[:_TITLE_MAX], "", _BEGIN, *lines, _END, ""])


def decode(description: object, kind: type[R]) -> R | None:
    """Give the record in a description; None when there is no whole one of that kind."""
    lines = [line.strip() for line in str(description).splitlines()]
    try:
        begin = lines.index(_BEGIN)
        packed = "".join(lines[begin + 1 : lines.index(_END, begin)])
        return msgspec.msgpack.decode(zlib.decompress(base64.b64decode(packed, validate=True)), type=kind)
    except (ValueError, binascii.Error, zlib.error, msgspec.DecodeError, msgspec.ValidationError):
        return None


class Names:
    """How the objects of the pool in one depot are called. Names of forms are shared by the whole server."""

    def __init__(self, depot: str) -> None:
        self.depot = depot
        self.everything = f"//{depot}/..."
        self.streams = f"//{depot}/*"
        self.pool = f"gateway-{depot}-pool"
        self.manifest = f"gateway-{depot}-manifest"
        self.labels = f"gateway-{depot}-v-*"
        self.workspaces = f"gateway-{depot}-restore-*"
        self._stream = re.compile(rf"//{re.escape(depot)}/v-([0-9a-f]{{32}})")
        self._workspace = re.compile(rf"gateway-{re.escape(depot)}-restore-[0-9a-f]{{32}}")
        self._label = re.compile(rf"gateway-{re.escape(depot)}-v-([0-9a-f]{{32}})-s-([0-9a-f]{{32}})")

    def stream(self, volume: UUID) -> str:
        """Give a volume's stream."""
        return f"//{self.depot}/v-{volume.hex}"

    def files(self, volume: UUID, change: int | None = None) -> str:
        """Give all files of a volume, as they were after a changelist when one is given."""
        return f"{self.stream(volume)}/..." + ("" if change is None else f"@{change}")

    def label(self, volume: UUID, snapshot: UUID) -> str:
        """Give a snapshot's label."""
        return f"gateway-{self.depot}-v-{volume.hex}-s-{snapshot.hex}"

    def labels_of(self, volume: UUID) -> str:
        """Give a pattern for the labels of a volume's snapshots."""
        return f"gateway-{self.depot}-v-{volume.hex}-s-*"

    def workspace(self, token: UUID) -> str:
        """Give the workspace that submits a restore."""
        return f"gateway-{self.depot}-restore-{token.hex}"

    def restores(self, workspace: str) -> bool:
        """Tell whether a workspace is one that submits restores."""
        return self._workspace.fullmatch(workspace) is not None

    def volume_of(self, stream: str) -> UUID | None:
        """Give the volume that a stream would be by its name."""
        found = self._stream.fullmatch(stream)
        return None if found is None else UUID(hex=found[1])

    def snapshot_of(self, label: str) -> tuple[UUID, UUID] | None:
        """Give the volume and snapshot that a label would be by its name."""
        found = self._label.fullmatch(label)
        return None if found is None else (UUID(hex=found[1]), UUID(hex=found[2]))
