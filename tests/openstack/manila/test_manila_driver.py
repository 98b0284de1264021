"""The driver against a real gateway, called as the share manager calls it; bytes go over NFS."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from manila import exception
from manila_driver_scene import ready
from manila_scene import FAST, PLAIN, TENANT, Bed, access_row, manila_bed, share_row, snapshot_row

from gateway.client import native
from gateway.frontends.manila_driver import GatewayShareDriver
from gateway.frontends.manila_driver.driver import asked_thick
from gateway.frontends.manila_driver.naming import GIB

pytestmark = pytest.mark.root

HERE = access_row("127.0.0.1")
DRIVER = GatewayShareDriver


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    with manila_bed(tmp_path_factory.mktemp("manila")) as bed:
        yield bed


@pytest.fixture(scope="module")
def driver(bed: Bed) -> DRIVER:
    return ready(bed.gateway.url)


def shown(bed: Bed, share: dict[str, Any]) -> native.Volume | None:
    return bed.client.run(native.volume_named(share["name"], tenant=TENANT))


def made(driver: DRIVER, **fields: Any) -> dict[str, Any]:
    """Make a share that this host may write to."""
    share = share_row(**fields)
    driver.create_share(None, share, share_server=None)
    allow(driver, share, HERE)
    return share


def taken(driver: DRIVER, share: dict[str, Any]) -> dict[str, Any]:
    snapshot = snapshot_row(share)
    return {**snapshot, **driver.create_snapshot(None, snapshot, share_server=None)}


def allow(driver: DRIVER, share: dict[str, Any], *rules: dict[str, Any], added: Any = None) -> Any:
    return driver.update_access(
        None,
        share,
        list(rules),
        add_rules=list(rules if added is None else added),
        delete_rules=[],
        update_rules=[],
        share_server=None,
    )


def test_a_share_with_bytes(bed: Bed, driver: DRIVER) -> None:
    share = share_row()
    [location] = driver.create_share(None, share, share_server=None)
    path = f"/{share['name']}"
    assert location == {"path": f"127.0.0.1:{path}", "is_admin_only": False, "metadata": {"preferred": True}}
    assert not bed.nfs.reaches(path)
    assert allow(driver, share, HERE) == {}
    bed.nfs.write(f"{path}/letter", b"words")
    assert driver.create_share(None, share, share_server=None) == [location]
    assert bed.nfs.read(f"{path}/letter") == b"words"
    volume = shown(bed, share)
    assert volume is not None
    assert (volume.size, volume.pool) == (GIB, FAST)
    assert driver.get_pool(share) == FAST
    for _ in range(2):
        driver.delete_share(None, share, share_server=None)
    assert shown(bed, share) is None
    assert driver.get_pool(share) is None


def test_clients_are_told_of_a_port_that_is_not_the_usual(bed: Bed, driver: DRIVER) -> None:
    share = made(driver)
    row = {"id": share["share_id"], "instance": share}
    data = driver.get_optional_share_creation_data(row, share_server=None)
    assert data == {"metadata": {"__mount_options": f"port={bed.port}"}}
    gone = {"id": share["share_id"], "instance": share_row()}
    assert driver.get_optional_share_creation_data(gone, share_server=None) == {}


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"share_proto": "CIFS"}, "served over NFS, not CIFS"),
        ({"host": "manila@gw"}, "names no pool"),
        ({"host": "manila@gw#nowhere"}, "nowhere"),
        ({"host": "manila@gw#memory"}, "is not served over NFS"),
    ],
)
def test_what_cannot_be_is_refused_and_leaves_nothing(
    bed: Bed, driver: DRIVER, fields: dict[str, Any], words: str
) -> None:
    share = share_row(**fields)
    with pytest.raises(exception.ManilaException, match=words):
        driver.create_share(None, share, share_server=None)
    assert shown(bed, share) is None


def test_sizes(bed: Bed, driver: DRIVER) -> None:
    share = made(driver)
    driver.extend_share(share, 3, share_server=None)
    driver.shrink_share(share, 2, share_server=None)
    volume = shown(bed, share)
    assert volume is not None
    assert volume.size == 2 * GIB
    with pytest.raises(exception.ShareShrinkingPossibleDataLoss):
        driver.shrink_share(share, 0, share_server=None)


def test_a_share_that_is_gone_is_told_as_such(driver: DRIVER) -> None:
    share = share_row()
    for call in (
        lambda: driver.extend_share(share, 2),
        lambda: driver.shrink_share(share, 1),
        lambda: allow(driver, share, HERE),
        lambda: driver.create_snapshot(None, snapshot_row(share)),
        lambda: driver.get_share_status(share),
    ):
        with pytest.raises(exception.ShareResourceNotFound):
            call()
    driver.unmanage(share)
    driver.delete_snapshot(None, snapshot_row(share))
    driver.delete_share(None, share)


def test_snapshots_and_what_is_made_of_them(bed: Bed, driver: DRIVER) -> None:
    share = made(driver)
    path = f"/{share['name']}/letter"
    bed.nfs.write(path, b"old")
    snapshot = taken(driver, share)
    assert driver.create_snapshot(None, snapshot) == {"provider_location": snapshot["provider_location"]}
    bed.nfs.overwrite(path, b"new")

    copy = share_row(size=2)
    update = driver.create_share_from_snapshot(None, copy, snapshot, share_server=None, parent_share=share)
    assert update["status"] == "available"
    assert update["export_locations"][0]["path"] == f"127.0.0.1:/{copy['name']}"
    allow(driver, copy, HERE)
    assert bed.nfs.read(f"/{copy['name']}/letter") == b"old"
    status = driver.get_share_status(copy)
    assert status == {"status": "available", "progress": "100%", "export_locations": update["export_locations"]}

    assert driver.revert_to_snapshot(None, snapshot, [HERE], [], share_server=None) == 1
    assert bed.nfs.read(path) == b"old"

    # What was made of it does not keep it from being deleted.
    for _ in range(2):
        driver.delete_snapshot(None, snapshot, share_server=None)
    assert bed.nfs.read(f"/{copy['name']}/letter") == b"old"
    driver.delete_share(None, copy)
    with pytest.raises(exception.SnapshotResourceNotFound):
        driver.create_share_from_snapshot(None, share_row(), snapshot)
    with pytest.raises(exception.SnapshotResourceNotFound):
        driver.revert_to_snapshot(None, snapshot, [], [])


def test_groups_are_made_of_shares_and_snapshots(bed: Bed, driver: DRIVER) -> None:
    shares = [made(driver), made(driver)]
    group = str(uuid4())
    members = []
    for share in shares:
        bed.nfs.write(f"/{share['name']}/letter", b"old")
        row = {**snapshot_row(share), "share": share, "share_group_snapshot_id": group}
        members.append({**row, "share_id": share["id"]})
    taken = {"id": group, "share_group_snapshot_members": members}
    _, updates = driver.create_share_group_snapshot(None, taken, share_server=None)
    kept = {update["id"]: update["provider_location"] for update in updates}
    for member in members:
        member.update(provider_location=kept[member["id"]], snapshot_id=None)
    copies = [share_row(source_share_group_snapshot_member_id=member["id"]) for member in members]
    _, updates = driver.create_share_group_from_share_group_snapshot(None, {"shares": copies}, taken)
    assert [update["status"] for update in updates] == ["available", "available"]
    allow(driver, copies[1], HERE)
    assert bed.nfs.read(f"/{copies[1]['name']}/letter") == b"old"
    driver.delete_share_group_snapshot(None, taken)


@pytest.mark.parametrize(
    ("specs", "thick"),
    [
        ({}, None),
        ({"thin_provisioning": "True"}, False),
        ({"thin_provisioning": "<is> False"}, True),
        ({"capabilities:thin_provisioning": "<is> False"}, True),
        ({"gateway_driver": "zfs"}, None),
    ],
)
def test_what_a_share_type_asks_of_space(specs: dict[str, str], thick: bool | None) -> None:
    assert asked_thick(specs) is thick


def test_a_share_type_that_cannot_be_read_is_told() -> None:
    with pytest.raises(exception.InvalidExtraSpec):
        asked_thick({"thin_provisioning": "perhaps"})


def test_what_a_pool_cannot_is_told(bed: Bed, driver: DRIVER) -> None:
    share = made(driver, pool=PLAIN)
    with pytest.raises(exception.ShareBackendException):
        driver.create_snapshot(None, snapshot_row(share))


def test_access_rules_that_cannot_be_are_in_error_and_the_others_hold(bed: Bed, driver: DRIVER) -> None:
    share = made(driver)
    bad = [access_row("10.0.0.5/24"), access_row("alice", kind="user"), access_row("2001:db8::/100")]
    good = [HERE, access_row("2001:db8::/48", "ro"), access_row("127.0.0.1/32")]
    told = allow(driver, share, *bad, *good)
    assert told == {row["access_id"]: {"state": "error"} for row in bad}
    assert bed.nfs.reaches(f"/{share['name']}")
    # The manager does not send again what is in error, and asks for its end as for any other's.
    driver.update_access(None, share, good[1:2], add_rules=[], delete_rules=[*bad, HERE], update_rules=[])
    assert not bed.nfs.reaches(f"/{share['name']}")


def test_a_new_rule_that_contradicts_an_old_one_is_in_error(bed: Bed, driver: DRIVER) -> None:
    share = made(driver)
    other = access_row("127.0.0.1/32", "ro")
    assert allow(driver, share, other, HERE, added=[other]) == {other["access_id"]: {"state": "error"}}
    bed.nfs.write(f"/{share['name']}/letter", b"words")


def test_a_full_sync_makes_it_as_the_rules_say(bed: Bed, driver: DRIVER) -> None:
    share = made(driver)
    bed.client.run(native.set_export_policy(TENANT, share["name"], []))
    assert not bed.nfs.reaches(f"/{share['name']}")
    driver.update_access(None, share, [HERE], add_rules=[], delete_rules=[], update_rules=[])
    assert bed.nfs.reaches(f"/{share['name']}")


def test_managing(bed: Bed, driver: DRIVER) -> None:
    name = f"v{uuid4().hex[:8]}"
    new = native.NewVolume(name=name, tenant=TENANT, pool=FAST, size=GIB + 1024 * 1024, path=f"/{name}")
    volume = bed.client.run(native.create_volume(new))
    share = share_row(size=0, export_locations=[{"path": f"127.0.0.1:/{name}"}])
    told = driver.manage_existing(share, {})
    assert told["size"] == 2
    assert [place["path"] for place in told["export_locations"]] == [f"127.0.0.1:/{name}"]
    allow(driver, share, HERE)
    bed.nfs.write(f"/{name}/letter", b"words")

    ref = bed.client.run(native.create_snapshot(volume.id, "nightly"))
    snapshot = snapshot_row(share, provider_location="nightly")
    assert driver.manage_existing_snapshot(snapshot, None) == {"size": 2, "provider_location": ref.id}
    driver.unmanage_snapshot({**snapshot, "provider_location": ref.id})
    with pytest.raises(exception.ManageInvalidShareSnapshot):
        driver.manage_existing_snapshot(snapshot_row(share, provider_location="nothing"), {})

    driver.unmanage(share)
    again = share_row(size=0, export_locations=[{"path": f"127.0.0.1:/{name}"}])
    driver.manage_existing(again, None)
    with pytest.raises(exception.ManageInvalidShare, match="take_over"):
        driver.manage_existing(share, {})
    driver.delete_share(None, again)


@pytest.mark.parametrize(
    "fields",
    [
        {"export_locations": [{"path": "127.0.0.1:/nothing-there"}]},
        {"export_locations": [{"path": "nonsense"}]},
        {"export_locations": [{"path": "127.0.0.1:/x"}], "share_proto": "CIFS"},
        {"export_locations": [{"path": "127.0.0.1:/x"}], "host": "manila@gw"},
    ],
)
def test_what_cannot_be_managed_is_told_as_the_manager_wants_it(driver: DRIVER, fields: dict[str, Any]) -> None:
    with pytest.raises(exception.ManageInvalidShare):
        driver.manage_existing(share_row(**fields), {})


def test_ensuring(bed: Bed, driver: DRIVER) -> None:
    well, gone = made(driver), share_row()
    found = driver.ensure_shares(None, [well, gone])
    assert found[gone["id"]] == {"status": "error"}
    assert found[well["id"]] == {
        "status": "available",
        "export_locations": driver.create_share(None, well),
        "reapply_access_rules": False,
    }
    info = driver.get_backend_info(None)
    assert info == driver.get_backend_info(None)
    assert info["tenant"] == TENANT


def test_usage(driver: DRIVER) -> None:
    share = made(driver)
    [told] = driver.update_share_usage_size(None, [share, share_row()])
    assert (told["id"], told["used_size"] < 1) == (share["id"], True)


def test_stats(driver: DRIVER) -> None:
    stats = driver.get_share_stats(refresh=True)
    assert (stats["storage_protocol"], stats["vendor_name"]) == ("NFS", "volume-gateway")
    assert (stats["ipv4_support"], stats["ipv6_support"]) == (True, False)
    assert stats["replication_domain"] is None
    assert "replication_type" not in stats
    flags = ("snapshot_support", "create_share_from_snapshot_support", "revert_to_snapshot_support")
    told = {pool["pool_name"]: tuple(pool[flag] for flag in flags) for pool in stats["pools"]}
    assert told == {FAST: (True, True, True), PLAIN: (False, False, False)}
    for pool in stats["pools"]:
        assert pool["total_capacity_gb"] >= pool["free_capacity_gb"] > 0
        assert isinstance(pool["reserved_snapshot_percentage"], int)
        assert isinstance(pool["reserved_share_extend_percentage"], int)
        assert pool["max_over_subscription_ratio"] == 20.0


def test_only_the_pools_that_are_configured_are_offered(bed: Bed) -> None:
    one = ready(bed.gateway.url, "gw-one-pool", gateway_pools=[PLAIN])
    assert [pool["pool_name"] for pool in one.get_share_stats(refresh=True)["pools"]] == [PLAIN]


def test_two_services_share_a_gateway(bed: Bed, driver: DRIVER) -> None:
    other = ready(bed.gateway.url, "gw-other")
    mine, theirs = made(driver), made(other)
    assert other.get_pool(mine) == driver.get_pool(theirs) == FAST
    other.delete_share(None, theirs)
    assert shown(bed, mine) is not None
