"""Real Manila, asked by its stock client, and clients of NFS that use its shares."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from manila_bed import Bed
from nfs_nodes import node_at
from nfs_scene import Nfs

from gateway.client import native

pytestmark = [pytest.mark.root, pytest.mark.slow]

GIB = 1 << 30
HERE, ELSEWHERE = "127.0.0.1", "127.0.0.2"


def test_bytes_live_through_snapshot_share_of_it_growth_and_revert(shares: Bed) -> None:
    cloud, client = shares.cloud, shares.client
    share = cloud.share(share_type="files", name="data")
    assert share.to_dict()["host"] == "manila@gateway#files"
    path = cloud.path(share)
    cloud.allow(share, HERE)
    client.write(f"{path}/file", b"old")
    taken = cloud.snapshot(share)
    client.overwrite(f"{path}/file", b"new")

    copy = cloud.share(2, share_type="files", snapshot_id=taken.id)
    assert not client.reaches(cloud.path(copy)), "the rules of a share are its own"
    cloud.allow(copy, "127.0.0.0/8")
    assert client.read(f"{cloud.path(copy)}/file") == b"old"
    assert client.read(f"{path}/file") == b"new"

    cloud.api.shares.extend(copy, 3)
    assert cloud.settled(copy).size == 3
    cloud.api.shares.shrink(copy, 2)
    assert cloud.settled(copy).size == 2
    assert client.read(f"{cloud.path(copy)}/file") == b"old"
    (volume,) = shares.ground.bearing(copy.id)
    assert volume.size == 2 * GIB

    cloud.api.shares.revert_to_snapshot(share, taken)
    cloud.settled(share)
    assert client.read(f"{path}/file") == b"old"

    names = {volume.name for one in (share, copy) for volume in shares.ground.bearing(one.id)}
    assert len(names) == 2
    assert names <= shares.ground.listed()
    assert names <= shares.ground.told_to_ontap()
    cloud.delete(copy, taken, share)
    assert not names & shares.ground.volumes().keys()
    assert not client.reaches(path)


def test_who_may_reach_a_share(shares: Bed, tmp_path: Path) -> None:
    cloud, client = shares.cloud, shares.client
    share = cloud.share(share_type="files")
    path = cloud.path(share)
    with node_at(ELSEWHERE, shares.ground.ports["nfs"]) as node:
        second = Nfs(node.port, tmp_path, address=ELSEWHERE)
        assert not client.reaches(path), "a new share lets in nobody"
        rule = cloud.allow(share, HERE)
        client.write(f"{path}/file", b"x")
        assert not second.reaches(path)
        cloud.allow(share, ELSEWHERE, "ro")
        assert second.read(f"{path}/file") == b"x"
        assert second.try_write(f"{path}/other", b"y").returncode != 0
        cloud.deny(share, rule)
        assert not client.reaches(path)
        assert second.reaches(path)
    assert cloud.rules(share) == {ELSEWHERE: "active"}
    cloud.delete(share)
    with shares.ground.client() as gateway, pytest.raises(Exception, match="not found"):
        gateway.run(native.export_policy("svm1", path.lstrip("/")))


def test_a_share_is_not_made_smaller_than_what_it_holds(shares: Bed) -> None:
    cloud = shares.cloud
    share = cloud.share(2, share_type="files")
    (volume,) = shares.ground.bearing(share.id)
    with shares.ground.client() as gateway:
        (place,) = [handle.path for handle in gateway.run(native.handles(volume.id)) if handle.kind == "local_path"]
    with (Path(place) / "large").open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, GIB + (GIB >> 2))
        os.fsync(file.fileno())
    cloud.api.shares.shrink(share, 1)
    assert cloud.settled(share).size == 2
    assert any("shrink" in told.lower() for told in cloud.why(share))
    cloud.delete(share)


def test_a_pool_without_snapshots_has_shares_without(shares: Bed) -> None:
    cloud = shares.cloud
    share = cloud.share(share_type="plain")
    assert share.to_dict()["host"] == "manila@gateway#plain"
    assert not share.snapshot_support
    cloud.allow(share, HERE)
    shares.client.write(f"{cloud.path(share)}/file", b"x")
    with pytest.raises(Exception, match=r"[Ss]napshot"):
        cloud.api.share_snapshots.create(share)
    cloud.delete(share)


def test_what_was_there_is_managed(shares: Bed) -> None:
    cloud = shares.cloud
    new = native.NewVolume(name="older", tenant="svm1", pool="files", size=GIB, path="/older")
    with shares.ground.client() as gateway:
        made = gateway.run(native.create_volume(new))
        gateway.run(native.create_snapshot(made.id, "first"))
    share = cloud.settled(
        cloud.api.shares.manage("manila@gateway#files", "NFS", "127.0.0.1:/older", share_type="files")
    )
    assert share.size == 1
    taken = cloud.settled(cloud.api.share_snapshots.manage(share, "first"))
    cloud.allow(share, HERE)
    shares.client.write(f"{cloud.path(share)}/file", b"x")
    cloud.api.share_snapshots.unmanage(taken)
    cloud.gone(taken)
    cloud.api.shares.unmanage(share)
    cloud.gone(share)
    assert made.id in {volume.id for volume in shares.ground.volumes().values()}
    with shares.ground.client() as gateway:
        for snapshot in tuple(gateway.each(native.snapshots(volume=made.id))):
            gateway.run(native.delete_snapshot(snapshot.id))
        gateway.run(native.delete_volume(made.id))
