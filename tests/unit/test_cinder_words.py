"""The Cinder driver's parts that do not import Cinder: what an error, a type, a host or a way means there."""

from __future__ import annotations

import importlib
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.client import Client, ClientError, Handle, native
from gateway.core import errors as core
from gateway.frontends.cinder_driver import connections, specs, stats
from gateway.frontends.cinder_driver.errors import (
    ABSENT,
    BY_CALL,
    GENERAL,
    NOT_IMPLEMENTED,
    Doing,
    Refusal,
    Word,
    refusal,
)
from gateway.frontends.cinder_driver.records import (
    GIB,
    CinderVolume,
    gigabytes,
    pool_of,
    snapshot_of,
    typed_volume_of,
)
from gateway.frontends.cinder_driver.site import Settings, Site

WORDS: list[Word] = [
    *GENERAL.values(),
    *ABSENT.values(),
    *(word for table in BY_CALL.values() for word in table.values()),
]
VOLUME = CinderVolume(id="v1", name="volume-v1", size=GIB, pool="fast")
ABLE = native.Abilities(
    can=("clone", "resize", "snapshot", "thin"), why_not={"snapshot_group": "no"}, ways=("local", "iscsi")
)
POOL = native.Pool(
    id="p", name="fast", driver="btrfs", state="online", size=10 * GIB, available=4 * GIB, kinds={"block": ABLE}
)


def site(**settings: Any) -> Site:
    return Site(Client("http://127.0.0.1:1"), native.Tenant(id="t", name="svm1"), Settings(**settings))


def client_error(code: str, status: int = 409, **fields: object) -> ClientError:
    return ClientError(status, code, f"{code}: what happened", fields=fields)


# --- errors ---


def test_every_error_of_the_core_has_a_word() -> None:
    assert set(GENERAL) == {"", *core.tree()}
    assert {name for table in BY_CALL.values() for name in table} <= set(core.tree())


@pytest.mark.parametrize("doing", Doing, ids=lambda doing: doing.name)
@pytest.mark.parametrize("code", ["", *sorted(core.tree()), "Unheard"])
def test_every_error_becomes_an_exception_in_every_call(doing: Doing, code: str) -> None:
    found = refusal(client_error(code), doing, "v1")
    assert found.exception[0].isupper()
    assert found.keywords
    assert all(found.keywords.values())


@pytest.mark.parametrize(
    ("doing", "error", "exception", "keywords"),
    [
        (Doing.DELETE_VOLUME, client_error("InUse", by="attachments"), "VolumeIsBusy", {"volume_name": "x"}),
        (Doing.DELETE_VOLUME, client_error("Conflict"), "VolumeIsBusy", {"volume_name": "x"}),
        (Doing.DELETE_SNAPSHOT, client_error("InUse", by="clones"), "SnapshotIsBusy", {"snapshot_name": "x"}),
        (Doing.SNAPSHOT, client_error("NotFound", kind="volume"), "VolumeNotFound", {"volume_id": "x"}),
        (Doing.CLONE, client_error("NotFound", kind="snapshot"), "SnapshotNotFound", {"snapshot_id": "x"}),
        (
            Doing.SNAPSHOT,
            client_error("LimitExceeded", limit="snapshots", maximum=9),
            "SnapshotLimitReached",
            {"set_limit": 9},
        ),
        (
            Doing.MAKE,
            client_error("LimitExceeded", limit="size", value=9 * GIB, minimum=1, maximum=8 * GIB),
            "VolumeSizeExceedsLimit",
            {"size": 9, "limit": 8},
        ),
        (
            Doing.EXTEND,
            client_error("LimitExceeded", limit="size", value=9 * GIB, minimum=1, maximum=8 * GIB),
            "ExtendVolumeError",
            {"reason": "the gateway answered LimitExceeded: what happened [code LimitExceeded]"},
        ),
        (
            Doing.MAKE,
            ClientError(0, "", "the gateway cannot be reached: refused", unsent=True),
            "VolumeBackendAPIException",
            {"data": "the gateway cannot be reached: refused"},
        ),
        (
            Doing.CLONE,
            ClientError(0, "", "the gateway cannot be reached: timed out"),
            "AnswerLost",
            {"data": "the gateway cannot be reached: timed out"},
        ),
        (
            Doing.EXTEND,
            ClientError(0, "", "the gateway cannot be reached: timed out"),
            "VolumeBackendAPIException",
            {"data": "the gateway cannot be reached: timed out"},
        ),
    ],
)
def test_what_the_manager_handles_is_what_it_gets(
    doing: Doing, error: ClientError, exception: str, keywords: dict[str, object]
) -> None:
    found = refusal(error, doing, "x")
    assert (found.exception, found.keywords) == (exception, keywords)


