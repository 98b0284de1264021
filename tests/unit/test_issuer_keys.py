"""The keys of an OpenID issuer: when it is asked, what it may tell, and what happens while it does not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import RSAAlgorithm
from token_scene import Issuer, described, issuing

from gateway.core.errors import Unavailable
from gateway.core.observer import SilentObserver
from gateway.server.keys import OpenIdKeys

RSA = rsa.generate_private_key(65537, 2048)
EC = ec.generate_private_key(ec.SECP256R1())


class Told(SilentObserver):
    """Keeps what the log would have."""

    def __init__(self) -> None:
        self.events: list[dict[str, str | int]] = []

    def event(self, name: str, **fields: str | int) -> None:
        self.events.append({"event": name, **fields})


class Scene:
    """Keys with a clock of the test's own."""

    def __init__(self, issuer: Issuer, client: httpx.AsyncClient, **more: float) -> None:
        self.issuer = issuer
        self.now = 1000.0
        self.told = Told()
        self.keys = OpenIdKeys("idp", issuer.url, client=client, observer=self.told, clock=lambda: self.now, **more)

    async def kids(self, algorithm: str = "RS256", kid: str | None = None) -> list[str | None]:
        return [key.kid for key in await self.keys.find(algorithm, kid)]


@asynccontextmanager
async def scene(**more: float) -> AsyncIterator[Scene]:
    async with issuing() as issuer, httpx.AsyncClient(trust_env=False, verify=False) as client:
        made = Scene(issuer, client, **more)
        yield made
        await made.keys.close()


async def test_keys_are_read_when_they_are_first_needed_and_then_known() -> None:
    async with scene() as it:
        it.issuer.keys = [described(RSA, "k1"), described(EC, "k2")]
        assert it.issuer.asked == 0
        assert await it.kids("RS256", "k1") == ["k1"]
        assert await it.kids("ES256", "k2") == ["k2"]
        assert await it.kids("ES256", "k1") == []
        assert await it.kids("RS256") == ["k1"]
        assert it.issuer.asked == 1


async def test_many_callers_ask_once() -> None:
    async with scene() as it:
        it.issuer.keys = [described(RSA, "k1")]
        assert await asyncio.gather(*(it.kids("RS256", "k1") for _ in range(20))) == [["k1"]] * 20
        assert it.issuer.asked == 1


async def test_a_caller_that_goes_away_takes_nothing_from_the_others() -> None:
    async with scene() as it:
        it.issuer.keys = [described(RSA, "k1")]
        first = asyncio.ensure_future(it.kids("RS256", "k1"))
        second = asyncio.ensure_future(it.kids("RS256", "k1"))
        await asyncio.sleep(0)
        first.cancel()
        assert await second == ["k1"]


async def test_rotated_keys_are_found_by_their_new_name() -> None:
    async with scene() as it:
        it.issuer.keys = [described(RSA, "k1")]
        assert await it.kids("RS256", "k1") == ["k1"]
        before = it.keys.generation()
        it.issuer.keys = [described(rsa.generate_private_key(65537, 2048), "k2")]
        assert await it.kids("RS256", "k2") == []  # just asked
        it.now += 10
        assert await it.kids("RS256", "k2") == ["k2"]
        assert await it.kids("RS256", "k1") == []
        assert it.keys.generation() > before


async def test_unknown_names_do_not_make_it_ask_all_the_time() -> None:
    async with scene() as it:
        it.issuer.keys = [described(RSA, "k1")]
        for number in range(50):
            assert await it.kids("RS256", f"x{number}") == []
        assert it.issuer.asked == 1
        for _ in range(10):
            assert await it.kids("none") == await it.kids("HS256") == []
        assert it.issuer.asked == 1


async def test_keys_are_read_again_after_a_while_without_anybody_waiting() -> None:
    async with scene() as it:
        it.issuer.keys = [described(RSA, "k1")]
        assert await it.kids("RS256", "k1") == ["k1"]
        it.issuer.keys = [described(EC, "k2")]
        it.now += 601
        assert await it.kids("RS256", "k1") == ["k1"]
        assert await it.kids("ES256", "k2") == ["k2"]
        assert await it.kids("RS256", "k1") == []


async def test_known_keys_outlive_an_issuer_that_is_away_for_an_hour() -> None:
    async with scene() as it:
        it.issuer.keys = [described(RSA, "k1")]
        assert await it.kids("RS256", "k1") == ["k1"]
        it.issuer.status = 503
        it.now += 3599
        assert await it.kids("RS256", "k1") == ["k1"]
        it.now += 11
        with pytest.raises(Unavailable):
            await it.kids("RS256", "k1")
        it.issuer.status = 200
        it.now += 11
        assert await it.kids("RS256", "k1") == ["k1"]


async def _bad_body(issuer: Issuer) -> None:
    issuer.body = b"<html>"


async def _long_body(issuer: Issuer) -> None:
    issuer.body = b'{"issuer": "' + b"x" * (1 << 21) + b'"}'


async def _other_name(issuer: Issuer) -> None:
    issuer.about = {"issuer": "https://another.example"}


async def _far_keys(issuer: Issuer) -> None:
    issuer.about = {"jwks_uri": "http://192.0.2.1/keys"}


async def _no_keys(issuer: Issuer) -> None:
    issuer.keys = []


async def _odd_keys(issuer: Issuer) -> None:
    weak = rsa.generate_private_key(65537, 1024)
    secret = {"kty": "oct", "k": "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0", "kid": "k1", "alg": "HS256"}
    private = RSAAlgorithm.to_jwk(RSA, as_dict=True)
    issuer.keys = [
        7,
        {},
        secret,
        {**private, "kid": "k1"},
        {"kty": "RSA", "n": "x", "e": "", "kid": "k1"},
        {"kty": "EC", "crv": "P-256", "x": "", "y": "", "kid": "k1"},
        described(weak, "k1"),
        described(RSA, "k1", use="enc"),
        described(RSA, "k1", alg="PS256"),
        {**described(RSA, None), "kid": 7},
    ]


async def _moved(issuer: Issuer) -> None:
    issuer.status = 302


@pytest.mark.parametrize("spoil", [_bad_body, _long_body, _other_name, _far_keys, _no_keys, _odd_keys, _moved])
async def test_what_an_issuer_must_not_tell(spoil: Callable[[Issuer], Awaitable[None]]) -> None:
    async with scene() as it:
        it.issuer.keys = [described(RSA, "k1")]
        await spoil(it.issuer)
        with pytest.raises(Unavailable) as caught:
            await it.kids("RS256", "k1")
        assert caught.value.what == "issuer idp"
        assert [event["event"] for event in it.told.events] == ["issuer_keys_not_read"]


async def test_a_key_for_one_algorithm_verifies_no_other() -> None:
    async with scene() as it:
        it.issuer.keys = [described(RSA, "k1", alg="RS384")]
        assert await it.kids("RS384", "k1") == ["k1"]
        assert await it.kids("RS256", "k1") == []


async def test_an_issuer_that_never_answers_is_no_hang() -> None:
    """It takes as long as the limit; others go on meanwhile, and for a while nobody waits again."""
    served = asyncio.Event()

    async def silence(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await served.wait()
        writer.close()

    server = await asyncio.start_server(silence, "127.0.0.1", 0)
    issuer = Issuer()
    issuer.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with httpx.AsyncClient(trust_env=False, verify=False) as client:
        it = Scene(issuer, client, timeout_s=0.1)
        for _ in range(2):
            with pytest.raises(Unavailable):
                await it.kids("RS256", "k1")
        assert len(it.told.events) == 1
        served.set()
    server.close()
    await server.wait_closed()
