"""What the memory backend promises beyond the conformance suite: its space adds up."""

from __future__ import annotations

from uuid import UUID, uuid4

import msgspec
import pytest

from gateway.backends.memory import MemoryBackend, MemoryOptions
from gateway.core.backend import Note, VolumeSpec
from gateway.core.errors import InvalidArgument, InvalidState, NotFound, OutOfSpace
from gateway.core.model import VolumeKind

NOTE = Note(name="volume", tenant="tenant", document=b"")
POOL = 1000


def spec(size: int = 400, *, thick: bool = False) -> VolumeSpec:
    return VolumeSpec(id=uuid4(), kind=VolumeKind.FILESYSTEM, size=size, thick=thick, note=NOTE)


@pytest.fixture
def backend() -> MemoryBackend:
    return MemoryBackend("pool", MemoryOptions(size=POOL))


async def used(backend: MemoryBackend) -> int:
    capacity = await backend.capacity()
    assert capacity.available == POOL - capacity.used
    return capacity.used


async def made(backend: MemoryBackend, wanted: VolumeSpec, **files: bytes) -> UUID:
    await backend.create(wanted)
    backend.content(str(wanted.id)).update(files)
    return wanted.id


async def test_shared_bytes_count_once_and_come_back(backend: MemoryBackend) -> None:
    volume, snapshot, clone = await made(backend, spec(), a=b"x" * 100), uuid4(), spec()
    await backend.snapshot(volume, snapshot, NOTE)
    await backend.clone(volume, snapshot, clone)
    assert await used(backend) == 100
    backend.content(str(volume))["a"] = b"y" * 50
    assert await used(backend) == 150
    await backend.restore(volume, snapshot, uuid4())
    assert await used(backend) == 100
    await backend.delete(volume)
    await backend.delete_snapshot(volume, snapshot)
    assert await used(backend) == 100
    await backend.delete(clone.id)
    assert await used(backend) == 0


async def test_a_thick_volume_takes_its_size_whatever_it_holds(backend: MemoryBackend) -> None:
    volume, snapshot = await made(backend, spec(thick=True), a=b"x" * 100), uuid4()
    assert await used(backend) == 400
    await backend.snapshot(volume, snapshot, NOTE)
    assert await used(backend) == 500
    await backend.resize(volume, 300)
    assert await used(backend) == 400
    with pytest.raises(OutOfSpace) as refused:
        await backend.resize(volume, 901)
    assert refused.value.fields == {"pool": "pool", "wanted": 601, "free": 600}
    await backend.delete(volume)
    await backend.delete_snapshot(volume, snapshot)
    assert await used(backend) == 0


async def test_thin_volumes_share_a_pool_until_it_is_full(backend: MemoryBackend) -> None:
    first, second = await made(backend, spec(POOL), a=b"x" * 900), await made(backend, spec(POOL))
    with pytest.raises(OutOfSpace):
        backend.content(str(second))["b"] = b"y" * 101
    assert dict(backend.content(str(second))) == {}
    assert await used(backend) == 900
    del backend.content(str(first))["a"]
    backend.content(str(second))["b"] = b"y" * 101
    assert await used(backend) == 101


async def test_content_above_the_limit_may_only_become_smaller(backend: MemoryBackend) -> None:
    volume = await made(backend, spec(400, thick=True), a=b"x" * 300, b=b"x" * 50)
    await backend.resize(volume, 100)
    assert await used(backend) == 350
    files = backend.content(str(volume))
    with pytest.raises(OutOfSpace):
        files["c"] = b"x"
    files["a"] = b"y" * 20
    assert await used(backend) == 100
    assert dict(files) == {"a": b"y" * 20, "b": b"x" * 50}


async def test_a_stream_that_does_not_fit_leaves_nothing(backend: MemoryBackend) -> None:
    volume, snapshot, replica = await made(backend, spec(), a=b"x" * 300), uuid4(), spec(800, thick=True)
    await backend.snapshot(volume, snapshot, NOTE)
    with pytest.raises(OutOfSpace):
        await backend.receive(replica, uuid4(), NOTE, backend.send(volume, snapshot, None))
    assert await backend.inspect(replica.id) is None
    assert [found.id async for found in backend.scan_snapshots()] == [snapshot]
    assert await used(backend) == 300


async def test_a_foreign_stream_is_refused(backend: MemoryBackend) -> None:
    volume, snapshot = await made(backend, spec(), a=b"x"), uuid4()
    await backend.snapshot(volume, snapshot, NOTE)
    stream = [part async for part in backend.send(volume, snapshot, None)]
    for damaged in (stream[0][:-1] + b"\x00", b"x" * 100):

        async def parts(data: bytes = damaged):
            yield data

        with pytest.raises(InvalidArgument):
            await backend.receive(spec(), uuid4(), NOTE, parts())


async def test_content_follows_the_volume(backend: MemoryBackend) -> None:
    volume, snapshot = await made(backend, spec(), a=b"x"), uuid4()
    await backend.snapshot(volume, snapshot, NOTE)
    live, old = backend.content(str(volume)), backend.content(f"{volume}/{snapshot}")
    del live["a"]
    with pytest.raises(KeyError):
        del live["a"]
    with pytest.raises(InvalidState):
        old["a"] = b"y"
    await backend.restore(volume, snapshot, uuid4())
    assert dict(live) == dict(old) == {"a": b"x"}
    await backend.delete(volume)
    with pytest.raises(NotFound):
        dict(live)


def test_the_pool_is_known_by_its_name() -> None:
    first, again, other = (MemoryBackend(name, MemoryOptions()).describe().id for name in ("a", "a", "b"))
    assert first == again != other


def test_options_refuse_what_they_do_not_know() -> None:
    assert msgspec.convert({}, MemoryBackend.Options).size == 1024**4
    with pytest.raises(msgspec.ValidationError, match="colour"):
        msgspec.convert({"colour": "red"}, MemoryBackend.Options)
