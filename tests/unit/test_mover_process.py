"""The process of a move: what it says arrives, and it never outlives whoever wanted it."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from mover_scene import BLOCK, job, same

from gateway.core.errors import Internal, LimitExceeded, Unavailable, Unsupported
from gateway.core.handles import GitRemote, InProcess, LocalPath
from gateway.core.model import VolumeKind
from gateway.core.mover import MoveProgress, ObjectPlace
from gateway.mover.client import ProcessMover

MIB = 1 << 20
LIMIT_S = 60


@pytest.fixture
async def mover():
    made = ProcessMover()
    yield made
    await made.close()


@pytest.fixture
def ends(tmp_path):
    found = tmp_path / "source", tmp_path / "destination"
    for path in found:
        path.mkdir()
    return found


def endless(tmp_path: Path):
    """Give a move that takes a day."""
    source, destination = tmp_path / "a", tmp_path / "b"
    source.write_bytes(os.urandom(8 * MIB))
    destination.write_bytes(b"")
    os.truncate(destination, 8 * MIB)
    return job(source, destination, BLOCK, throttle=100)


def ignored(_progress: MoveProgress) -> None:
    pass


def gone(pid: int) -> bool:
    """Wait for the end of any process."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([fd], [], [], LIMIT_S)[0])
    finally:
        os.close(fd)


async def test_a_tree_moves(mover, ends):
    source, destination = ends
    (source / "a").write_bytes(b"x" * 1000)
    told: list[MoveProgress] = []
    done = await mover.move(job(source, destination), progress=told.append)
    assert done == MoveProgress(bytes_transferred=1000, files=1)
    same(source, destination)
    assert await mover.move(job(source, destination), progress=ignored) == MoveProgress()


async def test_progress_is_told_on_the_loop(mover, tmp_path):
    heard = asyncio.get_running_loop().create_future()

    def progress(so_far: MoveProgress) -> None:
        if asyncio.get_running_loop() is heard.get_loop() and not heard.done():
            heard.set_result(so_far)

    moving = asyncio.ensure_future(mover.move(endless(tmp_path), progress=progress))
    try:
        assert (await asyncio.wait_for(heard, LIMIT_S)).bytes_transferred > 0
    finally:
        moving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await moving


async def test_errors_arrive_as_they_are(mover, tmp_path, ends):
    source, destination = tmp_path / "a", tmp_path / "b"
    source.write_bytes(b"x" * MIB)
    destination.write_bytes(b"")
    with pytest.raises(LimitExceeded) as raised:
        await mover.move(job(source, destination, BLOCK), progress=ignored)
    assert raised.value.value == MIB
    with pytest.raises(Unavailable) as raised:
        await mover.move(job(tmp_path / "nothing", ends[1]), progress=ignored)
    assert (raised.value.what, raised.value.reason) == ("source", "a part of it is gone")


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", Unavailable),
        ("print('{}', flush=True)", Internal),
        ("import sys; sys.exit('complaint')", Unavailable),
    ],
)
async def test_a_process_that_ends_otherwise(ends, code, error):
    mover = ProcessMover(program=[sys.executable, "-c", code])
    try:
        with pytest.raises(error):
            await mover.move(job(*ends), progress=ignored)
    finally:
        await mover.close()


async def test_a_program_that_is_not_there(ends):
    mover = ProcessMover(program=["/nonexistent/mover"])
    with pytest.raises(Unavailable, match="cannot be started"):
        await mover.move(job(*ends), progress=ignored)
    await mover.close()


def silent(pids: Path) -> list[str]:
    """Give a program that tells its process id and then does not react to anything but SIGKILL."""
    code = (
        "import os, signal, sys\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        f"open({str(pids)!r}, 'w').write(f'{{os.getpid()}}\\n')\n"
        "signal.pause()\n"
    )
    return [sys.executable, "-c", code]


async def test_cancelling_ends_the_process_first(tmp_path, ends):
    os.mkfifo(tmp_path / "pids")
    mover = ProcessMover(program=silent(tmp_path / "pids"))
    moving = asyncio.ensure_future(mover.move(job(*ends), progress=ignored))
    pid = int(await asyncio.to_thread((tmp_path / "pids").read_text))
    moving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await moving
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    await mover.close()


