"""What goes after a transfer: older common snapshots at both ends, and what the policy does not keep."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from uuid import UUID

from gateway.core import errors, snapshots
from gateway.core.context import Core
from gateway.core.model import Snapshot, SnapshotState, utc_now
from gateway.core.replicas import abandoned, needed_of, newest_common, own_mark, snapshots_at
from gateway.core.replication_model import Replication, ReplicationPolicy, SnapshotChoice


async def tidy(core: Core, replication_id: UUID, *, description: str) -> None:
    """Remove what neither the policy keeps nor the next transfer builds on; what cannot go now goes another time."""
    replication = await core.get(Replication, replication_id)
    policy = await core.get(ReplicationPolicy, replication.policy_id)
    there = await snapshots_at(core, replication.source.volume_id)
    here = await snapshots_at(core, replication.volume_id)
    surplus = [one for one in there if one.taken_by == own_mark(replication)]
    surplus += await abandoned(core, there, here)
    surplus += beyond(replication, policy, here, {one.id for one in there} - {one.id for one in surplus})
    kept = {*await needed_of(core, replication.source.volume_id), *await needed_of(core, replication.volume_id)}
    common = await newest_common(core, replication)
    kept |= {common.source.id, common.destination.id} if common is not None else set()
    await remove(core, [one for one in surplus if one.id not in kept], description=description)


def beyond(
    replication: Replication, policy: ReplicationPolicy, here: Sequence[Snapshot], there: set[UUID]
) -> list[Snapshot]:
    """Give those of the destination's snapshots that replication brought and the policy does not keep.

    A rule keeps the newest ones with its label. Without a rule the base stays;
    where all are sent, those stay that the source still has.
    """
    rules = {rule.label: rule.count for rule in policy.rules}
    own = (own_mark(replication), f"{replication.id}/")
    brought = [one for one in here if one.lineage is not None or one.taken_by.startswith(own)]
    gone: list[Snapshot] = []
    for label, count in rules.items():
        gone += [one for one in brought if one.label == label][:-count]
    for one in brought:
        mirrored = policy.choice is SnapshotChoice.ALL and one.lineage in there
        if one.label not in rules and not mirrored:
            gone.append(one)
    return gone


async def remove(core: Core, surplus: Sequence[Snapshot], *, description: str) -> None:
    """Delete snapshots, but for those with a clone or an expiry, and those that are out of reach."""
    for snapshot in surplus:
        expired = snapshot.expires is None or snapshot.expires <= utc_now()
        settled = snapshot.state in {SnapshotState.VALID, SnapshotState.ERROR}
        if settled and expired and not snapshot.clone_count:
            with suppress(errors.NotFound, errors.InUse, errors.InvalidState, errors.Unavailable):
                await (await snapshots.delete(core, snapshot.id, description=description)).result()
