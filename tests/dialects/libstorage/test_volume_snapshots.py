"""Snapshots of the libStorage door, and volumes that are made from them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from ls_volumes_scene import GIB, MIB, Scene, open_scene

from gateway.core import snapshots
from gateway.core.model import Job, Snapshot, Volume
from gateway.core.query import Query
from gateway.core.snapshots import NewSnapshot


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    async with open_scene(tmp_path) as opened:
        yield opened


async def take(scene: Scene, volume: Any, name: str = "s", **more: object) -> Any:
    """Give a new snapshot."""
    return await scene.post(f"/volumes/blocks/{volume['id']}?snapshot", {"snapshotName": name, **more})


async def test_a_snapshot_has_its_volumes_fields_and_options_over_them(scene: Scene) -> None:
    made = await scene.make("v", size=2, opts={"a": 1, "b": 2})
    before = datetime.now(UTC) - timedelta(seconds=1)
    taken = await take(scene, made, opts={"B": 3})
    assert taken == {
        "id": taken["id"],
        "name": "s",
        "status": "online",
        "startTime": taken["startTime"],
        "volumeID": made["id"],
        "volumeSize": 2,
        "fields": {"a": "1", "b": "3"},
    }
    assert before.timestamp() <= taken["startTime"] <= datetime.now(UTC).timestamp()
    assert await scene.get(f"/snapshots/blocks/{taken['id']}") == taken
    assert await scene.get("/snapshots/blocks") == {taken["id"]: taken}
    shared = {taken["id"]: taken}
    assert await scene.get("/snapshots") == {"blocks": shared, "files": shared, "other": {}}
    assert (await scene.ask("GET", f"/snapshots/other/{taken['id']}")).status == 404


async def test_snapshots_of_other_doors_are_shown_and_bases_of_clones_are_not(scene: Scene) -> None:
    made = await scene.make("v")
    new = NewSnapshot(name="hourly", volume_id=UUID(made["id"]), comment="by another door")
    await (await snapshots.create(scene.core, new, description="test")).result()
    await scene.post(f"/volumes/blocks/{made['id']}?copy", {"volumeName": "w"})
    (base,) = [s for s in (await scene.core.catalog.page(Snapshot, Query())).records if s.internal]
    (shown,) = (await scene.get("/snapshots/blocks")).values()
    assert (shown["name"], shown["description"]) == ("hourly", "by another door")
    assert (await scene.ask("GET", f"/snapshots/blocks/{base.id}")).status == 404
    assert (await scene.ask("DELETE", f"/snapshots/blocks/{base.id}")).status == 404


async def test_a_name_is_taken_once_per_volume(scene: Scene) -> None:
    made, other = await scene.make("v"), await scene.make("w")
    await take(scene, made)
    await take(scene, other)
    refusal = await scene.refused("POST", f"/volumes/blocks/{made['id']}?snapshot", {"snapshotName": "s"})
    assert refusal[:2] == (409, "snapshot already exists")
    for body in ({}, {"snapshotName": 1}, {"snapshotName": "t", "volumeName": "x"}):
        refusal = await scene.refused("POST", f"/volumes/blocks/{made['id']}?snapshot", body)
        assert refusal[0] == 500
        assert refusal[1].startswith("validate req schema: validation error: ")


async def test_a_removed_snapshot_is_gone(scene: Scene) -> None:
    taken = await take(scene, await scene.make("v"))
    answer = await scene.ask("DELETE", f"/snapshots/blocks/{taken['id']}")
    assert (answer.status, answer.json) == (205, None)
    gone = (404, "resource not found", {"resourceID": taken["id"]})
    for method, query, body in (
        ("GET", "", None),
        ("DELETE", "", None),
        ("POST", "?create", {"name": "x"}),
        ("POST", "?copy", {"snapshotName": "x", "destinationID": ""}),
    ):
        assert await scene.refused(method, f"/snapshots/blocks/{taken['id']}{query}", body) == gone
    assert await scene.get("/snapshots") == {"blocks": {}, "files": {}, "other": {}}


async def test_a_volume_of_a_snapshot_has_what_the_request_does_not_say_from_its_volume(scene: Scene) -> None:
    options = {"a": 1, "b": 2}
    made = await scene.make("v", size=2, type="gold", iops=7, availabilityZone="z", opts=options)
    taken = await take(scene, made, opts={"only": "here"})
    same = await scene.post(f"/snapshots/blocks/{taken['id']}?create", {"name": "same"})
    del made["attachmentState"]
    assert same == {**made, "id": same["id"], "name": "same"}
    wanted = {"name": "larger", "size": 5, "type": "lead", "iops": 9, "availabilityZone": "y", "opts": {"B": 3, "c": 4}}
    larger = await scene.post(f"/snapshots/blocks/{taken['id']}?create", wanted)
    assert larger == {
        "id": larger["id"],
        "name": "larger",
        "type": "lead",
        "size": 5,
        "iops": 9,
        "availabilityZone": "y",
        "status": "online",
        "fields": {"a": "1", "b": "3", "c": "4"},
    }
    record = await scene.record(larger)
    assert record.size == 5 * GIB
    assert record.origin is not None
    assert str(record.origin.snapshot_id) == taken["id"]


async def test_a_volume_of_a_snapshot_is_never_smaller(scene: Scene) -> None:
    taken = await take(scene, await scene.make("v", size=3))
    refusal = await scene.refused("POST", f"/snapshots/blocks/{taken['id']}?create", {"name": "w", "size": 2})
    assert refusal[:2] == (422, "size is out of range")
    assert refusal[2]["minimum"] == 3
    refusal = await scene.refused("POST", f"/snapshots/blocks/{taken['id']}?create", {"name": "w", "size": -1})
    assert refusal[:2] == (422, "size is out of range")
    assert len(await scene.get("/volumes/blocks")) == 1


async def test_a_part_of_a_gib_counts_as_one(scene: Scene) -> None:
    made = await scene.make("v")
    record = await scene.record(made)
    assert record.size == GIB
    small = await scene.record(await scene.make("w"))
    await scene.resize(small, 20 * MIB + GIB)
    taken = await take(scene, {"id": str(small.id)})
    assert taken["volumeSize"] == 2
    made = await scene.post(f"/snapshots/blocks/{taken['id']}?create", {"name": "x", "size": 2})
    assert (await scene.record(made)).size == 2 * GIB
    made = await scene.post(f"/snapshots/blocks/{taken['id']}?create", {"name": "y"})
    assert (await scene.record(made)).size == 20 * MIB + GIB


async def test_a_snapshot_with_volumes_stays(scene: Scene) -> None:
    taken = await take(scene, await scene.make("v"))
    made = await scene.post(f"/snapshots/blocks/{taken['id']}?create", {"name": "w"})
    refusal = await scene.refused("DELETE", f"/snapshots/blocks/{taken['id']}")
    assert refusal[:2] == (409, "snapshot is in use by clones")
    assert (await scene.ask("DELETE", f"/volumes/blocks/{made['id']}")).status == 204
    assert (await scene.ask("DELETE", f"/snapshots/blocks/{taken['id']}")).status == 205


async def test_snapshots_outlive_their_volume_which_goes_with_the_last(scene: Scene) -> None:
    made = await scene.make("v", opts={"a": "b"})
    taken = await take(scene, made)
    assert (await scene.ask("DELETE", f"/volumes/blocks/{made['id']}")).status == 204
    assert await scene.get("/volumes/blocks") == {}
    assert await scene.get("/snapshots/blocks") == {taken["id"]: taken}
    revived = await scene.post(f"/snapshots/blocks/{taken['id']}?create", {"name": "v"})
    assert revived["fields"] == {"a": "b"}
    assert (await scene.ask("DELETE", f"/volumes/blocks/{revived['id']}")).status == 204
    assert (await scene.ask("DELETE", f"/snapshots/blocks/{taken['id']}")).status == 205
    assert (await scene.core.catalog.page(Volume, Query())).records == ()


async def test_snapshots_are_not_copied_elsewhere(scene: Scene) -> None:
    taken = await take(scene, await scene.make("v"))
    path = f"/snapshots/blocks/{taken['id']}?copy"
    refusal = await scene.refused("POST", path, {"snapshotName": "t", "destinationID": "elsewhere"})
    assert refusal[:2] == (500, "not implemented")
    refusal = await scene.refused("POST", path, {"snapshotName": "t"})
    assert refusal[1].startswith("validate req schema: validation error: ")


async def test_what_is_not_routed_is_not_found(scene: Scene) -> None:
    taken = await take(scene, await scene.make("v"))
    for method, path in (
        ("POST", "/snapshots/blocks"),
        ("POST", f"/snapshots/blocks/{taken['id']}"),
        ("POST", f"/volumes/blocks/{taken['volumeID']}"),
        ("POST", "/volumes"),
        ("PUT", f"/volumes/blocks/{taken['volumeID']}"),
        ("DELETE", "/volumes/blocks"),
        ("GET", "/volumes/blocks/"),
    ):
        answer = await scene.ask(method, path, {})
        assert (answer.status, answer.json) == (404, None), path


async def test_changes_are_jobs_that_say_what_they_are(scene: Scene) -> None:
    made = await scene.make("v")
    await take(scene, made)
    jobs = (await scene.core.catalog.page(Job, Query())).records
    assert sorted(job.description for job in jobs) == ["libStorage: create v", "libStorage: snapshot s of v"]
