"""What a change costs through the door, against the substrate alone and the disk's own flushes."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from uuid import UUID, uuid4

from bench import requests
from bench.load import drive
from bench.measure import Cost, Round, Rounds, cpu_s, cpu_us, interleaved, wall_ms, wall_ratio
from bench.results import Result, at_least, at_most, told
from bench.subjects import MEMORY_POOL, Server, Sizes, running
from gateway.backends.btrfs import BtrfsBackend, BtrfsOptions
from gateway.backends.btrfs.kernel import Kernel
from gateway.core.backend import Note, VolumeSpec
from gateway.core.model import VolumeKind
from gateway.testing.btrfs_pool import btrfs_pool
from gateway.testing.live import LiveGateway

_CREATORS = 16
_FLUSHES = 2
_REPEATED = 10
_COMMIT_BYTES = 4 * 4096
_NOTE = Note(name="bench", tenant="svm1", document=b"{}" * 300)
Step = Callable[[], Awaitable[object]]


async def creators(folder: Path, sizes: Sizes) -> list[Result]:
    """Compare many concurrent creators with one, on memory: what is left is the catalog's durability and our CPU."""
    with running(LiveGateway(folder / "creators", pools=MEMORY_POOL, faults=False)) as server:
        names = (f"c{number}" for number in itertools.count())

        def create() -> bytes:
            return requests.create_volume(next(names), pool="memory")

        found = await interleaved(
            sizes.rounds,
            {
                "one": _sent(server, create, sizes.creates),
                "many": _sent(server, create, sizes.creates, connections=_CREATORS),
                "flush": _flushing(folder, 1),
            },
        )
    rates = f"{1000 / wall_ms(found, 'many'):.0f}/s and {1000 / wall_ms(found, 'one'):.0f}/s"
    return [
        at_least(
            f"{_CREATORS} creators / one on memory",
            wall_ratio(found, "one", "many"),
            8.0,
            detail=f"{rates}; one flush {wall_ms(found, 'flush'):.2f} ms",
        ),
        at_most(
            "create on memory, one at a time: CPU",
            cpu_us(found, "one") / 1000,
            1.0,
            unit=" ms",
            detail=f"{cpu_us(found, 'many') / 1000:.2f} ms with {_CREATORS} at a time",
        ),
    ]


async def changes(folder: Path, sizes: Sizes) -> list[Result]:
    """Compare create, snapshot and clone on btrfs with the same done by the backend and by bare system calls."""
    async with AsyncExitStack() as stack:
        mount = stack.enter_context(btrfs_pool(folder / "btrfs"))
        ours, theirs = mount / "gateway", mount / "backend"
        ours.mkdir()
        theirs.mkdir()
        pools = f'[backend.fast]\ndriver = "btrfs"\npath = "{ours}"\n'
        server = stack.enter_context(running(LiveGateway(folder / "changes", pools=pools, faults=False)))
        backend = BtrfsBackend("bench", BtrfsOptions(path=theirs))
        await backend.open()
        stack.push_async_callback(backend.close)
        alone, raw = _Backend(backend), _Raw(mount / "raw")
        await alone.prepare()
        await raw.prepare()
        subjects = {"flushes": _flushing(folder, _FLUSHES)}
        for name, request in (await _by_request(server)).items():
            subjects[f"{name} door"] = _sent(server, request, sizes.changes)
            subjects[f"{name} backend"] = _called(getattr(alone, name), sizes.changes)
            subjects[f"{name} raw"] = _called(getattr(raw, name), sizes.changes)
        found = await interleaved(sizes.rounds, subjects)
    flushes = wall_ms(found, "flushes")
    return [line for name in ("create", "snapshot", "clone") for line in _compared(found, name, flushes)]


def _compared(found: Rounds, name: str, flushes: float) -> list[Result]:
    door, backend, raw = (wall_ms(found, f"{name} {how}") for how in ("door", "backend", "raw"))
    cpu = (cpu_us(found, f"{name} door") - cpu_us(found, f"{name} backend")) / 1000
    return [
        at_most(f"{name} on btrfs: CPU beyond the substrate's", cpu, 1.0, unit=" ms"),
        told(
            f"{name} on btrfs: time",
            f"{door:.1f} ms",
            f"substrate {backend:.1f} + {_FLUSHES} flushes {flushes:.1f} = {backend + flushes:.1f} ms;"
            f" bare system call {raw:.2f} ms",
        ),
    ]


