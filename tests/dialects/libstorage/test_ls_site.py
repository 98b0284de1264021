"""What the operator may say, and the services that follow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway.config import ConfigError, load
from gateway.core.model import Transport, VolumeKind
from gateway.frontends.kinds import KindChoice
from gateway.frontends.libstorage.settings import LibstorageOptions, ServiceOptions
from gateway.frontends.libstorage.site import DRIVERS, Site, StorageType
from gateway.server.drivers import DOORS, EXPORTERS, driver_options

BOTH = (VolumeKind.FILESYSTEM, VolumeKind.BLOCK)
POOLS = {"Fast": BOTH, "images": (VolumeKind.BLOCK,), "trees": (VolumeKind.FILESYSTEM,), "away": ()}


PLAIN = LibstorageOptions()


def site(options: LibstorageOptions = PLAIN, *, nfs: bool = False, pools: Any = POOLS) -> Site:
    return Site.of(options, name="gateway", tenant="svm1", pools=pools, nfs=pools if nfs else ())


def with_service(**chosen: Any) -> LibstorageOptions:
    return LibstorageOptions(service={"S": ServiceOptions(**{"pool": "Fast", **chosen})})


def test_without_services_each_pool_is_one() -> None:
    made = site(nfs=True).services
    assert [(name, each.pools, each.kind.value, each.driver.name) for name, each in made.items()] == [
        ("away", ("away",), "filesystem", "isilon"),
        ("fast", ("Fast",), "filesystem", "isilon"),
        ("images", ("images",), "block", "vfs"),
        ("trees", ("trees",), "filesystem", "isilon"),
    ]
    assert {each.driver.name for each in site().services.values()} == {"vfs"}
    assert {each.tenant_name for each in made.values()} == {"svm1"}


def test_where_nobody_serves_the_files_clients_are_not_told_to_mount_them() -> None:
    options = LibstorageOptions(service={"s": ServiceOptions(pools=("trees", "away"))})
    for served, driver in ((POOLS, "isilon"), (("trees",), "vfs"), ((), "vfs")):
        made = Site.of(options, name="gateway", tenant="svm1", pools=POOLS, nfs=served)
        assert made.services["s"].driver.name == driver


def test_names_count_in_any_case() -> None:
    made = site()
    assert made.service("FAST") is made.service("fast") is made.services["fast"]
    assert made.service("nowhere") is None
    with pytest.raises(ValueError, match="service: the names of two pools differ in capitals only"):
        site(pools={"a": BOTH, "A": BOTH})
    with pytest.raises(ValueError, match="service: two names differ in capitals only"):
        LibstorageOptions(service={"a": ServiceOptions(pool="p"), "A": ServiceOptions(pool="p")})


@pytest.mark.parametrize(
    ("chosen", "kind", "driver"),
    [
        ({}, "filesystem", "isilon"),
        ({"driver": "vfs"}, "filesystem", "vfs"),
        ({"driver": "ebs"}, "block", "ebs"),
        ({"driver": "ebs", "kind": KindChoice.FILESYSTEM}, "filesystem", "ebs"),
        ({"kind": KindChoice.BLOCK}, "block", "vfs"),
        ({"pool": "", "pools": ("images", "Fast")}, "block", "vfs"),
        ({"pool": "", "pools": ("Fast", "images")}, "filesystem", "isilon"),
    ],
)
def test_kind_and_driver_follow_from_what_there_is(chosen: dict[str, Any], kind: str, driver: str) -> None:
    (made,) = site(with_service(**chosen), nfs=True).services.values()
    assert (made.name, made.kind.value, made.driver.name) == ("s", kind, driver)


def test_a_service_has_its_own_tenant_or_the_doors() -> None:
    options = LibstorageOptions(
        tenant="svm2", service={"a": ServiceOptions(pool="Fast"), "b": ServiceOptions(pool="Fast", tenant="svm3")}
    )
    assert [each.tenant_name for each in site(options).services.values()] == ["svm2", "svm3"]
    assert site(LibstorageOptions(server_name="me")).name == "me"


@pytest.mark.parametrize(
    ("chosen", "why"),
    [
        ({"pool": "none"}, "service.S: there is no pool 'none'"),
        ({"driver": "isylon"}, "service.S: clients have no driver 'isylon' [(]known: isilon, vfs"),
    ],
)
def test_services_need_pools_and_drivers_that_there_are(chosen: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        site(with_service(**chosen))


def test_drivers_of_the_client_have_what_their_types_need() -> None:
    assert {name for name, each in DRIVERS.items() if each.type is StorageType.NAS} == {"isilon", "efs"}
    assert all(each.next_device is None for each in DRIVERS.values() if each.type is StorageType.NAS)
    assert DRIVERS["vfs"].next_device == DRIVERS["s3fs"].next_device
    assert all(name == each.name == name.lower() for name, each in DRIVERS.items())


# --- the file ---

FULL = """
[backend.memory]
[frontend.libstorage]
listen = "[::1]:7979"
socket = "run/ls.sock"
execution_timeout_s = 5
default_size = "1TiB"
[frontend.libstorage.auth]
key = "file:key"
allow = ["akutz"]
[frontend.libstorage.service.gold]
pools = ["memory"]
transport = "iscsi"
[frontend.libstorage.service.gold.auth]
key = "env:GOLD"
alg = "HS512"
deny = ["bob"]
"""


def read(folder: Path, text: str) -> LibstorageOptions:
    (folder / "config.toml").write_text(text)
    (folder / "key").write_text("secret\n")
    loaded = load(
        [folder / "config.toml"], {"GOLD": "x"}, drivers=driver_options(), exporters=EXPORTERS, doors=DOORS
    ).frontend["libstorage"]
    assert isinstance(loaded, LibstorageOptions)
    return loaded


def test_every_table_is_read(tmp_path: Path) -> None:
    options = read(tmp_path, FULL)
    assert options.socket == tmp_path / "run/ls.sock"
    assert options.default_gib == 1024
    assert options.auth.key is not None
    assert options.auth.key.reveal() == "secret"
    gold = options.service["gold"]
    assert (gold.pool_names, gold.transport) == (("memory",), Transport.ISCSI)
    assert gold.auth is not None
    assert gold.auth.key is not None
    assert (gold.auth.key.reveal(), gold.auth.alg, gold.auth.deny) == ("x", "HS512", ("bob",))
    assert read(tmp_path, "[backend.memory]\n[frontend.libstorage]\n") == LibstorageOptions()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('default_size = "16"', "default_size: '16' is not a size such as 16GiB"),
        ('default_size = "0GiB"', "is not a size"),
        ('server_name = "a b"', "server_name: 'a b' is not a name"),
        ("task_retention_s = 0", "task_retention_s"),
        ("execution_timeout_s = -1", "execution_timeout_s"),
        ("lisen = 1", "unknown key"),
        ("[frontend.libstorage.service.a]", "either pool or pools"),
        ('[frontend.libstorage.service.a]\npool = "p"\npools = ["q"]', "either pool or pools"),
        ('[frontend.libstorage.service."a b"]\npool = "p"', "is not a name"),
        ('[frontend.libstorage.service.a]\npool = "p"\ntransport = "nfs"', "transport"),
        ('[frontend.libstorage.service.a]\npool = "p"\nkind = "object"', "Invalid enum value"),
        ('[frontend.libstorage.auth]\nkey = "plain"', "must be a reference"),
        ('[frontend.libstorage.auth]\nalg = "HS128"', "alg"),
    ],
)
def test_what_means_nothing_is_refused(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why.replace("[", r"\[")):
        read(tmp_path, f"[backend.memory]\n[frontend.libstorage]\n{text}\n")


def test_settings_show_no_secret(tmp_path: Path) -> None:
    assert "secret\n" not in repr(read(tmp_path, FULL))
    assert "Secret(...)" in repr(read(tmp_path, FULL))
