"""Goals, what was measured, and the table."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the table. `met` None: for information, nothing was promised."""

    what: str
    measured: str
    goal: str = ""
    met: bool | None = None
    detail: str = ""


def at_least(what: str, value: float, goal: float, *, stretch: float | None = None, detail: str = "") -> Result:
    """Judge a ratio that should be high."""
    text = f">= {goal:.2f}" + (f" ({stretch:.2f})" if stretch else "")
    return Result(what=what, measured=f"{value:.2f}", goal=text, met=value >= goal, detail=detail)


def at_most(what: str, value: float, goal: float, *, unit: str = "", digits: int = 2, detail: str = "") -> Result:
    """Judge a value that should be low."""
    return Result(
        what=what,
        measured=f"{value:.{digits}f}{unit}",
        goal=f"<= {goal:g}{unit}",
        met=value <= goal,
        detail=detail,
    )


def told(what: str, measured: str, detail: str = "") -> Result:
    """Give a line for information."""
    return Result(what=what, measured=measured, detail=detail)


_WORDS = {True: "pass", False: "MISS", None: ""}


def table(results: Sequence[Result]) -> str:
    """Give the table as text."""
    rows = [("", "goal", "measured", "", "")]
    rows += [(one.what, one.goal, one.measured, _WORDS[one.met], one.detail) for one in results]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
