from __future__ import annotations

import json

import msgspec
import pytest
from mirror_scene import DAILY, NOW, RELATIONSHIPS, RUNNING, SHARED, VAULT
from mirror_scene import FAILED as FAILED_TRANSFER
from netapp_ontap.resources import (
    Aggregate,
    Cluster,
    ExportPolicy,
    ExportRule,
    IpInterface,
    LicensePackage,
    Node,
    Schedule,
    SnapmirrorPolicy,
    SnapmirrorRelationship,
    SnapmirrorTransfer,
    Snapshot,
    SnapshotPolicy,
    SnapshotPolicySchedule,
    Svm,
    SvmPeer,
    Volume,
)
from netapp_ontap.resources import Job as SdkJob
from ontap_scene import BASE, CREATED, NODE, OTHER, PARENT, PLAIN, POLICY, POOL, SNAPSHOTS, TENANT, VOLUMES, uid

from gateway.core import errors
from gateway.core.model import Job, JobState, SnapshotState, VolumeState
from gateway.core.model import Schedule as CoreSchedule
from gateway.core.recurrence import Cron, Periodic
from gateway.frontends.ontap_rest.constants import CONSTANTS
from gateway.frontends.ontap_rest.encode import (
    REFERENCES,
    accepted,
    accepted_many,
    collection,
    content_type,
    dumps,
    next_href,
    quote,
    record_href,
    wants_links,
    with_links,
)
from gateway.frontends.ontap_rest.licensing import render_license
from gateway.frontends.ontap_rest.projection import compile_projection
from gateway.frontends.ontap_rest.pushdown import SNAPSHOT_STATES, VOLUME_STATES
from gateway.frontends.ontap_rest.query import parse_query
from gateway.frontends.ontap_rest.render import (
    ClusterFacts,
    InterfaceFacts,
    mode_to_permissions,
    permissions_to_mode,
    render_aggregate,
    render_cluster,
    render_export_policy,
    render_export_rule,
    render_interface,
    render_job,
    render_mirror_policy,
    render_node,
    render_policy_line,
    render_relationship,
    render_schedule,
    render_snapshot,
    render_snapshot_policy,
    render_svm,
    render_svm_peer,
    render_transfer,
    render_volume,
    tags_to_labels,
)
from gateway.frontends.ontap_rest.schema import Verb, load_schema

