"""Relationships with everything they refer to, for the pure tests of the ONTAP door."""

from __future__ import annotations

from datetime import timedelta

from ontap_scene import BASE, CREATED, OTHER, PARENT, POOL, TENANT, uid

from gateway.core import errors
from gateway.core.model import Schedule, Snapshot, Volume
from gateway.core.recurrence import Cron
from gateway.core.replication_model import (
    Replication,
    ReplicationPolicy,
    ReplicationRule,
    ReplicationSource,
    ReplicationState,
    SnapshotChoice,
    Transfer,
    TransferKind,
    TransferState,
)
from gateway.frontends.ontap_rest.render import Ends, MirrorRefs

DAILY = Schedule(id=uid(50), name="daily", created=CREATED, recurrence=Cron((10,), (0,)))
SHARED = ReplicationPolicy(
    id=uid(51),
    name="Asynchronous",
    created=CREATED,
    comment="of all",
    rules=(ReplicationRule(label="sm_created", count=1),),
    builtin=True,
)
VAULT = ReplicationPolicy(
    id=uid(52),
    name="vault",
    created=CREATED,
    tenant_id=OTHER.id,
    rules=(ReplicationRule(label="day", count=7, prefix="d", schedule="daily"), ReplicationRule(label="w", count=2)),
    schedule="daily",
    throttle=1_000_000,
    choice=SnapshotChoice.ALL,
)
MIRROR = Volume(
    id=uid(53),
    name="vol1_dst",
    tenant_id=OTHER.id,
    pool_id=POOL.id,
    created=CREATED,
    size=PARENT.size,
    replica_of=uid(54),
)
COPY = Snapshot(
    id=uid(55),
    name=BASE.name,
    volume_id=MIRROR.id,
    tenant_id=OTHER.id,
    pool_id=POOL.id,
    created=CREATED,
    lineage=BASE.id,
)
RUNNING = Transfer(
    id=uid(56),
    replication_id=uid(54),
    volume_id=MIRROR.id,
    kind=TransferKind.UPDATE,
    state=TransferState.TRANSFERRING,
    created=CREATED,
    snapshot_id=BASE.id,
    bytes_transferred=4096,
    throttle=2048,
)
FAILED = Transfer(
    id=uid(57),
    replication_id=uid(58),
    volume_id=PARENT.id,
    kind=TransferKind.INITIALIZE,
    state=TransferState.FAILED,
    created=CREATED,
    ended=CREATED + timedelta(seconds=3661),
    error=errors.OutOfSpace(pool="aggr1", wanted=2, free=1).to_record(),
)
MIRRORED = Replication(
    id=uid(54),
    tenant_id=OTHER.id,
    volume_id=MIRROR.id,
    source=ReplicationSource(volume_id=PARENT.id, tenant="old", volume="older"),
    policy_id=SHARED.id,
    created=CREATED,
    state=ReplicationState.MIRRORED,
    schedule="daily",
    throttle=1025,
    base_id=COPY.id,
    base_created=CREATED,
    transfer_id=RUNNING.id,
    total_bytes=1 << 40,
    total_duration_s=90_000,
)
AILING = Replication(
    id=uid(58),
    tenant_id=TENANT.id,
    volume_id=PARENT.id,
    source=ReplicationSource(volume_id=uid(59), tenant="far", volume="gone"),
    policy_id=VAULT.id,
    created=CREATED,
    healthy=False,
    reason="no room",
    transfer_id=FAILED.id,
)
RELATIONSHIPS: tuple[tuple[Replication, MirrorRefs], ...] = (
    (
        MIRRORED,
        MirrorRefs(
            ends=Ends(source_tenant=TENANT, source_volume=PARENT, tenant=OTHER, volume=MIRROR),
            policy=SHARED,
            base=COPY,
            transfer=RUNNING,
            schedules={"daily": DAILY},
        ),
    ),
    (
        AILING,
        MirrorRefs(
            ends=Ends(source_tenant=None, source_volume=None, tenant=TENANT, volume=PARENT),
            policy=VAULT,
            transfer=FAILED,
        ),
    ),
)
NOW = CREATED + timedelta(days=2, hours=3, seconds=5)
