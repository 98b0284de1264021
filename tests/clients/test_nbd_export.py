"""A real qemu-storage-daemon, asked by real clients: the tools of libnbd and qemu's block layer."""

from __future__ import annotations

import json
import os
from pathlib import Path
from uuid import uuid4

import pytest
from exporter_scene import (
    MIB,
    connected,
    encoded,
    end,
    end_daemon,
    export_of,
    free_port,
    in_process,
    recorded,
    run,
    runs,
    sh,
    source,
    until,
)

from gateway.core.errors import InUse, InvalidArgument, Unavailable
from gateway.core.exporter import BlockAccess, BlockExporter
from gateway.core.handles import NbdExport
from gateway.exports.nbd import FAULT_POINTS, NbdExporter, NbdOptions

pytestmark = pytest.mark.root

DAEMON = "qemu-storage-daemon"


class Bed:
    """A folder for sources, a state directory, a free port, and the client tools."""

    def __init__(self, root: Path) -> None:
        self.folder = root
        self.state = root / "state"
        self.options = NbdOptions(port=free_port())

    def exporter(self, **changes) -> NbdExporter:
        return NbdExporter(self.options, self.state, **changes)

    def url(self, name: str) -> str:
        return f"nbd://127.0.0.1:{self.options.port}/{name}"

    def image(self, name: str, *, read_only: bool = False) -> list[str]:
        return ["-f", "raw", *(("-r",) if read_only else ()), self.url(name)]

    def io(self, name: str, *commands: str):
        return run("qemu-io", *self.image(name), *(word for command in commands for word in ("-c", command)))

    def about(self, name: str) -> dict:
        return json.loads(sh("nbdinfo", "--json", self.url(name)))["exports"][0]

    def size(self, name: str) -> int:
        return self.about(name)["export-size"]

    def reaches(self, name: str) -> bool:
        return run("nbdinfo", "--size", self.url(name)).returncode == 0

    def names(self) -> set[str]:
        told = run("nbdinfo", "--list", "--json", f"nbd://127.0.0.1:{self.options.port}")
        return {export["export-name"] for export in json.loads(told.stdout)["exports"]}

    async def session(self, point: str, *step: str) -> None:
        await in_process("nbd", self.options, self.state, point, step)


@pytest.fixture
def bed(tmp_path):
    bed = Bed(tmp_path)
    try:
        yield bed
    finally:
        end_daemon(bed.state, DAEMON)


@pytest.fixture
async def exporter(bed):
    exporter = bed.exporter()
    await exporter.open()
    yield exporter
    await exporter.close()


def access(name: str = "one", *, write: bool = True) -> BlockAccess:
    return BlockAccess(id=uuid4(), target=name, lun=0, write=write)


