"""Which part of a query the catalog can answer, and what is left to check on rendered records.

`COLUMNS` says, per resource and ONTAP path, the core's field and how a
condition on the rendered value becomes a condition on the stored one. What an
exact translation put into `where` is not looked at again; a column that is not
exact only narrows what the catalog gives, and its condition stays in
`residual`, which `tree.predicate` evaluates.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime, timedelta
from typing import TypeVar
from uuid import UUID

import msgspec

from gateway.core import query as core
from gateway.core.model import (
    JobState,
    LoginKind,
    PoolState,
    ReplicationState,
    SnapshotChoice,
    SnapshotState,
    TenantState,
    TransferState,
    VolumeKind,
    VolumeState,
)
from gateway.core.query import Filter, IsNull, Match, Op, Order
from gateway.frontends.ontap_rest.constants import CONSTANTS
from gateway.frontends.ontap_rest.query import OrderBy, not_orderable
from gateway.frontends.ontap_rest.tree import (
    TRUE,
    AllOf,
    AnyOf,
    Between,
    Compare,
    Glob,
    Leaf,
    Node,
    Not,
    Search,
    Unset,
    satisfied,
    values_at,
)

Translate = Callable[[Leaf, str], Filter | None]

S = TypeVar("S", bound=core.Value)

_SECOND = timedelta(seconds=1)
_UNSTORED = (float, timedelta)
_PATTERN_MAX = 4096
_SERIAL = re.compile("[0-9a-f]{12}")
_COLONS_MAX = 10
_TERMS_MAX = 1000
"""A larger condition is evaluated here: it costs less than its statement would."""


class Column(msgspec.Struct, frozen=True):
    """The core's field behind an ONTAP path. `ordered`: the stored order is the shown order.

    `exact` False: what is stored tells only which records cannot satisfy a condition.
    """

    field: str
    translate: Translate
    ordered: bool = True
    exact: bool = True


class Split(msgspec.Struct, frozen=True):
    """A query in two: both must hold."""

    where: Filter
    residual: Node


def _compared(leaf: Leaf, field: str) -> Filter | None:
    if isinstance(leaf, Unset):
        return IsNull(field)
    if isinstance(leaf, Compare) and not isinstance(leaf.value, _UNSTORED):
        return core.Compare(field, leaf.op, leaf.value)
    if isinstance(leaf, Between) and not isinstance(leaf.low, _UNSTORED) and not isinstance(leaf.high, _UNSTORED):
        return core.And((core.Compare(field, Op.GE, leaf.low), core.Compare(field, Op.LE, leaf.high)))
    return None


def _text(leaf: Leaf, field: str) -> Filter | None:
    if isinstance(leaf, Glob):
        # The core's pattern cannot say a literal asterisk.
        plain = not leaf.fold and not any("*" in piece or "\0" in piece for piece in leaf.pieces)
        pattern = "*".join(leaf.pieces)
        return Match(field, pattern) if plain and len(pattern) <= _PATTERN_MAX else None
    operands = (leaf.low, leaf.high) if isinstance(leaf, Between) else (getattr(leaf, "value", ""),)
    return None if any("\0" in str(operand) for operand in operands) else _compared(leaf, field)


def _element(leaf: Leaf, field: str) -> Filter | None:
    # A range would be two conditions, which two different elements could satisfy.
    return None if isinstance(leaf, Between) else _text(leaf, field)


def _optional_text(leaf: Leaf, field: str) -> Filter | None:
    empty = core.Compare(field, Op.EQ, "")
    if isinstance(leaf, Unset):
        return empty
    found = _text(leaf, field)
    return None if found is None else core.And((core.Not(empty), found))


def _uuid(leaf: Leaf, field: str) -> Filter | None:
    if isinstance(leaf, Unset):
        return IsNull(field)
    if not isinstance(leaf, Compare) or leaf.op is not Op.EQ:
        return None
    try:
        value = UUID(str(leaf.value))
    except ValueError:
        return core.NONE
    return core.Compare(field, Op.EQ, value) if str(value) == leaf.value else core.NONE


def _time(leaf: Leaf, field: str) -> Filter | None:
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


def _shown(shown: Mapping[S, object]) -> Translate:
    """Translate by asking which stored values are shown as something that satisfies the leaf; None: not shown."""

    def translate(leaf: Leaf, field: str) -> Filter | None:
        return core.Or(
            tuple(
                core.Compare(field, Op.EQ, stored)
                for stored, value in shown.items()
                if (isinstance(leaf, Unset) if value is None else satisfied(leaf, value))
            )
        )

    return translate


def _of_files(translate: Translate) -> Translate:
    """Translate a path that volumes of files show and volumes of blocks do not, whatever is stored."""
    files = core.Compare("kind", Op.EQ, VolumeKind.FILESYSTEM)

    def guarded(leaf: Leaf, field: str) -> Filter | None:
        found = translate(leaf, field)
        if found is None:
            return None
        return core.Or((core.Not(files), found)) if isinstance(leaf, Unset) else core.And((files, found))

    return guarded


def _nothing_null(leaf: Leaf, field: str) -> Filter | None:
    """Translate a number that every volume of files shows."""
    return core.NONE if isinstance(leaf, Unset) else _compared(leaf, field)


def _serial(leaf: Leaf, field: str) -> Filter | None:
    """Translate a LUN's serial number, which is how its id begins."""
    if not isinstance(leaf, Compare) or leaf.op is not Op.EQ:
        return None
    text = str(leaf.value)
    if _SERIAL.fullmatch(text) is None:
        return core.NONE
    low, high = (UUID(hex=text + digit * (32 - len(text))) for digit in "0f")
    return core.And((core.Compare(field, Op.GE, low), core.Compare(field, Op.LE, high)))


