"""Volumes and snapshots through the driver, with Cinder's objects, before a real gateway."""

from __future__ import annotations

import pytest
from cinder import exception
from cinder_scene import ADMIN, GIB, PROJECT, TENANT, snapshot, volume

from gateway.client import Client, native
from gateway.frontends.cinder_driver import GatewayVolumeDriver


def found(gw: Client, name: str) -> native.Volume | None:
    return gw.run(native.volume_named(name, tenant=TENANT))


def names(gw: Client) -> set[str]:
    return {one.name for one in gw.each(native.volumes(tenant=TENANT))}


def test_a_volume_is_made_grows_and_goes(driver: GatewayVolumeDriver, gw: Client) -> None:
    disk = volume(driver, size=2)
    there = found(gw, disk.name)
    assert there is not None
    assert (there.id, there.size, there.kind, there.pool) == (disk.provider_id, 2 * GIB, "block", "memory")
    assert there.labels == {"cinder.volume": disk.id, "cinder.project": PROJECT}
    assert driver.get_pool(disk) == "memory"

    driver.extend_volume(disk, 5)
    driver.extend_volume(disk, 5)
    assert gw.run(native.volume(there.id)).size == 5 * GIB

    driver.delete_volume(disk)
    driver.delete_volume(disk)
    assert found(gw, disk.name) is None


def test_what_cinder_does_not_know_the_id_of_is_found_by_name(driver: GatewayVolumeDriver, gw: Client) -> None:
    disk = volume(driver)
    taken = snapshot(disk, driver)
    disk.provider_id = taken.provider_id = None
    driver.extend_volume(disk, 2)
    driver.delete_snapshot(taken)
    driver.delete_volume(disk)
    assert found(gw, disk.name) is None


def test_snapshots_are_taken_cloned_and_go(driver: GatewayVolumeDriver, gw: Client) -> None:
    disk = volume(driver)
    taken = snapshot(disk, driver)
    there = gw.run(native.snapshot(taken.provider_id))
    assert (there.name, there.labels["cinder.snapshot"]) == (taken.name, taken.id)

    larger = volume(size=4)
    larger.update(driver.create_volume_from_snapshot(larger, taken))
    made = gw.run(native.volume(larger.provider_id))
    assert (made.size, made.origin) == (4 * GIB, native.Origin(volume=disk.provider_id, snapshot=there.id))

    with pytest.raises(exception.SnapshotIsBusy):
        driver.delete_snapshot(taken)
    driver.delete_volume(larger)
    driver.delete_snapshot(taken)
    driver.delete_snapshot(taken)
    driver.delete_volume(disk)
    assert {disk.name, larger.name}.isdisjoint(names(gw))


def test_a_snapshot_is_as_large_as_its_volume_was(driver: GatewayVolumeDriver, gw: Client) -> None:
    disk = volume(driver)
    taken = snapshot(disk, driver)
    driver.extend_volume(disk, 3)
    assert driver.manage_existing_snapshot_get_size(taken, {"source-name": taken.name}) == 1

    # Cinder makes a volume of a snapshot as large as the snapshot unless somebody says otherwise.
    copy = volume(size=1)
    copy.update(driver.create_volume_from_snapshot(copy, taken))
    assert gw.run(native.volume(copy.provider_id)).size == GIB
    driver.delete_volume(copy)
    driver.delete_snapshot(taken)
    driver.delete_volume(disk)


def test_a_clone_outlives_its_source_and_nothing_stays_of_both(driver: GatewayVolumeDriver, gw: Client) -> None:
    disk = volume(driver)
    copy = volume(size=3)
    copy.update(driver.create_cloned_volume(copy, disk))
    assert gw.run(native.volume(copy.provider_id)).size == 3 * GIB
    driver.delete_volume(disk)
    assert found(gw, disk.name) is None
    # The name is free again, as after any deletion.
    again = volume(id=disk.id)
    again.update(driver.create_volume(again))
    assert again.name == disk.name
    for one in (copy, again):
        driver.delete_volume(one)
    count = {pool.name: pool.volume_count for pool in gw.run(native.pools())}
    assert count == {"memory": len(names(gw)), "other": 0}


