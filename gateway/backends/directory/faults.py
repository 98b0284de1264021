"""The points between two steps of every change, for tests that end the process there.

`directory.<operation>.<step>`: each names what was just done. A change passes
all its points in this order, whatever the kind of volume.
"""

from __future__ import annotations

from collections.abc import Mapping

from gateway.backends.files.faults import STEPS as TREE_STEPS

STEPS: Mapping[str, tuple[str, ...]] = {
    **TREE_STEPS,
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

FAULT_POINTS: tuple[str, ...] = tuple(
    f"directory.{operation}.{step}" for operation, steps in STEPS.items() for step in steps
)
