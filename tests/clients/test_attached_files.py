"""Volumes of files are attached to nodes with addresses of their own, which reach them over NFS while they are."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import msgspec
import pytest
from exporter_scene import end_daemon, free_port
from nfs_nodes import Node, node_at
from nfs_scene import Nfs

from gateway.backends.btrfs import BtrfsBackend, BtrfsOptions
from gateway.core import attachments, errors, retired, snapshots, volumes
from gateway.core.attachments import NewAttachment
from gateway.core.backend import FaultHook, no_fault
from gateway.core.context import Core
from gateway.core.handles import NfsExport
from gateway.core.model import AttachMode, Intent, Pool, Tenant, Transport, Volume
from gateway.core.pools import Configured
from gateway.core.query import Query
from gateway.exports.nfs import NfsExporter, NfsOptions
from gateway.testing.btrfs_pool import btrfs_pool
from gateway.testing.cores import core_on
from gateway.testing.wire import NfsMount

pytestmark = pytest.mark.root

MIB = 1 << 20
NODES = {"one": "127.0.0.2", "two": "127.0.0.3", "three": "127.0.0.4"}
"""Every address of the loopback network is one of this host."""

VICTIM = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_attached_files import ACTS, Armed, Place
from gateway.testing.faults import KillAt

async def main(folder, port, name, point, count):
    fault = Armed()
    async with Place(Path(folder), int(port)).core(fault=fault) as core:
        fault.hook = KillAt(point, int(count))
        await ACTS[name].change(core)

asyncio.run(main(*sys.argv[2:]))
"""


class Armed:
    """Passes nothing on until it is armed: opening passes points, too."""

    def __init__(self) -> None:
        self.hook: FaultHook = no_fault

    def __call__(self, point: str) -> None:
        self.hook(point)


class Place:
    """A btrfs pool in a folder, and a core with an NFS server on it, as often as wanted."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.port = port

    @asynccontextmanager
    async def core(self, *, fault: FaultHook = no_fault) -> AsyncIterator[Core]:
        backend = BtrfsBackend("fast", BtrfsOptions(path=self.folder / "btrfs"))
        exporter = NfsExporter(NfsOptions(port=self.port), self.folder / "nfs", fault=fault)
        await exporter.open()
        try:
            pools = [Configured("fast", backend)]
            async with core_on(self.folder, pools, exporter=exporter, fault=fault) as core:
                # As `House.converge_exports` does.
                for volume_id in [*await core.publisher.stale(), *[one async for one in core.publisher.wished()]]:
                    await core.publisher.converge(volume_id)
                yield core
        finally:
            await exporter.close()
            await backend.close()


@contextmanager
def nodes_at(port: int, folder: Path) -> Iterator[dict[str, Node]]:
    with contextlib.ExitStack() as stack:
        yield {name: stack.enter_context(node_at(address, port)) for name, address in NODES.items()}


class Clients:
    """The nodes' NFS clients."""

    def __init__(self, nodes: dict[str, Node], folder: Path) -> None:
        self._nodes = nodes
        self._folder = folder

    def nfs(self, node: str) -> Nfs:
        return Nfs(self._nodes[node].port, self._folder, self._nodes[node].address)

    def mount(self, node: str, path: str) -> contextlib.closing[NfsMount]:
        there = self._nodes[node]
        return contextlib.closing(NfsMount(NfsExport(address=there.address, port=there.port, path=path)))

    async def reaching(self, path: str) -> set[str]:
        """Give the nodes that can look into an export."""
        return {node for node in self._nodes if await asyncio.to_thread(self.nfs(node).reaches, path)}


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with btrfs_pool(tmp_path):
        try:
            yield Place(tmp_path, free_port())
        finally:
            for name in ("ganesha.nfsd", "dbus-daemon"):
                end_daemon(tmp_path / "nfs", name)


@pytest.fixture
def clients(place: Place) -> Iterator[Clients]:
    with nodes_at(place.port, place.folder) as nodes:
        yield Clients(nodes, place.folder)


async def the_volume(core: Core) -> Volume:
    found = await core.find(Volume, name="data")
    assert found is not None
    return found


async def make(core: Core) -> Volume:
    tenant, pool = await core.find(Tenant, name="svm1"), await core.find(Pool, name="fast")
    new = volumes.NewVolume(name="data", tenant_id=tenant.id, pool_id=pool.id, size=32 * MIB)
    await (await volumes.create(core, new, description="test")).result()
    return await the_volume(core)


async def attach(core: Core, node: str, **more: object) -> None:
    new = NewAttachment(node=node, transport=Transport.NFS, clients=(NODES[node],), **more)  # type: ignore[arg-type]
    await (await attachments.attach(core, (await the_volume(core)).id, new, description="test")).result()


async def detach(core: Core, node: str) -> None:
    await (await attachments.detach(core, (await the_volume(core)).id, node, description="test")).result()


