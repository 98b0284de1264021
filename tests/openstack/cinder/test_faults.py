"""The gateway is down, slow, cut off in the middle of any call, full, or lost what Cinder believes to be there."""

from __future__ import annotations

import concurrent.futures
import datetime as dt
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from cinder import exception
from cinder_proxy import HOLD, LOSE, REFUSE, Proxy, proxy
from cinder_scene import ADMIN, GIB, MEMORY, TENANT, client, configured, gateway, snapshot, started, volume
from exporter_scene import free_port

from gateway.client import Client, native
from gateway.core.model import utc_now
from gateway.embedded import gateway_in_thread
from gateway.frontends.cinder_driver import GatewayVolumeDriver
from gateway.server.certificate import write_self_signed
from gateway.testing.live import LiveGateway

PATIENCE_S = 3
AGO = dt.timedelta(days=20 * 365)


class Bed(NamedTuple):
    """A driver that reaches its gateway through a proxy, and a client that does not."""

    driver: GatewayVolumeDriver
    proxy: Proxy
    gw: Client

    def volumes(self) -> list[native.Volume]:
        return list(self.gw.each(native.volumes(tenant=TENANT)))

    def empty(self) -> None:
        for one in self.volumes():
            for taken in self.gw.each(native.snapshots(volume=one.id)):
                if not taken.clone_count:
                    self.gw.run(native.delete_snapshot(taken.id))
            self.gw.run(native.delete_volume(one.id))


@pytest.fixture(scope="module")
def shared(url: str, gw: Client) -> Iterator[Bed]:
    with proxy(url) as (address, one), started(address) as driver:
        yield Bed(driver, one, gw)


@pytest.fixture
def bed(shared: Bed) -> Iterator[Bed]:
    yield shared
    shared.empty()


Call = Callable[[GatewayVolumeDriver], Any]


def creation(_bed: Bed) -> Call:
    disk = volume()
    return lambda driver: driver.create_volume(disk)


def snapshotting(bed: Bed) -> Call:
    taken = snapshot(volume(bed.driver))
    return lambda driver: driver.create_snapshot(taken)


def from_snapshot(bed: Bed) -> Call:
    taken, copy = snapshot(volume(bed.driver), bed.driver), volume(size=2)
    return lambda driver: driver.create_volume_from_snapshot(copy, taken)


def cloning(bed: Bed) -> Call:
    disk, copy = volume(bed.driver), volume(size=2)
    return lambda driver: driver.create_cloned_volume(copy, disk)


def growing(bed: Bed) -> Call:
    disk = volume(bed.driver)
    return lambda driver: driver.extend_volume(disk, 3)


def deletion(bed: Bed) -> Call:
    disk = volume(bed.driver)
    return lambda driver: driver.delete_volume(disk)


def snapshot_deletion(bed: Bed) -> Call:
    taken = snapshot(volume(bed.driver), bed.driver)
    return lambda driver: driver.delete_snapshot(taken)


def reverting(bed: Bed) -> Call:
    disk = volume(bed.driver)
    taken = snapshot(disk, bed.driver)
    return lambda driver: driver.revert_to_snapshot(ADMIN, disk, taken)


def managing(bed: Bed) -> Call:
    new = native.NewVolume(name=volume().name, tenant=TENANT, pool="memory", size=GIB, kind="block")
    there, disk = bed.gw.run(native.create_volume(new)), volume()
    return lambda driver: driver.manage_existing(disk, {"source-id": there.id})


def unmanaging(bed: Bed) -> Call:
    disk = volume(bed.driver)
    return lambda driver: driver.unmanage(disk)


def migrating(bed: Bed) -> Call:
    disk = volume(bed.driver)
    there = {"host": "host@gateway#other", "capabilities": {"location_info": bed.driver._site.location}}
    return lambda driver: driver.migrate_volume(ADMIN, disk, there)


CALLS: tuple[Callable[[Bed], Call], ...] = (
    creation,
    snapshotting,
    from_snapshot,
    cloning,
    growing,
    deletion,
    snapshot_deletion,
    reverting,
    managing,
    unmanaging,
    migrating,
)
MAKERS = frozenset({creation, snapshotting, from_snapshot, cloning})


