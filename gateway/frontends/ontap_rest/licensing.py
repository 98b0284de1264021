"""Licences: what the pools and exporters here are able to do, under the names of ONTAP's packages.

There is nothing to buy. A package counts as licensed while something here can do what it stands for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.core.context import Core
from gateway.frontends.ontap_rest.ask import Ask
from gateway.frontends.ontap_rest.render.cluster import NodeFacts
from gateway.frontends.ontap_rest.sources import Rendered, Site

_OPERATIONS: Mapping[str, str] = {"flexclone": "clone", "snaprestore": "restore"}
"""Package -> the operation that some pool must be able to do."""

_EXPORTERS: Mapping[str, str] = {"nfs": "nfs", "iscsi": "iscsi"}
"""Package -> the exporter that must be configured."""

_ABSENT = ("cifs", "fcp", "nvme_of", "s3", "snaplock", "snapmirror_sync")
"""Packages of which nothing here can do anything."""


class Licenses:
    """The packages. As with ONTAP, a list shows those that are not licensed only to whoever asks for a state."""

    def __init__(self, site: Site) -> None:
        self._site = site

    async def list(self, ask: Ask) -> Sequence[tuple[object, Rendered]]:
        """List in order of the names."""
        node = self._site.node()
        packages = self._packages(ask.core)
        everything = bool(ask.keys) or not {"name", "state"}.isdisjoint(ask.parameters.queried)
        return [
            (name, render_license(name, node, licensed=licensed))
            for name, licensed in sorted(packages.items())
            if licensed or everything
        ]

    def _packages(self, core: Core) -> Mapping[str, bool]:
        able = {name for pool in core.pools for found in pool.capabilities.values() for name in found.operations}
        served = {address.kind for address in self._site.addresses}
        return {
            **dict.fromkeys(_ABSENT, False),
            **{package: operation in able for package, operation in _OPERATIONS.items()},
            **{package: kind in served for package, kind in _EXPORTERS.items()},
            "snapmirror": "snapshot" in able,
        }


def render_license(name: str, node: NodeFacts, *, licensed: bool) -> dict[str, Any]:
    """Render a package, with one licence of the node's when it is licensed."""
    if not licensed:
        return {"name": name, "scope": "not_available", "state": "unlicensed"}
    compliance = {"state": "compliant"}
    held = {"owner": node.name, "active": True, "evaluation": False, "compliance": compliance}
    return {"name": name, "scope": "cluster", "state": "compliant", "licenses": [held]}
