"""Which parts there are, and what they need."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path

import msgspec
import uvloop

from bench.changes import changes, creators
from bench.cinder import cinder
from bench.fill import prepare
from bench.libstorage import libstorage
from bench.mover import mover
from bench.objects import objects
from bench.process import lag, memory, start
from bench.queries import queries
from bench.reads import reads
from bench.results import Result, table
from bench.sdk import ANNOTATIONS, DOOR, sdk
from bench.subjects import MEMORY_POOL, Sizes
from bench.transfers import transfers
from gateway.testing.live import LiveGateway


class Scene(msgspec.Struct, frozen=True):
    """What the parts work with. The gateways do not run; their catalogs are filled when a part first asks for them."""

    folder: Path
    catalogs: Path
    sizes: Sizes

    @property
    def many(self) -> LiveGateway:
        """Give a gateway with many volumes."""
        return _filled(self.catalogs, self.sizes.volumes)

    @property
    def few(self) -> LiveGateway:
        """Give a gateway with few."""
        return _filled(self.catalogs, self.sizes.few)

    @property
    def medium(self) -> LiveGateway:
        """Give a gateway with some."""
        return _filled(self.catalogs, self.sizes.medium)


PARTS: Mapping[str, Callable[[Scene], Coroutine[None, None, list[Result]]]] = {
    "reads": lambda scene: reads(scene.folder, scene.many, scene.few, scene.sizes),
    "queries": lambda scene: queries(scene.folder, scene.many, scene.medium, scene.sizes),
    "changes": lambda scene: changes(scene.folder, scene.sizes),
    "creators": lambda scene: creators(scene.folder, scene.sizes),
    "start": lambda scene: start(scene.many, scene.sizes),
    "memory": lambda scene: memory(scene.many, scene.sizes),
    "lag": lambda scene: lag(scene.many, scene.sizes),
    "sdk": lambda scene: sdk(
        scene.folder,
        _labelled(scene.catalogs, scene.sizes.sdk_volumes),
        _labelled(scene.catalogs, scene.sizes.few),
        scene.sizes,
    ),
    "libstorage": lambda scene: libstorage(scene.folder, scene.sizes),
    "mover": lambda scene: mover(scene.folder, scene.sizes),
    "transfers": lambda scene: transfers(scene.folder, scene.sizes),
    "objects": lambda scene: objects(scene.folder, scene.sizes),
    "cinder": lambda scene: cinder(scene.folder, scene.sizes),
}


def run(parts: Sequence[str], folder: Path, catalogs: Path, sizes: Sizes) -> list[Result]:
    """Run the parts in their order."""
    scene = Scene(folder, catalogs, sizes)
    found: list[Result] = []
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        for name, part in PARTS.items():
            if name in parts:
                _tell(f"{name} ...")
                lines = runner.run(part(scene))
                _tell(table(lines))
                found += lines
    return found


def _filled(catalogs: Path, volumes: int) -> LiveGateway:
    gateway = LiveGateway(catalogs / f"gateway-{volumes}", pools=MEMORY_POOL, faults=False)
    if not gateway.data.exists():
        _tell(f"a catalog of {volumes} volumes ...")
        prepare(gateway, volumes)
    return gateway


def _labelled(catalogs: Path, volumes: int) -> LiveGateway:
    gateway = LiveGateway(catalogs / f"sdk-{volumes}", pools=MEMORY_POOL, extra=DOOR, faults=False)
    if not gateway.data.exists():
        _tell(f"a catalog of {volumes} volumes of the SDK ...")
        prepare(gateway, volumes, annotations=ANNOTATIONS)
    return gateway


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
