"""A pool on a file server: what counts as mounted, and what happens when the server falls silent, dies, comes back."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID, uuid4

import msgspec
import pytest
from btrfs_scene import note
from files_scene import BLOCK, TREE, spec

from gateway.backends.nfs import NfsBackend, NfsPoolOptions
from gateway.backends.nfs.mounting import Mounting, command, mounts, remote
from gateway.core.backend import derive
from gateway.core.errors import Busy, GatewayError, NotFound, Timeout, Unavailable
from gateway.core.handles import LocalPath, NfsExport
from gateway.core.pools import Configured
from gateway.core.runner import Done
from gateway.testing.cores import core_on, memory_pool
from gateway.testing.loop_pool import loop_pool
from gateway.testing.mirror import Mirror, mirror
from gateway.testing.runner import Exchange, ScriptedRunner

ROOT = "21 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n"
FILER = "40 21 0:50 / /srv/filer rw,relatime shared:3 - nfs4 filer:/export rw,vers=4.1,softerr\n"
OPTIONS = NfsPoolOptions(path=Path("/srv/filer"), server="filer", export="/export")
MOUNT = (
    *("mount", "-t", "nfs4", "-o", "vers=4.1,port=2049,softerr,timeo=100,retrans=2"),
    *("--", "filer:/export", "/srv/filer"),
)


def changed(options: NfsPoolOptions = OPTIONS, **changes: object) -> NfsPoolOptions:
    return msgspec.structs.replace(options, **changes)


# --- what is mounted ---


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return tmp_path / "mountinfo"


def refusal(table: Path, text: str, options: NfsPoolOptions = OPTIONS) -> str | None:
    table.write_text(text)
    try:
        Mounting("pool", options, ScriptedRunner(), table).ensure()
    except Unavailable as error:
        return str(error.fields["reason"])
    return None


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({}, FILER),
        ({"path": Path("/srv/filer/pool"), "export": "/export/pool"}, FILER),
        ({"server": "2001:db8::1"}, FILER.replace("filer:/export", "[2001:db8::1]:/export")),
        ({"path": Path("/srv/two words")}, FILER.replace("/srv/filer", "/srv/two\\040words")),
        ({"export": "/"}, FILER.replace("filer:/export", "filer:/")),
        ({"export": "export/"}, FILER),
        ({"path": Path("/mnt/x"), "export": "/export/pool"}, FILER.replace("/ /srv/filer", "/pool /mnt/x")),
        ({}, FILER.replace("nfs4 filer:/export", "fuse.filer anything")),
        ({}, "41 21 8:1 / /srv/filer rw - ext4 /dev/sdb rw\n" + FILER),
        ({}, FILER + "41 40 8:1 / /srv/filer/sub rw - ext4 /dev/sdb rw\n"),
    ],
)
def test_the_export_is_found_in_the_mount_table(table: Path, options: dict[str, object], line: str) -> None:
    assert refusal(table, ROOT + line, changed(**options)) is None


@pytest.mark.parametrize(
    ("options", "line", "reason"),
    [
        ({}, "", "/srv/filer is not a mount point"),
        ({"path": Path("/")}, "", "/ is not a mount point"),
        (
            {"path": Path("/srv/filer/pool")},
            FILER,
            "filer:/export/pool is mounted at /srv/filer/pool, not filer:/export",
        ),
        ({"server": "other"}, FILER, "filer:/export is mounted at /srv/filer, not other:/export"),
        ({"path": Path("/srv/filers")}, FILER, "/srv/filers is not a mount point"),
        (
            {"path": Path("/srv/disk/pool")},
            "41 21 8:1 / /srv/disk rw - ext4 /dev/sdb rw\n",
            "/srv/disk/pool is not a mount point",
        ),
    ],
)
def test_what_is_not_the_export_is_refused(table: Path, options: dict[str, object], line: str, reason: str) -> None:
    assert refusal(table, ROOT + line, changed(**options)) == reason


def test_the_mount_table_is_read_as_the_kernel_writes_it() -> None:
    (found,) = mounts(["36 35 98:0 /mnt1 /a\\040b\\134 rw,noatime master:1 propagate_from:2 - ext3 /dev/root rw"])
    assert (found.root, found.point, found.filesystem, found.source) == ("/mnt1", "/a b\\", "ext3", "/dev/root")


# --- mounting ---


class Mounts(ScriptedRunner):
    """A scripted mount(8) that also changes the table when it succeeds."""

    def __init__(self, table: Path, *exchanges: Exchange) -> None:
        super().__init__(*exchanges)
        self._table = table

    def run(self, arguments: tuple[str, ...], *, stdin: bytes = b"", timeout_s: float = 30.0) -> Done:
        done = super().run(arguments, stdin=stdin, timeout_s=timeout_s)
        if done.status == 0:
            self._table.write_text(ROOT + FILER)
        return done


def test_it_mounts_what_it_is_to_mount_and_only_once(table: Path) -> None:
    table.write_text(ROOT)
    runner = Mounts(table, Exchange(MOUNT, Done(status=0)))
    mounting = Mounting("pool", changed(mount=True), runner, table)
    for _ in range(2):
        mounting.ensure()
    runner.finish()


def test_it_mounts_nothing_unless_it_is_to(table: Path) -> None:
    table.write_text(ROOT)
    with pytest.raises(Unavailable, match="not a mount point"):
        Mounting("pool", OPTIONS, ScriptedRunner(), table).ensure()


def test_what_cannot_be_mounted_is_unavailable(table: Path) -> None:
    table.write_text(ROOT)
    runner = Mounts(table, Exchange(MOUNT, Done(status=32, stderr="mount.nfs4: access denied by server")))
    with pytest.raises(Unavailable, match="status 32") as caught:
        Mounting("pool", changed(mount=True), runner, table).ensure()
    assert "denied" not in str(caught.value)


def test_a_mount_that_hangs_is_not_tried_for_ever(table: Path) -> None:
    table.write_text(ROOT)
    runner = Mounts(table, *[Exchange(MOUNT, Timeout(what="mount", after=30))] * 3)
    mounting = Mounting("pool", changed(mount=True), runner, table)
    for _ in range(3):
        with pytest.raises(Timeout):
            mounting.ensure()
    with pytest.raises(Unavailable, match="did not answer"):
        mounting.ensure()
    runner.finish()


def test_every_option_is_in_the_command_line() -> None:
    options = changed(server="2001:db8::1", version="4.2", port=20490, mount_options="", export="/a b")
    assert remote(options) == "[2001:db8::1]:/a b"
    assert command(options)[4:] == ("vers=4.2,port=20490", "--", "[2001:db8::1]:/a b", "/srv/filer")


def test_options_are_checked() -> None:
    with pytest.raises(msgspec.ValidationError, match="exprt"):
        msgspec.convert({"path": Path("/srv"), "server": "s", "exprt": "/"}, NfsPoolOptions)


async def test_a_directory_that_is_no_mount_is_never_taken_for_the_server(tmp_path: Path) -> None:
    backend = NfsBackend("pool", changed(path=tmp_path))
    with pytest.raises(Unavailable, match="not a mount point"):
        await backend.open()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(Unavailable, match="not open"):
        backend.describe()


# --- a server that answers, or not ---


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Mirror]:
    with mirror(tmp_path) as made:
        yield made


@asynccontextmanager
async def opened(at: Mirror, **changes: object) -> AsyncIterator[NfsBackend]:
    changes = {"timeout_s": 2, "rest_s": 3600, **changes}
    backend = NfsBackend("pool", changed(path=at.mount, **changes))
    await backend.open()
    try:
        yield backend
    finally:
        await backend.close()


async def all_threads(name: str = "nfs-pool") -> None:
    """Wait until every call to the server has ended."""
    for thread in threading.enumerate():
        if thread.name == name:
            await asyncio.to_thread(thread.join)
    await asyncio.sleep(0)


@pytest.mark.root
async def test_the_handle_is_the_server_s_own_export(server: Mirror) -> None:
    async with opened(server, export="/export/pool", address="192.0.2.9", port=20490, version="4.2") as backend:
        made = spec()
        await backend.create(made)
        handle = await backend.access(made.id)
        path = f"/export/pool/volumes/{made.id}/data"
        assert handle == NfsExport(address="192.0.2.9", port=20490, path=path, version="4.2")
        assert (server.server / "volumes" / str(made.id) / "data").is_dir()
        with pytest.raises(NotFound):
            await backend.access(made.id, uuid4())
        with pytest.raises(NotFound):
            await backend.access(uuid4())


@pytest.mark.root
async def test_a_silent_server_holds_nobody_and_is_found_again_by_itself(server: Mirror) -> None:
    async with opened(server) as backend:
        kept, late = spec(), spec()
        await backend.create(kept)
        try:
            server.fall_silent()
            outcomes = await asyncio.gather(
                *(backend.inspect(kept.id) for _ in range(20)), backend.create(late), return_exceptions=True
            )
            assert {type(outcome) for outcome in outcomes} <= {Timeout, Unavailable}
            hanging = sum(thread.name == "nfs-pool" for thread in threading.enumerate())
            assert 3 <= hanging <= 7
            began = time.monotonic()
            for _ in range(1000):
                with pytest.raises(Unavailable):
                    await backend.inspect(kept.id)
            assert time.monotonic() - began < 60
            assert sum(thread.name == "nfs-pool" for thread in threading.enumerate()) == hanging
        finally:
            server.speak()
        await all_threads()
        seen = await backend.inspect(kept.id)
        assert seen is not None
        assert seen.note == kept.note
        await backend.create(late)
        assert {found.id async for found in backend.scan()} == {kept.id, late.id}


@pytest.mark.root
async def test_a_change_that_was_given_up_stops_and_does_not_meet_the_next(server: Mirror) -> None:
    made = spec()
    silent = threading.Event()

    def fall_silent(point: str) -> None:
        if point == "nfs.create.made" and not silent.is_set():
            silent.set()
            server.fall_silent()

    backend = NfsBackend("pool", changed(path=server.mount, timeout_s=2, rest_s=3600), fault=fall_silent)
    await backend.open()
    try:
        with pytest.raises(Timeout):
            await backend.create(made)
        with pytest.raises((Busy, Timeout)):
            await backend.create(made)
        server.speak()
        await all_threads()
        assert await backend.inspect(made.id) is None
        await backend.create(made)
        assert [found.id async for found in backend.scan()] == [made.id]
        await backend.session.idle()
        assert list((server.server / "staging").iterdir()) == []
    finally:
        server.speak()
        await backend.close()


@pytest.mark.root
async def test_opening_and_closing_do_not_wait_for_a_silent_server(server: Mirror) -> None:
    async with opened(server) as backend:
        try:
            server.fall_silent()
            with pytest.raises(Timeout):
                await backend.capacity()
            again = NfsBackend("pool", changed(path=server.mount, timeout_s=2))
            with pytest.raises(Timeout):
                await again.open()
            began = time.monotonic()
            await backend.close()
            assert time.monotonic() - began < 60
        finally:
            server.speak()
            await all_threads()


@pytest.mark.root
async def test_opening_again_and_again_loses_no_more_threads(server: Mirror) -> None:
    async with opened(server) as backend:
        kept = spec()
        await backend.create(kept)
        try:
            server.fall_silent()
            # What else was under way hangs too, and counts.
            for _ in range(2 * OPTIONS.threads):
                with pytest.raises((Timeout, Unavailable)):
                    await backend.open()
            hanging = {thread for thread in threading.enumerate() if thread.name == "nfs-pool"}
            for _ in range(20):
                with pytest.raises(Unavailable):
                    await backend.open()
            assert {thread for thread in threading.enumerate() if thread.name == "nfs-pool"} == hanging
        finally:
            server.speak()
        await all_threads()
        await backend.open()
        assert await backend.inspect(kept.id) is not None


@pytest.mark.root
async def test_a_core_closes_a_pool_whose_server_is_silent_and_keeps_the_others(server: Mirror, tmp_path: Path) -> None:
    options = changed(path=server.mount, timeout_s=2, rest_s=3600)
    pools = (Configured("filer", NfsBackend("filer", options), ()), memory_pool("memory"))
    async with core_on(tmp_path, pools) as core:
        try:
            server.fall_silent()
            await core.pools.close_lost()
            assert core.pools.closed() == ("filer",)
            with pytest.raises((Timeout, Unavailable)):
                await core.pools.open("filer")
        finally:
            server.speak()
        await all_threads("nfs-filer")
        await core.pools.open("filer")
        assert core.pools.closed() == ()
        await core.pools.close()


@pytest.mark.root
async def test_a_server_that_died_is_found_again_when_it_is_mounted_anew(server: Mirror) -> None:
    async with opened(server, timeout_s=30) as backend:
        kept = spec()
        await backend.create(kept)
        server.die()
        for _ in range(2):
            with pytest.raises(Unavailable):
                await backend.inspect(kept.id)
        server.end()
        for call in (backend.inspect(kept.id), backend.create(spec())):
            with pytest.raises(Unavailable, match="not a mount point"):
                await call
        assert list(server.mount.iterdir()) == []
        server.start()
        assert await backend.inspect(kept.id) is not None
        await backend.create(spec())
        await backend.annotate(kept.id, note("changed"))


@pytest.mark.root
async def test_another_server_at_the_same_place_is_not_taken_for_it(server: Mirror, tmp_path: Path) -> None:
    async with opened(server, timeout_s=30) as backend:
        kept = spec()
        await backend.create(kept)
        server.die()
        with pytest.raises(Unavailable):
            await backend.capacity()
        server.end()
        other = Mirror(tmp_path / "other", server.mount)
        other.server.mkdir()
        try:
            other.start()
            with pytest.raises(Unavailable, match="another file system"):
                await backend.create(spec())
            assert list(other.server.iterdir()) == []
        finally:
            other.end()
        server.start()
        assert await backend.inspect(kept.id) is not None


@pytest.mark.root
async def test_a_place_that_is_taken_is_left_alone(server: Mirror) -> None:
    async with opened(server, timeout_s=30) as backend:
        taken = UUID(int=7, version=4)
        place = server.server / "volumes" / str(taken)
        place.mkdir()
        (place / "theirs").write_bytes(b"theirs")
        with pytest.raises(GatewayError):
            await backend.create(spec(taken))
        assert (place / "theirs").read_bytes() == b"theirs"
        seen = [found async for found in backend.scan()]
        assert [(found.id, Path(found.place).name) for found in seen] == [(None, str(taken))]


# --- blocks ---


@pytest.mark.root
async def test_blocks_are_a_file_below_what_clients_mount(server: Mirror) -> None:
    async with opened(server, export="/export/pool", address="192.0.2.9", port=20490) as backend:
        made = spec(kind=BLOCK)
        await backend.create(made)
        below = f"volumes/{made.id}/data"
        handle = await backend.access(made.id)
        assert handle == NfsExport(address="192.0.2.9", port=20490, path="/export/pool", file=below)
        assert handle.place == f"/export/pool/{below}"
        assert await backend.here(made.id) == LocalPath(path=str(server.mount / below))
        assert (server.server / below).stat().st_size == made.size
        await backend.delete(made.id)
        for call in (backend.access(made.id), backend.here(made.id)):
            with pytest.raises(NotFound):
                await call


@pytest.mark.root
async def test_a_server_that_shares_no_blocks_between_files_says_so(server: Mirror) -> None:
    async with opened(server) as backend:
        blocks = derive("pool", backend)[BLOCK]
        assert blocks.operations == {"resize"}
        assert (blocks.facts.thin, blocks.facts.quota, blocks.facts.crash_consistent) == (True, True, False)
        for operation in ("snapshot", "restore", "clone"):
            assert "NFS 4.2" in blocks.why_not[operation]
        assert "convert" in derive("pool", backend)[TREE].operations


@pytest.mark.root
async def test_where_files_can_share_blocks_there_are_snapshots_and_clones(tmp_path: Path) -> None:
    with loop_pool(tmp_path, "xfs", "320M") as mount:
        backend = NfsBackend("pool", changed(path=mount))
        await backend.open()
        try:
            blocks = derive("pool", backend)[BLOCK]
            assert {"snapshot", "clone"} <= blocks.operations
            assert (blocks.facts.split, blocks.facts.crash_consistent) == (True, True)
            made, copy, snapshot = spec(kind=BLOCK), spec(kind=BLOCK), uuid4()
            await backend.create(made)
            await backend.snapshot(made.id, snapshot, note("taken"))
            await backend.clone(made.id, snapshot, copy)
            taken = await backend.access(made.id, snapshot)
            assert (taken.file, taken.read_only) == (f"snapshots/{made.id}/{snapshot}/data", True)
            assert (mount / taken.file).stat().st_size == made.size
            assert (await backend.access(copy.id)).read_only is False
        finally:
            await backend.close()
