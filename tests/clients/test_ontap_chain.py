"""Gateways whose pool is another gateway, which may have one on a third: each is only an ONTAP cluster to the next."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from gateway.backends.ontap import OntapBackend, OntapOptions
from gateway.client import Client, ClientError, policies, pools, snapshots, tenants, volumes
from gateway.core.backend import VolumeSpec
from gateway.core.model import VolumeKind
from gateway.core.secret import Secret
from gateway.testing.backends import note
from gateway.testing.btrfs_pool import btrfs_pool
from gateway.testing.live import ACCOUNT, PASSWORD, LiveGateway, live_gateway
from gateway.testing.wire import NfsContent

SIZE = 64 << 20
LEAST = 20 << 20
POOL = """
[backend.{name}]
driver = "ontap"
url = "{url}"
user = "{user}"
password = "file:password"
svm = "{svm}"
prefix = "{prefix}"
address = "192.0.2.1"
rate_per_s = 0
leftovers_after_s = -5
"""

EXPORT = '[export.nfs]\naddress = "127.0.0.1"\nport = {}\n'

RULE = {"clients": [{"match": "0.0.0.0/0"}], "ro_rule": ["any"], "rw_rule": ["any"], "superuser": ["any"]}


@contextmanager
def behind(folder: Path, far: LiveGateway, *, name: str) -> Iterator[LiveGateway]:
    """Give a gateway whose only pool is on another one."""
    pool = POOL.format(name=name, url=far.url, user=ACCOUNT, svm="svm1", prefix=f"{name}_")
    gateway = LiveGateway(folder, pools=pool)
    (folder / "password").write_text(PASSWORD)
    gateway.start()
    try:
        yield gateway
    finally:
        gateway.stop()


@contextmanager
def client(gateway: LiveGateway) -> Iterator[Client]:
    with Client(gateway.url, user=ACCOUNT, password=PASSWORD) as made:
        yield made


def held(gateway: LiveGateway) -> dict[str, volumes.Volume]:
    with client(gateway) as asked:
        return {volume.name: volume for volume in asked.each(volumes.every())}


def test_a_chain_of_two_carries_the_whole_life_of_a_volume(tmp_path: Path) -> None:
    with (
        live_gateway(tmp_path / "last") as last,
        behind(tmp_path / "middle", last, name="mid") as middle,
        behind(tmp_path / "first", middle, name="far") as first,
    ):
        with client(first) as ask:
            [pool] = ask.each(pools.every())
            [tenant] = ask.each(tenants.every())
            made = ask.run(
                volumes.create("v1", tenant=tenant.name, pool=pool.name, size=SIZE, comment="ours", path="/v1")
            )
            copy = ask.run(snapshots.create(made.uuid, "s1", comment="before"))
            clone = volumes.clone("c1", tenant=tenant.name, parent="v1", snapshot="s1")
            first.arm("ontap.clone.described")
            with pytest.raises(ClientError):
                ask.run(clone)
            first.wait()
        first.start()
        with client(first) as ask:
            assert set(held(first)) == {"v1"}, "what was not whole is gone"
            clone = ask.run(volumes.clone("c1", tenant=tenant.name, parent="v1", snapshot="s1"))
            assert clone.clone.parent_volume.name == "v1"
            [export] = ask.run(volumes.access(made.uuid))
            assert (export.kind, export.address) == ("nfs", "192.0.2.1")
            assert export.path in {volume.nas.path for volume in held(middle).values()}

            resized = ask.run(volumes.patch(made.uuid, {"size": 2 * SIZE, "name": "renamed", "_tags": ["env:test"]}))
            assert (resized.size, resized.tags) == (2 * SIZE, ("env:test",))
            ask.run(snapshots.create(made.uuid, "s2"))
            ask.run(volumes.restore(made.uuid, "s1"))
            assert [found.name for found in ask.each(snapshots.every(made.uuid))] == ["s1"]
            with pytest.raises(ClientError):
                ask.run(snapshots.delete(made.uuid, copy.uuid))
            assert not ask.run(volumes.split(clone.uuid)).clone.is_flexclone

            for gateway in (middle, last):
                sizes = sorted(volume.size for volume in held(gateway).values() if volume.size > LEAST)
                assert sizes == [SIZE, 2 * SIZE]
            ask.run(snapshots.delete(made.uuid, copy.uuid))
            ask.run(volumes.delete(made.uuid))
            ask.run(volumes.delete(clone.uuid))
        # What is left are the documents of the two pools.
        for gateway in (middle, last):
            assert {volume.size for volume in held(gateway).values()} == {LEAST}


@pytest.mark.root
async def test_clients_reach_the_bytes_where_the_cluster_serves_them(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with (
        btrfs_pool(tmp_path) as mount,
        live_gateway(
            tmp_path / "far", pools=f'[backend.aggr1]\ndriver = "btrfs"\npath = "{mount}"\n', extra=EXPORT.format(port)
        ) as far,
    ):
        with client(far) as ask:
            ask.run(policies.create("everybody", tenant="svm1", rules=[RULE]))
        options = OntapOptions(
            url=far.url, user=ACCOUNT, password=Secret(PASSWORD), svm="svm1", export_policy="everybody", port=port
        )
        backend = OntapBackend("pool", options)
        await backend.open()
        volume, snapshot, clone = (
            VolumeSpec(id=uuid4(), kind=VolumeKind.FILESYSTEM, size=SIZE, note=note(name)) for name in "vsc"
        )
        await backend.create(volume)
        await NfsContent(await backend.access(volume.id)).write("a", b"alpha")
        await backend.snapshot(volume.id, snapshot.id, snapshot.note)
        await NfsContent(await backend.access(volume.id)).write("a", b"changed")
        await backend.clone(volume.id, snapshot.id, clone)
        assert await NfsContent(await backend.access(clone.id)).read("a") == b"alpha"
        assert await NfsContent(await backend.access(volume.id)).read("a") == b"changed"
        await backend.restore(volume.id, snapshot.id, uuid4())
        assert await NfsContent(await backend.access(volume.id)).read("a") == b"alpha"
        await backend.close()
