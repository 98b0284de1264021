"""What each call of the protocol does. Failures are errors of the core."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

import msgspec

from gateway.core import retired
from gateway.core.context import Core
from gateway.core.model import Pool, Tenant, Volume
from gateway.frontends.docker import creating, lookup, mounting
from gateway.frontends.docker.site import Site, is_user
from gateway.frontends.docker.wanted import Kept, name_of, wanted
from gateway.frontends.docker.wire import (
    Ability,
    Able,
    Activated,
    Done,
    Got,
    Listed,
    Mounted,
    Request,
    ShownVolume,
)


class Call(msgspec.Struct, frozen=True):
    """A call: what carries it out, and what it changes in the audit's words; "" for nothing."""

    carry_out: Callable[[Plugin, Request], Awaitable[msgspec.Struct]]
    operation: str = ""


InContainer = Callable[[str], Awaitable[bool]]
"""Tells whether a container has what is mounted at a path of this host."""


class Plugin:
    """The volume driver."""

    def __init__(self, core: Core, site: Site, *, in_container: InContainer) -> None:
        self._core = core
        self._site = site
        self._in_container = in_container

    async def activate(self, _request: Request) -> Activated:
        """Say what the plugin is."""
        return Activated()

    async def capabilities(self, _request: Request) -> Able:
        """Say what Docker takes the volumes for."""
        return Able(capabilities=Ability(scope=self._site.options.scope.value))

    async def create(self, request: Request) -> Done:
        """Make a volume; one that is there already is no error when it is what was asked for."""
        asked = wanted(
            request.name,
            request.opts or {},
            pools=[pool.name for pool in self._core.pools],
            tenants=self._site.tenants,
        )
        await creating.create(self._core, self._site, asked)
        return Done()

    async def remove(self, request: Request) -> Done:
        """Remove a volume that nobody has mounted or attached; what its snapshots and clones need stays for them."""
        volume = await lookup.shown(self._core, self._site, name_of(request.name))
        mount = self._site.mount_of(volume)
        if mount is not None and not await self._in_container(mount.path):
            await mounting.forget(self._core, volume, mount)
        await (await retired.remove(self._core, volume.id, description=f"Docker: remove {volume.name}")).result()
        await retired.collect_after(self._core, volume)
        return Done()

    async def mount(self, request: Request) -> Mounted:
        """Mount a volume for a caller."""
        name = name_of(request.name)
        return Mounted(mountpoint=await mounting.mount(self._core, self._site, name, request.caller))

    async def unmount(self, request: Request) -> Done:
        """End what a caller needed."""
        await mounting.unmount(self._core, self._site, name_of(request.name), request.caller)
        return Done()

    async def path(self, request: Request) -> Mounted:
        """Say where a mounted volume is."""
        return Mounted(mountpoint=await mounting.path(self._core, self._site, name_of(request.name)))

    async def get(self, request: Request) -> Got:
        """Describe a volume, under the name that it was asked for by."""
        volume = await lookup.shown(self._core, self._site, name_of(request.name))
        pool = (await self._core.known.get_many(Pool, [volume.pool_id]))[volume.pool_id]
        tenant = (await self._core.known.get_many(Tenant, [volume.tenant_id]))[volume.tenant_id]
        found = self._shown(volume)
        status = self._status(volume, pool=pool.name, tenant=tenant.name)
        return Got(volume=msgspec.structs.replace(found, name=request.name, status=status))

    async def list(self, _request: Request) -> Listed:
        """Name all volumes."""
        return Listed(volumes=[self._shown(volume) async for volume in lookup.every(self._core, self._site)])

    def _shown(self, volume: Volume) -> ShownVolume:
        mount = self._site.mount_of(volume)
        return ShownVolume(name=volume.name, mountpoint="" if mount is None else mount.path, created_at=volume.created)

    def _status(self, volume: Volume, *, pool: str, tenant: str) -> dict[str, object]:
        """Give what Docker shows of a volume and understands nothing of."""
        kept = Kept.of(volume.annotations)
        mount = self._site.mount_of(volume)
        told = {
            "id": str(volume.id),
            "tenant": tenant,
            "pool": pool,
            "kind": volume.kind.value,
            "state": volume.state.value,
            "size": volume.size,
            "used": volume.used,
            "format": volume.format or kept.format,
            "labels": volume.labels,
            "users": 0 if mount is None else sum(map(is_user, mount.users)),
            "not_followed": kept.wishes,
        }
        return {key: value for key, value in told.items() if value not in ("", {})}


CALLS: Mapping[str, Call] = {
    "/Plugin.Activate": Call(Plugin.activate),
    "/VolumeDriver.Capabilities": Call(Plugin.capabilities),
    "/VolumeDriver.Create": Call(Plugin.create, "volume.create"),
    "/VolumeDriver.Remove": Call(Plugin.remove, "volume.delete"),
    "/VolumeDriver.Mount": Call(Plugin.mount, "volume.mount"),
    "/VolumeDriver.Unmount": Call(Plugin.unmount, "volume.unmount"),
    "/VolumeDriver.Path": Call(Plugin.path),
    "/VolumeDriver.Get": Call(Plugin.get),
    "/VolumeDriver.List": Call(Plugin.list),
}
"""Every call of the protocol by its path. All are sent by POST."""
