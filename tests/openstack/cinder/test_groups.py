"""Groups of volumes: at one instant where the pool can, left to Cinder where nobody asks for that, else refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from cinder import exception, objects
from cinder.volume import group_types
from cinder_scene import ADMIN, GIB, TENANT, client, gateway, snapshot, started, volume

from gateway.client import Client, native
from gateway.frontends.cinder_driver import GatewayVolumeDriver

pytestmark = pytest.mark.usefixtures("database")
CONSISTENT = {"consistent_group_snapshot_enabled": "<is> True"}


def group(*, consistent: bool = True, pool: str = "memory") -> objects.Group:
    kind = group_types.create(ADMIN, f"type-{uuid4()}", CONSISTENT if consistent else {})
    return objects.Group(ADMIN, id=str(uuid4()), group_type_id=kind["id"], host=f"host@gateway#{pool}")


def group_snapshot(of: objects.Group) -> objects.GroupSnapshot:
    return objects.GroupSnapshot(ADMIN, id=str(uuid4()), group_id=of.id, group_type_id=of.group_type_id)


def names(gw: Client) -> set[str]:
    return {one.name for one in gw.each(native.volumes(tenant=TENANT))}


def test_a_group_lives(driver: GatewayVolumeDriver, gw: Client) -> None:
    team = group()
    assert driver.create_group(ADMIN, team) == {"status": "available"}
    members = [volume(driver, group=team) for _ in range(3)]
    late = volume(driver)
    assert driver.update_group(ADMIN, team, add_volumes=[late], remove_volumes=[]) == (None, None, None)
    members.append(late)

    taken, wanted = group_snapshot(team), [snapshot(member) for member in members]
    status, updates = driver.create_group_snapshot(ADMIN, taken, wanted)
    assert status == {"status": "available"}
    assert [(one["id"], one["status"]) for one in updates] == [(one.id, "available") for one in wanted]
    assert driver.create_group_snapshot(ADMIN, taken, wanted)[1] == updates
    for one, update in zip(wanted, updates, strict=True):
        there = gw.run(native.snapshot(update["provider_id"]))
        assert (there.name, there.volume, there.labels["cinder.snapshot"]) == (one.name, one.volume.provider_id, one.id)
        one.provider_id = update["provider_id"]

    copy = group()
    copies = [volume(size=2, group=copy) for _ in members]
    status, updates = driver.create_group_from_src(ADMIN, copy, copies, taken, wanted, None, None)
    assert status == {"status": "available"}
    for one, update in zip(copies, updates, strict=True):
        one.provider_id = update["provider_id"]
        assert gw.run(native.volume(one.provider_id)).size == 2 * GIB

    # Volumes hang on the snapshots: they stay, and Cinder does not forget them.
    status, updates = driver.delete_group_snapshot(ADMIN, taken, wanted)
    assert status == {"status": "error_deleting"}
    assert {one["status"] for one in updates} == {"error_deleting"}
    for one, its in ((copy, copies), (None, None)):
        if one is not None:
            assert driver.delete_group(ADMIN, one, its)[0] == {"status": "deleted"}
    assert driver.delete_group_snapshot(ADMIN, taken, wanted)[0] == {"status": "deleted"}
    assert driver.delete_group_snapshot(ADMIN, taken, wanted)[0] == {"status": "deleted"}
    status, updates = driver.delete_group(ADMIN, team, members)
    assert status == {"status": "deleted"}
    assert [one["id"] for one in updates] == [one.id for one in members]
    assert {one.name for one in (*members, *copies)}.isdisjoint(names(gw))


def test_a_copy_of_a_group_is_whole_or_not_there(driver: GatewayVolumeDriver, gw: Client) -> None:
    team = group()
    members = [volume(driver, group=team) for _ in range(2)]
    wanted = [snapshot(member) for member in members]
    for one, update in zip(wanted, driver.create_group_snapshot(ADMIN, group_snapshot(team), wanted)[1], strict=True):
        one.provider_id = update["provider_id"]
    driver.delete_snapshot(wanted[1])
    copies = [volume(), volume()]
    with pytest.raises(exception.SnapshotNotFound):
        driver.create_group_from_src(ADMIN, group(), copies, group_snapshot(team), wanted)
    assert {one.name for one in copies}.isdisjoint(names(gw))
    driver.delete_group_snapshot(ADMIN, group_snapshot(team), wanted)
    driver.delete_group(ADMIN, team, members)


def test_an_instant_is_of_all_or_of_none(driver: GatewayVolumeDriver, gw: Client) -> None:
    team = group()
    members = [volume(driver, group=team) for _ in range(2)]
    wanted = [snapshot(member) for member in [*members, volume()]]
    # The manager looks after the snapshots only when the exception is one of Cinder's.
    with pytest.raises(exception.VolumeNotFound):
        driver.create_group_snapshot(ADMIN, group_snapshot(team), wanted)
    assert [list(gw.each(native.snapshots(volume=one.provider_id))) for one in members] == [[], []]
    driver.delete_group(ADMIN, team, members)


def test_groups_without_an_instant_are_cinders_own(driver: GatewayVolumeDriver) -> None:
    team = group(consistent=False)
    for call in (
        lambda: driver.create_group(ADMIN, team),
        lambda: driver.update_group(ADMIN, team),
        lambda: driver.create_group_snapshot(ADMIN, group_snapshot(team), []),
        lambda: driver.create_group_from_src(ADMIN, team, []),
    ):
        with pytest.raises(NotImplementedError):
            call()
    members = [volume(driver, group=team), volume(driver, pool="other", group=team)]
    assert driver.delete_group(ADMIN, team, members)[0] == {"status": "deleted"}


def test_a_group_with_an_instant_is_in_one_pool(driver: GatewayVolumeDriver) -> None:
    team = group()
    with pytest.raises(exception.VolumeDriverException, match="one pool, memory"):
        volume(driver, pool="other", group=team)
    stray, member = volume(driver, pool="other"), volume(driver, group=team)
    with pytest.raises(exception.VolumeDriverException, match="one pool, memory"):
        driver.update_group(ADMIN, team, add_volumes=[stray])
    with pytest.raises(exception.VolumeDriverException, match="one pool"):
        driver.create_group_snapshot(ADMIN, group_snapshot(team), [snapshot(stray), snapshot(member)])
    with pytest.raises(exception.VolumeDriverException, match="no pool nowhere"):
        driver.create_group(ADMIN, group(pool="nowhere"))
    with pytest.raises(exception.VolumeDriverException, match="take one first"):
        driver.create_group_from_src(ADMIN, group(), [volume()], None, None, team, [member])
    for one in (stray, member):
        driver.delete_volume(one)


@pytest.fixture
def plain(tmp_path: Path) -> Iterator[SimpleNamespace]:
    """Give a driver before a pool that cannot take snapshots of several volumes at one instant, nor any else."""
    (tmp_path / "pool").mkdir()
    pools = f'[backend.memory]\ndriver = "directory"\npath = "{tmp_path / "pool"}"\ndisable = ["snapshot", "clone"]\n'
    with gateway(tmp_path / "gateway", pools=pools) as url, started(url) as driver, client(url) as gw:
        yield SimpleNamespace(driver=driver, gw=gw)


def test_a_pool_that_cannot_says_so(plain: SimpleNamespace) -> None:
    driver: Any = plain.driver
    [pool] = driver.get_volume_stats(refresh=True)["pools"]
    assert pool["consistent_group_snapshot_enabled"] is False
    assert pool["gateway"]["snapshot"] is False
    with pytest.raises(exception.VolumeDriverException, match="are not one instant"):
        driver.create_group(ADMIN, group())
    disk = volume(driver)
    taken = snapshot(disk)
    with pytest.raises(exception.VolumeDriverException, match="snapshot"):
        driver.create_snapshot(taken)
    with pytest.raises(exception.CinderException):
        driver.create_group_snapshot(ADMIN, group_snapshot(group()), [taken])
    # Cinder downloads an image again that it cannot clone from its cache.
    with pytest.raises(NotImplementedError):
        driver.create_cloned_volume(volume(), disk)
    driver.delete_volume(disk)
