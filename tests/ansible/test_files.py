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
SVM = {"name": "svm2", "comment": "a tenant"}
VOLUME = {
    "name": "va",
    "vserver": "svm2",
    "aggregate_name": "memory",
    "size": 64,
    "size_unit": "mb",
    "junction_path": "/va",
    "unix_permissions": "755",
    "comment": "first",
}
STEPS: tuple[Step, ...] = (
    *begin("svm", SVM, {"comment": "another word"}),
    *begin("volume", VOLUME, {"size": 128, "comment": "second", "unix_permissions": "750"}, {"junction_path": ""}),
    *end("volume", {"name": "va", "vserver": "svm2"}),
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
