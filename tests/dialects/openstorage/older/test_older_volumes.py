"""Volumes over the older API: the exchanges of the table, and their quirks."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from urllib.parse import quote
from uuid import UUID

import pytest
from grpc import StatusCode
from older_scene import BROKEN, DENIED, GIB, ID, OTHER, SHOWN, SNAPSHOT, UNKNOWN, Scene, scene, shows, volume

from gateway.frontends.openstorage.call import SdkError
from gateway.frontends.openstorage.pb import volume_pb2 as pb

VOLUMES = "/v1/osd-volumes"
CREATED = pb.SdkVolumeCreateResponse(volume_id=ID)
UPDATED = pb.SdkVolumeUpdateResponse()


@pytest.fixture
async def at() -> AsyncIterator[Scene]:
    async with scene() as made:
        yield made


# --- versions ---


async def test_versions_are_told_below_the_root_and_an_old_clients_mistake_is_answered_with_nothing(at: Scene) -> None:
    assert await at.golden("GET", "/osd-volumes/versions") == '["v1"]\n'
    at.sdk.say(Volume_Inspect=DENIED)
    assert await at.golden("GET", f"{VOLUMES}/versions") == "[]\n"
    assert at.sdk.names == []


# --- create ---


async def test_create_answers_with_the_id_and_an_empty_response(at: Scene) -> None:
    at.sdk.say(Volume_Create=CREATED)
    body = {"locator": {"name": "v1", "volume_labels": {"a": "1"}}, "spec": {"size": GIB, "format": 2, "ha_level": 1}}
    assert await at.golden("POST", VOLUMES, body) == f'{{"id":"{ID}","volume_response":{{}}}}\n'
    asked = at.sdk.request("Volume/Create")
    assert (asked.name, dict(asked.labels)) == ("v1", {"a": "1"})
    assert (asked.spec.size, asked.spec.format, asked.spec.ha_level) == (GIB, 2, 1)


async def test_labels_of_the_locator_are_copied_into_those_of_the_spec(at: Scene) -> None:
    at.sdk.say(Volume_Create=CREATED)
    body = {"locator": {"name": "v", "volume_labels": {"a": "1"}}, "spec": {"volume_labels": {"a": "0", "b": "2"}}}
    await at.golden("POST", VOLUMES, body)
    assert dict(at.sdk.request("Volume/Create").spec.volume_labels) == {"a": "1", "b": "2"}


async def test_the_source_of_a_new_volume_is_ignored(at: Scene) -> None:
    at.sdk.say(Volume_Create=CREATED)
    await at.golden("POST", VOLUMES, {"locator": {"name": "v"}, "source": {"parent": OTHER}, "spec": {"size": 1}})
    assert at.sdk.names == ["Volume/Create"]
    assert OTHER not in str(at.sdk.request("Volume/Create"))


async def test_what_goes_wrong_with_a_new_volume_is_within_200(at: Scene) -> None:
    at.sdk.say(Volume_Create=SdkError(StatusCode.ALREADY_EXISTS, "Volume v1 already exists"))
    told = await at.golden("POST", VOLUMES, {"locator": {"name": "v1"}, "spec": {}})
    assert told == '{"volume_response":{"error":"rpc error: code = AlreadyExists desc = Volume v1 already exists"}}\n'


async def test_without_name_and_spec_the_sdk_has_the_word(at: Scene) -> None:
    at.sdk.say(Volume_Create=SdkError(StatusCode.INVALID_ARGUMENT, "Must supply volume name"))
    told = await at.golden("POST", VOLUMES, {})
    assert told == '{"volume_response":{"error":"rpc error: code = InvalidArgument desc = Must supply volume name"}}\n'
    asked = at.sdk.request("Volume/Create")
    assert not asked.HasField("spec")
    assert asked.name == ""


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "EOF"),
        (b"{", "unexpected EOF"),
        (b"nonsense", "invalid character 'n' looking for beginning of value"),
        (b"[]", "json: cannot unmarshal array into Go value of type api.VolumeCreateRequest"),
        (
            b'{"spec":{"size":"1"}}',
            "json: cannot unmarshal string into Go struct field VolumeSpec.spec.size of type uint64",
        ),
        (
            b'{"spec":{"size":-1}}',
            "json: cannot unmarshal number -1 into Go struct field VolumeSpec.spec.size of type uint64",
        ),
        (
            b'{"spec":{"format":"FS_TYPE_EXT4"}}',
            "json: cannot unmarshal string into Go struct field VolumeSpec.spec.format of type api.FSType",
        ),
    ],
)
async def test_what_cannot_be_decoded_is_400_in_the_decoders_words(at: Scene, body: bytes, text: str) -> None:
    for verb, path in (("POST", VOLUMES),):
        assert await at.golden(verb, path, body, status=400) == f"{text}\n"
    assert at.sdk.asked == []


# --- inspect and delete ---


async def test_inspect_gives_a_list_with_the_volume_asked_deeply(at: Scene) -> None:
    at.sdk.say(Volume_Inspect=shows(volume()))
    assert await at.golden("GET", f"{VOLUMES}/{ID}") == f"[{SHOWN}]\n"
    assert at.sdk.request("Volume/Inspect").options.deep


async def test_an_unknown_volume_is_an_empty_list(at: Scene) -> None:
    at.sdk.say(Volume_Inspect=UNKNOWN)
    assert await at.golden("GET", f"{VOLUMES}/nothing") == "[]\n"


async def test_whatever_else_keeps_a_volume_from_being_seen_is_404(at: Scene) -> None:
    at.sdk.say(Volume_Inspect=DENIED)
    told = await at.golden("GET", f"{VOLUMES}/{ID}", status=404)
    assert told == "rpc error: code = PermissionDenied desc = Access denied to use\n"


async def test_a_name_in_the_path_may_be_escaped_and_a_slash_in_it_is_of_the_name(at: Scene) -> None:
    at.sdk.say(Volume_Inspect=UNKNOWN)
    await at.golden("GET", f"{VOLUMES}/{quote('a b/ü', safe='')}")
    assert at.sdk.request("Volume/Inspect").volume_id == "a b/ü"


async def test_delete_says_nothing_or_what_went_wrong(at: Scene) -> None:
    at.sdk.say(Volume_Delete=pb.SdkVolumeDeleteResponse())
    assert await at.golden("DELETE", f"{VOLUMES}/{ID}") == "{}\n"
    assert at.sdk.request("Volume/Delete").volume_id == ID
    at.sdk.say(Volume_Delete=SdkError(StatusCode.FAILED_PRECONDITION, "sticky"))
    told = await at.golden("DELETE", f"{VOLUMES}/{ID}")
    assert told == '{"error":"rpc error: code = FailedPrecondition desc = sticky"}\n'


# --- enumerate ---


async def test_every_volume_is_listed_whole(at: Scene) -> None:
    every = [pb.SdkVolumeInspectResponse(volume=each) for each in (volume(), volume(OTHER, "v2"))]
    at.sdk.say(Volume_InspectWithFilters=pb.SdkVolumeInspectWithFiltersResponse(volumes=every))
    told = await at.golden("GET", VOLUMES)
    assert told.startswith(f"[{SHOWN},")
    assert [each["id"] for each in json.loads(told)] == [ID, OTHER]
    at.sdk.say(Volume_InspectWithFilters=pb.SdkVolumeInspectWithFiltersResponse())
    assert await at.golden("GET", VOLUMES) == "[]\n"


async def test_name_label_and_config_label_filter_together(at: Scene) -> None:
    at.sdk.say(Volume_InspectWithFilters=pb.SdkVolumeInspectWithFiltersResponse())
    query = {"Name": "v1", "Label": '{"a":"1"}', "ConfigLabel": '{"b":"2"}'}
    await at.golden("GET", VOLUMES, params=query)
    asked = at.sdk.request("Volume/InspectWithFilters")
    assert (asked.name, dict(asked.labels)) == ("v1", {"a": "1", "b": "2"})


async def test_config_labels_need_no_labels(at: Scene) -> None:
    at.sdk.say(Volume_InspectWithFilters=pb.SdkVolumeInspectWithFiltersResponse())
    await at.golden("GET", VOLUMES, params={"ConfigLabel": '{"b":"2"}'})
    assert dict(at.sdk.request("Volume/InspectWithFilters").labels) == {"b": "2"}


async def test_names_of_parameters_count_in_their_case(at: Scene) -> None:
    at.sdk.say(Volume_InspectWithFilters=pb.SdkVolumeInspectWithFiltersResponse())
    await at.golden("GET", VOLUMES, params={"name": "v1", "label": "nonsense"})
    assert at.sdk.request("Volume/InspectWithFilters") == pb.SdkVolumeInspectWithFiltersRequest()


async def test_ids_leave_other_filters_aside_and_unknown_ones_out(at: Scene) -> None:
    at.sdk.say(Volume_Inspect=shows(volume(), volume(OTHER, "v2")))
    query = [("VolumeID", OTHER), ("VolumeID", "nothing"), ("VolumeID", ID), ("Name", "else")]
    found = json.loads(await at.golden("GET", VOLUMES, params=query))
    assert [each["id"] for each in found] == [OTHER, ID]
    assert at.sdk.names == ["Volume/Inspect"] * 3
    assert all(asked.request.options.deep for asked in at.sdk.asked)


async def test_an_id_that_may_not_be_seen_is_400(at: Scene) -> None:
    at.sdk.say(Volume_Inspect=DENIED)
    told = await at.golden("GET", VOLUMES, params={"VolumeID": ID}, status=400)
    assert told == "Failed to inspect volumeID: rpc error: code = PermissionDenied desc = Access denied to use\n"


@pytest.mark.parametrize(("parameter", "what"), [("Label", "VolumeLabels"), ("ConfigLabel", "configLabels")])
@pytest.mark.parametrize(
    ("given", "text"),
    [
        ("", "unexpected end of JSON input"),
        ("a=b", "invalid character 'a' looking for beginning of value"),
        ('{"a":"b"}x', "invalid character 'x' after top-level value"),
        ('["a"]', "json: cannot unmarshal array into Go value of type map[string]string"),
        ('{"a":1}', "json: cannot unmarshal number into Go value of type string"),
    ],
)
async def test_labels_that_are_no_json_are_400(at: Scene, parameter: str, what: str, given: str, text: str) -> None:
    told = await at.golden("GET", VOLUMES, params={parameter: given}, status=400)
    assert told == f"Failed to parse parse {what}: {text}\n"
    assert at.sdk.asked == []


async def test_a_list_that_fails_is_500(at: Scene) -> None:
    at.sdk.say(Volume_InspectWithFilters=BROKEN)
    assert await at.golden("GET", VOLUMES, status=500) == "rpc error: code = Internal desc = it broke\n"


# --- what a volume uses ---


async def test_stats_are_cumulative_unless_something_else_is_said(at: Scene) -> None:
    at.sdk.say(Volume_Stats=pb.SdkVolumeStatsResponse(stats=pb.Stats(reads=1, bytes_used=4096)))
    for given, not_cumulative in ((None, False), ("true", False), ("1", False), ("false", True), ("what", True)):
        params = {} if given is None else {"Cumulative": given}
        assert await at.golden("GET", f"{VOLUMES}/stats/{ID}", params=params) == '{"reads":1,"bytes_used":4096}\n'
        assert at.sdk.asked[-1].request == pb.SdkVolumeStatsRequest(volume_id=ID, not_cumulative=not_cumulative)


async def test_used_size_is_a_bare_number(at: Scene) -> None:
    at.sdk.say(Volume_Stats=pb.SdkVolumeStatsResponse(stats=pb.Stats(bytes_used=2**63)))
    assert await at.golden("GET", f"{VOLUMES}/usedsize/{ID}") == "9223372036854775808\n"


async def test_usage_has_the_names_of_a_go_struct(at: Scene) -> None:
    usage = pb.CapacityUsageInfo(exclusive_bytes=1, shared_bytes=2, total_bytes=3)
    at.sdk.say(Volume_CapacityUsage=pb.SdkVolumeCapacityUsageResponse(capacity_usage_info=usage))
    told = await at.golden("GET", f"{VOLUMES}/usage/{ID}")
    assert told == '{"CapacityUsageInfo":{"exclusive_bytes":1,"shared_bytes":2,"total_bytes":3},"Error":null}\n'


async def test_requests_are_none_and_never_null(at: Scene) -> None:
    for path in (f"{VOLUMES}/requests", f"{VOLUMES}/requests/{ID}"):
        assert await at.golden("GET", path) == '{"RequestCount":0,"ActiveRequest":[]}\n'


@pytest.mark.parametrize(
    ("what", "status", "text"),
    [
        ("stats", 400, "Volume x not found"),
        ("usedsize", 400, "Failed to get used size: Volume x not found"),
        ("usage", 500, "Failed to get CapacityUsage: Volume x not found"),
        ("catalog", 404, "Volume x not found"),
    ],
)
async def test_what_is_not_known_of_a_volume_is_a_plain_text(at: Scene, what: str, status: int, text: str) -> None:
    at.sdk.say(Volume_Stats=UNKNOWN, Volume_CapacityUsage=UNKNOWN, Volume_VolumeCatalog=UNKNOWN)
    assert await at.golden("GET", f"{VOLUMES}/{what}/x", status=status) == f"{text}\n"


@pytest.mark.parametrize("what", ["stats", "usedsize", "usage"])
async def test_without_an_id_it_is_400(at: Scene, what: str) -> None:
    told = await at.golden("GET", f"{VOLUMES}/{what}", status=400)
    assert told == "Failed to parse volumeID: could not parse snap ID\n"


async def test_the_catalog_goes_as_deep_as_is_asked_and_down_to_the_ground_otherwise(at: Scene) -> None:
    root = pb.Catalog(name="/", type="folder", children=[pb.Catalog(name="a", path="/a", type="file", size=5)])
    found = pb.CatalogResponse(root=root, report=pb.Report(directories=1, files=1))
    at.sdk.say(Volume_VolumeCatalog=pb.SdkVolumeCatalogResponse(catalog=found))
    told = await at.golden("GET", f"{VOLUMES}/catalog/{ID}")
    assert told == (
        '{"root":{"name":"/","type":"folder","children":[{"name":"a","path":"/a","type":"file","size":5}]},'
        '"report":{"directories":1,"files":1}}\n'
    )
    assert at.sdk.asked[-1].request == pb.SdkVolumeCatalogRequest(volume_id=ID, depth="0")
    await at.golden("GET", f"{VOLUMES}/catalog/{ID}", params={"subfolder": "a/b", "depth": "2"})
    assert at.sdk.asked[-1].request == pb.SdkVolumeCatalogRequest(volume_id=ID, path="a/b", depth="2")


# --- quiesce ---


async def test_quiesce_holds_what_a_name_means_for_as_long_as_is_said(at: Scene) -> None:
    at.sdk.say(Volume_Inspect=shows(volume()), Volume_Update=UPDATED)
    query = {"TimeoutSec": "30", "QuiesceID": "backup"}
    assert await at.golden("POST", f"{VOLUMES}/quiesce/v1", params=query) == "{}\n"
    assert await at.golden("POST", f"{VOLUMES}/quiesce/{ID}") == "{}\n"
    assert await at.golden("POST", f"{VOLUMES}/unquiesce/v1") == "{}\n"
    held = UUID(ID)
    assert at.quiescing.asked == [
        ("quiesce", held, "backup", 30),
        ("quiesce", held, "", 0),
        ("unquiesce", held),
    ]
    assert [(trace.operation, trace.target, trace.outcome) for trace in at.traces] == [
        ("quiesce", ID, "success"),
        ("quiesce", ID, "success"),
        ("unquiesce", ID, "success"),
    ]


@pytest.mark.parametrize("operation", ["quiesce", "unquiesce"])
async def test_only_who_may_change_a_volume_holds_it_still(at: Scene, operation: str) -> None:
    at.sdk.say(Volume_Inspect=shows(volume()), Volume_Update=DENIED)
    assert await at.golden("POST", f"{VOLUMES}/{operation}/v1") == '{"error":"Access denied to use"}\n'
    assert at.quiescing.asked == []
    assert at.sdk.request("Volume/Update") == pb.SdkVolumeUpdateRequest(volume_id=ID)
    assert at.traces[-1].outcome == "PERMISSION_DENIED"


@pytest.mark.parametrize("operation", ["quiesce", "unquiesce"])
async def test_what_keeps_a_volume_from_being_held_is_within_200(at: Scene, operation: str) -> None:
    at.sdk.say(Volume_Inspect=shows(volume()), Volume_Update=UPDATED)
    at.quiescing.failure = SdkError(StatusCode.FAILED_PRECONDITION, "it is held by somebody else")
    told = await at.golden("POST", f"{VOLUMES}/{operation}/{ID}")
    assert told == '{"error":"it is held by somebody else"}\n'
    assert at.traces[-1].outcome == "FAILED_PRECONDITION"
    assert await at.golden("POST", f"{VOLUMES}/{operation}/nothing") == '{"error":"Volume x not found"}\n'


@pytest.mark.parametrize("text", ["", "-1", "1.5", "x", "18446744073709551616", "9" * 5000])
async def test_a_time_out_that_is_no_number_is_400(at: Scene, text: str) -> None:
    told = await at.golden("POST", f"{VOLUMES}/quiesce/{ID}", params={"TimeoutSec": text}, status=400)
    assert told == "TimeoutSec must be int\n"
    assert at.sdk.asked == []


async def test_where_nothing_can_be_held_still_it_is_not_supported() -> None:
    async with scene(quiescing=False) as at:
        at.sdk.say(Volume_Inspect=shows(volume()), Volume_Update=UPDATED)
        for operation in ("quiesce", "unquiesce"):
            told = await at.golden("POST", f"{VOLUMES}/{operation}/{ID}")
            assert told == '{"error":"Operation not supported"}\n'


# --- what backends have and a gateway has not ---


@pytest.mark.parametrize("path", [f"{VOLUMES}/volservice/{ID}", f"{VOLUMES}/bytesused"])
async def test_services_of_backends_are_not_supported(at: Scene, path: str) -> None:
    assert await at.golden("POST", path, {}, status=400) == "Operation not supported\n"


async def test_a_snapshot_is_shown_as_a_volume(at: Scene) -> None:
    snapshot = volume(SNAPSHOT, "s1", readonly=True)
    snapshot.source.parent = ID
    at.sdk.say(Volume_Inspect=shows(snapshot))
    (found,) = json.loads(await at.golden("GET", f"{VOLUMES}/{SNAPSHOT}"))
    assert (found["source"], found["readonly"]) == ({"parent": ID}, True)
