"""What the SQL catalogs store, as data: kinds of record, their columns and the fields a query may name.

Adding a field is one line here and one migration; nothing else in the
package knows any record by name.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import Any, Generic, TypeVar
from uuid import UUID

import msgspec

from gateway.core.errors import InvalidArgument
from gateway.core.model import (
    AccessRole,
    Document,
    ExportPolicy,
    HostGroup,
    InitiatorLogin,
    Intent,
    Job,
    Pool,
    Record,
    Schedule,
    Snapshot,
    SnapshotPolicy,
    Tenant,
    Volume,
)
from gateway.core.ownership import readers
from gateway.core.replication_model import Replication, ReplicationPolicy, Transfer

R = TypeVar("R", bound=Record)
SqlValue = str | int | float | bytes | None

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_INT64 = 1 << 63


class Type(enum.Enum):
    """What a column holds; the value is the word that an error message uses."""

    ID = "a UUID"
    TEXT = "a text"
    INTEGER = "an integer"
    BOOL = "a boolean"
    TIME = "a time with a zone"


class Column(msgspec.Struct, frozen=True):
    """A real column and how its value is taken from the record."""

    name: str
    type: Type
    extract: Callable[[Any], object]


class Via(msgspec.Struct, frozen=True):
    """Another table's rows that belong to a record: those whose `key` equals the record's `local`."""

    table: str
    key: str
    local: str


class Field(msgspec.Struct, frozen=True):
    """A name that queries use: a column of the table itself, or of the rows reached `via` another one.

    `broad`: one value may belong to few records or to nearly all of them.
    """

    type: Type
    column: str
    via: Via | None = None
    unique: bool = False
    broad: bool = False


class Child(msgspec.Struct, frozen=True):
    """A table of the values that one record holds many of; `key` is the record's id in it.

    `taken` names the field of which no two records may hold one value;
    `broad` as in `Field`.
    """

    table: str
    key: str
    column: str
    type: Type
    extract: Callable[[Any], Iterable[object]]
    taken: str | None = None
    broad: bool = False


class Table(msgspec.Struct, Generic[R], frozen=True):
    """One kind of record. `taken` maps SQLite's name of a violated constraint to the field that is not unique."""

    kind: str
    record: type[R]
    columns: tuple[Column, ...]
    fields: Mapping[str, Field]
    decoder: msgspec.json.Decoder[R]
    order: str
    taken: Mapping[str, str]
    children: tuple[Child, ...]

    @property
    def noun(self) -> str:
        """Give the vocabulary's word for the kind, as errors use it."""
        return self.kind.replace("_", " ")

    def field(self, name: str) -> Field:
        """Give the field of that name; an unknown one raises InvalidArgument."""
        try:
            return self.fields[name]
        except KeyError:
            raise InvalidArgument(field=name, reason=f"a {self.kind} has no such field") from None

    def row(self, record: R) -> tuple[SqlValue, ...]:
        """Give the values of `columns`; InvalidArgument names the one that no column can hold."""
        return tuple(_stored(column.name, column.type, column.extract(record)) for column in self.columns)

    def child_rows(self, child: Child, record: R) -> list[SqlValue]:
        """Give the values of a child table, without doubles."""
        return [_stored(child.column, child.type, value) for value in dict.fromkeys(child.extract(record))]


_PYTHON: Mapping[Type, type] = {
    Type.ID: UUID,
    Type.TEXT: str,
    Type.INTEGER: int,
    Type.BOOL: bool,
    Type.TIME: datetime,
}


def encode(field: str, type_: Type, value: object) -> SqlValue:
    """Give the value as SQLite compares it; a value of another type raises InvalidArgument.

    An integer that no column can hold becomes a float beyond all of them, so
    that comparisons stay right.
    """
    if value is None:
        return None
    if not isinstance(value, _PYTHON[type_]) or (isinstance(value, bool) and type_ is not Type.BOOL):
        raise InvalidArgument(field=field, value=str(value)[:100], reason=f"must be {type_.value}")
    return _ENCODERS[type_](field, value)


