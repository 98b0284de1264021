"""Stores that are no pools: whether they take somebody's keys, and what is kept there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from gateway.backends.s3.backend import S3Backend
from gateway.backends.s3.options import S3Options
from gateway.core.credentials import Account
from gateway.core.errors import Unavailable
from gateway.core.secret import AccessKeys
from gateway.core.worker import Worker

_THREADS = 4
_TRIES = 1
_ANY = "any"
"""A bucket for options where none is asked about: they do not go without."""


@dataclass
class _Held:
    """A vault that some use right now; whoever is the last closes it."""

    backend: S3Backend
    users: int = 0
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)


class S3Stores:
    """Reaches stores by the protocol of S3, in threads of its own."""

    def __init__(self) -> None:
        self._worker = Worker("stores", _THREADS)
        self._held: dict[S3Options, _Held] = {}

    async def check(self, account: Account, keys: AccessKeys | None) -> None:
        """See `gateway.core.credentials.ObjectStores`."""
        await self._worker.run(_check, account, keys)

    @asynccontextmanager
    async def vault(self, account: Account, keys: AccessKeys | None, prefix: str) -> AsyncIterator[S3Backend]:
        """See `gateway.core.credentials.ObjectStores`. All who use one share its lease."""
        options = options_of(account, keys, prefix)
        held = self._held.setdefault(options, _Held(S3Backend(account.url, options)))
        async with held.turn:
            if not held.users:
                await held.backend.open()
            held.users += 1
        try:
            yield held.backend
        finally:
            async with held.turn:
                held.users -= 1
                if not held.users:
                    await held.backend.close()

    async def close(self) -> None:
        """Wait for what is under way, and end the threads. Idempotent."""
        await self._worker.close()


def _check(account: Account, keys: AccessKeys | None) -> None:
    try:
        from gateway.backends.s3.bucket import client  # noqa: PLC0415 - boto3 may be missing
        from gateway.backends.s3.failures import translated  # noqa: PLC0415
    except ModuleNotFoundError as error:
        reason = f"{error.name} is not installed: install volume-gateway[s3]"
        raise Unavailable(what=account.url, reason=reason) from error
    options = options_of(account, keys)
    with translated(account.url):
        s3 = client(options, options.endpoint, tries=_TRIES)
        try:
            if account.bucket:
                s3.list_objects_v2(Bucket=account.bucket, MaxKeys=1)
            else:
                s3.list_buckets()
        finally:
            s3.close()


def options_of(account: Account, keys: AccessKeys | None, prefix: str = "") -> S3Options:
    """Give the options of a client, or a pool, at a store."""
    return S3Options(
        bucket=account.bucket or _ANY,
        endpoint=account.url,
        region=account.region,
        prefix=prefix,
        credentials=keys,
        addressing="virtual" if account.virtual else "path",
        threads=_THREADS,
    )
