"""The gateway works with the kernel capabilities that its drivers say they need, and no others."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Self

import httpx
import pytest

from gateway.config import load
from gateway.core.needs import CAPABILITIES, NeedKind
from gateway.exports.nfs import NfsExporter, NfsOptions
from gateway.server.drivers import DOORS, EXPORTERS, driver_options, needs_of
from gateway.testing.btrfs_pool import btrfs_pool
from gateway.testing.live import ACCOUNT, PASSWORD, LiveGateway

pytestmark = pytest.mark.root

VOLUMES = "/api/storage/volumes"
RULE = {"clients": [{"match": "127.0.0.1"}], "ro_rule": ["any"], "rw_rule": ["any"], "superuser": ["any"]}


def stated(config: Path, *, optional: bool = True) -> set[str]:
    """Give the capabilities that a configuration's drivers need, with or without those for what may be missing."""
    settings = load([config], {}, drivers=driver_options(), exporters=EXPORTERS, doors=DOORS)
    needs = [need for needs in needs_of(settings).values() for need in needs]
    return {need.name for need in needs if need.kind is NeedKind.CAPABILITY and (optional or not need.optional)}


def only(capabilities: set[str]) -> list[str]:
    """Give the command line that starts a program with these capabilities at the most, whoever runs it."""
    bounds = ",".join(["-all", *(f"+{name.removeprefix('CAP_').lower()}" for name in sorted(capabilities))])
    return ["setpriv", "--bounding-set", bounds, "--inh-caps", "-all"]


def held(pid: int) -> set[str]:
    """Give the capabilities that a process has."""
    (line,) = [s for s in Path(f"/proc/{pid}/status").read_text().splitlines() if s.startswith("CapEff")]
    mask = int(line.split()[1], 16)
    return {name for bit, name in enumerate(CAPABILITIES) if mask >> bit & 1}


class Client:
    """Sends changes and waits for their ends."""

    def __init__(self, url: str) -> None:
        self.http = httpx.Client(base_url=url, auth=(ACCOUNT, PASSWORD), timeout=60, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()

    def change(self, verb: str, path: str, **body: object) -> httpx.Response:
        answer = self.http.request(verb, path, params={"return_timeout": 30, "return_records": "true"}, json=body)
        assert answer.is_success, answer.text
        return answer

    def volume(self, name: str) -> str:
        (record,) = self.http.get(VOLUMES, params={"name": name}).json()["records"]
        return str(record["uuid"])


def live_through(client: Client, pool: str, *, nas: bool) -> None:
    """Walk a volume through its life: made, published, changed, snapshotted, cloned, restored, deleted."""
    more = {"nas": {"path": "/v", "uid": 1234, "gid": 1234, "unix_permissions": 750}} if nas else {}
    client.change("POST", VOLUMES, name="v", svm={"name": "svm1"}, aggregates=[{"name": pool}], size=64 << 20, **more)
    volume = client.volume("v")
    client.change("PATCH", f"{VOLUMES}/{volume}", size=128 << 20)
    client.change("POST", f"{VOLUMES}/{volume}/snapshots", name="s")
    origin = {"is_flexclone": True, "parent_volume": {"name": "v"}, "parent_snapshot": {"name": "s"}}
    client.change("POST", VOLUMES, name="w", svm={"name": "svm1"}, clone=origin)
    client.change("PATCH", f"{VOLUMES}/{volume}", restore_to={"snapshot": {"name": "s"}})
    for name in ("w", "v"):
        client.change("DELETE", f"{VOLUMES}/{client.volume(name)}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_btrfs_and_nfs_with_just_what_they_state(tmp_path):
    with btrfs_pool(tmp_path / "pool") as mount:
        pools = f'[backend.fast]\ndriver = "btrfs"\npath = "{mount}"\n'
        extra = f"[export.nfs]\nport = {free_port()}\n"
        gateway = LiveGateway(tmp_path / "gw", pools=pools, extra=extra)
        needed = stated(gateway.config)
        gateway = LiveGateway(tmp_path / "gw", pools=pools, extra=extra, under=only(needed))
        gateway.start()
        try:
            assert held(gateway.pid) == needed
            with Client(gateway.url) as client:
                policies = "/api/protocols/nfs/export-policies"
                (policy,) = client.http.get(policies, params={"name": "default", "svm.name": "svm1"}).json()["records"]
                client.change("POST", f"{policies}/{policy['id']}/rules", **RULE)
                live_through(client, "fast", nas=True)
        finally:
            assert gateway.stop() == 0


def test_every_stated_capability_of_btrfs_is_one_that_it_would_miss(tmp_path):
    """Not more than needed either: without any of them something fails, or the pool does not open."""
    with btrfs_pool(tmp_path / "pool") as mount:
        pools = f'[backend.fast]\ndriver = "btrfs"\npath = "{mount}"\n'
        needed = stated(LiveGateway(tmp_path / "gw", pools=pools).config, optional=False)
        for name in sorted(needed):
            gateway = LiveGateway(tmp_path / f"without-{name}", pools=pools, under=only(needed - {name}))
            gateway.start()
            try:
                with Client(gateway.url) as client, pytest.raises(AssertionError):
                    live_through(client, "fast", nas=True)
            finally:
                gateway.stop()


def test_the_nfs_exporter_says_what_low_ports_need():
    names = {need.name for need in NfsExporter.needs(NfsOptions(port=111))}
    assert "CAP_NET_BIND_SERVICE" in names
