"""Replications by the native door and its client: what is told, what is done, what is refused."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest
from native_scene import NOWHERE, Scene, native_door
from replication_scene import Lasting

from gateway.client import native
from gateway.core import replication_policies
from gateway.core.model import utc_now
from gateway.core.pools import Configured
from gateway.core.replication_model import ReplicationPolicy, ReplicationRule

REPLICATIONS = "/gateway/replications"


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Scene]:
    pools = [Configured(name, Lasting(name)) for name in ("memory", "there")]
    async with native_door(tmp_path, pools) as scene:
        yield scene


async def pair(door: Scene, *, who: str = "root") -> tuple[native.Volume, native.Volume, native.Replication]:
    source, destination = await door.make("source", who=who), await door.make("copy", pool="there", who=who)
    new = native.NewReplication(source=source.id, volume=destination.id)
    return source, destination, await door.run(native.create_replication(new), who)


def write(door: Scene, volume: native.Volume, path: str, data: bytes) -> None:
    backend = next(pool.backend for pool in door.core.pools if pool.name == volume.pool)
    assert isinstance(backend, Lasting)
    backend.content(volume.id)[path] = data


def read(door: Scene, volume: native.Volume, path: str) -> bytes:
    backend = next(pool.backend for pool in door.core.pools if pool.name == volume.pool)
    assert isinstance(backend, Lasting)
    return backend.content(volume.id)[path]


async def test_the_whole_life(door: Scene) -> None:
    source, destination, made = await pair(door)
    assert (made.volume, made.volume_name, made.pool, made.tenant) == (destination.id, "copy", "there", "svm1")
    assert (made.source.volume, made.source.name, made.source.tenant) == (source.id, "source", "svm1")
    assert (made.policy, made.state, made.transfer, made.base) == ("Asynchronous", "uninitialized", None, None)
    write(door, source, "f", b"1")
    first = await door.run(native.transfer(made.id))
    assert (first.kind, first.state, first.method, first.replication) == ("initialize", "success", "native", made.id)
    assert first.bytes_transferred == first.bytes_total > 0
    now = await door.run(native.replication(made.id))
    assert (now.state, now.transfer, now.total_bytes) == ("mirrored", first, first.bytes_transferred)
    assert now.base_created is not None
    assert read(door, destination, "f") == b"1"

    changed = await door.run(native.change_replication(made.id, {"policy": "MirrorLatest", "throttle": 5}))
    assert (changed.policy, changed.throttle, changed.state) == ("MirrorLatest", 5, "mirrored")
    assert (await door.run(native.change_replication(made.id, {"paused": True}))).state == "paused"
    await door.refused(native.transfer(made.id), "InvalidState", kind="replication", state="paused")
    back = {"paused": False, "throttle": None, "policy": "Asynchronous"}
    assert (await door.run(native.change_replication(made.id, back))).throttle is None

    assert (await door.run(native.break_replication(made.id))).state == "broken"
    write(door, destination, "f", b"2")
    assert (await door.run(native.resync(made.id))).kind == "resync"
    assert read(door, destination, "f") == b"1"
    await door.run(native.break_replication(made.id))
    write(door, destination, "f", b"3")
    assert (await door.run(native.reverse(made.id))).state == "success"
    assert read(door, source, "f") == b"3"
    turned = await door.run(native.replication(made.id))
    assert (turned.volume, turned.source.volume) == (source.id, destination.id)

    runs = await door.all(native.transfers(made.id))
    assert [run.kind for run in runs] == ["resync", "resync", "initialize"]
    await door.refused(native.abort_transfer(made.id, runs[0].id), "InvalidState", kind="transfer")
    await door.run(native.delete_replication(made.id))
    await door.run(native.delete_replication(made.id))
    assert await door.all(native.replications()) == []
    assert await door.all(native.snapshots()) == []


async def test_lists_and_policies(door: Scene) -> None:
    source, destination, made = await pair(door)
    for listing in (
        native.replications(),
        native.replications(tenant="svm1"),
        native.replications(volume=destination.id),
        native.replications(source=source.id),
    ):
        assert [one.id for one in await door.all(listing)] == [made.id]
    assert await door.all(native.replications(volume=source.id)) == []
    rule = ReplicationRule(label="daily", count=3)
    policy = ReplicationPolicy(id=uuid4(), name="mine", created=utc_now(), rules=(rule,), comment="c")
    await replication_policies.create(door.core, policy)
    found = {one.name: one for one in await door.run(native.replication_policies())}
    assert set(found) == {"Asynchronous", "MirrorLatest", "MirrorAllSnapshots", "XDPDefault", "mine"}
    assert (dict(found["mine"].keep), found["mine"].choice, found["mine"].tenant) == ({"daily": 3}, "create", None)


async def test_refusals(door: Scene) -> None:
    source, destination, made = await pair(door)
    new = native.NewReplication(source=source.id, volume=destination.id)
    await door.refused(native.create_replication(new), "AlreadyExists", kind="replication")
    nowhere = native.NewReplication(source=NOWHERE, volume=destination.id)
    await door.refused(native.create_replication(nowhere), "NotFound", kind="volume")
    unknown = native.NewReplication(source=source.id, volume=destination.id, policy="none such")
    await door.refused(native.create_replication(unknown), "NotFound", kind="replication policy")
    await door.refused(native.replication(NOWHERE), "NotFound", kind="replication")
    await door.refused(native.break_replication(made.id), "InvalidState", kind="replication")
    await door.refused(native.resync(made.id), "InvalidState", kind="replication")
    await door.refused(native.reverse(made.id), "InvalidState", kind="replication")
    await door.refused(native.abort_transfer(made.id, NOWHERE), "NotFound", kind="transfer")
    await door.refused(native.delete_volume(source.id), "InUse", by="replication")
    await door.refused(native.change_volume(destination.id, {"size": 1 << 30}), "InvalidState", state="replica")
    for body, field in (({"nonsense": 1}, "nonsense"), ({"throttle": "x"}, "throttle")):
        status, error = await door.told("PATCH", f"{REPLICATIONS}/{made.id}", body)
        assert (status, error["fields"]["field"]) == (400, field)


async def test_what_belongs_to_others_is_not_there(door: Scene) -> None:
    _, _, made = await pair(door, who="alice")
    for flow in (native.replication(made.id), native.transfer(made.id), native.break_replication(made.id)):
        await door.refused(flow, "NotFound", "bob", kind="replication")
    assert await door.all(native.replications(), "bob") == []
    assert [one.id for one in await door.all(native.replications(), "alice")] == [made.id]
    assert (await door.run(native.transfer(made.id), "alice")).state == "success"
