"""Command lines: what is asked of ZFS, in which order, and what comes of its answers."""

from __future__ import annotations

import os
from uuid import UUID, uuid4

import msgspec
import pytest
from zfs_script import (
    DATASETS,
    MIB,
    NOTE,
    ONE,
    PARENT,
    PLACE,
    SNAPS,
    THERE,
    TWO,
    A,
    B,
    Scripted,
    dataset,
    does,
    hangs,
    listed,
    refuses,
    says,
    snap,
    snap_listed,
    snaps_listed,
    snapshot_head,
    volume_head,
)

from gateway.backends.zfs.failures import Meaning, Refused
from gateway.backends.zfs.records import POOL, SNAPSHOT, VOLUME, Restoring
from gateway.backends.zfs.replicas import Replicas
from gateway.backends.zfs.snapshots import Snapshots
from gateway.backends.zfs.volumes import Volumes
from gateway.core.backend import GroupMember, Note, VolumeSpec
from gateway.core.errors import (
    AlreadyExists,
    InUse,
    InvalidArgument,
    LimitExceeded,
    NotFound,
    OutOfSpace,
    Timeout,
    Unavailable,
)
from gateway.core.model import VolumeKind

BLOCK = VolumeKind.BLOCK
CREATE = ("zfs", "create", "-u", "-o", "canmount=noauto", "-o", f"refquota={8 * MIB}")


def spec(**changes) -> VolumeSpec:
    made = VolumeSpec(id=ONE, kind=VolumeKind.FILESYSTEM, size=8 * MIB, note=NOTE)
    return msgspec.structs.replace(made, **changes)


def test_a_filesystem_is_one_command() -> None:
    at = Scripted(does(*CREATE, "-o", f"{VOLUME}={volume_head()}", PLACE))
    seen = Volumes(at.pool).create(spec())
    assert (seen.id, seen.size, seen.note) == (ONE, 8 * MIB, NOTE)
    assert at.fault.points == ["zfs.create.begun", "zfs.create.made"]
    at.runner.finish()


@pytest.mark.parametrize(("thick", "words"), [(False, ("-s", "-b", "16384")), (True, ("-b", "16384"))])
def test_a_block_volume_is_one_command(thick: bool, words: tuple[str, ...]) -> None:
    at = Scripted(does("zfs", "create", *words, "-V", str(8 * MIB), "-o", "*", PLACE))
    Volumes(at.pool).create(spec(kind=BLOCK, thick=thick))
    at.runner.finish()


def test_a_thick_filesystem_is_reserved_with_it() -> None:
    at = Scripted(does(*CREATE, "-o", f"refreservation={8 * MIB}", "-o", "*", PLACE))
    Volumes(at.pool).create(spec(thick=True))
    at.runner.finish()


def test_what_is_there_already_is_given_back() -> None:
    exists = refuses(f"cannot create '{PLACE}': dataset already exists", *CREATE, "-o", "*", PLACE)
    at = Scripted(exists, listed(dataset()), listed(dataset()))
    assert Volumes(at.pool).create(spec()).id == ONE
    at.runner.finish()


def test_what_is_not_ours_stays() -> None:
    exists = refuses(f"cannot create '{PLACE}': dataset already exists", *CREATE, "-o", "*", PLACE)
    foreign = dataset(head=volume_head(id=TWO))
    at = Scripted(exists, *[listed(foreign)] * 3)
    with pytest.raises(AlreadyExists):
        Volumes(at.pool).create(spec())
    at.runner.finish()


@pytest.mark.parametrize(
    ("said", "meaning"),
    [("out of space", Meaning.SPACE), ("permission denied", Meaning.DENIED), ("pool is read-only", Meaning.GONE)],
)
def test_why_nothing_was_made(said: str, meaning: Meaning) -> None:
    at = Scripted(refuses(f"cannot create '{PLACE}': {said}", *CREATE, "-o", "*", PLACE))
    with pytest.raises(Refused) as refused:
        Volumes(at.pool).create(spec())
    assert refused.value.meaning is meaning


