"""Cases that hold what a backend states against what it does."""
# ruff: noqa: D102 - a case says what it shows by its name

from __future__ import annotations

import os
from uuid import UUID, uuid4

import msgspec
import pytest

from gateway.core.backend import PROTOCOLS
from gateway.core.errors import GatewayError, OutOfSpace
from gateway.testing.backends.clones import base, cloned
from gateway.testing.backends.harness import MIB, Harness, needs, note
from gateway.testing.backends.snapshots import taken
from gateway.testing.backends.volumes import assert_is


async def fill(harness: Harness, volume: UUID, most: int) -> int:
    """Write incompressible files until the volume is full or `most` bytes are in; give the bytes accepted."""
    step, accepted = min(MIB, max(harness.size // 16, 1)), 0
    async with harness.files(volume) as content:
        while accepted < most:
            try:
                await content.write(f"fill{accepted}", os.urandom(step))
            except OutOfSpace:
                break
            accepted += step
    return accepted


async def assert_limit(harness: Harness, volume: UUID, limit: int) -> None:
    """Fail unless an empty volume takes most of `limit` bytes and no more."""
    assert limit // 2 < await fill(harness, volume, 2 * limit) <= limit


class HonestyCases:
    """The capability record against behaviour, in both directions."""

    async def test_the_record_agrees_with_the_protocols(self, harness: Harness) -> None:
        lacks = harness.backend.describe().lacks.get(harness.kind, {})
        capability = harness.capability()
        for name, protocol in PROTOCOLS.items():
            implemented = isinstance(harness.opened, protocol)
            assert capability.can(name) == (implemented and name not in lacks), name
            assert implemented or name not in lacks, name
        assert all(reason.strip() for reason in lacks.values())

    async def test_the_substrate_keeps_its_identity(self, harness: Harness) -> None:
        described = harness.backend.describe()
        assert described.driver
        assert described.volatile == (harness.reopen is None)
        async for backend in harness.lives():
            again = backend.describe()
            assert (again.id, again.driver, dict(again.kinds)) == (
                described.id,
                described.driver,
                dict(described.kinds),
            )

    async def test_handles_are_of_a_stated_form(self, harness: Harness) -> None:
        handle = await harness.backend.access(await harness.volume())
        form = msgspec.to_builtins(handle)["type"]
        assert form in harness.backend.describe().handles

    async def test_limits_make_sense(self, harness: Harness) -> None:
        facts = harness.capability().facts
        assert facts.size_step >= 1
        assert 1 <= facts.size_min <= (facts.size_max or facts.size_min)
        assert facts.size_min % facts.size_step == 0
        assert facts.snapshot_max is None or facts.snapshot_max >= 1
        assert facts.thin or facts.thick

    @needs("quota")
    async def test_quota_stops_writes(self, harness: Harness) -> None:
        small, large = harness.spec(), harness.spec(size=2 * harness.size)
        for spec in (small, large):
            await harness.backend.create(spec)
            assert_is(await harness.backend.inspect(spec.id), spec)
        await assert_limit(harness, small.id, small.size)
        await assert_limit(harness, large.id, large.size)
        async with harness.files(small.id) as content:
            for path in await content.paths():
                await content.remove(path)
        assert await harness.held(small.id) == {}

    @needs("quota")
    async def test_quota_still_holds_after_reopen(self, harness: Harness) -> None:
        volume = await harness.volume()
        async for backend in harness.lives():
            observed = await backend.inspect(volume)
            assert observed is not None
            assert observed.size == harness.size
        await assert_limit(harness, volume, harness.size)

    @needs(without=("quota",))
    async def test_nothing_stops_writes_without_quota(self, harness: Harness) -> None:
        volume = await harness.volume()
        assert await fill(harness, volume, 2 * harness.size) == 2 * harness.size

    @needs("quota", "resize")
    async def test_quota_follows_growth(self, harness: Harness) -> None:
        volume = await harness.volume()
        await harness.backend.resize(volume, 2 * harness.size)
        await assert_limit(harness, volume, 2 * harness.size)

    @needs("quota", "clone")
    async def test_quota_of_a_clone_is_its_own(self, harness: Harness) -> None:
        source = await harness.volume()
        clone = await cloned(harness, source, await base(harness, source), size=2 * harness.size)
        await assert_limit(harness, clone.id, clone.size)
        await assert_limit(harness, source, harness.size)

    @needs("quota", "restore")
    async def test_quota_survives_restore(self, harness: Harness) -> None:
        volume, size = await harness.volume(), harness.size
        snapshot = await taken(harness, volume)
        if harness.capability().can("resize"):
            size *= 2
            await harness.backend.resize(volume, size)
        await harness.backend.restore(volume, snapshot, uuid4())
        await assert_limit(harness, volume, size)

    @needs("quota", "replicate")
    async def test_quota_of_a_replica_is_its_own(self, harness: Harness) -> None:
        source, spec = await harness.volume(), harness.spec(size=2 * harness.size)
        stream = harness.backend.send(source, await taken(harness, source), None)
        await harness.backend.receive(spec, uuid4(), note("copy"), stream)
        await assert_limit(harness, spec.id, spec.size)

    @needs("resize", "shrink")
    async def test_shrink_makes_smaller(self, harness: Harness) -> None:
        volume, size = await harness.volume(a=b"alpha"), harness.size // 2
        for _ in range(2):
            await harness.backend.resize(volume, size)
        async for backend in harness.lives():
            observed = await backend.inspect(volume)
            assert observed is not None
            assert observed.size == size
            assert await harness.held(volume) == {"a": b"alpha"}
        if harness.capability().can("quota"):
            await assert_limit(harness, volume, size)

    @needs("resize", without=("shrink",))
    async def test_what_does_not_shrink_refuses(self, harness: Harness) -> None:
        volume = await harness.volume(a=b"alpha")
        with pytest.raises(GatewayError):
            await harness.backend.resize(volume, harness.size // 2)
        async for backend in harness.lives():
            observed = await backend.inspect(volume)
            assert observed is not None
            assert observed.size == harness.size

    @needs("thin")
    async def test_thin_reserves_nothing(self, harness: Harness) -> None:
        facts = harness.capability().facts
        before = await harness.backend.capacity()
        size = before.size - before.size % facts.size_step + facts.size_step
        size = size if facts.size_max is None else min(size, facts.size_max)
        specs = [harness.spec(size=size) for _ in range(2)]
        for spec in specs:
            await harness.backend.create(spec)
        after = await harness.backend.capacity()
        assert before.available - after.available < min(size, harness.size)
        assert set(await harness.volumes()) == {spec.id for spec in specs}
        await harness.write(specs[0].id, a=b"alpha")
        assert await harness.held(specs[0].id) == {"a": b"alpha"}

    @needs("thick")
    async def test_thick_reserves_its_size(self, harness: Harness) -> None:
        before = await harness.backend.capacity()
        spec = harness.spec(thick=True)
        for _ in range(2):
            await harness.backend.create(spec)
        after = await harness.backend.capacity()
        assert before.available - after.available >= harness.size
        assert await fill(harness, spec.id, harness.size // 2) == harness.size // 2
        async for backend in harness.lives():
            assert before.available - (await backend.capacity()).available >= harness.size

    @needs("thick")
    async def test_thick_beyond_the_pool_is_out_of_space(self, harness: Harness) -> None:
        facts = harness.capability().facts
        free = (await harness.backend.capacity()).available
        spec = harness.spec(size=free - free % facts.size_step + facts.size_step, thick=True)
        with pytest.raises(OutOfSpace):
            await harness.backend.create(spec)
        async for backend in harness.lives():
            assert await backend.inspect(spec.id) is None
            assert await harness.volumes() == {}
            assert (await backend.capacity()).available >= free - harness.size

    @needs("thick", "clone")
    async def test_a_thick_clone_reserves_its_size(self, harness: Harness) -> None:
        source = await harness.volume(a=b"alpha")
        snapshot = await base(harness, source)
        before = await harness.backend.capacity()
        await cloned(harness, source, snapshot, thick=True)
        assert before.available - (await harness.backend.capacity()).available >= harness.size
