"""Addresses as both services write them."""

from __future__ import annotations

import ipaddress


def bracketed(address: str) -> str:
    """Give an address, or a name, as it stands before a colon."""
    try:
        return f"[{address}]" if ipaddress.ip_address(address).version == 6 else address  # noqa: PLR2004
    except ValueError:
        return address
