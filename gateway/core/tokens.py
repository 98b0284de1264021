"""Tokens that open published trees, given to whoever may read the volume or write it himself."""

from __future__ import annotations

from uuid import UUID

from gateway.core import errors
from gateway.core.context import Core
from gateway.core.model import Volume
from gateway.core.ownership import Access, permit
from gateway.core.secret import Secret
from gateway.core.trees import no_tokens


async def token(core: Core, volume_id: UUID, *, write: bool) -> Secret:
    """Give what a client logs in with to read a tree, or also to write it.

    PermissionDenied to who may not do that himself. Unsupported where no tree
    is published. What a token opens is told by `gateway.core.volumes.access`.
    """
    volume = await core.get(Volume, volume_id)
    action = "write" if write else "read"
    permit(core.caller, volume, Access.WRITE if write else Access.READ, action=action)
    if write and volume.replica_of is not None:
        raise errors.InUse(kind="volume", ref=volume.name, by="replication", action=action)
    if core.publisher.trees is None:
        raise no_tokens(volume)
    return await core.publisher.trees.token(volume, write=write)
