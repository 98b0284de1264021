"""Cases of the catalogs' conformance suite: filters, orders and pages, against an oracle in plain Python."""

from __future__ import annotations

import typing
from collections.abc import Mapping, Sequence
from datetime import timedelta
from uuid import UUID, uuid4

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.core.catalog import Catalog, drop, put
from gateway.core.errors import InvalidArgument
from gateway.core.model import (
    ExportPolicy,
    Origin,
    Record,
    RootDirectory,
    Snapshot,
    SnapshotPolicy,
    SnapshotSchedule,
    Tenant,
    Volume,
    VolumeKind,
    VolumeState,
)
from gateway.core.ownership import Access, Ownership
from gateway.core.query import ALL, NONE, And, Compare, Filter, IsNull, Match, Not, Op, Or, Order, Query
from gateway.testing.query_oracle import Oracle
from gateway.testing.records import (
    CREATED,
    MakeCatalog,
    attachment,
    mount,
    one_of_each,
    pool,
    snapshot,
    stored,
    tenant,
    volume,
)


def _nested(depth: int) -> Filter:
    """Give a filter that is nested this deep."""
    found: Filter = ALL
    for _ in range(depth):
        found = Not(found)
    return found


def _ids(kind: int) -> list[UUID]:
    """Give the ids of one kind: in the order of bytes, not of making, and the last one never made."""
    return [UUID(int=n << 124 | kind << 64 | n) for n in (9, 1, 15, 8)]


_TENANTS = [msgspec.structs.replace(tenant(n), id=i) for n, i in zip("AB", _ids(1), strict=False)]
_POOLS = [msgspec.structs.replace(pool(n), id=i) for n, i in zip("pq", _ids(2), strict=False)]
_EXPORT_POLICIES = [
    ExportPolicy(id=_ids(3)[n], number=n + 7, name=name, tenant_id=_ids(1)[0], created=CREATED)
    for n, name in enumerate(["default", "e2"])
]
_SNAPSHOT_POLICIES = [SnapshotPolicy(id=_ids(4)[n], name=name, created=CREATED) for n, name in enumerate(["none", "d"])]
_BASE = msgspec.structs.replace(volume("base", tenant_id=UUID(int=99)), id=_ids(5)[0])
_SNAPSHOTS = [msgspec.structs.replace(snapshot(name, _BASE), id=_ids(6)[n]) for n, name in enumerate(["s", "t"])]
_WORLD: Sequence[Record] = [*_TENANTS, *_POOLS, *_EXPORT_POLICIES, *_SNAPSHOT_POLICIES, _BASE, *_SNAPSHOTS]
_VOLUME_IDS = [UUID(int=n << 124 | 7 << 64 | n) for n in range(13)]

_texts = st.text("aAbé*?[]%_^-\\'\"\n\U0001f600\ud7ff\ue000\U0010ffff", max_size=4)
_times = st.sampled_from([CREATED + timedelta(microseconds=n) for n in (-1, 0, 1)])
_small = st.sampled_from([-1, 0, 1, 2, 1 << 40, (1 << 63) - 1])
_beyond = st.sampled_from([1 << 63, -(1 << 63) - 1, 1 << 80, 10**400])
_booleans = st.booleans()
_names = st.sampled_from(["A", "B", "p", "q", "base", "s", "default", "e2", "none", "d", "zzz", ""])
_schedules = st.sampled_from(["daily", "hourly", ""])
_nodes = st.sampled_from(["n1", "n2", "n1/0", "n2/1", ""])
_paths = st.sampled_from(["node1:/a0", "node1:/b1", "node1", ""])
_readers = st.sampled_from(["public", "*", "user:n1", "user:n2", "group:n1", "user:"])
_tenants, _pools, _exports, _snapshot_policies, _bases, _snapshots = (st.sampled_from(_ids(n)) for n in range(1, 7))