def test_a_volume_goes_back_to_its_snapshot_without_a_copy(driver: GatewayVolumeDriver) -> None:
    disk = volume(driver)
    taken = snapshot(disk, driver)
    assert driver.snapshot_revert_use_temp_snapshot() is False
    driver.revert_to_snapshot(ADMIN, disk, taken)
    driver.delete_snapshot(taken)
    with pytest.raises(exception.SnapshotNotFound):
        driver.revert_to_snapshot(ADMIN, disk, taken)
    driver.delete_volume(disk)


def test_every_maker_may_be_repeated(driver: GatewayVolumeDriver, gw: Client) -> None:
    disk = volume(driver)
    assert driver.create_volume(disk) == {"provider_id": disk.provider_id}
    taken = snapshot(disk, driver)
    assert driver.create_snapshot(taken) == {"provider_id": taken.provider_id}
    copy = volume(size=2)
    made = driver.create_volume_from_snapshot(copy, taken)
    assert driver.create_volume_from_snapshot(copy, taken) == made
    twin = volume(size=2)
    made = driver.create_cloned_volume(twin, disk)
    assert driver.create_cloned_volume(twin, disk) == made
    assert gw.run(native.volume(disk.provider_id)).clone_count == 2
    for one in (copy, twin):
        driver.delete_volume(one)
    driver.delete_snapshot(taken)
    driver.delete_volume(disk)


def test_an_attempt_elsewhere_goes_before_the_next(driver: GatewayVolumeDriver, gw: Client) -> None:
    disk = volume(driver, size=1)
    moved = volume(id=disk.id, pool="other", size=2)
    moved.update(driver.create_volume(moved))
    there = gw.run(native.volume(moved.provider_id))
    assert (there.pool, there.size) == ("other", 2 * GIB)
    driver.delete_volume(moved)
    assert disk.name not in names(gw)


def test_a_name_that_somebody_else_has_is_left_alone(driver: GatewayVolumeDriver, gw: Client) -> None:
    disk = volume()
    new = native.NewVolume(name=disk.name, tenant=TENANT, pool="memory", size=GIB, kind="block")
    other = gw.run(native.create_volume(new))
    with pytest.raises(exception.VolumeBackendAPIException):
        driver.create_volume(disk)
    # Cinder deletes what failed, too.
    driver.delete_volume(disk)
    with pytest.raises(exception.VolumeNotFound):
        driver.extend_volume(disk, 2)
    assert gw.run(native.volume(other.id)) == other
    gw.run(native.delete_volume(other.id))


def test_a_clone_is_made_within_its_pool(driver: GatewayVolumeDriver) -> None:
    disk = volume(driver)
    with pytest.raises(exception.VolumeDriverException, match="pool memory"):
        driver.create_cloned_volume(volume(pool="other"), disk)
    driver.delete_volume(disk)


def test_what_is_not_there(driver: GatewayVolumeDriver) -> None:
    nothing = volume()
    gone = snapshot(nothing)
    with pytest.raises(exception.VolumeNotFound):
        driver.extend_volume(nothing, 2)
    with pytest.raises(exception.VolumeNotFound):
        driver.create_snapshot(gone)
    with pytest.raises(exception.VolumeNotFound):
        driver.create_cloned_volume(volume(), nothing)
    with pytest.raises(exception.SnapshotNotFound):
        driver.create_volume_from_snapshot(volume(), gone)
    with pytest.raises(exception.VolumeNotFound):
        driver.get_pool(nothing)
    driver.delete_snapshot(gone)
    driver.delete_volume(nothing)


def test_a_transferred_volume_tells_its_project(driver: GatewayVolumeDriver, gw: Client) -> None:
    disk = volume(driver)
    driver.accept_transfer(ADMIN, disk, "user", "another")
    assert gw.run(native.volume(disk.provider_id)).labels == {"cinder.volume": disk.id, "cinder.project": "another"}
    driver.delete_volume(disk)
