"""SVMs, volumes and what belongs to them, by the modules of netapp.ontap."""

from __future__ import annotations

import pytest
from ansible_scene import Results, Step, begin, end, play

from gateway.testing.live import live_gateway

pytestmark = pytest.mark.timeout(900)

POOLS = """
[backend.memory]
[backend.second]
driver = "memory"
"""
HERE = {"vserver": "svm2"}
VA = {"name": "va", **HERE}
VOLUME = {
    **VA,
    "aggregate_name": "memory",
    "size": 64,
    "size_unit": "mb",
    "junction_path": "/va",
    "unix_permissions": "755",
    "comment": "first",
}
CHANGED = {"size": 128, "comment": "second", "unix_permissions": "750"}
POLICIES = {"export_policy": "clients", "snapshot_policy": "keeping"}
SNAPSHOT = {"snapshot": "before", "volume": "va", **HERE}
CLONE = {"name": "vc", "parent_volume": "va", "parent_snapshot": "after", "junction_path": "/vc", **HERE}
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

STEPS: tuple[Step, ...] = (
    *begin(
        "svm",
        {"name": "svm2", "comment": "a tenant"},
        {"comment": "another word"},
        {"admin_state": "stopped"},
        {"admin_state": "running"},
    ),
    *begin("export_policy", CLIENTS),
    *begin("export_policy_rule", RULE, {"client_match": ["10.0.0.0/8", "192.168.0.0/16"], "rw_rule": ["never"]}),
    *begin("job_schedule", TWICE_A_DAY, {"job_hours": [7]}),
    *begin("snapshot_policy", KEEPING, {"comment": "more", "enabled": False}, {"count": [5, 3]}),
    *begin(
        "volume", VOLUME, CHANGED, {"export_policy": "clients", "snapshot_policy": "keeping"}, {"junction_path": ""}
    ),
    *begin("snapshot", SNAPSHOT, {"comment": "as it was"}, {"from_name": "before", "snapshot": "after"}),
    *begin("volume_clone", CLONE),
    *end("volume", {"name": "vc", **HERE}, label="volume_clone"),
    *end("snapshot", {**SNAPSHOT, "snapshot": "after"}),
    *end("volume", VA),
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
