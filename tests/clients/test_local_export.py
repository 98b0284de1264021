"""Real loop devices, opened and mounted as consumers on this host do."""

from __future__ import annotations

import json
import os
from pathlib import Path
from uuid import uuid4

import msgspec
import pytest
from exporter_scene import MIB, encoded, export_of, in_process, run, sh, source

from gateway.backends.qcow2 import Qcow2Backend
from gateway.backends.qcow2.pool import Qcow2Options
from gateway.core.backend import Note, VolumeSpec
from gateway.core.errors import InUse, Unavailable
from gateway.core.exporter import BlockAccess, BlockExport, BlockExporter
from gateway.core.handles import LocalPath
from gateway.core.model import VolumeKind
from gateway.exports.local import FAULT_POINTS, LocalExporter, LocalOptions
from gateway.testing.faults import RaiseAt
from gateway.testing.loop_pool import loop_pool

pytestmark = pytest.mark.root


class Bed:
    """A folder for sources and a state directory."""

    def __init__(self, root: Path) -> None:
        self.folder = root
        self.state = root / "state"

    def exporter(self, **changes) -> LocalExporter:
        return LocalExporter(LocalOptions(), self.state, **changes)

    def loops(self) -> list[dict]:
        """Give the loop devices over files of this folder."""
        told = sh("losetup", "--list", "--json", "--output", "NAME,BACK-FILE,RO,AUTOCLEAR,DIO")
        found = json.loads(told)["loopdevices"] if told.strip() else []
        return [loop for loop in found if loop["back-file"].startswith(f"{self.folder}/")]

    def links(self) -> set[str]:
        return {link.name for link in (self.state / "dev").iterdir()}

    async def session(self, point: str, *step: str) -> None:
        await in_process("local", LocalOptions(), self.state, point, step)


@pytest.fixture
def bed(tmp_path):
    bed = Bed(tmp_path)
    try:
        yield bed
    finally:
        for loop in bed.loops():
            sh("losetup", "--detach", loop["name"])


@pytest.fixture
async def exporter(bed):
    exporter = bed.exporter()
    await exporter.open()
    yield exporter
    await exporter.close()


def access(*, write: bool = True) -> BlockAccess:
    access_id = uuid4()
    return BlockAccess(id=access_id, target=str(access_id), lun=0, write=write)


def place(exporter: LocalExporter, export: BlockExport, index: int = 0) -> Path:
    handle = exporter.handle(export, export.access[index])
    return Path(handle.path)


async def test_a_file_is_a_device_under_a_stable_name(bed, exporter):
    wanted = export_of(source(bed.folder), access())
    assert isinstance(exporter, BlockExporter)
    await exporter.publish(wanted)
    assert await exporter.published() == {wanted.id}
    handle = exporter.handle(wanted, wanted.access[0])
    assert handle == LocalPath(path=str(bed.state / "dev" / str(wanted.id)))
    device = Path(handle.path)
    assert device.is_block_device()
    sh("qemu-io", "-f", "raw", "-c", "write -P 0x5a 0 4k", "-c", "flush", str(device))
    assert Path(wanted.source.path).read_bytes()[:4096] == b"\x5a" * 4096
    await exporter.publish(wanted)
    assert len(bed.loops()) == 1
    await exporter.withdraw(wanted.id)
    assert bed.loops() == []
    assert bed.links() == set()
    await exporter.withdraw(wanted.id)


async def test_a_device_goes_also_when_another_gateway_has_deleted_the_volume(bed, exporter):
    wanted = export_of(source(bed.folder), access(), access(write=False))
    await exporter.publish(wanted)
    file = Path(wanted.source.path)
    file.rename(file.with_name("data.trash")).unlink()
    assert [loop["back-file"].endswith("data.trash (deleted)") for loop in bed.loops()] == [True, True]
    await exporter.withdraw(wanted.id)
    assert bed.loops() == []


async def test_readers_have_a_device_that_cannot_be_written(bed, exporter):
    wanted = export_of(source(bed.folder), access(), access(write=False))
    await exporter.publish(wanted)
    writer, reader = place(exporter, wanted), place(exporter, wanted, 1)
    assert exporter.handle(wanted, wanted.access[1]).read_only
    assert {loop["ro"] for loop in bed.loops()} == {False, True}
    refused = run("qemu-io", "-f", "raw", "-c", "write 0 4k", str(reader))
    assert refused.returncode != 0
    with writer.open("r+b") as opened:
        await exporter.publish(export_of(Path(wanted.source.path), wanted.access[0]))
        opened.write(b"1")
    assert bed.links() == {writer.name}


