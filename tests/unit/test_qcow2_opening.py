"""Opening a pool of images: what is refused, what is shared, what is found again."""

from __future__ import annotations

import os
from pathlib import Path
from uuid import uuid4

import msgspec
import pytest
from qcow2_scene import SIZE, Died, Scene, command, scene, spec

from gateway.backends.qcow2 import Qcow2Backend, Qcow2Options
from gateway.core.errors import Unavailable
from gateway.testing.loop_pool import loop_pool

pytestmark = pytest.mark.root


async def refusal(path: Path) -> str:
    backend = Qcow2Backend("pool", Qcow2Options(path=path))
    with pytest.raises(Unavailable) as refused:
        await backend.open()
    with pytest.raises(Unavailable, match="not open"):
        await backend.capacity()
    await backend.close()
    return str(refused.value.fields["reason"])


async def test_what_is_no_directory_is_refused(tmp_path: Path) -> None:
    assert "no such directory" in await refusal(tmp_path / "absent")
    (tmp_path / "file").touch()
    assert "not a directory" in await refusal(tmp_path / "file")


async def test_a_read_only_mount_is_refused(tmp_path: Path) -> None:
    with loop_pool(tmp_path, "ext4", "64M") as mount:
        command("mount", "-o", "remount,ro", str(mount))
        assert "read-only" in await refusal(mount)


async def test_a_newer_layout_is_refused(tmp_path: Path) -> None:
    async with scene(tmp_path) as at:
        record = at.path / ".gateway" / "pool.json"
        known = msgspec.json.decode(record.read_bytes())
        await at.backend.close()
        record.write_bytes(msgspec.json.encode({**known, "format": 99}))
        assert "format 99" in await refusal(at.path)
        record.write_bytes(b"{")
        assert "damaged" in await refusal(at.path)


async def test_the_identity_is_minted_once(tmp_path: Path) -> None:
    async with scene(tmp_path) as at, scene(tmp_path) as other:
        minted = at.backend.describe().id
        assert minted != other.backend.describe().id
        await at.reopen()
        assert at.backend.describe().id == minted


async def test_a_pool_that_is_no_longer_at_its_path_is_not_taken_for_empty(tmp_path: Path) -> None:
    async with scene(tmp_path) as at:
        volume = await at.volume()
        await at.reopen()
        away = tmp_path / "away"
        at.path.rename(away)
        for impostor in (False, True):
            if impostor:
                (at.path / "images").mkdir(parents=True)
            with pytest.raises(Unavailable):
                await at.backend.inspect(volume)
            with pytest.raises(Unavailable):
                await at.backend.delete(volume)
        (at.path / "images").rmdir()
        at.path.rmdir()
        away.rename(at.path)
        assert await at.backend.inspect(volume) is not None


async def test_work_of_another_process_is_not_settled(tmp_path: Path) -> None:
    async with scene(tmp_path) as at:
        made = spec()
        at.faults.armed = "qcow2.create.made"
        with pytest.raises(Died):
            await at.backend.create(made)
        second = Scene(at.path)
        await second.backend.open()
        try:
            assert len(at.images()) == 1
            await second.backend.create(spec())
        finally:
            await second.backend.close()
        await at.reopen()
        assert len(at.images()) == 1
        assert await at.backend.inspect(made.id) is None


async def test_clones_are_found_without_their_links(tmp_path: Path) -> None:
    async with scene(tmp_path) as at:
        volume, clone = await at.volume(a=b"alpha"), spec()
        await at.backend.clone(volume, await at.snapshot(volume), clone)
        (at.path / "kin" / str(clone.id)).unlink()
        (at.path / "kin" / str(uuid4())).symlink_to(str(uuid4()))
        await at.reopen()
        assert await at.files(clone.id) == {"a": b"alpha"}
        at.assert_tidy()


async def test_a_family_with_a_damaged_sidecar_is_left_alone(tmp_path: Path) -> None:
    async with scene(tmp_path) as at:
        volume = await at.volume(a=b"alpha")
        snapshot = await at.snapshot(volume)
        await at.backend.restore(volume, snapshot, uuid4())
        sidecar = at.pool.layout.volume_note(volume)
        kept = sidecar.read_bytes()
        await at.reopen()
        images = at.images()
        sidecar.write_bytes(b"{")
        await at.reopen()
        assert at.images() == images
        assert [each.id async for each in at.backend.scan()] == [None]
        with pytest.raises(Unavailable):
            await at.backend.inspect(volume)
        sidecar.write_bytes(kept)
        assert await at.files(volume) == {"a": b"alpha"}


async def test_an_image_cannot_name_a_file_outside(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret" * 1000)
    async with scene(tmp_path) as at:
        volume = await at.volume()
        image = at.pool.volume(volume).head.path
        await at.reopen()
        command("qemu-img", "rebase", "-u", "-f", "qcow2", "-F", "raw", "-b", str(secret), str(image))
        with pytest.raises(Unavailable):
            await at.backend.access(volume)


async def test_a_restored_device_gives_no_old_descriptor_a_byte(tmp_path: Path) -> None:
    async with scene(tmp_path) as at:
        volume = await at.volume(a=b"alpha")
        snapshot = await at.snapshot(volume)
        device = await at.device(volume)
        fd = os.open(device, os.O_RDWR)
        try:
            await at.backend.restore(volume, snapshot, uuid4())
            for use in (lambda: os.pread(fd, 512, 0), lambda: os.pwrite(fd, bytes(512), 0)):
                with pytest.raises(OSError, match="not connected"):
                    use()
        finally:
            with pytest.raises(OSError, match="not connected"):
                os.close(fd)
        assert await at.files(volume) == {"a": b"alpha"}
        assert device.stat().st_size == SIZE
