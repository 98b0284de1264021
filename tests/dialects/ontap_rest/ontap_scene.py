"""Core records with every relation, for the pure tests of the ONTAP door."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeVar
from uuid import UUID

from gateway.core.model import (
    Attachment,
    ExportPolicy,
    ExportRule,
    HostGroup,
    Initiator,
    InitiatorLogin,
    LoginKind,
    Origin,
    Pool,
    RootDirectory,
    Snapshot,
    SnapshotPolicy,
    SnapshotSchedule,
    Tenant,
    Transport,
    Volume,
    VolumeKind,
    VolumeState,
)
from gateway.frontends.ontap_rest.errors import WireError
from gateway.frontends.ontap_rest.render import NodeFacts, VolumeRefs

T = TypeVar("T")


def attempt(call: Callable[[], T]) -> T | WireError:
    """Give what the call gives, or the WireError that it raises; anything else is raised on."""
    try:
        return call()
    except WireError as error:
        return error


def uid(number: int) -> UUID:
    return UUID(f"00000000-0000-4000-8000-{number:012x}")


CREATED = datetime(2022, 11, 24, 10, 23, 13, 250_000, tzinfo=UTC)
NODE = NodeFacts(id=uid(1), name="node1", software="volume-gateway 1", uptime=5)
TENANT = Tenant(id=uid(2), name="svm1", created=CREATED, comment="first")
OTHER = Tenant(id=uid(3), name="svm2", created=CREATED)
POOL = Pool(id=uid(4), name="aggr1", driver="memory", created=CREATED, size=10**9, used=10**8, available=9 * 10**8)
POLICY = ExportPolicy(
    id=uid(5),
    number=7,
    name="default",
    tenant_id=TENANT.id,
    created=CREATED,
    rules=(
        ExportRule(index=1, clients=("0.0.0.0/0", "::/0"), superuser=("sys",)),
        ExportRule(index=2, clients=("10.0.0.1",), read=("sys", "krb5"), write=("never",)),
    ),
)
SNAPSHOTS = SnapshotPolicy(
    id=uid(6),
    name="daily",
    created=CREATED,
    copies=(SnapshotSchedule(schedule="hourly", count=3, label="h"), SnapshotSchedule(schedule="daily", count=2)),
)
PARENT = Volume(
    id=uid(7),
    name="vol1",
    tenant_id=TENANT.id,
    pool_id=POOL.id,
    created=CREATED,
    size=20 << 20,
    used=5 << 20,
    comment='a "comment"',
    labels={"env": "test", "team": "a:b"},
    junction_path="/vol1",
    export_policy_id=POLICY.id,
    snapshot_policy_id=SNAPSHOTS.id,
    root=RootDirectory(mode=0o2750, uid=10, gid=20),
    snapshot_count=2,
    clone_count=1,
)
BASE = Snapshot(
    id=uid(8),
    name="s1",
    volume_id=PARENT.id,
    tenant_id=TENANT.id,
    pool_id=POOL.id,
    created=CREATED,
    label="keep",
    size=4096,
    clone_count=1,
    expires=CREATED.replace(year=2099),
)
PLAIN = Snapshot(
    id=uid(9), name="s2", volume_id=PARENT.id, tenant_id=TENANT.id, pool_id=POOL.id, created=CREATED.replace(minute=40)
)
CLONE = Volume(
    id=uid(10),
    name="clone*1",
    tenant_id=OTHER.id,
    pool_id=POOL.id,
    created=CREATED.replace(second=14, microsecond=0),
    size=10 << 30,
    thick=True,
    state=VolumeState.OFFLINE,
    origin=Origin(volume_id=PARENT.id, snapshot_id=BASE.id),
)
YOUNG = Volume(
    id=uid(11),
    name="young",
    tenant_id=TENANT.id,
    pool_id=POOL.id,
    created=CREATED.replace(second=12, microsecond=999_999),
    size=1,
    state=VolumeState.CREATING,
)

GROUP = HostGroup(
    id=uid(12),
    name="ig1",
    tenant_id=TENANT.id,
    created=CREATED,
    comment="hosts",
    initiators=(Initiator(name="iqn.1993-08.org.debian:01:a", comment="x"), Initiator(name="eui.0123456789abcdef")),
    annotations={"ontap.os_type": "linux", "ontap.protocol": "mixed"},
)
BARE_GROUP = HostGroup(id=uid(13), name="ig2", tenant_id=OTHER.id, created=CREATED)
LUN = Volume(
    id=uid(14),
    name="lv1",
    tenant_id=TENANT.id,
    pool_id=POOL.id,
    created=CREATED,
    size=1 << 30,
    used=4096,
    kind=VolumeKind.BLOCK,
    export_policy_id=POLICY.id,
    annotations={"ontap.lun": "data", "ontap.os_type": "vmware", "ontap.lun_comment": "c", "ontap.lun_reserve": "true"},
    attachments=(
        Attachment(
            id=uid(30), node=str(GROUP.id), created=CREATED, transport=Transport.ISCSI, host_group_id=GROUP.id, lun=0
        ),
        Attachment(id=uid(31), node=str(uid(5)), created=CREATED, transport=Transport.NBD),
    ),
)
OTHER_LUN = Volume(
    id=UUID("ffffffff-ffff-4000-8000-00000000000f"),
    name="vol1",
    tenant_id=OTHER.id,
    pool_id=POOL.id,
    created=CREATED,
    size=20 << 20,
    kind=VolumeKind.BLOCK,
    state=VolumeState.OFFLINE,
)
LOGIN = InitiatorLogin(
    id=uid(15),
    tenant_id=TENANT.id,
    initiator="iqn.1993-08.org.debian:01:a",
    kind=LoginKind.CHAP,
    created=CREATED,
    user="me",
    target_user="you",
)
DEFAULT_LOGIN = InitiatorLogin(
    id=uid(16), tenant_id=OTHER.id, initiator="default", kind=LoginKind.DENY, created=CREATED
)

VOLUMES: tuple[tuple[Volume, VolumeRefs], ...] = (
    (PARENT, VolumeRefs(tenant=TENANT, pool=POOL, export_policy=POLICY, snapshot_policy=SNAPSHOTS)),
    (CLONE, VolumeRefs(tenant=OTHER, pool=POOL, parent=PARENT, parent_snapshot=BASE, parent_tenant=TENANT)),
    (YOUNG, VolumeRefs(tenant=TENANT, pool=POOL)),
    (LUN, VolumeRefs(tenant=TENANT, pool=POOL, export_policy=POLICY)),
    (OTHER_LUN, VolumeRefs(tenant=OTHER, pool=POOL)),
)