def _node(leaf: Leaf, field: str) -> Filter | None:
    """Narrow an igroup's uuid to the volumes that are attached to it; nodes of other doors are there too."""
    if isinstance(leaf, Compare) and leaf.op is Op.EQ and "\0" not in str(leaf.value):
        return core.Compare(field, Op.EQ, str(leaf.value))
    return None


def _lun_path(leaf: Leaf, field: str) -> Filter | None:
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


def _endpoint(leaf: Leaf, field: str) -> Filter | None:
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


def _choice(unset: object, otherwise: object) -> Translate:
    """Translate a path that shows only whether the field is set."""

    def translate(leaf: Leaf, field: str) -> Filter | None:
        branches = ((unset, IsNull(field)), (otherwise, core.Not(IsNull(field))))
        return core.Or(tuple(condition for value, condition in branches if satisfied(leaf, value)))

    return translate


def _positive(leaf: Leaf, field: str) -> Filter | None:
    """Translate a boolean that is shown as true when the counter is above zero."""
    branches = ((True, core.Compare(field, Op.GT, 0)), (False, core.Compare(field, Op.EQ, 0)))
    return core.Or(tuple(condition for value, condition in branches if satisfied(leaf, value)))


VOLUME_STATES: Mapping[VolumeState, str] = {
    VolumeState.CREATING: "offline",
    VolumeState.ONLINE: "online",
    VolumeState.OFFLINE: "offline",
    VolumeState.DELETING: "offline",
    VolumeState.ERROR: "error",
}
"""ONTAP has no word for a volume that is being made or removed; what is true of both is that it serves no data."""

NAS_STYLES: Mapping[VolumeKind, str | None] = {
    kind: "unix" if kind is VolumeKind.FILESYSTEM else None for kind in VolumeKind
}
"""Only a volume of files has a `nas`: `nas.security_style=null` finds them."""

MIRROR_STATES: Mapping[ReplicationState, str] = {
    ReplicationState.UNINITIALIZED: "uninitialized",
    ReplicationState.MIRRORED: "snapmirrored",
    ReplicationState.BROKEN: "broken_off",
    ReplicationState.PAUSED: "paused",
}

SENT: Mapping[SnapshotChoice, Mapping[str, bool]] = {
    choice: {
        "copy_latest_source_snapshot": choice is SnapshotChoice.LATEST,
        "create_snapshot_on_source": choice is SnapshotChoice.CREATE,
    }
    for choice in SnapshotChoice
}
"""What of its source a policy sends, in two of ONTAP's three words; the third one depends on its rules, too."""

