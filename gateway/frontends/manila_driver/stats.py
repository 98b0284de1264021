"""What Manila's scheduler is told about pools."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import msgspec

from gateway.client.native import Pool
from gateway.frontends.manila_driver.naming import GIB

_KIND = "filesystem"


class Reserve(msgspec.Struct, frozen=True, kw_only=True):
    """How much of a pool, in percent, is kept free, and for how much more than it has it may be promised."""

    shares: int = 0
    from_snapshots: int = 0
    extending: int = 0
    over_subscription: float = 20.0


def serving(pools: Iterable[Pool], chosen: Collection[str] = ()) -> list[Pool]:
    """Give the pools that can hold shares: files that the gateway serves over NFS. `chosen`: only these, by name."""
    return [pool for pool in pools if (not chosen or pool.name in chosen) and unfit(pool) is None]


def unfit(pool: Pool) -> str | None:
    """Give why a pool cannot hold shares, None when it can."""
    if pool.state != "online":
        return f"is {pool.state}"
    if _KIND not in pool.kinds:
        return "holds no files"
    if not pool.kinds[_KIND].addresses:
        # Whom a file server of the pool's own lets in is said there, whatever access rules a share has.
        return "is not served over NFS by the gateway"
    return None


def consistent(pools: Iterable[Pool]) -> bool:
    """Tell whether each of the pools takes snapshots of several shares at one instant."""
    found = list(pools)
    return bool(found) and all(pool.can(_KIND, "snapshot_group") for pool in found)


def addresses(pools: Iterable[Pool]) -> tuple[str, ...]:
    """Give where clients reach the shares of pools."""
    return tuple(sorted({address for pool in pools for address in pool.kinds[_KIND].addresses}))


def described(pools: Iterable[Pool], reserve: Reserve) -> list[dict[str, Any]]:
    """Give the pools as the scheduler wants them. What is not known of them all is left to it."""
    return [_described(pool, reserve) for pool in pools]


def _described(pool: Pool, reserve: Reserve) -> dict[str, Any]:
    def can(*abilities: str) -> bool:
        return all(pool.can(_KIND, ability) for ability in abilities)

    thin = [flag for flag, ability in ((True, "thin"), (False, "thick")) if can(ability)]
    return {
        "pool_name": pool.name,
        "total_capacity_gb": pool.size / GIB,
        "free_capacity_gb": pool.available / GIB,
        "reserved_percentage": reserve.shares,
        "reserved_snapshot_percentage": reserve.from_snapshots,
        "reserved_share_extend_percentage": reserve.extending,
        "max_over_subscription_ratio": reserve.over_subscription,
        "thin_provisioning": thin[0] if len(thin) == 1 else thin,
        "snapshot_support": can("snapshot"),
        "create_share_from_snapshot_support": can("snapshot", "clone"),
        "revert_to_snapshot_support": can("snapshot", "restore"),
        "mount_snapshot_support": False,
        "sg_consistent_snapshot_support": "pool" if can("snapshot", "snapshot_group") else None,
        "qos": False,
        "dedupe": False,
        "compression": False,
        "gateway_driver": pool.driver,
        "gateway_volatile": pool.volatile,
        "gateway_quota": can("quota"),
        "gateway_crash_consistent": can("crash_consistent"),
    }
