"""Open volumes: their clients go on through snapshots, growth, merges and splits, and through deaths around them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from qcow2_scene import MIB, SIZE, Scene, command, scene, spec

from gateway.backends.qcow2 import Qcow2Backend, Qcow2Options
from gateway.backends.qcow2.pool import SNAPSHOT_MAX
from gateway.core.errors import GatewayError, LimitExceeded, OutOfSpace, Unavailable
from gateway.testing.loop_pool import loop_pool

pytestmark = pytest.mark.root

SLOTS = 64
STRIDE = SIZE // SLOTS
COUNTER = struct.Struct("<Q")


class Writer(threading.Thread):
    """Writes a rising number over and over through one descriptor: to slot 0, to slot 1, and so on.

    What it wrote so far, read at one instant, is the same number in the first
    slots and the number before in all others.
    """

    def __init__(self, device: Path) -> None:
        super().__init__()
        self._fd = os.open(device, os.O_RDWR)
        self._ending = threading.Event()
        self._turned = threading.Condition()
        self.rounds = 0
        self.error: OSError | None = None

    def run(self) -> None:
        try:
            while not self._ending.is_set():
                for slot in range(SLOTS):
                    os.pwrite(self._fd, COUNTER.pack(self.rounds + 1) * 512, slot * STRIDE)
                os.fsync(self._fd)
                with self._turned:
                    self.rounds += 1
                    self._turned.notify_all()
        except OSError as error:
            self.error = error

    def go_on(self) -> None:
        """Return when two whole rounds were written since."""
        with self._turned:
            wanted = self.rounds + 2
            assert self._turned.wait_for(lambda: self.rounds >= wanted or self.error, 60)

    def end(self) -> None:
        self._ending.set()
        self.join()
        os.close(self._fd)


@contextmanager
def writing(device: Path) -> Iterator[Writer]:
    """Keep writing for a block, which fails when the writer ever did."""
    writer = Writer(device)
    writer.start()
    try:
        yield writer
    finally:
        writer.end()
    assert writer.error is None
    assert writer.rounds


def slots(device: Path) -> list[int]:
    """Give the numbers in all slots."""
    with device.open("rb", buffering=0) as file:
        return [COUNTER.unpack(os.pread(file.fileno(), COUNTER.size, slot * STRIDE))[0] for slot in range(SLOTS)]


def assert_one_instant(found: list[int]) -> None:
    assert found == sorted(found, reverse=True)
    assert found[0] - found[-1] <= 1


async def test_a_new_size_is_seen_at_once(tmp_path: Path) -> None:
    """Although whoever looked just before has the kernel remember the old one."""
    async with scene(tmp_path) as at:
        volume = await at.volume()
        device = await at.device(volume)
        for size in (2 * SIZE, 3 * SIZE, 4 * SIZE):
            device.stat()
            await at.backend.resize(volume, size)
            assert device.stat().st_size == size


async def test_snapshots_of_a_written_volume_are_instants_of_it(tmp_path: Path) -> None:
    async with scene(tmp_path) as at:
        volume = await at.volume()
        with writing(await at.device(volume)):
            taken = [await at.snapshot(volume) for _ in range(20)]
            firsts = []
            for snapshot in taken:
                found = slots(await at.device(volume, snapshot))
                assert_one_instant(found)
                firsts.append(found[0])
        assert firsts == sorted(firsts)
        for snapshot, first in zip(taken, firsts, strict=True):
            assert slots(await at.device(volume, snapshot))[0] == first


async def test_a_written_volume_grows_merges_and_splits_under_its_writer(tmp_path: Path) -> None:
    async with scene(tmp_path) as at:
        volume = await at.volume()
        clone = spec(size=SIZE)
        device = await at.device(volume)
        with writing(device):
            first, second, third = [await at.snapshot(volume) for _ in range(3)]
            await at.backend.clone(volume, second, clone)
            with writing(await at.device(clone.id)):
                kept = slots(await at.device(volume, third))
                await at.backend.resize(volume, 2 * SIZE)
                await at.backend.delete_snapshot(volume, first)
                await at.backend.split(clone.id)
                await at.backend.delete_snapshot(volume, second)
                await at.backend.clone(volume, None, spec(size=2 * SIZE))
                for _ in range(3):
                    await at.backend.delete_snapshot(volume, await at.snapshot(volume))
            assert slots(await at.device(volume, third)) == kept
        assert_one_instant(slots(device))
        assert_one_instant(slots(await at.device(clone.id)))
        seen = {each.id: each async for each in at.backend.scan()}
        assert seen[volume].size == 2 * SIZE
        with device.open("r+b", buffering=0) as file:
            assert os.pwrite(file.fileno(), b"end", 2 * SIZE - 3) == 3
        at.assert_tidy()
        await at.reopen()
        at.assert_tidy()
        assert_one_instant(slots(await at.device(volume)))
        for image in at.images():
            check = ("qemu-img", "check", "-q", "-f", "qcow2", str(image))
            if str(volume) not in image.name:
                command(*check)


async def test_rotating_snapshots_keep_the_chain_short(tmp_path: Path) -> None:
    async with scene(tmp_path) as at:
        volume = await at.volume(a=os.urandom(MIB))
        kept: list[UUID] = []
        for number in range(30):
            await at.write(volume, b=str(number).encode())
            kept.append(await at.snapshot(volume))
            if len(kept) > 3:
                await at.backend.delete_snapshot(volume, kept.pop(0))
            assert len(at.images()) <= len(kept) + 2
        assert (await at.files(volume, kept[0]))["b"] == b"27"
        await at.reopen()
        assert len(at.images()) == len(kept) + 1


async def test_clones_fifty_deep(tmp_path: Path) -> None:
    async with scene(tmp_path) as at:
        volume = await at.volume(a=b"alpha")
        line = [volume]
        for number in range(50):
            made = spec()
            await at.backend.clone(line[-1], await at.snapshot(line[-1]), made)
            line.append(made.id)
            if number % 10 == 9:
                await at.write(made.id, **{f"n{number}": b"here"})
        assert set(await at.files(line[-1])) == {"a", "n9", "n19", "n29", "n39", "n49"}
        for each in reversed(line[:-1]):
            async for seen in at.backend.scan_snapshots():
                if seen.volume_id == each and seen.id is not None:
                    await at.backend.delete_snapshot(each, seen.id)
            await at.backend.delete(each)
        assert set(await at.files(line[-1])) == {"a", "n9", "n19", "n29", "n39", "n49"}
        await at.reopen()
        at.assert_tidy()
        assert len(at.images()) == 1
        assert set(await at.files(line[-1])) == {"a", "n9", "n19", "n29", "n39", "n49"}


async def test_more_snapshots_than_are_stated_are_refused(tmp_path: Path) -> None:
    async with scene(tmp_path) as at:
        volume = await at.volume(a=b"alpha")
        folder = at.pool.layout.folder(volume)
        taken = await at.snapshot(volume)
        sidecar = (folder / f"{taken}.json").read_bytes()
        for _ in range(SNAPSHOT_MAX - 1):
            (folder / f"{uuid4()}.json").write_bytes(sidecar)
        with pytest.raises(LimitExceeded):
            await at.snapshot(volume)


async def test_a_killed_daemon_is_replaced_and_shows_the_same_again(tmp_path: Path) -> None:
    async with scene(tmp_path) as at:
        volume = await at.volume(a=b"alpha")
        snapshot = await at.snapshot(volume)
        devices = [await at.device(volume), await at.device(volume, snapshot)]
        before = at.pool.devices.pid()
        at.kill_daemon()
        # Nobody asks the pool for anything: it notices by itself.
        await at.revived()
        assert at.pool.devices.pid() not in {None, before}
        assert all(map(shows, devices))
        assert [await at.device(volume), await at.device(volume, snapshot)] == devices
        assert await at.files(volume) == await at.files(volume, snapshot) == {"a": b"alpha"}
        at.kill_daemon()
        await at.snapshot(volume)
        await at.write(volume, a=b"changed")
        assert await at.files(volume, snapshot) == {"a": b"alpha"}
        at.assert_tidy()


def started(*arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(arguments, stdout=subprocess.PIPE)


def shows(device: Path) -> bool:
    try:
        return device.stat().st_size == SIZE
    except OSError:
        return False


async def test_a_client_does_not_notice_that_the_gateway_is_killed(tmp_path: Path) -> None:
    async with scene(tmp_path) as at:
        folder = at.path / "pool"
        folder.mkdir()
        program = (
            "import asyncio, sys\n"
            "from uuid import UUID\n"
            "from pathlib import Path\n"
            "from gateway.backends.qcow2 import Qcow2Backend, Qcow2Options\n"
            "from gateway.core.backend import Note, VolumeSpec\n"
            "from gateway.core.model import VolumeKind\n"
            "async def main():\n"
            "    backend = Qcow2Backend('pool', Qcow2Options(path=Path(sys.argv[1])))\n"
            "    await backend.open()\n"
            "    note = Note(name='v', tenant='t', document=b'')\n"
            "    volume = UUID(sys.argv[2])\n"
            "    await backend.create(VolumeSpec(id=volume, kind=VolumeKind.BLOCK, size=int(sys.argv[3]), note=note))\n"
            "    print((await backend.access(volume)).path, flush=True)\n"
            "    await asyncio.sleep(600)\n"
            "asyncio.run(main())\n"
        )
        volume = uuid4()
        gateway = started(sys.executable, "-c", program, str(folder), str(volume), str(SIZE))
        assert gateway.stdout is not None
        device = Path(gateway.stdout.readline().decode().strip())
        adopting = Scene(folder)
        try:
            with writing(device) as writer:
                gateway.kill()
                gateway.wait()
                await adopting.backend.open()
                assert adopting.pool.devices.pid() is not None
                assert await adopting.device(volume) == device
                snapshot = await adopting.snapshot(volume)
                await asyncio.to_thread(writer.go_on)
            assert_one_instant(slots(await adopting.device(volume, snapshot)))
        finally:
            gateway.kill()
            gateway.wait()
            gateway.stdout.close()
            await adopting.backend.close()


async def test_the_end_of_the_pool_is_the_end_of_its_daemon(tmp_path: Path) -> None:
    async with scene(tmp_path) as at:
        device = await at.device(await at.volume())
        devices = at.pool.devices
        second = Qcow2Backend("pool", Qcow2Options(path=at.path))
        await second.open()
        await second.close()
        assert shows(device)
        await at.backend.close()
        assert devices.pid() is None
        assert not device.exists()
        await at.backend.open()


async def test_another_process_uses_the_same_daemon(tmp_path: Path) -> None:
    async with scene(tmp_path) as at:
        volume = await at.volume(a=b"alpha")
        other = Scene(at.path)
        await other.backend.open()
        try:
            assert other.pool.devices.pid() == at.pool.devices.pid()
            snapshot = await other.snapshot(volume)
            await at.write(volume, a=b"changed")
            assert await other.files(volume, snapshot) == {"a": b"alpha"}
            assert await other.files(volume) == {"a": b"changed"}
        finally:
            await other.backend.close()
        assert await at.files(volume) == {"a": b"changed"}


async def test_programs_keep_off_what_the_daemon_writes(tmp_path: Path) -> None:
    async with scene(tmp_path) as at:
        volume = await at.volume(a=b"alpha")
        found = at.pool.volume(volume)
        with pytest.raises(GatewayError):
            at.pool.images.resize(found.head.path, 2 * SIZE)
        assert await at.files(volume) == {"a": b"alpha"}


async def test_what_a_client_writes_is_never_taken_for_a_format(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret" * 1000)
    evil = tmp_path / "evil.qcow2"
    arguments = ("qemu-img", "create", "-q", "-u", "-f", "qcow2", "-b", str(secret), "-F", "raw", str(evil), "1M")
    command(*arguments)
    async with scene(tmp_path) as at:
        volume = await at.volume()
        with (await at.device(volume)).open("r+b", buffering=0) as device:
            device.write(evil.read_bytes())
        clone = spec()
        await at.backend.clone(volume, await at.snapshot(volume), clone)
        await at.backend.split(clone.id)
        await at.reopen()
        for each in (volume, clone.id):
            data = (await at.device(each)).read_bytes()
            assert data[: evil.stat().st_size] == evil.read_bytes()
            assert len(data) == SIZE


async def test_a_full_pool_is_out_of_space_and_recovers(tmp_path: Path) -> None:
    with loop_pool(tmp_path, "ext4", "64M") as mount:
        async with scene(mount) as at:
            volume = await at.volume(a=b"alpha")
            snapshots = [await at.snapshot(volume) for _ in range(2)]
            before = await at.picture()
            ballast = mount / "ballast"
            fill(ballast)
            for change in (
                lambda: at.backend.create(spec()),
                lambda: at.backend.clone(volume, snapshots[0], spec()),
                lambda: at.snapshot(volume),
                lambda: at.backend.restore(volume, snapshots[0], uuid4()),
            ):
                with pytest.raises(OutOfSpace):
                    await change()
            assert await at.picture() == before
            await at.backend.delete_snapshot(volume, snapshots[0])
            ballast.unlink()
            assert await at.files(volume, snapshots[1]) == {"a": b"alpha"}
            await at.write(volume, a=b"changed")
            await at.snapshot(volume)
            at.assert_tidy()


def fill(ballast: Path) -> None:
    """Write until there is no room for anything."""
    with ballast.open("wb", buffering=0) as file:
        for size in (MIB, 4096, 1):
            with contextlib.suppress(OSError):
                while True:
                    file.write(bytes(size))


async def test_without_the_fuse_device_all_but_access_works() -> None:
    program = (
        "import asyncio, sys\n"
        "from pathlib import Path\n"
        "sys.path.insert(0, sys.argv[2])\n"
        "from qcow2_scene import Scene, spec\n"
        "from gateway.core.errors import Unavailable\n"
        "async def main():\n"
        "    at = Scene(Path(sys.argv[1]))\n"
        "    await at.backend.open()\n"
        "    made = spec()\n"
        "    await at.backend.create(made)\n"
        "    snapshot = await at.snapshot(made.id)\n"
        "    await at.backend.restore(made.id, snapshot, made.id)\n"
        "    try:\n"
        "        await at.backend.access(made.id)\n"
        "    except Unavailable as error:\n"
        "        print(error)\n"
        "    await at.backend.close()\n"
        "asyncio.run(main())\n"
    )
    here = Path(__file__).parent
    script = 'mount -t tmpfs tmpfs /dev && mknod /dev/null c 1 3 && mknod /dev/urandom c 1 9 && exec "$0" "$@"'
    arguments = ("sh", "-c", script, sys.executable, "-c", program, "/dev/pool", str(here))
    assert "/dev/fuse is missing" in command("unshare", "--mount", *arguments)


async def test_a_path_of_any_length_will_do(tmp_path: Path) -> None:
    folder = tmp_path / ("a,b " + "x" * 150) / ("y" * 150)
    folder.mkdir(parents=True)
    async with scene(folder) as at:
        volume = await at.volume(a=b"alpha")
        await at.snapshot(volume)
        assert await at.files(volume) == {"a": b"alpha"}


async def test_a_damaged_image_is_reported_and_stops_nobody_else(tmp_path: Path) -> None:
    async with scene(tmp_path) as at:
        whole, broken = await at.volume(a=b"alpha"), await at.volume()
        image = at.pool.volume(broken).head.path
        await at.reopen()
        image.write_bytes(b"no image" * 100)
        await at.reopen()
        seen = [each async for each in at.backend.scan()]
        assert {each.id for each in seen} == {whole, None}
        assert await at.files(whole) == {"a": b"alpha"}
        with pytest.raises(Unavailable):
            await at.backend.access(broken)


async def test_what_is_not_ours_is_reported(tmp_path: Path) -> None:
    async with scene(tmp_path) as at:
        volume = await at.volume()
        strangers = [at.path / "images" / "other.qcow2", at.pool.layout.layers(volume) / "other.qcow2"]
        for path in strangers:
            path.touch()
        await at.reopen()
        seen = [each async for each in at.backend.scan()]
        assert {each.id for each in seen} == {volume, None}
        assert sorted(each.place for each in seen if each.id is None) == sorted(map(str, strangers))