_VALUES: Mapping[str, st.SearchStrategy[object]] = {
    "id": st.sampled_from(_VOLUME_IDS),
    "tenant.id": _tenants,
    "pool.id": _pools,
    "export_policy.id": _exports,
    "snapshot_policy.id": _snapshot_policies,
    "schedule.policy": _snapshot_policies,
    "schedule.name": _schedules,
    "origin.volume.id": _bases,
    "origin.snapshot.id": _snapshots,
    **dict.fromkeys(["tenant.name", "pool.name", "export_policy.name", "snapshot_policy.name"], _names),
    **dict.fromkeys(["origin.volume.name", "origin.snapshot.name"], _names),
    **dict.fromkeys(["name", "name_key", "comment", "reason", "junction_path", "junction_key", "label"], _texts),
    **dict.fromkeys(["attachment.node", "attachment.lun"], _nodes),
    "reader": _readers,
    **dict.fromkeys(["attachment_count", "mount_count"], _small),
    "mount.path": _paths,
    **dict.fromkeys(["size", "used", "snapshot_count", "clone_count", "generation"], _small | _beyond),
    **dict.fromkeys(["root.mode", "root.uid", "root.gid", "revision", "export_policy.number"], _small),
    **dict.fromkeys(["thick", "is_clone"], _booleans),
    **dict.fromkeys(["created", "retired"], _times),
    "replica_of": _bases,
    "kind": st.sampled_from([*VolumeKind]) | _texts,
    "state": st.sampled_from([*VolumeState]) | _texts,
}
_TEXTS = {
    "name_key",
    "comment",
    "reason",
    "junction_path",
    "junction_key",
    "label",
    "kind",
    "attachment.node",
    "attachment.lun",
    "mount.path",
    "reader",
}
_TEXT_FIELDS = sorted(name for name in _VALUES if name.endswith("name") or name in _TEXTS)

_fields = st.sampled_from(sorted(_VALUES))
_patterns = st.lists(_texts | st.just("*") | _names, max_size=4).map("".join)
_comparisons = _fields.flatmap(lambda name: st.builds(Compare, st.just(name), st.sampled_from(Op), _VALUES[name]))
_choices = _fields.flatmap(
    lambda name: st.lists(st.builds(Compare, st.just(name), st.just(Op.EQ), _VALUES[name]), max_size=4)
).map(lambda terms: Or(tuple(terms)))
_matches = st.builds(Match, st.sampled_from(_TEXT_FIELDS), _patterns)
_leaves = _comparisons | _matches | _choices | st.builds(IsNull, _fields)


def _combined(inner: st.SearchStrategy[Filter]) -> st.SearchStrategy[Filter]:
    several = st.lists(inner, max_size=3).map(tuple)
    return st.builds(Not, inner) | st.builds(And, several) | st.builds(Or, several)


_filters: st.SearchStrategy[Filter] = st.recursive(_leaves, _combined, max_leaves=6)
_orders = st.lists(st.builds(Order, _fields, _booleans), min_size=1, max_size=3).map(tuple)


@st.composite
def _volumes(draw: st.DrawFn) -> list[Volume]:
    """Give volumes full of equal values, NULLs and edge cases."""
    ids = draw(st.lists(st.sampled_from(_VOLUME_IDS), unique=True, max_size=13))
    origins = st.builds(Origin, volume_id=_bases, snapshot_id=st.none() | _snapshots)
    labels = st.dictionaries(st.sampled_from(["a", "A", "*"]), _texts, max_size=2)
    names = st.lists(_schedules, unique=True, max_size=2)
    nodes = st.lists(st.sampled_from(["n1", "n2"]), unique=True, max_size=2)
    paths = st.lists(st.sampled_from(["a", "b"]), unique=True, max_size=2)
    rights = st.dictionaries(st.sampled_from(["n1", "n2", "*"]), st.sampled_from(Access), max_size=2)
    ownerships = st.none() | st.builds(
        Ownership,
        owner=st.sampled_from(["", "n1"]),
        groups=rights,
        collaborators=rights,
        public=st.none() | st.sampled_from(Access),
    )
    return [
        Volume(
            id=record_id,
            name=f"{draw(_texts)}{n:x}",
            tenant_id=draw(_tenants),
            pool_id=draw(_pools),
            created=draw(_times),
            size=draw(_small),
            kind=draw(st.sampled_from(VolumeKind)),
            state=draw(st.sampled_from(VolumeState)),
            thick=draw(_booleans),
            comment=draw(_texts),
            labels=draw(labels),
            junction_path=draw(st.none() | _texts.map(f"{n:x}".__add__)),
            export_policy_id=draw(st.none() | _exports),
            snapshot_policy_id=draw(st.none() | _snapshot_policies),
            more_snapshot_policy_ids=tuple(draw(st.lists(_snapshot_policies, unique=True, max_size=2))),
            schedules=tuple(SnapshotSchedule(schedule=name, count=1) for name in draw(names)),
            root=RootDirectory(uid=draw(_small)),
            origin=draw(st.none() | origins),
            ownership=draw(ownerships),
            attachments=tuple(attachment(node, draw(st.sampled_from([None, n]))) for node in draw(nodes)),
            retired=draw(st.none() | _times),
            replica_of=draw(st.none() | _bases),
            mounts=tuple(mount(f"/{path}{n}") for path in draw(paths)),
            snapshot_count=draw(_small),
        )
        for n, record_id in enumerate(ids)
    ]


