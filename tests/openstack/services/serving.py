"""What the programs share that run one project of OpenStack in a process each: an HTTP server, and an orderly end."""

from __future__ import annotations

import ctypes
import io
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from socketserver import ThreadingMixIn
from typing import IO, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

END_S = 20
_PR_SET_PDEATHSIG = 1


def end_with_parent() -> None:
    """Let the kernel kill this process when the one that started it ends. Called first of all."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    request_queue_size = 64


class _Handler(WSGIRequestHandler):
    def parse_request(self) -> bool:
        """Read bodies that come in chunks, as images do."""
        parsed = super().parse_request()
        if parsed and self._in_chunks():
            self.rfile = io.BufferedReader(_Chunks(self.rfile))
        return parsed

    def get_environ(self) -> dict[str, Any]:
        return {**super().get_environ(), **({"wsgi.input_terminated": True} if self._in_chunks() else {})}

    def _in_chunks(self) -> bool:
        return self.headers.get("Transfer-Encoding", "").lower() == "chunked"

    def log_message(self, *_: object) -> None:
        """Say nothing: the projects have logs of their own."""


class _Chunks(io.RawIOBase):
    """What chunks hold. A body that ends too early raises EOFError."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._left = 0
        self._ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._left and not self._ended:
            self._left = int(self._line().split(b";")[0], 16)
            self._ended = not self._left
            while self._ended and self._line():
                pass
        part = self._file.read(min(self._left, len(buffer))) if self._left else b""
        buffer[: len(part)] = part
        if self._left and not part:
            raise EOFError
        self._left -= len(part)
        if part and not self._left:
            self._line()
        return len(part)

    def _line(self) -> bytes:
        line = self._file.readline(1024)
        if not line:
            raise EOFError
        return line.strip()


def serve(application: Any, port: int, *, services: Sequence[Any] = ()) -> None:
    """Serve an API on a loopback port beside services that run already, until SIGTERM; say READY when it answers."""
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    server = make_server("127.0.0.1", port, application, server_class=_Server, handler_class=_Handler)
    _in_thread(server.serve_forever)
    sys.stdout.write("READY\n")
    sys.stdout.flush()
    ended.wait()
    server.shutdown()
    server.server_close()
    # The orderly end of a service may wait for a thread that nobody ends.
    leaving = [_in_thread(lambda service=service: (service.stop(), service.wait())) for service in services]
    end = time.monotonic() + END_S
    for thread in leaving:
        thread.join(max(end - time.monotonic(), 0))
    os._exit(int(any(thread.is_alive() for thread in leaving)))


def _in_thread(work: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread
