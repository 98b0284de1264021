"""Two gateways agree, and volumes of one follow those of the other."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from peers_scene import Scene

from gateway.core import replications, transfers, volumes
from gateway.core.replication_model import ReplicationState, TransferMethod, TransferState


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    scene = Scene(tmp_path)
    async with scene.running():
        yield scene


async def test_a_volume_follows_one_at_a_peer(scene: Scene) -> None:
    await scene.joined()
    source, destination, replication = await scene.pair()
    ended = await scene.transferred(replication)
    assert (ended.error, ended.method, ended.state) == (None, TransferMethod.MOVER, TransferState.SUCCESS)
    assert scene.here.files(destination) == {"f": b"content", "g": b"more"}

    scene.there.write(source, f=b"changed", g=None)
    ended = await scene.transferred(replication)
    assert ended.error is None
    assert scene.here.files(destination) == {"f": b"changed"}
    assert (await scene.there.names(source), await scene.here.names(destination)) == (["snapmirror"], ["snapmirror"])

    broken = await replications.break_(scene.here.core, replication.id, description="test")
    assert broken.state is ReplicationState.BROKEN
    scene.here.write(destination, mine=b"written here")
    await transfers.wait(
        scene.here.core, (await replications.resync(scene.here.core, replication.id, description="test")).id
    )
    assert (await scene.now(replication)).reason == ""
    assert scene.here.files(destination) == {"f": b"changed"}

    await replications.delete(scene.here.core, replication.id, description="test")
    assert (await scene.there.names(source), await scene.here.names(destination)) == ([], [])
    await (await volumes.delete(scene.there.core, source.id, description="test")).result()
