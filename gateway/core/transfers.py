"""Use cases of transfers, the runs of replications."""

# ruff: noqa: ARG001 - the bodies follow

from __future__ import annotations

from uuid import UUID

from gateway.core import errors
from gateway.core.context import Core
from gateway.core.model import Transfer


async def transfer(
    core: Core,
    replication_id: UUID,
    *,
    snapshot_id: UUID | None = None,
    throttle: int | None = None,
    description: str,
) -> Transfer:
    """Start a transfer and give it as soon as it is durable; it runs on whoever waits.

    The first one initializes, those of a broken replication resync, all others
    update. `snapshot_id`: which of the source's snapshots is sent; None: as the
    policy says. `throttle`: bytes per second for this one. Conflict while
    another one runs, InvalidState when the replication is paused.
    """
    raise errors.Unsupported(capability="replicate", reason="not built yet")


async def wait(core: Core, transfer_id: UUID, timeout_s: float | None = None) -> Transfer:
    """Give the transfer as it is when it ends, or after `timeout_s` seconds."""
    raise errors.Unsupported(capability="replicate", reason="not built yet")


async def abort(core: Core, transfer_id: UUID) -> Transfer:
    """End a transfer under way; the base stays. InvalidState when it has ended."""
    raise errors.Unsupported(capability="replicate", reason="not built yet")
