"""Real mounts of files and blocks on this host, whole, refused, lost, adopted and cut short."""

from __future__ import annotations

import asyncio
import os
import subprocess
import threading
from pathlib import Path
from uuid import uuid4

import msgspec
import pytest
from exporter_scene import sh
from mounts_scene import MIB, Bed, also_at, encoded, quiesce_of, wish, working_in

from gateway.core.errors import (
    Busy,
    GatewayError,
    InUse,
    InvalidArgument,
    InvalidState,
    LimitExceeded,
    Timeout,
    Unavailable,
    Unsupported,
)
from gateway.core.exporter import Mounter
from gateway.core.model import VolumeKind
from gateway.core.mount_table import at, entries
from gateway.core.needs import NeedKind, effective_capabilities, is_shared
from gateway.exports.mounts import HostMounter, devices, steps
from gateway.testing.faults import RaiseAt

pytestmark = pytest.mark.root

SIZES = {"ext4": 32 * MIB, "xfs": 320 * MIB, "btrfs": 128 * MIB}


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


# --- files ---


async def test_files_are_where_they_are_mounted(bed, mounter):
    wanted = bed.files()
    assert isinstance(mounter, Mounter)
    assert await mounter.check(wanted) == ""
    assert bed.tree() == set()
    await mounter.mount(wanted)
    Path(wanted.path, "new").write_text("written there")
    assert Path(wanted.source.path, "new").read_text() == "written there"
    assert await mounter.mounted() == {wanted.id: wanted.volume_id}
    before = bed.mounts()
    await mounter.mount(wanted)
    assert bed.mounts() == before
    await mounter.unmount(wanted.id)
    assert bed.tree() == set()
    assert await mounter.mounted() == {}
    assert Path(wanted.source.path, "new").exists()
    await mounter.unmount(wanted.id)


async def test_one_volume_is_at_two_places(bed, mounter):
    first = bed.files("one")
    second = also_at(first, bed.root / "two", read_only=True)
    await mounter.mount(first)
    await mounter.mount(second)
    Path(first.path, "f").write_text("x")
    assert Path(second.path, "f").read_text() == "x"
    with pytest.raises(OSError, match="Read-only"):
        Path(second.path, "f").write_text("y")
    await mounter.unmount(first.id)
    assert bed.seen(first) is None
    assert bed.seen(second) is not None
    await mounter.unmount(second.id)
    assert bed.tree() == set()


async def test_options_are_those_of_the_mount_alone(bed, mounter):
    names = {"noatime": "", "nodev": "", "nosuid": "true", "noexec": "", "defaults": ""}
    wanted = bed.files(options=names)
    await mounter.mount(wanted)
    assert bed.seen(wanted).attributes == {"rw", "noatime", "nodev", "nosuid", "noexec"}
    plain = also_at(wanted, bed.root / "plain", options={})
    await mounter.mount(plain)
    assert bed.seen(plain).attributes == {"rw", "relatime"}


@pytest.mark.parametrize("name", ["discard", "sync", "loop", "bind", "x-systemd.makefs", "uid", ""])
async def test_other_options_are_refused(bed, mounter, name):
    with pytest.raises(InvalidArgument) as caught:
        await mounter.check(bed.files(options={name: ""}))
    assert caught.value.field == "options"
    with pytest.raises(InvalidArgument):
        await mounter.check(bed.files(options={"noatime": "7"}))


async def test_a_directory_goes_only_if_it_was_made_or_is_told_to(bed, mounter):
    (bed.root / "theirs").mkdir()
    (bed.root / "given").mkdir()
    inner, theirs = bed.files("theirs/ours/deep"), bed.files("given")
    await mounter.mount(inner)
    await mounter.mount(theirs)
    await mounter.unmount(inner.id)
    assert (bed.root / "theirs").is_dir()
    assert not (bed.root / "theirs" / "ours").exists()
    await mounter.unmount(theirs.id)
    assert (bed.root / "given").is_dir()
    await mounter.mount(theirs)
    await mounter.unmount(theirs.id, delete_path=True)
    assert not (bed.root / "given").exists()
    await mounter.mount(inner)
    (bed.root / "theirs/ours/somebody").write_text("put this here")
    await mounter.unmount(inner.id, delete_path=True)
    assert (bed.root / "theirs/ours/somebody").exists()
    assert not (bed.root / "theirs/ours/deep").exists()


