"""Trees: whatever is at either end, the destination becomes what the source is, and what is equal is left alone."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mover_scene import MEMORY, job, moved, picture, same

from gateway.core.errors import Busy, Unavailable
from gateway.mover.meter import Meter
from gateway.mover.trees import move_tree

MIB = 1 << 20
ACL = bytes.fromhex("02000000 01000600ffffffff 0200040007000000 04000400ffffffff 10000600ffffffff 20000000ffffffff")
"""user::rw-, user:7:r--, group::r--, mask::rw-, other::---"""

NAMES = st.sampled_from(["a", "b", "c", "\udcff\udcfe", "new\nline", ".gateway-move-mine"])
MODES = st.sampled_from([0o644, 0o600, 0o4755, 0o2640])
FILES = st.tuples(st.just("file"), st.binary(max_size=20), MODES, st.integers(0, 3))
LINKS = st.tuples(st.just("symlink"), st.sampled_from(["a", "../..", "/nowhere"]))
FIFOS = st.tuples(st.just("fifo"), MODES)
AGAIN = st.tuples(st.just("again"), st.integers(0, 5))
LEAVES = FILES | LINKS | FIFOS | AGAIN
TREES = st.recursive(
    LEAVES, lambda inner: st.tuples(st.just("folder"), st.dictionaries(NAMES, inner, max_size=4)), max_leaves=12
)
ROOTS = st.dictionaries(NAMES, TREES, max_size=4)


@pytest.fixture
def ends(tmp_path):
    found = SimpleNamespace(source=tmp_path / "source", destination=tmp_path / "destination")
    found.source.mkdir()
    found.destination.mkdir()
    return found


def build(folder: Path, tree, files: list[Path]) -> None:
    """Make what a description says; `again` is a further name of a file that was made before."""
    for name, node in tree.items():
        path = folder / name
        match node:
            case ("file", data, mode, second):
                path.write_bytes(data)
                path.chmod(mode)
                os.utime(path, (second, second))
                files.append(path)
            case ("symlink", target):
                path.symlink_to(target)
            case ("fifo", mode):
                os.mkfifo(path)
                path.chmod(mode)
            case ("again", which) if files:
                path.hardlink_to(files[which % len(files)])
            case ("folder", inner):
                path.mkdir()
                build(path, inner, files)


def at_another_time(path: Path, change: Callable[[], object], copy: Path | None = None) -> None:
    """Change a file until that has a time of its own: kernels may count time in ticks of some milliseconds.

    `copy`: its copy, which may have been read in the same tick.
    """
    before = {path.stat().st_ctime_ns, *([] if copy is None else [copy.stat().st_atime_ns])}
    change()
    while path.stat().st_ctime_ns in before:
        change()


def mark_anew(path: Path, copy: Path, value: bytes | None) -> None:
    """Change what is kept beside the content of a file; None: it is not there any more."""

    def change() -> None:
        os.setxattr(path, "trusted.mark", value or b"")
        if value is None:
            os.removexattr(path, "trusted.mark")

    at_another_time(path, change, copy)


@settings(max_examples=50)
@given(ROOTS, ROOTS, ROOTS, st.booleans())
def test_any_tree_becomes_any_other(before, first, then, full):
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        destination, *sources = (Path(folder, name) for name in ("destination", "first", "then"))
        for path, tree in zip((destination, *sources), (before, first, then), strict=True):
            path.mkdir()
            build(path, tree, [])
        for source in sources:
            moved(job(source, destination, full=full))
            same(source, destination)
            again = moved(job(source, destination, full=full))
            assert (again.bytes_transferred, again.files) == (0, 0)


def test_what_is_equal_is_not_even_opened(ends):
    (ends.source / "a").write_bytes(b"a" * 10)
    moved(job(ends.source, ends.destination))
    target = ends.destination / "a"
    times = target.stat()
    target.write_bytes(b"b" * 10)
    os.utime(target, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert moved(job(ends.source, ends.destination)).files == 0
    assert moved(job(ends.source, ends.destination, full=True)).bytes_transferred == 10
    same(ends.source, ends.destination)


def test_a_change_that_leaves_size_and_time_is_seen(ends):
    source = ends.source / "a"
    source.write_bytes(b"one")
    moved(job(ends.source, ends.destination))
    times = source.stat()
    source.write_bytes(b"two")
    at_another_time(source, lambda: os.utime(source, ns=(times.st_atime_ns, times.st_mtime_ns)))
    assert moved(job(ends.source, ends.destination)).bytes_transferred == 3
    same(ends.source, ends.destination)


def test_a_file_that_was_read_meanwhile_is_compared_and_not_written(ends):
    (ends.source / "a").write_bytes(b"a" * 10)
    moved(job(ends.source, ends.destination))
    target = ends.destination / "a"
    inode = target.stat().st_ino
    os.utime(target, ns=(5, target.stat().st_mtime_ns))
    assert moved(job(ends.source, ends.destination)).files == 0
    assert target.stat().st_ino == inode
    assert target.stat().st_atime_ns == (ends.source / "a").stat().st_ctime_ns


def test_holes_stay_holes(ends):
    with (ends.source / "sparse").open("wb") as file:
        file.truncate(8 << 30)
        for start in (0, 3 << 30, (8 << 30) - 5000):
            file.seek(start)
            file.write(b"x" * 5000)
    assert moved(job(ends.source, ends.destination)).bytes_transferred <= 6 * 4096 + 4096
    same_size = (ends.destination / "sparse").stat()
    assert (same_size.st_size, same_size.st_blocks * 512 < MIB) == (8 << 30, True)
    with (ends.destination / "sparse").open("rb") as file:
        for start in (0, 3 << 30, (8 << 30) - 5000):
            file.seek(start)
            assert file.read(5000) == b"x" * 5000


def test_many_names_of_one_file_stay_one_file(ends):
    for folder in ("a", "b"):
        (ends.source / folder).mkdir()
    (ends.source / "a/one").write_bytes(b"data")
    for name in ("a/two", "b/three"):
        (ends.source / name).hardlink_to(ends.source / "a/one")
    moved(job(ends.source, ends.destination))
    same(ends.source, ends.destination)
    (ends.source / "a/one").unlink()
    (ends.source / "a/one").write_bytes(b"alone")
    moved(job(ends.source, ends.destination))
    same(ends.source, ends.destination)


@pytest.mark.root
def test_everything_that_is_kept_beside_content_comes_along(ends):
    odd = "odd \udcfe\n name"
    for name in ("file", "folder", odd):
        (ends.source / name).mkdir() if name == "folder" else (ends.source / name).write_bytes(b"data")
        os.setxattr(ends.source / name, "trusted.mark", b"1")
        os.setxattr(ends.source / name, "system.posix_acl_access", ACL)
    os.setxattr(ends.source / "folder", "system.posix_acl_default", ACL)
    (ends.source / "folder/inner").write_bytes(b"")
    os.mknod(ends.source / "device", stat.S_IFBLK | 0o640, os.makedev(7, 3))
    os.mknod(ends.source / "socket", stat.S_IFSOCK | 0o4711)
    (ends.source / "link").symlink_to("nowhere")
    os.setxattr(ends.source / "link", "trusted.of", b"link", follow_symlinks=False)
    for name in ("file", "device", "socket", "link"):
        os.chown(ends.source / name, 1234, 567, follow_symlinks=False)
    (ends.source / "file").chmod(0o6755)
    os.setxattr(ends.source / "file", "security.capability", bytes.fromhex("0000000200200000000000000000000000000000"))
    moved(job(ends.source, ends.destination))
    same(ends.source, ends.destination)
    mark_anew(ends.source / "file", ends.destination / "file", b"2")
    mark_anew(ends.source / odd, ends.destination / odd, None)
    os.removexattr(ends.source / "folder", "system.posix_acl_default")
    (ends.source / "socket").chmod(0o600)
    os.chown(ends.source / "folder", 8, 9)
    assert moved(job(ends.source, ends.destination)).bytes_transferred == 0
    same(ends.source, ends.destination)


def test_links_are_never_followed(ends, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_bytes(b"precious")
    before = picture(tmp_path / "outside")
    (ends.source / "folder").mkdir()
    (ends.source / "folder/precious").write_bytes(b"mine")
    (ends.source / "file").write_bytes(b"file")
    (ends.destination / "folder").symlink_to(outside)
    (ends.destination / "file").symlink_to(outside / "precious")
    (ends.destination / "gone").symlink_to(outside)
    moved(job(ends.source, ends.destination))
    same(ends.source, ends.destination)
    assert picture(outside) == before


def test_a_directory_that_turns_into_a_link_is_not_followed(ends, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (ends.source / "folder").mkdir()
    (ends.source / "folder/a").write_bytes(b"a")

    def swap(point):
        if point == "mover.tree.made":
            (ends.destination / "folder").rmdir()
            (ends.destination / "folder").symlink_to(outside)

    with pytest.raises(Unavailable) as raised:
        moved(job(ends.source, ends.destination), fault=swap)
    assert raised.value.what == "destination"
    assert list(outside.iterdir()) == []


@contextlib.contextmanager
def below(root: Path, name: str, depth: int):
    """Be in the deepest of directories that lie in each other, which no path is long enough to name."""
    here = os.open(".", os.O_RDONLY)
    try:
        os.chdir(root)
        for _ in range(depth):
            with contextlib.suppress(FileExistsError):
                Path(name).mkdir()
            os.chdir(name)
        yield
    finally:
        os.fchdir(here)
        os.close(here)


def test_trees_deeper_than_any_path(ends):
    with below(ends.source, "d" * 100, 200):
        Path("bottom").write_bytes(b"bottom")
    with below(ends.destination, "e" * 100, 200):
        Path("bottom").write_bytes(b"other")
    try:
        assert moved(job(ends.source, ends.destination)).bytes_transferred == 6
        with below(ends.destination, "d" * 100, 200):
            assert Path("bottom").read_bytes() == b"bottom"
        assert [path.name for path in ends.destination.iterdir()] == ["d" * 100]
        assert moved(job(ends.source, ends.destination)).files == 0
    finally:
        for root in (ends.source, ends.destination):
            empty = root.with_name("empty")
            empty.mkdir(exist_ok=True)
            moved(job(empty, root))


def test_many_names_in_one_directory(ends):
    for number in range(2000):
        (ends.source / f"f{number}").touch()
        (ends.destination / f"g{number}").touch()
    assert moved(job(ends.source, ends.destination)).files == 2000
    same(ends.source, ends.destination)
    assert moved(job(ends.source, ends.destination)).files == 0


def test_a_source_that_goes_away_is_told_from_the_destination(ends):
    (ends.source / "a").write_bytes(b"a")
    (ends.source / "b").write_bytes(b"b")

    def vanish(point):
        if point == "mover.file.placed":
            (ends.source / "b").unlink(missing_ok=True)

    with pytest.raises(Unavailable) as raised:
        moved(job(ends.source, ends.destination), fault=vanish)
    assert (raised.value.what, raised.value.reason) == ("source", "a part of it is gone")
    shutil.rmtree(ends.source)
    with pytest.raises(Unavailable) as raised:
        moved(job(ends.source, ends.destination))
    assert raised.value.what == "source"


def test_what_does_not_read_back_is_not_marked(ends):
    (ends.source / "a").write_bytes(b"good")

    def spoil(point):
        if point == "mover.batch.flushed":
            target = ends.destination / "a"
            times = target.stat()
            target.write_bytes(b"evil")
            os.utime(target, ns=(times.st_atime_ns, times.st_mtime_ns))

    with pytest.raises(Unavailable, match="reads back"):
        moved(job(ends.source, ends.destination), fault=spoil)
    moved(job(ends.source, ends.destination))
    same(ends.source, ends.destination)


def test_two_moves_to_one_place_do_not_meet(ends):
    (ends.source / "a").write_bytes(b"a")
    refused = []

    def second(point):
        if point == "mover.file.begun" and not refused:
            with pytest.raises(Busy) as raised:
                moved(job(ends.source, ends.destination))
            refused.append(raised.value)

    moved(job(ends.source, ends.destination), fault=second)
    assert refused


def test_the_rate_holds_over_files(ends):
    for name in ("a", "b", "c"):
        (ends.source / name).write_bytes(b"x" * (2 * MIB))
    clock = SimpleNamespace(now=0.0)

    def wait(seconds):
        clock.now += seconds

    meter = Meter(MIB, lambda _progress: None, clock=lambda: clock.now, wait=wait)
    move_tree(str(ends.source), str(ends.destination), meter, full=False)
    # The last unit is written when the one before it has had its time.
    assert 4.5 <= clock.now <= 6
    assert meter.progress.bytes_transferred == 6 * MIB