@pytest.mark.parametrize("how", [REFUSE, LOSE])
@pytest.mark.parametrize("prepare", CALLS, ids=lambda each: each.__name__)
def test_a_call_that_is_cut_off_anywhere_can_be_repeated(bed: Bed, prepare: Callable[[Bed], Call], how: str) -> None:
    """Each request of the call fails once. Cinder's own exception is raised, and the same call again does it once."""
    for number in itertools.count(1):
        bed.empty()
        call = prepare(bed)
        try:
            with bed.proxy.fault(how, number):
                first = call(bed.driver)
        except exception.VolumeBackendAPIException:
            pass
        else:
            if len(bed.proxy.seen) < number:
                break
            # An answer that was lost is no reason to fail a maker: what it made is looked for.
            assert (how, prepare in MAKERS) == (LOSE, True), bed.proxy.seen
            assert call(bed.driver) == first
        call(bed.driver)
        state = [(one.name, one.pool, one.size, dict(one.labels), one.snapshot_count) for one in bed.volumes()]
        bed.empty()
        prepare(bed)(bed.driver)
        whole = [(one.pool, one.size, len(one.labels), one.snapshot_count) for one in bed.volumes()]
        assert sorted((pool, size, len(labels), count) for _, pool, size, labels, count in state) == sorted(whole)
    assert number > 1


def test_a_lost_answer_never_makes_a_second_volume(bed: Bed) -> None:
    disk = volume()
    with bed.proxy.fault(LOSE):
        disk.update(bed.driver.create_volume(disk))
    assert [one.id for one in bed.volumes()] == [disk.provider_id]
    again = volume(id=disk.id)
    assert bed.driver.create_volume(again) == {"provider_id": disk.provider_id}


@pytest.fixture
def impatient(url: str, gw: Client) -> Iterator[Bed]:
    with proxy(url) as (address, one), started(address, gateway_timeout_s=PATIENCE_S) as driver:
        yield Bed(driver, one, gw)


def test_a_gateway_that_hangs_is_down_and_comes_back(impatient: Bed) -> None:
    bed, driver = impatient, impatient.driver
    disk = volume(driver)
    with bed.proxy.fault(HOLD):
        told = driver.get_volume_stats(refresh=True)
    assert told["backend_state"] == "down"
    assert {pool["free_capacity_gb"] for pool in told["pools"]} == {0}
    assert all(pool["total_capacity_gb"] > 0 for pool in told["pools"])
    with bed.proxy.fault(HOLD), pytest.raises(exception.VolumeBackendAPIException, match="cannot be reached"):
        driver.get_pool(disk)
    told = driver.get_volume_stats(refresh=True)
    assert told["backend_state"] == "up"
    assert all(pool["free_capacity_gb"] > 0 for pool in told["pools"])
    driver.delete_volume(disk)


def test_a_gateway_that_is_down_when_the_service_starts(tmp_path: Path) -> None:
    port = free_port()
    with configured(f"http://127.0.0.1:{port}") as driver:
        with pytest.raises(exception.VolumeBackendAPIException, match="cannot be reached"):
            driver.do_setup(ADMIN)
        # The manager tries again.
        one = LiveGateway(tmp_path, pools=MEMORY)
        text = one.config.read_text().replace("127.0.0.1:0", f"127.0.0.1:{port}")
        one.config.write_text(text)
        with gateway_in_thread(one.config):
            driver.do_setup(ADMIN)
            driver.init_capabilities()
            driver.delete_volume(volume(driver))
        # It is down now; nothing of what the manager does by itself fails.
        assert driver.get_volume_stats(refresh=True)["backend_state"] == "down"
        assert driver.update_provider_info([volume()], []) == (None, None)
        driver.ensure_export(ADMIN, volume(provider_id="x"))
        for call in (driver.create_volume, driver.delete_volume):
            with pytest.raises(exception.VolumeBackendAPIException, match="cannot be reached"):
                call(volume())


def test_a_certificate_that_expired(tmp_path: Path) -> None:
    one = LiveGateway(tmp_path, pools=MEMORY, tls=True)
    files = {"certificate": tmp_path / "cert.pem", "key": tmp_path / "key.pem"}
    write_self_signed(**files, names=(), now=utc_now() - AGO, overwrite=True)
    with gateway_in_thread(one.config) as doors:
        url = doors.addresses["ontap"]
        trusting = configured(url, gateway_ca=str(files["certificate"]))
        expired = pytest.raises(exception.VolumeBackendAPIException, match="certificate has expired")
        with trusting as driver, expired:
            driver.do_setup(ADMIN)
        with configured(url) as driver, pytest.raises(exception.VolumeBackendAPIException, match="verify failed"):
            driver.do_setup(ADMIN)
    write_self_signed(**files, names=(), now=utc_now(), overwrite=True)
    with (
        gateway_in_thread(one.config) as doors,
        started(doors.addresses["ontap"], gateway_ca=str(files["certificate"])),
    ):
        pass


def test_a_pool_that_is_full(tmp_path: Path) -> None:
    pools = f"[backend.memory]\nsize = {3 * GIB}\n"
    with gateway(tmp_path, pools=pools) as url, started(url) as driver, client(url) as gw:
        specs = {"provisioning:type": "thick"}
        full = volume(driver, size=2, specs=specs)
        late = volume(size=2, specs=specs)
        with pytest.raises(exception.VolumeBackendAPIException, match="OutOfSpace"):
            driver.create_volume(late)
        with pytest.raises(exception.ExtendVolumeError):
            driver.extend_volume(full, 8)
        assert [one.name for one in gw.each(native.volumes(tenant=TENANT))] == [full.name]
        assert gw.run(native.volume(full.provider_id)).size == 2 * GIB


