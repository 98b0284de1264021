"""`{"records": [...]}` through a live door: one job, its results, what is rolled back, what a restart leaves."""

from __future__ import annotations

import pytest
from live_scene import JOBS, MISSING, POLICIES, SNAPSHOTS, SVMS, VOLUMES, Door, door, refusal

from gateway.testing.btrfs_pool import btrfs_pool
from gateway.testing.live import LiveGateway, live_gateway

MIB = 1 << 20


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    with live_gateway(tmp_path_factory.mktemp("door")) as running:
        yield running


@pytest.fixture
def ontap(gateway):
    with door(gateway) as opened:
        yield opened
        opened.leave_nothing()


def described(name: str, **fields) -> dict:
    return {"name": name, "svm": {"name": "svm1"}, "aggregates": [{"name": "memory"}], **fields}


def batch(ontap: Door, verb: str, path: str, *records: dict, query: str = "") -> tuple[dict, dict]:
    """Send a batch; give its job as it ended and its results."""
    answer = ontap.ask(verb, f"{path}?{query}" if query else path, {"records": list(records)})
    assert answer.status_code == 202, answer.text
    job = answer.json()["job"]
    href = job["_links"]["results"]["href"]
    assert href == answer.headers["Location"] == f"{path}?job_results_uuid={job['uuid']}"
    ended = ontap.job(answer.json())
    return ended, ontap.get(href)


def test_volumes_are_made_changed_and_deleted_in_batches(ontap):
    job, results = batch(ontap, "POST", VOLUMES, *(described(name) for name in "abc"))
    assert (job["state"], job["message"], job["code"]) == ("success", "success", 0)
    assert job["description"] == f"POST {VOLUMES}"
    assert (results["num_records"], [record["name"] for record in results["records"]]) == (3, ["a", "b", "c"])
    assert not {"errors", "rollback_errors"} & results.keys()

    by_key = [{"uuid": record["uuid"], "comment": record["name"] * 3} for record in results["records"][:2]]
    job, results = batch(ontap, "PATCH", VOLUMES, *by_key, {"name": "c", "svm.name": "svm1", "comment": "by name"})
    assert job["state"] == "success"
    assert [record["comment"] for record in results["records"]] == ["aaa", "bbb", "by name"]

    job, results = batch(ontap, "DELETE", VOLUMES, {"uuid": by_key[0]["uuid"]}, {"name": "c"})
    assert (job["state"], results["records"]) == ("success", [])
    assert ontap.names() == ["b"]


def test_a_create_that_fails_takes_the_others_back(ontap):
    job, results = batch(
        ontap, "POST", VOLUMES, described("a"), described("b"), described("a"), query="serial_records=true"
    )
    reason = 'Duplicate volume name "a": it is already in use in the SVM.'
    message = f'POST of record "svm.name: svm1, name: a" failed. Reason: {reason}'
    error = {
        "message": message,
        "code": "262287",
        "arguments": [{"code": "917526", "message": reason}],
        "target": "name",
    }
    assert (job["state"], job["code"], job["message"], job["error"]) == ("failure", 262287, message, error)
    assert (results["records"], results["errors"]) == ([], [error])
    assert "rollback_errors" not in results
    assert ontap.names() == []


def test_continue_on_failure_keeps_what_worked(ontap):
    records = [described("a"), {**described("b"), "aggregates": [{"name": "nowhere"}]}, described("c")]
    job, results = batch(ontap, "POST", VOLUMES, *records, query="continue_on_failure=true")
    assert job["state"] == "failure"
    assert [record["name"] for record in results["records"]] == ["a", "c"]
    assert [error["arguments"][0]["code"] for error in results["errors"]] == ["917508"]
    assert ontap.names() == ["a", "c"]