async def test_everybody_gets_to_a_mount_whatever_our_mask_is(bed, mounter):
    mask = os.umask(0o077)
    try:
        wanted = bed.files("a/b/c")
        await mounter.mount(wanted)
    finally:
        os.umask(mask)
    assert {(bed.root / path).stat().st_mode & 0o777 for path in ("a", "a/b")} == {0o755}


async def test_a_configured_path_has_to_be_there(bed):
    mounter = bed.mounter(options=msgspec.structs.replace(bed.options(), paths=(bed.folder / "none",)))
    with pytest.raises(Unavailable, match="No such file"):
        await mounter.open()
    assert not (bed.folder / "none").exists()


# --- places ---


def _obstacles(bed):
    """Put things below the root that are in the way."""
    (bed.root / "full").mkdir()
    (bed.root / "full/file").write_text("x")
    (bed.folder / "outside").mkdir()
    (bed.root / "link").symlink_to(bed.folder / "outside")
    (bed.root / "dangling").symlink_to("nowhere")
    (bed.root / "inward").symlink_to("full")
    (bed.root / "mounted").mkdir()
    sh("mount", "-t", "tmpfs", "none", str(bed.root / "mounted"))


@pytest.mark.parametrize(
    "path",
    [
        "{root}",
        "{root}/",
        "{root}/full",
        "{root}/full/file",
        "{root}/full/file/x",
        "{root}/link",
        "{root}/link/x",
        "{root}/dangling",
        "{root}/dangling/x",
        "{root}/inward/x",
        "{root}/mounted",
        "{root}/mounted/x",
        "{root}/a/../../outside",
        "{root}/../outside",
        "{root}//a",
        "{root}/a/",
        "{root}/./a",
        "{root}/a\nb",
        "{root}-else/a",
        "{folder}/outside",
        "/etc",
        "/",
        "",
        "a",
        "{root}/" + "a" * 256,
    ],
)
async def test_no_other_place_is_taken(bed, mounter, path):
    _obstacles(bed)
    wanted = msgspec.structs.replace(bed.files(), path=path.format(root=bed.root, folder=bed.folder))
    before = bed.tree()
    for act in (mounter.check, mounter.mount):
        with pytest.raises(InvalidArgument) as caught:
            await act(wanted)
        assert caught.value.field == "path"
    assert bed.tree() == before
    assert bed.records() == set()
    assert list((bed.folder / "outside").iterdir()) == []


async def test_no_volume_is_mounted_inside_another_one(bed, mounter):
    outer, inner = bed.files("v"), bed.files("v/inside")
    await mounter.mount(outer)
    with pytest.raises(InvalidArgument, match="mounted there"):
        await mounter.mount(inner)
    assert list(Path(outer.source.path).iterdir()) == []
    assert await mounter.mounted() == {outer.id: outer.volume_id}


async def test_the_operator_may_make_the_path_a_link(bed):
    (bed.folder / "link").symlink_to(bed.root)
    options = msgspec.structs.replace(bed.options(), paths=(bed.folder / "link",))
    mounter = bed.mounter(options=options)
    await mounter.open()
    try:
        wanted = msgspec.structs.replace(bed.files(), path=str(bed.folder / "link/v"))
        await mounter.mount(wanted)
        assert at(str(bed.root / "v"), entries()) is not None
        await mounter.unmount(wanted.id)
        assert bed.tree() == set()
    finally:
        await mounter.close()


