"""Real Cinder, asked by its stock client, and hosts that use its volumes."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import pytest
from cinder_bed import Bed
from cinder_cloud import ELSEWHERE, HERE, INITIATOR, read, size, write
from glanceclient import Client

from gateway.client import native

pytestmark = [pytest.mark.root, pytest.mark.slow]

GIB = 1 << 30
OLD, NEW = b"old" * 1000, b"new" * 1000


@pytest.mark.parametrize("pool", ["images", "blocks"])
def test_bytes_live_through_snapshot_clone_growth_and_revert(bed: Bed, pool: str) -> None:
    cloud = bed.cloud
    volume = cloud.volume(volume_type=pool, name="data")
    assert volume.to_dict()["os-vol-host-attr:host"] == f"cinder@gateway#{pool}"
    here = cloud.attach(volume, HERE)
    assert here.way == "local"
    device = here.device()
    write(device, OLD)
    taken = cloud.snapshot(volume, force=True)
    write(device, NEW)

    copy = cloud.volume(2, snapshot_id=taken.id)
    also = cloud.attach(copy, HERE)
    assert size(also.device()) == 2 * GIB
    assert read(also.device(), len(OLD)) == OLD
    assert read(device, len(NEW)) == NEW
    cloud.api.volumes.extend(copy, 3)
    assert cloud.settled(copy, "in-use").size == 3
    assert size(also.device()) == 3 * GIB
    also.end()

    here.end()
    assert not Path(device).exists()
    cloud.api.volumes.revert_to_snapshot(volume, taken)
    cloud.settled(volume)
    here = cloud.attach(volume, HERE)
    assert read(here.device(), len(OLD)) == OLD
    here.end()

    twin = cloud.volume(source_volid=volume.id)
    assert twin.size == 1
    names = {f"volume-{one.id}" for one in (volume, copy, twin)}
    assert names <= bed.ground.listed()
    assert names <= bed.ground.told_to_ontap()
    cloud.delete(copy, twin, taken, volume)
    assert not names & bed.ground.volumes().keys()


@pytest.mark.parametrize("pool", ["images", "blocks"])
def test_another_host_logs_in_over_iscsi(bed: Bed, pool: str) -> None:
    cloud = bed.cloud
    volume = cloud.volume(volume_type=pool)
    away = cloud.attach(volume, ELSEWHERE)
    assert away.way == "iscsi"
    unit = away.unit()
    assert unit.size() == GIB
    unit.write(0x11)
    assert unit.holds(0x11)
    assert not unit.lets_in(INITIATOR, None)
    assert not unit.lets_in(INITIATOR, (away.info["auth_username"], "wrong-password-1"))
    assert not unit.lets_in("iqn.1993-08.org.debian:01:stranger", None)

    taken = cloud.snapshot(volume, force=True)
    unit.write(0x22)
    copy = cloud.volume(snapshot_id=taken.id)
    also = cloud.attach(copy, ELSEWHERE)
    assert also.unit().holds(0x11)
    assert unit.holds(0x22)
    for attachment in (also, away):
        attachment.end()
    assert not unit.lets_in(INITIATOR, (away.info["auth_username"], away.info["auth_password"]))
    cloud.delete(copy, taken, volume)


def test_several_hosts_have_a_volume(bed: Bed) -> None:
    cloud = bed.cloud
    kind = cloud.kind("shared", {"capabilities:gateway:pool": "blocks", "multiattach": "<is> True"})
    volume = cloud.volume(volume_type=kind)
    hosts = [{**ELSEWHERE, "host": name, "initiator": f"{INITIATOR}-{name}"} for name in ("one", "two")]
    first, second = (cloud.attach(volume, host) for host in hosts)
    first.unit().write(0x33)
    assert second.unit().holds(0x33)
    first.end(status="in-use")
    assert second.unit().holds(0x33)
    second.end()
    cloud.delete(volume)


def test_images_become_volumes_and_volumes_images(bed: Bed, glance: Client, tmp_path: Path) -> None:
    cloud = bed.cloud
    content = os.urandom(4 << 20)
    image = glance.images.create(name="system", disk_format="raw", container_format="bare")
    glance.images.upload(image.id, io.BytesIO(content))
    volume = cloud.volume(volume_type="images", imageRef=image.id)
    here = cloud.attach(volume, HERE)
    assert read(here.device(), len(content), at=0) == content
    write(here.device(), NEW, at=0)
    here.end()

    second = cloud.volume(volume_type="images", imageRef=image.id)
    cached = bed.ground.volumes()[f"volume-{second.id}"].origin
    assert cached is not None, "the second volume of an image is a clone"
    here = cloud.attach(second, HERE)
    assert read(here.device(), len(content), at=0) == content
    here.end()

    _, told = cloud.api.volumes.upload_to_image(
        volume, False, "back", container_format="bare", disk_format="raw", visibility="private", protected=False
    )
    cloud.settled(volume)
    back = told["os-volume_upload_image"]["image_id"]
    start = b"".join(glance.images.data(back))[: len(content)]
    assert start == NEW + content[len(NEW) :]
    cloud.delete(volume, second)


def test_what_was_there_is_managed(bed: Bed) -> None:
    cloud = bed.cloud
    with bed.ground.client() as client:
        client.run(
            native.create_volume(
                native.NewVolume(name="older", tenant="svm1", pool="blocks", size=GIB + 512, kind="block")
            )
        )
    host = "cinder@gateway#blocks"
    (found,) = [one for one in cloud.api.volumes.list_manageable(host) if one.reference == {"source-name": "older"}]
    assert (found.size, found.safe_to_manage) == (2, True)
    volume = cloud.settled(cloud.api.volumes.manage(host, {"source-name": "older"}, volume_type="blocks"))
    assert volume.size == 2
    assert f"volume-{volume.id}" in bed.ground.volumes()
    cloud.api.volumes.unmanage(volume)
    cloud.gone(volume)
    left = bed.ground.volumes()[f"volume-{volume.id}"]
    assert left.labels == {}
    with bed.ground.client() as client:
        client.run(native.delete_volume(left.id))


@pytest.mark.parametrize("way", ["migrate", "retype"])
def test_volumes_move_between_pools(bed: Bed, way: str) -> None:
    cloud = bed.cloud
    kind = cloud.kind(f"qcow2 {way}", {"capabilities:gateway:driver": "qcow2"}) if way == "migrate" else "images"
    volume = _written(bed, kind)
    known = bed.ground.volumes()[f"volume-{volume.id}"]
    other = {"images": "more", "more": "images"}[known.pool]
    if way == "migrate":
        cloud.api.volumes.migrate_volume(volume, f"cinder@gateway#{other}", force_host_copy=False, lock_volume=True)
    else:
        cloud.api.volumes.retype(volume, other, "on-demand")
    cloud.moved(volume, f"cinder@gateway#{other}")
    moved = bed.ground.volumes()[f"volume-{volume.id}"]
    assert (moved.id, moved.pool) == (known.id, other), "it is the same volume elsewhere"
    _holds(bed, volume)
    cloud.delete(volume)


def test_a_volume_moves_to_another_kind_of_pool_as_cinder_copies_it(bed: Bed) -> None:
    cloud = bed.cloud
    volume = _written(bed, "images")
    cloud.api.volumes.retype(volume, "blocks", "on-demand")
    cloud.moved(volume, "cinder@gateway#blocks")
    assert [one.pool for one in bed.ground.bearing(volume.id)] == ["blocks"]
    _holds(bed, volume)
    cloud.delete(volume)


def _written(bed: Bed, kind: str) -> Any:
    volume = bed.cloud.volume(volume_type=kind)
    here = bed.cloud.attach(volume, HERE)
    write(here.device(), OLD)
    here.end()
    return volume


def _holds(bed: Bed, volume: Any) -> None:
    here = bed.cloud.attach(volume, HERE)
    assert read(here.device(), len(OLD)) == OLD
    here.end()


def test_groups_have_snapshots_of_one_instant_where_the_pool_can(bed: Bed) -> None:
    cloud = bed.cloud
    consistent = cloud.group_type("consistent", {"consistent_group_snapshot_enabled": "<is> True"})
    group = cloud.settled(cloud.api.groups.create(consistent, "volatile"))
    members = [cloud.volume(volume_type="volatile", group_id=group.id) for _ in range(2)]
    taken = cloud.settled(cloud.api.group_snapshots.create(group.id))
    snapshots = [one for one in cloud.api.volume_snapshots.list() if one.volume_id in {member.id for member in members}]
    known = bed.ground.snapshots()
    assert len({known[f"snapshot-{one.id}"].created for one in snapshots}) == 1, "all are of one instant"
    made = cloud.api.groups.create_from_src(group_snapshot_id=taken.id, source_group_id=None)
    copy = cloud.settled(cloud.api.groups.get(made["id"]))
    copy.delete(delete_volumes=True)
    cloud.gone(copy)
    cloud.delete(taken)
    group.delete(delete_volumes=True)
    cloud.gone(group)
    assert not [one for one in bed.ground.volumes().values() if one.pool == "volatile"]

    refused = cloud.api.groups.create(consistent, "blocks")
    cloud.settled(refused, "error")
    cloud.delete(refused)
