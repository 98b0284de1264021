"""The command line and the typed client against a running gateway."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner, Result

from gateway.cli import main
from gateway.client import AsyncClient, Client, ClientError, jobs, policies, pools, snapshots, volumes
from gateway.server.passwords import hash_password
from gateway.testing.live import ACCOUNT, PASSWORD, READER, LiveGateway, live_gateway

Run = Callable[..., Result]
SIZE = 64 << 20
NOWHERE = "00000000-0000-0000-0000-000000000000"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveGateway]:
    with live_gateway(tmp_path_factory.mktemp("gw"), tls=True) as gateway:
        yield gateway


@pytest.fixture
def run(gateway: LiveGateway) -> Run:
    return commands(gateway)


def commands(gateway: LiveGateway) -> Run:
    """Give what runs a command against a gateway."""

    def invoke(*arguments: str, user: str = ACCOUNT, password: str = PASSWORD) -> Result:
        environment = {
            "GATEWAY_URL": gateway.url,
            "GATEWAY_USER": user,
            "GATEWAY_PASSWORD": password,
            "GATEWAY_CA": str(gateway.folder / "cert.pem"),
        }
        return CliRunner().invoke(main, arguments, env=environment)

    return invoke


@pytest.fixture
def client(gateway: LiveGateway) -> Iterator[Client]:
    with Client(gateway.url, user=ACCOUNT, password=PASSWORD, verify=gateway.folder / "cert.pem") as client:
        yield client


def shown(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_a_volume_from_birth_to_death(run: Run) -> None:
    made = shown(run("volume", "create", "life", "--size", "64M", "--comment", "first", "--json"))
    assert (made["name"], made["size"], made["comment"], made["state"]) == ("life", SIZE, "first", "online")
    assert shown(run("volume", "resize", "life", "128M", "--json"))["size"] == 2 * SIZE
    assert shown(run("volume", "mount", "life", "/life", "--json"))["nas"]["path"] == "/life"
    assert "/life" in run("volume", "list").stdout
    assert shown(run("volume", "unmount", "life", "--json"))["nas"]["path"] == ""
    assert shown(run("volume", "offline", "life", "--json"))["state"] == "offline"
    assert shown(run("volume", "online", "life", "--json"))["state"] == "online"
    renamed = shown(run("volume", "rename", "life", "after", "--json"))
    assert (renamed["name"], renamed["uuid"]) == ("after", made["uuid"])
    assert run("volume", "delete", "after").exit_code == 0
    gone = run("volume", "show", "after")
    assert (gone.exit_code, gone.output) == (1, "Error: there is no volume 'after' (field name) [code 4]\n")


def test_a_volume_follows_another_one(tmp_path: Path) -> None:
    pools = "[backend.memory]\n[backend.other]\ndriver = 'memory'\n"
    with live_gateway(tmp_path, pools=pools, tls=True) as gateway:
        run = commands(gateway)
        assert run("volume", "create", "source", "--size", "64M", "--pool", "memory").exit_code == 0
        made = shown(run("mirror", "create", "source", "copy", "--pool", "other", "--json"))
        assert (made["state"], made["volume_name"], made["source"]["name"]) == ("mirrored", "copy", "source")
        assert "svm1:source" in run("mirror", "list").stdout
        assert shown(run("mirror", "update", "copy", "--throttle", "1G", "--json"))["kind"] == "update"
        assert shown(run("mirror", "pause", "copy", "--json"))["state"] == "paused"
        assert shown(run("mirror", "resume", "copy", "--json"))["state"] == "mirrored"
        assert shown(run("mirror", "change", "copy", "--policy", "MirrorLatest", "--json"))["policy"] == "MirrorLatest"
        assert "MirrorLatest" in run("mirror", "policies").stdout
        assert run("mirror", "abort", "copy").output == "Error: no transfer is under way\n"
        assert shown(run("mirror", "break", "copy", "--json"))["state"] == "broken"
        assert shown(run("mirror", "resync", "copy", "--json"))["state"] == "success"
        assert shown(run("mirror", "break", "copy", "--json"))["state"] == "broken"
        assert shown(run("mirror", "reverse", "copy", "--json"))["volume_name"] == "source"
        assert "initialize" in run("mirror", "transfers", "source").stdout
        assert shown(run("mirror", "show", "source", "--json"))["id"] == made["id"]
        assert run("mirror", "delete", "source").exit_code == 0
        assert run("mirror", "show", "source").output == "Error: the volume 'source' follows no other one\n"


def test_a_volume_moves_to_another_pool(tmp_path: Path) -> None:
    pools = "".join(f'[backend.{name}]\ndriver = "memory"\n' for name in ("here", "there"))
    with live_gateway(tmp_path / "gw", tls=True, pools=pools) as gateway:
        run = commands(gateway)
        made = shown(run("volume", "create", "life", "--size", "64M", "--pool", "here", "--json"))
        moved = shown(run("volume", "move", "life", "there", "--json"))
        assert (moved["uuid"], [pool["name"] for pool in moved["aggregates"]]) == (made["uuid"], ["there"])
        assert run("snapshot", "create", "life", "s").exit_code == 0
        refused = run("volume", "move", "life", "here")
        assert (refused.exit_code, "snapshots" in refused.output, "InUse" in refused.output) == (1, True, True)
        job = shown(run("job", "list", "--json"))
        assert [one["state"] for one in job if one["description"] == "native: move life to there"] == ["success"]


def test_snapshots_and_clones(run: Run) -> None:
    shown(run("volume", "create", "base", "--size", "64M", "--json"))
    shown(run("snapshot", "create", "base", "s1", "--comment", "why", "--json"))
    assert [snapshot["name"] for snapshot in shown(run("snapshot", "list", "base", "--json"))] == ["s1"]
    assert shown(run("snapshot", "show", "base", "s1", "--json"))["comment"] == "why"
    copy = shown(run("clone", "create", "copy", "--from", "base", "--snapshot", "s1", "--json"))
    assert copy["clone"]["parent_volume"]["name"] == "base"
    assert [clone["name"] for clone in shown(run("clone", "list", "--json"))] == ["copy"]
    refused = run("volume", "delete", "base")
    assert refused.exit_code == 1
    assert "clones" in refused.output
    assert shown(run("clone", "split", "copy", "--json"))["clone"]["is_flexclone"] is False
    assert shown(run("volume", "restore", "base", "s1", "--json"))["snapshot_count"] == 1
    assert run("snapshot", "delete", "base", "s1").exit_code == 0
    assert run("clone", "delete", "copy").exit_code == 0
    assert run("volume", "delete", "base").exit_code == 0


def test_blocks_and_hosts(run: Run) -> None:
    made = shown(run("volume", "create", "disk", "--size", "64M", "--block", "--json"))
    assert (made["name"], made["size"]) == ("disk", SIZE)
    iqn = "iqn.1993-08.org.debian:01:abc"
    group = shown(run("host", "create", "rack1", "--initiator", iqn, "--json"))
    assert [one["name"] for one in group["initiators"]] == [iqn]
    assert run("volume", "attach", "disk", "rack1", "--lun", "7").exit_code == 0
    [mapped] = shown(run("host", "show", "rack1", "--json"))["lun_maps"]
    assert (mapped["logical_unit_number"], mapped["lun"]["uuid"]) == (7, made["uuid"])
    assert iqn in run("host", "list").stdout
    refused = run("host", "delete", "rack1")
    assert (refused.exit_code, "Traceback" in refused.output) == (1, False)
    assert run("volume", "delete", "disk").exit_code == 1
    assert run("volume", "detach", "disk", "rack1").exit_code == 0
    assert run("volume", "detach", "disk", "rack1").exit_code == 1
    assert run("host", "delete", "rack1").exit_code == 0
    assert run("volume", "delete", "disk").exit_code == 0
    wrong = run("volume", "create", "disk", "--size", "64M", "--block", "--path", "/disk")
    assert (wrong.exit_code, "no --path" in wrong.output) == (2, True)


def test_pools_jobs_and_handles(run: Run) -> None:
    assert [pool["name"] for pool in shown(run("pool", "list", "--json"))] == ["memory"]
    assert shown(run("pool", "show", "memory", "--json"))["state"] == "online"
    uuid = shown(run("volume", "create", "held", "--size", "64M", "--json"))["uuid"]
    [handle] = shown(run("volume", "access", "held", "--json"))
    assert (handle["type"], uuid in handle["key"]) == ("in_process", True)
    assert "read and write" in run("volume", "access", "held").stdout
    job = shown(run("job", "list", "--json"))[-1]
    assert shown(run("job", "show", job["uuid"], "--wait", "--json"))["state"] == "success"
    assert "SUCCESS" in run("job", "list").stdout.upper()
    assert run("volume", "delete", "held").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["volume", "create", "a b", "--size", "64M"], "name"),
        (["volume", "create", "x", "--size", "64M", "--pool", "none"], "none"),
        (["volume", "create", "x", "--size", "64M", "--tenant", "none"], "none"),
        (["volume", "create", "x", "--size", "1"], "small"),
        (["volume", "show", 'odd*"|..'], "there is no volume"),
        (["volume", "show", '{"'], "cannot be searched for"),
        (["snapshot", "list", "none"], "there is no volume 'none'"),
        (["clone", "create", "c", "--from", "none"], "none"),
        (["pool", "show", "none"], "there is no pool 'none'"),
        (["job", "show", NOWHERE], "code 4"),
    ],
)
def test_refusals_are_sentences(run: Run, arguments: list[str], word: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 1
    assert result.output.startswith("Error: ")
    assert word in result.output
    assert "Traceback" not in result.output


def test_a_wrong_password_and_a_reader(run: Run) -> None:
    assert "User is not authorized" in run("pool", "list", password="wrong").output
    assert run("pool", "list", user=READER).exit_code == 0
    refused = run("volume", "create", "x", "--size", "64M", user=READER)
    assert refused.exit_code == 1
    assert "code 6" in refused.output


def test_an_unknown_certificate_is_refused(gateway: LiveGateway) -> None:
    account = {"user": ACCOUNT, "password": PASSWORD}
    with Client(gateway.url, **account) as client, pytest.raises(ClientError, match="certificate verify failed"):
        client.run(pools.show("memory"))
    with Client(gateway.url, user=ACCOUNT, password=PASSWORD, verify=False) as client:
        assert client.run(pools.show("memory")).name == "memory"


def test_the_clients_own_functions(client: Client) -> None:
    seen: list[str] = []
    made = client.run(
        volumes.create(
            "typed",
            tenant="svm1",
            pool="memory",
            size=SIZE,
            tags={"env": "test"},
            progress=lambda job: seen.append(job.state),
        )
    )
    assert made.tags == ("env:test",)
    assert seen[-1] == "success"
    assert client.run(volumes.get(made.uuid)) == made
    taken = client.run(snapshots.create(made.uuid, "s"))
    assert client.run(snapshots.patch(made.uuid, taken.uuid, {"name": "t"})).name == "t"
    with pytest.raises(ClientError) as caught:
        client.run(volumes.create("typed", tenant="svm1", pool="memory", size=SIZE))
    assert (caught.value.status, caught.value.code) == (409, "917526")
    client.run(snapshots.delete(made.uuid, taken.uuid))
    client.run(volumes.delete(made.uuid))
    assert "typed" not in [volume.name for volume in client.each(volumes.every())]
    assert {job.state for job in client.each(jobs.every())} <= {"success", "failure"}


def test_export_policies(client: Client) -> None:
    rule = {"clients": [{"match": "192.0.2.0/24"}], "ro_rule": ["sys"], "rw_rule": ["never"]}
    made = client.run(policies.create("some", tenant="svm1", rules=[rule]))
    assert made.rules[0].clients[0].match == "192.0.2.0/24"
    client.run(policies.patch(made.id, {"name": "other"}))
    assert client.run(policies.show("other", tenant="svm1")).id == made.id
    client.run(policies.delete(made.id))
    assert "other" not in [policy.name for policy in client.each(policies.every(tenant="svm1"))]


async def test_many_at_once_with_the_async_client(gateway: LiveGateway) -> None:
    names = [f"many{number}" for number in range(12)]
    async with AsyncClient(gateway.url, user=ACCOUNT, password=PASSWORD, verify=gateway.folder / "cert.pem") as client:
        creating = (client.run(volumes.create(name, tenant="svm1", pool="memory", size=SIZE)) for name in names)
        made = await asyncio.gather(*creating)
        assert sorted(volume.name for volume in made) == sorted(names)
        listed = {volume.name async for volume in client.each(volumes.every(tenant="svm1"))}
        assert listed >= set(names)
        await asyncio.gather(*(client.run(volumes.delete(volume.uuid)) for volume in made))


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/metrics", 200),
        ("POST", "/metrics", 405),
        ("GET", "/gateway/", 404),
        ("GET", "/gateway/volumes/x/access", 404),
        ("GET", f"/gateway/volumes/{NOWHERE}/access", 404),
        ("DELETE", f"/gateway/volumes/{NOWHERE}/access", 405),
    ],
)
def test_the_gateways_own_resources(gateway: LiveGateway, method: str, path: str, status: int) -> None:
    with httpx.Client(base_url=gateway.url, verify=False, trust_env=False) as http:
        assert http.request(method, path).status_code == 401
        assert http.request(method, path, auth=(READER, PASSWORD)).status_code == status


def test_metrics_count_requests_by_route(gateway: LiveGateway, client: Client) -> None:
    list(client.each(volumes.every()))
    with httpx.Client(base_url=gateway.url, verify=False, trust_env=False, auth=(READER, PASSWORD)) as http:
        page = http.get("/metrics").text
    assert 'gateway_request_seconds_count{door="ontap",method="GET",route="storage/volumes",status="2xx"}' in page
    assert "gateway_open_intents 0.0" in page
    assert "gateway_loop_lag_seconds_count" in page


def test_accounts_are_read_again_on_sighup(tmp_path: Path) -> None:
    with live_gateway(tmp_path / "gw") as gateway, httpx.Client(base_url=gateway.url, trust_env=False) as http:
        assert http.get("/metrics", auth=(ACCOUNT, PASSWORD)).status_code == 200
        changed = f'[account.{ACCOUNT}]\npassword = "{hash_password("new", n=1024)}"\nrole = "admin"\n'
        (gateway.folder / "accounts.toml").write_text(changed)
        os.kill(gateway.pid, signal.SIGHUP)
        # The signal is handled at the loop's next turn; a new password that works says that it was.
        statuses = (http.get("/metrics", auth=(ACCOUNT, "new")).status_code for _ in range(100))
        assert 200 in statuses
        assert http.get("/metrics", auth=(ACCOUNT, PASSWORD)).status_code == 401


def test_check(tmp_path: Path) -> None:
    gateway = LiveGateway(tmp_path / "gw")
    found = shown(CliRunner().invoke(main, ["check", "--config", str(gateway.config), "--json"]))
    assert found["problems"] == []
    assert found["matrix"]["memory"]["filesystem"]["snapshot"] == "yes"
    gateway.folder.joinpath("accounts.toml").unlink()
    bad = CliRunner().invoke(main, ["check", "--config", str(gateway.config)])
    assert bad.exit_code == 1
    assert "accounts.toml" in bad.output
