"""Which credential a call means."""

from __future__ import annotations

from gateway.core import credentials
from gateway.core.credentials import Credential
from gateway.frontends.openstorage.call import Call, refuse


async def credential_of(call: Call, ref: str) -> Credential:
    """Give the credential of an id or name; without one the only one that there is, else INVALID_ARGUMENT."""
    if ref:
        return await credentials.get(call.core, ref)
    found = await credentials.readable(call.core)
    if len(found) != 1:
        refuse(f"Must supply credential id: {'several are' if found else 'none is'} configured")
    return found[0]
