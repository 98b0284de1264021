"""The stand-in on a TCP port, for Perforce's own library: commands, forms and messages go through real client code.

Only what that client needs is here. A message of the protocol is a header of
five bytes (the length, and its bytes xored) and fields, each a name, a length
and a value. A command is answered by any number of messages that name what the
client is to do with them, and then `release`.
"""

from __future__ import annotations

import contextlib
import hashlib
import socket
import struct
import threading
from collections.abc import Iterator, Mapping
from functools import reduce
from operator import xor
from typing import Final

from gateway.backends.perforce.connection import Record
from gateway.testing.perforce.calls import Call
from gateway.testing.perforce.server import StandIn
from gateway.testing.perforce.state import CLOSED, PASSWORD, Failure

Fields = list[tuple[str, bytes]]

_HEADER: Final = 5
_FORMS: Final[Mapping[str, str]] = {
    "stream": "Stream;code:701;rq;ro;len:64;;Update;code:705;type:date;ro;len:20;;Access;code:706;type:date;ro;len:20;;"
    "Owner;code:704;len:32;;Name;code:703;rq;len:32;;Parent;code:702;rq;len:64;;Type;code:708;rq;len:32;;"
    "Description;code:709;type:text;len:128;;Options;code:707;type:line;len:64;;ParentView;code:713;len:64;;"
    "Paths;code:710;rq;type:wlist;words:2;maxwords:3;len:64;;",
    "label": "Label;code:301;rq;ro;len:32;;Update;code:302;type:date;ro;len:20;;Access;code:303;type:date;ro;len:20;;"
    "Owner;code:304;len:32;;Description;code:306;type:text;len:128;;Options;code:307;type:line;len:64;;"
    "Revision;code:312;type:word;words:1;len:64;;View;code:311;type:wlist;len:64;;",
    "client": "Client;code:301;rq;ro;len:32;;Update;code:302;type:date;ro;len:20;;Access;code:303;type:date;ro;len:20;;"
    "Owner;code:304;len:32;;Host;code:305;len:32;;Description;code:306;type:text;len:128;;"
    "Root;code:307;rq;type:line;len:64;;Options;code:309;type:line;len:64;;SubmitOptions;code:313;type:select;len:25;;"
    "LineEnd;code:310;type:select;len:12;;Stream;code:314;type:line;len:64;;"
    "View;code:311;type:wlist;words:2;len:64;;",
    "depot": "Depot;code:251;rq;ro;len:32;;Type;code:254;rq;len:10;;StreamDepth;code:260;type:line;len:64;;"
    "Map;code:256;rq;type:word;words:1;len:64;;",
}
"""How the server describes its forms to clients."""


@contextlib.contextmanager
def on_wire(server: StandIn) -> Iterator[str]:
    """Serve a stand-in on a loopback port for a block; give the port as P4PORT has it."""
    with socket.create_server(("127.0.0.1", 0)) as listening, contextlib.ExitStack() as open_:
        accepting = threading.Thread(target=_accept, args=(listening, server, open_), daemon=True)
        accepting.start()
        try:
            yield f"127.0.0.1:{listening.getsockname()[1]}"
        finally:
            # A blocked accept is woken only by this.
            listening.shutdown(socket.SHUT_RDWR)
            accepting.join()


def _accept(listening: socket.socket, server: StandIn, open_: contextlib.ExitStack) -> None:
    while True:
        try:
            connection, _ = listening.accept()
        except OSError:
            return
        talking = threading.Thread(target=_Talk(connection, server).run, daemon=True)
        talking.start()
        open_.callback(talking.join)
        open_.callback(_hang_up, connection)