def _sent(server: Server, request: Callable[[], bytes], count: int, *, connections: int = 1) -> Round:
    async def measure() -> Cost:
        batch = [request() for _ in range(count)]
        before = cpu_s(server.pid)
        load = await drive(server.url, batch, connections=connections, status=202)
        return Cost((cpu_s(server.pid) - before) / count, load.seconds / count)

    return measure


def _called(step: Step, count: int) -> Round:
    async def measure() -> Cost:
        before, start = cpu_s(os.getpid()), time.perf_counter()
        for _ in range(count):
            await step()
        return Cost((cpu_s(os.getpid()) - before) / count, (time.perf_counter() - start) / count)

    return measure


def _flushing(folder: Path, times: int) -> Round:
    """Give a round that appends to a file on the catalog's disk and flushes, so many times."""

    def flush() -> None:
        file = os.open(folder / "flushed", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        try:
            for _ in range(times * _REPEATED):
                os.write(file, b"x" * _COMMIT_BYTES)
                os.fdatasync(file)
        finally:
            os.close(file)

    async def measure() -> Cost:
        start = time.perf_counter()
        await asyncio.to_thread(flush)
        return Cost(0.0, (time.perf_counter() - start) / _REPEATED)

    return measure


async def _by_request(server: Server) -> Mapping[str, Callable[[], bytes]]:
    """Make a volume with a snapshot, and give what makes the request for each kind of change."""
    await drive(server.url, [requests.create_volume("base", pool="fast")], connections=1, status=202)
    found = await drive(server.url, [requests.get("/api/storage/volumes?name=base")], connections=1)
    base = json.loads(found.last)["records"][0]["uuid"]
    await drive(server.url, [requests.create_snapshot(base, "base")], connections=1, status=202)
    numbers = itertools.count()
    return {
        "create": lambda: requests.create_volume(f"v{next(numbers)}", pool="fast"),
        "snapshot": lambda: requests.create_snapshot(base, f"s{next(numbers)}"),
        "clone": lambda: requests.clone_volume("base", "base", f"c{next(numbers)}"),
    }


class _Backend:
    """The same by the backend alone, as the core calls it."""

    def __init__(self, backend: BtrfsBackend) -> None:
        self._backend = backend
        self._volume, self._snapshot = uuid4(), uuid4()

    async def prepare(self) -> None:
        await self._backend.create(_spec(self._volume))
        await self._backend.snapshot(self._volume, self._snapshot, _NOTE)

    async def create(self) -> None:
        await self._backend.create(_spec(uuid4()))

    async def snapshot(self) -> None:
        await self._backend.snapshot(self._volume, uuid4(), _NOTE)

    async def clone(self) -> None:
        await self._backend.clone(self._volume, self._snapshot, _spec(uuid4()))


class _Raw:
    """The same by the kernel's calls: nothing is kept with the objects, nothing is made durable beyond the call."""

    def __init__(self, folder: Path) -> None:
        self._kernel = Kernel()
        self._folder = folder

    async def prepare(self) -> None:
        self._folder.mkdir()
        self._kernel.create_subvolume(self._folder / "volume")
        self._kernel.create_snapshot(self._folder / "volume", self._folder / "snapshot", read_only=True)

    async def create(self) -> None:
        await asyncio.to_thread(self._kernel.create_subvolume, self._new())

    async def snapshot(self) -> None:
        await asyncio.to_thread(self._copy, "volume", read_only=True)

    async def clone(self) -> None:
        await asyncio.to_thread(self._copy, "snapshot", read_only=False)

    def _copy(self, source: str, *, read_only: bool) -> None:
        self._kernel.create_snapshot(self._folder / source, self._new(), read_only=read_only)

    def _new(self) -> Path:
        return self._folder / uuid4().hex


def _spec(volume: UUID) -> VolumeSpec:
    return VolumeSpec(id=volume, kind=VolumeKind.FILESYSTEM, size=1 << 30, note=_NOTE)
