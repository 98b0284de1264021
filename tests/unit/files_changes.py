"""Every change of a pool of files, each with what it needs to be there, for the tests that cut it short."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from uuid import UUID

import pytest
from btrfs_scene import Died, note
from files_scene import BLOCK, SIZE, Scene, spec

from gateway.core.model import RootDirectory

TREE_VOLUME, BLOCK_VOLUME, OTHER, EMPTY = (UUID(int=number, version=4) for number in range(1, 5))
FIRST, NEXT = (UUID(int=number, version=4) for number in range(11, 13))
TOKEN = UUID(int=21, version=4)
ROOT = RootDirectory(mode=0o2770, uid=7, gid=8)

Act = Callable[[Scene], Awaitable[object]]
Change = tuple[str, Act, Act]


async def nothing(_scene: Scene) -> None:
    """Prepare nothing more."""


async def half_restored(at: Scene) -> None:
    at.faults.armed = "directory.restore.durable"
    with pytest.raises(Died):
        await at.backend.restore(BLOCK_VOLUME, FIRST, TOKEN)


TREES: Mapping[str, Change] = {
    "create": ("create", nothing, lambda at: at.backend.create(spec(OTHER, root=ROOT))),
    "delete": ("delete", nothing, lambda at: at.backend.delete(TREE_VOLUME)),
    "annotate": ("annotate", nothing, lambda at: at.backend.annotate(TREE_VOLUME, note("changed"))),
    "resize": ("resize", nothing, lambda at: at.backend.resize(TREE_VOLUME, 3 * SIZE)),
    "set_root": ("set_root", nothing, lambda at: at.backend.set_root(TREE_VOLUME, ROOT)),
    "put_manifest": ("put_manifest", nothing, lambda at: at.backend.put_manifest(b"new")),
}
"""The changes of directories."""

IMAGES: Mapping[str, Change] = {
    "create thick": ("create", nothing, lambda at: at.backend.create(spec(OTHER, kind=BLOCK, thick=True))),
    "delete block": ("delete", nothing, lambda at: at.backend.delete(BLOCK_VOLUME)),
    "annotate block": ("annotate", nothing, lambda at: at.backend.annotate(BLOCK_VOLUME, note("changed"))),
    "resize block": ("resize", nothing, lambda at: at.backend.resize(BLOCK_VOLUME, 3 * SIZE)),
    "convert": (
        "convert",
        lambda at: at.backend.create(spec(EMPTY)),
        lambda at: at.backend.convert(spec(EMPTY, kind=BLOCK, size=2 * SIZE)),
    ),
}
"""The changes of raw files that every file system can make."""

COPIES: Mapping[str, Change] = {
    "snapshot": ("snapshot", nothing, lambda at: at.backend.snapshot(BLOCK_VOLUME, NEXT, note("next"))),
    "delete_snapshot": ("delete_snapshot", nothing, lambda at: at.backend.delete_snapshot(BLOCK_VOLUME, FIRST)),
    "annotate_snapshot": (
        "annotate_snapshot",
        nothing,
        lambda at: at.backend.annotate_snapshot(BLOCK_VOLUME, FIRST, note("changed")),
    ),
    "clone of a snapshot": (
        "clone",
        nothing,
        lambda at: at.backend.clone(BLOCK_VOLUME, FIRST, spec(OTHER, kind=BLOCK, size=2 * SIZE)),
    ),
    "clone of a volume": (
        "clone",
        nothing,
        lambda at: at.backend.clone(BLOCK_VOLUME, None, spec(OTHER, kind=BLOCK, thick=True)),
    ),
    "split": (
        "split",
        lambda at: at.backend.clone(BLOCK_VOLUME, FIRST, spec(OTHER, kind=BLOCK)),
        lambda at: at.backend.split(OTHER),
    ),
    "restore": ("restore", nothing, lambda at: at.backend.restore(BLOCK_VOLUME, FIRST, TOKEN)),
    "settle_restore": ("settle_restore", half_restored, lambda at: at.backend.settle_restore(BLOCK_VOLUME, TOKEN)),
}
"""The changes that need reflink."""

CHANGES = {**TREES, **IMAGES, **COPIES}

SERVED: Mapping[str, Change] = {
    **TREES,
    "create block": ("create", nothing, lambda at: at.backend.create(spec(OTHER, kind=BLOCK))),
    "resize block": IMAGES["resize block"],
    "convert": IMAGES["convert"],
}
"""The changes of directories and raw files that a file server without reflink can make, each once."""


async def prepared(at: Scene, prepare: Act) -> dict[str, object]:
    """Make a tree and a block volume, where there is reflink with a snapshot and newer bytes; give the picture."""
    await at.backend.put_manifest(b"old")
    await at.backend.create(spec(TREE_VOLUME))
    (at.place(TREE_VOLUME) / "a").write_bytes(b"alpha")
    await at.backend.create(spec(BLOCK_VOLUME, kind=BLOCK))
    at.write(BLOCK_VOLUME, b"first")
    if at.backend.describe().kinds[BLOCK].split:
        await at.backend.snapshot(BLOCK_VOLUME, FIRST, note("taken"))
        at.write(BLOCK_VOLUME, b"newest")
    await prepare(at)
    before = await at.picture()
    await at.backend.session.idle()
    at.faults.points.clear()
    return before


def without(picture: dict[str, object], volume: UUID) -> dict[str, object]:
    """Give a picture in which a volume is not."""
    return {key: value for key, value in picture.items() if key != f"volume {volume}"}
