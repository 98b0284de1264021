"""GET: one record, or a page of those that a query selects.

What the catalog can answer it answers; the rest of a query is checked on the
rendered records, page by page, until enough were found or the time is up: a
next link may then lead on from there.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from functools import partial
from typing import Any, Self

import msgspec

from gateway.core.errors import InvalidArgument
from gateway.core.query import NONE, And, Filter, Not, Query
from gateway.frontends.ontap_rest.ask import Ask
from gateway.frontends.ontap_rest.errors import WireError, bad_key, no_entry
from gateway.frontends.ontap_rest.pushdown import catalog_order, sort_records, split
from gateway.frontends.ontap_rest.query import PAGE_MAX
from gateway.frontends.ontap_rest.schema import Resource
from gateway.frontends.ontap_rest.sources import CatalogSource, Item, PagedSource, Rendered, Source
from gateway.frontends.ontap_rest.tree import TRUE, Predicate, predicate, values_at

Found = tuple[Any, Rendered]
"""What a writer needs, and the record rendered whole."""

AT_ONCE = 50
SORTED_MAX = 50_000
"""So many records that are not in the catalog are put in order at most: they are all held for it."""
_SCAN = 100
_READ_TIMEOUT_S = 15
_CURSOR_DIGITS = 18
_PART = re.compile(r"([0-9a-f]{32})\.([0-9]{1,9})~(.*)", re.ASCII)


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """One page. `cursor` leads to the next one; None: there is none."""

    items: Sequence[Item]
    cursor: str | None = None

    @property
    def found(self) -> list[Found]:
        """Give the records with their renderings."""
        return [(item.record, item.render()) for item in self.items]


async def read_one(resource: Resource, source: Source, ask: Ask) -> Found:
    """Give the record that the path's keys name; WireError 4 when there is none."""
    item = await read_item(resource, source, ask)
    return item.record, item.render()


async def read_item(resource: Resource, source: Source, ask: Ask) -> Item:
    """Give the same, not rendered yet."""
    if isinstance(source, CatalogSource | PagedSource):
        return await source.item(ask)
    key = resource.keys[-1] if resource.keys else None
    for record, rendered in await source.list(ask):
        if key is None or str(next(values_at(rendered, tuple(key.split("."))), "")) == ask.keys[-1]:
            return _made(record, rendered)
    raise no_entry(key or "uuid")


async def read_page(resource: Resource, source: Source, ask: Ask) -> Selection:
    """Give the page that the request's parameters select."""
    source = await _chosen(source, ask)
    if isinstance(source, CatalogSource):
        return await _Scan(resource, source, ask).run()
    if isinstance(source, PagedSource):
        return await _walked(source, ask)
    return _listed(await source.list(ask), ask)


async def count(resource: Resource, source: Source, ask: Ask) -> int:
    """Count everything that the parameters select, without rendering where the catalog can answer alone."""
    source = await _chosen(source, ask)
    if isinstance(source, CatalogSource):
        return await _Scan(resource, source, ask).count()
    if isinstance(source, PagedSource):
        test = predicate(ask.parameters.where)
        return sum([test(item.render()) async for _, item in source.walk(ask, "")])
    every = msgspec.structs.replace(ask.parameters, max_records=None, cursor=None, offset=0)
    return len((await read_page(resource, source, msgspec.structs.replace(ask, parameters=every))).items)


async def _chosen(source: Source, ask: Ask) -> Source:
    instead = await source.instead(ask) if isinstance(source, CatalogSource) else None
    return source if instead is None else instead