def test_a_clone_is_one_command() -> None:
    words = ("zfs", "clone", "-o", "canmount=noauto", "-o", f"refquota={8 * MIB}", "-o")
    head = volume_head(origin=TWO, origin_snapshot=A)
    at = Scripted(does(*words, f"{VOLUME}={head}", f"{PARENT}/{TWO}@{A}", PLACE))
    seen = Volumes(at.pool).clone(TWO, A, spec())
    assert (seen.origin, seen.origin_snapshot) == (TWO, A)
    at.runner.finish()


def test_a_thick_clone_of_a_block_volume_reserves_what_zfs_reckons() -> None:
    words = ("-o", f"volsize={8 * MIB}", "-o", "refreservation=auto", "-o", "*")
    at = Scripted(does("zfs", "clone", *words, f"{PARENT}/{TWO}@{A}", PLACE))
    Volumes(at.pool).clone(TWO, A, spec(kind=BLOCK, thick=True))
    at.runner.finish()


def test_a_clone_of_nothing_is_not_found() -> None:
    base = f"{PARENT}/{TWO}@{A}"
    at = Scripted(
        refuses(f"cannot open '{base}': dataset does not exist", "zfs", "clone", *["*"] * 6, base, PLACE),
        refuses(f"cannot open '{base}': dataset does not exist", "zfs", "list", *["*"] * 5, base),
        refuses("dataset does not exist", "zfs", "get", "-Hp", "-o", "property,value", "origin", f"{PARENT}/{TWO}"),
        THERE,
    )
    with pytest.raises(NotFound):
        Volumes(at.pool).clone(TWO, A, spec())
    at.runner.finish()


def test_a_clone_needs_a_snapshot() -> None:
    with pytest.raises(InvalidArgument):
        Volumes(Scripted().pool).clone(TWO, None, spec())


def test_a_snapshot_is_one_command() -> None:
    at = Scripted(does("zfs", "snapshot", "-o", f"{SNAPSHOT}={snapshot_head()}", f"{PLACE}@{A}"))
    seen = Snapshots(at.pool).snapshot(ONE, A, NOTE)
    assert (seen.id, seen.volume_id, seen.note) == (A, ONE, NOTE)
    at.runner.finish()


def test_a_group_is_one_command() -> None:
    at = Scripted(does("zfs", "snapshot", "-o", "*", f"{PLACE}@{A}", f"{PARENT}/{TWO}@{B}"))
    members = [GroupMember(volume=v, snapshot=s, note=NOTE) for v, s in ((ONE, A), (TWO, B))]
    Snapshots(at.pool).group(members)
    at.runner.finish()


def test_what_of_a_group_is_there_already_is_left_out() -> None:
    one, two = f"{PLACE}@{A}", f"{PARENT}/{TWO}@{B}"
    at = Scripted(
        refuses(f"cannot create snapshot '{one}': dataset already exists", "zfs", "snapshot", "-o", "*", one, two),
        snap_listed(snap(one, txg=1, head=snapshot_head()), one),
        snap_listed("", two),
        says("origin\t-\n", "zfs", "get", *["*"] * 4, f"{PARENT}/{TWO}"),
        THERE,
        does("zfs", "snapshot", "-o", "*", two),
    )
    Snapshots(at.pool).group([GroupMember(volume=v, snapshot=s, note=NOTE) for v, s in ((ONE, A), (TWO, B))])
    at.runner.finish()


def test_a_group_with_endless_notes_is_refused() -> None:
    members = [
        GroupMember(volume=uuid4(), snapshot=uuid4(), note=Note(name="", tenant="", document=os.urandom(60_000)))
        for _ in range(6)
    ]
    at = Scripted()
    with pytest.raises(LimitExceeded):
        Snapshots(at.pool).group(members)


def test_a_long_note_is_turned_by_its_last_command() -> None:
    long = Note(name="n", tenant="t", document=os.urandom(10_000))
    at = Scripted(listed(dataset()), does("zfs", "set", "*", "*", PLACE), does("zfs", "set", f"{VOLUME}=a 2", PLACE))
    Volumes(at.pool).annotate(ONE, long)
    assert at.fault.points == ["zfs.annotate.begun", "zfs.annotate.written", "zfs.annotate.noted"]
    at.runner.finish()


