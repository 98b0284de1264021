"""The official SDK, unmodified, on a memory pool: reads, refusals, policies, bulk. Needs no root."""

from __future__ import annotations

import pytest
from netapp_ontap.error import NetAppRestError
from netapp_ontap.resources import (
    Aggregate,
    Cluster,
    ExportPolicy,
    ExportRule,
    Job,
    Node,
    Snapshot,
    SnapshotPolicy,
    Svm,
    Volume,
)
from sdk_scene import MIB, OWN_WARNINGS, SVM, clone, names, patch, refused, sdk, seen, volume

from gateway.testing.live import READER, live_gateway

pytestmark = OWN_WARNINGS
MISSING = "00000000-0000-4000-8000-000000000000"
POOLS = """
[backend.memory]

[backend.plain]
driver = "memory"
disable = ["snapshot", "clone", "restore", "resize", "split", "replicate"]

[backend.fixed]
driver = "memory"
disable = ["clone", "restore", "resize", "split", "replicate"]
"""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    with live_gateway(tmp_path_factory.mktemp("sdk"), pools=POOLS, tls=True) as running:
        yield running


@pytest.fixture
def connection(gateway):
    with sdk(gateway) as connected:
        yield connected
        leave_nothing()


def leave_nothing() -> None:
    """Delete what the test made: clones before what they hang on."""
    left = list(Volume.get_collection(fields="clone"))
    for found in sorted(left, key=lambda item: not item.clone.is_flexclone):
        found.delete()
    for policy in ExportPolicy.get_collection(name="!default"):
        policy.delete()
    for svm in Svm.get_collection(name="!svm1"):
        svm.delete()


@pytest.fixture
def history(connection):
    """A volume with two snapshots and a clone of the later one."""
    made = volume("parent", "memory")
    for name in ("s1", "s2"):
        Snapshot(made.uuid, name=name).post()
    clone("copy", "parent", "s2")
    return made


# --- reading ---


def test_over_tls_the_cluster_introduces_itself(gateway, connection):
    assert gateway.url.startswith("https://")
    cluster = Cluster()
    cluster.get(fields="version")
    assert (cluster.version.generation, cluster.version.major, cluster.version.minor) == (9, 15, 1)


@pytest.mark.parametrize("fields", ["*", "**", None])
def test_every_resource_passes_the_schema_checks_of_the_sdk(history, fields):
    patch(history.uuid, tags=["a:b"], nas={"path": "/parent"})
    query = {} if fields is None else {"fields": fields}
    policy = ExportPolicy(name="shown", svm=SVM)
    policy.post()
    ExportRule(policy.id, clients=[{"match": "10.0.0.0/8"}], ro_rule=["sys"], rw_rule=["none"]).post()
    cluster = Cluster()
    cluster.get(**query)
    collections = {
        "node": Node.get_collection(**query),
        "job": Job.get_collection(**query),
        "svm": Svm.get_collection(**query),
        "aggregate": Aggregate.get_collection(**query),
        "volume": Volume.get_collection(**query),
        "snapshot": Snapshot.get_collection(history.uuid, **query),
        "snapshot policy": SnapshotPolicy.get_collection(**query),
        "export policy": ExportPolicy.get_collection(**query),
        "rule": ExportRule.get_collection(policy.id, **query),
    }
    for noun, collection in collections.items():
        found = list(collection)
        assert found, noun
        for record in found:
            shown = record.to_dict()
            record.get(**query)
            assert record.to_dict().keys() >= shown.keys(), noun


def test_lists_are_filtered_ordered_and_paged(connection):
    for name, size in (("b1", 40), ("b2", 60), ("b3", 80), ("other", 60)):
        volume(name, "memory", size=size * MIB)
    for size in (1, 2, 3, 50):
        assert names(name="b*", order_by="name desc", max_records=size) == ["b3", "b2", "b1"]
    assert names(size=">=60MB", order_by="size,name") == ["b2", "other", "b3"]
    assert names(name="b1|other") == ["b1", "other"]
    assert names(name="!b*") == ["other"]
    assert sorted(names(size="60MB..80MB", svm="svm1")) == ["b2", "b3", "other"]
    assert Volume.count_collection(name="b*") == 3
    assert Volume.count_collection(name="nothing") == 0
    assert Volume.find(name="nothing") is None
    with pytest.raises(NetAppRestError, match="Only 1 resource was expected"):
        Volume.find(name="b*")
    first = next(iter(Volume.get_collection(name="b1", fields="space.used")))
    assert first.to_dict().keys() >= {"uuid", "name", "space"}
    assert not hasattr(first, "size")


