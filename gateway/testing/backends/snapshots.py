"""Cases of snapshots and of restore."""
# ruff: noqa: D102 - a case says what it shows by its name

from __future__ import annotations

import asyncio
import os
from uuid import UUID, uuid4

import pytest

from gateway.core.backend import GroupMember
from gateway.core.errors import GatewayError, InvalidState, NotFound
from gateway.testing.backends.harness import Harness, needs, note
from gateway.testing.backends.volumes import DOCUMENTS, NAMES, PARALLEL


async def taken(harness: Harness, volume: UUID) -> UUID:
    """Take a snapshot of a volume."""
    made = await harness.backend.snapshot(volume, uuid4(), note("snapshot"))
    assert made.id is not None
    return made.id


class SnapshotCases:
    """Snapshot, delete, annotate, scan, restore, settle."""

    @needs("snapshot")
    async def test_a_snapshot_keeps_the_bytes(self, harness: Harness) -> None:
        data = os.urandom(1_000_000)
        volume = await harness.volume(a=b"alpha", big=data)
        snapshot = await taken(harness, volume)
        await harness.write(volume, a=b"changed", b=b"new", big=data[::-1])
        async for _ in harness.lives():
            assert await harness.held(volume, snapshot) == {"a": b"alpha", "big": data}
            assert await harness.held(volume) == {"a": b"changed", "b": b"new", "big": data[::-1]}

    @needs("snapshot")
    async def test_a_snapshot_is_read_only(self, harness: Harness) -> None:
        volume = await harness.volume(a=b"alpha")
        snapshot = await taken(harness, volume)
        async for _ in harness.lives():
            assert (await harness.backend.access(volume, snapshot)).read_only
            assert not (await harness.backend.access(volume)).read_only
            async with harness.files(volume, snapshot) as content:
                with pytest.raises(InvalidState):
                    await content.write("a", b"changed")
                with pytest.raises(InvalidState):
                    await content.remove("a")
            assert await harness.held(volume, snapshot) == {"a": b"alpha"}

    @needs("snapshot")
    async def test_snapshot_again_keeps_the_existing_one(self, harness: Harness) -> None:
        volume = await harness.volume(a=b"alpha")
        snapshot = await taken(harness, volume)
        await harness.write(volume, a=b"changed")
        async for backend in harness.lives():
            again = await backend.snapshot(volume, snapshot, note("snapshot"))
            assert (again.id, again.volume_id, again.note) == (snapshot, volume, note("snapshot"))
            assert await harness.held(volume, snapshot) == {"a": b"alpha"}
            assert set(await harness.snapshots()) == {snapshot}

    @needs("snapshot")
    async def test_delete_of_a_snapshot_and_of_nothing(self, harness: Harness) -> None:
        volume = await harness.volume(a=b"alpha")
        kept, gone = await taken(harness, volume), await taken(harness, volume)
        await harness.backend.delete_snapshot(volume, gone)
        async for backend in harness.lives():
            await backend.delete_snapshot(volume, gone)
            await backend.delete_snapshot(uuid4(), uuid4())
            assert await backend.inspect_snapshot(volume, gone) is None
            assert set(await harness.snapshots()) == {kept}
            assert await harness.held(volume, kept) == {"a": b"alpha"}
            assert await harness.held(volume) == {"a": b"alpha"}
            with pytest.raises(NotFound):
                await backend.access(volume, gone)

    @needs("snapshot")
    async def test_snapshot_notes_come_back_and_are_replaced(self, harness: Harness) -> None:
        volume = await harness.volume(a=b"alpha")
        notes = {uuid4(): note(name, document=document) for name in NAMES for document in DOCUMENTS}
        for snapshot, kept in notes.items():
            await harness.backend.snapshot(volume, snapshot, kept)
        changed = dict(zip(notes, reversed(notes.values()), strict=True))
        for expected in (notes, changed):
            for snapshot, kept in expected.items():
                await harness.backend.annotate_snapshot(volume, snapshot, kept)
            async for backend in harness.lives():
                found = await harness.snapshots()
                assert {key: observed.note for key, observed in found.items()} == expected
                for snapshot, kept in expected.items():
                    observed = await backend.inspect_snapshot(volume, snapshot)
                    assert observed is not None
                    assert (observed.id, observed.volume_id, observed.note) == (snapshot, volume, kept)
        for snapshot in notes:
            assert await harness.held(volume, snapshot) == {"a": b"alpha"}

    @needs("snapshot")
    async def test_scan_lists_exactly_the_snapshots_that_exist(self, harness: Harness) -> None:
        assert await harness.snapshots() == {}
        volumes = [await harness.volume() for _ in range(3)]
        owners = {await taken(harness, volume): volume for volume in volumes * 3}
        for gone in list(owners)[::4]:
            await harness.backend.delete_snapshot(owners.pop(gone), gone)
        async for _ in harness.lives():
            assert {key: found.volume_id for key, found in (await harness.snapshots()).items()} == owners
            assert set(await harness.volumes()) == set(volumes)

    @needs("snapshot")
    async def test_a_snapshot_of_nothing_is_not_found(self, harness: Harness) -> None:
        volume = await harness.volume()
        with pytest.raises(NotFound):
            await harness.backend.snapshot(uuid4(), uuid4(), note())
        with pytest.raises(NotFound):
            await harness.backend.annotate_snapshot(volume, uuid4(), note())
        assert await harness.backend.inspect_snapshot(volume, uuid4()) is None
        assert await harness.snapshots() == {}

    @needs("snapshot")
    async def test_parallel_snapshots_and_deletes(self, harness: Harness) -> None:
        volume = await harness.volume(a=b"alpha")
        ids = [uuid4() for _ in range(PARALLEL)]
        async with asyncio.TaskGroup() as group:
            for snapshot in [*ids, *ids[:3]]:
                group.create_task(harness.backend.snapshot(volume, snapshot, note(str(snapshot))))
        assert set(await harness.snapshots()) == set(ids)
        async with asyncio.TaskGroup() as group:
            for snapshot in [*ids[::2], *ids[:3:2]]:
                group.create_task(harness.backend.delete_snapshot(volume, snapshot))
        async for _ in harness.lives():
            assert set(await harness.snapshots()) == set(ids[1::2])
            for snapshot in ids[1::2]:
                assert await harness.held(volume, snapshot) == {"a": b"alpha"}

    @needs("snapshot", "snapshot_group")
    async def test_a_group_of_snapshots_is_taken_whole(self, harness: Harness) -> None:
        volumes = [await harness.volume(a=str(n).encode()) for n in range(3)]
        members = [GroupMember(volume=volume, snapshot=uuid4(), note=note(f"of {volume}")) for volume in volumes]
        await harness.backend.snapshot(members[0].volume, members[0].snapshot, members[0].note)
        for _ in range(2):
            await harness.backend.snapshot_group(members)
        for volume in volumes:
            await harness.write(volume, a=b"since")
        async for _ in harness.lives():
            found = await harness.snapshots()
            assert {key: seen.note for key, seen in found.items()} == {m.snapshot: m.note for m in members}
            for n, member in enumerate(members):
                assert await harness.held(member.volume, member.snapshot) == {"a": str(n).encode()}

    @needs("snapshot", "snapshot_group")
    async def test_a_group_with_a_missing_volume_leaves_nothing(self, harness: Harness) -> None:
        volumes = [await harness.volume(), uuid4(), await harness.volume()]
        with pytest.raises(NotFound):
            await harness.backend.snapshot_group(
                [GroupMember(volume=volume, snapshot=uuid4(), note=note()) for volume in volumes]
            )
        async for _ in harness.lives():
            assert await harness.snapshots() == {}

    @needs("restore")
    async def test_restore_brings_the_bytes_back(self, harness: Harness) -> None:
        volume = await harness.volume(a=b"alpha", b=b"beta")
        snapshot = await taken(harness, volume)
        await harness.write(volume, a=b"changed", c=b"new")
        await harness.remove(volume, "b")
        await harness.backend.restore(volume, snapshot, uuid4())
        assert await harness.held(volume) == {"a": b"alpha", "b": b"beta"}
        await harness.write(volume, a=b"after")
        async for _ in harness.lives():
            assert await harness.held(volume) == {"a": b"after", "b": b"beta"}
            assert await harness.held(volume, snapshot) == {"a": b"alpha", "b": b"beta"}
            assert set(await harness.volumes()) == {volume}

    @needs("restore")
    async def test_restore_with_the_same_token_changes_nothing(self, harness: Harness) -> None:
        volume, token = await harness.volume(a=b"alpha"), uuid4()
        snapshot = await taken(harness, volume)
        await harness.backend.restore(volume, snapshot, token)
        await harness.write(volume, a=b"written since")
        async for backend in harness.lives():
            await backend.restore(volume, snapshot, token)
            assert await harness.held(volume) == {"a": b"written since"}
        await harness.backend.restore(volume, snapshot, uuid4())
        async for _ in harness.lives():
            assert await harness.held(volume) == {"a": b"alpha"}

    @needs("restore")
    async def test_restore_keeps_the_volume_itself(self, harness: Harness) -> None:
        volume = await harness.volume(a=b"alpha")
        snapshot = await taken(harness, volume)
        await harness.backend.annotate(volume, note("renamed since"))
        if harness.capability().can("resize"):
            await harness.backend.resize(volume, 2 * harness.size)
        before = await harness.backend.inspect(volume)
        assert before is not None
        await harness.backend.restore(volume, snapshot, uuid4())
        async for backend in harness.lives():
            after = await backend.inspect(volume)
            assert after is not None
            assert (after.note, after.size, after.kind) == (note("renamed since"), before.size, before.kind)

    @needs("restore")
    async def test_settle_tells_whether_a_restore_took_effect(self, harness: Harness) -> None:
        volume, token = await harness.volume(a=b"alpha"), uuid4()
        snapshot = await taken(harness, volume)
        await harness.write(volume, a=b"changed")
        async for backend in harness.lives():
            for _ in range(2):
                assert not await backend.settle_restore(volume, token)
            assert await harness.held(volume) == {"a": b"changed"}
        await harness.backend.restore(volume, snapshot, token)
        async for backend in harness.lives():
            for _ in range(2):
                assert await backend.settle_restore(volume, token)
            assert not await backend.settle_restore(volume, uuid4())
            assert await harness.held(volume) == {"a": b"alpha"}
            assert set(await harness.volumes()) == {volume}

    @needs("restore")
    async def test_restore_of_nothing_is_not_found(self, harness: Harness) -> None:
        volume, token = await harness.volume(a=b"alpha"), uuid4()
        with pytest.raises(NotFound):
            await harness.backend.restore(volume, uuid4(), token)
        assert not await harness.backend.settle_restore(volume, token)
        assert await harness.held(volume) == {"a": b"alpha"}

    @needs("restore", "restore_keeps_newer")
    async def test_restore_keeps_newer_snapshots(self, harness: Harness) -> None:
        volume = await harness.volume(a=b"first")
        older = await taken(harness, volume)
        await harness.write(volume, a=b"second")
        newer = await taken(harness, volume)
        await harness.backend.restore(volume, older, uuid4())
        async for _ in harness.lives():
            assert set(await harness.snapshots()) == {older, newer}
            assert await harness.held(volume, newer) == {"a": b"second"}
        await harness.backend.restore(volume, newer, uuid4())
        assert await harness.held(volume) == {"a": b"second"}

    @needs("restore", without=("restore_keeps_newer",))
    async def test_restore_removes_newer_snapshots(self, harness: Harness) -> None:
        volume = await harness.volume(a=b"first")
        older = await taken(harness, volume)
        newer = await taken(harness, volume)
        await harness.backend.restore(volume, older, uuid4())
        async for _ in harness.lives():
            assert set(await harness.snapshots()) == {older}
            assert await harness.backend.inspect_snapshot(volume, newer) is None

    @needs("snapshot", "crash_consistent")
    async def test_a_snapshot_is_one_instant(self, harness: Harness) -> None:
        """Shown by a writer that always moves file `a` before file `b`; empty is a file just being written."""
        volume = await harness.volume(a=b"0", b=b"0")
        stop = asyncio.Event()

        async def write() -> None:
            step = 0
            async with harness.files(volume) as content:
                while not stop.is_set():
                    step += 1
                    await content.write("a", str(step).encode())
                    await asyncio.sleep(0)
                    await content.write("b", str(step).encode())

        writer = asyncio.create_task(write())
        try:
            for _ in range(8):
                snapshot = await taken(harness, volume)
                held = await harness.held(volume, snapshot)
                first, second = (int(held[name] or -1) for name in ("a", "b"))
                assert first == -1 or second == -1 or 0 <= first - second <= 1
        finally:
            stop.set()
            await writer

    @needs("snapshot")
    async def test_the_snapshot_limit_is_where_it_is_stated(self, harness: Harness) -> None:
        most = harness.capability().facts.snapshot_max
        if most is None or most > 2_000:
            pytest.skip("no snapshot limit within reach is stated")
        volume = await harness.volume()
        for _ in range(most):
            await taken(harness, volume)
        with pytest.raises(GatewayError):
            await taken(harness, volume)
