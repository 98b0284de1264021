"""Tokens that an issuer is asked about, and keys of a file."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec
from token_scene import ISSUER, described, raw, signed

from gateway.config import ConfigError, IssuerSettings
from gateway.core.errors import Busy, PermissionDenied, Unauthenticated, Unavailable
from gateway.core.observer import SilentObserver
from gateway.core.principal import Principal
from gateway.core.secret import Secret
from gateway.server.tokens import Tokens

GOOD = {"active": True, "sub": "alice", "aud": "gate way"}


class Asked:
    """What is asked about tokens, on this machine."""

    def __init__(self) -> None:
        self.url = ""
        self.answer: Any = {}
        self.status = 200
        self.asked: list[tuple[str, str]] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def introspect(self, request: web.Request) -> web.Response:
        form = await request.post()
        self.asked.append((request.headers["Authorization"], str(form["token"])))
        await self.gate.wait()
        body = self.answer if isinstance(self.answer, bytes) else json.dumps(self.answer).encode()
        return web.Response(body=body, status=self.status)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def asked_tokens(clock: Callable[[], float] = time.monotonic, **more: Any) -> AsyncIterator[tuple[Asked, Tokens]]:
    asked, app = Asked(), web.Application()
    app.router.add_post("/introspect", asked.introspect)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    asked.url = f"http://127.0.0.1:{runner.addresses[0][1]}/introspect"
    settings = IssuerSettings(
        issuer=ISSUER,
        introspection=asked.url,
        client_id="gate way",
        client_secret=Secret("s:cret"),
        **more,
    )
    tokens = Tokens.load({"idp": settings}, SilentObserver(), clock=clock)
    asked.answer = {**GOOD, "roles": ["system.user"], "groups": ["staff"]}
    try:
        yield asked, tokens
    finally:
        asked.gate.set()
        await tokens.close()
        await runner.cleanup()


async def test_a_token_is_asked_about_once_while_that_is_believed() -> None:
    clock = Clock()
    async with asked_tokens(clock) as (asked, tokens):
        expected = Principal(name="alice", roles=("system.user",), groups=("staff",))
        found = await asyncio.gather(*(tokens.principal("opaque-token") for _ in range(5)))
        assert set(found) == {expected}
        assert asked.asked == [("Basic " + base64.b64encode(b"gate%20way:s%3Acret").decode(), "opaque-token")]
        asked.answer = {"active": False}
        assert await tokens.principal("opaque-token") == expected
        clock.now = 31.0
        with pytest.raises(PermissionDenied):
            await tokens.principal("opaque-token")
        asked.answer = GOOD
        with pytest.raises(PermissionDenied):
            await tokens.principal("opaque-token")
        clock.now = 37.0
        assert (await tokens.principal("opaque-token")).roles == ()


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {**GOOD, "active": False},
        {**GOOD, "active": "true"},
        {**GOOD, "active": 1},
        {"active": True, "aud": "gate way"},
        {**GOOD, "sub": ""},
        {**GOOD, "sub": 5},
        {**GOOD, "iss": "somebody else"},
        {"active": True, "sub": "alice"},
        {**GOOD, "aud": None},
        {**GOOD, "aud": "another"},
        {**GOOD, "aud": ["another", 5]},
        {**GOOD, "exp": 1},
        {**GOOD, "exp": "later"},
        {**GOOD, "exp": True},
        {**GOOD, "exp": 10**400},
        {**GOOD, "nbf": 9e12},
        {**GOOD, "roles": "system.admin"},
        {**GOOD, "groups": ["*", 5]},
    ],
)
async def test_what_does_not_hold(answer: Any) -> None:
    async with asked_tokens() as (asked, tokens):
        asked.answer = answer
        with pytest.raises(PermissionDenied):
            await tokens.principal("opaque-token")


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (b"<html>", 200),
        (b"[]", 200),
        (b'{"active": true, "x": ' + b"[" * 100_000, 200),
        (GOOD, 401),
        (b"x" * 300_000, 200),
        (b"", 302),
    ],
    ids=["html", "list", "deep", "refused", "long", "elsewhere"],
)
async def test_an_issuer_that_does_not_answer_lets_nobody_in(answer: Any, status: int) -> None:
    async with asked_tokens() as (asked, tokens):
        asked.answer, asked.status = answer, status
        with pytest.raises(Unavailable):
            await tokens.principal("opaque-token")


async def test_an_audience_that_does_not_matter() -> None:
    async with asked_tokens(skip_client_id_check=True) as (asked, tokens):
        asked.answer |= {"aud": "another"}
        assert (await tokens.principal("opaque-token")).name == "alice"


async def test_tokens_of_other_issuers_are_told_to_nobody() -> None:
    async with asked_tokens() as (asked, tokens):
        with pytest.raises(Unauthenticated):
            await tokens.principal(signed(iss="somebody else"))
        with pytest.raises(Unauthenticated):
            await tokens.principal("x" * 40_000)
        assert asked.asked == []
        assert (await tokens.principal(raw({"alg": "none"}, {"iss": ISSUER}))).name == "alice"


async def test_how_many_are_asked_about_is_bounded() -> None:
    async with asked_tokens() as (asked, tokens):
        asked.gate.clear()
        waiting = [asyncio.ensure_future(tokens.principal(f"token-{n}", peer="one")) for n in range(8)]
        await asyncio.sleep(0)
        with pytest.raises(Busy):
            await tokens.principal("one-more", peer="one")
        waiting += [asyncio.ensure_future(tokens.principal(f"token-{n}", peer=f"{n // 8}")) for n in range(8, 64)]
        await asyncio.sleep(0)
        with pytest.raises(Busy):
            await tokens.principal("one-more", peer="another")
        asked.gate.set()
        assert {found.name for found in await asyncio.gather(*waiting)} == {"alice"}


# --- a key set in a file ---


def key_set(path: Path, *keys: Any) -> Path:
    path.write_text(json.dumps({"keys": keys}))
    return path


async def test_keys_of_a_file(tmp_path: Path) -> None:
    old, new = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    path = key_set(tmp_path / "jwks.json", described(old, "old"))
    for issuer in (ISSUER, "https://idp.example/realm"):
        key_set(path, described(old, "old"))
        settings = IssuerSettings(issuer=issuer, jwks=path, client_id="gateway")
        tokens = Tokens.load({"own": settings}, SilentObserver())
        try:
            good = signed("ES256", old, kid="old", iss=issuer, aud="gateway")
            assert (await tokens.principal(good)).name == "alice"
            for wrong in (
                signed("ES256", old, kid="old", iss=issuer),
                signed("ES256", old, kid="old", iss=issuer, aud="another"),
                signed("ES256", new, kid="old", iss=issuer, aud="gateway"),
                signed("ES256", new, kid="new", iss=issuer, aud="gateway"),
            ):
                with pytest.raises(PermissionDenied):
                    await tokens.principal(wrong)
            key_set(path, described(new, "new"))
            tokens.reload()
            with pytest.raises(PermissionDenied):
                await tokens.principal(good)
            assert (await tokens.principal(signed("ES256", new, kid="new", iss=issuer, aud="gateway"))).name == "alice"
        finally:
            await tokens.close()


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"keys": []}', '{"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}', '{"keys": ' + "[" * 100_000],
    ids=["empty", "list", "object", "none", "secret", "deep"],
)
def test_a_file_without_keys(tmp_path: Path, text: str) -> None:
    path = tmp_path / "jwks.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match="key set"):
        Tokens.load({"own": IssuerSettings(issuer=ISSUER, jwks=path)}, SilentObserver())
    with pytest.raises(ConfigError, match="cannot be read"):
        Tokens.load({"own": IssuerSettings(issuer=ISSUER, jwks=tmp_path / "none")}, SilentObserver())


@pytest.mark.parametrize(
    ("more", "word"),
    [
        ({"introspection": "https://idp.example/i"}, "client_secret"),
        ({"client_secret": Secret("x"), "jwks": Path("x")}, "introspection"),
        ({"introspection": "https://idp.example/i", "client_secret": Secret("x")}, "client_id"),
        ({"introspection": "http://idp.example/i", "client_secret": Secret("x"), "client_id": "g"}, "https"),
        (
            {
                "introspection": "https://idp.example/i",
                "client_secret": Secret("x"),
                "client_id": "g",
                "shared_secret": Secret("y"),
            },
            "no keys",
        ),
        ({"jwks": Path("x"), "shared_secret": Secret("y")}, "jwks"),
    ],
)
def test_settings_that_cannot_be(more: dict[str, Any], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        IssuerSettings(issuer=ISSUER, **more)