SCHEMA = load_schema()
DONE = Job(
    id=uid(30),
    operation="volume.create",
    description="POST /api/storage/volumes",
    state=JobState.SUCCESS,
    created=CREATED,
    ended=CREATED,
)
FAILED = msgspec.structs.replace(
    DONE,
    state=JobState.FAILURE,
    error=errors.AlreadyExists(kind="volume", name="v", field="name").to_record(),
)
CRON = CoreSchedule(id=uid(33), name="hourly", created=CREATED, recurrence=Cron((5, 35), (1,), (2,), (3,), (0,)))
PERIOD = CoreSchedule(id=uid(34), name="often", created=CREATED, recurrence=Periodic(450))
INTERFACE = InterfaceFacts(
    id=uid(31), name="lif1", address="127.0.0.1", netmask="8", tenant=TENANT, node=NODE, port="lo"
)
RECORDS = [
    ("cluster", Cluster, render_cluster(ClusterFacts(id=uid(32), name="gateway", software="volume-gateway 1"))),
    ("node", Node, render_node(NODE)),
    ("svm", Svm, render_svm(TENANT, [POOL], nfs=True)),
    ("aggregate", Aggregate, render_aggregate(POOL, NODE)),
    *(("volume", Volume, render_volume(volume, refs)) for volume, refs in VOLUMES),
    ("snapshot", Snapshot, render_snapshot(BASE, PARENT, TENANT)),
    ("snapshot", Snapshot, render_snapshot(PLAIN, PARENT, TENANT)),
    ("snapshot_policy", SnapshotPolicy, render_snapshot_policy(SNAPSHOTS, None)),
    ("snapshot_policy", SnapshotPolicy, render_snapshot_policy(SNAPSHOTS, TENANT, {"hourly": CRON})),
    ("snapshot_policy_schedule", SnapshotPolicySchedule, render_policy_line(SNAPSHOTS.copies[0], SNAPSHOTS, CRON)),
    *(
        ("schedule", Schedule, render_schedule(schedule, cluster="gateway", cluster_id=uid(32)))
        for schedule in (CRON, PERIOD)
    ),
    ("export_policy", ExportPolicy, render_export_policy(POLICY, TENANT)),
    ("export_rule", ExportRule, render_export_rule(POLICY.rules[0], POLICY, TENANT)),
    ("ip_interface", IpInterface, render_interface(INTERFACE)),
    ("job", SdkJob, render_job(DONE, tenant=TENANT, node=NODE)),
    ("job", SdkJob, render_job(FAILED)),
    ("license", LicensePackage, render_license("nfs", NODE, licensed=True)),
    ("license", LicensePackage, render_license("fcp", NODE, licensed=False)),
    ("svm_peer", SvmPeer, render_svm_peer(uid(60), TENANT, peer=OTHER, cluster="gateway", cluster_id=uid(32))),
    ("snapmirror_policy", SnapmirrorPolicy, render_mirror_policy(SHARED, None)),
    ("snapmirror_policy", SnapmirrorPolicy, render_mirror_policy(VAULT, OTHER, {"daily": DAILY})),
    *(
        ("snapmirror_relationship", SnapmirrorRelationship, render_relationship(replication, refs, now=NOW))
        for replication, refs in RELATIONSHIPS
    ),
    *(
        (
            "snapmirror_transfer",
            SnapmirrorTransfer,
            render_transfer(transfer, row[0], row[1].ends, snapshot=BASE, now=NOW),
        )
        for transfer, row in zip((RUNNING, FAILED_TRANSFER), RELATIONSHIPS, strict=True)
    ),
]
IDS = [f"{name}-{number}" for number, (name, _, _) in enumerate(RECORDS)]


def leaves(node, prefix=""):
    if isinstance(node, dict):
        for name, value in node.items():
            yield from leaves(value, f"{prefix}{name}.")
    elif isinstance(node, list):
        for item in node:
            yield from leaves(item, prefix)
    else:
        yield prefix[:-1], node


PYTHON = {
    "duration": str,
    "string": str,
    "integer": int,
    "boolean": bool,
    "uuid": str,
    "datetime": str,
    "number": (int, float),
}


@pytest.mark.parametrize(("name", "sdk", "record"), RECORDS, ids=IDS)
def test_records_hold_documented_fields_of_the_right_type_and_nothing_else(name, sdk, record):
    for path, value in leaves(record):
        field = SCHEMA[name].fields[path]
        assert field.readable or path.startswith("aggregates.")
        assert isinstance(value, PYTHON[field.kind])
        assert isinstance(value, bool) == (field.kind == "boolean")
        assert not field.enum or value in field.enum
        if isinstance(value, int) and not isinstance(value, bool):
            assert field.minimum is None or value >= field.minimum
        if isinstance(value, str):
            assert len(value) >= (field.min_length or 0)


@pytest.mark.filterwarnings("ignore:.Number. field should not be instantiated")
@pytest.mark.parametrize(("name", "sdk", "record"), RECORDS, ids=IDS)
def test_the_vendors_client_library_accepts_every_record(name, sdk, record):
    shown = compile_projection(SCHEMA[name], "**").prune(record)
    linked = with_links(SCHEMA[name], shown, record_href(SCHEMA[name], record))
    assert sdk.from_dict(json.loads(dumps(linked)))


@pytest.mark.parametrize(("name", "sdk", "record"), RECORDS, ids=IDS)
def test_every_record_shows_the_constants(name, sdk, record):
    found = dict(leaves(record))
    for path, value in CONSTANTS.get(name, {}).items():
        assert found[path] == value