def test_a_readonly_account_reads_and_changes_nothing(gateway, connection):
    made = volume("kept", "memory")
    with sdk(gateway, READER):
        assert names() == ["kept"]
        with refused("6", status=403):
            Volume(uuid=made.uuid).delete()
        with refused("6", status=403):
            volume("more", "memory")
    assert names() == ["kept"]


# --- changing ---


def test_without_a_size_a_volume_has_the_smallest_one(connection):
    made = Volume(name="small", svm=SVM, aggregates=[{"name": "memory"}])
    made.post(hydrate=True)
    assert made.size == 20 * MIB


def test_everything_that_scripts_say_about_a_volume_is_taken(connection):
    ExportPolicy(name="scripts", svm=SVM).post()
    made = volume(
        "full",
        "memory",
        size="1GB",
        comment='{"owner": "me"}',
        guarantee={"type": "none"},
        nas={
            "path": "/full",
            "export_policy": {"name": "scripts"},
            "security_style": "unix",
            "unix_permissions": "0750",
            "uid": 1000,
            "gid": 1001,
        },
        snapshot_policy={"name": "none"},
        tiering={"policy": "none"},
        style="flexvol",
        type="rw",
        language="c.utf_8",
    )
    looked = seen("full")
    assert (looked.uuid, looked.size, looked.comment) == (made.uuid, 1 << 30, '{"owner": "me"}')
    nas = looked.nas
    assert (nas.path, nas.export_policy.name, nas.security_style) == ("/full", "scripts", "unix")
    assert (nas.unix_permissions, nas.uid, nas.gid) == (750, 1000, 1001)
    assert (looked.guarantee.type, looked.snapshot_policy.name, looked.tiering.policy) == ("none", "none", "none")
    made.delete(return_timeout=0, force=True)


def test_a_job_may_be_left_alone_and_asked_for_later(connection):
    made = Volume(name="later", svm=SVM, aggregates=[{"name": "memory"}])
    response = made.post(poll=False, return_timeout=0)
    assert response.is_job
    assert response.poll(interval=0)
    job = Job(uuid=response.http_response.json()["job"]["uuid"])
    job.get(fields="**")
    assert (job.state, job.description) == ("success", "POST /api/storage/volumes")
    made.get()
    assert made.state == "online"


def test_content_comes_and_goes_without_a_data_plane_too(history):
    copy = Volume.find(name="copy")
    copy.clone = {"split_initiated": True}
    copy.patch()
    assert seen("copy").clone.is_flexclone is False
    Volume(uuid=history.uuid).patch(**{"restore_to.snapshot.name": "s1"})
    assert [found.name for found in Snapshot.get_collection(history.uuid)] == ["s1"]
    patch(history.uuid, name="renamed", size=80 * MIB, comment="both at once")
    looked = seen("renamed")
    assert (looked.uuid, looked.size, looked.comment) == (history.uuid, 80 * MIB, "both at once")
    for state in ("offline", "online"):
        patch(history.uuid, state=state)
        assert seen("renamed").state == state


