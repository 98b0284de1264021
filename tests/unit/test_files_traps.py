"""What a careless backend of files would fall for: full pools, deep trees, links, mounts, chains, foreign things."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from btrfs_scene import Died, command, note
from files_scene import BLOCK, MIB, SIZE, TREE, Scene, scene, spec

from gateway.backends.files.layout import CONTENT
from gateway.core.backend import derive
from gateway.core.errors import AlreadyExists, InUse, InvalidArgument, NotFound, OutOfSpace, Unsupported
from gateway.core.handles import LocalPath
from gateway.core.model import RootDirectory
from gateway.testing.loop_pool import loop_pool

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def xfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with loop_pool(tmp_path_factory.mktemp("xfs"), "xfs") as path:
        yield path


@pytest.fixture(scope="module")
def ext4(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with loop_pool(tmp_path_factory.mktemp("ext4"), "ext4", "128M") as path:
        yield path


@pytest.fixture
async def at(xfs: Path) -> AsyncIterator[Scene]:
    async with scene(xfs) as made:
        yield made


# --- what each file system can do ---


async def test_ext4_says_what_it_lacks_and_why(ext4: Path) -> None:
    async with scene(ext4) as at:
        records = derive("pool", at.backend)
        block, tree = records[BLOCK], records[TREE]
        assert block.operations == {"resize"}
        assert all("reflink" in block.why_not[name] for name in ("snapshot", "restore", "clone"))
        assert (block.facts.thin, block.facts.thick, block.facts.quota, block.facts.shrink) == (True, True, True, False)
        assert block.facts.size_max is not None
        assert 2**40 < block.facts.size_max < 2**45
        assert tree.operations == {"resize", "permissions", "convert", "files"}
        assert not tree.facts.quota


async def test_xfs_can_copy_by_reference(at: Scene) -> None:
    records = derive("pool", at.backend)
    assert records[BLOCK].operations == {"resize", "snapshot", "restore", "clone"}
    assert records[BLOCK].facts.thick
    assert records[BLOCK].facts.restore_keeps_newer
    assert "snapshot" in records[TREE].why_not


async def test_btrfs_keeps_no_room_for_what_it_writes_elsewhere(tmp_path: Path) -> None:
    with loop_pool(tmp_path, "btrfs", "256M") as mount:
        async with scene(mount) as at:
            record = derive("pool", at.backend)[BLOCK]
            assert {"snapshot", "restore", "clone"} <= record.operations
            assert not record.facts.thick


# --- many, long, deep ---


async def test_a_thousand_snapshots_of_one_volume(at: Scene) -> None:
    volume = await at.volume(BLOCK)
    taken = []
    for number in range(1000):
        at.write(volume, str(number).encode())
        taken.append(await at.snapshot(volume))
    assert {seen.id async for seen in at.backend.scan_snapshots()} == set(taken)
    for number in (0, 500, 999):
        assert at.held(volume, taken[number])[0] == str(number).encode()
    await at.backend.restore(volume, taken[500], uuid4())
    assert at.held(volume)[0] == b"500"
    for snapshot in taken:
        await at.backend.delete_snapshot(volume, snapshot)
    assert [seen async for seen in at.backend.scan_snapshots()] == []
    await at.backend.delete(volume)
    await at.assert_tidy()


async def test_a_chain_of_fifty_clones_outlives_its_middle(at: Scene) -> None:
    chain = [await at.volume(BLOCK)]
    for number in range(50):
        at.write(chain[-1], f"link {number:02}".encode())
        clone = spec(kind=BLOCK, size=SIZE + (number + 1) * MIB)
        snapshot = await at.snapshot(chain[-1]) if number % 2 else None
        await at.backend.clone(chain[-1], snapshot, clone)
        chain.append(clone.id)
    for volume in chain[:-1]:
        async for seen in at.backend.scan_snapshots():
            if seen.volume_id == volume:
                await at.backend.delete_snapshot(volume, seen.id)
        await at.backend.delete(volume)
    assert at.held(chain[-1]) == (b"link 49", SIZE + 50 * MIB)
    (seen,) = [found async for found in at.backend.scan()]
    assert (seen.id, seen.origin) == (chain[-1], chain[-2])
    await at.backend.split(chain[-1])
    await at.assert_tidy()


async def test_deep_trees_and_long_names_are_removed(at: Scene) -> None:
    volume = await at.volume()
    depth, fd = 3000, os.open(at.place(volume), os.O_RDONLY)
    for number in range(depth):
        name = f"{number}" if number % 100 else "n" * 255
        os.mkdir(name, dir_fd=fd)
        inner = os.open(name, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = inner
    os.close(os.open("bottom", os.O_CREAT | os.O_WRONLY, dir_fd=fd))
    os.close(fd)
    assert await at.backend.inspect(volume) is not None
    await at.backend.delete(volume)
    assert await at.backend.inspect(volume) is None
    await at.assert_tidy()


async def test_links_lead_neither_a_delete_nor_a_count_out_of_the_volume(at: Scene, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_bytes(os.urandom(MIB))
    volume = await at.volume(a=b"alpha")
    place = at.place(volume)
    (place / "link").symlink_to(outside)
    (place / "dangling").symlink_to("nowhere")
    os.mkfifo(place / "pipe")
    os.link(place / "a", place / "again")
    # On a busy machine a count may take more than its slice.
    while (seen := await at.backend.inspect(volume)) is None or not seen.used:
        pass
    assert seen.used < MIB // 2
    await at.backend.delete(volume)
    await at.assert_tidy()
    assert (outside / "kept").stat().st_size == MIB


async def test_what_is_mounted_in_a_volume_is_never_removed_or_counted(at: Scene) -> None:
    volume = await at.volume(a=b"alpha")
    inside = at.place(volume) / "inside"
    inside.mkdir()
    command("mount", "-t", "tmpfs", "tmpfs", inside)
    try:
        (inside / "kept").write_bytes(os.urandom(MIB))
        seen = await at.backend.inspect(volume)
        assert seen is not None
        assert seen.used < MIB // 2
        await at.backend.delete(volume)
        assert await at.backend.inspect(volume) is None
        await at.backend.session.idle()
        (moved,) = mounted_below(at.path)
        assert (moved / "kept").stat().st_size == MIB
    finally:
        for point in mounted_below(at.path):
            command("umount", point)
    await at.reopen()
    await at.assert_tidy()


def mounted_below(path: Path) -> list[Path]:
    points = [Path(line.split(" ")[1]) for line in Path("/proc/self/mounts").read_text().splitlines()]
    return [point for point in points if point.is_relative_to(path) and point != path]


async def test_usage_follows_what_is_written_and_counts_links_once(at: Scene) -> None:
    volume = await at.volume()
    await at.backend.inspect(volume)
    (at.place(volume) / "big").write_bytes(os.urandom(4 * MIB))
    os.link(at.place(volume) / "big", at.place(volume) / "again")
    command("sync", "-f", at.path)
    await at.backend.session.idle()
    seen = await at.backend.inspect(volume)
    assert seen is not None
    assert 4 * MIB <= seen.used < 5 * MIB
    assert seen.used_age_s == 0
    block = await at.volume(BLOCK)
    at.write(block, os.urandom(MIB))
    found = await at.backend.inspect(block)
    assert found is not None
    assert MIB <= found.used < SIZE
    assert found.size == SIZE


# --- sizes and room ---


def fill(path: Path) -> None:
    """Write until the file system refuses."""
    with path.open("wb") as file:
        while True:
            file.write(os.urandom(MIB))
            os.fsync(file.fileno())


async def create_many(at: Scene) -> None:
    for _ in range(10_000):
        await at.backend.create(spec(kind=BLOCK))
        await at.backend.put_manifest(os.urandom(60_000))


async def test_a_block_volume_does_not_shrink_and_a_clone_is_not_cut_off(at: Scene) -> None:
    volume = await at.volume(BLOCK)
    with pytest.raises(InvalidArgument):
        await at.backend.resize(volume, SIZE - 512)
    small = spec(kind=BLOCK, size=SIZE // 2)
    with pytest.raises(InvalidArgument):
        await at.backend.clone(volume, await at.snapshot(volume), small)
    assert await at.backend.inspect(small.id) is None
    await at.assert_tidy()


async def test_out_of_space_is_told_and_leaves_nothing(ext4: Path) -> None:
    async with scene(ext4) as at:
        free = (await at.backend.capacity()).available
        thick, grown = spec(kind=BLOCK, thick=True, size=2 * free), spec(kind=BLOCK, thick=True)
        with pytest.raises(OutOfSpace):
            await at.backend.create(thick)
        assert await at.backend.inspect(thick.id) is None
        await at.backend.create(grown)
        with pytest.raises(OutOfSpace):
            await at.backend.resize(grown.id, 2 * free)
        seen = await at.backend.inspect(grown.id)
        assert seen is not None
        assert seen.size == SIZE
        assert SIZE <= seen.used < SIZE + MIB // 8
        filler = at.path / "filler"
        with pytest.raises(OSError, match="No space"):
            fill(filler)
        with pytest.raises(OutOfSpace):
            await create_many(at)
        at.write(grown.id, os.urandom(SIZE))
        await at.backend.delete(grown.id)
        filler.unlink()
        await at.backend.create(spec(kind=BLOCK))
        await at.reopen()
        await at.assert_tidy()


async def test_a_thick_volume_keeps_its_room_through_a_restore(at: Scene) -> None:
    volume = spec(kind=BLOCK, thick=True)
    await at.backend.create(volume)
    at.write(volume.id, os.urandom(MIB))
    snapshot = await at.snapshot(volume.id)
    await at.backend.resize(volume.id, 2 * SIZE)
    await at.backend.restore(volume.id, snapshot, uuid4())
    seen = await at.backend.inspect(volume.id)
    assert seen is not None
    assert (seen.size, seen.used) == (2 * SIZE, 2 * SIZE)


async def test_whoever_has_the_file_open_keeps_the_content_that_was_replaced(at: Scene) -> None:
    volume = await at.volume(BLOCK)
    at.write(volume, b"old")
    snapshot = await at.snapshot(volume)
    at.write(volume, b"new")
    with at.place(volume).open("rb") as file:
        await at.backend.restore(volume, snapshot, uuid4())
        assert file.read(3) == b"new"
    assert at.held(volume)[0] == b"old"


async def test_raw_files_are_nobody_else_s_and_snapshots_are_sealed(at: Scene) -> None:
    volume = await at.volume(BLOCK)
    snapshot = await at.snapshot(volume)
    assert at.place(volume).stat().st_mode & 0o777 == 0o600
    assert at.place(volume, snapshot).stat().st_mode & 0o777 == 0o400
    assert await at.backend.access(volume, snapshot) == LocalPath(path=str(at.place(volume, snapshot)), read_only=True)


# --- converting ---


async def test_what_is_no_longer_empty_is_not_converted(at: Scene) -> None:
    made = spec()
    await at.backend.create(made)
    for name in ("file", ".hidden"):
        (at.place(made.id) / name).touch()
        with pytest.raises(InUse) as caught:
            await at.backend.convert(spec(made.id, kind=BLOCK))
        assert caught.value.fields["by"] == "content"
        (at.place(made.id) / name).unlink()
    (at.place(made.id) / "folder").mkdir()
    with pytest.raises(InUse):
        await at.backend.convert(spec(made.id, kind=BLOCK))
    (at.place(made.id) / "folder").rmdir()
    await at.backend.convert(spec(made.id, kind=BLOCK, size=2 * SIZE))
    assert at.held(made.id) == (b"", 2 * SIZE)
    with pytest.raises(Unsupported):
        await at.backend.set_root(made.id, RootDirectory())
    await at.assert_tidy()


async def test_a_conversion_that_was_cut_short_can_be_given_up(at: Scene) -> None:
    made = spec()
    await at.backend.create(made)
    at.faults.armed = "directory.convert.emptied"
    with pytest.raises(Died):
        await at.backend.convert(spec(made.id, kind=BLOCK))
    await at.backend.delete(made.id)
    assert [seen async for seen in at.backend.scan()] == []
    await at.backend.create(made)
    await at.assert_tidy()


# --- what is not ours ---


async def test_foreign_things_are_reported_and_left_alone(at: Scene) -> None:
    volume = await at.volume(a=b"alpha")
    block = await at.volume(BLOCK)
    copy, damaged, taken = (at.path / "volumes" / str(UUID(int=n, version=4)) for n in (1, 2, 3))
    command("cp", "-a", at.path / "volumes" / str(volume), copy)
    (damaged / CONTENT).mkdir(parents=True)
    (damaged / "volume.json").write_bytes(b"{")
    taken.mkdir()
    (at.path / "volumes" / "lost+found").mkdir()
    (at.path / "volumes" / "file").write_bytes(b"theirs")
    (at.path / "snapshots" / "file").write_bytes(b"theirs")
    (at.path / "snapshots" / str(block)).mkdir()
    (at.path / "snapshots" / str(block) / "theirs").mkdir()
    (at.path / "staging" / "theirs").mkdir()
    for _ in range(2):
        seen = [found async for found in at.backend.scan()]
        assert {found.id for found in seen} == {None, volume, block}
        strange = {Path(found.place).name for found in seen if found.id is None}
        assert strange == {copy.name, damaged.name, taken.name, "lost+found", "file"}
        places = {Path(found.place).name async for found in at.backend.scan_snapshots() if found.id is None}
        assert places == {"file", "theirs"}
        for each in (copy, damaged, taken):
            assert await at.backend.inspect(UUID(each.name)) is None
            with pytest.raises(AlreadyExists):
                await at.backend.create(spec(UUID(each.name)))
            await at.backend.delete(UUID(each.name))
            assert each.is_dir()
            with pytest.raises(NotFound):
                await at.backend.annotate(UUID(each.name), note("x"))
        assert (at.path / "staging" / "theirs").is_dir()
        await at.reopen()


# --- without privilege ---

ORDINARY = """
import asyncio, os, sys
from pathlib import Path
from uuid import uuid4
from gateway.backends.directory import DirectoryBackend, DirectoryOptions
from gateway.core.backend import Note, VolumeSpec, derive
from gateway.core.model import RootDirectory, VolumeKind

