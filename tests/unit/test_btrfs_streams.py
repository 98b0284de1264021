"""Streams between pools: heads, broken ones, ends that come too early."""

from __future__ import annotations

import os
import struct
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from btrfs_scene import MIB, Died, Scene, note, parts, scene, spec

from gateway.backends.btrfs.stream import parse_head
from gateway.core.errors import AlreadyExists, InvalidArgument, NotFound, OutOfSpace
from gateway.testing.btrfs_pool import btrfs_pool


def head(command: int, attributes: bytes) -> bytes:
    return b"btrfs-stream\0" + struct.pack("<IIHI", 1, len(attributes), command, 0) + attributes


def attribute(kind: int, data: bytes) -> bytes:
    return struct.pack("<HH", kind, len(data)) + data


BASE = uuid4()
INCREMENT = head(2, attribute(15, b"name") + attribute(20, BASE.bytes))


def test_a_head_tells_the_base() -> None:
    full = parse_head(head(1, attribute(15, b"name")))
    assert full is not None
    assert full.base is None
    increment = parse_head(INCREMENT + b"more")
    assert increment is not None
    assert increment.base == BASE


def test_a_head_may_come_in_pieces() -> None:
    assert [parse_head(INCREMENT[:length]) for length in range(len(INCREMENT))] == [None] * len(INCREMENT)


@pytest.mark.parametrize(
    "data",
    [
        b"x",
        b"btrfs-strean",
        b"btrfs-stream\0" + bytes(40),
        head(21, b""),
        head(2, attribute(15, b"name")),
        head(2, attribute(20, b"short")),
        b"btrfs-stream\0" + struct.pack("<IIHI", 1, 2**31, 1, 0),
    ],
)
def test_what_is_no_head_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidArgument):
        parse_head(data)


@pytest.fixture(scope="module")
def mount(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with btrfs_pool(tmp_path_factory.mktemp("btrfs")) as path:
        yield path


@pytest.fixture
async def source(mount: Path) -> AsyncIterator[Scene]:
    async with scene(mount) as made:
        yield made


@pytest.fixture
async def target(tmp_path: Path) -> AsyncIterator[Scene]:
    with btrfs_pool(tmp_path, "256M") as path:
        async with scene(path) as made:
            yield made


@pytest.mark.root
async def test_increments_follow_each_other_to_another_file_system(source: Scene, target: Scene) -> None:
    volume, replica, base = await source.volume(), spec(), None
    for number in range(3):
        source.write(volume, same=b"same", **{f"file{number}": os.urandom(100_000)})
        taken = await source.snapshot(volume)
        data = await source.stream(volume, taken, base)
        arrived = uuid4()
        await target.reopen()
        await target.backend.receive(replica, arrived, note("arrived"), parts(data))
        assert target.files(replica.id) == source.files(volume) == target.files(replica.id, arrived)
        target.assert_tidy()
        base = taken


@pytest.mark.root
async def test_a_replica_can_be_sent_on_and_back(source: Scene, target: Scene) -> None:
    volume, replica = await source.volume(a=b"one"), spec()
    taken, arrived, changed, back = await source.snapshot(volume), uuid4(), uuid4(), uuid4()
    data = await source.stream(volume, taken)
    await target.backend.receive(replica, arrived, note("arrived"), parts(data))
    target.write(replica.id, a=b"two")
    await target.backend.snapshot(replica.id, changed, note("changed"))
    data = await target.stream(replica.id, changed, arrived)
    await source.backend.receive(spec(volume), back, note("back"), parts(data))
    assert source.files(volume) == {"a": b"two"}
    assert source.files(volume, taken) == {"a": b"one"}
    source.assert_tidy()


@pytest.mark.root
async def test_a_broken_stream_leaves_nothing(source: Scene, target: Scene) -> None:
    volume = await source.volume(a=os.urandom(MIB), b=b"beta")
    data = await source.stream(volume, await source.snapshot(volume))
    flipped = bytearray(data)
    flipped[len(data) // 2] ^= 1
    cuts = [data[:end] for end in (0, 8, len(data) // 2, len(data) - 10, len(data) - 1)]
    for broken in (*cuts, bytes(flipped), data + data, data + b"x"):
        with pytest.raises(InvalidArgument):
            await target.backend.receive(spec(), uuid4(), note("arrived"), parts(broken))
        assert list(await target.picture()) == ["manifest"]
        target.assert_tidy()


@pytest.mark.root
async def test_a_stream_that_does_not_fit_is_out_of_space(source: Scene, target: Scene) -> None:
    volume = await source.volume()
    await source.backend.resize(volume, 1024 * MIB)
    source.write(volume, big=os.urandom(300 * MIB))
    taken = await source.snapshot(volume)
    with pytest.raises(OutOfSpace):
        await target.backend.receive(spec(), uuid4(), note("arrived"), source.backend.send(volume, taken, None))
    assert list(await target.picture()) == ["manifest"]
    target.assert_tidy()


@pytest.mark.root
async def test_a_base_of_another_volume_is_not_found(source: Scene) -> None:
    volume = await source.volume(a=b"one")
    first = await source.snapshot(volume)
    source.write(volume, a=b"two")
    increment = await source.stream(volume, await source.snapshot(volume), first)
    other = await source.volume(a=b"other")
    with pytest.raises(NotFound):
        await source.backend.receive(spec(other), uuid4(), note("arrived"), parts(increment))
    assert source.files(other) == {"a": b"other"}
    source.assert_tidy()


@pytest.mark.root
async def test_what_is_not_ours_is_not_replaced(source: Scene) -> None:
    volume = await source.volume(a=b"one")
    data = await source.stream(volume, await source.snapshot(volume))
    stranger, taken = await source.volume(), uuid4()
    source.kernel.create_subvolume(source.path / "snapshots" / str(taken))
    source.place(stranger, taken).mkdir(parents=True)
    with pytest.raises(AlreadyExists):
        await source.backend.receive(spec(stranger), taken, note("arrived"), parts(data))
    squatted = uuid4()
    source.kernel.create_subvolume(source.place(squatted))
    with pytest.raises(AlreadyExists):
        await source.backend.receive(spec(squatted), uuid4(), note("arrived"), parts(data))
    assert source.files(squatted) == {}


@pytest.mark.root
async def test_the_end_of_a_reader_ends_the_program(source: Scene) -> None:
    volume = await source.volume(a=os.urandom(8 * MIB))
    taken = await source.snapshot(volume)
    stream = source.backend.send(volume, taken, None)
    assert len(await anext(stream)) > 0
    await stream.aclose()
    await source.backend.delete_snapshot(volume, taken)
    source.assert_tidy()


@pytest.mark.root
async def test_a_source_that_fails_is_told_as_it_failed(source: Scene, target: Scene) -> None:
    volume = await source.volume(a=os.urandom(MIB))
    data = await source.stream(volume, await source.snapshot(volume))

    async def failing() -> AsyncIterator[bytes]:
        yield data[: len(data) // 2]
        raise Died

    with pytest.raises(Died):
        await target.backend.receive(spec(), uuid4(), note("arrived"), failing())
    target.assert_tidy()
