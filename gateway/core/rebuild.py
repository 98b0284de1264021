"""Makes a new catalog from what the substrates hold. Reports what it could not place."""

from __future__ import annotations

from uuid import UUID

import msgspec

from gateway.core import errors, replication_policies
from gateway.core.catalog import put
from gateway.core.context import Core, word
from gateway.core.manifest import CLUSTER_ID
from gateway.core.model import (
    AccessRole,
    Document,
    ExportPolicy,
    HostGroup,
    InitiatorLogin,
    LoginKind,
    Pool,
    Schedule,
    SnapshotPolicy,
    Tenant,
)
from gateway.core.notes import Manifest, read_manifest
from gateway.core.observer import Observer
from gateway.core.reconcile import Finding, Reconciler
from gateway.core.replication_model import Replication, ReplicationPolicy

Shared = (
    Tenant
    | ExportPolicy
    | SnapshotPolicy
    | Schedule
    | HostGroup
    | InitiatorLogin
    | AccessRole
    | Document
    | ReplicationPolicy
    | Replication
)


async def rebuild(core: Core, observer: Observer) -> list[Finding]:
    """Fill an empty catalog: tenants and policies from the pools' manifests, then volumes, snapshots and clones.

    The pools must be open. Of two pools' copies of one tenant or policy the
    one with the higher revision wins.
    """
    findings: list[Finding] = []
    newest: dict[UUID, Shared] = {}
    for pool in core.pools:
        document = await pool.backend.manifest()
        manifest = read_manifest(document) if document else None
        if manifest is None:
            findings.append(Finding(did="flagged", kind="pool", ref=pool.name, why="has no readable manifest"))
            continue
        await _identity(core, manifest)
        await _since(core, pool.id, manifest)
        held: tuple[Shared, ...] = (
            *manifest.tenants,
            *manifest.export_policies,
            *manifest.schedules,
            *manifest.snapshot_policies,
            *manifest.host_groups,
            *manifest.initiator_logins,
            *manifest.access_roles,
            *manifest.documents,
            *manifest.replication_policies,
            *manifest.replications,
        )
        for record in held:
            known = newest.get(record.id)
            if known is None or known.revision < record.revision:
                newest[record.id] = record
    findings += await _store(core, tuple(newest.values()))
    for pool in core.pools:
        findings += await Reconciler(core, pool, observer).run()
    await core.manifest.write()
    return findings


async def _identity(core: Core, manifest: Manifest) -> None:
    if manifest.cluster_id and await core.catalog.setting(CLUSTER_ID) is None:
        await core.catalog.put_setting(CLUSTER_ID, manifest.cluster_id)


async def _since(core: Core, pool_id: UUID, manifest: Manifest) -> None:
    record = await core.get(Pool, pool_id)
    since = manifest.pools_since.get(str(pool_id), record.created)
    if since != record.created:
        await core.catalog.commit(put(msgspec.structs.replace(record, created=since)))


async def _store(core: Core, records: tuple[Shared, ...]) -> list[Finding]:
    """Store each by itself: pools of two gateways may bring two tenants, or numbers of policies, that are the same."""
    findings: list[Finding] = []
    same: dict[UUID, UUID] = {}
    for record in records:
        known = record
        if isinstance(record, Replication) and record.policy_id in same:
            known = msgspec.structs.replace(record, policy_id=same[record.policy_id])
        try:
            await core.catalog.commit(put(msgspec.structs.replace(known, revision=0)))
        except errors.AlreadyExists as error:
            if isinstance(record, ReplicationPolicy):
                there = await replication_policies.named(core, record.name, tenant_id=record.tenant_id)
                same[record.id] = there.id
            why = f"its {error.field} is taken by another one"
            findings.append(Finding(did="flagged", kind=word(type(record)), ref=_named(record), why=why))
        if isinstance(record, InitiatorLogin) and record.kind is LoginKind.CHAP:
            why = "its password is kept nowhere but in the lost catalog: set it again"
            findings.append(Finding(did="flagged", kind=word(type(record)), ref=_named(record), why=why))
    if records:
        await core.catalog.put_setting("defaults_made", "1")
    numbers = [record.number for record in records if isinstance(record, ExportPolicy)]
    while numbers and await core.catalog.next_number("export_policy") < max(numbers):
        pass
    return findings


def _named(record: Shared) -> str:
    if isinstance(record, Replication):
        return str(record.id)
    return record.initiator if isinstance(record, InitiatorLogin) else record.name
