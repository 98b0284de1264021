"""What every call of the driver works with: a gateway, a tenant there, and what the operator configured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeVar

import msgspec

from gateway.client import Client, ClientError, Flow, Listing, native
from gateway.frontends.cinder_driver.errors import Refusal
from gateway.frontends.cinder_driver.records import CinderSnapshot, CinderVolume

T = TypeVar("T")
R = TypeVar("R")

BLOCK = "block"


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What is configured for a backend beside its connection.

    No pools: all that hold block volumes. `mount_base`: below it this service
    mounts exports of file servers for copies of its own.
    """

    tenant: str = ""
    pools: tuple[str, ...] = ()
    ways: tuple[str, ...] = ("local", "iscsi", "nfs")
    chap: bool = True
    mount_base: str = ""


class Site:
    """A tenant of a gateway, and the pools there that a backend offers."""

    def __init__(self, client: Client, tenant: native.Tenant, settings: Settings) -> None:
        self.client = client
        self.tenant = tenant
        self.settings = settings

    @property
    def location(self) -> str:
        """Give what only backends of the same tenant of the same gateway have in common."""
        return f"gateway:{self.tenant.id}"

    def run(self, flow: Flow[T]) -> T:
        """Carry an operation out; ClientError when it fails."""
        return self.client.run(flow)

    def each(self, listing: Listing[R]) -> Iterator[R]:
        """Yield every answer."""
        return self.client.each(listing)

    def pools(self) -> tuple[native.Pool, ...]:
        """Give the pools that the backend offers, by one request."""
        # A pool that the gateway could not open does not say what it holds. It may come back.
        every = (pool for pool in self.run(native.pools()) if BLOCK in pool.kinds or not pool.kinds)
        return tuple(pool for pool in every if self.offers(pool.name))

    def offers(self, pool: str) -> bool:
        """Tell whether a pool is one of the backend's, if it holds block volumes."""
        return not self.settings.pools or pool in self.settings.pools

    def found(self, volume: CinderVolume) -> native.Volume | None:
        """Give the gateway's volume, None when it is not there.

        Where Cinder does not know its id it is known by name and label: what
        somebody else calls so is not Cinder's.
        """
        if not volume.core_id:
            named = self.run(native.volume_named(volume.name, tenant=self.tenant.name))
            return named if named is not None and _is(named.labels, volume.same) else None
        try:
            return self.run(native.volume(volume.core_id))
        except ClientError as error:
            if native.is_absent(error, "volume"):
                return None
            raise

    def volume(self, volume: CinderVolume) -> native.Volume:
        """Give the gateway's volume; Refusal when it is not there."""
        found = self.found(volume)
        if found is None:
            raise Refusal("VolumeNotFound", volume_id=volume.id)
        return found

    def volume_id(self, volume: CinderVolume) -> str:
        """Give the id of the gateway's volume, which nobody has to be asked for when Cinder knows it."""
        return volume.core_id or self.volume(volume).id

    def found_snapshot(self, snapshot: CinderSnapshot) -> native.Snapshot | None:
        """Give the gateway's snapshot, None when it is not there; see `found`."""
        try:
            if snapshot.core_id:
                return self.run(native.snapshot(snapshot.core_id))
            volume = self.found(snapshot.volume)
            named = None if volume is None else self.run(native.snapshot_named(volume.id, snapshot.name))
            return named if named is not None and _is(named.labels, snapshot.same) else None
        except ClientError as error:
            if native.is_absent(error, "snapshot"):
                return None
            raise

    def snapshot(self, snapshot: CinderSnapshot) -> native.Snapshot:
        """Give the gateway's snapshot; Refusal when it is not there."""
        found = self.found_snapshot(snapshot)
        if found is None:
            raise Refusal("SnapshotNotFound", snapshot_id=snapshot.id)
        return found

    def snapshot_id(self, snapshot: CinderSnapshot) -> str:
        """Give the id of the gateway's snapshot, which nobody has to be asked for when Cinder knows it."""
        return snapshot.core_id or self.snapshot(snapshot).id


def abilities(pool: native.Pool) -> native.Abilities:
    """Give what a pool can do with block volumes: nothing, while the gateway could not open it."""
    return pool.kinds.get(BLOCK, native.Abilities())


def open_site(client: Client, settings: Settings) -> Site:
    """Find the tenant, and look whether there is something to offer. Refusal names the option that is wrong."""
    tenants = {tenant.name: tenant for tenant in client.run(native.tenants())}
    tenant = tenants.get(settings.tenant)
    if not settings.tenant and len(tenants) == 1:
        tenant = next(iter(tenants.values()))
    if tenant is None:
        told = f"the gateway has no tenant {settings.tenant!r}" if settings.tenant else "it has to say which tenant"
        raise _wrong("gateway_tenant", f"{told}; there are: {', '.join(sorted(tenants)) or 'none'}")
    site = Site(client, tenant, settings)
    offered = {pool.name for pool in site.pools()}
    missing = [pool for pool in settings.pools if pool not in offered]
    if missing:
        raise _wrong("gateway_pools", f"the gateway has no such pool that holds block volumes: {', '.join(missing)}")
    if not offered:
        raise Refusal("VolumeDriverException", message="the gateway has no pool that holds block volumes")
    return site


def _is(labels: Mapping[str, str], same: Mapping[str, str]) -> bool:
    return same.items() <= labels.items()


def _wrong(option: str, reason: str) -> Refusal:
    return Refusal("InvalidConfigurationValue", message=f"{option}: {reason}")
