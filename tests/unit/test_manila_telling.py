"""What Manila is told: export locations, pools with their abilities, where shares may be."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import msgspec
import pytest

from gateway.client.native import Abilities, Handle, Pool
from gateway.client.wire import Reply
from gateway.frontends.manila_driver.locations import locations, mount_options, path_in, versions
from gateway.frontends.manila_driver.naming import GIB, INSTANCE, Share, Snapshot, gib, unmarked
from gateway.frontends.manila_driver.refusals import Refusal
from gateway.frontends.manila_driver.site import Site, find_site
from gateway.frontends.manila_driver.stats import Reserve, consistent, described, serving, unfit

ADDRESSES = ("192.0.2.1",)


def nfs(address: str = "192.0.2.1", **fields: Any) -> Handle:
    return Handle(kind="nfs", address=address, path="/share-1", **{"port": 2049, **fields})


def pool(
    name: str = "fast", *, at: tuple[str, ...] = ADDRESSES, can: tuple[str, ...] = ("thin",), **fields: Any
) -> Pool:
    kinds = {"filesystem": Abilities(can=can, ways=("nfs",), addresses=at)}
    values: dict[str, Any] = {"id": name, "name": name, "state": "online", "kinds": kinds, **fields}
    return Pool(**values)


def test_the_first_location_is_preferred() -> None:
    found = locations([Handle(kind="local_path", path="/srv"), nfs(), nfs("filer.example")])
    assert found == [
        {"path": "192.0.2.1:/share-1", "is_admin_only": False, "metadata": {"preferred": True}},
        {"path": "filer.example:/share-1", "is_admin_only": False, "metadata": {"preferred": False}},
    ]


def test_an_address_of_ipv6_is_bracketed() -> None:
    assert locations([nfs("2001:db8::1")])[0]["path"] == "[2001:db8::1]:/share-1"


def test_what_is_not_published_has_no_location() -> None:
    handles = [Handle(kind="local_path", path="/srv"), Handle(kind="in_process", key="1")]
    assert locations(handles) == []
    assert mount_options(handles) == ""


@pytest.mark.parametrize(
    ("handle", "options"),
    [
        (nfs(), ""),
        (nfs(port=20049), "port=20049"),
        (nfs(port=0), ""),
    ],
)
def test_mount_options(handle: Handle, options: str) -> None:
    assert mount_options([handle]) == options


@pytest.mark.parametrize(
    ("addresses", "found"),
    [
        ([], []),
        (["192.0.2.1"], [4]),
        (["2001:db8::1", "192.0.2.1", "192.0.2.2"], [4, 6]),
        (["nobody.invalid"], []),
    ],
)
def test_versions_of_ip(addresses: list[str], found: list[int]) -> None:
    assert versions(addresses) == found


def test_what_a_name_stands_for_counts() -> None:
    assert 4 in versions(["localhost"])


@pytest.mark.parametrize(
    ("location", "path"),
    [
        ("192.0.2.1:/data", "/data"),
        (" filer:/a/b ", "/a/b"),
        ("[2001:db8::1]:/data", "/data"),
        ("/data", None),
        ("192.0.2.1:data", None),
        ("192.0.2.1:/", None),
        (":/data", None),
        ("", None),
    ],
)
def test_the_path_in_a_location_that_somebody_wrote(location: str, path: str | None) -> None:
    assert path_in(location) == path


def test_what_is_ours_is_known_by_the_mark_of_its_instance() -> None:
    share = Share(id="i", share_id="s", name="share-i", tenant="svm1")
    assert share.owns(share.labels)
    assert not share.owns({**share.labels, INSTANCE: "other"})
    assert not share.owns({})
    assert share.path == "/share-i"
    assert msgspec.structs.replace(share, mount_point="mine").path == "/mine"
    snapshot = Snapshot(id="si", snapshot_id="sn", name="share-snapshot-si")
    assert snapshot.owns(snapshot.labels)
    assert unmarked({**share.labels, **snapshot.labels, "kept": "1"}) == {"kept": "1"}


def test_sizes_are_rounded_up() -> None:
    assert [gib(size) for size in (0, 1, GIB, GIB + 1)] == [0, 1, 1, 2]


def test_every_key_that_the_scheduler_reads_without_asking_is_there() -> None:
    [told] = described([pool(size=10 * GIB, available=4 * GIB)], Reserve(shares=5, from_snapshots=6, extending=7))
    assert told["pool_name"] == "fast"
    assert (told["total_capacity_gb"], told["free_capacity_gb"]) == (10.0, 4.0)
    reserved = ["reserved_percentage", "reserved_snapshot_percentage", "reserved_share_extend_percentage"]
    assert [told[key] for key in reserved] == [5, 6, 7]
    assert told["max_over_subscription_ratio"] == 20.0


@pytest.mark.parametrize(
    ("can", "flags"),
    [
        ((), (False, False, False)),
        (("snapshot",), (True, False, False)),
        (("snapshot", "clone"), (True, True, False)),
        (("snapshot", "restore"), (True, False, True)),
        (("clone",), (False, False, False)),
    ],
)
def test_flags_say_what_the_pool_can(can: tuple[str, ...], flags: tuple[bool, ...]) -> None:
    [told] = described([pool(can=can)], Reserve())
    names = ("snapshot_support", "create_share_from_snapshot_support", "revert_to_snapshot_support")
    assert tuple(told[name] for name in names) == flags
    assert told["mount_snapshot_support"] is False


def test_one_instant_of_several_shares_is_told_by_pool_and_of_all() -> None:
    able, other = pool("a", can=("snapshot", "snapshot_group")), pool("b", can=("snapshot",))
    told = [one["sg_consistent_snapshot_support"] for one in described([able, other], Reserve())]
    assert told == ["pool", None]
    assert [consistent(pools) for pools in ([able], [able, other], [])] == [True, False, False]


@pytest.mark.parametrize(
    ("can", "told"), [(("thin",), True), (("thick",), False), (("thin", "thick"), [True, False]), ((), [])]
)
def test_thin_is_what_the_pool_makes(can: tuple[str, ...], told: object) -> None:
    assert described([pool(can=can)], Reserve())[0]["thin_provisioning"] == told


def test_pools_that_cannot_hold_shares_are_not_offered() -> None:
    pools = [
        pool("a"),
        pool("far", at=()),
        pool("blocks", kinds={"block": Abilities()}),
        pool("off", state="offline"),
        pool("z"),
    ]
    assert [one.name for one in serving(pools)] == ["a", "z"]
    assert [one.name for one in serving(pools, ("z", "far"))] == ["z"]
    assert all(unfit(one) for one in pools[1:-1])


def answered(flow: Generator[Any, Reply, Site], *, tenants: list[str], pools: list[Pool]) -> Site:
    """Carry a flow out with these answers."""
    bodies = {
        "/gateway/tenants": {"records": [{"id": name, "name": name} for name in tenants]},
        "/gateway/pools": {"records": msgspec.to_builtins(pools)},
    }
    call = next(flow)
    while True:
        try:
            call = flow.send(Reply(status=200, body=msgspec.json.encode(bodies[call.path])))
        except StopIteration as end:
            found: Site = end.value
            return found


def test_the_only_tenant_need_not_be_named() -> None:
    assert answered(find_site("", ()), tenants=["svm1"], pools=[pool()]) == Site(tenant="svm1", addresses=ADDRESSES)
    named = find_site("svm2", ("fast",))
    assert answered(named, tenants=["svm1", "svm2"], pools=[pool()]) == Site(
        tenant="svm2", pools=("fast",), addresses=ADDRESSES
    )


@pytest.mark.parametrize(
    ("tenant", "pools", "there", "reason"),
    [
        ("", (), ["a", "b"], "gateway_tenant says which tenant has the shares; there are: a, b"),
        ("", (), [], "gateway_tenant says which tenant has the shares; there are: none"),
        ("c", (), ["a", "b"], "gateway_tenant: there is no tenant 'c'; there are: a, b"),
        ("a", ("slow",), ["a"], "gateway_pools: there is no pool 'slow'; there are: fast, flat"),
        ("a", ("flat",), ["a"], "no pool of the gateway can hold shares: flat is not served over NFS by the gateway"),
    ],
)
def test_a_place_that_is_not_there_is_named(tenant: str, pools: tuple[str, ...], there: list[str], reason: str) -> None:
    with pytest.raises(Refusal) as refused:
        answered(find_site(tenant, pools), tenants=there, pools=[pool(), pool("flat", at=())])
    assert str(refused.value) == reason
