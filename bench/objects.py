"""What snapshots and clones of many objects cost in an S3 store, against listing the objects."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import UUID, uuid4

from bench.measure import Cost, Round, cpu_s, interleaved, wall_ms, wall_ratio
from bench.results import Result, at_most, told
from bench.subjects import Sizes
from gateway.backends.s3 import S3Backend
from gateway.core.backend import Note, VolumeSpec
from gateway.core.model import VolumeKind
from gateway.testing.object_store import fresh_options
from gateway.testing.radosgw import radosgw

_NOTE = Note(name="bench", tenant="svm1", document=b"{}")
_FEW = 10
_THREADS = 16


async def objects(folder: Path, sizes: Sizes) -> list[Result]:
    """Snapshot and clone a volume of many objects, and one of few."""
    with radosgw(folder / "radosgw") as server:
        backend = S3Backend("bench", fresh_options(server))
        await backend.open()
        try:
            many, few = await _filled(backend, sizes.objects), await _filled(backend, _FEW)
            taken = {volume: uuid4() for volume in (many, few)}
            for volume, snapshot in taken.items():
                await backend.snapshot(volume, snapshot, _NOTE)
            found = await interleaved(
                sizes.rounds,
                {
                    "list": _timed(lambda: _listed(backend, many)),
                    "snapshot": _timed(lambda: backend.snapshot(many, uuid4(), _NOTE)),
                    "clone few": _timed(lambda: backend.clone(few, taken[few], _spec(uuid4()))),
                    "clone many": _timed(lambda: backend.clone(many, taken[many], _spec(uuid4()))),
                },
            )
        finally:
            await backend.close()
    return [
        at_most(
            f"snapshot of {sizes.objects} objects / listing them",
            wall_ratio(found, "list", "snapshot") ** -1,
            1.2,
            detail=f"{wall_ms(found, 'snapshot'):.0f} and {wall_ms(found, 'list'):.0f} ms",
        ),
        at_most(
            f"clone of {sizes.objects} objects / of {_FEW}",
            wall_ratio(found, "clone few", "clone many") ** -1,
            1.5,
            detail=f"{wall_ms(found, 'clone many'):.1f} and {wall_ms(found, 'clone few'):.1f} ms",
        ),
        told("listing", f"{wall_ms(found, 'list') / sizes.objects * 1000:.1f} ms", "for a thousand objects"),
    ]


def _spec(volume: UUID) -> VolumeSpec:
    return VolumeSpec(id=volume, kind=VolumeKind.OBJECTS, size=1 << 40, note=_NOTE)


async def _filled(backend: S3Backend, count: int) -> UUID:
    volume = uuid4()
    await backend.create(_spec(volume))
    pool = backend._session.pool  # noqa: SLF001 - objects come by clients otherwise
    below = pool.layout.below(volume)
    with ThreadPoolExecutor(_THREADS) as threads:
        work = [asyncio.wrap_future(threads.submit(pool.data.put, f"{below}{n:06}", b"x" * 64)) for n in range(count)]
        await asyncio.gather(*work)
    return volume


async def _listed(backend: S3Backend, volume: UUID) -> None:
    session = backend._session  # noqa: SLF001 - the bare list, as the store gives it
    await session.run(lambda: sum(1 for _ in session.pool.own(volume)))


def _timed(step: Callable[[], Awaitable[object]]) -> Round:
    async def measure() -> Cost:
        before, start = cpu_s(os.getpid()), time.perf_counter()
        await step()
        return Cost(cpu_s(os.getpid()) - before, time.perf_counter() - start)

    return measure
