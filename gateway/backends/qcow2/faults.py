"""The points between two steps of every change, for tests that end the process there.

`qcow2.<operation>.<step>`: each names what was just done. `access` is here
because it starts a daemon; `merge` is part of whatever leaves a layer with
nobody but the one above it.
"""

from __future__ import annotations

from collections.abc import Mapping

STEPS: Mapping[str, tuple[str, ...]] = {
    "create": ("begun", "prepared", "made", "written", "noted", "durable"),
    "clone": ("begun", "prepared", "made", "written", "noted", "durable"),
    "freeze": ("begun", "made", "written", "noted", "switched"),
    "delete": ("begun", "closed", "forgotten", "durable", "collected"),
    "annotate": ("begun", "written", "noted", "durable"),
    "resize": ("begun", "resized", "durable"),
    "access": ("begun", "opened"),
    "snapshot": ("begun", "made", "written", "noted", "switched", "placed"),
    "delete_snapshot": ("begun", "closed", "disowned", "forgotten", "durable", "collected"),
    "annotate_snapshot": ("begun", "disowned", "written", "noted", "durable"),
    "merge": ("begun", "committed", "renamed", "dismissed"),
    "restore": ("begun", "made", "closed", "written", "noted", "reopened", "collected"),
    "split": ("begun", "flattened", "renamed", "replaced", "written", "noted", "collected"),
    "receive": (
        "begun",
        "prepared",
        "made",
        "opened",
        "streamed",
        "closed",
        "topped",
        "shut",
        "written",
        "noted",
        "placed",
        "reopened",
        "collected",
    ),
    "put_manifest": ("begun", "written", "placed", "durable"),
}
"""Operation -> its steps. An operation that finds its work done passes none."""

FAULT_POINTS: tuple[str, ...] = tuple(
    f"qcow2.{operation}.{step}" for operation, steps in STEPS.items() for step in steps
)
