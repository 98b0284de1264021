"""The points between two steps of a move, for tests that end the process there: `mover.<what>.<step>`."""

from __future__ import annotations

from collections.abc import Mapping

STEPS: Mapping[str, tuple[str, ...]] = {
    "tree": ("removed", "made", "finished"),
    "file": ("begun", "written", "dressed", "placed"),
    "other": ("made", "placed"),
    "link": ("made", "placed"),
    "batch": ("flushed", "marked"),
    "blocks": ("written", "proven"),
    "object": ("put", "copied", "settled"),
}
"""What is dealt with -> its steps. A step that has nothing to do passes none."""

FAULT_POINTS: tuple[str, ...] = tuple(f"mover.{what}.{step}" for what, steps in STEPS.items() for step in steps)
