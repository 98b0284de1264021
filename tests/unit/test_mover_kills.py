"""A move that is killed between any two steps: files are the old ones or the new, and the next move does the rest."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from mover_scene import BLOCK, job, moved, picture, same

from gateway.mover.faults import FAULT_POINTS
from gateway.testing.faults import Recorder
from gateway.testing.forks import ForkServer

MIB = 1 << 20
LIMIT_S = 60


@pytest.fixture(scope="module")
def forks():
    with ForkServer(["mover_scene"], folders=[Path(__file__).parent]) as server:
        yield server


def furnish(source: Path, destination: Path) -> None:
    """Give each side something of all that there is, and the destination much that has to go or to change."""
    for root, word in ((source, b"new"), (destination, b"old")):
        for folder in ("same", "same/deeper", word.decode()):
            (root / folder).mkdir()
            for name in ("a", "b", word.decode()):
                (root / folder / name).write_bytes(word * 100)
        (root / "same/large").write_bytes(os.urandom(70_000) + word)
        (root / "same/link").symlink_to(word.decode())
        os.mkfifo(root / "fifo", 0o600 if word == b"new" else 0o644)
        (root / "further").hardlink_to(root / "same/a")
    (source / "turned").mkdir()
    (destination / "turned").write_bytes(b"file")


def visits(points: list[str]) -> list[tuple[str, int]]:
    """Choose passes: of each point the first, the last, and one between."""
    chosen = []
    for point in dict.fromkeys(points):
        count = points.count(point)
        chosen += [(point, which) for which in sorted({1, (count + 1) // 2, count})]
    return chosen


def killed(forks: ForkServer, document: str, point: str, count: int) -> None:
    process = forks.start("mover_scene:die", document, point, str(count), environment=os.environ, stdout=2, stderr=2)
    assert process.wait(LIMIT_S) == -signal.SIGKILL, point


def contents(root: Path) -> dict[str, object]:
    """Give what the files of a tree hold."""
    return {name: seen[2] for name, seen in picture(root).items() if seen[2] is not None}


def test_trees(tmp_path, forks):
    source, present, destination = (tmp_path / name for name in ("source", "present", "destination"))
    source.mkdir()
    present.mkdir()
    furnish(source, present)

    def fresh():
        shutil.rmtree(destination, ignore_errors=True)
        subprocess.run(["cp", "-a", present, destination], check=True)

    fresh()
    old, new = contents(destination), contents(source)
    recorder = Recorder()
    whole = moved(job(source, destination), fault=recorder)
    same(source, destination)
    assert {point for point in FAULT_POINTS if "block" not in point and "object" not in point} <= set(recorder.points)
    for point, count in visits(recorder.points):
        fresh()
        given = job(source, destination)
        killed(forks, msgspec.json.encode(given).decode(), point, count)
        for name, content in contents(destination).items():
            assert content in (old.get(name), new.get(name)) or ".gateway-move-" in name, (point, count, name)
        again = moved(given)
        assert again.bytes_transferred <= whole.bytes_transferred
        same(source, destination)
        assert moved(given).files == 0


def test_blocks(tmp_path, forks):
    source, destination = tmp_path / "source", tmp_path / "destination"
    source.write_bytes(b"".join(os.urandom(4096) + bytes(MIB) for _ in range(6)))
    given = job(source, destination, BLOCK)

    def fresh():
        destination.write_bytes(b"x" * source.stat().st_size)

    fresh()
    recorder = Recorder()
    whole = moved(given, fault=recorder)
    for point, count in visits(recorder.points):
        fresh()
        killed(forks, msgspec.json.encode(given).decode(), point, count)
        again = moved(given)
        assert destination.read_bytes() == source.read_bytes()
        if (point, count) != (recorder.points[0], 1):
            assert again.bytes_transferred < whole.bytes_transferred


@pytest.mark.root
def test_a_real_process_killed_as_it_goes(tmp_path):
    """By the signal that comes from outside, after so many bytes; what was moved is not moved again."""
    source, destination = tmp_path / "source", tmp_path / "destination"
    source.mkdir()
    destination.mkdir()
    for number in range(400):
        (source / f"f{number:03}").write_bytes(os.urandom(20_000))
    total, killings = 400 * 20_000, 0
    given = msgspec.structs.replace(job(source, destination), throttle=8 * total)
    while True:
        with subprocess.Popen(
            [sys.executable, "-m", "gateway.mover"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(msgspec.json.encode(given) + b"\n")
            process.stdin.flush()
            line = process.stdout.readline()
            process.kill()
        if b'"moved"' in line:
            break
        killings += 1
        if killings == 8:
            moved(given)
            break
    same(source, destination)
