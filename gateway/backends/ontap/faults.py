"""The points between two steps of every change, for tests that end the process there.

`ontap.<operation>.<step>`: each names what was just done. `carried`: the
volumes that carry the rest of a long description are there; `dropped`: those
of the description before are gone.
"""

from __future__ import annotations

from collections.abc import Mapping

STEPS: Mapping[str, tuple[str, ...]] = {
    "create": ("begun", "carried", "made"),
    "clone": ("begun", "carried", "made", "described", "resized", "named"),
    "delete": ("begun", "unmounted", "removed", "dropped"),
    "annotate": ("begun", "carried", "noted", "dropped"),
    "split": ("begun", "split"),
    "resize": ("begun", "resized"),
    "set_root": ("begun", "permitted"),
    "snapshot": ("begun", "carried", "taken"),
    "delete_snapshot": ("begun", "removed", "dropped"),
    "annotate_snapshot": ("begun", "carried", "noted", "dropped"),
    "restore": ("begun", "marked", "announced", "restored", "noted"),
    "put_manifest": ("begun", "carried", "noted", "dropped"),
}
"""Operation -> its steps. An operation that finds its work done passes none."""

FAULT_POINTS: tuple[str, ...] = tuple(
    f"ontap.{operation}.{step}" for operation, steps in STEPS.items() for step in steps
)
