"""Tokens as clients bring them, and an OpenID issuer on this machine."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import jwt
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

SECRET = "0123456789abcdef" * 4
ISSUER = "openstorage.io"

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


def claims(**more: object) -> dict[str, Any]:
    """Give what a token says; None leaves a claim out."""
    now = int(time.time())
    found = {
        "iss": ISSUER,
        "sub": "alice",
        "name": "Alice Doe",
        "email": "alice@example.com",
        "iat": now - 10,
        "exp": now + 600,
        "roles": ["system.user"],
        "groups": ["users"],
        **more,
    }
    return {name: value for name, value in found.items() if value is not None}


def signed(algorithm: str = "HS256", key: Any = SECRET, *, kid: str | None = None, **more: object) -> str:
    """Give a signed token."""
    return jwt.encode(claims(**more), key, algorithm=algorithm, headers={"kid": kid} if kid else None)


def raw(header: object, payload: object, signature: bytes = b"") -> str:
    """Give three parts as they are."""
    parts = [json.dumps(part).encode() if not isinstance(part, bytes) else part for part in (header, payload)]
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in (*parts, signature))


def pem(key: PrivateKey) -> bytes:
    """Give the public half as files hold it."""
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def described(key: PrivateKey, kid: str | None, **more: object) -> dict[str, Any]:
    """Give the public half as an issuer tells it."""
    algorithm = RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else ECAlgorithm
    found = algorithm.to_jwk(key.public_key(), as_dict=True)  # type: ignore[arg-type]
    return {**found, **({"kid": kid} if kid else {}), **more}


class Issuer:
    """An OpenID issuer. What it tells may be changed at any time; `asked` counts how often it was."""

    def __init__(self) -> None:
        self.url = ""
        self.keys: list[object] = []
        self.about: dict[str, Any] = {}
        self.body: bytes | None = None
        self.status = 200
        self.asked = 0

    async def discovery(self, _request: web.Request) -> web.Response:
        """Tell where the keys are."""
        self.asked += 1
        if self.body is not None:
            return web.Response(body=self.body, status=self.status)
        about = {"issuer": self.url, "jwks_uri": f"{self.url}/keys", **self.about}
        return web.json_response(about, status=self.status)

    async def jwks(self, _request: web.Request) -> web.Response:
        """Tell the keys."""
        return web.json_response({"keys": self.keys})


@asynccontextmanager
async def issuing() -> AsyncIterator[Issuer]:
    """Give an issuer that listens on loopback."""
    issuer, app = Issuer(), web.Application()
    app.router.add_get("/.well-known/openid-configuration", issuer.discovery)
    app.router.add_get("/keys", issuer.jwks)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        issuer.url = f"http://{host}:{port}"
        yield issuer
    finally:
        await runner.cleanup()
