"""A real nfs-ganesha over a real btrfs, asked by the real libnfs tools."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
import socket
import struct
import subprocess
import sys
from pathlib import Path
from uuid import UUID, uuid4

import msgspec
import pytest

from gateway.core.errors import Busy, InvalidArgument, Unavailable
from gateway.core.exporter import Export, ExportAccess, Exporter
from gateway.core.handles import InProcess, LocalPath, NfsExport
from gateway.exports.nfs import FAULT_POINTS, NfsExporter, NfsOptions
from gateway.exports.nfs.ganesha import SOCKET_PATH_MAX, Ganesha, runtime_directory
from gateway.exports.nfs.stanza import export_stanza, main_settings
from gateway.exports.process import Identity

pytestmark = pytest.mark.root

ANYBODY = ExportAccess(clients=("0.0.0.0/0",), write=True)
READER = ExportAccess(clients=("127.0.0.1",), write=False)
STRANGER = ExportAccess(clients=("192.0.2.1",), write=True)

SESSION = """
import asyncio, msgspec, sys
from pathlib import Path
from uuid import UUID
from gateway.core.exporter import Export
from gateway.exports.nfs import NfsExporter, NfsOptions
from gateway.testing.faults import KillAt

async def main(state, port, point, verb, argument):
    exporter = NfsExporter(NfsOptions(port=int(port)), Path(state), fault=KillAt(point))
    await exporter.open()
    if verb == "publish":
        await exporter.publish(msgspec.json.decode(argument, type=Export))
    elif verb == "withdraw":
        await exporter.withdraw(UUID(argument))
    KillAt("end")("end")

