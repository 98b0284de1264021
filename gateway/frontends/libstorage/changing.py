"""What handlers that change something have in common."""

from __future__ import annotations

from uuid import UUID

from gateway.core import errors, volumes
from gateway.core.capability import SIZE_MAX
from gateway.core.change import Started
from gateway.core.handles import AccessHandle
from gateway.core.model import Volume
from gateway.frontends.libstorage.ask import Ask
from gateway.frontends.libstorage.render import gib
from gateway.frontends.libstorage.settings import GIB

_NOT_IN_PATHS = frozenset("/?#%")
"""Clients put names into paths as they are."""


async def finished(ask: Ask, started: Started) -> UUID:
    """Wait for a change and give the id of what it is about; raise what it failed with."""
    ask.trace.job, ask.trace.target = str(started.job.id), str(started.job.target_id)
    job = await started.result()
    if job.target_id is None:
        raise AssertionError
    return job.target_id


async def handles_of(ask: Ask, volume: Volume) -> tuple[AccessHandle, ...]:
    """Give every way to a volume's bytes; none where its pool cannot tell: the volume is shown all the same."""
    try:
        return await volumes.access(ask.core, volume.id)
    except errors.GatewayError:
        return ()


def require_name(field: str, name: str) -> str:
    """Give the name of a new volume; InvalidArgument for one by which clients could not ask for it."""
    if _NOT_IN_PATHS & set(name):
        raise errors.InvalidArgument(field=field, value=name[:64], reason="holds one of / ? # %")
    return name


def require_gib(size: int) -> int:
    """Give so many GiB as bytes; LimitExceeded for a size that nothing can have."""
    most = SIZE_MAX // GIB
    if not 1 <= size <= most:
        raise errors.LimitExceeded(limit="size", value=size, minimum=1, maximum=most)
    return size * GIB


def in_gib(error: errors.LimitExceeded) -> errors.LimitExceeded:
    """Give a refusal of a size as this protocol counts."""
    low, value, high = error.minimum, error.value, error.maximum
    if error.limit != "size" or not (isinstance(low, int) and isinstance(value, int) and isinstance(high, int)):
        return error
    return errors.LimitExceeded(limit="size", value=gib(value), minimum=gib(low), maximum=high // GIB)
