"""What the gateway holds already: taken under Cinder's care, listed for that, and given back.

A reference is `source-name` or `source-id`, of the gateway's tenant. What Cinder
takes over gets the name and the labels that Cinder's own have; what it gives
back keeps its name and loses the labels.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from gateway.client import ClientError, native
from gateway.frontends.cinder_driver import specs, volumes
from gateway.frontends.cinder_driver.errors import Refusal
from gateway.frontends.cinder_driver.records import (
    LABELS,
    SNAPSHOT_LABEL,
    VOLUME_LABEL,
    CinderSnapshot,
    CinderVolume,
    gigabytes,
)
from gateway.frontends.cinder_driver.site import BLOCK, Site

NAME, ID = "source-name", "source-id"

Reference = Mapping[str, Any]
"""How an administrator names what is to be managed."""

Entry = dict[str, Any]
"""One thing that could be managed, as Cinder lists it."""


def size(site: Site, volume: CinderVolume, reference: Reference) -> int:
    """Give the size of the gateway's volume in GiB, rounded up."""
    return gigabytes(_volume(site, volume, reference).size)


def manage(site: Site, volume: CinderVolume, reference: Reference) -> native.Volume:
    """Take a volume under Cinder's care and give it as it is then. The same again gives the same."""
    found = _volume(site, volume, reference)
    owner = found.labels.get(VOLUME_LABEL)
    if owner not in {None, volume.id}:
        raise Refusal("ManageExistingAlreadyManaged", volume_ref=owner)
    if found.attachments:
        raise _wrong(reference, f"{found.name} is attached to {found.attachments[0].node}")
    if volume.pool and found.pool != volume.pool:
        raise _wrong(reference, f"{found.name} is in the pool {found.pool}, and the host given is of {volume.pool}")
    _check_type(site, volume, found)
    return volumes.rename(site, found, volume)


def unmanage(site: Site, volume: CinderVolume) -> None:
    """Give a volume back; one that is not there is no error."""
    found = site.found(volume)
    if found is not None:
        site.run(native.change_volume(found.id, {"labels": _without(found.labels)}))


def entries(site: Site, known: Iterable[CinderVolume]) -> list[Entry]:
    """Give every block volume of the backend's pools, and which of them can be managed."""
    ids, names = _by_id_and_name(known)
    return [
        _entry(volume, ids.get(volume.id) or names.get(volume.name))
        for volume in site.each(native.volumes(tenant=site.tenant.name, kind=BLOCK))
        if site.offers(volume.pool)
    ]


def snapshot_size(site: Site, snapshot: CinderSnapshot, reference: Reference) -> int:
    """Give the size in GiB, rounded up, that the volume had in a snapshot: it is what a volume made of it needs."""
    found = _snapshot(site, snapshot, reference)
    return gigabytes(found.volume_size or site.run(native.volume(found.volume)).size)


def manage_snapshot(site: Site, snapshot: CinderSnapshot, reference: Reference) -> native.Snapshot:
    """Take a snapshot of one of Cinder's volumes under Cinder's care, and give it as it is then."""
    found = _snapshot(site, snapshot, reference)
    owner = found.labels.get(SNAPSHOT_LABEL)
    if owner not in {None, snapshot.id}:
        raise Refusal("ManageExistingAlreadyManaged", volume_ref=owner)
    values = {"name": snapshot.name, "labels": {**found.labels, **snapshot.labels}}
    return site.run(native.change_snapshot(found.id, values))


def unmanage_snapshot(site: Site, snapshot: CinderSnapshot) -> None:
    """Give a snapshot back; one that is not there is no error."""
    found = site.found_snapshot(snapshot)
    if found is not None:
        site.run(native.change_snapshot(found.id, {"labels": _without(found.labels)}))


def snapshot_entries(site: Site, known: Iterable[CinderSnapshot]) -> list[Entry]:
    """Give every snapshot of the backend's block volumes, and which of them can be managed."""
    snapshots = tuple(known)
    ids = {snapshot.core_id: snapshot.id for snapshot in snapshots if snapshot.core_id}
    names = {(snapshot.volume.name, snapshot.name): snapshot.id for snapshot in snapshots}
    sources = {
        volume.id: volume
        for volume in site.each(native.volumes(tenant=site.tenant.name, kind=BLOCK))
        if site.offers(volume.pool)
    }
    return [
        _snapshot_entry(one, sources[one.volume], ids.get(one.id) or names.get((one.volume_name, one.name)))
        for one in site.each(native.snapshots(tenant=site.tenant.name))
        if one.volume in sources
    ]


def provider_ids(site: Site, known: Iterable[CinderVolume]) -> list[Entry]:
    """Give the gateway's ids of those volumes of which Cinder does not know it yet, and that are there."""
    missing = [volume for volume in known if not volume.core_id]
    found = ((volume.id, site.found(volume)) for volume in missing)
    return [{"id": key, "provider_id": volume.id} for key, volume in found if volume is not None]


