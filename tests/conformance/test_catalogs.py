"""Every catalog against the shipped conformance suite, and what only the SQLite one promises."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import uuid4

import msgspec
import pytest

from gateway.catalog import Catalog, SqliteCatalog, drop, put
from gateway.core.errors import Conflict, Unavailable
from gateway.core.model import Intent, Job, Volume
from gateway.core.query import ALL, Compare, Match, Op, Or, Order, Query
from gateway.testing.catalogs import CatalogConformance
from gateway.testing.faults import RaiseAt, Recorder
from gateway.testing.records import MakeCatalog, intent, stored, volume


class TestSqlite(CatalogConformance):
    @pytest.fixture
    async def make_catalog(self, tmp_path: Path) -> AsyncIterator[MakeCatalog]:
        async with contextlib.AsyncExitStack() as stack:

            async def make() -> Catalog:
                catalog = SqliteCatalog(tmp_path / "catalog.sqlite")
                stack.push_async_callback(catalog.close)
                await catalog.open()
                return catalog

            yield make


@pytest.fixture
async def catalog(tmp_path: Path) -> AsyncIterator[SqliteCatalog]:
    catalog = SqliteCatalog(tmp_path / "catalog.sqlite")
    await catalog.open()
    yield catalog
    await catalog.close()


async def test_concurrent_commits_share_transactions(catalog: SqliteCatalog) -> None:
    before = catalog.transactions
    await asyncio.gather(*(catalog.commit(put(volume(f"v{n}"))) for n in range(200)))
    assert catalog.transactions - before < 20
    assert await catalog.count(Volume, ALL) == 200


LEAVE_THINGS_BEHIND = """
import asyncio, pathlib, signal, sys
from gateway.catalog import SqliteCatalog, put
from gateway.testing.records import intent, job
from uuid import UUID

