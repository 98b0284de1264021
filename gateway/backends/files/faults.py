"""The points between two steps of every change, for tests that end the process there.

`<driver>.<operation>.<step>`: each names what was just done. A change passes
all its points in this order, whatever the kind of volume.
"""

from __future__ import annotations

from collections.abc import Mapping

STEPS: Mapping[str, tuple[str, ...]] = {
    "create": ("begun", "made", "filled", "written", "noted", "placed", "durable"),
    "delete": ("begun", "hidden", "durable"),
    "annotate": ("begun", "written", "noted", "durable"),
    "resize": ("begun", "sized", "written", "noted", "durable"),
    "set_root": ("begun", "permitted", "durable"),
    "put_manifest": ("begun", "written", "placed", "durable"),
    "clone": ("begun", "made", "filled", "written", "noted", "placed", "durable"),
    "split": ("begun", "written", "noted", "durable"),
    "snapshot": ("begun", "made", "filled", "written", "noted", "placed", "durable"),
    "delete_snapshot": ("begun", "hidden", "durable"),
    "annotate_snapshot": ("begun", "written", "noted", "durable"),
    "restore": ("begun", "made", "filled", "written", "noted", "exchanged", "durable", "hidden"),
    "settle_restore": ("begun", "hidden"),
    "convert": ("begun", "made", "filled", "written", "noted", "emptied", "hidden", "placed", "durable"),
}
"""Operation -> its steps. An operation that finds its work done passes none."""

INSIDE_STEPS: Mapping[str, tuple[str, ...]] = {
    "make_directory": ("begun", "made", "permitted", "durable"),
    "rename_file": ("begun", "renamed", "durable"),
    "delete_file": ("begun", "removed", "durable"),
    "clone_file": ("begun", "made", "filled", "placed", "durable"),
}
"""The same of what is done within volumes, for the backends that look into them."""


def fault_points(driver: str, steps: Mapping[str, tuple[str, ...]] = STEPS) -> tuple[str, ...]:
    """Give every point of a driver's changes."""
    return tuple(f"{driver}.{operation}.{step}" for operation, found in steps.items() for step in found)
