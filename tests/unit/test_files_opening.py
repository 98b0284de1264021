"""Opening a pool of files: what is refused, what is shared, what is found again, what is counted."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from uuid import UUID, uuid4

import msgspec
import pytest
from btrfs_scene import Died, command
from files_scene import BLOCK, Scene, scene, spec

from gateway.backends.directory import DirectoryBackend, DirectoryOptions
from gateway.backends.files import failures
from gateway.backends.files.layout import is_ours
from gateway.backends.files.names import exchange, move, parse_id
from gateway.backends.files.usage import Usage
from gateway.core.errors import Internal, LimitExceeded, OutOfSpace, Unavailable, tree
from gateway.testing.loop_pool import loop_pool


async def refusal(path: Path) -> str:
    backend = DirectoryBackend("pool", DirectoryOptions(path=path))
    with pytest.raises(Unavailable) as refused:
        await backend.open()
    with pytest.raises(Unavailable, match="not open"):
        await backend.capacity()
    with pytest.raises(Unavailable, match="not open"):
        backend.describe()
    await backend.close()
    return str(refused.value.fields["reason"])


async def test_what_is_no_directory_is_refused(tmp_path: Path) -> None:
    assert "no such directory" in await refusal(tmp_path / "absent")
    (tmp_path / "file").touch()
    assert "not a directory" in await refusal(tmp_path / "file")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_options_are_checked() -> None:
    with pytest.raises(msgspec.ValidationError, match="pth"):
        msgspec.convert({"path": Path("/srv"), "pth": 1}, DirectoryOptions)


async def test_a_newer_layout_is_refused(tmp_path: Path) -> None:
    async with scene(tmp_path) as at:
        record = at.path / ".gateway" / "pool.json"
        known = msgspec.json.decode(record.read_bytes())
        await at.backend.close()
        record.write_bytes(msgspec.json.encode({**known, "format": 99}))
        assert "format 99" in await refusal(at.path)
        record.write_bytes(b"{")
        assert "damaged" in await refusal(at.path)


async def test_the_identity_is_minted_once_and_travels_with_the_content(tmp_path: Path) -> None:
    async with scene(tmp_path) as at, scene(tmp_path) as other:
        minted = at.backend.describe().id
        assert minted != other.backend.describe().id
        volume = await at.volume(a=b"alpha")
        await at.reopen()
        assert at.backend.describe().id == minted
        await at.backend.close()
        moved = Scene(at.path.rename(tmp_path / "moved"))
        await moved.backend.open()
        assert moved.backend.describe().id == minted
        assert await moved.backend.inspect(volume) is not None
        await moved.backend.close()


async def test_a_pool_that_is_no_longer_at_its_path_is_not_taken_for_empty(tmp_path: Path) -> None:
    async with scene(tmp_path) as at:
        volume = await at.volume(a=b"alpha")
        away = at.path.rename(tmp_path / "away")
        for impostor in (False, True):
            if impostor:
                (at.path / "volumes").mkdir(parents=True)
            with pytest.raises(Unavailable):
                await at.backend.inspect(volume)
            with pytest.raises(Unavailable):
                await at.backend.delete(volume)
        (at.path / "volumes").rmdir()
        at.path.rmdir()
        away.rename(at.path)
        assert await at.backend.inspect(volume) is not None


async def test_work_of_another_process_is_not_settled(tmp_path: Path) -> None:
    async with scene(tmp_path) as at:
        made = spec()
        at.faults.armed = "directory.create.noted"
        with pytest.raises(Died):
            await at.backend.create(made)
        second = Scene(at.path)
        await second.backend.open()
        try:
            await second.backend.session.idle()
            assert (at.path / "staging" / str(made.id)).is_dir()
            await second.backend.create(spec())
        finally:
            await second.backend.close()
        await at.reopen()
        await at.assert_tidy()
        assert await at.backend.inspect(made.id) is None


async def test_a_change_by_another_process_is_seen(tmp_path: Path) -> None:
    async with scene(tmp_path) as at:
        second = Scene(at.path)
        await second.backend.open()
        try:
            volume = await second.volume(BLOCK)
            assert await at.backend.inspect(volume) is not None
            await at.backend.resize(volume, 2**30)
            seen = await second.backend.inspect(volume)
            assert seen is not None
            assert seen.size == 2**30
        finally:
            await second.backend.close()


@pytest.mark.root
async def test_a_read_only_mount_is_refused(tmp_path: Path) -> None:
    with loop_pool(tmp_path, "ext4", "64M") as mount:
        command("mount", "-o", "remount,ro", mount)
        assert "read-only" in await refusal(mount)


@pytest.mark.root
async def test_a_mount_inside_is_refused(tmp_path: Path) -> None:
    with loop_pool(tmp_path, "ext4", "64M") as mount:
        at = Scene(mount / "pool")
        (at.path / "volumes").mkdir()
        command("mount", "-t", "tmpfs", "tmpfs", at.path / "volumes")
        try:
            assert "on one file system" in await refusal(at.path)
        finally:
            command("umount", at.path / "volumes")


@pytest.mark.root
async def test_what_cannot_be_removed_does_not_hinder(tmp_path: Path) -> None:
    with loop_pool(tmp_path, "ext4", "64M") as mount:
        async with scene(mount) as at:
            volume = await at.volume(stuck=b"x")
            stuck = at.place(volume) / "stuck"
            command("chattr", "+i", stuck)
            await at.backend.delete(volume)
            await at.backend.session.idle()
            assert await at.backend.inspect(volume) is None
            await at.backend.create(spec(volume))
            await at.reopen()
            await at.backend.session.idle()
            (left,) = (at.path / "staging").glob("*/stuck")
            command("chattr", "-i", left)
            await at.reopen()
            await at.assert_tidy()


# --- the parts ---


def test_a_move_replaces_nothing(tmp_path: Path) -> None:
    for name in ("one", "two", "empty"):
        (tmp_path / name).mkdir()
    (tmp_path / "one" / "file").touch()
    (tmp_path / "two" / "file").touch()
    for target in ("two", "empty"):
        with pytest.raises(FileExistsError):
            move(tmp_path / "one", tmp_path / target)
    move(tmp_path / "one", tmp_path / "three")
    exchange(tmp_path / "three", tmp_path / "empty")
    assert (tmp_path / "empty" / "file").exists()
    with pytest.raises(FileNotFoundError):
        move(tmp_path / "one", tmp_path / "four")


@pytest.mark.parametrize("number", failures.FAILURES)
def test_every_number_gives_an_error_of_the_core(number: int) -> None:
    assert type(failures.FAILURES[number]("pool")).__name__ in tree()


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (errno.ENOSPC, OutOfSpace),
        (errno.EFBIG, LimitExceeded),
        (errno.EPERM, Unavailable),
        (errno.EROFS, Unavailable),
        (errno.EIO, Unavailable),
        (errno.ESTALE, Unavailable),
        (errno.EXDEV, Internal),
    ],
)
def test_what_the_numbers_mean(number: int, expected: type[Exception]) -> None:
    with pytest.raises(expected), failures.translated("pool"):
        raise OSError(number, os.strerror(number))


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        (str(UUID(int=5)), True),
        (str(UUID(int=5)).upper().replace("0", "A"), False),
        ("0" * 32 + ".trash", True),
        ("theirs", False),
        ("", False),
    ],
)
def test_only_names_that_we_give_are_ours(name: str, ours: bool) -> None:
    assert is_ours(name) is ours
    assert parse_id(name.removesuffix(".trash")) is None or ours


class Clock:
    """A clock that moves on by a second each time it is looked at, when it is slow."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slow = True

    def __call__(self) -> float:
        self.now += self.slow
        return self.now


