"""What the door knows of its surroundings: its services, and the executors with which clients reach their volumes."""

from __future__ import annotations

import enum
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

import msgspec

from gateway.core import errors
from gateway.core.context import Core
from gateway.core.model import Pool, Tenant, Transport, VolumeKind
from gateway.frontends.kinds import KindChoice
from gateway.frontends.libstorage.headers import isilon_id, vfs_id
from gateway.frontends.libstorage.model import NextDeviceInfo
from gateway.frontends.libstorage.settings import LibstorageOptions, ServiceOptions

Identify = Callable[[Any, str], str]
"""Gives the id of an instance of which a client tells only what it knows of itself (any JSON), and its address.

Empty when that says nothing.
"""


class StorageType(enum.StrEnum):
    """What an executor finds at the place that an attached volume has."""

    BLOCK = "block"
    NAS = "nas"
    OBJECT = "object"


class Driver(msgspec.Struct, frozen=True, kw_only=True):
    """An executor that clients have, by the name under which they know it. A name that they lack ends their start.

    `next_device`: which names of devices it proposes; None: it proposes none.
    `instance_name`: what every node that runs it is called.
    """

    name: str
    type: StorageType
    next_device: NextDeviceInfo | None = None
    identify: Identify | None = None
    instance_name: str = ""


def _drawn(prefix: str, pattern: str) -> NextDeviceInfo:
    return NextDeviceInfo(ignore=False, prefix=prefix, pattern=pattern)


_IGNORED = NextDeviceInfo(ignore=True, prefix="", pattern="")

DRIVERS: Mapping[str, Driver] = {
    driver.name: driver
    for driver in (
        Driver(name="isilon", type=StorageType.NAS, identify=isilon_id),
        Driver(
            name="vfs",
            type=StorageType.OBJECT,
            next_device=_IGNORED,
            identify=lambda told, _peer: vfs_id(told),
            instance_name="vfsInstance",
        ),
        Driver(name="efs", type=StorageType.NAS),
        Driver(name="ebs", type=StorageType.BLOCK, next_device=_drawn("xvd", "[f-p]")),
        Driver(name="azureud", type=StorageType.BLOCK),
        Driver(name="cinder", type=StorageType.BLOCK),
        Driver(name="dobs", type=StorageType.BLOCK),
        Driver(name="fittedcloud", type=StorageType.BLOCK, next_device=_drawn("xvd", "[f-p]")),
        Driver(name="gcepd", type=StorageType.BLOCK),
        Driver(name="rbd", type=StorageType.BLOCK),
        Driver(name="s3fs", type=StorageType.OBJECT, next_device=_IGNORED),
        Driver(name="scaleio", type=StorageType.BLOCK),
        Driver(name="vbox", type=StorageType.BLOCK),
    )
}
"""The executors that a stock client has."""


class Service(msgspec.Struct, frozen=True, kw_only=True):
    """One service. `kind` and `transport` are those of volumes that it makes; it shows all that are in its pools."""

    name: str
    driver: Driver
    pools: tuple[str, ...]
    tenant_name: str
    kind: VolumeKind = VolumeKind.FILESYSTEM
    transport: Transport = Transport.LOCAL
    policy: str = "default"

    async def tenant_id(self, core: Core) -> UUID:
        """Give the tenant's id; Unavailable while there is no such tenant."""
        tenant = await core.known.named(Tenant, self.tenant_name)
        if tenant is None:
            raise errors.Unavailable(what=f"tenant {self.tenant_name}", reason="it does not exist")
        return tenant.id

    async def pool_ids(self, core: Core) -> tuple[UUID, ...]:
        """Give the ids of its pools in order, without those that never opened."""
        found = [await core.known.named(Pool, name) for name in self.pools]
        return tuple(pool.id for pool in found if pool is not None)


class Site(msgspec.Struct, frozen=True, kw_only=True):
    """One per door. `services` are in order of their names, which are in small letters."""

    name: str
    services: Mapping[str, Service]
    options: LibstorageOptions = LibstorageOptions()

    @classmethod
    def of(
        cls,
        options: LibstorageOptions,
        *,
        name: str,
        tenant: str,
        pools: Mapping[str, Collection[VolumeKind]],
        nfs: Collection[str],
    ) -> Site:
        """Make the services.

        `tenant`: whose volumes are shown when the options name none. `pools`:
        what each can hold; `nfs`: those whose files clients reach over NFS.

        ValueError, whose text begins with the key, for what cannot be.
        """
        wanted = options.service or {pool: ServiceOptions(pool=pool) for pool in pools}
        if len({service.lower() for service in wanted}) != len(wanted):
            raise ValueError("service: the names of two pools differ in capitals only; configure services for them")
        services = {
            service.lower(): _service(service, chosen, options=options, tenant=tenant, pools=pools, nfs=nfs)
            for service, chosen in sorted(wanted.items(), key=lambda item: item[0].lower())
        }
        return cls(name=options.server_name or name, services=services, options=options)

    def service(self, name: str) -> Service | None:
        """Give a service by name, in whatever capitals."""
        return self.services.get(name.lower())


def _service(
    name: str,
    chosen: ServiceOptions,
    *,
    options: LibstorageOptions,
    tenant: str,
    pools: Mapping[str, Collection[VolumeKind]],
    nfs: Collection[str],
) -> Service:
    for pool in chosen.pool_names:
        if pool not in pools:
            raise ValueError(f"service.{name}: there is no pool {pool!r}")
    if chosen.driver and chosen.driver not in DRIVERS:
        raise ValueError(f"service.{name}: clients have no driver {chosen.driver!r} (known: {', '.join(DRIVERS)})")
    kind = _kind(chosen, [pools[pool] for pool in chosen.pool_names])
    mounted = kind is VolumeKind.FILESYSTEM and set(chosen.pool_names) <= set(nfs)
    by_default = "isilon" if mounted else "vfs"
    return Service(
        name=name.lower(),
        driver=DRIVERS[chosen.driver or by_default],
        pools=chosen.pool_names,
        tenant_name=chosen.tenant or options.tenant or tenant,
        kind=kind,
        transport=chosen.transport,
        policy=chosen.policy,
    )


def _kind(chosen: ServiceOptions, held: Sequence[Collection[VolumeKind]]) -> VolumeKind:
    """Decide what a service makes. Of a pool that is away nothing is known, so it may hold files."""
    if chosen.kind is not KindChoice.AUTO:
        return VolumeKind(chosen.kind.value)
    if chosen.driver and DRIVERS[chosen.driver].type is StorageType.BLOCK:
        return VolumeKind.BLOCK
    first = held[0]
    return VolumeKind.BLOCK if first and VolumeKind.FILESYSTEM not in first else VolumeKind.FILESYSTEM
