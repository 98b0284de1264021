"""Use cases of quiescing: a volume is held still for a while, so that others can take a consistent copy of it.

It is held by at most one at a time, and never for good: it is released when
its holder says so, when its time is over, and when the gateway stops or starts.
"""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from gateway.core import errors
from gateway.core.context import Core
from gateway.core.exporter import Mounter, Quiesced
from gateway.core.model import Volume, VolumeState
from gateway.core.volumes import check_text, settled

_ID_MAX = 255


async def quiesce(core: Core, volume_id: UUID, *, quiesce_id: str = "", timeout_s: int = 0) -> Quiesced:
    """Hold a volume still for `timeout_s` seconds at the most; 0 takes the longest time that is allowed.

    Whoever holds it may say so again, by the same id, and begins the time anew.
    InUse when it is held under another id; Unsupported when nobody here could
    do it; LimitExceeded for a longer time; Conflict while it moves.
    """
    check_text("quiesce_id", quiesce_id, _ID_MAX)
    mounting = core.publisher.mounting
    if mounting is None:
        raise _unsupported()
    longest = mounting.mounter.quiesce_max_s
    if not 0 <= timeout_s <= longest:
        raise errors.LimitExceeded(limit="timeout_s", value=timeout_s, minimum=0, maximum=longest)
    async with core.changes.holding(volume_id):
        volume = await settled(core, volume_id)
        if volume.state is not VolumeState.ONLINE:
            raise errors.InvalidState(kind="volume", ref=volume.name, state=volume.state, action="quiesce")
        wanted = await mounting.to_quiesce(volume, quiesce_id=quiesce_id, timeout_s=timeout_s or longest)
        return await mounting.mounter.quiesce(wanted)


async def unquiesce(core: Core, volume_id: UUID, *, quiesce_id: str | None = None) -> None:
    """Release a volume. Not held: succeeds. InUse when it is held under another id than the one given."""
    await core.get(Volume, volume_id)
    mounter = _mounter(core)
    if mounter is None:
        return
    # Not behind the volume's lock: whoever waits for a volume that is held still must not keep it so.
    held = (await mounter.quiesced()).get(volume_id)
    if held is not None and quiesce_id not in {None, held.quiesce_id}:
        raise errors.InUse(kind="volume", ref=str(volume_id), by="quiesce", action="unquiesce")
    await mounter.unquiesce(volume_id)


async def quiesced(core: Core) -> Mapping[UUID, Quiesced]:
    """Give the volumes that are held still on this host."""
    mounter = _mounter(core)
    return {} if mounter is None else await mounter.quiesced()


def _mounter(core: Core) -> Mounter | None:
    return None if core.publisher.mounting is None else core.publisher.mounting.mounter


def _unsupported() -> errors.Unsupported:
    return errors.Unsupported(
        capability="quiesce",
        backend="this host",
        reason="the configuration does not say how: it has no [export.mounts]",
    )
