"""How a condition on a value as it is shown becomes one on the value as it is stored.

Each of these gives None for a condition that it cannot translate.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import TypeVar
from uuid import UUID

from gateway.core import query as core
from gateway.core.model import VolumeKind
from gateway.core.query import Filter, IsNull, Match, Op
from gateway.frontends.ontap_rest.tree import Between, Compare, Glob, Leaf, Unset, satisfied

Translate = Callable[[Leaf, str], Filter | None]

S = TypeVar("S", bound=core.Value)

_SECOND = timedelta(seconds=1)
_UNSTORED = (float, timedelta)
_PATTERN_MAX = 4096
_SERIAL = re.compile("[0-9a-f]{12}")
_COLONS_MAX = 10


def compared(leaf: Leaf, field: str) -> Filter | None:
    """Translate a value that is stored as it is shown."""
    if isinstance(leaf, Unset):
        return IsNull(field)
    if isinstance(leaf, Compare) and not isinstance(leaf.value, _UNSTORED):
        return core.Compare(field, leaf.op, leaf.value)
    if isinstance(leaf, Between) and not isinstance(leaf.low, _UNSTORED) and not isinstance(leaf.high, _UNSTORED):
        return core.And((core.Compare(field, Op.GE, leaf.low), core.Compare(field, Op.LE, leaf.high)))
    return None


def text(leaf: Leaf, field: str) -> Filter | None:
    """Translate a text."""
    if isinstance(leaf, Glob):
        # The core's pattern cannot say a literal asterisk.
        plain = not leaf.fold and not any("*" in piece or "\0" in piece for piece in leaf.pieces)
        pattern = "*".join(leaf.pieces)
        return Match(field, pattern) if plain and len(pattern) <= _PATTERN_MAX else None
    operands = (leaf.low, leaf.high) if isinstance(leaf, Between) else (getattr(leaf, "value", ""),)
    return None if any("\0" in str(operand) for operand in operands) else compared(leaf, field)


def element(leaf: Leaf, field: str) -> Filter | None:
    """Translate one of several texts."""
    # A range would be two conditions, which two different elements could satisfy.
    return None if isinstance(leaf, Between) else text(leaf, field)


def optional_text(leaf: Leaf, field: str) -> Filter | None:
    """Translate a text that is not shown when it is empty."""
    empty = core.Compare(field, Op.EQ, "")
    if isinstance(leaf, Unset):
        return empty
    found = text(leaf, field)
    return None if found is None else core.And((core.Not(empty), found))


def uuid(leaf: Leaf, field: str) -> Filter | None:
    """Translate an id."""
    if isinstance(leaf, Unset):
        return IsNull(field)
    if not isinstance(leaf, Compare) or leaf.op is not Op.EQ:
        return None
    try:
        value = UUID(str(leaf.value))
    except ValueError:
        return core.NONE
    return core.Compare(field, Op.EQ, value) if str(value) == leaf.value else core.NONE


def time(leaf: Leaf, field: str) -> Filter | None:
    """Translate a time, of which whole seconds are shown."""
    if isinstance(leaf, Unset):
        return IsNull(field)
    if isinstance(leaf, Compare) and isinstance(leaf.value, datetime):
        return _since(leaf.op, leaf.value, field)
    if isinstance(leaf, Between) and isinstance(leaf.low, datetime) and isinstance(leaf.high, datetime):
        return core.And((_since(Op.GE, leaf.low, field), _since(Op.LE, leaf.high, field)))
    return None


def _since(op: Op, value: datetime, field: str) -> Filter:
    """Records show whole seconds, the catalog keeps more: `shown <= v` means `stored < second after v`."""
    floor = value.replace(microsecond=0)
    after = floor + _SECOND if floor < datetime.max.replace(microsecond=0, tzinfo=floor.tzinfo) else floor
    ceiling = floor if floor == value else after
    if op is Op.EQ:
        if floor != value:
            return core.NONE
        return core.And((core.Compare(field, Op.GE, floor), core.Compare(field, Op.LT, after)))
    bound = {Op.LT: (Op.LT, ceiling), Op.LE: (Op.LT, after), Op.GT: (Op.GE, after), Op.GE: (Op.GE, ceiling)}
    return core.Compare(field, *bound[op])


def shown(values: Mapping[S, object]) -> Translate:
    """Translate by asking which stored values are shown as something that satisfies the leaf; None: not shown."""

    def translate(leaf: Leaf, field: str) -> Filter | None:
        return core.Or(
            tuple(
                core.Compare(field, Op.EQ, stored)
                for stored, value in values.items()
                if (isinstance(leaf, Unset) if value is None else satisfied(leaf, value))
            )
        )

    return translate


def of_files(translate: Translate) -> Translate:
    """Translate a path that volumes of files show and volumes of blocks do not, whatever is stored."""
    files = core.Compare("kind", Op.EQ, VolumeKind.FILESYSTEM)

    def guarded(leaf: Leaf, field: str) -> Filter | None:
        found = translate(leaf, field)
        if found is None:
            return None
        return core.Or((core.Not(files), found)) if isinstance(leaf, Unset) else core.And((files, found))

    return guarded


def nothing_null(leaf: Leaf, field: str) -> Filter | None:
    """Translate a number that every volume of files shows."""
    return core.NONE if isinstance(leaf, Unset) else compared(leaf, field)


def serial(leaf: Leaf, field: str) -> Filter | None:
    """Translate a LUN's serial number, which is how its id begins."""
    if not isinstance(leaf, Compare) or leaf.op is not Op.EQ:
        return None
    text = str(leaf.value)
    if _SERIAL.fullmatch(text) is None:
        return core.NONE
    low, high = (UUID(hex=text + digit * (32 - len(text))) for digit in "0f")
    return core.And((core.Compare(field, Op.GE, low), core.Compare(field, Op.LE, high)))


