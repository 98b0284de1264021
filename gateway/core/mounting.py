"""Mounts on this host are desired state: the catalog says which there should be, this makes it so."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from uuid import UUID

import msgspec

from gateway.core import errors
from gateway.core.exporter import HostMount, Mounter, Quiesce
from gateway.core.handles import LocalPath
from gateway.core.model import Mount, Volume, VolumeState

Source = Callable[[Volume], Awaitable[LocalPath | None]]
"""Gives where the bytes of a volume are on this host; None when they are elsewhere, or are not to be reached."""


class Mounting:
    """Makes the mounts of this host follow the catalog; those of other nodes are not looked at."""

    def __init__(self, mounter: Mounter, source: Source) -> None:
        self._mounter = mounter
        self._source = source

    @property
    def mounter(self) -> Mounter:
        """Give who does it."""
        return self._mounter

    @property
    def node(self) -> str:
        """Give the id of this host, as mounts have it."""
        return self._mounter.node

    def wished(self, volume: Volume) -> tuple[Mount, ...]:
        """Give the mounts that the catalog wants on this host, whether or not they can be just now."""
        return tuple(mount for mount in volume.mounts if mount.node == self.node)

    async def check(self, volume: Volume, mount: Mount, *, kind: str) -> str:
        """Give the format that a new mount of an online volume will have; raise what would hinder it."""
        wanted = await self._desired(volume, mount)
        if wanted is None:
            raise errors.Unsupported(
                capability="mount", backend=self.node, reason="the volume is not on this host, or its tenant is stopped"
            )
        return await self._mounter.check(msgspec.structs.replace(wanted, format=kind))

    async def converge(self, volume_id: UUID, volume: Volume | None, *, force: bool = False) -> None:
        """Make the mounts of a volume as the catalog wants them."""
        desired = [await self._desired(volume, mount) for mount in self.wished(volume)] if volume is not None else []
        wanted = [mount for mount in desired if mount is not None]
        await self._end_others(volume_id, {mount.id for mount in wanted}, force=force)
        for mount in wanted:
            await self._mounter.mount(mount)

    async def change(self, before: Volume, after: Volume, *, force: bool, delete_path: bool) -> None:
        """End the mounts that `after` has no more, then make those that are new; others are left alone."""
        kept, known = {mount.id for mount in after.mounts}, {mount.id for mount in before.mounts}
        for mount in self.wished(before):
            if mount.id not in kept:
                await self._mounter.unmount(mount.id, force=force, delete_path=delete_path)
        for mount in self.wished(after):
            wanted = await self._desired(after, mount) if mount.id not in known else None
            if wanted is not None:
                await self._mounter.mount(wanted)

    async def keep_only(self, volume: Volume) -> None:
        """End what is mounted although the record knows nothing of it, also while it is in use."""
        await self._end_others(volume.id, {mount.id for mount in volume.mounts}, force=True)

    async def withdraw(self, volume_id: UUID, *, force: bool) -> None:
        """End every mount of a volume. InUse while one is in use, unless by force."""
        await self._end_others(volume_id, set(), force=force)
        if force:
            await self._mounter.unquiesce(volume_id)

    async def stale(self, volume_of: Callable[[UUID], Awaitable[Volume | None]]) -> frozenset[UUID]:
        """Give the volumes of which something is mounted here that the catalog does not want."""
        stale = set()
        for mount_id, volume_id in (await self._mounter.mounted()).items():
            volume = await volume_of(volume_id)
            if volume is None or all(mount.id != mount_id for mount in self.wished(volume)):
                stale.add(volume_id)
        return frozenset(stale)

    async def to_quiesce(self, volume: Volume, *, quiesce_id: str, timeout_s: int) -> Quiesce:
        """Give what to tell the mounter."""
        return Quiesce(
            volume_id=volume.id,
            name=volume.name,
            kind=volume.kind,
            source=await self._source(volume),
            quiesce_id=quiesce_id,
            timeout_s=timeout_s,
        )

    async def _end_others(self, volume_id: UUID, kept: set[UUID], *, force: bool) -> None:
        for mount_id, owner in (await self._mounter.mounted()).items():
            if owner == volume_id and mount_id not in kept:
                await self._mounter.unmount(mount_id, force=force)

    async def _desired(self, volume: Volume, mount: Mount) -> HostMount | None:
        if volume.state is not VolumeState.ONLINE:
            return None
        source = await self._source(volume)
        if source is None:
            return None
        return HostMount(
            id=mount.id,
            volume_id=volume.id,
            kind=volume.kind,
            path=mount.path,
            source=source,
            size=volume.size,
            read_only=mount.read_only,
            options=mount.options,
            format=volume.format,
            generation=volume.generation,
        )
