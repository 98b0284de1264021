"""The mover's side: questions go out as they come up, and their answers are kept until somebody looks at them."""

from __future__ import annotations

import secrets
import socket
import ssl
import sys
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import msgspec

from gateway.core.errors import GatewayError, Unavailable, from_record
from gateway.core.model import VolumeKind
from gateway.core.mover import FarPlace
from gateway.mover.failures import SOURCE
from gateway.mover.far.channel import Channel
from gateway.mover.far.trust import client_context, is_peer
from gateway.mover.far.words import (
    AHEAD_MAX,
    FRAME_MAX,
    KEY,
    VERSION,
    Answer,
    Bye,
    Failed,
    Hello,
    Question,
    Runs,
    Spoken,
    Welcome,
    believed,
)

_CONNECT_S = 30.0
_SILENCE_S = 300.0
_LENGTH_MAX = 1 << 63


class Answers:
    """What comes for one question."""

    def __init__(self, asking: Asking) -> None:
        self._asking = asking
        self._held: deque[Answer] = deque()
        self._wanted = True
        self.whole = False

    def next(self) -> Answer:
        """Wait for the next message. Raises what has gone wrong at the source."""
        with self._asking.lock:
            while not self._held:
                if self.whole:
                    raise senseless()
                self._asking.advance()
            answer = self._held.popleft()
        if isinstance(answer, Failed):
            raise _failure(answer)
        return answer

    def drop(self) -> None:
        """Keep nothing of it: nobody will look at it."""
        self._wanted = False
        self._held.clear()

    def take(self, answer: Answer) -> None:
        """Take a message that came."""
        self.whole = not isinstance(answer, Runs)
        if self._wanted:
            self._held.append(answer)


class Asking:
    """Asks the sender. Threads may share it. `key` is what checksums are made with, `length` that of blocks."""

    def __init__(self, channel: Channel, key: bytes, length: int) -> None:
        self._channel = channel
        self._open: deque[Answers] = deque()
        self._decoder = msgspec.msgpack.Decoder(Answer)
        self.lock = threading.RLock()
        self.key = key
        self.length = length

    def ask(self, question: Question) -> Answers:
        """Ask, and give where the answers will be. Nothing waits for them yet."""
        answers = Answers(self)
        with self.lock:
            self._channel.send(msgspec.msgpack.encode(question))
            self._open.append(answers)
        return answers

    def advance(self) -> None:
        """Wait for one more message, whatever it answers."""
        frame = self._channel.receive()
        try:
            answer: Answer = self._decoder.decode(frame)
        except (msgspec.DecodeError, UnicodeError) as error:
            raise senseless() from error
        if not self._open:
            raise senseless()
        self._open[0].take(answer)
        if self._open[0].whole:
            self._open.popleft()


@contextmanager
def reached(place: FarPlace, kind: VolumeKind) -> Iterator[Asking]:
    """Connect to a sender for a block."""
    channel = _connected(place)
    try:
        key = secrets.token_bytes(KEY)
        channel.send(msgspec.msgpack.encode(Hello(VERSION, place.token.reveal(), key)))
        try:
            welcome = msgspec.msgpack.decode(channel.receive(), type=Welcome | Spoken)
        except (msgspec.DecodeError, UnicodeError) as error:
            raise senseless() from error
        if not isinstance(welcome, Welcome) or welcome.version != VERSION:
            raise Unavailable(what=SOURCE, reason="the gateway it is at is of another release")
        if welcome.kind != kind.value or not 0 <= welcome.length < _LENGTH_MAX:
            raise senseless()
        yield Asking(channel, key, welcome.length)
        with suppress(GatewayError):  # it has nothing to say to that
            channel.send(msgspec.msgpack.encode(Bye()))
    finally:
        channel.close()


def _connected(place: FarPlace) -> Channel:
    context = client_context(place.certificate, place.key, place.peer_certificate)
    try:
        connection = socket.create_connection((place.address, place.port), timeout=_CONNECT_S)
    except OSError as error:
        sys.stderr.write(f"connection: {error!r}\n")
        raise Unavailable(what=SOURCE, reason="the gateway it is at cannot be reached") from error
    try:
        secured = context.wrap_socket(connection)
    except OSError as error:
        connection.close()
        sys.stderr.write(f"connection: {error!r}\n")
        if isinstance(error, ssl.SSLCertVerificationError):
            raise _other() from error
        raise Unavailable(what=SOURCE, reason="the gateway it is at cannot be reached") from error
    channel = Channel(secured, end=SOURCE, frame_max=FRAME_MAX, ahead_max=AHEAD_MAX, silence_s=_SILENCE_S)
    if not is_peer(secured, place.peer_certificate):
        channel.close()
        raise _other()
    return channel


def _other() -> Unavailable:
    return Unavailable(what=SOURCE, reason="what answers there has another certificate than the gateway it is at")


def _failure(answer: Failed) -> GatewayError:
    if believed(answer.error):
        return from_record(answer.error)
    sys.stderr.write(f"the other gateway: {str(answer.error)[:1000]!r}\n")
    return Unavailable(what=SOURCE, reason="the gateway it is at has failed")


def senseless() -> Unavailable:
    """Give the error of answers that no sender gives."""
    return Unavailable(what=SOURCE, reason="the gateway it is at answers what makes no sense")
