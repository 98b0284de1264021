"""The baseline of gRPC: grpc.aio on uvloop answering one call with the same bytes.

`python -m bench.bare_grpc FILE PATH` prints its address; PATH is the call's.
"""

from __future__ import annotations

import asyncio
import gc
import sys
from pathlib import Path

import grpc
import uvloop


async def _serve(body: bytes, path: str) -> None:
    async def handle(request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        del request, context
        return body

    service, _, call = path[1:].partition("/")
    server = grpc.aio.server()
    handlers = {call: grpc.unary_unary_rpc_method_handler(handle)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    gc.collect()
    gc.freeze()
    print(f"127.0.0.1:{port}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as main:
        main.run(_serve(Path(sys.argv[1]).read_bytes(), sys.argv[2]))