async def main():
    catalog = SqliteCatalog(pathlib.Path(sys.argv[1]))
    await catalog.open()
    carried, alone = job(catalog.owner), job(catalog.owner)
    await catalog.commit(put(carried, alone, intent(catalog.owner, UUID(int=7), job_id=carried.id)))
    assert await catalog.acquire_lease("reconcile")
    print(catalog.owner, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.fixture
def doomed(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    arguments = [sys.executable, "-c", LEAVE_THINGS_BEHIND, str(tmp_path / "catalog.sqlite")]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


async def test_orphans_of_a_killed_process(catalog: SqliteCatalog, doomed: subprocess.Popen[str]) -> None:
    assert doomed.stdout is not None
    owner = (await asyncio.to_thread(doomed.stdout.readline)).strip()
    assert await catalog.adopt_orphans() == ([], [])
    assert not await catalog.acquire_lease("reconcile")
    held = (await catalog.page(Intent, Query())).records
    assert [record.owner for record in held] == [owner]
    with pytest.raises(Conflict):
        await catalog.commit(put(intent(catalog.owner, *held[0].keys)))
    doomed.send_signal(signal.SIGKILL)
    await asyncio.to_thread(doomed.wait)
    intents, jobs = await catalog.adopt_orphans()
    assert [record.id for record in intents] == [held[0].id]
    assert len(jobs) == 1
    assert {record.owner for record in (await catalog.page(Job, Query())).records} == {catalog.owner}
    assert await catalog.acquire_lease("reconcile")
    await catalog.commit(drop(*intents) + put(intent(catalog.owner, *held[0].keys)))


async def test_dead_owners_leave_no_files(tmp_path: Path, doomed: subprocess.Popen[str]) -> None:
    assert doomed.stdout is not None
    owner = (await asyncio.to_thread(doomed.stdout.readline)).strip()
    doomed.kill()
    await asyncio.to_thread(doomed.wait)
    assert (tmp_path / "owners" / f"{owner}.lock").exists()
    catalog = SqliteCatalog(tmp_path / "catalog.sqlite")
    await catalog.open()
    assert [file.name for file in (tmp_path / "owners").glob("*.lock")] == [f"{catalog.owner}.lock"]
    await catalog.close()
    assert list((tmp_path / "owners").glob("*.lock")) == []


async def test_strange_owner_names_are_dead(catalog: SqliteCatalog, tmp_path: Path) -> None:
    (tmp_path / "outside.lock").touch()
    records = [intent(name, uuid4()) for name in ("", "../outside", "a\nb", "x" * 5000)]
    await catalog.commit(put(*records))
    intents, _ = await catalog.adopt_orphans()
    assert {record.id for record in intents} == {record.id for record in records}


POINTS = ["catalog.commit.begun", "catalog.commit.written", "catalog.commit.durable"]


async def test_fault_points(tmp_path: Path) -> None:
    recorder = Recorder()
    catalog = SqliteCatalog(tmp_path / "catalog.sqlite", fault=recorder)
    await catalog.open()
    await catalog.commit(put(volume("v")))
    await catalog.close()
    assert recorder.points == POINTS


@pytest.mark.parametrize(("point", "kept"), [*zip(POINTS, [0, 0, 1], strict=True)])
async def test_failure_around_the_commit(tmp_path: Path, point: str, kept: int) -> None:
    catalog = SqliteCatalog(tmp_path / "catalog.sqlite", fault=RaiseAt(point, sqlite3.OperationalError("secret SQL")))
    await catalog.open()
    with pytest.raises(Unavailable) as caught:
        await catalog.commit(put(volume("v")))
    assert "secret" not in str(caught.value)
    assert await catalog.count(Volume, ALL) == kept
    await catalog.commit(put(volume("w")))
    assert await catalog.count(Volume, ALL) == kept + 1
    await catalog.close()


COMMIT_AND_DIE = """
import asyncio, pathlib, sys
from gateway.catalog import SqliteCatalog, put
from gateway.testing.faults import KillAt
from gateway.testing.records import volume

async def main():
    catalog = SqliteCatalog(pathlib.Path(sys.argv[1]), fault=KillAt(sys.argv[2], 2))
    await catalog.open()
    await catalog.commit(put(volume("first")))
    await catalog.commit(put(*(volume(f"v{n}") for n in range(10))))

asyncio.run(main())
"""


@pytest.mark.parametrize(("point", "kept"), [*zip(POINTS, [1, 1, 11], strict=True)])
async def test_killed_around_the_commit(tmp_path: Path, point: str, kept: int) -> None:
    path = tmp_path / "catalog.sqlite"
    ended = await asyncio.to_thread(subprocess.run, [sys.executable, "-c", COMMIT_AND_DIE, str(path), point])
    assert ended.returncode == -signal.SIGKILL
    catalog = SqliteCatalog(path)
    await catalog.open()
    assert await catalog.count(Volume, ALL) == kept
    assert await catalog.count(Volume, Match("name", "*")) == kept
    await catalog.close()


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[None]:
    """Let no file of this process grow beyond a megabyte; the kernel refuses the write as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_full_disk(catalog: SqliteCatalog, full_disk: None) -> None:
    (kept,) = await stored(catalog, volume("kept"))
    large = [msgspec.structs.replace(volume(f"v{n}"), comment="x" * 100_000) for n in range(10)]
    with pytest.raises(Unavailable) as caught:
        await catalog.commit(put(*large))
    assert caught.value.what == "catalog"
    assert await catalog.count(Volume, ALL) == 1
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    await catalog.commit(put(*large))
    assert await catalog.count(Volume, ALL) == 11
    assert await catalog.get(Volume, kept.id) == kept


async def test_long_reads_leave_the_loop_free(catalog: SqliteCatalog) -> None:
    await stored(catalog, *(msgspec.structs.replace(volume(f"v{n}"), comment="ab" * 400) for n in range(20_000)))
    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count_turns())
    await asyncio.sleep(0)
    before = turns
    found = await catalog.page(Volume, Query(where=Match("comment", "*a*a*a*a*c*"), order=(Order("used"),)))
    assert found.records == ()
    assert turns > before + 1
    counting.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await counting


async def test_closing_abandons_long_reads(catalog: SqliteCatalog) -> None:
    await stored(catalog, *(msgspec.structs.replace(volume(f"v{n}"), comment="ab" * 400) for n in range(5000)))
    slow = Or(tuple(Match("comment", f"*b*a*{n}") for n in range(1900)))
    reads = [asyncio.ensure_future(catalog.count(Volume, slow)) for _ in range(3)]
    await asyncio.sleep(0)
    await catalog.close()
    for read in reads:
        with pytest.raises(Unavailable):
            await read


async def test_damaged_file(tmp_path: Path) -> None:
    (tmp_path / "catalog.sqlite").write_bytes(b"this is not a database, " * 1000)
    catalog = SqliteCatalog(tmp_path / "catalog.sqlite")
    with pytest.raises(Unavailable):
        await catalog.open()
    await catalog.close()


async def test_newer_schema(tmp_path: Path) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / "catalog.sqlite")) as connection:
        connection.execute("PRAGMA user_version = 999")
    catalog = SqliteCatalog(tmp_path / "catalog.sqlite")
    with pytest.raises(Unavailable) as caught:
        await catalog.open()
    assert caught.value.reason == "written by a newer release"
    await catalog.close()


async def test_not_open(tmp_path: Path) -> None:
    catalog = SqliteCatalog(tmp_path / "catalog.sqlite")
    for attempt in (catalog.get(Volume, uuid4()), catalog.next_number("n")):
        with pytest.raises(Unavailable):
            await attempt
    await catalog.close()


async def test_opened_again(catalog: SqliteCatalog) -> None:
    (record,) = await stored(catalog, volume("v"))
    owner = catalog.owner
    await catalog.close()
    await catalog.open()
    assert catalog.owner != owner
    assert await catalog.get(Volume, record.id) == record


async def test_many_open_at_once(tmp_path: Path) -> None:
    catalogs = [SqliteCatalog(tmp_path / "catalog.sqlite") for _ in range(5)]
    await asyncio.gather(*(catalog.open() for catalog in catalogs))
    assert len({catalog.owner for catalog in catalogs}) == 5
    assert all(catalog.owner.split(":")[1] == str(os.getpid()) for catalog in catalogs)
    await asyncio.gather(*(catalog.commit(put(volume(f"v{n}"))) for n, catalog in enumerate(catalogs)))
    assert await catalogs[0].count(Volume, Compare("size", Op.GT, 0)) == 5
    await asyncio.gather(*(catalog.close() for catalog in catalogs))
