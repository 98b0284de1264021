"""A dialect-neutral question to the catalog: filter, order, key-set page.

Field names are the records' own (`name`, `size`, `state`); a reference is
followed with a dot (`tenant.name`, `origin.volume.name`). Which fields a kind
of record knows is the catalog's to say (`Catalog.fields`); an unknown one
raises InvalidArgument.
"""

from __future__ import annotations

import enum
from datetime import datetime
from uuid import UUID

import msgspec

Value = str | int | bool | UUID | datetime


class Op(enum.StrEnum):
    """How a field is compared."""

    EQ = "="
    LT = "<"
    LE = "<="
    GT = ">"
    GE = ">="


class Compare(msgspec.Struct, frozen=True):
    """`field op value`; an unset field never matches."""

    field: str
    op: Op
    value: Value


class Match(msgspec.Struct, frozen=True):
    """Text against a pattern in which `*` stands for any run of characters; case matters."""

    field: str
    pattern: str


class IsNull(msgspec.Struct, frozen=True):
    """The field is not set."""

    field: str


class Not(msgspec.Struct, frozen=True):
    """True exactly when `term` is not true."""

    term: Filter


class And(msgspec.Struct, frozen=True):
    """All of them; the empty one is true."""

    terms: tuple[Filter, ...] = ()


class Or(msgspec.Struct, frozen=True):
    """Any of them; the empty one is false."""

    terms: tuple[Filter, ...] = ()


Filter = Compare | Match | IsNull | Not | And | Or

ALL = And()
NONE = Or()


class Order(msgspec.Struct, frozen=True):
    """One key of the order; unset values come first when ascending."""

    field: str
    descending: bool = False


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """One page. `after` is the `cursor` of the page before; `limit` at most 10 000; `offset` skips matches."""

    where: Filter = ALL
    order: tuple[Order, ...] = ()
    limit: int = 1000
    offset: int = 0
    after: str | None = None