def test_svms_are_made_changed_and_removed(connection):
    made = Svm(name="second", comment="first words")
    made.post(hydrate=True)
    assert (made.state, made.comment) == ("running", "first words")
    made.comment = "changed"
    made.name = "renamed"
    made.patch()
    looked = Svm.find(name="renamed", fields="**")
    assert (looked.uuid, looked.comment) == (made.uuid, "changed")
    for state in ("stopped", "running"):
        made.state = state
        made.patch()
        assert Svm.find(name="renamed").state == state
    with refused("13434908", status=409):
        Svm(name="renamed").post()
    Volume(name="v", svm={"name": "renamed"}, aggregates=[{"name": "memory"}]).post()
    Volume(name="v", svm=SVM, aggregates=[{"name": "memory"}]).post()
    assert sorted(found.svm.name for found in Volume.get_collection(name="v", fields="svm")) == ["renamed", "svm1"]
    with pytest.raises(NetAppRestError):
        made.delete()
    Volume.find(name="v", **{"svm.name": "renamed"}).delete()
    made.delete()
    assert Svm.find(name="renamed") is None


def test_snapshot_policies_are_made_read_and_removed(connection):
    made = SnapshotPolicy(
        name="nightly", svm=SVM, comment="c", copies=[{"count": 3, "schedule": {"name": "daily"}, "prefix": "night"}]
    )
    made.post(hydrate=True)
    assert (made.enabled, made.scope, made.copies[0].count) == (True, "svm", 3)
    used = volume("scheduled", "memory", snapshot_policy={"name": "nightly"})
    assert seen("scheduled").snapshot_policy.name == "nightly"
    with refused("1638415"):
        made.delete()
    patch(used.uuid, snapshot_policy={"name": "none"})
    with refused("1638527"):
        SnapshotPolicy(name="nightly", svm=SVM, copies=[{"count": 3, "schedule": {"name": "daily"}}]).post()
    with refused("1638413"):
        SnapshotPolicy(name="odd", svm=SVM, copies=[{"count": 3, "schedule": {"name": "never"}}]).post()
    made.delete()
    assert SnapshotPolicy.find(name="nightly") is None
    with refused("1638431"):
        SnapshotPolicy.find(name="none").delete()


def test_rules_are_kept_in_order(connection):
    policy = ExportPolicy(name="rules", svm=SVM)
    policy.post(hydrate=True)
    for match in ("10.0.0.1", "10.0.0.2"):
        ExportRule(policy.id, clients=[{"match": match}], ro_rule=["sys"], rw_rule=["sys"]).post()
    first = ExportRule(policy.id, index=1)
    first.get()
    assert first.clients[0].match == "10.0.0.1"
    first.clients = [{"match": "10.0.0.9"}, {"match": "10.0.0.8"}]
    first.patch(new_index=7)
    rules = list(ExportRule.get_collection(policy.id, fields="*"))
    assert [(rule.index, [c.match for c in rule.clients]) for rule in rules] == [
        (2, ["10.0.0.2"]),
        (7, ["10.0.0.9", "10.0.0.8"]),
    ]
    with refused("4", status=404):
        first.get()
    rules[0].delete()
    policy.get(fields="**")
    assert [rule.index for rule in policy.rules] == [7]
    with refused("1704039"):
        ExportRule(policy.id, clients=[{"match": "not a host"}], ro_rule=["sys"], rw_rule=["sys"]).post()
    with refused("262212", target="rw_rule"):
        ExportRule(policy.id, clients=[{"match": "10.0.0.3"}], ro_rule=["sys"]).post()
    with refused("1", status=409):
        ExportPolicy(name="rules", svm=SVM).post()


# --- refusals ---


def test_what_is_unknown_is_named(connection):
    with refused("262197", target="fields", text="nonsense"):
        list(Volume.get_collection(fields="nonsense"))
    with refused("262179", text='Unexpected argument "nonsense".'):
        list(Volume.get_collection(nonsense="1"))
    with refused("262179", text='Unexpected argument "nonsense".'):
        Volume.patch_collection({"nonsense": 1}, name="*")
    assert list(Volume.get_collection(fields="name,nonsense", ignore_unknown_fields="true")) == []


@pytest.mark.parametrize(("name", "code"), [("1abc", "917887"), ("a-b", "917888"), ("a b", "917888")])
def test_bad_names_are_refused(connection, name, code):
    with refused(code, status=400, target="name"):
        volume(name, "memory")


