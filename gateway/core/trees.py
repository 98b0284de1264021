"""Trees under version control are published while their volumes are online, to whoever has a token.

Which there are is desired state, as with other publications. Tokens are given
by `gateway.core.tokens`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from uuid import UUID

import msgspec

from gateway.core import errors
from gateway.core.exporter import TreeExport, TreeExporter
from gateway.core.handles import AccessHandle, GitRemote
from gateway.core.model import Snapshot, Volume, VolumeKind, VolumeState
from gateway.core.secret import Secret

Source = Callable[[Volume], Awaitable[AccessHandle | None]]
"""Gives where a volume's pool has its bytes; None while its tenant is stopped."""


class Trees:
    """Makes the publications of trees follow the catalog."""

    def __init__(self, exporter: TreeExporter, source: Source) -> None:
        self._exporter = exporter
        self._source = source

    async def desired(self, volume: Volume | None) -> TreeExport | None:
        """Give the publication that a volume should have, or None."""
        if volume is None or volume.kind is not VolumeKind.TREE or volume.state is not VolumeState.ONLINE:
            return None
        source = await self._source(volume)
        # Without a name space it is at a server of the pool's own.
        if not isinstance(source, GitRemote) or not source.namespace:
            return None
        if volume.replica_of is not None:
            source = msgspec.structs.replace(source, read_only=True)
        return TreeExport(id=volume.id, source=source, generation=volume.generation)

    async def converge(self, volume_id: UUID, wanted: TreeExport | None) -> None:
        """Make a volume's publication as described; None: end it."""
        if wanted is None:
            await self._exporter.withdraw(volume_id)
        else:
            await self._exporter.publish(wanted)

    async def published(self) -> frozenset[UUID]:
        """Give what is published now."""
        return await self._exporter.published()

    async def handles(self, volume: Volume, snapshot: Snapshot | None = None) -> tuple[AccessHandle, ...]:
        """Give where clients reach a volume, or a snapshot of it, once it is published; nothing if it is not to be."""
        wanted = await self.desired(volume)
        key = None if snapshot is None else snapshot.id
        return () if wanted is None else (self._exporter.handle(wanted, key),)

    async def token(self, volume: Volume, *, write: bool) -> Secret:
        """Give what opens a volume's publication; Unsupported when it is not to have one."""
        if await self.desired(volume) is None:
            raise no_tokens(volume)
        return self._exporter.token(volume.id, write=write)


def no_tokens(volume: Volume) -> errors.Unsupported:
    """Give the error for a volume that has no tokens."""
    reason = "tokens are for trees under version control that an exporter publishes"
    return errors.Unsupported(capability="token", backend=volume.name, reason=reason)
