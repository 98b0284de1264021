"""Volumes change their type and their pool; Cinder's own migration does not lose what it copied."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from cinder import exception, objects
from cinder.volume.manager import VolumeManager
from cinder_scene import ADMIN, TENANT, gateway, snapshot, started, volume

from gateway.client import Client, native
from gateway.frontends.cinder_driver import GatewayVolumeDriver


def host(driver: GatewayVolumeDriver, pool: str, *, backend: str = "gateway") -> dict[str, Any]:
    """Give a place as the scheduler hands it over."""
    [told] = [one for one in driver.get_volume_stats(refresh=True)["pools"] if one["pool_name"] == pool]
    return {"host": f"host@{backend}#{pool}", "capabilities": told}


def kind(**specs: str) -> objects.VolumeType:
    given = {key.replace("__", ":"): value for key, value in specs.items()}
    return objects.VolumeType(ADMIN, id=str(uuid4()), extra_specs=given)


def pool_of(gw: Client, disk: objects.Volume) -> str:
    return gw.run(native.volume(disk.provider_id)).pool


def test_a_volume_moves_to_another_pool(driver: GatewayVolumeDriver, gw: Client) -> None:
    disk = volume(driver)
    assert driver.migrate_volume(ADMIN, disk, host(driver, "other")) == (True, None)
    assert pool_of(gw, disk) == "other"
    # The same again, and to where it is already by the name of another backend.
    assert driver.migrate_volume(ADMIN, disk, host(driver, "other", backend="second")) == (True, None)
    driver.delete_volume(disk)


def test_what_the_gateway_cannot_move_is_copied_by_cinder(
    driver: GatewayVolumeDriver, gw: Client, tmp_path: Any
) -> None:
    disk = volume(driver)
    with gateway(tmp_path) as url, started(url) as elsewhere:
        assert driver.migrate_volume(ADMIN, disk, host(elsewhere, "other")) == (False, None)
    foreign = {"host": "host@lvm#other", "capabilities": {"location_info": "LVMVolumeDriver:host:vg"}}
    assert driver.migrate_volume(ADMIN, disk, foreign) == (False, None)
    taken = snapshot(disk, driver)
    assert driver.migrate_volume(ADMIN, disk, host(driver, "other")) == (False, None)
    assert pool_of(gw, disk) == "memory"
    driver.delete_snapshot(taken)
    driver.delete_volume(disk)
    with pytest.raises(exception.VolumeNotFound):
        driver.migrate_volume(ADMIN, volume(), host(driver, "other"))


def test_a_type_changes_in_place_or_in_another_pool(driver: GatewayVolumeDriver, gw: Client) -> None:
    disk = volume(driver)
    here, there = host(driver, "memory"), host(driver, "other")
    diff = {"extra_specs": {"multiattach": (None, "<is> True")}}
    assert driver.retype(ADMIN, disk, kind(multiattach="<is> True"), diff, here) == (True, None)
    assert gw.run(native.volume(disk.provider_id)).multi_attach
    diff = {"extra_specs": {"multiattach": ("<is> True", None)}}
    assert driver.retype(ADMIN, disk, kind(gateway__pool="other"), diff, there) == (True, None)
    now = gw.run(native.volume(disk.provider_id))
    assert (now.pool, now.multi_attach) == ("other", False)
    disk.host = there["host"]
    # Not without a copy.
    assert driver.retype(ADMIN, disk, kind(gateway__thick="<is> True"), {}, there) == (False, None)
    assert driver.retype(ADMIN, disk, kind(gateway__driver="zfs"), {}, there) == (False, None)
    driver.delete_volume(disk)


def test_reserved_space_stays_unless_a_type_is_against_it(driver: GatewayVolumeDriver) -> None:
    disk = volume(driver, specs={"gateway:thick": "<is> True"})
    here = host(driver, "memory")
    assert driver.retype(ADMIN, disk, kind(), {}, here) == (True, None)
    assert driver.retype(ADMIN, disk, kind(gateway__thin="<is> True"), {}, here) == (False, None)
    driver.delete_volume(disk)


def recorded(driver: GatewayVolumeDriver, **fields: Any) -> objects.Volume:
    """Make a volume that is in Cinder's database, too."""
    made = volume(driver)
    record = objects.Volume(
        ADMIN,
        size=1,
        host=made.host,
        project_id=made.project_id,
        provider_id=made.provider_id,
        status="available",
        **fields,
    )
    record.create()
    # A record chooses its id itself.
    found = driver._site.run(native.volume(made.provider_id))
    values = {"name": record.name, "labels": {**found.labels, "cinder.volume": record.id}}
    driver._site.run(native.change_volume(found.id, values))
    return record


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize("same", [True, False], ids=["same gateway", "another gateway"])
def test_cinders_own_migration_keeps_the_copy_and_deletes_the_source(
    driver: GatewayVolumeDriver, same: bool, tmp_path: Any
) -> None:
    """As `migrate_volume_completion` does it, where a wrong `provider_id` would have the copy deleted."""
    with gateway(tmp_path) as url, started(url) as another:
        target = driver if same else another
        source = recorded(driver)
        copy = recorded(target, migration_status=f"target:{source.id}")
        old, new = source.provider_id, copy.provider_id

        VolumeManager.update_migrated_volume(SimpleNamespace(driver=target), ADMIN, source, copy, "available")
        source.refresh()
        copy.refresh()
        left = source.finish_volume_migration(copy)
        assert (source.provider_id, left.provider_id) == (new, old)
        found = target._site.run(native.volume(new))
        assert (found.name, found.labels["cinder.volume"]) == (source.name, source.id)
        assert source._name_id == (copy.id if same else None)

        driver.delete_volume(left)
        assert target._site.run(native.volume(new)) is not None
        assert driver._site.run(native.volume_named(left.name, tenant=TENANT)) is None
        # Without the id it is found by the name as well.
        source.provider_id = None
        target.extend_volume(source, 2)
        target.delete_volume(source)
