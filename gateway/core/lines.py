"""The lines of snapshot policies and volumes: which may stand together, and what they need."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gateway.core import errors
from gateway.core.catalog import Batch, Guard, when
from gateway.core.model import Schedule, SnapshotSchedule
from gateway.core.query import Compare, Op

COUNT_MAX = 9999
"""How many snapshots a line may keep at most."""

_LABEL_MAX = 255
_STEM_MAX = 200


def check_lines(field: str, lines: Sequence[SnapshotSchedule]) -> None:
    """Raise InvalidArgument for lines that keep nothing or that one another's snapshots could be taken for."""
    schedules: set[str] = set()
    stems: set[str] = set()
    for line in lines:
        if not 1 <= line.count <= COUNT_MAX:
            raise errors.InvalidArgument(field=f"{field}.count", value=line.count, reason=f"must be 1 to {COUNT_MAX}")
        if line.schedule in schedules:
            raise errors.InvalidArgument(field=f"{field}.schedule.name", value=line.schedule, reason="given twice")
        stem = stem_of(line)
        if "/" in stem or not stem.isprintable():
            reason = "holds a slash or a control character"
            raise errors.InvalidArgument(field=f"{field}.prefix", value=stem[:64], reason=reason)
        if stem in stems:
            raise errors.InvalidArgument(field=f"{field}.prefix", value=stem, reason="given twice")
        if "\x00" in line.label or len(line.label.encode()) > _LABEL_MAX:
            raise errors.InvalidArgument(field="label", value=line.label[:64], reason="too long, or holds a NUL")
        schedules.add(line.schedule)
        stems.add(stem)


def stem_of(line: SnapshotSchedule) -> str:
    """Give what the names of a line's snapshots begin with."""
    return (line.prefix or line.schedule).encode()[:_STEM_MAX].decode(errors="ignore")


def named_there(lines: Iterable[SnapshotSchedule]) -> Batch:
    """Give the guards that hold while the schedules that the lines name are there."""
    return when(
        *(
            Guard(
                Schedule,
                Compare("name", Op.EQ, line.schedule),
                exists=True,
                error=errors.NotFound(kind="schedule", ref=line.schedule),
            )
            for line in lines
        )
    )