def _encode_text(field: str, value: Any) -> SqlValue:
    text = str(value)
    if "\0" in text or not (text.isascii() or _is_unicode(text)):
        raise InvalidArgument(field=field, value=text[:100], reason="must not contain NUL or half a character")
    return text


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _encode_integer(_field: str, value: Any) -> SqlValue:
    if -_INT64 <= value < _INT64:
        return int(value)
    return math.inf if value > 0 else -math.inf


def _encode_time(field: str, value: Any) -> SqlValue:
    if value.tzinfo is None:
        raise InvalidArgument(field=field, value=repr(value), reason="must be a time with a zone")
    return int((value - _EPOCH) // _MICROSECOND)


_ENCODERS: Mapping[Type, Callable[[str, Any], SqlValue]] = {
    Type.ID: lambda _field, value: bytes(value.bytes),
    Type.TEXT: _encode_text,
    Type.INTEGER: _encode_integer,
    Type.BOOL: lambda _field, value: int(value),
    Type.TIME: _encode_time,
}


def _stored(field: str, type_: Type, value: object) -> SqlValue:
    stored = encode(field, type_, value)
    if isinstance(stored, float):
        raise InvalidArgument(field=field, value=repr(value)[:100], reason="must fit into 64 bits")
    return stored


class _Reference(msgspec.Struct, frozen=True):
    """A relation by id: `prefix.id` is the column itself, `prefix.name` and so on are the other record's.

    `broad`: see `Field`.
    """

    prefix: str
    local: str
    table: str
    fields: tuple[tuple[str, Type], ...] = (("name", Type.TEXT),)
    broad: bool = False


_GLOBALLY_UNIQUE = frozenset({("tenant", "name"), ("pool", "name"), ("export_policy", "number")})

_TENANT = _Reference("tenant", "tenant_id", "tenant")
_POOL = _Reference("pool", "pool_id", "pool")


def _column(name: str, type_: Type = Type.TEXT, path: str | None = None) -> Column:
    return Column(name, type_, attrgetter(path or name))


def _origin(name: str) -> Callable[[Volume], object]:
    return lambda volume: None if volume.origin is None else getattr(volume.origin, name)


def _table(
    record: type[R],
    kind: str,
    *,
    order: str,
    columns: Iterable[Column],
    taken: Mapping[str, str],
    references: Iterable[_Reference] = (),
    children: Iterable[tuple[str, Child]] = (),
    inherited: Iterable[tuple[str, Child, str]] = (),
    renamed: Mapping[str, str | None] | None = None,
) -> Table[R]:
    """Derive the fields: every column under its own name, unless a reference or `renamed` says otherwise.

    `inherited` are children of another record, whose id is in the column named last.
    """
    columns, references, children, renamed = tuple(columns), tuple(references), tuple(children), renamed or {}
    fields: dict[str, Field] = {"id": Field(Type.ID, "id"), "revision": Field(Type.INTEGER, "revision")}
    locals_ = {reference.local for reference in references}
    for column in columns:
        name = renamed.get(column.name, column.name)
        if column.name not in locals_ and name is not None:
            fields[name] = Field(column.type, column.name)
    for reference in references:
        fields[f"{reference.prefix}.id"] = Field(Type.ID, reference.local, broad=reference.broad)
        for name, type_ in reference.fields:
            via = Via(reference.table, "id", reference.local)
            unique = (reference.table, name) in _GLOBALLY_UNIQUE
            fields[f"{reference.prefix}.{name}"] = Field(type_, name, via, unique)
    for name, child in children:
        fields[name] = Field(child.type, child.column, Via(child.table, child.key, "id"), broad=child.broad)
    for name, child, local in inherited:
        fields[name] = Field(child.type, child.column, Via(child.table, child.key, local), broad=child.broad)
    return Table(
        kind=kind,
        record=record,
        columns=columns,
        fields=fields,
        decoder=msgspec.json.Decoder(record),
        order=order,
        taken={f"{kind}.id": "id", **taken},
        children=tuple(child for _, child in children),
    )


INTENT_KEYS = Child("intent_key", "intent_id", "key", Type.ID, attrgetter("keys"))
"""The locks of an intent; the one child whose values no two records may share."""

_LABELS = Child(
    "volume_label",
    "volume_id",
    "label",
    Type.TEXT,
    lambda volume: [f"{key}:{value}" for key, value in volume.labels.items()],
    broad=True,
)

_SNAPSHOT_LABELS = Child(
    "snapshot_label",
    "snapshot_id",
    "label",
    Type.TEXT,
    lambda snapshot: [f"{key}:{value}" for key, value in snapshot.labels.items()],
    broad=True,
)

_NODES = Child("volume_node", "volume_id", "node", Type.TEXT, lambda volume: [a.node for a in volume.attachments])
_LUNS = Child(
    "volume_lun",
    "volume_id",
    "lun",
    Type.TEXT,
    lambda volume: [f"{a.node}/{a.lun}" for a in volume.attachments if a.lun is not None],
    taken="attachment.lun",
)
_POLICIES = Child(
    "volume_policy",
    "volume_id",
    "policy_id",
    Type.ID,
    lambda volume: [*filter(None, [volume.snapshot_policy_id]), *volume.more_snapshot_policy_ids],
)
_OWN_LINES = Child(
    "volume_schedule", "volume_id", "schedule", Type.TEXT, lambda volume: [line.schedule for line in volume.schedules]
)
_POLICY_LINES = Child(
    "snapshot_policy_schedule",
    "policy_id",
    "schedule",
    Type.TEXT,
    lambda policy: [line.schedule for line in policy.copies],
)
_REPLICATION_LINES = Child(
    "replication_policy_schedule",
    "policy_id",
    "schedule",
    Type.TEXT,
    lambda policy: filter(None, [policy.schedule, *(rule.schedule for rule in policy.rules)]),
)
_MOUNTS = Child(
    "volume_mount",
    "volume_id",
    "mount",
    Type.TEXT,
    lambda volume: [f"{mount.node}:{mount.path}" for mount in volume.mounts],
    taken="mount.path",
)
_READERS = Child(
    "volume_reader",
    "volume_id",
    "reader",
    Type.TEXT,
    lambda volume: readers(volume.ownership),
    broad=True,
)
_INITIATORS = Child(
    "host_group_initiator", "host_group_id", "initiator", Type.TEXT, lambda group: [i.name for i in group.initiators]
)

TABLES: Mapping[type[Any], Table[Any]] = {
    Tenant: _table(
        Tenant,
        "tenant",
        order="name",
        columns=[_column("name"), _column("created", Type.TIME), _column("comment"), _column("state")],
        taken={"tenant.name": "name"},
    ),
    Pool: _table(
        Pool,
        "pool",
        order="name",
        columns=[
            _column("name"),
            _column("driver"),
            _column("created", Type.TIME),
            _column("state"),
            _column("reason"),
            _column("volatile", Type.BOOL),
            _column("size", Type.INTEGER),
            _column("used", Type.INTEGER),
            _column("available", Type.INTEGER),
            _column("volume_count", Type.INTEGER),
        ],
        taken={"pool.name": "name"},
    ),
    Volume: _table(
        Volume,
        "volume",
        order="name",
        columns=[
            _column("name"),
            _column("tenant_id", Type.ID),
            _column("pool_id", Type.ID),
            _column("created", Type.TIME),
            _column("size", Type.INTEGER),
            _column("kind"),
            _column("state"),
            _column("reason"),
            _column("used", Type.INTEGER),
            _column("thick", Type.BOOL),
            _column("comment"),
            _column("junction_path"),
            Column("junction_key", Type.TEXT, lambda v: v.junction_path and v.junction_path.casefold()),
            _column("export_policy_id", Type.ID),
            _column("snapshot_policy_id", Type.ID),
            _column("root_mode", Type.INTEGER, "root.mode"),
            _column("root_uid", Type.INTEGER, "root.uid"),
            _column("root_gid", Type.INTEGER, "root.gid"),
            Column("is_clone", Type.BOOL, lambda volume: volume.origin is not None),
            Column("origin_volume_id", Type.ID, _origin("volume_id")),
            Column("origin_snapshot_id", Type.ID, _origin("snapshot_id")),
            _column("snapshot_count", Type.INTEGER),
            _column("clone_count", Type.INTEGER),
            _column("generation", Type.INTEGER),
            Column("attachment_count", Type.INTEGER, lambda volume: len(volume.attachments)),
            _column("retired", Type.TIME),
            Column("mount_count", Type.INTEGER, lambda volume: len(volume.mounts)),
            Column("name_key", Type.TEXT, lambda volume: volume.name.casefold()),
            _column("replica_of", Type.ID),
        ],
        taken={"volume.tenant_id, volume.name": "name", "volume.junction_key": "junction_path"},
        references=[
            _TENANT,
            _POOL,
            _Reference(
                "export_policy",
                "export_policy_id",
                "export_policy",
                (("name", Type.TEXT), ("number", Type.INTEGER)),
            ),
            _Reference("snapshot_policy", "snapshot_policy_id", "snapshot_policy"),
            _Reference("origin.volume", "origin_volume_id", "volume", broad=True),
            _Reference("origin.snapshot", "origin_snapshot_id", "snapshot", broad=True),
        ],
        children=[
            ("label", _LABELS),
            ("attachment.node", _NODES),
            ("attachment.lun", _LUNS),
            ("schedule.policy", _POLICIES),
            ("schedule.name", _OWN_LINES),
            ("mount.path", _MOUNTS),
            ("reader", _READERS),
        ],
        renamed={
            "root_mode": "root.mode",
            "root_uid": "root.uid",
            "root_gid": "root.gid",
        },
    ),
    Snapshot: _table(
        Snapshot,
        "snapshot",
        order="name",
        columns=[
            _column("name"),
            _column("volume_id", Type.ID),
            _column("tenant_id", Type.ID),
            _column("pool_id", Type.ID),
            _column("created", Type.TIME),
            _column("state"),
            _column("reason"),
            _column("comment"),
            _column("label"),
            _column("expires", Type.TIME),
            Column("taken_by", Type.TEXT, lambda snapshot: snapshot.taken_by or None),
            _column("due", Type.TIME),
            _column("size", Type.INTEGER),
            _column("clone_count", Type.INTEGER),
            _column("internal", Type.BOOL),
            Column(
                "spare", Type.BOOL, lambda snapshot: True if snapshot.transient and not snapshot.clone_count else None
            ),
            _column("lineage", Type.ID),
        ],
        taken={"snapshot.volume_id, snapshot.name": "name"},
        references=[
            _Reference("volume", "volume_id", "volume", (("name", Type.TEXT), ("retired", Type.TIME)), broad=True),
            _TENANT,
            _POOL,
        ],
        # Its `label` is the replication label.
        children=[("labels", _SNAPSHOT_LABELS)],
        inherited=[("volume.reader", _READERS, "volume_id")],
    ),
    ExportPolicy: _table(
        ExportPolicy,
        "export_policy",
        order="name",
        columns=[
            _column("number", Type.INTEGER),
            _column("name"),
            _column("tenant_id", Type.ID),
            _column("created", Type.TIME),
            _column("builtin", Type.BOOL),
        ],
        taken={
            "export_policy.number": "number",
            "export_policy.tenant_id, export_policy.name": "name",
        },
        references=[_TENANT],
    ),
    SnapshotPolicy: _table(
        SnapshotPolicy,
        "snapshot_policy",
        order="name",
        columns=[
            _column("name"),
            _column("created", Type.TIME),
            _column("tenant_id", Type.ID),
            _column("comment"),
            _column("enabled", Type.BOOL),
            _column("builtin", Type.BOOL),
        ],
        taken={"index 'snapshot_policy_tenant_name'": "name"},
        references=[_TENANT],
        children=[("schedule.name", _POLICY_LINES)],
    ),
    Schedule: _table(
        Schedule,
        "schedule",
        order="name",
        columns=[_column("name"), _column("created", Type.TIME), _column("builtin", Type.BOOL)],
        taken={"schedule.name": "name"},
    ),
    AccessRole: _table(
        AccessRole,
        "access_role",
        order="name",
        columns=[_column("name"), _column("created", Type.TIME), _column("builtin", Type.BOOL)],
        taken={"access_role.name": "name"},
    ),
    HostGroup: _table(
        HostGroup,
        "host_group",
        order="name",
        columns=[_column("name"), _column("tenant_id", Type.ID), _column("created", Type.TIME), _column("comment")],
        taken={"host_group.tenant_id, host_group.name": "name"},
        references=[_TENANT],
        children=[("initiator", _INITIATORS)],
    ),
    InitiatorLogin: _table(
        InitiatorLogin,
        "initiator_login",
        order="initiator",
        columns=[
            _column("tenant_id", Type.ID),
            _column("initiator"),
            _column("kind"),
            _column("created", Type.TIME),
            _column("user"),
            _column("target_user"),
        ],
        taken={"initiator_login.tenant_id, initiator_login.initiator": "initiator"},
        references=[_TENANT],
    ),
    Document: _table(
        Document,
        "document",
        order="name",
        columns=[_column("kind"), _column("name"), _column("created", Type.TIME)],
        taken={"document.kind, document.name": "name"},
    ),
    ReplicationPolicy: _table(
        ReplicationPolicy,
        "replication_policy",
        order="name",
        columns=[
            _column("name"),
            _column("created", Type.TIME),
            _column("tenant_id", Type.ID),
            _column("comment"),
            _column("throttle", Type.INTEGER),
            _column("choice"),
            _column("builtin", Type.BOOL),
        ],
        taken={"index 'replication_policy_tenant_name'": "name"},
        references=[_TENANT],
        children=[("schedule.name", _REPLICATION_LINES)],
    ),
    Replication: _table(
        Replication,
        "replication",
        order="created",
        columns=[
            _column("tenant_id", Type.ID),
            _column("volume_id", Type.ID),
            _column("source_volume_id", Type.ID, "source.volume_id"),
            _column("source_tenant", path="source.tenant"),
            _column("source_volume", path="source.volume"),
            _column("source_peer_id", Type.ID, "source.peer_id"),
            _column("policy_id", Type.ID),
            _column("created", Type.TIME),
            _column("state"),
            _column("schedule"),
            _column("healthy", Type.BOOL),
            _column("transfer_id", Type.ID),
        ],
        taken={"replication.volume_id": "volume_id"},
        references=[
            _TENANT,
            _Reference("volume", "volume_id", "volume"),
            _Reference("policy", "policy_id", "replication_policy"),
        ],
        inherited=[("volume.reader", _READERS, "volume_id")],
        renamed={
            "source_volume_id": "source.volume_id",
            "source_tenant": "source.tenant",
            "source_volume": "source.volume",
            "source_peer_id": "source.peer_id",
        },
    ),
    Transfer: _table(
        Transfer,
        "transfer",
        order="created",
        columns=[
            _column("replication_id", Type.ID),
            _column("volume_id", Type.ID),
            _column("kind"),
            _column("state"),
            _column("created", Type.TIME),
            _column("ended", Type.TIME),
            _column("owner"),
        ],
        taken={},
        references=[
            _Reference("replication", "replication_id", "", ()),
            _Reference("volume", "volume_id", "volume"),
        ],
        inherited=[("volume.reader", _READERS, "volume_id")],
    ),
    Job: _table(
        Job,
        "job",
        order="created",
        columns=[
            _column("operation"),
            _column("description"),
            _column("state"),
            _column("created", Type.TIME),
            _column("target_id", Type.ID),
            _column("tenant_id", Type.ID),
            _column("owner"),
            _column("caller"),
            _column("ended", Type.TIME),
        ],
        taken={},
        references=[_Reference("target", "target_id", "", ()), _TENANT],
    ),
    Intent: _table(
        Intent,
        "intent",
        order="created",
        columns=[
            _column("operation"),
            _column("owner"),
            _column("job_id", Type.ID),
            _column("pool_id", Type.ID),
            _column("created", Type.TIME),
        ],
        taken={},
        references=[_Reference("job", "job_id", "", ()), _POOL],
        children=[("key", INTENT_KEYS)],
    ),
}


def table_of(kind: type[R]) -> Table[R]:
    """Give the table that holds the kind."""
    return TABLES[kind]
