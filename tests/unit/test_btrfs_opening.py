"""Opening a pool: what is refused, what is shared, what is found again."""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import msgspec
import pytest
from btrfs_scene import Died, Scene, command, scene, spec

from gateway.backends.btrfs import BtrfsBackend, BtrfsOptions
from gateway.core.errors import Unavailable
from gateway.testing.btrfs_pool import btrfs_pool


@pytest.fixture(scope="module")
def mount(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with btrfs_pool(tmp_path_factory.mktemp("btrfs")) as path:
        yield path


def enable_simple_quotas(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        fcntl.ioctl(fd, 0xC0109428, bytearray(struct.pack("<QQ", 4, 0)))
    finally:
        os.close(fd)


async def refusal(path: Path) -> str:
    backend = BtrfsBackend("pool", BtrfsOptions(path=path))
    with pytest.raises(Unavailable) as refused:
        await backend.open()
    with pytest.raises(Unavailable, match="not open"):
        await backend.capacity()
    await backend.close()
    return str(refused.value.fields["reason"])


async def test_another_file_system_is_refused(tmp_path: Path) -> None:
    if command("stat", "-fc", "%T", tmp_path) != "btrfs\n":
        assert "not on a btrfs file system" in await refusal(tmp_path)
    assert "no such directory" in await refusal(tmp_path / "absent")
    (tmp_path / "file").touch()
    assert "not a directory" in await refusal(tmp_path / "file")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_options_are_checked() -> None:
    with pytest.raises(msgspec.ValidationError, match="pth"):
        msgspec.convert({"path": Path("/srv"), "pth": 1}, BtrfsOptions)


@pytest.mark.root
async def test_a_newer_layout_is_refused(mount: Path) -> None:
    async with scene(mount) as at:
        record = at.path / ".gateway" / "pool.json"
        known = msgspec.json.decode(record.read_bytes())
        await at.backend.close()
        record.write_bytes(msgspec.json.encode({**known, "format": 99}))
        assert "format 99" in await refusal(at.path)
        record.write_bytes(b"{")
        assert "damaged" in await refusal(at.path)


@pytest.mark.root
async def test_a_separate_subvolume_inside_is_refused(mount: Path) -> None:
    at = Scene(mount / uuid4().hex)
    at.kernel.create_subvolume(at.path / "volumes")
    assert "must not be separate subvolumes" in await refusal(at.path)


@pytest.mark.root
async def test_a_read_only_mount_is_refused(tmp_path: Path) -> None:
    with btrfs_pool(tmp_path) as mount:
        command("mount", "-o", "remount,ro", mount)
        assert "read-only" in await refusal(mount)


@pytest.mark.root
async def test_simple_quotas_are_refused(tmp_path: Path) -> None:
    with btrfs_pool(tmp_path, quota=False) as mount:
        try:
            enable_simple_quotas(mount)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            pytest.skip("this kernel is older than 6.7 and has no simple quotas")
        assert "simple quotas" in await refusal(mount)


@pytest.mark.root
async def test_the_identity_is_minted_once(mount: Path) -> None:
    async with scene(mount) as at, scene(mount) as other:
        minted = at.backend.describe().id
        assert minted != other.backend.describe().id
        await at.reopen()
        assert at.backend.describe().id == minted


@pytest.mark.root
async def test_a_pool_that_is_no_longer_at_its_path_is_not_taken_for_empty(tmp_path: Path) -> None:
    with btrfs_pool(tmp_path) as mount:
        async with scene(mount) as at:
            volume = await at.volume(a=b"alpha")
            away = mount / "away"
            at.path.rename(away)
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


@pytest.mark.root
async def test_an_open_pool_cannot_be_unmounted_by_mistake(tmp_path: Path) -> None:
    with btrfs_pool(tmp_path) as mount:
        async with scene(mount):
            with pytest.raises(subprocess.CalledProcessError):
                command("umount", mount)


@pytest.mark.root
async def test_work_of_another_process_is_not_settled(mount: Path) -> None:
    async with scene(mount) as at:
        made = spec()
        at.faults.armed = "btrfs.create.noted"
        with pytest.raises(Died):
            await at.backend.create(made)
        second = Scene(at.path)
        await second.backend.open()
        try:
            assert (at.path / "staging" / str(made.id)).is_dir()
            await second.backend.create(spec())
        finally:
            await second.backend.close()
        await at.reopen()
        assert list((at.path / "staging").iterdir()) == []
        assert await at.backend.inspect(made.id) is None


@pytest.mark.root
async def test_a_lasting_leftover_does_not_hinder_opening(mount: Path) -> None:
    async with scene(mount) as at:
        leftover = at.path / "staging" / str(uuid4())
        at.kernel.create_subvolume(leftover)
        command("mount", "--bind", at.path / "notes", leftover)
        try:
            await at.reopen()
            await at.backend.create(spec())
        finally:
            command("umount", leftover)
        await at.reopen()
        at.assert_tidy()
