"""Whether a node is the host that the gateway runs on."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, ip_address

Address = IPv4Address | IPv6Address

_ANY_PORT = 9
_LOCALHOST = "localhost"


def is_here(node: str, addresses: Iterable[str]) -> bool:
    """Tell whether one of a node's addresses is this host's; where it tells none, whether it has this host's name.

    Two hosts may well have one name, such as that of the image they came from.
    Loopback is everybody's.
    """
    told = [plain for address in addresses if (plain := _outward(address)) is not None]
    if told:
        return any(map(_is_own, told))
    return node == socket.gethostname() and node != _LOCALHOST


def _outward(address: str) -> Address | None:
    """Give an address by which others can reach who has it; None for any other text."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return None
    plain: Address = getattr(found, "ipv4_mapped", None) or found
    return None if plain.is_loopback or plain.is_unspecified else plain


def _is_own(address: Address) -> bool:
    """Tell whether an address is this host's: whoever speaks to it from here has it too.

    Binding to it would not tell: a kernel may allow that for addresses that
    are elsewhere, as the hosts of failover pairs do.
    """
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET  # noqa: PLR2004
    with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
        # No packet leaves: this only asks for the route.
        probe.connect((str(address), _ANY_PORT))
        return bool(ip_address(probe.getsockname()[0]) == address)
    return False
