"""Use cases of replications: volumes that follow others by transfers of snapshots.

A destination can only be read until its replication is broken. What it holds
is that of the base, the newest snapshot that both ends have; the base is kept
at both ends whatever else goes.
"""

# ruff: noqa: ARG001 - the bodies follow

from __future__ import annotations

from uuid import UUID

import msgspec

from gateway.core import errors
from gateway.core.context import Core
from gateway.core.model import Replication, Transfer


class NewReplication(msgspec.Struct, frozen=True, kw_only=True):
    """What a caller says about a replication to make. `schedule`, `throttle`: see `Replication`."""

    source_id: UUID
    destination_id: UUID
    policy_id: UUID
    schedule: str | None = None
    throttle: int | None = None


class ReplicationChange(msgspec.Struct, frozen=True, kw_only=True):
    """New values; UNSET leaves a thing as it is. `schedule`, `throttle`: see `Replication`."""

    policy_id: UUID | msgspec.UnsetType = msgspec.UNSET
    schedule: str | msgspec.UnsetType | None = msgspec.UNSET
    throttle: int | msgspec.UnsetType | None = msgspec.UNSET


async def create(core: Core, new: NewReplication, *, description: str) -> Replication:
    """Make a volume the destination of a replication; nothing is transferred yet.

    It must be of the source's kind, at least as large, without snapshots,
    clones, attachments and mounts; what it holds goes with the first transfer.
    NotFound for volumes and policy, AlreadyExists when it is a destination
    already, InUse for what keeps it from becoming one, Unsupported with the
    reason where no way leads from pool to pool.
    """
    raise errors.Unsupported(capability="replicate", reason="not built yet")


async def change(core: Core, replication_id: UUID, change: ReplicationChange) -> Replication:
    """Change policy, schedule or throttle. NotFound for what it names."""
    raise errors.Unsupported(capability="replicate", reason="not built yet")


async def pause(core: Core, replication_id: UUID) -> Replication:
    """Let no further transfer begin; one under way goes on. InvalidState unless it is mirrored."""
    raise errors.Unsupported(capability="replicate", reason="not built yet")


async def resume(core: Core, replication_id: UUID) -> Replication:
    """Let transfers begin again. InvalidState unless it is paused."""
    raise errors.Unsupported(capability="replicate", reason="not built yet")


async def break_(core: Core, replication_id: UUID, *, description: str) -> Replication:
    """Make the destination a volume that is written to, with the content of the base. Idempotent.

    Conflict while a transfer runs, InvalidState when there was none yet.
    """
    raise errors.Unsupported(capability="replicate", reason="not built yet")


async def resync(core: Core, replication_id: UUID, *, throttle: int | None = None, description: str) -> Transfer:
    """Make the destination of a broken replication follow again; what was written there since the base goes.

    InvalidState when it is not broken or both ends have no common snapshot any
    more; InUse while nodes write to it.
    """
    raise errors.Unsupported(capability="replicate", reason="not built yet")


async def reverse(core: Core, replication_id: UUID, *, throttle: int | None = None, description: str) -> Transfer:
    """Swap the ends of a broken replication, and resync the other way. Fails as `resync` does."""
    raise errors.Unsupported(capability="replicate", reason="not built yet")


async def delete(core: Core, replication_id: UUID, *, keep_source: bool = False, description: str) -> None:
    """End a replication: the destination becomes a volume as any other, with the content of the base.

    The snapshots that transfers took go at both ends; with `keep_source` those
    of the source stay. Conflict while a transfer runs.
    """
    raise errors.Unsupported(capability="replicate", reason="not built yet")
