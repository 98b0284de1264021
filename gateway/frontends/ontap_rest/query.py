"""The query string: control parameters, a resource's own parameters, and conditions on fields.

The text is taken as it came over the wire, undecoded: what was escaped and
what was not matters (a raw `?` inside a control parameter is Cinder's second
separator). Everything wrong with it is a WireError that names the parameter.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote_to_bytes
from uuid import UUID

import msgspec

from gateway.core.query import Op
from gateway.frontends.ontap_rest.errors import WireError, bad_key, given_twice, invalid, shorten, unexpected
from gateway.frontends.ontap_rest.grammar import parse_literal, parse_search, parse_value
from gateway.frontends.ontap_rest.scalars import INTEGER_MAX, Scalar, parse_boolean
from gateway.frontends.ontap_rest.schema import Field, Kind, Resource, Verb
from gateway.frontends.ontap_rest.tree import TRUE, AllOf, AnyOf, Compare, Node, Search, Unset

PAGE_MAX = 10_000
"""The most records of one page, whatever `max_records` says."""

TIMEOUT_MAX_S = 120


class OrderBy(msgspec.Struct, frozen=True):
    """One criterion of `order_by`, by ONTAP's path."""

    path: str
    descending: bool = False


class Parameters(msgspec.Struct, frozen=True, kw_only=True):
    """A decoded query string. None: the client said nothing.

    `where` joins all conditions; `queried` are the leaves they name, which the
    answer shows whatever `fields` says. `selects`: the client said which
    records it means, by conditions or a search; what it is restricted to
    anyway does not count. `options` are the resource's own parameters for this
    verb, typed. `cursor` came with a next link.
    """

    fields: str | None = None
    ignore_unknown_fields: bool = False
    max_records: int | None = None
    return_records: bool | None = None
    return_timeout: int | None = None
    order: tuple[OrderBy, ...] = ()
    offset: int = 0
    pretty: bool = True
    continue_on_failure: bool = False
    serial_records: bool = False
    job_results: UUID | None = None
    cursor: str | None = None
    where: Node = TRUE
    queried: tuple[str, ...] = ()
    selects: bool = False
    options: Mapping[str, Scalar] = {}


_NO_PARAMETERS = Parameters(where=AllOf(()))

BOOLEAN_CONTROLS = frozenset(
    {"ignore_unknown_fields", "return_records", "pretty", "continue_on_failure", "serial_records"}
)
COUNT_CONTROLS: Mapping[str, tuple[int, int]] = {
    "max_records": (1, INTEGER_MAX),
    "offset": (0, INTEGER_MAX),
    "return_timeout": (0, TIMEOUT_MAX_S),
}
TEXT_CONTROLS = frozenset({"fields", "order_by", "query", "query_fields", "job_results_uuid"})
CONTROLS = BOOLEAN_CONTROLS | COUNT_CONTROLS.keys() | TEXT_CONTROLS
ALIASES: Mapping[str, str] = {"$orderBy": "order_by"}
CURSOR_PREFIX = "start."

OPTION_KINDS: Mapping[str, Kind] = {
    "force": Kind.BOOLEAN,
    "recurse": Kind.BOOLEAN,
    "return_metadata": Kind.BOOLEAN,
    "allow_delete_while_mapped": Kind.BOOLEAN,
    "bypass_recovery_queue": Kind.BOOLEAN,
    "new_index": Kind.INTEGER,
    "is_constituent": Kind.BOOLEAN,
    "show_spares": Kind.BOOLEAN,
    "recommend": Kind.BOOLEAN,
    "flash_pool_eligible": Kind.BOOLEAN,
    "simulate": Kind.BOOLEAN,
    "list_destinations_only": Kind.BOOLEAN,
    "destination_only": Kind.BOOLEAN,
    "source_only": Kind.BOOLEAN,
    "source_info_only": Kind.BOOLEAN,
    "delete_lun_maps_in_destination": Kind.BOOLEAN,
    "unmap_namespace": Kind.BOOLEAN,
    "failback": Kind.BOOLEAN,
    "failover": Kind.BOOLEAN,
    "force-failover": Kind.BOOLEAN,
    "validate_only": Kind.BOOLEAN,
}
"""Types of the resources' own parameters that are not fields at the same time; others are text."""


