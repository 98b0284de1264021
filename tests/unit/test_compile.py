"""The catalog's SQL: which text a filter becomes, and that SQLite serves it from an index."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import msgspec
import pytest

from gateway import catalog
from gateway.catalog.batch import apply_batch
from gateway.catalog.compile import PagePlan, compile_filter, count_statement, plan_page
from gateway.catalog.connection import connect_writer
from gateway.catalog.tables import TABLES, SqlValue, table_of
from gateway.core.catalog import put
from gateway.core.model import Job, Record, Snapshot, Volume
from gateway.core.ownership import Ownership
from gateway.core.query import ALL, NONE, And, Compare, Filter, IsNull, Match, Not, Op, Or, Order, Query
from gateway.testing.records import volume

SOME_ID = UUID(int=7)
TENANT = Compare("tenant.name", Op.EQ, "svm1")


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(connect_writer(tmp_path / "catalog.sqlite")) as connection:
        yield connection


@pytest.mark.parametrize(
    ("where", "text", "parameters"),
    [
        (ALL, "1", ()),
        (NONE, "0", ()),
        (Or((NONE, ALL)), "1", ()),
        (And((ALL, Compare("size", Op.GE, 5))), "r.size >= ?", (5,)),
        (Compare("size", Op.LT, 1 << 70), "r.size < ?", (float("inf"),)),
        (Compare("created", Op.EQ, datetime(1970, 1, 1, 0, 0, 1, 2, UTC)), "r.created = ?", (1_000_002,)),
        (Compare("thick", Op.EQ, True), "r.thick = ?", (1,)),
        (Compare("pool.id", Op.EQ, SOME_ID), "r.pool_id = ?", (SOME_ID.bytes,)),
        (TENANT, "r.tenant_id = (SELECT id FROM tenant WHERE name = ?)", ("svm1",)),
        (
            Compare("snapshot_policy.name", Op.EQ, "none"),
            "r.snapshot_policy_id IN (SELECT id FROM snapshot_policy WHERE name = ?)",
            ("none",),
        ),
        (
            Compare("label", Op.EQ, "a:b"),
            "r.id IN (SELECT volume_id FROM volume_label WHERE label = ?)",
            ("a:b",),
        ),
        (IsNull("junction_path"), "r.junction_path IS NULL", ()),
        (Not(IsNull("junction_path")), "r.junction_path IS NOT NULL", ()),
        (Not(Compare("name", Op.EQ, "a")), "((r.name = ?) IS NOT TRUE)", ("a",)),
        (Match("name", "vol"), "r.name = ?", ("vol",)),
        (Match("name", "vol*"), "(r.name >= ? AND r.name < ?)", ("vol", "vom")),
        (Match("name", "a\ud7ff*"), "(r.name >= ? AND r.name < ?)", ("a\ud7ff", "a\ue000")),
        (Match("name", "a\U0010ffff*"), "(r.name >= ? AND r.name < ?)", ("a\U0010ffff", "b")),
        (Match("name", "\U0010ffff*"), "r.name >= ?", ("\U0010ffff",)),
        (Match("name", "*a?[b]"), "r.name GLOB ?", ("*a[?][[]b]",)),
        (
            Match("name", "a*b"),
            "((r.name >= ? AND r.name < ?) AND r.name GLOB ?)",
            ("a", "b", "a*b"),
        ),
        (
            Or((Compare("name", Op.EQ, "a"), Compare("name", Op.EQ, "b"))),
            "r.name IN (?, ?)",
            ("a", "b"),
        ),
        (
            Or((Compare("name", Op.EQ, "a"), Compare("size", Op.EQ, 1))),
            "(r.name = ? OR r.size = ?)",
            ("a", 1),
        ),
    ],
)
def test_filter(where: Filter, text: str, parameters: tuple[object, ...]) -> None:
    condition = compile_filter(table_of(Volume), where)
    assert (condition.text, condition.parameters) == (text, parameters)


def test_count_without_a_filter_reads_the_counter() -> None:
    assert "record_count" in count_statement(table_of(Volume), And((ALL, ALL))).text


def details(connection: sqlite3.Connection, kind: type[Record], query: Query) -> list[str]:
    """Give SQLite's plans of the first page and of the ones that continue it."""
    plan = plan_page(table_of(kind), query)
    first = ["m"] * len(plan.keys)
    statements = [*plan.statements(), *plan.statements(first)]
    return [
        row[3]
        for statement in statements
        for row in connection.execute(f"EXPLAIN QUERY PLAN {statement.text}", (*statement.parameters, 100, 0))
    ]


