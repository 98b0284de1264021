"""Asks an issuer about tokens (RFC 7662).

What it says is believed for half a minute at most, so that a token that was
taken back is not of use for longer; that a token is none, for a few seconds.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import quote

import httpx
import msgspec

from gateway.config import IssuerSettings
from gateway.core.errors import Busy, PermissionDenied, Unavailable
from gateway.core.observer import Observer

_BELIEVED_S: Final = 30.0
_REFUSED_S: Final = 5.0
_TIMEOUT_S: Final = 5.0
_ANSWER_BYTES: Final = 256 * 1024
_ASKED_MAX: Final = 64
_ASKED_PER_PEER: Final = 8
_REMEMBERED: Final = 1024

Claims = Mapping[str, Any]


class _Told(msgspec.Struct, frozen=True):
    """What was said of a token. `claims` None: that it is none."""

    claims: Claims | None
    until: float


class Introspection:
    """One issuer that is asked. Tokens are kept nowhere and shown nowhere but to it. Belongs to one event loop."""

    def __init__(
        self,
        name: str,
        settings: IssuerSettings,
        *,
        client: httpx.AsyncClient,
        observer: Observer,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name = name
        self._settings = settings
        self._client = client
        self._observer = observer
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._told: dict[bytes, _Told] = {}
        self._asking: dict[bytes, asyncio.Task[Claims | None]] = {}
        self._peers: Counter[str] = Counter()

    async def claims(self, token: str, *, wall: float, peer: str = "") -> Claims:
        """Give what the issuer says of a token that is good at the time `wall`.

        PermissionDenied for one that is not, Unavailable when the issuer does
        not answer, Busy when too many tokens of the peer, or of all, are being asked about.
        """
        digest = hashlib.blake2b(token.encode(), key=self._key, digest_size=32).digest()
        told = self._told.get(digest)
        found = told.claims if told is not None and self._clock() < told.until else await self._ask(digest, token, peer)
        if found is None or not self._holds(found, wall):
            raise PermissionDenied(action="use this token (inactive)")
        return found

    async def close(self) -> None:
        """Stop asking. Idempotent."""
        running = set(self._asking.values())
        for asking in running:
            asking.cancel()
        if running:
            await asyncio.wait(running)

    def _ended(self, digest: bytes, peer: str, ended: asyncio.Task[Claims | None]) -> None:
        self._asking.pop(digest, None)
        self._peers -= Counter({peer: 1})
        if not ended.cancelled():
            ended.exception()  # whoever waited may have gone

    async def _ask(self, digest: bytes, token: str, peer: str) -> Claims | None:
        asking = self._asking.get(digest)
        if asking is None:
            if len(self._asking) >= _ASKED_MAX or self._peers[peer] >= _ASKED_PER_PEER:
                raise Busy(what="authentication", retry_after=1)
            asking = self._asking[digest] = asyncio.create_task(self._read(digest, token))
            self._peers[peer] += 1
            asking.add_done_callback(lambda ended: self._ended(digest, peer, ended))
        # Several wait for one answer; none that goes away takes it from the others.
        return await asyncio.shield(asking)

    async def _read(self, digest: bytes, token: str) -> Claims | None:
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                answer = await self._answer(token)
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, ValueError, RecursionError) as error:
            self._observer.event("issuer_does_not_answer", issuer=self._name, reason=type(error).__name__)
            raise Unavailable(what=f"issuer {self._name}", reason="it does not answer") from None
        found = answer if answer.get("active") is True else None
        while len(self._told) >= _REMEMBERED:
            self._told.pop(next(iter(self._told)))
        self._told.pop(digest, None)
        self._told[digest] = _Told(found, self._clock() + (_REFUSED_S if found is None else _BELIEVED_S))
        return found

    async def _answer(self, token: str) -> dict[str, Any]:
        secret = self._settings.client_secret
        # As form fields are written, because that is what the standard says of both (RFC 6749, 2.3.1).
        who = httpx.BasicAuth(
            quote(self._settings.client_id, safe=""), quote(secret.reveal(), safe="") if secret else ""
        )
        body = bytearray()
        form = {"token": token, "token_type_hint": "access_token"}
        headers = {"Accept": "application/json"}
        async with self._client.stream(
            "POST", self._settings.introspection, data=form, auth=who, headers=headers
        ) as response:
            response.raise_for_status()
            async for part in response.aiter_bytes():
                body += part
                if len(body) > _ANSWER_BYTES:
                    raise ValueError("it tells more than it should")
        return msgspec.json.decode(body, type=dict[str, Any])

    def _holds(self, claims: Claims, wall: float) -> bool:
        """Tell whether what was said holds now and here."""
        issuer, audience = claims.get("iss"), claims.get("aud")
        if issuer not in (None, self._settings.issuer):
            return False
        if self._settings.audience is not None:
            meant = audience if isinstance(audience, list) else [audience]
            if self._settings.audience not in meant:
                return False
        return _number(claims.get("exp"), wall + 1) > wall and _number(claims.get("nbf"), wall) <= wall


def _number(value: object, absent: float) -> float:
    """Give a time; one that is none never comes and is always over."""
    if value is None:
        return absent
    if isinstance(value, bool) or not isinstance(value, int | float):
        return float("nan")
    try:
        return float(value)
    except OverflowError:
        return float("nan")
