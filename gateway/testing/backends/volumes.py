"""Cases of the obligatory protocol, and of size and permissions."""
# ruff: noqa: D102 - a case says what it shows by its name

from __future__ import annotations

import asyncio
import os
from uuid import uuid4

import msgspec
import pytest

from gateway.core.backend import Observed, VolumeSpec
from gateway.core.errors import InUse, NotFound
from gateway.core.model import RootDirectory, VolumeKind
from gateway.testing.backends.harness import Harness, needs, note

NAMES = ("plain", "Grüße-漢字-🎉", "two words\tand 'quotes' \"\\", "../up", "n" * 203)
DOCUMENTS = (b"", b"{}", b"\x00\xff\r\n" * 16, os.urandom(60 * 1024))
PARALLEL = 20


def assert_is(observed: Observed | None, spec: VolumeSpec) -> None:
    """Fail unless a volume was observed as it was asked for."""
    assert observed is not None
    assert (observed.id, observed.kind, observed.note) == (spec.id, spec.kind, spec.note)
    assert observed.size in {None, spec.size}


class VolumeCases:
    """Create, delete, annotate, scan, manifest, resize, permissions."""

    async def test_a_created_volume_is_there(self, harness: Harness) -> None:
        spec = harness.spec()
        assert_is(await harness.backend.create(spec), spec)
        async for backend in harness.lives():
            assert_is(await backend.inspect(spec.id), spec)
            assert await harness.held(spec.id) == {}

    async def test_bytes_stay(self, harness: Harness) -> None:
        volume = await harness.volume(a=b"alpha", b=os.urandom(100_000))
        await harness.write(volume, **{"deep/er/c": b"", "a": b"new"})
        await harness.remove(volume, "b")
        async for _ in harness.lives():
            assert await harness.held(volume) == {"a": b"new", "deep/er/c": b""}

    async def test_create_again_keeps_the_existing_volume(self, harness: Harness) -> None:
        spec = harness.spec()
        await harness.backend.create(spec)
        await harness.write(spec.id, a=b"alpha")
        async for backend in harness.lives():
            assert_is(await backend.create(spec), spec)
            assert await harness.held(spec.id) == {"a": b"alpha"}
            assert set(await harness.volumes()) == {spec.id}

    async def test_delete_and_delete_of_nothing(self, harness: Harness) -> None:
        kept, gone = await harness.volume(a=b"kept"), await harness.volume(a=b"gone", **{"d/e": b"gone"})
        await harness.backend.delete(gone)
        async for backend in harness.lives():
            await backend.delete(gone)
            await backend.delete(uuid4())
            assert await backend.inspect(gone) is None
            assert set(await harness.volumes()) == {kept}
            assert await harness.held(kept) == {"a": b"kept"}
            with pytest.raises(NotFound):
                await backend.access(gone)

    async def test_an_id_can_be_used_again_after_delete(self, harness: Harness) -> None:
        spec = harness.spec()
        await harness.backend.create(spec)
        await harness.write(spec.id, a=b"old")
        await harness.backend.delete(spec.id)
        again = msgspec.structs.replace(spec, note=note("again"))
        await harness.backend.create(again)
        async for backend in harness.lives():
            assert_is(await backend.inspect(spec.id), again)
            assert await harness.held(spec.id) == {}

    async def test_notes_come_back_as_they_were(self, harness: Harness) -> None:
        specs = [
            harness.spec(note=note(name, tenant=name, document=document)) for name in NAMES for document in DOCUMENTS
        ]
        for spec in specs:
            await harness.backend.create(spec)
        async for backend in harness.lives():
            found = await harness.volumes()
            for spec in specs:
                assert_is(found[spec.id], spec)
                assert_is(await backend.inspect(spec.id), spec)

    async def test_annotate_replaces_the_whole_note(self, harness: Harness) -> None:
        spec = harness.spec(note=note("long", document=os.urandom(60 * 1024)))
        await harness.backend.create(spec)
        await harness.write(spec.id, a=b"alpha")
        for name, document in (("short", b"{}"), ("Größer", os.urandom(60 * 1024)), ("last", b"")):
            spec = msgspec.structs.replace(spec, note=note(name, tenant="other", document=document))
            await harness.backend.annotate(spec.id, spec.note)
            assert_is(await harness.backend.inspect(spec.id), spec)
        async for backend in harness.lives():
            assert_is(await backend.inspect(spec.id), spec)
            assert await harness.held(spec.id) == {"a": b"alpha"}

    async def test_annotate_of_nothing_is_not_found(self, harness: Harness) -> None:
        absent = uuid4()
        with pytest.raises(NotFound):
            await harness.backend.annotate(absent, note())
        assert await harness.backend.inspect(absent) is None

    async def test_scan_lists_exactly_what_exists(self, harness: Harness) -> None:
        assert await harness.volumes() == {}
        specs = {spec.id: spec for spec in (harness.spec(note=note(f"volume {n}")) for n in range(7))}
        for spec in specs.values():
            await harness.backend.create(spec)
        for gone in list(specs)[::3]:
            await harness.backend.delete(gone)
            del specs[gone]
        async for _ in harness.lives():
            found = await harness.volumes()
            assert set(found) == set(specs)
            for spec in specs.values():
                assert_is(found[spec.id], spec)

    async def test_parallel_creates_and_deletes(self, harness: Harness) -> None:
        specs = [harness.spec(note=note(f"volume {n}")) for n in range(PARALLEL)]
        async with asyncio.TaskGroup() as group:
            for spec in specs:
                group.create_task(harness.backend.create(spec))
        assert set(await harness.volumes()) == {spec.id for spec in specs}
        async with asyncio.TaskGroup() as group:
            for spec in specs[::2]:
                group.create_task(harness.backend.delete(spec.id))
            for spec in specs[1::2]:
                group.create_task(harness.write(spec.id, a=spec.id.bytes))
        async for _ in harness.lives():
            assert set(await harness.volumes()) == {spec.id for spec in specs[1::2]}
            for spec in specs[1::2]:
                assert await harness.held(spec.id) == {"a": spec.id.bytes}

    async def test_parallel_creates_of_one_id_make_one_volume(self, harness: Harness) -> None:
        spec = harness.spec()
        made = await asyncio.gather(*(harness.backend.create(spec) for _ in range(PARALLEL)))
        for observed in made:
            assert_is(observed, spec)
        async for _ in harness.lives():
            assert set(await harness.volumes()) == {spec.id}

    async def test_the_manifest_comes_back_and_is_replaced(self, harness: Harness) -> None:
        assert await harness.backend.manifest() is None
        for document in (os.urandom(300 * 1024), b"{}", b""):
            await harness.backend.put_manifest(document)
            async for backend in harness.lives():
                assert await backend.manifest() == document
        assert await harness.volumes() == {}

    async def test_capacity_adds_up(self, harness: Harness) -> None:
        before = await harness.backend.capacity()
        assert 0 <= before.used <= before.size
        assert 0 <= before.available <= before.size
        assert before.available >= harness.size
        await harness.volume()
        assert (await harness.backend.capacity()).size == before.size

    async def test_the_least_size_can_be_made(self, harness: Harness) -> None:
        spec = harness.spec(size=harness.capability().facts.size_min)
        await harness.backend.create(spec)
        async for backend in harness.lives():
            assert_is(await backend.inspect(spec.id), spec)

    async def test_close_twice(self, harness: Harness) -> None:
        await harness.backend.close()
        await harness.backend.close()

    @needs("resize")
    async def test_resize_grows(self, harness: Harness) -> None:
        volume = await harness.volume(a=b"alpha")
        for _ in range(2):
            await harness.backend.resize(volume, 2 * harness.size)
        async for backend in harness.lives():
            observed = await backend.inspect(volume)
            assert observed is not None
            assert observed.size == 2 * harness.size
            assert await harness.held(volume) == {"a": b"alpha"}

    @needs("resize")
    async def test_resize_of_nothing_is_not_found(self, harness: Harness) -> None:
        with pytest.raises(NotFound):
            await harness.backend.resize(uuid4(), harness.size)

    @needs("permissions")
    async def test_a_volume_is_made_with_its_permissions(self, harness: Harness) -> None:
        root = RootDirectory(mode=0o2750, uid=1234, gid=2345)
        spec = harness.spec(root=root)
        await harness.backend.create(spec)
        async for _ in harness.lives():
            assert await harness.root(spec.id) == root

    @needs("permissions")
    async def test_permissions_change(self, harness: Harness) -> None:
        volume, other = await harness.volume(a=b"alpha"), await harness.volume()
        untouched = await harness.root(other)
        root = RootDirectory(mode=0o711, uid=4321, gid=5432)
        for _ in range(2):
            await harness.backend.set_root(volume, root)
        async for _ in harness.lives():
            assert await harness.root(volume) == root
            assert await harness.root(other) == untouched
            assert await harness.held(volume) == {"a": b"alpha"}

    @needs("permissions")
    async def test_permissions_of_nothing_are_not_found(self, harness: Harness) -> None:
        with pytest.raises(NotFound):
            await harness.backend.set_root(uuid4(), RootDirectory())

    @needs("convert")
    async def test_an_empty_volume_becomes_a_block_volume(self, harness: Harness) -> None:
        kept, spec = await harness.volume(a=b"kept"), harness.spec()
        await harness.backend.create(spec)
        block = msgspec.structs.replace(spec, kind=VolumeKind.BLOCK, size=2 * harness.size, note=note("block"))
        for _ in range(2):
            assert_is(await harness.backend.convert(block), block)
        async for backend in harness.lives():
            assert_is(await backend.inspect(spec.id), block)
            assert set(await harness.volumes()) == {kept, spec.id}
            assert await harness.held(kept) == {"a": b"kept"}

    @needs("convert")
    async def test_what_holds_anything_is_not_converted(self, harness: Harness) -> None:
        spec = harness.spec()
        await harness.backend.create(spec)
        await harness.write(spec.id, a=b"alpha")
        with pytest.raises(InUse):
            await harness.backend.convert(msgspec.structs.replace(spec, kind=VolumeKind.BLOCK))
        async for backend in harness.lives():
            assert_is(await backend.inspect(spec.id), spec)
            assert await harness.held(spec.id) == {"a": b"alpha"}

    @needs("convert")
    async def test_a_conversion_cut_short_is_completed(self, harness: Harness) -> None:
        """As when the process died after the old volume went."""
        spec = harness.spec(kind=VolumeKind.BLOCK)
        assert_is(await harness.backend.convert(spec), spec)
        async for backend in harness.lives():
            assert_is(await backend.inspect(spec.id), spec)
