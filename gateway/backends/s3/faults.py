"""The points between two steps of every change, for tests that end the process there.

`s3.<operation>.<step>`: each names what was just done.
"""

from __future__ import annotations

from collections.abc import Mapping

STEPS: Mapping[str, tuple[str, ...]] = {
    "create": ("begun", "placed"),
    "delete": ("begun", "marked", "forgotten", "collected", "released", "settled"),
    "annotate": ("begun", "placed"),
    "resize": ("begun", "placed"),
    "snapshot": ("begun", "marked", "claimed", "written", "placed", "settled"),
    "delete_snapshot": ("begun", "marked", "forgotten", "dropped", "collected", "settled"),
    "annotate_snapshot": ("begun", "placed"),
    "clone": ("begun", "marked", "held", "placed", "settled"),
    "split": ("begun", "copied", "marked", "placed", "released", "settled"),
    "restore": ("begun", "journalled", "replaced", "placed", "collected", "settled"),
    "put_manifest": ("begun", "placed"),
}
"""Operation -> its steps. An operation that finds its work done passes none."""

FAULT_POINTS: tuple[str, ...] = tuple(f"s3.{operation}.{step}" for operation, steps in STEPS.items() for step in steps)
