"""Turns a query into SQL: pure text and parameters, no connection.

In every statement `r` is the record's row. A page that continues after a key
is cut into segments, from "equal in all but the last order field" to "beyond
in the first one": each is a plain range of an index, NULL needs no special
comparison, and their concatenation is the order asked for.

Where a filter names a broad field, there are two ways to look: from the rows of
that field, which is quick when few match, or record by record, which is quick
when many do. Whoever runs the plan counts first, see `Lead`. SQLite cannot
choose for us: it takes a tenant, too, for a condition that few records meet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import msgspec

from gateway.catalog.tables import Field, R, SqlValue, Table, Type, encode
from gateway.core.errors import InvalidArgument
from gateway.core.query import ALL, And, Compare, Filter, IsNull, Match, Not, Op, Or, Order, Query

LIMIT_MAX = 10_000
TERMS_MAX = 2_000
DEPTH_MAX = 50
PATTERN_MAX = 4_096

FEW = 4_096
"""With so many rows of a broad field, records are looked at one by one."""

_LAST_BEFORE_SURROGATES, _FIRST_AFTER_SURROGATES, _LAST_CHARACTER = 0xD7FF, 0xE000, 0x10FFFF


class Sql(msgspec.Struct, frozen=True):
    """SQL text with its parameters: a statement or a part of one."""

    text: str
    parameters: tuple[SqlValue, ...] = ()


class Key(msgspec.Struct, frozen=True):
    """One ordering expression of a page. NULL is smaller than any value."""

    name: str
    type: Type
    expression: str
    descending: bool


class Lead(msgspec.Struct, frozen=True):
    """The way to look from the rows of one broad field, for when `count` gives less than `FEW`."""

    count: Sql
    where: Sql


class PagePlan(msgspec.Struct, frozen=True):
    """A compiled page: rows are `doc` followed by the values of `keys`, the last of which is the id.

    It looks record by record for the broad fields, unless it is `led` by one of its `leads`.
    """

    table: Table[Any]
    keys: tuple[Key, ...]
    where: Sql
    leads: tuple[Lead, ...] = ()

    def led(self, lead: Lead) -> PagePlan:
        """Give the plan that looks from the rows of that field."""
        # Records in order are no reason to walk an index when only a few will be left to sort.
        keys = tuple(msgspec.structs.replace(key, expression=_hidden(key.expression)) for key in self.keys)
        return PagePlan(self.table, keys, lead.where)

    def statements(self, after: Sequence[SqlValue] | None = None) -> list[Sql]:
        """Give the statements whose results, one after the other, are the page; each still takes LIMIT and OFFSET."""
        segments = [Sql("1")] if after is None else _segments(self.keys, after)
        columns = ", ".join(key.expression for key in self.keys)
        order = ", ".join(f"{n}{' DESC' if key.descending else ''}" for n, key in enumerate(self.keys, 2))
        return [
            Sql(
                f"SELECT r.doc, {columns} FROM {self.table.kind} AS r"  # noqa: S608 - names come from tables.py
                f" WHERE {condition.text} ORDER BY {order} LIMIT ? OFFSET ?",
                condition.parameters,
            )
            for condition in (_join((self.where, segment), "AND") for segment in segments)
        ]


def plan_page(table: Table[R], query: Query) -> PagePlan:
    """Compile everything of the query but its cursor; InvalidArgument names what cannot be."""
    if not 1 <= query.limit <= LIMIT_MAX:
        raise InvalidArgument(field="limit", value=query.limit, reason=f"must be 1 to {LIMIT_MAX}")
    if not 0 <= query.offset < 1 << 63:
        raise InvalidArgument(field="offset", value=str(query.offset), reason="must be 0 or more")
    where = _Compiler(table, by_record=True).compile(query.where, DEPTH_MAX)
    leads = tuple(_lead(table, query.where, term) for term in _conjuncts(query.where) if _is_broad(table, term))
    return PagePlan(table, _keys(table, query.order), where, leads)


def count_statement(table: Table[R], where: Filter) -> Sql:
    """Give the statement that counts matches; without a filter it reads the maintained counter."""
    condition = compile_filter(table, where)
    if condition.text == "1":
        return Sql("SELECT value FROM record_count WHERE kind = ?", (table.kind,))
    return Sql(
        f"SELECT count(*) FROM {table.kind} AS r WHERE {condition.text}",  # noqa: S608 - names come from tables.py
        condition.parameters,
    )


def exists_statement(table: Table[R], where: Filter) -> Sql:
    """Give the statement that tells whether anything matches."""
    condition = compile_filter(table, where)
    return Sql(
        f"SELECT EXISTS (SELECT 1 FROM {table.kind} AS r WHERE {condition.text})",  # noqa: S608 - see count_statement
        condition.parameters,
    )


def compile_filter(table: Table[R], where: Filter = ALL) -> Sql:
    """Give the condition; "1" when it is always true."""
    return _Compiler(table).compile(where, DEPTH_MAX)


def _lead(table: Table[R], where: Filter, term: Filter) -> Lead:
    compiler = _Compiler(table, by_record=True, lead=term)
    condition = compiler.compile(where, DEPTH_MAX)
    count = f"SELECT count(*) FROM ({compiler.rows.text} LIMIT {FEW})"  # noqa: S608 - names come from tables.py
    return Lead(Sql(count, compiler.rows.parameters), condition)


def _conjuncts(where: Filter) -> Iterator[Filter]:
    """Yield the terms that every match must meet."""
    if isinstance(where, And):
        for term in where.terms:
            yield from _conjuncts(term)
    else:
        yield where


def _is_broad(table: Table[R], term: Filter) -> bool:
    if isinstance(term, Or):
        return _is_one_of(term) and _is_broad(table, term.terms[0])
    if isinstance(term, Not) and isinstance(term.term, IsNull):
        field = table.field(term.term.field)
        return field.broad and field.via is None
    return isinstance(term, Compare | Match) and table.field(term.field).broad


def _is_one_of(term: Or) -> bool:
    """Tell whether it is about one field that has one of several values."""
    parts = [part for part in term.terms if isinstance(part, Compare) and part.op is Op.EQ]
    return len(parts) > 1 and len(parts) == len(term.terms) and len({part.field for part in parts}) == 1


def _hidden(expression: str) -> str:
    """Give the same value without its index: SQLite looks at indexes for bare columns only."""
    return f"+{expression}"


def _keys(table: Table[R], order: Iterable[Order]) -> tuple[Key, ...]:
    # The id runs in the direction of the field before it: an index read backwards then serves both.
    items = tuple(order) or (Order(table.order),)
    keys: dict[str, Key] = {}
    for item in (*items, Order("id", descending=items[-1].descending)):
        field = table.field(item.field)
        keys.setdefault(item.field, Key(item.field, field.type, _value(field), item.descending))
        if item.field == "id":
            break
    return tuple(keys.values())


def _segments(keys: Sequence[Key], after: Sequence[SqlValue]) -> list[Sql]:
    segments = []
    for n in reversed(range(len(keys))):
        same = [_same(key, value) for key, value in zip(keys[:n], after[:n], strict=True)]
        segments += [_join((*same, beyond), "AND") for beyond in _beyond(keys[n], after[n])]
    return segments


def _same(key: Key, value: SqlValue) -> Sql:
    return Sql(f"{key.expression} IS NULL") if value is None else Sql(f"{key.expression} = ?", (value,))


def _beyond(key: Key, value: SqlValue) -> list[Sql]:
    if not key.descending:
        return [Sql(f"{key.expression} IS NOT NULL") if value is None else Sql(f"{key.expression} > ?", (value,))]
    if value is None:
        return []
    return [Sql(f"{key.expression} < ?", (value,)), Sql(f"{key.expression} IS NULL")]


def _value(field: Field) -> str:
    """Give the field as one value: of several rows the smallest, of none NULL."""
    if field.via is None:
        return f"r.{field.column}"
    via = field.via
    return (
        f"(SELECT min(x.{field.column}) FROM {via.table} AS x"  # noqa: S608 - names come from tables.py
        f" WHERE x.{via.key} = r.{via.local})"
    )


def _join(parts: Sequence[Sql], word: str) -> Sql:
    """Join as a balanced tree: SQLite limits the depth of expressions, not their number."""
    neutral = "1" if word == "AND" else "0"
    rest = [part for part in parts if part.text != neutral]
    if not rest:
        return Sql(neutral)
    while len(rest) > 1:
        pairs = [rest[n : n + 2] for n in range(0, len(rest), 2)]
        rest = [
            pair[0]
            if len(pair) == 1
            else Sql(f"({pair[0].text} {word} {pair[1].text})", pair[0].parameters + pair[1].parameters)
            for pair in pairs
        ]
    return rest[0]


class _Compiler:
    """One filter on its way to SQL; counts terms so that no client can make an endless statement.

    `by_record`: broad fields are looked up for each record, instead of all
    their rows beforehand. `lead`: a term of the filter from whose rows to
    look all the same; these are in `rows` afterwards.
    """

    def __init__(self, table: Table[Any], *, by_record: bool = False, lead: Filter | None = None) -> None:
        self._table = table
        self._terms = 0
        self._by_record = by_record
        self._lead = lead
        self._term: Filter = ALL
        self.rows = Sql("")

    def compile(self, term: Filter, depth: int) -> Sql:
        self._terms += 1
        if self._terms > TERMS_MAX or not depth:
            raise InvalidArgument(field="where", reason="the filter has too many terms")
        self._term = term
        return _TERMS[type(term)](self, term, depth - 1)

    def compare(self, term: Compare, _depth: int) -> Sql:
        field = self._table.field(term.field)
        value = encode(term.field, field.type, term.value)
        if field.via and field.unique and term.op is Op.EQ:
            # One value at most: an equality lets the index of the outer table serve the order too.
            via = field.via
            found = f"SELECT {via.key} FROM {via.table} WHERE {field.column} = ?"  # noqa: S608
            return Sql(f"{self._beside(f'r.{via.local}')} = ({found})", (value,))
        return self._reach(field, lambda column: f"{column} {term.op.value} ?", (value,))

    def match(self, term: Match, _depth: int) -> Sql:
        field = self._table.field(term.field)
        if field.type is not Type.TEXT:
            raise InvalidArgument(field=term.field, value=term.pattern, reason="only a text has patterns")
        encode(term.field, Type.TEXT, term.pattern)
        if len(term.pattern) > PATTERN_MAX:
            raise InvalidArgument(field=term.field, reason=f"a pattern has at most {PATTERN_MAX} characters")
        prefix, *tail = term.pattern.split("*")
        if not tail:
            return self._reach(field, lambda column: f"{column} = ?", (term.pattern,))
        conditions: list[Sql] = []
        if prefix:
            conditions.append(Sql("{} >= ?", (prefix,)))
            end = _successor(prefix)
            conditions += [] if end is None else [Sql("{} < ?", (end,))]
        if any(tail) or not prefix:
            conditions.append(Sql("{} GLOB ?", (_glob(prefix, tail),)))
        whole = _join(conditions, "AND")
        return self._reach(field, lambda column: whole.text.replace("{}", column), whole.parameters)

    def is_null(self, term: IsNull, _depth: int) -> Sql:
        return Sql(f"{_value(self._table.field(term.field))} IS NULL")

    def negate(self, term: Not, depth: int) -> Sql:
        if isinstance(term.term, IsNull):
            # As plain words, because only these let SQLite use an index of the set values.
            field = self._table.field(term.term.field)
            if field.via is None:
                return self._reach(field, lambda column: f"{column} IS NOT NULL", ())
            return Sql(f"{_value(field)} IS NOT NULL")
        inner = self.compile(term.term, depth)
        return Sql(f"(({inner.text}) IS NOT TRUE)", inner.parameters)

    def all_of(self, term: And, depth: int) -> Sql:
        return _join([self.compile(part, depth) for part in term.terms], "AND")

    def any_of(self, term: Or, depth: int) -> Sql:
        if _is_one_of(term):
            return self._one_of([part for part in term.terms if isinstance(part, Compare)])
        compiled = [self.compile(part, depth) for part in term.terms]
        return Sql("1") if any(part.text == "1" for part in compiled) else _join(compiled, "OR")

    def _one_of(self, parts: Sequence[Compare]) -> Sql:
        self._terms += len(parts)
        if self._terms > TERMS_MAX:
            raise InvalidArgument(field="where", reason="the filter has too many terms")
        field = self._table.field(parts[0].field)
        values = tuple(encode(part.field, field.type, part.value) for part in parts)
        marks = ", ".join("?" * len(values))
        return self._reach(field, lambda column: f"{column} IN ({marks})", values)

    def _reach(self, field: Field, condition: Callable[[str], str], parameters: tuple[SqlValue, ...]) -> Sql:
        leading = self._term is self._lead
        via = field.via
        if via is None:
            own = Sql(condition(f"r.{field.column}" if leading else self._column(field)), parameters)
            if leading:
                self.rows = Sql(f"SELECT 1 FROM {self._table.kind} AS r WHERE {own.text}", parameters)  # noqa: S608
            return own
        rows = f"SELECT {via.key} FROM {via.table} WHERE {condition(field.column)}"  # noqa: S608 - from tables.py
        if leading:
            self.rows = Sql(rows, parameters)
        elif field.broad and self._by_record:
            each = f"SELECT 1 FROM {via.table} AS x WHERE x.{via.key} = r.{via.local}"  # noqa: S608
            return Sql(f"EXISTS ({each} AND {condition(f'x.{field.column}')})", parameters)
        local = f"r.{via.local}"
        return Sql(f"{local if leading else self._beside(local)} IN ({rows})", parameters)

    def _column(self, field: Field) -> str:
        column, term = f"r.{field.column}", self._term
        exact = isinstance(term, Compare) and term.op is Op.EQ and term.field in {"id", self._table.order}
        return column if exact else self._beside(column)

    def _beside(self, column: str) -> str:
        """Give a column whose index must not be preferred to the lead's rows; only an id or a name would be fewer."""
        return column if self._lead is None else _hidden(column)


_TERMS: dict[type, Callable[[_Compiler, Any, int], Sql]] = {
    Compare: _Compiler.compare,
    Match: _Compiler.match,
    IsNull: _Compiler.is_null,
    Not: _Compiler.negate,
    And: _Compiler.all_of,
    Or: _Compiler.any_of,
}


def _glob(prefix: str, tail: Iterable[str]) -> str:
    """Give SQLite's pattern, in which `?` and `[` are special too."""
    parts = (part.replace("[", "[[]").replace("?", "[?]") for part in (prefix, *tail))
    return "*".join(parts)


def _successor(prefix: str) -> str | None:
    """Give the smallest text above everything that begins with the prefix; None when there is none."""
    kept = prefix.rstrip(chr(_LAST_CHARACTER))
    if not kept:
        return None
    last = ord(kept[-1])
    return kept[:-1] + chr(_FIRST_AFTER_SURROGATES if last == _LAST_BEFORE_SURROGATES else last + 1)
