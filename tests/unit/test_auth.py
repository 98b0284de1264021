from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.config import ConfigError
from gateway.core.errors import Busy, Unauthenticated
from gateway.core.principal import Principal
from gateway.server.accounts_file import read_accounts
from gateway.server.auth import Accounts
from gateway.server.passwords import PasswordHash, hash_password

CHEAP = {"n": 16, "r": 1, "p": 1}


def account(name: str, password: str, role: str = "admin", **cost: int) -> str:
    return f'[account."{name}"]\npassword = "{hash_password(password, **(cost or CHEAP))}"\nrole = "{role}"\n'


def basic(name: str, password: str, *, encoding: str = "utf-8", scheme: str = "Basic") -> str:
    return f"{scheme} {base64.b64encode(f'{name}:{password}'.encode(encoding)).decode()}"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "accounts.toml"
    path.write_text(account("admin", "secret") + account("läser", "pässwörd ☃", "readonly"), encoding="utf-8")
    return path


@pytest.fixture
async def accounts(path: Path) -> AsyncIterator[Accounts]:
    accounts = Accounts.load(path)
    yield accounts
    accounts.close()


async def refused(accounts: Accounts, header: str | None) -> str:
    with pytest.raises(Unauthenticated) as caught:
        await accounts.authenticate(header)
    return str(caught.value.reason)


async def test_right_passwords_are_admitted_and_remembered(accounts: Accounts) -> None:
    header = basic("admin", "secret")
    assert not accounts.remembers(header)
    assert await accounts.authenticate(header) == Principal(name="admin", roles=("system.admin",), groups=("*",))
    assert accounts.remembers(header)
    assert await accounts.authenticate(header) == Principal(name="admin", roles=("system.admin",), groups=("*",))


async def test_utf8_credentials(accounts: Accounts) -> None:
    header = basic("läser", "pässwörd ☃")
    assert await accounts.authenticate(header) == Principal(name="läser", roles=("system.view",), groups=("*",))


async def test_latin1_credentials_as_python_requests_sends_them(path: Path) -> None:
    path.write_text(account("läser", "pässwörd"), encoding="utf-8")
    accounts = Accounts.load(path)
    try:
        assert (await accounts.authenticate(basic("läser", "pässwörd", encoding="latin-1"))).name == "läser"
    finally:
        accounts.close()


async def test_a_password_may_hold_colons(path: Path) -> None:
    path.write_text(account("a", "x:y:"))
    accounts = Accounts.load(path)
    try:
        assert (await accounts.authenticate(basic("a", "x:y:", scheme="bAsIc"))).name == "a"
    finally:
        accounts.close()


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (None, "missing"),
        ("", "scheme"),
        ("Basic", "malformed"),
        ("Basic ", "malformed"),
        ("Basic !!!!", "malformed"),
        ("Basic YWRtaW4", "malformed"),
        ("Basic YWRtaW4=", "malformed"),
        ("Basic \u2603", "malformed"),
        ("Basic \udcff", "malformed"),
        ("Bearer abc", "scheme"),
        (basic("admin", "wrong"), "credentials"),
        (basic("admin", "secret "), "credentials"),
        (basic("admin", ""), "credentials"),
        (basic("Admin", "secret"), "credentials"),
        (basic("nobody", "secret"), "credentials"),
        (basic("", ""), "credentials"),
        (basic("admin\0", "secret"), "credentials"),
        (basic("admin", "secret\0"), "credentials"),
        (basic("admin", "x" * 100_000), "credentials"),
    ],
)
async def test_what_is_refused(accounts: Accounts, header: str | None, reason: str) -> None:
    assert await refused(accounts, header) == reason
    assert await refused(accounts, header) == reason


async def test_an_error_does_not_show_the_password(accounts: Accounts) -> None:
    with pytest.raises(Unauthenticated) as caught:
        await accounts.authenticate(basic("admin", "hunter2"))
    assert "hunter2" not in str(caught.value) + repr(caught.value) + repr(vars(accounts))
    assert base64.b64encode(b"admin:hunter2").decode() not in repr(vars(accounts))


