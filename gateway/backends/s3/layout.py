"""What lies where in the buckets.

Objects of volumes, in a bucket that keeps versions, below `<prefix>v/`:

    <volume>/<key>                     an object that was written to the volume

The gateway's documents, in a bucket that keeps none, below `<prefix>`:

    pool.json                          the identity of the pool; its copy is in the other bucket
    lease.json                         which gateway may change the pool
    manifest                           the core's document for the whole pool
    volumes/<volume>.json              a volume; it is there as long as this is
    snapshots/<volume>/<snapshot>.json a snapshot; it is there as long as this is
    inventories/<snapshot>             which version each key had when the snapshot was taken; never changed
    needs/<volume>/<snapshot>          that inventory names versions below that volume
    holds/<snapshot>/<clone>           that clone rests on that inventory
    restores/<volume>.json             a restore that has begun
    unsettled/<id>.json                a volume or snapshot that is being made or removed; if it is
                                       not there when the pool is opened, what is left of it goes
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import msgspec

from gateway.core.backend import Note
from gateway.core.model import VolumeKind

FORMAT = 1
KEY_MAX = 1024
"""Bytes of the longest key that stores take."""


class PoolRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The identity of a pool."""

    id: UUID
    format: int = FORMAT


class Base(msgspec.Struct, frozen=True, kw_only=True):
    """What a clone rests on: a snapshot of `volume`, whose inventory names versions below `owners`."""

    volume: UUID
    snapshot: UUID
    owners: tuple[UUID, ...]


class VolumeSidecar(msgspec.Struct, frozen=True, kw_only=True):
    """A volume. `used` in bytes was true at `measured`. `restored`: the token of the last restore."""

    id: UUID
    size: int
    note: Note
    base: Base | None = None
    restored: UUID | None = None
    used: int = 0
    measured: datetime

    @property
    def owners(self) -> tuple[UUID, ...]:
        """Give the volumes below which its objects may be: itself, and those of what it rests on."""
        return (self.id, *(self.base.owners if self.base else ()))


class SnapshotSidecar(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot of `count` objects, `size` bytes together."""

    id: UUID
    volume: UUID
    owners: tuple[UUID, ...]
    count: int
    size: int
    note: Note


class Unsettled(msgspec.Struct, frozen=True, kw_only=True):
    """A volume (`snapshot` None) or snapshot that is being made or removed, and what it takes to remove its rest."""

    volume: UUID
    snapshot: UUID | None = None
    owners: tuple[UUID, ...] = ()
    base: Base | None = None

    @property
    def id(self) -> UUID:
        """Give the id of what it is about."""
        return self.snapshot or self.volume

    @property
    def involved(self) -> tuple[UUID, ...]:
        """Give the volumes that removing the rest has to do with."""
        return (self.volume, *self.owners, *((self.base.volume, *self.base.owners) if self.base else ()))


class Journal(msgspec.Struct, frozen=True, kw_only=True):
    """A restore that has begun, and goes on until its end."""

    volume: UUID
    snapshot: UUID
    token: UUID


KIND = VolumeKind.OBJECTS


class Layout:
    """Gives the keys."""

    def __init__(self, prefix: str) -> None:
        self.prefix = f"{prefix.rstrip('/')}/" if prefix.strip("/") else ""
        self.objects = f"{self.prefix}v/"
        self.probes = f"{self.prefix}probes/"
        self.pool = f"{self.prefix}pool.json"
        self.lease = f"{self.prefix}lease.json"
        self.manifest = f"{self.prefix}manifest"
        self.volumes = f"{self.prefix}volumes/"
        self.snapshots = f"{self.prefix}snapshots/"
        self.restores = f"{self.prefix}restores/"
        self.all_unsettled = f"{self.prefix}unsettled/"

    def below(self, volume: UUID) -> str:
        """Give what the keys of a volume's objects begin with."""
        return f"{self.objects}{volume}/"

    def volume(self, volume: UUID) -> str:
        """Give the key of a volume's sidecar."""
        return f"{self.volumes}{volume}.json"

    def snapshots_of(self, volume: UUID) -> str:
        """Give what the keys of the sidecars of a volume's snapshots begin with."""
        return f"{self.snapshots}{volume}/"

    def snapshot(self, volume: UUID, snapshot: UUID) -> str:
        """Give the key of a snapshot's sidecar."""
        return f"{self.snapshots_of(volume)}{snapshot}.json"

    def inventory(self, snapshot: UUID) -> str:
        """Give the key of an inventory."""
        return f"{self.prefix}inventories/{snapshot}"

    def needs_of(self, volume: UUID) -> str:
        """Give what stands before the inventories that name versions below a volume."""
        return f"{self.prefix}needs/{volume}/"

    def need(self, volume: UUID, snapshot: UUID) -> str:
        """Give the key of one need."""
        return f"{self.needs_of(volume)}{snapshot}"

    def holds_of(self, snapshot: UUID) -> str:
        """Give what stands before the clones that rest on an inventory."""
        return f"{self.prefix}holds/{snapshot}/"

    def hold(self, snapshot: UUID, clone: UUID) -> str:
        """Give the key of one hold."""
        return f"{self.holds_of(snapshot)}{clone}"

    def restore(self, volume: UUID) -> str:
        """Give the key of a restore's journal."""
        return f"{self.restores}{volume}.json"

    def unsettled(self, about: UUID) -> str:
        """Give the key of what says that a volume or snapshot is being made or removed."""
        return f"{self.all_unsettled}{about}.json"


def named(key: str) -> UUID | None:
    """Give the id that is the last part of a key; None where there is none."""
    try:
        return UUID(key.rpartition("/")[2].removesuffix(".json"))
    except ValueError:
        return None
