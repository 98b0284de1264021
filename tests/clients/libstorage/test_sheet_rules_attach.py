"""Rules of the original tests about attachments: who holds a volume, who sees it, and who may take it."""

from __future__ import annotations

import pytest
from libstorage_client import (
    ALL_WITH_STATES,
    ANY,
    ATTACHED,
    AVAILABLE,
    MINE,
    MINE_OR_AVAILABLE,
    ONLY_ATTACHED,
    ONLY_MINE,
    ONLY_MINE_WITH_DEVICES,
    ONLY_UNATTACHED,
    UNAVAILABLE,
    Client,
    RefusedError,
    Volume,
    not_found,
    refused,
)
from libstorage_scene import Bed

HELD = "volume already attached to a host"
NO_INSTANCE = "missing instance ID"

# The state in which a volume is shown by mask: held by the caller and, where it can be, by another node; held by
# another node; held by nobody. None: it is not shown.
SHOWN: dict[tuple[int | str, ...], tuple[int | None, int | None, int | None]] = {
    (0, "no-number"): (0, 0, 0),
    (1, "false", 5, 33): (ATTACHED, UNAVAILABLE, AVAILABLE),
    (2, 3, 7): (ATTACHED, UNAVAILABLE, AVAILABLE),
    (8, 9): (ATTACHED, UNAVAILABLE, None),
    (10, 11, 15, "true", ""): (ATTACHED, None, None),
    (16, 17): (None, None, AVAILABLE),
    (18, 19): (None, None, AVAILABLE),
    (24, 25): (ATTACHED, UNAVAILABLE, AVAILABLE),
    (27, 31, -1): (ATTACHED, None, AVAILABLE),
}


class Three:
    """Three volumes: one held by the caller's node, one by another, one by nobody."""

    def __init__(self, bed: Bed) -> None:
        self.bed = bed
        self.mine, self.theirs, self.free = (bed.client.create(bed.service, name, size=1).id for name in "abc")
        bed.client.attach(bed.service, self.mine)
        bed.other.attach(bed.service, self.theirs)
        if bed.shares:
            bed.other.attach(bed.service, self.mine)

    @property
    def ids(self) -> tuple[str, str, str]:
        return self.mine, self.theirs, self.free

    def states(self, client: Client, mask: int | str) -> tuple[int | None, ...]:
        """Give the state in which the list shows each; an inspection must agree."""
        listed = client.volumes(self.bed.service, mask)
        assert client.everywhere(mask)[self.bed.service] == listed
        for volume_id in self.ids:
            if volume_id in listed:
                looked = client.volume(self.bed.service, volume_id, mask)
                assert (looked.attachment_state, looked.holders) == _seen(listed[volume_id])
            else:
                with not_found(volume_id):
                    client.volume(self.bed.service, volume_id, mask)
        return tuple(listed[each].attachment_state if each in listed else None for each in self.ids)


def _seen(volume: Volume) -> tuple[int, list[str]]:
    return volume.attachment_state, volume.holders


def test_attach_gives_the_volume_with_one_attachment_and_what_to_wait_for(bed: Bed) -> None:
    made = bed.client.create(bed.service, "data")
    done = bed.client.attach(bed.service, made.id, nextDeviceName="/dev/xvda")
    (attachment,) = done.volume.attachments
    assert (attachment.instance_id.id, attachment.instance_id.driver) == (bed.nodes[0], bed.driver)
    assert (attachment.volume_id, done.volume.attachment_state) == (made.id, ATTACHED)
    if bed.driver == "isilon":
        assert (attachment.device_name, done.attach_token) == ("127.0.0.1:/data", "")
    else:
        assert (attachment.device_name, done.attach_token) == ("/dev/xvda", "/dev/xvda")


def test_an_attached_volume_is_seen_by_the_masks_that_ask_for_it(bed: Bed) -> None:
    made = bed.client.create(bed.service, "data")
    bed.client.attach(bed.service, made.id)
    assert bed.client.volume(bed.service, made.id, ANY).holders == [bed.nodes[0]]
    with not_found(made.id):
        bed.client.volume(bed.service, made.id, ONLY_UNATTACHED)
    assert bed.client.volume(bed.service, made.id, MINE_OR_AVAILABLE).holders == [bed.nodes[0]]


def test_detach_gives_the_volume_without_attachments(bed: Bed) -> None:
    made = bed.client.create(bed.service, "data")
    bed.client.attach(bed.service, made.id)
    given = bed.client.detach(bed.service, made.id)
    assert (given.id, given.attachments) == (made.id, [])
    assert bed.client.volume(bed.service, made.id, ANY).attachments == []
    assert bed.client.volume(bed.service, made.id, 0).id == made.id


