"""Hosts with addresses of their own, from which an NFS server is reached."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading
from collections.abc import Iterator


class Node(socketserver.ThreadingTCPServer):
    """A host that is a client: what comes in at its port goes on to the NFS server, from the host's address."""

    daemon_threads = True

    def __init__(self, address: str, server: int) -> None:
        self.address = address
        self.server = server
        super().__init__((address, 0), Relay)

    @property
    def port(self) -> int:
        return self.server_address[1]


class Relay(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        node = self.server
        assert isinstance(node, Node)
        source = (node.address, 0)
        with socket.create_connection(("127.0.0.1", node.server), source_address=source) as onward:
            back = threading.Thread(target=pump, args=(onward, self.request), daemon=True)
            back.start()
            pump(self.request, onward)
            back.join()


def pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
    for end in (source, target):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def node_at(address: str, server: int) -> Iterator[Node]:
    """Give a host at an address of the loopback network, every one of which is this host's."""
    with Node(address, server) as node:
        threading.Thread(target=node.serve_forever, daemon=True).start()
        try:
            yield node
        finally:
            node.shutdown()
