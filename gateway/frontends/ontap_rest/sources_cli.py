"""The few commands that clients run through `private/cli`, because REST had no words for them once."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import msgspec

from gateway.core.manifest import everything
from gateway.core.model import Pool, Volume
from gateway.frontends.ontap_rest.ask import Ask
from gateway.frontends.ontap_rest.sources import Item, Rendered, Site
from gateway.frontends.ontap_rest.sources_volumes import Volumes


class CliAggregates:
    """`storage aggregate show`. No pool holds the root volume of a node, because there are none."""

    def __init__(self, site: Site) -> None:
        self._site = site

    async def list(self, ask: Ask) -> Sequence[tuple[object, Rendered]]:
        """List the pools."""
        node = self._site.node()
        return [(pool, render_aggregate(pool, node.name)) for pool in await everything(ask.core.catalog, Pool)]


def render_aggregate(pool: Pool, node: str) -> Rendered:
    """Render a pool; sizes are in bytes."""
    return {
        "aggregate": pool.name,
        "node": node,
        "size": pool.size,
        "availsize": pool.available,
        "usedsize": pool.used,
        "state": pool.state.value,
        "root": False,
    }


class CliVolumes(Volumes):
    """`volume show`."""

    async def items(self, ask: Ask, records: Sequence[Volume]) -> list[Item]:
        """Give what the volumes are in the words of the resource, in those of the command."""
        return [
            msgspec.structs.replace(item, render=partial(_volume, item), stamp=None)
            for item in await super().items(ask, records)
        ]


def _volume(item: Item) -> Rendered:
    volume = item.render()
    nas = volume.get("nas", {})
    shown = {
        "vserver": volume["svm"]["name"],
        "volume": volume["name"],
        "aggregate": volume["aggregates"][0]["name"],
        "size": volume["size"],
        "available": volume["space"]["available"],
        "used": volume["space"]["used"],
        "state": volume["state"],
        "type": volume["type"].upper(),
        "comment": volume["comment"],
    }
    if "path" in nas:
        shown["junction_path"] = nas["path"]
    if "export_policy" in nas:
        shown["policy"] = nas["export_policy"]["name"]
    return shown
