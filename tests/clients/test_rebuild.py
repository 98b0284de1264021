"""A catalog that was lost is rebuilt from btrfs: the same tenants, policies, volumes, snapshots and clones."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import httpx
import msgspec
import pytest

from gateway.catalog import SqliteCatalog
from gateway.core.model import ExportPolicy, Intent, Pool, Snapshot, SnapshotPolicy, Tenant, Volume
from gateway.core.query import Query
from gateway.testing.btrfs_pool import btrfs_pool
from gateway.testing.live import ACCOUNT, PASSWORD, LiveGateway

pytestmark = pytest.mark.root

OBSERVED = {"revision": 0, "used": 0, "size": 0, "available": 0, "volume_count": 0}


async def content(path: Path) -> dict[str, dict[str, object]]:
    """Give everything in a catalog by kind and id; what is only observed (not kept) is set to zero."""
    catalog = SqliteCatalog(path)
    await catalog.open()
    found: dict[str, dict[str, object]] = {}
    for kind in (Tenant, Pool, Volume, Snapshot, ExportPolicy, SnapshotPolicy, Intent):
        rows = (await catalog.page(kind, Query(limit=10_000))).records
        observed = OBSERVED.keys() & set(kind.__struct_fields__) - ({"size"} if kind is Volume else set())
        zero = {name: OBSERVED[name] for name in observed}
        found[kind.__name__] = {str(r.id): msgspec.to_builtins(msgspec.structs.replace(r, **zero)) for r in rows}
    found["settings"] = {"cluster": await catalog.setting("cluster_id")}
    await catalog.close()
    return found


class Client:
    """Writes through the door and waits for each job."""

    def __init__(self, http: httpx.Client) -> None:
        self.http = http

    def write(self, verb: str, path: str, body: object) -> None:
        answer = self.http.request(verb, path, params={"return_timeout": 60}, json=body)
        assert answer.status_code in {200, 201, 202}, answer.text

    def uuid(self, path: str, **query: str) -> str:
        (record,) = self.http.get(path, params=query).json()["records"]
        return str(record.get("uuid", record.get("id")))


def connected(url: str) -> httpx.Client:
    return httpx.Client(base_url=url, auth=(ACCOUNT, PASSWORD), timeout=60)


def furnish(client: Client) -> None:
    svm, pool = {"name": "svm1"}, [{"name": "fast"}]
    client.write("POST", "/api/svm/svms", {"name": "svm2", "comment": "another"})
    rules = [{"clients": [{"match": "10.0.0.0/8"}], "ro_rule": ["sys"], "rw_rule": ["never"]}]
    client.write("POST", "/api/protocols/nfs/export-policies", {"name": "p", "svm": svm, "rules": rules})
    copies = [{"schedule": {"name": "daily"}, "count": 3}]
    client.write("POST", "/api/storage/snapshot-policies", {"name": "sp", "svm": svm, "copies": copies})
    for n in range(5):
        body = {"name": f"v{n}", "svm": svm, "aggregates": pool, "size": (20 + n) << 20, "_tags": [f"number:{n}"]}
        client.write("POST", "/api/storage/volumes", {**body, "comment": "ü" * n})
    client.write("POST", "/api/storage/volumes", {"name": "v0", "svm": {"name": "svm2"}, "aggregates": pool})
    first = client.uuid("/api/storage/volumes", name="v0", **{"svm.name": "svm1"})
    for name in ("one", "two", "three"):
        client.write("POST", f"/api/storage/volumes/{first}/snapshots", {"name": name, "comment": f"c {name}"})
    for name, base in (("c1", {"parent_snapshot": {"name": "two"}}), ("c2", {}), ("c3", {})):
        clone = {"is_flexclone": True, "parent_volume": {"name": "v0"}, **base}
        client.write("POST", "/api/storage/volumes", {"name": name, "svm": svm, "clone": clone})
    change = f"/api/storage/volumes/{client.uuid('/api/storage/volumes', name='c3')}"
    client.write("PATCH", change, {"clone": {"split_initiated": True}})
    change = f"/api/storage/volumes/{client.uuid('/api/storage/volumes', name='v1')}"
    client.write(
        "PATCH", change, {"name": "renamed", "size": 64 << 20, "nas.path": "/r", "nas.export_policy.name": "p"}
    )
    change = f"/api/storage/volumes/{client.uuid('/api/storage/volumes', name='v2')}"
    client.write("PATCH", change, {"state": "offline"})
    gone = client.uuid(f"/api/storage/volumes/{first}/snapshots", name="three")
    client.write("DELETE", f"/api/storage/volumes/{first}/snapshots/{gone}", {})
    change = f"/api/storage/volumes/{client.uuid('/api/storage/volumes', name='v3')}"
    client.write("POST", f"{change}/snapshots", {"name": "back"})
    client.write("PATCH", change, {"restore_to.snapshot.name": "back"})


def rebuild(gateway: LiveGateway) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "gateway", "rebuild", "--config", str(gateway.config)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


async def test_a_rebuilt_catalog_equals_the_lost_one(tmp_path: Path) -> None:
    with btrfs_pool(tmp_path / "pool") as mount:
        gateway = LiveGateway(tmp_path / "gw", pools=f'[backend.fast]\ndriver = "btrfs"\npath = "{mount}"\n')
        try:
            with connected(gateway.start()) as http:
                furnish(Client(http))
        finally:
            gateway.stop()
        catalog = gateway.data / "catalog.sqlite"
        before = await content(catalog)
        assert len(before["Volume"]) == 9

        refused = rebuild(gateway)
        assert refused.returncode != 0
        assert "catalog" in refused.stderr

        for file in gateway.data.glob("catalog.sqlite*"):
            file.unlink()
        stranger = mount / "volumes" / "somebody-elses"
        stranger.mkdir()
        done = rebuild(gateway)
        assert done.returncode == 0, done.stderr
        assert "somebody-elses" in done.stdout
        assert await content(catalog) == before
        assert stranger.is_dir()

        # The new catalog serves: ids continue, names are still taken.
        try:
            with connected(gateway.start()) as http:
                assert http.get("/api/storage/volumes").json()["num_records"] == 9
                body = {"name": "renamed", "svm": {"name": "svm1"}, "aggregates": [{"name": "fast"}]}
                assert http.post("/api/storage/volumes", json=body).json()["error"]["code"] == "917526"
        finally:
            gateway.stop()
