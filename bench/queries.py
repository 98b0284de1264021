"""Queries and large reads at the ONTAP door: whole records, indexed and other filters, and everything there is."""

from __future__ import annotations

import itertools
import json
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path

from bench import requests
from bench.fill import name_of
from bench.load import Load, drive
from bench.measure import Cost, cpu_s, cpu_us, interleaved, peak_mb, resident_mb, wall_ms, wall_ratio
from bench.process import watched
from bench.results import Result, at_most
from bench.subjects import Server, Sizes, bare, running
from gateway.testing.live import LiveGateway

_VOLUMES = "/api/storage/volumes"
_WHOLE = f"{_VOLUMES}?fields=**"
_PAGE = 100
_RECORD_US = 12
_HELD_MS = 5
_ALL_AT_ONCE = 1024
"""The records of a page of Ansible's `rest_info`."""
_GROWTH_MB = 32


async def queries(folder: Path, many: LiveGateway, medium: LiveGateway, sizes: Sizes) -> list[Result]:
    """Measure what clients ask for when they want more than one volume."""
    with running(many) as server:
        rendered = await _rendered(folder, server, sizes)
        with running(medium) as smaller:
            indexed = await _indexed(server, smaller, sizes)
    unindexed = await _unindexed(many)
    with running(medium) as server:
        everything = await _everything(server)
    return [*rendered, *indexed, *unindexed, *everything]


async def _rendered(folder: Path, server: Server, sizes: Sizes) -> list[Result]:
    """Compare pages of whole records, none of them asked for before, with a bare server's of the same bytes."""
    pages = _pages(sizes)
    body = (await drive(server.url, next(pages)[:1], connections=1)).last
    with bare(folder, body) as (routed, _):
        same = [requests.get(_WHOLE)] * sizes.cold_pages
        found = await interleaved(
            sizes.rounds, {"bare": _cost(routed, itertools.repeat(same)), "cold": _cost(server, pages)}
        )
    each = (cpu_us(found, "cold") - cpu_us(found, "bare")) / _PAGE
    detail = f"CPU {cpu_us(found, 'bare'):.0f} us bare, {cpu_us(found, 'cold'):.0f} us here, rendered anew each time"
    what = f"fields=**, page of {_PAGE}, {len(body) // 1024} KB: CPU per record over a bare server"
    return [at_most(what, each, _RECORD_US, unit=" us", digits=1, detail=detail)]


def _pages(sizes: Sizes) -> Iterator[Sequence[bytes]]:
    starts = itertools.cycle(range(0, sizes.volumes, _PAGE))
    while True:
        begun = [name_of(start) for start in itertools.islice(starts, sizes.cold_pages)]
        yield [requests.get(f"{_WHOLE}&order_by=name&name=>{name}&max_records={_PAGE}") for name in begun]


async def _indexed(many: Server, medium: Server, sizes: Sizes) -> list[Result]:
    """Compare a query by two columns at many volumes with the same at fewer."""
    found = await interleaved(
        sizes.rounds,
        {
            "many": _cost(many, _named(sizes.volumes, sizes)),
            "medium": _cost(medium, _named(sizes.medium, sizes)),
        },
    )
    detail = f"svm.name and name; {wall_ms(found, 'many'):.2f} and {wall_ms(found, 'medium'):.2f} ms"
    what = f"two indexed filters at {sizes.volumes} / at {sizes.medium} volumes"
    return [at_most(what, wall_ratio(found, "many", "medium"), 2, detail=detail)]


def _named(volumes: int, sizes: Sizes) -> Iterator[Sequence[bytes]]:
    """Give batches of queries that find ten volumes each, all over the catalog."""
    every = itertools.cycle(range(0, volumes, max(10, volumes // 1000 // 10 * 10)))
    for lap in itertools.count():
        starts = itertools.islice(every, sizes.gets // 10 or 1)
        yield [
            requests.get(f"{_VOLUMES}?svm.name=svm1&name={name_of(start)[:-1]}*&fields=size&return_timeout={lap % 120}")
            for start in starts
        ]


async def _unindexed(many: LiveGateway) -> list[Result]:
    """Measure how long the loop is held by a filter that nothing but rendering can answer, and how it goes on."""
    with watched(many) as (url, held):
        await drive(url, [requests.get(_VOLUMES + "?max_records=1")], connections=1)
        held()
        path = f"{_VOLUMES}?space.percent_used=>101&return_timeout=2"
        answer = await drive(url, [requests.get(path)], connections=1)
        scanned = held()
    page = json.loads(answer.last)
    goes_on = "next" in page.get("_links", {})
    detail = f"late {scanned.late_ms:.1f} ms with what other processes took; {answer.seconds:.1f} s"
    what = f"loop held: a filter without an index, {'and a next page' if goes_on else 'to the end'}"
    return [at_most(what, scanned.held_ms, _HELD_MS, unit=" ms", digits=1, detail=detail)]


async def _everything(server: Server) -> list[Result]:
    """Measure what memory it takes to give everything there is, page by page, as `rest_info` asks for it."""
    await drive(server.url, [requests.get(f"{_WHOLE}&max_records=100")], connections=1)
    before = resident_mb(server.pid)
    count = 0
    href = f"{_WHOLE}&max_records={_ALL_AT_ONCE}"
    while href:
        page = json.loads((await drive(server.url, [requests.get(href)], connections=1)).last)
        count += page["num_records"]
        href = page.get("_links", {}).get("next", {}).get("href", "")
    growth = peak_mb(server.pid) - before
    detail = f"from {before:.0f} MB, with the memory of texts; pages of {_ALL_AT_ONCE}"
    what = f"resident, all {count} volumes by rest_info: growth"
    return [at_most(what, growth, _GROWTH_MB, unit=" MB", digits=0, detail=detail)]


def _cost(server: Server, batches: Iterator[Sequence[bytes]]) -> Callable[[], Awaitable[Cost]]:
    """Give a round that sends the next batch, one request after the other."""

    async def measure() -> Cost:
        batch = next(batches)
        before = cpu_s(server.pid)
        load: Load = await drive(server.url, batch, connections=1)
        return Cost((cpu_s(server.pid) - before) / len(batch), load.seconds / len(batch))

    return measure
