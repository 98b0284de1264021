"""What Cinder's scheduler is told: one pool per pool of the gateway, by one request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from gateway import __version__
from gateway.client import native
from gateway.frontends.cinder_driver import specs
from gateway.frontends.cinder_driver.records import GIB
from gateway.frontends.cinder_driver.site import Site, abilities

VENDOR = "volume-gateway"
_ONLINE = "online"
_PROTOCOLS = {"iscsi": "iSCSI", "nfs": "NFS", "local": "file"}
"""Way -> Cinder's word for it, the one that other hosts can use first."""
_NOTICED = frozenset({"local", "nfs"})
"""Ways by which a host sees at once that a volume has grown. An iSCSI initiator sees it when it logs in anew."""


class Words(msgspec.Struct, frozen=True, kw_only=True):
    """What Cinder configures for every driver, and tells with each pool."""

    backend_name: str
    reserved_percentage: int = 0
    max_over_subscription_ratio: str | float = "auto"
    filter_function: str | None = None
    goodness_function: str | None = None


def stats(site: Site, words: Words) -> dict[str, Any]:
    """Give the stats of a backend whose gateway answers."""
    return told(site, words, site.pools())


def down(last: dict[str, Any]) -> dict[str, Any]:
    """Give the last stats of a backend whose gateway does not answer: nothing can be made there now."""
    pools = [{**pool, "free_capacity_gb": 0, "backend_state": "down"} for pool in last.get("pools", ())]
    return {**last, "pools": pools, "backend_state": "down"}


def told(site: Site, words: Words, pools: Sequence[native.Pool]) -> dict[str, Any]:
    """Give the stats of a backend with these pools."""
    found = [_pool(site, words, pool) for pool in pools]
    protocols = [pool["storage_protocol"] for pool in found]
    return {
        "volume_backend_name": words.backend_name,
        "vendor_name": VENDOR,
        "driver_version": __version__,
        "storage_protocol": next((one for one in _PROTOCOLS.values() if one in protocols), _PROTOCOLS["local"]),
        "backend_state": "up" if any(pool["backend_state"] == "up" for pool in found) else "down",
        "location_info": site.location,
        "sparse_copy_volume": True,
        "clone_across_pools": False,
        "replication_enabled": False,
        "pools": found,
    }


def _pool(site: Site, words: Words, pool: native.Pool) -> dict[str, Any]:
    kind = abilities(pool)
    ways = [way for way in kind.ways if way in site.settings.ways]
    online = pool.state == _ONLINE
    return {
        "pool_name": pool.name,
        "total_capacity_gb": _gib(pool.size),
        "free_capacity_gb": _gib(pool.available) if online else 0,
        "total_volumes": pool.volume_count,
        "reserved_percentage": words.reserved_percentage,
        "max_over_subscription_ratio": words.max_over_subscription_ratio,
        "thin_provisioning_support": "thin" in kind.can,
        "thick_provisioning_support": "thick" in kind.can,
        "multiattach": bool(ways),
        "online_extend_support": "resize" in kind.can and not _NOTICED.isdisjoint(ways),
        "consistent_group_snapshot_enabled": "snapshot_group" in kind.can,
        "QoS_support": False,
        "replication_enabled": False,
        "sparse_copy_volume": True,
        "clone_across_pools": False,
        "storage_protocol": next((word for way, word in _PROTOCOLS.items() if way in ways), _PROTOCOLS["local"]),
        "backend_state": "up" if online else "down",
        "location_info": site.location,
        "filter_function": words.filter_function,
        "goodness_function": words.goodness_function,
        specs.PREFIX: specs.facts(pool),
    }


def _gib(size: int) -> float:
    return round(size / GIB, 2)
