"""The S3 emulator moto in a thread: for what takes no real store, because it checks no signatures."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from gateway.testing.object_store import S3Server, make_bucket


@contextmanager
def moto_store() -> Iterator[S3Server]:
    """Give a server of this process."""
    from moto.server import ThreadedMotoServer  # noqa: PLC0415 - it takes a second

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        made = S3Server(f"http://{host}:{port}", "any", "any")
        make_bucket(made)
        yield made
    finally:
        server.stop()
