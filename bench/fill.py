"""A catalog with as many volumes as wanted, written without a substrate.

The volumes belong to a pool that is in the catalog and in no configuration, as
if its substrate did not answer: so the gateway serves them and compares them
with nothing.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import msgspec

from gateway.catalog import SqliteCatalog
from gateway.core.catalog import Catalog, put
from gateway.core.model import ExportPolicy, Pool, Record, Snapshot, SnapshotPolicy, Tenant, Volume, utc_now
from gateway.core.query import Query
from gateway.testing.live import LiveGateway

_BATCH = 5_000
_CREATED = datetime(2026, 1, 1, tzinfo=UTC)
_POOL = UUID(int=0xB0)
LABELLED = 10
"""How many volumes have one label in common, and as many snapshots."""


def volume_id(number: int) -> UUID:
    """Give the id of a filled volume: the same in every run, and spread over the index like a random one."""
    return UUID(int=random.Random(number).getrandbits(128), version=4)


def name_of(number: int) -> str:
    """Give the name of a filled volume."""
    return f"vol_{number:07}"


def rack_of(number: int) -> str:
    """Give the value of the label `rack` that a labelled volume has, and its snapshot."""
    return f"r{number // LABELLED:06}"


def prepare(gateway: LiveGateway, count: int, *, annotations: Mapping[str, str] | None = None) -> None:
    """Let the gateway make its catalog, then add that many volumes while it is stopped.

    With `annotations` they look as if another door had made them: with these,
    a label, and a snapshot each.
    """
    gateway.start()
    gateway.stop()
    asyncio.run(_fill(gateway.data / "catalog.sqlite", count, annotations))


async def _fill(path: Path, count: int, annotations: Mapping[str, str] | None) -> None:
    catalog = SqliteCatalog(path)
    await catalog.open()
    try:
        first = Pool(id=_POOL, name="archive", driver="memory", created=utc_now(), size=1 << 50, available=1 << 49)
        await catalog.commit(put(first))
        tenant, export = await _one(catalog, Tenant), await _one(catalog, ExportPolicy)
        policy = await _one(catalog, SnapshotPolicy)
        pending = enumerate(_volumes(count, tenant, export, policy))
        while batch := list(itertools.islice(pending, _BATCH)):
            if annotations is None:
                await catalog.commit(put(*[volume for _, volume in batch]))
            else:
                made = [_labelled(number, volume, annotations) for number, volume in batch]
                await catalog.commit(put(*itertools.chain(*made)))
    finally:
        await catalog.close()


async def _one(catalog: Catalog, kind: type[Record]) -> Record:
    return (await catalog.page(kind, Query(limit=1))).records[0]


def _volumes(count: int, tenant: Record, export: Record, policy: Record) -> Iterator[Volume]:
    model = Volume(
        id=_POOL,
        name="",
        tenant_id=tenant.id,
        pool_id=_POOL,
        created=_CREATED,
        size=1 << 34,
        used=1 << 28,
        comment="filled by the benchmark",
        export_policy_id=export.id,
        snapshot_policy_id=policy.id,
    )
    for number in range(count):
        yield msgspec.structs.replace(
            model, id=volume_id(number), name=name_of(number), created=_CREATED + timedelta(seconds=number)
        )


def _labelled(number: int, volume: Volume, annotations: Mapping[str, str]) -> tuple[Volume, Snapshot]:
    labels = {"rack": rack_of(number)}
    snapshot = Snapshot(
        id=UUID(int=volume.id.int ^ 1),
        name=f"snap_{number:07}",
        volume_id=volume.id,
        tenant_id=volume.tenant_id,
        pool_id=volume.pool_id,
        created=volume.created,
        size=volume.used,
        labels=labels,
    )
    whole = msgspec.structs.replace(
        volume, labels=labels, annotations=dict(annotations), snapshot_policy_id=None, snapshot_count=1
    )
    return whole, snapshot
