"""Addresses at which a door must not be opened as it is configured."""

from __future__ import annotations

import pytest

from gateway.config import Address, ConfigError
from gateway.server.reach import Reach


def reach(*, tls: bool = False, anonymous: bool = False, secured: bool = False) -> Reach:
    return Reach(door="some", tls=tls, anonymous=anonymous, secured=secured, how="nobody asks")


@pytest.mark.parametrize("text", ["127.0.0.1:1", "[::1]:1", "localhost:1", "127.9.9.9:0"])
def test_this_machine_may_come_in_as_it_is(text: str) -> None:
    assert reach().address("listen", text) == Address.parse(text)


def test_others_prove_who_they_are_and_are_not_overheard() -> None:
    assert reach(tls=True, secured=True).address("listen", "0.0.0.0:1") == Address("0.0.0.0", 1)
    assert reach(tls=True, anonymous=True).address("listen", "[::]:1") == Address("::", 1)


@pytest.mark.parametrize(
    ("decided", "text", "why"),
    [
        (reach(tls=True), "0.0.0.0:1", "but nobody asks, listen on 127.0.0.1, or set anonymous = true"),
        (reach(secured=True), "0.0.0.0:1", "but tls is off: set tls = true or listen on 127.0.0.1"),
        (reach(anonymous=True), "host:1", "but tls is off"),
        (reach(tls=True, secured=True), "1.2.3.4", "is not HOST:PORT"),
    ],
)
def test_what_is_refused_says_what_would_do(decided: Reach, text: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why) as caught:
        decided.address("older", text)
    assert "frontend.some.older" in str(caught.value)