@pytest.fixture
def tree_of_files(tmp_path: Path) -> Path:
    for number in range(10):
        (tmp_path / f"folder{number}").mkdir()
        (tmp_path / f"folder{number}" / "file").write_bytes(b"x" * 5000)
    return tmp_path


def test_a_long_count_goes_on_in_slices_and_tells_its_age(tree_of_files: Path) -> None:
    clock, volume = Clock(), uuid4()
    usage = Usage(clock)
    begun = usage.count(volume, tree_of_files, 1.0)
    assert usage.unfinished
    slices = 1
    while usage.go_on():
        slices += 1
    assert slices > 5
    counted = usage.count(volume, tree_of_files, 1.0)
    assert counted.bytes > begun.bytes
    assert counted.bytes >= 10 * 5000
    assert counted.age_s > 20
    assert not usage.unfinished
    # What took long is not counted anew so soon, and then the last count holds until the next is done.
    (tree_of_files / "more").write_bytes(b"x" * 50_000)
    assert usage.count(volume, tree_of_files, 1.0).bytes == counted.bytes
    clock.now += 10_000
    assert usage.count(volume, tree_of_files, 1.0).bytes == counted.bytes
    assert usage.unfinished
    while usage.go_on():
        pass
    assert usage.count(volume, tree_of_files, 1.0).bytes >= counted.bytes + 50_000
    usage.forget(volume)


def test_a_quick_count_is_always_new(tree_of_files: Path) -> None:
    clock, volume = Clock(), uuid4()
    clock.slow = False
    usage = Usage(clock)
    before = usage.count(volume, tree_of_files, 1.0)
    (tree_of_files / "more").write_bytes(b"x" * 50_000)
    after = usage.count(volume, tree_of_files, 1.0)
    assert after.bytes >= before.bytes + 50_000
    assert (before.age_s, after.age_s) == (0, 0)
