"""Trees and blocks at another gateway: they arrive as they are, only what differs comes over, whatever breaks."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from far_scene import LIMIT_S, Cable, Sides, broken, from_afar, sending, served
from hypothesis import given, settings
from mover_scene import BLOCK, MEMORY, TREE, job, loop_device, moved, picture, same
from test_mover_blocks import RUNS, cut, image
from test_mover_kills import killed
from test_mover_trees import ACL, ROOTS, below, build, mark_anew

from gateway.core.errors import Internal, LimitExceeded, OutOfSpace, Unavailable
from gateway.core.model import VolumeKind
from gateway.core.mover import MoveProgress
from gateway.mover.wire import Failed, Sent, encode_job
from gateway.testing.faults import RaiseAt, Recorder
from gateway.testing.forks import ForkServer

MIB = 1 << 20
PAGE = 4096
EVER = 1 << 60


@pytest.fixture(scope="module")
def sides() -> Iterator[Sides]:
    with tempfile.TemporaryDirectory() as folder:
        yield Sides(Path(folder))


@pytest.fixture(scope="module")
def forks():
    with ForkServer(["mover_scene"], folders=[Path(__file__).parent]) as server:
        yield server


@pytest.fixture
def ends(tmp_path):
    found = SimpleNamespace(source=tmp_path / "source", destination=tmp_path / "destination")
    found.source.mkdir()
    found.destination.mkdir()
    return found


def fetched(sides: Sides, source: Path, destination: Path, kind: VolumeKind = TREE, **options: object) -> MoveProgress:
    with served(sides.offer(source, kind)) as port:
        return moved(from_afar(sides.place(port), destination, kind, **options))


@settings(max_examples=15)
@given(before=ROOTS, first=ROOTS, then=ROOTS)
def test_any_tree_becomes_any_other(sides, before, first, then):
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        destination, *sources = (Path(folder, name) for name in ("destination", "first", "then"))
        for path, tree in zip((destination, *sources), (before, first, then), strict=True):
            path.mkdir()
            build(path, tree, [])
        for source in sources:
            fetched(sides, source, destination)
            same(source, destination)
        again = fetched(sides, source, destination, full=True)
        assert (again.bytes_transferred, again.files) == (0, 0)


@settings(max_examples=15)
@given(size=RUNS.map(lambda runs: 1 + sum(run[1] for run in runs) * 97), wanted=RUNS, present=RUNS)
def test_any_blocks_become_any_other(sides, size, wanted, present):
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        source = image(Path(folder, "source"), size, *cut(size, wanted))
        near, far = (image(Path(folder, name), size + 5000, *cut(size + 5000, present)) for name in ("near", "far"))
        assert fetched(sides, source, far, BLOCK) == moved(job(source, near, BLOCK))
        assert far.read_bytes() == near.read_bytes() == source.read_bytes() + bytes(5000)
        assert fetched(sides, source, far, BLOCK).bytes_transferred == 0


@pytest.mark.root
def test_everything_that_is_kept_beside_content_comes_along(sides, ends):
    odd = "odd \udcfe\n name"
    for name in ("file", "folder", odd):
        (ends.source / name).mkdir() if name == "folder" else (ends.source / name).write_bytes(b"data")
        os.setxattr(ends.source / name, "trusted.mark", b"1")
        os.setxattr(ends.source / name, "system.posix_acl_access", ACL)
    os.mknod(ends.source / "device", stat.S_IFBLK | 0o640, os.makedev(7, 3))
    os.mknod(ends.source / "socket", stat.S_IFSOCK | 0o4711)
    (ends.source / "link").symlink_to("no\udcffwhere")
    os.setxattr(ends.source / "link", "trusted.of", b"link", follow_symlinks=False)
    (ends.source / "folder/again").hardlink_to(ends.source / "file")
    os.chown(ends.source / "file", 1234, 567)
    (ends.source / "file").chmod(0o6755)
    os.utime(ends.source / "file", ns=(5, -(10**18)))
    os.utime(ends.source / "folder", (1 << 33, 1 << 33))
    fetched(sides, ends.source, ends.destination)
    same(ends.source, ends.destination)
    mark_anew(ends.source / "file", ends.destination / "file", b"2")
    mark_anew(ends.source / odd, ends.destination / odd, None)
    (ends.source / "folder/again").unlink()
    assert fetched(sides, ends.source, ends.destination).bytes_transferred == 0
    same(ends.source, ends.destination)


def test_a_hundredth_that_changed_costs_a_twentieth_of_the_line(sides, ends):
    """Also where files have lost their mark, because somebody read them, and must be compared."""
    for number in range(300):
        (ends.source / f"f{number}").write_bytes(os.urandom(20_000))
    (ends.source / "large").write_bytes(os.urandom(6 * MIB))
    first = measured(sides, ends.source, ends.destination)
    for number in range(0, 300, 100):
        (ends.source / f"f{number}").write_bytes(os.urandom(20_000))
    change_pages(ends.source / "large", 6 * MIB)
    assert measured(sides, ends.source, ends.destination) < first / 20
    same(ends.source, ends.destination)
    for path in ends.destination.iterdir():
        os.utime(path, ns=(5, path.stat().st_mtime_ns))
    assert measured(sides, ends.source, ends.destination) < first / 20
    same(ends.source, ends.destination)


def test_a_hundredth_of_blocks_that_changed_costs_a_twentieth_of_the_line(sides, tmp_path):
    source, destination = image(tmp_path / "a", 16 * MIB), image(tmp_path / "b", 16 * MIB)
    source.write_bytes(os.urandom(16 * MIB))
    first = measured(sides, source, destination, BLOCK)
    change_pages(source, 16 * MIB)
    assert measured(sides, source, destination, BLOCK) < first / 20
    assert destination.read_bytes() == source.read_bytes()
    assert measured(sides, source, destination, BLOCK) < 16 * 1024


def measured(sides: Sides, source: Path, destination: Path, kind: VolumeKind = TREE) -> int:
    """Give the bytes that went over, both ways, and whatever they were for."""
    with served(sides.offer(source, kind)) as port, Cable(port, EVER) as cable:
        moved(from_afar(sides.place(cable.port), destination, kind))
    return cable.passed


def change_pages(path: Path, size: int) -> None:
    with path.open("r+b") as file:
        for page in range(0, size // PAGE, 100):
            file.seek(page * PAGE)
            file.write(os.urandom(PAGE))


def test_holes_are_not_asked_for(sides, tmp_path):
    parts = [(start, os.urandom(5000)) for start in (0, 3 << 30, (1 << 40) - 5000)]
    source, destination = image(tmp_path / "a", 1 << 40, *parts), image(tmp_path / "b", 1 << 40)
    assert fetched(sides, source, destination, BLOCK).bytes_transferred <= 7 * PAGE
    with destination.open("rb") as file:
        for start, data in parts:
            file.seek(start)
            assert file.read(5000) == data
    assert destination.stat().st_blocks * 512 < MIB


def test_trees_deeper_than_any_path(sides, ends):
    with below(ends.source, "d" * 100, 60):
        Path("bottom").write_bytes(b"bottom")
    assert fetched(sides, ends.source, ends.destination).bytes_transferred == 6
    with below(ends.destination, "d" * 100, 60):
        assert Path("bottom").read_bytes() == b"bottom"


def test_many_names(sides, ends):
    """More than one page of them, in one directory and in many."""
    for folder in range(20):
        (ends.source / f"{folder}").mkdir()
        for number in range(40):
            (ends.source / f"{folder}/{number:0200}").write_bytes(b"%d" % number)
            (ends.source / f"{folder:0120}-{number:0120}").touch()
    assert fetched(sides, ends.source, ends.destination).files == 1600
    same(ends.source, ends.destination)
    assert fetched(sides, ends.source, ends.destination).files == 0


def test_a_smaller_destination_is_refused(sides, tmp_path):
    source, destination = image(tmp_path / "a", 2 * MIB), image(tmp_path / "b", MIB)
    with pytest.raises(LimitExceeded):
        fetched(sides, source, destination, BLOCK)


@pytest.mark.root
def test_devices(sides, tmp_path):
    source, destination = image(tmp_path / "a", 16 * MIB, (MIB, os.urandom(MIB))), image(tmp_path / "b", 16 * MIB)
    with loop_device(source) as original, loop_device(destination) as copy:
        assert fetched(sides, original, copy, BLOCK).bytes_transferred == MIB
        assert copy.read_bytes() == original.read_bytes()


def test_what_has_to_go_makes_room(sides, ends):
    """The tree is listed again, from the beginning, while answers are still to come."""
    furnish(ends)
    (ends.source / "new/not/there").mkdir(parents=True)
    (ends.destination / "two/deeper").mkdir()
    full = RaiseAt("mover.file.begun", OutOfSpace(pool="destination"), 2)
    with served(sides.offer(ends.source, TREE)) as port:
        moved(from_afar(sides.place(port), ends.destination), fault=full)
    same(ends.source, ends.destination)


# --- what breaks ---


def furnish(ends: SimpleNamespace) -> None:
    for root, word in ((ends.source, b"new"), (ends.destination, b"old")):
        for folder in ("one", "two", word.decode()):
            (root / folder).mkdir()
            for name in ("a", "b", word.decode()):
                (root / folder / name).write_bytes(word * 10_000)
        (root / "large").write_bytes(os.urandom(3 * MIB) + word)
        (root / "further").hardlink_to(root / "one/a")


def test_a_line_that_breaks_anywhere(sides, ends, tmp_path):
    """The move fails, every file is the old one or the new, and the next move does the rest."""
    furnish(ends)
    old, new = contents(ends.destination), contents(ends.source)
    whole = measured(sides, ends.source, shutil.copytree(ends.destination, tmp_path / "whole"))
    for tenth in range(1, 10):
        destination = shutil.copytree(ends.destination, tmp_path / f"cut{tenth}")
        with broken(sides.offer(ends.source, TREE)) as port, Cable(port, whole * tenth // 10) as cable:
            with pytest.raises(Unavailable) as raised:
                moved(from_afar(sides.place(cable.port), destination))
            assert raised.value.what == "source"
        for name, content in contents(destination).items():
            assert content in (old.get(name), new.get(name)), (tenth, name)
        fetched(sides, ends.source, destination)
        same(ends.source, destination)


def test_a_mover_that_is_killed(sides, ends, tmp_path, forks):
    """At each of its steps, with answers under way; the next one does the rest."""
    furnish(ends)
    recorder = Recorder()
    with served(sides.offer(ends.source, TREE)) as port:
        moved(
            from_afar(sides.place(port), shutil.copytree(ends.destination, tmp_path / "whole", symlinks=True)),
            fault=recorder,
        )
    for point in dict.fromkeys(recorder.points):
        destination = shutil.copytree(ends.destination, tmp_path / point)
        with broken(sides.offer(ends.source, TREE)) as port:
            document = encode_job(from_afar(sides.place(port), destination)).decode()
            count = (recorder.points.count(point) + 1) // 2
            killed(forks, document, point, count)
        fetched(sides, ends.source, destination)
        same(ends.source, destination)


def contents(root: Path) -> dict[str, object]:
    return {name: seen[2] for name, seen in picture(root).items() if seen[2] is not None}


def test_a_sender_that_is_killed(sides, ends):
    furnish(ends)
    with sending(sides.offer(ends.source, TREE)) as sender:

        def kill(point: str) -> None:
            if point == "mover.file.placed":
                sender.process.kill()
                sender.process.wait(LIMIT_S)

        with pytest.raises(Unavailable, match="broke"):
            moved(from_afar(sides.place(sender.port), ends.destination), fault=kill)
    fetched(sides, ends.source, ends.destination)
    same(ends.source, ends.destination)


def test_a_mover_that_ends_in_the_middle_ends_the_sender(sides, ends):
    furnish(ends)
    with sending(sides.offer(ends.source, TREE)) as sender:
        with pytest.raises(Internal):
            moved(
                from_afar(sides.place(sender.port), ends.destination),
                fault=RaiseAt("mover.file.placed", Internal(incident="i"), 3),
            )
        assert isinstance(sender.end(), Failed)


def test_a_source_that_changes_meanwhile_is_told(sides, ends):
    furnish(ends)

    def change(point: str) -> None:
        if point == "mover.file.placed":
            (ends.source / "large").write_bytes(b"other")
            (ends.source / "two/b").unlink(missing_ok=True)

    with sending(sides.offer(ends.source, TREE)) as sender:
        with pytest.raises(Unavailable) as raised:
            moved(from_afar(sides.place(sender.port), ends.destination), fault=change)
        assert raised.value.what == "source"
    fetched(sides, ends.source, ends.destination)
    same(ends.source, ends.destination)


def test_a_process_sends_and_ends(sides, ends):
    (ends.source / "a").write_bytes(b"x" * 1000)
    with sending(sides.offer(ends.source, TREE)) as sender:
        assert moved(from_afar(sides.place(sender.port), ends.destination)).bytes_transferred == 1000
        assert sender.end() == Sent()
    same(ends.source, ends.destination)


@pytest.mark.parametrize("how", [signal.SIGKILL, None])
def test_nobody_can_fetch_what_nobody_wants_sent(sides, ends, how):
    """The process is killed, or its parent lets go of it."""
    with sending(sides.offer(ends.source, TREE)) as sender:
        if how is None:
            assert sender.process.stdin is not None
            sender.process.stdin.close()
            assert sender.process.wait(LIMIT_S) == 1
        else:
            sender.process.send_signal(how)
            sender.process.wait(LIMIT_S)
        with pytest.raises(Unavailable):
            moved(from_afar(sides.place(sender.port), ends.destination))
