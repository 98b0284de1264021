"""What replication carries: which runs, and streams that are damaged or about something else."""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from qcow2_scene import MIB, SIZE, note, parts, scene, spec

from gateway.backends.qcow2.images import Extent
from gateway.backends.qcow2.stream import CHUNK, Decoder, Head, Run, encode_head, encode_run, pieces, union
from gateway.core.errors import GatewayError, InvalidArgument, NotFound

HEAD = Head(SIZE, UUID(int=1), None)
runs = st.lists(st.tuples(st.integers(0, 60), st.integers(1, 9)).map(lambda run: (run[0], run[0] + run[1])))


def covered(found: list[tuple[int, int]]) -> set[int]:
    return {place for begin, end in found for place in range(begin, end)}


@given(runs)
def test_a_union_covers_the_same_in_order_and_apart(given_runs: list[tuple[int, int]]) -> None:
    joined = union(given_runs)
    assert covered(joined) == covered(given_runs)
    assert all(first[1] < second[0] for first, second in pairwise(joined))


@given(runs, st.lists(st.integers(1, 20), min_size=1, max_size=8))
def test_pieces_are_what_the_runs_have_of_the_extents(given_runs: list[tuple[int, int]], lengths: list[int]) -> None:
    extents, start = [], 0
    for length in lengths:
        extents.append(Extent(start=start, length=length, depth=0, zero=False, data=True, offset=1000 + start))
        start += length
    joined = union(given_runs)
    found = list(pieces(extents, joined))
    assert covered([(each.start, each.start + each.length) for each in found]) == covered(joined) & set(range(start))
    assert all(each.offset == 1000 + each.start for each in found)


def test_pieces_are_small() -> None:
    extent = Extent(start=0, length=3 * CHUNK + 1, depth=0, zero=False, data=True, offset=7)
    assert [each.length for each in pieces([extent], [(0, extent.length)])] == [CHUNK] * 3 + [1]


@given(st.integers(1, 40))
def test_a_stream_comes_in_any_parts(step: int) -> None:
    data = encode_head(HEAD) + encode_run(Run(0, 3, b"abc")) + encode_run(Run(512, 512, None))
    decoder = Decoder()
    found = [run for start in range(0, len(data), step) for run in decoder.take(data[start : start + step])]
    assert decoder.head == HEAD
    assert found == [Run(0, 3, b"abc"), Run(512, 512, None)]
    assert not decoder.whole


@pytest.mark.parametrize(
    "data",
    [
        b"something else entirely",
        encode_head(HEAD)[:8] + b"\xff\xff\xff\xff",
        encode_head(HEAD)[:8] + b"\x01\x00\x00\x00\xc1",
        encode_head(HEAD) + bytes(12) + b"\x09",
        encode_head(HEAD) + bytes(8) + b"\xff\xff\xff\xff\x00",
    ],
)
def test_what_is_no_stream_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidArgument):
        list(Decoder().take(data))


@pytest.mark.root
async def test_a_flipped_bit_anywhere_is_noticed(tmp_path: Path) -> None:
    async with scene(tmp_path) as at:
        volume = await at.volume(a=os.urandom(MIB))
        data = await at.stream(volume, await at.snapshot(volume))
        before = await at.picture()
        for place in (0, 9, 30, 60, len(data) // 2, len(data) - 40, len(data) - 1):
            broken = bytearray(data)
            broken[place] ^= 4
            with pytest.raises(GatewayError):
                await at.backend.receive(spec(), uuid4(), note("copy"), parts(bytes(broken)))
        with pytest.raises(GatewayError):
            await at.backend.receive(spec(), uuid4(), note("copy"), parts(data + b"more"))
        assert await at.picture() == before
        at.assert_tidy()


@pytest.mark.root
async def test_an_increment_on_another_branch_brings_the_difference(tmp_path: Path) -> None:
    async with scene(tmp_path) as at:
        volume, copy = await at.volume(a=b"alpha", b=b"beta"), spec()
        first = await at.snapshot(volume)
        await at.write(volume, a=os.urandom(MIB), c=b"branch")
        second = await at.snapshot(volume)
        await at.backend.restore(volume, first, uuid4())
        await at.write(volume, d=b"delta")
        third = await at.snapshot(volume)
        await at.backend.receive(copy, uuid4(), note("copy"), parts(await at.stream(volume, second)))
        increment = await at.stream(volume, third, second)
        await at.backend.receive(copy, uuid4(), note("copy"), parts(increment))
        assert await at.files(copy.id) == {"a": b"alpha", "b": b"beta", "d": b"delta"}


@pytest.mark.root
async def test_a_replica_grows_with_its_source_and_stays_open(tmp_path: Path) -> None:
    async with scene(tmp_path) as at:
        volume, copy = await at.volume(a=b"alpha"), spec()
        first = await at.snapshot(volume)
        await at.backend.receive(copy, uuid4(), note("copy"), parts(await at.stream(volume, first)))
        device = await at.device(copy.id)
        await at.backend.resize(volume, 2 * SIZE)
        await at.write(volume, b=b"beta")
        increment = await at.stream(volume, await at.snapshot(volume), first)
        assert len(increment) < MIB
        await at.backend.receive(copy, uuid4(), note("copy"), parts(increment))
        assert device.stat().st_size == 2 * SIZE
        assert await at.files(copy.id) == {"a": b"alpha", "b": b"beta"}
        with pytest.raises(NotFound):
            await at.backend.receive(spec(), uuid4(), note("copy"), parts(increment))


@pytest.mark.root
async def test_what_is_being_sent_is_not_merged_away(tmp_path: Path) -> None:
    async with scene(tmp_path) as at:
        volume, copy = await at.volume(a=os.urandom(4 * MIB)), spec()
        first = await at.snapshot(volume)
        await at.write(volume, b=b"beta")
        second = await at.snapshot(volume)
        expected = await at.files(volume, second)
        sending = at.backend.send(volume, second, None)
        data = await anext(sending)
        await at.backend.delete_snapshot(volume, first)
        await at.write(volume, b=b"changed")
        await at.backend.delete_snapshot(volume, second)
        data += b"".join([part async for part in sending])
        await at.backend.receive(copy, uuid4(), note("copy"), parts(data))
        assert await at.files(copy.id) == expected
        await at.reopen()
        at.assert_tidy()
