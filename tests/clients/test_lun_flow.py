"""The official SDK, unmodified, makes LUNs on real pools; real initiators reach their bytes over iSCSI with CHAP."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from exporter_scene import end_daemon, free_port
from iscsi_scene import Initiator
from netapp_ontap.resources import (
    Igroup,
    IpInterface,
    IscsiCredentials,
    IscsiService,
    Lun,
    LunMap,
    Snapshot,
    Volume,
)
from sdk_scene import MIB, OWN_WARNINGS, SVM, clone, refused, sdk, volume

from gateway.testing.live import LiveGateway, live_gateway
from gateway.testing.loop_pool import loop_pool

pytestmark = [pytest.mark.root, OWN_WARNINGS]

HOST = "iqn.1993-08.org.debian:01:host"
STRANGER = "iqn.1993-08.org.debian:01:stranger"
USER, PASSWORD = "anna", "correct,horse=1"
POOLS = {"directory on XFS": ("directory", "xfs"), "qcow2 on ext4": ("qcow2", "ext4")}


class Bed:
    """A running gateway over one pool, with an iSCSI portal."""

    def __init__(self, gateway: LiveGateway, port: int) -> None:
        self.gateway = gateway
        self.port = port

    def initiator(self, name: str = HOST, login: tuple[str, str] | None = (USER, PASSWORD)) -> Initiator:
        return Initiator(name, self.port, login)

    def target(self, group: Igroup) -> str:
        """Give the target of a group of hosts, as an initiator finds it by discovery."""
        (found,) = self.initiator().sees()
        assert found.endswith(group.uuid.replace("-", "")[:12])
        return found


@contextlib.contextmanager
def bed_on(folder: Path, pools: str) -> Iterator[Bed]:
    port = free_port()
    extra = f"[export.iscsi]\nport = {port}\n"
    gateway = LiveGateway(folder / "gateway", pools=pools, extra=extra, periods={"exports": 0.5})
    gateway.start()
    try:
        with sdk(gateway):
            yield Bed(gateway, port)
    finally:
        gateway.stop()
        end_daemon(gateway.data / "iscsi", "tgtd")


@pytest.fixture(params=POOLS)
def bed(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bed]:
    driver, filesystem = POOLS[request.param]
    with (
        loop_pool(tmp_path / "disk", filesystem) as mount,
        bed_on(tmp_path, f'[backend.blocks]\ndriver = "{driver}"\npath = "{mount}"\n') as bed,
    ):
        yield bed


def serve(bed: Bed) -> Igroup:
    """Switch iSCSI on, with CHAP for the one host that there is."""
    IscsiService(svm=SVM).post()
    (portal,) = IpInterface.get_collection(services="data_iscsi", fields="ip")
    assert portal.ip.address == "127.0.0.1"
    chap = {"inbound": {"user": USER, "password": PASSWORD}}
    IscsiCredentials(svm=SVM, initiator=HOST, authentication_type="chap", chap=chap).post()
    group = Igroup(name="hosts", svm=SVM, os_type="linux", protocol="iscsi", initiators=[{"name": HOST}])
    group.post(hydrate=True)
    return group


def lun(name: str) -> Lun:
    volume(name, "blocks", 128 * MIB)
    made = Lun(name=f"/vol/{name}/disk", svm=SVM, os_type="linux", space={"size": 128 * MIB})
    made.post(hydrate=True)
    return made


def mapped(path: str) -> int:
    made = LunMap(svm=SVM, lun={"name": path}, igroup={"name": "hosts"})
    made.post(hydrate=True)
    return int(made.logical_unit_number)


def test_bytes_live_through_snapshot_clone_growth_and_restore(bed: Bed) -> None:
    group = serve(bed)
    disk = lun("data")
    number = mapped("/vol/data/disk")
    host, target = bed.initiator(), bed.target(group)
    assert host.size(target, number) == 128 * MIB
    assert host.io(target, number, "write -P 0x11 1M 64k", "flush").returncode == 0

    Snapshot(disk.uuid, name="before").post()
    assert host.io(target, number, "write -P 0x22 1M 64k", "flush").returncode == 0

    clone("copy", "data", "before")
    twin = mapped("/vol/copy/disk")
    assert host.io(target, twin, "read -P 0x11 1M 64k").returncode == 0, "the clone has the old bytes"
    assert host.io(target, number, "read -P 0x22 1M 64k").returncode == 0
    assert host.io(target, twin, "write -P 0x33 1M 64k", "flush").returncode == 0
    assert host.io(target, number, "read -P 0x22 1M 64k").returncode == 0

    grown = Lun(uuid=disk.uuid)
    grown.space = {"size": 256 * MIB}
    grown.patch()
    # A session that has just ended may still be there: then the size is seen at the next comparison.
    while host.size(target, number) != 256 * MIB:
        pass

    restored = Volume(uuid=disk.uuid)
    restored.patch(**{"restore_to.snapshot.name": "before"})
    assert host.io(target, number, "read -P 0x11 1M 64k").returncode == 0, "the old bytes are back"
    assert host.io(target, twin, "read -P 0x33 1M 64k").returncode == 0

    with refused("524615"):
        disk.delete()
    with refused("1254197"):
        Lun.find(name="/vol/copy/disk").delete()
    for found in list(LunMap.get_collection()):
        found.delete()
    assert not host.reaches(target, number)
    Volume.find(name="copy").delete()
    Volume(uuid=disk.uuid).delete()
    assert not list(Lun.get_collection())


def test_who_is_not_asked_in_stays_out(bed: Bed) -> None:
    group = serve(bed)
    lun("data")
    number = mapped("/vol/data/disk")
    target = bed.target(group)
    assert bed.initiator().reaches(target, number)
    assert not bed.initiator(login=None).reaches(target, number)
    assert not bed.initiator(login=(USER, "wrong-password-1")).reaches(target, number)
    stranger = bed.initiator(STRANGER)
    assert not stranger.reaches(target, number)
    assert stranger.sees() == {}


def test_a_killed_gateway_interrupts_nobody_and_forgets_nothing(bed: Bed) -> None:
    group = serve(bed)
    lun("data")
    number = mapped("/vol/data/disk")
    host, target = bed.initiator(), bed.target(group)
    assert host.io(target, number, "write -P 0x44 0 64k", "flush").returncode == 0
    bed.gateway.kill()
    assert host.io(target, number, "read -P 0x44 0 64k").returncode == 0
    bed.gateway.start()
    with sdk(bed.gateway):
        # The password is set again, which keeps newcomers out for a moment.
        while host.io(target, number, "read -P 0x44 0 64k").returncode:
            pass
        LunMap.find(**{"igroup.name": "hosts"}).delete()
        assert not host.reaches(target, number)


def test_the_installed_program_serves_it_too(tmp_path: Path) -> None:
    """Without the tests' hooks, and with a pool of each kind at once."""
    pools = "".join(
        f'[backend.{name}]\ndriver = "{name}"\npath = "{tmp_path / name}"\n' for name in ("directory", "qcow2")
    )
    for name in ("directory", "qcow2"):
        (tmp_path / name).mkdir()
    port = free_port()
    with (
        live_gateway(
            tmp_path / "gateway", pools=pools, extra=f"[export.iscsi]\nport = {port}\n", faults=False
        ) as gateway,
        sdk(gateway),
    ):
        bed = Bed(gateway, port)
        serve(bed)
        volume("files", "directory")
        for pool in ("directory", "qcow2"):
            volume(f"on_{pool}", pool, 64 * MIB)
            Lun(name=f"/vol/on_{pool}/l", svm=SVM, os_type="linux", space={"size": 64 * MIB}).post()
            mapped(f"/vol/on_{pool}/l")
        ((_, units),) = bed.initiator().sees().items()
        assert units == [1, 2]
