"""Changes within volumes, cut short between any two steps, by death and by the power: whole or not there at all."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from uuid import UUID, uuid4

import btrfs_scene
import files_scene
import pytest
from btrfs_scene import Died, command

from gateway.backends.files.faults import INSIDE_STEPS
from gateway.backends.files.inside import Inside
from gateway.core.entries import FileSource
from gateway.core.errors import GatewayError, InvalidArgument, NotFound
from gateway.core.model import RootDirectory
from gateway.testing.btrfs_pool import btrfs_pool
from gateway.testing.loop_pool import loop_pool

pytestmark = pytest.mark.root

VOLUME, TOKEN = UUID(int=1, version=4), UUID(int=2, version=4)
ROOT = RootDirectory(mode=0o2770, uid=7, gid=8)
DATA = b"alpha" * 100_000
DRIVERS = ("directory", "btrfs")

Scene = btrfs_scene.Scene | files_scene.Scene
Act = Callable[[Scene, dict[str, int]], Awaitable[object]]

CHANGES: Mapping[str, tuple[str, Act]] = {
    "make_directory": ("make_directory", lambda at, _: at.backend.make_directory(VOLUME, "d/new", ROOT)),
    "rename_file": ("rename_file", lambda at, i: at.backend.rename_file(VOLUME, "a", "d/a", inode=i["a"])),
    "rename a directory": ("rename_file", lambda at, i: at.backend.rename_file(VOLUME, "d", "e", inode=i["d"])),
    "delete_file": ("delete_file", lambda at, i: at.backend.delete_file(VOLUME, "a", inode=i["a"])),
    "clone_file": (
        "clone_file",
        lambda at, _: at.backend.clone_file(VOLUME, FileSource(path="a"), "d/new", token=TOKEN),
    ),
    "clone over another": (
        "clone_file",
        lambda at, _: at.backend.clone_file(VOLUME, FileSource(path="a"), "b", token=TOKEN, overwrite=True),
    ),
}
TARGETS = {"clone_file": "d/new", "clone over another": "b"}


def opened(driver: str, folder: Path) -> Scene:
    return btrfs_scene.Scene(folder) if driver == "btrfs" else files_scene.Scene(folder)


@contextmanager
def mounted(driver: str, folder: Path) -> Iterator[Path]:
    with btrfs_pool(folder, "256M") if driver == "btrfs" else loop_pool(folder, "xfs", "320M") as mount:
        yield mount


@asynccontextmanager
async def scene(driver: str, mount: Path) -> AsyncIterator[Scene]:
    at = opened(driver, mount / uuid4().hex)
    try:
        await at.backend.open()
        yield at
    finally:
        await at.backend.close()


@pytest.fixture(scope="module", params=DRIVERS)
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    with mounted(request.param, tmp_path_factory.mktemp(request.param)) as mount:
        yield request.param, mount


async def furnished(at: Scene) -> dict[str, int]:
    """Make a volume with files in it; give the inodes of what lies at its top."""
    spec = btrfs_scene.spec(VOLUME) if isinstance(at, btrfs_scene.Scene) else files_scene.spec(VOLUME)
    await at.backend.create(spec)
    top = at.place(VOLUME)
    for path, data in (("a", DATA), ("b", b"beta"), ("d/c", b"gamma")):
        (top / path).parent.mkdir(exist_ok=True)
        (top / path).write_bytes(data)
    command("sync", "-f", top)
    return {path.name: path.stat().st_ino for path in top.iterdir()}


def held(at: Scene) -> dict[str, object]:
    """Give all that is in the volume: bytes of files, owner and mode of directories."""
    top, found = at.place(VOLUME), {}
    for path in sorted(top.rglob("*")):
        status = path.lstat()
        found[str(path.relative_to(top))] = (
            path.read_bytes() if path.is_file() else (status.st_mode, status.st_uid, status.st_gid)
        )
    return found


async def settle(at: Scene, name: str) -> bool | None:
    """Do what a restart does with what was cut short; tell whether a copy is there."""
    if name not in TARGETS:
        return None
    return await at.backend.settle_clone_file(VOLUME, TARGETS[name], TOKEN)


@pytest.mark.parametrize("name", CHANGES)
async def test_a_change_passes_exactly_its_points_and_again_none_of_consequence(
    place: tuple[str, Path], name: str
) -> None:
    driver, mount = place
    operation, act = CHANGES[name]
    async with scene(driver, mount) as at:
        inodes = await furnished(at)
        at.faults.points.clear()
        await act(at, inodes)
        assert at.faults.points == [f"{driver}.{operation}.{step}" for step in INSIDE_STEPS[operation]]
        after = held(at)
        await act(at, inodes)
        assert held(at) == after


def test_every_operation_is_here() -> None:
    assert {operation for operation, _ in CHANGES.values()} == set(INSIDE_STEPS)


@pytest.mark.parametrize("name", CHANGES)
async def test_death_at_any_point_leaves_all_or_nothing(place: tuple[str, Path], name: str) -> None:
    driver, mount = place
    operation, act = CHANGES[name]
    async with scene(driver, mount) as at:
        inodes = await furnished(at)
        before = held(at)
        await act(at, inodes)
        after = held(at)
    for step in INSIDE_STEPS[operation]:
        async with scene(driver, mount) as at:
            inodes = await furnished(at)
            at.faults.armed = f"{driver}.{operation}.{step}"
            with pytest.raises(Died):
                await act(at, inodes)
            await at.reopen()
            there = await settle(at, name)
            found = held(at)
            assert set(found) in (set(before), set(after)), step
            if operation != "make_directory":
                assert found in (before, after), step
            assert there in (None, found == after)
            await act(at, inodes)
            assert held(at) == after, step


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("name", CHANGES)
async def test_what_returned_outlives_the_power(tmp_path: Path, driver: str, name: str) -> None:
    """A copy of the disk at the moment of the return has what the file system had put on it by then."""
    _, act = CHANGES[name]
    disk = "btrfs" if driver == "btrfs" else "xfs"
    with mounted(driver, tmp_path) as mount:
        at = opened(driver, mount / "pool")
        try:
            await at.backend.open()
            await act(at, await furnished(at))
            copy = tmp_path / "copy.img"
            command("cp", "--sparse=always", tmp_path / f"{disk}.img", copy)
            after = held(at)
        finally:
            await at.backend.close()
    turned = tmp_path / "turned"
    turned.mkdir()
    command("mount", "-o", "loop", copy, turned)
    try:
        again = opened(driver, turned / "pool")
        try:
            await again.backend.open()
            assert held(again) == after
            assert await settle(again, name) in (None, True)
        finally:
            await again.backend.close()
    finally:
        command("umount", turned)


# --- what clients may do meanwhile ---


async def test_no_link_leads_out_of_a_volume(place: tuple[str, Path], tmp_path: Path) -> None:
    driver, mount = place
    (tmp_path / "secret").write_bytes(b"secret")
    async with scene(driver, mount) as at:
        inodes = await furnished(at)
        top = at.place(VOLUME)
        (top / "out").symlink_to(tmp_path)
        (top / "d" / "file").symlink_to(tmp_path / "secret")
        (top / "up").symlink_to("..")
        before = held(at)
        look = at.backend.inspect_file
        link = await look(VOLUME, None, "out")
        assert link is not None
        assert (link.kind, link.target) == ("symlink", str(tmp_path))
        for path in ("out/secret", "up/x", "d/file/x"):
            assert await look(VOLUME, None, path) is None
        for call in (
            at.backend.list_files(VOLUME, None, "out", limit=1),
            at.backend.make_directory(VOLUME, "out/x", ROOT),
            at.backend.make_directory(VOLUME, "out", ROOT),
            at.backend.rename_file(VOLUME, "a", "out/a", inode=inodes["a"]),
            at.backend.clone_file(VOLUME, FileSource(path="d/file"), "x", token=uuid4()),
            at.backend.clone_file(VOLUME, FileSource(path="a"), "out/x", token=uuid4()),
            at.backend.clone_file(VOLUME, FileSource(path="a"), "out", token=uuid4(), overwrite=True),
        ):
            with pytest.raises(GatewayError):
                await call
        await at.backend.delete_file(VOLUME, "out/secret", inode=1)
        assert held(at) == before
        assert sorted(path.name for path in tmp_path.iterdir()) == ["secret"]
        await at.backend.delete_file(VOLUME, "out", inode=link.inode, recursive=True)
        assert (tmp_path / "secret").read_bytes() == b"secret"


async def test_what_is_mounted_in_a_volume_is_no_part_of_it(place: tuple[str, Path], tmp_path: Path) -> None:
    driver, mount = place
    other = tmp_path / "other"
    (other / "inner").mkdir(parents=True)
    (other / "inner" / "f").write_bytes(b"precious")
    async with scene(driver, mount) as at:
        inodes = await furnished(at)
        top = at.place(VOLUME)
        (top / "d" / "m").mkdir()
        (top / "d" / "file").write_bytes(b"")
        command("mount", "--bind", other, top / "d" / "m")
        command("mount", "--bind", other / "inner" / "f", top / "d" / "file")
        try:
            assert await at.backend.inspect_file(VOLUME, None, "d/m/inner") is None
            for call in (
                at.backend.list_files(VOLUME, None, "d/m", limit=1),
                at.backend.rename_file(VOLUME, "a", "d/m/a", inode=inodes["a"]),
                at.backend.clone_file(VOLUME, FileSource(path="d/file"), "x", token=uuid4()),
                at.backend.delete_file(VOLUME, "d", inode=inodes["d"], recursive=True),
            ):
                with pytest.raises(GatewayError):
                    await call
            assert (other / "inner" / "f").read_bytes() == b"precious"
        finally:
            for name in ("m", "file"):
                command("umount", top / "d" / name)
        await at.backend.delete_file(VOLUME, "d", inode=inodes["d"], recursive=True)
        assert await at.backend.inspect_file(VOLUME, None, "d") is None


async def test_what_is_mounted_in_a_volume_from_the_same_file_system_is_no_part_of_it_either(
    place: tuple[str, Path],
) -> None:
    driver, mount = place
    async with scene(driver, mount) as at:
        inodes = await furnished(at)
        top = at.place(VOLUME)
        (top / "other").mkdir()
        (top / "other" / "f").write_bytes(b"precious")
        (top / "d" / "m").mkdir()
        command("mount", "--bind", top / "other", top / "d" / "m")
        try:
            assert await at.backend.inspect_file(VOLUME, None, "d/m/f") is None
            with pytest.raises(GatewayError):
                await at.backend.delete_file(VOLUME, "d", inode=inodes["d"], recursive=True)
            assert (top / "other" / "f").read_bytes() == b"precious"
        finally:
            command("umount", top / "d" / "m")


def test_a_huge_directory_goes_in_few_slices_however_little_time_each_has(tmp_path: Path) -> None:
    for name in ("top", "top/d"):
        (tmp_path / name).mkdir()
        for number in range(2500):
            (tmp_path / name / f"f{number}").touch()
    inside = Inside(lambda _operation: lambda _step: None, durable=False, owners=False)
    inode = (tmp_path / "top").stat().st_ino
    slices = 1
    while inside.delete(tmp_path, "top", inode, recursive=True, budget_s=0):
        slices += 1
    assert list(tmp_path.iterdir()) == []
    assert slices < 10


async def test_a_copy_has_what_the_file_has_beside_its_bytes(place: tuple[str, Path]) -> None:
    driver, mount = place
    async with scene(driver, mount) as at:
        await furnished(at)
        source = at.place(VOLUME) / "a"
        os.setxattr(source, "user.note", b"words")
        os.chown(source, 7, 8)
        source.chmod(0o4640)
        await at.backend.clone_file(VOLUME, FileSource(path="a"), "b", token=TOKEN, overwrite=True)
        first = await at.backend.inspect_file(VOLUME, None, "a")
        copy = await at.backend.inspect_file(VOLUME, None, "b")
        assert first is not None
        assert copy is not None
        assert (copy.rights, copy.modified, copy.size) == (first.rights, first.modified, first.size)
        assert copy.rights == RootDirectory(mode=0o4640, uid=7, gid=8)
        again = at.place(VOLUME) / "again"
        await at.backend.clone_file(VOLUME, FileSource(path="b"), "again", token=uuid4())
        assert os.getxattr(again, "user.note") == b"words"
        assert not await at.backend.settle_clone_file(VOLUME, "again", TOKEN)


async def test_a_file_whose_blocks_cannot_be_shared_is_no_defect(tmp_path: Path) -> None:
    with mounted("btrfs", tmp_path) as mount:
        async with scene("btrfs", mount) as at:
            await furnished(at)
            plain = at.place(VOLUME) / "plain"
            plain.touch()
            command("chattr", "+C", plain)
            plain.write_bytes(DATA)
            with pytest.raises(InvalidArgument):
                await at.backend.clone_file(VOLUME, FileSource(path="plain"), "x", token=TOKEN)
            assert await at.backend.inspect_file(VOLUME, None, "x") is None


async def test_what_a_copy_left_beside_what_it_was_to_replace_goes(place: tuple[str, Path]) -> None:
    """As when the process died between the two names that such a copy gets."""
    driver, mount = place
    async with scene(driver, mount) as at:
        await furnished(at)
        before = held(at)
        left = at.place(VOLUME) / f".{TOKEN.hex}.new"
        left.write_bytes(b"left")
        assert not await at.backend.settle_clone_file(VOLUME, "b", TOKEN)
        assert held(at) == before
        left.write_bytes(b"left")
        await at.backend.clone_file(VOLUME, FileSource(path="a"), "b", token=TOKEN, overwrite=True)
        assert held(at) == {**before, "b": DATA}


async def test_names_that_are_no_text_are_not_shown_and_go_with_their_directory(place: tuple[str, Path]) -> None:
    driver, mount = place
    async with scene(driver, mount) as at:
        inodes = await furnished(at)
        for name in ("b\udcff", "\uffff", "\U00010000", "\u00e4"):
            (at.place(VOLUME) / "d" / name).write_bytes(b"x")
        shown = [one.name for one in await at.backend.list_files(VOLUME, None, "d", limit=9)]
        assert shown == ["c", "\u00e4", "\uffff", "\U00010000"] == sorted(shown, key=str.encode)
        await at.backend.delete_file(VOLUME, "d", inode=inodes["d"], recursive=True)
        assert await at.backend.inspect_file(VOLUME, None, "d") is None


async def test_a_volume_that_is_gone_is_not_found(place: tuple[str, Path]) -> None:
    driver, mount = place
    async with scene(driver, mount) as at:
        for call in (
            at.backend.list_files(VOLUME, None, "", limit=1),
            at.backend.inspect_file(VOLUME, None, "a"),
            at.backend.make_directory(VOLUME, "d", ROOT),
            at.backend.settle_clone_file(VOLUME, "a", TOKEN),
        ):
            with pytest.raises(NotFound):
                await call
