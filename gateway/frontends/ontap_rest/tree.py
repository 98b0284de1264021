"""What a query means: a small tree over ONTAP's own paths, and its evaluation over rendered records.

A leaf is true when any value at its path satisfies it (arrays hold several);
an unset field satisfies nothing but `Unset`, not even a negation.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

import msgspec

from gateway.core.query import Op
from gateway.frontends.ontap_rest.scalars import Scalar, parse_datetime, parse_span

Predicate = Callable[[Mapping[str, object]], bool]


class Compare(msgspec.Struct, frozen=True):
    """A value at `path` stands in this relation to `value`."""

    path: str
    op: Op
    value: Scalar


class Between(msgspec.Struct, frozen=True):
    """A value at `path` lies in the range; both ends belong to it."""

    path: str
    low: Scalar
    high: Scalar


class Glob(msgspec.Struct, frozen=True):
    """The text of a value consists of `pieces` with anything between them; `fold`: whatever the case of its letters."""

    path: str
    pieces: tuple[str, ...]
    fold: bool = False


class Unset(msgspec.Struct, frozen=True):
    """There is no value at `path`."""

    path: str


class Not(msgspec.Struct, frozen=True):
    """There is a value at the leaf's path, and the leaf is not true."""

    term: Leaf


class Search(msgspec.Struct, frozen=True):
    """One of the alternatives holds; each is a set of patterns that some value at one of the paths must match."""

    paths: tuple[str, ...]
    alternatives: tuple[tuple[tuple[str, ...], ...], ...]


class AllOf(msgspec.Struct, frozen=True):
    """Every term is true; without terms it is true."""

    terms: tuple[Node, ...] = ()


class AnyOf(msgspec.Struct, frozen=True):
    """Some term is true; without terms it is false."""

    terms: tuple[Node, ...] = ()


Leaf = Compare | Between | Glob | Unset
Node = Leaf | Not | Search | AllOf | AnyOf

TRUE = AllOf()
FALSE = AnyOf()

_ORDER: Mapping[Op, Callable[[Any, Any], bool]] = {
    Op.EQ: operator.eq,
    Op.LT: operator.lt,
    Op.LE: operator.le,
    Op.GT: operator.gt,
    Op.GE: operator.ge,
}


def values_at(record: object, parts: tuple[str, ...]) -> Iterator[object]:
    """Yield every value at a path; arrays on the way and at the end are opened, null counts as unset."""
    if isinstance(record, list):
        for item in record:
            yield from values_at(item, parts)
    elif not parts:
        if record is not None:
            yield record
    elif isinstance(record, dict) and parts[0] in record:
        yield from values_at(record[parts[0]], parts[1:])


def predicate(node: Node) -> Predicate:
    """Compile a tree into a function over rendered records."""
    if isinstance(node, AllOf):
        all_terms = [predicate(term) for term in node.terms]
        return lambda record: all(term(record) for term in all_terms)
    if isinstance(node, AnyOf):
        any_terms = [predicate(term) for term in node.terms]
        return lambda record: any(term(record) for term in any_terms)
    if isinstance(node, Search):
        return _search(node)
    if isinstance(node, Not):
        parts, inner = tuple(node.term.path.split(".")), predicate(node.term)
        return lambda record: any(True for _ in values_at(record, parts)) and not inner(record)
    return _leaf(node)


def satisfied(leaf: Leaf, value: object) -> bool:
    """Tell whether one set value satisfies a leaf; null and absent values are for `Unset` alone."""
    return _test(leaf)(value)


def _leaf(leaf: Leaf) -> Predicate:
    parts = tuple(leaf.path.split("."))
    if isinstance(leaf, Unset):
        return lambda record: not any(True for _ in values_at(record, parts))
    test = _test(leaf)
    return lambda record: any(test(value) for value in values_at(record, parts))


def _test(leaf: Leaf) -> Callable[[object], bool]:
    if isinstance(leaf, Unset):
        return lambda _value: False
    if isinstance(leaf, Glob):
        pattern = compile_glob(leaf.pieces, fold=leaf.fold)
        return lambda value: pattern.fullmatch(text_of(value)) is not None
    if isinstance(leaf, Between):
        low, high = leaf.low, leaf.high
        return lambda value: _related(value, Op.GE, low) and _related(value, Op.LE, high)
    op, operand = leaf.op, leaf.value
    return lambda value: _related(value, op, operand)


def _related(value: object, op: Op, operand: Scalar) -> bool:
    if isinstance(operand, datetime | timedelta):
        if not isinstance(value, str):
            return False
        try:
            value = parse_datetime(value) if isinstance(operand, datetime) else parse_span(value)
        except ValueError:
            return False
    elif isinstance(operand, str) != isinstance(value, str) or isinstance(operand, bool) != isinstance(value, bool):
        return False
    return _ORDER[op](value, operand)


def text_of(value: object) -> str:
    """Give a value as patterns see it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def compile_glob(pieces: tuple[str, ...], *, fold: bool = False) -> re.Pattern[str]:
    """Compile the texts between the asterisks.

    Each inner piece is taken at its first occurrence and not reconsidered
    (atomic groups), so that no pattern costs more than linear time per start.
    """
    first, *rest = pieces
    if not rest:
        expression = re.escape(first)
    else:
        *middle, last = rest
        inner = "".join(f"(?>.*?{re.escape(piece)})" for piece in middle if piece)
        expression = f"{re.escape(first)}{inner}.*{re.escape(last)}"
    return re.compile(expression, re.DOTALL | (re.IGNORECASE if fold else 0))


def _search(node: Search) -> Predicate:
    paths = [tuple(path.split(".")) for path in node.paths]
    groups = [[compile_glob(pieces) for pieces in group] for group in node.alternatives]

    def matches(record: Mapping[str, object]) -> bool:
        texts = [text_of(value) for parts in paths for value in values_at(record, parts)]
        return any(all(any(pattern.fullmatch(text) for text in texts) for pattern in group) for group in groups)

    return matches
