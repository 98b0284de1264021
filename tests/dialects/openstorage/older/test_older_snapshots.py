"""Snapshots over the older API."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from google.protobuf.message import Message
from grpc import StatusCode
from older_scene import BROKEN, DENIED, ID, OTHER, SNAPSHOT, UNKNOWN, Scene, scene, shows, volume

from gateway.frontends.openstorage.call import SdkError
from gateway.frontends.openstorage.pb import volume_pb2 as pb

SNAPSHOTS = "/v1/osd-snapshot"
GROUP = f"{SNAPSHOTS}/snapshotgroup"


@pytest.fixture
async def at() -> AsyncIterator[Scene]:
    async with scene() as made:
        made.sdk.say(
            Volume_Inspect=shows(volume(), volume(OTHER, "v2")),
            Volume_SnapshotCreate=pb.SdkVolumeSnapshotCreateResponse(snapshot_id=SNAPSHOT),
            Volume_Clone=pb.SdkVolumeCloneResponse(volume_id=OTHER),
            Volume_SnapshotRestore=pb.SdkVolumeSnapshotRestoreResponse(),
            Volume_Delete=pb.SdkVolumeDeleteResponse(),
        )
        yield made


# --- one ---


async def test_read_only_is_a_snapshot(at: Scene) -> None:
    body = {"id": ID, "locator": {"name": "s1", "volume_labels": {"a": "1"}}, "readonly": True}
    assert await at.golden("POST", SNAPSHOTS, body) == f'{{"volume_create_response":{{"id":"{SNAPSHOT}"}}}}\n'
    assert at.sdk.names == ["Volume/SnapshotCreate"]
    expected = pb.SdkVolumeSnapshotCreateRequest(volume_id=ID, name="s1", labels={"a": "1"})
    assert at.sdk.request("Volume/SnapshotCreate") == expected


@pytest.mark.parametrize("readonly", [{}, {"readonly": False}])
async def test_writable_is_a_clone(at: Scene, readonly: dict[str, bool]) -> None:
    body = {"id": ID, "locator": {"name": "c1", "volume_labels": {"a": "1"}}, **readonly}
    assert await at.golden("POST", SNAPSHOTS, body) == f'{{"volume_create_response":{{"id":"{OTHER}"}}}}\n'
    assert at.sdk.names == ["Volume/Clone"]
    expected = pb.SdkVolumeCloneRequest(parent_id=ID, name="c1", additional_labels={"a": "1"})
    assert at.sdk.request("Volume/Clone") == expected


@pytest.mark.parametrize("readonly", [True, False])
async def test_what_goes_wrong_is_within_200(at: Scene, readonly: bool) -> None:
    at.sdk.say(Volume_SnapshotCreate=BROKEN, Volume_Clone=BROKEN)
    told = await at.golden("POST", SNAPSHOTS, {"id": ID, "readonly": readonly})
    error = "rpc error: code = Internal desc = it broke"
    assert told == f'{{"volume_create_response":{{"volume_response":{{"error":"{error}"}}}}}}\n'


# --- list ---


async def test_snapshots_of_the_first_volume_that_is_named_are_listed_whole(at: Scene) -> None:
    ids = pb.SdkVolumeSnapshotEnumerateWithFiltersResponse(volume_snapshot_ids=[ID, "gone", OTHER])
    at.sdk.say(Volume_SnapshotEnumerateWithFilters=ids)
    query = [("VolumeID", "v9"), ("VolumeID", "v8"), ("Label", '{"a":"1"}')]
    found = json.loads(await at.golden("GET", SNAPSHOTS, params=query))
    assert [each["id"] for each in found] == [ID, OTHER]
    expected = pb.SdkVolumeSnapshotEnumerateWithFiltersRequest(volume_id="v9", labels={"a": "1"})
    assert at.sdk.request("Volume/SnapshotEnumerateWithFilters") == expected


async def test_without_a_volume_all_are_listed(at: Scene) -> None:
    at.sdk.say(Volume_SnapshotEnumerateWithFilters=pb.SdkVolumeSnapshotEnumerateWithFiltersResponse())
    assert await at.golden("GET", SNAPSHOTS) == "[]\n"
    empty = pb.SdkVolumeSnapshotEnumerateWithFiltersRequest()
    assert at.sdk.request("Volume/SnapshotEnumerateWithFilters") == empty


async def test_a_list_that_fails_is_400(at: Scene) -> None:
    at.sdk.say(Volume_SnapshotEnumerateWithFilters=UNKNOWN)
    told = await at.golden("GET", SNAPSHOTS, params={"VolumeID": "x"}, status=400)
    assert told == "Failed to enumerate snaps: rpc error: code = NotFound desc = Volume x not found\n"
    ids = pb.SdkVolumeSnapshotEnumerateWithFiltersResponse(volume_snapshot_ids=[ID])
    at.sdk.say(Volume_SnapshotEnumerateWithFilters=ids, Volume_Inspect=DENIED)
    told = await at.golden("GET", SNAPSHOTS, status=400)
    assert told == "rpc error: code = PermissionDenied desc = Access denied to use\n"
    told = await at.golden("GET", SNAPSHOTS, params={"Label": "x"}, status=400)
    assert told == "Failed to parse parse VolumeLabels: invalid character 'x' looking for beginning of value\n"


# --- restore ---


async def test_restore_needs_the_snapshots_id(at: Scene) -> None:
    assert await at.golden("POST", f"{SNAPSHOTS}/restore/{ID}", status=400) == "Missing SnapID param\n"
    assert at.sdk.asked == []
    assert await at.golden("POST", f"{SNAPSHOTS}/restore/{ID}", params={"SnapID": SNAPSHOT}) == "{}\n"
    expected = pb.SdkVolumeSnapshotRestoreRequest(volume_id=ID, snapshot_id=SNAPSHOT)
    assert at.sdk.request("Volume/SnapshotRestore") == expected


async def test_a_restore_that_fails_says_so_within_200(at: Scene) -> None:
    at.sdk.say(Volume_SnapshotRestore=SdkError(StatusCode.INVALID_ARGUMENT, "is no snapshot of it"))
    told = await at.golden("POST", f"{SNAPSHOTS}/restore/{ID}", params={"SnapID": ""})
    assert told == '{"error":"rpc error: code = InvalidArgument desc = is no snapshot of it"}\n'


# --- several ---


def numbered(*, fail: str = "") -> Any:
    """Give the reply to SnapshotCreate that numbers them and fails for one volume."""
    taken: list[str] = []

    def create(request: Any) -> Message:
        if request.volume_id == fail:
            raise BROKEN
        taken.append(request.name)
        return pb.SdkVolumeSnapshotCreateResponse(snapshot_id=f"snap-{len(taken)}")

    return create


async def test_a_group_by_its_volumes(at: Scene) -> None:
    at.sdk.say(Volume_SnapshotCreate=numbered())
    told = await at.golden("POST", GROUP, {"volume_ids": [ID, OTHER]})
    assert json.loads(told) == {
        "snapshots": {
            ID: {"volume_create_response": {"id": "snap-1"}},
            OTHER: {"volume_create_response": {"id": "snap-2"}},
        }
    }
    names = [asked.request.name for asked in at.sdk.asked if asked.name.endswith("SnapshotCreate")]
    assert re.fullmatch(r"v1\.group_\d{8}T\d{6}Z v2\.group_\d{8}T\d{6}Z", " ".join(names))


async def test_a_group_is_of_one_instant_where_that_can_be(at: Scene) -> None:
    at.sdk.together = {ID: "snap-1", OTHER: "snap-2"}
    body = {"volume_ids": [ID, OTHER], "delete_on_failure": True}
    told = await at.golden("POST", GROUP, body, headers={"Authorization": "bearer somebody"})
    assert json.loads(told) == {
        "snapshots": {
            ID: {"volume_create_response": {"id": "snap-1"}},
            OTHER: {"volume_create_response": {"id": "snap-2"}},
        }
    }
    (asked,) = at.sdk.grouped
    assert (asked.authorization, asked.peer) == ("bearer somebody", "127.0.0.1")
    assert re.fullmatch(r"v1\.group_\d{8}T\d{6}Z v2\.group_\d{8}T\d{6}Z", " ".join(asked.request.values()))
    assert "Volume/SnapshotCreate" not in at.sdk.names
    assert (at.traces[-1].operation, at.traces[-1].outcome) == ("OpenStorageVolume/SnapshotCreate", "success")


async def test_a_group_by_its_id_and_labels_has_no_snapshots_in_it(at: Scene) -> None:
    every = [volume(), volume(OTHER, "v2"), volume(SNAPSHOT, "s1", readonly=True)]
    found = [pb.SdkVolumeInspectResponse(volume=each) for each in every]
    at.sdk.say(
        Volume_InspectWithFilters=pb.SdkVolumeInspectWithFiltersResponse(volumes=found),
        Volume_SnapshotCreate=numbered(),
    )
    told = json.loads(await at.golden("POST", GROUP, {"id": "g1", "Labels": {"a": "1"}}))
    assert list(told["snapshots"]) == [ID, OTHER]
    asked = at.sdk.request("Volume/InspectWithFilters")
    assert (asked.group.id, dict(asked.labels)) == ("g1", {"a": "1"})
    assert at.sdk.asked[-1].request.name.startswith("v2.g1_")


async def test_the_first_failure_of_a_group_is_told_and_the_others_are_taken(at: Scene) -> None:
    at.sdk.say(Volume_SnapshotCreate=numbered(fail=ID))
    told = json.loads(await at.golden("POST", GROUP, {"volume_ids": [ID, OTHER]}))
    error = "rpc error: code = Internal desc = it broke"
    assert told == {
        "snapshots": {
            ID: {"volume_create_response": {"volume_response": {"error": error}}},
            OTHER: {"volume_create_response": {"id": "snap-1"}},
        },
        "error": error,
    }


async def test_a_group_that_shall_be_whole_or_nothing_leaves_nothing_behind(at: Scene) -> None:
    at.sdk.say(Volume_SnapshotCreate=numbered(fail=OTHER))
    body = {"volume_ids": [ID, OTHER], "delete_on_failure": True}
    told = json.loads(await at.golden("POST", GROUP, body))
    error = "rpc error: code = Internal desc = it broke"
    assert told == {
        "snapshots": {OTHER: {"volume_create_response": {"volume_response": {"error": error}}}},
        "error": error,
    }
    assert at.sdk.request("Volume/Delete").volume_id == "snap-1"
    assert at.traces[-1].outcome == "INTERNAL"


async def test_what_of_a_group_resists_being_taken_away_is_told(at: Scene) -> None:
    at.sdk.say(Volume_SnapshotCreate=numbered(fail=OTHER), Volume_Delete=DENIED)
    body = {"volume_ids": [ID, OTHER], "delete_on_failure": True}
    told = json.loads(await at.golden("POST", GROUP, body))
    denied = "rpc error: code = PermissionDenied desc = Access denied to use"
    assert told["snapshots"][ID]["volume_create_response"] == {"id": "snap-1", "volume_response": {"error": denied}}


@pytest.mark.parametrize("body", [{}, {"delete_on_failure": True}, {"id": "g1"}])
async def test_a_group_of_nothing_is_400(at: Scene, body: Any) -> None:
    at.sdk.say(Volume_InspectWithFilters=pb.SdkVolumeInspectWithFiltersResponse())
    told = await at.golden("POST", GROUP, body, status=400)
    assert told == "Must supply volume ids, a group or labels that volumes have\n"


async def test_a_group_with_a_volume_that_is_not_known_is_400_and_nothing_is_taken(at: Scene) -> None:
    told = await at.golden("POST", GROUP, {"volume_ids": [ID, "nothing"]}, status=400)
    assert told == "rpc error: code = NotFound desc = Volume x not found\n"
    assert "Volume/SnapshotCreate" not in at.sdk.names