asyncio.run(main(*sys.argv[1:]))
"""


def sh(*argv: str) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, f"{argv}: {done.stderr}"
    return done.stdout


def mounted_below(path: Path) -> list[str]:
    points = [line.split(" ")[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return sorted((point for point in points if point.startswith(f"{path}/")), reverse=True)


def recorded(state: Path, name: str) -> int:
    return msgspec.json.decode((state / "daemons" / f"{name}.pid").read_bytes(), type=Identity).pid


def runs(pid: int) -> bool:
    """Tell whether a process runs; one that ended but was not reaped has no command line."""
    try:
        return bool(Path(f"/proc/{pid}/cmdline").read_bytes())
    except (FileNotFoundError, ProcessLookupError):
        return False


def end(pid: int) -> None:
    """Kill one process that we started and wait until it is gone."""
    try:
        watch = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        signal.pidfd_send_signal(watch, signal.SIGKILL)
        assert select.select([watch], [], [], 10)[0]
    except ProcessLookupError:
        pass
    finally:
        os.close(watch)


class Bed:
    """A btrfs pool, a state directory, a free port, and the client tools."""

    def __init__(self, root: Path) -> None:
        self.pool = root / "pool"
        self.state = root / "state"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]

    def exporter(self, **changes) -> NfsExporter:
        return NfsExporter(NfsOptions(port=self.port), self.state, **changes)

    def volume(self) -> Path:
        path = self.pool / str(uuid4())
        sh("btrfs", "subvolume", "create", str(path))
        return path

    def url(self, path: str) -> str:
        return f"nfs://127.0.0.1{path}?version=4&nfsport={self.port}"

    async def client(self, tool: str, *args: str) -> subprocess.CompletedProcess[str]:
        return await asyncio.to_thread(
            subprocess.run, [tool, *args], capture_output=True, text=True, check=False, timeout=60
        )

    async def cat(self, path: str) -> str:
        done = await self.client("nfs-cat", self.url(path))
        assert done.returncode == 0, done.stderr
        return done.stdout

    async def names(self, path: str) -> set[str]:
        done = await self.client("nfs-ls", self.url(path))
        assert done.returncode == 0, done.stderr
        return {line.split()[-1] for line in done.stdout.splitlines() if line}

    async def refusal(self, tool: str, *args: str) -> str:
        done = await self.client(tool, *args)
        assert done.returncode != 0, done.stdout
        return done.stdout + done.stderr

    async def session(self, point: str, verb: str, argument: str) -> None:
        """Run an exporter in a process of its own that ends by SIGKILL, at the point or when it is done."""
        argv = [sys.executable, "-c", SESSION, str(self.state), str(self.port), point, verb, argument]
        done = await asyncio.to_thread(subprocess.run, argv, capture_output=True, text=True, check=False, timeout=100)
        assert done.returncode == -signal.SIGKILL, done.stderr


@pytest.fixture
def bed(tmp_path):
    image = tmp_path / "pool.img"
    bed = Bed(tmp_path)
    bed.pool.mkdir()
    with image.open("wb") as file:
        file.truncate(256 << 20)
    sh("mkfs.btrfs", "-q", str(image))
    sh("mount", "-o", "loop", str(image), str(bed.pool))
    try:
        yield bed
    finally:
        for name in ("ganesha.nfsd", "dbus-daemon"):
            with contextlib.suppress(FileNotFoundError):
                end(recorded(bed.state, name))
        for point in mounted_below(tmp_path):
            sh("umount", point)


@pytest.fixture
async def exporter(bed):
    exporter = bed.exporter()
    await exporter.open()
    yield exporter
    await exporter.close()


def export(source: Path, path: str = "/vol1", *rules: ExportAccess, read_only: bool = False, **fields) -> Export:
    fields.setdefault("id", UUID(source.name) if len(source.name) == 36 else uuid4())
    return Export(
        path=path, source=LocalPath(path=str(source), read_only=read_only), rules=rules or (ANYBODY,), **fields
    )


async def test_bytes_go_both_ways(bed, exporter, tmp_path):
    volume = bed.volume()
    wanted = export(volume)
    assert isinstance(exporter, Exporter)
    await exporter.publish(wanted)
    assert await exporter.published() == {wanted.id: wanted}
    assert exporter.handle(wanted) == NfsExport(address="127.0.0.1", port=bed.port, path="/vol1", read_only=False)

    # libnfs 4.0 cannot encode an NFSv4 write of more than about two kilobytes
    content = os.urandom(1500)
    (tmp_path / "local").write_bytes(content)
    done = await bed.client("nfs-cp", str(tmp_path / "local"), bed.url("/vol1/remote"))
    assert done.returncode == 0, done.stderr
    assert (volume / "remote").read_bytes() == content

    large = "0123456789" * 100_000
    (volume / "large").write_text(large)
    assert await bed.cat("/vol1/large") == large

    (volume / "greeting").write_text("one")
    assert await bed.cat("/vol1/greeting") == "one"
    (volume / "greeting").write_text("changed on the host")
    assert await bed.cat("/vol1/greeting") == "changed on the host"


async def test_publishing_twice_changes_nothing(bed, exporter):
    wanted = export(bed.volume())
    await exporter.publish(wanted)
    files = {path: path.stat().st_mtime_ns for path in (bed.state / "exports").iterdir()}
    mounts = mounted_below(bed.state)
    await exporter.publish(wanted)
    assert {path: path.stat().st_mtime_ns for path in (bed.state / "exports").iterdir()} == files
    assert mounted_below(bed.state) == mounts
    assert len(mounts) == 1


async def test_reader_cannot_write(bed, exporter):
    volume = bed.volume()
    (volume / "file").write_text("x")
    wanted = export(volume, "/vol1", READER)
    await exporter.publish(wanted)
    assert await bed.cat("/vol1/file") == "x"
    assert "NFS4ERR_ROFS" in await bed.refusal("nfs-cp", str(volume / "file"), bed.url("/vol1/new"))
    assert exporter.handle(wanted).read_only
    assert not (volume / "new").exists()


async def test_read_only_source_cannot_be_written(bed, exporter):
    volume = bed.volume()
    (volume / "file").write_text("x")
    snapshot = bed.pool / str(uuid4())
    sh("btrfs", "subvolume", "snapshot", "-r", str(volume), str(snapshot))
    wanted = export(snapshot, read_only=True)
    await exporter.publish(wanted)
    assert await bed.cat("/vol1/file") == "x"
    assert "NFS4ERR_ROFS" in await bed.refusal("nfs-cp", str(volume / "file"), bed.url("/vol1/new"))
    assert exporter.handle(wanted).read_only


@pytest.mark.parametrize("rules", [(STRANGER,), ()])
async def test_client_that_is_not_listed_sees_nothing(bed, exporter, rules):
    volume = bed.volume()
    (volume / "file").write_text("x")
    wanted = msgspec.structs.replace(export(volume), rules=rules)
    await exporter.publish(wanted)
    assert "NFS4ERR_NOENT" in await bed.refusal("nfs-cat", bed.url("/vol1/file"))
    assert await exporter.published() == {wanted.id: wanted}


async def test_rules_change_live_and_the_first_match_decides(bed, exporter):
    volume = bed.volume()
    (volume / "file").write_text("x")
    number = None
    for rules, may_read, may_write in (
        ((STRANGER,), False, False),
        ((READER,), True, False),
        ((READER, ANYBODY), True, False),
        ((ANYBODY, READER), True, True),
        ((ExportAccess(clients=("localhost",), write=True),), True, True),
        (
            (ExportAccess(clients=("127.0.0.0/255.0.0.0", ".nowhere.invalid", "@nobody", "::1"), write=True),),
            True,
            True,
        ),
        ((ExportAccess(clients=("no-such-host.invalid",), write=True),), False, False),
    ):
        wanted = export(volume, "/vol1", *rules)
        await exporter.publish(wanted)
        record = msgspec.json.decode((bed.state / "exports" / f"{wanted.id}.json").read_bytes())
        number = number or record["number"]
        assert record["number"] == number
        assert await exporter.published() == {wanted.id: wanted}
        read = await bed.client("nfs-cat", bed.url("/vol1/file"))
        assert (read.returncode == 0) is may_read, rules
        write = await bed.client("nfs-cp", str(volume / "file"), bed.url("/vol1/new"))
        assert (write.returncode == 0) is may_write, rules
        (volume / "new").unlink(missing_ok=True)


async def test_squashed_root_writes_as_the_anonymous_user(bed, exporter):
    volume = bed.volume()
    volume.chmod(0o777)
    (volume / "file").write_text("x")
    for squash, owner in ((True, 4711), (False, 0)):
        rule = ExportAccess(clients=("127.0.0.1",), write=True, squash_root=squash, anonymous_uid=4711)
        await exporter.publish(export(volume, "/vol1", rule))
        # the tool creates the file, then opens it anew, which only its owner's permission bits allow
        await bed.client("nfs-cp", str(volume / "file"), bed.url("/vol1/new"))
        assert (volume / "new").stat().st_uid == owner
        (volume / "new").unlink()


async def test_withdrawing_frees_the_volume(bed, exporter):
    first, second = bed.volume(), bed.volume()
    await exporter.publish(export(first, "/one"))
    await exporter.publish(export(second, "/two"))
    assert await bed.names("/") == {"one", "two"}
    for volume in (first, second):
        await exporter.withdraw(UUID(volume.name))
        await exporter.withdraw(UUID(volume.name))
        sh("btrfs", "subvolume", "delete", str(volume))
    assert await exporter.published() == {}
    assert await bed.names("/") == set()
    assert mounted_below(bed.state) == []
    assert list((bed.state / "exports").iterdir()) == []
    await exporter.withdraw(uuid4())
    sh("umount", str(bed.pool))


async def test_moved_and_replaced_volume_is_published_anew(bed, exporter):
    volume, other = bed.volume(), bed.volume()
    (volume / "file").write_text("old")
    (other / "file").write_text("restored")
    await exporter.publish(export(volume, "/old"))
    await exporter.publish(export(volume, "/new"))
    assert await bed.names("/") == {"new"}
    # as a restore does: another subvolume takes the place, the generation goes up
    volume.rename(bed.pool / "aside")
    other.rename(volume)
    await exporter.publish(export(volume, "/new", generation=1))
    assert await bed.cat("/new/file") == "restored"


async def test_path_of_another_volume_has_to_wait(bed, exporter):
    first, second = bed.volume(), bed.volume()
    await exporter.publish(export(first))
    with pytest.raises(Busy):
        await exporter.publish(export(second))
    await exporter.withdraw(UUID(first.name))
    await exporter.publish(export(second))
    assert set(await exporter.published()) == {UUID(second.name)}


@pytest.mark.parametrize("inner_first", [False, True])
async def test_nested_junctions_in_any_order(bed, exporter, inner_first):
    outer, inner = bed.volume(), bed.volume()
    (outer / "file").write_text("outer")
    (inner / "file").write_text("inner")
    wanted = [export(outer, "/a"), export(inner, "/a/deep/b")]
    for one in reversed(wanted) if inner_first else wanted:
        await exporter.publish(one)
    assert await bed.cat("/a/file") == "outer"
    assert await bed.cat("/a/deep/b/file") == "inner"
    assert await bed.names("/a") == {"file", "deep"}

    await exporter.withdraw(wanted[0].id)
    assert await bed.cat("/a/deep/b/file") == "inner"
    assert await exporter.published() == {wanted[1].id: wanted[1]}
    await exporter.publish(wanted[0])
    assert await bed.cat("/a/deep/b/file") == "inner"

    await exporter.withdraw(wanted[1].id)
    assert await bed.cat("/a/file") == "outer"
    assert sorted(path.name for path in outer.iterdir()) == ["file"]
    sh("btrfs", "subvolume", "delete", str(inner))


async def test_junction_over_a_link_or_in_a_read_only_volume_is_refused(bed, exporter, tmp_path):
    outer, inner = bed.volume(), bed.volume()
    trap = tmp_path / "trap"
    trap.mkdir()
    (outer / "link").symlink_to(trap)
    await exporter.publish(export(outer, "/a"))
    with pytest.raises(InvalidArgument):
        await exporter.publish(export(inner, "/a/link/b"))
    assert list(trap.iterdir()) == []
    sh("btrfs", "property", "set", str(outer), "ro", "true")
    with pytest.raises(InvalidArgument):
        await exporter.publish(export(inner, "/a/b"))
    await exporter.withdraw(UUID(inner.name))
    assert set(await exporter.published()) == {UUID(outer.name)}
    assert await bed.names("/a") == {"link"}


async def test_signal_to_read_the_configuration_again_drops_nothing(bed, exporter):
    kept, withdrawn = bed.volume(), bed.volume()
    (kept / "file").write_text("x")
    for volume, path in ((withdrawn, "/gone"), (kept, "/kept")):
        await exporter.publish(export(volume, path))
    await exporter.withdraw(UUID(withdrawn.name))
    configuration = (bed.state / "ganesha.conf").read_text()
    assert f"{kept.name}.conf" in configuration
    assert withdrawn.name not in configuration
    os.kill(recorded(bed.state, "ganesha.nfsd"), signal.SIGHUP)
    assert await bed.cat("/kept/file") == "x"
    assert set(await exporter.published()) == {UUID(kept.name)}


async def test_directory_of_another_file_system_needs_no_mount(bed, exporter, tmp_path):
    source = tmp_path / "plain"
    source.mkdir()
    (source / "file").write_text("plain")
    wanted = export(source)
    await exporter.publish(wanted)
    assert await bed.cat("/vol1/file") == "plain"
    assert mounted_below(bed.state) == []
    await exporter.withdraw(wanted.id)
    assert await bed.names("/") == set()


async def test_bad_descriptions_are_refused_and_leave_nothing(bed, exporter):
    volume = bed.volume()
    good = export(volume)
    for changes, error in (
        ({"path": '/a"; }'}, InvalidArgument),
        ({"path": "/"}, InvalidArgument),
        ({"rules": (ExportAccess(clients=("10.0.0.0/8; } EXPORT {",), write=True),)}, InvalidArgument),
        ({"source": InProcess(key="x")}, InvalidArgument),
        ({"source": LocalPath(path=str(bed.pool / "absent"))}, Unavailable),
    ):
        with pytest.raises(error):
            await exporter.publish(msgspec.structs.replace(good, **changes))
    assert await exporter.published() == {}
    assert list((bed.state / "exports").iterdir()) == []


def filehandle_of(port: int, path: str) -> bytes:
    words = [struct.pack(">II", 15, len(name)) + name + bytes(-len(name) % 4) for name in path.encode()[1:].split(b"/")]
    reply = compound(port, struct.pack(">I", 24), *words, struct.pack(">I", 10))
    # status, tag and count; then code and status of every operation
    start = 12 + 8 * (len(words) + 2)
    (length,) = struct.unpack_from(">I", reply, start)
    return reply[start + 4 : start + 4 + length]


def status_by_handle(port: int, handle: bytes) -> int:
    put = struct.pack(">II", 22, len(handle)) + handle + bytes(-len(handle) % 4)
    return int(struct.unpack_from(">I", compound(port, put, struct.pack(">III", 9, 1, 1 << 4)))[0])


def compound(port: int, *operations: bytes) -> bytes:
    """Send one NFSv4.0 COMPOUND as root; give the reply from its status on."""
    credential = struct.pack(">IIIIII", 1, 20, 0, 0, 0, 0) + struct.pack(">I", 0)
    call = struct.pack(">IIIIII", 1, 0, 2, 100003, 4, 1) + credential + struct.pack(">II", 0, 0)
    call += struct.pack(">III", 0, 0, len(operations)) + b"".join(operations)
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(struct.pack(">I", 0x80000000 | len(call)) + call)
        (length,) = struct.unpack(">I", connection.recv(4, socket.MSG_WAITALL))
        return connection.recv(length & 0x7FFFFFFF, socket.MSG_WAITALL)[24:]


async def revived(bed: Bed, exporter: NfsExporter, old: int, wanted: dict[UUID, Export]) -> None:
    """Wait until another server answers with all publications; the test's own time limit bounds it."""
    while True:
        with contextlib.suppress(Unavailable, FileNotFoundError):
            if recorded(bed.state, "ganesha.nfsd") != old and await exporter.published() == wanted:
                return
        await asyncio.sleep(0)


