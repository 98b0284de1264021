"""Consistency groups whose volumes go by another door."""

from __future__ import annotations

from pathlib import Path

from core_scene import make
from ontap_door_scene import Everyone, door_to

from gateway.core import clones, retired
from gateway.testing.cores import core_on, memory_pool

GROUPS = "/application/consistency-groups"


async def test_a_volume_that_its_user_deleted_is_in_no_group_although_a_clone_needs_it(tmp_path: Path) -> None:
    async with core_on(tmp_path, [memory_pool()]) as core, door_to(core, Everyone()) as door:
        gone, stays = await make(core, "gone"), await make(core, "stays")
        members = [{"name": gone.name}, {"name": stays.name}]
        made = await door.post(GROUPS, json={"name": "g", "svm.name": "svm1", "volumes": members})
        assert made.status_code == 201
        new = clones.NewClone(name="clone", tenant_id=gone.tenant_id, source_id=gone.id)
        await (await clones.create(core, new, description="t")).result()
        await (await retired.remove(core, gone.id, description="t")).result()
        (group,) = (await door.get(GROUPS, params={"fields": "volumes"})).json()["records"]
        assert [volume["name"] for volume in group["volumes"]] == [stays.name]
        taken = await door.post(f"{GROUPS}/{group['uuid']}/snapshots", json={"name": "s"})
        assert taken.status_code == 201
