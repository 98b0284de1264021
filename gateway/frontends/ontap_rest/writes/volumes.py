"""Volumes: create, FlexClone, and everything that a PATCH can mean."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

import msgspec

from gateway.core import clones, errors, snapshots, volumes
from gateway.core.change import Started
from gateway.core.model import Pool, RootDirectory, Tenant, Volume, VolumeKind, VolumeState, utc_now
from gateway.frontends.ontap_rest import kept, space
from gateway.frontends.ontap_rest.ask import Ask
from gateway.frontends.ontap_rest.body import Values
from gateway.frontends.ontap_rest.errors import WireError
from gateway.frontends.ontap_rest.render.storage import permissions_to_mode
from gateway.frontends.ontap_rest.schema import Verb
from gateway.frontends.ontap_rest.writes.names import (
    default_export_policy,
    export_policy_of,
    pool_of,
    snapshot_of,
    snapshot_policy_of,
    tenant_of,
    text,
    volume_of,
)
from gateway.frontends.ontap_rest.writes.volume_moves import move, moves_away

SIZE_MIN = 20 * 1024 * 1024
"""ONTAP's smallest volume and the size of one that names none."""

_NOT_FOR_CLONES = (
    "aggregates",
    "size",
    "space.size",
    "guarantee.type",
    "nas.unix_permissions",
    "nas.uid",
    "nas.gid",
    *sorted(space.SETTINGS),
)
_FORCE = "restore_to.snapshot.force"
_RESTORE = ("restore_to.snapshot.name", "restore_to.snapshot.uuid")


async def create(ask: Ask, values: Values) -> Started:
    """Start a volume or, with `clone.is_flexclone`, a clone."""
    if values.get("clone.is_flexclone") is True:
        return await _clone(ask, values)
    for path in values:
        if path.startswith("clone.") and path != "clone.is_flexclone":
            raise WireError(400, "918247", message=f'Field "{path}" needs "clone.is_flexclone".', target=path)
    replica = _replica(values)
    tenant = await tenant_of(ask, values)
    pool = await pool_of(ask.core, values)
    held = ask.core.pools.get(pool.id).capabilities
    if VolumeKind.FILESYSTEM not in held:
        make = _create_for_lun if VolumeKind.BLOCK in held else _create_unmounted
        return await make(ask, values, tenant=tenant, pool=pool)
    policy = await export_policy_of(ask.core, values, tenant.id)
    new = volumes.NewVolume(
        name=text(values, "name") or "",
        tenant_id=tenant.id,
        pool_id=pool.id,
        size=_size(values, SIZE_MIN),
        state=VolumeState(text(values, "state") or VolumeState.ONLINE),
        thick=values.get("guarantee.type") == "volume",
        comment=text(values, "comment") or "",
        labels=_labels(values) or {},
        junction_path=text(values, "nas.path") or None,
        export_policy_id=policy or await default_export_policy(ask.core, tenant.id),
        snapshot_policy_id=await _policy(ask, values, pool=pool, tenant=tenant, kind=VolumeKind.FILESYSTEM),
        root=msgspec.structs.replace(RootDirectory(), **_root(values)),
        replica=replica,
    )
    return await volumes.create(ask.core, await _settled(ask, new, values), description=ask.description)


async def _settled(ask: Ask, new: volumes.NewVolume, values: Values) -> volumes.NewVolume:
    """Give the volume with what the body says of its space."""
    if space.SETTINGS.isdisjoint(values):
        return new
    common = {
        name: getattr(new, name) for name in ("id", "name", "tenant_id", "pool_id", "size", "kind", "annotations")
    }
    volume = Volume(created=utc_now(), **common)
    annotations = space.annotated(volume, values, ask.core.pools.get(new.pool_id).capability(new.kind))
    await space.mark(ask.core, new.id, annotations)
    return msgspec.structs.replace(new, annotations=annotations)


