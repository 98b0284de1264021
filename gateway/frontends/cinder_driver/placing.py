"""Where volumes are: taken to another pool of the same gateway, and known again after Cinder moved one itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.client import ClientError, native
from gateway.frontends.cinder_driver import specs, volumes
from gateway.frontends.cinder_driver.errors import Refusal
from gateway.frontends.cinder_driver.records import CinderVolume, pool_of
from gateway.frontends.cinder_driver.site import Site

_COPIED = frozenset({"Unsupported", "InUse"})
"""Errors after which Cinder copies the volume through the host: the gateway cannot move it, or not this one."""

Host = Mapping[str, Any]
"""Where Cinder wants a volume: `host`, and the `capabilities` that were told of there."""


def moved(site: Site, volume: CinderVolume, host: Host) -> bool:
    """Take a volume to another pool of this gateway. False when Cinder has to copy it itself."""
    told = host.get("capabilities") or {}
    pool = pool_of(host["host"]) or str(told.get("pool_name", ""))
    if told.get("location_info") != site.location or not pool:
        return False
    found = site.volume(volume)
    if found.pool == pool:
        return True
    try:
        site.run(native.move_volume(found.id, pool))
    except ClientError as error:
        if error.code in _COPIED:
            return False
        raise
    return True


def retyped(site: Site, volume: CinderVolume, wanted: Mapping[str, str], diff: Mapping[str, Any], host: Host) -> bool:
    """Make a volume what another type wants, in another pool where Cinder chose that. False: Cinder has to copy it."""
    reserved = site.volume(volume).thick
    if specs.thick(wanted) != reserved and (not reserved or specs.true(wanted.get(specs.THIN, ""))):
        return False
    pool = pool_of(host["host"]) or volume.pool
    for one in site.pools() if specs.own(wanted) else ():
        if one.name == pool and not _suits(wanted, one):
            return False
    here = {**host, "capabilities": {"location_info": site.location, "pool_name": pool}}
    if pool != volume.pool and not moved(site, volume, here):
        return False
    if "multiattach" in (diff.get("extra_specs") or {}):
        multi_attach = specs.true(wanted.get("multiattach", ""))
        site.run(native.change_volume(site.volume_id(volume), {"multi_attach": multi_attach}))
    return True


def renamed(site: Site, volume: CinderVolume, copy: CinderVolume) -> bool:
    """Give what Cinder copied into `copy` the name of the volume that it is a copy of.

    False when that name is taken: the source, which Cinder deletes later, is in the same tenant.
    """
    found = site.volume(copy)
    try:
        volumes.rename(site, found, volume)
    except ClientError as error:
        if error.code != "AlreadyExists":
            raise
        site.run(native.change_volume(found.id, {"labels": {**found.labels, **volume.labels}}))
        return False
    return True


def _suits(wanted: Mapping[str, str], pool: native.Pool) -> bool:
    try:
        specs.required(wanted, pool)
    except Refusal:
        return False
    return True
