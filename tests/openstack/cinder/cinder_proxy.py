"""A proxy before a gateway that loses what it is told to lose."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx

REFUSE, LOSE, HOLD = "refuse", "lose", "hold"
"""The request does not arrive; the answer does not; the request arrives when it is let go."""


class Proxy:
    """Forwards requests over plain HTTP, and treats the one that `fault` names otherwise."""

    def __init__(self, target: str) -> None:
        self.seen: list[str] = []
        self.forward = httpx.Client(base_url=target, timeout=60)
        self._fault: tuple[str, int] | None = None
        self._lock = threading.Lock()
        self.released = threading.Event()

    @contextlib.contextmanager
    def fault(self, how: str, number: int = 1) -> Iterator[None]:
        """Do this to the `number`-th request from now, and to no other."""
        self.seen.clear()
        self.released.clear()
        self._fault = (how, number)
        try:
            yield
        finally:
            self._fault = None
            self.released.set()

    def due(self, line: str) -> str:
        """Note a request, and tell what happens to it."""
        with self._lock:
            self.seen.append(line)
            how, number = self._fault or ("", 0)
            return how if len(self.seen) == number else ""


@contextlib.contextmanager
def proxy(target: str) -> Iterator[tuple[str, Proxy]]:
    """Give the address of a proxy, and the proxy."""
    one = Proxy(target)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            how = one.due(f"{self.command} {self.path}")
            if how == HOLD:
                one.released.wait(60)
            self.close_connection = bool(how)
            if how == REFUSE:
                return
            headers = {name: value for name, value in self.headers.items() if name not in {"Host", "Connection"}}
            answer = one.forward.request(self.command, self.path, headers=headers, content=content)
            if how == LOSE:
                return
            with contextlib.suppress(OSError):  # it did not wait
                self.send_response(answer.status_code)
                self.send_header("Content-Type", answer.headers.get("Content-Type", ""))
                self.send_header("Content-Length", str(len(answer.content)))
                self.end_headers()
                self.wfile.write(answer.content)

        do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = handle_any  # noqa: N815 - these are names of the library

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", one
    finally:
        one.released.set()
        server.shutdown()
        thread.join()
        server.server_close()
        one.forward.close()
