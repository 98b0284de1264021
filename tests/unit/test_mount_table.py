"""The kernel's table of mounts, as proc_pid_mountinfo(5) describes it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gateway.core.mount_table import Entry, at, entries, holding, parse, plain

LINES = r"""22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:30 / /srv rw,nosuid shared:12 master:3 propagate_from:2 - tmpfs my\040tmpfs rw,size=4k
31 30 0:41 /volumes/a /srv/with\040blank\011and\134slash ro,noatime - btrfs /dev/sdb rw,subvol=/volumes/a
32 31 7:0 / /srv/with\040blank\011and\134slash rw,relatime - ext4 /dev/loop0 rw
33 22 0:50 net:[4026531840] /run/netns/x rw - nsfs nsfs rw
"""


@pytest.fixture
def table(tmp_path: Path) -> tuple[Entry, ...]:
    place = tmp_path / "mountinfo"
    place.write_text(LINES)
    return entries(place)


def test_a_line_is_read(table: tuple[Entry, ...]) -> None:
    assert table[2] == Entry(
        id=31,
        parent=30,
        root="/volumes/a",
        point="/srv/with blank\tand\\slash",
        attributes=frozenset({"ro", "noatime"}),
        shared=False,
        filesystem="btrfs",
        source="/dev/sdb",
    )
    assert table[1].source == "my tmpfs"
    assert [entry.shared for entry in table] == [True, True, False, False, False]


def test_the_topmost_mount_is_the_one_that_is_seen(table: tuple[Entry, ...]) -> None:
    found = at("/srv/with blank\tand\\slash", table)
    assert found is not None
    assert found.id == 32
    assert at("/nowhere", table) is None


@pytest.mark.parametrize(("path", "held_by"), [("/", 22), ("/srvx", 22), ("/srv", 30), ("/srv/a/b", 30)])
def test_the_mount_that_holds_a_path(table: tuple[Entry, ...], path: str, held_by: int) -> None:
    found = holding(Path(path), table)
    assert found is not None
    assert found.id == held_by
    assert holding(Path(path), ()) is None


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (r"a\040b", "a b"),
        (r"\134040", r"\040"),
        (r"\012\011", "\n\t"),
        (r"\043", "#"),
        ("ä\\", "ä\\"),
        (r"\08", r"\08"),
    ],
)
def test_octal_escapes(written: str, meant: str) -> None:
    assert plain(written) == meant


def test_names_that_are_no_text_survive(tmp_path: Path) -> None:
    place = tmp_path / "mountinfo"
    place.write_bytes(b"1 0 8:1 / /a\xff\\040b rw - ext4 /dev/sda rw\n")
    (entry,) = entries(place)
    assert os.fsencode(entry.point) == b"/a\xff b"


def test_this_machine_has_a_root() -> None:
    assert holding(Path("/"), entries()) is not None
    assert parse(LINES.splitlines()[0]).point == "/"
