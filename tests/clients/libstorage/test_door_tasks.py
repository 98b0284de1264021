"""Tasks of a running gateway: one whose pool stands still, one that is killed, several at once."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.testing.live import LiveGateway, live_gateway

FOLDER = '[backend.files]\ndriver = "directory"\npath = "pool"\n'
DOOR = '[frontend.libstorage]\nlisten = "127.0.0.1:0"\nexecution_timeout_s = {timeout}\n'
POINT = "directory.create.made"


def gateway_on(folder: Path, *, timeout: float = 60) -> LiveGateway:
    (folder / "pool").mkdir(parents=True, exist_ok=True)
    return LiveGateway(folder, pools=FOLDER, extra=DOOR.format(timeout=timeout), periods={"open_pools": 0.2})


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[LiveGateway]:
    """Give a gateway that is not started; it is stopped at the end."""
    made = gateway_on(tmp_path, timeout=0.2)
    yield made
    made.stop()


def client(gateway: LiveGateway) -> httpx.Client:
    return httpx.Client(base_url=gateway.addresses["libstorage"], trust_env=False, timeout=30)


def create(door: httpx.Client, name: str, query: str = "") -> tuple[int, Any]:
    answer = door.post(f"/volumes/files{query}", json={"name": name, "size": 1})
    return answer.status_code, answer.json()


def state(door: httpx.Client, number: int) -> str:
    return str(door.get(f"/tasks/{number}").json()["state"])


def ended(door: httpx.Client, number: int) -> Any:
    """Give a task once it has ended."""
    while (told := door.get(f"/tasks/{number}").json())["state"] in {"queued", "running"}:
        pass
    return told


def test_a_pool_that_stands_still_makes_a_task_of_the_call(gateway: LiveGateway) -> None:
    gateway.start()
    with client(gateway) as door:
        with gateway.held(POINT):
            status, task = create(door, "slow")
            assert (status, task["state"]) == (408, "running")
            # Others are not kept waiting.
            assert door.get("/volumes/files").json() == {}
            assert state(door, task["id"]) == "running"
            assert list(door.get("/tasks").json()) == [str(task["id"])]
        told = ended(door, task["id"])
        assert (told["state"], told["result"]["name"]) == ("success", "slow")
        assert door.get(f"/volumes/files/{told['result']['id']}").json()["name"] == "slow"
        # A call that ends in time is shown by its job only.
        assert create(door, "quick")[0] == 201
        assert len(door.get("/tasks").json()) == 2


def test_tasks_that_begin_at_once_have_numbers_of_their_own(gateway: LiveGateway) -> None:
    gateway.start()
    with client(gateway) as door, concurrent.futures.ThreadPoolExecutor(8) as threads:
        begun = list(threads.map(lambda number: create(door, f"v{number}", "?async"), range(16)))
        assert {status for status, _ in begun} == {202}
        numbers = {task["id"] for _, task in begun}
        assert len(numbers) == 16
        assert {ended(door, number)["state"] for number in numbers} == {"success"}
        assert len(door.get("/volumes/files").json()) == 16


@pytest.mark.parametrize(
    ("point", "outcome"),
    [
        # The pool has nothing whole yet: the change is taken back.
        ("directory.create.made", "error"),
        # The pool has it: the change is finished.
        ("directory.create.durable", "success"),
    ],
)
def test_a_task_of_a_gateway_that_was_killed_ends_as_its_job_does(
    gateway: LiveGateway, point: str, outcome: str
) -> None:
    gateway.start()
    with client(gateway) as door, gateway.held(point) as reached:
        status, task = create(door, "cut", "?async")
        assert (status, state(door, task["id"])) == (202, "running")
        reached()
        gateway.kill()
    gateway.start()
    with client(gateway) as door:
        told = ended(door, task["id"])
        assert (told["state"], "error" in told) == (outcome, outcome == "error")
        names = [each["name"] for each in door.get("/volumes/files").json().values()]
        assert names == (["cut"] if outcome == "success" else [])
        assert list(door.get("/tasks").json()) == [str(task["id"])]


def test_what_ended_long_ago_is_not_shown(tmp_path: Path) -> None:
    text = DOOR.format(timeout=60) + "task_retention_s = 0.000001\n"
    with live_gateway(tmp_path, extra=text) as running, client(running) as door:
        task = door.get("/volumes/memory?async").json()
        while door.get(f"/tasks/{task['id']}").status_code == 200:
            pass
        assert door.get(f"/tasks/{task['id']}").status_code == 404
        assert door.get("/tasks").json() == {}
