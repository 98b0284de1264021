"""LUNs: create, clone and change. A LUN is a volume of blocks, so this is about finding or making that volume."""

from __future__ import annotations

import re
from uuid import UUID

import msgspec

from gateway.core import clones, errors, snapshots, volumes
from gateway.core.assigned import may_use
from gateway.core.change import Started
from gateway.core.context import Core
from gateway.core.model import Tenant, Volume, VolumeKind, VolumeState
from gateway.core.pools import OpenPool
from gateway.frontends.ontap_rest import kept
from gateway.frontends.ontap_rest.ask import Ask
from gateway.frontends.ontap_rest.body import Values
from gateway.frontends.ontap_rest.errors import WireError, shorten
from gateway.frontends.ontap_rest.rules import LOGICAL_UNIT, VOLUME_NAME, TextRule
from gateway.frontends.ontap_rest.schema import Verb
from gateway.frontends.ontap_rest.sources_san import no_lun
from gateway.frontends.ontap_rest.writes.names import check_agree, seen, snapshot_of, tenant_of, text

_PATH = re.compile(r"/vol/([^/]*)/(.*)", re.DOTALL)
_SNAPSHOT = re.compile(r"/vol/([^/]+)/\.snapshot/([^/]+)/([^/]+)", re.DOTALL)
_FROM_SOURCE = ("os_type", "space.size")
_ALLOW = "allow_delete_while_mapped"


class Place(msgspec.Struct, frozen=True):
    """Where a LUN is or is to be: the volume's name and its own. None: not said."""

    volume: str | None
    lun: str | None


def operation(ask: Ask, values: Values) -> str:
    """Give the name of what a request does, by which errors are told apart."""
    if ask.verb is Verb.POST:
        return "lun.clone" if _source(values) else "lun.create"
    return "lun.delete" if ask.verb is Verb.DELETE else "lun.update"


async def create(ask: Ask, values: Values) -> Started:
    """Start a LUN: in an empty volume, in a new one, or as the clone of another LUN in a new one."""
    tenant = await tenant_of(ask, values)
    place, volume = await _container(ask.core, values, tenant)
    if place.volume is None:
        raise WireError(400, "5374859", message="No volume was specified for the LUN.", target="name")
    if place.lun is None:
        raise WireError(400, "5374862", message="The base name of the LUN is missing.", target="name")
    present = None if volume is None else kept.lun_name(volume)
    if present == place.lun:
        message = f'A LUN already exists at the path "/vol/{place.volume}/{place.lun}".'
        raise WireError(409, "5374242", message=message, target="name")
    if present is not None:
        raise _full(place.volume, f'LUN "{present}"')
    if _source(values):
        return await _clone(ask, values, tenant=tenant, place=place, volume=volume)
    for path in _FROM_SOURCE:
        if values.get(path) is None:
            message = f'A value is required for field "{path}" of a LUN that is no clone.'
            raise WireError(400, "5374884", message=message, target=path)
    if volume is None:
        return await _make(ask, values, tenant=tenant, place=place)
    return await _fill(ask, values, place=place, volume=volume)


async def _make(ask: Ask, values: Values, *, tenant: Tenant, place: Place) -> Started:
    """Start a new volume for a LUN where there is no doubt in which pool."""
    pools = [pool for pool in ask.core.pools if may_use(tenant, pool.id) and VolumeKind.BLOCK in pool.capabilities]
    if len(pools) != 1:
        message = (
            f'Volume "{shorten(place.volume or "")}" was not found. '
            "Create it first: there is not exactly one aggregate that can hold it."
        )
        raise WireError(404, "917927", message=message, target="name")
    pool = pools[0]
    requested = values.get("space.guarantee.requested") is True
    new = volumes.NewVolume(
        name=_usable(place.volume or "", VOLUME_NAME),
        tenant_id=tenant.id,
        pool_id=pool.id,
        size=_size(values, pool),
        kind=VolumeKind.BLOCK,
        thick=requested and pool.capability(VolumeKind.BLOCK).can("thick"),
        annotations=_annotations(values, place.lun or "", {}),
    )
    return await volumes.create(ask.core, new, description=ask.description)


async def _fill(ask: Ask, values: Values, *, place: Place, volume: Volume) -> Started:
    """Start making a volume that is there hold a LUN."""
    size = _size(values, ask.core.pools.get(volume.pool_id))
    annotations = _annotations(values, place.lun or "", volume.annotations)
    if volume.kind is VolumeKind.FILESYSTEM:
        return await volumes.convert(
            ask.core, volume.id, size=size, annotations=annotations, description=ask.description
        )
    # What is larger than asked for stays so: blocks cannot be taken from a volume.
    change = volumes.VolumeChange(annotations=annotations, size=max(size, volume.size))
    return await volumes.update(ask.core, volume.id, change, description=ask.description, annotated=volume.annotations)


