"""Volumes and snapshots that their user deleted while others still need them, and how they go in the end.

A retired volume has given its name free, is offline, is published nowhere and
takes no change any more. What depends on it stays whole: its snapshots can be
looked at, changed, cloned and deleted. When the last of them that somebody
asked for and the last clone are gone, `collect` deletes the volume, with the
snapshots that the core itself had taken for clones.

A snapshot that clones still need is retired likewise: it becomes one of those
that the core takes for clones itself, which nobody sees, and goes with its last one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from datetime import timedelta
from functools import partial
from uuid import UUID

import msgspec

from gateway.core import errors, snapshots
from gateway.core.backend import SnapshotBackend
from gateway.core.catalog import walk
from gateway.core.change import Plan, Started
from gateway.core.context import Core
from gateway.core.model import Job, JobState, Snapshot, SnapshotState, Volume, VolumeState, utc_now
from gateway.core.ownership import Access
from gateway.core.query import Compare, IsNull, Not, Op, Order, Query
from gateway.core.reconcile import MISSING
from gateway.core.replicas import require_unneeded, require_unreplicated
from gateway.core.volumes import deletion, settled, snapshots_of

RETIRED = Not(IsNull("retired"))
"""Selects the volumes that are retired."""

_NAME = "retired."
_NAME_DIGITS = (12, 32)
_REST = timedelta(minutes=10)
_AT_ONCE = 100


async def remove(core: Core, volume_id: UUID, *, description: str, force: bool = False) -> Started:
    """Start deleting a volume for its user: at once when nothing depends on it, else it is retired.

    NotFound when it is retired already; InUse while a replication has it, or
    nodes are attached, unless by force, which cuts them off.
    """
    keys = await _keys(core, volume_id)

    async def plan() -> Plan:
        before = await settled(core, volume_id, access=Access.ADMIN, broken_too=True, retired_too=True)
        if before.retired is not None:
            raise errors.NotFound(kind="volume", ref=str(volume_id))
        await require_unreplicated(core, before, action="delete")
        taken = await snapshots_of(core, volume_id)
        if before.clone_count or not all(map(spare, taken)):
            return await _retirement(core, before, description=description, force=force)
        return deletion(before, taken, description=description, force=force)

    return await core.start(keys, plan)


async def remove_snapshot(core: Core, snapshot_id: UUID, *, description: str) -> Started:
    """Start deleting a snapshot for its user: at once when no clone hangs on it, else it is retired.

    InUse while its expiry is not reached, or a replication needs it.
    """
    found = await core.get(Snapshot, snapshot_id)

    async def plan() -> Plan:
        before = await snapshots.settled_one(core, snapshot_id, access=Access.ADMIN, broken_too=True)
        await require_unneeded(core, before)
        if not before.clone_count or before.state is not SnapshotState.VALID:
            return snapshots.deletion(before, description=description)
        snapshots.require_expired(before)
        after = msgspec.structs.replace(
            before,
            name=await _free_name(core, Snapshot, before.id, volume__id=before.volume_id),
            internal=True,
            transient=True,
            comment="",
            label="",
            labels={},
            annotations={},
            taken_by="",
            due=None,
        )
        return Plan(
            operation="snapshot.update",
            description=description,
            pool_id=before.pool_id,
            snapshot_before=before,
            snapshot_after=after,
        )

    return await core.start({found.volume_id}, plan)


async def retire(core: Core, volume_id: UUID, *, description: str, force: bool = False) -> Started:
    """Start retiring a volume, whatever depends on it. InUse while nodes are attached, unless by force."""

    async def plan() -> Plan:
        before = await settled(core, volume_id, access=Access.ADMIN, broken_too=True)
        await require_unreplicated(core, before, action="delete")
        return await _retirement(core, before, description=description, force=force)

    return await core.start({volume_id}, plan)


async def dispose(core: Core, volume_id: UUID, *, description: str, force: bool = False) -> Started:
    """Start deleting a retired volume.

    InUse when clones hang on it or a snapshot must not be deleted yet, and,
    unless by force, while it has a snapshot that somebody asked for.
    """
    keys = await _keys(core, volume_id)

    async def plan() -> Plan:
        before = await settled(core, volume_id, access=Access.ADMIN, broken_too=True, retired_too=True)
        if before.retired is None:
            raise errors.InvalidState(kind="volume", ref=before.name, state=before.state, action="dispose")
        taken = await snapshots_of(core, volume_id)
        planned = deletion(before, taken, description=description, force=force)
        if not force and await _wanted(core, taken):
            raise errors.InUse(kind="volume", ref=before.name, by="snapshots", action="delete")
        return planned

    return await core.start(keys, plan)


async def collect(core: Core, around: Iterable[UUID] | None = None, *, most: int = _AT_ONCE) -> int:
    """Delete what nobody needs any more until it was `most`, and give how much it was.

    That are retired volumes, from the last clone of a chain up to its source,
    internal snapshots of retired volumes, and transient snapshots of any.
    `around`: only look at these volumes and at what they were cloned from. What
    cannot be deleted now stays for another time; its job says why.
    """
    left = deque(await _candidates(core) if around is None else dict.fromkeys(around))
    gone = 0
    while left and gone < most:
        volume = await core.catalog.get(Volume, left.popleft())
        if volume is None:
            continue
        done = await _tidied(core, volume)
        gone += len(done)
        if volume.id in done and volume.origin is not None:
            left.append(volume.origin.volume_id)
    return gone


async def collect_after(core: Core, volume: Volume) -> None:
    """Delete what only a volume that somebody has just removed, or a snapshot of it, still needed.

    The gateway itself does that, whoever the core acts for. A duty does it
    later, so nothing of this is a failure of the removal.
    """
    around = [volume.id, *([volume.origin.volume_id] if volume.origin is not None else [])]
    await collect(msgspec.structs.replace(core, caller=None, request=""), around)


def spare(snapshot: Snapshot) -> bool:
    """Tell whether the core took the snapshot for clones of which none is left, and nothing keeps it."""
    expired = snapshot.expires is None or snapshot.expires <= utc_now()
    made = snapshot.state in {SnapshotState.VALID, SnapshotState.ERROR}
    return snapshot.internal and made and expired and not snapshot.clone_count


async def _candidates(core: Core) -> list[UUID]:
    """Give the retired volumes, and those with transient snapshots that no clone needs any more."""
    retired = walk(core.catalog, Volume, Query(where=RETIRED, order=(Order("pool.id"),)))
    found = dict.fromkeys([volume.id async for volume in retired])
    spares = walk(core.catalog, Snapshot, Query(where=Not(IsNull("spare")), order=(Order("id"),)))
    return list(found | dict.fromkeys([snapshot.volume_id async for snapshot in spares]))


async def _retirement(core: Core, before: Volume, *, description: str, force: bool) -> Plan:
    if before.attachments and not force:
        raise errors.InUse(kind="volume", ref=before.name, by="attachments", action="delete")
    if before.mounts and not force:
        raise errors.InUse(kind="volume", ref=before.name, by="mounts", action="delete")
    after = msgspec.structs.replace(
        before,
        name=await _free_name(core, Volume, before.id, tenant__id=before.tenant_id),
        retired=utc_now(),
        state=before.state if before.state is VolumeState.ERROR else VolumeState.OFFLINE,
        junction_path=None,
        attachments=(),
        mounts=(),
        export_policy_id=None,
        snapshot_policy_id=None,
        more_snapshot_policy_ids=(),
        schedules=(),
    )
    return Plan(
        operation="volume.retire",
        description=description,
        pool_id=before.pool_id,
        before=before,
        after=after,
        force=force,
    )


async def _free_name(core: Core, kind: type[Volume | Snapshot], key: UUID, **scope: UUID) -> str:
    """Give a name that nobody else of its kind has in a scope; the whole id only when somebody chose what is usual."""
    names = [_NAME + key.hex[:digits] for digits in _NAME_DIGITS]
    for name in names:
        if await core.find(kind, name=name, **scope) is None:
            return name
    raise errors.AlreadyExists(kind=kind.__name__.lower(), name=names[-1], field="name")


async def _keys(core: Core, volume_id: UUID) -> set[UUID]:
    """Give what a deletion locks: the volume and what it was cloned from."""
    volume = await core.get(Volume, volume_id)
    return {volume_id} | ({volume.origin.volume_id} if volume.origin else set())


async def _wanted(core: Core, taken: Iterable[Snapshot]) -> bool:
    """Tell whether a user could miss one of the snapshots. For what seems to be gone the substrate is asked again."""
    for snapshot in taken:
        if spare(snapshot):
            continue
        backend = core.pools.get(snapshot.pool_id).backend
        if not _missing(snapshot) or not isinstance(backend, SnapshotBackend):
            return True
        if await backend.inspect_snapshot(snapshot.volume_id, snapshot.id) is not None:
            return True
    return False


def _missing(snapshot: Snapshot) -> bool:
    """Tell whether somebody seems to have deleted the snapshot behind the gateway's back."""
    return (snapshot.state, snapshot.reason) == (SnapshotState.ERROR, MISSING)


