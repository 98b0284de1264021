"""The Cinder driver: what it adds to the gateway's own calls, and whether clones take longer for larger volumes."""

from __future__ import annotations

import itertools
import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench.measure import Cost, Round, Rounds, cpu_s, interleaved, wall_ms, wall_ratio
from bench.results import Result, at_most
from bench.subjects import MEMORY_POOL, Server, Sizes, running
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
    with ExitStack() as stack:
        pool, tables = stack.enter_context(_pool(folder))
        site, server = stack.enter_context(_opened(LiveGateway(folder / "cinder", pools=tables, faults=False)))
        small, large = (_source(site, pool, size) for size in (_SMALL, _LARGE))
        found = await interleaved(
            sizes.rounds,
            {
                "clone small": _timed(site, server, _cloning(site, small), sizes.changes),
                "clone large": _timed(site, server, _cloning(site, large), sizes.changes),
                "snapshot small": _timed(site, server, _from_snapshot(site, small), sizes.changes),
                "snapshot large": _timed(site, server, _from_snapshot(site, large), sizes.changes),
            },
        )
    return [*_sized(found, pool), *_overhead(folder, sizes), _asked(folder)]


def _sized(found: Rounds, pool: str) -> Iterator[Result]:
    for what, name in (("clone", "clone"), ("volume from a snapshot", "snapshot")):
        times = f"{wall_ms(found, f'{name} small'):.1f} ms and {wall_ms(found, f'{name} large'):.1f} ms on {pool}"
        ratio = wall_ratio(found, f"{name} large", f"{name} small")
        yield at_most(f"Cinder driver: {what} of 100 GB / of 10 MB", ratio, _RATIO, detail=times)


def _overhead(folder: Path, sizes: Sizes) -> Iterator[Result]:
    """Compare the driver with the bare calls, in turns, on memory: there the rest of a change takes least."""
    with _opened(LiveGateway(folder / "overhead", pools=MEMORY_POOL, faults=False)) as (site, _):
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
    with _opened(LiveGateway(folder / "pools", pools=many, faults=False)) as (site, _):
        counted = _Counting(site.client)
        begun = time.perf_counter()
        told = stats.stats(Site(counted, site.tenant, site.settings), stats.Words(backend_name="bench"))
        took = (time.perf_counter() - begun) * 1000
    what = f"Cinder driver: requests for the stats of {len(told['pools'])} pools"
    return at_most(what, counted.requests, 1, digits=0, detail=f"{took:.1f} ms")


class _Counting(Client):
    """A client that counts what another one carries out."""

    def __init__(self, client: Client) -> None:
        self._http = client._http  # noqa: SLF001 - it is the same one, looked at
        self.requests = 0
        self._http.event_hooks = {"request": [self._count]}

    def _count(self, _request: object) -> None:
        self.requests += 1


@contextmanager
def _pool(folder: Path) -> Iterator[tuple[str, str]]:
    """Give a pool's name and its table: a file system with reflink for root, else memory."""
    if os.geteuid():
        yield "memory", MEMORY_POOL
        return
    with loop_pool(folder / "disk", "xfs", "4G") as mount:
        yield "xfs", f'[backend.xfs]\ndriver = "directory"\npath = "{mount}"\n'


@contextmanager
def _opened(gateway: LiveGateway) -> Iterator[tuple[Site, Server]]:
    with running(gateway) as server, Client(server.url, user=ACCOUNT, password=PASSWORD) as client:
        yield open_site(client, Settings()), server


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


def _timed(site: Site, server: Server, act: Act, count: int) -> Round:
    """Give a round that makes volumes; that they go again does not count."""

    async def measure() -> Cost:
        cpu, begun = cpu_s(server.pid), time.perf_counter()
        made = [act() for _ in range(count)]
        cost = Cost((cpu_s(server.pid) - cpu) / count, (time.perf_counter() - begun) / count)
        for one in made:
            site.run(native.delete_volume(one.id))
        return cost

    return measure
