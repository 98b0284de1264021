"""Qtrees, quotas and QoS policies, by the modules of netapp.ontap."""

from __future__ import annotations

import pytest
from ansible_scene import Results, Step, begin, end, once, play

from gateway.testing.live import live_gateway

pytestmark = pytest.mark.timeout(900)

HERE = {"vserver": "svm1"}
VOLUME = {"name": "va", **HERE, "aggregate_name": "memory", "size": 64, "size_unit": "mb"}
QTREE = {"name": "one", "flexvol_name": "va", **HERE, "unix_permissions": "755"}
QUOTA = {"volume": "va", **HERE, "type": "tree", "quota_target": ""}
GOLD = {"name": "gold", **HERE, "fixed_qos_options": {"max_throughput_iops": 100}}
GROWING = {"volume": "va", **HERE, "mode": "grow", "maximum_size": "128m"}

STEPS: tuple[Step, ...] = (
    once("volume", "volume", VOLUME, changed=True),
    *begin("qtree", QTREE, {"unix_permissions": "750"}, {"from_name": "one", "name": "two"}),
    *end("qtree", {"name": "two", "flexvol_name": "va", **HERE}),
    once("quotas", "quotas", {**QUOTA, "disk_limit": "10mb"}, refused="262144017"),
    once("quotas: remove", "quotas", {**QUOTA, "state": "absent"}),
    once("quotas: off", "quotas", {**QUOTA, "state": "absent", "set_quota_status": False}),
    *begin("volume_autosize", GROWING),
    *begin("qos_policy_group", GOLD, {"fixed_qos_options": {"max_throughput_iops": 200}}),
    *end("qos_policy_group", {"name": "gold", **HERE}),
)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    folder = tmp_path_factory.mktemp("limits")
    with live_gateway(folder / "gateway", tls=True) as gateway:
        return play(gateway, STEPS, folder / "play")


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
def test_step(results: Results, step: Step) -> None:
    step.verify(results[step.name])
