"""A volatile pool loses everything with its process; the catalog then says so, and jobs are final all the same."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from crash_world import everything_in

from gateway.core.jobs import FINAL
from gateway.core.model import Intent, Job, Snapshot, Volume
from gateway.testing.forks import ForkServer
from gateway.testing.live import ACCOUNT, PASSWORD, LiveGateway

VOLUMES = "/api/storage/volumes"
BODY = {"svm": {"name": "svm1"}, "aggregates": [{"name": "memory"}], "size": 20 << 20}


OLDER = '[frontend.openstorage]\ngrpc = ""\nrest = ""\nolder = "127.0.0.1:0"\n'


@pytest.fixture
def gateway(tmp_path: Path, forks: ForkServer) -> Iterator[LiveGateway]:
    made = LiveGateway(tmp_path / "gw", extra=OLDER, forks=forks)
    try:
        yield made
    finally:
        made.stop()


def connected(gateway: LiveGateway) -> httpx.Client:
    return httpx.Client(
        base_url=gateway.start(),
        auth=(ACCOUNT, PASSWORD),
        timeout=60,
        trust_env=False,
        params={"return_timeout": 30, "return_records": True},
    )


def made(http: httpx.Client, path: str, **body: object) -> str:
    answer = http.post(path, json=body)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["records"][0]["uuid"])


@pytest.mark.parametrize(
    "point",
    ["volume.create.journalled", "memory.create.begin", "memory.create.done", "volume.create.applied"],
)
def test_what_was_in_memory_is_forgotten_and_said_so(gateway: LiveGateway, point: str) -> None:
    with connected(gateway) as http:
        volume = made(http, VOLUMES, name="lost", **BODY)
        made(http, f"{VOLUMES}/{volume}/snapshots", name="s")
        gateway.arm(point)
        with pytest.raises(httpx.TransportError):
            http.post(VOLUMES, json={"name": "half", **BODY})
        gateway.wait()
    with connected(gateway) as http:
        assert http.get(VOLUMES).json()["num_records"] == 0
        assert http.get(f"{VOLUMES}/{volume}").status_code == 404
        assert '"reconcile_forgotten"' in gateway.tail(200)
        assert made(http, VOLUMES, name="lost", **BODY) != volume
    found = asyncio.run(everything_in(gateway.data, Job, Intent, Volume, Snapshot))
    assert {job.state for job in found[Job]} <= FINAL
    assert [job.operation for job in found[Job] if job.error is not None] == ["volume.create"]
    assert found[Intent] == found[Snapshot] == []
    assert [row.name for row in found[Volume]] == ["lost"]


@pytest.mark.parametrize("point", ["snapshot.group.journalled", "memory.snapshot_group.done", "snapshot.group.applied"])
def test_snapshots_of_several_volumes_are_forgotten_with_them(gateway: LiveGateway, point: str) -> None:
    with connected(gateway) as http:
        ids = [made(http, VOLUMES, name=name, **BODY) for name in ("a", "b")]
        gateway.arm(point)
        with pytest.raises(httpx.TransportError):
            httpx.post(
                f"{gateway.addresses['openstorage-older']}/v1/osd-snapshot/snapshotgroup",
                json={"volume_ids": ids},
                timeout=60,
                trust_env=False,
            )
        gateway.wait()
    with connected(gateway) as http:
        assert http.get(VOLUMES).json()["num_records"] == 0
    found = asyncio.run(everything_in(gateway.data, Job, Intent, Volume, Snapshot))
    assert {job.state for job in found[Job]} <= FINAL
    assert [job.operation for job in found[Job] if job.error is not None] == ["snapshot.group"]
    assert found[Intent] == found[Snapshot] == found[Volume] == []
