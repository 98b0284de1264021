"""PUT of a volume: its order, what it resets, and where it says what went wrong."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
from grpc import StatusCode
from older_scene import BROKEN, DENIED, GIB, ID, SHOWN, UNKNOWN, Scene, cluster_replies, scene, shows, volume

from gateway.frontends.openstorage.call import SdkError
from gateway.frontends.openstorage.older import respec
from gateway.frontends.openstorage.pb import mount_attach_pb2 as mounting
from gateway.frontends.openstorage.pb import volume_pb2 as pb
from gateway.frontends.openstorage.pb import volume_spec_pb2 as spec_pb

PATH = f"/v1/osd-volumes/{ID}"
NONE, OFF, ON = 0, 1, 2
OK: Mapping[str, Any] = {
    "Volume_Update": pb.SdkVolumeUpdateResponse(),
    "MountAttach_Attach": mounting.SdkVolumeAttachResponse(device_path="/dev/x"),
    "MountAttach_Detach": mounting.SdkVolumeDetachResponse(),
    "MountAttach_Mount": mounting.SdkVolumeMountResponse(),
    "MountAttach_Unmount": mounting.SdkVolumeUnmountResponse(),
}


@pytest.fixture
async def at() -> AsyncIterator[Scene]:
    async with scene() as made:
        made.sdk.say(Volume_Inspect=shows(volume()), **OK)
        yield made


# --- order ---


async def test_all_at_once_goes_from_update_to_attach_to_mount_to_a_deep_look(at: Scene) -> None:
    body = {
        "locator": {"volume_labels": {"c": "3"}},
        "spec": {"size": 2 * GIB},
        "action": {"attach": ON, "mount": ON, "mount_path": "/mnt/v1"},
    }
    assert await at.golden("PUT", PATH, body) == f'{{"volume":{SHOWN}}}\n'
    assert at.sdk.names == [
        "Volume/Inspect",
        "Volume/Update",
        "MountAttach/Attach",
        "MountAttach/Mount",
        "Volume/Inspect",
    ]
    assert [asked.request.options.deep for asked in at.sdk.asked if asked.name.endswith("Inspect")] == [False, True]
    assert dict(at.sdk.request("Volume/Update").labels) == {"c": "3"}
    assert at.sdk.request("Volume/Update").spec.size == 2 * GIB
    trace = at.traces[-1]
    assert trace.operation == ("OpenStorageVolume/Update+OpenStorageMountAttach/Attach+OpenStorageMountAttach/Mount")
    assert (trace.target, trace.outcome, trace.route) == (ID, "success", "/v1/osd-volumes/{id}")


async def test_off_detaches_and_unmounts_in_this_order(at: Scene) -> None:
    await at.golden("PUT", PATH, {"action": {"attach": OFF, "mount": OFF, "mount_path": "/mnt"}})
    assert at.sdk.names == ["MountAttach/Detach", "MountAttach/Unmount", "Volume/Inspect"]


async def test_without_locator_spec_and_action_it_only_looks(at: Scene) -> None:
    assert await at.golden("PUT", PATH, {"action": {"attach": NONE}}) == f'{{"volume":{SHOWN}}}\n'
    assert await at.golden("PUT", PATH, {}) == f'{{"volume":{SHOWN}}}\n'
    assert at.sdk.names == ["Volume/Inspect"] * 2


async def test_an_empty_locator_is_an_update_that_changes_nothing(at: Scene) -> None:
    await at.golden("PUT", PATH, {"locator": {}})
    assert at.sdk.request("Volume/Update") == pb.SdkVolumeUpdateRequest(volume_id=ID)


# --- failures ---


async def test_a_missing_volume_is_400_without_an_action(at: Scene) -> None:
    at.sdk.say(Volume_Inspect=UNKNOWN)
    told = await at.golden("PUT", PATH, {"spec": {"size": 1}}, status=400)
    assert told == "rpc error: code = NotFound desc = Volume x not found\n"
    assert at.sdk.names == ["Volume/Inspect"]


async def test_a_missing_volume_with_an_action_is_detached_and_unmounted_without_an_update(at: Scene) -> None:
    at.sdk.say(Volume_Inspect=UNKNOWN)
    body = {"locator": {"volume_labels": {"a": "b"}}, "action": {"attach": OFF, "mount": OFF, "mount_path": "/mnt"}}
    assert await at.golden("PUT", PATH, body) == '{"volume":{}}\n'
    assert at.sdk.names == ["Volume/Inspect", "MountAttach/Detach", "MountAttach/Unmount", "Volume/Inspect"]


async def test_a_volume_that_is_gone_after_it_was_attached_is_an_error(at: Scene) -> None:
    at.sdk.say(Volume_Inspect=UNKNOWN)
    told = await at.golden("PUT", PATH, {"action": {"attach": ON}})
    assert told == (
        '{"volume":{},"volume_response":{"error":"rpc error: code = NotFound desc = Volume x not found"}}\n'
    )


@pytest.mark.parametrize("action", [{}, {"action": {"attach": ON}}])
async def test_a_volume_that_may_not_be_seen_is_400_with_or_without_an_action(at: Scene, action: Any) -> None:
    at.sdk.say(Volume_Inspect=DENIED)
    told = await at.golden("PUT", PATH, {"spec": {}, **action}, status=400)
    assert told == "rpc error: code = PermissionDenied desc = Access denied to use\n"


async def test_an_update_that_fails_is_400_and_ends_it(at: Scene) -> None:
    at.sdk.say(Volume_Update=BROKEN)
    told = await at.golden("PUT", PATH, {"spec": {"size": 1}, "action": {"attach": ON}}, status=400)
    assert told == "rpc error: code = Internal desc = it broke\n"
    assert at.sdk.names == ["Volume/Inspect", "Volume/Update"]
    assert at.traces[-1].outcome == "INTERNAL"


@pytest.mark.parametrize(
    ("call", "action", "made"),
    [
        ("Attach", {"attach": ON, "mount": ON, "mount_path": "/m"}, ["Attach"]),
        ("Detach", {"attach": OFF, "mount": OFF, "mount_path": "/m"}, ["Detach"]),
        ("Mount", {"attach": ON, "mount": ON, "mount_path": "/m"}, ["Attach", "Mount"]),
        ("Unmount", {"attach": OFF, "mount": OFF, "mount_path": "/m"}, ["Detach", "Unmount"]),
    ],
)
async def test_the_first_action_that_fails_ends_them_and_is_told_within_200(
    at: Scene, call: str, action: Any, made: list[str]
) -> None:
    at.sdk.say(**{f"MountAttach_{call}": SdkError(StatusCode.ALREADY_EXISTS, "somebody else has it")})
    told = await at.golden("PUT", PATH, {"action": action})
    error = "rpc error: code = AlreadyExists desc = somebody else has it"
    assert told == f'{{"volume":{SHOWN},"volume_response":{{"error":"{error}"}}}}\n'
    assert at.sdk.names == [*(f"MountAttach/{each}" for each in made), "Volume/Inspect"]
    assert at.traces[-1].outcome == "ALREADY_EXISTS"


async def test_mounting_nowhere_is_an_error_after_it_was_attached(at: Scene) -> None:
    told = await at.golden("PUT", PATH, {"action": {"attach": ON, "mount": ON}})
    assert told == f'{{"volume":{SHOWN},"volume_response":{{"error":"Invalid mount path"}}}}\n'
    assert at.sdk.names == ["MountAttach/Attach", "Volume/Inspect"]


async def test_what_cannot_be_decoded_is_400(at: Scene) -> None:
    told = await at.golden("PUT", PATH, {"action": {"attach": "on"}}, status=400)
    assert told == (
        "json: cannot unmarshal string into Go struct field VolumeStateAction.action.attach "
        "of type api.VolumeActionParam\n"
    )
    assert at.sdk.asked == []


# --- options ---


async def test_options_of_attaching(at: Scene) -> None:
    options = {"SECRET_NAME": "n", "SECRET_KEY": "k", "SECRET_CONTEXT": "c", "FASTPATH_STATE": "f", "other": "o"}
    await at.golden("PUT", PATH, {"action": {"attach": ON}, "options": options})
    asked = at.sdk.request("MountAttach/Attach")
    assert asked.options == mounting.SdkVolumeAttachOptions(
        secret_name="n", secret_key="k", secret_context="c", fastpath="f"
    )
    assert (asked.volume_id, dict(asked.driver_options)) == (ID, options)


@pytest.mark.parametrize("value", ["true", "false", "TRUE", "1"])
async def test_options_of_detaching_are_set_by_the_word_true_alone(at: Scene, value: str) -> None:
    options = {"FORCE_DETACH": value, "UNMOUNT_BEFORE_DETACH": value, "REDIRECT_DETACH": value}
    await at.golden("PUT", PATH, {"action": {"attach": OFF}, "options": options})
    asked = at.sdk.request("MountAttach/Detach")
    expected = value == "true"
    assert asked.HasField("options")
    assert (asked.options.force, asked.options.unmount_before_detach, asked.options.redirect) == (expected,) * 3
    assert dict(asked.driver_options) == options


async def test_options_of_mounting_go_to_the_driver_without_those_of_the_api(at: Scene) -> None:
    action = {"mount": ON, "mount_path": "/mnt/v1"}
    await at.golden("PUT", PATH, {"action": action, "options": {"ro": "", "SECRET_NAME": "n"}})
    asked = at.sdk.request("MountAttach/Mount")
    assert (asked.mount_path, dict(asked.driver_options)) == ("/mnt/v1", {"ro": ""})


@pytest.mark.parametrize(
    ("options", "delete", "hurry"),
    [
        ({}, False, True),
        ({"DELETE_AFTER_UNMOUNT": "true"}, True, True),
        ({"DELETE_AFTER_UNMOUNT": "true", "WAIT_BEFORE_DELETE": "true"}, True, False),
        ({"WAIT_BEFORE_DELETE": "false"}, False, True),
    ],
)
async def test_options_of_unmounting(at: Scene, options: dict[str, str], delete: bool, hurry: bool) -> None:
    await at.golden("PUT", PATH, {"action": {"mount": OFF, "mount_path": "/m"}, "options": options})
    asked = at.sdk.request("MountAttach/Unmount")
    assert (asked.options.delete_mount_path, asked.options.no_delay_before_deleting_mount_path) == (delete, hurry)
    assert (asked.mount_path, dict(asked.driver_options)) == ("/m", options)


async def test_addresses_of_nodes_become_their_ids(at: Scene) -> None:
    at.sdk.say(**cluster_replies())
    await at.golden("PUT", PATH, {"spec": {"replica_set": {"nodes": ["192.0.2.2", "", "node-7"]}}})
    assert list(at.sdk.request("Volume/Update").spec.replica_set.nodes) == ["node-1", "node-7"]
    told = await at.golden("PUT", PATH, {"spec": {"replica_set": {"nodes": ["192.0.2.99"]}}}, status=400)
    assert told == "Failed to locate IP in this cluster.\n"


# --- what a spec changes ---


def full() -> spec_pb.VolumeSpec:
    """Give a spec in which everything that can be reset is set."""
    spec = spec_pb.VolumeSpec(size=GIB, ha_level=2, cos=3, snapshot_interval=60, near_sync_replication_strategy=2)
    for name in respec.RESET:
        field = spec.DESCRIPTOR.fields_by_name[name]
        setattr(spec, name, "text" if field.cpp_type == field.CPPTYPE_STRING else 1)
    return spec


async def test_what_is_absent_resets_what_is_set(at: Scene) -> None:
    present = volume()
    present.spec.CopyFrom(full())
    at.sdk.say(Volume_Inspect=shows(present))
    await at.golden("PUT", PATH, {"spec": {"ha_level": 2}})
    update = at.sdk.request("Volume/Update").spec
    changed = {field.name: value for field, value in update.ListFields()}
    assert set(changed) == {*respec.RESET.values(), "snapshot_interval"}
    assert not any(changed.values())


async def test_a_spec_as_it_was_read_changes_nothing(at: Scene) -> None:
    present = volume()
    present.spec.CopyFrom(full())
    at.sdk.say(Volume_Inspect=shows(present))
    (read,) = json.loads(await at.golden("GET", PATH))
    await at.golden("PUT", PATH, {"spec": read["spec"]})
    update = at.sdk.request("Volume/Update")
    assert update.HasField("spec")
    assert update.spec == spec_pb.VolumeSpecUpdate()


@pytest.mark.parametrize("name", respec.KEPT_AT_ZERO)
def test_size_copies_class_and_strategy_are_left_alone_at_zero(name: str) -> None:
    assert respec.update_of(spec_pb.VolumeSpec(), spec_pb.VolumeSpec(**{name: 1})) == spec_pb.VolumeSpecUpdate()
    update = respec.update_of(spec_pb.VolumeSpec(**{name: 2}), spec_pb.VolumeSpec(**{name: 1}))
    assert update == spec_pb.VolumeSpecUpdate(**{name: 2})


def test_the_interval_that_says_nothing_changes_nothing() -> None:
    silent = spec_pb.VolumeSpec(snapshot_interval=respec.UNCHANGED_INTERVAL)
    assert respec.update_of(silent, spec_pb.VolumeSpec(snapshot_interval=5)) == spec_pb.VolumeSpecUpdate()
    update = respec.update_of(spec_pb.VolumeSpec(), spec_pb.VolumeSpec(snapshot_interval=5))
    assert update.HasField("snapshot_interval")


@pytest.mark.parametrize(("name", "target"), respec.WHOLE.items())
def test_a_message_that_is_sent_replaces_what_there_is_and_one_that_is_not_stays(name: str, target: str) -> None:
    sent, present = spec_pb.VolumeSpec(), spec_pb.VolumeSpec()
    getattr(present, name).SetInParent()
    assert respec.update_of(sent, present) == spec_pb.VolumeSpecUpdate()
    getattr(sent, name).SetInParent()
    assert respec.update_of(sent, spec_pb.VolumeSpec()).HasField(target)


def test_every_field_of_an_update_can_be_reached_but_ownership() -> None:
    reached = {*respec.RESET.values(), *respec.KEPT_AT_ZERO, *respec.WHOLE.values(), "snapshot_interval", "ownership"}
    assert reached == set(spec_pb.VolumeSpecUpdate.DESCRIPTOR.fields_by_name)