@pytest.mark.parametrize(
    ("doing", "exception"),
    [
        (Doing.CLONE, NOT_IMPLEMENTED),
        (Doing.REVERT, NOT_IMPLEMENTED),
        (Doing.SNAPSHOT, "VolumeDriverException"),
        (Doing.MAKE, "VolumeDriverException"),
        # The manager looks after a group only when the exception is one of Cinder's.
        (Doing.GROUP, "VolumeDriverException"),
        (Doing.EXTEND, "ExtendVolumeError"),
        (Doing.ATTACH, "VolumeDriverException"),
    ],
)
def test_what_a_pool_cannot_do(doing: Doing, exception: str) -> None:
    assert refusal(client_error("Unsupported", 501), doing, "x").exception == exception


def test_a_missing_pool_is_no_missing_volume() -> None:
    assert refusal(client_error("NotFound", 404, kind="pool"), Doing.MAKE, "x").exception == "VolumeBackendAPIException"


# --- Cinder's objects ---


def test_objects_are_read() -> None:
    kind = SimpleNamespace(extra_specs={"gateway:thick": "<is> True", "empty": None})
    disk = SimpleNamespace(
        id="1",
        name="volume-1",
        size=2,
        host="h@b#fast",
        project_id="p",
        provider_id=None,
        multiattach=True,
        volume_type=kind,
    )
    read = typed_volume_of(disk)
    assert (read.size, read.pool, read.core_id, read.multi_attach) == (2 * GIB, "fast", "", True)
    assert read.specs == {"gateway:thick": "<is> True", "empty": ""}
    assert read.labels == {"cinder.volume": "1", "cinder.project": "p"}
    taken = snapshot_of(SimpleNamespace(id="2", name="snapshot-2", volume=disk, project_id=None, provider_id="x"))
    assert (taken.labels, taken.core_id, taken.volume.name) == ({"cinder.snapshot": "2"}, "x", "volume-1")
    assert typed_volume_of(SimpleNamespace(**{**vars(disk), "volume_type": None})).specs == {}


@pytest.mark.parametrize(("host", "pool"), [("h@b#p", "p"), ("h@b", ""), (None, ""), ("h@b#p#q", "p#q")])
def test_a_host_names_a_pool(host: str | None, pool: str) -> None:
    assert pool_of(host) == pool


@pytest.mark.parametrize(("size", "told"), [(0, 0), (1, 1), (GIB, 1), (GIB + 1, 2)])
def test_sizes_are_rounded_up(size: int, told: int) -> None:
    assert gigabytes(size) == told


# --- types ---


@pytest.mark.parametrize(
    ("wanted", "fits"),
    [
        ({"gateway:pool": "fast"}, True),
        ({"gateway:pool": "slow"}, False),
        ({"gateway:pool": "<or> slow <or> fast"}, True),
        ({"gateway:pool": "<or> slow <or> slower"}, False),
        ({"gateway:driver": "<in> btr"}, True),
        ({"gateway:ways": "iscsi"}, True),
        ({"gateway:ways": "<in> nfs"}, False),
        ({"gateway:snapshot": "<is> True"}, True),
        ({"gateway:snapshot": "true"}, True),
        ({"gateway:snapshot_group": "<is> True"}, False),
        ({"gateway:snapshot_group": "<is> False"}, True),
        ({"gateway:thin": "<is> True", "gateway:thick": "<is> True", "capabilities:gateway:pool": "slow"}, True),
    ],
)
def test_types_ask_for_pools(wanted: dict[str, str], fits: bool) -> None:
    if fits:
        specs.required(wanted, POOL)
    else:
        with pytest.raises(Refusal, match="the pool fast does not have"):
            specs.required(wanted, POOL)


def test_every_property_that_is_told_can_be_asked_for() -> None:
    assert set(specs.PROPERTIES) == set(specs.facts(POOL))


@pytest.mark.parametrize(
    ("wanted", "thick"),
    [
        ({}, False),
        ({"gateway:thick": "<is> True"}, True),
        ({"gateway:thick": "<is> False"}, False),
        ({"provisioning:type": "thick"}, True),
        ({"provisioning:type": "thin"}, False),
        ({"gateway:thin": "<is> True"}, False),
    ],
)
def test_types_ask_for_reserved_space(wanted: dict[str, str], thick: bool) -> None:
    assert specs.thick(wanted) is thick


# --- stats ---