def test_bad_names_of_others_are_refused_too(connection):
    made = volume("v", "memory")
    with refused("1638518", target="name"):
        Snapshot(made.uuid, name="a/b").post()
    with refused("2621519", target="name"):
        Svm(name="1st").post()
    with refused("1703952", target="name"):
        ExportPolicy(name="a b", svm=SVM).post()
    with refused("1638417", target="name"):
        SnapshotPolicy(name="a b", svm=SVM, copies=[{"count": 3, "schedule": {"name": "daily"}}]).post()


def test_a_name_is_given_once_and_a_size_is_at_least_the_minimum(connection):
    volume("twice", "memory")
    with refused("917526", status=409, target="name"):
        volume("twice", "memory")
    with refused("917534", status=400, target="size"):
        volume("tiny", "memory", size=MIB)
    assert names() == ["twice"]


def test_what_a_body_refers_to_must_exist(connection):
    for body, code in (
        ({"svm": {"name": "nobody"}, "aggregates": [{"name": "memory"}]}, "2621462"),
        ({"svm": SVM, "aggregates": [{"name": "nowhere"}]}, "917508"),
        ({"svm": SVM}, "787140"),
        ({"aggregates": [{"name": "memory"}]}, "2621707"),
        ({"svm": SVM, "aggregates": [{"name": "memory"}], "nas": {"export_policy": {"name": "none"}}}, "1703954"),
        ({"svm": SVM, "aggregates": [{"name": "memory"}], "snapshot_policy": {"name": "odd"}}, "917551"),
        ({"svm": SVM, "clone": {"is_flexclone": True, "parent_volume": {"name": "nobody"}}}, "524601"),
    ):
        with refused(code):
            Volume(name="v", **body).post()
    assert names() == []


def test_what_is_missing_has_no_entry(connection):
    for record in (Volume(uuid=MISSING), Svm(uuid=MISSING), Aggregate(uuid=MISSING), Snapshot(MISSING, uuid=MISSING)):
        with refused("4", status=404, text="entry doesn't exist"):
            record.get()
    with refused("4", status=404):
        Volume(uuid=MISSING).delete()
    with refused("4", status=404):
        patch(MISSING, comment="c")
    with refused("4", status=404):
        ExportPolicy(id=999999).get()


def test_what_is_in_use_stays(history):
    with refused("524615", status=409):
        history.delete()
    with refused("1638555", status=409):
        Snapshot.find(history.uuid, name="s2").delete()
    with refused("1638480", status=409):
        Volume(uuid=history.uuid).patch(**{"restore_to.snapshot.name": "s1"})
    patch(history.uuid, state="offline")
    with refused("9437885"):
        Volume(uuid=history.uuid).patch(**{"restore_to.snapshot.name": "s2"})
    patch(history.uuid, state="online", nas={"path": "/once"})
    with refused("918252", status=409):
        patch(Volume.find(name="copy").uuid, nas={"path": "/once"})
    ExportPolicy(name="busy", svm=SVM).post()
    patch(history.uuid, nas={"export_policy": {"name": "busy"}})
    with refused("1703945"):
        ExportPolicy.find(name="busy").delete()
    with refused("1703947"):
        ExportPolicy.find(name="default").delete()
    assert sorted(names()) == ["copy", "parent"]
    assert Snapshot.count_collection(history.uuid) == 2


def test_a_pool_that_lacks_a_capability_says_so_at_once(connection):
    plain = volume("plain", "plain")
    fixed = volume("fixed", "fixed")
    jobs = Job.count_collection()
    with refused("1638644", status=400, text='Pool "plain" lacks "snapshot"'):
        Snapshot(plain.uuid, name="s").post()
    with refused("918703", status=400, text='lacks "resize"'):
        patch(fixed.uuid, size=128 * MIB)
    with refused("918701", status=400, text='lacks "clone"'):
        clone("copy", "fixed")
    assert Job.count_collection() == jobs
    Snapshot(fixed.uuid, name="s").post()
    with refused("918703", status=400, text='lacks "restore"'):
        Volume(uuid=fixed.uuid).patch(**{"restore_to.snapshot.name": "s"})
    with refused("19726544"):
        Aggregate.find(name="memory").delete()