async def test_containers_see_what_is_mounted_below_a_shared_mount(bed, mounter):
    sh("mount", "--bind", str(bed.root), str(bed.root))
    sh("mount", "--make-private", str(bed.root))
    assert not is_shared(bed.root / "not/yet")
    sh("mount", "--make-shared", str(bed.root))
    assert is_shared(bed.root / "not/yet")
    argv = ["unshare", "--mount", "--propagation", "slave", "sh", "-c", "echo; read x; ls $0/v", str(bed.root)]
    container = subprocess.Popen(  # noqa: ASYNC220
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert container.stdout.readline() == "\n"
        wanted = bed.files("v")
        Path(wanted.source.path, "seen").touch()
        await mounter.mount(wanted)
        said, _ = container.communicate("\n", timeout=30)
        assert said == "seen\n"
        await mounter.unmount(wanted.id)
    finally:
        container.kill()
        container.wait(30)


# --- blocks ---


@pytest.mark.parametrize("kind", SIZES)
async def test_blocks_get_a_file_system_and_keep_it(bed, mounter, kind):
    wanted = bed.blocks(size=SIZES[kind], format=kind)
    assert await mounter.check(wanted) == kind
    await mounter.mount(wanted)
    assert bed.seen(wanted).filesystem == kind
    Path(wanted.path, "f").write_text("kept")
    await mounter.unmount(wanted.id)
    assert bed.loops() == []
    whatever = msgspec.structs.replace(wanted, format="")
    assert await mounter.check(whatever) == kind
    await mounter.mount(whatever)
    assert Path(wanted.path, "f").read_text() == "kept"
    other = also_at(wanted, bed.root / "other", read_only=True, options={"noexec": ""})
    await mounter.mount(other)
    assert Path(other.path, "f").read_text() == "kept"
    assert "ro" in bed.seen(other).attributes
    assert len(bed.loops()) == 1
    await mounter.unmount(wanted.id)
    assert len(bed.loops()) == 1
    await mounter.unmount(other.id)
    assert bed.loops() == []
    assert bed.tree() == set()


@pytest.mark.parametrize("kind", SIZES)
async def test_a_file_system_grows_with_its_volume(bed, mounter, kind):
    wanted = bed.blocks(size=SIZES[kind], format=kind)
    await mounter.mount(wanted)
    before = os.statvfs(wanted.path)
    size = 3 * SIZES[kind]
    os.truncate(wanted.source.path, size)
    grown = msgspec.structs.replace(wanted, size=size)
    if kind == "ext4" and "CAP_SYS_RESOURCE" not in effective_capabilities():
        # The kernel asks for it, and not every root has it. The device has grown all the same, and it is tried again.
        for _ in range(2):
            with pytest.raises(Unavailable, match="could not be grown"):
                await mounter.mount(grown)
        assert devices.size_of(bed.seen(wanted).source) == size
        return
    await mounter.mount(grown)
    after = os.statvfs(wanted.path)
    assert after.f_blocks * after.f_frsize > 2 * before.f_blocks * before.f_frsize


async def test_a_file_system_without_its_tool_does_not_grow_and_nothing_fails(bed, mounter, monkeypatch):
    wanted = bed.blocks()
    await mounter.mount(wanted)
    before = os.statvfs(wanted.path).f_blocks
    os.truncate(wanted.source.path, 2 * wanted.size)
    monkeypatch.setenv("PATH", str(bed.folder))
    await mounter.mount(msgspec.structs.replace(wanted, size=2 * wanted.size))
    assert os.statvfs(wanted.path).f_blocks == before


async def test_options_of_a_file_system_are_its_own(bed, mounter):
    wanted = bed.blocks(options={"discard": "", "sync": "", "noatime": ""})
    await mounter.mount(wanted)
    (line,) = [s for s in Path("/proc/self/mounts").read_text().splitlines() if s.split()[1] == wanted.path]
    assert {"discard", "sync", "noatime"} <= set(line.split()[3].split(","))
    with pytest.raises(InvalidArgument, match="mounted with others"):
        await mounter.mount(also_at(wanted, bed.root / "other", options={}))
    assert not (bed.root / "other").exists()
    await mounter.mount(also_at(wanted, bed.root / "other", options={"sync": "", "discard": ""}))


def _write(wanted, at_, what):
    with Path(wanted.source.path).open("r+b") as file:
        file.seek(at_)
        file.write(what)


def _fill(wanted, how):
    path = wanted.source.path
    if how in {"end", "middle", "start"}:
        at_ = {"start": 0, "middle": wanted.size // 2, "end": wanted.size - 1}[how]
        _write(wanted, at_, b"\x01")
    elif how == "swap":
        sh("mkswap", path)
    elif how == "partitions":
        start, length = (2048).to_bytes(4, "little"), (4096).to_bytes(4, "little")
        _write(wanted, 446, bytes([0, 0, 0, 0, 0x83, 0, 0, 0, *start, *length]))
        _write(wanted, 510, b"\x55\xaa")


@pytest.mark.parametrize("how", ["start", "middle", "end", "swap", "partitions"])
async def test_what_holds_anything_gets_no_file_system(bed, mounter, how):
    wanted = bed.blocks()
    _fill(wanted, how)
    before = Path(wanted.source.path).read_bytes()
    for act in (mounter.check, mounter.mount):
        with pytest.raises(InUse) as caught:
            await act(wanted)
        assert caught.value.by == "content"
    assert Path(wanted.source.path).read_bytes() == before
    assert bed.tree() == set()
    assert bed.records() == set()
    assert bed.loops() == []


async def test_another_file_system_than_asked_for_is_left_alone(bed, mounter):
    wanted = bed.blocks(size=320 * MIB)
    sh("mkfs.ext4", "-q", wanted.source.path)
    for act in (mounter.check, mounter.mount):
        with pytest.raises(InvalidArgument, match="has ext4"):
            await act(msgspec.structs.replace(wanted, format="xfs"))
    await mounter.mount(wanted)
    assert bed.seen(wanted).filesystem == "ext4"


async def test_what_cannot_be_a_file_system_is_told(bed, mounter, monkeypatch):
    with pytest.raises(InvalidArgument, match="one of ext4"):
        await mounter.check(bed.blocks(format="ntfs"))
    with pytest.raises(InvalidArgument, match="files, not blocks"):
        await mounter.check(bed.files(format="ext4"))
    with pytest.raises(LimitExceeded):
        await mounter.check(bed.blocks(format="xfs"))
    with pytest.raises(InvalidArgument, match="no file system yet"):
        await mounter.check(bed.blocks(read_only=True))
    damaged = bed.blocks()
    sh("mkfs.ext4", "-q", damaged.source.path)
    # A feature that no kernel knows.
    _write(damaged, 1024 + 96, b"\xff" * 4)
    with pytest.raises((InvalidState, InvalidArgument, InUse)):
        await mounter.mount(damaged)
    missing = bed.blocks()
    Path(missing.source.path).unlink()
    with pytest.raises((Unavailable, InUse)):
        await mounter.mount(missing)
    assert bed.tree() == set()
    assert bed.records() == set()
    assert bed.loops() == []
    (bed.folder / "bin").mkdir()
    (bed.folder / "bin/blkid").symlink_to(sh("sh", "-c", "command -v blkid").strip())
    monkeypatch.setenv("PATH", str(bed.folder / "bin"))
    with pytest.raises(Unsupported, match=r"mkfs\.ext4 is not installed"):
        await mounter.check(bed.blocks())


async def test_a_device_is_mounted_as_itself(bed, mounter):
    blocks = bed.blocks()
    device = sh("losetup", "--find", "--show", blocks.source.path).strip()
    wanted = wish(bed.root / "v", Path(device), VolumeKind.BLOCK, size=blocks.size)
    await mounter.mount(wanted)
    assert bed.seen(wanted).source == device
    assert len(bed.loops()) == 1
    await mounter.unmount(wanted.id)
    assert len(bed.loops()) == 1


async def test_the_device_of_an_attached_file_is_the_one_that_is_mounted(bed, mounter):
    wanted = bed.blocks()
    device = sh("losetup", "--find", "--show", wanted.source.path).strip()
    await mounter.mount(wanted)
    assert bed.seen(wanted).source == device
    await mounter.unmount(wanted.id)
    assert len(bed.loops()) == 1


# --- in use, lost, not ours ---


@pytest.mark.parametrize("kind", ["files", "blocks"])
async def test_a_mount_in_use_stays_unless_by_force(bed, mounter, kind):
    wanted = getattr(bed, kind)()
    await mounter.mount(wanted)
    with working_in(Path(wanted.path)):
        with pytest.raises(InUse) as caught:
            await mounter.unmount(wanted.id, delete_path=True)
        assert caught.value.by == "mounts"
        assert bed.seen(wanted) is not None
        assert await mounter.mounted() == {wanted.id: wanted.volume_id}
        await mounter.unmount(wanted.id, force=True)
        assert bed.tree() == set()
        assert await mounter.mounted() == {}
        assert len(bed.loops()) == (kind == "blocks")
    assert bed.loops() == []


async def test_mounts_outlive_the_gateway_and_are_made_again_when_they_are_gone(bed):
    kept, lost = bed.files("kept"), bed.blocks("lost")
    first = bed.mounter()
    await first.open()
    await first.mount(kept)
    await first.mount(lost)
    Path(lost.path, "f").write_text("x")
    await first.close()
    before = bed.seen(kept)
    sh("umount", lost.path)
    second = bed.mounter()
    await second.open()
    try:
        assert (await second.mounted()).keys() == {kept.id, lost.id}
        for wanted in (kept, lost):
            await second.mount(wanted)
        assert bed.seen(kept) == before
        assert Path(lost.path, "f").read_text() == "x"
        for wanted in (kept, lost):
            await second.unmount(wanted.id)
        assert bed.tree() == set()
    finally:
        await second.close()


async def test_what_somebody_else_mounted_is_never_touched(bed, mounter):
    wanted = bed.files("v")
    await mounter.mount(wanted)
    sh("umount", wanted.path)
    sh("mount", "-t", "tmpfs", "none", wanted.path)
    with pytest.raises(InvalidArgument):
        await mounter.mount(wanted)
    await mounter.unmount(wanted.id, force=True, delete_path=True)
    assert bed.seen(wanted).filesystem == "tmpfs"
    assert await mounter.mounted() == {}


async def test_a_mount_that_somebody_covered_is_not_ended_blindly(bed, mounter):
    wanted = bed.files("v")
    await mounter.mount(wanted)
    sh("mount", "-t", "tmpfs", "none", wanted.path)
    with pytest.raises(InUse):
        await mounter.unmount(wanted.id, force=True)
    assert bed.seen(wanted).filesystem == "tmpfs"
    sh("umount", wanted.path)
    await mounter.unmount(wanted.id)
    assert bed.tree() == set()


async def test_other_content_is_another_mount(bed, mounter):
    wanted = bed.files("v")
    await mounter.mount(wanted)
    source = Path(wanted.source.path)
    source.rename(source.with_suffix(".old"))
    source.mkdir()
    (source / "restored").touch()
    await mounter.mount(msgspec.structs.replace(wanted, generation=1))
    assert list(Path(wanted.path).iterdir()) == [Path(wanted.path, "restored")]
    assert len(bed.mounts()) == 1


# --- cut short ---


@pytest.mark.parametrize("kind", ["files", "blocks"])
@pytest.mark.parametrize("point", [point for point in steps.FAULT_POINTS if ".mount." in point])
@pytest.mark.parametrize("wished", [True, False], ids=["wished", "not-wished"])
async def test_a_gateway_killed_while_it_mounts(bed, kind, point, wished):
    wanted = getattr(bed, kind)("a/b")
    await bed.session("end" if kind == "files" and "format" in point else point, "mount", encoded(wanted))
    mounter = bed.mounter()
    await mounter.open()
    try:
        assert (await mounter.mounted()).keys() == {wanted.id}
        if wished:
            await mounter.mount(wanted)
            Path(wanted.path, "f").write_text("x")
            assert len(bed.mounts()) == 1
        await mounter.unmount(wanted.id)
        assert bed.tree() == set()
        assert bed.records() == set()
        assert bed.loops() == []
        # Nothing is left that would hinder another file system.
        if not wished and "placed" not in point and "prepared" not in point:
            assert not any(map(any, [Path(wanted.source.path).read_bytes()])) if kind == "blocks" else True
        await mounter.mount(msgspec.structs.replace(wanted, id=uuid4()))
    finally:
        await mounter.close()


@pytest.mark.parametrize("kind", ["files", "blocks"])
@pytest.mark.parametrize("point", [point for point in steps.FAULT_POINTS if ".unmount." in point])
async def test_a_gateway_killed_while_it_unmounts(bed, kind, point):
    wanted = getattr(bed, kind)("a/b")
    await bed.session(point, "mount", encoded(wanted), "unmount", str(wanted.id))
    mounter = bed.mounter()
    await mounter.open()
    try:
        await mounter.unmount(wanted.id, delete_path=True)
        assert bed.tree() == set()
        assert bed.records() == set()
        await mounter.mount(wanted)
        assert len(bed.mounts()) == 1
    finally:
        await mounter.close()


@pytest.mark.parametrize("kind", ["files", "blocks"])
@pytest.mark.parametrize("point", [point for point in steps.FAULT_POINTS if ".mount." in point])
async def test_a_mount_that_fails_leaves_everything_as_it_was(bed, kind, point):
    if kind == "files" and "format" in point:
        return
    mounter = bed.mounter(fault=RaiseAt(point, Unavailable(what="test")))
    await mounter.open()
    wanted = getattr(bed, kind)("a/b")
    try:
        with pytest.raises(Unavailable):
            await mounter.mount(wanted)
        assert bed.tree() == set()
        assert bed.records() == set()
        assert bed.loops() == []
        await mounter.mount(wanted)
        assert len(bed.mounts()) == 1
    finally:
        await mounter.close()


async def test_a_call_that_hangs_holds_up_nothing_else(bed):
    reached, go_on = threading.Event(), threading.Event()

    def hang(point: str) -> None:
        if point == "mounts.unmount.unmounted" and not reached.is_set():
            reached.set()
            go_on.wait(60)

    mounter = bed.mounter(fault=hang, deadline_s=5)
    await mounter.open()
    hanging, other = bed.files("hanging"), bed.files("other")
    try:
        await mounter.mount(hanging)
        with pytest.raises(Timeout):
            await mounter.unmount(hanging.id)
        await mounter.mount(other)
        await mounter.unmount(other.id)
        with pytest.raises(Busy):
            await mounter.mount(hanging)
        go_on.set()
        while True:
            try:
                await mounter.unmount(hanging.id)
            except GatewayError:
                await asyncio.sleep(0)
            else:
                break
        assert bed.tree() == set()
    finally:
        go_on.set()
        await mounter.close()


async def test_only_one_gateway_mounts(bed, mounter):
    second = bed.mounter()
    with pytest.raises(Unavailable, match="a running gateway has it"):
        await second.open()
    await second.close()
    with pytest.raises(Unavailable, match="not open"):
        await second.mount(bed.files())
    assert isinstance(second, HostMounter)


async def test_the_stated_capabilities_are_enough(bed):
    stated = {need.name for need in HostMounter.needs(bed.options()) if need.kind is NeedKind.CAPABILITY}
    names = [name.removeprefix("CAP_").lower() for name in sorted(stated & effective_capabilities())]
    under = ["setpriv", "--bounding-set", ",".join(["-all", *(f"+{name}" for name in names)]), "--inh-caps", "-all"]
    files, blocks = bed.files("files"), bed.blocks("blocks", size=128 * MIB, format="btrfs")
    os.chown(files.source.path, 1234, 1234)
    more = msgspec.structs.replace(blocks, size=256 * MIB)
    os.truncate(blocks.source.path, more.size)
    steps_ = [("mount", encoded(files)), ("mount", encoded(blocks)), ("mount", encoded(more))]
    steps_ += [("quiesce", encoded(quiesce_of(blocks))), ("unquiesce", str(blocks.volume_id))]
    await bed.session("end", *(word for step in steps_ for word in step), under=under)
    assert len(bed.mounts()) == 2
    await bed.session("end", "unmount", str(files.id), "unmount", str(blocks.id), under=under)
    assert bed.tree() == set()


async def test_without_the_right_to_mount_it_says_so(bed):
    script = (
        "import asyncio, sys\nfrom pathlib import Path\nfrom gateway.exports.mounts import HostMounter, MountsOptions\n"
        "m = HostMounter(MountsOptions(paths=(Path(sys.argv[1]),)), Path(sys.argv[2]))\nasyncio.run(m.open())\n"
    )
    argv = ["setpriv", "--bounding-set", "-sys_admin", "--inh-caps", "-all"]
    interpreter = Path(__file__).parents[2] / ".venv/bin/python"
    done = await asyncio.to_thread(
        subprocess.run,
        [*argv, str(interpreter), "-c", script, str(bed.root), str(bed.state)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert "may not mount below" in done.stderr
