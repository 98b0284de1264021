"""The cluster's own words, its node, ports and interfaces, and NFS services, over a core in this process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from core_scene import PaperExporter, Script, make, scripted_pool
from ontap_door_scene import Everyone, door_to

from gateway.core import policies
from gateway.core.context import Core
from gateway.core.model import Tenant
from gateway.frontends.ontap_rest.ports import HostPort, host_ports, port_at
from gateway.frontends.ontap_rest.sources import DataAddress
from gateway.testing.cores import core_on

NFS = DataAddress(kind="nfs", address="127.0.0.1")
SERVICES = "/protocols/nfs/services"


@pytest.fixture
def exporter() -> PaperExporter:
    return PaperExporter()


@pytest.fixture
async def core(tmp_path: Path, exporter: PaperExporter) -> AsyncIterator[Core]:
    async with core_on(tmp_path, [scripted_pool(Script())], tenants=("svm1", "svm2"), exporter=exporter) as made:
        yield made


@pytest.fixture
async def door(core: Core) -> AsyncIterator[httpx.AsyncClient]:
    async with door_to(core, Everyone(), (NFS,)) as made:
        yield made


async def shown(door: httpx.AsyncClient, path: str) -> Any:
    answer = await door.get(path)
    assert answer.status_code == 200, answer.text
    return answer.json()


def refusal(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


# --- the cluster ---


async def test_the_cluster_remembers_where_it_is_and_whose(core: Core, door: httpx.AsyncClient) -> None:
    assert (await shown(door, "/cluster"))["location"] == ""
    answer = await door.patch("/cluster", json={"location": "a cellar", "contact": "somebody"})
    assert answer.status_code == 202
    job = await shown(door, answer.json()["job"]["_links"]["self"]["href"].removeprefix("/api"))
    assert (job["state"], job["description"]) == ("success", "PATCH /api/cluster")
    assert (await door.patch("/cluster", json={"contact": None})).status_code == 202
    async with door_to(core, Everyone()) as another:
        found = await shown(another, "/cluster?fields=location,contact")
    assert (found["location"], found["contact"]) == ("a cellar", "")


@pytest.mark.parametrize("body", [{"name": "another"}, {"timezone": {"name": "Europe/Paris"}}, {"dns_domains": ["a"]}])
async def test_the_cluster_refuses_what_it_does_not_carry_out(door: httpx.AsyncClient, body: dict[str, Any]) -> None:
    assert refusal(await door.patch("/cluster", json=body)) == (400, "262144017")


async def test_the_cluster_may_be_told_what_is_so(door: httpx.AsyncClient) -> None:
    body = {"name": (await shown(door, "/cluster"))["name"], "timezone.name": "Etc/UTC"}
    assert (await door.patch("/cluster", json=body)).status_code == 202


async def test_the_node_tells_of_its_host(door: httpx.AsyncClient) -> None:
    (node,) = (await shown(door, "/cluster/nodes?fields=controller.cpu.count,controller.memory_size,date"))["records"]
    assert node["controller"]["cpu"]["count"] >= 1
    assert node["controller"]["memory_size"] > 1 << 20
    assert node["date"].startswith("20")


# --- ports and interfaces ---


async def test_interfaces_are_on_ports_that_are_listed(door: httpx.AsyncClient) -> None:
    ports = {port["uuid"]: port for port in (await shown(door, "/network/ethernet/ports?fields=*"))["records"]}
    found = (await shown(door, "/network/ip/interfaces?fields=location,svm&order_by=name"))["records"]
    assert [one["svm"]["name"] for one in found] == ["svm1", "svm2"]
    for interface in found:
        port = ports[interface["location"]["home_port"]["uuid"]]
        assert (port["name"], port["state"], port["interface_count"]) == ("lo", "up", 2)
        assert interface["location"]["port"]["name"] == "lo"


def test_an_address_is_at_the_port_that_has_it_or_at_the_first_that_leads_outward() -> None:
    ports = (
        HostPort(name="lo", addresses=frozenset({"127.0.0.1", "::1"})),
        HostPort(name="eth0", addresses=frozenset({"192.0.2.1"})),
        HostPort(name="eth1", addresses=frozenset({"192.0.2.2", "2001:db8::1"})),
    )
    found = {address: port_at(address, ports) for address in ("192.0.2.2", "2001:db8::1", "::1", "127.0.0.9")}
    assert found == {"192.0.2.2": "eth1", "2001:db8::1": "eth1", "::1": "lo", "127.0.0.9": "lo"}
    assert [port_at(address, ports) for address in ("files.example", "203.0.113.7")] == ["eth0", "eth0"]
    assert port_at("files.example", ports[:1]) == "lo"


def test_this_host_has_a_loopback() -> None:
    (loopback,) = [port for port in host_ports() if port.name == "lo"]
    assert (loopback.kind, loopback.mac) == ("physical", "00:00:00:00:00:00")
    assert "127.0.0.1" in loopback.addresses
    assert loopback.mtu > 1000


# --- NFS services ---


async def test_every_svm_serves_nfs_until_its_service_is_removed(door: httpx.AsyncClient) -> None:
    found = (await shown(door, f"{SERVICES}?fields=*&order_by=svm.name"))["records"]
    assert [(one["svm"]["name"], one["enabled"], one["state"]) for one in found] == [
        ("svm1", True, "online"),
        ("svm2", True, "online"),
    ]
    assert [found[0]["protocol"][name] for name in ("v3_enabled", "v40_enabled", "v41_enabled")] == [False, True, True]
    svm = found[0]["svm"]["uuid"]
    assert refusal(await door.post(SERVICES, json={"svm.name": "svm1"})) == (409, "1")
    assert (await door.delete(f"{SERVICES}/{svm}")).status_code == 200
    assert refusal(await door.get(f"{SERVICES}/{svm}")) == (404, "4")
    assert (await shown(door, f"{SERVICES}?svm.name=svm1"))["num_records"] == 0
    assert (await shown(door, f"/svm/svms/{svm}"))["nfs"] == {"allowed": True, "enabled": False}
    made = await door.post(SERVICES, json={"svm.name": "svm1", "enabled": "false", "protocol.v40_enabled": "true"})
    assert (made.status_code, made.headers["Location"]) == (201, f"/api{SERVICES}/{svm}")
    assert (await shown(door, f"{SERVICES}/{svm}"))["state"] == "offline"
    assert refusal(await door.patch(f"{SERVICES}/{svm}", json={"protocol.v3_enabled": True})) == (400, "262144017")


async def test_files_are_published_while_the_service_of_their_svm_runs(
    core: Core, door: httpx.AsyncClient, exporter: PaperExporter
) -> None:
    tenant = await core.find(Tenant, name="svm1")
    assert tenant is not None
    policy = await policies.create_export_policy(core, tenant.id, "p")
    volume = await make(core, "v", junction_path="/v", export_policy_id=policy.id)
    assert exporter.exports.keys() == {volume.id}
    place = f"{SERVICES}/{tenant.id}"
    for enabled, published in ((False, set()), (True, {volume.id})):
        assert (await door.patch(place, json={"enabled": enabled})).status_code == 200
        assert exporter.exports.keys() == published
    assert (await door.delete(place)).status_code == 200
    assert not exporter.exports
    assert (await door.post(SERVICES, json={"svm.uuid": str(tenant.id)})).status_code == 201
    assert exporter.exports.keys() == {volume.id}


async def test_an_svm_may_be_made_that_serves_no_nfs(door: httpx.AsyncClient) -> None:
    answer = await door.post("/svm/svms", json={"name": "quiet", "nfs": {"allowed": True, "enabled": False}})
    assert answer.status_code == 202
    (found,) = (await shown(door, f"{SERVICES}?svm.name=quiet&fields=enabled"))["records"]
    assert found["enabled"] is False


async def test_without_an_exporter_nobody_serves_nfs(core: Core) -> None:
    tenant = await core.find(Tenant, name="svm1")
    assert tenant is not None
    async with door_to(core, Everyone()) as door:
        assert (await shown(door, SERVICES))["num_records"] == 0
        assert refusal(await door.get(f"{SERVICES}/{tenant.id}")) == (404, "4")
        assert refusal(await door.post(SERVICES, json={"svm.name": "svm1"})) == (400, "3277096")
