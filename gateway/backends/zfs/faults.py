"""The points between two steps of every change, for tests that end the process there.

`zfs.<operation>.<step>`: each names what was just done. A change passes the
points of its operation in this order, and of those in `SOMETIMES` only the
ones that its case needs.
"""

from __future__ import annotations

from collections.abc import Mapping

STEPS: Mapping[str, tuple[str, ...]] = {
    "create": ("begun", "made", "permitted", "whole"),
    "clone": ("begun", "made", "permitted", "whole"),
    "delete": ("begun", "unmounted", "promoted", "removed"),
    "annotate": ("begun", "written", "noted"),
    "split": ("begun", "written", "noted"),
    "resize": ("begun", "limited", "reserved"),
    "set_root": ("begun", "permitted"),
    "convert": ("begun", "emptied", "removed", "made"),
    "snapshot": ("begun", "taken"),
    "snapshot_group": ("begun", "taken"),
    "delete_snapshot": ("begun", "removed"),
    "annotate_snapshot": ("begun", "written", "noted"),
    "restore": ("begun", "announced", "cleared", "rolled_back", "sized", "noted"),
    "receive": ("begun", "streamed", "written", "noted", "sized", "placed"),
    "put_manifest": ("begun", "written", "placed"),
}
"""Operation -> its steps. An operation that finds its work done passes none."""

SOMETIMES: Mapping[str, frozenset[str]] = {
    "create": frozenset({"permitted", "whole"}),
    "clone": frozenset({"permitted", "whole"}),
    "delete": frozenset({"promoted"}),
    "annotate": frozenset({"written"}),
    "split": frozenset({"written"}),
    "resize": frozenset({"reserved"}),
    "annotate_snapshot": frozenset({"written"}),
    "restore": frozenset({"sized"}),
    "receive": frozenset({"written", "sized"}),
    "put_manifest": frozenset({"written"}),
}
"""Steps that not every case has: long notes, permissions of its own, reserved space, block volumes, split clones."""

FAULT_POINTS: tuple[str, ...] = tuple(f"zfs.{operation}.{step}" for operation, steps in STEPS.items() for step in steps)
