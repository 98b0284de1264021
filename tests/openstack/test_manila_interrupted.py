"""Manila, or its gateway, ends in the middle: what users see can be acted on, and nothing stays behind."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from manila_bed import Bed

pytestmark = [pytest.mark.root, pytest.mark.slow]

HERE = "127.0.0.1"


@pytest.fixture
def before(shares: Bed) -> Iterator[None]:
    """See that afterwards the pools hold what they held before, and that the gateway finds nothing wrong."""
    ground = shares.ground
    objects, volumes = ground.objects(), set(ground.volumes())
    yield
    assert set(ground.volumes()) == volumes
    ground.gateway.stop()
    try:
        ground.check()
        assert ground.objects() == objects
    finally:
        ground.gateway.start()


def test_manila_is_killed_while_a_share_is_made(shares: Bed, before: None) -> None:
    cloud = shares.cloud
    with shares.ground.gateway.held("btrfs.create.made") as reached:
        made = cloud.api.shares.create("NFS", 1, share_type="files")
        reached()
        shares.service.kill()
    shares.service.start()
    # Manila leaves to its administrators what it was making.
    assert cloud.api.shares.get(made.id).status == "creating"
    cloud.api.shares.reset_state(made, "error")
    cloud.delete(made)
    assert not shares.ground.bearing(made.id)


@pytest.mark.parametrize("point", ["btrfs.create.limited", "btrfs.clone.made"])
def test_the_gateway_is_killed_while_a_share_is_made(shares: Bed, before: None, point: str) -> None:
    cloud, gateway = shares.cloud, shares.ground.gateway
    kept = cloud.share(share_type="files")
    taken = cloud.snapshot(kept)
    source = {"snapshot_id": taken.id} if "clone" in point else {}
    gateway.arm(point)
    victim = cloud.api.shares.create("NFS", 1, share_type="files", **source)
    gateway.wait()
    gateway.start()
    cloud.settled(victim, "error")
    cloud.delete(victim)
    assert not shares.ground.bearing(victim.id)
    cloud.delete(taken, kept)


def test_a_rule_that_could_not_be_set_is_set_when_it_is_asked_for_again(shares: Bed, before: None) -> None:
    cloud, gateway = shares.cloud, shares.ground.gateway
    share = cloud.share(share_type="files")
    gateway.kill()
    cloud.api.shares.allow(share, "ip", HERE, "rw")
    cloud.in_force(share, "error")
    gateway.start()
    [rule] = cloud.api.share_access_rules.access_list(share)
    cloud.deny(share, rule)
    cloud.allow(share, HERE)
    shares.client.write(f"{cloud.path(share)}/file", b"x")
    cloud.delete(share)
