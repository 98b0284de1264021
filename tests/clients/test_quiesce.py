"""Volumes that are really held still, and released whatever happens."""

from __future__ import annotations

import asyncio
import os
import sys
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from exporter_scene import sh
from mounts_scene import MIB, Bed, also_at, encoded, held_up, is_frozen, quiesce_of, wish

from gateway.core.errors import Busy, InUse, Unavailable, Unsupported
from gateway.core.exporter import Held
from gateway.core.model import VolumeKind, utc_now
from gateway.exports.mounts import MountsOptions, quiescence
from gateway.testing.btrfs_pool import btrfs_pool
from gateway.testing.faults import RaiseAt

pytestmark = pytest.mark.root

RECORDER = "import os, sys\nopen(sys.argv[1], 'a').write(f'{sys.argv[2:]} {os.environ[\"VOLUME_ID\"]}\\n')"


@pytest.fixture
def bed(tmp_path):
    bed = Bed(tmp_path)
    try:
        yield bed
    finally:
        bed.clean()


@pytest.fixture
async def mounter(bed):
    mounter = bed.mounter()
    await mounter.open()
    yield mounter
    await mounter.close()


@pytest.fixture
async def mounted(bed, mounter):
    wanted = bed.blocks("v")
    await mounter.mount(wanted)
    return wanted


def hooks(bed: Bed, *, freeze: str = RECORDER, thaw: str = RECORDER) -> MountsOptions:
    log = str(bed.folder / "log")
    return bed.options(
        freeze=(sys.executable, "-S", "-c", freeze, log, "freeze"), thaw=(sys.executable, "-S", "-c", thaw, log, "thaw")
    )


def told(bed: Bed) -> list[str]:
    log = bed.folder / "log"
    return log.read_text().splitlines() if log.exists() else []


async def released(path: Path) -> None:
    """Wait until a file system is not frozen any more."""
    while await asyncio.to_thread(is_frozen, path):
        pass


@pytest.mark.parametrize(("kind", "size"), [("ext4", 32), ("xfs", 320), ("btrfs", 128)])
async def test_nobody_writes_until_it_is_released(bed, mounter, kind, size):
    wanted = bed.blocks("v", size=size * MIB, format=kind)
    await mounter.mount(wanted)
    await mounter.mount(also_at(wanted, bed.root / "w"))
    Path(wanted.path, "before").write_text("flushed")
    held = await mounter.quiesce(quiesce_of(wanted))
    assert held.how is Held.FROZEN
    assert timedelta(seconds=50) < held.until - utc_now() <= timedelta(seconds=60)
    assert await mounter.quiesced() == {wanted.volume_id: held}
    with held_up(bed.root / "w"):
        assert Path(wanted.path, "before").read_text() == "flushed"
        # What others take of it now is whole: the copy of the blocks has the file.
        copy = bed.folder / "copy.raw"
        sh("cp", wanted.source.path, str(copy))
        await mounter.unquiesce(wanted.volume_id)
    assert await mounter.quiesced() == {}
    assert bed.records().isdisjoint({f"{wanted.volume_id}.json"})
    await mounter.unquiesce(wanted.volume_id)
    point = bed.folder / "copy"
    point.mkdir()
    sh(
        "mount",
        "-o",
        "loop,ro" + {"ext4": ",noload", "xfs": ",norecovery,nouuid", "btrfs": ""}[kind],
        str(copy),
        str(point),
    )
    assert (point / "before").read_text() == "flushed"


async def test_one_holder_at_a_time(bed, mounter, mounted):
    first = await mounter.quiesce(quiesce_of(mounted, "one", 30))
    with pytest.raises(InUse) as caught:
        await mounter.quiesce(quiesce_of(mounted, "two"))
    assert caught.value.by == "quiesce"
    again = await mounter.quiesce(quiesce_of(mounted, "one", 60))
    assert again.until > first.until
    await mounter.unquiesce(mounted.volume_id)
    assert not is_frozen(bed.root / "v")
    assert (await mounter.quiesce(quiesce_of(mounted, "two"))).quiesce_id == "two"


async def test_its_time_is_over(bed, mounter, mounted):
    await mounter.quiesce(quiesce_of(mounted, timeout_s=1))
    assert is_frozen(bed.root / "v")
    await released(bed.root / "v")
    while await mounter.quiesced():
        await released(bed.root / "v")
    assert bed.records() == {f"{mounted.id}.json"}


async def test_a_gateway_that_stops_releases(bed):
    mounter = bed.mounter()
    await mounter.open()
    wanted = bed.blocks("v")
    await mounter.mount(wanted)
    await mounter.quiesce(quiesce_of(wanted))
    await mounter.close()
    assert not is_frozen(bed.root / "v")
    assert bed.records() == {f"{wanted.id}.json"}


@pytest.mark.parametrize("point", ["end", *quiescence.FAULT_POINTS])
async def test_a_gateway_that_was_killed_releases_at_the_next_start(bed, point):
    wanted = bed.blocks("v")
    steps = ["mount", encoded(wanted), "quiesce", encoded(quiesce_of(wanted))]
    await bed.session(point, *steps, *(["unquiesce", str(wanted.volume_id)] if ".unquiesce." in point else []))
    frozen = is_frozen(bed.root / "v")
    assert frozen == (point in {"end", "mounts.quiesce.held"})
    mounter = bed.mounter()
    await mounter.open()
    try:
        assert not is_frozen(bed.root / "v")
        assert await mounter.quiesced() == {}
        assert bed.records() == {f"{wanted.id}.json"}
    finally:
        await mounter.close()