@pytest.mark.parametrize("daemon", ["ganesha.nfsd", "dbus-daemon"])
async def test_killed_server_comes_back_with_its_exports_and_handles(bed, exporter, daemon):
    outer, inner = bed.volume(), bed.volume()
    (outer / "file").write_text("outer")
    (inner / "file").write_text("inner")
    wanted = {one.id: one for one in (export(inner, "/a/b"), export(outer, "/a"))}
    for one in wanted.values():
        await exporter.publish(one)
    handles = [filehandle_of(bed.port, path) for path in ("/a/file", "/a/b/file")]
    assert [status_by_handle(bed.port, handle) for handle in handles] == [0, 0]
    old = recorded(bed.state, "ganesha.nfsd")
    end(recorded(bed.state, daemon))
    await revived(bed, exporter, old, wanted)
    assert await bed.cat("/a/b/file") == "inner"
    assert [status_by_handle(bed.port, handle) for handle in handles] == [0, 0]


async def test_closing_stops_everything_and_opening_brings_it_back(bed):
    volume = bed.volume()
    (volume / "file").write_text("x")
    exporter = bed.exporter()
    await exporter.open()
    await exporter.publish(export(volume))
    handle = filehandle_of(bed.port, "/vol1/file")
    pids = [recorded(bed.state, name) for name in ("ganesha.nfsd", "dbus-daemon")]
    await exporter.close()
    await exporter.close()
    assert not any(runs(pid) for pid in pids)
    assert mounted_below(bed.state) == []
    with pytest.raises(Unavailable):
        await exporter.publish(export(volume))
    sh("umount", str(bed.pool))
    sh("mount", "-o", "loop", str(bed.pool.parent / "pool.img"), str(bed.pool))
    await exporter.open()
    assert await exporter.published() == {UUID(volume.name): export(volume)}
    assert status_by_handle(bed.port, handle) == 0
    await exporter.close()