async def test_bytes_go_both_ways(bed, exporter, tmp_path):
    path, grant = source(bed.folder), access()
    wanted = export_of(path, grant)
    assert isinstance(exporter, BlockExporter)
    await exporter.publish(wanted)
    assert await exporter.published() == {wanted.id}
    assert exporter.handle(wanted, grant) == NbdExport(
        address="127.0.0.1", port=bed.options.port, name="one", read_only=False
    )
    content = os.urandom(8 * MIB)
    (tmp_path / "local").write_bytes(content)
    sh("nbdcopy", "--flush", str(tmp_path / "local"), bed.url("one"))
    assert path.read_bytes() == content
    sh("nbdcopy", bed.url("one"), str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == content
    about = bed.about("one")
    assert about["export-size"] == 8 * MIB
    assert about["can_multi_conn"]
    assert about["can_trim"]
    assert bed.io("one", "discard 0 8M", "flush").returncode == 0
    assert path.stat().st_blocks == 0


async def test_a_device_is_published_like_a_file(bed, exporter):
    path = source(bed.folder)
    device = sh("losetup", "--find", "--show", str(path)).strip()
    try:
        grant = access()
        wanted = export_of(path, grant)
        wanted = type(wanted)(
            id=wanted.id, serial=wanted.serial, size=wanted.size, source=type(wanted.source)(path=device),
            access=wanted.access,
        )  # fmt: skip
        await exporter.publish(wanted)
        assert bed.io("one", "write -P 7 0 4k", "flush").returncode == 0
        await exporter.withdraw(wanted.id)
        assert Path(device).read_bytes()[:4096] == b"\x07" * 4096
    finally:
        sh("losetup", "--detach", device)


async def test_a_reader_cannot_write_beside_a_writer(bed, exporter):
    path, reader = source(bed.folder), access("reader", write=False)
    wanted = export_of(path, access("writer"), reader)
    await exporter.publish(wanted)
    assert exporter.handle(wanted, reader).read_only
    assert bed.about("reader")["is_read_only"]
    assert bed.io("writer", "write -P 5 0 4k", "flush").returncode == 0
    refused = bed.io("reader", "write -P 1 0 4k")
    assert refused.returncode != 0
    with connected(bed.image("reader", read_only=True)) as client:
        assert "read 4096" in client.tell("read -P 5 0 4k")


async def test_a_source_that_is_read_only_is_so_for_everybody(bed, exporter):
    path, grant = source(bed.folder), access()
    wanted = export_of(path, grant, read_only=True)
    await exporter.publish(wanted)
    assert exporter.handle(wanted, grant).read_only
    assert bed.about("one")["is_read_only"]


async def test_what_did_not_change_is_left_alone(bed, exporter):
    path, first = source(bed.folder), access("first")
    await exporter.publish(export_of(path, first))
    with connected(bed.image("first")) as client:
        await exporter.publish(export_of(path, first))
        second = access("second", write=False)
        await exporter.publish(export_of(path, first, second))
        await exporter.publish(export_of(source(bed.folder), access("other")))
        await exporter.withdraw(uuid4())
        assert "wrote 4096" in client.tell("write -P 3 0 4k")
        assert bed.names() == {"first", "second", "other"}
        await exporter.publish(export_of(path, first))
        assert bed.names() == {"first", "other"}
        assert "wrote 4096" in client.tell("write -P 4 0 4k")


async def test_a_connected_client_keeps_an_export_unless_by_force(bed, exporter):
    path = source(bed.folder)
    accesses = [access("a"), access("b", write=False), access("c", write=False)]
    wanted = export_of(path, *accesses)
    await exporter.publish(wanted)
    with connected(bed.image("b", read_only=True)) as client:
        with pytest.raises(InUse) as caught:
            await exporter.withdraw(wanted.id)
        assert caught.value.by == "sessions"
        assert bed.names() == {"a", "b", "c"}
        with pytest.raises(InUse):
            await exporter.publish(export_of(path, accesses[0]))
        with pytest.raises(InUse):
            await exporter.publish(export_of(path, *accesses, generation=1))
        assert bed.names() == {"a", "b", "c"}
        assert "read 4096" in client.tell("read 0 4k")
        await exporter.publish(export_of(path, accesses[0]), force=True)
        assert bed.names() == {"a"}
        assert "read 4096" not in client.tell("read 0 4k")
    await exporter.withdraw(wanted.id)
    assert bed.names() == set()
    assert await exporter.published() == frozenset()


async def test_other_content_ends_what_clients_knew(bed, exporter):
    path, grant = source(bed.folder), access()
    await exporter.publish(export_of(path, grant))
    replaced = path.with_suffix(".new")
    replaced.write_bytes(b"\x02" * (8 * MIB))
    replaced.rename(path)
    with connected(bed.image("one")) as client:
        await exporter.publish(export_of(path, grant, generation=1), force=True)
        assert client.is_cut_off()
    assert "verification failed" not in bed.io("one", "read -P 2 0 4k").stdout


async def test_a_new_size_waits_until_nobody_is_connected(bed, exporter):
    path, grant = source(bed.folder), access()
    await exporter.publish(export_of(path, grant))
    os.truncate(path, 16 * MIB)
    with connected(bed.image("one")) as client:
        await exporter.publish(export_of(path, grant), force=True)
        assert "wrote 4096" in client.tell("write -P 3 0 4k")
        assert bed.size("one") == 8 * MIB
        client.leave()
    await exporter.publish(export_of(path, grant))
    assert bed.size("one") == 16 * MIB
    assert bed.io("one", "write -P 3 12M 4k").returncode == 0


async def test_a_killed_server_comes_back_with_everything(bed, exporter):
    await exporter.publish(export_of(source(bed.folder), access("first")))
    await exporter.publish(export_of(source(bed.folder), access("second", write=False)))
    pid = recorded(bed.state, DAEMON)
    end(pid)
    await until(lambda: bed.reaches("second") and bed.reaches("first"))
    assert recorded(bed.state, DAEMON) != pid
    assert bed.about("second")["is_read_only"]
    assert bed.io("first", "write 0 4k").returncode == 0


async def test_a_server_that_outlived_its_gateway_is_adopted(bed):
    path, grant = source(bed.folder), access()
    wanted = export_of(path, grant)
    await bed.session("end", "publish", encoded(wanted))
    pid = recorded(bed.state, DAEMON)
    with connected(bed.image("one")) as client:
        exporter = bed.exporter()
        await exporter.open()
        try:
            assert recorded(bed.state, DAEMON) == pid
            assert await exporter.published() == {wanted.id}
            await exporter.publish(wanted)
            assert "wrote 4096" in client.tell("write -P 3 0 4k")
            with pytest.raises(InUse):
                await exporter.withdraw(wanted.id)
            client.leave()
            await exporter.withdraw(wanted.id)
            assert bed.names() == set()
        finally:
            await exporter.close()
    assert not runs(pid)


@pytest.mark.parametrize("point", [point for point in FAULT_POINTS if ".publish." in point])
async def test_a_gateway_killed_while_it_publishes(bed, point):
    path = source(bed.folder)
    old, new = export_of(path, access("old")), export_of(path, access("new"), generation=1)
    await bed.session("end", "publish", encoded(old))
    await bed.session(point, "publish", encoded(new))
    exporter = bed.exporter()
    await exporter.open()
    try:
        assert await exporter.published() == {old.id}
        await exporter.publish(new)
        assert bed.names() == {"new"}
        assert bed.io("new", "write 0 4k").returncode == 0
        await exporter.withdraw(old.id)
        assert bed.names() == set()
        assert await exporter.published() == frozenset()
    finally:
        await exporter.close()


@pytest.mark.parametrize("point", [point for point in FAULT_POINTS if ".withdraw." in point])
async def test_a_gateway_killed_while_it_withdraws(bed, point):
    wanted = export_of(source(bed.folder), access())
    await bed.session("end", "publish", encoded(wanted))
    await bed.session(point, "withdraw", str(wanted.id))
    exporter = bed.exporter()
    await exporter.open()
    try:
        await exporter.withdraw(wanted.id)
        assert await exporter.published() == frozenset()
        assert bed.names() == set()
        await exporter.publish(wanted)
        assert bed.names() == {"one"}
    finally:
        await exporter.close()


async def test_exports_without_a_record_end_at_the_start(bed):
    wanted = export_of(source(bed.folder), access())
    await bed.session("end", "publish", encoded(wanted))
    (bed.state / "exports" / f"{wanted.id}.json").write_bytes(b"{")
    exporter = bed.exporter()
    await exporter.open()
    try:
        assert bed.names() == set()
        assert await exporter.published() == {wanted.id}
        await exporter.publish(wanted)
        assert bed.names() == {"one"}
    finally:
        await exporter.close()


async def test_a_state_directory_has_one_owner(bed, exporter):
    second = bed.exporter()
    with pytest.raises(Unavailable, match="a running gateway has it"):
        await second.open()


async def test_a_taken_port_is_told(bed, exporter, tmp_path):
    second = NbdExporter(bed.options, tmp_path / "second")
    with pytest.raises(Unavailable, match="ended at once"):
        await second.open()


async def test_a_missing_source_is_told(bed, exporter):
    path = source(bed.folder)
    wanted = export_of(path, access())
    path.unlink()
    with pytest.raises(Unavailable, match="source"):
        await exporter.publish(wanted)
    await exporter.withdraw(wanted.id)
    assert await exporter.published() == frozenset()


async def test_what_cannot_be_published_names_the_field(bed, exporter):
    with pytest.raises(InvalidArgument) as caught:
        await exporter.publish(export_of(source(bed.folder), access("")))
    assert caught.value.field == "target"
    with pytest.raises(InvalidArgument):
        NbdExporter(NbdOptions(bind="somewhere"), bed.folder / "other")