def parse_query(resource: Resource, verb: Verb, text: str) -> Parameters:
    """Decode the raw query string (what follows the first `?`) of a request to this resource."""
    if not text:
        return _NO_PARAMETERS
    controls: dict[str, str] = {}
    conditions: dict[str, str] = {}
    options: dict[str, Scalar] = {}
    own = resource.parameters.get(verb, frozenset())
    for name, value in pairs(text):
        if name in CONTROLS:
            _add_control(controls, name, value)
        elif name.startswith(CURSOR_PREFIX):
            _add_once(controls, CURSOR_PREFIX, value)
        elif name in own:
            if name in options:
                raise given_twice(name)
            options[name] = _option(resource, name, value)
        else:
            _add_once(conditions, _leaf(resource, name), value)
    if conditions and verb is Verb.POST:
        raise WireError(
            400,
            "262211",
            message="A POST request cannot be filtered; put the field into the body",
            target=next(iter(conditions)),
        )
    terms: list[Node] = [parse_value(resource.fields[path], value) for path, value in conditions.items()]
    if "query" in controls or "query_fields" in controls:
        terms.append(_search(resource, verb, controls))
    return Parameters(
        **_controls(resource, controls),
        where=AllOf(tuple(terms)),
        queried=tuple(conditions),
        selects=bool(terms),
        options=options,
    )


def scoped(resource: Resource, parameters: Parameters, tenant: str, *, reading: bool = False) -> Parameters:
    """Restrict a request to one SVM (`X-Dot-SVM-Name`); resources that know no SVM stay as they are.

    What has a scope may belong to the cluster: every SVM may read it then (`reading`), and none change it.
    """
    path = "name" if resource.name == "svm" else "svm.name"
    if path not in resource.fields:
        return parameters
    own = Compare(path, Op.EQ, tenant)
    shown: Node = AnyOf((own, Unset(path))) if reading and "scope" in resource.fields else own
    return msgspec.structs.replace(parameters, where=AllOf((parameters.where, shown)))


def key_uuid(text: str, field: str = "uuid") -> UUID:
    """Give a UUID that is part of a path; a malformed one is answered 404 with code 2."""
    try:
        value = UUID(text)
    except ValueError:
        raise bad_key(field, text, "UUID") from None
    if str(value) != text.lower():
        raise bad_key(field, text, "UUID")
    return value


def key_number(text: str, field: str) -> int:
    """Give a number that is part of a path; a malformed one is answered 404 with code 2."""
    if text.isascii() and text.isdecimal() and len(text) < len(str(INTEGER_MAX)):
        return int(text)
    raise bad_key(field, text, "integer")


def pairs(text: str) -> Iterator[tuple[str, str]]:
    """Yield the decoded parameters in order; those of no text at all are left out."""
    pieces = text.split("&")
    pieces.reverse()
    while pieces:
        piece = pieces.pop()
        raw_name, _, raw_value = piece.partition("=")
        name = _decode(raw_name)
        name = ALIASES.get(name, name)
        if name in CONTROLS and "?" in raw_value:
            raw_value, _, more = raw_value.partition("?")
            pieces.append(more)
        if name:
            yield name, _decode(raw_value)
        elif raw_value:
            raise unexpected("")


def _decode(text: str) -> str:
    try:
        return unquote_to_bytes(text.replace("+", " ")).decode("utf-8")
    except UnicodeError:
        raise WireError(400, "39387137", message="The URL holds a value that is not valid UTF-8") from None


def _add_control(controls: dict[str, str], name: str, value: str) -> None:
    if name == "fields" and "fields" in controls:
        controls["fields"] += f",{value}"
    else:
        _add_once(controls, name, value)


def _add_once(found: dict[str, str], name: str, value: str) -> None:
    if name in found:
        raise given_twice(name)
    found[name] = value


