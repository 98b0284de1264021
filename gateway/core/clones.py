"""Use cases of clones: make one from a snapshot or from a volume as it is, and split it off."""

from __future__ import annotations

import itertools
from uuid import UUID, uuid4

import msgspec

from gateway.core import errors
from gateway.core.capability import SIZE_MAX, Capability, require, require_size
from gateway.core.change import Plan, Started
from gateway.core.context import Core
from gateway.core.model import Origin, Snapshot, SnapshotSchedule, SnapshotState, Volume, VolumeState, utc_now
from gateway.core.ownership import Access, Ownership, inherited, owned
from gateway.core.replicas import require_whole
from gateway.core.snapshots import require_one_more
from gateway.core.volumes import check, name_keys, settled

_NAME_PART_MAX = 200
_INHERITED = (
    "export_policy_id",
    "snapshot_policy_id",
    "more_snapshot_policy_ids",
    "schedules",
    "multi_attach",
    "annotations",
)


class NewClone(msgspec.Struct, frozen=True, kw_only=True):
    """What a caller says about a clone.

    `snapshot_id` None: a snapshot of the source is taken for it. That one stays
    until somebody deletes it, or (`transient_base`) goes with its last clone.
    `size` None: the source's, in bytes; a clone may be larger, and is never
    smaller than the source was when the snapshot was taken.
    `ownership` as in `NewVolume`; unset: see `gateway.core.ownership.inherited`.
    """

    name: str
    tenant_id: UUID
    source_id: UUID
    snapshot_id: UUID | None = None
    transient_base: bool = False
    size: int | None = None
    comment: str = ""
    labels: dict[str, str] = {}
    junction_path: str | None = None
    export_policy_id: UUID | msgspec.UnsetType | None = msgspec.UNSET
    snapshot_policy_id: UUID | msgspec.UnsetType | None = msgspec.UNSET
    more_snapshot_policy_ids: tuple[UUID, ...] | msgspec.UnsetType = msgspec.UNSET
    schedules: tuple[SnapshotSchedule, ...] | msgspec.UnsetType = msgspec.UNSET
    multi_attach: bool | msgspec.UnsetType = msgspec.UNSET
    annotations: dict[str, str] | msgspec.UnsetType = msgspec.UNSET
    ownership: Ownership | msgspec.UnsetType | None = msgspec.UNSET


async def create(core: Core, new: NewClone, *, description: str, caseless: bool = False) -> Started:
    """Start cloning. The clone has its source's pool, kind and, where not given, size, policies and annotations.

    A source that is offline or retired can be cloned from a snapshot.
    `caseless`: as for `volumes.create`.
    """
    clone_id, snapshot_id, now = uuid4(), uuid4(), utc_now()

    async def plan() -> Plan:
        source = await settled(core, new.source_id, access=Access.READ, retired_too=new.snapshot_id is not None)
        if source.tenant_id != new.tenant_id:
            raise errors.NotFound(kind="volume", ref=str(new.source_id))
        capability = core.pools.get(source.pool_id).capability(source.kind)
        require(capability, "clone")
        base, made = await _base(core, new, source, snapshot_id)
        size = _size(new, source, base, capability)
        clone = msgspec.structs.replace(
            source,
            id=clone_id,
            name=new.name,
            created=now,
            size=size,
            state=VolumeState.ONLINE,
            replica_of=None,
            comment=new.comment,
            labels=new.labels,
            junction_path=new.junction_path,
            origin=Origin(volume_id=source.id, snapshot_id=base.id),
            attachments=(),
            retired=None,
            mounts=(),
            ownership=_ownership(core, new, source),
            snapshot_count=0,
            clone_count=0,
            generation=0,
            thick=False,
            revision=0,
            **{name: value for name in _INHERITED if (value := getattr(new, name)) is not msgspec.UNSET},
        )
        await check(core, clone, caseless=caseless)
        return Plan(
            operation="volume.clone",
            description=description,
            pool_id=source.pool_id,
            after=clone,
            snapshot_before=None if made else base,
            also=(base,) if made else (),
        )

    return await core.start({clone_id, new.source_id, *name_keys(new.tenant_id, new.name, caseless=caseless)}, plan)


async def split(core: Core, volume_id: UUID, *, description: str) -> Started:
    """Start making a clone independent of its source. InvalidState when it is no clone."""
    volume = await core.get(Volume, volume_id)
    keys = {volume_id} | ({volume.origin.volume_id} if volume.origin else set())

    async def plan() -> Plan:
        before = await settled(core, volume_id)
        if before.origin is None:
            raise errors.InvalidState(kind="volume", ref=before.name, state="not a clone", action="split")
        require(core.pools.get(before.pool_id).capability(before.kind), "split")
        return Plan(
            operation="volume.split",
            description=description,
            pool_id=before.pool_id,
            before=before,
            after=msgspec.structs.replace(before, origin=None),
        )

    return await core.start(keys, plan)


def _size(new: NewClone, source: Volume, base: Snapshot, capability: Capability) -> int:
    """Give the size of a clone; LimitExceeded when it cannot be had."""
    size = source.size if new.size is None else new.size
    if size != source.size:
        require_size(capability, size)
    least = min(source.size, base.volume_size or source.size)
    if size < least:
        most = SIZE_MAX if capability.facts.size_max is None else capability.facts.size_max
        raise errors.LimitExceeded(limit="size", value=size, minimum=least, maximum=most)
    return size


def _ownership(core: Core, new: NewClone, source: Volume) -> Ownership | None:
    if new.ownership is msgspec.UNSET:
        return inherited(core.caller, source.ownership)
    return owned(core.caller, new.ownership)


async def _base(core: Core, new: NewClone, source: Volume, snapshot_id: UUID) -> tuple[Snapshot, bool]:
    if new.snapshot_id is None:
        if source.state is not VolumeState.ONLINE:
            raise errors.InvalidState(kind="volume", ref=source.name, state=source.state, action="clone")
        await require_whole(core, source, action="clone")
        require_one_more(core, source)
        now = utc_now()
        made = Snapshot(
            id=snapshot_id,
            name=await _free_name(core, source, f"clone_{_cut(new.name)}.{now:%Y-%m-%d_%H%M%S}"),
            volume_id=source.id,
            tenant_id=source.tenant_id,
            pool_id=source.pool_id,
            created=now,
            internal=True,
            transient=new.transient_base,
            volume_size=source.size,
        )
        return made, True
    base = await core.get(Snapshot, new.snapshot_id)
    if base.volume_id != source.id:
        raise errors.NotFound(kind="snapshot", ref=str(new.snapshot_id))
    if base.state is not SnapshotState.VALID:
        raise errors.InvalidState(kind="snapshot", ref=base.name, state=base.state, action="clone")
    return base, False


async def _free_name(core: Core, source: Volume, stem: str) -> str:
    """Number a name, because the snapshot of an earlier clone of the same name may have stayed."""
    for number in itertools.count():
        name = f"{stem}.{number}"
        if await core.find(Snapshot, volume__id=source.id, name=name) is None:
            return name
    raise AssertionError


def _cut(name: str) -> str:
    return name.encode()[:_NAME_PART_MAX].decode(errors="ignore")