async def test_a_reload_forgets(accounts: Accounts, path: Path) -> None:
    header = basic("admin", "secret")
    wrong = basic("admin", "changed")
    await accounts.authenticate(header)
    assert await refused(accounts, wrong) == "credentials"
    path.write_text(account("admin", "changed", "readonly"))
    accounts.reload()
    assert not accounts.remembers(header)
    assert await refused(accounts, header) == "credentials"
    assert (await accounts.authenticate(wrong)).roles == ("system.view",)


async def test_a_check_that_a_reload_overtakes_is_not_remembered(accounts: Accounts, path: Path) -> None:
    header = basic("admin", "secret")
    check = asyncio.ensure_future(accounts.authenticate(header))
    await asyncio.sleep(0)
    path.write_text(account("admin", "changed"))
    accounts.reload()
    await check
    assert not accounts.remembers(header)
    assert await refused(accounts, header) == "credentials"


async def test_a_failed_reload_keeps_the_accounts(accounts: Accounts, path: Path) -> None:
    header = basic("admin", "secret")
    await accounts.authenticate(header)
    path.write_text("rubbish")
    with pytest.raises(ConfigError):
        accounts.reload()
    assert accounts.remembers(header)


async def test_equal_headers_share_one_check(accounts: Accounts) -> None:
    header = basic("admin", "secret")
    who = await asyncio.gather(*(accounts.authenticate(header, peer="192.0.2.1") for _ in range(200)))
    assert {principal.name for principal in who} == {"admin"}


async def test_a_flood_from_one_peer_is_bounded_and_harms_no_other(accounts: Accounts) -> None:
    flood = [
        asyncio.ensure_future(accounts.authenticate(basic("admin", f"guess{n}"), peer="192.0.2.66")) for n in range(100)
    ]
    await asyncio.sleep(0)
    principal = await accounts.authenticate(basic("admin", "secret"), peer="192.0.2.1")
    assert principal.name == "admin"
    outcomes = await asyncio.gather(*flood, return_exceptions=True)
    assert sum(isinstance(outcome, Unauthenticated) for outcome in outcomes) == 8
    assert sum(isinstance(outcome, Busy) for outcome in outcomes) == 92
    assert await accounts.authenticate(basic("läser", "pässwörd ☃"), peer="192.0.2.66")


async def test_a_flood_from_many_peers_is_bounded(accounts: Accounts) -> None:
    guesses = (accounts.authenticate(basic("admin", f"g{n}"), peer=f"192.0.2.{n}") for n in range(200))
    outcomes = await asyncio.gather(*guesses, return_exceptions=True)
    assert sum(isinstance(outcome, Unauthenticated) for outcome in outcomes) == 64
    assert sum(isinstance(outcome, Busy) for outcome in outcomes) == 136


async def test_guessing_drives_nobody_out_of_memory(accounts: Accounts) -> None:
    header = basic("admin", "secret")
    await accounts.authenticate(header)
    for n in range(1200):
        await refused(accounts, basic("admin", f"guess{n}"))
    assert accounts.remembers(header)
    assert len(accounts._wrong) == 1024


async def test_a_caller_that_leaves_does_not_end_the_check_of_others(accounts: Accounts) -> None:
    header = basic("admin", "secret")
    leaving = asyncio.ensure_future(accounts.authenticate(header))
    staying = asyncio.ensure_future(accounts.authenticate(header))
    await asyncio.sleep(0)
    leaving.cancel()
    assert (await staying).name == "admin"
    with pytest.raises(asyncio.CancelledError):
        await leaving


