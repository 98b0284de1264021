"""The `fields` grammar, compiled into something that prunes a rendered record fast.

Shown are always the keys, then what `fields` asks for, then every field that
the query named. Without `fields` a collection shows its default fields and an
instance everything that is not expensive.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from gateway.frontends.ontap_rest.errors import JsonObject, WireError, invalid
from gateway.frontends.ontap_rest.schema import Resource

DEFAULT_FIELDS: Mapping[str, tuple[str, ...]] = {
    "cluster": (),
    "node": ("uuid", "name"),
    "job": ("uuid",),
    "aggregate": ("uuid", "name"),
    "volume": ("uuid", "name"),
    "snapshot": ("uuid", "name"),
    "snapshot_policy": ("uuid", "name"),
    "snapshot_policy_schedule": ("snapshot_policy.uuid", "schedule.uuid", "schedule.name"),
    "svm": ("uuid", "name"),
    "export_policy": ("id", "name"),
    "export_rule": ("index", "policy.id"),
    "ip_interface": ("uuid", "name"),
    "schedule": ("uuid", "name"),
    "lun": ("uuid", "name"),
    "file": ("path", "name", "type"),
    "file_clone": (),
    "cli_file_clone": (),
    "split_status": ("volume.uuid", "volume.name"),
    "qtree": ("id", "name", "svm.uuid", "svm.name", "volume.uuid", "volume.name"),
    "quota_rule": ("uuid",),
    "igroup": ("uuid", "name", "svm.uuid", "svm.name"),
    "igroup_initiator": ("igroup.uuid", "name"),
    "account": ("owner.uuid", "owner.name", "name"),
    "account_password": (),
    "role": ("owner.uuid", "owner.name", "name"),
    "role_privilege": ("path", "access"),
    "audit_message": ("timestamp", "node.name", "node.uuid", "index"),
    "ems_event": ("node.name", "node.uuid", "index", "time", "message.name", "message.severity", "log_message"),
    "lun_map": ("lun.uuid", "lun.name", "igroup.uuid", "igroup.name", "svm.uuid", "svm.name"),
    "iscsi_service": ("svm.uuid", "svm.name"),
    "nfs_service": ("svm.uuid", "svm.name"),
    "port": ("uuid", "name", "node.name"),
    "iscsi_credentials": ("initiator", "svm.uuid", "svm.name"),
    "license": ("name",),
    "consistency_group": ("uuid", "name"),
    "consistency_group_snapshot": ("uuid", "name"),
    "counter_table": ("name",),
    "counter_row": ("counter_table.name", "id"),
    "disk": ("name",),
    "key_manager": ("uuid",),
    "compliance_clock": ("node.uuid", "node.name"),
    "kerberos_interface": ("interface.uuid", "interface.name"),
    "fpolicy_policy": ("svm.uuid", "name"),
    "application_log": (),
    "cli_aggregate": ("aggregate",),
    "cli_volume": ("vserver", "volume"),
    "cli_efficiency": ("vserver", "path"),
    "cluster_peer": ("uuid", "name"),
    "svm_peer": ("uuid", "name"),
    "snapmirror_policy": ("uuid", "name"),
    "snapmirror_relationship": ("uuid", "source.path", "destination.path"),
    "snapmirror_transfer": ("uuid", "relationship.uuid"),
    "qos_policy": ("uuid", "name"),
    "volume_metrics": ("timestamp",),
}
"""What a bare collection GET shows, and what no `fields` can take away."""

_DEPTH_MAX = 16
_ITEMS_MAX = 4096
_MARKS = frozenset("{},")
_PIECES = re.compile(r"[{},]|[^{},]+")

Trie = dict[str, Any]
"""Name -> trie below it; an empty one keeps the whole value."""


class _Node(NamedTuple):
    """A trie as pruning reads it. None below: the whole value; `names` are all of these."""

    below: Mapping[str, _Node | None]
    names: frozenset[str]


class Projection:
    """A set of leaves of one resource. Immutable; made by `compile_projection`."""

    __slots__ = ("_leaves", "_node", "_trie")

    def __init__(self, leaves: frozenset[str]) -> None:
        self._leaves = leaves
        self._trie = _trie(leaves)
        self._node = _node(self._trie)

    @property
    def leaves(self) -> frozenset[str]:
        """The paths that are shown when they are set."""
        return self._leaves

    def wants(self, path: str) -> bool:
        """Tell whether anything at or below the path is shown, so that it has to be computed."""
        trie = self._trie
        for name in path.split("."):
            if name not in trie:
                return False
            trie = trie[name]
        return True

    def prune(self, record: Mapping[str, object]) -> JsonObject:
        """Give a copy of the record with the selected paths only; objects left without members disappear."""
        return _prune(record, self._node)


class Projections:
    """A bounded memory of compiled projections; the least recently used one goes first."""

    def __init__(self, limit: int = 512) -> None:
        self._limit = limit
        self._kept: OrderedDict[tuple[str, str | None, tuple[str, ...], bool, bool], Projection] = OrderedDict()

    def get(
        self,
        resource: Resource,
        fields: str | None,
        *,
        queried: tuple[str, ...] = (),
        instance: bool = False,
        ignore_unknown: bool = False,
    ) -> Projection:
        """Give what `compile_projection` gives, compiled at most once while it is remembered."""
        key = (resource.name, fields, queried, instance, ignore_unknown)
        found = self._kept.get(key)
        if found is None:
            found = compile_projection(
                resource, fields, queried=queried, instance=instance, ignore_unknown=ignore_unknown
            )
            self._kept[key] = found
            if len(self._kept) > self._limit:
                self._kept.popitem(last=False)
        else:
            self._kept.move_to_end(key)
        return found


def compile_projection(
    resource: Resource,
    fields: str | None,
    *,
    queried: Iterable[str] = (),
    instance: bool = False,
    ignore_unknown: bool = False,
) -> Projection:
    """Compile `fields` (None or blank: not given) for a resource; WireError 262197, 262249 or 262286."""
    chosen: set[str] = set()
    if fields is None or not fields.strip(" ,"):
        if instance or not DEFAULT_FIELDS[resource.name]:
            chosen.update(_plain(resource))
    else:
        excluded: set[str] = set()
        for item in _expand(fields):
            name = item.removeprefix("!").strip()
            leaves = _resolve(resource, name, ignore_unknown=ignore_unknown)
            (excluded if item.startswith("!") else chosen).update(leaves)
        chosen -= excluded
    return Projection(frozenset(chosen.union(DEFAULT_FIELDS[resource.name], queried)))


def _plain(resource: Resource) -> Iterator[str]:
    return (path for path, field in resource.fields.items() if field.readable and not field.expensive)


def _resolve(resource: Resource, name: str, *, ignore_unknown: bool) -> Iterable[str]:
    if name == "*":
        return _plain(resource)
    if name == "**":
        return (path for path, field in resource.fields.items() if field.readable)
    leaves = resource.leaves(name.removesuffix(".**").removesuffix(".*"))
    if not leaves:
        if ignore_unknown:
            return ()
        raise invalid("fields", name, "field,...")
    readable = [path for path in leaves if resource.fields[path].readable]
    if not readable and not ignore_unknown:
        raise WireError(400, "262249", message=f'Field "{name}" cannot be read', target="fields")
    return readable


def _expand(text: str) -> list[str]:
    """Split at commas and multiply out braces: `a,b.{c,d.{e,f}}` has the items a, b.c, b.d.e, b.d.f."""
    prefixes = [""]
    items: list[str] = []
    word, closed = "", False
    for piece in _PIECES.findall(f"{text},"):
        if piece not in _MARKS:
            if closed and piece.strip():
                raise _unbalanced()
            word = piece.strip()
            continue
        if piece == "{":
            prefixes.append(prefixes[-1] + word)
        elif word:
            items.append(prefixes[-1] + word)
        if piece == "}":
            prefixes.pop()
        if not 0 < len(prefixes) <= _DEPTH_MAX:
            raise _unbalanced()
        word, closed = "", piece == "}"
    if len(prefixes) != 1:
        raise _unbalanced()
    if len(items) > _ITEMS_MAX:
        raise invalid("fields", text, f"at most {_ITEMS_MAX} fields")
    return items


def _unbalanced() -> WireError:
    return WireError(400, "262286", message='The braces in "fields" are not balanced', target="fields")


def _trie(leaves: Iterable[str]) -> Trie:
    root: Trie = {}
    for path in leaves:
        place = root
        for name in path.split("."):
            place = place.setdefault(name, {})
    return root


def _node(trie: Trie) -> _Node:
    below = {name: _node(inner) if inner else None for name, inner in trie.items()}
    return _Node(below, frozenset(name for name, inner in below.items() if inner is None))


def _prune(record: Mapping[str, object], node: _Node) -> JsonObject:
    kept: JsonObject = {}
    below = node.below
    for name, value in record.items():
        if name not in below:
            continue
        inner = below[name]
        if inner is None:
            kept[name] = value
        elif isinstance(value, dict):
            # Most objects are small, and shown whole or not at all.
            if value and value.keys() <= inner.names:
                kept[name] = value.copy()
            elif found := _prune(value, inner):
                kept[name] = found
        elif isinstance(value, list):
            kept[name] = [_prune(item, inner) for item in value]
    return kept
