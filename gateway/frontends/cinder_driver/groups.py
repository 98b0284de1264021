"""Groups of volumes whose snapshots are one instant.

Cinder keeps the groups; the gateway takes the snapshots. Groups that do not
ask for one instant are left to Cinder's own way, one volume after the other.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from gateway.client import ClientError, native
from gateway.frontends.cinder_driver import snapshots, volumes
from gateway.frontends.cinder_driver.errors import Refusal, said
from gateway.frontends.cinder_driver.records import CinderSnapshot, CinderVolume
from gateway.frontends.cinder_driver.site import BLOCK, Site, abilities

LOG = logging.getLogger(__name__)

ABILITY = "snapshot_group"

Update = dict[str, Any]
"""What Cinder writes into its record of an object."""


def check_pool(site: Site, pool: str) -> None:
    """Raise Refusal unless snapshots of several volumes of a pool can be one instant."""
    for one in site.pools():
        if one.name == pool:
            if one.can(BLOCK, ABILITY):
                return
            reason = abilities(one).why_not.get(ABILITY, "the gateway does not say why")
            message = f"snapshots of several volumes of the pool {pool} are not one instant: {reason}"
            raise Refusal("VolumeDriverException", message=message)
    raise Refusal("VolumeDriverException", message=f"the gateway offers no pool {pool}")


def check_members(pool: str, members: Iterable[CinderVolume]) -> None:
    """Raise Refusal unless volumes are in the pool of their group: an instant does not reach beyond a pool."""
    strays = [member for member in members if member.pool != pool]
    if strays:
        told = ", ".join(f"{stray.id} ({stray.pool})" for stray in strays)
        message = f"a group with consistent snapshots has all of its volumes in one pool, {pool}; elsewhere: {told}"
        raise Refusal("VolumeDriverException", message=message)


def snapshot(site: Site, members: Sequence[CinderSnapshot]) -> list[Update]:
    """Take snapshots of several volumes at one instant, or give those that an earlier attempt took."""
    pools = {member.volume.pool for member in members}
    if len(pools) > 1:
        check_members(min(pools), (member.volume for member in members))
    wanted = [
        native.NewMember(volume=site.volume_id(member.volume), name=member.name, labels=member.labels)
        for member in members
    ]
    taken = site.run(native.ensure_snapshot_group(wanted))
    return [
        {"id": member.id, "provider_id": one.id, "status": "available"}
        for member, one in zip(members, taken, strict=True)
    ]


def from_snapshots(site: Site, made: Sequence[CinderVolume], sources: Sequence[CinderSnapshot]) -> list[Update]:
    """Make a volume of each snapshot of a group. When one fails, those that were made go again."""
    updates: list[Update] = []
    try:
        for volume, source in zip(made, sources, strict=True):
            found = volumes.from_snapshot(site, volume, source)
            updates.append({"id": volume.id, "provider_id": found.id, "status": "available"})
    except (ClientError, Refusal):
        for volume in made:
            _done(volume.id, partial(volumes.delete, site, volume))
        raise
    return updates


def delete_volumes(site: Site, members: Iterable[CinderVolume]) -> list[Update]:
    """Delete volumes, each as far as it goes, and tell for each how that ended."""
    return [_deleted(member.id, partial(volumes.delete, site, member)) for member in members]


def delete_snapshots(site: Site, members: Iterable[CinderSnapshot]) -> list[Update]:
    """Delete snapshots, each as far as it goes, and tell for each how that ended.

    One on which volumes depend fails like any other. Cinder's own way would
    forget it, and it would stay.
    """
    return [_deleted(member.id, partial(snapshots.delete, site, member)) for member in members]


def status(updates: Iterable[Update]) -> Update:
    """Give how the deletion of a group's members ended in all."""
    failed = any(update["status"] != "deleted" for update in updates)
    return {"status": "error_deleting" if failed else "deleted"}


def _deleted(key: str, act: Callable[[], object]) -> Update:
    return {"id": key, "status": "deleted" if _done(key, act) else "error_deleting"}


def _done(key: str, act: Callable[[], object]) -> bool:
    """Delete a member of a group; False when it stays, and the log says why."""
    try:
        act()
    except ClientError as error:
        LOG.warning("%s of a group stays: %s", key, said(error))
        return False
    except Refusal as error:
        LOG.warning("%s of a group stays: %s", key, error.text)
        return False
    return True