async def _clone(ask: Ask, values: Values, *, tenant: Tenant, place: Place, volume: Volume | None) -> Started:
    for path in _FROM_SOURCE:
        if values.get(path) is not None:
            message = f'Field "{path}" cannot be specified when creating a LUN clone: the source decides.'
            raise WireError(400, "5374883", message=message, target=path)
    if volume is not None:
        raise _full(volume.name, "something else")
    source, snapshot = await _clone_source(ask.core, values, tenant)
    base = await snapshot_of(ask.core, source.id, name=snapshot, uuid=None, path="clone.source")
    new = clones.NewClone(
        name=_usable(place.volume or "", VOLUME_NAME),
        tenant_id=tenant.id,
        source_id=source.id,
        snapshot_id=base.id if base else None,
        annotations=_annotations(values, place.lun or "", _bare(source)),
    )
    return await clones.create(ask.core, new, description=ask.description)


async def _clone_source(core: Core, values: Values, tenant: Tenant) -> tuple[Volume, str | None]:
    """Give the volume of the LUN that is cloned, and the snapshot when the path names one."""
    name, uuid = text(values, "clone.source.name"), text(values, "clone.source.uuid")
    found = _SNAPSHOT.fullmatch(name or "")
    if found is None:
        return await lun_of(core, tenant, name=name, uuid=uuid, path="clone.source"), None
    if uuid is not None:
        message = 'Field "clone.source.uuid" is not supported for a source in a snapshot.'
        raise WireError(400, "5374899", message=message, target="clone.source.uuid")
    volume, snapshot, lun = found.groups()
    source = await lun_of(core, tenant, name=f"/vol/{volume}/{lun}", uuid=None, path="clone.source")
    return source, snapshot


async def lun_of(core: Core, tenant: Tenant, *, name: str | None, uuid: str | None, path: str) -> Volume:
    """Give the volume of the LUN that `path`.name or `path`.uuid names within an SVM."""
    volume: Volume | None = None
    if uuid is not None:
        try:
            volume = await core.catalog.get(Volume, UUID(uuid))
        except ValueError:
            volume = None
    elif name is not None and (found := _PATH.fullmatch(name)) is not None:
        volume = await core.find(Volume, name=found[1], tenant__id=tenant.id)
        volume = volume if volume is not None and kept.lun_name(volume) == found[2] else None
    volume = seen(core, volume)
    if volume is None or volume.tenant_id != tenant.id or kept.lun_name(volume) is None:
        raise no_lun(name or uuid or "", path)
    check_agree(path, agree=name is None or kept.lun_path(volume) == name)
    return volume


async def unmake(ask: Ask, volume: Volume, values: Values) -> Started:
    """Start undoing a create. A volume that was converted cannot be turned back; one that waited for a LUN waits on."""
    if volume.generation and not _source(values):
        raise errors.InvalidState(kind="volume", ref=volume.name, state="converted", action="take back")
    if kept.FLEXVOL in volume.annotations:
        change = volumes.VolumeChange(annotations=dict(kept.EMPTY_FLEXVOL))
        return await volumes.update(
            ask.core, volume.id, change, description=ask.description, annotated=volume.annotations
        )
    deletion = await volumes.delete(ask.core, volume.id, description=ask.description)
    named = _SNAPSHOT.fullmatch(text(values, "clone.source.name") or "")
    if volume.origin is None or volume.origin.snapshot_id is None or named:
        return deletion
    await deletion.result()
    return await snapshots.delete(ask.core, volume.origin.snapshot_id, description=ask.description)


async def modify(ask: Ask, volume: Volume, values: Values) -> Started:
    """Start changing a LUN: its name within the volume, its size, its texts, or whether it serves."""
    tenant = await ask.core.get(Tenant, volume.tenant_id)
    place, named = await _container(ask.core, values, tenant)
    if place.volume is not None and (named is None or named.id != volume.id):
        raise WireError(
            400,
            "262144017",
            message="The operation is not supported on this platform. A LUN stays in its volume; rename the volume.",
            target="name",
        )
    size, enabled = values.get("space.size"), values.get("enabled")
    unset = msgspec.UNSET
    change = volumes.VolumeChange(
        annotations=_annotations(values, place.lun or kept.lun_name(volume) or "", volume.annotations),
        size=_grown(volume, _size(values, ask.core.pools.get(volume.pool_id))) if size is not None else unset,
        state=(VolumeState.ONLINE if enabled else VolumeState.OFFLINE) if isinstance(enabled, bool) else unset,
    )
    return await volumes.update(ask.core, volume.id, change, description=ask.description, annotated=volume.annotations)


async def delete(ask: Ask, volume: Volume) -> Started:
    """Start deleting a LUN, and the volume with it."""
    force = ask.parameters.options.get(_ALLOW) is True
    return await volumes.delete(ask.core, volume.id, description=ask.description, with_snapshots=False, force=force)