INDEXED = [
    pytest.param(kind, Query(where=where, order=order), id=f"{kind.__name__}-{name}")
    for name, kind, where, order in [
        ("default", Volume, ALL, ()),
        ("name", Volume, ALL, (Order("name"),)),
        ("name-descending", Volume, ALL, (Order("name", descending=True),)),
        ("size", Volume, ALL, (Order("size"),)),
        ("size-descending", Volume, ALL, (Order("size", descending=True),)),
        ("created", Volume, ALL, (Order("created"),)),
        ("id", Volume, ALL, (Order("id"),)),
        ("tenant-name", Volume, TENANT, ()),
        ("tenant-id", Volume, Compare("tenant.id", Op.EQ, SOME_ID), ()),
        ("pool-id", Volume, Compare("pool.id", Op.EQ, SOME_ID), ()),
        ("one", Volume, And((TENANT, Compare("name", Op.EQ, "v1"))), ()),
        ("prefix", Volume, Match("name", "v1*"), ()),
        ("prefix-in-tenant", Volume, And((TENANT, Match("name", "v1*"))), ()),
        ("mounted", Volume, Not(IsNull("junction_path")), (Order("id"),)),
        ("retired", Volume, Not(IsNull("retired")), (Order("pool.id"),)),
        ("not-retired", Volume, IsNull("retired"), ()),
        ("default", Snapshot, ALL, ()),
        ("spare", Snapshot, Not(IsNull("spare")), (Order("id"),)),
        ("of-volume", Snapshot, Compare("volume.id", Op.EQ, SOME_ID), ()),
        ("default", Job, ALL, ()),
        ("target", Job, Compare("target.id", Op.EQ, SOME_ID), (Order("created", descending=True),)),
        *(("default", kind, ALL, ()) for kind in TABLES if kind not in {Volume, Snapshot, Job}),
    ]
]


@pytest.mark.parametrize(("kind", "query"), INDEXED)
def test_order_comes_from_an_index(connection: sqlite3.Connection, kind: type[Record], query: Query) -> None:
    plans = details(connection, kind, query)
    assert plans
    assert not [plan for plan in plans if "TEMP B-TREE" in plan]
    assert not [plan for plan in plans if plan.startswith("SCAN") and "INDEX" not in plan]


LABEL = Compare("label", Op.EQ, "a:b")
READER = Or((Compare("reader", Op.EQ, "public"), Compare("reader", Op.EQ, "user:a")))
ELSE = And((Compare("tenant.id", Op.EQ, SOME_ID), Compare("kind", Op.EQ, "block"), Match("name", "v*")))


