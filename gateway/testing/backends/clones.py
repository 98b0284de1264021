"""Cases of clones."""
# ruff: noqa: D102 - a case says what it shows by its name

from __future__ import annotations

import asyncio
import os
from uuid import UUID, uuid4

import pytest

from gateway.core.backend import VolumeSpec
from gateway.core.errors import GatewayError, NotFound
from gateway.core.model import RootDirectory
from gateway.testing.backends.harness import Harness, needs, note
from gateway.testing.backends.snapshots import taken
from gateway.testing.backends.volumes import PARALLEL, assert_is


async def base(harness: Harness, volume: UUID) -> UUID | None:
    """Give what a clone of a volume may start from: a snapshot where there are snapshots."""
    return await taken(harness, volume) if harness.capability().can("snapshot") else None


async def cloned(harness: Harness, source: UUID, snapshot: UUID | None, **changes: object) -> VolumeSpec:
    """Make a clone and give its specification."""
    spec = harness.spec(note=note("clone"), **changes)
    observed = await harness.backend.clone(source, snapshot, spec)
    assert_is(observed, spec)
    assert observed.origin in {None, source}
    return spec


class CloneCases:
    """Clone and split."""

    @needs("clone")
    async def test_a_clone_starts_with_the_bytes_and_diverges(self, harness: Harness) -> None:
        data = os.urandom(1_000_000)
        source = await harness.volume(a=b"alpha", big=data)
        clone = await cloned(harness, source, await base(harness, source))
        assert await harness.held(clone.id) == {"a": b"alpha", "big": data}
        await harness.write(clone.id, a=b"clone", c=b"only here")
        await harness.write(source, a=b"source")
        async for backend in harness.lives():
            assert await harness.held(clone.id) == {"a": b"clone", "big": data, "c": b"only here"}
            assert await harness.held(source) == {"a": b"source", "big": data}
            assert_is(await backend.inspect(clone.id), clone)
            assert set(await harness.volumes()) == {source, clone.id}

    @needs("clone", "snapshot")
    async def test_a_clone_of_a_snapshot_has_the_old_bytes(self, harness: Harness) -> None:
        source = await harness.volume(a=b"old")
        snapshot = await taken(harness, source)
        await harness.write(source, a=b"new")
        if harness.capability().can("resize"):
            # It is made as large as the source was.
            await harness.backend.resize(source, 2 * harness.size)
        clone = await cloned(harness, source, snapshot)
        await harness.write(clone.id, b=b"clone")
        async for _ in harness.lives():
            assert await harness.held(clone.id) == {"a": b"old", "b": b"clone"}
            assert await harness.held(source) == {"a": b"new"}
            assert await harness.held(source, snapshot) == {"a": b"old"}
            assert set(await harness.snapshots()) == {snapshot}

    @needs("clone")
    async def test_clone_again_keeps_the_existing_one(self, harness: Harness) -> None:
        source = await harness.volume(a=b"alpha")
        snapshot = await base(harness, source)
        clone = await cloned(harness, source, snapshot)
        await harness.write(clone.id, a=b"clone")
        async for backend in harness.lives():
            assert_is(await backend.clone(source, snapshot, clone), clone)
            assert await harness.held(clone.id) == {"a": b"clone"}

    @needs("clone")
    async def test_a_clone_is_a_volume_of_its_own(self, harness: Harness) -> None:
        spec = harness.spec(note=note("source", document=os.urandom(60 * 1024)))
        await harness.backend.create(spec)
        clone = await cloned(harness, spec.id, await base(harness, spec.id), size=2 * harness.size)
        renamed = note("source, renamed")
        await harness.backend.annotate(spec.id, renamed)
        async for _ in harness.lives():
            found = await harness.volumes()
            assert_is(found[clone.id], clone)
            assert found[clone.id].size == 2 * harness.size
            assert found[spec.id].note == renamed
        await harness.backend.delete(clone.id)
        async for _ in harness.lives():
            assert set(await harness.volumes()) == {spec.id}

    @needs("clone", "snapshot")
    async def test_a_clone_has_no_snapshots_and_takes_its_own(self, harness: Harness) -> None:
        source = await harness.volume(a=b"alpha")
        clone = await cloned(harness, source, await taken(harness, source))
        await harness.write(clone.id, a=b"clone")
        own = await taken(harness, clone.id)
        deeper = await cloned(harness, clone.id, own)
        async for _ in harness.lives():
            owners = {observed.volume_id for observed in (await harness.snapshots()).values()}
            assert owners == {source, clone.id}
            assert await harness.held(deeper.id) == {"a": b"clone"}

    @needs("clone", "restore")
    async def test_a_restore_of_the_source_is_not_the_clone_s(self, harness: Harness) -> None:
        source, token = await harness.volume(a=b"alpha"), uuid4()
        snapshot = await taken(harness, source)
        await harness.backend.restore(source, snapshot, token)
        clone = await cloned(harness, source, await taken(harness, source))
        assert not await harness.backend.settle_restore(clone.id, token)

    @needs("clone", "permissions")
    async def test_a_clone_takes_permissions_when_given(self, harness: Harness) -> None:
        spec = harness.spec(root=RootDirectory(mode=0o750, uid=11, gid=12))
        await harness.backend.create(spec)
        snapshot = await base(harness, spec.id)
        like = await cloned(harness, spec.id, snapshot)
        own = await cloned(harness, spec.id, snapshot, root=RootDirectory(mode=0o700, uid=21, gid=22))
        async for _ in harness.lives():
            assert await harness.root(like.id) == spec.root
            assert await harness.root(own.id) == own.root
            assert await harness.root(spec.id) == spec.root

    @needs("clone", "split")
    async def test_a_split_clone_outlives_its_source(self, harness: Harness) -> None:
        data = os.urandom(1_000_000)
        source = await harness.volume(a=b"alpha", big=data)
        snapshot = await base(harness, source)
        clone = await cloned(harness, source, snapshot)
        for _ in range(2):
            await harness.backend.split(clone.id)
        observed = await harness.backend.inspect(clone.id)
        assert observed is not None
        assert (observed.origin, observed.origin_snapshot) == (None, None)
        if snapshot is not None:
            await harness.backend.delete_snapshot(source, snapshot)
        await harness.backend.delete(source)
        async for backend in harness.lives():
            observed = await backend.inspect(clone.id)
            assert_is(observed, clone)
            assert observed is not None
            assert observed.origin is None
            assert await harness.held(clone.id) == {"a": b"alpha", "big": data}

    @needs("clone", without=("clone_needs_snapshot",))
    async def test_a_volume_is_cloned_as_it_is(self, harness: Harness) -> None:
        source = await harness.volume(a=b"alpha")
        clone = await cloned(harness, source, None)
        await harness.write(source, a=b"source")
        async for _ in harness.lives():
            assert await harness.held(clone.id) == {"a": b"alpha"}
            assert set(await harness.volumes()) == {source, clone.id}
        if harness.capability().can("snapshot"):
            assert await harness.snapshots() == {}

    @needs("clone", "clone_needs_snapshot")
    async def test_a_clone_without_a_snapshot_is_refused(self, harness: Harness) -> None:
        source, spec = await harness.volume(a=b"alpha"), harness.spec()
        with pytest.raises(GatewayError):
            await harness.backend.clone(source, None, spec)
        async for backend in harness.lives():
            assert await backend.inspect(spec.id) is None

    @needs("clone")
    async def test_a_clone_of_nothing_is_not_found(self, harness: Harness) -> None:
        spec = harness.spec()
        with pytest.raises(NotFound):
            await harness.backend.clone(uuid4(), uuid4(), spec)
        async for backend in harness.lives():
            assert await backend.inspect(spec.id) is None
            assert await harness.volumes() == {}

    @needs("clone")
    async def test_parallel_clones(self, harness: Harness) -> None:
        source = await harness.volume(a=b"alpha")
        snapshot = await base(harness, source)
        specs = [harness.spec(note=note(f"clone {n}")) for n in range(PARALLEL)]
        async with asyncio.TaskGroup() as group:
            for spec in [*specs, *specs[:3]]:
                group.create_task(harness.backend.clone(source, snapshot, spec))
        async for _ in harness.lives():
            found = await harness.volumes()
            assert set(found) == {source, *(spec.id for spec in specs)}
            for spec in specs:
                assert_is(found[spec.id], spec)
                assert await harness.held(spec.id) == {"a": b"alpha"}
