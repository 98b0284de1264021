"""Credentials as the core keeps them: where their keys are, and what becomes of those."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from gateway.core import credentials, errors
from gateway.core.context import Core
from gateway.core.credentials import Account, secret_key
from gateway.core.observer import SilentObserver
from gateway.core.rebuild import rebuild
from gateway.core.secret import AccessKeys, Secret
from gateway.testing.cores import core_on, memory_pool

ACCOUNT = Account(endpoint="store.example:9000", region="here", access_key="AKEY")
FIRST, SECOND = Secret("the-first-secret"), Secret("the-second-secret")


class Stores:
    """Stores that take everybody until they have a reason not to."""

    def __init__(self) -> None:
        self.error: errors.GatewayError | None = None
        self.asked: list[tuple[str, AccessKeys | None]] = []

    async def check(self, account: Account, keys: AccessKeys | None) -> None:
        self.asked.append((account.url, keys))
        if self.error is not None:
            raise self.error


@pytest.fixture
def stores() -> Stores:
    return Stores()


@pytest.fixture
async def core(tmp_path: Path, stores: Stores) -> AsyncIterator[Core]:
    async with core_on(tmp_path, [memory_pool()]) as core:
        yield msgspec.structs.replace(core, stores=stores)


async def manifest(core: Core) -> bytes:
    (pool,) = core.pools
    return await pool.backend.manifest() or b""


async def kept(core: Core, credential: credentials.Credential) -> str | None:
    assert credential.secret_id is not None
    return await core.catalog.setting(secret_key(credential.secret_id))


async def test_a_key_is_not_in_the_pools_manifest_and_goes_with_its_credential(core: Core, stores: Stores) -> None:
    made = await credentials.create(core, "c", ACCOUNT, secret=FIRST)
    assert stores.asked == [("https://store.example:9000", AccessKeys("AKEY", FIRST))]
    assert await kept(core, made) == FIRST.reveal()
    assert str(made.id).encode() in await manifest(core)
    assert FIRST.reveal().encode() not in await manifest(core)
    await credentials.delete(core, made)
    assert not await kept(core, made)
    assert str(made.id).encode() not in await manifest(core)


async def test_another_key_takes_the_place_of_the_first(core: Core) -> None:
    made = await credentials.create(core, "c", ACCOUNT, secret=FIRST)
    await credentials.update(core, made, name="c", account=ACCOUNT, secret=SECOND)
    changed = await credentials.get(core, str(made.id))
    assert not await kept(core, made)
    assert await credentials.keys_of(core, changed) == AccessKeys("AKEY", SECOND)


async def test_the_machines_own_account_needs_no_key_any_more(core: Core, stores: Stores) -> None:
    made = await credentials.create(core, "c", ACCOUNT, secret=FIRST)
    machine = msgspec.structs.replace(ACCOUNT, access_key="", machine=True)
    await credentials.update(core, made, name="c", account=machine)
    assert stores.asked[-1] == ("https://store.example:9000", None)
    assert not await kept(core, made)
    assert await credentials.keys_of(core, await credentials.get(core, "c")) is None


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (errors.Unavailable(what="store", reason="the store refuses the keys"), "the store refuses the keys"),
        (errors.Timeout(what="store"), "it does not answer in time"),
        (errors.Busy(what="store"), "it is busy"),
    ],
)
async def test_what_a_store_does_not_take_leaves_nothing(
    core: Core, stores: Stores, error: errors.GatewayError, reason: str
) -> None:
    made = await credentials.create(core, "c", ACCOUNT, secret=FIRST)
    stores.error = error
    with pytest.raises(errors.PermissionDenied) as caught:
        await credentials.create(core, "d", ACCOUNT, secret=SECOND)
    assert str(caught.value.action).endswith(reason)
    with pytest.raises(errors.PermissionDenied):
        await credentials.update(core, made, name="e", account=ACCOUNT, secret=SECOND)
    assert await credentials.readable(core) == [made]
    assert await kept(core, made) == FIRST.reveal()
    assert await credentials.refusal(core, made) == reason


async def test_a_rebuilt_catalog_has_credentials_without_keys(tmp_path: Path, core: Core, stores: Stores) -> None:
    made = await credentials.create(core, "c", ACCOUNT, secret=FIRST)
    (pool,) = core.pools.configured.values()
    (tmp_path / "new").mkdir()
    async with core_on(tmp_path / "new", [pool], tenants=()) as empty:
        await rebuild(empty, SilentObserver())
        core = msgspec.structs.replace(empty, stores=stores)
        assert await credentials.readable(core) == [made]
        assert "secret key" in await credentials.refusal(core, made)
        with pytest.raises(errors.Unavailable):
            await credentials.keys_of(core, made)
        with pytest.raises(errors.InvalidArgument):
            await credentials.update(core, made, name="d", account=ACCOUNT)
        await credentials.update(core, made, name="c", account=ACCOUNT, secret=FIRST)
        assert await credentials.refusal(core, await credentials.get(core, "c")) == ""


async def test_a_gateway_that_reaches_no_stores_keeps_no_credentials(core: Core) -> None:
    alone = msgspec.structs.replace(core, stores=None)
    with pytest.raises(errors.Unsupported):
        await credentials.create(alone, "c", ACCOUNT, secret=FIRST)
    assert await credentials.readable(alone) == []


@pytest.mark.parametrize(
    "change",
    [
        {"region": "a b"},
        {"bucket": "b\n"},
        {"access_key": "\u00e4"},
        {"access_key": "x" * 2000},
        {"endpoint": ""},
        {"endpoint": "gopher://store"},
        {"endpoint": "store:port"},
        {"machine": True},
    ],
)
async def test_what_no_store_could_be_told_is_invalid(core: Core, stores: Stores, change: dict[str, str]) -> None:
    with pytest.raises(errors.InvalidArgument):
        await credentials.create(core, "c", msgspec.structs.replace(ACCOUNT, **change), secret=FIRST)
    assert stores.asked == []
