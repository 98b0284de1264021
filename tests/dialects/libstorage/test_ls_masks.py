"""Who sees what by an attachments mask: the observed matrix of the sheet, with the state from all attachments."""

from __future__ import annotations

import msgspec
import pytest

from gateway.frontends.libstorage.masks import Seen, needs_instance, see, with_devices
from gateway.frontends.libstorage.model import InstanceRef, VolumeAttachment


def attachment(node: str, *, device: str = "/dev/xvda", status: str = "") -> VolumeAttachment:
    instance = InstanceRef(id=node, driver="vfs", service="fast")
    return VolumeAttachment(device_name=device, instance_id=instance, status=status, volume_id="v")


VOLUMES = {"A": (attachment("host-a"), attachment("host-b")), "B": (attachment("host-b"),), "C": ()}

OWN, ALL = "own", "all"
Row = dict[str, tuple[int, str] | None]

NONE: Row = {"A": (0, OWN), "B": (0, OWN), "C": (0, OWN)}
ANY: Row = {"A": (2, ALL), "B": (4, ALL), "C": (3, ALL)}
MINE: Row = {"A": (2, OWN), "B": (4, OWN), "C": (3, OWN)}
HELD: Row = {"A": (2, ALL), "B": (4, ALL), "C": None}
HELD_BY_ME: Row = {"A": (2, OWN), "B": None, "C": None}
FREE: Row = {"A": None, "B": None, "C": (3, ALL)}
MINE_OR_FREE: Row = {"A": (2, OWN), "B": None, "C": (3, OWN)}

MATRIX: dict[tuple[int, ...], Row] = {
    (1, 4, 5): ANY,
    (2, 3, 6, 7): MINE,
    (8, 9, 12, 13): HELD,
    (10, 11, 14, 15): HELD_BY_ME,
    (16, 17, 18, 19, 20, 21, 22, 23): FREE,
    (24, 25, 28, 29): ANY,
    (26, 27, 30, 31): MINE_OR_FREE,
}
"""Masks -> volume -> state and attachments for host-a; None where it does not see the volume.

B differs from the reference's vfs, which shows it as available under 2, 3, 7,
18, 19, 27 and 31.
"""


@pytest.mark.parametrize(
    ("mask", "volume", "wanted"),
    [(mask, volume, row[volume]) for masks, row in MATRIX.items() for mask in masks for volume in VOLUMES],
)
def test_the_matrix(mask: int, volume: str, wanted: tuple[int, str] | None) -> None:
    every = VOLUMES[volume]
    found = see(mask, every, "Host-A")
    if wanted is None:
        assert found is None
    else:
        shown = tuple(each for each in every if wanted[1] == ALL or each.instance_id.id == "host-a")
        assert found == Seen(wanted[0], shown)


def test_every_mask_has_its_row() -> None:
    assert sorted(mask for masks in MATRIX for mask in masks) == list(range(1, 32))


@pytest.mark.parametrize("volume", VOLUMES)
def test_nothing_is_told_that_was_not_asked_for(volume: str) -> None:
    assert see(0, VOLUMES[volume], "host-a") == Seen(0, ())


@pytest.mark.parametrize("mask", range(32))
def test_bits_that_take_an_instance(mask: int) -> None:
    assert needs_instance(mask) == bool(mask & 6)


@pytest.mark.parametrize("mask", [1, 8, 9, 16, 17, 24, 25])
def test_without_an_instance_held_is_held_by_others(mask: int) -> None:
    for volume, every in VOLUMES.items():
        found, named = see(mask, every), see(mask, every, "host-a")
        assert (found is None) == (named is None)
        if found is not None:
            assert found == Seen(3 if volume == "C" else 4, every)


LIST_MASKS = {0: 3, 15: 2, 1: 3, 9: 2, 17: 1, 25: 3, 27: 3}
"""Mask -> how many the reference's own suite counts of two volumes that the caller holds and a free one."""


@pytest.mark.parametrize(("mask", "count"), LIST_MASKS.items())
def test_the_counts_of_the_original_suite(mask: int, count: int) -> None:
    volumes = [(attachment("me"),), (attachment("me"),), ()]
    found = [seen for each in volumes if (seen := see(mask, each, "me")) is not None]
    assert len(found) == count
    if mask == 27:
        assert [each.state for each in found] == [2, 2, 3]


def test_a_foreign_instance_sees_all_volumes_with_no_attachments() -> None:
    volumes = [(attachment("me"),), (attachment("me"),), ()]
    assert [see(3, each, "other") for each in volumes] == [Seen(4, ()), Seen(4, ()), Seen(3, ())]
    assert [see(11, each, "other") for each in volumes] == [None, None, None]


NAS = (attachment("10.0.0.5", device="nas:/a"), attachment("10.0.0.6", device="nas:/a"))


@pytest.mark.parametrize(
    ("devices", "status"),
    [
        ({"nas:/a": "/mnt"}, "Exported and Mounted"),
        ({"nas:/b": "/mnt"}, "Exported and Unmounted"),
        ({}, "Exported and Unmounted"),
        (None, "Exported"),
    ],
)
def test_exports_say_whether_they_are_mounted(devices: dict[str, str] | None, status: str) -> None:
    own, other = with_devices(NAS, devices, instance="10.0.0.5", kind="nas")
    assert own == msgspec.structs.replace(NAS[0], status=status)
    assert other == msgspec.structs.replace(NAS[1], status="Exported")


@pytest.mark.parametrize(
    ("devices", "name"),
    [({"/dev/xvda": ""}, "/dev/xvda"), ({"/dev/xvdb": ""}, ""), ({}, ""), (None, "/dev/xvda")],
)
def test_block_devices_that_are_not_there_have_no_name(devices: dict[str, str] | None, name: str) -> None:
    every = (attachment("me"), attachment("other"))
    own, other = with_devices(every, devices, instance="me", kind="block")
    assert own.device_name == name
    assert other == every[1]


def test_objects_are_as_they_were_attached() -> None:
    every = (attachment("me", status="x"),)
    assert with_devices(every, {}, instance="me", kind="object") == every