async def main(path):
    backend = DirectoryBackend("pool", DirectoryOptions(path=path))
    await backend.open()
    tree, block = (derive("pool", backend)[kind] for kind in (VolumeKind.FILESYSTEM, VolumeKind.BLOCK))
    assert "permissions" not in tree.operations and "CAP_CHOWN" in tree.why_not["permissions"], tree
    assert {"snapshot", "clone", "restore"} <= block.operations, block
    note = Note(name="n", tenant="t", document=b"")
    made = VolumeSpec(id=uuid4(), kind=VolumeKind.FILESYSTEM, size=1, root=RootDirectory(), note=note)
    place = Path((await backend.create(made)).place)
    shut = place / "shut" / "inner"
    shut.mkdir(parents=True)
    (shut / "file").touch()
    for folder in (shut, shut.parent):
        folder.chmod(0)
    try:
        list(shut.iterdir())
    except PermissionError:
        pass
    else:
        raise SystemExit("privileged after all")
    assert await backend.inspect(made.id) is not None
    await backend.delete(made.id)
    disk = VolumeSpec(id=uuid4(), kind=VolumeKind.BLOCK, size=4096, note=note)
    await backend.create(disk)
    await backend.snapshot(disk.id, uuid4(), note)
    await backend.session.idle()
    assert list((path / "staging").iterdir()) == []
    await backend.close()

asyncio.run(main(Path(sys.argv[1])))
"""


def test_it_runs_without_any_privilege_on_a_directory_of_its_own(xfs: Path) -> None:
    folder = xfs / uuid4().hex
    folder.mkdir()
    # The owner of the directory, but with none of root's capabilities.
    argv = ("setpriv", "--bounding-set", "-all", "--", sys.executable, "-c", ORDINARY, str(folder))
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
