"""A tree under version control follows another one of another pool, natively, and is published read only meanwhile."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID

from core_scene import make
from git_scene import Scene

from gateway.core import replication_policies, replications, transfers
from gateway.core.context import Core
from gateway.core.model import Volume, VolumeKind
from gateway.core.pools import Configured
from gateway.core.replication_model import Replication, TransferMethod
from gateway.testing.cores import core_on


@asynccontextmanager
async def pools(folder: Path) -> AsyncIterator[tuple[Core, Scene, Scene]]:
    here, there = Scene(folder / "here"), Scene(folder / "there")
    configured = [Configured("here", here.backend), Configured("there", there.backend)]
    try:
        async with core_on(folder, configured) as core:
            yield core, here, there
    finally:
        await here.backend.close()
        await there.backend.close()


async def transferred(core: Core, replication: UUID) -> int:
    begun = await transfers.transfer(core, replication, description="test")
    ended = await transfers.wait(core, begun.id)
    assert (ended.error, ended.method) == (None, TransferMethod.NATIVE)
    return ended.bytes_transferred


async def test_a_tree_follows_another(tmp_path: Path) -> None:
    async with pools(tmp_path) as (core, here, there):
        source = await make(core, "source", pool="here", kind=VolumeKind.TREE)
        copy = await make(core, "copy", pool="there", kind=VolumeKind.TREE)
        here.commit(source.id, a=b"first" * 10_000)
        policy = await replication_policies.named(core, "Asynchronous")
        new = replications.NewReplication(source_id=source.id, destination_id=copy.id, policy_id=policy.id)
        replication = await replications.create(core, new, description="test")
        for branch in ("main", "side"):
            here.commit(source.id, branch=branch, a=b"first" * 10_000, b=branch.encode())
            assert await transferred(core, replication.id) > 0
            assert there.pool.seen(there.tree(copy.id)) == here.pool.seen(here.tree(source.id))
        follows = await core.get(Volume, copy.id)
        assert follows.replica_of == replication.id
        await replications.break_(core, replication.id, description="test")
        assert (await core.get(Volume, copy.id)).replica_of is None
        there.commit(copy.id, a=b"of the copy's own")
        begun = await replications.resync(core, replication.id, description="test")
        ended = await transfers.wait(core, begun.id)
        assert ended.error is None
        assert there.pool.seen(there.tree(copy.id)) == here.pool.seen(here.tree(source.id))
        assert (await core.get(Replication, replication.id)).healthy