def test_a_detach_by_who_does_not_hold_changes_nothing(bed: Bed) -> None:
    made = bed.client.create(bed.service, "data")
    bed.client.attach(bed.service, made.id)
    assert bed.other.detach(bed.service, made.id).id == made.id
    shown = bed.other.volume(bed.service, made.id, ANY)
    assert (shown.attachment_state, shown.holders) == (UNAVAILABLE, [bed.nodes[0]])
    bed.client.detach(bed.service, made.id)
    bed.client.detach(bed.service, made.id)
    assert bed.client.volume(bed.service, made.id, ANY).attachment_state == AVAILABLE


def test_attaching_again_is_the_same_attachment(bed: Bed) -> None:
    made = bed.client.create(bed.service, "data")
    first = bed.client.attach(bed.service, made.id, nextDeviceName="/dev/xvdb")
    again = bed.client.attach(bed.service, made.id, nextDeviceName="/dev/xvdb")
    assert again == first
    assert bed.client.volume(bed.service, made.id, ANY).holders == [bed.nodes[0]]


def test_what_another_node_holds_is_attached_by_force_only(bed: Bed) -> None:
    made = bed.client.create(bed.service, "data")
    bed.client.attach(bed.service, made.id)
    if bed.shares:
        bed.other.attach(bed.service, made.id)
        assert bed.client.volume(bed.service, made.id, ANY).holders == sorted(bed.nodes)
    else:
        for body in ({}, {"force": False}):
            with pytest.raises(RefusedError, match=HELD) as caught:
                bed.other.attach(bed.service, made.id, **body)
            assert caught.value.status == 500
    bed.other.attach(bed.service, made.id, force=True)
    shown = bed.client.volume(bed.service, made.id, ANY)
    assert (shown.attachment_state, shown.holders) == (UNAVAILABLE, [bed.nodes[1]])


def test_devices_that_nobody_proposed_have_different_names_on_a_node(bed: Bed) -> None:
    ids = [bed.client.create(bed.service, name).id for name in ("one", "two", "three")]
    done = [bed.client.attach(bed.service, each) for each in ids]
    names = [each.volume.attachments[0].device_name for each in done]
    if bed.driver == "vfs":
        assert names == ["/dev/xvda", "/dev/xvdb", "/dev/xvdc"] == [each.attach_token for each in done]
        assert bed.other.attach(bed.service, bed.client.create(bed.service, "four").id).attach_token == "/dev/xvda"
    else:
        assert names == ["127.0.0.1:/one", "127.0.0.1:/two", "127.0.0.1:/three"]


def test_a_device_is_told_as_clients_look_for_it(bed: Bed) -> None:
    made = bed.client.create(bed.service, "data")
    done = bed.client.attach(bed.service, made.id, nextDeviceName="/dev/XVDD")
    assert done.attach_token == ("" if bed.driver == "isilon" else "/dev/xvdd")
    assert done.volume.attachments[0].fields["accessURL"]


def test_every_mask_shows_what_it_should_to_a_node(bed: Bed) -> None:
    three = Three(bed)
    for masks, expected in SHOWN.items():
        for mask in masks:
            assert three.states(bed.client, mask) == expected, mask


def test_every_mask_shows_what_it_should_to_nobody_in_particular(bed: Bed) -> None:
    three = Three(bed)
    for masks, expected in SHOWN.items():
        for mask in masks:
            number = {"true": 15, "": 15, "false": 1, "no-number": 0}.get(str(mask), mask)
            assert isinstance(number, int)
            if number & 6:
                with refused(400, NO_INSTANCE, {"service": bed.service}):
                    bed.nobody.volumes(bed.service, mask)
                with refused(400, NO_INSTANCE, {"service": bed.service}):
                    bed.nobody.volume(bed.service, three.free, mask)
            else:
                seen = tuple(UNAVAILABLE if each == ATTACHED else each for each in expected)
                assert three.states(bed.nobody, mask) == seen, mask


def test_masks_tell_the_attachments_of_others_unless_only_ones_own_are_asked_for(bed: Bed) -> None:
    three = Three(bed)
    all_of_mine = sorted(bed.nodes) if bed.shares else [bed.nodes[0]]
    for mask in (1, 5, 9, 25):
        listed = bed.client.volumes(bed.service, mask)
        assert [listed[each].holders for each in three.ids[:2]] == [all_of_mine, [bed.nodes[1]]]
    for mask in (2, 3, 7):
        listed = bed.client.volumes(bed.service, mask)
        assert [listed[each].holders for each in three.ids] == [[bed.nodes[0]], [], []]
    for mask in (11, 15, 27, 31):
        assert bed.client.volumes(bed.service, mask)[three.mine].holders == [bed.nodes[0]]


def test_a_foreign_node_sees_all_volumes_and_no_attachment_or_none_at_all(bed: Bed) -> None:
    three = Three(bed)
    foreign = bed.at("192.0.2.77")
    assert {each: [] for each in three.ids} == {
        each.id: each.attachments for each in foreign.volumes(bed.service, MINE).values()
    }
    assert foreign.volumes(bed.service, ONLY_MINE) == {}
    assert foreign.everywhere(ONLY_MINE)[bed.service] == {}


