"""LUNs and SnapMirror, by the modules of netapp.ontap."""

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
HERE = {"vserver": "svm1"}
HOSTS = {"name": "hosts", **HERE, "os_type": "linux", "initiator_group_type": "iscsi"}
ONE, TWO = "iqn.1993-08.org.debian:01:one", "iqn.1993-08.org.debian:01:two"
RENAMED = {"from_name": "hosts", "name": "nodes", "initiator_names": [TWO]}
BLOCKS = {"name": "vb", **HERE, "aggregate_name": "memory", "size": 64, "size_unit": "mb"}
DISK = {
    "name": "disk",
    "flexvol_name": "vb",
    **HERE,
    "size": 32,
    "size_unit": "mb",
    "os_type": "linux",
    "space_reserve": False,
}
MAPPED = {"initiator_group_name": "nodes", "path": "/vol/vb/drive", "lun_id": "7", **HERE}
SOURCE = {"name": "va", **HERE, "aggregate_name": "memory", "size": 64, "size_unit": "mb"}
RULES = {
    "name": "nightly",
    **HERE,
    "policy_type": "vault",
    "snapmirror_label": ["day"],
    "keep": [7],
}
MIRROR = {
    "source_endpoint": {"path": "svm1:va"},
    "destination_endpoint": {"path": "svm1:vd"},
    "create_destination": {"enabled": True},
    "policy": "MirrorLatest",
    "transferring_time_out": 0,
    "update": False,
}
BROKEN = {"relationship_state": "broken", "quiesced_time_out": 20}

STEPS: tuple[Step, ...] = (
    *begin("volume", BLOCKS, label="volume of blocks"),
    *begin("lun", DISK, {"size": 48, "comment": "grown"}, {"from_name": "disk", "name": "drive"}),
    *begin("igroup", HOSTS, {"initiator_names": [ONE]}, RENAMED),
    *begin("lun_map", MAPPED),
    *end("lun_map", MAPPED),
    *end("igroup", {"name": "nodes", **HERE}),
    *end("lun", {"name": "drive", "flexvol_name": "vb", **HERE}),
    *begin("volume", SOURCE, label="source"),
    *begin("snapmirror_policy", RULES, {"comment": "each night"}, {"keep": [8]}),
    *begin("snapmirror", MIRROR),
    once(
        "pause",
        "restit",
        {
            "api": "snapmirror/relationships",
            "method": "PATCH",
            "query": {"destination.path": "svm1:vd"},
            "body": {"state": "paused"},
        },
        changed=True,
    ),
    once("snapmirror: break", "snapmirror", {**MIRROR, **BROKEN}, changed=True),
    once("snapmirror: break again", "snapmirror", {**MIRROR, **BROKEN}),
    *end("snapmirror", MIRROR),
    *end("snapmirror_policy", {"name": "nightly", **HERE}),
)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    folder = tmp_path_factory.mktemp("blocks")
    with live_gateway(folder / "gateway", tls=True, pools=POOLS) as gateway:
        return play(gateway, STEPS, folder / "play")


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
def test_step(results: Results, step: Step) -> None:
    step.verify(results[step.name])
