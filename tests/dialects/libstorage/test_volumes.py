"""Volumes of the libStorage door: how they are made, shown, copied and removed, and what is refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import msgspec
import pytest
from ls_volumes_scene import GIB, MIB, NAS, OPTIONS, VFS, Scene, open_scene

from gateway.core import clones, volumes
from gateway.core.model import Pool, Tenant, Volume, VolumeKind
from gateway.core.query import Query
from gateway.frontends.libstorage import listing
from gateway.frontends.libstorage.ask import Ask
from gateway.frontends.libstorage.headers import InstanceId
from gateway.frontends.libstorage.query import parse_query
from gateway.frontends.libstorage.site import Site
from gateway.frontends.memory import Answers


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    async with open_scene(tmp_path) as opened:
        yield opened


async def made_elsewhere(
    scene: Scene, name: str, *, tenant: str = "svm1", pool: str = "fast", **more: object
) -> Volume:
    """Give a volume that another door made."""
    owner, place = await scene.core.find(Tenant, name=tenant), await scene.core.find(Pool, name=pool)
    assert owner is not None
    assert place is not None
    new = volumes.NewVolume(name=name, tenant_id=owner.id, pool_id=place.id, **{"size": 20 * MIB, **more})
    job = await (await volumes.create(scene.core, new, description="test")).result()
    return await scene.core.get(Volume, job.target_id)


# --- create ---


async def test_a_volume_has_what_was_asked_for(scene: Scene) -> None:
    wanted = {
        "name": "Data 1",
        "size": 2,
        "type": "gold",
        "iops": 500,
        "availabilityZone": "z1",
        "encrypted": False,
        "encryptionKey": "secret",
        "opts": {"Owner": "me", "n": 2, "yes": True, "list": [1, "2"], "map": {"a": 1}, "size": "5", "none": None},
    }
    made = await scene.post("/volumes/blocks", wanted)
    assert made == {
        "id": made["id"],
        "name": "Data 1",
        "type": "gold",
        "size": 2,
        "iops": 500,
        "availabilityZone": "z1",
        "status": "online",
        "attachmentState": 3,
        "fields": {
            "owner": "me",
            "n": "2",
            "yes": "true",
            "list": "[1 2]",
            "map": "map[a:1]",
            "size": "5",
            "none": "<nil>",
        },
    }
    record = await scene.record(made)
    assert (record.size, record.kind) == (2 * GIB, VolumeKind.BLOCK)
    assert "secret" not in repr(record)
    del made["attachmentState"]
    assert await scene.get(f"/volumes/blocks/{made['id']}") == made


async def test_nothing_given_means_the_defaults(scene: Scene) -> None:
    nothing = {"availabilityZone": "", "iops": 0, "size": 0, "type": "", "encrypted": False}
    made = await scene.post("/volumes/FILES", {"name": "dv1", **nothing})
    assert made == {
        "id": made["id"],
        "name": "dv1",
        "type": "",
        "size": 16,
        "status": "online",
        "attachmentState": 3,
    }
    record = await scene.record(made)
    pool = await scene.core.get(Pool, record.pool_id)
    assert (pool.name, record.kind, record.annotations, record.junction_path) == (
        "slow",
        VolumeKind.FILESYSTEM,
        {},
        None,
    )
    assert record.export_policy_id is not None


async def test_options_count_as_members_where_that_is_configured(tmp_path: Path) -> None:
    options = msgspec.structs.replace(OPTIONS, parse_request_opts=True, default_size="3GiB")
    async with open_scene(tmp_path, options) as scene:
        made = await scene.make("v", opts={"size": "4", "Type": "gold", "other": 1})
        assert (made["size"], made["type"]) == (4, "gold")
        assert made["fields"] == {"size": "4", "type": "gold", "other": "1"}
        assert (await scene.make("w", size=0))["size"] == 3
        encrypted = {"name": "x", "opts": {"encrypted": "true"}}
        assert (await scene.refused("POST", "/volumes/blocks", encrypted))[:2] == (500, "not implemented")


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({}, 500, "validate req schema: validation error: "),
        ({"name": "v", "size": "2"}, 500, "validate req schema: validation error: "),
        ({"name": "v", "sise": 2}, 500, "validate req schema: validation error: "),
        ({"name": "v", "type": None}, 500, "validate req schema: validation error: "),
        ({"name": "v", "encrypted": True}, 500, "not implemented"),
        ({"name": ""}, 400, "invalid name: "),
        ({"name": "a/b"}, 400, "invalid name: "),
        ({"name": "a?b"}, 400, "invalid name: "),
        ({"name": "a#b"}, 400, "invalid name: "),
        ({"name": "a%20b"}, 400, "invalid name: "),
        ({"name": "a\nb"}, 400, "invalid name: "),
        ({"name": ".."}, 400, "invalid name: "),
        ({"name": "x" * 256}, 400, "invalid name: "),
        ({"name": "v", "size": -1}, 422, "size is out of range"),
        ({"name": "v", "size": 2**62}, 422, "size is out of range"),
        ({"name": "v", "iops": -1}, 400, "invalid iops: "),
        ({"name": "v", "opts": {"a": "x" * 70_000}}, 400, "invalid labels: "),
        ({"name": "v", "opts": {"a": "\0"}}, 400, "invalid label"),
    ],
)
async def test_what_cannot_be_made_is_refused(scene: Scene, body: object, status: int, message: str) -> None:
    refusal = await scene.refused("POST", "/volumes/blocks", body)
    assert refusal[0] == status
    assert refusal[1].startswith(message)
    assert (await scene.core.catalog.page(Volume, Query())).records == ()


async def test_names_are_unique_in_any_case_and_over_services(scene: Scene) -> None:
    await scene.make("Stra\u00dfe")
    taken = (500, "volume name already exists")
    for service in ("blocks", "files", "other"):
        refusal = await scene.refused("POST", f"/volumes/{service}", {"name": "STRASSE"})
        assert refusal == (*taken, {"volumeName": "STRASSE"})
    answers = await asyncio.gather(
        *(scene.ask("POST", "/volumes/blocks", {"name": name, "size": 1}) for name in ("two", "Two", "TWO"))
    )
    assert sorted(answer.status for answer in answers) == [201, 500, 500]
    source = await scene.make("source")
    refusal = await scene.refused("POST", f"/volumes/blocks/{source['id']}?copy", {"volumeName": "SOURCE"})
    assert refusal[:2] == taken
    path = f"/volumes/blocks/{source['id']}"
    taken_of = await scene.post(f"{path}?snapshot", {"snapshotName": "s"})
    refusal = await scene.refused("POST", f"/snapshots/blocks/{taken_of['id']}?create", {"name": "SoUrCe"})
    assert refusal[:2] == taken


async def test_a_service_without_a_fitting_pool_makes_nothing(tmp_path: Path) -> None:
    async with open_scene(tmp_path, disabled=("thin",)) as scene:
        refusal = await scene.refused("POST", "/volumes/blocks", {"name": "v"})
        assert refusal[:2] == (500, "not implemented")
        assert refusal[2]["capability"] == "thin"


async def test_a_missing_export_policy_is_told(tmp_path: Path) -> None:
    service = msgspec.structs.replace(OPTIONS.service["files"], policy="nobody")
    options = msgspec.structs.replace(OPTIONS, service={"files": service})
    async with open_scene(tmp_path, options) as scene:
        refusal = await scene.refused("POST", "/volumes/files", {"name": "v"})
        told = "there is no export policy nobody"
        assert refusal == (409, told, told)
    async with open_scene(tmp_path / "local", options, nfs=False) as scene:
        assert (await scene.post("/volumes/files", {"name": "v"}))["name"] == "v"


# --- list and inspect ---


async def test_a_service_shows_the_volumes_of_its_pools_and_tenant(scene: Scene) -> None:
    assert await scene.get("/volumes") == {"blocks": {}, "files": {}, "other": {}}
    assert await scene.get("/volumes/blocks") == {}
    block = await scene.make("block")
    files = await scene.make("files", "files")
    other = await scene.make("other", "other")
    foreign = await made_elsewhere(scene, "foreign", comment="by another door", labels={"A": "b"})
    await made_elsewhere(scene, "elsewhere", tenant="svm2")
    listed = await scene.get("/volumes")
    assert {service: [volume["name"] for volume in found.values()] for service, found in listed.items()} == {
        "blocks": [v["name"] for v in sorted([block, {"id": str(foreign.id), "name": "foreign"}], key=by_id)],
        "files": [v["name"] for v in sorted([block, files, {"id": str(foreign.id), "name": "foreign"}], key=by_id)],
        "other": ["other"],
    }
    assert listed["blocks"] == await scene.get("/volumes/Blocks")
    assert list(listed["files"]) == sorted(listed["files"])
    assert listed["blocks"][str(foreign.id)] == {
        "id": str(foreign.id),
        "name": "foreign",
        "type": "",
        "size": 1,
        "status": "online",
        "fields": {"A": "b"},
    }
    assert await scene.refused("GET", f"/volumes/blocks/{other['id']}") == (
        404,
        "resource not found",
        {"resourceID": other["id"]},
    )


def by_id(volume: dict[str, str]) -> str:
    return volume["id"]


async def test_a_list_is_never_older_than_the_last_change(scene: Scene) -> None:
    for number in range(3):
        assert len(await scene.get("/volumes/blocks")) == number
        made = await scene.make(f"v{number}")
        assert made["id"] in await scene.get("/volumes/blocks")
    for volume in await scene.get("/volumes/blocks"):
        assert (await scene.ask("DELETE", f"/volumes/blocks/{volume}")).status == 204
        assert volume not in await scene.get("/volumes/blocks")


async def test_a_large_list_is_laid_out_like_a_small_one(scene: Scene) -> None:
    for number in range(230):
        await made_elsewhere(scene, f"v{number}", size=MIB)
    async with scene.session.get(f"{scene.url}/volumes") as answer:
        text = await answer.read()
    assert text == msgspec.json.format(msgspec.json.encode(await scene.get("/volumes")), indent=2)
    assert len(await scene.get("/volumes/blocks")) == 230


async def test_by_name_in_any_case(scene: Scene) -> None:
    made = await scene.make("Stra\u00dfe 1")
    for name in ("Stra%C3%9Fe%201", "STRASSE%201", "strasse 1"):
        for flag in ("byName", "byname=true", "byName=1"):
            assert (await scene.get(f"/volumes/blocks/{name}?{flag}"))["id"] == made["id"]
    for path in ("strasse 1", f"{made['id']}?byName", "strasse 1?byName=false", "nobody?byName", "a%00b?byName"):
        answer = await scene.ask("GET", f"/volumes/blocks/{path}")
        assert answer.status == 404, path
    assert (await scene.ask("GET", "/volumes/other/strasse 1?byName")).status == 404


async def test_of_several_names_the_exact_one_counts(scene: Scene) -> None:
    lower, upper = await made_elsewhere(scene, "name"), await made_elsewhere(scene, "NAME")
    assert (await scene.get("/volumes/blocks/name?byName"))["id"] == str(lower.id)
    assert (await scene.get("/volumes/blocks/NAME?byName"))["id"] == str(upper.id)
    assert (await scene.get("/volumes/blocks/Name?byName"))["id"] == str(upper.id)


@pytest.mark.parametrize("ref", ["vfs-000", str(UUID(int=7)), "{id}0", "a" * 3000, "%F0%9F%98%80"])
async def test_an_unknown_volume_is_not_found(scene: Scene, ref: str) -> None:
    made = await scene.make("v")
    ref = ref.format(id=made["id"])
    for method, query, body in (
        ("GET", "", None),
        ("DELETE", "", None),
        ("POST", "?copy", {"volumeName": "x"}),
        ("POST", "?snapshot", {"snapshotName": "x"}),
        ("POST", "?attach", {}),
        ("POST", "?detach", {}),
    ):
        status, message, context = await scene.refused(method, f"/volumes/blocks/{ref}{query}", body, who=VFS)
        assert (status, message, [*context]) == (404, "resource not found", ["resourceID"])


async def test_ids_are_read_as_they_are_written(scene: Scene) -> None:
    made = await scene.make("v")
    assert (await scene.get(f"/volumes/blocks/{made['id'].upper()}"))["id"] == made["id"]
    assert (await scene.ask("GET", f"/volumes/blocks/{made['id'].replace('-', '')}")).status == 404


async def test_filters_select(scene: Scene) -> None:
    await scene.make("one", size=2, opts={"owner": "me"})
    await scene.make("Two", type="gold")

    async def found(text: str) -> list[str]:
        listed = await scene.get("/volumes/blocks", filter=text)
        every = await scene.get("/volumes", filter=text)
        assert every["blocks"] == listed
        return sorted(volume["name"] for volume in listed.values())

    assert await found("(name=ONE)") == ["one"]
    assert await found("(fields.owner=*)") == ["one"]
    assert await found("(&(size>=1)(!(type=gold)))") == ["one"]
    assert await found("(|(name=two)(name=o*))") == ["Two", "one"]
    assert await found("(name=)") == []
    for path in ("/volumes", "/volumes/blocks"):
        assert await scene.refused("GET", f"{path}?filter=name") == (
            500,
            "bad filter",
            {"filter": "name", "inner": "filter does not start with an '()'"},
        )
        assert await scene.get(f"{path}?filter=") == await scene.get(path)


# --- copy ---


async def test_a_copy_is_a_clone_with_the_options_over_its_fields(scene: Scene) -> None:
    made = await scene.make("v", type="gold", iops=5, availabilityZone="z", opts={"a": 1, "b": 2})
    wanted = {"volumeName": "w", "opts": {"B": 3, "c": True}}
    copied = await scene.post(f"/volumes/blocks/{made['id']}?copy", wanted)
    assert copied == {
        **made,
        "id": copied["id"],
        "name": "w",
        "fields": {"a": "1", "b": "3", "c": "true"},
        "attachmentState": 3,
    }
    record = await scene.record(copied)
    assert record.origin is not None
    assert str(record.origin.volume_id) == made["id"]
    assert await scene.get("/snapshots/blocks") == {}


async def test_a_removed_source_leaves_its_copies_and_goes_with_the_last(scene: Scene) -> None:
    made = await scene.make("v")
    copied = await scene.post(f"/volumes/blocks/{made['id']}?copy", {"volumeName": "w"})
    assert (await scene.ask("DELETE", f"/volumes/blocks/{made['id']}")).status == 204
    assert [*await scene.get("/volumes/blocks")] == [copied["id"]]
    assert (await scene.ask("GET", f"/volumes/blocks/{made['id']}")).status == 404
    assert (await scene.ask("DELETE", f"/volumes/blocks/{made['id']}")).status == 404
    assert (await scene.make("v"))["id"] != made["id"]
    assert (await scene.ask("DELETE", f"/volumes/blocks/{copied['id']}")).status == 204
    assert [volume.name for volume in (await scene.core.catalog.page(Volume, Query())).records] == ["v"]


async def test_what_a_pool_cannot_do_is_not_implemented(tmp_path: Path) -> None:
    async with open_scene(tmp_path, disabled=("clone", "snapshot")) as scene:
        path = f"/volumes/blocks/{(await scene.make('v'))['id']}"
        for query, body in (("copy", {"volumeName": "w"}), ("snapshot", {"snapshotName": "s"})):
            status, message, context = await scene.refused("POST", f"{path}?{query}", body)
            assert (status, message) == (500, "not implemented")
            assert context["reason"] == "disabled by the operator"


# --- remove ---


async def test_removing_again_is_not_found(scene: Scene) -> None:
    made = await scene.make("v")
    answer = await scene.ask("DELETE", f"/volumes/blocks/{made['id']}")
    assert (answer.status, answer.json) == (204, None)
    again = await scene.refused("DELETE", f"/volumes/blocks/{made['id']}?force")
    assert again == (404, "resource not found", {"resourceID": made["id"]})


@pytest.mark.parametrize(("service", "who"), [("blocks", VFS), ("files", NAS)])
async def test_what_is_attached_goes_by_force_only(scene: Scene, service: str, who: str) -> None:
    made = await scene.make("v", service)
    await scene.attach(made, who, service)
    path = f"/volumes/{service}/{made['id']}"
    for query in ("", "?force=false", "?force=0"):
        assert (await scene.refused("DELETE", path + query))[:2] == (500, "volume already attached to a host")
    assert (await scene.ask("DELETE", f"{path}?force")).status == 204
    assert (await scene.core.catalog.page(Volume, Query())).records == ()
    assert scene.files.exports == {}


async def test_a_volume_that_another_door_cloned_can_be_removed(scene: Scene) -> None:
    made = await scene.make("v")
    record = await scene.record(made)
    new = clones.NewClone(name="clone", tenant_id=record.tenant_id, source_id=record.id)
    await (await clones.create(scene.core, new, description="test")).result()
    assert (await scene.ask("DELETE", f"/volumes/blocks/{made['id']}")).status == 204
    assert [volume["name"] for volume in (await scene.get("/volumes/blocks")).values()] == ["clone"]


@pytest.mark.parametrize(("length", "kept"), [(10, True), (60_000, False)])
async def test_answers_are_kept_by_no_more_than_they_may_weigh(scene: Scene, length: int, *, kept: bool) -> None:
    site = Site.of(OPTIONS, name="gw", tenant="svm1", pools={"fast": (), "slow": (), "other": ()}, nfs=())
    ask = Ask(
        core=scene.core,
        site=site,
        service=site.service("blocks"),
        query=parse_query("attachments=1"),
        instances=(InstanceId("vfs", "", "x" * length),),
        answers=Answers(100_000),
    )
    assert listing.kept_volumes(ask) is None
    text = await listing.volumes(ask)
    assert listing.kept_volumes(ask) == (text if kept else None)
