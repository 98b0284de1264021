"""A Cinder over a gateway that has a pool of each kind that holds blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from cinder_cloud import PROJECT, Cloud
from database import MariaDb, Rows
from ground import Ground, standing
from processes import Service, cinder, cinder_database, running

from gateway.testing.loop_pool import loop_pool

DRIVER = "gateway.frontends.cinder_driver.GatewayVolumeDriver"
POOLS = ("images", "more", "blocks", "volatile")


class Bed:
    """The gateway, the services, their API and their database. There is a volume type for each pool, named like it."""

    def __init__(self, ground: Ground, service: Service, ask: Callable[[str], Rows]) -> None:
        self.ground = ground
        self.service = service
        self.ask = ask
        self.cloud = Cloud(service.url)

    def types(self) -> None:
        for pool in POOLS:
            self.cloud.kind(pool, {"volume_backend_name": "gateway", "capabilities:gateway:pool": pool})


@pytest.fixture(scope="session")
def bed(tmp_path_factory: pytest.TempPathFactory, database: MariaDb, images: Service) -> Iterator[Bed]:
    """Give two pools of images on ext4, one of raw files on XFS, and one in memory, which leads nowhere."""
    folder = tmp_path_factory.mktemp("cinder")
    with loop_pool(folder / "disk", "ext4", "20G") as ext4, loop_pool(folder / "disk", "xfs", "20G") as xfs:
        pools = {
            "images": {"driver": "qcow2", "path": str(_made(ext4 / "images"))},
            "more": {"driver": "qcow2", "path": str(_made(ext4 / "more"))},
            "blocks": {"driver": "directory", "path": str(xfs)},
            "volatile": {"driver": "memory"},
        }
        ground = Ground(folder / "gateway", pools=pools, exports=("local", "iscsi"))
        with standing(ground):
            url = cinder_database(database, folder / "migration")
            service = cinder(
                folder / "cinder",
                database=url,
                backends={"gateway": stanza(ground)},
                extra={
                    "glance_api_servers": images.url,
                    "cinder_internal_tenant_project_id": PROJECT,
                    "cinder_internal_tenant_user_id": "admin",
                },
            )
            with running(service):
                bed = Bed(ground, service, partial(database.rows, url))
                bed.types()
                yield bed


def stanza(ground: Ground, name: str = "gateway", **options: object) -> dict[str, object]:
    """Give the stanza of a backend."""
    common = {"volume_driver": DRIVER, "volume_backend_name": name, "image_volume_cache_enabled": True}
    return {**common, **ground.stanza(**options)}


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder
