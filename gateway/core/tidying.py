"""What goes after a transfer: older common snapshots at both ends, and what the policy does not keep."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from gateway.core.context import Core
from gateway.core.model import Snapshot
from gateway.core.replicas import abandoned, common_of, needed_of, own_mark, snapshots_at
from gateway.core.replication_model import Replication, ReplicationPolicy, SnapshotChoice
from gateway.core.snapshots import remove
from gateway.core.sources import source_of


async def tidy(core: Core, replication_id: UUID, *, description: str) -> None:
    """Remove what neither the policy keeps nor the next transfer builds on; what cannot go now goes another time."""
    replication = await core.get(Replication, replication_id)
    policy = await core.get(ReplicationPolicy, replication.policy_id)
    source = source_of(core, replication)
    there = await source.snapshots()
    here = await snapshots_at(core, replication.volume_id)
    surplus = [one for one in there if one.taken_by == own_mark(replication.id)]
    surplus += await abandoned(core, there, here)
    surplus += beyond(replication, policy, here, {one.id for one in there} - {one.id for one in surplus})
    kept = {*await needed_of(core, replication.source.volume_id), *await needed_of(core, replication.volume_id)}
    common = common_of(there, here)
    kept |= {common.source.id, common.destination.id} if common is not None else set()
    going = [one for one in surplus if one.id not in kept]
    await remove(core, [one for one in going if one.volume_id == replication.volume_id], description=description)
    await source.remove([one for one in going if one.volume_id != replication.volume_id], description=description)


def beyond(
    replication: Replication, policy: ReplicationPolicy, here: Sequence[Snapshot], there: set[UUID]
) -> list[Snapshot]:
    """Give those of the destination's snapshots that replication brought and the policy does not keep.

    A rule keeps the newest ones with its label. Without a rule the base stays;
    where all are sent, those stay that the source still has.
    """
    rules = {rule.label: rule.count for rule in policy.rules}
    own = (own_mark(replication.id), f"{replication.id}/")
    brought = [one for one in here if one.lineage is not None or one.taken_by.startswith(own)]
    gone: list[Snapshot] = []
    for label, count in rules.items():
        gone += [one for one in brought if one.label == label][:-count]
    for one in brought:
        mirrored = policy.choice is SnapshotChoice.ALL and one.lineage in there
        if one.label not in rules and not mirrored:
            gone.append(one)
    return gone
