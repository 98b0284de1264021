"""The Cinder driver: what it adds to the gateway's own calls, and whether clones take longer for larger volumes."""

from __future__ import annotations

import itertools
import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx

from bench.results import Result, at_most
from bench.subjects import MEMORY_POOL, Sizes, running
from gateway.client import Client, native
from gateway.frontends.cinder_driver import snapshots, stats, volumes
from gateway.frontends.cinder_driver.records import GIB, CinderSnapshot, CinderVolume
from gateway.frontends.cinder_driver.site import Settings, Site, open_site
from gateway.testing.live import ACCOUNT, PASSWORD, LiveGateway
from gateway.testing.loop_pool import loop_pool

_SMALL, _LARGE = 10 << 20, 100 * GIB
_POOLS = 20
_RATIO = 1.2
_OVERHEAD_MS = 10
_NUMBERS = itertools.count()
Act = Callable[[], native.Volume]


async def cinder(folder: Path, sizes: Sizes) -> list[Result]:
    """Measure clones of 10 MB and of 100 GB, the driver beside the bare calls, and count the requests of its stats."""
    return [*_sized(folder, sizes), *_overhead(folder, sizes), _asked(folder)]


def _sized(folder: Path, sizes: Sizes) -> Iterator[Result]:
    """Compare clones of a small and of a large volume, in turns."""
    with ExitStack() as stack:
        pool, tables = stack.enter_context(_pool(folder))
        site = stack.enter_context(_opened(LiveGateway(folder / "sizes", pools=tables, faults=False)))
        sources = [_source(site, pool, size) for size in (_SMALL, _LARGE)]
        for what, acting in (("clone", _cloning), ("volume from a snapshot", _from_snapshot)):
            acts = [acting(site, source) for source in sources]
            small, large = _in_turns(site, acts, sizes.changes * sizes.rounds)
            times = f"{small:.1f} ms and {large:.1f} ms on {pool}"
            yield at_most(f"Cinder driver: {what} of 100 GB / of 10 MB", large / small, _RATIO, detail=times)


def _overhead(folder: Path, sizes: Sizes) -> Iterator[Result]:
    """Compare the driver with the bare calls, in turns, on memory: there the rest of a change takes least."""
    with _opened(LiveGateway(folder / "overhead", pools=MEMORY_POOL, faults=False)) as site:
        source = _source(site, "memory", _SMALL)
        pairs: dict[str, tuple[Act, Act]] = {
            "create": (_own_create(site, "memory"), _creating(site, "memory")),
            "clone": (_own_clone(site, source), _cloning(site, source)),
        }
        for what, acts in pairs.items():
            own, driver = _in_turns(site, acts, sizes.changes * sizes.rounds)
            yield at_most(
                f"Cinder driver: {what} beyond the gateway's own call",
                driver - own,
                _OVERHEAD_MS,
                unit=" ms",
                digits=1,
                detail=f"{own:.1f} ms by itself",
            )


def _in_turns(site: Site, acts: Sequence[Act], count: int) -> list[float]:
    """Give the median time of each in milliseconds."""
    took: list[list[float]] = [[] for _ in acts]
    for _ in range(count):
        for act, times in zip(acts, took, strict=True):
            begun = time.perf_counter()
            made = act()
            times.append((time.perf_counter() - begun) * 1000)
            site.run(native.delete_volume(made.id))
    return [statistics.median(times) for times in took]


def _asked(folder: Path) -> Result:
    """Count the requests for the stats of many pools."""
    many = "".join(f'[backend.memory{number}]\ndriver = "memory"\n' for number in range(_POOLS))
    counted = _Counted()
    with _opened(LiveGateway(folder / "pools", pools=many, faults=False), counted) as site:
        counted.requests, begun = 0, time.perf_counter()
        told = stats.stats(site, stats.Words(backend_name="bench"))
        took = (time.perf_counter() - begun) * 1000
    what = f"Cinder driver: requests for the stats of {len(told['pools'])} pools"
    return at_most(what, counted.requests, 1, digits=0, detail=f"{took:.1f} ms")


class _Counted(httpx.HTTPTransport):
    """The network, with a count of what is sent there."""

    requests = 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.requests += 1
        return super().handle_request(request)


@contextmanager
def _pool(folder: Path) -> Iterator[tuple[str, str]]:
    """Give a pool's name and its table: a file system with reflink for root, else memory."""
    if os.geteuid():
        yield "memory", MEMORY_POOL
        return
    with loop_pool(folder / "disk", "xfs", "4G") as mount:
        yield "xfs", f'[backend.xfs]\ndriver = "directory"\npath = "{mount}"\n'


@contextmanager
def _opened(gateway: LiveGateway, transport: httpx.BaseTransport | None = None) -> Iterator[Site]:
    with (
        running(gateway) as server,
        Client(server.url, user=ACCOUNT, password=PASSWORD, transport=transport) as client,
    ):
        yield open_site(client, Settings())


def _volume(pool: str, size: int) -> CinderVolume:
    name = f"volume-{next(_NUMBERS)}"
    return CinderVolume(id=name, name=name, size=size, pool=pool)


def _source(site: Site, pool: str, size: int) -> CinderSnapshot:
    """Make a volume with a snapshot, as Cinder knows them afterwards."""
    volume = _volume(pool, size)
    made = volumes.create(site, volume)
    known = CinderVolume(id=volume.id, name=volume.name, size=size, pool=pool, core_id=made.id)
    taken = snapshots.create(site, CinderSnapshot(id=volume.id, name="snapshot", volume=known))
    return CinderSnapshot(id=volume.id, name="snapshot", volume=known, core_id=taken.id)


def _cloning(site: Site, source: CinderSnapshot) -> Act:
    return lambda: volumes.cloned(site, _volume(source.volume.pool, source.volume.size), source.volume)


def _from_snapshot(site: Site, source: CinderSnapshot) -> Act:
    return lambda: volumes.from_snapshot(site, _volume(source.volume.pool, source.volume.size), source)


def _creating(site: Site, pool: str) -> Act:
    return lambda: volumes.create(site, _volume(pool, _SMALL))


def _own_clone(site: Site, source: CinderSnapshot) -> Act:
    return lambda: site.run(
        native.clone_volume(source.volume.core_id, native.NewClone(name=_volume("", 0).name, size=source.volume.size))
    )


def _own_create(site: Site, pool: str) -> Act:
    return lambda: site.run(
        native.create_volume(
            native.NewVolume(name=_volume("", 0).name, tenant=site.tenant.name, pool=pool, size=_SMALL, kind="block")
        )
    )
