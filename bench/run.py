"""Which parts there are, and what they need."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path

import msgspec
import uvloop

from bench.changes import changes, creators
from bench.fill import prepare
from bench.process import lag, memory, start
from bench.reads import reads
from bench.results import Result, table
from bench.subjects import MEMORY_POOL, Sizes
from gateway.testing.live import LiveGateway


class Scene(msgspec.Struct, frozen=True):
    """What the parts work with. `many` and `few` are gateways that do not run, with filled catalogs."""

    folder: Path
    many: LiveGateway
    few: LiveGateway
    sizes: Sizes


PARTS: Mapping[str, Callable[[Scene], Coroutine[None, None, list[Result]]]] = {
    "reads": lambda scene: reads(scene.folder, scene.many, scene.few, scene.sizes),
    "changes": lambda scene: changes(scene.folder, scene.sizes),
    "creators": lambda scene: creators(scene.folder, scene.sizes),
    "start": lambda scene: start(scene.many, scene.sizes),
    "memory": lambda scene: memory(scene.many, scene.sizes),
    "lag": lambda scene: lag(scene.many, scene.sizes),
}


def run(parts: Sequence[str], folder: Path, catalogs: Path, sizes: Sizes) -> list[Result]:
    """Run the parts in their order."""
    many = _filled(catalogs / f"gateway-{sizes.volumes}", sizes.volumes)
    few = _filled(catalogs / f"gateway-{sizes.few}", sizes.few)
    scene = Scene(folder, many, few, sizes)
    found: list[Result] = []
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        for name, part in PARTS.items():
            if name in parts:
                _tell(f"{name} ...")
                lines = runner.run(part(scene))
                _tell(table(lines))
                found += lines
    return found


def _filled(folder: Path, volumes: int) -> LiveGateway:
    gateway = LiveGateway(folder, pools=MEMORY_POOL, faults=False)
    if not gateway.data.exists():
        _tell(f"a catalog of {volumes} volumes ...")
        prepare(gateway, volumes)
    return gateway


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
