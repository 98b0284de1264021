"""What a move costs when little has changed, against the first one of the same run; and the same between gateways."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from uuid import uuid4

from bench.results import Result, at_most, told
from bench.subjects import Sizes
from gateway.core.handles import LocalPath
from gateway.core.model import VolumeKind, utc_now
from gateway.core.mover import FarPlace, MoveJob, MoveProgress, Place
from gateway.mover.client import ProcessMover
from gateway.mover.sender import ProcessSenders
from gateway.server.certificate import BOTH_ENDS, write_self_signed

FILE_BYTES = 40_000
PAGE = 4096
MIB = 1 << 20
GOAL = 0.05


Source = Callable[[Path, VolumeKind], AbstractAsyncContextManager[Place]]
"""Gives where a mover finds something, for one move."""


async def mover(folder: Path, sizes: Sizes) -> list[Result]:
    """Move a tree and a raw file, change a hundredth, and move again: on this host, and from another gateway."""
    tree = folder / "tree"
    tree.mkdir()
    for number in range(sizes.moved_files):
        if number % 100 == 0:
            (tree / str(number // 100)).mkdir()
        _file(tree, number).write_bytes(os.urandom(FILE_BYTES))
    device = folder / "device"
    with device.open("wb") as file:
        for _ in range(sizes.moved_mib):
            file.write(os.urandom(MIB))
    return [
        *await _both(folder, sizes, _here, ""),
        *await _both(folder, sizes, _Afar(folder).source, " from afar"),
    ]


async def _both(folder: Path, sizes: Sizes, source: Source, where: str) -> list[Result]:
    tree, device = folder / "tree", folder / "device"
    tree_copy, device_copy = (folder / f"{name}-copy{where}" for name in ("tree", "device"))
    tree_copy.mkdir()
    with device_copy.open("wb") as file:
        file.truncate(sizes.moved_mib * MIB)
    to_tree, to_device = _Moves(source, tree, tree_copy), _Moves(source, device, device_copy)
    return [
        *await _measured(f"tree{where}", VolumeKind.FILESYSTEM, to_tree, lambda: _change_tree(tree, sizes)),
        *await _measured(f"device{where}", VolumeKind.BLOCK, to_device, lambda: _change_device(device, sizes)),
    ]


@asynccontextmanager
async def _here(path: Path, _kind: VolumeKind) -> AsyncIterator[Place]:
    yield LocalPath(path=str(path))


class _Afar:
    """Another gateway, over loopback, that has the same certificate."""

    def __init__(self, folder: Path) -> None:
        self._certificate, self._key = folder / "certificate.pem", folder / "key.pem"
        write_self_signed(
            certificate=self._certificate,
            key=self._key,
            names=("bench",),
            now=utc_now(),
            overwrite=True,
            purposes=BOTH_ENDS,
        )

    @asynccontextmanager
    async def source(self, path: Path, kind: VolumeKind) -> AsyncIterator[Place]:
        """See `Source`."""
        files = {"certificate": str(self._certificate), "key": str(self._key)}
        pem = self._certificate.read_text(encoding="utf-8")
        senders = ProcessSenders(**files)
        try:
            offer = await senders.offer(kind=kind, path=str(path), listen_host="127.0.0.1", peer_certificate=pem)
            yield FarPlace(address=offer.address, port=offer.port, token=offer.token, peer_certificate=pem, **files)
        finally:
            await senders.close()


class _Moves:
    """Moves from a place to a copy."""

    def __init__(self, source: Source, path: Path, copy: Path) -> None:
        self._source = source
        self._path = path
        self._copy = copy

    async def timed(self, kind: VolumeKind) -> tuple[MoveProgress, float]:
        """Move, and give how long that took."""
        moving = ProcessMover()
        try:
            async with self._source(self._path, kind) as place:
                copy = LocalPath(path=str(self._copy))
                job = MoveJob(id=uuid4(), kind=kind, source=place, destination=copy, size=0)
                start = time.perf_counter()
                return await moving.move(job, progress=lambda _so_far: None), time.perf_counter() - start
        finally:
            await moving.close()


async def _measured(what: str, kind: VolumeKind, moves: _Moves, change: Callable[[], None]) -> list[Result]:
    first, first_s = await moves.timed(kind)
    change()
    then, then_s = await moves.timed(kind)
    share = then.bytes_transferred / first.bytes_transferred
    speed = first.bytes_transferred / first_s / MIB
    lines = [
        told(f"the first move of a {what}", f"{speed:.0f} MiB/s", f"{first.bytes_transferred / MIB:.0f} MiB"),
        at_most(f"1 % of a {what} changed: bytes", share, GOAL, digits=3),
    ]
    name, detail = f"1 % of a {what} changed: time", f"{then_s:.2f} s"
    if kind is VolumeKind.FILESYSTEM:
        return [*lines, at_most(name, then_s / first_s, GOAL, digits=3, detail=detail)]
    # Nobody says which blocks changed, so that all of both sides is read.
    return [*lines, told(name, f"{then_s / first_s:.3f}", detail)]


def _file(tree: Path, number: int) -> Path:
    return tree / str(number // 100) / str(number)


def _change_tree(tree: Path, sizes: Sizes) -> None:
    for number in range(0, sizes.moved_files, 100):
        _file(tree, number).write_bytes(os.urandom(FILE_BYTES))


def _change_device(device: Path, sizes: Sizes) -> None:
    """One page of every hundred: as bad as it can be for whoever compares larger units."""
    with device.open("r+b") as file:
        for page in range(0, sizes.moved_mib * MIB // PAGE, 100):
            file.seek(page * PAGE)
            file.write(os.urandom(PAGE))