LUN_STATES: Mapping[VolumeState, str] = {
    state: "online" if state is VolumeState.ONLINE else "offline" for state in VolumeState
}
LUN_ENABLED: Mapping[VolumeState, bool] = {state: state is VolumeState.ONLINE for state in VolumeState}

SNAPSHOT_STATES: Mapping[SnapshotState, str] = {
    SnapshotState.CREATING: "unknown",
    SnapshotState.VALID: "valid",
    SnapshotState.DELETING: "unknown",
    SnapshotState.ERROR: "invalid",
}

_SVM = {"svm.uuid": Column("tenant.id", _uuid), "svm.name": Column("tenant.name", _text)}

COLUMNS: Mapping[str, Mapping[str, Column]] = {
    "volume": {
        **_SVM,
        "uuid": Column("id", _uuid),
        "name": Column("name", _text),
        "aggregates.uuid": Column("pool.id", _uuid),
        "aggregates.name": Column("pool.name", _text),
        "size": Column("size", _compared),
        "space.size": Column("size", _compared),
        "space.afs_total": Column("size", _compared),
        "space.filesystem_size": Column("size", _compared),
        "space.used": Column("used", _compared),
        "state": Column("state", _shown(VOLUME_STATES), ordered=False),
        "comment": Column("comment", _text),
        "create_time": Column("created", _time),
        "snapshot_count": Column("snapshot_count", _compared),
        "_tags": Column("label", _element, ordered=False),
        "nas.security_style": Column("kind", _shown(NAS_STYLES), ordered=False),
        "nas.uid": Column("root.uid", _of_files(_nothing_null)),
        "nas.gid": Column("root.gid", _of_files(_nothing_null)),
        "nas.path": Column("junction_path", _text),
        "nas.export_policy.name": Column("export_policy.name", _of_files(_text)),
        "nas.export_policy.id": Column("export_policy.number", _of_files(_compared)),
        "snapshot_policy.name": Column("snapshot_policy.name", _text),
        "snapshot_policy.uuid": Column("snapshot_policy.id", _uuid),
        "guarantee.type": Column("thick", _shown({True: "volume", False: "none"}), ordered=False),
        "type": Column("replica_of", _choice("rw", "dp"), ordered=False),
        "clone.is_flexclone": Column("is_clone", _shown({True: True, False: False})),
        "clone.has_flexclone": Column("clone_count", _positive, ordered=False),
        "clone.parent_volume.uuid": Column("origin.volume.id", _uuid),
        "clone.parent_volume.name": Column("origin.volume.name", _text),
        "clone.parent_snapshot.uuid": Column("origin.snapshot.id", _uuid),
        "clone.parent_snapshot.name": Column("origin.snapshot.name", _text),
    },
    "snapshot": {
        **_SVM,
        "uuid": Column("id", _uuid),
        "name": Column("name", _text),
        "volume.uuid": Column("volume.id", _uuid),
        "volume.name": Column("volume.name", _text),
        "provenance_volume.uuid": Column("volume.id", _uuid),
        "create_time": Column("created", _time),
        "expiry_time": Column("expires", _time),
        "comment": Column("comment", _text),
        "snapmirror_label": Column("label", _optional_text),
        "size": Column("size", _compared),
        "state": Column("state", _shown(SNAPSHOT_STATES), ordered=False),
    },
    "svm": {
        "uuid": Column("id", _uuid),
        "name": Column("name", _text),
        "comment": Column("comment", _text),
        "state": Column("state", _shown({state: state.value for state in TenantState})),
    },
    "lun": {
        **_SVM,
        "uuid": Column("id", _uuid),
        # Nothing that this door lets into a volume's name sorts before the slash behind it.
        "name": Column("name", _lun_path, exact=False),
        "location.volume.uuid": Column("id", _uuid),
        "location.volume.name": Column("name", _text),
        "serial_number": Column("id", _serial),
        "space.size": Column("size", _compared),
        "space.used": Column("used", _compared),
        "create_time": Column("created", _time),
        "enabled": Column("state", _shown(LUN_ENABLED), ordered=False),
        "status.state": Column("state", _shown(LUN_STATES), ordered=False),
        "status.read_only": Column("replica_of", _choice(unset=False, otherwise=True), ordered=False),
        "status.mapped": Column("attachment_count", _positive, ordered=False),
        "lun_maps.igroup.uuid": Column("attachment.node", _node, ordered=False, exact=False),
    },
    "igroup": {
        **_SVM,
        "uuid": Column("id", _uuid),
        "name": Column("name", _text),
        "comment": Column("comment", _text),
        "initiators.name": Column("initiator", _element, ordered=False),
    },
    "lun_map": {
        **_SVM,
        "lun.uuid": Column("id", _uuid),
        "lun.name": Column("name", _lun_path, exact=False),
        "igroup.uuid": Column("attachment.node", _node, ordered=False, exact=False),
    },
    "iscsi_service": {
        "svm.uuid": Column("id", _uuid),
        "svm.name": Column("name", _text),
    },
    "iscsi_credentials": {
        **_SVM,
        "initiator": Column("initiator", _text),
        "authentication_type": Column("kind", _shown({kind: kind.value for kind in LoginKind})),
        "chap.inbound.user": Column("user", _optional_text),
        "chap.outbound.user": Column("target_user", _optional_text),
    },
    "aggregate": {
        "uuid": Column("id", _uuid),
        "name": Column("name", _text),
        "state": Column("state", _shown({state: state.value for state in PoolState})),
        "space.block_storage.size": Column("size", _compared),
        "space.block_storage.used": Column("used", _compared),
        "space.block_storage.available": Column("available", _compared),
        "volume-count": Column("volume_count", _compared),
    },
    "export_policy": {
        **_SVM,
        "id": Column("number", _compared),
        "name": Column("name", _text),
    },
    "snapshot_policy": {
        **_SVM,
        "uuid": Column("id", _uuid),
        "name": Column("name", _text),
        "comment": Column("comment", _text),
        "enabled": Column("enabled", _shown({True: True, False: False})),
        "scope": Column("tenant.id", _choice("cluster", "svm"), ordered=False),
    },
    "schedule": {
        "uuid": Column("id", _uuid),
        "name": Column("name", _text),
    },
    "svm_peer": {
        "svm.uuid": Column("id", _uuid),
        "svm.name": Column("name", _text),
    },
    "snapmirror_policy": {
        **_SVM,
        "uuid": Column("id", _uuid),
        "name": Column("name", _text),
        "comment": Column("comment", _text),
        "scope": Column("tenant.id", _choice("cluster", "svm"), ordered=False),
        **{
            path: Column("choice", _shown({choice: sent[path] for choice, sent in SENT.items()}), ordered=False)
            for path in SENT[SnapshotChoice.CREATE]
        },
    },
    "snapmirror_relationship": {
        "uuid": Column("id", _uuid),
        "destination.path": Column("volume.name", _endpoint, ordered=False),
        "destination.svm.uuid": Column("tenant.id", _uuid),
        "destination.svm.name": Column("tenant.name", _text),
        "policy.uuid": Column("policy.id", _uuid),
        "policy.name": Column("policy.name", _text),
        "state": Column("state", _shown(MIRROR_STATES), ordered=False),
        "healthy": Column("healthy", _shown({True: True, False: False})),
        "transfer.uuid": Column("transfer_id", _uuid),
    },
    "snapmirror_transfer": {
        "uuid": Column("id", _uuid),
        "relationship.uuid": Column("replication.id", _uuid),
        "state": Column("state", _shown({state: state.value for state in TransferState}), ordered=False),
        "end_time": Column("ended", _time),
    },
    "job": {
        **_SVM,
        "uuid": Column("id", _uuid),
        "description": Column("description", _text),
        "state": Column("state", _shown({state: state.value for state in JobState})),
        "start_time": Column("created", _time),
        "end_time": Column("ended", _time),
    },
}


