"""Cinder's objects as the driver reads them: only what it needs, sizes in bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

GIB = 1 << 30

VOLUME_LABEL = "cinder.volume"
SNAPSHOT_LABEL = "cinder.snapshot"
PROJECT_LABEL = "cinder.project"
LABELS = frozenset({VOLUME_LABEL, SNAPSHOT_LABEL, PROJECT_LABEL})
"""The labels by which the gateway's objects are known to be Cinder's."""


class CinderVolume(msgspec.Struct, frozen=True, kw_only=True):
    """A volume. `core_id` is its id at the gateway, empty while Cinder does not know it; `specs` are its type's."""

    id: str
    name: str
    size: int
    pool: str = ""
    project: str = ""
    core_id: str = ""
    multi_attach: bool = False
    specs: Mapping[str, str] = {}

    @property
    def same(self) -> Mapping[str, str]:
        """Give the labels that only this volume has."""
        return {VOLUME_LABEL: self.id}

    @property
    def labels(self) -> Mapping[str, str]:
        """Give the labels that it is made with."""
        return _made_with(self.same, self.project)


class CinderSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot of a volume."""

    id: str
    name: str
    volume: CinderVolume
    project: str = ""
    core_id: str = ""

    @property
    def same(self) -> Mapping[str, str]:
        """Give the labels that only this snapshot has."""
        return {SNAPSHOT_LABEL: self.id}

    @property
    def labels(self) -> Mapping[str, str]:
        """Give the labels that it is made with."""
        return _made_with(self.same, self.project)


def _made_with(same: Mapping[str, str], project: str) -> Mapping[str, str]:
    return {**same, PROJECT_LABEL: project} if project else same


def volume_of(volume: Any) -> CinderVolume:
    """Read a volume, without its type."""
    return CinderVolume(
        id=volume.id,
        name=volume.name,
        size=volume.size * GIB,
        pool=pool_of(volume.host),
        project=volume.project_id or "",
        core_id=volume.provider_id or "",
        multi_attach=bool(volume.multiattach),
    )


def typed_volume_of(volume: Any) -> CinderVolume:
    """Read a volume with what its type asks for; Cinder may look into its database for that."""
    return msgspec.structs.replace(volume_of(volume), specs=specs_of(volume.volume_type))


def snapshot_of(snapshot: Any) -> CinderSnapshot:
    """Read a snapshot and its volume."""
    return CinderSnapshot(
        id=snapshot.id,
        name=snapshot.name,
        volume=volume_of(snapshot.volume),
        project=snapshot.project_id or "",
        core_id=snapshot.provider_id or "",
    )


def snapshots_of(snapshots: Sequence[Any]) -> tuple[CinderSnapshot, ...]:
    """Read several."""
    return tuple(map(snapshot_of, snapshots))


def specs_of(volume_type: Any) -> Mapping[str, str]:
    """Give what a volume type asks for; there may be no type."""
    specs = None if volume_type is None else volume_type.extra_specs
    return {key: value or "" for key, value in (specs or {}).items()}


def pool_of(host: str | None) -> str:
    """Give the pool that Cinder's `host@backend#pool` names; empty where it names none."""
    return (host or "").partition("#")[2]


def gigabytes(size: int) -> int:
    """Give a size as Cinder counts, rounded up."""
    return -(-size // GIB)
