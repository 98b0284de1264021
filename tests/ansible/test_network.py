"""What exporters serve, by the modules of netapp.ontap."""

from __future__ import annotations

import pytest
from ansible_scene import Results, Step, begin, end, once, play
from exporter_scene import free_port

from gateway.testing.live import live_gateway

pytestmark = [pytest.mark.root, pytest.mark.timeout(900)]

HERE = {"vserver": "svm1"}
FILES = {**HERE, "nfsv4": "enabled", "nfsv41": "enabled", "tcp": "enabled"}
SHOWN = {
    "interface_name": "svm1_data_1",
    **HERE,
    "address": "127.0.0.1",
    "netmask": "255.255.255.255",
    "service_policy": "default-data-files",
    "admin_status": "up",
}

STEPS: tuple[Step, ...] = (
    once("nfs: there", "nfs", FILES),
    once("nfs: stop", "nfs", {**FILES, "service_state": "stopped"}, changed=True),
    once("nfs: stop again", "nfs", {**FILES, "service_state": "stopped"}),
    *end("nfs", HERE),
    *begin("nfs", FILES),
    once("nfs: version 3", "nfs", {**HERE, "nfsv3": "enabled"}, refused="262144017"),
    once("interface", "interface", SHOWN),
    once("interface: down", "interface", {**SHOWN, "admin_status": "down"}, refused="not supported"),
    *begin("iscsi", {**HERE, "service_state": "started"}, {"target_alias": "disks"}),
    *end("iscsi", HERE),
)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    folder = tmp_path_factory.mktemp("network")
    extra = f"[export.nfs]\nport = {free_port()}\n"
    with live_gateway(folder / "gateway", tls=True, extra=extra) as gateway:
        return play(gateway, STEPS, folder / "play")


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
def test_step(results: Results, step: Step) -> None:
    step.verify(results[step.name])
