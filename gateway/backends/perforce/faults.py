"""The points between two steps of every change, for tests that end the process there.

`perforce.<operation>.<step>`: each names what was just done.
"""

from __future__ import annotations

from collections.abc import Mapping

STEPS: Mapping[str, tuple[str, ...]] = {
    "create": ("begun", "made"),
    "clone": ("begun", "made", "populated", "noted"),
    "delete": ("begun", "marked", "emptied", "removed"),
    "annotate": ("begun", "noted"),
    "resize": ("begun", "noted"),
    "split": ("begun", "noted"),
    "snapshot": ("begun", "taken"),
    "delete_snapshot": ("begun", "removed"),
    "annotate_snapshot": ("begun", "noted"),
    "restore": ("begun", "staged", "opened", "submitted", "noted", "cleared"),
    "put_manifest": ("begun", "written"),
}
"""Operation -> its steps. An operation that finds its work done passes none."""

FAULT_POINTS: tuple[str, ...] = tuple(
    f"perforce.{operation}.{step}" for operation, steps in STEPS.items() for step in steps
)
