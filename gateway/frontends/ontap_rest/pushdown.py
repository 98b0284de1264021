"""Which part of a query the catalog can answer, and what is left to check on rendered records.

`COLUMNS` says, per resource and ONTAP path, the core's field and how a
condition on the rendered value becomes a condition on the stored one. What an
exact translation put into `where` is not looked at again; a column that is not
exact only narrows what the catalog gives, and its condition stays in
`residual`, which `tree.predicate` evaluates.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import msgspec

from gateway.core import query as core
from gateway.core.model import JobState, LoginKind, PoolState, SnapshotState, TenantState, VolumeKind, VolumeState
from gateway.core.query import Filter, Order
from gateway.core.replication_model import ReplicationState, SnapshotChoice, TransferState
from gateway.frontends.ontap_rest import translate as to
from gateway.frontends.ontap_rest.constants import CONSTANTS
from gateway.frontends.ontap_rest.query import OrderBy, not_orderable
from gateway.frontends.ontap_rest.tree import (
    TRUE,
    AllOf,
    AnyOf,
    Leaf,
    Node,
    Not,
    Search,
    Unset,
    satisfied,
    values_at,
)

_TERMS_MAX = 1000
"""A larger condition is evaluated here: it costs less than its statement would."""


class Column(msgspec.Struct, frozen=True):
    """The core's field behind an ONTAP path. `ordered`: the stored order is the shown order.

    `exact` False: what is stored tells only which records cannot satisfy a condition.
    """

    field: str
    translate: to.Translate
    ordered: bool = True
    exact: bool = True


class Split(msgspec.Struct, frozen=True):
    """A query in two: both must hold."""

    where: Filter
    residual: Node


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

_SVM = {"svm.uuid": Column("tenant.id", to.uuid), "svm.name": Column("tenant.name", to.text)}

COLUMNS: Mapping[str, Mapping[str, Column]] = {
    "volume": {
        **_SVM,
        "uuid": Column("id", to.uuid),
        "name": Column("name", to.text),
        "aggregates.uuid": Column("pool.id", to.uuid),
        "aggregates.name": Column("pool.name", to.text),
        "size": Column("size", to.compared),
        "space.size": Column("size", to.compared),
        "space.filesystem_size": Column("size", to.compared),
        "space.used": Column("used", to.compared),
        "state": Column("state", to.shown(VOLUME_STATES), ordered=False),
        "comment": Column("comment", to.text),
        "create_time": Column("created", to.time),
        "snapshot_count": Column("snapshot_count", to.compared),
        "_tags": Column("label", to.element, ordered=False),
        "nas.security_style": Column("kind", to.shown(NAS_STYLES), ordered=False),
        "nas.uid": Column("root.uid", to.of_files(to.nothing_null)),
        "nas.gid": Column("root.gid", to.of_files(to.nothing_null)),
        "nas.path": Column("junction_path", to.text),
        "nas.export_policy.name": Column("export_policy.name", to.of_files(to.text)),
        "nas.export_policy.id": Column("export_policy.number", to.of_files(to.compared)),
        "snapshot_policy.name": Column("snapshot_policy.name", to.text),
        "snapshot_policy.uuid": Column("snapshot_policy.id", to.uuid),
        "guarantee.type": Column("thick", to.shown({True: "volume", False: "none"}), ordered=False),
        "type": Column("replica_of", to.choice("rw", "dp"), ordered=False),
        "clone.is_flexclone": Column("is_clone", to.shown({True: True, False: False})),
        "clone.has_flexclone": Column("clone_count", to.positive, ordered=False),
        "clone.parent_volume.uuid": Column("origin.volume.id", to.uuid),
        "clone.parent_volume.name": Column("origin.volume.name", to.text),
        "clone.parent_snapshot.uuid": Column("origin.snapshot.id", to.uuid),
        "clone.parent_snapshot.name": Column("origin.snapshot.name", to.text),
    },
    "cli_volume": {
        "vserver": Column("tenant.name", to.text),
        "volume": Column("name", to.text),
    },
    "snapshot": {
        **_SVM,
        "uuid": Column("id", to.uuid),
        "name": Column("name", to.text),
        "volume.uuid": Column("volume.id", to.uuid),
        "volume.name": Column("volume.name", to.text),
        "provenance_volume.uuid": Column("volume.id", to.uuid),
        "create_time": Column("created", to.time),
        "expiry_time": Column("expires", to.time),
        "comment": Column("comment", to.text),
        "snapmirror_label": Column("label", to.optional_text),
        "size": Column("size", to.compared),
        "state": Column("state", to.shown(SNAPSHOT_STATES), ordered=False),
    },
    "svm": {
        "uuid": Column("id", to.uuid),
        "name": Column("name", to.text),
        "comment": Column("comment", to.text),
        "state": Column("state", to.shown({state: state.value for state in TenantState})),
    },
    "lun": {
        **_SVM,
        "uuid": Column("id", to.uuid),
        # Nothing that this door lets into a volume's name sorts before the slash behind it.
        "name": Column("name", to.lun_path, exact=False),
        "location.volume.uuid": Column("id", to.uuid),
        "location.volume.name": Column("name", to.text),
        "serial_number": Column("id", to.serial),
        "space.size": Column("size", to.compared),
        "space.used": Column("used", to.compared),
        "create_time": Column("created", to.time),
        "enabled": Column("state", to.shown(LUN_ENABLED), ordered=False),
        "status.state": Column("state", to.shown(LUN_STATES), ordered=False),
        "status.read_only": Column("replica_of", to.choice(unset=False, otherwise=True), ordered=False),
        "status.mapped": Column("attachment_count", to.positive, ordered=False),
        "lun_maps.igroup.uuid": Column("attachment.node", to.node, ordered=False, exact=False),
    },
    "igroup": {
        **_SVM,
        "uuid": Column("id", to.uuid),
        "name": Column("name", to.text),
        "comment": Column("comment", to.text),
        "initiators.name": Column("initiator", to.element, ordered=False),
    },
    "lun_map": {
        **_SVM,
        "lun.uuid": Column("id", to.uuid),
        "lun.name": Column("name", to.lun_path, exact=False),
        "igroup.uuid": Column("attachment.node", to.node, ordered=False, exact=False),
    },
    "iscsi_service": {
        "svm.uuid": Column("id", to.uuid),
        "svm.name": Column("name", to.text),
    },
    "nfs_service": {
        "svm.uuid": Column("id", to.uuid),
        "svm.name": Column("name", to.text),
    },
    "iscsi_credentials": {
        **_SVM,
        "initiator": Column("initiator", to.text),
        "authentication_type": Column("kind", to.shown({kind: kind.value for kind in LoginKind})),
        "chap.inbound.user": Column("user", to.optional_text),
        "chap.outbound.user": Column("target_user", to.optional_text),
    },
    "aggregate": {
        "uuid": Column("id", to.uuid),
        "name": Column("name", to.text),
        "state": Column("state", to.shown({state: state.value for state in PoolState})),
        "space.block_storage.size": Column("size", to.compared),
        "space.block_storage.used": Column("used", to.compared),
        "space.block_storage.available": Column("available", to.compared),
        "volume-count": Column("volume_count", to.compared),
    },
    "export_policy": {
        **_SVM,
        "id": Column("number", to.compared),
        "name": Column("name", to.text),
    },
    "snapshot_policy": {
        **_SVM,
        "uuid": Column("id", to.uuid),
        "name": Column("name", to.text),
        "comment": Column("comment", to.text),
        "enabled": Column("enabled", to.shown({True: True, False: False})),
        "scope": Column("tenant.id", to.choice("cluster", "svm"), ordered=False),
    },
    "schedule": {
        "uuid": Column("id", to.uuid),
        "name": Column("name", to.text),
    },
    "svm_peer": {
        "svm.uuid": Column("id", to.uuid),
        "svm.name": Column("name", to.text),
    },
    "snapmirror_policy": {
        **_SVM,
        "uuid": Column("id", to.uuid),
        "name": Column("name", to.text),
        "comment": Column("comment", to.text),
        "scope": Column("tenant.id", to.choice("cluster", "svm"), ordered=False),
        **{
            path: Column("choice", to.shown({choice: sent[path] for choice, sent in SENT.items()}), ordered=False)
            for path in SENT[SnapshotChoice.CREATE]
        },
    },
    "snapmirror_relationship": {
        "uuid": Column("id", to.uuid),
        "destination.path": Column("volume.name", to.endpoint, ordered=False),
        "destination.svm.uuid": Column("tenant.id", to.uuid),
        "destination.svm.name": Column("tenant.name", to.text),
        "policy.uuid": Column("policy.id", to.uuid),
        "policy.name": Column("policy.name", to.text),
        "state": Column("state", to.shown(MIRROR_STATES), ordered=False),
        "healthy": Column("healthy", to.shown({True: True, False: False})),
        "transfer.uuid": Column("transfer_id", to.uuid),
    },
    "snapmirror_transfer": {
        "uuid": Column("id", to.uuid),
        "relationship.uuid": Column("replication.id", to.uuid),
        "state": Column("state", to.shown({state: state.value for state in TransferState}), ordered=False),
        "end_time": Column("ended", to.time),
    },
    "qtree": {
        **_SVM,
        "volume.uuid": Column("id", to.uuid),
        "volume.name": Column("name", to.text),
    },
    "job": {
        **_SVM,
        "uuid": Column("id", to.uuid),
        "description": Column("description", to.text),
        "state": Column("state", to.shown({state: state.value for state in JobState})),
        "start_time": Column("created", to.time),
        "end_time": Column("ended", to.time),
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
