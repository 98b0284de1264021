"""What goes wrong between the service and the gateway: the exception that the service handles, and nothing left."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from exporter_scene import free_port
from manila import exception
from manila_driver_scene import driver_for, ready
from manila_scene import TENANT, Bed, access_row, manila_bed, share_row, snapshot_row

from gateway.client import native
from gateway.core.model import utc_now
from gateway.frontends.manila_driver import GatewayShareDriver
from gateway.frontends.manila_driver.shares import every
from gateway.server.certificate import write_self_signed
from gateway.testing.live import READER, LiveGateway, live_gateway

pytestmark = pytest.mark.root

DRIVER = GatewayShareDriver
HERE = access_row("127.0.0.1")


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    with manila_bed(tmp_path_factory.mktemp("manila")) as bed:
        yield bed


def names(bed: Bed) -> list[str]:
    return [volume.name for volume in bed.client.run(every(native.volumes(tenant=TENANT)))]


def refused(driver: DRIVER, kind: type[Exception], words: str) -> None:
    driver.do_setup(None)
    with pytest.raises(kind, match=words) as told:
        driver.check_for_setup_error()
    assert "correct horse" not in str(told.value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"gateway_password": None}, "gateway_password"),
        ({"gateway_url": "nonsense"}, "gateway_url"),
        ({"gateway_url": "http://192.0.2.1:8443"}, "https"),
        ({"gateway_ca": "/nowhere/ca.pem"}, "gateway_ca|/nowhere/ca.pem"),
    ],
)
def test_a_configuration_that_cannot_be_ends_the_setup(options: dict[str, Any], words: str) -> None:
    driver = driver_for("http://127.0.0.1:1", "gw-bad", **options)
    with pytest.raises(exception.BadConfigurationException, match=words):
        driver.do_setup(None)


def test_a_call_before_the_setup_is_told_as_such() -> None:
    driver = driver_for("http://127.0.0.1:1", "gw-early")
    for call in (
        lambda: driver.create_share(None, share_row()),
        lambda: driver.get_share_stats(refresh=True),
        driver.check_for_setup_error,
    ):
        with pytest.raises(exception.DriverNotInitialized):
            call()


def test_a_gateway_that_is_not_there_at_the_start_is_waited_for(tmp_path: Path) -> None:
    driver = driver_for(f"http://127.0.0.1:{free_port()}", "gw-down")
    refused(driver, exception.ShareBackendException, "cannot be reached")
    refused(driver, exception.ShareBackendException, "cannot be reached")


def test_places_that_the_gateway_does_not_have(bed: Bed) -> None:
    url = bed.gateway.url
    refused(driver_for(url, "gw-t", gateway_tenant="nobody"), exception.BadConfigurationException, "gateway_tenant")
    refused(driver_for(url, "gw-p", gateway_pools=["nowhere"]), exception.BadConfigurationException, "gateway_pools")
    refused(
        driver_for(url, "gw-m", gateway_pools=["memory"]), exception.BadConfigurationException, "memory is not served"
    )
    refused(driver_for(url, "gw-w", gateway_password="wrong"), exception.BadConfigurationException, "gateway_user")


def test_a_gateway_without_an_export_server(tmp_path: Path) -> None:
    with live_gateway(tmp_path) as gateway:
        refused(driver_for(gateway.url, "gw-n"), exception.BadConfigurationException, "no pool of the gateway")


def test_an_account_that_may_only_read(bed: Bed) -> None:
    driver = ready(bed.gateway.url, "gw-reader", gateway_user=READER)
    share = share_row()
    with pytest.raises(exception.ShareBackendException):
        driver.create_share(None, share)
    assert names(bed) == []


def test_a_gateway_that_dies_meanwhile(bed: Bed) -> None:
    driver = ready(bed.gateway.url, "gw-dies")
    well = share_row()
    driver.create_share(None, well)
    bed.gateway.kill()
    share, snapshot = share_row(), snapshot_row(well)
    for call in (
        lambda: driver.create_share(None, share),
        lambda: driver.delete_share(None, well),
        lambda: driver.extend_share(well, 2),
        lambda: driver.shrink_share(well, 1),
        lambda: driver.create_snapshot(None, snapshot),
        lambda: driver.delete_snapshot(None, snapshot),
        lambda: driver.revert_to_snapshot(None, snapshot, [], []),
        lambda: driver.create_share_from_snapshot(None, share, snapshot),
        lambda: driver.update_access(None, well, [HERE], [HERE], [], []),
        lambda: driver.manage_existing({**share, "export_locations": [{"path": "127.0.0.1:/x"}]}, {}),
        lambda: driver.ensure_shares(None, [well]),
        lambda: driver.update_share_usage_size(None, [well]),
        lambda: driver.get_share_status(well),
    ):
        with pytest.raises(exception.ShareBackendException, match="cannot be reached"):
            call()
    # The scheduler is told that there is no room anywhere, and the service goes on.
    assert driver.get_share_stats(refresh=True)["pools"] == []
    bed.restart()
    ready(bed.gateway.url, "gw-dies").delete_share(None, well)
    assert names(bed) == []


@pytest.mark.parametrize("point", ["volume.create.journalled", "btrfs.create.limited", "volume.create.committed"])
def test_a_gateway_that_is_killed_in_the_middle_of_a_create(bed: Bed, point: str) -> None:
    group = f"gw-{point}"
    share = share_row()
    driver = ready(bed.gateway.url, group)
    bed.gateway.arm(point)
    with pytest.raises(exception.ShareBackendException):
        driver.create_share(None, share)
    bed.gateway.wait()
    bed.restart()
    again = ready(bed.gateway.url, group)
    again.create_share(None, share)
    assert names(bed) == [share["name"]]
    again.delete_share(None, share)
    assert names(bed) == []


def test_a_gateway_that_says_nothing(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        driver = driver_for(f"http://127.0.0.1:{silent.getsockname()[1]}", "gw-silent", gateway_timeout_s=1.0)
        refused(driver, exception.ShareBackendException, "cannot be reached")


def test_a_certificate_that_has_expired(tmp_path: Path) -> None:
    gateway = LiveGateway(tmp_path, tls=True)
    long_ago = utc_now() - timedelta(days=4000)
    certificate = tmp_path / "cert.pem"
    write_self_signed(certificate=certificate, key=tmp_path / "key.pem", names=(), now=long_ago, overwrite=True)
    gateway.start()
    try:
        driver = driver_for(gateway.url, "gw-expired", gateway_ca=str(certificate))
        refused(driver, exception.ShareBackendException, "expired")
    finally:
        gateway.stop()


def test_a_share_that_was_deleted_behind_manilas_back(bed: Bed) -> None:
    driver = ready(bed.gateway.url, "gw-behind")
    share = share_row()
    driver.create_share(None, share)
    snapshot = snapshot_row(share)
    snapshot |= driver.create_snapshot(None, snapshot)
    [volume] = bed.client.run(every(native.volumes(tenant=TENANT)))
    bed.client.run(native.delete_volume(volume.id))
    for call in (
        lambda: driver.extend_share(share, 2),
        lambda: driver.update_access(None, share, [HERE], [HERE], [], []),
        lambda: driver.create_snapshot(None, snapshot_row(share)),
    ):
        with pytest.raises(exception.ShareResourceNotFound):
            call()
    assert driver.ensure_shares(None, [share]) == {share["id"]: {"status": "error"}}
    assert driver.get_pool(share) is None
    driver.delete_snapshot(None, snapshot)
    driver.delete_share(None, share)
    driver.unmanage(share)
    assert names(bed) == []


def test_a_pool_without_room_is_not_offered_and_leaves_nothing(bed: Bed) -> None:
    driver = ready(bed.gateway.url, "gw-full")
    share = share_row(size=1 << 33)
    with pytest.raises(exception.ManilaException):
        driver.create_share(None, share)
    assert names(bed) == []