def explained(connection: sqlite3.Connection, plan: PagePlan) -> list[str]:
    after = ["m"] * len(plan.keys)
    return [
        "; ".join(row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {each.text}", (*each.parameters, 100, 0)))
        for each in (*plan.statements(), *plan.statements(after))
    ]


@pytest.mark.parametrize(
    ("where", "indexes"),
    [
        (LABEL, ["volume_label_label"]),
        (And((LABEL, ELSE)), ["volume_label_label"]),
        (And((ELSE, And((LABEL, READER)))), ["volume_label_label", "volume_reader_reader"]),
        (And((TENANT, Match("label", "a:*"))), ["volume_label_label"]),
        (Or((LABEL, ELSE)), []),
        (And((Not(LABEL), ELSE)), []),
    ],
)
def test_each_broad_term_of_all_may_lead(connection: sqlite3.Connection, where: Filter, indexes: list[str]) -> None:
    plan = plan_page(table_of(Volume), Query(where=where))
    assert len(plan.leads) == len(indexes)
    for lead, index in zip(plan.leads, indexes, strict=True):
        for details_ in explained(connection, plan.led(lead)):
            assert details_.startswith("SEARCH r USING INDEX sqlite_autoindex_volume_1 (id=?)")
            assert index in details_
    for details_ in explained(connection, plan):
        assert "TEMP B-TREE" not in details_


@pytest.mark.parametrize(
    ("kind", "term", "index"),
    [
        (Snapshot, Compare("volume.id", Op.EQ, SOME_ID), "snapshot_volume_name (volume_id=?)"),
        (Volume, Compare("origin.volume.id", Op.EQ, SOME_ID), "volume_origin_volume (origin_volume_id=?)"),
        (Volume, Not(IsNull("origin.volume.id")), "volume_origin_volume"),
        (Volume, Compare("origin.snapshot.id", Op.EQ, SOME_ID), "volume_origin_snapshot (origin_snapshot_id=?)"),
    ],
)
def test_what_is_of_one_volume_leads_before_its_tenant(
    connection: sqlite3.Connection, kind: type[Record], term: Filter, index: str
) -> None:
    plan = plan_page(table_of(kind), Query(where=And((Compare("tenant.id", Op.EQ, SOME_ID), term))))
    (lead,) = plan.leads
    assert all(index in each for each in explained(connection, plan.led(lead)))
    assert connection.execute(lead.count.text, lead.count.parameters).fetchall() == [(0,)]


def test_a_name_leads_before_a_label(connection: sqlite3.Connection) -> None:
    plan = plan_page(table_of(Volume), Query(where=And((ELSE, LABEL, Compare("name", Op.EQ, "v")))))
    assert all("volume_name (name=?" in details_ for details_ in explained(connection, plan.led(plan.leads[0])))


@pytest.mark.parametrize("after", [None, ("v3", b"")])
def test_whoever_leads_the_page_is_the_same(connection: sqlite3.Connection, after: tuple[SqlValue, ...] | None) -> None:
    volumes = [
        msgspec.structs.replace(
            volume(f"v{n}", tenant_id=SOME_ID),
            labels={"a": "b"} if n % 2 else {},
            ownership=Ownership(owner="a" if n % 3 else "z"),
        )
        for n in reversed(range(10))
    ]
    connection.execute("BEGIN")
    apply_batch(connection, put(*volumes))
    where = And((Compare("tenant.id", Op.EQ, SOME_ID), LABEL, READER))
    plan = plan_page(table_of(Volume), Query(where=where))
    pages = [
        [row[1] for each in way.statements(after) for row in connection.execute(each.text, (*each.parameters, 100, 0))]
        for way in (plan, *map(plan.led, plan.leads))
    ]
    assert pages == [["v1", "v5", "v7"] if after is None else ["v5", "v7"]] * 3


SEARCHED = [
    pytest.param(Volume, where, index, id=index)
    for where, index in [
        (Compare("id", Op.EQ, SOME_ID), "sqlite_autoindex_volume_1"),
        (Or((Compare("id", Op.EQ, SOME_ID), Compare("id", Op.EQ, UUID(int=8)))), "sqlite_autoindex_volume_1"),
        (Compare("export_policy.id", Op.EQ, SOME_ID), "volume_export_policy"),
        (Compare("snapshot_policy.id", Op.EQ, SOME_ID), "volume_snapshot_policy"),
        (Compare("schedule.policy", Op.EQ, SOME_ID), "volume_policy_policy"),
        (Compare("schedule.name", Op.EQ, "daily"), "volume_schedule_schedule"),
        (Compare("origin.volume.id", Op.EQ, SOME_ID), "volume_origin_volume"),
        (Compare("origin.snapshot.id", Op.EQ, SOME_ID), "volume_origin_snapshot"),
        (Compare("junction_path", Op.EQ, "/a"), "volume_junction_path"),
        (Compare("label", Op.EQ, "a:b"), "volume_label_label"),
        (And((Compare("tenant.id", Op.EQ, SOME_ID), Compare("name_key", Op.EQ, "v"))), "volume_name_key"),
        (And((Compare("pool.id", Op.EQ, SOME_ID), Not(IsNull("retired")))), "volume_retired"),
    ]
]


@pytest.mark.parametrize(("kind", "where", "index"), SEARCHED)
def test_condition_uses_its_index(
    connection: sqlite3.Connection, kind: type[Record], where: Filter, index: str
) -> None:
    statement = count_statement(table_of(kind), where)
    rows = connection.execute(f"EXPLAIN QUERY PLAN {statement.text}", statement.parameters)
    plans = [row[3] for row in rows]
    assert any(index in plan for plan in plans)
    assert not [plan for plan in plans if plan.startswith("SCAN")]


@pytest.mark.parametrize("table", TABLES.values(), ids=lambda table: table.kind)
def test_tables_match_the_schema(connection: sqlite3.Connection, table) -> None:
    columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table.kind})")]
    # In any order: what a migration adds comes last, and statements name their columns.
    assert sorted(columns) == sorted(["id", "revision", *(column.name for column in table.columns), "doc"])
    for child in table.children:
        assert {child.key, child.column} == {row[1] for row in connection.execute(f"PRAGMA table_info({child.table})")}