def test_a_volume_with_everything():
    record = render_volume(*VOLUMES[0])
    assert record["nas"]["unix_permissions"] == 2750
    assert record["nas"]["path"] == "/vol1"
    assert record["nas"]["export_policy"] == {"id": 7, "name": "default"}
    assert record["space"]["available"] == 15 << 20
    assert record["space"]["percent_used"] == 25
    assert record["create_time"] == "2022-11-24T10:23:13+00:00"
    assert record["clone"] == {"is_flexclone": False, "has_flexclone": True}
    assert record["efficiency"]["volume_path"] == "/vol/vol1"
    assert record["_tags"] == ["env:test", "team:a:b"]


def test_what_has_no_value_is_left_out():
    record = render_volume(*VOLUMES[2])
    assert "path" not in record["nas"]
    assert "export_policy" not in record["nas"]
    assert "_tags" not in record
    assert "snapshot_policy" not in record
    assert "parent_volume" not in record["clone"]
    snapshot = render_snapshot(PLAIN, PARENT, TENANT)
    assert not {"owners", "snapmirror_label", "expiry_time"} & snapshot.keys()
    assert "svm" not in render_snapshot_policy(SNAPSHOTS, None)


def test_a_clone_names_its_parents():
    clone = render_volume(*VOLUMES[1])["clone"]
    assert clone["is_flexclone"] is True
    assert clone["parent_volume"] == {"uuid": str(PARENT.id), "name": "vol1"}
    assert clone["parent_snapshot"] == {"uuid": str(BASE.id), "name": "s1"}
    assert clone["parent_svm"]["name"] == "svm1"
    assert render_snapshot(BASE, PARENT, TENANT)["owners"] == ["volume_clone"]


def test_space_is_never_promised_beyond_what_the_pool_has():
    small = msgspec.structs.replace(POOL, available=7)
    refs = msgspec.structs.replace(VOLUMES[0][1], pool=small)
    assert render_volume(PARENT, refs)["space"]["available"] == 7
    full = msgspec.structs.replace(PARENT, used=PARENT.size + 1)
    assert render_volume(full, refs)["space"]["available"] == 0


def test_every_state_has_a_legal_word():
    assert VOLUME_STATES.keys() == set(VolumeState)
    assert SNAPSHOT_STATES.keys() == set(SnapshotState)


def test_permissions_are_decimal_numbers_of_octal_digits():
    assert mode_to_permissions(0o755) == 755
    assert permissions_to_mode(1777) == 0o1777
    assert permissions_to_mode(0) == 0


def test_tags_are_labels():
    assert tags_to_labels(["env:test", "team:a:b"]) == PARENT.labels


def test_jobs():
    done = render_job(DONE)
    assert (done["state"], done["message"], done["code"]) == ("success", "success", 0)
    assert "error" not in done
    failed = render_job(FAILED)
    assert failed["code"] == 917526
    assert failed["error"]["code"] == "917526"
    assert failed["message"] == failed["error"]["message"]
    running = render_job(msgspec.structs.replace(DONE, state=JobState.RUNNING, ended=None))
    assert isinstance(running["message"], str)
    assert "end_time" not in running


def test_the_version_that_clients_read():
    version = RECORDS[0][2]["version"]
    assert (version["generation"], version["major"], version["minor"]) == (9, 15, 1)
    assert version["full"] == "NetApp Release 9.15.1: volume-gateway 1"


def test_hrefs_of_records():
    assert record_href(SCHEMA["cluster"], RECORDS[0][2]) == "/api/cluster"
    assert record_href(SCHEMA["volume"], {"uuid": "u"}) == "/api/storage/volumes/u"
    snapshot = {"uuid": "s", "volume": {"uuid": "v"}}
    assert record_href(SCHEMA["snapshot"], snapshot) == "/api/storage/volumes/v/snapshots/s"
    assert record_href(SCHEMA["export_rule"], {"index": 2, "policy": {"id": 7}}) == (
        "/api/protocols/nfs/export-policies/7/rules/2"
    )
    assert quote("/a.b$ \N{SNOWMAN}") == "%2Fa%2Eb%24%20%E2%98%83"


