"""The cluster over the older API: nodes, health, schedule policies, and who may ask."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
from grpc import StatusCode
from older_scene import (
    BROKEN,
    DENIED,
    GIB,
    UNKNOWN,
    Scene,
    cluster_replies,
    node,
    scene,
)

from gateway.frontends.openstorage.call import SdkError
from gateway.frontends.openstorage.older.routes import ROUTES
from gateway.frontends.openstorage.pb import cluster_pb2, node_pb2, pool_pb2
from gateway.frontends.openstorage.pb import schedule_policy_pb2 as pb

CLUSTER = "/v1/cluster"
POLICIES = f"{CLUSTER}/schedpolicy"
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d*[1-9])?Z"


@pytest.fixture
async def at() -> AsyncIterator[Scene]:
    async with scene() as made:
        made.sdk.say(**cluster_replies())
        yield made


# --- the cluster ---


async def test_versions(at: Scene) -> None:
    assert await at.golden("GET", "/cluster/versions") == '["v1"]\n'


async def test_enumerate_has_the_names_of_go_structs_and_leaves_nothing_out(at: Scene) -> None:
    pool = pool_pb2.StoragePool(ID=0, TotalSize=GIB, Used=1, labels={"name": "fast"}, uuid="u")
    disk = pool_pb2.StorageResource(id="d", path="/dev/d", online=True, seq_write=1.5, seq_read=2.0)
    rich = node(pools=[pool], disks={"d": disk}, node_labels={"zone": "a"}, cpu=12.5)
    at.sdk.say(**cluster_replies(rich, node("node-2", cpu=3.0)))
    told = json.loads(await at.golden("GET", f"{CLUSTER}/enumerate"))
    first, second = told.pop("Nodes")
    assert told == {
        "Status": 2,
        "Id": "cluster-1",
        "NodeId": "node-1",
        "ManagementURL": "",
        "FluentDConfig": {"ip": "", "port": ""},
    }
    times = [first.pop("Timestamp"), first.pop("StartTime")]
    assert all(re.fullmatch(TIME, each) for each in times)
    assert times[1] <= times[0]
    assert first == {
        "Id": "node-1",
        "SchedulerNodeName": "",
        "Cpu": 12.5,
        "MemTotal": 8 * GIB,
        "MemUsed": 0,
        "MemFree": 0,
        "Avgload": 0,
        "Status": 2,
        "GenNumber": 0,
        "Disks": {"d": {"id": "d", "path": "/dev/d", "online": True, "seq_write": 1.5, "seq_read": 2}},
        "Pools": [{"TotalSize": GIB, "Used": 1, "labels": {"name": "fast"}, "uuid": "u"}],
        "MgmtIp": "192.0.2.1",
        "DataIp": "192.0.2.2",
        "Hostname": "host-1",
        "NodeData": {},
        "NodeLabels": {"zone": "a"},
        "HWType": 0,
        "SecurityStatus": 1,
    }
    assert (second["Id"], second["Disks"], second["Pools"], second["Cpu"]) == ("node-2", {}, [], 3)


async def test_states_are_bare_numbers(at: Scene) -> None:
    at.sdk.say(Node_InspectCurrent=node_pb2.SdkNodeInspectCurrentResponse(node=node_pb2.StorageNode(status=9)))
    assert await at.golden("GET", f"{CLUSTER}/status") == "2\n"
    assert await at.golden("GET", f"{CLUSTER}/nodestatus") == "9\n"


async def test_health_is_a_text(at: Scene) -> None:
    assert await at.golden("GET", f"{CLUSTER}/nodehealth") == "Node status OK\n"
    at.sdk.say(Node_InspectCurrent=node_pb2.SdkNodeInspectCurrentResponse(node=node_pb2.StorageNode(status=9)))
    told = await at.golden("GET", f"{CLUSTER}/nodehealth", status=503)
    assert told == "Node status not OK (STATUS_STORAGE_DEGRADED)\n"
    at.sdk.say(Node_InspectCurrent=BROKEN)
    assert await at.golden("GET", f"{CLUSTER}/nodehealth", status=503) == "it broke\n"


async def test_a_node_by_its_id(at: Scene) -> None:
    at.sdk.say(Node_Inspect=node_pb2.SdkNodeInspectResponse(node=node()))
    assert json.loads(await at.golden("GET", f"{CLUSTER}/inspect/node-1"))["Hostname"] == "host-1"
    assert at.sdk.request("Node/Inspect").node_id == "node-1"
    at.sdk.say(Node_Inspect=SdkError(StatusCode.INTERNAL, "Node x is not known"))
    assert await at.golden("GET", f"{CLUSTER}/inspect/x", status=500) == "Node x is not known\n"


async def test_the_id_of_a_node_by_its_address(at: Scene) -> None:
    for address in ("192.0.2.1", "192.0.2.2"):
        assert await at.golden("GET", f"{CLUSTER}/getnodeidfromip/{address}") == '"node-1"\n'
    assert await at.golden("GET", f"{CLUSTER}/getnodeidfromip/any-id") == '"any-id"\n'
    told = await at.golden("GET", f"{CLUSTER}/getnodeidfromip/192.0.2.9", status=500)
    assert told == "Failed to locate IP in this cluster.\n"


@pytest.mark.parametrize("path", ["enumerate", "status", "nodestatus"])
async def test_what_the_cluster_cannot_tell_is_500(at: Scene, path: str) -> None:
    at.sdk.say(Cluster_InspectCurrent=BROKEN, Node_InspectCurrent=BROKEN)
    assert await at.golden("GET", f"{CLUSTER}/{path}", status=500) == "it broke\n"


# --- removal of nodes and alerts ---


@pytest.mark.parametrize("path", [CLUSTER, f"{CLUSTER}/node-1"])
async def test_nodes_are_removed_by_the_query_and_never_here(at: Scene, path: str) -> None:
    assert await at.golden("DELETE", path, status=400) == "Missing id param\n"
    told = await at.golden("DELETE", path, params={"id": "a", "forceRemove": "maybe"}, status=400)
    assert told == "Invalid forceRemove Option: maybe\n"
    told = await at.golden("DELETE", path, params=[("id", "a"), ("id", "b"), ("forceRemove", "T")])
    assert told == '{"error":"Node Remove: a gateway serves its own node, which cannot be removed"}\n'


@pytest.mark.parametrize("resource", ["volume", "Node", "CLUSTER", "drive", "0", "5"])
async def test_there_are_no_alerts(at: Scene, resource: str) -> None:
    assert await at.golden("GET", f"{CLUSTER}/alerts/{resource}") == "{}\n"
    told = await at.golden("DELETE", f"{CLUSTER}/alerts/{resource}/7", status=500)
    assert told == "Alert 7 not found\n"


@pytest.mark.parametrize("resource", ["pool", "6", "-1", "9" * 30, "x"])
async def test_alerts_of_what_is_no_resource_are_400(at: Scene, resource: str) -> None:
    assert await at.golden("GET", f"{CLUSTER}/alerts/{resource}", status=400) == "Invalid resource param\n"
    told = await at.golden("DELETE", f"{CLUSTER}/alerts/{resource}/7", status=400)
    assert told == "Missing/Invalid resource param\n"
    told = await at.golden("DELETE", f"{CLUSTER}/alerts/volume/{resource.replace('6', 'six')}x", status=400)
    assert told == "Missing/Invalid id param\n"


# --- schedule policies ---

YAML = "- freq: daily\n  hour: 12\n  minute: 30\n  retain: 3\n"


async def test_policies_are_listed_as_the_sdk_shows_them(at: Scene) -> None:
    daily = pb.SdkSchedulePolicyInterval(retain=3, daily=pb.SdkSchedulePolicyIntervalDaily(hour=12))
    found = [pb.SdkSchedulePolicy(name="p1", schedules=[daily]), pb.SdkSchedulePolicy(name="p2")]
    at.sdk.say(SchedulePolicy_Enumerate=pb.SdkSchedulePolicyEnumerateResponse(policies=found))
    told = json.loads(await at.golden("GET", POLICIES))
    assert told == [
        {"name": "p1", "schedules": [{"retain": 3, "PeriodType": {"Daily": {"hour": 12}}}]},
        {"name": "p2"},
    ]
    at.sdk.say(SchedulePolicy_Enumerate=pb.SdkSchedulePolicyEnumerateResponse())
    assert await at.golden("GET", POLICIES) == "[]\n"
    at.sdk.say(SchedulePolicy_Enumerate=BROKEN)
    assert await at.golden("GET", POLICIES, status=500) == "rpc error: code = Internal desc = it broke\n"


INTERVALS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "periodic": (
        "- freq: periodic\n  period: 3600000000000\n  retain: 2\n",
        {"periodic": pb.SdkSchedulePolicyIntervalPeriodic(seconds=3600)},
    ),
    "daily": (
        "- freq: daily\n  hour: 12\n  minute: 30\n  retain: 2\n",
        {"daily": pb.SdkSchedulePolicyIntervalDaily(hour=12, minute=30)},
    ),
    "weekly": (
        "- freq: weekly\n  weekday: 6\n  hour: 1\n  minute: 2\n  retain: 2\n",
        {"weekly": pb.SdkSchedulePolicyIntervalWeekly(day=pb.SdkTimeWeekdaySaturday, hour=1, minute=2)},
    ),
    "monthly": (
        "- freq: monthly\n  day: 28\n  hour: 1\n  minute: 2\n  retain: 2\n",
        {"monthly": pb.SdkSchedulePolicyIntervalMonthly(day=28, hour=1, minute=2)},
    ),
}


@pytest.mark.parametrize("kind", INTERVALS)
async def test_one_policy_has_its_intervals_as_the_text_that_makes_it_again(at: Scene, kind: str) -> None:
    text, period = INTERVALS[kind]
    policy = pb.SdkSchedulePolicy(name="p1", schedules=[pb.SdkSchedulePolicyInterval(retain=2, **period)])
    at.sdk.say(
        SchedulePolicy_Inspect=pb.SdkSchedulePolicyInspectResponse(policy=policy),
        SchedulePolicy_Create=pb.SdkSchedulePolicyCreateResponse(),
        SchedulePolicy_Update=pb.SdkSchedulePolicyUpdateResponse(),
    )
    for written in ({"Name": "p1", "Schedule": text}, {"name": "p1", "SCHEDULE": text}):
        assert await at.golden("POST", POLICIES, written) == ""
        assert at.sdk.asked[-1].request.schedule_policy == policy
    assert await at.golden("PUT", POLICIES, {"Name": "p1", "Schedule": text}) == ""
    assert at.sdk.asked[-1].request.schedule_policy == policy
    told = json.loads(await at.golden("GET", f"{POLICIES}/p1"))
    assert set(told) == {"Name", "Schedule"}
    assert await at.golden("POST", POLICIES, told) == ""
    assert at.sdk.asked[-1].request.schedule_policy == policy


async def test_a_policy_is_removed_by_name(at: Scene) -> None:
    at.sdk.say(SchedulePolicy_Delete=pb.SdkSchedulePolicyDeleteResponse())
    assert await at.golden("DELETE", f"{POLICIES}/p1") == ""
    assert at.sdk.request("SchedulePolicy/Delete").name == "p1"


@pytest.mark.parametrize(
    ("verb", "path", "body"),
    [
        ("GET", f"{POLICIES}/p1", None),
        ("DELETE", f"{POLICIES}/p1", None),
        ("POST", POLICIES, {"Name": "p1", "Schedule": YAML}),
        ("PUT", POLICIES, {"Name": "p1", "Schedule": YAML}),
    ],
)
async def test_what_goes_wrong_with_a_policy_is_500(at: Scene, verb: str, path: str, body: Any) -> None:
    at.sdk.say(**{f"SchedulePolicy_{call}": UNKNOWN for call in ("Inspect", "Delete", "Create", "Update")})
    assert await at.golden(verb, path, body, status=500) == "Volume x not found\n"


@pytest.mark.parametrize("verb", ["POST", "PUT"])
@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "EOF"),
        (b"{", "unexpected EOF"),
        (b"[]", "json: cannot unmarshal array into Go value of type schedpolicy.SchedPolicy"),
        (b'{"Name":1}', "json: cannot unmarshal number into Go struct field SchedPolicy.Name of type string"),
        (b'{"Name":"p","Schedule":"freq: daily"}', "Schedule: is not a list of intervals"),
    ],
)
async def test_a_policy_that_cannot_be_read_is_400(at: Scene, verb: str, body: bytes, text: str) -> None:
    assert await at.golden(verb, POLICIES, body, status=400) == f"{text}\n"
    assert at.sdk.names == []


@pytest.mark.parametrize("body", [b"null", b"{}", b'{"Name":null,"other":1}'])
async def test_a_policy_of_nothing_is_for_the_sdk_to_refuse(at: Scene, body: bytes) -> None:
    at.sdk.say(SchedulePolicy_Create=SdkError(StatusCode.INVALID_ARGUMENT, "Must supply a name"))
    assert await at.golden("POST", POLICIES, body, status=500) == "Must supply a name\n"


# --- who may ask ---

UNPROVEN = SdkError(StatusCode.UNAUTHENTICATED, "Access denied: the token cannot be used")
FOR_ADMINISTRATORS = [route for route in ROUTES if route.admin]
BEARER = {"Authorization": "bearer some.token.here"}


def place(template: str) -> str:
    return re.sub(r"\{\w+\}", "volume", template)


def test_every_route_of_the_cluster_but_health_and_those_of_credentials_are_for_administrators() -> None:
    closed = {route.template for route in FOR_ADMINISTRATORS}
    for route in ROUTES:
        cluster = "/cluster/" in f"{route.template}/" and not route.template.endswith("nodehealth")
        assert (route.template in closed) == (cluster or "osd-creds" in route.template), route.template


@pytest.mark.parametrize("route", FOR_ADMINISTRATORS, ids=lambda route: f"{route.verb} {route.template}")
async def test_nobody_else_gets_behind_the_door(at: Scene, route: Any) -> None:
    for headers, denial, status, text in (
        ({}, DENIED, 401, "Access denied token is empty"),
        (BEARER, UNPROVEN, 401, "Access denied: the token cannot be used"),
        (BEARER, DENIED, 403, "Access denied, user must have admin access"),
    ):
        at.sdk.say(Role_Create=denial)
        answer = await at.ask(route.verb, place(route.template), {}, headers=headers)
        assert (answer.status_code, answer.text) == (status, f"{text}\n")
        assert ("www-authenticate" in answer.headers) == (status == 401)
    assert at.sdk.names == []


async def test_the_token_of_an_administrator_goes_with_every_call(at: Scene) -> None:
    await at.golden("GET", f"{CLUSTER}/enumerate", headers=BEARER)
    assert len(at.sdk.asked) == 4
    assert {asked.authorization for asked in at.sdk.asked} == {BEARER["Authorization"]}
    assert at.traces[-1].who == "somebody"
    assert at.traces[-1].operation == ""


async def test_a_failure_to_find_out_lets_nobody_in(at: Scene) -> None:
    for failure in (BROKEN, SdkError(StatusCode.UNAVAILABLE, "later")):
        at.sdk.say(Role_Create=failure)
        answer = await at.ask("GET", f"{CLUSTER}/status")
        assert answer.status_code == 500
    assert at.sdk.names == []


async def test_health_is_for_everybody_and_looks_at_no_token(at: Scene) -> None:
    at.sdk.say(Role_Create=DENIED)
    for headers in ({}, BEARER, {"Authorization": "Basic xyz"}):
        assert await at.golden("GET", f"{CLUSTER}/nodehealth", headers=headers) == "Node status OK\n"
    assert {asked.authorization for asked in at.sdk.asked} == {None}


# --- what is not behind it ---

NOT_SUPPORTED, NOT_IMPLEMENTED, NEVER = "Operation not supported", "Not Implemented", "Not implemented."


@pytest.mark.parametrize(
    ("verbs", "path", "status", "text"),
    [
        ("GET POST", "/v1/osd-creds", 500, NOT_SUPPORTED),
        ("PUT DELETE", "/v1/osd-creds/u", 500, NOT_SUPPORTED),
        ("PUT", "/v1/osd-creds/validate/u", 422, NOT_SUPPORTED),
        ("DELETE", "/v1/osd-creds/references/u", 500, NOT_SUPPORTED),
        ("POST GET DELETE", "/v1/osd-backup", 500, NOT_SUPPORTED),
        ("POST", "/v1/osd-backup/group", 500, NOT_SUPPORTED),
        ("POST", "/v1/osd-backup/restore", 500, NOT_SUPPORTED),
        ("DELETE", "/v1/osd-backup/all", 500, NOT_SUPPORTED),
        ("GET", "/v1/osd-backup/status", 500, NOT_SUPPORTED),
        ("GET", "/v1/osd-backup/catalog", 500, NOT_SUPPORTED),
        ("GET", "/v1/osd-backup/history", 500, NOT_SUPPORTED),
        ("PUT", "/v1/osd-backup/statechange", 500, NOT_SUPPORTED),
        ("POST PUT DELETE GET", "/v1/osd-backup/sched", 500, NOT_SUPPORTED),
        ("POST PUT", "/v1/osd-backup/schedgroup", 500, NOT_SUPPORTED),
        ("POST", "/v1/osd-migrate/start", 500, NOT_SUPPORTED),
        ("POST", "/v1/osd-migrate/cancel", 500, NOT_SUPPORTED),
        ("GET", "/v1/osd-migrate/status", 500, NOT_SUPPORTED),
        ("PUT POST GET", "/v1/cluster/pair", 500, NOT_IMPLEMENTED),
        ("GET PUT DELETE", "/v1/cluster/pair/x", 500, NOT_IMPLEMENTED),
        ("PUT", "/v1/cluster/pair/validate/x", 500, NOT_IMPLEMENTED),
        ("GET", "/v1/cluster/pairtoken", 500, NOT_IMPLEMENTED),
        ("GET POST PUT", "/v1/cluster/objectstore", 500, NOT_IMPLEMENTED),
        ("DELETE", "/v1/cluster/objectstore/delete", 500, NOT_IMPLEMENTED),
        ("GET PUT", "/v1/cluster/secrets", 500, NOT_IMPLEMENTED),
        ("GET", "/v1/cluster/secrets/verify", 500, NOT_IMPLEMENTED),
        ("GET PUT", "/v1/cluster/secrets/defaultsecretkey", 500, NOT_IMPLEMENTED),
        ("POST", "/v1/cluster/secrets/login", 500, NOT_IMPLEMENTED),
        ("GET POST", "/v1/cluster/config/cluster", 500, NOT_IMPLEMENTED),
        ("POST", "/v1/cluster/config/node", 500, NOT_IMPLEMENTED),
        ("GET DELETE", "/v1/cluster/config/node/n", 500, NOT_IMPLEMENTED),
        ("GET", "/v1/cluster/config/enumerate", 500, NOT_IMPLEMENTED),
        ("GET", "/v1/cluster/gossipstate", 501, NEVER),
        ("PUT", "/v1/cluster/enablegossip", 501, NEVER),
        ("PUT", "/v1/cluster/disablegossip", 501, NEVER),
        ("PUT", "/v1/cluster/shutdown", 501, NEVER),
        ("PUT", "/v1/cluster/shutdown/n", 501, NEVER),
        ("GET", "/v1/cluster/peerstatus", 400, "Missing id param"),
        ("GET", "/v1/cluster/peerstatus?name=", 400, "Missing id param"),
        ("GET", "/v1/cluster/peerstatus?name=x", 501, NEVER),
    ],
)
async def test_what_a_gateway_has_not_is_refused_in_the_words_of_one_without_it(
    at: Scene, verbs: str, path: str, status: int, text: str
) -> None:
    for verb in verbs.split():
        assert await at.golden(verb, path, {}, status=status) == f"{text}\n"
    assert at.sdk.names == []


def test_the_number_of_a_state_is_that_of_the_definitions() -> None:
    assert cluster_pb2.STATUS_OK == 2
