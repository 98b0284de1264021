"""Who is kept out, and who is told to come later."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from security_scene import GOOD, ROOT, UNKNOWN, file_account, security_scene

from gateway.core.errors import Busy, Unauthenticated
from gateway.server.auth import Accounts
from gateway.server.failures import Failures
from gateway.server.pace import Pace

NEAR, FAR, OTHER = "192.0.2.1", "192.0.2.66", "192.0.2.67"


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def basic(name: str, password: str) -> str:
    return f"Basic {base64.b64encode(f'{name}:{password}'.encode()).decode()}"


RIGHT = basic(*ROOT)


class Told:
    """Keeps what an operator is told."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, str | int]]] = []

    def event(self, name: str, **fields: str | int) -> None:
        self.events.append((name, fields))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
async def accounts(tmp_path: Path, clock: Clock, told: Told) -> AsyncIterator[Accounts]:
    path = tmp_path / "accounts.toml"
    path.write_text(file_account("root", "admin"))
    failures = Failures(3, 60, clock=clock)
    accounts = Accounts.load(path, failures=failures, observer=told)  # type: ignore[arg-type] # it is told events only
    yield accounts
    accounts.close()


async def enters(accounts: Accounts, header: str, peer: str) -> bool:
    try:
        await accounts.authenticate(header, peer=peer)
    except Unauthenticated:
        return False
    return True


async def fail(accounts: Accounts, peer: str, *, times: int = 3, name: str = "root", first: int = 0) -> None:
    for number in range(first, first + times):
        assert not await enters(accounts, basic(name, f"guess{number}"), peer)


async def test_an_account_is_closed_for_a_time(accounts: Accounts, clock: Clock, told: Told) -> None:
    await fail(accounts, FAR)
    assert accounts.barred("root")
    for peer in (FAR, OTHER):
        with pytest.raises(Unauthenticated) as caught:
            await accounts.authenticate(RIGHT, peer=peer)
        assert caught.value.reason == "credentials"  # whoever is kept out is told no more than others
    assert told.events == [("account_kept_out", {"account": "root", "peer": FAR})]
    clock.now += 59
    assert not await enters(accounts, RIGHT, FAR)
    clock.now += 1
    assert await enters(accounts, RIGHT, FAR)
    assert not accounts.barred("root")


async def test_who_was_let_in_before_stays_in(accounts: Accounts) -> None:
    """Nobody locks the others out by guessing; but their address gives a guesser no more attempts."""
    assert await enters(accounts, RIGHT, NEAR)
    await fail(accounts, FAR)
    assert await enters(accounts, RIGHT, NEAR)
    assert not await enters(accounts, RIGHT, FAR)
    assert not await enters(accounts, RIGHT, OTHER)


async def test_where_somebody_guesses_the_right_password_is_refused_too(accounts: Accounts) -> None:
    assert await enters(accounts, RIGHT, NEAR)
    await fail(accounts, NEAR)
    assert not await enters(accounts, RIGHT, NEAR)


async def test_the_last_attempt_may_be_right_and_begins_anew(accounts: Accounts) -> None:
    await fail(accounts, FAR, times=2)
    assert await enters(accounts, RIGHT, FAR)
    await fail(accounts, FAR, times=2, first=2)
    assert not accounts.barred("root")


async def test_the_same_wrong_password_counts_once(accounts: Accounts) -> None:
    for _ in range(10):
        assert not await enters(accounts, basic("root", "stale"), FAR)
    assert await enters(accounts, RIGHT, OTHER)


async def test_many_attempts_at_once_are_no_more(accounts: Accounts) -> None:
    guesses = [enters(accounts, basic("root", f"guess{n}"), f"192.0.2.{n}") for n in range(3)]
    assert not any(await asyncio.gather(*guesses, return_exceptions=False))
    assert not await enters(accounts, RIGHT, NEAR)


