"""What the programs share that run one project of OpenStack in a process each: an HTTP server, and an orderly end."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

END_S = 20


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    request_queue_size = 64


class _Quiet(WSGIRequestHandler):
    # Connections stay open, as those of real servers do.
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Say nothing: the projects have logs of their own."""


def serve(application: Any, port: int, *, services: Sequence[Any] = ()) -> None:
    """Serve an API on a loopback port beside services that run already, until SIGTERM or the end of our parent.

    The parent holds our standard input. It is told `READY` when everything answers.
    """
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    server = make_server("127.0.0.1", port, application, server_class=_Server, handler_class=_Quiet)
    _in_thread(server.serve_forever)
    _in_thread(lambda: (sys.stdin.read(), ended.set()))
    sys.stdout.write("READY\n")
    sys.stdout.flush()
    ended.wait()
    server.shutdown()
    server.server_close()
    # The orderly end of a service may wait for a thread that nobody ends.
    leaving = [_in_thread(lambda service=service: (service.stop(), service.wait())) for service in services]
    for thread in leaving:
        thread.join(END_S)
    os._exit(int(any(thread.is_alive() for thread in leaving)))


def _in_thread(work: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread
