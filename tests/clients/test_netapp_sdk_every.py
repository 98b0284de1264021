"""Every resource class of the official SDK whose path is served: read in every way, and through its whole life."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import unquote

import httpx
import netapp_ontap.resources
import pytest
from netapp_ontap.error import NetAppRestError
from netapp_ontap.resource import Resource
from netapp_ontap.resources import (
    Account,
    ExportPolicy,
    ExportRule,
    Igroup,
    IgroupInitiator,
    IscsiCredentials,
    IscsiService,
    Lun,
    LunMap,
    QosPolicy,
    Qtree,
    Role,
    RolePrivilege,
    Schedule,
    SnapmirrorPolicy,
    Snapshot,
    SnapshotPolicy,
    SnapshotPolicySchedule,
    Svm,
    Volume,
)
from sdk_scene import OWN_WARNINGS, SVM, sdk

from gateway.frontends.ontap_rest.endpoint import Route
from gateway.frontends.ontap_rest.schema import Verb
from gateway.frontends.ontap_rest.shape import blueprint
from gateway.testing.live import ACCOUNT, PASSWORD, live_gateway
from gateway.testing.ontap.steps import STEPS
from gateway.testing.ontap.walk import PATIENCE_S, POOLS, Walk

pytestmark = [OWN_WARNINGS, pytest.mark.slow]

TABLE = blueprint()
WITHOUT_CLASS = "private/cli/"
GROWING = frozenset({"audit_message", "ems_event", "job"})
"""Resources that get records from being asked."""
OTHERWISE = frozenset({"file", "file_clone", "account_password", "application_log"})
"""Classes that have no collection, which other tests use."""
POOL = [{"name": "memory"}]


class Life(NamedTuple):
    """What a record is made with, what is changed of it, and how it is found; `parent` is what the walk made."""

    kind: type[Resource]
    made: Mapping[str, Any]
    found: Mapping[str, Any]
    changed: Mapping[str, Any] = {}
    parent: str = ""


LIVES: Sequence[Life] = (
    Life(Schedule, {"name": "l", "cron": {"minutes": [1]}}, {"name": "l"}, {"cron": {"minutes": [2]}}),
    Life(Svm, {"name": "life"}, {"name": "life"}, {"comment": "c"}),
    Life(Volume, {"name": "life", "svm": SVM, "aggregates": POOL}, {"name": "life"}, {"comment": "c"}),
    Life(Snapshot, {"name": "life"}, {"name": "life"}, {"comment": "c"}, "vol1"),
    Life(
        SnapshotPolicy,
        {"name": "life", "svm": SVM, "copies": [{"schedule": {"name": "daily"}, "count": 1}]},
        {"name": "life"},
        {"comment": "c"},
    ),
    Life(
        SnapshotPolicySchedule,
        {"schedule": {"name": "monthly"}, "count": 1},
        {"schedule.name": "monthly"},
        {"count": 2},
        "sp1",
    ),
    Life(ExportPolicy, {"name": "life", "svm": SVM}, {"name": "life"}, {"rules": []}),
    Life(
        ExportRule,
        {"clients": [{"match": "192.0.2.9"}], "ro_rule": ["any"], "rw_rule": ["any"]},
        {"clients.match": "192.0.2.9"},
        {"anonymous_user": "0"},
        "ep1",
    ),
    Life(Igroup, {"name": "life", "svm": SVM, "os_type": "linux"}, {"name": "life"}, {"comment": "c"}),
    Life(
        IgroupInitiator,
        {"name": "eui.00000000000000aa"},
        {"name": "eui.00000000000000aa"},
        {"comment": "c"},
        "group",
    ),
    Life(
        IscsiCredentials,
        {"svm": SVM, "initiator": "eui.00000000000000ab", "authentication_type": "none"},
        {"initiator": "eui.00000000000000ab"},
        {"authentication_type": "deny"},
    ),
    Life(SnapmirrorPolicy, {"name": "life", "svm": SVM}, {"name": "life"}, {"comment": "c"}),
    Life(
        QosPolicy,
        {"name": "life", "svm": SVM, "fixed": {"max_throughput_iops": 10}},
        {"name": "life"},
        {"fixed": {"max_throughput_iops": 20}},
    ),
    Life(
        Qtree,
        {"name": "life", "svm": SVM, "volume": {"name": "trees"}},
        {"name": "life"},
        {"unix_permissions": 711},
    ),
    Life(
        Role,
        {"name": "life", "owner": SVM, "privileges": [{"path": "/api/svm", "access": "all"}]},
        {"name": "life"},
    ),
    Life(
        Account,
        {"name": "life", "owner": SVM, "password": "horse-battery-1", "role": {"name": "vsadmin"}},
        {"name": "life"},
        {"comment": "c"},
    ),
)


class Bed(NamedTuple):
    """A gateway that has one of everything: `places` of collections by template, and what the walk's steps `kept`."""

    places: Mapping[str, str]
    kept: Mapping[str, str]


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    with live_gateway(tmp_path_factory.mktemp("every"), pools=POOLS) as gateway:
        caller = httpx.Client(base_url=gateway.url, auth=(ACCOUNT, PASSWORD), trust_env=False, timeout=PATIENCE_S)
        with caller:
            walk = Walk(caller)
            walk.run(STEPS)
        with sdk(gateway):
            group = Igroup(name="empty", svm=SVM, os_type="linux")
            group.post(hydrate=True)
            yield Bed(walk.places, {**walk.kept, "group_key": group.uuid})