def test_links_are_on_records_and_on_references_with_a_key():
    shown = compile_projection(SCHEMA["volume"], "svm,snapshot_policy.name,aggregates,clone").prune(RECORDS[5][2])
    linked = with_links(SCHEMA["volume"], shown, "/api/storage/volumes/u")
    assert linked["_links"] == {"self": {"href": "/api/storage/volumes/u"}}
    assert linked["svm"]["_links"]["self"]["href"] == f"/api/svm/svms/{OTHER.id}"
    assert linked["aggregates"][0]["_links"]["self"]["href"] == f"/api/storage/aggregates/{POOL.id}"
    assert linked["clone"]["parent_volume"]["_links"]["self"]["href"] == f"/api/storage/volumes/{PARENT.id}"
    named = with_links(SCHEMA["volume"], {"svm": {"name": "svm1"}}, "/x")
    assert named["svm"] == {"name": "svm1"}


def test_references_exist():
    for name, references in REFERENCES.items():
        for path, (_, key) in references.items():
            assert f"{path}.{key}" in SCHEMA[name].fields


@pytest.mark.parametrize(
    ("accept", "links"),
    [
        (None, True),
        ("*/*", True),
        ("application/hal+json", True),
        ("application/json", False),
        ("Application/JSON; charset=utf-8", False),
    ],
)
def test_accept(accept, links):
    assert wants_links(accept) is links
    assert content_type(links=links) == ("application/hal+json" if links else "application/json")


def test_collections():
    href = "/api/storage/volumes?fields=%2A%2A"
    assert collection([], count=0, href=href, links=True) == {
        "records": [],
        "num_records": 0,
        "_links": {"self": {"href": href}},
    }
    assert collection([1, 2], count=2, href=href, links=False) == {"records": [1, 2], "num_records": 2}
    assert collection(None, count=9, href=href, links=False) == {"num_records": 9}
    paged = collection([1], count=1, href=href, links=False, following="/api/next")
    assert paged["_links"] == {"next": {"href": "/api/next"}}


def test_the_next_page_is_asked_for_with_the_clients_own_query():
    href = next_href("/api/storage/volumes", "start.uuid=old&fields=name&max_records=2", key="uuid", cursor="a/b.c=")
    assert href == "/api/storage/volumes?start.uuid=a%2Fb%2Ec%3D&fields=name&max_records=2"
    again = parse_query(SCHEMA["volume"], Verb.GET, href.partition("?")[2])
    assert again.cursor == "a/b.c="
    assert again.max_records == 2
    assert next_href("/api/x", "", key="id", cursor="1") == "/api/x?start.id=1"


def test_accepted_changes_link_their_job_whatever_the_client_accepts():
    job = uid(30)
    link = {"uuid": str(job), "_links": {"self": {"href": f"/api/cluster/jobs/{job}"}}}
    assert accepted(job) == {"job": link}
    assert accepted(job, [{"uuid": "u"}]) == {"job": link, "num_records": 1, "records": [{"uuid": "u"}]}
    assert accepted_many([], href="/x", links=False) == {"jobs": [], "num_records": 0}
    assert accepted_many([job], href="/x", links=True) == {
        "jobs": [link],
        "num_records": 1,
        "_links": {"self": {"href": "/x"}},
    }


def test_bytes():
    assert dumps({}) == b"{\n}"
    assert dumps({}, pretty=False) == b"{}"
    assert dumps({"a": 1, "b": ["\N{SNOWMAN}"]}) == '{\n  "a": 1,\n  "b": [\n    "\N{SNOWMAN}"\n  ]\n}'.encode()
    assert dumps({"a": 1}, pretty=False) == b'{"a":1}'
    assert dumps({"records": [msgspec.Raw(b'{"a":1}')]}, pretty=False) == b'{"records":[{"a":1}]}'
    record = RECORDS[4][2]
    assert dumps(record) == json.dumps(record, indent=2, ensure_ascii=False).encode()
