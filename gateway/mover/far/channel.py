"""Frames over a connection, each after its length in four bytes."""

from __future__ import annotations

import select
import socket
import ssl
import sys

from gateway.core.errors import Unavailable

_READ = 256 * 1024
_PREFIX = 4


class Channel:
    """One connection. Whoever sends also takes what comes, so that two that both send do not wait for each other.

    end: what errors say is unavailable.
    frame_max: the most bytes that a frame of the other side has.
    ahead_max: how many bytes may come before they are asked for by `receive`.
    silence_s: how long nothing happening is borne; None: as long as the connection stands.
    """

    def __init__(
        self, connection: ssl.SSLSocket, *, end: str, frame_max: int, ahead_max: int, silence_s: float | None
    ) -> None:
        self.connection = connection
        self._end = end
        self._frame_max = frame_max
        self._ahead_max = ahead_max
        self._silence_ms: int | None = None
        self.bear(silence_s)
        self._came = bytearray()
        self._poll = select.poll()
        connection.setblocking(False)
        _keep_alive(connection)

    def bear(self, silence_s: float | None) -> None:
        """Bear another silence from here on."""
        self._silence_ms = None if silence_s is None else int(silence_s * 1000)

    def send(self, frame: bytes) -> None:
        """Send a frame."""
        left = memoryview(len(frame).to_bytes(_PREFIX, "big") + frame)
        while left:
            try:
                left = left[self.connection.send(left) :]
                continue
            except ssl.SSLWantWriteError:
                events = select.POLLIN | select.POLLOUT
            except ssl.SSLWantReadError:
                events = select.POLLIN
            except OSError as error:
                raise self._broken(repr(error)) from error
            if not self._take():
                self._wait(events)

    def receive(self) -> bytes:
        """Give the next frame."""
        length = int.from_bytes(self._taken(_PREFIX), "big")
        if length > self._frame_max:
            raise self._broken(f"a frame of {length} bytes")
        return self._taken(length)

    def close(self) -> None:
        """Let go of it."""
        self.connection.close()

    def _taken(self, count: int) -> bytes:
        while len(self._came) < count:
            if not self._take():
                self._wait(select.POLLIN)
        data = bytes(self._came[:count])
        del self._came[:count]
        return data

    def _take(self) -> bool:
        """Take what has come; tell whether there was anything."""
        try:
            data = self.connection.recv(_READ)
        except ssl.SSLWantReadError:
            return False
        except ssl.SSLWantWriteError:
            self._wait(select.POLLOUT)
            return False
        except OSError as error:
            raise self._broken(repr(error)) from error
        if not data:
            raise self._broken("it was ended")
        self._came += data
        if len(self._came) > self._ahead_max:
            raise self._broken("more comes than was asked for")
        return True

    def _wait(self, events: int) -> None:
        self._poll.register(self.connection, events)
        if not self._poll.poll(self._silence_ms):
            raise Unavailable(what=self._end, reason="the gateway it is at does not answer")

    def _broken(self, detail: str) -> Unavailable:
        sys.stderr.write(f"connection: {detail}\n")
        return Unavailable(what=self._end, reason="the connection to the gateway it is at broke")


def _keep_alive(connection: socket.socket) -> None:
    """Notice within minutes that the other host is gone, also when nothing is to be said."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 15)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 6)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
