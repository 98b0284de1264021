"""Two gateways of one machine on one catalog and one real pool: each is the other's equal, and its heir."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.testing.forks import ForkServer
from gateway.testing.live import ACCOUNT, PASSWORD, LiveGateway
from gateway.testing.loop_pool import loop_pool

pytestmark = pytest.mark.root

MIB = 1 << 20
PATIENCE_S = 30
VOLUMES, JOBS, AGGREGATES = "/api/storage/volumes", "/api/cluster/jobs", "/api/storage/aggregates"
DUTIES = {"open_pools": 0.3, "follow": 0.3}
CONFIG = """
[catalog]
url = "sqlite://{catalog}"

[export.local]

[frontend.openstorage]
grpc = ""
rest = "127.0.0.1:0"
pools = ["shared"]
kind = "block"

[frontend.libstorage]
listen = "127.0.0.1:0"

[frontend.libstorage.service.blocks]
pool = "shared"
kind = "block"
"""
TASK_OVER = {"success", "error"}


class Host:
    """One of the gateways, and a client of each of its doors."""

    def __init__(self, gateway: LiveGateway) -> None:
        self.gateway = gateway

    def ontap(self, verb: str, path: str, body: Any = None, *, wait_s: int = 15) -> httpx.Response:
        query = {} if verb == "GET" else {"return_timeout": wait_s}
        url = httpx.URL(f"{self.gateway.url}{path}").copy_merge_params(query)
        return httpx.request(verb, url, json=body, auth=(ACCOUNT, PASSWORD), timeout=60)

    def sdk(self, verb: str, path: str, body: Any = None) -> Any:
        answer = httpx.request(verb, f"{self.gateway.addresses['openstorage-rest']}{path}", json=body, timeout=60)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def make(self, name: str, *, pool: str = "shared", wait_s: int = 15) -> httpx.Response:
        body = {"name": name, "svm": {"name": "svm1"}, "aggregates": [{"name": pool}], "size": 32 * MIB}
        return self.ontap("POST", VOLUMES, body, wait_s=wait_s)

    def names(self) -> set[str]:
        return {record["name"] for record in self.ontap("GET", VOLUMES).json()["records"]}

    def blocks(self, name: str) -> str:
        """Make a volume of blocks; give its id."""
        spec = {"size": str(32 * MIB), "ha_level": "1", "format": "FS_TYPE_EXT4"}
        return str(self.sdk("POST", "/v1/volumes", {"name": name, "spec": spec})["volume_id"])

    def shown(self, volume_id: str) -> Any:
        return self.sdk("GET", f"/v1/volumes/inspect/{volume_id}")["volume"]

    def attached(self, volume_id: str) -> Path:
        return Path(self.sdk("POST", "/v1/mountattach/attach", {"volume_id": volume_id})["device_path"])

    def detach(self, volume_id: str) -> None:
        self.sdk("POST", "/v1/mountattach/detach", {"volume_id": volume_id})

    def libstorage(self, verb: str, path: str, body: Any = None) -> Any:
        headers = {"Libstorage-Instanceid": "vfs=node"}
        url = f"{self.gateway.addresses['libstorage']}{path}"
        answer = httpx.request(verb, url, json=body, headers=headers, timeout=60)
        return answer.json() if answer.content else None

    def task(self, number: int | str) -> Any:
        return self.libstorage("GET", f"/tasks/{number}")

    def job(self, uuid: str) -> Any:
        return self.ontap("GET", f"{JOBS}/{uuid}?fields=*").json()


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory, forks: ForkServer) -> Iterator[tuple[Host, Host]]:
    folder = tmp_path_factory.mktemp("machine")
    with loop_pool(folder / "disk", "xfs") as mount, ExitStack() as stack:
        pools = f'[backend.shared]\ndriver = "directory"\npath = "{mount}"\n\n[backend.memory]\n'
        extra = CONFIG.format(catalog=folder / "catalog" / "catalog.sqlite")
        gateways = [
            LiveGateway(folder / name, pools=pools, extra=extra, periods=DUTIES, forks=forks) for name in ("a", "b")
        ]
        for gateway in gateways:
            stack.callback(gateway.stop)
            gateway.start()
        yield Host(gateways[0]), Host(gateways[1])


@pytest.fixture
def hosts(both: tuple[Host, Host]) -> Iterator[tuple[Host, Host]]:
    """Give two that live. They are left without volumes and devices."""
    for host in both:
        if not host.gateway.alive:
            host.gateway.start()
    yield both
    (host, *_) = (host for host in both if host.gateway.alive)
    for volume_id in host.libstorage("GET", "/volumes/blocks"):
        host.libstorage("DELETE", f"/volumes/blocks/{volume_id}?force")
    until(lambda: not any(devices(host) for host in both if host.gateway.alive))


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline, "it does not come to be"


def devices(host: Host) -> list[Path]:
    return [path for path in (host.gateway.data / "local" / "dev").iterdir() if not path.name.startswith(".")]


def test_made_at_one_attached_at_the_other_and_removed_at_the_first(hosts: tuple[Host, Host]) -> None:
    one, two = hosts
    made = one.blocks("v")
    assert two.shown("v")["id"] == made
    device = two.attached(made)
    assert stat.S_ISBLK(device.stat().st_mode)
    with device.open("r+b", buffering=0) as disk:
        disk.write(b"x" * 4096)
        os.fsync(disk.fileno())
    assert one.shown(made)["state"] == "VOLUME_STATE_ATTACHED"
    with one.attached(made).open("rb", buffering=0) as disk:
        assert disk.read(4096) == b"x" * 4096

    one.detach(made)
    assert two.shown(made)["state"] == "VOLUME_STATE_AVAILABLE"
    until(lambda: not devices(two))
    one.sdk("DELETE", f"/v1/volumes/{made}")
    assert two.sdk("GET", "/v1/volumes") == {}


def test_a_job_is_told_of_by_the_other(hosts: tuple[Host, Host]) -> None:
    one, two = hosts
    job = one.make("v", wait_s=0).json()["job"]["uuid"]
    assert two.job(job)["description"] == one.job(job)["description"]
    until(lambda: two.job(job)["state"] != "running")
    assert two.job(job)["state"] == "success"
    assert two.names() == {"v"}


def test_a_task_is_told_of_by_the_other(hosts: tuple[Host, Host]) -> None:
    one, two = hosts
    number = one.libstorage("POST", "/volumes/blocks?async", {"name": "v", "size": 1})["id"]
    until(lambda: two.task(number)["state"] in TASK_OVER)
    assert two.task(number) == one.task(number)
    made = two.task(number)["result"]
    assert made["id"] == two.shown("v")["id"]
    assert two.libstorage("POST", f"/volumes/blocks/{made['id']}?attach", {})["attachToken"] == "/dev/xvda"
    (attachment,) = one.libstorage("GET", f"/volumes/blocks/{made['id']}?attachments=3")["attachments"]
    assert (attachment["deviceName"], attachment["instanceID"]["id"]) == ("/dev/xvda", "node")
    one.libstorage("POST", "/volumes?detach", {})
    assert two.shown("v")["state"] == "VOLUME_STATE_AVAILABLE"


@pytest.mark.parametrize(
    ("point", "state"), [("volume.create.journalled", "error"), ("volume.create.applied", "success")]
)
def test_a_task_of_one_that_was_killed_has_an_end_at_the_other(
    hosts: tuple[Host, Host], point: str, state: str
) -> None:
    one, two = hosts
    one.gateway.arm(point)
    before = two.libstorage("GET", "/tasks")
    with suppress(httpx.TransportError):  # it may die before its answer is out
        one.libstorage("POST", "/volumes/blocks?async", {"name": "v", "size": 1})
    one.gateway.wait()
    (number,) = two.libstorage("GET", "/tasks").keys() - before.keys()
    until(lambda: two.task(number)["state"] in TASK_OVER)
    assert two.task(number)["state"] == state
    assert [each["name"] for each in two.libstorage("GET", "/volumes/blocks").values()] == ["v"] * (state == "success")


def test_one_name_is_given_once_whoever_is_asked(hosts: tuple[Host, Host]) -> None:
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda host: host.make("v"), hosts * 4))
    assert sorted(answer.status_code for answer in answers) == [202] + [409] * 7
    assert all(host.names() == {"v"} for host in hosts)


def test_changes_of_one_volume_do_not_meet(hosts: tuple[Host, Host]) -> None:
    one, two = hosts
    made = one.blocks("b")
    sizes = [64 * MIB * n for n in range(1, 7)]

    def grow(host: Host, size: int) -> int:
        """Give the size that it got, which is never less than it had."""
        answer = host.ontap("PATCH", f"{VOLUMES}/{made}", {"size": size})
        assert answer.status_code in {202, 400, 409}, answer.text
        return size if answer.status_code == 202 else 0

    with ThreadPoolExecutor(6) as threads:
        grown = list(threads.map(grow, hosts * 3, sizes))
    assert int(one.shown(made)["spec"]["size"]) == int(two.shown(made)["spec"]["size"]) == max(grown)


@pytest.mark.parametrize("point", ["volume.create.journalled", "volume.create.applied", "volume.create.committed"])
def test_the_other_ends_what_one_that_was_killed_had_begun(hosts: tuple[Host, Host], point: str) -> None:
    one, two = hosts
    one.gateway.arm(point)
    with pytest.raises(httpx.TransportError):
        one.make("v")
    one.gateway.wait()

    def ended() -> bool:
        jobs = two.ontap("GET", f"{JOBS}?fields=state").json()["records"]
        return [job["state"] for job in jobs if job["state"] not in {"running", "queued"}] == [
            job["state"] for job in jobs
        ]

    until(ended)
    assert two.names() == (set() if point == "volume.create.journalled" else {"v"})
    assert two.make("w").status_code == 202
    one.gateway.start()
    assert one.names() == two.names()


def test_a_pool_in_memory_is_at_the_first_and_then_at_its_heir(hosts: tuple[Host, Host]) -> None:
    one, two = hosts
    two.gateway.kill()
    until(lambda: one.make("v", pool="memory").status_code == 202)
    two.gateway.start()
    assert two.names() == {"v"}
    refused = two.make("w", pool="memory")
    assert (refused.status_code, "another gateway" in refused.text) == (503, True), refused.text
    one.gateway.kill()
    until(lambda: two.make("w", pool="memory").status_code == 202)
    until(lambda: two.names() == {"w"})
    one.gateway.start()
    assert one.make("x", pool="memory").status_code == 503
    # The volumes of a pool in memory go with its gateway: the next one that has it forgets them.
    two.gateway.kill()
    until(lambda: one.names() == set())
