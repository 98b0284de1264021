"""The points between two steps of the changes that every pool of files has; see the drivers' own."""

from __future__ import annotations

from collections.abc import Mapping

STEPS: Mapping[str, tuple[str, ...]] = {
    "create": ("begun", "made", "filled", "written", "noted", "placed", "durable"),
    "delete": ("begun", "hidden", "durable"),
    "annotate": ("begun", "written", "noted", "durable"),
    "resize": ("begun", "sized", "written", "noted", "durable"),
    "set_root": ("begun", "permitted", "durable"),
    "put_manifest": ("begun", "written", "placed", "durable"),
}
"""Operation -> its steps."""
