"""The catalog's files as a power cut leaves them, at any moment of busy writing: they open and are consistent."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import shutil
import signal
import sqlite3
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from crash_world import CATALOG, everything_in

from gateway.catalog import SqliteCatalog
from gateway.core.jobs import FINAL
from gateway.core.model import Intent, Job, Snapshot, SnapshotState, Volume, VolumeState
from gateway.core.query import And
from gateway.testing.live import ACCOUNT, PASSWORD, LiveGateway, live_gateway

VOLUMES = "/api/storage/volumes"
IMAGES = 16
CLIENTS = 6
_WAL_HEADER, _FRAME_HEADER = 32, 24


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[LiveGateway]:
    with live_gateway(tmp_path / "gw") as made:
        yield made


async def client(http: httpx.AsyncClient, number: int, ids: set[str]) -> None:
    """Make, snapshot, clone, and delete every other one, for ever. `ids`: volumes that stay, once acknowledged."""
    for turn in range(10**6):
        name = f"v{number}_{turn}"
        body = {"name": name, "svm": {"name": "svm1"}, "aggregates": [{"name": "memory"}], "size": 20 << 20}
        made = await http.post(VOLUMES, json=body)
        assert made.status_code == 202, made.text
        volume = made.headers["Location"].rpartition("/")[2]
        await http.post(f"{VOLUMES}/{volume}/snapshots", json={"name": "s"})
        if turn % 2:
            await http.delete(f"{VOLUMES}/{volume}")
        else:
            ids.add(volume)
            clone = {"is_flexclone": True, "parent_volume": {"name": name}, "parent_snapshot": {"name": "s"}}
            await http.post(VOLUMES, json={"name": f"c{number}_{turn}", "svm": {"name": "svm1"}, "clone": clone})


def photograph(gateway: LiveGateway, folder: Path) -> None:
    """Copy the catalog's files while the process stands still, as all of it does when the power goes."""
    folder.mkdir()
    os.kill(gateway.pid, signal.SIGSTOP)
    try:
        for suffix in ("", "-wal"):
            shutil.copy(gateway.data / f"{CATALOG}{suffix}", folder)
    finally:
        os.kill(gateway.pid, signal.SIGCONT)


def unsynced(log: bytes) -> range:
    """Give the bytes of a write-ahead log that may not be on the disk: its last transaction.

    One begins only when the one before it is flushed. What lies behind is left
    from earlier rounds, with other salts. See "WAL File Format" of SQLite.
    """
    page, salts = int.from_bytes(log[8:12]), log[16:24]
    position, begins = _WAL_HEADER, [_WAL_HEADER]
    while position < len(log) and log[position + 8 : position + 16] == salts:
        ends_transaction = log[position + 4 : position + 8] != bytes(4)
        position += _FRAME_HEADER + page
        if ends_transaction:
            begins.append(position)
    return range(begins[-2] if begins[-1] == position and len(begins) > 1 else begins[-1], position)


def damaged(image: Path, folder: Path, rng: random.Random) -> Path:
    """Give a copy in which a part of the last transaction was not written: the log ends in it, or holds noise there."""
    shutil.copytree(image, folder)
    log = folder / f"{CATALOG}-wal"
    content = bytearray(log.read_bytes())
    lost = unsynced(content)
    if not lost:
        return folder
    cut = rng.choice(lost)
    if rng.random() < 0.5:
        log.write_bytes(content[:cut])
    else:
        content[cut : lost.stop] = rng.randbytes(lost.stop - cut)
        log.write_bytes(content)
    return folder


async def assert_consistent(folder: Path) -> set[str]:
    """Open the image as a gateway would; give the ids of its volumes."""
    found = await everything_in(folder, Volume, Snapshot, Job, Intent)
    catalog = SqliteCatalog(folder / CATALOG)
    await catalog.open()
    try:
        for kind, records in found.items():
            assert await catalog.count(kind, And(())) == len(records)
        intents, orphans = await catalog.adopt_orphans()
        assert {intent.id for intent in intents} == {intent.id for intent in found[Intent]}
        assert orphans == []
    finally:
        await catalog.close()
    jobs = {job.id: job for job in found[Job]}
    assert all(jobs[intent.job_id].state not in FINAL for intent in found[Intent])
    assert sum(job.state not in FINAL for job in jobs.values()) == len(found[Intent])
    taken = Counter(s.volume_id for s in found[Snapshot] if s.state is not SnapshotState.CREATING)
    made = [v for v in found[Volume] if v.state is not VolumeState.CREATING]
    cloned = Counter(v.origin.volume_id for v in made if v.origin is not None)
    for volume in found[Volume]:
        assert (volume.snapshot_count, volume.clone_count) == (taken[volume.id], cloned[volume.id]), volume.name
    with contextlib.closing(sqlite3.connect(folder / CATALOG)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    return {str(volume.id) for volume in found[Volume]}


async def test_the_catalog_survives_a_power_cut_at_any_moment(gateway: LiveGateway, tmp_path: Path) -> None:
    rng = random.Random(5)
    limits = httpx.Limits(max_connections=CLIENTS)
    ids: set[str] = set()
    acknowledged: list[set[str]] = []
    async with httpx.AsyncClient(
        base_url=gateway.url,
        auth=(ACCOUNT, PASSWORD),
        timeout=60,
        limits=limits,
        trust_env=False,
        params={"return_timeout": 30},
    ) as http:
        working = [asyncio.create_task(client(http, number, ids)) for number in range(CLIENTS)]
        # A load that did nothing would prove nothing: on a busy machine there are more images.
        while len(acknowledged) < IMAGES or len(acknowledged[-1]) <= IMAGES:
            pause = rng.uniform(0.01, 0.2)
            failed, _ = await asyncio.wait(working, timeout=pause, return_when=asyncio.FIRST_EXCEPTION)
            assert not failed, [task.exception() for task in failed]
            acknowledged.append(set(ids))
            photograph(gateway, tmp_path / f"image{len(acknowledged) - 1}")
        for task in working:
            task.cancel()
        await asyncio.gather(*working, return_exceptions=True)
    for number, known in enumerate(acknowledged):
        image = tmp_path / f"image{number}"
        cuts = [damaged(image, tmp_path / f"cut{number}_{cut}", rng) for cut in range(3)]
        assert await assert_consistent(image) >= known
        for cut in cuts:
            await assert_consistent(cut)
