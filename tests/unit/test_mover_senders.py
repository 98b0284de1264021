"""What the gateway's process does so that another gateway can fetch something: it starts others, and ends them."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from far_scene import LIMIT_S, Sides, from_afar
from mover_scene import BLOCK, TREE, job, same

from gateway.core.errors import Busy, Internal, Unavailable, Unsupported
from gateway.core.model import VolumeKind
from gateway.core.mover import FarPlace, MoveJob, MoveProgress, ObjectPlace, Offered
from gateway.mover.client import ProcessMover
from gateway.mover.sender import ProcessSenders

MIB = 1 << 20


@pytest.fixture(scope="module")
def sides() -> Iterator[Sides]:
    with tempfile.TemporaryDirectory() as folder:
        yield Sides(Path(folder))


@pytest.fixture
def files(sides):
    return {"certificate": str(sides.sender.certificate), "key": str(sides.sender.key)}


@pytest.fixture
async def senders(files):
    made = ProcessSenders(**files)
    yield made
    await made.close()


@pytest.fixture
async def mover():
    made = ProcessMover()
    yield made
    await made.close()


def ignored(_progress: MoveProgress) -> None:
    pass


async def offered(senders: ProcessSenders, sides: Sides, path: Path, kind: VolumeKind = TREE) -> Offered:
    return await senders.offer(kind=kind, path=str(path), listen_host="127.0.0.1", peer_certificate=sides.mover.pem)


def fetching(sides: Sides, offer: Offered, destination: Path, kind: VolumeKind = TREE) -> MoveJob:
    return from_afar(sides.place(offer.port, address=offer.address, token=offer.token), destination, kind)


async def test_from_process_to_process(senders, mover, sides, tmp_path):
    source, destination = tmp_path / "a", tmp_path / "b"
    for path in (source, destination):
        path.mkdir()
    (source / "file").write_bytes(os.urandom(100_000))
    given = fetching(sides, await offered(senders, sides, source), destination)
    assert await mover.move(given, progress=ignored) == MoveProgress(bytes_transferred=100_000, files=1)
    same(source, destination)
    with pytest.raises(Unavailable):
        await mover.move(given, progress=ignored)


async def test_what_is_withdrawn_cannot_be_fetched(senders, mover, sides, tmp_path):
    source, destination = tmp_path / "a", tmp_path / "b"
    source.write_bytes(os.urandom(8 * MIB))
    destination.write_bytes(bytes(8 * MIB))
    offer = await offered(senders, sides, source, BLOCK)
    slow = msgspec.structs.replace(fetching(sides, offer, destination, BLOCK), throttle=100)
    begun = asyncio.get_running_loop().create_future()
    moving = asyncio.ensure_future(mover.move(slow, progress=lambda so_far: begun.done() or begun.set_result(so_far)))
    await asyncio.wait_for(begun, LIMIT_S)
    await senders.withdraw(offer.id)
    await senders.withdraw(offer.id)
    moving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await moving
    with pytest.raises(Unavailable):
        await mover.move(slow, progress=ignored)


async def test_what_cannot_be_offered(senders, sides, files, tmp_path):
    with pytest.raises(Unavailable, match="gone"):
        await offered(senders, sides, tmp_path / "nothing")
    with pytest.raises(Unavailable):
        await offered(senders, sides, tmp_path, BLOCK)
    with pytest.raises(Unsupported):
        await offered(senders, sides, tmp_path, VolumeKind.OBJECTS)
    with pytest.raises(Unavailable, match="cannot be used"):
        await senders.offer(kind=TREE, path=str(tmp_path), listen_host="127.0.0.1", peer_certificate="nothing")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        other = ProcessSenders(**files, ports=(taken.getsockname()[1],))
        with pytest.raises(Unavailable, match="cannot listen"):
            await offered(other, sides, tmp_path)
        await other.close()
        other = ProcessSenders(**files, ports=(taken.getsockname()[1], 0))
        assert (await offered(other, sides, tmp_path)).port not in {0, taken.getsockname()[1]}
        await other.close()


async def test_no_more_than_there_may_be(files, mover, sides, tmp_path):
    senders = ProcessSenders(**files, at_once=1)
    try:
        offer = await offered(senders, sides, tmp_path)
        with pytest.raises(Busy):
            await offered(senders, sides, tmp_path)
        await senders.withdraw(offer.id)
        again = await offered(senders, sides, tmp_path)
        assert (again.id, again.token) != (offer.id, offer.token)
    finally:
        await senders.close()
    with pytest.raises(Unavailable):
        await mover.move(fetching(sides, again, tmp_path), progress=ignored)


async def test_nobody_comes(files, sides, tmp_path):
    """Then it ends; there is room for the next."""
    senders = ProcessSenders(**files, at_once=1, patience_s=0.0)
    try:
        first = await offered(senders, sides, tmp_path)
        await senders.ended(first.id)
        await offered(senders, sides, tmp_path)
    finally:
        await senders.close()


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", Unavailable),
        ("print('{}', flush=True)", Internal),
        ("import sys; sys.exit('complaint')", Unavailable),
    ],
)
async def test_a_process_that_ends_otherwise(files, sides, tmp_path, code, error):
    senders = ProcessSenders(**files, program=[sys.executable, "-c", code])
    try:
        with pytest.raises(error):
            await offered(senders, sides, tmp_path)
    finally:
        await senders.close()


async def test_a_program_that_is_not_there(files, sides, tmp_path):
    senders = ProcessSenders(**files, program=["/nonexistent/sender"])
    with pytest.raises(Unavailable, match="cannot be started"):
        await offered(senders, sides, tmp_path)
    await senders.close()


async def test_an_offer_that_is_given_up_ends(files, sides, tmp_path):
    os.mkfifo(tmp_path / "pids")
    code = f"import os, signal\nopen({str(tmp_path / 'pids')!r}, 'w').write(f'{{os.getpid()}}')\nsignal.pause()\n"
    senders = ProcessSenders(**files, program=[sys.executable, "-c", code])
    offering = asyncio.ensure_future(offered(senders, sides, tmp_path))
    pid = int(await asyncio.to_thread((tmp_path / "pids").read_text))
    offering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await offering
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    await senders.close()


def test_ways(sides):
    mover = ProcessMover()
    far, here = sides.place(1), job(Path("/a"), Path("/b")).destination
    place = ObjectPlace(endpoint="", region="r", bucket="b", prefix="p/")
    for kind in (TREE, BLOCK):
        assert mover.reaches(kind, far, here) == mover.reaches(kind, far, place) == ""
        assert mover.reaches(kind, here, far) == f"nothing moves {kind.value} content from local_path to far_place"
    assert mover.reaches(VolumeKind.OBJECTS, far, place)
    assert "token" not in repr(far).replace("token=Secret(...)", "")
    assert isinstance(far, FarPlace)
