"""Calls of the openstorage SDK, against a bare handler with the same bytes; and lists at many volumes against few."""

from __future__ import annotations

import asyncio
import itertools
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench.calls import call
from bench.fill import LABELLED, name_of, rack_of, volume_id
from bench.measure import Cost, Round, Rounds, cpu_ratio, cpu_s, cpu_us, interleaved, threads
from bench.process import watched
from bench.results import Result, at_least, at_most, told
from bench.subjects import Server, Sizes, bare_grpc, running
from gateway.frontends.openstorage import specs
from gateway.frontends.openstorage.pb import volume_pb2 as pb
from gateway.frontends.openstorage.pb import volume_spec_pb2 as spec_pb
from gateway.testing.live import LiveGateway

DOOR = '[frontend.openstorage]\ngrpc = "127.0.0.1:0"\nrest = ""\n'
ANNOTATIONS = {specs.SPEC: specs.stored(spec_pb.VolumeSpec(ha_level=1, cos=spec_pb.HIGH, compressed=True))}
"""What the door itself keeps with a volume that was asked for like this."""

_NAME = "openstorage"
_VOLUMES = "/openstorage.api.OpenStorageVolume"
_INSPECT = f"{_VOLUMES}/Inspect"
_LIST = f"{_VOLUMES}/EnumerateWithFilters"
_WITHIN = 16
_HELD_MS = 20
_ROUND = b"\xc1\x3e"
"""The head of a field of 8 bytes, number 1000, that no message has: what follows makes requests differ."""


async def sdk(folder: Path, many: LiveGateway, few: LiveGateway, sizes: Sizes) -> list[Result]:
    """Measure the calls that only read, and the threads of many of them at once."""
    with ExitStack() as stack:
        big, small = stack.enter_context(_serving(many)), stack.enter_context(_serving(few))
        found = [*await _threads(big, sizes), *await _inspect(folder, big, sizes), *await _lists(big, small, sizes)]
    return [*found, *await _whole(many, sizes)]


@contextmanager
def _serving(gateway: LiveGateway) -> Iterator[Server]:
    with running(gateway) as server:
        yield Server(gateway.addresses[_NAME], server.pid)


def _cost(server: Server, path: str, batches: Iterator[Sequence[bytes]], *, within: int = _WITHIN) -> Round:
    """Give a round that makes the calls of the next batch."""

    async def measure() -> Cost:
        batch = next(batches)
        before = cpu_s(server.pid)
        load = await call(server.url, path, batch, within=within)
        return Cost((cpu_s(server.pid) - before) / len(batch), load.seconds / len(batch))

    return measure


async def _inspect(folder: Path, big: Server, sizes: Sizes) -> list[Result]:
    warm = [_inspected(1)] * sizes.calls
    body = (await call(big.url, _INSPECT, warm[:1], within=1)).last
    with bare_grpc(folder, body, _INSPECT) as bare:
        found = await interleaved(
            sizes.rounds,
            {
                "bare": _cost(bare, _INSPECT, itertools.repeat(warm)),
                "warm": _cost(big, _INSPECT, itertools.repeat(warm)),
                "cold": _cost(big, _INSPECT, _ever_new(sizes)),
            },
        )
    what = f"SDK Inspect, {len(body)} bytes: "
    detail = f"CPU {cpu_us(found, 'bare'):.0f} us bare, {{:.0f}} us here"
    return [
        at_least(
            what + "warm",
            cpu_ratio(found, "bare", "warm"),
            0.6,
            stretch=0.8,
            detail=detail.format(cpu_us(found, "warm")),
        ),
        told(
            what + "never the same twice",
            f"{cpu_ratio(found, 'bare', 'cold'):.2f}",
            detail.format(cpu_us(found, "cold")),
        ),
    ]


def _inspected(number: int) -> bytes:
    return pb.SdkVolumeInspectRequest(volume_id=str(volume_id(number))).SerializeToString()


