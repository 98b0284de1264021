"""Gateways whose pool is another gateway, which may have one on a third: each is only an ONTAP cluster to the next."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway.client import Client, ClientError, pools, snapshots, tenants, volumes
from gateway.testing.live import ACCOUNT, PASSWORD, LiveGateway, live_gateway

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
        client(first) as ask,
    ):
        [pool] = ask.each(pools.every())
        [tenant] = ask.each(tenants.every())
        made = ask.run(volumes.create("v1", tenant=tenant.name, pool=pool.name, size=SIZE, comment="ours", path="/v1"))
        copy = ask.run(snapshots.create(made.uuid, "s1", comment="before"))
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
            assert sorted(volume.size for volume in held(gateway).values() if volume.size > LEAST) == [SIZE, 2 * SIZE]
        ask.run(snapshots.delete(made.uuid, copy.uuid))
        ask.run(volumes.delete(made.uuid))
        ask.run(volumes.delete(clone.uuid))
        # What is left are the documents of the two pools.
        for gateway in (middle, last):
            assert {volume.size for volume in held(gateway).values()} == {LEAST}


def test_a_gateway_that_dies_settles_with_its_cluster(tmp_path: Path) -> None:
    with live_gateway(tmp_path / "far") as far, behind(tmp_path / "near", far, name="far") as near:
        with client(near) as ask:
            [pool] = ask.each(pools.every())
            made = ask.run(volumes.create("v1", tenant="svm1", pool=pool.name, size=SIZE))
            ask.run(snapshots.create(made.uuid, "s1"))
        for point, name in (("ontap.create.made", "v2"), ("ontap.clone.described", "c1")):
            create = volumes.create(name, tenant="svm1", pool=pool.name, size=SIZE)
            clone = volumes.clone(name, tenant="svm1", parent="v1", snapshot="s1")
            near.arm(point)
            with client(near) as ask, pytest.raises(ClientError):
                ask.run(create if "create" in point else clone)
            near.wait()
            near.start()
        assert set(held(near)) == {"v1", "v2"}
        mounted = [volume for volume in held(far).values() if volume.nas.path]
        assert len(mounted) == 2