def test_a_delete_always_goes_on(ontap):
    first, last = ontap.volume("a"), ontap.volume("z")
    job, results = batch(ontap, "DELETE", VOLUMES, {"uuid": first}, {"uuid": MISSING}, {"uuid": last})
    assert job["state"] == "failure"
    assert [error["arguments"][0]["code"] for error in results["errors"]] == ["4"]
    assert ontap.names() == []


def test_a_change_that_fails_puts_the_others_back(ontap):
    uuid = ontap.volume("a", size=40 * MIB, **{"nas.path": "/a", "comment": "old", "_tags": ["k:v"]})
    before = ontap.get(f"{VOLUMES}/{uuid}?fields=**")
    changed = {"uuid": uuid, "name": "b", "size": 60 * MIB, "comment": "new", "_tags": ["x:y"], "state": "offline"}
    job, results = batch(
        ontap, "PATCH", VOLUMES, changed, {"uuid": MISSING, "comment": "c"}, query="serial_records=true"
    )
    assert (job["state"], results["records"]) == ("failure", [])
    assert ontap.get(f"{VOLUMES}/{uuid}?fields=**") == before


def test_what_cannot_be_rolled_back_is_told(ontap):
    uuid = ontap.volume("a")
    ontap.snapshot(uuid, "s")
    job, results = batch(
        ontap,
        "PATCH",
        VOLUMES,
        {"uuid": uuid, "restore_to.snapshot.name": "s"},
        {"uuid": MISSING, "comment": "c"},
        query="serial_records=true",
    )
    assert job["state"] == "failure"
    assert [record["name"] for record in results["records"]] == ["a"]
    (error,) = results["rollback_errors"]
    assert error["message"].startswith(f'Rollback of record "uuid: {uuid}" failed. Reason: Cannot take back volume "a"')


def test_a_clone_that_is_taken_back_takes_its_snapshot_along(ontap):
    uuid = ontap.volume("a")
    clone = {"name": "c", "svm.name": "svm1", "clone.is_flexclone": True, "clone.parent_volume.name": "a"}
    job, _ = batch(ontap, "POST", VOLUMES, clone, described("a"), query="serial_records=true")
    assert job["state"] == "failure"
    assert ontap.names() == ["a"]
    assert ontap.names(path=SNAPSHOTS.format(uuid)) == []


def test_snapshots_policies_rules_and_svms_too(ontap):
    uuid = ontap.volume("a")
    path = SNAPSHOTS.format(uuid)
    _, results = batch(ontap, "POST", path, {"name": "s1"}, {"name": "s2"})
    assert sorted(record["name"] for record in results["records"]) == ["s1", "s2"]
    job, _ = batch(ontap, "PATCH", path, {"name": "s1", "comment": "c"}, {"name": "s3", "comment": "c"})
    assert job["state"] == "failure"
    assert ontap.names("comment=c", path) == []
    job, _ = batch(ontap, "DELETE", path, {"name": "s1"}, {"name": "s2"})
    assert (job["state"], ontap.names(path=path)) == ("success", [])

    job, results = batch(ontap, "POST", POLICIES, {"name": "p", "svm.name": "svm1"}, {"name": "q", "svm.name": "svm1"})
    assert [record["name"] for record in results["records"]] == ["p", "q"]
    rules = f"{POLICIES}/{results['records'][0]['id']}/rules"
    rule = {"clients": [{"match": "10.0.0.1"}], "ro_rule": ["any"], "rw_rule": ["any"]}
    job, results = batch(ontap, "POST", rules, rule, {**rule, "clients": [{"match": "10.0.0.2"}]})
    assert sorted(record["index"] for record in results["records"]) == [1, 2]
    job, _ = batch(ontap, "PATCH", rules, {"index": 1, "rw_rule": ["none"]}, {"index": 9, "rw_rule": ["none"]})
    assert job["state"] == "failure"
    assert [record["rw_rule"] for record in ontap.get(f"{rules}?fields=rw_rule")["records"]] == [["any"], ["any"]]
    job, _ = batch(ontap, "PATCH", POLICIES, {"name": "p", "rules": []}, {"name": "nothing", "rules": []})
    assert job["state"] == "failure"
    assert ontap.get(rules)["num_records"] == 2

    job, results = batch(ontap, "POST", SVMS, {"name": "t1"}, {"name": "t2", "comment": "kept"})
    assert sorted(record["name"] for record in results["records"]) == ["t1", "t2"]
    job, _ = batch(ontap, "PATCH", SVMS, {"name": "t2", "comment": "new"}, {"name": "t3", "comment": "new"})
    assert job["state"] == "failure"
    assert ontap.names("comment=kept", SVMS) == ["t2"]


