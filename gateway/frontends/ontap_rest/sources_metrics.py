"""Metrics of volumes. Bytes do not pass through the gateway, so there is nothing that it could have counted."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.frontends.ontap_rest.ask import Ask
from gateway.frontends.ontap_rest.errors import invalid
from gateway.frontends.ontap_rest.sources import EVERY, Rendered
from gateway.frontends.ontap_rest.sources_volumes import Snapshots

_INTERVALS = ("1h", "1d", "1w", "1m", "1y")


class VolumeMetrics:
    """The metrics of one volume, which has to be there: none, rather than numbers that mean nothing."""

    def __init__(self, snapshots: Snapshots) -> None:
        self._snapshots = snapshots

    async def list(self, ask: Ask) -> Sequence[tuple[object, Rendered]]:
        """Give nothing, of a volume that the caller may know of, or of all."""
        interval = ask.parameters.options.get("interval")
        if interval is not None and interval not in _INTERVALS:
            raise invalid("interval", str(interval), "|".join(_INTERVALS))
        if ask.keys[0] != EVERY:
            await self._snapshots.volume(ask)
        return []