async def test_server_of_a_killed_gateway_is_adopted(bed):
    volume, other = bed.volume(), bed.volume()
    (volume / "file").write_text("x")
    await bed.session("", "publish", msgspec.json.encode(export(volume)).decode())
    server = recorded(bed.state, "ganesha.nfsd")
    assert await bed.cat("/vol1/file") == "x"
    exporter = bed.exporter()
    await exporter.open()
    assert recorded(bed.state, "ganesha.nfsd") == server
    assert await exporter.published() == {UUID(volume.name): export(volume)}
    await exporter.publish(export(other, "/vol2"))
    assert await bed.names("/") == {"vol1", "vol2"}
    # an adopted server is watched, too
    end(server)
    await revived(bed, exporter, server, {UUID(v.name): export(v, p) for v, p in ((volume, "/vol1"), (other, "/vol2"))})
    await exporter.close()


async def test_server_of_a_gateway_killed_before_it_could_record_it_is_replaced(bed):
    wanted = export(bed.volume())
    await bed.session("end", "publish", msgspec.json.encode(wanted).decode())
    names = ("dbus-daemon", "ganesha.nfsd")
    left = [recorded(bed.state, name) for name in names]
    for name in names:
        (bed.state / "daemons" / f"{name}.pid").unlink()
    exporter = bed.exporter()
    await exporter.open()
    try:
        assert await exporter.published() == {wanted.id: wanted}
        assert not any(runs(pid) for pid in left)
    finally:
        await exporter.close()


