"""The baselines: aiohttp on uvloop answering with the same bytes, with routes and without.

`python -m bench.bare FILE` prints both addresses: of an application with the
routes that are measured, and of a server that looks at no path at all.
"""

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

    application = web.Application()
    application.router.add_get("/api/storage/volumes", handle)
    application.router.add_get("/api/storage/volumes/{uuid}", handle)
    application.router.add_get("/volumes/{service}", handle)
    routed = web.AppRunner(application, access_log=None)
    unrouted = web.ServerRunner(web.Server(handle, access_log=None))
    for runner in (routed, unrouted):
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
    gc.collect()
    gc.freeze()
    print(*("http://{}:{}".format(*runner.addresses[0][:2]) for runner in (routed, unrouted)), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as main:
        main.run(_serve(Path(sys.argv[1]).read_bytes()))