def split(resource: str, where: Node, available: Collection[str]) -> Split:
    """Divide a query. `available` are the fields that the catalog can filter by (`Catalog.fields`)."""
    pushed: list[Filter] = []
    kept: list[Node] = []
    room = _TERMS_MAX
    for term in _conjuncts(where):
        exact = _translate(resource, term, available)
        found = _narrowed(resource, term, available) if exact is None else exact
        size = 0 if found is None else _size(found)
        if exact is None or size > room:
            kept.append(term)
        if found is not None and found != core.ALL and size <= room:
            pushed.append(found)
            room -= size
    return Split(
        pushed[0] if len(pushed) == 1 else core.And(tuple(pushed)),
        TRUE if not kept else kept[0] if len(kept) == 1 else AllOf(tuple(kept)),
    )


def catalog_order(resource: str, order: Iterable[OrderBy], available: Collection[str]) -> tuple[Order, ...]:
    """Give the catalog's order; WireError 262268 for a path by which it cannot sort."""
    columns = COLUMNS.get(resource, {})
    found = []
    for item in order:
        column = columns.get(item.path)
        if column is None or not column.ordered or column.field not in available:
            raise not_orderable(item.path)
        found.append(Order(column.field, item.descending))
    return tuple(found)


def sort_records(records: list[dict[str, object]], order: Iterable[OrderBy]) -> list[dict[str, object]]:
    """Sort rendered records of a resource that is not in the catalog; unset values come last."""
    found = list(records)
    for item in reversed(list(order)):
        parts = tuple(item.path.split("."))
        firsts = [next(values_at(record, parts), None) for record in found]
        known = [(value, number) for number, value in enumerate(firsts) if value is not None]
        unknown = [number for number, value in enumerate(firsts) if value is None]
        known.sort(key=lambda pair: pair[0], reverse=item.descending)  # type: ignore[arg-type,return-value]
        found = [found[number] for _, number in known] + [found[number] for number in unknown]
    return found


