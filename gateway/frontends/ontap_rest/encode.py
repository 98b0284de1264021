"""Answers: links, envelopes, hrefs and bytes.

Links follow the `Accept` header: with HAL every record and every reference
that carries its key has `_links.self`; with `application/json` only `next`
and the links of jobs stay, which clients need whatever they asked for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID

import msgspec

from gateway.frontends.ontap_rest.errors import JsonObject
from gateway.frontends.ontap_rest.query import CURSOR_PREFIX
from gateway.frontends.ontap_rest.schema import Resource
from gateway.frontends.ontap_rest.tree import values_at

_JSON = "application/json"
_ENCODER = msgspec.json.Encoder()
_UNSAFE = re.compile(rb"[^A-Za-z0-9_~-]")


class _Layout(msgspec.Struct, frozen=True):
    """How a collection is laid out around its records."""

    before: bytes
    after: bytes
    start: bytes
    between: bytes
    end: bytes
    empty: bytes


_LAYOUTS: Mapping[bool, _Layout] = {
    True: _Layout(b"{\n  ", b"\n}", b'"records": [\n', b",\n", b"\n  ]", b'"records": []'),
    False: _Layout(b"{", b"}", b'"records":[', b",", b"]", b'"records":[]'),
}
"""Pretty or not -> layout."""

REFERENCES: Mapping[str, Mapping[str, tuple[str, str]]] = {
    "volume": {
        "svm": ("/api/svm/svms", "uuid"),
        "aggregates": ("/api/storage/aggregates", "uuid"),
        "nas.export_policy": ("/api/protocols/nfs/export-policies", "id"),
        "snapshot_policy": ("/api/storage/snapshot-policies", "uuid"),
        "clone.parent_volume": ("/api/storage/volumes", "uuid"),
        "clone.parent_svm": ("/api/svm/svms", "uuid"),
    },
    "snapshot": {
        "svm": ("/api/svm/svms", "uuid"),
        "volume": ("/api/storage/volumes", "uuid"),
    },
    "svm": {"aggregates": ("/api/storage/aggregates", "uuid")},
    "aggregate": {
        "node": ("/api/cluster/nodes", "uuid"),
        "home_node": ("/api/cluster/nodes", "uuid"),
    },
    "export_policy": {"svm": ("/api/svm/svms", "uuid")},
    "export_rule": {
        "policy": ("/api/protocols/nfs/export-policies", "id"),
        "svm": ("/api/svm/svms", "uuid"),
    },
    "snapshot_policy": {
        "svm": ("/api/svm/svms", "uuid"),
        "copies.schedule": ("/api/cluster/schedules", "uuid"),
    },
    "snapshot_policy_schedule": {
        "snapshot_policy": ("/api/storage/snapshot-policies", "uuid"),
        "schedule": ("/api/cluster/schedules", "uuid"),
    },
    "ip_interface": {
        "svm": ("/api/svm/svms", "uuid"),
        "location.node": ("/api/cluster/nodes", "uuid"),
        "location.home_node": ("/api/cluster/nodes", "uuid"),
    },
    "job": {"svm": ("/api/svm/svms", "uuid")},
    "lun": {
        "svm": ("/api/svm/svms", "uuid"),
        "location.volume": ("/api/storage/volumes", "uuid"),
        "location.node": ("/api/cluster/nodes", "uuid"),
        "lun_maps.igroup": ("/api/protocols/san/igroups", "uuid"),
    },
    "igroup": {
        "svm": ("/api/svm/svms", "uuid"),
        "lun_maps.lun": ("/api/storage/luns", "uuid"),
        "lun_maps.lun.node": ("/api/cluster/nodes", "uuid"),
    },
    "igroup_initiator": {"igroup": ("/api/protocols/san/igroups", "uuid")},
    "lun_map": {
        "svm": ("/api/svm/svms", "uuid"),
        "igroup": ("/api/protocols/san/igroups", "uuid"),
        "lun": ("/api/storage/luns", "uuid"),
        "lun.node": ("/api/cluster/nodes", "uuid"),
        "reporting_nodes": ("/api/cluster/nodes", "uuid"),
    },
    "iscsi_service": {"svm": ("/api/svm/svms", "uuid")},
    "nfs_service": {"svm": ("/api/svm/svms", "uuid")},
    "port": {"node": ("/api/cluster/nodes", "uuid")},
    "iscsi_credentials": {"svm": ("/api/svm/svms", "uuid")},
    "account": {"owner": ("/api/svm/svms", "uuid")},
    "role": {"owner": ("/api/svm/svms", "uuid")},
    "audit_message": {"node": ("/api/cluster/nodes", "uuid")},
    "ems_event": {"node": ("/api/cluster/nodes", "uuid")},
    "consistency_group": {
        "svm": ("/api/svm/svms", "uuid"),
        "volumes": ("/api/storage/volumes", "uuid"),
    },
    "consistency_group_snapshot": {
        "svm": ("/api/svm/svms", "uuid"),
        "consistency_group": ("/api/application/consistency-groups", "uuid"),
        "missing_volumes": ("/api/storage/volumes", "uuid"),
        "snapshot_volumes.volume": ("/api/storage/volumes", "uuid"),
    },
    "svm_peer": {
        "svm": ("/api/svm/svms", "uuid"),
        "peer.svm": ("/api/svm/svms", "uuid"),
    },
    "qos_policy": {"svm": ("/api/svm/svms", "uuid")},
    "snapmirror_policy": {
        "svm": ("/api/svm/svms", "uuid"),
        "transfer_schedule": ("/api/cluster/schedules", "uuid"),
        "retention.creation_schedule": ("/api/cluster/schedules", "uuid"),
    },
    "snapmirror_relationship": {
        "source.svm": ("/api/svm/svms", "uuid"),
        "destination.svm": ("/api/svm/svms", "uuid"),
        "policy": ("/api/snapmirror/policies", "uuid"),
        "transfer_schedule": ("/api/cluster/schedules", "uuid"),
    },
    "qtree": {
        "svm": ("/api/svm/svms", "uuid"),
        "volume": ("/api/storage/volumes", "uuid"),
        "export_policy": ("/api/protocols/nfs/export-policies", "id"),
    },
    "file": {"volume": ("/api/storage/volumes", "uuid")},
    "snapmirror_transfer": {
        "relationship": ("/api/snapmirror/relationships", "uuid"),
        "relationship.destination.svm": ("/api/svm/svms", "uuid"),
    },
}
"""Resource -> object inside its record -> the collection it refers to and its key."""

_JOINED: Mapping[tuple[str, str], tuple[str, ...]] = {("file", "path"): ("path", "name")}
"""Keys that stand in a record in parts, which slashes join."""


def wants_links(accept: str | None) -> bool:
    """Tell whether an `Accept` header asks for HAL: everything does, but `application/json`."""
    if accept is None or accept == _JSON:
        return accept is None
    return accept.split(";", maxsplit=1)[0].strip().lower() != _JSON


def content_type(*, links: bool) -> str:
    """Give the answer's media type."""
    return "application/hal+json" if links else "application/json"