def test_a_pool_that_is_away_is_told_as_away() -> None:
    away = native.Pool(id="q", name="away", driver="zfs", state="offline", reason="does not answer")
    told = stats.told(site(), stats.Words(backend_name="b"), [POOL, away])
    here, gone = told["pools"]
    assert told["backend_state"] == "up"
    assert (here["free_capacity_gb"], here["total_capacity_gb"], here["backend_state"]) == (4.0, 10.0, "up")
    assert (gone["free_capacity_gb"], gone["backend_state"], gone["thin_provisioning_support"]) == (0, "down", False)
    alone = stats.told(site(), stats.Words(backend_name="b"), [away])
    assert alone["backend_state"] == "down"


@pytest.mark.parametrize(
    ("ways", "protocol", "online"),
    [
        (("local", "iscsi"), "iSCSI", True),
        (("iscsi",), "iSCSI", False),
        (("nfs",), "file", False),
        (("local",), "file", True),
    ],
)
def test_what_is_told_follows_the_ways_that_are_configured(ways: tuple[str, ...], protocol: str, online: bool) -> None:
    [pool] = stats.told(site(ways=ways), stats.Words(backend_name="b"), [POOL])["pools"]
    assert (pool["storage_protocol"], pool["online_extend_support"]) == (protocol, online)


# --- ways ---


def attached(login: native.Login | None = None, **handle: Any) -> native.Attached:
    return native.Attached(attachment=native.Attachment(node="h"), handle=Handle(**handle), login=login)


def test_the_way_that_the_gateway_chose_is_told_in_cinders_words() -> None:
    here = site(mount_base="/var/lib/cinder/mnt")
    local = attached(kind="local_path", path="/dev/zvol/tank/x")
    assert connections.info(here, local, VOLUME) == {
        "driver_volume_type": "local",
        "data": {"device_path": "/dev/zvol/tank/x"},
    }
    file = attached(kind="nfs", address="192.0.2.1", port=2049, path="/export", file="volumes/v1.raw", version="4.1")
    assert connections.info(here, file, VOLUME) == {
        "driver_volume_type": "nfs",
        "data": {
            "export": "192.0.2.1:/export",
            "name": "volumes/v1.raw",
            "format": "raw",
            "options": "-o port=2049,vers=4.1",
        },
        "mount_point_base": "/var/lib/cinder/mnt",
    }
    unit = {"kind": "iscsi", "port": 3260, "target": "iqn.x:t", "lun": 3}
    login = native.Login(user="u", password="p" * 12)
    told = connections.info(here, attached(login, address="2001:db8::1", **unit), VOLUME)
    assert told == {
        "driver_volume_type": "iscsi",
        "data": {
            "target_discovered": False,
            "target_portal": "[2001:db8::1]:3260",
            "target_iqn": "iqn.x:t",
            "target_lun": 3,
            "volume_id": "v1",
            "auth_method": "CHAP",
            "auth_username": "u",
            "auth_password": "p" * 12,
        },
    }
    assert "auth_method" not in connections.info(here, attached(address="gw.example", **unit), VOLUME)["data"]


@pytest.mark.parametrize(
    "handle", [{"kind": "nbd", "name": "x"}, {"kind": "in_process"}, {"kind": "nfs", "path": "/files"}]
)
def test_other_ways_are_refused(handle: dict[str, Any]) -> None:
    with pytest.raises(Refusal, match="VolumeDriverException"):
        connections.info(site(), attached(**handle), VOLUME)


ONE, TWO = {"host": "a", "mountpoint": "/dev/vdb"}, {"host": "a", "mountpoint": "/dev/vdc"}


@pytest.mark.parametrize(
    ("connector", "known", "shared"),
    [
        (ONE, [], False),
        (ONE, [ONE], False),
        (ONE, [ONE, TWO], True),
        (ONE, [ONE, None, {"host": "b"}], False),
        # Cinder's own attachment for a copy is none that it knows.
        ({"host": "a"}, [ONE], True),
        (None, [ONE, TWO], False),
        ({}, [ONE], False),
    ],
)
def test_a_host_may_need_a_volume_for_another_instance(connector: Any, known: Any, shared: bool) -> None:
    assert connections.shared(connector, known) is shared


# --- imports ---


def test_nothing_of_the_driver_but_its_class_needs_cinder() -> None:
    program = (
        "import sys, gateway.frontends.cinder_driver.placing, gateway.frontends.cinder_driver.managing,"
        "gateway.frontends.cinder_driver.groups, gateway.frontends.cinder_driver.stats;"
        "print(sorted({'aiohttp', 'grpc', 'cinder', 'structlog', 'uvloop'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_package_has_nothing_else() -> None:
    package = importlib.import_module("gateway.frontends.cinder_driver")
    with pytest.raises(AttributeError, match="Driver"):
        package.Driver  # noqa: B018
