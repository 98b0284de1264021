"""Gateways with the libStorage door: on memory, on files over NFS, and on blocks."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import httpx
from exporter_scene import end_daemon, free_port
from libstorage_client import Client, client_of

from gateway.testing.btrfs_pool import btrfs_pool
from gateway.testing.live import LiveGateway, live_gateway
from gateway.testing.loop_pool import loop_pool

DOOR = '[frontend.libstorage]\nlisten = "127.0.0.1:0"\n'
"""The door on a free port, for a configuration."""

SOCKET = "door.sock"


def service(name: str, **options: str) -> str:
    """Give the table of a service."""
    lines = "".join(f'{key} = "{value}"\n' for key, value in options.items())
    return f"[frontend.libstorage.service.{name}]\n{lines}"


class Bed:
    """A gateway, a service of it, and the clients of two nodes.

    `shares`: several nodes may hold a volume at once. `port`: where the
    server of its data listens, 0 for none. `initiators`: nodes say their iSCSI name.
    """

    def __init__(
        self,
        gateway: LiveGateway,
        http: httpx.Client,
        *,
        service: str,
        driver: str,
        kind: str,
        shares: bool,
        nodes: tuple[str, str],
        port: int = 0,
        initiators: bool = False,
    ) -> None:
        self.gateway = gateway
        self.http = http
        self.service = service
        self.driver = driver
        self.kind = kind
        self.shares = shares
        self.nodes = nodes
        self.port = port
        self.nobody = Client(http)
        self._named = ",initiator=iqn.2026-11.example:{}" if initiators else ""
        self.client, self.other = map(self.at, nodes)

    def at(self, node: str) -> Client:
        """Give a client on a node."""
        return self.nobody.as_instance(f"{self.driver}={node}{self._named.format(node.lower())}")

    @property
    def address(self) -> str:
        """Give the door's address as the stock client wants it."""
        return self.gateway.addresses["libstorage"].replace("http://", "tcp://")

    @property
    def socket(self) -> Path:
        return self.gateway.folder / SOCKET

    def clean(self) -> None:
        """Take away what a test left. Snapshots outlive their volumes, and those with copies cannot go before them."""
        for name, found in self.nobody.everywhere().items():
            for volume_id in found:
                self.nobody.remove(name, volume_id, "?force")
        for name, taken in self.nobody.snapshots_everywhere().items():
            for snapshot_id in taken:
                self.nobody.remove_snapshot(name, snapshot_id)


@contextlib.contextmanager
def memory_bed(folder: Path) -> Iterator[Bed]:
    """Give a bed with two services on pools in memory."""
    pools = '[backend.memory]\n[backend.spare]\ndriver = "memory"\n'
    extra = _door(folder) + service("svc", pool="memory") + service("spare", pool="spare")
    with live_gateway(folder, pools=pools, extra=extra) as gateway, _http(gateway) as http:
        nodes = ("host-a", "host-b")
        yield Bed(gateway, http, service="svc", driver="vfs", kind="object", shares=True, nodes=nodes)


@contextlib.contextmanager
def files_bed(folder: Path) -> Iterator[Bed]:
    """Give a bed on btrfs whose volumes are reached over NFS. All its nodes are on this machine."""
    port = free_port()
    with btrfs_pool(folder / "disk", "2G") as disk:
        pools = f'[backend.fast]\ndriver = "btrfs"\npath = "{disk}"\n'
        served = f"{service('svc', pool='fast')}[export.nfs]\nport = {port}\n"
        extra = _door(folder / "gateway") + served
        with live_gateway(folder / "gateway", pools=pools, extra=extra) as gateway, _http(gateway) as http:
            try:
                yield Bed(
                    gateway,
                    http,
                    service="svc",
                    driver="isilon",
                    kind="nas",
                    shares=True,
                    nodes=("127.0.0.1", "127.0.0.2"),
                    port=port,
                )
            finally:
                gateway.stop()
                for name in ("ganesha.nfsd", "dbus-daemon"):
                    end_daemon(gateway.data / "nfs", name)


def units_bed(folder: Path) -> contextlib.AbstractContextManager[Bed]:
    """Give a bed on XFS whose volumes are blocks that are reached over iSCSI."""
    return blocks_bed(folder, "iscsi")


@contextlib.contextmanager
def blocks_bed(folder: Path, transport: str = "local") -> Iterator[Bed]:
    """Give a bed on XFS whose volumes are blocks: devices of this machine, unless the transport is another."""
    port = free_port()
    with loop_pool(folder / "disk", "xfs", "2G") as disk:
        pools = f'[backend.slow]\ndriver = "directory"\npath = "{disk}"\n'
        served = service("svc", pool="slow", kind="block", transport=transport)
        extra = f"{_door(folder / 'gateway')}{served}[export.local]\n[export.iscsi]\nport = {port}\n"
        with live_gateway(folder / "gateway", pools=pools, extra=extra) as gateway, _http(gateway) as http:
            try:
                yield Bed(
                    gateway,
                    http,
                    service="svc",
                    driver="vfs",
                    kind="object",
                    shares=False,
                    nodes=("host-a", "host-b"),
                    port=port,
                    initiators=transport == "iscsi",
                )
            finally:
                gateway.stop()
                end_daemon(gateway.data / "iscsi", "tgtd")


def _door(folder: Path) -> str:
    return f'{DOOR}socket = "{folder / SOCKET}"\n'


@contextlib.contextmanager
def _http(gateway: LiveGateway) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=gateway.addresses["libstorage"], timeout=90, verify=False) as http:
        yield http


__all__ = ["DOOR", "Bed", "blocks_bed", "client_of", "files_bed", "memory_bed", "service", "units_bed"]
