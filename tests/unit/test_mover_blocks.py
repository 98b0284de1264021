"""Blocks: only pages that differ are written, holes stay holes, and what is thick stays thick."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mover_scene import BLOCK, MEMORY, job, loop_device, moved

from gateway.core.errors import Busy, LimitExceeded, Unavailable

MIB = 1 << 20
PAGE = 4096
RUNS = st.lists(st.tuples(st.integers(0, 3 * MIB), st.integers(1, 3 * PAGE), st.sampled_from(b"\0ab")), max_size=8)


def image(path: Path, size: int, *parts: tuple[int, bytes]) -> Path:
    with path.open("wb") as file:
        file.truncate(size)
        for offset, data in parts:
            file.seek(offset)
            file.write(data)
    return path


def pairs(folder: Path, size: int = 8 * MIB) -> tuple[Path, Path]:
    return image(folder / "source", size), image(folder / "destination", size)


def cut(size: int, runs: list[tuple[int, int, int]]) -> list[tuple[int, bytes]]:
    return [(start, bytes([byte]) * min(count, size - start)) for start, count, byte in runs if start < size]


@settings(max_examples=50)
@given(st.integers(1, 3 * MIB), RUNS, RUNS)
def test_any_content_becomes_any_other(size, wanted, present):
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        source = image(Path(folder, "source"), size, *cut(size, wanted))
        destination = image(Path(folder, "destination"), size, *cut(size, present))
        differing = sum(
            a != b for a, b in zip(pages(source.read_bytes()), pages(destination.read_bytes()), strict=True)
        )
        assert moved(job(source, destination, BLOCK)).bytes_transferred <= differing * PAGE
        assert destination.read_bytes() == source.read_bytes()
        assert moved(job(source, destination, BLOCK)).bytes_transferred == 0


def pages(data: bytes) -> list[bytes]:
    return [data[start : start + PAGE] for start in range(0, len(data), PAGE)]


def test_one_changed_byte_moves_one_page(tmp_path):
    source, destination = pairs(tmp_path, 16 * MIB)
    source.write_bytes(os.urandom(16 * MIB))
    assert moved(job(source, destination, BLOCK)).bytes_transferred == 16 * MIB
    with source.open("r+b") as file:
        file.seek(9 * MIB + 5)
        byte = file.read(1)
        file.seek(9 * MIB + 5)
        file.write(bytes([byte[0] ^ 1]))
    assert moved(job(source, destination, BLOCK)).bytes_transferred == PAGE
    assert destination.read_bytes() == source.read_bytes()


def test_what_becomes_zeros_becomes_a_hole(tmp_path):
    source, destination = pairs(tmp_path)
    with destination.open("r+b") as file:
        file.write(b"x" * (4 * MIB))
    assert moved(job(source, destination, BLOCK)).bytes_transferred == 0
    assert destination.read_bytes() == bytes(8 * MIB)
    assert destination.stat().st_blocks == 0


def test_what_is_thick_keeps_its_room(tmp_path):
    source, destination = pairs(tmp_path)
    fd = os.open(destination, os.O_RDWR)
    os.posix_fallocate(fd, 0, 8 * MIB)
    os.pwrite(fd, b"x" * MIB, 0)
    os.close(fd)
    moved(job(source, destination, BLOCK))
    assert destination.read_bytes() == bytes(8 * MIB)
    assert destination.stat().st_blocks * 512 >= 8 * MIB


def test_a_larger_destination_ends_with_zeros(tmp_path):
    source = image(tmp_path / "source", MIB, (0, b"s" * MIB))
    destination = image(tmp_path / "destination", 4 * MIB, (0, b"d" * (2 * MIB)))
    assert moved(job(source, destination, BLOCK)).bytes_transferred == MIB
    assert destination.read_bytes() == b"s" * MIB + bytes(3 * MIB)


def test_a_smaller_destination_is_refused(tmp_path):
    source, destination = pairs(tmp_path)
    os.truncate(destination, MIB)
    with pytest.raises(LimitExceeded) as raised:
        moved(job(source, destination, BLOCK))
    assert raised.value.fields == {"limit": "size", "value": 8 * MIB, "minimum": None, "maximum": MIB}


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_neither_file_nor_device_is_refused(tmp_path, make):
    source, _ = pairs(tmp_path)
    make(tmp_path / "other")
    for given_ends in ((source, tmp_path / "other"), (tmp_path / "other", source)):
        with pytest.raises(Unavailable):
            moved(job(*given_ends, BLOCK))


def test_what_does_not_read_back_is_told(tmp_path):
    source, destination = pairs(tmp_path)
    with source.open("r+b") as file:
        file.write(b"good" * PAGE)

    def spoil(point):
        if point == "mover.blocks.written":
            with destination.open("r+b") as file:
                file.write(b"evil")

    with pytest.raises(Unavailable, match="reads back"):
        moved(job(source, destination, BLOCK), fault=spoil)
    moved(job(source, destination, BLOCK))
    assert destination.read_bytes() == source.read_bytes()


@pytest.mark.root
def test_devices(tmp_path):
    source, destination = pairs(tmp_path, 32 * MIB)
    with source.open("r+b") as file:
        file.write(os.urandom(MIB))
    with destination.open("r+b") as file:
        file.seek(16 * MIB)
        file.write(b"x" * MIB)
    with loop_device(source) as original, loop_device(destination) as copy:
        assert moved(job(original, copy, BLOCK)).bytes_transferred == MIB
        assert copy.read_bytes() == original.read_bytes()
        assert moved(job(original, copy, BLOCK)).bytes_transferred == 0
        fd = os.open(copy, os.O_RDONLY | os.O_EXCL)  # as a mount would
        try:
            with pytest.raises(Busy):
                moved(job(original, copy, BLOCK))
        finally:
            os.close(fd)
