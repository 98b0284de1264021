"""From another gateway into an object store: what is there afterwards is what a move on this host makes."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from far_scene import Cable, Sides, from_afar, served
from hypothesis import given, settings
from hypothesis import strategies as st
from mover_scene import BLOCK, MEMORY, TREE, moved, same
from test_mover_blocks import image
from test_mover_objects import NAMES, at, down, furnish, objects, up

from gateway.core.handles import LocalPath
from gateway.core.model import VolumeKind
from gateway.core.mover import MoveProgress
from gateway.mover.far.asking import reached
from gateway.mover.far.keyed import far_walk
from gateway.mover.upload import walk

pytestmark = pytest.mark.root
__all__ = ["at"]

MIB = 1 << 20


@pytest.fixture(scope="module")
def sides() -> Iterator[Sides]:
    with tempfile.TemporaryDirectory() as folder:
        yield Sides(Path(folder))


def sent_up(sides: Sides, at, source: Path, kind: VolumeKind = TREE) -> tuple[MoveProgress, int]:
    """Move, and give what it came to, and how much went over the line."""
    with served(sides.offer(source, kind)) as port, Cable(port, 1 << 60) as cable:
        given = msgspec.structs.replace(from_afar(sides.place(cable.port), source, kind), destination=at.place)
        done = moved(given)
    return done, cable.passed


def test_a_tree(sides, at):
    furnish(at.source)
    sent_up(sides, at, at.source)
    there = objects(at)
    moved(down(at))
    same(at.source, at.back)
    assert moved(up(at)) == MoveProgress(), "a move on this host finds something else to do"
    assert objects(at) == there
    (at.source / "a.b").write_bytes(b"other")
    (at.source / "a0").unlink()
    os.utime(at.source / "large", (1, 2))
    done, line = sent_up(sides, at, at.source)
    assert done.files == 1
    assert line < 64 * 1024, "what has another time only is not fetched"
    moved(down(at))
    same(at.source, at.back)


def test_blocks(sides, at):
    size = 4 << 30
    parts = [(number * MIB, os.urandom(MIB)) for number in (0, 1, 5, 70, 3000)]
    source = image(at.source / "device", size, *parts, (size - 5000, b"end" * 1000))
    done, _ = sent_up(sides, at, source, BLOCK)
    assert done.bytes_transferred < 7 * MIB
    assert len(objects(at)) == 6
    with source.open("r+b") as file:
        file.seek(70 * MIB + 5)
        file.write(b"x")
        file.seek(0)
        file.write(bytes(MIB))
    _, line = sent_up(sides, at, source, BLOCK)
    assert line < MIB + 64 * 1024
    back = image(at.back / "device", size)
    moved(msgspec.structs.replace(down(at, BLOCK), destination=LocalPath(path=str(back))))
    for start in (0, 1, 5, 70, 3000, size // MIB - 1):
        with source.open("rb") as wanted, back.open("rb") as found:
            for file in (wanted, found):
                file.seek(start * MIB)
            assert found.read(MIB) == wanted.read(MIB), start
    here = msgspec.structs.replace(up(at, BLOCK), source=LocalPath(path=str(source)))
    assert moved(here) == MoveProgress(), "a move on this host finds something else to do"


@settings(max_examples=10)
@given(st.lists(st.lists(NAMES, min_size=1, max_size=4), max_size=8))
def test_the_walk_is_the_one_on_this_host(sides, paths):
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        for names in paths:
            path = Path(folder, *names)
            if not path.exists() and not any(above.is_file() for above in path.parents):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(b"x")
        root = os.open(folder, os.O_RDONLY)
        try:
            wanted = [found.entry for found in walk(root)]
        finally:
            os.close(root)
        with served(sides.offer(Path(folder), TREE)) as port, reached(sides.place(port), TREE) as asking:
            assert [found.entry for found in far_walk(asking)] == wanted
