"""The baseline: aiohttp on uvloop answering every path with the same bytes. `python -m bench.bare FILE`."""

from __future__ import annotations

import asyncio
import gc
import sys
from pathlib import Path

import uvloop
from aiohttp import web


async def _serve(body: bytes) -> None:
    async def handle(request: web.BaseRequest) -> web.Response:
        del request
        return web.Response(body=body, content_type="application/json")

    runner = web.ServerRunner(web.Server(handle, access_log=None))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    gc.collect()
    gc.freeze()
    host, port = runner.addresses[0][:2]
    print(f"http://{host}:{port}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as main:
        main.run(_serve(Path(sys.argv[1]).read_bytes()))
