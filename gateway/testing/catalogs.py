"""The conformance suite of catalogs: what every implementation must show.

    class TestMine(CatalogConformance):
        @pytest.fixture
        async def make_catalog(self) -> AsyncIterator[MakeCatalog]:
            ...  # yield a factory, then close what it made

`make_catalog` opens another handle on the same, at first empty, store each
time, as another process would.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID, uuid4

import msgspec
import pytest

from gateway.core.catalog import Batch, drop, put
from gateway.core.errors import AlreadyExists, Conflict, GatewayError, InvalidArgument, StaleRevision
from gateway.core.model import ExportPolicy, Intent, Job, JobState, Record, Schedule, SnapshotPolicy, Volume
from gateway.core.query import ALL, Compare, Op, Query
from gateway.core.recurrence import Periodic
from gateway.testing.query_cases import QueryCases
from gateway.testing.records import (
    CREATED,
    MakeCatalog,
    intent,
    job,
    one_of_each,
    pool,
    replication,
    replication_policy,
    snapshot,
    stored,
    tenant,
    volume,
)

_BASE = volume("base")
_CLASHES: Sequence[tuple[Record, Record, str]] = [
    (tenant("x"), tenant("x"), "name"),
    (pool("x"), pool("x"), "name"),
    (volume("x"), volume("x"), "name"),
    (
        msgspec.structs.replace(volume("a"), junction_path="/Data/é"),
        msgspec.structs.replace(volume("b", tenant_id=uuid4()), junction_path="/dATA/É"),
        "junction_path",
    ),
    (snapshot("x", _BASE), snapshot("x", _BASE), "name"),
    (
        ExportPolicy(id=uuid4(), number=1, name="x", tenant_id=UUID(int=1), created=CREATED),
        ExportPolicy(id=uuid4(), number=2, name="x", tenant_id=UUID(int=1), created=CREATED),
        "name",
    ),
    (
        ExportPolicy(id=uuid4(), number=1, name="x", tenant_id=UUID(int=1), created=CREATED),
        ExportPolicy(id=uuid4(), number=1, name="y", tenant_id=UUID(int=1), created=CREATED),
        "number",
    ),
    (
        SnapshotPolicy(id=uuid4(), name="x", created=CREATED),
        SnapshotPolicy(id=uuid4(), name="x", created=CREATED),
        "name",
    ),
    (
        SnapshotPolicy(id=uuid4(), name="x", created=CREATED, tenant_id=UUID(int=1)),
        SnapshotPolicy(id=uuid4(), name="x", created=CREATED, tenant_id=UUID(int=1)),
        "name",
    ),
    (
        Schedule(id=uuid4(), name="x", recurrence=Periodic(60), created=CREATED),
        Schedule(id=uuid4(), name="x", recurrence=Periodic(90), created=CREATED),
        "name",
    ),
    (replication_policy("x"), replication_policy("x"), "name"),
    (
        replication(volume("a"), _BASE, replication_policy()),
        replication(volume("b"), _BASE, replication_policy()),
        "volume_id",
    ),
    (_BASE, msgspec.structs.replace(_BASE, name="b"), "id"),
]


class RecordCases:
    """Records one by one: what was put comes back, revisions move, names are unique."""

    async def test_every_kind_comes_back(self, make_catalog: MakeCatalog) -> None:
        """What was put is what another handle reads, with its revision."""
        catalog, other = await make_catalog(), await make_catalog()
        for record in await stored(catalog, *one_of_each()):
            assert record.revision > 0
            assert await other.get(type(record), record.id) == record
            assert await other.get_many(type(record), [uuid4(), record.id]) == {record.id: record}
            assert await other.count(type(record), ALL) == 1

    async def test_nothing_is_not_an_error(self, make_catalog: MakeCatalog) -> None:
        """An unknown id, an empty batch and a page of nothing are answers."""
        catalog = await make_catalog()
        assert await catalog.get(Volume, uuid4()) is None
        assert await catalog.get_many(Volume, []) == {}
        assert await catalog.commit(Batch()) == {}
        page = await catalog.page(Volume, Query())
        assert (page.records, page.cursor) == ((), None)

    async def test_many(self, make_catalog: MakeCatalog) -> None:
        """`get_many` gives all of a thousand, however often they are named."""
        catalog = await make_catalog()
        records = await stored(catalog, *(volume(f"v{n}") for n in range(1000)))
        ids = [record.id for record in records]
        assert await catalog.get_many(Volume, [*ids, *ids]) == {record.id: record for record in records}

    async def test_revisions_grow(self, make_catalog: MakeCatalog) -> None:
        """Every write has a revision above all before it, of any kind and any handle; a removal moves it too."""
        catalog, other = await make_catalog(), await make_catalog()
        first, second = await stored(catalog, tenant("a"), pool("b"))
        (third,) = await stored(other, tenant("c"))
        (fourth,) = await stored(catalog, first)
        assert first.revision < second.revision < third.revision < fourth.revision
        assert await catalog.version() == await other.version() == fourth.revision
        await other.commit(drop(fourth))
        assert await catalog.version() == await other.version() > fourth.revision

    async def test_stale_revision(self, make_catalog: MakeCatalog) -> None:
        """Only what is current can be changed or removed, and the error says what is current."""
        catalog, other = await make_catalog(), await make_catalog()
        (old,) = await stored(catalog, volume("v"))
        (new,) = await stored(other, old)
        for batch in (put(old), drop(old)):
            with pytest.raises(StaleRevision) as caught:
                await catalog.commit(batch)
            assert caught.value.fields == {
                "kind": "volume",
                "ref": str(old.id),
                "expected": old.revision,
                "actual": new.revision,
            }
        await catalog.commit(drop(new))
        for batch in (put(new), drop(new)):
            with pytest.raises(StaleRevision) as caught:
                await catalog.commit(batch)
            assert caught.value.actual is None
        assert await catalog.count(Volume, ALL) == 0

    @pytest.mark.parametrize(
        ("first", "second", "field"),
        _CLASHES,
        ids=lambda value: value if isinstance(value, str) else type(value).__name__,
    )
    async def test_unique(self, make_catalog: MakeCatalog, first: Record, second: Record, field: str) -> None:
        """The second of a name is refused, by insert and by change, and the error names the field and its value."""
        catalog, other = await make_catalog(), await make_catalog()
        await catalog.commit(put(first))
        with pytest.raises(AlreadyExists) as caught:
            await other.commit(put(second))
        value = getattr(second, field)
        assert caught.value.field == field
        assert caught.value.name == (value if isinstance(value, int) else str(value))
        assert await catalog.count(type(first), ALL) == 1

    async def test_names_are_free_elsewhere(self, make_catalog: MakeCatalog) -> None:
        """Names are unique within their tenant or volume only, case matters, and a dropped name is free again."""
        catalog = await make_catalog()
        here, there = volume("x"), volume("x", tenant_id=uuid4())
        policy = SnapshotPolicy(id=uuid4(), name="x", created=CREATED)
        mine = SnapshotPolicy(id=uuid4(), name="x", created=CREATED, tenant_id=UUID(int=1))
        records = (here, there, volume("X"), snapshot("s", here), snapshot("s", there), policy, mine)
        written = await stored(catalog, *records)
        with pytest.raises(AlreadyExists):
            await catalog.commit(put(msgspec.structs.replace(written[2], name="x")))
        await catalog.commit(drop(written[0]) + put(volume("x")))
        assert await catalog.count(Volume, ALL) == 3

    @pytest.mark.parametrize(
        "broken",
        [
            msgspec.structs.replace(volume("v"), comment="a\0b"),
            msgspec.structs.replace(volume("v"), name="\ud800"),
            msgspec.structs.replace(volume("v"), size=1 << 63),
            msgspec.structs.replace(volume("v"), created=datetime(2026, 1, 1)),  # noqa: DTZ001 - that is the case
            msgspec.structs.replace(volume("v"), labels={"\0": "x"}),
        ],
        ids=["nul", "surrogate", "size", "naive-time", "label"],
    )
    async def test_what_no_store_can_hold(self, make_catalog: MakeCatalog, broken: Volume) -> None:
        """A value outside what every store holds is refused, and nothing happens."""
        catalog = await make_catalog()
        with pytest.raises(InvalidArgument):
            await catalog.commit(put(volume("good"), broken))
        assert await catalog.count(Volume, ALL) == 0


class CommitCases:
    """Batches: all or nothing, durable, exclusive between processes."""

    async def test_all_or_nothing(self, make_catalog: MakeCatalog) -> None:
        """A batch with one bad write changes nothing, while batches beside it succeed."""
        catalog = await make_catalog()
        (taken,) = await stored(catalog, volume("taken"))
        before = await catalog.version()
        good = [volume(f"good{n}") for n in range(8)]
        bad = [put(volume(f"bad{n}")) + drop(taken) + put(volume("fine"), volume(f"good{n}", size=n)) for n in range(8)]
        batches = [batch for pair in zip((put(record) for record in good), bad, strict=True) for batch in pair]
        results = await asyncio.gather(*(catalog.commit(batch) for batch in batches), return_exceptions=True)
        assert [isinstance(result, AlreadyExists) for result in results] == [False, True] * 8
        names = {record.name for record in (await catalog.page(Volume, Query())).records}
        assert names == {"taken", *(record.name for record in good)}
        assert await catalog.count(Volume, ALL) == 9
        assert await catalog.version() > before

    async def test_order_within_a_batch(self, make_catalog: MakeCatalog) -> None:
        """Writes of one batch happen in their order: a name can change hands, a record put and dropped is gone."""
        catalog = await make_catalog()
        (old,) = await stored(catalog, volume("name"))
        new = volume("name")
        written = await catalog.commit(put(msgspec.structs.replace(old, name="other"), new))
        assert [written[old.id].name, written[new.id].name] == ["other", "name"]  # type: ignore[union-attr]

    async def test_survives_reopening(self, make_catalog: MakeCatalog) -> None:
        """What a commit answered is there after every handle was closed."""
        catalog = await make_catalog()
        records = await stored(catalog, *one_of_each())
        await catalog.put_setting("cluster", "c1")
        assert [await catalog.next_number("n") for _ in range(3)] == [1, 2, 3]
        version = await catalog.version()
        await catalog.close()
        again = await make_catalog()
        for record in records:
            assert await again.get(type(record), record.id) == record
        assert await again.setting("cluster") == "c1"
        assert await again.setting("unknown") is None
        assert await again.next_number("n") == 4
        assert await again.next_number("other") == 1
        assert await again.version() == version

    async def test_numbers_are_given_once(self, make_catalog: MakeCatalog) -> None:
        """Processes that number at once get different numbers without gaps."""
        catalogs = [await make_catalog(), await make_catalog()]
        numbers = await asyncio.gather(*(catalogs[n % 2].next_number("n") for n in range(20)))
        assert sorted(numbers) == list(range(1, 21))

    async def test_concurrent_changes_of_one_record(self, make_catalog: MakeCatalog) -> None:
        """Of all changes made from the same revision exactly one happens."""
        catalogs = [await make_catalog(), await make_catalog()]
        (first,) = await stored(catalogs[0], volume("v"))
        changes = [msgspec.structs.replace(first, comment=str(n)) for n in range(16)]
        commits = (catalogs[n % 2].commit(put(change)) for n, change in enumerate(changes))
        results = await asyncio.gather(*commits, return_exceptions=True)
        assert sum(isinstance(result, StaleRevision) for result in results) == 15
        assert sum(not isinstance(result, BaseException) for result in results) == 1

    async def test_close_drains(self, make_catalog: MakeCatalog) -> None:
        """Closing finishes what was begun, may be repeated, and refuses what comes later."""
        catalog, other = await make_catalog(), await make_catalog()
        pending = [asyncio.ensure_future(catalog.commit(put(volume(f"v{n}")))) for n in range(20)]
        await asyncio.sleep(0)
        await asyncio.gather(catalog.close(), catalog.close())
        await asyncio.gather(*pending)
        assert await other.count(Volume, ALL) == 20
        for attempt in (catalog.get(Volume, uuid4()), catalog.commit(put(volume("late"))), catalog.version()):
            with pytest.raises(GatewayError) as caught:
                await attempt
            assert caught.value.retryable


class SharingCases:
    """Several processes on one catalog: locks, orphans, leases."""

    async def test_intent_keys_exclude(self, make_catalog: MakeCatalog) -> None:
        """While an intent exists no other may hold any of its keys, from whatever process."""
        catalog, other = await make_catalog(), await make_catalog()
        shared = uuid4()
        (held,) = await stored(catalog, intent(catalog.owner, uuid4(), shared, operation="volume.resize"))
        second = intent(other.owner, shared, uuid4())
        with pytest.raises(Conflict) as caught:
            await other.commit(put(second, job(other.owner)))
        assert caught.value.fields == {"kind": "volume", "ref": str(shared), "holder": "volume.resize"}
        assert await other.count(Job, ALL) == 0
        (held,) = await stored(catalog, held)
        await catalog.commit(drop(held))
        await other.commit(put(second))
        assert (await catalog.page(Intent, Query(where=Compare("key", Op.EQ, shared)))).records[0].id == second.id

    async def test_one_of_many_gets_the_key(self, make_catalog: MakeCatalog) -> None:
        """Of many intents begun at once for one key exactly one is journalled."""
        catalogs = [await make_catalog(), await make_catalog()]
        key = uuid4()
        commits = (catalogs[n % 2].commit(put(intent(catalogs[n % 2].owner, key))) for n in range(16))
        results = await asyncio.gather(*commits, return_exceptions=True)
        assert sum(isinstance(result, Conflict) for result in results) == 15

    async def test_orphans_of_the_dead_only(self, make_catalog: MakeCatalog) -> None:
        """What an ended owner left is taken over once, by one; the living and the finished keep theirs."""
        dead, living, heir = await make_catalog(), await make_catalog(), await make_catalog()
        carried = job(dead.owner)
        left = intent(dead.owner, key := uuid4(), job_id=carried.id)
        alone, done = job(dead.owner, JobState.QUEUED), job(dead.owner, JobState.SUCCESS)
        others: list[Record] = [intent(living.owner, uuid4()), job(living.owner)]
        own: list[Record] = [intent(heir.owner, uuid4()), job(heir.owner)]
        await heir.commit(put(carried, left, alone, done, *others, *own))
        assert await heir.adopt_orphans() == ([], [])
        assert [await heir.lives(owner) for owner in (dead.owner, heir.owner, living.owner)] == [True] * 3
        await dead.close()
        assert [await heir.lives(owner) for owner in (dead.owner, heir.owner, living.owner)] == [False, True, True]
        intents, jobs = await heir.adopt_orphans()
        assert [record.id for record in intents] == [left.id]
        assert [record.id for record in jobs] == [alone.id]
        assert {*(record.owner for record in intents), *(record.owner for record in jobs)} == {heir.owner}
        assert [await living.get(Intent, left.id), await living.get(Job, alone.id)] == [*intents, *jobs]
        assert [record.owner for record in (await living.get_many(Job, [carried.id])).values()] == [heir.owner]
        with pytest.raises(Conflict):
            await living.commit(put(intent(living.owner, key)))
        assert await living.adopt_orphans() == ([], [])
        await living.commit(drop(*intents))

    async def test_leases(self, make_catalog: MakeCatalog) -> None:
        """One living process performs a duty; it is free when released and when its holder ended."""
        first, second = await make_catalog(), await make_catalog()
        assert first.owner != second.owner
        assert await first.acquire_lease("reconcile")
        assert await first.acquire_lease("reconcile")
        assert not await second.acquire_lease("reconcile")
        assert await second.acquire_lease("other")
        await second.release_lease("reconcile")
        assert not await second.acquire_lease("reconcile")
        await first.release_lease("reconcile")
        await first.release_lease("reconcile")
        assert await second.acquire_lease("reconcile")
        await second.close()
        assert await first.acquire_lease("reconcile")


class CatalogConformance(RecordCases, CommitCases, SharingCases, QueryCases):
    """Every case. A subclass gives one fixture, `make_catalog`."""
