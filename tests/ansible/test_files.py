"""SVMs, volumes and what belongs to them, by the modules of netapp.ontap."""

from __future__ import annotations

import pytest
from ansible_scene import Results, Step, begin, end, once, play

from gateway.testing.live import live_gateway

pytestmark = pytest.mark.timeout(900)

POOLS = """
[backend.memory]
[backend.second]
driver = "memory"
"""
SVM = {
    "name": "svm2",
    "comment": "a tenant",
    "services": {"nfs": {"allowed": False}, "iscsi": {"allowed": True, "enabled": True}},
    "ipspace": "Default",
    "language": "c.utf_8",
    "max_volumes": "unlimited",
    "snapshot_policy": "none",
    "aggr_list": ["memory"],
    "subtype": "default",
}
AGAIN = {"admin_state": "running", "comment": "another word", "aggr_list": ["memory", "second"]}
HERE = {"vserver": "svm2"}
VOLUME = {
    "name": "va",
    **HERE,
    "aggregate_name": "memory",
    "size": 64,
    "size_unit": "mb",
    "junction_path": "/va",
    "unix_permissions": "755",
    "comment": "first",
    "space_guarantee": "none",
    "volume_security_style": "unix",
    "tiering_policy": "none",
    "encrypt": False,
    "percent_snapshot_space": 0,
    "tags": ["kept:yes"],
}
BIGGER = {"size": 128, "comment": "second", "unix_permissions": "750", "tags": ["kept:no"]}
POLICIES = {"export_policy": "clients", "snapshot_policy": "keeping"}
RENAMED = {"from_name": "va", "name": "vb"}
SNAPSHOT = {"snapshot": "before", "volume": "vb", **HERE}
CLONE = {"name": "vc", "parent_volume": "vb", "parent_snapshot": "after", "junction_path": "/vc", **HERE}
TWICE_A_DAY = {"name": "two", "job_minutes": [0], "job_hours": [6, 18]}
KEEPING = {
    "name": "keeping",
    "enabled": True,
    "schedule": ["hourly", "daily"],
    "count": [4, 2],
    "snapmirror_label": ["", "day"],
    "prefix": ["hourly", "daily"],
    **HERE,
}
CLIENTS = {"name": "clients", **HERE}
RULE = {**CLIENTS, "rule_index": 1, "client_match": ["10.0.0.0/8"], "ro_rule": ["sys"], "rw_rule": ["sys"]}
RULE |= {"super_user_security": ["none"], "protocol": ["nfs3", "nfs4"], "allow_suid": False}
RESTORED = {"name": "vb", **HERE, "snapshot_restore": "after"}

STEPS: tuple[Step, ...] = (
    *begin("svm", SVM, {"admin_state": "stopped"}, AGAIN),
    *begin("export_policy", CLIENTS),
    *begin("export_policy_rule", RULE, {"client_match": ["10.0.0.0/8", "192.168.0.0/16"], "rw_rule": ["never"]}),
    *begin("job_schedule", TWICE_A_DAY, {"job_hours": [7]}),
    *begin("snapshot_policy", KEEPING, {"comment": "more", "enabled": False}, {"count": [5, 3]}),
    *begin("volume", VOLUME, BIGGER, POLICIES, {"junction_path": ""}, RENAMED),
    *begin("snapshot", SNAPSHOT, {"comment": "as it was"}, {"from_name": "before", "snapshot": "after"}),
    once("volume: restore", "volume", RESTORED, changed=True),
    *begin("volume_clone", CLONE),
    once("volume_clone: split", "volume_clone", {**CLONE, "split": True}, changed=True),
    once("volume_clone: split again", "volume_clone", {**CLONE, "split": True}),
    *end("volume", {"name": "vc", **HERE}, label="volume_clone"),
    *end("snapshot", {**SNAPSHOT, "snapshot": "after"}),
    *end("volume", {"name": "vb", **HERE}),
    *end("snapshot_policy", {"name": "keeping", **HERE}),
    *end("job_schedule", {"name": "two"}),
    *end("export_policy_rule", {**CLIENTS, "rule_index": 1}),
    *end("export_policy", CLIENTS),
    *end("svm", {"name": "svm2"}),
)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    folder = tmp_path_factory.mktemp("files")
    with live_gateway(folder / "gateway", tls=True, pools=POOLS) as gateway:
        return play(gateway, STEPS, folder / "play")


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
def test_step(results: Results, step: Step) -> None:
    step.verify(results[step.name])