async def _container(core: Core, values: Values, tenant: Tenant) -> tuple[Place, Volume | None]:
    """Give the place that a body names, and the volume there when there is one; it must not contradict itself."""
    named = _named(text(values, "name"))
    volume, lun = text(values, "location.volume.name"), text(values, "location.logical_unit")
    if named.volume is not None and volume is not None and named.volume != volume:
        message = 'The volume in "name" is not the one in "location.volume".'
        raise WireError(400, "5374858", message=message, target="location.volume.name")
    if named.lun is not None and lun is not None and named.lun != lun:
        message = 'The base name in "name" is not the one in "location.logical_unit".'
        raise WireError(400, "5374861", message=message, target="location.logical_unit")
    place = Place(named.volume or volume, named.lun or lun)
    found = await core.find(Volume, name=place.volume, tenant__id=tenant.id) if place.volume else None
    found = seen(core, found)
    uuid = text(values, "location.volume.uuid")
    if uuid is None:
        return place, found
    try:
        known = await core.catalog.get(Volume, UUID(uuid))
    except ValueError:
        known = None
    known = seen(core, known)
    if known is None or known.tenant_id != tenant.id:
        message = f'Volume "{shorten(uuid)}" was not found.'
        raise WireError(404, "917927", message=message, target="location.volume.uuid")
    if place.volume is not None and place.volume != known.name:
        message = 'The specified "location.volume.uuid" and the volume\'s name do not refer to the same volume.'
        raise WireError(400, "918236", message=message, target="location.volume.uuid")
    return Place(known.name, place.lun), known


def _named(name: str | None) -> Place:
    """Read a LUN's name: its path, or the base name alone."""
    if name is None:
        return Place(None, None)
    if "/" not in name:
        return Place(None, _usable(name, LOGICAL_UNIT))
    found = _PATH.fullmatch(name)
    if found is None:
        raise WireError(400, "5374352", message=f'The LUN name "{shorten(name)}" is no /vol/volume/lun.', target="name")
    if not found[1]:
        raise WireError(400, "5374859", message="No volume was specified for the LUN.", target="name")
    if found[2].startswith(".snapshot/"):
        raise WireError(400, "5374238", message="LUNs cannot be created in snapshots.", target="name")
    qtree, slash, _ = found[2].partition("/")
    if slash:
        raise WireError(404, "5242927", message=f'The qtree "{shorten(qtree)}" was not found.', target="name")
    return Place(found[1], _usable(found[2], LOGICAL_UNIT))


def _usable(name: str, rules: tuple[TextRule, ...]) -> str:
    for rule in rules:
        if rule.pattern.fullmatch(name) is None:
            message = f'Invalid value "{shorten(name)}" for field "name". {rule.message}.'
            raise WireError(400, rule.code, message=message, target="name")
    return name


def _full(volume: str, holds: str) -> WireError:
    message = (
        f'Volume "{shorten(volume)}" cannot take a LUN: a volume holds one LUN and nothing else, '
        f"and this one has {holds}. Name another volume; a clone makes its own."
    )
    return WireError(409, "5374707", message=message, target="name")


def _source(values: Values) -> bool:
    return any(values.get(f"clone.source.{part}") is not None for part in ("name", "uuid"))


def _size(values: Values, pool: OpenPool) -> int:
    """Give the size asked for, rounded up to what the pool can make."""
    wanted = values.get("space.size")
    step = pool.capability(VolumeKind.BLOCK).facts.size_step
    return -(-wanted // step) * step if isinstance(wanted, int) else 0


def _grown(volume: Volume, size: int) -> int:
    if size < volume.size:
        message = f"The size of a LUN cannot be reduced (it has {volume.size} bytes)."
        raise WireError(400, "5374892", message=message, target="space.size")
    return size


def _bare(source: Volume) -> dict[str, str]:
    """Give the annotations that a clone's LUN starts with."""
    gone = {kept.FLEXVOL, kept.COMMENT, kept.SCSI_THIN, kept.RESERVE}
    return {key: value for key, value in source.annotations.items() if key not in gone}


def _annotations(values: Values, lun: str, present: dict[str, str]) -> dict[str, str]:
    """Give a volume's annotations with a LUN's values put over the present ones."""
    found = {**present, kept.LUN: lun}
    if values.get("os_type") is not None:
        found[kept.OS_TYPE] = str(values["os_type"])
    if "comment" in values:
        found[kept.COMMENT] = text(values, "comment") or ""
    for path, key in (
        ("space.guarantee.requested", kept.RESERVE),
        ("space.scsi_thin_provisioning_support_enabled", kept.SCSI_THIN),
    ):
        value = values.get(path)
        if isinstance(value, bool):
            found[key] = kept.flag(value)
    return found
