"""Counting and paging of collections that are larger than a page."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest

from gateway.core.model import Pool, Tenant
from gateway.frontends.ontap_rest import reading, sources, sources_volumes
from gateway.frontends.ontap_rest.ask import Ask
from gateway.frontends.ontap_rest.errors import WireError
from gateway.frontends.ontap_rest.query import PAGE_MAX, parse_query
from gateway.frontends.ontap_rest.schema import Verb, load_schema
from gateway.testing.cores import core_on, memory_pool
from gateway.testing.records import stored, volume

RESOURCE = load_schema()["volume"]


@pytest.mark.parametrize("query", ["", "space.available=>=0", "space.available=>=0&return_timeout=0"])
async def test_a_count_counts_all(tmp_path: Path, query: str) -> None:
    async with core_on(tmp_path, [memory_pool()]) as core:
        tenant, pool = await core.find(Tenant, name="svm1"), await core.find(Pool, name="memory")
        assert tenant is not None
        assert pool is not None
        many = [volume(f"v{n}", tenant_id=tenant.id, pool_id=pool.id) for n in range(PAGE_MAX + 5)]
        await stored(core.catalog, *many)
        ask = Ask(
            core=core,
            verb=Verb.GET,
            path="/api/storage/volumes",
            raw_query=query,
            keys=(),
            parameters=parse_query(RESOURCE, Verb.GET, query),
        )
        assert await reading.count(RESOURCE, sources_volumes.Volumes(), ask) == PAGE_MAX + 5


class Numbers(sources.PagedSource):
    """So many files."""

    def __init__(self, number: int) -> None:
        self._number = number

    async def item(self, ask: Ask) -> sources.Item:
        raise NotImplementedError

    async def walk(self, ask: Ask, after: str) -> AsyncIterator[tuple[str, sources.Item]]:
        del ask, after
        for number in range(self._number):
            yield str(number), sources.Item(number, partial(dict, name="f", size=-number))


async def test_what_is_too_much_to_hold_is_not_put_in_order(tmp_path: Path) -> None:
    resource = load_schema()["file"]
    async with core_on(tmp_path, [memory_pool()]) as core:

        async def page(number: int, query: str) -> list[int]:
            ask = Ask(
                core=core,
                verb=Verb.GET,
                path="/api/storage/volumes/x/files",
                raw_query=query,
                keys=(),
                parameters=parse_query(resource, Verb.GET, query),
            )
            found = await reading.read_page(resource, Numbers(number), ask)
            return [item.record for item in found.items]

        most = reading.SORTED_MAX
        assert await page(9, "order_by=size&max_records=2") == [8, 7]
        assert await page(most + 9, "max_records=2") == [0, 1]
        assert await page(most + 9, "order_by=size&size=>-2") == [1, 0]
        with pytest.raises(WireError) as refused:
            await page(most + 1, "order_by=size&max_records=2")
        assert (refused.value.code, refused.value.target) == ("262268", "order_by")


async def test_a_list_begins_nowhere_before_its_first_record(tmp_path: Path) -> None:
    resource = load_schema()["node"]
    async with core_on(tmp_path, [memory_pool()]) as core:
        site = await sources.Site.of(core, name="g", addresses=())
        ask = Ask(
            core=core,
            verb=Verb.GET,
            path="/api/cluster/nodes",
            raw_query="start.uuid=-1",
            keys=(),
            parameters=parse_query(resource, Verb.GET, "start.uuid=-1"),
        )
        with pytest.raises(WireError):
            await reading.read_page(resource, sources.Nodes(site), ask)