@pytest.mark.parametrize("length", [SOCKET_PATH_MAX, SOCKET_PATH_MAX + 1, 150])
async def test_state_directory_too_long_for_a_socket(bed, length):
    bed.state = Path(f"{bed.state}-{'x' * length}"[: length - len("/run/bus")])
    volume = bed.volume()
    (volume / "file").write_text("x")
    exporter = bed.exporter()
    await exporter.open()
    try:
        await exporter.publish(export(volume))
        assert await bed.cat("/vol1/file") == "x"
        assert (runtime_directory(bed.state) == bed.state / "run") is (length <= SOCKET_PATH_MAX)
        assert runtime_directory(bed.state).is_dir()
    finally:
        await exporter.close()
    assert not runtime_directory(bed.state).exists()


async def test_server_with_other_settings_is_ended_and_started_anew(bed):
    volume = bed.volume()
    (volume / "file").write_text("x")
    await bed.session("", "publish", msgspec.json.encode(export(volume)).decode())
    server = recorded(bed.state, "ganesha.nfsd")
    bed.port = Bed(bed.pool.parent).port
    exporter = bed.exporter()
    await exporter.open()
    assert recorded(bed.state, "ganesha.nfsd") != server
    assert not runs(server)
    assert await bed.cat("/vol1/file") == "x"
    await exporter.close()


