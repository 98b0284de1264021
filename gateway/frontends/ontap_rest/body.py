"""Request bodies: JSON to values by dotted path, checked against the resource's documented fields.

Dotted keys and nested objects may be mixed at any depth, scalars may arrive as
strings, `_links` are ignored. Every refusal is a WireError that names the
field. Nothing here knows the core.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any

import msgspec

from gateway.frontends.ontap_rest.constants import CONSTANTS, SILENT
from gateway.frontends.ontap_rest.errors import (
    WireError,
    given_twice,
    invalid,
    not_settable,
    out_of_range,
    shorten,
    unexpected,
)
from gateway.frontends.ontap_rest.rules import RANGES, REQUIRED, TEXT_RULES
from gateway.frontends.ontap_rest.scalars import HINTS, INTEGER_MAX, PARSERS, Scalar, format_datetime
from gateway.frontends.ontap_rest.schema import Field, Kind, Resource, Verb
from gateway.frontends.ontap_rest.settable import SETTABLE
from gateway.frontends.ontap_rest.tree import values_at

DEPTH_MAX = 32
TEXT_MAX = 4096
_HIDDEN = "***"
"""What a refusal shows of a text that is, or may be, a password."""

_STRING = re.compile(rb'"(?:[^"\\]|\\.)*+"', re.DOTALL)
_BRACKET = re.compile(rb"[{}\[\]]")

Value = Scalar | None | list[Any]
Values = dict[str, Value]
"""Path -> value. An array of objects is a list of `Values` whose paths are relative to it."""


class Body(msgspec.Struct, frozen=True):
    """A decoded body: one object's values, or the `records` of a batch (then `values` is empty)."""

    values: Values
    records: tuple[Values, ...] | None = None


def decode(resource: Resource, verb: Verb, raw: bytes) -> Body:
    """Decode a body. POST: null means not given. PATCH: null clears, the value is None. DELETE: a batch's keys only."""
    document = parse_json(raw)
    batch = document.get("records")
    if isinstance(batch, list) and len(document) == 1:
        return Body({}, tuple(_record(resource, verb, item) for item in batch))
    if verb in {Verb.GET, Verb.DELETE} and document:
        raise WireError(400, "262198", message=f"A body is not allowed in a {verb.value} request")
    return Body(_flatten(resource, verb, document))


def parse_json(raw: bytes) -> dict[str, object]:
    """Give the JSON object in the text, an empty one when there is no text; WireError 262199, 262282."""
    if not raw.strip():
        return {}
    if _depth(raw) > DEPTH_MAX:
        raise _syntax(f"nested deeper than {DEPTH_MAX}")
    try:
        document = json.loads(raw.decode("utf-8"), object_pairs_hook=_object, parse_constant=_constant)
    except (ValueError, RecursionError) as error:
        reason = error.msg if isinstance(error, json.JSONDecodeError) else "not UTF-8, or a number that is none"
        raise _syntax(reason) from None
    if not isinstance(document, dict):
        raise _syntax("not an object")
    return document


def require_fields(resource: Resource, values: Values) -> None:
    """Refuse the values of a POST in which something obligatory is missing."""
    for needed in REQUIRED.get(resource.name, ()):
        if needed.unless and values.get(needed.unless) is True:
            continue
        if not any(path in values and values[path] not in (None, []) for path in needed.paths):
            raise WireError(400, needed.code, message=needed.message, target=needed.paths[0])


def confirm(resource: Resource, verb: Verb, values: Values, record: Mapping[str, object] | None = None) -> None:
    """Refuse values that the door does not carry out, unless they say what is so anyway.

    `record` is the object as it would be shown now (everything, unpruned);
    None for an object yet to be made, of which only the constants are known.
    """
    settable = SETTABLE.get((resource.name, verb), frozenset())
    known = {**CONSTANTS.get(resource.name, {}), **SILENT.get(resource.name, {})}
    for path, value in _leaves(values):
        if path in settable:
            continue
        shown: list[object] = [] if record is None else list(values_at(record, tuple(path.split("."))))
        if not shown and path in known:
            shown = [known[path]]
        if not _confirms(value, shown):
            raise _refusal(resource, verb, path, shown)


def _refusal(resource: Resource, verb: Verb, path: str, shown: list[object]) -> WireError:
    reason = f"here it is always {shorten(json.dumps(shown[0]))}" if shown else "it has no counterpart here"
    if resource.name != "volume":
        code, text = "262144017", "The operation is not supported on this platform"
    elif verb is Verb.PATCH:
        code, text = "918703", "The specified volume property cannot be changed on this platform"
    else:
        code, text = "918701", "The specified operation on the volume endpoint is not supported on this platform"
    return WireError(400, code, message=f'{text}. Field "{path}": {reason}.', target=path)