def test_reserved_space_follows_growth_or_nothing_changes() -> None:
    thick = dataset().replace("\t0\t-\t", f"\t{8 * MIB}\t-\t")
    at = Scripted(
        listed(thick),
        does("zfs", "set", f"refquota={16 * MIB}", PLACE),
        refuses("size is greater than available space", "zfs", "set", f"refreservation={16 * MIB}", PLACE),
        does("zfs", "set", f"refquota={8 * MIB}", PLACE),
    )
    with pytest.raises(OutOfSpace):
        Volumes(at.pool).resize(ONE, 16 * MIB)
    at.runner.finish()


def test_below_what_is_used_is_a_limit() -> None:
    said = f"cannot set property for '{PLACE}': size is less than current used or reserved space"
    at = Scripted(listed(dataset()), refuses(said, "zfs", "set", "refquota=1048576", PLACE))
    with pytest.raises(LimitExceeded):
        Volumes(at.pool).resize(ONE, MIB)


def test_a_block_volume_never_shrinks() -> None:
    at = Scripted(listed(dataset(kind="volume", volsize=str(8 * MIB), refquota="-")))
    with pytest.raises(InvalidArgument):
        Volumes(at.pool).resize(ONE, MIB)
    at.runner.finish()


def test_a_restore_is_announced_and_takes_all_newer_snapshots_at_once() -> None:
    token = UUID(int=99, version=4)
    newer = [UUID(int=number, version=4) for number in (20, 21)]
    target = snap(f"{PLACE}@{A}", txg=10, head=snapshot_head())
    after = "".join(snap(f"{PLACE}@{name}", txg=20 + i, head=snapshot_head(name)) for i, name in enumerate(newer))
    looked = [
        snaps_listed(after + target),
        does("zfs", "list", "-Hp", "-d", "1", "-t", "bookmark", "-o", "name,createtxg", PLACE),
        says("".join(f"{PLACE}@{name}\t-\n" for name in newer), "zfs", "list", *["*"] * 7),
    ]
    announced = volume_head(restoring=Restoring(token, A, 8 * MIB))
    at = Scripted(
        listed(dataset()),
        snap_listed(target, f"{PLACE}@{A}"),
        *looked,
        does("zfs", "set", f"{VOLUME}={announced}", PLACE),
        listed(dataset(head=announced)),
        snap_listed(target, f"{PLACE}@{A}"),
        *looked,
        does("zfs", "destroy", f"{PLACE}@{newer[0]},{newer[1]}"),
        does("zfs", "rollback", f"{PLACE}@{A}"),
        does("zfs", "set", f"{VOLUME}={volume_head(restored=token)}", PLACE),
    )
    Snapshots(at.pool).restore(ONE, A, token)
    assert at.fault.points == [
        f"zfs.restore.{step}" for step in ("begun", "announced", "cleared", "rolled_back", "noted")
    ]
    at.runner.finish()


def test_a_restore_that_took_effect_is_not_made_again() -> None:
    token = uuid4()
    at = Scripted(listed(dataset(head=volume_head(restored=token))))
    Snapshots(at.pool).restore(ONE, A, token)
    at.runner.finish()


@pytest.mark.parametrize(
    ("line", "clones", "by"),
    [
        (snap(f"{PLACE}@{B}", txg=20, head=snapshot_head(B), holds=1), "-", "replication"),
        (snap(f"{PLACE}@{B}", txg=20, head=snapshot_head(B)), f"{PARENT}/{TWO}", "clones"),
        (snap(f"{PLACE}@autosnap", txg=20), "-", "snapshots"),
    ],
)
def test_what_forbids_a_restore_is_found_before_anything_is_touched(line: str, clones: str, by: str) -> None:
    target = snap(f"{PLACE}@{A}", txg=10, head=snapshot_head())
    name = line.split("\t", maxsplit=1)[0]
    at = Scripted(
        listed(dataset()),
        snap_listed(target, f"{PLACE}@{A}"),
        snaps_listed(target + line),
        does("zfs", "list", "-Hp", "-d", "1", "-t", "bookmark", "-o", "name,createtxg", PLACE),
        says(f"{name}\t{clones}\n", "zfs", "list", "-Hp", "-t", "snapshot", "-o", "name,clones", name),
    )
    with pytest.raises(InUse) as refused:
        Snapshots(at.pool).restore(ONE, A, uuid4())
    assert refused.value.by == by
    assert at.fault.points == []
    at.runner.finish()