async def test_sectors_do_not_change_with_a_snapshot(bed, exporter):
    with loop_pool(bed.folder / "pool", "xfs") as files:
        wanted = export_of(source(files), access())
        sh("cp", "--reflink=always", wanted.source.path, str(files / "snapshot"))
        await exporter.publish(wanted)
        try:
            queue = Path("/sys/block", place(exporter, wanted).resolve().name, "queue")
            size = (queue / "logical_block_size").read_text()
        finally:
            await exporter.withdraw(wanted.id)
    assert size == "512\n"


async def test_an_image_holds_a_file_system(bed, exporter):
    images, mount = bed.folder / "images", bed.folder / "mount"
    images.mkdir()
    mount.mkdir()
    backend = Qcow2Backend("pool", Qcow2Options(path=images))
    await backend.open()
    volume = uuid4()
    try:
        note = Note(name="v", tenant="svm1", document=b"{}")
        await backend.create(VolumeSpec(id=volume, kind=VolumeKind.BLOCK, size=64 * MIB, note=note))
        wanted = BlockExport(
            id=volume,
            serial=volume.hex[:12],
            size=64 * MIB,
            source=await backend.access(volume),
            access=(access(),),
        )
        await exporter.publish(wanted)
        try:
            sh("mkfs.ext4", "-q", str(place(exporter, wanted)))
            for text in ("1", "2"):
                sh("mount", str(place(exporter, wanted)), str(mount))
                try:
                    (mount / "f").write_text(text)
                finally:
                    sh("umount", str(mount))
        finally:
            await exporter.withdraw(volume)
    finally:
        await backend.close()


async def test_a_device_is_published_as_itself(bed, exporter):
    device = sh("losetup", "--find", "--show", str(source(bed.folder))).strip()
    volume = uuid4()
    wanted = BlockExport(
        id=volume, serial=volume.hex[:12], size=8 * MIB, source=LocalPath(path=device), access=(access(),)
    )
    await exporter.publish(wanted)
    assert place(exporter, wanted).resolve() == Path(device)
    with place(exporter, wanted).open("rb"):
        with pytest.raises(InUse):
            await exporter.withdraw(volume)
        assert bed.links() == {str(volume)}
    await exporter.withdraw(volume)
    assert bed.links() == set()
    assert Path(device).is_block_device()
    sh("mkfs.ext4", "-q", device)
    mount = bed.folder / "mount"
    mount.mkdir()
    await exporter.publish(wanted)
    sh("mount", str(place(exporter, wanted)), str(mount))
    try:
        with pytest.raises(InUse):
            await exporter.withdraw(volume)
    finally:
        sh("umount", str(mount))
    await exporter.withdraw(volume)


async def test_an_open_device_stays_unless_by_force(bed, exporter):
    wanted = export_of(source(bed.folder), access(), access(write=False))
    await exporter.publish(wanted)
    with place(exporter, wanted).open("r+b") as opened:
        with pytest.raises(InUse) as caught:
            await exporter.withdraw(wanted.id)
        assert caught.value.by == "sessions"
        with pytest.raises(InUse):
            await exporter.publish(msgspec.structs.replace(wanted, generation=1))
        assert len(bed.links()) == 2
        assert not any(loop["autoclear"] for loop in bed.loops())
        opened.write(b"1")
        await exporter.withdraw(wanted.id, force=True)
        assert bed.links() == set()
        opened.write(b"2")
        opened.flush()
    assert bed.loops() == []
    assert await exporter.published() == frozenset()


async def test_a_mounted_device_stays(bed, exporter):
    wanted = export_of(source(bed.folder, 32 * MIB), access())
    await exporter.publish(wanted)
    device = place(exporter, wanted)
    sh("mkfs.ext4", "-q", str(device))
    mount = bed.folder / "mount"
    mount.mkdir()
    sh("mount", str(device), str(mount))
    try:
        with pytest.raises(InUse):
            await exporter.withdraw(wanted.id)
        (mount / "file").write_text("still there")
    finally:
        sh("umount", str(mount))
    await exporter.withdraw(wanted.id)
    assert bed.loops() == []