def test_the_door_carries_out_no_more_than_it_says(connection):
    made = volume("v", "memory")
    with refused("918703", status=400, target="tiering.policy"):
        patch(made.uuid, tiering={"policy": "all"})
    with refused("918701", status=400, target="encryption.enabled"):
        volume("w", "memory", encryption={"enabled": True})
    patch(made.uuid, tiering={"policy": "none"})


# --- bulk ---


def test_a_query_changes_and_deletes_all_it_matches(connection):
    for name in ("q1", "q2", "q3", "left"):
        volume(name, "memory")
    Volume.patch_collection({"comment": "marked"}, name="q*")
    assert names(comment="marked", order_by="name") == ["q1", "q2", "q3"]
    Volume.patch_collection({"comment": "again"}, name="q*", max_records=1)
    assert names(comment="again", order_by="name") == ["q1", "q2", "q3"]
    Volume.patch_collection({"comment": "none"}, name="nothing*")
    made = Volume.find(name="left")
    for name in ("s1", "s2", "keep"):
        Snapshot(made.uuid, name=name).post()
    Snapshot.delete_collection(made.uuid, name="s*")
    assert [found.name for found in Snapshot.get_collection(made.uuid)] == ["keep"]
    Volume.delete_collection(name="q*", max_records=2)
    assert names() == ["left"]
    with refused("262194", status=400):
        Volume.delete_collection()
    assert names() == ["left"]


def described(*wanted: str, **fields) -> list[Volume]:
    return [Volume(name=name, svm=SVM, aggregates=[{"name": "memory"}], size=20 * MIB, **fields) for name in wanted]


def test_many_volumes_are_one_job(connection):
    made = Volume.post_collection(described("m1", "m2", "m3"), hydrate=True)
    assert [(found.name, found.size, found.state) for found in made] == [
        (name, 20 * MIB, "online") for name in ("m1", "m2", "m3")
    ]
    for found in made:
        found.comment = f"comment of {found.name}"
    Volume.patch_collection({}, records=made)
    assert names(comment="comment of m*", order_by="name") == ["m1", "m2", "m3"]
    Volume.delete_collection(records=made[:2])
    assert names() == ["m3"]


def test_many_volumes_are_made_together_or_not_at_all(connection):
    volume("taken", "memory")
    with pytest.raises(NetAppRestError, match=r'record "svm\.name: svm1, name: taken" failed'):
        Volume.post_collection(described("n1", "taken", "n2"))
    assert names() == ["taken"]
    with pytest.raises(NetAppRestError, match="POST of record"):
        Volume.post_collection(described("n1", "taken", "n2"), continue_on_failure="true")
    assert names(order_by="name") == ["n1", "n2", "taken"]


def test_many_snapshots_and_policies_are_one_job(connection):
    parent = volume("parent", "memory")
    made = Snapshot.post_collection([Snapshot(parent.uuid, name=f"s{n}") for n in range(3)], parent.uuid)
    assert sorted(found.name for found in made) == ["s0", "s1", "s2"]
    Snapshot.delete_collection(parent.uuid, records=made)
    assert Snapshot.count_collection(parent.uuid) == 0
    policies = ExportPolicy.post_collection([ExportPolicy(name=f"p{n}", svm=SVM) for n in range(2)])
    assert sorted(found.name for found in policies) == ["p0", "p1"]
    with pytest.raises(NetAppRestError, match="duplicate entry"):
        ExportPolicy.post_collection([ExportPolicy(name=f"p{n}", svm=SVM) for n in (5, 1)])
    assert ExportPolicy.find(name="p5") is None


def test_a_job_that_failed_tells_the_sdk_why(connection):
    with pytest.raises(NetAppRestError):
        Volume.post_collection(described("f1", "f1"), serial_records="true")
    failed = next(iter(Job.get_collection(state="failure", order_by="start_time desc", fields="**")))
    assert failed.message.startswith('POST of record "svm.name: svm1, name: f1" failed. Reason: Duplicate volume name')
    assert (failed.code, failed.error.code) == (262287, "262287")
    assert names() == []