async def test_port_of_somebody_else_makes_opening_fail(bed):
    with socket.create_server(("127.0.0.1", bed.port)):
        exporter = bed.exporter()
        with pytest.raises(Unavailable):
            await exporter.open()
    await exporter.open()
    await exporter.close()


async def test_volume_that_vanished_does_not_keep_the_others_from_coming_back(bed):
    volumes = [bed.volume(), bed.volume()]
    exporter = bed.exporter()
    await exporter.open()
    for path, volume in zip(("/one", "/two"), volumes, strict=True):
        await exporter.publish(export(volume, path))
    await exporter.close()
    sh("btrfs", "subvolume", "delete", str(volumes[0]))
    await exporter.open()
    lost, kept = (UUID(volume.name) for volume in volumes)
    assert await exporter.published() == {lost: None, kept: export(volumes[1], "/two")}
    await exporter.withdraw(lost)
    assert set(await exporter.published()) == {kept}
    await exporter.close()


async def test_export_that_the_server_refuses_does_not_keep_the_others_from_coming_back(bed, exporter):
    volume = bed.volume()
    (volume / "file").write_text("x")
    good = export(volume, "/good")
    await exporter.publish(good)
    # procfs has no file handles
    refused = export(Path("/proc/sys"), "/refused")
    with pytest.raises(Unavailable):
        await exporter.publish(refused)
    wanted = {good.id: good, refused.id: None}
    assert await exporter.published() == wanted
    old = recorded(bed.state, "ganesha.nfsd")
    end(old)
    await revived(bed, exporter, old, wanted)
    assert await bed.cat("/good/file") == "x"
    await exporter.withdraw(refused.id)
    assert await exporter.published() == {good.id: good}


