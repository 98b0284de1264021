"""What a query means, in plain Python over all records: slow, obvious, and independent of any store."""

from __future__ import annotations

import functools
import operator
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar
from uuid import UUID

from gateway.core.model import HostGroup, Intent, Record, Snapshot, SnapshotPolicy, Volume
from gateway.core.ownership import readers
from gateway.core.query import And, Compare, Filter, IsNull, Match, Not, Op, Or, Order
from gateway.core.replication_model import Replication, ReplicationPolicy, Transfer

R = TypeVar("R", bound=Record)

_OPERATORS: Mapping[Op, Callable[[Any, Any], bool]] = {
    Op.EQ: operator.eq,
    Op.LT: operator.lt,
    Op.LE: operator.le,
    Op.GT: operator.gt,
    Op.GE: operator.ge,
}


_DERIVED: Mapping[tuple[type[Record], str], Callable[[Any], list[Any]]] = {
    (Volume, "label"): lambda volume: [f"{key}:{value}" for key, value in volume.labels.items()],
    (Volume, "name_key"): lambda volume: [volume.name.casefold()],
    (Volume, "is_clone"): lambda volume: [volume.origin is not None],
    (Volume, "junction_key"): lambda volume: [volume.junction_path.casefold()] if volume.junction_path else [],
    (Volume, "attachment_count"): lambda volume: [len(volume.attachments)],
    (Volume, "mount_count"): lambda volume: [len(volume.mounts)],
    (Volume, "mount.path"): lambda volume: [f"{mount.node}:{mount.path}" for mount in volume.mounts],
    (Volume, "attachment.node"): lambda volume: [a.node for a in volume.attachments],
    (Volume, "attachment.lun"): lambda volume: [f"{a.node}/{a.lun}" for a in volume.attachments if a.lun is not None],
    (Volume, "schedule.policy"): lambda volume: [
        *filter(None, [volume.snapshot_policy_id]),
        *volume.more_snapshot_policy_ids,
    ],
    (Volume, "schedule.name"): lambda volume: [line.schedule for line in volume.schedules],
    (SnapshotPolicy, "schedule.name"): lambda policy: [line.schedule for line in policy.copies],
    (ReplicationPolicy, "schedule.name"): lambda policy: [
        name for name in (policy.schedule, *(rule.schedule for rule in policy.rules)) if name
    ],
    (Snapshot, "labels"): lambda snapshot: [f"{key}:{value}" for key, value in snapshot.labels.items()],
    (Snapshot, "spare"): lambda snapshot: [True] if snapshot.transient and not snapshot.clone_count else [],
    (Volume, "reader"): lambda volume: readers(volume.ownership),
    (HostGroup, "initiator"): lambda group: [initiator.name for initiator in group.initiators],
    (Intent, "key"): lambda intent: list(intent.keys),
}
"""Fields that are computed, or of which a record holds many."""


class Oracle:
    """Answers queries about `world`, the records that references lead to."""

    def __init__(self, world: Iterable[Record]) -> None:
        self._world: dict[UUID, Record] = {record.id: record for record in world}

    def select(self, records: Iterable[R], where: Filter, order: tuple[Order, ...]) -> list[R]:
        """Give the matches in order; the id breaks ties in the direction of the last field. NULL is the smallest."""
        found = [record for record in records if self.matches(record, where)]
        total = (*order, Order("id", descending=order[-1].descending))
        for item in reversed(total):
            found.sort(key=functools.partial(self._rank, item.field), reverse=item.descending)
        return found

    def matches(self, record: Record, where: Filter) -> bool:
        """Tell whether the filter holds for the record."""
        match where:
            case Compare(field, op, value):
                return any(_OPERATORS[op](own, value) for own in self.values(record, field))
            case Match(field, pattern):
                expression = ".*".join(map(re.escape, pattern.split("*")))
                return any(re.fullmatch(expression, own, re.DOTALL) for own in self.values(record, field))
            case IsNull(field):
                return not self.values(record, field)
            case Not(term):
                return not self.matches(record, term)
            case And(terms):
                return all(self.matches(record, term) for term in terms)
            case Or(terms):
                return any(self.matches(record, term) for term in terms)

    def values(self, record: Record, field: str) -> list[Any]:
        """Give what the record holds under the field: nothing when it is not set."""
        derive = _DERIVED.get((type(record), field))
        if derive is not None:
            return derive(record)
        if isinstance(record, Snapshot | Replication | Transfer) and field == "volume.reader":
            return self.values(self._world[record.volume_id], "reader")
        value = self._follow(record, field.split("."))
        return [] if value is None else [value]

    def _rank(self, field: str, record: Record) -> tuple[bool, Any]:
        values = self.values(record, field)
        return (True, min(values)) if values else (False, 0)

    def _follow(self, start: object, path: list[str]) -> Any:
        head, *rest = path
        reference = getattr(start, f"{head}_id", None)
        if rest and isinstance(reference, UUID):
            record = self._world.get(reference)
            return reference if rest == ["id"] else None if record is None else self._follow(record, rest)
        value = getattr(start, head, None)
        return value if not rest or value is None else self._follow(value, rest)
