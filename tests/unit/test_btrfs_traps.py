"""What btrfs does that a careless backend would fall for; see the notes on each in `gateway.backends.btrfs`."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from btrfs_scene import MIB, SIZE, Scene, command, note, scene, spec

from gateway.core.errors import AlreadyExists, Busy, LimitExceeded, NotFound, OutOfSpace
from gateway.core.handles import LocalPath
from gateway.core.model import RootDirectory
from gateway.testing.btrfs_pool import btrfs_pool

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def mount(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with btrfs_pool(tmp_path_factory.mktemp("btrfs")) as path:
        yield path


@pytest.fixture
async def at(mount: Path) -> AsyncIterator[Scene]:
    async with scene(mount) as made:
        yield made


def fill(place: Path) -> None:
    """Write until the kernel refuses, then small files until it refuses those too."""
    for size in (MIB, 4096):
        with pytest.raises(OSError, match="quota"):
            write_many(place, size)


def write_many(place: Path, size: int) -> None:
    for number in range(10_000):
        with (place / f"fill-{size}-{number}").open("wb") as file:
            file.write(os.urandom(size))
            file.flush()
            os.fsync(file.fileno())


async def create_many(at: Scene) -> None:
    for _ in range(10_000):
        await at.backend.create(spec())
        await at.backend.put_manifest(b"x" * 60_000)


# --- limits ---


async def test_copies_do_not_keep_the_limit_of_their_source(at: Scene) -> None:
    volume = await at.volume(a=b"alpha")
    snapshot, clone, direct = await at.snapshot(volume), spec(size=2 * SIZE), spec(size=3 * SIZE)
    await at.backend.clone(volume, snapshot, clone)
    await at.backend.clone(volume, None, direct)
    await at.backend.resize(volume, 4 * SIZE)
    await at.backend.restore(volume, snapshot, uuid4())
    assert [at.limit(at.place(each)) for each in (volume, clone.id, direct.id)] == [4 * SIZE, 2 * SIZE, 3 * SIZE]


async def test_a_full_volume_can_still_be_managed(at: Scene) -> None:
    volume = await at.volume()
    fill(at.place(volume))
    files = at.files(volume)
    snapshot = await at.snapshot(volume)
    clone = spec(root=RootDirectory(mode=0o700, uid=5, gid=6))
    await at.backend.clone(volume, snapshot, clone)
    assert at.files(clone.id) == files == at.files(volume, snapshot)
    await at.backend.annotate(volume, note("full"))
    await at.backend.restore(volume, snapshot, uuid4())
    assert at.files(volume) == files
    await at.backend.resize(volume, 2 * SIZE)
    at.write(volume, more=os.urandom(MIB))
    await at.backend.delete(clone.id)
    await at.backend.delete_snapshot(volume, snapshot)
    await at.backend.delete(volume)
    at.assert_tidy()


async def test_a_limit_below_the_use_is_refused(at: Scene) -> None:
    volume = await at.volume(a=os.urandom(4 * MIB))
    with pytest.raises(LimitExceeded) as refused:
        await at.backend.resize(volume, 2 * MIB)
    least = refused.value.fields["minimum"]
    assert isinstance(least, int)
    assert 4 * MIB <= least < 5 * MIB
    assert at.limit(at.place(volume)) == SIZE
    await at.backend.resize(volume, least)
    assert at.limit(at.place(volume)) == least


async def test_used_is_what_is_reachable_also_when_shared(at: Scene) -> None:
    volume = await at.volume(a=os.urandom(4 * MIB))
    snapshot, clone = await at.snapshot(volume), spec()
    await at.backend.clone(volume, snapshot, clone)
    for each in (volume, clone.id):
        seen = await at.backend.inspect(each)
        assert seen is not None
        assert 4 * MIB <= seen.used < 5 * MIB
    taken = await at.backend.inspect_snapshot(volume, snapshot)
    assert taken is not None
    assert 4 * MIB <= taken.size < 5 * MIB


async def test_out_of_space_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    with btrfs_pool(tmp_path, "128M") as small:
        async with scene(small) as at:
            volume = await at.volume()
            await at.backend.resize(volume, 2**40)
            with pytest.raises(OSError, match="No space"):
                write_many(at.place(volume), MIB)
            with pytest.raises(OutOfSpace):
                await create_many(at)
            assert list((at.path / "staging").iterdir()) == []


# --- quotas switched ---


async def test_quotas_are_turned_on_and_old_volumes_get_their_limits(tmp_path: Path) -> None:
    with btrfs_pool(tmp_path, quota=False) as mount:
        async with scene(mount, quota=False) as at:
            volume = await at.volume(a=b"alpha")
            await at.backend.resize(volume, 2 * SIZE)
            kinds = at.backend.describe().kinds
            assert [facts.quota for facts in kinds.values()] == [False]
            seen = await at.backend.inspect(volume)
            assert seen is not None
            assert (seen.size, seen.used) == (2 * SIZE, 0)
            await at.reopen(quota=True)
            assert at.limit(at.place(volume)) == 2 * SIZE
            assert [facts.quota for facts in at.backend.describe().kinds.values()] == [True]
            await at.reopen(quota=False)
            clone = spec()
            await at.backend.clone(volume, None, clone)
            assert at.limit(at.place(clone.id)) is None
            await at.reopen(quota=True)
            assert at.limit(at.place(clone.id)) == SIZE


# --- identity ---


async def test_attributes_that_a_clone_inherits_say_nothing_about_it(at: Scene) -> None:
    volume = await at.volume(a=b"alpha")
    os.setxattr(at.place(volume), "user.id", str(volume).encode())
    clone = spec()
    seen = await at.backend.clone(volume, None, clone)
    assert (seen.id, seen.note, seen.origin) == (clone.id, clone.note, volume)


async def test_a_note_is_not_believed_for_another_subvolume(at: Scene) -> None:
    volume = await at.volume(a=b"alpha")
    place = at.place(volume)
    at.kernel.delete_subvolume(place)
    at.kernel.create_subvolume(place)
    (place / "precious").write_bytes(b"not ours")
    assert await at.backend.inspect(volume) is None
    with pytest.raises(NotFound):
        await at.backend.access(volume)
    with pytest.raises(AlreadyExists):
        await at.backend.create(spec(volume))
    await at.backend.delete(volume)
    await at.reopen()
    assert [(seen.id, seen.place) async for seen in at.backend.scan()] == [(None, str(place))]
    assert (place / "precious").read_bytes() == b"not ours"


async def test_a_snapshot_s_note_is_not_believed_for_another_subvolume(at: Scene) -> None:
    volume, other = await at.volume(a=b"alpha"), await at.volume(a=b"other")
    older, taken = await at.snapshot(volume), await at.snapshot(volume)
    place = at.place(volume, taken)
    for impostor in (at.place(other), at.place(volume, older)):
        at.kernel.delete_subvolume(place)
        at.kernel.create_snapshot(impostor, place, read_only=True)
        assert await at.backend.inspect_snapshot(volume, taken) is None
        with pytest.raises(AlreadyExists):
            await at.backend.snapshot(volume, taken, note("again"))
        await at.backend.delete_snapshot(volume, taken)
        assert place.exists()
    seen = {found.place: found.id async for found in at.backend.scan_snapshots()}
    assert seen == {str(place): None, str(at.place(volume, older)): older}


async def test_a_snapshot_s_note_is_not_believed_for_an_older_one_of_the_same_volume(at: Scene) -> None:
    volume, taken = await at.volume(a=b"old"), uuid4()
    older = at.place(volume, taken).with_name("older")
    older.parent.mkdir()
    at.kernel.create_snapshot(at.place(volume), older, read_only=True)
    at.write(volume, a=b"new")
    at.kernel.sync(at.path)
    await at.backend.snapshot(volume, taken, note("taken"))
    at.kernel.delete_subvolume(at.place(volume, taken))
    older.rename(at.place(volume, taken))
    assert await at.backend.inspect_snapshot(volume, taken) is None


async def test_what_is_not_ours_is_shown_and_kept(at: Scene) -> None:
    volume = await at.volume(a=b"alpha")
    strangers = [at.path / "volumes" / name for name in ("folder", str(uuid4()), "subvolume", "link", "file")]
    strangers[0].mkdir()
    strangers[1].mkdir()
    at.kernel.create_subvolume(strangers[2])
    strangers[3].symlink_to(at.place(volume))
    strangers[4].write_bytes(b"?")
    lost = [at.path / "snapshots" / "file", at.path / "snapshots" / str(volume) / "folder"]
    lost[1].mkdir(parents=True)
    lost[0].write_bytes(b"?")
    kept = at.path / "staging" / "not-ours"
    kept.mkdir()
    await at.reopen()
    found = [seen async for seen in at.backend.scan()]
    assert {seen.place for seen in found if seen.id is None} == set(map(str, strangers))
    assert [seen.id for seen in found if seen.id] == [volume]
    assert {seen.place async for seen in at.backend.scan_snapshots()} == set(map(str, lost))
    assert kept.exists()


async def test_a_name_in_another_spelling_is_not_ours(at: Scene) -> None:
    volume = await at.volume(a=b"alpha")
    shouted = at.path / "volumes" / str(volume).upper()
    at.kernel.create_subvolume(shouted)
    seen = {found.place: found.id async for found in at.backend.scan()}
    assert seen == {str(at.place(volume)): volume, str(shouted): None}


# --- removal ---


async def test_subvolumes_that_a_user_nested_do_not_hinder(at: Scene) -> None:
    volume = await at.volume(a=b"alpha")
    inner = at.place(volume) / "inner"
    at.kernel.create_subvolume(inner)
    at.kernel.create_subvolume(inner / "deep")
    (inner / "deep" / "file").write_bytes(b"deep")
    at.kernel.set_read_only(inner, True)
    snapshot, clone = await at.snapshot(volume), spec()
    await at.backend.clone(volume, snapshot, clone)
    assert [path.name for path in sorted(at.place(clone.id).iterdir())] == ["a", "inner"]
    assert list((at.place(clone.id) / "inner").iterdir()) == []
    await at.backend.restore(volume, snapshot, uuid4())
    await at.backend.delete_snapshot(volume, snapshot)
    at.kernel.create_subvolume(at.place(volume) / "again")
    for each in (clone.id, volume):
        await at.backend.delete(each)
    at.assert_tidy()


async def test_deleting_what_is_being_sent_is_busy(at: Scene) -> None:
    volume = await at.volume(a=os.urandom(8 * MIB))
    snapshot = await at.snapshot(volume)
    stream = at.backend.send(volume, snapshot, None)
    await anext(stream)
    with pytest.raises(Busy):
        await at.backend.delete_snapshot(volume, snapshot)
    assert await at.backend.inspect_snapshot(volume, snapshot) is not None
    await stream.aclose()
    await at.backend.delete_snapshot(volume, snapshot)
    assert await at.backend.inspect_snapshot(volume, snapshot) is None


async def test_delete_with_open_files(at: Scene) -> None:
    volume = await at.volume(a=b"alpha")
    with (at.place(volume) / "a").open("rb") as file:
        await at.backend.delete(volume)
        assert file.read() == b"alpha"
    at.assert_tidy()


async def test_a_mount_over_a_volume_only_hides_it(at: Scene) -> None:
    volume = await at.volume(a=b"alpha")
    inner = at.place(volume)
    command("mount", "--bind", at.path / "notes", inner)
    try:
        with pytest.raises(NotFound):
            await at.backend.annotate(volume, note("hidden"))
    finally:
        command("umount", inner)
    assert at.files(volume) == {"a": b"alpha"}
    assert await at.backend.inspect(volume) is not None


# --- places ---


async def test_snapshots_stay_where_they_were_made(at: Scene) -> None:
    volume = await at.volume(a=b"alpha")
    snapshot = await at.snapshot(volume)
    assert await at.backend.access(volume, snapshot) == LocalPath(
        path=str(at.path / "snapshots" / str(volume) / str(snapshot)), read_only=True
    )
    assert await at.backend.access(volume) == LocalPath(path=str(at.path / "volumes" / str(volume)))


async def test_nobody_else_can_list_what_is_there(at: Scene) -> None:
    volume = await at.volume()
    await at.snapshot(volume)
    modes = {
        path.name: path.stat().st_mode & 0o777
        for path in (*at.path.iterdir(), at.path / "snapshots" / str(volume), *(at.path / "notes").iterdir())
        if path.name != ".gateway"
    }
    assert modes.pop("volumes") == modes.pop("snapshots") == modes.pop(str(volume)) == 0o711
    assert modes.pop("notes") == modes.pop("staging") == 0o700
    assert set(modes.values()) == {0o600}
    assert (at.path / ".gateway").stat().st_mode & 0o777 == 0o700


async def test_the_default_root_does_not_depend_on_the_umask(at: Scene) -> None:
    old = os.umask(0o077)
    try:
        volume = await at.volume()
        await at.snapshot(volume)
    finally:
        os.umask(old)
    assert at.place(volume).stat().st_mode & 0o7777 == 0o755
    assert (at.path / "snapshots" / str(volume)).stat().st_mode & 0o7777 == 0o711


async def test_origins_are_known_until_the_split(at: Scene) -> None:
    volume = await at.volume(a=b"alpha")
    snapshot, clone = await at.snapshot(volume), spec()
    await at.backend.clone(volume, snapshot, clone)
    await at.reopen()
    assert await origin(at, clone.id) == (volume, snapshot)
    await at.backend.annotate(clone.id, note("renamed"))
    assert await origin(at, clone.id) == (volume, snapshot)
    await at.backend.restore(clone.id, await at.snapshot(clone.id), uuid4())
    assert await origin(at, clone.id) == (volume, snapshot)
    await at.backend.split(clone.id)
    assert await origin(at, clone.id) == (None, None)


async def origin(at: Scene, volume: UUID) -> tuple[UUID | None, UUID | None]:
    seen = await at.backend.inspect(volume)
    assert seen is not None
    return seen.origin, seen.origin_snapshot


async def test_a_settled_restore_is_remembered_through_other_changes(at: Scene) -> None:
    volume, token = await at.volume(a=b"old"), uuid4()
    snapshot = await at.snapshot(volume)
    at.write(volume, a=b"new")
    assert not await at.backend.settle_restore(volume, token)
    await at.backend.restore(volume, snapshot, token)
    await at.backend.annotate(volume, note("renamed"))
    await at.backend.resize(volume, 2 * SIZE)
    at.write(volume, a=b"newest")
    await at.reopen()
    await at.backend.restore(volume, snapshot, token)
    assert at.files(volume) == {"a": b"newest"}
    assert await at.backend.settle_restore(volume, token)
    assert not await at.backend.settle_restore(volume, uuid4())
    await at.backend.restore(volume, snapshot, uuid4())
    assert at.files(volume) == {"a": b"old"}