async def test_unknown_accounts_cost_as_much_as_the_dearest_known_one(path: Path) -> None:
    path.write_text(account("a", "x", n=16, r=1, p=1) + account("b", "x", n=64, r=2, p=1))
    accounts = Accounts.load(path)
    try:
        assert accounts._nobody.cost == 64 * 2
    finally:
        accounts.close()


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "missing required field `account`"),
        ("[account]\n", "nobody could log in"),
        ("[acount.x]\n", "unknown field `acount`"),
        ('[account.x]\nrole = "admin"\n', "missing required field `password`"),
        (f'[account.x]\npassword = "{hash_password("y", **CHEAP)}"\n', "missing required field `role`"),
        ('[account.x]\npassword = "plain"\nrole = "admin"\n', "scrypt$n$r$p$salt$hash"),
        ('[account.x]\npassword = "scrypt$16$1$1$AA==$AAAA"\nrole = "admin"\n', "wrong length"),
        (account("x", "y", "root"), "root"),
        (account("x", "y") + "expires = 1\n", "unknown field `expires`"),
        (account("x:y", "y"), "no colon"),
        (account("", "y"), "not empty"),
        ("[account.x]\npassword = 5\n", "Expected `str`"),
        ("[[[", "not TOML"),
    ],
)
def test_an_accounts_file_that_cannot_be_used(tmp_path: Path, text: str, word: str) -> None:
    path = tmp_path / "accounts.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        Accounts.load(path)
    assert word in str(caught.value)
    assert str(path) in str(caught.value)


def test_an_accounts_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        read_accounts(tmp_path / "none")
    (tmp_path / "latin").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="UTF-8"):
        read_accounts(tmp_path / "latin")


GOOD = str(hash_password("x", **CHEAP)).split("$")


@pytest.mark.parametrize(
    "parts",
    [
        ["bcrypt", *GOOD[1:]],
        GOOD[:5],
        [*GOOD, ""],
        ["scrypt", "x", *GOOD[2:]],
        ["scrypt", "0", *GOOD[2:]],
        ["scrypt", "-16", *GOOD[2:]],
        ["scrypt", "17", *GOOD[2:]],
        ["scrypt", "1", *GOOD[2:]],
        ["scrypt", "16", "0", *GOOD[3:]],
        ["scrypt", "16", "1", "0", *GOOD[4:]],
        ["scrypt", str(1 << 40), *GOOD[2:]],
        ["scrypt", "16384", "8", "1000000", *GOOD[4:]],
        [*GOOD[:4], "", GOOD[5]],
        [*GOOD[:4], "!", GOOD[5]],
        [*GOOD[:5], "AAAA"],
        ["9" * 5000, *GOOD[1:]],
        ["scrypt", "9" * 5000, *GOOD[2:]],
    ],
)
def test_a_hash_that_is_none(parts: list[str]) -> None:
    with pytest.raises(ValueError):
        PasswordHash.parse("$".join(parts))


def test_hashes_are_salted_and_read_back() -> None:
    one, two = (hash_password("pä", **CHEAP) for _ in range(2))
    assert one != two
    assert PasswordHash.parse(str(one)) == one
    assert one.matches("pä".encode())
    assert not one.matches(b"pa")


@pytest.mark.parametrize("password", ["", "a\0", "x" * 1025, "ä" * 513, "\ud800"])
def test_passwords_that_cannot_be_hashed(password: str) -> None:
    with pytest.raises(ValueError):
        hash_password(password, **CHEAP)


def test_a_user_has_its_groups_and_the_others_have_every_one(path: Path) -> None:
    path.write_text(f'{account("u", "x", "user")}groups = ["staff", "dev"]\n{account("r", "x", "readonly")}')
    known = read_accounts(path)
    assert known["u"].principal == Principal(name="u", roles=("system.user",), groups=("staff", "dev"))
    assert not known["u"].principal.administrator
    assert known["r"].principal == Principal(name="r", roles=("system.view",), groups=("*",))


@pytest.mark.parametrize(("role", "groups"), [("admin", '["a"]'), ("readonly", '["a"]'), ("user", '["*"]')])
def test_groups_that_an_account_cannot_have(path: Path, role: str, groups: str) -> None:
    path.write_text(f"{account('u', 'x', role)}groups = {groups}\n")
    with pytest.raises(ConfigError, match="group"):
        read_accounts(path)
