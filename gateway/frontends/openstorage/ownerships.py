"""Ownership on the wire and in the core."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.core.ownership import Access, Ownership
from gateway.frontends.openstorage.call import refuse
from gateway.frontends.openstorage.pb import ownership_pb2 as pb


def ownership_message(ownership: Ownership) -> pb.Ownership:
    """Give the message; without any grant it has no `acls`."""
    result = pb.Ownership(owner=ownership.owner)
    for name, access in ownership.groups.items():
        result.acls.groups[name] = int(access)  # type: ignore[assignment] # the numbers are the same
    for name, access in ownership.collaborators.items():
        result.acls.collaborators[name] = int(access)  # type: ignore[assignment]
    if ownership.public is not None:
        result.acls.public.type = int(ownership.public)  # type: ignore[assignment]
    return result


def read_ownership(message: pb.Ownership) -> Ownership:
    """Give what a message says; INVALID_ARGUMENT for a level that there is not."""
    acls = message.acls
    return Ownership(
        owner=message.owner,
        groups=_levels("groups", acls.groups),
        collaborators=_levels("collaborators", acls.collaborators),
        public=_level("public", acls.public.type) if acls.HasField("public") else None,
    )


def _levels(field: str, levels: Mapping[str, int]) -> dict[str, Access]:
    return {name: _level(f"{field}[{name[:64]}]", number) for name, number in levels.items()}


def _level(field: str, number: int) -> Access:
    try:
        return Access(number)
    except ValueError:
        refuse(f"ownership.acls.{field}: {number} is no AccessType")
