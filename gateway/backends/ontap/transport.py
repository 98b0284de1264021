"""The way to the cluster: whom to trust, how often to ask, and when to leave it alone. All of it blocks."""

from __future__ import annotations

import hashlib
import socket
import ssl
import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx

from gateway.core.errors import Timeout, Unavailable
from gateway.core.runner import Circuit, SystemRunner

_ATTEMPTS = 3
_PAUSE_S = 0.2
_ANSWER_MAX = 64 * 1024 * 1024


class PinnedContext(ssl.SSLContext):
    """Trusts the one certificate with this fingerprint, whoever issued it, before anything is sent to its owner."""

    fingerprint: str = ""

    def wrap_socket(  # type: ignore[override]
        self, sock: socket.socket, *, server_hostname: str | None = None
    ) -> ssl.SSLSocket:
        """Shake hands, then look at the certificate."""
        wrapped = super().wrap_socket(sock, server_hostname=server_hostname)
        shown = hashlib.sha256(wrapped.getpeercert(binary_form=True) or b"").hexdigest()
        if shown != self.fingerprint:
            wrapped.close()
            raise ssl.SSLCertVerificationError(f"its certificate has the fingerprint {shown}")
        return wrapped


def trust(fingerprint: str, ca: Path | None) -> ssl.SSLContext:
    """Give whom to trust: the certificate with the fingerprint, else what the authorities in `ca` vouch for."""
    if not fingerprint:
        return ssl.create_default_context(cafile=ca)
    context = PinnedContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.fingerprint = fingerprint.replace(":", "").lower()
    return context


class Bucket:
    """Lets `rate_per_s` callers pass per second on average, as many at once; 0: all of them."""

    def __init__(self, rate_per_s: float, *, clock: Callable[[], float], pause: Callable[[float], None]) -> None:
        self._rate = rate_per_s
        self._clock = clock
        self._pause = pause
        self._lock = threading.Lock()
        self._tokens = max(rate_per_s, 1.0)
        self._counted = clock()

    def take(self) -> None:
        """Wait for one's turn."""
        if not self._rate:
            return
        with self._lock:
            now = self._clock()
            self._tokens = min(self._tokens + (now - self._counted) * self._rate, max(self._rate, 1.0)) - 1
            self._counted = now
            wait_s = -self._tokens / self._rate
        if wait_s > 0:
            self._pause(wait_s)


class GuardedTransport(httpx.BaseTransport):
    """Another transport, asked at a bounded rate, and left alone for a while when it does not answer.

    A request that only reads is sent again when its connection breaks. An
    answer is whole before it is given, is not waited for longer than the
    request allows, and is not larger than anything that a cluster has to say.
    """

    def __init__(
        self,
        inner: httpx.BaseTransport,
        *,
        what: str,
        rate_per_s: float,
        rest_s: float,
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._inner = inner
        self._clock = clock
        self._pause = pause
        self._bucket = Bucket(rate_per_s, clock=clock, pause=pause)
        self._circuit = Circuit(SystemRunner(), what=what, rest_s=rest_s, clock=clock)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request and give the whole answer; Unavailable while the cluster is left alone."""
        attempts = _ATTEMPTS if request.method == "GET" else 1
        failure: httpx.TransportError | None = None
        for attempt in range(1, attempts + 1):
            try:
                return self._sent(request)
            except httpx.TransportError as error:
                if attempt == attempts or isinstance(error, httpx.TimeoutException):
                    raise
                failure = error
            except Unavailable:
                if failure is None:
                    raise
                raise failure from failure.__cause__
            self._pause(_PAUSE_S * attempt)
        raise AssertionError("the loop returns")

    def close(self) -> None:
        """Close the connections."""
        self._inner.close()

    def _sent(self, request: httpx.Request) -> httpx.Response:
        self._bucket.take()
        patience_s = float(request.extensions["timeout"]["read"])

        def ask() -> httpx.Response:
            try:
                return _whole(self._inner.handle_request(request), self._clock() + patience_s, self._clock)
            except httpx.TransportError as error:
                raise Timeout from error  # as the circuit counts failures

        try:
            return self._circuit.call(ask, timeout_s=patience_s)
        except Timeout as silent:
            failure = silent.__cause__
            if failure is None:
                raise
            raise failure from failure.__cause__


def _whole(response: httpx.Response, until: float, clock: Callable[[], float]) -> httpx.Response:
    body = bytearray()
    try:
        for part in response.iter_raw():
            body += part
            if len(body) > _ANSWER_MAX:
                raise httpx.RemoteProtocolError("the answer does not end")
            if clock() > until:
                raise httpx.ReadTimeout("the answer does not end in time")
    finally:
        response.close()
    return httpx.Response(
        response.status_code,
        headers=response.headers,
        stream=httpx.ByteStream(bytes(body)),
        extensions=response.extensions,
    )