def _leaf(resource: Resource, name: str) -> str:
    path = resource.named(name)
    if path is None and name not in resource.objects:
        raise unexpected(name)
    if path is None or not resource.fields[path].readable:
        raise WireError(400, "262250", message=f'Field "{name}" cannot be queried', target=name)
    return path


def _option(resource: Resource, name: str, value: str) -> Scalar:
    field = resource.fields.get(name) or Field(path=name, kind=OPTION_KINDS.get(name, Kind.STRING))
    return parse_literal(field, value)


def _controls(resource: Resource, given: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {name: _boolean(name, given[name]) for name in BOOLEAN_CONTROLS & given.keys()}
    found |= {name: _count(name, given[name]) for name in COUNT_CONTROLS.keys() & given.keys()}
    if given.get("fields", "").strip(" ,"):
        found["fields"] = given["fields"]
    if given.get("order_by", "").strip(" ,"):
        found["order"] = _order(resource, given["order_by"])
    if "job_results_uuid" in given:
        found["job_results"] = _uuid("job_results_uuid", given["job_results_uuid"])
    if CURSOR_PREFIX in given:
        found["cursor"] = given[CURSOR_PREFIX]
    return found


def _boolean(name: str, value: str) -> bool:
    try:
        return parse_boolean(value)
    except ValueError:
        raise invalid(name, value, "true|false") from None


def _count(name: str, value: str) -> int:
    low, high = COUNT_CONTROLS[name]
    number = int(value) if value.isascii() and value.isdecimal() and len(value) <= len(str(high)) else -1
    if not low <= number <= high:
        raise invalid(name, value, f"integer, {low}..{high}" if high == TIMEOUT_MAX_S else f"integer, at least {low}")
    return min(number, PAGE_MAX) if name == "max_records" else number


def _uuid(name: str, value: str) -> UUID:
    try:
        return UUID(value)
    except ValueError:
        raise invalid(name, value, "UUID") from None


def _order(resource: Resource, text: str) -> tuple[OrderBy, ...]:
    found: list[OrderBy] = []
    for item in text.split(","):
        words = item.split()
        if not words:
            continue
        path = resource.named(words[0])
        direction = words[1].lower() if len(words) > 1 else "asc"
        if path is None or not resource.fields[path].readable:
            raise not_orderable(words[0])
        if len(words) > 2 or direction not in {"asc", "desc"}:  # noqa: PLR2004 - a field and a direction
            raise invalid("order_by", item, "field [asc|desc],...")
        if any(path == before.path for before in found):
            raise given_twice(path)
        found.append(OrderBy(path, direction == "desc"))
    return tuple(found)


def not_orderable(name: str) -> WireError:
    """Give the refusal of a field by which records cannot be put in order."""
    message = f'The field "{shorten(name)}" cannot be used in "order_by"'
    return WireError(400, "262268", message=message, target="order_by")


def _search(resource: Resource, verb: Verb, controls: Mapping[str, str]) -> Search:
    if verb is not Verb.GET:
        raise WireError(400, "262277", message='"query" is allowed in GET requests only', target="query")
    for name in ("query", "query_fields"):
        if name not in controls:
            raise WireError(400, "262273", message='"query" and "query_fields" need each other', target=name)
    return parse_search(_search_paths(resource, controls["query_fields"]), controls["query"])


def _search_paths(resource: Resource, text: str) -> tuple[str, ...]:
    wanted: list[str] = []
    excluded: set[str] = set()
    named: set[str] = set()
    for item in filter(None, (part.strip() for part in text.split(","))):
        name = item.removeprefix("!")
        if item in named:
            raise WireError(
                400, "262276", message=f'"query_fields" names "{shorten(item)}" twice', target="query_fields"
            )
        named.add(item)
        leaves = [*resource.fields] if name == "*" else resource.leaves(name)
        if not leaves:
            raise invalid("query_fields", name, "field,...")
        (excluded.update if item.startswith("!") else wanted.extend)(leaves)
    paths = tuple(path for path in dict.fromkeys(wanted) if path not in excluded and resource.fields[path].readable)
    if not paths:
        raise WireError(400, "262275", message='"query_fields" names no field', target="query_fields")
    return paths
