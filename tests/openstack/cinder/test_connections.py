"""How hosts get to volumes: devices of this host through os-brick, iSCSI through a real initiator, with CHAP."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from cinder import exception
from cinder_scene import ADMIN, GIB, client, gateway, snapshot, started, volume
from exporter_scene import end_daemon, free_port
from iscsi_scene import Initiator
from os_brick.initiator.connector import InitiatorConnector

from gateway.client import Client, native
from gateway.frontends.cinder_driver import GatewayVolumeDriver
from gateway.testing.live import ACCOUNT, PASSWORD
from gateway.testing.loop_pool import loop_pool

POOL = "blocks"
HERE = {"host": socket.gethostname(), "ip": "127.0.0.1", "initiator": "iqn.2004-01.example:here"}
PATTERN = b"gateway!" * 512


def elsewhere(name: str) -> dict[str, Any]:
    return {"host": name, "ip": "192.0.2.7", "initiator": f"iqn.2004-01.example:{name}", "multipath": False}


class Bed(NamedTuple):
    url: str
    driver: GatewayVolumeDriver
    gw: Client
    port: int

    def volume(self, **options: Any) -> Any:
        return volume(self.driver, pool=POOL, **options)

    def attachments(self, disk: Any) -> set[str]:
        return {one.node for one in self.gw.run(native.volume(disk.provider_id)).attachments}


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    folder, port = tmp_path_factory.mktemp("blocks"), free_port()
    with loop_pool(folder / "disk", "xfs", "8G") as mount:
        pools = f'[backend.{POOL}]\ndriver = "directory"\npath = "{mount}"\n'
        extra = f"[export.local]\n[export.iscsi]\nport = {port}\n"
        try:
            with (
                gateway(folder / "gateway", pools=pools, extra=extra) as url,
                started(url) as driver,
                client(url) as gw,
            ):
                yield Bed(url, driver, gw, port)
        finally:
            end_daemon(folder / "gateway/data/iscsi", "tgtd")


def read(path: str, length: int) -> bytes:
    with Path(path).open("rb") as device:
        return device.read(length)


def write(path: str, content: bytes) -> None:
    with Path(path).open("r+b") as device:
        device.write(content)


@pytest.mark.root
def test_pools_tell_how_they_are_reached(bed: Bed) -> None:
    [pool] = bed.driver.get_volume_stats(refresh=True)["pools"]
    assert pool["gateway"]["ways"] == ["local", "iscsi"]
    assert (pool["storage_protocol"], pool["multiattach"], pool["online_extend_support"]) == ("iSCSI", True, True)
    with started(bed.url, gateway_ways=["iscsi"]) as driver:
        [pool] = driver.get_volume_stats(refresh=True)["pools"]
        # An initiator sees a new size when it logs in again.
        assert pool["online_extend_support"] is False


@pytest.mark.root
def test_a_device_of_this_host_keeps_its_bytes_through_everything(bed: Bed) -> None:
    driver, disk = bed.driver, bed.volume()
    driver.validate_connector(HERE)
    driver.create_export(ADMIN, disk, HERE)
    info = driver.initialize_connection(disk, HERE)
    assert (info["driver_volume_type"], list(info["data"])) == ("local", ["device_path"])
    assert driver.initialize_connection(disk, HERE) == info
    brick = InitiatorConnector.factory("local", None)
    path = brick.connect_volume(info["data"])["path"]
    assert Path(path).is_block_device()
    write(path, PATTERN)

    taken = snapshot(disk, driver)
    write(path, b"\0" * len(PATTERN))
    driver.extend_volume(disk, 2)
    with Path(path).open("rb") as device:
        assert device.seek(0, 2) == 2 * GIB

    copy = volume(pool=POOL, size=3)
    copy.update(driver.create_volume_from_snapshot(copy, taken))
    there = driver.initialize_connection(copy, HERE)["data"]["device_path"]
    assert read(there, len(PATTERN)) == PATTERN
    driver.terminate_connection(copy, HERE)
    driver.delete_volume(copy)

    assert driver.terminate_connection(disk, HERE, force=False) is False
    driver.remove_export(ADMIN, disk)
    assert bed.attachments(disk) == set()
    driver.revert_to_snapshot(ADMIN, disk, taken)
    path = driver.initialize_connection(disk, HERE)["data"]["device_path"]
    assert read(path, len(PATTERN)) == PATTERN
    with Path(path).open("rb") as device:
        assert device.seek(0, 2) == 2 * GIB
    driver.terminate_connection(disk, HERE)
    driver.terminate_connection(disk, HERE)
    driver.delete_snapshot(taken)
    driver.delete_volume(disk)


@pytest.mark.root
def test_another_host_comes_over_iscsi_and_logs_in(bed: Bed) -> None:
    driver, disk, host = bed.driver, bed.volume(), elsewhere("compute1")
    info = driver.initialize_connection(disk, host)
    data = info["data"]
    assert info["driver_volume_type"] == "iscsi"
    assert (data["target_portal"], data["target_discovered"], data["volume_id"]) == (
        f"127.0.0.1:{bed.port}",
        False,
        disk.id,
    )
    assert data["auth_method"] == "CHAP"
    assert driver.initialize_connection(disk, host) == info
    where = (data["target_iqn"], data["target_lun"])
    login = (data["auth_username"], data["auth_password"])
    known = Initiator(host["initiator"], bed.port, login)
    assert known.io(*where, "write -P 0x5a 0 4k", "flush").returncode == 0
    assert not Initiator(host["initiator"], bed.port).reaches(*where)
    assert not Initiator("iqn.2004-01.example:stranger", bed.port, login).reaches(*where)

    # Somebody changes the login: the next connection is told the new one.
    with httpx.Client(base_url=bed.url, auth=(ACCOUNT, PASSWORD)) as ontap:
        [tenant] = ontap.get("/api/svm/svms").json()["records"]
        place = f"/api/protocols/san/iscsi/credentials/{tenant['uuid']}/{host['initiator']}"
        secret = {"user": "somebody", "password": "another-password"}
        answer = ontap.patch(place, json={"authentication_type": "chap", "chap": {"inbound": secret}})
        assert answer.status_code == 200, answer.text
    assert not known.reaches(*where)
    data = driver.initialize_connection(disk, host)["data"]
    assert (data["auth_username"], data["auth_password"]) == (secret["user"], secret["password"])
    assert Initiator(host["initiator"], bed.port, (secret["user"], secret["password"])).reaches(*where)

    driver.terminate_connection(disk, host, force=True)
    assert bed.attachments(disk) == set()
    driver.delete_volume(disk)


@pytest.mark.root
def test_no_password_is_asked_for_where_that_is_configured(bed: Bed) -> None:
    disk, host = bed.volume(), elsewhere("trusted")
    with started(bed.url, gateway_chap=False) as driver:
        data = driver.initialize_connection(disk, host)["data"]
        assert "auth_method" not in data
        assert Initiator(host["initiator"], bed.port).reaches(data["target_iqn"], data["target_lun"])
        driver.terminate_connection(disk, host)
    bed.driver.delete_volume(disk)


@pytest.mark.root
def test_several_hosts_may_have_one_volume(bed: Bed) -> None:
    """That is so during a live migration, too, of a volume that is not multi-attach: Cinder says who may."""
    driver, disk, one, two = bed.driver, bed.volume(), elsewhere("compute1"), elsewhere("compute2")
    for host in (one, two):
        driver.initialize_connection(disk, host)
    assert bed.attachments(disk) == {"compute1", "compute2"}
    assert driver.terminate_connection(disk, one) is False
    assert bed.attachments(disk) == {"compute2"}
    # All of them, when it is not said who.
    driver.initialize_connection(disk, one)
    driver.terminate_connection(disk, None, force=True)
    assert bed.attachments(disk) == set()
    driver.delete_volume(disk)


@pytest.mark.root
def test_a_host_keeps_what_another_of_its_instances_needs(bed: Bed) -> None:
    host = elsewhere("compute1")
    first, second = ({**host, "mountpoint": place} for place in ("/dev/vdb", "/dev/vdc"))
    disk = bed.volume(multiattach=True, attachments=[first, second, None, elsewhere("compute2")])
    driver = bed.driver
    assert bed.gw.run(native.volume(disk.provider_id)).multi_attach
    for one in (first, second):
        driver.initialize_connection(disk, one)
    # One that only reads takes nothing from the other.
    driver.initialize_connection(disk, {**second, "mode": "ro"})
    assert {one.mode for one in bed.gw.run(native.volume(disk.provider_id)).attachments} == {"rw"}
    assert driver.terminate_connection(disk, first) is True
    assert bed.attachments(disk) == {"compute1"}
    # A copy that Cinder itself makes on that host is no attachment that Cinder knows.
    assert driver.terminate_connection(disk, {**host, "do_local_attach": False}, force=True) is True
    disk.volume_attachment.objects.pop(0)
    assert driver.terminate_connection(disk, second) is False
    assert bed.attachments(disk) == set()
    driver.delete_volume(disk)


@pytest.mark.root
def test_a_host_that_only_reads(bed: Bed) -> None:
    driver, disk, host = bed.driver, bed.volume(), {**elsewhere("reader"), "mode": "ro"}
    data = driver.initialize_connection(disk, host)["data"]
    initiator = Initiator(host["initiator"], bed.port, (data["auth_username"], data["auth_password"]))
    where = (data["target_iqn"], data["target_lun"])
    assert initiator.reaches(*where)
    assert "write protected" in initiator.io(*where, "write -P 1 0 4k").stderr
    driver.terminate_connection(disk, host)
    driver.delete_volume(disk)


@pytest.mark.root
def test_what_a_stopped_service_left_of_hosts_goes_with_the_volume(bed: Bed) -> None:
    driver, disk = bed.driver, bed.volume()
    driver.initialize_connection(disk, elsewhere("compute1"))
    driver.delete_volume(disk)
    assert bed.gw.run(native.volume_named(disk.name, tenant="svm1")) is None


@pytest.mark.root
def test_a_volume_that_somebody_uses_is_busy(bed: Bed) -> None:
    driver, disk = bed.driver, bed.volume()
    path = driver.initialize_connection(disk, HERE)["data"]["device_path"]
    with Path(path).open("rb"), pytest.raises(exception.VolumeIsBusy):
        driver.delete_volume(disk)
    driver.delete_volume(disk)


@pytest.mark.root
def test_what_hosts_cannot_use_is_refused(bed: Bed) -> None:
    disk = bed.volume()
    stranger = {"host": "compute1", "ip": "192.0.2.7"}
    with pytest.raises(exception.VolumeDriverException, match="offered: local, iscsi"):
        bed.driver.initialize_connection(disk, stranger)
    with pytest.raises(exception.InvalidConnectorException, match="host"):
        bed.driver.validate_connector({"initiator": "iqn.2004-01.example:x"})
    with started(bed.url, gateway_ways=["iscsi"]) as driver:
        with pytest.raises(exception.InvalidConnectorException, match="initiator"):
            driver.validate_connector(stranger)
        driver.validate_connector(elsewhere("compute1"))
        assert driver.initialize_connection(disk, {**elsewhere("x"), **HERE})["driver_volume_type"] == "iscsi"
        driver.terminate_connection(disk, HERE)
    with pytest.raises(exception.VolumeNotFound):
        bed.driver.initialize_connection(volume(pool=POOL), HERE)
    bed.driver.terminate_connection(volume(pool=POOL), HERE)
    bed.driver.delete_volume(disk)


def test_snapshots_are_not_attached(driver: GatewayVolumeDriver) -> None:
    disk = volume()
    with pytest.raises(exception.VolumeDriverException):
        driver.initialize_connection_snapshot(snapshot(disk), HERE)
    assert driver.backup_use_temp_snapshot() is False
