"""Whether a container has what is mounted on this host, read from tables such as the kernel's."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from gateway.core.mount_spaces import is_shown_elsewhere

POINT = "/mnt/v"
OURS = "40 22 0:50 /volumes/v /mnt/v rw - btrfs /dev/sdb rw\n"
COPIED = "77 60 0:50 /volumes/v /mnt/v rw - btrfs /dev/sdb rw\n"
CONTAINER = "78 60 0:50 /volumes/v /data rw - btrfs /dev/sdb rw\n"
BELOW = "78 60 0:50 /volumes/v/sub /data rw - btrfs /dev/sdb rw\n"
OTHERS = "78 60 0:50 /volumes/v2 /data rw - btrfs /dev/sdb rw\n79 60 8:1 /volumes/v /x rw - btrfs /dev/sdc rw\n"
ALL = "ffffffffffffffff"


def process(folder: Path, pid: str, space: str, table: str, *, pids: str = "pid:[4026531836]", held: str = ALL) -> None:
    """Make what /proc shows of a process."""
    (folder / pid / "ns").mkdir(parents=True)
    (folder / pid / "mountinfo").write_text(table)
    (folder / pid / "status").write_text(f"Name:\tx\nCapEff:\t{held}\n")
    (folder / pid / "ns/mnt").symlink_to(f"mnt:[{space}]")
    (folder / pid / "ns/pid").symlink_to(pids)


@pytest.mark.parametrize(
    ("table", "shown"), [(CONTAINER, True), (BELOW, True), (COPIED, False), (OTHERS, False), ("", False)]
)
def test_another_name_space_shows_it_at_another_place(tmp_path: Path, table: str, *, shown: bool) -> None:
    process(tmp_path, "self", "1", OURS)
    process(tmp_path, "2", "1", OURS + CONTAINER)  # our own name space
    process(tmp_path, "1", "9", CONTAINER)  # init
    process(tmp_path, "30", "3", table)
    (tmp_path / "31").mkdir()  # ended meanwhile
    (tmp_path / "sys").mkdir()
    assert is_shown_elsewhere(POINT, tmp_path) is shown


def test_who_ends_while_the_tables_are_read_has_nothing(tmp_path: Path) -> None:
    process(tmp_path, "self", "1", OURS)
    process(tmp_path, "30", "3", "")
    ended = subprocess.Popen(["true"])
    os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)
    table = tmp_path / "30/mountinfo"
    table.unlink()
    table.symlink_to(f"/proc/{ended.pid}/mountinfo")
    try:
        assert not is_shown_elsewhere(POINT, tmp_path)
    finally:
        ended.wait()


def test_what_is_not_mounted_is_nowhere(tmp_path: Path) -> None:
    process(tmp_path, "self", "1", "")
    process(tmp_path, "30", "3", CONTAINER)
    assert not is_shown_elsewhere(POINT, tmp_path)


@pytest.mark.parametrize("lack", [{"pids": "pid:[4026532000]"}, {"held": "0000000000000000"}])
def test_who_cannot_know_says_yes(tmp_path: Path, lack: dict[str, str]) -> None:
    process(tmp_path, "self", "1", OURS, **lack)
    assert is_shown_elsewhere(POINT, tmp_path)