async def _walk(catalogs: Sequence[Catalog], query: Query) -> list[list[Volume]]:
    """Give all pages of the query, each asked of another handle."""
    pages: list[list[Volume]] = []
    after: str | None = None
    while after is not None or not pages:
        catalog = catalogs[len(pages) % len(catalogs)]
        page = await catalog.page(Volume, msgspec.structs.replace(query, after=after))
        pages.append(list(page.records))
        after = page.cursor
    return pages


async def _check(catalogs: Sequence[Catalog], query: Query, expected: Sequence[Volume]) -> None:
    pages = await _walk(catalogs, query)
    assert [record for page in pages for record in page] == list(expected)
    assert all(len(page) == query.limit for page in pages[:-1])
    assert pages[-1] or len(pages) == 1
    assert await catalogs[0].count(Volume, query.where) == len(expected)
    skipping = msgspec.structs.replace(query, offset=2)
    first = await catalogs[0].page(Volume, skipping)
    assert list(first.records) == list(expected[2 : 2 + query.limit])
    if first.cursor is not None:
        rest = await catalogs[0].page(Volume, msgspec.structs.replace(skipping, after=first.cursor))
        assert list(rest.records) == list(expected[4 + query.limit : 4 + 2 * query.limit])


class QueryCases:
    """What queries find, in which order, and how pages continue."""

    @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
    @given(records=_volumes(), where=_filters, order=_orders, limit=st.integers(1, 5))
    async def test_pages_equal_the_oracle(
        self,
        make_catalog: MakeCatalog,
        records: list[Volume],
        where: Filter,
        order: tuple[Order, ...],
        limit: int,
    ) -> None:
        """Filters, orders, NULLs, page limits, offsets and counts are what plain Python says, on several handles."""
        catalogs = [await make_catalog(), await make_catalog()]
        world = await stored(catalogs[0], *_WORLD, *records)
        volumes = [record for record in world if isinstance(record, Volume)]
        oracle = Oracle(world)
        try:
            for term in (where, ALL):
                await _check(catalogs, Query(where=term, order=order, limit=limit), oracle.select(volumes, term, order))
        finally:
            await catalogs[1].commit(drop(*world))
            for catalog in catalogs:
                await catalog.close()

    async def test_values_cover_the_fields(self, make_catalog: MakeCatalog) -> None:
        """The comparison with the oracle leaves out no field of a volume."""
        catalog = await make_catalog()
        assert catalog.fields(Volume) == frozenset(_VALUES)

    @pytest.mark.parametrize("kind", [*typing.get_args(Record)])
    async def test_every_field_of_every_kind(self, make_catalog: MakeCatalog, kind: type[Record]) -> None:
        """Each field tells set from unset, finds the record by its value, and orders."""
        catalog = await make_catalog()
        world = await stored(catalog, *one_of_each())
        oracle = Oracle(world)
        mine = [record for record in world if isinstance(record, kind)]
        for field in sorted(catalog.fields(kind)):
            questions: list[Filter] = [IsNull(field), Not(IsNull(field))]
            questions += [Compare(field, Op.EQ, value) for value in oracle.values(mine[0], field)]
            assert len(questions) > 2 or oracle.matches(mine[0], IsNull(field))
            for where in questions:
                page = await catalog.page(kind, Query(where=where, order=(Order(field),)))
                assert list(page.records) == [record for record in mine if oracle.matches(record, where)]

    async def test_default_order(self, make_catalog: MakeCatalog) -> None:
        """Without an order records come by name, those without a name by age; the id breaks ties."""
        catalog = await make_catalog()
        volumes = await stored(catalog, *(volume(name, tenant_id=uuid4()) for name in "bacabc"))
        page = await catalog.page(Volume, Query())
        assert list(page.records) == Oracle(volumes).select(volumes, ALL, (Order("name"),))

    async def test_long_pages(self, make_catalog: MakeCatalog) -> None:
        """A page of thousands is whole, ends exactly, and continues exactly."""
        catalog = await make_catalog()
        await stored(catalog, *(volume(f"v{n:05}") for n in range(2500)))
        for limit, more in ((2499, True), (2500, False), (2501, False), (10_000, False)):
            page = await catalog.page(Volume, Query(limit=limit))
            assert [record.name for record in page.records] == [f"v{n:05}" for n in range(min(limit, 2500))]
            assert (page.cursor is not None) == more
        far = await catalog.page(Volume, Query(limit=10, offset=2495, order=(Order("name", descending=True),)))
        assert [record.name for record in far.records] == [f"v{n:05}" for n in (4, 3, 2, 1, 0)]

    async def test_pages_under_change(self, make_catalog: MakeCatalog) -> None:
        """A page continues after its last row, though that row is gone and others came."""
        catalog = await make_catalog()
        records = await stored(catalog, *(volume(name) for name in "bdfh"))
        page = await catalog.page(Volume, Query(limit=2))
        await catalog.commit(drop(records[1]) + put(volume("a"), volume("e")))
        rest = await catalog.page(Volume, Query(limit=10, after=page.cursor))
        assert [record.name for record in rest.records] == ["e", "f", "h"]

    async def test_renamed_references(self, make_catalog: MakeCatalog) -> None:
        """A reference is followed when asked: a renamed tenant's volumes are found under its new name only."""
        catalog = await make_catalog()
        (home,) = await stored(catalog, tenant("old"))
        await stored(catalog, volume("v", tenant_id=home.id))
        await stored(catalog, msgspec.structs.replace(home, name="new"))
        assert await catalog.count(Volume, Compare("tenant.name", Op.EQ, "old")) == 0
        assert await catalog.count(Volume, Compare("tenant.name", Op.EQ, "new")) == 1
        assert await catalog.count(Volume, Match("tenant.name", "n*")) == 1

    async def test_readers_few_and_many(self, make_catalog: MakeCatalog) -> None:
        """What a reader may see is paged and counted alike, whether it is a few of the records or nearly all."""
        catalog = await make_catalog()
        mine = Ownership(owner="alice")
        everybody = [volume(f"v{n:05}") for n in range(4_200)]
        owned = [msgspec.structs.replace(volume(f"w{n:05}"), ownership=mine) for n in range(7)]
        await stored(catalog, *everybody, *owned)
        shot = snapshot("s", owned[0])
        await stored(catalog, shot)
        for readers, count, last in ((("user:alice",), 7, "w00006"), (("public", "user:alice"), 4_207, "w00006")):
            where = Or(tuple(Compare("reader", Op.EQ, reader) for reader in readers))
            assert await catalog.count(Volume, where) == count
            page = await catalog.page(Volume, Query(where=where, limit=count - 2))
            rest = await catalog.page(Volume, Query(where=where, limit=10, after=page.cursor))
            assert [len(page.records), len(rest.records), rest.records[-1].name] == [count - 2, 2, last]
            assert rest.cursor is None
            skipped = await catalog.page(Volume, Query(where=where, limit=10, offset=count - 3))
            assert len(skipped.records) == 3
        for reader, found in (("user:alice", 1), ("public", 0)):
            assert await catalog.count(Snapshot, Compare("volume.reader", Op.EQ, reader)) == found

    @pytest.mark.parametrize("after", ["", "x", "é", "=", "AAAA", "kgGQ", "\0", "a" * 9999, "////"])
    async def test_garbage_cursor(self, make_catalog: MakeCatalog, after: str) -> None:
        """A text that no page gave is refused by the argument's name."""
        catalog = await make_catalog()
        with pytest.raises(InvalidArgument) as caught:
            await catalog.page(Volume, Query(after=after))
        assert caught.value.field == "after"

    async def test_damaged_and_foreign_cursors(self, make_catalog: MakeCatalog) -> None:
        """A cursor is good for its own kind and order only, and every damage to it is refused or harmless."""
        catalog = await make_catalog()
        await stored(catalog, *(volume(name) for name in "abc"), tenant("a"), tenant("b"))
        cursor = (await catalog.page(Volume, Query(limit=1))).cursor
        assert cursor is not None
        for query in (Query(order=(Order("size"),), after=cursor), Query(order=(Order("name", True),), after=cursor)):
            with pytest.raises(InvalidArgument):
                await catalog.page(Volume, query)
        with pytest.raises(InvalidArgument):
            await catalog.page(Tenant, Query(after=cursor))
        for n in range(len(cursor)):
            for damaged in (cursor[:n], cursor[:n] + ("A" if cursor[n] != "A" else "B") + cursor[n + 1 :]):
                try:
                    await catalog.page(Volume, Query(after=damaged))
                except InvalidArgument as error:
                    assert error.field == "after"  # noqa: PT017 - not raising is right too

    @pytest.mark.parametrize(
        ("query", "field"),
        [
            (Query(where=Compare("nonsense", Op.EQ, 1)), "nonsense"),
            (Query(where=IsNull("tenant")), "tenant"),
            (Query(where=Not(Match("doc", "*"))), "doc"),
            (Query(order=(Order("name; --"),)), "name; --"),
            (Query(where=Compare("size", Op.GT, "1")), "size"),
            (Query(where=Compare("size", Op.EQ, True)), "size"),
            (Query(where=Compare("name", Op.EQ, 1)), "name"),
            (Query(where=Compare("created", Op.LT, "2026")), "created"),
            (Query(where=Compare("tenant.id", Op.EQ, "x")), "tenant.id"),
            (Query(where=Compare("name", Op.EQ, "\ud800")), "name"),
            (Query(where=Match("size", "1*")), "size"),
            (Query(where=Match("name", "a\0*")), "name"),
            (Query(where=Match("name", "*a" * 100_000)), "name"),
            (Query(where=_nested(500)), "where"),
            (Query(where=Or(tuple(Match("name", str(n)) for n in range(50_000)))), "where"),
            (Query(limit=0), "limit"),
            (Query(limit=10_001), "limit"),
            (Query(offset=-1), "offset"),
            (Query(offset=1 << 70), "offset"),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    async def test_refusals(self, make_catalog: MakeCatalog, query: Query, field: str) -> None:
        """What cannot be asked is refused by name, and nothing else breaks."""
        catalog = await make_catalog()
        with pytest.raises(InvalidArgument) as caught:
            await catalog.page(Volume, query)
        assert caught.value.field == field
        assert (await catalog.page(Volume, Query())).records == ()

    async def test_wide_filters(self, make_catalog: MakeCatalog) -> None:
        """A thousand alternatives of one field, and hundreds of mixed terms, are one question."""
        catalog = await make_catalog()
        records = await stored(catalog, *(volume(f"v{n}", size=n) for n in range(1500)))
        chosen = Or(tuple(Compare("id", Op.EQ, record.id) for record in records[:1000]))
        assert await catalog.count(Volume, chosen) == 1000
        mixed = And(tuple(Not(Match("name", f"v{n}*")) for n in range(10, 410)))
        assert await catalog.count(Volume, mixed) == sum(not 10 <= int(f"{n}"[:2]) <= 99 for n in range(1500))
        assert await catalog.count(Volume, NONE) == 0
        assert await catalog.count(Volume, Not(NONE)) == 1500