@pytest.mark.parametrize("killed", [False, True], ids=["alive", "killed"])
@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs"])
async def test_a_frozen_file_system_that_somebody_unmounted_is_thawed(bed, killed, kind):
    wanted = bed.blocks("v", size=320 * MIB, format=kind)
    steps = ["mount", encoded(wanted), "quiesce", encoded(quiesce_of(wanted))]
    mounter = bed.mounter()
    if killed:
        await bed.session("end", *steps)
        sh("umount", wanted.path)
        await mounter.open()
    else:
        await mounter.open()
        await mounter.mount(wanted)
        await mounter.quiesce(quiesce_of(wanted))
        sh("umount", wanted.path)
        assert len(bed.loops()) == 1
        await mounter.unquiesce(wanted.volume_id)
    try:
        assert bed.loops() == []
        await mounter.mount(wanted)
        assert not is_frozen(bed.root / "v")
    finally:
        await mounter.close()


async def test_one_that_is_covered_is_thawed_and_the_cover_is_not(bed, mounter, mounted):
    await mounter.quiesce(quiesce_of(mounted))
    other = bed.blocks("other")
    await mounter.mount(other)
    sh("mount", "--bind", other.path, mounted.path)
    sh("fsfreeze", "--freeze", other.path)
    try:
        await mounter.unquiesce(mounted.volume_id)
        assert is_frozen(Path(other.path))
    finally:
        sh("fsfreeze", "--unfreeze", other.path)
    sh("umount", mounted.path)
    assert not is_frozen(bed.root / "v")


async def test_mounts_of_a_held_volume_stay_unless_by_force(bed, mounter, mounted):
    await mounter.quiesce(quiesce_of(mounted))
    with pytest.raises(InUse) as caught:
        await mounter.unmount(mounted.id)
    assert caught.value.by == "quiesce"
    with pytest.raises(InUse):
        await mounter.mount(also_at(mounted, bed.root / "w"))
    # A new size waits: growing the file system would hang.
    os.truncate(mounted.source.path, 2 * mounted.size)
    await mounter.mount(msgspec.structs.replace(mounted, size=2 * mounted.size))
    await mounter.unmount(mounted.id, force=True)
    assert bed.loops() == []
    assert await mounter.quiesced() == {}


async def test_what_somebody_else_froze_is_not_thawed(bed, mounter, mounted):
    sh("fsfreeze", "--freeze", mounted.path)
    try:
        with pytest.raises(Busy):
            await mounter.quiesce(quiesce_of(mounted))
        assert is_frozen(bed.root / "v")
        assert await mounter.quiesced() == {}
    finally:
        sh("fsfreeze", "--unfreeze", mounted.path)


async def test_a_hold_that_fails_is_none(bed):
    mounter = bed.mounter(fault=RaiseAt("mounts.quiesce.held", Unavailable(what="test")))
    await mounter.open()
    try:
        wanted = bed.blocks("v")
        await mounter.mount(wanted)
        with pytest.raises(Unavailable):
            await mounter.quiesce(quiesce_of(wanted))
        assert not is_frozen(bed.root / "v")
        assert await mounter.quiesced() == {}
    finally:
        await mounter.close()


async def test_files_of_a_pool_are_synced_and_snapshots_go_on(bed, mounter):
    """A file system that volumes share is never frozen: a snapshot of a frozen btrfs hangs, and all others with it."""
    with btrfs_pool(bed.folder / "pool", quota=False) as pool:
        sh("btrfs", "subvolume", "create", str(pool / "v"))
        wanted = wish(bed.root / "v", pool / "v", VolumeKind.FILESYSTEM)
        await mounter.mount(wanted)
        Path(wanted.path, "f").write_text("x")
        held = await mounter.quiesce(quiesce_of(wanted))
        assert held.how is Held.SYNCED
        Path(wanted.path, "g").write_text("nobody is held up")
        sh("btrfs", "subvolume", "snapshot", "-r", str(pool / "v"), str(pool / "s"))
        assert (pool / "s/f").read_text() == "x"
        await mounter.unquiesce(wanted.volume_id)
        await mounter.unmount(wanted.id)


async def test_a_hook_holds_what_the_gateway_cannot_reach(bed):
    mounter = bed.mounter(options=hooks(bed))
    await mounter.open()
    away = bed.blocks("v")
    try:
        held = await mounter.quiesce(quiesce_of(away))
        assert held.how is Held.HOOK
        assert told(bed) == [f"['freeze', '{away.volume_id}', 'v'] {away.volume_id}"]
        await mounter.unquiesce(away.volume_id)
        assert told(bed)[1:] == [f"['thaw', '{away.volume_id}', 'v'] {away.volume_id}"]
        files = bed.files("w")
        assert (await mounter.quiesce(quiesce_of(files))).how is Held.HOOK
    finally:
        await mounter.close()
    assert [line.split("'")[1] for line in told(bed)] == ["freeze", "thaw", "freeze", "thaw"]


async def test_a_hook_that_fails_is_followed_by_the_one_that_releases(bed):
    mounter = bed.mounter(options=hooks(bed, freeze="raise SystemExit(3)"))
    await mounter.open()
    try:
        with pytest.raises(Unavailable, match="command"):
            await mounter.quiesce(quiesce_of(bed.blocks("v")))
        assert [line.split("'")[1] for line in told(bed)] == ["thaw"]
        assert await mounter.quiesced() == {}
    finally:
        await mounter.close()


async def test_without_a_hook_what_is_elsewhere_cannot_be_held(bed, mounter):
    with pytest.raises(Unsupported):
        await mounter.quiesce(quiesce_of(bed.blocks("v")))
    assert bed.records() == set()


def test_hooks_come_in_pairs(bed):
    with pytest.raises(ValueError, match="together"):
        bed.options(freeze=("x",))