def _listed(records: Sequence[tuple[object, Rendered]], ask: Ask) -> Selection:
    parameters = ask.parameters
    test = predicate(parameters.where)
    kept = [(record, rendered) for record, rendered in records if test(rendered)]
    if parameters.order:
        order = {
            id(rendered): place for place, rendered in enumerate(sort_records([r for _, r in kept], parameters.order))
        }
        kept.sort(key=lambda pair: order[id(pair[1])])
    cursor = parameters.cursor or str(parameters.offset)
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) <= _CURSOR_DIGITS):
        raise bad_key("start", cursor, "cursor")
    start = int(cursor)
    stop = start + min(parameters.max_records or PAGE_MAX, PAGE_MAX)
    items = [_made(record, rendered) for record, rendered in kept[start:stop]]
    return Selection(items=items, cursor=str(stop) if stop < len(kept) else None)


async def _walked(source: PagedSource, ask: Ask) -> Selection:
    parameters = ask.parameters
    test = predicate(parameters.where)
    if parameters.order:
        return _listed([found async for found in _few(source, ask, test)], ask)
    skip = 0 if parameters.cursor else parameters.offset
    wanted = min(parameters.max_records or PAGE_MAX, PAGE_MAX)
    kept: list[Item] = []
    last = ""
    async for cursor, item in source.walk(ask, parameters.cursor or ""):
        rendered = item.render()
        if not test(rendered):
            continue
        if skip:
            skip -= 1
        elif len(kept) == wanted:
            return Selection(items=kept, cursor=last)
        else:
            kept.append(_made(item.record, rendered))
            last = cursor
    return Selection(items=kept)


async def _few(source: PagedSource, ask: Ask, test: Predicate) -> AsyncIterator[Found]:
    """Yield what passes a test; WireError when it is more than can be held to be put in order."""
    number = 0
    async for _, item in source.walk(ask, ""):
        rendered = item.render()
        if not test(rendered):
            continue
        number += 1
        if number > SORTED_MAX:
            message = f'More than {SORTED_MAX} records cannot be put in order; leave "order_by" out, or ask for fewer.'
            raise WireError(400, "262268", message=message, target="order_by")
        yield item.record, rendered


def _made(record: object, rendered: Rendered) -> Item:
    return Item(record, partial(_given, rendered))


def _given(rendered: Rendered) -> Rendered:
    return rendered


def _anything(_rendered: object) -> bool:
    return True


class _Place(msgspec.Struct, frozen=True):
    """Where a page goes on: behind the catalog's `cursor`, and behind part `part` of the record `whole` there."""

    cursor: str | None = None
    whole: str = ""
    part: int = 0

    @classmethod
    def read(cls, text: str | None) -> Self:
        """Read what `text` gave; a bare cursor is one too."""
        found = _PART.fullmatch(text or "")
        return cls(text) if found is None else cls(found[3] or None, found[1], int(found[2]))

    @property
    def text(self) -> str | None:
        """Give the cursor as a next link carries it."""
        return f"{self.whole}.{self.part}~{self.cursor or ''}" if self.whole else self.cursor

    def passed(self, item: Item) -> bool:
        """Tell whether the page before had the item."""
        return (
            bool(self.whole) and item.whole is not None and item.whole.id.hex == self.whole and item.part <= self.part
        )


