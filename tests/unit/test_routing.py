"""Routes that every door's table is looked up in."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from gateway.frontends.routing import Found, Router, Wrong, segments


class Route(NamedTuple):
    verb: str
    template: str
    needs: str = ""


TABLE = (
    Route("GET", "/"),
    Route("GET", "/things/new"),
    Route("GET", "/things/{id}"),
    Route("PUT", "/things/{id}"),
    Route("POST", "/things/{id}", "loudly"),
    Route("POST", "/things/{id}"),
    Route("GET", "/things/{id}/parts/{part}"),
)
ROUTER = Router(TABLE)


@pytest.mark.parametrize(
    ("verb", "path", "route", "keys"),
    [
        ("GET", "/", 0, {}),
        ("GET", "/things/new", 1, {}),
        ("GET", "/things/old", 2, {"id": "old"}),
        ("PUT", "/things/new", 3, {"id": "new"}),
        ("GET", "/things/a%2Fb/parts/%20", 6, {"id": "a/b", "part": " "}),
        ("GET", "/things/a%252Fb", 2, {"id": "a%2Fb"}),
    ],
)
def test_the_first_that_fits_has_it(verb: str, path: str, route: int, keys: dict[str, str]) -> None:
    assert ROUTER.find(verb, segments(path)) == Found(TABLE[route], keys)


@pytest.mark.parametrize(
    "path", ["/things", "/things/", "/things/a/parts/", "/thing/a", "/things/a/parts/b/c", "/x", "//"]
)
def test_what_fits_none_is_nowhere(path: str) -> None:
    assert ROUTER.find("GET", segments(path)) is None


def test_another_verb_is_told_from_another_path() -> None:
    assert ROUTER.find("DELETE", segments("/things/a")) == Wrong("/things/{id}", ("GET", "PUT", "POST"))
    assert ROUTER.find("POST", segments("/")) == Wrong("/", ("GET",))


def test_a_table_may_ask_for_more() -> None:
    def found(word: str) -> object:
        return ROUTER.find("POST", ("things", "a"), fits=lambda route: route.needs in {"", word})

    assert (found("loudly"), found("softly")) == (Found(TABLE[4], {"id": "a"}), Found(TABLE[5], {"id": "a"}))
    assert ROUTER.find("POST", ("things", "a"), fits=lambda _route: False) is None


def test_no_path_begins_with_a_key() -> None:
    with pytest.raises(ValueError, match=r"/\{tenant\}/volumes begins with a key"):
        Router([Route("GET", "/{tenant}/volumes")])
