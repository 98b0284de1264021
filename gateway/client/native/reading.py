"""Questions about the gateway's own resources."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar
from urllib.parse import quote

import msgspec

from gateway.client.flows import Flow, Listing, page
from gateway.client.native.records import ExportPolicy, Object, Pool, Snapshot, Tenant, Volume
from gateway.client.native.steps import ROOT, read
from gateway.client.records import Handle

R = TypeVar("R")

VOLUMES = f"{ROOT}/volumes"
SNAPSHOTS = f"{ROOT}/snapshots"


class _Pools(msgspec.Struct, frozen=True):
    records: tuple[Pool, ...]


class _Tenants(msgspec.Struct, frozen=True):
    records: tuple[Tenant, ...]


class _Handles(msgspec.Struct, frozen=True):
    handles: tuple[Handle, ...]


def pools() -> Flow[tuple[Pool, ...]]:
    """Give every pool, with what it can do."""
    return (yield from read(f"{ROOT}/pools", _Pools)).records


def tenants() -> Flow[tuple[Tenant, ...]]:
    """Give every tenant."""
    return (yield from read(f"{ROOT}/tenants", _Tenants)).records


def volumes(
    *,
    tenant: str | None = None,
    name: str | None = None,
    pool: str | None = None,
    kind: str | None = None,
    path: str | None = None,
) -> Listing[Volume]:
    """Ask for volumes: every one, or those that are all of what is given. Tenant and pool by name."""
    return Listing(path=VOLUMES, kind=Volume, query=_given(tenant=tenant, name=name, pool=pool, kind=kind, path=path))


def volume(volume_id: str) -> Flow[Volume]:
    """Give a volume."""
    return read(f"{VOLUMES}/{volume_id}", Volume)


def volume_named(name: str, *, tenant: str) -> Flow[Volume | None]:
    """Give a tenant's volume by name, None when there is none."""
    return (yield from _first(volumes(tenant=tenant, name=name)))


def handles(volume_id: str) -> Flow[tuple[Handle, ...]]:
    """Give every way to a volume's bytes."""
    return (yield from read(f"{VOLUMES}/{volume_id}/access", _Handles)).handles


def objects(volume_id: str, *, snapshot: str | None = None, prefix: str | None = None) -> Listing[Object]:
    """Ask for the objects of a volume, or of one of its snapshots by id: all, or those that begin with a prefix."""
    return Listing(path=f"{VOLUMES}/{volume_id}/objects", kind=Object, query=_given(snapshot=snapshot, prefix=prefix))


def snapshot_handles(snapshot_id: str) -> Flow[tuple[Handle, ...]]:
    """Give every way to a snapshot's bytes."""
    return (yield from read(f"{SNAPSHOTS}/{snapshot_id}/access", _Handles)).handles


def snapshots(*, volume: str | None = None, tenant: str | None = None, name: str | None = None) -> Listing[Snapshot]:
    """Ask for snapshots: every one, or those that are all of what is given. The volume by id, the tenant by name."""
    return Listing(path=SNAPSHOTS, kind=Snapshot, query=_given(volume=volume, tenant=tenant, name=name))


def snapshot(snapshot_id: str) -> Flow[Snapshot]:
    """Give a snapshot."""
    return read(f"{SNAPSHOTS}/{snapshot_id}", Snapshot)


def snapshot_named(volume_id: str, name: str) -> Flow[Snapshot | None]:
    """Give a volume's snapshot by name, None when there is none."""
    return (yield from _first(snapshots(volume=volume_id, name=name)))


def export_policy(tenant: str, name: str) -> Flow[ExportPolicy]:
    """Give a tenant's export policy."""
    return read(policy_path(tenant, name), ExportPolicy)


def policy_path(tenant: str, name: str) -> str:
    """Give where a tenant's export policy is."""
    return f"{ROOT}/tenants/{quote(tenant, safe='')}/export-policies/{quote(name, safe='')}"


def _first(listing: Listing[R]) -> Flow[R | None]:
    found = yield from page(listing)
    return found.records[0] if found.records else None


def _given(**values: str | None) -> tuple[tuple[str, str], ...]:
    present: Mapping[str, str] = {key: value for key, value in values.items() if value is not None}
    return tuple(present.items())