async def test_each_node_reaches_what_it_has_while_it_has_it(place: Place, clients: Clients) -> None:
    async with place.core() as core:
        volume = await make(core)
        assert await clients.reaching("/data") == set()
        await attach(core, "one")
        assert await clients.reaching("/data") == {"one"}
        await asyncio.to_thread(clients.nfs("one").write, "/data/file", b"first")
        await attach(core, "two", mode=AttachMode.READ_ONLY)
        assert await clients.reaching("/data") == {"one", "two"}
        assert await asyncio.to_thread(clients.nfs("two").read, "/data/file") == b"first"
        refused = await asyncio.to_thread(clients.nfs("two").try_write, "/data/other", b"x")
        assert b"NFS4ERR_ROFS" in refused.stderr
        with clients.mount("one", "/data") as one, clients.mount("two", "/data") as two:
            assert (one.read("/file"), two.read("/file")) == (b"first", b"first")
            await detach(core, "one")
            with pytest.raises(OSError):
                one.read("/file")
            assert two.read("/file") == b"first"
        assert await clients.reaching("/data") == {"two"}
        with pytest.raises(errors.InUse):
            await retired.remove(core, volume.id, description="test")
    async with place.core():
        assert await clients.reaching("/data") == {"two"}


async def test_a_node_that_takes_a_volume_cuts_the_others_off(place: Place, clients: Clients) -> None:
    async with place.core() as core:
        volume = await make(core)
        for node in ("one", "two"):
            await attach(core, node)
        with clients.mount("one", "/data") as one:
            one.write("/file", b"first")
            await attach(core, "three", preempt=True)
            with pytest.raises(OSError):
                one.write("/file", b"second")
        assert await clients.reaching("/data") == {"three"}
        with clients.mount("three", "/data") as three:
            new = snapshots.NewSnapshot(name="s", volume_id=volume.id)
            taken = (await (await snapshots.create(core, new, description="test")).result()).target_id
            assert taken is not None
            three.write("/file", b"second")
        back = await volumes.restore(core, volume.id, taken, description="test", discard_newer=True)
        await back.result()
        assert await asyncio.to_thread(clients.nfs("three").read, "/data/file") == b"first"
        await (await retired.remove(core, volume.id, description="test", force=True)).result()
        assert await clients.reaching("/data") == set()


class Act(msgspec.Struct, frozen=True):
    """A change, which nodes have the volume before and after it, and points that it passes, with the how manieth pass.

    What a change takes away is gone before its note is written, and what it
    gives is there after its end is committed.
    """

    change: Callable[[Core], Awaitable[None]]
    before: frozenset[str]
    after: frozenset[str]
    passes: tuple[tuple[str, int], ...]


def _published(count: int) -> tuple[tuple[str, int], ...]:
    return tuple((point, count) for point in ("nfs.publish.written", "nfs.publish.applied"))


ONE = frozenset({"one"})
ACTS = {
    "give to the first": Act(
        lambda core: attach(core, "one"),
        frozenset(),
        ONE,
        (
            ("volume.update.journalled", 1),
            ("volume.update.withdrawn", 1),
            ("volume.update.applied", 1),
            ("volume.update.committed", 1),
            ("nfs.publish.recorded", 1),
            *_published(1),
        ),
    ),
    "give to another": Act(
        lambda core: attach(core, "two"), ONE, ONE | {"two"}, (("volume.update.narrowed", 1), *_published(1))
    ),
    "take away": Act(
        lambda core: detach(core, "one"),
        ONE,
        frozenset(),
        (*_published(1), ("volume.update.narrowed", 1), ("volume.update.applied", 1)),
    ),
    "take from others": Act(
        lambda core: attach(core, "three", preempt=True),
        ONE,
        frozenset({"three"}),
        (*_published(1), ("volume.update.narrowed", 1), ("volume.update.committed", 1), *_published(2)),
    ),
}
CASES = [(name, point, count) for name, act in ACTS.items() for point, count in act.passes]


@pytest.mark.parametrize(("name", "point", "count"), CASES)
async def test_killed_at_any_point_the_nodes_reach_what_they_have(
    place: Place, clients: Clients, name: str, point: str, count: int
) -> None:
    act = ACTS[name]
    async with place.core() as core:
        await make(core)
        for node in act.before:
            await attach(core, node)
    folder, port = str(place.folder), str(place.port)
    argv = [sys.executable, "-c", VICTIM, str(Path(__file__).parent), folder, port, name, point, str(count)]
    done = await asyncio.to_thread(subprocess.run, argv, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == -signal.SIGKILL, done.stderr
    async with place.core() as core:
        assert (await core.catalog.page(Intent, Query())).records == ()
        have = {attachment.node for attachment in (await the_volume(core)).attachments}
        assert have in (act.before, act.after)
        assert await clients.reaching("/data") == have
        if have != act.after:
            await act.change(core)
        assert await clients.reaching("/data") == act.after
