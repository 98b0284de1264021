"""How busy the processors of the node are, as the kernel counts it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gateway.core.model import utc_now
from gateway.frontends.ontap_rest.scalars import format_datetime

COUNTERS = Path("/proc/stat")
_IDLE = slice(3, 5)
_COUNTED = 8
"""Behind these numbers come guests, which are in the first ones already."""


def render_statistics(counters: str) -> dict[str, Any]:
    """Render `statistics` of a node from the text of `COUNTERS`: ticks spent on work, and all that passed.

    The utilization between two looks is the difference of the one by that of the other.
    """
    ticks = [int(number) for number in counters.partition("\n")[0].split()[1:][:_COUNTED]]
    return {
        "timestamp": format_datetime(utc_now()),
        "status": "ok",
        "processor_utilization_raw": sum(ticks) - sum(ticks[_IDLE]),
        "processor_utilization_base": sum(ticks),
    }
