"""A real gateway for tests of the Manila driver: pools on btrfs and on ext4, served over NFS, and one in memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from exporter_scene import free_port
from nfs_scene import Nfs

from gateway.client import Client
from gateway.testing.btrfs_pool import btrfs_pool
from gateway.testing.live import ACCOUNT, PASSWORD, LiveGateway, live_gateway
from gateway.testing.loop_pool import loop_pool

TENANT = "svm1"
FAST, PLAIN = "fast", "plain"


class Bed:
    """The gateway, a client of it, and an NFS client."""

    def __init__(self, gateway: LiveGateway, nfs: Nfs, port: int) -> None:
        self.gateway = gateway
        self.client = connected(gateway)
        self.nfs = nfs
        self.port = port

    def restart(self) -> None:
        """Start the gateway again, after it ended; its address is another one."""
        self.client.close()
        self.gateway.start()
        self.client = connected(self.gateway)


def connected(gateway: LiveGateway) -> Client:
    return Client(gateway.url, user=ACCOUNT, password=PASSWORD)


@contextmanager
def manila_bed(folder: Path, **options: Any) -> Iterator[Bed]:
    """Give a gateway whose pool `fast` can do everything, `plain` only hold files, and `memory` cannot be reached."""
    port = free_port()
    with btrfs_pool(folder / "a", "6G") as fast, loop_pool(folder / "b", "ext4", "256M") as plain:
        pools = (
            f'[backend.{FAST}]\ndriver = "btrfs"\npath = "{fast}"\n'
            f'[backend.{PLAIN}]\ndriver = "directory"\npath = "{plain}"\n'
            "[backend.memory]\n"
        )
        extra = f"[export.nfs]\nport = {port}\n"
        with live_gateway(folder / "gateway", pools=pools, extra=extra, **options) as gateway:
            bed = Bed(gateway, Nfs(port, folder), port)
            try:
                yield bed
            finally:
                bed.client.close()
                if not gateway.alive:  # a test that failed left its servers and mounts to the next gateway
                    gateway.start()


def share_row(pool: str = FAST, *, size: int = 1, instance: str = "", **fields: Any) -> dict[str, Any]:
    """Give a share instance as Manila's share manager hands it over."""
    key = instance or str(uuid4())
    return {
        "id": key,
        "share_id": str(uuid4()),
        "name": f"share-{key}",
        "host": f"manila@gw#{pool}",
        "size": size,
        "share_proto": "NFS",
        "share_type_id": None,
        **fields,
    }


def snapshot_row(share: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """Give a snapshot instance of a share in the same way."""
    key = str(uuid4())
    return {
        "id": key,
        "snapshot_id": str(uuid4()),
        "name": f"share-snapshot-{key}",
        "share_id": share["share_id"],
        "share_instance_id": share["id"],
        "share_name": share["name"],
        "size": share["size"],
        "provider_location": None,
        **fields,
    }


def access_row(to: str, level: str = "rw", kind: str = "ip") -> dict[str, Any]:
    """Give an access rule in the same way."""
    key = str(uuid4())
    return {"access_id": key, "id": key, "access_type": kind, "access_to": to, "access_level": level, "state": "new"}
