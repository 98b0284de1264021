"""What the scheduler is told, and what it makes of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest
from cinder import exception
from cinder.scheduler.filters.capabilities_filter import CapabilitiesFilter
from cinder.scheduler.host_manager import BackendState
from cinder_scene import ADMIN, client, configured, gateway, snapshot, started, volume

from gateway.client import Client, native
from gateway.frontends.cinder_driver import GatewayVolumeDriver

FLAGS = (
    "QoS_support",
    "clone_across_pools",
    "consistent_group_snapshot_enabled",
    "multiattach",
    "online_extend_support",
    "replication_enabled",
    "sparse_copy_volume",
    "thick_provisioning_support",
    "thin_provisioning_support",
)


def pools(driver: GatewayVolumeDriver) -> dict[str, dict[str, Any]]:
    return {pool["pool_name"]: pool for pool in driver.get_volume_stats(refresh=True)["pools"]}


def passes(stats: dict[str, Any], pool: str, **specs: str) -> bool:
    """Tell whether the scheduler would send a volume of a type to a pool, from what it keeps of the stats."""
    state = BackendState("host@gateway", None)
    state.update_from_volume_capability({**stats, "timestamp": None}, service={"updated_at": None, "disabled": False})
    wanted = {key.replace("__", ":"): value for key, value in specs.items()}
    return CapabilitiesFilter().backend_passes(state.pools[pool], {"resource_type": {"extra_specs": wanted}})


def test_stats_are_those_of_the_gateways_pools(driver: GatewayVolumeDriver, gw: Client) -> None:
    told = driver.get_volume_stats(refresh=True)
    there = {pool.name: pool for pool in gw.run(native.pools())}
    assert {pool["pool_name"] for pool in told["pools"]} == set(there) == {"memory", "other"}
    assert (told["vendor_name"], told["backend_state"], told["storage_protocol"]) == ("volume-gateway", "up", "file")
    assert told["driver_version"] == GatewayVolumeDriver.VERSION
    [memory, _] = told["pools"]
    assert memory["total_capacity_gb"] == round(there["memory"].size / (1 << 30), 2)
    assert 0 < memory["free_capacity_gb"] <= memory["total_capacity_gb"]
    assert memory["reserved_percentage"] == 0
    assert memory["max_over_subscription_ratio"] == 20.0
    assert {flag: memory[flag] for flag in FLAGS} == {
        "QoS_support": False,
        "clone_across_pools": False,
        "consistent_group_snapshot_enabled": True,
        # No host can be led to bytes in the gateway's memory.
        "multiattach": False,
        "online_extend_support": False,
        "replication_enabled": False,
        "sparse_copy_volume": True,
        "thick_provisioning_support": True,
        "thin_provisioning_support": True,
    }
    assert memory["location_info"] == told["location_info"] == f"gateway:{gw.run(native.tenants())[0].id}"


@pytest.mark.parametrize(
    ("specs", "pool", "fits"),
    [
        ({"capabilities__gateway__driver": "memory"}, "memory", True),
        ({"capabilities__gateway__driver": "zfs"}, "memory", False),
        ({"capabilities__gateway__pool": "other"}, "other", True),
        ({"capabilities__gateway__pool": "other"}, "memory", False),
        (
            {"capabilities__gateway__snapshot": "<is> True", "capabilities__gateway__volatile": "<is> True"},
            "memory",
            True,
        ),
        ({"thick_provisioning_support": "<is> True"}, "memory", True),
        ({"multiattach": "<is> True"}, "memory", False),
        ({"replication_enabled": "<is> True"}, "memory", False),
        # Cinder leaves these to the driver.
        ({"gateway__pool": "other"}, "memory", True),
    ],
)
def test_the_scheduler_understands_them(
    driver: GatewayVolumeDriver, specs: dict[str, str], pool: str, fits: bool
) -> None:
    assert passes(driver.get_volume_stats(refresh=True), pool, **specs) is fits


def test_what_types_can_ask_for_is_told(driver: GatewayVolumeDriver) -> None:
    properties = driver.capabilities["properties"]
    own = {key: value["type"] for key, value in properties.items() if key.startswith("gateway:")}
    assert driver.capabilities["vendor_prefix"] == "gateway"
    assert own["gateway:pool"] == "string"
    assert own["gateway:thick"] == own["gateway:snapshot_group"] == "boolean"
    told = driver.get_volume_stats(refresh=True)["pools"][0]["gateway"]
    assert {f"gateway:{key}" for key in told} == set(own)


@pytest.mark.parametrize(
    "spec", [{"gateway:pool": "other"}, {"gateway:driver": "zfs"}, {"gateway:replicate": "<is> False"}]
)
def test_the_driver_refuses_what_the_scheduler_did_not_look_at(
    driver: GatewayVolumeDriver, gw: Client, spec: dict[str, str]
) -> None:
    disk = volume(specs=spec)
    with pytest.raises(exception.VolumeDriverException, match="the pool memory does not have"):
        driver.create_volume(disk)
    assert gw.run(native.volume_named(disk.name, tenant="svm1")) is None


@pytest.mark.parametrize(
    "specs",
    [{"gateway:thick": "<is> True", "gateway:pool": "<or> memory <or> more"}, {"provisioning:type": "thick"}],
)
def test_a_type_can_ask_for_reserved_space(driver: GatewayVolumeDriver, gw: Client, specs: dict[str, str]) -> None:
    disk = volume(driver, specs=specs)
    assert gw.run(native.volume(disk.provider_id)).thick
    with pytest.raises(exception.VolumeDriverException, match="reserved space"):
        driver.create_cloned_volume(volume(specs=specs), disk)
    driver.delete_volume(disk)


@pytest.mark.parametrize(
    "specs", [{"gateway:thick": "<is> True", "gateway:thin": "<is> True"}, {"gateway:colour": "red"}]
)
def test_types_that_make_no_sense(driver: GatewayVolumeDriver, specs: dict[str, str]) -> None:
    with pytest.raises(exception.InvalidVolumeType):
        driver.create_volume(volume(specs=specs))


def test_a_backend_offers_the_pools_that_are_configured(url: str) -> None:
    with started(url, gateway_pools=["other"], reserved_percentage=7, max_over_subscription_ratio="auto") as driver:
        told = pools(driver)
        assert list(told) == ["other"]
        assert (told["other"]["reserved_percentage"], told["other"]["max_over_subscription_ratio"]) == (7, "auto")


def test_twenty_pools_are_one_request(tmp_path: Path) -> None:
    many = "".join(f"[backend.memory{number}]\ndriver = 'memory'\n" for number in range(20))
    asked: list[str] = []
    with gateway(tmp_path, pools=many) as url, started(url) as driver:
        http = driver._site.client._http
        http.event_hooks = {"request": [lambda request: asked.append(request.url.path)]}
        assert len(pools(driver)) == 20
        assert asked == ["/gateway/pools"]


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"gateway_url": ""}, "gateway_url"),
        ({"gateway_url": "http://gateway.example:8443"}, "gateway_url"),
        ({"gateway_password": ""}, "gateway_password"),
        ({"gateway_tenant": "nobody"}, "gateway_tenant: the gateway has no tenant 'nobody'; there are: svm1"),
        ({"gateway_pools": ["memory", "slow"]}, "gateway_pools: .*: slow"),
        ({"gateway_ca": "/nonexistent/ca.pem"}, "gateway_ca"),
        ({"replication_device": [{"target_device_id": "x"}]}, "replication_device"),
    ],
)
def test_a_start_tells_which_option_is_wrong(url: str, options: dict[str, Any], word: str) -> None:
    with configured(url, **options) as driver, pytest.raises(exception.InvalidConfigurationValue, match=word) as caught:
        driver.do_setup(ADMIN)
    assert "correct horse" not in str(caught.value)


def test_a_start_that_failed_can_be_repeated(url: str) -> None:
    with configured(url, gateway_password="wrong") as driver:
        with pytest.raises(exception.InvalidConfigurationValue, match=r"gateway_user: .*'admin'") as caught:
            driver.do_setup(ADMIN)
        assert "wrong" not in str(caught.value)
        with pytest.raises(exception.DriverNotInitialized):
            driver.create_volume(volume())


def test_which_tenant_has_to_be_said_where_there_are_several(tmp_path: Path) -> None:
    with gateway(tmp_path) as url:
        made = httpx.post(f"{url}/api/svm/svms", json={"name": "two"}, auth=("admin", "correct horse"))
        assert made.status_code in {201, 202}, made.text
        with configured(url) as driver, pytest.raises(exception.InvalidConfigurationValue, match="svm1, two"):
            driver.do_setup(ADMIN)
        with started(url, gateway_tenant="two") as driver, client(url) as gw:
            disk = volume(driver)
            assert gw.run(native.volume(disk.provider_id)).tenant == "two"


def test_ids_that_cinder_does_not_know_are_told(driver: GatewayVolumeDriver) -> None:
    known, unknown, gone = volume(driver), volume(driver), volume()
    taken, lost = snapshot(known, driver), snapshot(known)
    wanted = {unknown.id: unknown.provider_id, taken.id: taken.provider_id}
    unknown.provider_id = taken.provider_id = None
    volumes, snapshots = driver.update_provider_info([known, unknown, gone], [taken, lost])
    assert volumes == [{"id": unknown.id, "provider_id": wanted[unknown.id]}]
    # The manager fails for a snapshot of which it hears nothing.
    assert snapshots == [
        {"id": taken.id, "provider_id": wanted[taken.id]},
        {"id": lost.id, "provider_id": None},
    ]
    driver.delete_snapshot(taken)
    for one in (known, unknown):
        driver.delete_volume(one)