async def test_accounts_that_there_are_not_are_closed_alike(accounts: Accounts, told: Told) -> None:
    await fail(accounts, FAR, name="my-password-by-mistake")
    assert accounts.barred("my-password-by-mistake")
    assert told.events == []
    assert await enters(accounts, RIGHT, FAR)


async def test_an_administrator_lets_an_account_in_again(tmp_path: Path) -> None:
    async with security_scene(tmp_path, failures=Failures(3, 3600)) as it:
        alice = await it.account("alice")
        for number in range(3):
            assert await it.ask(("alice", f"guess-{number}"), "GET", "/api/cluster") == UNKNOWN
        assert await it.ask(alice, "GET", "/api/cluster") == UNKNOWN
        record = (await it.get("/api/security/accounts?name=alice&fields=locked"))["records"][0]
        assert record["locked"] is True
        assert await it.ask(ROOT, "PATCH", record["_links"]["self"]["href"], {"locked": False}) == (200, "")
        assert await it.ask(alice, "GET", "/api/cluster") == UNKNOWN  # the address is not forgiven
        assert (await it.get("/api/security/accounts?name=alice&fields=locked"))["records"][0]["locked"] is False
        for number in range(3):
            assert await it.ask(("eve", f"guess-{number}"), "GET", "/api/cluster") == UNKNOWN
        record = (await it.get("/api/security/accounts?name=eve&fields=locked"))["records"][0]
        assert record["locked"] is True
        assert await it.ask(ROOT, "PATCH", record["_links"]["self"]["href"], {"locked": False}) == (200, "")


def test_what_is_kept_is_bounded(clock: Clock) -> None:
    failures = Failures(2, 60, clock=clock)
    for number in range(40_000):
        failures.attempt(f"name{number}", FAR)
    assert len(failures._counts) == 65_536
    clock.now += 61
    failures.attempt("one more", FAR)
    assert len(failures._counts) < 65_536 - 1000


def test_nobody_is_kept_out_without_a_limit() -> None:
    failures = Failures()
    for _ in range(100):
        assert not failures.attempt("root", FAR)
    assert not failures.barred("root")


# --- how often ---


def test_a_caller_has_some_requests_at_once_and_more_with_time(clock: Clock) -> None:
    pace = Pace(2.0, 3, clock=clock)
    for _ in range(3):
        pace.admit("alice")
    with pytest.raises(Busy) as caught:
        pace.admit("alice")
    assert (caught.value.what, caught.value.retry_after) == ("requests", 1)
    pace.admit("bob")
    clock.now += 0.5
    pace.admit("alice")
    with pytest.raises(Busy):
        pace.admit("alice")
    clock.now += 100
    for _ in range(3):
        pace.admit("alice")
    with pytest.raises(Busy):
        pace.admit("alice")


async def test_who_asks_too_often_is_told_when_to_come_again(tmp_path: Path, clock: Clock) -> None:
    async with security_scene(tmp_path, pace=Pace(0.25, 2, clock=clock)) as it:
        for _ in range(2):
            assert (await it.ask(ROOT, "GET", "/api/cluster"))[0] == 200
        answer = await it.call(ROOT, "GET", "/api/cluster")
        assert (answer.status_code, answer.headers["Retry-After"]) == (429, "4")
        assert answer.json()["error"]["code"] == "262160"
        assert (await it.ask(("eve", ROOT[1]), "GET", "/api/cluster"))[0] == 200
        clock.now += 4
        assert (await it.ask(ROOT, "GET", "/api/cluster"))[0] == 200


async def test_wrong_passwords_cost_nobodys_requests(tmp_path: Path, clock: Clock) -> None:
    async with security_scene(tmp_path, pace=Pace(0.25, 1, clock=clock)) as it:
        for _ in range(5):
            assert await it.ask((ROOT[0], GOOD), "GET", "/api/cluster") == UNKNOWN
        assert (await it.ask(ROOT, "GET", "/api/cluster"))[0] == 200
