"""Where clients mount a share: export locations from the gateway's access handles."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

from gateway.client.native import Handle
from gateway.frontends.openstack.addresses import bracketed

_NFS = "nfs"
_PORT = 2049


def locations(handles: Iterable[Handle]) -> list[dict[str, Any]]:
    """Give the export locations, the preferred one first; none while the volume is not published over NFS."""
    return [
        {
            "path": f"{bracketed(handle.address)}:{handle.path}",
            "is_admin_only": False,
            "metadata": {"preferred": number == 0},
        }
        for number, handle in enumerate(_served(handles))
    ]


def mount_options(handles: Iterable[Handle]) -> str:
    """Give the options that a client cannot do without, as mount(8) takes them; "" where the usual ones do."""
    ports = [handle.port for handle in _served(handles)]
    return f"port={ports[0]}" if ports and ports[0] not in {0, _PORT} else ""


def versions(addresses: Iterable[str]) -> list[int]:
    """Give the versions of IP by which servers are reached; what a name stands for is asked of this host's resolver."""
    found = {version for address in addresses for version in _versions(address)}
    return sorted(found)


def path_in(location: str) -> str | None:
    """Give the path in an export location that somebody wrote, such as `192.0.2.1:/data`; None when it has none."""
    host, _, path = location.strip().partition(":/")
    return f"/{path}" if host and path else None


def _served(handles: Iterable[Handle]) -> list[Handle]:
    return [handle for handle in handles if handle.kind == _NFS]


def _versions(address: str) -> Iterator[int]:
    try:
        yield ipaddress.ip_address(address).version
    except ValueError:
        with suppress(OSError):
            for family, *_ in socket.getaddrinfo(address, None, type=socket.SOCK_STREAM):
                yield 6 if family is socket.AF_INET6 else 4
