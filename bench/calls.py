"""A client of gRPC that decodes nothing: ready-made requests out, answers counted."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from urllib.parse import urlsplit

import grpc

from bench.load import Load

_PATIENCE_S = 300
_ANY_SIZE = (("grpc.max_receive_message_length", -1),)


async def call(url: str, path: str, requests: Sequence[bytes], *, within: int) -> Load:
    """Make all calls over one connection, so many at a time. AioRpcError at the first that fails."""
    pending = iter(requests)
    found = [_Found() for _ in range(min(within, len(requests)))]
    async with grpc.aio.insecure_channel(urlsplit(url).netloc or url, options=_ANY_SIZE) as channel:
        await channel.channel_ready()
        make = channel.unary_unary(path)

        async def work(into: _Found) -> None:
            for request in pending:
                begun = time.perf_counter()
                into.last = await make(request)
                into.longest_s = max(into.longest_s, time.perf_counter() - begun)
                into.count += 1

        start = time.perf_counter()
        async with asyncio.timeout(_PATIENCE_S):
            await asyncio.gather(*map(work, found))
        seconds = time.perf_counter() - start
    return Load(sum(one.count for one in found), seconds, max(one.longest_s for one in found), found[0].last)


class _Found:
    """What one of those that call has so far."""

    def __init__(self) -> None:
        self.count = 0
        self.longest_s = 0.0
        self.last = b""