def _confirms(value: Value, shown: list[object]) -> bool:
    if value in (None, "", []):
        return not shown or shown[0] in ("", "none")
    if isinstance(value, list):
        return value == shown
    if isinstance(value, datetime):
        return shown == [format_datetime(value)]
    return len(shown) > 0 and type(shown[0]) is type(value) and shown[0] == value


def _leaves(values: Values, base: str = "") -> Iterator[tuple[str, Value]]:
    for path, value in values.items():
        if isinstance(value, list) and any(isinstance(item, dict) for item in value):
            for item in value:
                yield from _leaves(item, f"{base}{path}.")
        else:
            yield base + path, value


def _record(resource: Resource, verb: Verb, item: object) -> Values:
    if not isinstance(item, dict):
        raise WireError(400, "262200", message='Every element of "records" must be an object', target="records")
    identity = {"name", "svm.name", "svm.uuid", *resource.keys} if verb is not Verb.POST else set()
    return _flatten(resource, verb, item, identity=frozenset(identity))


def _flatten(
    resource: Resource, verb: Verb, document: Mapping[str, object], identity: frozenset[str] = frozenset()
) -> Values:
    values: Values = {}
    _Flattener(resource, verb, identity).walk(document, prefix="", base="", values=values)
    return values


class _Flattener(msgspec.Struct, frozen=True):
    """One walk over a body. `prefix` is the path so far with its dot, `base` the innermost array's."""

    resource: Resource
    verb: Verb
    identity: frozenset[str]

    def walk(self, node: Mapping[str, object], *, prefix: str, base: str, values: Values) -> None:
        for name, value in node.items():
            if name != "_links":
                self._place(prefix + name, value, base, values)

    def _place(self, path: str, value: object, base: str, values: Values) -> None:
        resource = self.resource
        path = resource.spelled(path)
        array = self._array_above(path, base)
        if array:
            raise _array_expected(array)
        if path in resource.arrays:
            self._array(path, value, base, values)
        elif path in resource.fields:
            self._leaf(resource.fields[path], value, base, values)
        elif path not in resource.objects:
            raise unexpected(path)
        elif isinstance(value, dict):
            self.walk(value, prefix=f"{path}.", base=base, values=values)
        elif value is None and self.verb is Verb.POST:
            return
        elif f"{path}.name" in resource.fields:
            self._leaf(resource.fields[f"{path}.name"], value, base, values)
        else:
            raise invalid(path, _quotable(resource, path, value), "object")

    def _array_above(self, path: str, base: str) -> str:
        parts = path.split(".")
        above = (".".join(parts[:depth]) for depth in range(1, len(parts)))
        return next((name for name in above if name in self.resource.arrays and len(name) >= len(base)), "")

    def _array(self, path: str, value: object, base: str, values: Values) -> None:
        if value is None and self.verb is Verb.POST:
            return
        if not isinstance(value, list):
            raise _array_expected(path)
        items: list[Values] = []
        for item in value:
            if not isinstance(item, dict):
                raise invalid(path, _text(item), "object")
            found: Values = {}
            self.walk(item, prefix=f"{path}.", base=f"{path}.", values=found)
            items.append(found)
        _put(values, path, base, items)

    def _leaf(self, field: Field, value: object, base: str, values: Values) -> None:
        if self.verb.letter not in field.access and field.path not in self.identity:
            raise not_settable(field.path)
        if self.verb is Verb.DELETE and field.path not in self.identity:
            raise not_settable(field.path)
        if value is None:
            if self.verb is not Verb.POST:
                _put(values, field.path, base, None)
            return
        _put(values, field.path, base, self._value(field, value))

    def _value(self, field: Field, value: object) -> Value:
        if not field.array:
            if isinstance(value, list):
                raise WireError(400, "262255", message=f'Field "{field.path}" is not an array', target=field.path)
            return self._scalar(field, value)
        if not isinstance(value, list):
            raise _array_expected(field.path)
        if field.max_items is not None and len(value) > field.max_items:
            code = "263149" if field.path == "_tags" else "262200"
            message = f'Field "{field.path}" takes at most {field.max_items} values'
            raise WireError(400, code, message=message, target=field.path)
        return [self._scalar(field, item) for item in value]

    def _scalar(self, field: Field, value: object) -> Scalar:
        found = _CONVERTERS[field.kind](field, value)
        if field.enum:
            found = str(found).lower()
            if found not in field.enum:
                raise invalid(field.path, found, "|".join(field.enum))
        text = found if isinstance(found, str) else str(found)
        for rule in TEXT_RULES.get((self.resource.name, field.path), ()):
            if rule.pattern.fullmatch(text) is None:
                message = f'Invalid value "{shorten(text)}" for field "{field.path}". {rule.message}.'
                raise WireError(400, rule.code, message=message, target=field.path)
        _check_length(field, found, codes=RANGES.get((self.resource.name, field.path)))
        return found