def test_the_lists_of_the_original_tests(bed: Bed) -> None:
    ids = [bed.client.create(bed.service, name, size=1).id for name in "abc"]
    for held in ids[:2]:
        bed.client.attach(bed.service, held)
    counts = {0: 3, 15: 2, 1: 3, 9: 2, 17: 1, 25: 3, 27: 3}
    assert {mask: len(bed.client.volumes(bed.service, mask)) for mask in counts} == counts
    assert not any(each.attachments for each in bed.client.volumes(bed.service, 0).values())
    listed = bed.client.volumes(bed.service, 27)
    assert [listed[each].attachment_state for each in ids] == [ATTACHED, ATTACHED, AVAILABLE]


def test_a_list_over_services_fails_as_a_batch_when_one_needs_to_know_the_node(bed: Bed) -> None:
    with pytest.raises(RefusedError) as caught:
        bed.nobody.everywhere(ONLY_MINE_WITH_DEVICES)
    assert (caught.value.status, caught.value.message) == (500, "batch processing error")
    assert caught.value.told["inner"]["msg"] == NO_INSTANCE
    assert set(caught.value.told) == {"completed", "inner"}


def test_calls_that_need_a_node_say_so(bed: Bed) -> None:
    made = bed.client.create(bed.service, "data")
    wrong = bed.nobody.as_instance("ebs=i-123", f"{bed.driver}:elsewhere=x")
    for client in (bed.nobody, wrong):
        with refused(400, NO_INSTANCE, {"service": bed.service}):
            client.attach(bed.service, made.id)
        with refused(400, NO_INSTANCE, {"service": bed.service}):
            client.detach(bed.service, made.id)
        with refused(400, NO_INSTANCE, {"service": bed.service}):
            client.detach_service(bed.service)
        with refused(400, NO_INSTANCE, {"service": bed.service}):
            client.service(bed.service, "?instance")


def test_detaching_all_of_a_service_gives_all_its_volumes_without_attachments(bed: Bed) -> None:
    ids = [bed.client.create(bed.service, name, size=1).id for name in "abc"]
    for held in ids[:2]:
        bed.client.attach(bed.service, held)
    given = bed.client.detach_service(bed.service)
    assert {each.id: each.attachments for each in given.values()} == {each: [] for each in ids}
    assert bed.client.volumes(bed.service, ONLY_MINE_WITH_DEVICES) == {}
    assert len(bed.client.volumes(bed.service, 0)) == 3


def test_detaching_all_leaves_what_other_nodes_hold(bed: Bed) -> None:
    three = Three(bed)
    assert set(bed.client.detach_service(bed.service)) == set(three.ids)
    held = {each.id: each.holders for each in bed.other.volumes(bed.service, ONLY_ATTACHED).values()}
    expected = {three.theirs: [bed.nodes[1]]}
    assert held == ({**expected, three.mine: [bed.nodes[1]]} if bed.shares else expected)


def test_detaching_all_of_all_services_gives_those_that_have_volumes(bed: Bed) -> None:
    client = bed.client
    services = sorted(client.services())
    made = {service: client.create(service, f"in-{service}").id for service in services}
    for service, volume_id in made.items():
        client.attach(service, volume_id)
    second = client.create(bed.service, "second").id
    given = client.detach_everywhere()
    assert {service: set(found) for service, found in given.items()} == {
        service: {volume_id, second} if service == bed.service else {volume_id} for service, volume_id in made.items()
    }
    assert not any(each.attachments for found in given.values() for each in found.values())
    assert client.everywhere(ONLY_MINE_WITH_DEVICES) == {service: {} for service in services}
    for service in services[1:]:
        client.remove(service, made[service])
    assert set(client.detach_everywhere()) == {services[0]} | {bed.service}


def test_states_are_told_with_all_nodes_in_view(bed: Bed) -> None:
    """The reference leaves others out before it says `available`, and its client would then take the volume."""
    made = bed.client.create(bed.service, "data")
    bed.other.attach(bed.service, made.id)
    assert bed.client.volume(bed.service, made.id, MINE).attachment_state == UNAVAILABLE
    for mask in (MINE_OR_AVAILABLE, ONLY_MINE):
        with not_found(made.id):
            bed.client.volume(bed.service, made.id, mask)
    assert bed.client.volume(bed.service, made.id, ALL_WITH_STATES).holders == [bed.nodes[1]]


def test_ids_of_nodes_are_compared_without_regard_to_capitals(bed: Bed) -> None:
    node = "fe80::a" if bed.driver == "isilon" else "host-a"
    quiet, shouting = bed.at(node), bed.at(node.upper())
    made = quiet.create(bed.service, "data")
    quiet.attach(bed.service, made.id)
    assert shouting.volume(bed.service, made.id, ONLY_MINE).attachment_state == ATTACHED