def _conjuncts(node: Node) -> Iterable[Node]:
    if isinstance(node, AllOf):
        for term in node.terms:
            yield from _conjuncts(term)
    else:
        yield node


def _size(where: Filter) -> int:
    if isinstance(where, core.And | core.Or):
        return 1 + sum(_size(term) for term in where.terms)
    return 1 + _size(where.term) if isinstance(where, core.Not) else 1


def _translate(resource: str, node: Node, available: Collection[str]) -> Filter | None:
    if isinstance(node, Search):
        return None
    if isinstance(node, AllOf | AnyOf):
        terms = [_translate(resource, term, available) for term in node.terms]
        whole = tuple(term for term in terms if term is not None)
        if len(whole) < len(terms):
            return None
        return core.And(whole) if isinstance(node, AllOf) else core.Or(whole)
    if isinstance(node, Not):
        constant = CONSTANTS.get(resource, {}).get(node.term.path)
        if constant is not None:
            return core.NONE if satisfied(node.term, constant) else core.ALL
        inner = _leaf(resource, node.term, available)
        unset = _leaf(resource, Unset(node.term.path), available)
        return None if inner is None or unset is None else core.And((core.Not(inner), core.Not(unset)))
    return _leaf(resource, node, available)


def _narrowed(resource: str, node: Node, available: Collection[str]) -> Filter | None:
    """Give what must hold of the stored record for the node to be true; None when nothing is known."""
    if isinstance(node, AnyOf):
        terms = [_narrowed(resource, term, available) for term in node.terms]
        whole = tuple(term for term in terms if term is not None)
        return core.Or(whole) if len(whole) == len(terms) else None
    if isinstance(node, AllOf | Search | Not):
        return None
    column = COLUMNS.get(resource, {}).get(node.path)
    if column is None or column.field not in available:
        return None
    return column.translate(node, column.field)


def _leaf(resource: str, leaf: Leaf, available: Collection[str]) -> Filter | None:
    constants = CONSTANTS.get(resource, {})
    if leaf.path in constants:
        return core.ALL if satisfied(leaf, constants[leaf.path]) else core.NONE
    column = COLUMNS.get(resource, {}).get(leaf.path)
    if column is None or not column.exact or column.field not in available:
        return None
    return column.translate(leaf, column.field)