def test_snapshot_policies_are_put_back_too(ontap):
    path = "/api/storage/snapshot-policies"
    copies = [{"count": 3, "schedule": {"name": "daily"}}]
    body = {"copies": copies, "svm.name": "svm1", "comment": "old"}
    job, results = batch(ontap, "POST", path, {"name": "p", **body}, {"name": "q", **body})
    keys = [{"uuid": record["uuid"]} for record in results["records"]]
    assert len(keys) == 2
    change = {"comment": "new", "enabled": False}
    job, _ = batch(ontap, "PATCH", path, {**keys[0], **change}, {"uuid": MISSING, **change})
    assert job["state"] == "failure"
    assert ontap.get(f"{path}?comment=old&enabled=true")["num_records"] == 2
    job, results = batch(ontap, "PATCH", path, *({**key, **change} for key in keys))
    assert [record["enabled"] for record in results["records"]] == [False, False]
    job, _ = batch(ontap, "DELETE", path, *keys)
    assert (job["state"], ontap.get(f"{path}?comment=new")["num_records"]) == ("success", 0)


def test_a_name_that_two_svms_use_is_not_enough(ontap):
    ontap.must("POST", f"{SVMS}?return_timeout=60", {"name": "svm2"})
    for svm in ("svm1", "svm2"):
        job, _ = batch(ontap, "POST", VOLUMES, {**described("v"), "svm": {"name": svm}})
        assert job["state"] == "success"
    job, results = batch(ontap, "PATCH", VOLUMES, {"name": "v", "comment": "c"})
    assert [error["arguments"][0]["code"] for error in results["errors"]] == ["262186"]
    job, results = batch(ontap, "PATCH", VOLUMES, {"name": "v", "svm": {"name": "svm2"}, "comment": "c"})
    assert job["state"] == "success"
    assert ontap.get(f"{VOLUMES}?comment=c&fields=svm.name")["records"][0]["svm"]["name"] == "svm2"


def test_a_tunnelled_batch_needs_no_svm(ontap):
    body = {"records": [{"name": "a", "aggregates": [{"name": "memory"}]}]}
    made = ontap.must("POST", VOLUMES, body, x_dot_svm_name="svm1")
    assert ontap.job(made)["state"] == "success"
    assert ontap.names("svm.name=svm1") == ["a"]


@pytest.mark.parametrize(
    ("verb", "records", "code"),
    [
        ("POST", [], "262212"),
        ("POST", ["a"], "262200"),
        ("POST", [described("a"), {**described("b"), "nonsense": 1}], "262179"),
        ("POST", [described("a"), described("1b")], "917887"),
        ("POST", [described("a"), {"name": "b", "aggregates": [{"name": "memory"}]}], "2621707"),
        ("POST", [described("a", encryption={"enabled": True})], "918701"),
        ("PATCH", [{"comment": "which?"}], "262212"),
        ("PATCH", [{"uuid": MISSING, "restore_to.snapshot.name": ""}], "1638515"),
        ("DELETE", [{"uuid": MISSING, "comment": "c"}], "262196"),
        ("POST", [described(f"v{number}") for number in range(1001)], "262200"),
    ],
)
def test_what_is_wrong_with_a_record_as_it_was_sent_is_said_at_once(ontap, verb, records, code):
    jobs = ontap.get(f"{JOBS}?return_records=false")["num_records"]
    assert refusal(ontap.ask(verb, VOLUMES, {"records": records})) == (400, code)
    assert ontap.get(f"{JOBS}?return_records=false")["num_records"] == jobs
    assert ontap.names() == []


