"""Attachments of the libStorage door: who gets what at which device, what each mask shows of it, and how it ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest
from ls_volumes_scene import NAS, NFS_ADDRESS, OPTIONS, OTHER, OTHER_NAS, VFS, Scene, open_scene

from gateway.core import attachments
from gateway.core.attachments import NewAttachment
from gateway.core.model import Transport
from gateway.frontends.libstorage.settings import ServiceOptions

ATTACHED, AVAILABLE, UNAVAILABLE = 2, 3, 4
HELD = (500, "volume already attached to a host")
ISCSI = "iqn.1993-08.org.debian:01:abc"


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    async with open_scene(tmp_path) as opened:
        yield opened


# --- blocks ---


async def test_blocks_are_attached_under_the_device_that_was_proposed(scene: Scene) -> None:
    made = await scene.make("v")
    answer = await scene.attach(made, VFS, nextDeviceName="/dev/XVDA", opts={"any": 1})
    attachment = {
        "deviceName": "/dev/xvda",
        "instanceID": {"id": "host-a", "driver": "vfs", "service": "blocks"},
        "status": "attached",
        "volumeID": made["id"],
        "fields": {"accessURL": f"file:///volumes/{made['id']}"},
    }
    assert answer == {
        "volume": {**made, "attachmentState": ATTACHED, "attachments": [attachment]},
        "attachToken": "/dev/xvda",
    }
    assert await scene.get(f"/volumes/blocks/{made['id']}?attachments=1", who=VFS) == answer["volume"]
    assert (await scene.ask("GET", f"/volumes/blocks/{made['id']}?attachments=17", who=VFS)).status == 404
    (held,) = (await scene.record(made)).attachments
    assert (held.node, held.transport, held.device) == ("host-a", Transport.LOCAL, "/dev/xvda")


async def test_attaching_again_changes_nothing_but_the_device(scene: Scene) -> None:
    made = await scene.make("v")
    first = await scene.attach(made, VFS, nextDeviceName="/dev/xvdb")
    for who, body in ((VFS, {}), ("vfs=HOST-A", {}), (VFS, {"force": True}), (VFS, {"nextDeviceName": ""})):
        assert await scene.attach(made, who, **body) == first
    assert (await scene.attach(made, VFS, nextDeviceName="/dev/xvdc"))["attachToken"] == "/dev/xvdc"
    assert len((await scene.record(made)).attachments) == 1


async def test_devices_are_chosen_where_none_was_proposed(scene: Scene) -> None:
    made = [await scene.make(f"v{number}") for number in range(4)]
    await scene.attach(made[0], VFS, nextDeviceName="/dev/xvdb")
    tokens = [answer["attachToken"] for answer in await asyncio.gather(*(scene.attach(each, VFS) for each in made))]
    assert sorted(tokens) == ["/dev/xvda", "/dev/xvdb", "/dev/xvdc", "/dev/xvdd"]
    elsewhere = await scene.make("elsewhere")
    assert (await scene.attach(elsewhere, OTHER))["attachToken"] == "/dev/xvda"


async def test_devices_are_those_of_the_driver_until_all_are_taken(tmp_path: Path) -> None:
    service = msgspec.structs.replace(OPTIONS.service["blocks"], driver="ebs")
    async with open_scene(tmp_path, msgspec.structs.replace(OPTIONS, service={"blocks": service})) as scene:
        made = [await scene.make(f"v{number}") for number in range(12)]
        tokens = [(await scene.attach(each, "ebs=i-1"))["attachToken"] for each in made[:11]]
        assert tokens == [f"/dev/xvd{letter}" for letter in "fghijklmnop"]
        refusal = await scene.refused("POST", f"/volumes/blocks/{made[11]['id']}?attach", {}, who="ebs=i-1")
        assert refusal[:2] == (422, "devices is out of range")
        path = f"/volumes/blocks/{made[0]['id']}?attachments="
        for devices, name in ((None, "/dev/xvdf"), ("ebs=/dev/xvdf::", "/dev/xvdf"), ("ebs=/dev/sda::", "")):
            shown = await scene.get(f"{path}5", who="ebs=i-1", devices=devices)
            assert shown["attachments"][0]["deviceName"] == name
        shown = await scene.get(f"{path}1", who="ebs=i-1", devices="ebs=/dev/sda::")
        assert shown["attachments"][0]["deviceName"] == "/dev/xvdf"


async def test_blocks_that_another_has_are_taken_by_force_only(scene: Scene) -> None:
    made = await scene.make("v")
    await scene.attach(made, OTHER)
    path = f"/volumes/blocks/{made['id']}?attach"
    for body in ({}, {"force": False}, {"nextDeviceName": "/dev/xvda"}):
        assert (await scene.refused("POST", path, body, who=VFS))[:2] == HELD
    answer = await scene.attach(made, VFS, force=True)
    assert [each["instanceID"]["id"] for each in answer["volume"]["attachments"]] == ["host-a"]
    assert [each.node for each in (await scene.record(made)).attachments] == ["host-a"]


async def test_of_two_that_race_for_blocks_one_gets_them(scene: Scene) -> None:
    made = await scene.make("v")
    path = f"/volumes/blocks/{made['id']}?attach"
    answers = await asyncio.gather(*(scene.ask("POST", path, {}, who=f"vfs=host-{number}") for number in range(4)))
    assert sorted(answer.status for answer in answers) == [200, 500, 500, 500]


async def test_what_another_door_attached_is_held(scene: Scene) -> None:
    made = await scene.make("v")
    new = NewAttachment(node="rack1", transport=Transport.LOCAL)
    await (await attachments.attach(scene.core, (await scene.record(made)).id, new, description="t")).result()
    assert (await scene.refused("POST", f"/volumes/blocks/{made['id']}?attach", {}, who=VFS))[:2] == HELD
    shown = await scene.get(f"/volumes/blocks/{made['id']}?attachments=1", who=VFS)
    assert shown["attachmentState"] == UNAVAILABLE
    assert shown["attachments"][0]["deviceName"] == ""
    shown = await scene.get(f"/volumes/blocks/{made['id']}?attachments=1", who="vfs=rack1")
    assert shown["attachmentState"] == ATTACHED
    assert (await scene.attach(made, "vfs=rack1", nextDeviceName="/dev/xvdz"))["attachToken"] == "/dev/xvdz"


async def test_iscsi_needs_the_name_of_the_initiator(tmp_path: Path) -> None:
    service = ServiceOptions(pool="fast", transport=Transport.ISCSI, driver="vfs", kind=OPTIONS.service["blocks"].kind)
    async with open_scene(tmp_path, msgspec.structs.replace(OPTIONS, service={"blocks": service})) as scene:
        made = await scene.make("v")
        path = f"/volumes/blocks/{made['id']}?attach"
        for body in ({}, {"opts": {"initiator": 1}}, {"opts": {"initiator": [1]}}, {"opts": {"initiator": " , "}}):
            refusal = await scene.refused("POST", path, body, who=VFS)
            assert refusal[:2] == (
                400,
                "invalid opts.initiator: must name the iSCSI initiator of the instance",
            )
        for number, opts in enumerate(({"IQN": f"{ISCSI},{ISCSI}d"}, {"initiators": [ISCSI, f"{ISCSI}d"]})):
            await scene.attach(made, f"vfs=host-{number}", force=True, opts=opts)
            (held,) = (await scene.record(made)).attachments
            assert (held.transport, held.initiators) == (Transport.ISCSI, (ISCSI, f"{ISCSI}d"))
            await scene.attach(made, f"vfs=host-{number}")
        await scene.attach(made, f"vfs=host-3,iqn={ISCSI}", force=True)
        assert (await scene.record(made)).attachments[0].initiators == (ISCSI,)


# --- files ---


async def test_files_are_attached_over_nfs(scene: Scene) -> None:
    made = await scene.make("daté", "files")
    answer = await scene.attach(made, NAS, "files")
    attachment = {
        "deviceName": f"{NFS_ADDRESS}:/daté",
        "instanceID": {"id": "192.0.2.1", "driver": "isilon", "service": "files"},
        "status": "Exported",
        "volumeID": made["id"],
        "fields": {"accessURL": f"nfs://{NFS_ADDRESS}:2049/dat%C3%A9"},
    }
    assert answer == {
        "volume": {**made, "attachmentState": ATTACHED, "attachments": [attachment]},
        "attachToken": "",
    }
    # The tests ask from this machine, which comes to an exporter of its own from the exporter's address.
    assert scene.files.clients(made["id"]) == ["192.0.2.1", NFS_ADDRESS]
    assert await scene.attach(made, NAS, "files") == answer
    listed = await scene.get("/volumes/files?attachments=1", who=NAS)
    assert listed == {made["id"]: answer["volume"]}
    await scene.post(f"/volumes/files/{made['id']}?detach", {}, who=NAS, status=205)
    assert scene.files.clients(made["id"]) == []


async def test_files_whose_name_no_list_of_devices_can_say_have_another_device(scene: Scene) -> None:
    made = await scene.make("data 1, of two", "files")
    (shown,) = (await scene.attach(made, NAS, "files"))["volume"]["attachments"]
    assert shown["deviceName"] == f"{NFS_ADDRESS}:/{made['id']}"
    there = await scene.get(
        f"/volumes/files/{made['id']}", who=NAS, devices=f"isilon={shown['deviceName']}::/mnt", attachments="7"
    )
    assert there["attachments"][0]["status"] == "Exported and Mounted"


async def test_files_are_for_several_instances(scene: Scene) -> None:
    made = await scene.make("v", "files")
    await scene.attach(made, NAS, "files")
    answer = await scene.attach(made, OTHER_NAS, "files")
    assert [each["instanceID"]["id"] for each in answer["volume"]["attachments"]] == ["192.0.2.2"]
    assert {*scene.files.clients(made["id"])} >= {"192.0.2.1", "192.0.2.2"}
    shown = await scene.get(f"/volumes/files/{made['id']}?attachments=1", who=NAS)
    assert [each["instanceID"]["id"] for each in shown["attachments"]] == ["192.0.2.1", "192.0.2.2"]
    after = await scene.post(f"/volumes/files/{made['id']}?detach", {}, who=NAS, status=205)
    assert after == {**made, "attachmentState": UNAVAILABLE}
    forced = await scene.attach(made, "isilon=192.0.2.3", "files", force=True)
    assert [each["instanceID"]["id"] for each in forced["volume"]["attachments"]] == ["192.0.2.3"]
    assert [each.node for each in (await scene.record(made)).attachments] == ["192.0.2.3"]


async def test_the_mount_table_says_whether_files_are_mounted(scene: Scene) -> None:
    made = await scene.make("v", "files")
    await scene.attach(made, NAS, "files")
    source = f"{NFS_ADDRESS}:/v"
    for mask, devices, status in (
        (1, f"isilon={source}::/mnt", "Exported"),
        (5, None, "Exported"),
        (5, f"isilon={source}::/mnt", "Exported and Mounted"),
        (15, f"isilon=proc::/proc,{source}::/mnt", "Exported and Mounted"),
        (15, "isilon=proc::/proc", "Exported and Unmounted"),
        (15, f"vfs={source}::/mnt", "Exported"),
    ):
        for path in ("/volumes/files", f"/volumes/files/{made['id']}"):
            found = await scene.get(f"{path}?attachments={mask}", who=NAS, devices=devices)
            shown = found if "id" in found else found[made["id"]]
            assert (shown["attachments"][0]["status"], shown["attachments"][0]["deviceName"]) == (status, source)


async def test_files_and_blocks_are_attached_by_services_of_the_other_kind(scene: Scene) -> None:
    files, blocks = await scene.make("f", "files"), await scene.make("b")
    answer = await scene.attach(blocks, NAS, "files")
    (shown,) = answer["volume"]["attachments"]
    assert (answer["attachToken"], shown["deviceName"]) == ("/dev/xvda", "/dev/xvda")
    assert shown["fields"] == {"accessURL": f"file:///volumes/{blocks['id']}"}
    assert (await scene.attach(files, NAS, "files"))["attachToken"] == ""


async def test_a_service_for_devices_gives_files_a_device_too(tmp_path: Path) -> None:
    service = msgspec.structs.replace(OPTIONS.service["files"], driver="vfs")
    async with open_scene(tmp_path, msgspec.structs.replace(OPTIONS, service={"files": service})) as scene:
        made = await scene.make("v", "files")
        answer = await scene.attach(made, VFS, "files", nextDeviceName="/dev/xvda")
        (shown,) = answer["volume"]["attachments"]
        assert (answer["attachToken"], shown["deviceName"]) == ("/dev/xvda", "/dev/xvda")
        assert shown["fields"] == {"accessURL": f"nfs://{NFS_ADDRESS}:2049/v"}
        # The id is no address, so it is that of the request.
        assert scene.files.clients(made["id"]) == ["127.0.0.1", NFS_ADDRESS]


async def test_files_stay_on_this_host_where_nothing_exports_them(tmp_path: Path) -> None:
    services = {"files": OPTIONS.service["files"]}
    services["vfs"] = msgspec.structs.replace(services["files"], driver="vfs")
    async with open_scene(tmp_path, msgspec.structs.replace(OPTIONS, service=services), nfs=False) as scene:
        made = await scene.make("v", "files")
        refusal = await scene.refused("POST", f"/volumes/files/{made['id']}?attach", {}, who=NAS)
        assert refusal[:2] == (500, "not implemented")
        assert refusal[2]["reason"] == "there is no NFS exporter that can reach its files"
        answer = await scene.attach(made, VFS, "vfs")
        assert answer["attachToken"] == "/dev/xvda"
        (shown,) = answer["volume"]["attachments"]
        assert shown["fields"] == {"accessURL": f"file:///volumes/{made['id']}"}
        (held,) = (await scene.record(made)).attachments
        assert held.transport is Transport.LOCAL


async def test_an_instance_that_only_tells_its_addresses_gets_an_id(scene: Scene) -> None:
    made = await scene.make("v", "files")
    known = "isilon=,,WyIxMjcuMC4wLjEvOCIsIjE5Mi4wLjIuMi8yNCJd"  # ["127.0.0.1/8","192.0.2.2/24"]
    answer = await scene.attach(made, known, "files")
    assert answer["volume"]["attachments"][0]["instanceID"]["id"] == "127.0.0.1"


async def test_a_pool_that_is_away_hides_only_the_way_to_the_bytes(scene: Scene) -> None:
    made = await scene.make("v")
    answer = await scene.attach(made, VFS)
    scene.backend.away = True
    shown = await scene.get(f"/volumes/blocks/{made['id']}?attachments=1", who=VFS)
    del answer["volume"]["attachments"][0]["fields"]
    assert shown == answer["volume"]


# --- detach ---


async def test_detaching_tells_the_true_state_and_twice_is_once(scene: Scene) -> None:
    made = await scene.make("v")
    path = f"/volumes/blocks/{made['id']}?detach"
    assert await scene.post(path, {}, who=VFS, status=205) == made
    await scene.attach(made, VFS)
    assert await scene.post(path, {}, who=OTHER, status=205) == {**made, "attachmentState": UNAVAILABLE}
    assert await scene.post(path, None, who="vfs=Host-A", status=205) == made
    assert await scene.post(path, {"force": True}, who=VFS, status=205) == made
    assert (await scene.record(made)).attachments == ()


async def test_all_volumes_of_a_service_are_detached(scene: Scene) -> None:
    made = [await scene.make(f"v{number}") for number in range(20)]
    for each in made[:12]:
        await scene.attach(each, VFS)
    await scene.attach(made[12], OTHER)
    found = await scene.post("/volumes/blocks?detach", {}, who=VFS, status=205)
    assert found == {
        each["id"]: {**each, "attachmentState": UNAVAILABLE if each is made[12] else AVAILABLE} for each in made
    }
    assert await scene.get("/volumes/blocks?attachments=15", who=VFS) == {}
    assert [*await scene.get("/volumes/blocks?attachments=9", who=VFS)] == [made[12]["id"]]
    assert await scene.post("/volumes/other?detach", {}, who=VFS, status=205) == {}


async def test_all_volumes_of_all_services_are_detached(scene: Scene) -> None:
    block, other = await scene.make("b"), await scene.make("o", "other")
    await scene.attach(block, VFS)
    await scene.attach(other, VFS, "other")
    refusal = await scene.refused("POST", "/volumes?detach", {}, who=VFS)
    assert refusal[:2] == (500, "batch processing error")
    assert refusal[2]["inner"] == {"msg": "missing instance ID", "service": "files"}
    free = {"attachmentState": AVAILABLE}
    assert refusal[2]["completed"] == {"blocks": {block["id"]: block | free}, "other": {other["id"]: other | free}}
    await scene.ask("DELETE", f"/volumes/other/{other['id']}")
    both = f"{VFS}|{NAS}"
    await scene.attach(block, VFS)
    found = await scene.post("/volumes?detach", {}, who=both, status=205)
    assert found == {"blocks": {block["id"]: block | free}, "files": {block["id"]: block | free}}
    shown = await scene.get("/volumes?attachments=15", who=both)
    assert shown == {"blocks": {}, "files": {}, "other": {}}


async def test_what_cannot_be_detached_is_told_with_what_was(scene: Scene) -> None:
    made = [await scene.make(f"v{number}", "other") for number in range(3)]
    for each in made:
        await scene.attach(each, VFS, "other")
    busy = made[1]
    scene.blocks.connected.add(UUID(busy["id"]))
    refusal = await scene.refused("POST", f"/volumes/other/{busy['id']}?detach", {}, who=VFS)
    assert refusal[:2] == (409, "volume is in use by sessions")
    for path, who in (("/volumes/other?detach", VFS), ("/volumes?detach", f"{VFS}|{NAS}")):
        status, message, context = await scene.refused("POST", path, {}, who=who)
        assert (status, message) == (500, "batch processing error")
        assert context["inner"]["msg"] == "volume is in use by sessions"
        free = [each for each in made if each is not busy]
        assert context["completed"] == {"other": {each["id"]: each for each in free}}
    found = await scene.post("/volumes/other?detach", {"force": True}, who=VFS, status=205)
    assert found == {each["id"]: each for each in made}


async def test_blocks_are_published_by_the_services_transport(scene: Scene) -> None:
    made = await scene.make("v", "other")
    answer = await scene.attach(made, VFS, "other")
    (held,) = (await scene.record(made)).attachments
    assert held.transport is Transport.NBD
    (shown,) = answer["volume"]["attachments"]
    assert shown["fields"] == {"accessURL": f"nbd://[2001:db8::7]:10809/{made['id']}"}


# --- who asks ---


async def test_without_an_instance_nothing_is_attached(scene: Scene) -> None:
    made = await scene.make("v")
    missing = (400, "missing instance ID", {"service": "blocks"})
    for who in ("", "ebs=i-1", "vfs:other=x", "vfs="):
        for query in ("attach", "detach", "attach&async", "detach&async"):
            assert await scene.refused("POST", f"/volumes/blocks/{made['id']}?{query}", {}, who=who) == missing
        assert await scene.refused("POST", "/volumes/blocks?detach", {}, who=who) == missing
    for query in ("attach", "detach"):
        refusal = await scene.refused("POST", f"/volumes/blocks/{made['id']}?{query}", {"force": 1}, who=VFS)
        assert refusal[1].startswith("validate req schema: validation error: ")


async def test_an_instance_for_the_service_counts_before_one_for_its_driver(scene: Scene) -> None:
    made = await scene.make("v")
    answer = await scene.attach(made, "vfs=general|vfs:blocks=special")
    assert answer["volume"]["attachments"][0]["instanceID"]["id"] == "special"


# --- masks ---

A, B, C = "a", "b", "c"
SEEN: dict[int, dict[str, tuple[int, int]]] = {
    0: {A: (0, 0), B: (0, 0), C: (0, 0)},
    1: {A: (2, 2), B: (4, 1), C: (3, 0)},
    2: {A: (2, 1), B: (4, 0), C: (3, 0)},
    8: {A: (2, 2), B: (4, 1)},
    10: {A: (2, 1)},
    16: {C: (3, 0)},
    18: {C: (3, 0)},
    24: {A: (2, 2), B: (4, 1), C: (3, 0)},
    26: {A: (2, 1), C: (3, 0)},
}
"""By mask without its bits 1 and 4, the state and the number of attachments of what is seen: A is attached to the
asking instance and to another one, B to the other, C to none."""


def seen_by(mask: int) -> dict[str, tuple[int, int]]:
    """Give what is seen by any mask."""
    plain = mask & ~5
    return SEEN[1] if mask & 5 and not plain else SEEN[plain]


@pytest.fixture
async def three(scene: Scene) -> dict[str, Any]:
    made = {name: await scene.make(name, "files") for name in (A, B, C)}
    for name, who in ((A, NAS), (A, OTHER_NAS), (B, OTHER_NAS)):
        await scene.attach(made[name], who, "files")
    return made


def summary(found: dict[str, Any]) -> dict[str, tuple[int, int]]:
    return {v["name"]: (v.get("attachmentState", 0), len(v.get("attachments", ()))) for v in found.values()}


async def test_every_mask_shows_what_it_says(scene: Scene, three: dict[str, Any]) -> None:
    for mask in [*range(33), 64 + 9, -1]:
        expected = seen_by(mask & 31)
        assert summary(await scene.get(f"/volumes/files?attachments={mask}", who=NAS)) == expected, mask
        for name, volume in three.items():
            answer = await scene.ask("GET", f"/volumes/files/{volume['id']}?attachments={mask}", who=NAS)
            if name not in expected:
                assert answer.status == 404, (mask, name)
                assert answer.json["error"] == {"resourceID": volume["id"]}
            else:
                assert summary({"": answer.json})[name] == expected[name], (mask, name)


async def test_masks_in_words(scene: Scene, three: dict[str, Any]) -> None:
    for word, mask in (("=true", 15), ("", 15), ("=", 15), ("=false", 1), ("=nonsense", 0), ("=T", 15)):
        listed = await scene.get(f"/volumes/files?attachments{word}", who=NAS)
        assert listed == await scene.get(f"/volumes/files?attachments={mask}", who=NAS), word
    assert summary(await scene.get("/volumes/files", who=NAS)) == SEEN[0]


async def test_masks_of_nobody(scene: Scene, three: dict[str, Any]) -> None:
    missing = (400, "missing instance ID", {"service": "files"})
    for mask in range(32):
        path = f"/volumes/files?attachments={mask}"
        if mask & 6:
            assert await scene.refused("GET", path) == missing
            assert await scene.refused("GET", f"{path}&async") == missing
            assert await scene.refused("GET", f"/volumes/files/{three[A]['id']}?attachments={mask}") == missing
            refusal = await scene.refused("GET", f"/volumes?attachments={mask}")
            assert refusal[:2] == (500, "batch processing error")
            assert refusal[2]["inner"] == {"msg": "missing instance ID", "service": "blocks"}
            continue
        expected = {name: (4 if state == 2 else state, number) for name, (state, number) in seen_by(mask).items()}
        assert summary(await scene.get(path)) == expected, mask


async def test_a_foreign_instance_sees_no_attachments_of_others(scene: Scene, three: dict[str, Any]) -> None:
    everything = summary(await scene.get("/volumes/files?attachments=3", who="isilon=192.0.2.9"))
    assert everything == {A: (4, 0), B: (4, 0), C: (3, 0)}
    assert await scene.get("/volumes/files?attachments=11", who="isilon=192.0.2.9") == {}


async def test_answers_are_kept_for_each_instance_alone(scene: Scene, three: dict[str, Any]) -> None:
    for _ in range(2):
        for who, state in ((NAS, 2), (OTHER_NAS, 2), ("isilon=192.0.2.9", 4), ("", 4)):
            found = await scene.get("/volumes/files?attachments=1", who=who)
            assert found[three[A]["id"]]["attachmentState"] == state
            every = await scene.get("/volumes?attachments=1", who=who)
            assert every["files"] == found