def test_a_snapshot_that_a_split_clone_needs_is_only_marked() -> None:
    name = f"{PLACE}@{A}"
    clone = dataset(f"{PARENT}/{TWO}", head=volume_head(id=TWO, split=True))
    at = Scripted(
        snap_listed(snap(name, txg=10, head=snapshot_head()), name),
        says(f"{name}\t{PARENT}/{TWO}\n", "zfs", "list", "-Hp", "-t", "snapshot", "-o", "name,clones", name),
        listed(clone, f"{PARENT}/{TWO}"),
        does("zfs", "destroy", "-d", name),
    )
    Snapshots(at.pool).delete(ONE, A)
    at.runner.finish()


def test_a_source_that_split_clones_need_hands_its_snapshots_over() -> None:
    name = f"{PLACE}@{A}"
    marked = snap(name, txg=10, head=snapshot_head(), deferred="on")
    clone = dataset(f"{PARENT}/{TWO}", head=volume_head(id=TWO, split=True))
    at = Scripted(
        refuses("dataset does not exist", "zfs", "list", *["*"] * 5, f"{PARENT}/incoming-{ONE}"),
        listed(dataset()),
        snaps_listed(marked),
        says(f"{name}\t{PARENT}/{TWO}\n", "zfs", "list", "-Hp", "-t", "snapshot", "-o", "name,clones", name),
        listed(clone, f"{PARENT}/{TWO}"),
        does("zfs", "promote", f"{PARENT}/{TWO}"),
        does("zfs", "destroy", PLACE),
    )
    Volumes(at.pool).delete(ONE)
    assert at.fault.points == [f"zfs.delete.{step}" for step in ("begun", "unmounted", "promoted", "removed")]
    at.runner.finish()


def test_a_scan_is_one_command() -> None:
    lines = [
        dataset(PARENT, head="-"),
        dataset(f"{PARENT}/manifest", head="-"),
        dataset(),
        dataset(f"{PARENT}/{TWO}", head=volume_head(id=TWO, whole=False)),
        dataset(f"{PARENT}/incoming-{TWO}", head=volume_head(id=TWO)),
        dataset(f"{PARENT}/foreign", head=volume_head()),
    ]
    at = Scripted(
        says("".join(lines), "zfs", "list", "-Hp", "-d", "1", "-t", "filesystem,volume", "-o", DATASETS, PARENT)
    )
    seen = Volumes(at.pool).scan()
    assert [(one.id, one.place) for one in seen] == [(ONE, PLACE), (None, f"{PARENT}/foreign")]
    at.runner.finish()


def test_a_scan_of_snapshots_is_one_command() -> None:
    lines = [
        snap(f"{PARENT}/foreign@x", txg=1),
        snap(f"{PLACE}@{A}", txg=2, head=snapshot_head()),
        snap(f"{PLACE}@{B}", txg=3, head=snapshot_head(B), deferred="on"),
        snap(f"{PLACE}@incoming-{B}", txg=4),
        snap(f"{PARENT}/incoming-{TWO}@{A}", txg=5, head=snapshot_head(A, TWO)),
    ]
    at = Scripted(says("".join(lines), "zfs", "list", "-Hp", "-d", "2", "-t", "snapshot", "-o", SNAPS, PARENT))
    seen = Snapshots(at.pool).scan()
    assert [(one.id, one.place) for one in seen] == [(None, f"{PARENT}/foreign@x"), (A, f"{PLACE}@{A}")]
    at.runner.finish()