async def _create_for_lun(ask: Ask, values: Values, *, tenant: Tenant, pool: Pool) -> Started:
    """Start a volume in a pool that holds blocks only; `storage/luns` then says what its LUN is called."""
    _refuse_nas(values, "918701", 'aggregate "{}" holds LUNs only', pool.name)
    step = ask.core.pools.get(pool.id).capability(VolumeKind.BLOCK).facts.size_step
    new = volumes.NewVolume(
        name=text(values, "name") or "",
        tenant_id=tenant.id,
        pool_id=pool.id,
        kind=VolumeKind.BLOCK,
        size=-(-_size(values, SIZE_MIN) // step) * step,
        state=VolumeState(text(values, "state") or VolumeState.ONLINE),
        thick=values.get("guarantee.type") == "volume",
        comment=text(values, "comment") or "",
        labels=_labels(values) or {},
        snapshot_policy_id=await _policy(ask, values, pool=pool, tenant=tenant, kind=VolumeKind.BLOCK),
        annotations=dict(kept.EMPTY_FLEXVOL),
        replica=_replica(values),
    )
    return await volumes.create(ask.core, await _settled(ask, new, values), description=ask.description)


async def _create_unmounted(ask: Ask, values: Values, *, tenant: Tenant, pool: Pool) -> Started:
    """Start a volume in a pool of objects or of trees under version control, which no host mounts."""
    (kind,) = ask.core.pools.get(pool.id).capabilities
    _refuse_nas(values, "918701", 'aggregate "{}" holds nothing that a host can mount', pool.name)
    if values.get("guarantee.type") == "volume":
        message = f'Aggregate "{pool.name}" cannot reserve space: it knows no limits.'
        raise WireError(400, "918701", message=message, target="guarantee.type")
    new = volumes.NewVolume(
        name=text(values, "name") or "",
        tenant_id=tenant.id,
        pool_id=pool.id,
        kind=kind,
        size=_size(values, SIZE_MIN),
        state=VolumeState(text(values, "state") or VolumeState.ONLINE),
        comment=text(values, "comment") or "",
        labels=_labels(values) or {},
        snapshot_policy_id=await _policy(ask, values, pool=pool, tenant=tenant, kind=kind),
        replica=_replica(values),
    )
    return await volumes.create(ask.core, await _settled(ask, new, values), description=ask.description)


async def _policy(ask: Ask, values: Values, *, pool: Pool, tenant: Tenant, kind: VolumeKind) -> UUID | None:
    """Give the policy that is named, else the SVM's or usual one, or the empty one if the pool takes no snapshots."""
    able = ask.core.pools.get(pool.id).capability(kind).can("snapshot") and not _replica(values)
    named = any(values.get(f"snapshot_policy.{word}") is not None for word in ("name", "uuid"))
    if able and not named and tenant.snapshot_policy_id is not None:
        return tenant.snapshot_policy_id
    usual = "default" if able else "none"
    return await snapshot_policy_of(ask.core, values, tenant.id, fallback=usual)


def _replica(values: Values) -> bool:
    """Tell whether the volume is to be a destination of SnapMirror, which has nothing to mount or to take before."""
    kind = text(values, "type") or "rw"
    if kind == "ls":
        raise WireError(
            400,
            "918701",
            message="The specified operation on the volume endpoint is not supported on this platform. "
            "There are no load-sharing mirrors.",
            target="type",
        )
    if kind == "dp" and text(values, "nas.path"):
        message = 'Field "nas.path" cannot be set for a volume of type DP that holds nothing yet.'
        raise WireError(400, "917628", message=message, target="nas.path")
    if kind == "dp":
        _refuse_policy(values)
    return kind == "dp"


def _refuse_policy(values: Values) -> None:
    named = text(values, "snapshot_policy.name") or text(values, "snapshot_policy.uuid") or "none"
    if named != "none":
        message = "A volume of type DP takes no snapshots by a policy."
        raise WireError(400, "917617", message=message, target="snapshot_policy")


def _refuse_nas(values: Values, code: str, why: str, *words: str) -> None:
    for path, value in values.items():
        if path.startswith("nas.") and value not in (None, ""):
            message = f'The operation is not supported on this platform. Field "{path}": {why.format(*words)}.'
            raise WireError(400, code, message=message, target=path)


async def _clone(ask: Ask, values: Values) -> Started:
    for path in _NOT_FOR_CLONES:
        if values.get(path) is not None:
            raise WireError(400, "918247", message=f'Field "{path}" cannot be set for a FlexClone.', target=path)
    tenant = await tenant_of(ask, values)
    parent_tenant = tenant
    if text(values, "clone.parent_svm.name") or text(values, "clone.parent_svm.uuid"):
        parent_tenant = await tenant_of(msgspec.structs.replace(ask, tenant=None), values, "clone.parent_svm")
    if parent_tenant.id != tenant.id:
        raise WireError(
            400,
            "918247",
            message='A FlexClone must be created in the SVM of its parent; "clone.parent_svm" names another one.',
            target="clone.parent_svm",
        )
    source = await volume_of(ask.core, values, "clone.parent_volume", tenant.id)
    snapshot = await snapshot_of(
        ask.core,
        source.id,
        name=text(values, "clone.parent_snapshot.name"),
        uuid=text(values, "clone.parent_snapshot.uuid"),
        path="clone.parent_snapshot",
    )
    new = clones.NewClone(
        name=text(values, "name") or "",
        tenant_id=tenant.id,
        source_id=source.id,
        snapshot_id=snapshot.id if snapshot else None,
        comment=text(values, "comment") or "",
        labels=_labels(values) or {},
        junction_path=text(values, "nas.path") or None,
        export_policy_id=await export_policy_of(ask.core, values, tenant.id) or msgspec.UNSET,
        snapshot_policy_id=await snapshot_policy_of(ask.core, values, tenant.id, fallback=None) or msgspec.UNSET,
    )
    return await clones.create(ask.core, new, description=ask.description)


async def unmake(ask: Ask, volume: Volume, values: Values) -> Started:
    """Start undoing a create: the volume goes, and the snapshot that was taken for a clone which named none."""
    deletion = await volumes.delete(ask.core, volume.id, description=ask.description)
    named = {"clone.parent_snapshot.name", "clone.parent_snapshot.uuid"} & values.keys()
    if volume.origin is None or volume.origin.snapshot_id is None or named:
        return deletion
    await deletion.result()
    return await snapshots.delete(ask.core, volume.origin.snapshot_id, description=ask.description)


def operation(ask: Ask, values: Values) -> str:
    """Give the core's name of what a request does, by which errors are told apart."""
    if ask.verb is Verb.POST:
        return "volume.clone" if values.get("clone.is_flexclone") is True else "volume.create"
    if ask.verb is Verb.DELETE:
        return "volume.delete"
    if any(path in values or path in ask.parameters.options for path in _RESTORE):
        return "volume.restore"
    if moves_away(values):
        return "volume.move"
    return "volume.split" if "clone.split_initiated" in values else "volume.update"


def precheck(ask: Ask, values: Values) -> None:
    """Refuse a restore to nothing before any volume is looked for.

    Manila sends it to all volumes at once to learn whether restoring is
    possible at all; this code tells it so.
    """
    named = [path for path in (*_RESTORE, _FORCE) if path in values or path in ask.parameters.options]
    if named and not any(ask.parameters.options.get(path, values.get(path)) for path in _RESTORE):
        raise WireError(
            400, "1638515", message="A snapshot must be specified to restore to.", target="restore_to.snapshot.name"
        )


async def modify(ask: Ask, volume: Volume, values: Values) -> Started:
    """Start a change of a volume: restore, split, or new values."""
    restore_to = {path: ask.parameters.options.get(path, values.get(path)) for path in _RESTORE}
    given = {path for path, value in values.items() if not path.startswith("restore_to.")}
    if any(path in values or path in ask.parameters.options for path in _RESTORE):
        if given:
            raise WireError(
                400, "918251", message="No other field can be set together with a restore.", target=min(given)
            )
        return await _restore(ask, volume, restore_to)
    if "clone.split_initiated" in values:
        if len(given) > 1:
            other = min(given - {"clone.split_initiated"})
            raise WireError(400, "918248", message="No other field can be set together with a split.", target=other)
        if values["clone.split_initiated"] is not True:
            raise WireError(
                400,
                "918703",
                message="The specified volume property cannot be changed on this platform. "
                "A split is done at once and cannot be stopped.",
                target="clone.split_initiated",
            )
        return await clones.split(ask.core, volume.id, description=ask.description)
    if moves_away(values):
        return await move(ask, volume, values)
    change = await _change(ask, volume, values)
    if space.SETTINGS.isdisjoint(values):
        return await volumes.update(ask.core, volume.id, change, description=ask.description)
    sized = volume if change.size is msgspec.UNSET else msgspec.structs.replace(volume, size=change.size)
    annotations = space.annotated(sized, values, ask.core.pools.get(volume.pool_id).capability(volume.kind))
    await space.mark(ask.core, volume.id, annotations)
    change = msgspec.structs.replace(change, annotations=annotations)
    return await volumes.update(ask.core, volume.id, change, description=ask.description, annotated=volume.annotations)


async def _restore(ask: Ask, volume: Volume, restore_to: Mapping[str, object]) -> Started:
    name, uuid = (str(value) if value else None for value in restore_to.values())
    snapshot = await snapshot_of(ask.core, volume.id, name=name, uuid=uuid, path="restore_to.snapshot")
    if snapshot is None:
        raise errors.NotFound(kind="snapshot", ref="")
    return await volumes.restore(ask.core, volume.id, snapshot.id, description=ask.description, discard_newer=True)


async def _change(ask: Ask, volume: Volume, values: Values) -> volumes.VolumeChange:
    if volume.kind is VolumeKind.BLOCK:
        _refuse_nas(values, "918703", "the volume holds a LUN, not files")
    if volume.replica_of is not None:
        _refuse_policy(values)
    unset = msgspec.UNSET
    core = ask.core
    tenant_id = volume.tenant_id
    path = values.get("nas.path", unset)
    state = text(values, "state")
    change = volumes.VolumeChange(
        name=text(values, "name") or unset,
        size=_size(values, volume.size) if {"size", "space.size"} & values.keys() else unset,
        state=VolumeState(state) if state else unset,
        comment=(text(values, "comment") or "") if "comment" in values else unset,
        labels=_labels(values) if "_tags" in values else unset,
        junction_path=unset if path is unset else str(path or "") or None,
        export_policy_id=await export_policy_of(core, values, tenant_id) or unset,
        snapshot_policy_id=await _snapshot_policy(core_values=values, ask=ask, tenant_id=tenant_id),
    )
    return msgspec.structs.replace(change, **{f"root_{part}": value for part, value in _root(values).items()})


async def _snapshot_policy(*, core_values: Values, ask: Ask, tenant_id: UUID) -> UUID | msgspec.UnsetType | None:
    if not {"snapshot_policy.name", "snapshot_policy.uuid"} & core_values.keys():
        return msgspec.UNSET
    return await snapshot_policy_of(ask.core, core_values, tenant_id, fallback="none")


def _size(values: Values, default: int) -> int:
    size, space = values.get("size"), values.get("space.size")
    if size is not None and space is not None and size != space:
        raise WireError(400, "262186", message='Fields "size" and "space.size" contradict each other.', target="size")
    wanted = size if size is not None else space
    if not isinstance(wanted, int):
        return default
    if wanted < SIZE_MIN:
        raise errors.LimitExceeded(limit="size", value=wanted, minimum=SIZE_MIN)
    return wanted


def _labels(values: Values) -> dict[str, str]:
    """Read `key:value` tags; the same key with two values would lose one, so it is refused."""
    labels: dict[str, str] = {}
    tags = values.get("_tags")
    for tag in tags if isinstance(tags, list) else ():
        key, _, value = str(tag).partition(":")
        if labels.setdefault(key, value) != value:
            raise WireError(400, "262256", message=f'The tag "{key}" was given with two values.', target="_tags")
    return labels


def _root(values: Values) -> dict[str, int]:
    """Read owner and permissions; the number's decimal digits are the octal ones (755 means rwxr-xr-x)."""
    mode = values.get("nas.unix_permissions")
    owner = {part: value for part in ("uid", "gid") if isinstance(value := values.get(f"nas.{part}"), int)}
    return {"mode": permissions_to_mode(mode), **owner} if isinstance(mode, int) else owner
