"""Shared volumes: published over NFS while their spec says so, and their clones likewise."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from exporter_scene import free_port
from openstorage_client import DOOR, Client, official_client

from gateway.testing.btrfs_pool import btrfs_pool
from gateway.testing.live import ACCOUNT, PASSWORD, LiveGateway, live_gateway

pytestmark = pytest.mark.root
SPEC = {"size": 64 << 20, "ha_level": 1}


class Bed:
    """A gateway that publishes over NFS, and the client in front of it."""

    def __init__(self, gateway: LiveGateway, sdk: Client) -> None:
        self.gateway = gateway
        self.sdk = sdk

    def create(self, name: str, **spec: object) -> str:
        return str(self.sdk("Volume/Create", name=name, spec={**SPEC, **spec})["volume_id"])

    def path(self, volume_id: str) -> str | None:
        """Give where the volume is published, as the other door shows it."""
        url = f"{self.gateway.url}/api/storage/volumes/{volume_id}?fields=nas.path"
        found: str | None = httpx.get(url, auth=(ACCOUNT, PASSWORD)).json().get("nas", {}).get("path")
        return found


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory, openstorage_python: Path) -> Iterator[Bed]:
    folder = tmp_path_factory.mktemp("shared")
    with btrfs_pool(folder / "disk") as disk:
        pools = f'[backend.pool]\ndriver = "btrfs"\npath = "{disk}"\n'
        extra = f"{DOOR}\n[export.nfs]\nport = {free_port()}\n"
        with (
            live_gateway(folder / "gateway", pools=pools, extra=extra) as gateway,
            official_client(openstorage_python, gateway.addresses["openstorage"]) as sdk,
        ):
            yield Bed(gateway, sdk)


def test_a_shared_volume_and_its_clone_are_published_each_by_its_name(bed: Bed) -> None:
    made = bed.create("v", sharedv4=True)
    clone = bed.sdk("Volume/Clone", name="c", parent_id=made)["volume_id"]
    assert bed.sdk("Volume/Inspect", volume_id=clone)["volume"]["spec"]["sharedv4"]
    assert (bed.path(made), bed.path(clone)) == ("/v", "/c")


def test_an_update_publishes_and_withdraws_also_what_several_nodes_may_attach(bed: Bed) -> None:
    made = bed.create("w", shared=True)
    assert bed.path(made) is None
    for shared, path in ((True, "/w"), (False, None)):
        bed.sdk("Volume/Update", volume_id=made, spec={"sharedv4": shared})
        assert bed.path(made) == path
