"""What the gateway holds already is listed, taken under Cinder's care, and given back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from cinder import exception, objects
from cinder_scene import ADMIN, GIB, TENANT, snapshot, started, volume

from gateway.client import Client, native
from gateway.frontends.cinder_driver import GatewayVolumeDriver

BY_NAME = (["reference"], ["asc"])


@pytest.fixture
def there(gw: Client) -> Iterator[native.Volume]:
    """Give a volume that somebody made at another door; not a whole number of GiB."""
    name = f"disk-{uuid4().hex[:8]}"
    labels = {"owner": "team"}
    new = native.NewVolume(name=name, tenant=TENANT, pool="memory", size=GIB + 512, kind="block", labels=labels)
    made = gw.run(native.create_volume(new))
    yield made
    for taken in gw.each(native.snapshots(volume=made.id)):
        gw.run(native.delete_snapshot(taken.id))
    gw.run(native.delete_volume(made.id))


def listed(driver: GatewayVolumeDriver, known: list[Any]) -> dict[str, dict[str, Any]]:
    entries = driver.get_manageable_volumes(known, None, 1000, 0, *BY_NAME)
    return {entry["reference"]["source-name"]: entry for entry in entries}


@pytest.mark.parametrize("by", ["source-name", "source-id"])
def test_a_volume_is_taken_over_and_given_back(
    driver: GatewayVolumeDriver, gw: Client, there: native.Volume, by: str
) -> None:
    reference = {by: there.name if by == "source-name" else there.id}
    disk = volume()
    assert driver.manage_existing_get_size(disk, reference) == 2
    update = driver.manage_existing(disk, reference)
    assert update == {"provider_id": there.id}
    # A service that was stopped before it noted that asks again.
    assert driver.manage_existing_get_size(disk, reference) == 2
    assert driver.manage_existing(disk, reference) == update
    disk.update(update)
    now = gw.run(native.volume(there.id))
    assert (now.name, now.labels["cinder.volume"], now.labels["owner"]) == (disk.name, disk.id, "team")
    driver.extend_volume(disk, 2)
    driver.unmanage(disk)
    now = gw.run(native.volume(there.id))
    assert (now.name, now.labels, now.size) == (disk.name, {"owner": "team"}, 2 * GIB)
    driver.unmanage(volume())


def test_what_cinder_failed_to_take_over_is_not_deleted(
    driver: GatewayVolumeDriver, gw: Client, there: native.Volume
) -> None:
    """Its answer was lost. Whoever deletes the failed volume of Cinder would lose what was there before."""
    disk = volume(status="error_managing_deleting")
    driver.manage_existing(disk, {"source-name": there.name})
    driver.delete_volume(disk)
    left = gw.run(native.volume(there.id))
    assert (left.name, left.labels) == (disk.name, {"owner": "team"})
    driver.delete_volume(volume(status="error_managing_deleting"))


def test_what_cannot_be_taken_over(driver: GatewayVolumeDriver, gw: Client, there: native.Volume) -> None:
    disk = volume()
    for reference in ({}, {"source-name": "nothing"}, {"source-id": str(uuid4())}, {"source-id": "../pools"}):
        with pytest.raises(exception.ManageExistingInvalidReference):
            driver.manage_existing_get_size(disk, reference)
    files = gw.run(native.create_volume(native.NewVolume(name="files", tenant=TENANT, pool="memory", size=GIB)))
    with pytest.raises(exception.ManageExistingInvalidReference, match="holds files"):
        driver.manage_existing(disk, {"source-name": "files"})
    gw.run(native.delete_volume(files.id))
    reference = {"source-name": there.name}
    with pytest.raises(exception.ManageExistingInvalidReference, match="in the pool memory"):
        driver.manage_existing(volume(pool="other"), reference)
    with pytest.raises(exception.ManageExistingVolumeTypeMismatch, match="reserved space"):
        driver.manage_existing(volume(specs={"gateway:thick": "<is> True"}), reference)
    with pytest.raises(exception.ManageExistingVolumeTypeMismatch, match="gateway:driver"):
        driver.manage_existing(volume(specs={"gateway:driver": "zfs"}), reference)
    owned = volume(driver)
    with pytest.raises(exception.ManageExistingAlreadyManaged, match=owned.id):
        driver.manage_existing(disk, {"source-name": owned.name})
    driver.delete_volume(owned)
    assert gw.run(native.volume(there.id)) == there


def test_volumes_are_listed_page_by_page(driver: GatewayVolumeDriver, there: native.Volume) -> None:
    known, foreign = volume(driver), volume(driver)
    entries = listed(driver, [known])
    assert entries[there.name] == {
        "reference": {"source-name": there.name},
        "size": 2,
        "cinder_id": None,
        "extra_info": {"pool": "memory", "id": there.id},
        "safe_to_manage": True,
        "reason_not_safe": None,
    }
    assert (entries[known.name]["cinder_id"], entries[known.name]["reason_not_safe"]) == (known.id, "already managed")
    assert foreign.id in entries[foreign.name]["reason_not_safe"]
    assert not entries[foreign.name]["safe_to_manage"]
    # As the manager hands them on.
    assert len(objects.ManageableVolumeList.from_primitives(ADMIN, list(entries.values()))) == len(entries)
    # Cursors: one at a time, from the last one seen.
    order, marker = [], None
    while page := driver.get_manageable_volumes([known], marker, 1, 0, *BY_NAME):
        marker = page[0]["reference"]
        order.append(marker["source-name"])
    assert order == sorted(entries)
    down = driver.get_manageable_volumes([known], None, 2, 1, ["reference"], ["desc"])
    assert [entry["reference"]["source-name"] for entry in down] == sorted(entries, reverse=True)[1:3]
    with pytest.raises(exception.InvalidInput):
        driver.get_manageable_volumes([known], {"source-name": "nothing"}, 1, 0, *BY_NAME)
    for one in (known, foreign):
        driver.delete_volume(one)


def test_only_the_backends_pools_are_listed(url: str, there: native.Volume) -> None:
    with started(url, gateway_pools=["other"]) as driver:
        assert listed(driver, []) == {}
        with pytest.raises(exception.ManageExistingInvalidReference):
            driver.manage_existing(volume(pool="other"), {"source-name": there.name})


def test_a_snapshot_is_taken_over_and_given_back(driver: GatewayVolumeDriver, gw: Client, there: native.Volume) -> None:
    taken = gw.run(native.create_snapshot(there.id, "before", labels={"why": "upgrade"}))
    disk = volume()
    disk.update(driver.manage_existing(disk, {"source-name": there.name}))
    wanted = snapshot(disk)
    reference = {"source-name": "before"}

    [entry] = [one for one in driver.get_manageable_snapshots([], None, 1000, 0, *BY_NAME) if "before" in str(one)]
    assert entry == {
        "reference": reference,
        "source_reference": {"source-name": disk.name},
        "size": 2,
        "cinder_id": None,
        "extra_info": {"pool": "memory", "id": taken.id},
        "safe_to_manage": True,
        "reason_not_safe": None,
    }

    assert objects.ManageableSnapshotList.from_primitives(ADMIN, [entry])[0].size == 2

    assert driver.manage_existing_snapshot_get_size(snapshot=wanted, existing_ref=reference) == 2
    update = driver.manage_existing_snapshot(snapshot=wanted, existing_ref=reference)
    assert update == {"provider_id": taken.id}
    assert driver.manage_existing_snapshot(wanted, {"source-id": taken.id}) == update
    assert driver.manage_existing_snapshot(wanted, reference) == update
    wanted.update(update)
    assert gw.run(native.snapshot(taken.id)).name == wanted.name
    with pytest.raises(exception.ManageExistingAlreadyManaged, match=wanted.id):
        driver.manage_existing_snapshot(snapshot(disk), {"source-name": wanted.name})
    [entry] = [
        one for one in driver.get_manageable_snapshots([wanted], None, 1000, 0, *BY_NAME) if wanted.name in str(one)
    ]
    assert (entry["cinder_id"], entry["safe_to_manage"]) == (wanted.id, False)

    driver.unmanage_snapshot(wanted)
    assert gw.run(native.snapshot(taken.id)).labels == {"why": "upgrade"}
    driver.unmanage_snapshot(snapshot(disk))


def test_snapshots_that_cannot_be_taken_over(driver: GatewayVolumeDriver, gw: Client, there: native.Volume) -> None:
    gw.run(native.create_snapshot(there.id, "elsewhere"))
    disk = volume(driver)
    for reference in ({}, {"source-name": "elsewhere"}, {"source-id": str(uuid4())}):
        with pytest.raises(exception.ManageExistingInvalidReference):
            driver.manage_existing_snapshot_get_size(snapshot(disk), reference)
    with pytest.raises(exception.VolumeNotFound):
        driver.manage_existing_snapshot(snapshot(volume()), {"source-name": "elsewhere"})
    driver.delete_volume(disk)


def test_what_clones_need_is_not_offered(driver: GatewayVolumeDriver) -> None:
    disk, copy = volume(driver), volume()
    copy.update(driver.create_cloned_volume(copy, disk))
    named = [entry for entry in driver.get_manageable_snapshots([], None, 1000, 0, *BY_NAME) if disk.name in str(entry)]
    assert named == []
    for one in (copy, disk):
        driver.delete_volume(one)