def test_a_volume_that_somebody_deleted_behind_cinders_back(bed: Bed) -> None:
    driver, disk = bed.driver, volume(bed.driver)
    taken = snapshot(disk, driver)
    bed.gw.run(native.delete_snapshot(taken.provider_id))
    bed.gw.run(native.delete_volume(disk.provider_id))
    host = {"host": "compute1", "initiator": "iqn.2004-01.example:a"}
    for call in (
        lambda: driver.extend_volume(disk, 2),
        lambda: driver.create_snapshot(snapshot(disk)),
        lambda: driver.create_cloned_volume(volume(), disk),
        lambda: driver.initialize_connection(disk, host),
        lambda: driver.migrate_volume(
            ADMIN, disk, {"host": "h@b#other", "capabilities": {"location_info": driver._site.location}}
        ),
    ):
        with pytest.raises(exception.VolumeNotFound):
            call()
    with pytest.raises(exception.SnapshotNotFound):
        driver.create_volume_from_snapshot(volume(), taken)
    driver.terminate_connection(disk, host, force=True)
    driver.unmanage(disk)
    driver.unmanage_snapshot(taken)
    driver.delete_snapshot(taken)
    driver.delete_volume(disk)


def test_no_text_tells_the_password(tmp_path: Path) -> None:
    secret = "horse battery staple"
    with gateway(tmp_path) as url:
        for options in ({"gateway_password": secret}, {"gateway_user": "nobody", "gateway_password": secret}):
            with configured(url, **options) as driver:
                with pytest.raises(exception.InvalidConfigurationValue) as caught:
                    driver.do_setup(ADMIN)
                chain: BaseException | None = caught.value
                while chain is not None:
                    assert secret not in f"{chain!r} {chain} {vars(chain)}"
                    chain = chain.__cause__ or chain.__context__


def test_many_calls_at_once_go_through_one_driver(bed: Bed) -> None:
    disks = [volume() for _ in range(24)]
    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        made = list(threads.map(bed.driver.create_volume, disks))
        assert len({one["provider_id"] for one in made}) == len(disks)
        assert {one.name for one in bed.volumes()} == {one.name for one in disks}
        list(threads.map(bed.driver.delete_volume, disks))
    assert bed.volumes() == []


def test_the_same_volume_asked_for_by_two_services_at_once_is_made_once(url: str, bed: Bed) -> None:
    disk = volume()
    with started(url) as other, concurrent.futures.ThreadPoolExecutor(2) as threads:
        made = [one.result() for one in [threads.submit(each.create_volume, disk) for each in (bed.driver, other)]]
    assert made[0] == made[1]
    assert len(bed.volumes()) == 1


def test_two_services_share_a_gateway_and_one_has_two(url: str, tmp_path: Path, gw: Client) -> None:
    with (
        started(url, gateway_pools=["memory"]) as one,
        started(url, gateway_pools=["other"]) as two,
        gateway(tmp_path) as elsewhere,
        started(elsewhere) as three,
    ):
        disks = {
            driver: volume(driver, pool=pool) for driver, pool in ((one, "memory"), (two, "other"), (three, "memory"))
        }
        assert {found.name for found in gw.each(native.volumes(tenant=TENANT))} == {disks[one].name, disks[two].name}
        with pytest.raises(exception.VolumeNotFound):
            one.extend_volume(disks[three], 2)
        for driver, disk in disks.items():
            driver.delete_volume(disk)


@pytest.mark.parametrize("point", ["directory.create.begun", "directory.create.durable"])
def test_a_gateway_that_dies_in_the_middle_leaves_nothing_half_made(tmp_path: Path, point: str) -> None:
    (tmp_path / "pool").mkdir()
    one = LiveGateway(
        tmp_path / "gateway", pools=f'[backend.memory]\ndriver = "directory"\npath = "{tmp_path / "pool"}"\n'
    )
    port = free_port()
    one.config.write_text(one.config.read_text().replace("127.0.0.1:0", f"127.0.0.1:{port}"))
    one.start()
    try:
        with started(one.url) as driver, client(one.url) as gw:
            one.arm(point)
            disk = volume()
            with pytest.raises(exception.VolumeBackendAPIException):
                driver.create_volume(disk)
            one.wait()
            one.start()
            disk.update(driver.create_volume(disk))
            assert [found.id for found in gw.each(native.volumes(tenant=TENANT))] == [disk.provider_id]
            driver.delete_volume(disk)
    finally:
        one.kill()
    assert [file.name for folder in ("volumes", "staging") for file in (tmp_path / "pool" / folder).iterdir()] == []
