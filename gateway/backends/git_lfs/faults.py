"""The points between two steps of every change, for tests that end the process there.

`git-lfs.<operation>.<step>`: each names what was just done. A change passes all
its points in this order; which ones a crash must undo is nobody's business but
the backend's.
"""

from __future__ import annotations

from collections.abc import Mapping

STEPS: Mapping[str, tuple[str, ...]] = {
    "create": ("begun", "made", "written", "noted", "durable"),
    "clone": ("begun", "copied", "made", "written", "noted", "durable"),
    "delete": ("begun", "forgotten", "removed", "durable"),
    "annotate": ("begun", "written", "noted", "durable"),
    "resize": ("begun", "written", "noted", "durable"),
    "split": ("begun", "written", "noted", "durable"),
    "snapshot": ("begun", "copied", "made", "written", "noted", "durable"),
    "snapshot_group": ("begun", "copied", "made", "written", "noted", "durable"),
    "delete_snapshot": ("begun", "forgotten", "removed", "durable"),
    "annotate_snapshot": ("begun", "written", "noted", "durable"),
    "restore": ("begun", "copied", "made", "written", "noted", "durable", "removed"),
    "settle_restore": ("begun", "removed"),
    "receive": ("begun", "streamed", "made", "written", "noted", "durable", "placed", "removed"),
    "put_manifest": ("begun", "written", "noted", "durable"),
}
"""Operation -> its steps. An operation that finds its work done passes none."""

FAULT_POINTS: tuple[str, ...] = tuple(
    f"git-lfs.{operation}.{step}" for operation, steps in STEPS.items() for step in steps
)