async def _tidied(core: Core, volume: Volume) -> set[UUID]:
    """Delete a volume that is due, or else those of its snapshots that are; give the ids of what is gone."""
    retired = volume.retired is not None
    taken = await snapshots_of(core, volume.id)
    acts: dict[UUID, Callable[[], Awaitable[Started]]] = {}
    if retired and not volume.clone_count and all(spare(s) or _missing(s) for s in taken):
        acts[volume.id] = partial(dispose, core, volume.id, description=f"collect {volume.name}")
    else:
        for snapshot in taken:
            if spare(snapshot) and (retired or snapshot.transient):
                description = f"collect {snapshot.name} of {volume.name}"
                acts[snapshot.id] = partial(snapshots.delete, core, snapshot.id, description=description)
    return {key for key, act in acts.items() if await _done(core, key, act)}


async def _done(core: Core, target: UUID, act: Callable[[], Awaitable[Started]]) -> bool:
    """Make a change and tell whether it was made. After one that failed there is a rest: each attempt is a job."""
    last = Query(where=Compare("target.id", Op.EQ, target), order=(Order("created", descending=True),), limit=1)
    for job in (await core.catalog.page(Job, last)).records:
        if job.state is JobState.FAILURE and job.ended is not None and utc_now() < job.ended + _REST:
            return False
    try:
        await (await act()).result()
    except errors.GatewayError:
        return False
    return True
