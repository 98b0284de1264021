"""Cases of replication: streams between volumes of one pool."""
# ruff: noqa: D102 - a case says what it shows by its name

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import pytest

from gateway.core.backend import VolumeSpec
from gateway.core.errors import GatewayError, NotFound, Unavailable
from gateway.testing.backends.harness import Harness, needs, note
from gateway.testing.backends.snapshots import taken
from gateway.testing.backends.volumes import assert_is


async def stream(harness: Harness, volume: UUID, snapshot: UUID, base: UUID | None = None) -> bytes:
    """Give a snapshot's whole stream."""
    return b"".join([part async for part in harness.backend.send(volume, snapshot, base)])


async def parts(data: bytes, *, failure: Exception | None = None) -> AsyncIterator[bytes]:
    """Yield a stream in uneven parts, and then fail where a failure is given."""
    for start in range(0, len(data), 50_001):
        yield data[start : start + 50_001]
    if failure is not None:
        raise failure


class Replica:
    """A source volume with two snapshots, and the volume that will follow it."""

    def __init__(self, harness: Harness) -> None:
        self.harness = harness
        self.before = {"a": b"alpha", "big": os.urandom(300_000), "gone": b"soon"}
        self.after = {"a": b"changed", "big": self.before["big"], "new": os.urandom(100_000)}
        self.spec: VolumeSpec = harness.spec(note=note("replica"))
        self.first, self.second = uuid4(), uuid4()
        self.sources: dict[UUID, tuple[UUID, UUID]] = {}

    async def send(self) -> tuple[bytes, bytes]:
        """Give the full stream and the increment that follows it."""
        source = await self.harness.volume(**self.before)
        first = await taken(self.harness, source)
        await self.harness.write(source, a=self.after["a"], new=self.after["new"])
        await self.harness.remove(source, "gone")
        second = await taken(self.harness, source)
        streams = await stream(self.harness, source, first), await stream(self.harness, source, second, first)
        self.sources = {source: (first, second)}
        return streams

    async def forget_source(self) -> None:
        """Remove the source and its snapshots, so that no base is left anywhere in the pool."""
        for source, snapshots in self.sources.items():
            for snapshot in snapshots:
                await self.harness.backend.delete_snapshot(source, snapshot)
            await self.harness.backend.delete(source)

    async def receive(self, snapshot: UUID, data: AsyncIterator[bytes]) -> None:
        """Take a stream."""
        await self.harness.backend.receive(self.spec, snapshot, note(f"copy {snapshot}"), data)

    async def own_snapshots(self) -> set[UUID | None]:
        """Give the ids of the replica's snapshots."""
        found = await self.harness.snapshots()
        return {key for key, observed in found.items() if observed.volume_id == self.spec.id}


class ReplicationCases:
    """Send and receive."""

    @needs("replicate")
    async def test_a_full_stream_makes_the_volume(self, harness: Harness) -> None:
        replica = Replica(harness)
        full, _ = await replica.send()
        await replica.receive(replica.first, parts(full))
        async for backend in harness.lives():
            assert_is(await backend.inspect(replica.spec.id), replica.spec)
            assert await harness.held(replica.spec.id) == replica.before
            assert await harness.held(replica.spec.id, replica.first) == replica.before
            found = await backend.inspect_snapshot(replica.spec.id, replica.first)
            assert found is not None
            assert found.note == note(f"copy {replica.first}")
            assert await replica.own_snapshots() == {replica.first}

    @needs("replicate")
    async def test_an_increment_brings_the_difference(self, harness: Harness) -> None:
        replica = Replica(harness)
        full, increment = await replica.send()
        assert len(increment) < len(full)
        await replica.receive(replica.first, parts(full))
        async for _ in harness.lives():
            await replica.receive(replica.second, parts(increment))
            assert await harness.held(replica.spec.id, replica.first) == replica.before
            assert await harness.held(replica.spec.id, replica.second) == replica.after
            assert await harness.held(replica.spec.id) == replica.after
            assert await replica.own_snapshots() == {replica.first, replica.second}

    @needs("replicate")
    async def test_receive_again_keeps_the_existing_snapshot(self, harness: Harness) -> None:
        replica = Replica(harness)
        full, _ = await replica.send()
        await replica.receive(replica.first, parts(full))
        async for _ in harness.lives():
            await replica.receive(replica.first, parts(full))
            assert await replica.own_snapshots() == {replica.first}
            assert await harness.held(replica.spec.id, replica.first) == replica.before

    @needs("replicate")
    async def test_a_broken_full_stream_leaves_nothing(self, harness: Harness) -> None:
        replica = Replica(harness)
        full, _ = await replica.send()
        volumes, snapshots = set(await harness.volumes()), set(await harness.snapshots())
        broken = [parts(full[:cut]) for cut in (0, len(full) // 2, len(full) - 1)]
        for data in [*broken, parts(full[: len(full) // 2], failure=Unavailable(what="source"))]:
            with pytest.raises(GatewayError):
                await replica.receive(replica.first, data)
            assert await harness.backend.inspect(replica.spec.id) is None
            assert await harness.backend.inspect_snapshot(replica.spec.id, replica.first) is None
        async for _ in harness.lives():
            assert set(await harness.volumes()) == volumes
            assert set(await harness.snapshots()) == snapshots
        await replica.receive(replica.first, parts(full))
        assert await harness.held(replica.spec.id) == replica.before

    @needs("replicate")
    async def test_a_broken_increment_leaves_the_replica_as_it_was(self, harness: Harness) -> None:
        replica = Replica(harness)
        full, increment = await replica.send()
        await replica.receive(replica.first, parts(full))
        for cut in (len(increment) // 2, len(increment) - 1):
            with pytest.raises(GatewayError):
                await replica.receive(replica.second, parts(increment[:cut]))
        async for _ in harness.lives():
            assert await replica.own_snapshots() == {replica.first}
            assert await harness.held(replica.spec.id) == replica.before
        await replica.receive(replica.second, parts(increment))
        assert await harness.held(replica.spec.id) == replica.after

    @needs("replicate")
    async def test_an_increment_without_its_base_is_refused(self, harness: Harness) -> None:
        replica = Replica(harness)
        _, increment = await replica.send()
        await replica.forget_source()
        with pytest.raises(GatewayError):
            await replica.receive(replica.second, parts(increment))
        async for backend in harness.lives():
            assert await backend.inspect(replica.spec.id) is None
            assert await replica.own_snapshots() == set()

    @needs("replicate")
    async def test_send_of_nothing_is_not_found(self, harness: Harness) -> None:
        volume = await harness.volume()
        with pytest.raises(NotFound):
            await stream(harness, volume, uuid4())
