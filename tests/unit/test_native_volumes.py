"""Volumes and snapshots through the native door."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import pytest
from core_scene import MIB, LocalMemory, PaperExporter, make
from native_scene import NOWHERE, Scene, native_door, new

from gateway.backends.memory import MemoryOptions
from gateway.client import ClientError, native
from gateway.core import errors
from gateway.core.model import Snapshot, Volume
from gateway.core.pools import Configured
from gateway.core.query import ALL
from gateway.frontends.native import render
from gateway.testing.cores import memory_pool

LABELS = {"cinder.volume": "c1"}


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Scene]:
    async with native_door(tmp_path) as scene:
        yield scene


async def test_a_volume_lives(door: Scene) -> None:
    policy = native.Rule(clients=("10.0.0.0/8",), write=True)
    await door.run(native.set_export_policy("svm1", "p", [policy]))
    made = await door.make("v", comment="c", labels=LABELS, path="/v", export_policy="p", multi_attach=True)
    assert (made.tenant, made.pool, made.kind, made.state) == ("svm1", "memory", "filesystem", "online")
    assert (made.comment, made.labels, made.path, made.export_policy) == ("c", LABELS, "/v", "p")
    assert (made.multi_attach, made.thick, made.size, made.origin) == (True, False, 20 * MIB, None)
    assert made.created is not None
    assert made.created.tzinfo is not None
    values = {"name": "w", "size": 30 * MIB, "comment": "", "labels": {}, "path": None, "export_policy": None}
    changed = await door.run(native.change_volume(made.id, {**values, "multi_attach": False}))
    assert (changed.id, changed.name, changed.size, changed.labels) == (made.id, "w", 30 * MIB, {})
    assert (changed.path, changed.export_policy, changed.multi_attach) == (None, None, False)
    assert changed.revision > made.revision
    offline = await door.run(native.change_volume(made.id, {"state": "offline"}))
    assert offline.state == "offline"
    await door.run(native.delete_volume(made.id))
    await door.run(native.delete_volume(made.id))
    await door.refused(native.volume(made.id), "NotFound", kind="volume", ref=made.id)


async def test_lists_are_narrowed_and_read_on(door: Scene) -> None:
    for name in ("b", "a", "c"):
        await door.make(name, kind="block" if name == "c" else "filesystem", path="/B" if name == "b" else None)
    listed = native.volumes()
    assert [one.name for one in await door.all(listed)] == ["a", "b", "c"]
    page = await door.ask("GET", "/gateway/volumes?limit=2")
    following = page.json()["next"]
    rest = (await door.ask("GET", f"/gateway/volumes?limit=2&after={following}")).json()
    assert ([one["name"] for one in rest["records"]], rest["next"]) == (["c"], "")
    for wanted, names in (
        ({"kind": "block"}, ["c"]),
        ({"name": "a", "tenant": "svm1"}, ["a"]),
        ({"name": "a*"}, []),
        ({"tenant": "svm2"}, []),
        ({"pool": "memory", "path": "/B"}, ["b"]),
        ({"path": "/b"}, []),
    ):
        assert [one.name for one in await door.all(native.volumes(**wanted))] == names, wanted


async def test_snapshots_live(door: Scene) -> None:
    volume = await door.make("v")
    taken = await door.run(native.create_snapshot(volume.id, "s", labels=LABELS, comment="c"))
    assert (taken.volume, taken.volume_name, taken.tenant, taken.pool) == (volume.id, "v", "svm1", "memory")
    assert (taken.state, taken.labels, taken.comment, taken.clone_count) == ("valid", LABELS, "c", 0)
    await door.run(native.create_snapshot(volume.id, "t"))
    found = await door.run(native.snapshot_named(volume.id, "s"))
    assert found == taken
    changed = await door.run(native.change_snapshot(taken.id, {"name": "u", "comment": "", "labels": {}}))
    assert (changed.id, changed.name, changed.labels, changed.comment) == (taken.id, "u", {}, "")
    assert [one.name for one in await door.all(native.snapshots(volume=volume.id, tenant="svm1"))] == ["t", "u"]
    assert (await door.run(native.restore_volume(volume.id, taken.id))).snapshot_count == 2
    restored = await door.run(native.restore_volume(volume.id, taken.id, discard_newer=True))
    assert restored.snapshot_count == 1
    await door.run(native.delete_snapshot(taken.id))
    await door.run(native.delete_snapshot(taken.id))
    assert await door.all(native.snapshots()) == []


async def test_what_goes_while_it_is_told_is_not_there(door: Scene) -> None:
    volume = await door.make("v")
    made = await door.run(native.create_snapshot(volume.id, "s"))
    snapshot = await door.core.get(Snapshot, UUID(made.id))
    await door.run(native.delete_volume(volume.id))
    with pytest.raises(errors.NotFound):
        await render.snapshot(door.core, snapshot)


async def test_a_clone_of_a_volume_as_it_is_leaves_nothing_behind(door: Scene) -> None:
    volume = await door.make("v", multi_attach=True, comment="source")
    clone = await door.run(native.clone_volume(volume.id, native.NewClone(name="c", size=40 * MIB, multi_attach=False)))
    assert clone.origin is not None
    assert (clone.origin.volume, clone.size, clone.labels, clone.multi_attach) == (volume.id, 40 * MIB, {}, False)
    like = await door.run(native.clone_volume(volume.id, native.NewClone(name="d", labels=LABELS)))
    assert (like.size, like.labels, like.multi_attach, like.comment) == (20 * MIB, LABELS, True, "")
    await door.run(native.delete_volume(like.id))
    assert await door.all(native.snapshots()) == []
    assert clone.origin.snapshot is not None
    await door.refused(native.snapshot(clone.origin.snapshot), "NotFound", kind="snapshot")
    await door.run(native.delete_volume(clone.id))
    assert await door.core.catalog.count(Snapshot, ALL) == 0


async def test_a_clone_of_a_snapshot(door: Scene) -> None:
    volume, other = await door.make("v"), await door.make("o")
    taken = await door.run(native.create_snapshot(volume.id, "s"))
    clone = await door.run(native.clone_volume(volume.id, native.NewClone(name="c", snapshot=taken.id)))
    assert clone.origin == native.Origin(volume=volume.id, snapshot=taken.id)
    await door.refused(native.delete_snapshot(taken.id), "InUse", by="clones")
    wrong = native.NewClone(name="d", snapshot=taken.id)
    await door.refused(native.clone_volume(other.id, wrong), "NotFound", kind="snapshot")
    for _ in range(2):
        await door.run(native.delete_snapshot(taken.id, retire=True))
    assert await door.all(native.snapshots()) == []
    await door.run(native.delete_volume(clone.id))
    assert await door.core.catalog.count(Snapshot, ALL) == 0


async def test_a_volume_that_others_need_goes_with_the_last_of_them(door: Scene) -> None:
    volume = await door.make("v")
    taken = await door.run(native.create_snapshot(volume.id, "s"))
    clone = await door.run(native.clone_volume(volume.id, native.NewClone(name="c", snapshot=taken.id)))
    await door.run(native.delete_volume(volume.id))
    await door.refused(native.volume(volume.id), "NotFound")
    await door.refused(native.snapshot(taken.id), "NotFound")
    assert [one.name for one in await door.all(native.volumes())] == ["c"]
    assert await door.all(native.snapshots()) == []
    await door.make("v")
    await door.run(native.delete_volume(clone.id))


async def test_snapshots_of_one_instant(door: Scene) -> None:
    one, two = await door.make("one"), await door.make("two")
    members = [native.NewMember(volume=each.id, name="s", labels=LABELS) for each in (two, one)]
    taken = await door.run(native.create_snapshot_group(members))
    assert [(each.volume_name, each.name, each.labels) for each in taken] == [
        ("two", "s", LABELS),
        ("one", "s", LABELS),
    ]
    assert taken[0].created == taken[1].created
    assert await door.run(native.ensure_snapshot_group(members)) == taken
    mine = await door.make("mine", who="alice")
    others = [native.NewMember(volume=each.id, name="t") for each in (one, mine)]
    await door.refused(native.create_snapshot_group(others), "NotFound", "bob", kind="volume")
    await door.refused(native.create_snapshot_group([]), "LimitExceeded", limit="members")
    many = [native.NewMember(volume=NOWHERE, name="t")] * 101
    await door.refused(native.create_snapshot_group(many), "LimitExceeded", limit="members", value=101)
    assert len(await door.all(native.snapshots())) == 2


async def test_a_change_is_waited_for_as_long_as_asked(tmp_path: Path) -> None:
    pool, free = LocalMemory("memory", MemoryOptions()), asyncio.Event()
    async with native_door(tmp_path, [Configured("memory", pool)]) as door:
        made = await door.make("v")
        pool.before_annotate = free.wait
        path = f"/gateway/volumes/{made.id}?wait=0"
        accepted = await door.ask("PATCH", path, {"comment": "later"})
        assert accepted.status_code == 202
        key = accepted.json()["job"]["id"]
        assert (await door.run(native.job(key))).state == "running"
        assert door.traces[-2].outcome == "accepted"
        free.set()
        job = await door.run(native.finished(key))
        assert (job.operation, job.state, job.target_id, job.error) == ("volume.update", "success", made.id, None)
        assert (await door.run(native.volume(made.id))).comment == "later"
        await door.refused(native.job(key), "NotFound", "alice", kind="job")


async def test_a_change_is_not_waited_for_until_the_request_is_given_up(tmp_path: Path) -> None:
    pool, free = LocalMemory("memory", MemoryOptions()), asyncio.Event()
    async with native_door(tmp_path, [Configured("memory", pool)], answer_timeout_s=0.05) as door:
        volume = await make(door.core, "v")
        pool.before_annotate = free.wait
        accepted = await door.ask("PATCH", f"/gateway/volumes/{volume.id}?wait=120", {"comment": "later"})
        assert accepted.status_code == 202
        free.set()
        await door.run(native.finished(accepted.json()["job"]["id"]))


async def test_a_maker_may_be_repeated(door: Scene) -> None:
    wanted = new("v", labels=LABELS)
    made = await door.run(native.ensure_volume(wanted, same=LABELS))
    assert await door.run(native.ensure_volume(wanted, same=LABELS)) == made
    await door.refused(native.ensure_volume(wanted, same={"cinder.volume": "c2"}), "AlreadyExists", field="name")
    clone = native.NewClone(name="c", labels=LABELS)
    first = await door.run(native.ensure_clone(made.id, clone, same=LABELS))
    assert (await door.run(native.ensure_clone(made.id, clone, same=LABELS))).id == first.id
    flow = native.ensure_snapshot
    taken = await door.run(flow(made.id, "s", same=LABELS, labels=LABELS))
    assert await door.run(flow(made.id, "s", same=LABELS, labels=LABELS)) == taken
    assert await door.core.catalog.count(Volume, ALL) == 2


async def test_names_are_looked_up(door: Scene) -> None:
    await door.refused(native.create_volume(new("v", tenant="none")), "NotFound", kind="tenant", ref="none")
    await door.refused(native.create_volume(new("v", pool="none")), "NotFound", kind="pool", ref="none")
    await door.refused(native.create_volume(new("v", export_policy="p")), "NotFound", kind="export policy")
    assert await door.run(native.volume_named("v", tenant="svm1")) is None
    made = await door.make("v")
    assert await door.run(native.volume_named("v", tenant="svm1")) == made
    (tenant,) = await door.run(native.tenants())
    assert (tenant.name, str(UUID(tenant.id))) == ("svm1", tenant.id)


async def test_pools_say_what_they_can(tmp_path: Path) -> None:
    pools = [memory_pool(), memory_pool("poor", disabled=("snapshot",))]
    async with native_door(tmp_path, pools) as door:
        full, poor = await door.run(native.pools())
        assert (full.name, full.driver, full.state, full.reason) == ("memory", "memory", "online", "")
        assert full.volatile
        for kind in ("block", "filesystem"):
            assert full.can(kind, "snapshot_group")
            assert full.can(kind, "thin")
            assert full.kinds[kind].can == tuple(sorted(full.kinds[kind].can))
            assert full.kinds[kind].ways == ()
            assert not poor.can(kind, "snapshot")
            assert poor.kinds[kind].why_not["snapshot"] == "disabled by the operator"
        await door.core.pools.close()
        assert {(pool.kinds.get("block"), pool.reason) for pool in await door.run(native.pools())} == {
            (None, "its substrate does not answer")
        }


async def test_policies_are_set_whole_and_published(tmp_path: Path) -> None:
    exporter = PaperExporter()
    async with native_door(tmp_path, exporter=exporter) as door:
        mine, all_of_six = native.Rule(clients=("10.1.2.3", "10.0.0.0/24"), write=True), native.Rule(clients=("::/0",))
        given = [native.Rule(clients=("10.1.2.3/32", "10.0.0.7/24"), write=True), all_of_six]
        assert (await door.run(native.set_export_policy("svm1", "p", given))).rules == (mine, all_of_six)
        made = await door.make("v", path="/v", export_policy="p")
        (export,) = exporter.exports.values()
        assert [(rule.clients, rule.write) for rule in export.rules] == [
            (("10.1.2.3", "10.0.0.0/24"), True),
            (("::/0",), False),
        ]
        await door.refused(native.delete_export_policy("svm1", "p"), "InUse", by="volumes")
        exporter.exports.clear()
        exporter.down = True
        await door.refused(native.set_export_policy("svm1", "p", given), "Unavailable")
        exporter.down = False
        await door.run(native.set_export_policy("svm1", "p", given))
        assert len(exporter.exports) == 1
        await door.run(native.set_export_policy("svm1", "p", []))
        assert exporter.exports[UUID(made.id)].rules == ()
        assert await door.run(native.export_policy("svm1", "p")) == native.ExportPolicy(name="p", tenant="svm1")
        handles = await door.run(native.handles(made.id))
        assert [handle.kind for handle in handles] == ["local_path", "nfs"]
        await door.run(native.delete_volume(made.id))
        await door.run(native.delete_export_policy("svm1", "p"))
        await door.run(native.delete_export_policy("svm1", "p"))


async def test_a_policy_of_another_door_is_shown_as_far_as_it_grants(door: Scene) -> None:
    shown = await door.run(native.export_policy("svm1", "default"))
    assert shown.name == "default"
    with pytest.raises(ClientError, match="cannot delete"):
        await door.run(native.delete_export_policy("svm1", "default"))
