"""Where a sender waits for the one mover that it is for."""

from __future__ import annotations

import hmac
import queue
import socket
import ssl
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import msgspec

from gateway.core.errors import GatewayError, PermissionDenied, Timeout, Unauthenticated, Unavailable, Unsupported
from gateway.mover.far.channel import Channel
from gateway.mover.far.trust import is_peer
from gateway.mover.far.words import KEY, QUESTION_MAX, VERSION, Hello, Spoken

WHAT = "the mover of the other gateway"
_STRANGERS_MAX = 32
_INTRODUCTION_S = 15.0
_AHEAD_MAX = 16 * QUESTION_MAX


@contextmanager
def listener(host: str, ports: Sequence[int]) -> Iterator[socket.socket]:
    """Listen at an address, at the first port that is free; none are named: at any."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as made:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        for port in ports or (0,):
            with suppress(OSError):
                made.bind((host, port))
                made.listen()
                yield made
                return
        raise Unavailable(what="mover", reason="it cannot listen where it should")


class Reception:
    """Lets the one in who has the certificate and the token; everybody else is turned away."""

    def __init__(self, context: ssl.SSLContext, token: str, peer_certificate: str) -> None:
        self._context = context
        self._token = token
        self._peer_certificate = peer_certificate
        self._room = threading.Semaphore(_STRANGERS_MAX)
        self._known: queue.SimpleQueue[tuple[Channel, Hello]] = queue.SimpleQueue()

    def wait(self, listening: socket.socket, patience_s: float) -> tuple[Channel, Hello]:
        """Give the connection of the one who came, and what was said. Timeout when nobody does."""
        threading.Thread(target=self._accept, args=(listening,), daemon=True).start()
        try:
            return self._known.get(timeout=patience_s)
        except queue.Empty:
            raise Timeout(what=WHAT, after=int(patience_s)) from None
        finally:
            # To close it would not end a call of accept, and so not the listening.
            listening.shutdown(socket.SHUT_RDWR)

    def _accept(self, listening: socket.socket) -> None:
        with suppress(OSError):  # it is closed
            while True:
                connection, _ = listening.accept()
                self._room.acquire()
                threading.Thread(target=self._introduce, args=(connection,), daemon=True).start()

    def _introduce(self, connection: socket.socket) -> None:
        """Find out who somebody is; in a thread, so that nobody keeps others waiting."""
        try:
            connection.settimeout(_INTRODUCTION_S)
            channel = Channel(
                self._context.wrap_socket(connection, server_side=True),
                end=WHAT,
                frame_max=QUESTION_MAX,
                ahead_max=_AHEAD_MAX,
                silence_s=_INTRODUCTION_S,
            )
        except OSError as error:
            connection.close()
            self._room.release()
            sys.stderr.write(f"turned away: {error!r}\n")
            return
        try:
            self._known.put((channel, self._heard(channel)))
        except (GatewayError, msgspec.DecodeError) as error:
            channel.close()
            sys.stderr.write(f"turned away: {error!r}\n")
        finally:
            self._room.release()

    def _heard(self, channel: Channel) -> Hello:
        """Give what the one says who may come in."""
        if not is_peer(channel.connection, self._peer_certificate):
            raise PermissionDenied(action="connect")
        hello = msgspec.msgpack.decode(channel.receive(), type=Hello)
        if not hmac.compare_digest(hello.token.encode(), self._token.encode()):
            raise Unauthenticated(reason="token")
        if hello.version != VERSION or len(hello.key) != KEY:
            channel.send(msgspec.msgpack.encode(Spoken(VERSION)))
            raise Unsupported(capability="version", backend="mover", reason=str(hello.version))
        return hello