def quote(key: object) -> str:
    """Percent-encode a key for an href or `Location`; the dot and the slash too."""
    return _UNSAFE.sub(lambda found: b"%%%02X" % found[0][0], str(key).encode()).decode("ascii")


def record_href(resource: Resource, record: Mapping[str, object]) -> str:
    """Give the path of a record, from the full record (not a pruned one)."""
    path = resource.collection
    for key in resource.keys:
        parts = _JOINED.get((resource.name, key), (key,))
        found = [str(next(values_at(record, tuple(part.split("."))))) for part in parts]
        value = quote("/".join(part for part in found if part))
        path = path.replace(f"{{{key}}}", value) if f"{{{key}}}" in path else f"{path}/{value}"
    return path


def with_links(resource: Resource, record: JsonObject, href: str) -> JsonObject:
    """Add `_links.self` to a pruned record and to every reference in it that carries its key. Changes the record."""
    for path, (place, key) in REFERENCES.get(resource.name, {}).items():
        parts = path.split(".")
        if parts[0] in record:
            for found in _objects_at(record, parts):
                if key in found:
                    found["_links"] = _self(f"{place}/{quote(found[key])}")
    record["_links"] = _self(href)
    return record


def collection(
    records: Sequence[object] | None, *, count: int, href: str, links: bool, following: str = ""
) -> JsonObject:
    """Give a collection's envelope. `records` None: the client wants the number only. `following`: next page's href."""
    body: JsonObject = {} if records is None else {"records": records}
    body["num_records"] = count
    found: JsonObject = _self(href) if links else {}
    if following:
        found["next"] = {"href": following}
    if found:
        body["_links"] = found
    return body


