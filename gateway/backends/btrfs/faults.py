"""The points between two steps of every change, for tests that end the process there.

`btrfs.<operation>.<step>`: each names what was just done. A change passes all
its points in this order; which ones a crash must undo is nobody's business but
the backend's.
"""

from __future__ import annotations

from collections.abc import Mapping

from gateway.backends.files.faults import INSIDE_STEPS, fault_points

STEPS: Mapping[str, tuple[str, ...]] = {
    "create": ("begun", "made", "permitted", "limited", "written", "noted", "placed", "durable"),
    "clone": ("begun", "made", "permitted", "limited", "written", "noted", "placed", "durable"),
    "delete": ("begun", "hidden", "removed", "forgotten", "durable"),
    "annotate": ("begun", "written", "noted", "durable"),
    "split": ("begun", "written", "noted", "durable"),
    "resize": ("begun", "limited", "written", "noted", "durable"),
    "set_root": ("begun", "permitted", "durable"),
    "snapshot": ("begun", "written", "noted", "taken"),
    "delete_snapshot": ("begun", "removed", "forgotten", "durable"),
    "annotate_snapshot": ("begun", "written", "noted", "durable"),
    "restore": ("begun", "made", "limited", "written", "noted", "exchanged", "durable", "removed"),
    "settle_restore": ("begun", "removed"),
    "receive": (
        "begun",
        "streamed",
        "sealed",
        "made",
        "permitted",
        "limited",
        "drafted",
        "described",
        "written",
        "noted",
        "advanced",
        "placed",
        "durable",
        "removed",
    ),
    "put_manifest": ("begun", "written", "placed", "durable"),
}
"""Operation -> its steps. An operation that finds its work done passes none."""

FAULT_POINTS: tuple[str, ...] = (*fault_points("btrfs", STEPS), *fault_points("btrfs", INSIDE_STEPS))
