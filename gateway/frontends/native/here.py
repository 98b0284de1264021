"""Whether a node is the host that the gateway runs on."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from contextlib import suppress
from ipaddress import ip_address

_ANY_PORT = 9
_LOCALHOST = "localhost"


def is_here(node: str, addresses: Iterable[str]) -> bool:
    """Tell whether a node has this host's name, or one of its addresses is this host's. Loopback is everybody's."""
    return (node == socket.gethostname() and node != _LOCALHOST) or any(map(_is_own, addresses))


def _is_own(address: str) -> bool:
    """Tell whether an address is this host's: whoever speaks to it from here has it too.

    Binding to it would not tell: a kernel may allow that for addresses that
    are elsewhere, as the hosts of failover pairs do.
    """
    with suppress(ValueError, OSError):
        plain = ip_address(address.partition("%")[0])
        plain = getattr(plain, "ipv4_mapped", None) or plain
        if plain.is_loopback or plain.is_unspecified:
            return False
        family = socket.AF_INET6 if plain.version == 6 else socket.AF_INET  # noqa: PLR2004
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            # No packet leaves: this only asks for the route.
            probe.connect((str(plain), _ANY_PORT))
            return bool(ip_address(probe.getsockname()[0]) == plain)
    return False
