"""The benchmark runs. What it measures is not judged here."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bench.run import PARTS

ROOT = Path(__file__).parents[2]


ON_BTRFS = ("changes", "transfers")


def bench(*arguments: str) -> str:
    ended = subprocess.run(
        [sys.executable, "-m", "bench", "--quick", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    # 1: a goal was missed, as small numbers on a busy machine may.
    assert ended.returncode in {0, 1}, ended.stderr
    assert "Traceback" not in ended.stderr
    return ended.stdout


@pytest.mark.slow
def test_every_part_without_btrfs() -> None:
    table = bench(*(part for part in PARTS if part not in ON_BTRFS))
    for words in (
        "GET by uuid",
        "page of 100",
        "last / first",
        "creators",
        "first GET",
        "resident",
        "loop held",
        "Inspect",
        "libStorage GET",
        "header of",
        "Cinder driver: requests",
        "1 % of a tree changed: bytes",
        "1 % of a device changed: time",
    ):
        assert words in table


@pytest.mark.root
def test_changes_on_btrfs() -> None:
    table = bench(*ON_BTRFS)
    assert all(f"{change} on btrfs" in table for change in ("create", "snapshot", "clone"))
    assert all(f"1 % changed, by {way}: bytes" in table for way in ("streams", "the mover"))


def test_unknown_part() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "bench", "nothing"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 2
    assert "no such part: nothing" in ended.stderr
