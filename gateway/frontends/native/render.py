"""Records of the core as the door tells them."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.core import errors
from gateway.core.capability import FLAGS, Capability
from gateway.core.context import Core
from gateway.core.exports import access_of
from gateway.core.model import Attachment, ExportPolicy, Job, Pool, Snapshot, Tenant, Transport, Volume, VolumeKind
from gateway.core.ownership import visible
from gateway.frontends.native import model
from gateway.frontends.native.errors import told


async def volumes(core: Core, found: Sequence[Volume]) -> tuple[model.Volume, ...]:
    """Give volumes, with the names of what they belong to."""
    await core.known.renew()
    tenants = await core.known.get_many(Tenant, {volume.tenant_id for volume in found})
    pools = await core.known.get_many(Pool, {volume.pool_id for volume in found})
    used = {volume.export_policy_id for volume in found if volume.export_policy_id is not None}
    policies = await core.known.get_many(ExportPolicy, used)
    return tuple(
        _volume(
            volume,
            tenant=tenants[volume.tenant_id],
            pool=pools[volume.pool_id],
            policy=None if volume.export_policy_id is None else policies.get(volume.export_policy_id),
        )
        for volume in found
        if volume.tenant_id in tenants and volume.pool_id in pools
    )


async def volume(core: Core, found: Volume) -> model.Volume:
    """Give one; NotFound when what it belongs to is gone meanwhile."""
    for one in await volumes(core, [found]):
        return one
    raise errors.NotFound(kind="volume", ref=str(found.id))


async def snapshots(core: Core, found: Sequence[Snapshot]) -> tuple[model.Snapshot, ...]:
    """Give snapshots, with the names of what they belong to; those of volumes that are not shown are left out."""
    await core.known.renew()
    sources = await core.catalog.get_many(Volume, {snapshot.volume_id for snapshot in found})
    tenants = await core.known.get_many(Tenant, {snapshot.tenant_id for snapshot in found})
    pools = await core.known.get_many(Pool, {snapshot.pool_id for snapshot in found})
    told_of = {key for key, one in sources.items() if one.retired is None and visible(core.caller, one)}
    return tuple(
        _snapshot(
            snapshot,
            source=sources[snapshot.volume_id],
            tenant=tenants[snapshot.tenant_id],
            pool=pools[snapshot.pool_id],
        )
        for snapshot in found
        if snapshot.volume_id in told_of and snapshot.tenant_id in tenants and snapshot.pool_id in pools
    )


async def snapshot(core: Core, found: Snapshot) -> model.Snapshot:
    """Give one; NotFound when its volume is not shown any more."""
    for one in await snapshots(core, [found]):
        return one
    raise errors.NotFound(kind="snapshot", ref=str(found.id))


def pool(core: Core, found: Pool) -> model.Pool:
    """Give a pool with what it can do, as far as it is open here."""
    reason, kinds = "", {}
    try:
        opened = core.pools.get(found.id)
    except errors.Unavailable as error:
        reason = str(error.reason)
    else:
        kinds = {
            kind: _abilities(
                able,
                core.publisher.ways(found.id, kind),
                core.publisher.addresses(found.id) if kind is VolumeKind.FILESYSTEM else (),
            )
            for kind, able in opened.capabilities.items()
        }
    return model.Pool(
        id=found.id,
        name=found.name,
        driver=found.driver,
        state=found.state,
        reason=reason,
        volatile=found.volatile,
        size=found.size,
        used=found.used,
        available=found.available,
        volume_count=found.volume_count,
        kinds=kinds,
    )


def attachment(found: Attachment) -> model.Attachment:
    """Give an attachment."""
    return model.Attachment(node=found.node, transport=found.transport, mode=found.mode, lun=found.lun)


def policy(found: ExportPolicy, tenant: Tenant) -> model.ExportPolicy:
    """Give an export policy; rules that grant nothing are left out."""
    granted = [access for rule in found.rules if (access := access_of(rule)) is not None]
    rules = tuple(model.Rule(clients=access.clients, write=access.write) for access in granted)
    return model.ExportPolicy(name=found.name, tenant=tenant.name, rules=rules)


def job(found: Job) -> model.Job:
    """Give a job."""
    return model.Job(
        id=found.id,
        operation=found.operation,
        description=found.description,
        state=found.state,
        target_id=found.target_id,
        error=None if found.error is None else told(errors.from_record(found.error)),
    )


def _volume(found: Volume, *, tenant: Tenant, pool: Pool, policy: ExportPolicy | None) -> model.Volume:
    origin = found.origin
    return model.Volume(
        id=found.id,
        name=found.name,
        tenant=tenant.name,
        pool=pool.name,
        kind=found.kind,
        state=found.state,
        reason=found.reason,
        size=found.size,
        used=found.used,
        thick=found.thick,
        comment=found.comment,
        labels=found.labels,
        path=found.junction_path,
        export_policy=None if policy is None else policy.name,
        created=found.created,
        origin=None if origin is None else model.Origin(volume=origin.volume_id, snapshot=origin.snapshot_id),
        attachments=tuple(map(attachment, found.attachments)),
        multi_attach=found.multi_attach,
        snapshot_count=found.snapshot_count,
        clone_count=found.clone_count,
        revision=found.revision,
    )


def _snapshot(found: Snapshot, *, source: Volume, tenant: Tenant, pool: Pool) -> model.Snapshot:
    return model.Snapshot(
        id=found.id,
        name=found.name,
        volume=source.id,
        volume_name=source.name,
        tenant=tenant.name,
        pool=pool.name,
        created=found.created,
        state=found.state,
        comment=found.comment,
        labels=found.labels,
        volume_size=found.volume_size,
        size=found.size,
        clone_count=found.clone_count,
    )


def _abilities(able: Capability, ways: tuple[Transport, ...], addresses: tuple[str, ...]) -> model.Abilities:
    return model.Abilities(
        can=tuple(sorted([*able.operations, *filter(able.can, FLAGS)])),
        why_not=able.why_not,
        size_min=able.facts.size_min,
        size_max=able.facts.size_max,
        size_step=able.facts.size_step,
        snapshot_max=able.facts.snapshot_max,
        ways=ways,
        addresses=addresses,
    )