def snapshot_provider_ids(site: Site, known: Iterable[CinderSnapshot]) -> list[Entry]:
    """Give the same of snapshots, and None for those that are not there: Cinder wants to hear of each."""
    missing = [snapshot for snapshot in known if not snapshot.core_id]
    found = ((snapshot.id, site.found_snapshot(snapshot)) for snapshot in missing)
    return [{"id": key, "provider_id": None if snapshot is None else snapshot.id} for key, snapshot in found]


def _volume(site: Site, volume: CinderVolume, reference: Reference) -> native.Volume:
    """Find what a reference names, or what an earlier attempt made of it; Refusal when that cannot be managed."""
    found: native.Volume | None = None
    if reference.get(ID):
        found = _or_none(site, str(reference[ID]))
    elif reference.get(NAME):
        found = site.run(native.volume_named(str(reference[NAME]), tenant=site.tenant.name))
    else:
        raise _wrong(reference, f"it has to have {NAME} or {ID}")
    if found is None:
        found = site.found(volume)
    if found is None or found.tenant != site.tenant.name or not site.offers(found.pool):
        raise _wrong(reference, "the gateway has no such volume among those of this backend")
    if found.kind != BLOCK:
        raise _wrong(reference, f"{found.name} holds files, not blocks")
    return found


def _or_none(site: Site, volume_id: str) -> native.Volume | None:
    try:
        return site.run(native.volume(str(UUID(volume_id))))
    except ValueError:
        return None  # a text that is no id could lead elsewhere
    except ClientError as error:
        if native.is_absent(error, "volume"):
            return None
        raise


def _snapshot(site: Site, snapshot: CinderSnapshot, reference: Reference) -> native.Snapshot:
    volume = site.volume(snapshot.volume)
    name, key = reference.get(NAME), reference.get(ID)
    if not (name or key):
        raise _wrong(reference, f"it has to have {NAME} or {ID}")
    for one in site.each(native.snapshots(volume=volume.id)):
        named = one.id == key if key else one.name == name
        if named or snapshot.same.items() <= one.labels.items():
            return one
    raise _wrong(reference, f"the volume {volume.name} has no such snapshot")


def _check_type(site: Site, volume: CinderVolume, found: native.Volume) -> None:
    """Raise Refusal when a volume is not what its type wants."""
    if specs.thick(volume.specs) and not found.thick:
        message = f"the type wants reserved space, which {found.name} does not have"
        raise Refusal("ManageExistingVolumeTypeMismatch", reason=message)
    if not specs.own(volume.specs):
        return
    for pool in site.pools():
        if pool.name == found.pool:
            try:
                specs.required(volume.specs, pool)
            except Refusal as error:
                raise Refusal("ManageExistingVolumeTypeMismatch", reason=error.text) from None


def _by_id_and_name(known: Iterable[CinderVolume]) -> tuple[dict[str, str], dict[str, str]]:
    volumes = tuple(known)
    ids = {volume.core_id: volume.id for volume in volumes if volume.core_id}
    return ids, {volume.name: volume.id for volume in volumes}


def _entry(volume: native.Volume, cinder_id: str | None) -> Entry:
    return {
        "reference": {NAME: volume.name},
        "size": gigabytes(volume.size),
        "cinder_id": cinder_id,
        "extra_info": {"pool": volume.pool, "id": volume.id},
        **_safety(_in_the_way(volume, cinder_id)),
    }


def _in_the_way(volume: native.Volume, cinder_id: str | None) -> str:
    if cinder_id is not None:
        return "already managed"
    if VOLUME_LABEL in volume.labels:
        return f"managed by another Cinder as {volume.labels[VOLUME_LABEL]}"
    if volume.attachments:
        return f"attached to {volume.attachments[0].node}"
    return "" if volume.state == "online" else f"its state is {volume.state}"


def _snapshot_entry(snapshot: native.Snapshot, volume: native.Volume, cinder_id: str | None) -> Entry:
    reason = ""
    if cinder_id is not None:
        reason = "already managed"
    elif SNAPSHOT_LABEL in snapshot.labels:
        reason = f"managed by another Cinder as {snapshot.labels[SNAPSHOT_LABEL]}"
    elif snapshot.state != "valid":
        reason = f"its state is {snapshot.state}"
    return {
        "reference": {NAME: snapshot.name},
        "source_reference": {NAME: volume.name},
        "size": gigabytes(snapshot.volume_size or volume.size),
        "cinder_id": cinder_id,
        "extra_info": {"pool": volume.pool, "id": snapshot.id},
        **_safety(reason),
    }


def _safety(reason: str) -> Entry:
    return {"safe_to_manage": not reason, "reason_not_safe": reason or None}


def _without(labels: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in labels.items() if key not in LABELS}


def _wrong(reference: Reference, reason: str) -> Refusal:
    return Refusal("ManageExistingInvalidReference", existing_ref=dict(reference), reason=reason)