def _check_length(field: Field, value: Scalar, *, codes: tuple[str, str] | None) -> None:
    if isinstance(value, str):
        low, high = field.min_length or 0, TEXT_MAX if field.max_length is None else field.max_length
        if not low <= len(value) <= high:
            shown = _HIDDEN if field.kind is Kind.PASSWORD else value
            raise invalid(field.path, shown, f"{low}..{high} characters")
    elif isinstance(value, int) and not isinstance(value, bool):
        low = -INTEGER_MAX if field.minimum is None else field.minimum
        high = INTEGER_MAX if field.maximum is None else field.maximum
        if not low <= value <= high:
            code = (codes[0] if value < low else codes[1]) if codes else "262200"
            shown = str(value) if abs(value) <= INTEGER_MAX else "..."
            raise out_of_range(field.path, shown, f"{low}..{high}", code)


def _string(field: Field, value: object) -> Scalar:
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise invalid(field.path, _HIDDEN if field.kind is Kind.PASSWORD else _text(value), "string")
    if "\0" in value or not _encodable(value):
        raise WireError(
            400, "262245", message=f'Field "{field.path}" holds a character that no text may hold', target=field.path
        )
    return value


def _uuid(field: Field, value: object) -> Scalar:
    return str(_string(field, value)).lower()


def _integer(field: Field, value: object) -> Scalar:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    return _parsed(field, value)


def _number(field: Field, value: object) -> Scalar:
    return _parsed(field, value if isinstance(value, bool) or not isinstance(value, int | float) else repr(value))


def _boolean(field: Field, value: object) -> Scalar:
    return value if isinstance(value, bool) else _parsed(field, value)


def _parsed(field: Field, value: object) -> Scalar:
    if isinstance(value, str):
        try:
            return PARSERS[field.kind](value.strip())
        except ValueError:
            pass
    raise invalid(field.path, _text(value), HINTS[field.kind])


_CONVERTERS: Mapping[Kind, Callable[[Field, object], Scalar]] = {
    Kind.STRING: _string,
    Kind.PASSWORD: _string,
    Kind.UUID: _uuid,
    Kind.INTEGER: _integer,
    Kind.NUMBER: _number,
    Kind.BOOLEAN: _boolean,
    Kind.DATETIME: _parsed,
    Kind.DURATION: _parsed,
}


def _put(values: Values, path: str, base: str, value: Value) -> None:
    place = path.removeprefix(base)
    if place in values:
        raise given_twice(path, "262282")
    values[place] = value


def _text(value: object) -> str:
    """Give a value as a refusal may show it: of objects and arrays nothing, because a password may be in them."""
    if isinstance(value, dict | list):
        return "{...}" if isinstance(value, dict) else "[...]"
    return json.dumps(value)[:200] if not isinstance(value, str) else value


def _quotable(resource: Resource, path: str, value: object) -> str:
    """Give a value that stands where an object should, as a refusal may show it."""
    secret = any(resource.fields[leaf].kind is Kind.PASSWORD for leaf in resource.objects[path])
    return _HIDDEN if secret else _text(value)


def _encodable(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _array_expected(path: str) -> WireError:
    return WireError(400, "262254", message=f'Field "{path}" must be an array', target=path)


def _syntax(reason: str) -> WireError:
    return WireError(400, "262199", message=f"The body is not a valid JSON object: {reason}")


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise given_twice(shorten(name), "262282")
            seen.add(name)
    return found


def _constant(name: str) -> object:
    raise ValueError(name)


def _depth(raw: bytes) -> int:
    """Give how deep the text nests; brackets inside strings do not count."""
    if raw.count(b"{") + raw.count(b"[") <= DEPTH_MAX:
        return 0
    depth = deepest = 0
    for bracket in _BRACKET.findall(_STRING.sub(b"", raw)):
        depth += 1 if bracket in b"{[" else -1
        deepest = max(deepest, depth)
    return deepest