class _Scan:
    """One walk through a catalog-backed collection."""

    def __init__(self, resource: Resource, source: CatalogSource[Any], ask: Ask) -> None:
        self._resource = resource
        self._source = source
        self._ask = ask
        self._hidden = source.hidden(ask)

    def _shown(self, where: Filter) -> Filter:
        return where if self._hidden == NONE else And((where, Not(self._hidden)))

    async def divided(self) -> tuple[Filter, Predicate | None]:
        """Give the catalog's part of the query, and the test for the rest (None: there is no rest)."""
        available = self._source.fields(self._ask)
        parts = split(self._resource.name, self._ask.parameters.where, available)
        base = await self._source.base(self._ask)
        test = None if parts.residual == TRUE else predicate(parts.residual)
        if test is None and not self._source.one_each:
            test = _anything
        return And((base, parts.where)), test

    async def count(self) -> int:
        """Count all matches, however long it takes: nobody could go on from a number that is not the whole one."""
        where, test = await self.divided()
        catalog, kind = self._ask.core.catalog, self._source.kind
        if test is None:
            found = await catalog.count(kind, where)
            if self._hidden != NONE:
                # Both numbers are cheap, which a condition on every record would not be.
                found -= await catalog.count(kind, And((where, self._hidden)))
            return found
        found, query = 0, Query(where=self._shown(where), limit=_SCAN)
        while True:
            page = await self._ask.core.catalog.page(self._source.kind, query)
            found += len([item async for item in self._passing(page.records, test)])
            if page.cursor is None:
                return found
            query = msgspec.structs.replace(query, after=page.cursor)

    async def run(self) -> Selection:
        parameters = self._ask.parameters
        where, test = await self.divided()
        query = Query(
            where=self._shown(where),
            order=catalog_order(self._resource.name, parameters.order, self._source.fields(self._ask)),
            limit=min(parameters.max_records or PAGE_MAX, PAGE_MAX),
            offset=parameters.offset if test is None and parameters.cursor is None else 0,
            after=parameters.cursor,
        )
        try:
            return await (self._plain(query) if test is None else self._tested(query, test))
        except InvalidArgument as error:
            if error.field != "after":
                raise
            raise bad_key("start", parameters.cursor or "", "cursor") from None

    async def _plain(self, query: Query) -> Selection:
        page = await self._ask.core.catalog.page(self._source.kind, query)
        items = [item async for items in self._slices(page.records) for item in items]
        return Selection(items=items, cursor=page.cursor)

    async def _tested(self, query: Query, test: Predicate) -> Selection:
        wanted, skip = query.limit, self._ask.parameters.offset if query.after is None else 0
        start = _Place.read(query.after)
        clock = asyncio.get_running_loop().time
        budget = self._ask.parameters.return_timeout
        deadline = clock() + (_READ_TIMEOUT_S if budget is None else budget)
        kept: list[Item] = []
        after = start.cursor
        while True:
            page = await self._ask.core.catalog.page(
                self._source.kind, msgspec.structs.replace(query, limit=_SCAN, after=after)
            )
            hits = [item async for item in self._passing(page.records, test) if not start.passed(item)]
            passed, hits = hits[:skip], hits[skip:]
            skip -= len(passed)
            room = wanted - len(kept)
            kept += hits[:room]
            if len(hits) > room or (len(hits) == room and page.cursor is not None):
                place = await self._place_of(hits[room - 1], page.records, query, after)
                return Selection(items=kept, cursor=place.text)
            # A next link continues behind a record and could not tell how much of the offset is left.
            if page.cursor is None or (clock() > deadline and not skip):
                return Selection(items=kept, cursor=page.cursor)
            after = page.cursor

    async def _place_of(self, item: Item, records: Sequence[Any], query: Query, after: str | None) -> _Place:
        """Give the place behind an item in the middle of a page."""
        if item.whole is None:
            return _Place(await self._cursor_at(query, after, records.index(item.record)))
        before = records.index(item.whole) - 1
        cursor = after if before < 0 else await self._cursor_at(query, after, before)
        return _Place(cursor, item.whole.id.hex, item.part)

    async def _cursor_at(self, query: Query, after: str | None, place: int) -> str | None:
        """Give the cursor behind one record in the middle of a page."""
        short = msgspec.structs.replace(query, limit=place + 1, after=after)
        return (await self._ask.core.catalog.page(self._source.kind, short)).cursor

    async def _passing(self, records: Sequence[Any], test: Predicate) -> AsyncIterator[Item]:
        async for items in self._slices(records):
            for item in items:
                rendered = item.render()
                if test(rendered):
                    yield msgspec.structs.replace(item, render=partial(_given, rendered))

    async def _slices(self, records: Sequence[Any]) -> AsyncIterator[list[Item]]:
        """Work in slices, so that a large page holds the loop for no longer than one slice."""
        for start in range(0, len(records), AT_ONCE):
            yield await self._source.items(self._ask, records[start : start + AT_ONCE])
            if len(records) > AT_ONCE:
                await asyncio.sleep(0)
