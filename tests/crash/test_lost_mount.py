"""The pool's file system is not there, at the start or later: reads go on, changes wait for it to come back."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from crash_points import OPERATIONS
from crash_scene import QUIET, VOLUMES, Change, Scene, create, scene, take

pytestmark = pytest.mark.root

PATIENCE_S = 60
OFTEN = {**QUIET, "open_pools": 0.1, "resettle": 0.1}


@pytest.fixture
def at(tmp_path: Path) -> Iterator[Scene]:
    with scene(tmp_path, periods=OFTEN) as found:
        yield found


@contextmanager
def unmounted(at: Scene) -> Iterator[None]:
    """Take the file system away for a block, also from under a gateway that uses it."""
    subprocess.run(["umount", "--lazy", str(at.mount)], check=True)
    try:
        yield
    finally:
        image = at.mount.with_name("btrfs.img")
        subprocess.run(["mount", "-o", "loop,noatime", str(image), str(at.mount)], check=True)


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline, "it does not come to be"


def pool_state(at: Scene) -> str:
    (record,) = at.http.get("/api/storage/aggregates", params={"fields": "state"}).json()["records"]
    return str(record["state"])


def assert_only_reads_work(at: Scene, names: set[str]) -> None:
    found = at.http.get(VOLUMES).json()["records"]
    assert {record["name"] for record in found} == names
    for change in (
        create("more"),
        take("{parent}", "s4"),
        Change(verb="PATCH", path=f"{VOLUMES}/{{parent}}", body={"comment": "c"}),
        Change(verb="DELETE", path=f"{VOLUMES}/{{parent}}/snapshots/{{parent/s2}}"),
    ):
        answer = at.request(change)
        assert answer.status_code == 503, answer.text


@pytest.mark.parametrize(("point", "happened"), [("journalled", False), ("applied", True)])
def test_a_start_without_the_file_system(at: Scene, point: str, happened: bool) -> None:
    operation = OPERATIONS["create"]
    at.start()
    before = at.furnish()
    at.die(operation.change, f"volume.create.{point}")
    with unmounted(at):
        at.start()
        assert pool_state(at) != "online"
        # The volume that was being made is still shown as such.
        assert_only_reads_work(at, {*before, "fresh"})
        assert list(at.mount.iterdir()) == []
    until(lambda: pool_state(at) == "online")
    until(lambda: at.http.get("/api/cluster/jobs", params={"state": "running"}).json()["num_records"] == 0)
    world = at.look(reconcile=True)
    assert world.findings == []
    assert world.view == (operation.outcome(before) if happened else before)
    at.perform(create("more"))


def test_the_file_system_goes_away_and_comes_back(at: Scene) -> None:
    at.start()
    before = at.furnish()
    with unmounted(at):
        # Whether the gateway knows already or finds out by trying: the client is told to come again.
        assert at.request(create("fresh")).status_code == 503
        until(lambda: pool_state(at) != "online")
        assert_only_reads_work(at, {record["name"] for record in at.http.get(VOLUMES).json()["records"]})
        assert list(at.mount.iterdir()) == []
    until(lambda: pool_state(at) == "online")
    until(lambda: at.http.get("/api/cluster/jobs", params={"state": "running"}).json()["num_records"] == 0)
    world = at.look(reconcile=True)
    assert world.findings == []
    assert world.view == before
    at.perform(create("fresh"))