def test_server_starts_empty_rather_than_not_at_all(bed, tmp_path):
    # an export inside another whose directory is missing ends ganesha at start
    settings = main_settings(bind="127.0.0.1", port=bed.port, recovery=bed.state / "recovery")
    server = Ganesha(settings=settings, bind="127.0.0.1", port=bed.port, state_dir=bed.state)
    server.prepare()
    stanzas = []
    for number, path in ((1, "/outer"), (2, "/outer/missing")):
        root = tmp_path / f"source{number}"
        root.mkdir()
        stanzas.append(tmp_path / f"{number}.conf")
        stanzas[-1].write_text(export_stanza(number, export(root, path), root, lambda _host: ()))
    try:
        server.start(stanzas)
        assert server.bus.exports() == {}
        server.stop()
        server.start(stanzas[:1])
        assert server.bus.exports() == {1: str(tmp_path / "source1")}
    finally:
        server.stop()


async def test_killed_at_every_point(bed):
    outer, inner = bed.volume(), bed.volume()
    (outer / "file").write_text("outer")
    (inner / "file").write_text("inner")
    wanted = export(inner, "/a/b")
    await bed.session("", "publish", msgspec.json.encode(export(outer, "/a")).decode())
    for point in FAULT_POINTS:
        if point.startswith("nfs.withdraw"):
            await bed.session("", "publish", msgspec.json.encode(wanted).decode())
            await bed.session(point, "withdraw", str(wanted.id))
        else:
            await bed.session(point, "publish", msgspec.json.encode(wanted).decode())
            await bed.session("", "publish", msgspec.json.encode(wanted).decode())
            assert await bed.cat("/a/b/file") == "inner", point
            assert await bed.cat("/a/file") == "outer", point
            await bed.session("", "withdraw", str(wanted.id))
            await bed.session(point, "publish", msgspec.json.encode(wanted).decode())
        await bed.session("", "withdraw", str(wanted.id))
        assert [Path(path).name for path in mounted_below(bed.state)] == [outer.name], point
        assert {path.stem for path in (bed.state / "exports").iterdir()} == {outer.name}, point
        assert await bed.names("/a") == {"file"}, point


async def test_second_process_does_not_take_a_running_server(bed, exporter):
    second = bed.exporter()
    with pytest.raises(Unavailable, match="running gateway"):
        await second.open()
    await second.close()
    assert await exporter.published() == {}
    await exporter.close()
    await second.open()
    await second.close()