async def test_closing_ends_what_still_moves(tmp_path, ends):
    os.mkfifo(tmp_path / "pids")
    mover = ProcessMover(program=silent(tmp_path / "pids"))
    moving = asyncio.ensure_future(mover.move(job(*ends), progress=ignored))
    pid = int(await asyncio.to_thread((tmp_path / "pids").read_text))
    await mover.close()
    with pytest.raises(Unavailable):
        await moving
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_closing_ends_what_still_waits(tmp_path, ends):
    os.mkfifo(tmp_path / "pids")
    mover = ProcessMover(at_once=1, program=silent(tmp_path / "pids"))
    moving = [asyncio.ensure_future(mover.move(job(*ends), progress=ignored)) for _ in range(2)]
    await asyncio.to_thread((tmp_path / "pids").read_text)
    await mover.close()
    for each in moving:
        with pytest.raises(Unavailable):
            await each


async def test_what_waits_can_be_cancelled(tmp_path, ends):
    os.mkfifo(tmp_path / "pids")
    mover = ProcessMover(at_once=1, program=silent(tmp_path / "pids"))
    first = asyncio.ensure_future(mover.move(job(*ends), progress=ignored))
    await asyncio.to_thread((tmp_path / "pids").read_text)
    second = asyncio.ensure_future(mover.move(job(*ends), progress=ignored))
    await asyncio.sleep(0)
    for moving in (second, first):
        moving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await moving
    await mover.close()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_it_dies_with_the_gateway(tmp_path, number):
    """A parent that is killed; its child says by its progress that it is at work."""
    code = (
        "import subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-m', 'gateway.mover'], stdin=subprocess.PIPE,"
        " stdout=subprocess.PIPE)\n"
        "child.stdin.write(sys.stdin.buffer.readline())\n"
        "child.stdin.flush()\n"
        "child.stdout.readline()\n"
        "print(child.pid, flush=True)\n"
        "child.wait()\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        try:
            assert parent.stdin is not None
            assert parent.stdout is not None
            parent.stdin.write(msgspec.json.encode(endless(tmp_path)) + b"\n")
            parent.stdin.flush()
            pid = int(parent.stdout.readline())
            parent.send_signal(number)
            assert gone(pid)
        finally:
            parent.kill()


def test_it_ends_when_nobody_holds_its_input(tmp_path):
    process = subprocess.Popen([sys.executable, "-m", "gateway.mover"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with process:
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(msgspec.json.encode(endless(tmp_path)) + b"\n")
            process.stdin.flush()
            assert process.stdout.readline()
            process.stdin.close()
            assert process.wait(LIMIT_S) == 1
        finally:
            process.kill()


def test_ways():
    mover = ProcessMover()
    here, memory, git = LocalPath(path="/a"), InProcess(key="a"), GitRemote(url="a")
    for kind in (VolumeKind.FILESYSTEM, VolumeKind.BLOCK):
        assert mover.reaches(kind, here, here) == ""
        assert mover.reaches(kind, memory, here) == f"nothing moves {kind.value} content from in_process to local_path"
    assert mover.reaches(VolumeKind.TREE, git, here)
    place = ObjectPlace(endpoint="", region="r", bucket="b", prefix="p/")
    clone = msgspec.structs.replace(place, partial=True)
    for kind in (VolumeKind.FILESYSTEM, VolumeKind.BLOCK):
        assert mover.reaches(kind, here, place) == mover.reaches(kind, clone, here) == ""
        assert "split" in mover.reaches(kind, here, clone)
    assert mover.reaches(VolumeKind.OBJECTS, place, place) == ""
    assert mover.reaches(VolumeKind.OBJECTS, place, here)


async def test_no_way_is_unsupported(mover):
    given = msgspec.structs.replace(job(Path("/a"), Path("/b")), source=InProcess(key="a"))
    with pytest.raises(Unsupported):
        await mover.move(given, progress=ignored)
