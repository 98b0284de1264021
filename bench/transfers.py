"""What a transfer between two btrfs pools costs when little has changed, and what it costs others meanwhile."""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from uuid import UUID

import msgspec

from bench import requests
from bench.load import drive
from bench.results import Result, at_most, told
from bench.subjects import Sizes, running
from gateway.client import Client, native
from gateway.testing.btrfs_pool import btrfs_pool
from gateway.testing.live import ACCOUNT, PASSWORD, LiveGateway

FILE_BYTES = 40_000
GOAL, LATENCY_GOAL = 0.05, 1.5
MIB = 1 << 20
_SIZE = 1 << 30
_BATCH = 100
_BATCHES = 10
_WAYS = {"streams": "", "the mover": 'disable = ["replicate"]\n'}


class Bed(msgspec.Struct, frozen=True):
    """A gateway with a source and a destination, and where the source's files are."""

    client: Client
    url: str
    source: native.Volume
    replication: native.Replication
    tree: Path


async def transfers(folder: Path, sizes: Sizes) -> list[Result]:
    """Transfer a tree, change a hundredth, and transfer again: by streams, and by the mover."""
    found: list[Result] = []
    for way, settings in _WAYS.items():
        with _bed(folder / way.replace(" ", "-"), settings) as bed:
            found += await _measured(bed, way, sizes)
    return found


async def _measured(bed: Bed, way: str, sizes: Sizes) -> list[Result]:
    for number in range(sizes.moved_files):
        if number % 100 == 0:
            (bed.tree / str(number // 100)).mkdir()
        _file(bed, number).write_bytes(os.urandom(FILE_BYTES))
    os.sync()
    idle = await _slow_s(bed, _BATCHES)
    first, first_s, busy = await _timed(bed)
    for number in range(0, sizes.moved_files, 100):
        _file(bed, number).write_bytes(os.urandom(FILE_BYTES))
    os.sync()
    then, then_s, _ = await _timed(bed)
    share = then.bytes_transferred / first.bytes_transferred
    speed = first.bytes_transferred / first_s / MIB
    return [
        told(f"the first transfer by {way}", f"{speed:.0f} MiB/s", f"{first.bytes_transferred / MIB:.0f} MiB"),
        at_most(f"1 % changed, by {way}: bytes", share, GOAL, digits=3),
        at_most(f"1 % changed, by {way}: time", then_s / first_s, GOAL, digits=3, detail=f"{then_s:.2f} s"),
        at_most(
            f"p99 of GETs during a transfer by {way} / without",
            busy / idle,
            LATENCY_GOAL,
            detail=f"{1000 * busy:.1f} ms and {1000 * idle:.1f} ms",
        ),
    ]


async def _timed(bed: Bed) -> tuple[native.Transfer, float, float]:
    """Transfer; give the transfer, how long it took, and how slow the slowest of a hundred GETs was meanwhile."""
    start = time.perf_counter()
    moving = asyncio.ensure_future(asyncio.to_thread(bed.client.run, native.transfer(bed.replication.id)))
    slow = [await _slow_s(bed, 1)]
    while not moving.done():
        slow.append(await _slow_s(bed, 1))
    moved = await moving
    took = (moved.ended - moved.created).total_seconds() if moved.ended and moved.created else 0
    return moved, took or time.perf_counter() - start, statistics.median(slow)


async def _slow_s(bed: Bed, batches: int) -> float:
    """Give how slow the slowest of a hundred GETs is, in the middle of some hundreds."""
    get = requests.get_volume(UUID(bed.source.id))
    return statistics.median([(await drive(bed.url, [get] * _BATCH, connections=1)).longest_s for _ in range(batches)])


def _file(bed: Bed, number: int) -> Path:
    return bed.tree / str(number // 100) / str(number)


@contextmanager
def _bed(folder: Path, settings: str) -> Iterator[Bed]:
    with ExitStack() as stack:
        mounts = [stack.enter_context(btrfs_pool(folder / name, "1G", quota=False)) for name in ("from", "to")]
        pools = "".join(
            f'[backend.{name}]\ndriver = "btrfs"\npath = "{mount}"\n{settings}'
            for name, mount in zip(("from", "to"), mounts, strict=True)
        )
        server = stack.enter_context(running(LiveGateway(folder / "gateway", pools=pools, faults=False)))
        client = stack.enter_context(Client(server.url, user=ACCOUNT, password=PASSWORD, verify=False))
        source, copy = (
            client.run(native.create_volume(native.NewVolume(name=name, tenant="svm1", pool=name, size=_SIZE)))
            for name in ("from", "to")
        )
        made = client.run(native.create_replication(native.NewReplication(source=source.id, volume=copy.id)))
        handles = client.run(native.handles(source.id))
        tree = next(Path(handle.path) for handle in handles if handle.path)
        yield Bed(client, server.url, source, made, tree)