def classes() -> Iterator[tuple[Route, type[Resource]]]:
    """Give the SDK's class of every collection that is served."""
    every = [each for each in vars(netapp_ontap.resources).values() if inspect.isclass(each) and hasattr(each, "_path")]
    by_path = {re.sub(r"\{[^}]*\}", "{}", each._path): each for each in every}
    for template, route in TABLE.items():
        if (route.endpoint.singleton or not route.instance) and not template.startswith(WITHOUT_CLASS):
            yield route, by_path[f"/api/{template}"]


def test_every_class_reads_what_is_served(bed: Bed) -> None:
    for route, kind in classes():
        name = route.endpoint.resource.name
        if route.endpoint.singleton:
            kind().get(fields="**")
        elif Verb.GET in route.verbs and name not in OTHERWISE:
            both = zip(route.template.split("/"), bed.places[route.template].split("/"), strict=True)
            _read(kind, [unquote(key) for part, key in both if part == "{}"], steady=name not in GROWING)


def _read(kind: type[Resource], parents: Sequence[str], *, steady: bool) -> None:
    whole = list(kind.get_collection(*parents, fields="**"))
    paged = list(kind.get_collection(*parents, max_records=5))
    number = kind.count_collection(*parents)
    if steady:
        assert len(whole) == len(paged) == number, kind
    for one in whole[:1] if hasattr(kind, "get") else ():
        shown = one.to_dict()
        one.get(fields="**")
        assert one.to_dict().keys() >= shown.keys(), kind


@pytest.mark.parametrize("life", LIVES, ids=lambda life: life.kind.__name__)
def test_a_record_lives(bed: Bed, life: Life) -> None:
    kind = life.kind
    parents = [bed.kept[f"{life.parent}_key"]] if life.parent else []
    made = kind(*parents, **life.made)
    made.post(hydrate=True)
    assert kind.count_collection(*parents, **life.found) == 1
    found = kind.find(*parents, **life.found)
    assert found is not None
    if life.changed:
        for field, value in life.changed.items():
            setattr(found, field, value)
        found.patch()
        kind.patch_collection(dict(life.changed), *parents, **life.found)
        found.get(fields="*")
        assert _covers(found.to_dict(), life.changed)
    found.delete()
    assert kind.find(*parents, **life.found) is None
    kind.post_collection([kind(*parents, **life.made)], *parents)
    kind.delete_collection(*parents, **life.found)
    assert kind.count_collection(*parents, **life.found) == 0
    kind.delete_collection(*parents, **life.found)


def _covers(shown: Any, wanted: Any) -> bool:
    if isinstance(wanted, Mapping):
        return all(_covers(shown.get(name), value) for name, value in wanted.items())
    return bool(shown == wanted or (not wanted and not shown))


def test_luns_their_maps_and_their_service_live_together(bed: Bed) -> None:
    Volume(name="lifelun", svm=SVM, aggregates=POOL, size=64 << 20).post()
    lun = Lun(name="/vol/lifelun/l", svm=SVM, os_type="linux", space={"size": 64 << 20})
    lun.post(hydrate=True)
    Lun.patch_collection({"comment": "c"}, name="/vol/lifelun/*")
    group = Igroup(name="lifegroup", svm=SVM, os_type="linux")
    group.post(hydrate=True)
    LunMap(svm=SVM, lun={"name": lun.name}, igroup={"name": group.name}).post(hydrate=True)
    assert LunMap.count_collection(**{"igroup.name": group.name}) == 1
    with pytest.raises(NetAppRestError):
        Lun.delete_collection(name=lun.name)
    LunMap.delete_collection(**{"igroup.name": group.name})
    Lun.delete_collection(name=lun.name)
    group.delete()
    Svm(name="lifesvm").post()
    service = IscsiService(svm={"name": "lifesvm"})
    service.post(hydrate=True)
    IscsiService.patch_collection({"enabled": False}, **{"svm.name": "lifesvm"})
    IscsiService.delete_collection(**{"svm.name": "lifesvm"})
    Svm.delete_collection(name="lifesvm")


def test_rules_of_a_role_live(bed: Bed) -> None:
    role = bed.kept["r1"].split("/")[-2:]
    RolePrivilege(*role, path="/api/snapmirror", access="readonly").post()
    assert RolePrivilege.count_collection(*role, path="/api/snapmirror") == 1
    RolePrivilege.patch_collection({"access": "all"}, *role, path="/api/snapmirror")
    RolePrivilege.delete_collection(*role, path="/api/snapmirror")
    assert RolePrivilege.count_collection(*role, path="/api/snapmirror") == 0
