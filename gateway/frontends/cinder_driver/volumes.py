"""Volumes: made, cloned, grown and deleted. Whatever is made may be asked for again and is made once."""

from __future__ import annotations

from contextlib import suppress
from uuid import UUID

from gateway.client import ClientError, native
from gateway.frontends.cinder_driver import specs
from gateway.frontends.cinder_driver.errors import Refusal
from gateway.frontends.cinder_driver.records import CinderSnapshot, CinderVolume
from gateway.frontends.cinder_driver.site import BLOCK, Site


def create(site: Site, volume: CinderVolume) -> native.Volume:
    """Make a volume and give it.

    What an earlier attempt left in another pool, or in another size, goes first:
    it is empty, because Cinder never had it.
    """
    _check_pool(site, volume)
    wanted = native.NewVolume(
        name=volume.name,
        tenant=site.tenant.name,
        pool=volume.pool,
        size=volume.size,
        kind=BLOCK,
        thick=specs.thick(volume.specs),
        labels=volume.labels,
        multi_attach=volume.multi_attach,
    )
    made = site.run(native.ensure_volume(wanted, same=volume.same))
    if (made.pool, made.size, made.kind, made.thick) != (wanted.pool, wanted.size, wanted.kind, wanted.thick):
        site.run(native.delete_volume(made.id))
        made = site.run(native.ensure_volume(wanted, same=volume.same))
    return made


def from_snapshot(site: Site, volume: CinderVolume, snapshot: CinderSnapshot) -> native.Volume:
    """Make a clone of a snapshot, as large as the volume is to be, and give it."""
    source = site.snapshot(snapshot)
    return _cloned(site, volume, source.volume, source.pool, snapshot_id=source.id)


def cloned(site: Site, volume: CinderVolume, source: CinderVolume) -> native.Volume:
    """Make a clone of a volume as it is now, as large as the volume is to be, and give it."""
    found = site.volume(source)
    return _cloned(site, volume, found.id, found.pool)


def _cloned(
    site: Site, volume: CinderVolume, source_id: str, source_pool: str, *, snapshot_id: str | None = None
) -> native.Volume:
    if volume.pool and volume.pool != source_pool:
        message = f"a volume of the pool {source_pool} is cloned within it, and not to {volume.pool}"
        raise Refusal("VolumeDriverException", message=message)
    if specs.thick(volume.specs):
        raise Refusal("VolumeDriverException", message="the type wants reserved space, which a clone does not have")
    _check_pool(site, volume)
    wanted = native.NewClone(
        name=volume.name,
        snapshot=snapshot_id,
        size=volume.size,
        labels=volume.labels,
        multi_attach=volume.multi_attach,
    )
    made = site.run(native.ensure_clone(source_id, wanted, same=volume.same))
    if made.size != volume.size or not _made_of(made, source_id, snapshot_id):
        site.run(native.delete_volume(made.id))
        made = site.run(native.ensure_clone(source_id, wanted, same=volume.same))
    return made


def extend(site: Site, volume: CinderVolume, size: int) -> None:
    """Let a volume grow; one that is as large already, or larger, stays as it is."""
    found = site.volume(volume)
    if found.size < size:
        site.run(native.change_volume(found.id, {"size": size}))


def delete(site: Site, volume: CinderVolume) -> None:
    """Delete a volume; one that is not there is no error.

    Cinder says that no host has it any more. So what a service that was stopped
    in the middle left of hosts' attachments ends, unless somebody is connected.
    """
    found = site.found(volume)
    if found is None:
        return
    try:
        site.run(native.delete_volume(found.id))
    except ClientError as error:
        if error.code != "InUse" or error.fields.get("by") != "attachments":
            raise
        for attachment in found.attachments:
            if not _host_group(attachment.node):
                site.run(native.detach(found.id, attachment.node, force=False))
        site.run(native.delete_volume(found.id))


def rename(site: Site, found: native.Volume, volume: CinderVolume) -> native.Volume:
    """Make one of the gateway's volumes Cinder's, by name and labels, and give it."""
    labels = {**found.labels, **volume.labels}
    values = {"name": volume.name, "labels": labels, "multi_attach": volume.multi_attach}
    return site.run(native.change_volume(found.id, values))


def transferred(site: Site, volume: CinderVolume, project: str) -> None:
    """Let a volume's label tell the project that it belongs to now."""
    found = site.volume(volume)
    given = CinderVolume(id=volume.id, name=volume.name, size=volume.size, project=project)
    site.run(native.change_volume(found.id, {"labels": {**found.labels, **given.labels}}))


def _made_of(made: native.Volume, source_id: str, snapshot_id: str | None) -> bool:
    """Tell whether a clone may be of a source: an earlier attempt may have had another one."""
    origin = made.origin
    return origin is None or (origin.volume == source_id and snapshot_id in {None, origin.snapshot})


def _check_pool(site: Site, volume: CinderVolume) -> None:
    """Raise Refusal when the type asks for what the pool does not have. Asks the gateway only if a type does."""
    if not specs.own(volume.specs):
        return
    for pool in site.pools():
        if pool.name == volume.pool:
            specs.required(volume.specs, pool)
            return
    raise Refusal("VolumeDriverException", message=f"the gateway offers no pool {volume.pool}")


def _host_group(node: str) -> bool:
    """Tell whether an attachment is a host group's, which another door made."""
    with suppress(ValueError):
        UUID(node)
        return True
    return False
