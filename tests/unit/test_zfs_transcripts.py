"""What the real programs said, replayed: `make record-zfs` writes the transcripts anew."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from zfs_script import DATASETS, ONE, PARENT, PLACE, TWO

from gateway.backends.zfs.commands import Commands
from gateway.backends.zfs.failures import Meaning, refusal
from gateway.backends.zfs.records import POOL, SNAPSHOT, VOLUME, PoolRecord, decode_pool
from gateway.core.runner import Circuit, Done
from gateway.testing.runner import Exchange, ScriptedRunner

A = "00000000-0000-4000-8000-000000000011"
FOLDER = Path(__file__).parent / "zfs_transcripts"


class Transcript(msgspec.Struct, frozen=True):
    arguments: tuple[str, ...]
    status: int
    stdout: str
    stderr: str


def transcripts(name: str) -> list[Transcript]:
    return msgspec.json.decode((FOLDER / f"{name}.json").read_bytes(), type=list[Transcript])


@pytest.fixture
def commands() -> Commands:
    """The programs, for what was asked of them when the transcripts were written; each question once."""
    exchanges = {
        one.arguments: Exchange(one.arguments, Done(status=one.status, stdout=one.stdout.encode(), stderr=one.stderr))
        for one in transcripts("looking")
    }

    class Replay:
        def run(self, arguments, *, stdin=b"", timeout_s=30.0):
            return ScriptedRunner(exchanges[tuple(arguments)]).run(arguments, stdin=stdin, timeout_s=timeout_s)

    return Commands(Circuit(Replay(), what="pool"), timeout_s=5)


def test_a_list_of_volumes(commands: Commands) -> None:
    found = {one.name: one for one in commands.datasets(PARENT, VOLUME, below=True)}
    assert len(found) == 5
    one, two = found[PLACE], found[f"{PARENT}/{TWO}"]
    assert (one.block, one.refquota, one.volsize, one.mounted, one.head) == (False, 8388608, 0, True, "one")
    assert (two.block, two.refquota, two.volsize, two.mounted, two.head) == (True, 0, 8388608, False, "two")
    assert one.mountpoint == f"/{PLACE}"
    assert all(each.token is None for each in found.values())
    assert found[PARENT].head is None
    assert commands.datasets(PLACE, VOLUME) == [one]


def test_a_list_of_snapshots(commands: Commands) -> None:
    found = commands.snaps(PARENT, SNAPSHOT, depth=2)
    assert len(found) == 3
    assert [one.head for one in found if one.short == A] == ["a", "a"]
    assert [one.holds for one in found if one.head is None] == [1]
    assert all(one.guid > 0 and one.createtxg > 0 and not one.deferred for one in found)
    assert {one.dataset for one in found} == {PLACE, f"{PARENT}/{TWO}"}


def test_clones_and_bookmarks(commands: Commands) -> None:
    names = [one.name for one in commands.snaps(PARENT, SNAPSHOT, depth=2) if one.dataset == PLACE]
    clones = commands.clones(sorted(names))
    assert [len(found) for found in clones.values()] == [1]
    assert list(commands.bookmarks(PLACE)) == [f"{PLACE}#mark"]


def test_properties(commands: Commands) -> None:
    assert commands.get(PARENT, "type", "encryption", "keystatus") == {
        "type": "filesystem",
        "encryption": "off",
        "keystatus": None,
    }
    values = commands.values([PLACE, f"{PARENT}/{TWO}"], [VOLUME, "used"])
    assert values[PLACE][VOLUME] == "one"
    assert all(int(found["used"]) > 0 for found in values.values())
    lines = commands.table("zfs", "get", "-Hp", "-s", "local,received", "-o", "value", POOL, PARENT)
    assert decode_pool(lines[0][0]) == PoolRecord(ONE)
    assert commands.table("zpool", "list", "-Hp", "-o", "health,readonly", "tank") == [["ONLINE", "off"]]


def test_json_says_the_same_as_the_table(commands: Commands) -> None:
    """The table is what is read: it is the same in all releases, and quicker to write and to read."""
    words = ("-d", "1", "-t", "filesystem,volume", "-o", DATASETS, PARENT)
    found = json.loads(commands.run("zfs", "list", "-j", "-p", *words))["datasets"]
    table = {one.name: one for one in commands.datasets(PARENT, VOLUME, below=True)}
    assert set(found) == set(table)
    for name, one in found.items():
        assert int(one["properties"]["referenced"]["value"]) == table[name].referenced
        assert one["properties"][VOLUME]["value"] == (table[name].head or "-")


REFUSALS = {
    ("zfs", "unmount", PLACE): Meaning.BUSY,
    ("zfs", "create", "-u", PLACE): Meaning.EXISTS,
    ("zfs", "snapshot", f"{PLACE}@{A}"): Meaning.EXISTS,
    ("zfs", "destroy", PLACE): Meaning.CHILDREN,
    ("zfs", "destroy", f"{PARENT}/{TWO}"): Meaning.CHILDREN,
    ("zfs", "destroy", f"{PLACE}@{A}"): Meaning.CLONES,
    ("zfs", "rollback", f"{PLACE}@{A}"): Meaning.NEWER,
    ("zfs", "promote", f"{PARENT}/{TWO}"): Meaning.SETTLED,
    ("zfs", "set", "refquota=1024", PLACE): Meaning.BELOW_USE,
    ("zfs", "set", "volsize=8388609", f"{PARENT}/{TWO}"): Meaning.INVALID,
    ("zfs", "mount", PLACE): Meaning.SETTLED,
    ("zfs", "receive", "-s", "-u", f"{PLACE}@x"): Meaning.EXISTS,
    ("zfs", "create", "-u", "nopool/x"): Meaning.GONE,
}


@pytest.mark.parametrize("one", transcripts("refusing"), ids=lambda one: " ".join(one.arguments)[:60])
def test_every_refusal_is_understood(one: Transcript) -> None:
    assert one.status != 0
    meaning = refusal(one.stderr).meaning
    assert meaning is not Meaning.DEFECT
    assert meaning is REFUSALS.get(one.arguments, meaning)


def test_the_refusals_that_are_known_are_among_them() -> None:
    assert set(REFUSALS) <= {one.arguments for one in transcripts("refusing")}