def node(leaf: Leaf, field: str) -> Filter | None:
    """Narrow an igroup's uuid to the volumes that are attached to it; nodes of other doors are there too."""
    if isinstance(leaf, Compare) and leaf.op is Op.EQ and "\0" not in str(leaf.value):
        return core.Compare(field, Op.EQ, str(leaf.value))
    return None


def lun_path(leaf: Leaf, field: str) -> Filter | None:
    """Narrow a LUN's path `/vol/volume/lun` to the volume's name."""
    if isinstance(leaf, Glob):
        first, plain = leaf.pieces[0], not leaf.fold
    elif isinstance(leaf, Compare) and leaf.op is Op.EQ:
        first, plain = str(leaf.value), True
    else:
        return None
    name, slash, _ = first.removeprefix("/vol/").partition("/")
    if not plain or not first.startswith("/vol/") or not slash or "\0" in name:
        return None
    return core.Compare(field, Op.EQ, name)


def endpoint(leaf: Leaf, field: str) -> Filter | None:
    """Translate the path `svm:volume` of a relationship's destination, however many colons the names have."""
    if isinstance(leaf, Unset):
        return core.NONE
    if not isinstance(leaf, Compare) or leaf.op is not Op.EQ or "\0" in str(leaf.value):
        return None
    parts = str(leaf.value).split(":")
    if len(parts) > _COLONS_MAX:
        return None
    return core.Or(
        tuple(
            core.And(
                (
                    core.Compare("tenant.name", Op.EQ, ":".join(parts[:place])),
                    core.Compare(field, Op.EQ, ":".join(parts[place:])),
                )
            )
            for place in range(1, len(parts))
        )
    )


def choice(unset: object, otherwise: object) -> Translate:
    """Translate a path that shows only whether the field is set."""

    def translate(leaf: Leaf, field: str) -> Filter | None:
        branches = ((unset, IsNull(field)), (otherwise, core.Not(IsNull(field))))
        return core.Or(tuple(condition for value, condition in branches if satisfied(leaf, value)))

    return translate


def positive(leaf: Leaf, field: str) -> Filter | None:
    """Translate a boolean that is shown as true when the counter is above zero."""
    branches = ((True, core.Compare(field, Op.GT, 0)), (False, core.Compare(field, Op.EQ, 0)))
    return core.Or(tuple(condition for value, condition in branches if satisfied(leaf, value)))
