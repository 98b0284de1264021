"""What has a name already: making something of that name gives it, if it is the same.

Clients repeat a call when they do not know how it ended, and several may make
the same at once. Whoever comes second waits for the first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import msgspec
from grpc import StatusCode

from gateway.core import errors
from gateway.core.change import Started
from gateway.core.model import Volume, VolumeState
from gateway.core.ownership import Access, permit
from gateway.frontends.openstorage.call import Call, SdkError
from gateway.frontends.openstorage.lookup import Found, driver_of, find_or_none
from gateway.frontends.openstorage.project import parent_of
from gateway.frontends.openstorage.specs import spec_of

PATIENCE_S = 300.0
"""How long a call waits for a volume of its name that is being made or deleted; its own deadline may be shorter."""

_TRIES = 100
_FOREIGN_PAUSE_S = 0.25
_UNDER_WAY = {VolumeState.CREATING, VolumeState.DELETING}
_DOWN = {VolumeState.OFFLINE, VolumeState.ERROR}


class Same(msgspec.Struct, frozen=True, kw_only=True):
    """All that is compared; `shared` None: whatever it is."""

    size: int
    parent: str
    shared: bool | None = None


async def made(call: Call, name: str, same: Same, make: Callable[[], Awaitable[Started]]) -> str:
    """Give the id of what has the name, made by `make` when nothing has it. ALREADY_EXISTS when it is not the same."""
    for left in reversed(range(_TRIES)):
        present = await existing(call, name, same)
        if present is not None:
            return present
        try:
            return str((await (await make()).result()).target_id)
        except errors.AlreadyExists as error:
            if error.field != "name" or not left:
                raise
    raise AssertionError


async def existing(call: Call, name: str, same: Same) -> str | None:
    """Give the id of what has the name, None when nothing has; ALREADY_EXISTS when it is not the same.

    INTERNAL when it is down, or is not whole and not gone after `PATIENCE_S`;
    Unavailable when that waits for a pool which does not answer.
    """
    found = await _rested(call, name)
    if found is None:
        return None
    volume = found.volume
    if found.snapshot is None and volume.state in _DOWN:
        raise SdkError(StatusCode.INTERNAL, f"Volume {found} has the name {name[:64]}, and is {volume.state}")
    shared = spec_of(volume, await driver_of(call, volume)).shared
    if (volume.size, parent_of(found)) != (same.size, same.parent) or same.shared not in {None, shared}:
        raise errors.AlreadyExists(kind="Volume", name=name, field="name", same_spec=False)
    return str(found)


async def _rested(call: Call, name: str) -> Found | None:
    """Give what has the name once it is neither being made nor being deleted, if the caller may administer it."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                found = await find_or_none(call, name)
                if found is None:
                    return None
                permit(call.principal, found.volume, Access.ADMIN, action="use")
                if found.snapshot is not None or found.volume.state not in _UNDER_WAY:
                    return found
                call.core.pools.get(found.volume.pool_id)
                await _changed(call, found.volume)
    except TimeoutError:
        raise SdkError(StatusCode.INTERNAL, f"The volume that has the name {name[:64]} is not ready") from None


async def _changed(call: Call, volume: Volume) -> None:
    """Wait for the end of a change of this process; for one of another process a moment."""
    locks = call.core.changes.locks
    if locks.held(volume.id):
        async with locks.holding(volume.id):
            return
    await asyncio.sleep(_FOREIGN_PAUSE_S)
