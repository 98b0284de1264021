"""The network ports of this host, as its kernel tells them. Nothing here waits for a device."""

from __future__ import annotations

import fcntl
import ipaddress
import socket
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec

_CLASS = Path("/sys/class/net")
_VLANS = Path("/proc/net/vlan")
_ADDRESSES_6 = Path("/proc/net/if_inet6")
_SIOCGIFADDR = 0x8915
_UP = 0x1
_LOOPBACK = "lo"


class HostPort(msgspec.Struct, frozen=True, kw_only=True):
    """A network device. `enabled` as it was set up, `up` when it carries."""

    name: str
    kind: Literal["physical", "vlan", "lag"] = "physical"
    enabled: bool = True
    up: bool = True
    mac: str = ""
    mtu: int = 0
    addresses: frozenset[str] = frozenset()


def host_ports() -> tuple[HostPort, ...]:
    """Give every network device. One that goes away meanwhile is left out."""
    six = _addresses_6()
    return tuple(
        _port(name, addresses=six.get(name, frozenset()) | _address_4(name))
        for _, name in socket.if_nameindex()
        if (_CLASS / name).exists()
    )


def port_at(address: str, ports: Sequence[HostPort]) -> str:
    """Give the name of the port that has an address.

    Of an address that the host does not have, such as a name or one that is
    translated on the way, it is the first that is no loopback.
    """
    for port in ports:
        if address in port.addresses:
            return port.name
    outward = [port.name for port in ports if port.name != _LOOPBACK]
    return outward[0] if outward and not _is_loopback(address) else _LOOPBACK


def _port(name: str, *, addresses: frozenset[str]) -> HostPort:
    place = _CLASS / name
    state, flags = _read(place / "operstate"), _read(place / "flags")
    enabled = bool(int(flags or "0", 16) & _UP)
    bonded, tagged = (place / "bonding").exists(), (_VLANS / name).exists()
    return HostPort(
        name=name,
        kind="lag" if bonded else "vlan" if tagged else "physical",
        enabled=enabled,
        # Drivers that cannot tell, such as that of the loopback, say "unknown".
        up=enabled and state in {"up", "unknown"},
        mac=_read(place / "address"),
        mtu=int(_read(place / "mtu") or 0),
        addresses=addresses,
    )


def _read(path: Path) -> str:
    """Give what a file says; nothing when the device has no answer, or is gone."""
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _address_4(name: str) -> frozenset[str]:
    request = struct.pack("256s", name.encode()[:15])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        try:
            answer = fcntl.ioctl(asking.fileno(), _SIOCGIFADDR, request)
        except OSError:
            return frozenset()
    return frozenset({socket.inet_ntoa(answer[20:24])})


def _addresses_6() -> dict[str, frozenset[str]]:
    found: dict[str, frozenset[str]] = {}
    for line in _read(_ADDRESSES_6).splitlines():
        digits, *_, name = line.split()
        found[name] = found.get(name, frozenset()) | {str(ipaddress.IPv6Address(int(digits, 16)))}
    return found


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
