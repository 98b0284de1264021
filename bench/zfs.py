"""`make bench-zfs`: what the ZFS backend costs, against the bare `zfs` command in the same machine.

Only the ratios mean anything: the machine is a virtual one, most often
emulated. Makes its pool on the empty disk POOL_DISK.
"""

from __future__ import annotations

import asyncio
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from typing import ParamSpec
from uuid import UUID, uuid4

from gateway.backends.zfs import ZfsBackend, ZfsOptions
from gateway.backends.zfs.commands import Commands
from gateway.core.backend import GroupMember, Note, VolumeSpec
from gateway.core.model import VolumeKind
from gateway.core.runner import Circuit, SystemRunner

P = ParamSpec("P")
ROUNDS = 10
MIB = 1024**2
NOTE = Note(name="volume", tenant="tenant", document=b'{"name": "volume", "comment": "as long as they are"}' * 12)


def spec() -> VolumeSpec:
    return VolumeSpec(id=uuid4(), kind=VolumeKind.FILESYSTEM, size=16 * MIB, note=NOTE)


def command(*arguments: str) -> None:
    subprocess.run(arguments, check=True, stdout=subprocess.DEVNULL)


class Line:
    """The times of one way to do something."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def timed(self, act: Callable[P, Awaitable[object]], *args: P.args, **kwargs: P.kwargs) -> None:
        start = time.perf_counter()
        await act(*args, **kwargs)
        self.seconds.append(time.perf_counter() - start)

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


async def bare(*arguments: str) -> None:
    command(*arguments)


async def changes(backends: dict[str, ZfsBackend]) -> None:
    """Create, snapshot and clone in turns, so that whatever else goes on meets all alike."""
    lines = {(what, how): Line() for what in ("create", "snapshot", "clone") for how in ("zfs", *backends)}
    for number in range(ROUNDS):
        name = f"tank/bare/{number}"
        user = f"a:b={'x' * 900}"
        words = ("-o", "canmount=noauto", "-o", "refquota=16M", "-o", user)
        await lines["create", "zfs"].timed(bare, "zfs", "create", "-u", *words, name)
        await lines["snapshot", "zfs"].timed(bare, "zfs", "snapshot", "-o", user, f"{name}@s")
        await lines["clone", "zfs"].timed(bare, "zfs", "clone", *words, f"{name}@s", f"{name}c")
        for how, backend in backends.items():
            one, snapshot = spec(), uuid4()
            await lines["create", how].timed(backend.create, one)
            await lines["snapshot", how].timed(backend.snapshot, one.id, snapshot, NOTE)
            await lines["clone", how].timed(backend.clone, one.id, snapshot, spec())
    for (what, how), line in lines.items():
        show(f"{what} by {how}", line.median, line.median / lines[what, "zfs"].median)


async def groups(backend: ZfsBackend, volumes: list[UUID]) -> None:
    one, group = Line(), Line()
    for _ in range(3):
        await one.timed(backend.snapshot, volumes[0], uuid4(), NOTE)
        members = [GroupMember(volume=v, snapshot=uuid4(), note=NOTE) for v in volumes[:100]]
        commands = Commands(Circuit(SystemRunner(), what="bench"), timeout_s=600)
        names = [f"tank/cli/{v}@raw-{uuid4()}" for v in volumes[:100]]
        start = time.perf_counter()
        commands.snapshot(names, {"a:b": "x"})
        raw = time.perf_counter() - start
        await group.timed(backend.snapshot_group, members)
    show("snapshot of 100 volumes", group.median, group.median / raw)
    show("snapshot of 1 volume", one.median, one.median / raw)


async def scans(backend: ZfsBackend, count: int) -> list[UUID]:
    """Scan many datasets: our own processor time, without that of the program."""
    volumes = [spec() for _ in range(count)]
    for start in range(0, count, 100):
        await asyncio.gather(*(backend.create(one) for one in volumes[start : start + 100]))
    used = resource.getrusage(resource.RUSAGE_SELF)
    begun = time.perf_counter()
    seen = [one async for one in backend.scan()]
    wall = time.perf_counter() - begun
    now = resource.getrusage(resource.RUSAGE_SELF)
    ours = now.ru_utime - used.ru_utime + now.ru_stime - used.ru_stime
    show(f"scan of {len(seen)} volumes, our own CPU (all: {wall:.1f} s)", ours, ours / wall)
    return [one.id for one in volumes]


def reference() -> None:
    """How much slower this machine is than others: a loop that does nothing but count."""
    start = time.process_time()
    for _ in range(10_000_000):
        pass
    show("ten million turns of a loop", time.process_time() - start, 1)


def show(what: str, seconds: float, ratio: float) -> None:
    print(f"{what:60s} {seconds * 1000:10.0f} ms {ratio:8.2f}", flush=True)


async def main(count: int) -> None:
    command("zpool", "create", "tank", os.environ["POOL_DISK"])
    command("zfs", "create", "tank/bare")
    backends = {
        how: ZfsBackend(how, ZfsOptions(pool="tank", parent=how, engine=how, timeout_s=600))  # type: ignore[arg-type]
        for how in ("cli", "lzc")
    }
    for backend in backends.values():
        await backend.open()
    reference()
    await changes(backends)
    volumes = await scans(backends["cli"], count)
    await groups(backends["cli"], volumes)
    for backend in backends.values():
        await backend.close()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000))