def test_the_parts_of_many_long_notes_are_asked_for_together() -> None:
    head = volume_head(note=Note(name="", tenant="", document=bytes(10)))
    lines = [dataset(f"{PARENT}/{name}", head="a 1") for name in (ONE, TWO)]
    wanted = ("zfs", "get", "-Hp", "-o", "name,property,value", f"{VOLUME}.a0", PLACE, f"{PARENT}/{TWO}")
    at = Scripted(
        says("".join(lines), "zfs", "list", "-Hp", "-d", "1", "-t", "filesystem,volume", "-o", DATASETS, PARENT),
        refuses(f"cannot open '{PARENT}/{TWO}': dataset does not exist", *wanted),
        says(f"{PLACE}\t{VOLUME}.a0\t{head.removeprefix('=')}\n", *wanted[:-1]),
        refuses("dataset does not exist", *wanted[:-2], wanted[-1]),
    )
    seen = Volumes(at.pool).scan()
    assert [one.id for one in seen] == [ONE, None]
    at.runner.finish()


def test_a_zfs_that_hangs_is_asked_less_and_less() -> None:
    hung = Timeout(what="zfs", after=5)
    asked = ("zfs", "list", "-Hp", "-t", "filesystem,volume", "-o", DATASETS, PLACE)
    at = Scripted(hangs(hung, *asked), hangs(hung, *asked))
    for error in (Timeout, Timeout, Unavailable, Unavailable):
        with pytest.raises(error):
            Volumes(at.pool).inspect(ONE)
    assert len(at.runner.ran) == 2


def test_a_pool_that_is_gone_is_not_an_empty_one() -> None:
    gone = f"cannot open '{PARENT}': dataset does not exist"
    looked = refuses(gone, *THERE.arguments)
    elsewhere = says(f"{POOL}\t1 {ONE}\n", *THERE.arguments)
    below = ("zfs", "list", "-Hp", "-d", "1", "-t", "filesystem,volume", "-o", DATASETS, PARENT)
    for answer in (looked, elsewhere):
        at = Scripted(refuses(gone, *below), answer)
        with pytest.raises(Unavailable):
            Volumes(at.pool).scan()
        at = Scripted(refuses(gone, "zfs", "list", *["*"] * 8), answer)
        with pytest.raises(Unavailable):
            Snapshots(at.pool).scan()
        at = Scripted(refuses(gone, *listed("").arguments), answer)
        with pytest.raises(Unavailable):
            Volumes(at.pool).inspect(ONE)
        at = Scripted(refuses(gone, "zfs", "snapshot", "-o", "*", f"{PLACE}@{A}"), answer)
        with pytest.raises(Unavailable):
            Snapshots(at.pool).snapshot(ONE, A, NOTE)
        at = Scripted(refuses(f"cannot create '{PLACE}': parent does not exist", *CREATE, "-o", "*", PLACE), answer)
        with pytest.raises(Unavailable):
            Volumes(at.pool).create(spec())


def test_a_device_that_udev_looks_into_is_waited_for() -> None:
    block = dataset(kind="volume", volsize=str(8 * MIB), refquota="-")
    busy = refuses(f"cannot destroy '{PLACE}': dataset is busy", "zfs", "destroy", PLACE)
    at = Scripted(
        listed("", f"{PARENT}/incoming-{ONE}"),
        listed(block),
        snaps_listed(""),
        busy,
        does("udevadm", "settle", "--timeout=5"),
        does("zfs", "destroy", PLACE),
    )
    Volumes(at.pool).delete(ONE)
    at.runner.finish()


def test_an_increment_that_is_taken_back_leaves_a_block_volume_its_size() -> None:
    arriving, base = f"{PLACE}@incoming-{B}", f"{PLACE}@{A}"
    lines = snap(base, txg=1, head=snapshot_head()) + snap(arriving, txg=2)
    shrunk = dataset(kind="volume", volsize=str(4 * MIB), refquota="-")
    at = Scripted(
        snaps_listed(lines),
        does("zfs", "destroy", arriving),
        does("zfs", "rollback", base),
        listed(shrunk),
        does("zfs", "set", f"volsize={8 * MIB}", PLACE),
    )
    Replicas(at.pool, Volumes(at.pool)).undo(arriving)
    at.runner.finish()


def test_a_rename_is_the_same_for_both_kinds() -> None:
    """`zfs rename -u` is refused for block volumes, and what is not mounted needs no `-u`."""
    at = Scripted(does("zfs", "rename", f"{PARENT}/incoming-{ONE}", PLACE))
    at.pool.commands.rename(f"{PARENT}/incoming-{ONE}", PLACE)
    at.runner.finish()