def next_href(path: str, query: str, *, key: str, cursor: str) -> str:
    """Give the path of the next page: the cursor first, then the client's own query without any older cursor."""
    rest = [piece for piece in query.split("&") if piece and not piece.startswith(CURSOR_PREFIX)]
    return f"{path}?" + "&".join([f"{CURSOR_PREFIX}{key}={quote(cursor)}", *rest])


def results_href(path: str, job: UUID) -> str:
    """Give where the results of a batch are found; `path` is the collection's."""
    return f"{path}?job_results_uuid={job}"


def job_link(job: UUID, *, results: str = "") -> JsonObject:
    """Give the job member of an accepted change; its links are there whatever `Accept` says."""
    links = _self(f"/api/cluster/jobs/{job}")
    if results:
        links["results"] = {"href": results}
    return {"uuid": str(job), "_links": links}


def accepted(job: UUID, records: Sequence[object] | None = None, *, results: str = "") -> JsonObject:
    """Give the body of a 202: `records` when asked for with `return_records`, `results` for a batch."""
    body: JsonObject = {"job": job_link(job, results=results)}
    if records is not None:
        body |= {"num_records": len(records), "records": records}
    return body


def accepted_many(jobs: Sequence[UUID], *, href: str, links: bool, following: str = "") -> JsonObject:
    """Give the body of a collection's PATCH or DELETE by query (status 200)."""
    envelope = collection(None, count=len(jobs), href=href, links=links, following=following)
    return {"jobs": [job_link(job) for job in jobs], **envelope}


def dumps(body: object, *, pretty: bool = True) -> bytes:
    """Give the bytes of an answer: two-space indent and no newline at the end, or compact text."""
    compact = _ENCODER.encode(body)
    if not pretty:
        return compact
    # ONTAP writes an empty answer over two lines.
    return b"{\n}" if compact == b"{}" else msgspec.json.format(compact, indent=2)


def compact(body: object) -> msgspec.Raw:
    """Give a record as compact text, ready to be kept and to become a part of other answers."""
    return msgspec.Raw(_ENCODER.encode(body))


def items_text(records: Sequence[object], *, pretty: bool = True) -> bytes:
    """Give some records of a collection as they stand between its brackets; `page_text` joins such slices."""
    layout = _LAYOUTS[pretty]
    text = dumps({"records": records}, pretty=pretty)
    return text[len(layout.before) + len(layout.start) : -len(layout.end) - len(layout.after)]


def page_text(slices: Sequence[bytes], envelope: JsonObject, *, pretty: bool = True) -> list[bytes]:
    """Give the text of a collection, in pieces, from its slices and its envelope, whose records are left empty."""
    layout = _LAYOUTS[pretty]
    before, _, after = dumps(envelope, pretty=pretty).partition(layout.empty)
    pieces = [before + layout.start]
    for number, text in enumerate(slices):
        pieces += [layout.between, text] if number else [text]
    return [*pieces, layout.end + after]


def _objects_at(node: object, parts: Sequence[str]) -> Iterator[dict[str, Any]]:
    if isinstance(node, list):
        for item in node:
            yield from _objects_at(item, parts)
    elif isinstance(node, dict):
        if not parts:
            yield node
        elif parts[0] in node:
            yield from _objects_at(node[parts[0]], parts[1:])


def _self(href: str) -> JsonObject:
    return {"self": {"href": href}}
