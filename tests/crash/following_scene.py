"""Two btrfs pools with a volume that follows another one, and a child process that dies at a point of a transfer."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import msgspec

from gateway.backends.btrfs import BtrfsBackend
from gateway.core import replication_policies, replications, transfers, volumes
from gateway.core.backend import FaultHook, no_fault
from gateway.core.catalog import walk
from gateway.core.context import Core
from gateway.core.handles import LocalPath
from gateway.core.model import Pool, Snapshot, Tenant, Volume
from gateway.core.mover import MoveJob
from gateway.core.observer import SilentObserver
from gateway.core.pools import Configured
from gateway.core.query import Order as Ordered
from gateway.core.query import Query
from gateway.core.replication_model import Replication, Transfer, TransferMethod
from gateway.core.replicator import Replicator
from gateway.mover.client import ProcessMover
from gateway.mover.ends import move
from gateway.mover.meter import Meter
from gateway.testing.cores import core_on
from gateway.testing.faults import KillAt
from gateway.testing.forks import ForkServer

SIZE = 64 << 20
CHILD_LIMIT_S = 120
ENDS = ("source", "destination")


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What the child does: one transfer, until the `count`-th time of `point`."""

    folder: str
    method: TransferMethod
    replication: UUID
    point: str
    count: int = 1


class _Later:
    """Passes nothing on until it is armed: opening a pool passes points, too."""

    def __init__(self) -> None:
        self.hook: FaultHook = no_fault

    def __call__(self, point: str) -> None:
        self.hook(point)


def doomed(point: str) -> ProcessMover:
    """Give a mover whose processes die at a point of their work."""
    code = f"import sys; sys.path.insert(0, sys.argv[1]); from following_scene import fall; fall({point!r})"
    return ProcessMover(program=(sys.executable, "-c", code, str(Path(__file__).parent)))


def fall(point: str) -> None:
    """Do the job on standard input, and die at a point of it."""
    job = msgspec.json.decode(sys.stdin.buffer.readline(), type=MoveJob)
    move(job, Meter(job.throttle, lambda _progress: None, fault=KillAt(point)))


@asynccontextmanager
async def opened(
    folder: Path, method: TransferMethod, fault: FaultHook = no_fault, *, mover: ProcessMover | None = None
) -> AsyncIterator[Core]:
    """Give the core as a start finds it: what a predecessor left is settled. By a mover where streams are disabled."""
    disabled = ("replicate",) if method is TransferMethod.MOVER else ()
    backends = {name: BtrfsBackend(name, BtrfsBackend.Options(path=folder / name), fault=fault) for name in ENDS}
    mover = mover or ProcessMover()
    try:
        pools = [Configured(name, backend, disabled) for name, backend in backends.items()]
        async with core_on(folder, pools, mover=mover, fault=fault) as core:
            yield core
    finally:
        await mover.close()
        for backend in backends.values():
            await backend.close()


async def furnish(core: Core) -> UUID:
    """Make a volume in each pool, and let one follow the other; give the replication."""
    tenant = await core.find(Tenant, name="svm1")
    assert tenant is not None
    made: list[UUID] = []
    for name in ENDS:
        pool = await core.find(Pool, name=name)
        assert pool is not None
        new = volumes.NewVolume(name=name, tenant_id=tenant.id, pool_id=pool.id, size=SIZE)
        job = await (await volumes.create(core, new, description="furnish")).result()
        made.append(job.target_id or uuid4())
    policy = await replication_policies.named(core, "Asynchronous")
    pair = replications.NewReplication(source_id=made[0], destination_id=made[1], policy_id=policy.id)
    return (await replications.create(core, pair, description="furnish")).id


async def perform(core: Core, replication_id: UUID) -> Transfer:
    """Transfer, and wait for the end."""
    begun = await transfers.transfer(core, replication_id, description="kill")
    return await transfers.wait(core, begun.id)


async def go_on(core: Core) -> None:
    """Make a pass, as a gateway does that has just started, and wait for what it took over."""
    await Replicator(core, SilentObserver()).run(datetime.now(tz=UTC))
    async for transfer in walk(core.catalog, Transfer, Query(order=(Ordered("id"),))):
        await transfers.wait(core, transfer.id)


async def folder_of(core: Core, name: str) -> Path:
    """Give where the files of the volume of that name are."""
    volume = await core.find(Volume, name=name)
    assert volume is not None
    handle = await core.pools.get(volume.pool_id).backend.access(volume.id)
    assert isinstance(handle, LocalPath)
    return Path(handle.path)


async def held(core: Core, name: str) -> dict[str, bytes]:
    """Give the files of the volume of that name."""
    return {path.name: path.read_bytes() for path in (await folder_of(core, name)).iterdir()}


async def taken(core: Core, replication_id: UUID) -> list[int]:
    """Give how many snapshots the ends have."""
    replication = await core.get(Replication, replication_id)
    found = (await core.catalog.page(Snapshot, Query())).records
    ends = (replication.source.volume_id, replication.volume_id)
    return [sum(one.volume_id == end for one in found) for end in ends]


def die(order: Order, forks: ForkServer) -> None:
    """Let a process die where the order says."""
    with (Path(order.folder) / "victim.log").open("wb+") as log:
        entry, document = f"{__name__}:victim", msgspec.json.encode(order).decode()
        process = forks.start(entry, document, environment=os.environ, stdout=log.fileno(), stderr=log.fileno())
        try:
            status = process.wait(CHILD_LIMIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        log.seek(0)
        said = log.read().decode()[-2000:]
    assert status == -signal.SIGKILL, f"{order} did not die: {status}\n{said}"


def victim(document: str) -> None:
    """Perform the transfer of an order and die in it."""
    asyncio.run(_die(msgspec.json.decode(document, type=Order)))


async def _die(order: Order) -> None:
    fault = _Later()
    async with opened(Path(order.folder), order.method, fault) as core:
        fault.hook = KillAt(order.point, order.count)
        await perform(core, order.replication)
