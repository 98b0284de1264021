"""The tables of the page about OpenStack: the drivers' options, and what pools can do in the words of its services."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

from oslo_config import cfg

from gateway.core.capability import Capability
from gateway.core.model import VolumeKind
from gateway.frontends.cinder_driver.specs import PREFIX, PROPERTIES
from gateway.frontends.openstack.options import CINDER, SHARED
from gateway.testing.pages.page import columns, rows
from gateway.testing.pages.record import Record

Rows = Mapping[str, Collection[str]]
"""What a row says -> the operations and facts that all have to be there for a yes."""

VOLUMES: Rows = {
    "extend": ["resize"],
    "snapshot": ["snapshot"],
    "volume from snapshot, clone": ["snapshot", "clone"],
    "revert to snapshot, in place": ["restore"],
    "`consistent_group_snapshot_enabled`": ["snapshot_group"],
    "migrate between pools, by the gateway": ["replicate"],
    "`thin_provisioning_support`": ["thin"],
    "`thick_provisioning_support`": ["thick"],
}
SHARES: Rows = {
    "extend": ["resize"],
    "shrink": ["shrink"],
    "`snapshot_support`": ["snapshot"],
    "`create_share_from_snapshot_support`": ["snapshot", "clone"],
    "`revert_to_snapshot_support`": ["snapshot", "restore"],
    "group spec `consistent_snapshot_support=pool`": ["snapshot", "snapshot_group"],
    "`thin_provisioning` True": ["thin"],
    "`thin_provisioning` False": ["thick"],
    "size is enforced": ["quota"],
}
_NOWHERE, _ELSEWHERE = "in_process", "nfs"


def tables(records: Mapping[str, Mapping[str, Record]]) -> str:
    """Give the options, a table of pools for each service, and the extra specs that are the Cinder driver's own."""
    return "\n".join(
        [
            rows(["option", "default", ""], _options()),
            "### What pools can do for Cinder\n",
            _pools(records, VolumeKind.BLOCK, VOLUMES, lambda record: _NOWHERE not in record.handles),
            "### What a volume type can ask of a pool\n",
            rows(["extra spec", "takes", ""], _specs()),
            "### What pools can do for Manila\n",
            _pools(
                records, VolumeKind.FILESYSTEM, SHARES, lambda record: {_NOWHERE, _ELSEWHERE}.isdisjoint(record.handles)
            ),
        ]
    ).removesuffix("\n")


def _options() -> Iterator[Sequence[str]]:
    both = {option.name for option in SHARED}
    for option in CINDER:
        service = "" if option.name in both else "Cinder: "
        yield f"`{option.name}`", _default(option), f"{service}{option.help}"


def _default(option: cfg.Opt) -> str:
    if option.default is None or option.default == []:
        return ""
    value = ",".join(option.default) if isinstance(option.default, list) else option.default
    return f"`{value}`"


def _specs() -> Iterator[Sequence[str]]:
    for key, (_, description, kind) in PROPERTIES.items():
        yield f"`{PREFIX}:{key}`", "`<is> True`" if kind == "boolean" else "text", description.replace("<", "&lt;")


def _pools(
    records: Mapping[str, Mapping[str, Record]], kind: VolumeKind, shown: Rows, usable: Callable[[Record], bool]
) -> str:
    able: dict[str, Capability] = {}
    for name, found in records.items():
        suitable = {title: record for title, record in found.items() if usable(record) and kind in record.kinds}
        for title, each in columns(suitable).items():
            where = title.removeprefix(kind.value).removeprefix(", ")
            if kind is each.kind:
                able[f"[`{name}`](backends/{name}.md){'<br>' if where else ''}{where}"] = each
    return rows(
        ["", *able],
        [
            [words, *("yes" if all(map(each.can, needed)) else "-" for each in able.values())]
            for words, needed in shown.items()
        ],
    )
