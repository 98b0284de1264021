"""Accounts as the core keeps them, and how they are checked."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from security_scene import file_account

from gateway.core import accounts, errors
from gateway.core.accounts import Account, Method
from gateway.core.context import Core
from gateway.core.observer import SilentObserver
from gateway.core.principal import EVERY, Principal
from gateway.core.rebuild import rebuild
from gateway.core.secret import Secret
from gateway.server.auth import Accounts
from gateway.server.passwords import PasswordHash, hash_password
from gateway.testing.cores import core_on, memory_pool

HASH = str(hash_password("horse-battery-1", n=16, r=1, p=1))
ALICE = Account(name="alice", role="admin")


@pytest.fixture
async def core(tmp_path: Path) -> AsyncIterator[Core]:
    async with core_on(tmp_path, [memory_pool()]) as made:
        yield made


def server(folder: Path, core: Core) -> Accounts:
    path = folder / "accounts.toml"
    path.write_text(file_account("root", "admin"))
    found = Accounts.load(path)
    found.consult(core)
    return found


def basic(name: str, password: str) -> str:
    return f"Basic {base64.b64encode(f'{name}:{password}'.encode()).decode()}"


async def kept(core: Core, name: str) -> accounts.Kept | None:
    await core.known.renew()
    return await accounts.named(core, name)


async def test_a_rebuilt_catalog_has_accounts_that_let_nobody_in_until_they_get_a_password(tmp_path: Path) -> None:
    pool = memory_pool()
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    async with core_on(tmp_path / "a", [pool]) as core:
        await accounts.create(core, ALICE, HASH)
    async with core_on(tmp_path / "b", [pool], tenants=()) as core:
        await rebuild(core, SilentObserver())
        there = await kept(core, "alice")
        assert there is not None
        assert (there.account, there.password_hash) == (ALICE, "")
        local = server(tmp_path, core)
        try:
            with pytest.raises(errors.Unauthenticated):
                await local.authenticate(basic("alice", "horse-battery-1"))
            await accounts.update(core, there, ALICE, HASH)
            assert await local.authenticate(basic("alice", "horse-battery-1")) == Principal(
                name="alice", roles=("system.admin",), groups=(EVERY,)
            )
        finally:
            local.close()


async def test_a_change_of_what_has_changed_is_refused_and_changes_no_password(core: Core) -> None:
    await accounts.create(core, ALICE, HASH)
    before = await kept(core, "alice")
    assert before is not None
    await accounts.update(core, before, Account(name="alice", role="readonly"))
    with pytest.raises(errors.StaleRevision):
        await accounts.update(core, before, ALICE, "another")
    with pytest.raises(errors.StaleRevision):
        await accounts.delete(core, before)
    after = await kept(core, "alice")
    assert after is not None
    assert (after.account.role, after.password_hash) == ("readonly", HASH)
    with pytest.raises(errors.AlreadyExists):
        await accounts.create(core, ALICE, "another")


@pytest.mark.parametrize("name", ["", "a/b", "a:b", "a\nb", "x" * 256])
async def test_names_that_no_account_has(core: Core, name: str) -> None:
    with pytest.raises(errors.InvalidArgument):
        await accounts.create(core, Account(name=name, role="admin"), HASH)


async def test_what_nobody_is_called_costs_as_much_as_an_account(tmp_path: Path, core: Core) -> None:
    local = server(tmp_path, core)
    try:
        made = PasswordHash.parse(await local.hashed(Secret("horse-battery-1")))
        assert local._nobody.cost == made.cost
        local.reload()
        assert local._nobody.cost == made.cost
        with pytest.raises(errors.InvalidArgument):
            await local.hashed(Secret("a\0"))
        assert await local.matches(Secret("horse-battery-1"), str(made))
        assert not await local.matches(Secret("a\0"), str(made))
    finally:
        local.close()


async def test_one_gateway_sees_at_once_what_another_one_changes(tmp_path: Path, core: Core) -> None:
    """Two processes share a catalog; what was remembered as right or wrong is asked again when it changed."""
    local, header = server(tmp_path, core), basic("alice", "horse-battery-1")
    try:
        for _ in range(2):
            with pytest.raises(errors.Unauthenticated):
                await local.authenticate(header)
        async with core_on(tmp_path, [], tenants=()) as other:
            await accounts.create(other, ALICE, HASH)
            for _ in range(2):
                assert (await local.authenticate(header)).name == "alice"
            present = await kept(other, "alice")
            assert present is not None
            await accounts.update(other, present, Account(name="alice", role="admin", locked=True))
            for _ in range(2):
                with pytest.raises(errors.Unauthenticated):
                    await local.authenticate(header)
            present = await kept(other, "alice")
            assert present is not None
            await accounts.update(other, present, Account(name="alice", role="admin", methods=(Method.CERTIFICATE,)))
            with pytest.raises(errors.Unauthenticated):
                await local.authenticate(header)
            assert (await local.authenticate(None, certificate="alice")).name == "alice"
    finally:
        local.close()


async def test_the_file_decides_for_names_that_it_has(tmp_path: Path, core: Core) -> None:
    await accounts.create(core, Account(name="root", role="admin", methods=(Method.CERTIFICATE, Method.PASSWORD)), HASH)
    local = server(tmp_path, core)
    try:
        with pytest.raises(errors.Unauthenticated):
            await local.authenticate(basic("root", "horse-battery-1"))
        with pytest.raises(errors.Unauthenticated):
            await local.authenticate(None, certificate="root")
        assert (await local.authenticate(basic("root", "operator-1"))).name == "root"
    finally:
        local.close()
