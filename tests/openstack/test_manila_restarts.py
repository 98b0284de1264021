"""Manila, or its gateway, ends in the middle: nothing stays behind, neither there nor here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import pytest
from manila_bed import Bed
from manilaclient.exceptions import NotFound

from gateway.client import native

pytestmark = [pytest.mark.root, pytest.mark.slow]


@pytest.fixture
def before(shares: Bed) -> Iterator[None]:
    """See that afterwards the pools hold what they held before, and that the gateway finds nothing wrong."""
    objects, volumes = shares.ground.objects(), set(shares.ground.volumes())
    yield
    shares.ground.until(lambda: set(shares.ground.volumes()) == volumes)
    shares.ground.gateway.stop()
    try:
        shares.ground.check()
        assert shares.ground.objects() == objects
    finally:
        shares.ground.gateway.start()
        shares.cloud.serves("files")


def test_manila_is_killed_while_shares_are_made_cloned_and_deleted(shares: Bed, before: None) -> None:
    cloud = shares.cloud
    kept, doomed = (cloud.share(share_type="files") for _ in range(2))
    taken = cloud.snapshot(kept)
    with shares.ground.gateway.held("btrfs.create.made") as reached:
        made = cloud.api.shares.create("NFS", 1, share_type="files")
        reached()
        copy = cloud.api.shares.create("NFS", 1, share_type="files", snapshot_id=taken.id)
        cloud.api.shares.delete(doomed)
        shares.service.kill()
    shares.service.start()
    for share in (made, copy, doomed):
        # Manila leaves to its operator what it was in the middle of.
        with suppress(NotFound):
            cloud.api.shares.reset_state(share, "error")
            cloud.api.shares.force_delete(share)
        cloud.gone(share)
    assert {one.id for one in cloud.api.shares.list()} == {kept.id}
    assert len(shares.ground.bearing(kept.id)) == 1
    cloud.delete(taken, kept)


@pytest.mark.parametrize("point", ["btrfs.create.noted", "btrfs.clone.made", "btrfs.delete.hidden"])
def test_the_gateway_is_killed_while_manila_waits(shares: Bed, before: None, point: str) -> None:
    cloud = shares.cloud
    kept = cloud.share(share_type="files")
    taken = cloud.snapshot(kept)
    shares.ground.gateway.arm(point)
    if "delete" in point:
        cloud.delete(taken)
        victim, status = kept, "error_deleting"
        cloud.api.shares.delete(victim)
    else:
        source = {"snapshot_id": taken.id} if "clone" in point else {}
        victim, status = cloud.api.shares.create("NFS", 1, share_type="files", **source), "error"
    shares.ground.gateway.wait()
    shares.ground.gateway.start()
    cloud.serves("files")
    cloud.settled(victim, status)
    cloud.api.shares.force_delete(victim)
    cloud.gone(victim)
    assert not shares.ground.bearing(victim.id)
    if victim is not kept:
        cloud.delete(taken, kept)


def test_a_killed_gateway_lets_the_same_clients_in_again(shares: Bed, before: None) -> None:
    cloud, client = shares.cloud, shares.client
    share = cloud.share(share_type="files")
    cloud.allow(share, "127.0.0.1")
    path = cloud.path(share)
    client.write(f"{path}/file", b"x")
    shares.ground.gateway.kill()
    assert client.read(f"{path}/file") == b"x", "bytes do not go through the gateway"
    shares.ground.gateway.start()
    shares.ground.until(lambda: client.reaches(path))
    with shares.ground.client() as gateway:
        assert gateway.run(native.export_policy("svm1", path.lstrip("/"))).rules
    cloud.delete(share)


def test_a_rule_that_could_not_be_set_is_set_when_it_is_asked_for_again(shares: Bed, before: None) -> None:
    cloud, gateway = shares.cloud, shares.ground.gateway
    share = cloud.share(share_type="files")
    gateway.kill()
    cloud.api.shares.allow(share, "ip", "127.0.0.1", "rw")
    cloud.in_force(share, "error")
    gateway.start()
    [rule] = cloud.api.share_access_rules.access_list(share)
    cloud.deny(share, rule)
    cloud.allow(share, "127.0.0.1")
    shares.client.write(f"{cloud.path(share)}/file", b"x")
    cloud.delete(share)
