"""All shares at once: whether they are there and published, and how full they are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from gateway.client import ClientError, Flow, native
from gateway.client.native import Volume
from gateway.core import errors
from gateway.frontends.manila_driver.locations import locations
from gateway.frontends.manila_driver.naming import GIB, INSTANCE, Share
from gateway.frontends.manila_driver.shares import every, publish

_ONLINE, _CREATING = "online", "creating"


class Condition(msgspec.Struct, frozen=True, kw_only=True):
    """How a share was found. `healthy` None: nobody knows. `renewed`: its access rules have to be set again."""

    healthy: bool | None = None
    locations: list[dict[str, Any]] = []
    renewed: bool = False


def conditions(tenant: str, shares: Iterable[Share]) -> Flow[dict[str, Condition]]:
    """See that shares are published, and give the condition of each by its id. One that fails hinders no other."""
    volumes = yield from _by_instance(tenant)
    found = {}
    for share in shares:
        try:
            found[share.id] = yield from _condition(share, volumes.get(share.id))
        except ClientError as error:
            if native.is_lost(error):
                raise
            found[share.id] = Condition(healthy=None if _passes(error) else False)
    return found


def used(tenant: str, instances: Iterable[str]) -> Flow[dict[str, float]]:
    """Give how many GiB each share holds, by the id of its instance, of those that are there."""
    volumes = yield from _by_instance(tenant)
    return {key: volumes[key].used / GIB for key in instances if key in volumes}


def _passes(error: ClientError) -> bool:
    """Tell whether the same may go well a little later."""
    kind = errors.tree().get(error.code)
    return kind is None or kind.retryable


def _by_instance(tenant: str) -> Flow[Mapping[str, Volume]]:
    volumes = yield from every(native.volumes(tenant=tenant, kind="filesystem"))
    return {volume.labels[INSTANCE]: volume for volume in volumes if INSTANCE in volume.labels}


def _condition(share: Share, volume: Volume | None) -> Flow[Condition]:
    if volume is None:
        return Condition(healthy=False)
    if volume.state != _ONLINE:
        return Condition(healthy=None if volume.state == _CREATING else False)
    renewed = yield from publish(share, volume)
    places = locations((yield from native.handles(volume.id)))
    return Condition(healthy=bool(places), locations=places, renewed=renewed)