def _hang_up(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


class _Talk:
    """One connection."""

    def __init__(self, connection: socket.socket, server: StandIn) -> None:
        self._connection = connection
        self._server = server
        self._started = server.started
        self._waiting: dict[str, bytes] = {}

    def run(self) -> None:
        """Answer until either side ends it."""
        # What is small must not wait for an acknowledgement of what went before.
        self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._connection, contextlib.suppress(OSError):
            while (fields := self._receive()) is not None:
                known = dict(fields)
                told = known.get("func", b"").decode()
                if told == "protocol":
                    self._send("protocol", xfiles=b"7", server2=b"57", security=b"1")
                    continue
                kind, _, name = told.partition("-")
                handle = {"user": self._command, "dm": self._answered}.get(kind)
                if handle is not None and not handle(name, fields, known):
                    return

    def _command(self, command: str, fields: Fields, known: dict[str, bytes]) -> bool:
        args = tuple(value.decode() for name, value in fields if not name)
        if command == "login":
            self._send("client-Prompt", data=b"Enter password: ", noecho=b"", confirm=b"dm-login")
            return True
        if "-i" in args:
            self._waiting = known | {"args": "\0".join(args).encode()}
            confirm = f"dm-{command}".encode()
            self._send("client-InputData", specdef=_FORMS[command].encode(), confirm=confirm)
            return True
        return self._serve(command, args, known, form=None)

    def _answered(self, command: str, fields: Fields, known: dict[str, bytes]) -> bool:
        del fields
        data = known.get("data", b"").decode()
        if command == "login":
            return self._log_in(data)
        args = tuple(self._waiting["args"].decode().split("\0"))
        form = self._server.state.library.read(command, data)
        return self._serve(command, args, self._waiting, form=form)

    def _log_in(self, digest: str) -> bool:
        # The client hashes what was typed before it leaves.
        if digest == hashlib.md5(self._server.password.encode(), usedforsecurity=False).hexdigest().upper():
            self._message(7 << 10 | 314, severity=1, generic=0, text=self._server.ticket)
        else:
            self._message(PASSWORD.number, severity=3, generic=PASSWORD.generic, text=PASSWORD.text)
        self._send("release")
        return True

    def _serve(self, command: str, args: tuple[str, ...], known: dict[str, bytes], *, form: Record | None) -> bool:
        """Run a command and send its answer; False when the connection is to end."""
        call = Call(self._server.state, known["user"].decode(), command, args, form, known["client"].decode())
        try:
            # The client's first command, by which it asks where else the server is.
            asked = command == "discover" and self._server.running
            answer = [] if asked else self._server.serve(call, started=self._started)
        except Failure as failure:
            if failure.message is CLOSED:
                return False
            message = failure.message
            self._message(message.number, severity=3, generic=message.generic, text=failure.text)
            answer = []
        for record in answer:
            self._send("client-FstatInfo", **_flat(command, record, form="-o" in args))
        self._send("release")
        return True

    def _message(self, number: int, *, severity: int, generic: int, text: str) -> None:
        code = severity << 28 | 1 << 24 | generic << 16 | number
        self._send("client-Message", code0=str(code).encode(), fmt0=b"%text%", text=text.encode())

    def _send(self, func: str, **fields: bytes) -> None:
        body = b"".join(_field(name, value) for name, value in {**fields, "func": func.encode()}.items())
        length = struct.pack("<I", len(body))
        self._connection.sendall(bytes([reduce(xor, length)]) + length + body)

    def _receive(self) -> Fields | None:
        header = self._exactly(_HEADER)
        if header is None:
            return None
        body = self._exactly(struct.unpack("<I", header[1:])[0])
        return None if body is None else list(_fields(body))

    def _exactly(self, size: int) -> bytes | None:
        read = bytearray()
        while len(read) < size:
            part = self._connection.recv(size - len(read))
            if not part:
                return None
            read += part
        return bytes(read)


def _field(name: str, value: bytes) -> bytes:
    return name.encode() + b"\0" + struct.pack("<I", len(value)) + value + b"\0"


def _fields(body: bytes) -> Iterator[tuple[str, bytes]]:
    place = 0
    while place < len(body):
        end = body.index(b"\0", place)
        size = struct.unpack_from("<I", body, end + 1)[0]
        yield body[place:end].decode(), body[end + 5 : end + 5 + size]
        place = end + 5 + size + 1


def _flat(command: str, record: Record, *, form: bool) -> dict[str, bytes]:
    """Give a record as it is sent: fields of several lines are numbered, and forms come with their description."""
    flat: dict[str, bytes] = {}
    for name, value in record.items():
        lines = {name: value} if isinstance(value, str) else {f"{name}{n}": line for n, line in enumerate(value)}
        flat |= {field: line.encode() for field, line in lines.items()}
    return flat | {"specdef": _FORMS[command].encode(), "specFormatted": b""} if form else flat
