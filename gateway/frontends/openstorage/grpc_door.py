"""The gRPC door: takes calls from the wire as bytes and gives answers as bytes; the rest is the SDK's."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import grpc
import msgspec
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health
from grpc_reflection.v1alpha import reflection

from gateway.core.door import Trace
from gateway.frontends.openstorage.call import SdkError
from gateway.frontends.openstorage.sdk import Sdk

MESSAGE_MAX = 4 * 1024 * 1024
"""Bytes of the largest request; a larger one is refused with RESOURCE_EXHAUSTED before it is read whole."""

_AUTHORIZATION = "authorization"


class Served(msgspec.Struct, frozen=True, kw_only=True):
    """One call that was answered, for whoever keeps count. `size`: bytes of the answer."""

    path: str
    code: grpc.StatusCode
    seconds: float
    size: int
    peer: str
    request_id: str


class CallWatch(Protocol):
    """Keeps count of calls."""

    def begin(self) -> str:
        """Give a call its id."""

    def end(self, served: Served, trace: Trace) -> None:
        """Write down how it was answered."""


class GrpcDoor:
    """A gRPC server on the running loop. `address` is known once `start` returned (port 0 was resolved)."""

    def __init__(
        self,
        sdk: Sdk,
        *,
        listen: str,
        watch: CallWatch,
        credentials: grpc.ServerCredentials | None = None,
        socket: Path | None = None,
        calls_max: int = 4096,
        patience_s: float = 30,
        reflect: bool = True,
    ) -> None:
        self._sdk = sdk
        self._listen = listen
        self._watch = watch
        self._credentials = credentials
        self._socket = socket
        self._calls_max = calls_max
        self._patience_s = patience_s
        self._reflect = reflect
        self._server: grpc.aio.Server | None = None
        self.address = listen

    async def start(self) -> None:
        """Listen. OSError when an address cannot be had."""
        options: Sequence[tuple[str, Any]] = [
            ("grpc.max_receive_message_length", MESSAGE_MAX),
            ("grpc.so_reuseport", 0),
        ]
        server = grpc.aio.server(options=options, maximum_concurrent_rpcs=self._calls_max)
        server.add_generic_rpc_handlers((_Calls(self._sdk, self._watch),))
        names = [service.full_name for service in self._sdk.schema.values()]
        await _be_healthy(server, names)
        if self._reflect:
            own = (reflection.SERVICE_NAME, health_pb2.DESCRIPTOR.services_by_name["Health"].full_name)
            reflection.enable_server_reflection([*names, *own], server)
        try:
            self.address = self._listening(server)
        except RuntimeError:
            await server.stop(None)
            raise OSError(f"cannot listen on {self._listen}") from None
        await server.start()
        self._server = server

    async def stop(self) -> None:
        """Accept nothing more, let running calls end (bounded), close. Idempotent."""
        server, self._server = self._server, None
        if server is not None:
            await server.stop(self._patience_s)

    def _listening(self, server: grpc.aio.Server) -> str:
        if self._socket is not None:
            self._socket.unlink(missing_ok=True)
            server.add_insecure_port(f"unix:{self._socket}")
        if self._credentials is None:
            port = server.add_insecure_port(self._listen)
        else:
            port = server.add_secure_port(self._listen, self._credentials)
        return f"{self._listen.rpartition(':')[0]}:{port}"


class _Calls(grpc.GenericRpcHandler):
    """Finds the handler of a call by its path."""

    def __init__(self, sdk: Sdk, watch: CallWatch) -> None:
        self._sdk = sdk
        self._watch = watch
        self._handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
            method.path: grpc.unary_unary_rpc_method_handler(self._handler(method.path))
            for service in sdk.schema.values()
            for method in service.methods.values()
        }

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any] | None:
        """Give the handler of a call, None where there is no such call."""
        return self._handlers.get(handler_call_details.method)

    def _handler(self, path: str) -> Callable[[bytes, grpc.aio.ServicerContext[Any, Any]], Any]:
        sdk, watch = self._sdk, self._watch

        async def handle(request: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> bytes:
            start, trace, peer, request_id = time.perf_counter(), Trace(), context.peer(), watch.begin()
            code, answer = grpc.StatusCode.OK, b""
            try:
                answer = await sdk.answer_bytes(
                    path, request, authorization=_authorization(context), peer=peer, trace=trace
                )
            except SdkError as error:
                code = error.code
                context.set_code(code)
                context.set_details(error.text)
            except asyncio.CancelledError:
                # The client waits no more; what it asked for goes on, and is written down.
                code, trace.outcome = grpc.StatusCode.CANCELLED, "unknown"
                raise
            finally:
                served = Served(
                    path=path,
                    code=code,
                    seconds=time.perf_counter() - start,
                    size=len(answer),
                    peer=peer,
                    request_id=request_id,
                )
                watch.end(served, trace)
            return answer

        return handle


def _authorization(context: grpc.aio.ServicerContext[Any, Any]) -> str | None:
    for key, value in context.invocation_metadata() or ():
        if key == _AUTHORIZATION:
            return value if isinstance(value, str) else value.decode("latin-1")
    return None


async def _be_healthy(server: grpc.aio.Server, names: Sequence[str]) -> None:
    servicer = health.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    for name in ("", *names):
        await servicer.set(name, health_pb2.HealthCheckResponse.SERVING)
