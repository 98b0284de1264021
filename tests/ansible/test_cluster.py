"""The cluster and what modules read of it, by the modules of netapp.ontap."""

from __future__ import annotations

import re
import time
from uuid import UUID

import pytest
from ansible_scene import ANSIBLE, Results, Step, begin, once, play

from gateway.frontends.ontap_rest.endpoints import routes
from gateway.frontends.ontap_rest.schema import load_schema
from gateway.frontends.ontap_rest.sources import Site
from gateway.testing.live import live_gateway

pytestmark = pytest.mark.timeout(900)

MODULES = ANSIBLE / "collections/ansible_collections/netapp/ontap/plugins/modules"
HERE = {"vserver": "svm1"}
VOLUME = {"name": "va", **HERE, "aggregate_name": "memory", "size": 64, "size_unit": "mb"}
PLACE = {"cluster_location": "a cellar"}


def subsets() -> list[str]:
    """Give those collections that the gateway serves and rest_info knows."""
    site = Site(name="g", cluster_id=UUID(int=1), addresses=(), started=time.monotonic())
    known = set(re.findall(r"'([a-z0-9/-]+)': {", (MODULES / "na_ontap_rest_info.py").read_text()))
    return sorted(known & routes(load_schema(), site).keys())


STEPS: tuple[Step, ...] = (
    *begin("cluster", PLACE, {"cluster_contact": "somebody"}),
    once("cluster: renamed", "cluster", {"cluster_name": "another"}, refused="262144017"),
    once("volume", "volume", VOLUME, changed=True),
    once("aggregate", "aggregate", {"name": "memory", "service_state": "online"}),
    once("aggregate: create", "aggregate", {"name": "third", "disk_count": 5, "nodes": ["a"]}, refused="19726544"),
    once("volume_efficiency", "volume_efficiency", {"path": "/vol/va", **HERE, "state": "absent"}),
    once("volume_efficiency: on", "volume_efficiency", {"path": "/vol/va", **HERE}, refused="918703"),
    once("rest_info", "rest_info", {"gather_subset": subsets(), "fields": ["*"]}),
    once("rest_info: keys only", "rest_info", {"gather_subset": subsets(), "hal_linking": False}),
    once("rest_info: everything", "rest_info", {"gather_subset": ["all"]}),
    once("rest_info: all fields", "rest_info", {"gather_subset": ["storage/volumes"], "fields": ["**"]}),
    once("restit: read", "restit", {"api": "storage/volumes", "query": {"name": "va", "fields": "size"}}),
    once(
        "restit: create",
        "restit",
        {
            "api": "storage/volumes",
            "method": "POST",
            "body": {"name": "vr", "svm.name": "svm1", "aggregates": [{"name": "memory"}], "size": "64MB"},
            "wait_for_completion": True,
        },
        changed=True,
    ),
    once(
        "restit: create again",
        "restit",
        {
            "api": "storage/volumes",
            "method": "POST",
            "body": {"name": "vr", "svm.name": "svm1", "aggregates": [{"name": "memory"}], "size": "64MB"},
        },
        refused="917526",
    ),
    once(
        "restit: remove",
        "restit",
        {"api": "storage/volumes", "method": "DELETE", "query": {"name": "vr"}},
        changed=True,
    ),
)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    folder = tmp_path_factory.mktemp("cluster")
    with live_gateway(folder / "gateway", tls=True) as gateway:
        return play(gateway, STEPS, folder / "play")


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
def test_step(results: Results, step: Step) -> None:
    step.verify(results[step.name])