def test_records_belong_to_collections(ontap):
    uuid = ontap.volume("v")
    answer = ontap.ask("PATCH", f"{VOLUMES}/{uuid}", {"records": [{"comment": "c"}]})
    assert refusal(answer) == (400, "262179")
    assert refusal(ontap.ask("POST", "/api/network/ip/interfaces", {"records": [{}]})) == (405, "3")


def test_results_are_those_of_one_job_and_one_collection(ontap):
    made = ontap.must("POST", f"{VOLUMES}?return_timeout=60", {"records": [described("a")]})
    uuid = made["job"]["uuid"]
    assert refusal(ontap.ask("GET", f"{POLICIES}?job_results_uuid={uuid}")) == (400, "262294")
    assert refusal(ontap.ask("GET", f"{VOLUMES}?job_results_uuid={MISSING}")) == (404, "4")
    assert refusal(ontap.ask("GET", f"{VOLUMES}?job_results_uuid=nonsense")) == (400, "262197")
    shown = ontap.get(f"{VOLUMES}?job_results_uuid={uuid}&fields=size", accept="application/json")
    (record,) = shown["records"]
    assert record == {"uuid": record["uuid"], "name": "a", "size": 20 * MIB}


def killed_in_a_batch(gateway: LiveGateway, point: str, pool: str) -> dict:
    """Kill the gateway at the third volume of six and start it again; give what it answered to the batch."""
    gateway.start()
    gateway.arm(point, 3)
    with door(gateway) as ontap:
        body = {"records": [described(f"v{number}", aggregates=[{"name": pool}]) for number in range(6)]}
        made = ontap.must("POST", f"{VOLUMES}?serial_records=true", body)
    gateway.wait()
    gateway.start()
    return made["job"]


def test_a_killed_gateway_ends_its_batches_when_it_starts_again(tmp_path):
    gateway = LiveGateway(tmp_path)
    try:
        sent = killed_in_a_batch(gateway, "volume.create.committed", "memory")
        with door(gateway) as ontap:
            job = ontap.get(f"{JOBS}/{sent['uuid']}?fields=**")
            assert (job["state"], job["code"]) == ("failure", 65552)
            assert "restarted before the whole batch was done" in job["message"]
            assert ontap.get(sent["_links"]["results"]["href"])["errors"] == [job["error"]]
            assert ontap.get(f"{JOBS}?state=!success")["records"][0]["uuid"] == sent["uuid"]
    finally:
        gateway.kill()


@pytest.mark.root
@pytest.mark.parametrize(
    ("point", "left"), [("volume.create.journalled", 2), ("volume.create.applied", 3), ("volume.create.committed", 3)]
)
def test_a_kill_leaves_whole_volumes_of_a_batch(tmp_path, point, left):
    with btrfs_pool(tmp_path / "disk") as mount:
        gateway = LiveGateway(tmp_path / "gateway", pools=f'[backend.fast]\ndriver = "btrfs"\npath = "{mount}"\n')
        try:
            sent = killed_in_a_batch(gateway, point, "fast")
            with door(gateway) as ontap:
                # The third one is made whole or not at all; the batch does not know of it, and says so.
                assert ontap.names("state=online") == ontap.names() == [f"v{number}" for number in range(left)]
                results = ontap.get(sent["_links"]["results"]["href"])
                assert [record["name"] for record in results["records"]] == ["v0", "v1"]
                assert ontap.get(f"{JOBS}?state=running|queued")["num_records"] == 0
                ontap.leave_nothing()
                assert ontap.names() == []
        finally:
            gateway.kill()
