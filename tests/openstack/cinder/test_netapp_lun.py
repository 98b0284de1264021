"""NetApp's own driver of Cinder for iSCSI, and its client of ONTAP REST, against the ONTAP REST door."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from cinder.volume.drivers.netapp.dataontap.client.api import NaApiError
from cinder_scene import TENANT
from exporter_scene import end_daemon, free_port
from iscsi_scene import Initiator
from netapp_cinder_scene import ADMIN, made

from gateway.testing.live import ACCOUNT, PASSWORD, LiveGateway

pytestmark = pytest.mark.root

GIB = 1 << 30
HOST = "iqn.1993-08.org.debian:01:host"
FLEXVOLS = ("first", "second")
LUN, RENAMED = "/vol/own/one", "/vol/own/two"
GROUP = "openstack-group"
METADATA = {"OsType": "linux", "SpaceReserved": "false", "SpaceAllocated": "true", "Path": LUN}


class Bed:
    """A gateway with an iSCSI portal, and two FlexVols that hold nothing yet."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        (folder / "images").mkdir()
        self.gateway = LiveGateway(
            folder / "gateway",
            pools=f'[backend.images]\ndriver = "qcow2"\npath = "{folder / "images"}"\n',
            extra=f"[export.iscsi]\nport = {self.port}\n",
        )
        self.gateway.start()

    def make(self, *names: str) -> None:
        """Make FlexVols."""
        for name in names:
            body = {"name": name, "svm.name": TENANT, "aggregates": [{"name": "images"}], "size": GIB}
            self.post("/api/storage/volumes?return_timeout=60", body)

    def post(self, path: str, body: object) -> None:
        answer = httpx.post(f"{self.gateway.url}{path}", json=body, auth=(ACCOUNT, PASSWORD))
        assert answer.is_success, answer.text

    def end(self) -> None:
        try:
            self.gateway.stop()
        finally:
            self.gateway.kill()
            end_daemon(self.gateway.data / "iscsi", "tgtd")


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    bed = Bed(tmp_path_factory.mktemp("lun"))
    try:
        bed.make(*FLEXVOLS)
        bed.post("/api/protocols/san/iscsi/services", {"svm.name": TENANT})
        yield bed
    finally:
        bed.end()


@pytest.fixture(scope="module")
def driver(bed: Bed, database: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    del database
    folder = tmp_path_factory.mktemp("netapp")
    with made(bed.gateway.url, "iscsi", folder, netapp_pool_name_search_pattern="|".join(FLEXVOLS)) as driver:
        driver.do_setup(ADMIN)
        driver.check_for_setup_error()
        yield driver


@pytest.fixture
def client(driver: Any) -> Any:
    return driver.library.zapi_client


def test_set_up_and_stats(driver: Any) -> None:
    stats = driver.get_volume_stats(refresh=True)
    assert (stats["vendor_name"], stats["storage_protocol"]) == ("NetApp", "iSCSI")
    pools = {pool["pool_name"]: pool for pool in stats["pools"]}
    assert set(pools) == set(FLEXVOLS)
    assert (
        pools["first"].items()
        >= {
            "netapp_aggregate": "images",
            "netapp_thin_provisioned": "true",
            "netapp_dedup": "false",
            "netapp_mirrored": "false",
            "total_capacity_gb": 1.0,
            "utilization": 50.0,
        }.items()
    )


def test_a_lun_through_its_whole_life(bed: Bed, client: Any) -> None:
    bed.make("own")
    client.create_lun("own", "one", GIB, METADATA)
    (found,) = client.get_lun_list()
    assert (
        found.items()
        >= {
            "Vserver": "svm1",
            "Volume": "own",
            "Size": GIB,
            "Qtree": "",
            "Path": LUN,
            "OsType": "linux",
            "SpaceReserved": False,
            "SpaceAllocated": True,
        }.items()
    )
    assert client.get_lun_by_args(path=LUN)[0]["UUID"] == found["UUID"]
    client.do_direct_resize(LUN, 2 * GIB)
    assert client.get_lun_sizes_by_volume("own") == [{"path": LUN, "size": 2.0 * GIB}]
    client.move_lun(LUN, RENAMED)
    assert [lun["Path"] for lun in client.get_lun_list()] == [RENAMED]

    client.create_igroup(GROUP, "iscsi", "linux")
    client.add_igroup_initiator(GROUP, HOST)
    (group,) = client.get_igroup_by_initiators([HOST])
    assert (group["initiator-group-name"], group["initiator-group-type"]) == (GROUP, "iscsi")
    number = client.map_lun(RENAMED, GROUP)
    assert client.get_lun_map(RENAMED) == [{"initiator-group": GROUP, "lun-id": number, "vserver": "svm1"}]
    assert client.has_luns_mapped_to_initiators([HOST])
    assert client.get_iscsi_service_details().startswith("iqn.")
    (portal,) = client.get_iscsi_target_details()
    assert (portal["address"], portal["interface-enabled"]) == ("127.0.0.1", True)
    assert len(Initiator(HOST, bed.port).sees()) == 1
    client.unmap_lun(RENAMED, GROUP)
    assert client.get_lun_map(RENAMED) == []
    assert not client.has_luns_mapped_to_initiators([HOST])

    with pytest.raises(NaApiError, match="holds one LUN"):
        client.clone_lun("own", "two", "three")
    client.destroy_lun(RENAMED)
    assert client.get_lun_list() == []


def test_what_it_does_in_the_background(driver: Any) -> None:
    driver.library._update_ssc()
    driver.library._handle_housekeeping_tasks()
    driver.library._handle_ems_logging()
    driver.library._delete_snapshots_marked_for_deletion()
