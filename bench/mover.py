"""What a move costs when little has changed, against the first one of the same run."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

from bench.results import Result, at_most, told
from bench.subjects import Sizes
from gateway.core.handles import LocalPath
from gateway.core.model import VolumeKind
from gateway.core.mover import MoveJob, MoveProgress
from gateway.mover.client import ProcessMover

FILE_BYTES = 40_000
PAGE = 4096
MIB = 1 << 20
GOAL = 0.05


async def mover(folder: Path, sizes: Sizes) -> list[Result]:
    """Move a tree and a raw file, change a hundredth, and move again."""
    tree = folder / "tree"
    tree.mkdir()
    for number in range(sizes.moved_files):
        if number % 100 == 0:
            (tree / str(number // 100)).mkdir()
        _file(tree, number).write_bytes(os.urandom(FILE_BYTES))
    (folder / "tree-copy").mkdir()
    device = folder / "device"
    with device.open("wb") as file:
        for _ in range(sizes.moved_mib):
            file.write(os.urandom(MIB))
    with (folder / "device-copy").open("wb") as file:
        file.truncate(sizes.moved_mib * MIB)
    return [
        *await _measured("tree", VolumeKind.FILESYSTEM, tree, lambda: _change_tree(tree, sizes)),
        *await _measured("device", VolumeKind.BLOCK, device, lambda: _change_device(device, sizes)),
    ]


async def _measured(what: str, kind: VolumeKind, source: Path, change: Callable[[], None]) -> list[Result]:
    moving = ProcessMover()
    job = MoveJob(
        id=uuid4(),
        kind=kind,
        source=LocalPath(path=str(source)),
        destination=LocalPath(path=f"{source}-copy"),
        size=0,
    )

    async def timed() -> tuple[MoveProgress, float]:
        start = time.perf_counter()
        return await moving.move(job, progress=lambda _so_far: None), time.perf_counter() - start

    try:
        first, first_s = await timed()
        change()
        then, then_s = await timed()
    finally:
        await moving.close()
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
