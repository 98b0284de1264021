"""The memory of tenants, pools and policies is as fresh as the last `renew`, whoever writes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import msgspec
import pytest

from gateway.catalog import SqliteCatalog, drop, put
from gateway.core.known import Known
from gateway.core.model import Pool, Tenant
from gateway.testing.records import pool, stored, tenant


@pytest.fixture
async def catalogs(tmp_path: Path) -> AsyncIterator[tuple[SqliteCatalog, SqliteCatalog]]:
    """Give two catalogs on one file, as two processes have them."""
    one, two = SqliteCatalog(tmp_path / "catalog.sqlite"), SqliteCatalog(tmp_path / "catalog.sqlite")
    await one.open()
    await two.open()
    yield one, two
    await two.close()
    await one.close()


async def test_what_another_process_writes_is_seen_after_renewing(
    catalogs: tuple[SqliteCatalog, SqliteCatalog],
) -> None:
    here, there = catalogs
    known = Known(here)
    (made,) = await stored(there, tenant("before"))
    before = await known.renew()
    assert await known.get_many(Tenant, {made.id}) == {made.id: made}
    renamed = (await there.commit(put(msgspec.structs.replace(made, name="after"))))[made.id]
    assert await known.get_many(Tenant, {made.id}) == {made.id: made}
    assert await known.renew() > before
    assert await known.get_many(Tenant, {made.id}) == {made.id: renamed}
    await there.commit(drop(renamed))
    await known.renew()
    assert await known.get_many(Tenant, {made.id}) == {}


async def test_only_what_is_missing_is_read(catalogs: tuple[SqliteCatalog, SqliteCatalog]) -> None:
    here, there = catalogs
    known = Known(here)
    one, two = await stored(here, pool("one"), pool("two"))
    await known.renew()
    await known.get_many(Pool, [one.id])
    await there.commit(put(msgspec.structs.replace(one, used=1)))
    found = await known.get_many(Pool, [one.id, two.id, uuid4()])
    assert found == {one.id: one, two.id: two}


async def test_an_id_of_another_kind_is_not_found(catalogs: tuple[SqliteCatalog, SqliteCatalog]) -> None:
    here, _ = catalogs
    known = Known(here)
    (made,) = await stored(here, tenant("t"))
    await known.renew()
    await known.get_many(Tenant, [made.id])
    assert await known.get_many(Pool, [made.id]) == {}


async def test_a_name_is_looked_up_once_while_nothing_changes(
    catalogs: tuple[SqliteCatalog, SqliteCatalog],
) -> None:
    here, there = catalogs
    known = Known(here)
    (made,) = await stored(there, tenant("before"))
    await known.renew()
    assert await known.named(Tenant, "before") == made
    assert await known.named(Tenant, "after") is None
    assert await known.named(Pool, "before") is None
    renamed = (await there.commit(put(msgspec.structs.replace(made, name="after"))))[made.id]
    assert await known.named(Tenant, "before") == made
    await known.renew()
    assert await known.named(Tenant, "before") is None
    assert await known.named(Tenant, "after") == renamed


async def test_whether_there_are_any_is_remembered_until_something_changes(
    catalogs: tuple[SqliteCatalog, SqliteCatalog],
) -> None:
    here, there = catalogs
    known = Known(here)
    await known.renew()
    assert not await known.any(Tenant)
    (made,) = await stored(there, tenant("t"))
    assert not await known.any(Tenant)
    await known.renew()
    assert await known.any(Tenant)
    await there.commit(drop(made))
    await known.renew()
    assert not await known.any(Tenant)
