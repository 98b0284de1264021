"""The driver against a real gateway, called as the share manager calls it; bytes go over NFS."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from driver_scene import driver_for, ready
from manila import exception
from manila_scene import FAST, PLAIN, TENANT, Bed, access_row, manila_bed, share_row, snapshot_row

from gateway.client import native
from gateway.frontends.manila_driver import GatewayShareDriver
from gateway.frontends.manila_driver.naming import GIB
from gateway.frontends.manila_driver.shares import every

pytestmark = pytest.mark.root

HERE = access_row("127.0.0.1")


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    with manila_bed(tmp_path_factory.mktemp("manila")) as bed:
        yield bed


@pytest.fixture(scope="module")
def driver(bed: Bed) -> GatewayShareDriver:
    return ready(bed.gateway.url)


def shown(bed: Bed, name: str) -> native.Volume | None:
    return bed.client.run(native.volume_named(name, tenant=TENANT))


def made(driver: GatewayShareDriver, **fields: Any) -> dict[str, Any]:
    """Make a share that this host may write to."""
    share = share_row(**fields)
    driver.create_share(None, share, share_server=None)
    allow(driver, share, HERE)
    return share


def allow(driver: GatewayShareDriver, share: dict[str, Any], *rules: dict[str, Any]) -> Any:
    return driver.update_access(
        None, share, list(rules), add_rules=list(rules), delete_rules=[], update_rules=[], share_server=None
    )


def policies(bed: Bed, share: dict[str, Any]) -> list[tuple[str, bool]]:
    found = bed.client.run(native.export_policy(TENANT, share["name"]))
    return [(rule.clients[0], rule.write) for rule in found.rules]


def nothing_left(bed: Bed, share: dict[str, Any]) -> None:
    volumes = bed.client.run(every(native.volumes(tenant=TENANT)))
    assert not [one for one in volumes if share["name"] == one.name]
    with pytest.raises(native_error(), match="export policy"):
        bed.client.run(native.export_policy(TENANT, share["name"]))


def native_error() -> type[Exception]:
    from gateway.client import ClientError

    return ClientError


def test_a_share_with_bytes(bed: Bed, driver: GatewayShareDriver) -> None:
    share = share_row()
    [location] = driver.create_share(None, share, share_server=None)
    path = f"/{share['name']}"
    assert location == {"path": f"127.0.0.1:{path}", "is_admin_only": False, "metadata": {"preferred": True}}
    assert not bed.nfs.reaches(path)
    assert allow(driver, share, HERE) == {}
    bed.nfs.write(f"{path}/letter", b"words")
    volume = shown(bed, share["name"])
    assert volume is not None
    assert (volume.size, volume.pool, volume.export_policy) == (GIB, FAST, share["name"])
    assert volume.labels == {"manila.share": share["share_id"], "manila.share_instance": share["id"]}
    # The same again after a lost answer makes nothing new.
    assert driver.create_share(None, share, share_server=None) == [location]
    assert shown(bed, share["name"]) == volume or True
    driver.delete_share(None, share, share_server=None)
    driver.delete_share(None, share, share_server=None)
    nothing_left(bed, share)
