"""A Manila over a gateway that has a pool with snapshots and one without."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from database import MariaDb, Rows
from ground import Ground, standing
from manila_cloud import Cloud
from nfs_scene import Nfs
from processes import Service, manila, manila_database, running

from gateway.testing.btrfs_pool import btrfs_pool

DRIVER = "gateway.frontends.manila_driver.GatewayShareDriver"


class Bed:
    """The gateway, the services and their API, and a client of NFS. The share types `files` and `plain` mean pools."""

    def __init__(self, ground: Ground, service: Service, ask: Callable[[str], Rows], folder: Path) -> None:
        self.ground = ground
        self.service = service
        self.ask = ask
        self.cloud = Cloud(service.url)
        self.client = Nfs(ground.ports["nfs"], folder)

    def types(self) -> None:
        can = ("snapshot_support", "create_share_from_snapshot_support", "revert_to_snapshot_support")
        self.cloud.kind("files", {"gateway_driver": "btrfs", **dict.fromkeys(can, "True")})
        self.cloud.kind("plain", {"gateway_driver": "directory"})


@pytest.fixture(scope="session")
def shares(tmp_path_factory: pytest.TempPathFactory, database: MariaDb) -> Iterator[Bed]:
    """Give a pool on btrfs, and one of directories."""
    folder = tmp_path_factory.mktemp("manila")
    with btrfs_pool(folder / "disk", "20G") as disk:
        (folder / "plain").mkdir()
        pools = {
            "files": {"driver": "btrfs", "path": str(disk)},
            "plain": {"driver": "directory", "path": str(folder / "plain")},
        }
        ground = Ground(folder / "gateway", pools=pools, exports=("nfs",))
        with standing(ground):
            url = manila_database(database, folder / "migration")
            service = manila(folder / "manila", database=url, backends={"gateway": stanza(ground)})
            with running(service):
                bed = Bed(ground, service, partial(database.rows, url), folder)
                bed.types()
                yield bed


def stanza(ground: Ground, name: str = "gateway", **options: object) -> dict[str, object]:
    """Give the stanza of a backend."""
    common = {"share_driver": DRIVER, "share_backend_name": name, "driver_handles_share_servers": False}
    return {**common, **ground.stanza(**options)}
