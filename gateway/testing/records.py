"""Small records for tests of catalogs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from uuid import UUID, uuid4

import msgspec

from gateway.core.catalog import Catalog, put
from gateway.core.model import (
    AccessRole,
    Attachment,
    Document,
    ExportPolicy,
    HostGroup,
    Initiator,
    InitiatorLogin,
    Intent,
    Job,
    JobState,
    LoginKind,
    Mount,
    Pool,
    Record,
    RoleRule,
    Schedule,
    Snapshot,
    SnapshotPolicy,
    SnapshotSchedule,
    Tenant,
    Transport,
    Volume,
)
from gateway.core.ownership import Access, Ownership
from gateway.core.recurrence import Cron
from gateway.core.replication_model import (
    Replication,
    ReplicationPolicy,
    ReplicationRule,
    ReplicationSource,
    Transfer,
    TransferKind,
    TransferState,
)

MakeCatalog = Callable[[], Awaitable[Catalog]]

CREATED = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


def tenant(name: str = "svm1") -> Tenant:
    """Give a new tenant."""
    return Tenant(id=uuid4(), name=name, created=CREATED)


def pool(name: str = "pool1") -> Pool:
    """Give a new pool."""
    return Pool(id=uuid4(), name=name, driver="memory", created=CREATED)


def volume(name: str, *, tenant_id: UUID | None = None, pool_id: UUID | None = None, size: int = 1 << 30) -> Volume:
    """Give a new volume."""
    return Volume(
        id=uuid4(),
        name=name,
        tenant_id=tenant_id or UUID(int=1),
        pool_id=pool_id or UUID(int=2),
        created=CREATED,
        size=size,
    )


def snapshot(name: str, of: Volume) -> Snapshot:
    """Give a new snapshot."""
    return Snapshot(id=uuid4(), name=name, volume_id=of.id, tenant_id=of.tenant_id, pool_id=of.pool_id, created=CREATED)


def attachment(node: str = "node1", lun: int | None = 0) -> Attachment:
    """Give a new attachment."""
    return Attachment(id=uuid4(), node=node, created=CREATED, transport=Transport.ISCSI, lun=lun)


def attachment_of_files(node: str) -> Attachment:
    """Give a new attachment over NFS."""
    return Attachment(
        id=uuid4(),
        node=node,
        created=CREATED,
        transport=Transport.NFS,
        clients=("192.0.2.1", "2001:db8::1"),
        device="/dev/xvdb",
    )


def mount(path: str = "/mnt/volume", node: str = "node1") -> Mount:
    """Give a new mount."""
    return Mount(id=uuid4(), node=node, path=path, created=CREATED, options={"noatime": ""}, users=("", "user1"))


def replication_policy(name: str = "mirror") -> ReplicationPolicy:
    """Give a new policy of replications."""
    rule = ReplicationRule(label="daily", count=7, prefix="d", schedule="nightly")
    return ReplicationPolicy(id=uuid4(), name=name, created=CREATED, rules=(rule,), schedule="hourly")


def replication(source: Volume, destination: Volume, policy: ReplicationPolicy) -> Replication:
    """Give a new replication of one volume into another."""
    return Replication(
        id=uuid4(),
        tenant_id=destination.tenant_id,
        volume_id=destination.id,
        source=ReplicationSource(volume_id=source.id, tenant="svm1", volume=source.name, peer_id=uuid4()),
        policy_id=policy.id,
        created=CREATED,
        schedule="hourly",
        base_id=uuid4(),
        base_created=CREATED,
        transfer_id=uuid4(),
    )


def transfer(of: Replication) -> Transfer:
    """Give a new transfer of a replication."""
    return Transfer(
        id=uuid4(),
        replication_id=of.id,
        volume_id=of.volume_id,
        kind=TransferKind.UPDATE,
        state=TransferState.SUCCESS,
        created=CREATED,
        ended=CREATED,
        owner="nobody",
    )


def job(owner: str, state: JobState = JobState.RUNNING) -> Job:
    """Give a new job."""
    return Job(id=uuid4(), operation="volume.create", description="", state=state, created=CREATED, owner=owner)


def intent(owner: str, *keys: UUID, operation: str = "volume.create", job_id: UUID | None = None) -> Intent:
    """Give a new intent."""
    return Intent(
        id=uuid4(),
        operation=operation,
        owner=owner,
        job_id=job_id or uuid4(),
        pool_id=UUID(int=2),
        keys=keys,
        created=CREATED,
    )


async def stored(catalog: Catalog, *records: Record) -> list[Record]:
    """Put the records together and give them as stored."""
    written = await catalog.commit(put(*records))
    return [written[record.id] for record in records]


def one_of_each() -> list[Record]:
    """Give a record of every kind with its optional parts set."""
    home, place = tenant(), pool()
    base = msgspec.structs.replace(
        volume("base", tenant_id=home.id, pool_id=place.id), labels={"a": "1", "b": ""}, junction_path="/base"
    )
    line = SnapshotSchedule(schedule="nightly", count=2, prefix="n", label="l")
    base = msgspec.structs.replace(
        base,
        attachments=(attachment("node1"), attachment("node2", 7), attachment_of_files("node3")),
        mounts=(mount(),),
        snapshot_policy_id=uuid4(),
        more_snapshot_policy_ids=(uuid4(), uuid4()),
        schedules=(line,),
        ownership=Ownership(owner="alice", groups={"users": Access.WRITE}, collaborators={"bob": Access.READ}),
        replica_of=uuid4(),
    )
    mirroring = replication_policy()
    mirror = replication(volume("far"), base, mirroring)
    return [
        home,
        place,
        base,
        msgspec.structs.replace(
            snapshot("hourly", base),
            taken_by=f"{base.id}/nightly",
            due=CREATED,
            label="l",
            labels={"a": "1"},
            lineage=uuid4(),
        ),
        ExportPolicy(id=uuid4(), number=1, name="default", tenant_id=home.id, created=CREATED),
        SnapshotPolicy(id=uuid4(), name="none", created=CREATED, copies=(line,)),
        Schedule(id=uuid4(), name="nightly", recurrence=Cron((0, 30), (1,)), created=CREATED),
        HostGroup(
            id=uuid4(), name="hosts", tenant_id=home.id, created=CREATED, initiators=(Initiator(name="iqn.1993-08:a"),)
        ),
        InitiatorLogin(
            id=uuid4(), tenant_id=home.id, initiator="iqn.1993-08:a", kind=LoginKind.CHAP, created=CREATED, user="u"
        ),
        AccessRole(
            id=uuid4(), name="viewer", created=CREATED, rules=(RoleRule(services=("volume",), apis=("inspect*",)),)
        ),
        Document(id=uuid4(), kind="door.thing", name="one", created=CREATED, body="{}"),
        mirroring,
        mirror,
        transfer(mirror),
        job("nobody"),
        intent("nobody", base.id),
    ]
