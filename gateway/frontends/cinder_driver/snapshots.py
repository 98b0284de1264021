"""Snapshots: taken, deleted, gone back to."""

from __future__ import annotations

from gateway.client import native
from gateway.frontends.cinder_driver.records import CinderSnapshot, CinderVolume
from gateway.frontends.cinder_driver.site import Site


def create(site: Site, snapshot: CinderSnapshot) -> native.Snapshot:
    """Take a snapshot, or give the one that an earlier attempt took."""
    volume_id = site.volume_id(snapshot.volume)
    return site.run(native.ensure_snapshot(volume_id, snapshot.name, same=snapshot.same, labels=snapshot.labels))


def delete(site: Site, snapshot: CinderSnapshot) -> None:
    """Delete a snapshot; one that is not there is no error."""
    found = site.found_snapshot(snapshot)
    if found is not None:
        site.run(native.delete_snapshot(found.id))


def revert(site: Site, volume: CinderVolume, snapshot: CinderSnapshot) -> None:
    """Bring a snapshot's content back in place. The size stays; snapshots of others that are newer are not touched."""
    site.run(native.restore_volume(site.volume_id(volume), site.snapshot_id(snapshot)))