def test_migrating_gives_volumes_their_names_in_any_case(tmp_path: Path) -> None:
    scripts = sorted((Path(catalog.__file__).parent / "schema").glob("*.sql"))
    older = [script for script in scripts if script.name < "008"]
    columns = [
        "revision",
        "tenant_id",
        "pool_id",
        "created",
        "size",
        "kind",
        "state",
        "reason",
        "used",
        "thick",
        "comment",
    ]
    columns += ["root_mode", "root_uid", "root_gid", "is_clone", "snapshot_count", "clone_count", "generation", "doc"]
    with contextlib.closing(sqlite3.connect(tmp_path / "catalog.sqlite")) as connection:
        for script in older:
            connection.executescript(script.read_text("utf-8"))
        texts = {"tenant_id": b"t", "pool_id": b"p"} | dict.fromkeys(["kind", "state", "reason", "comment", "doc"], "")
        values = [texts.get(column, 0) for column in columns]
        marks = ", ".join("?" * (len(columns) + 2))
        sql = f"INSERT INTO volume (id, name, {', '.join(columns)}) VALUES ({marks})"
        connection.execute(sql, (b"i", "Stra\u00dfe \u00c4", *values))
        connection.execute(f"PRAGMA user_version = {len(older)}")
        connection.commit()
    with contextlib.closing(connect_writer(tmp_path / "catalog.sqlite")) as connection:
        assert connection.execute("SELECT name_key FROM volume").fetchall() == [("strasse \u00e4",)]


def test_migrating_again_changes_nothing(tmp_path: Path) -> None:
    migrations = len([*(Path(catalog.__file__).parent / "schema").glob("*.sql")])
    for _ in range(2):
        with contextlib.closing(connect_writer(tmp_path / "catalog.sqlite")) as connection:
            schema = connection.execute("SELECT count(*) FROM sqlite_master").fetchall()
            assert schema[0][0] > len(TABLES)
            assert connection.execute("PRAGMA user_version").fetchall() == [(migrations,)]
            assert connection.execute("PRAGMA journal_mode").fetchall() == [("wal",)]
            assert connection.execute("PRAGMA synchronous").fetchall() == [(2,)]