def _ever_new(sizes: Sizes) -> Iterator[list[bytes]]:
    numbers = itertools.cycle(range(sizes.sdk_volumes))
    while True:
        yield [_inspected(number) for number in itertools.islice(numbers, sizes.calls)]


async def _lists(big: Server, small: Server, sizes: Sizes) -> list[Result]:
    return [
        await _filtered("label", 2 * LABELLED, lambda n: {"labels": {"rack": rack_of(n)}}, big, small, sizes),
        await _filtered("name", 1, lambda n: {"name": name_of(n)}, big, small, sizes),
    ]


async def _filtered(
    field: str,
    wanted: int,
    filters: Callable[[int], dict[str, object]],
    big: Server,
    small: Server,
    sizes: Sizes,
) -> Result:
    """Compare a list by a filter that selects as many at many volumes as at few. No answer is given twice."""

    def batches(volumes: int) -> Iterator[list[bytes]]:
        step = max(1, volumes // sizes.lists)
        numbers = itertools.cycle(range(0, volumes, step))
        requests = (
            pb.SdkVolumeEnumerateWithFiltersRequest(**filters(number)).SerializeToString()  # type: ignore[arg-type]
            + _ROUND
            + struct.pack("<Q", lap)
            for lap, number in enumerate(numbers)
        )
        while True:
            yield list(itertools.islice(requests, sizes.lists))

    for server, volumes in ((big, sizes.sdk_volumes), (small, sizes.few)):
        answer = await call(server.url, _LIST, next(batches(volumes))[:1], within=1)
        listed = pb.SdkVolumeEnumerateWithFiltersResponse.FromString(answer.last).volume_ids
        if len(listed) != wanted:
            raise RuntimeError(f"{len(listed)} volumes and snapshots instead of {wanted}")
    found = await interleaved(
        sizes.rounds,
        {
            "many": _cost(big, _LIST, batches(sizes.sdk_volumes), within=1),
            "few": _cost(small, _LIST, batches(sizes.few), within=1),
        },
    )
    return at_most(
        f"SDK list by {field} at {sizes.sdk_volumes} / at {sizes.few} volumes",
        cpu_ratio(found, "many", "few"),
        2.0,
        detail=_between(found, wanted),
    )


def _between(found: Rounds, wanted: int) -> str:
    return f"CPU {cpu_us(found, 'many'):.0f} and {cpu_us(found, 'few'):.0f} us, {wanted} found, no answer twice"


async def _threads(big: Server, sizes: Sizes) -> list[Result]:
    """Count threads around and during many calls at once, none of which was answered before."""
    await call(big.url, _INSPECT, [_inspected(0)], within=1)
    before, most = threads(big.pid), 0
    requests = [_inspected(number % sizes.sdk_volumes) for number in range(sizes.at_once)]
    calls = asyncio.create_task(call(big.url, _INSPECT, requests, within=sizes.at_once))
    while not calls.done():
        most = max(most, threads(big.pid))
        await asyncio.wait([calls], timeout=0.002)
    await calls
    return [
        at_most(
            f"SDK: threads more during {sizes.at_once} calls at once",
            max(most, threads(big.pid)) - before,
            8,
            digits=0,
            detail=f"{before} before, {most} during, {threads(big.pid)} after",
        )
    ]


async def _whole(many: LiveGateway, sizes: Sizes) -> list[Result]:
    """Measure how long the loop is held by the list of everything."""
    with watched(many, _NAME) as (url, held):
        await call(url, _INSPECT, [_inspected(0)], within=1)
        held()
        answer = await call(url, f"{_VOLUMES}/Enumerate", [b""], within=1)
        found = held()
    what = f"SDK: loop held by a list of all {2 * sizes.sdk_volumes}"
    detail = f"late {found.late_ms:.1f} ms, it took {answer.seconds:.1f} s"
    return [at_most(what, found.held_ms, _HELD_MS, unit=" ms", digits=1, detail=detail)]