async def test_a_new_size_is_seen_by_whoever_has_it_open(bed, exporter):
    path, grant = source(bed.folder), access()
    await exporter.publish(export_of(path, grant))
    wanted = export_of(path, grant)
    with place(exporter, wanted).open("r+b") as opened:
        os.truncate(path, 16 * MIB)
        await exporter.publish(export_of(path, grant))
        assert opened.seek(0, os.SEEK_END) == 16 * MIB


async def test_other_content_is_another_device(bed, exporter):
    path, grant = source(bed.folder), access()
    await exporter.publish(export_of(path, grant))
    replaced = path.with_suffix(".new")
    replaced.write_bytes(b"\x02" * (8 * MIB))
    replaced.rename(path)
    wanted = export_of(path, grant, generation=1)
    await exporter.publish(wanted)
    assert place(exporter, wanted).read_bytes()[:1] == b"\x02"
    assert len(bed.loops()) == 1


async def test_devices_are_found_again_or_made_anew(bed):
    wanted = export_of(source(bed.folder), access())
    await bed.session("end", "publish", encoded(wanted))
    (before,) = bed.loops()
    exporter = bed.exporter()
    await exporter.open()
    assert [loop["name"] for loop in bed.loops()] == [before["name"]]
    await exporter.close()
    assert bed.loops() == []
    await exporter.open()
    try:
        assert place(exporter, wanted).is_block_device()
        with place(exporter, wanted).open("rb"):
            await exporter.close()
            assert len(bed.loops()) == 1
            await exporter.open()
            assert len(bed.loops()) == 1
    finally:
        await exporter.close()


@pytest.mark.parametrize("point", [point for point in FAULT_POINTS if ".publish." in point])
async def test_a_gateway_killed_while_it_publishes(bed, point):
    path = source(bed.folder)
    old, new = export_of(path, access(write=False)), export_of(path, access(), generation=1)
    await bed.session("end", "publish", encoded(old))
    await bed.session(point, "publish", encoded(new))
    exporter = bed.exporter()
    await exporter.open()
    try:
        assert await exporter.published() == {old.id}
        await exporter.publish(new)
        assert bed.links() == {str(new.id)}
        assert [loop["ro"] for loop in bed.loops()] == [False]
        await exporter.withdraw(old.id)
        assert bed.loops() == []
        assert bed.links() == set()
    finally:
        await exporter.close()


@pytest.mark.parametrize("point", FAULT_POINTS)
async def test_a_gateway_killed_and_never_asked_to_publish_again(bed, point):
    wanted = export_of(source(bed.folder), access(), access(write=False))
    if ".withdraw." in point:
        await bed.session("end", "publish", encoded(wanted))
        await bed.session(point, "withdraw", str(wanted.id))
    else:
        await bed.session(point, "publish", encoded(wanted))
    exporter = bed.exporter()
    await exporter.open()
    try:
        await exporter.withdraw(wanted.id)
        assert await exporter.published() == frozenset()
        assert bed.loops() == []
        assert bed.links() == set()
    finally:
        await exporter.close()


async def test_a_failed_step_is_made_good(bed):
    exporter = bed.exporter(fault=RaiseAt("local.publish.attached", Unavailable(what="test")))
    await exporter.open()
    wanted = export_of(source(bed.folder), access())
    try:
        with pytest.raises(Unavailable):
            await exporter.publish(wanted)
        await exporter.publish(wanted)
        assert len(bed.loops()) == 1
        assert bed.links() == {str(wanted.id)}
    finally:
        await exporter.withdraw(wanted.id)
        await exporter.close()


async def test_what_is_missing_is_told(bed, exporter, monkeypatch):
    wanted = export_of(source(bed.folder), access())
    Path(wanted.source.path).unlink()
    with pytest.raises(Unavailable, match="source"):
        await exporter.publish(wanted)
    await exporter.withdraw(wanted.id)
    second = bed.exporter()
    with pytest.raises(Unavailable, match="a running gateway has it"):
        await second.open()
    monkeypatch.setenv("PATH", str(bed.folder))
    third = LocalExporter(LocalOptions(), bed.folder / "third")
    with pytest.raises(Unavailable, match="losetup is not installed"):
        await third.open()
