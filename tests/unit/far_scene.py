"""Two gateways that know each other's certificate, and what one of them offers to the other, over loopback."""

from __future__ import annotations

import contextlib
import queue
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self
from uuid import uuid4

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from mover_scene import job

from gateway.core.errors import Unavailable
from gateway.core.model import VolumeKind
from gateway.core.mover import FarPlace, MoveJob
from gateway.core.secret import Secret
from gateway.mover.send import serve
from gateway.mover.wire import Listening, SendJob, SendLine, encode_job

PROGRAM = (sys.executable, "-m", "gateway.mover.send")
LIMIT_S = 60


class Side:
    """A gateway: the files of its certificate and key. `signer`: who has signed it; None: itself."""

    def __init__(self, folder: Path, ends: timedelta = timedelta(days=1), signer: Side | None = None) -> None:
        folder.mkdir()
        self.certificate, self.key = folder / "certificate.pem", folder / "key.pem"
        self.private = ec.generate_private_key(ec.SECP256R1())
        self.key.write_bytes(
            self.private.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        self.certificate.write_bytes(self._signed(folder.name, ends, signer or self))

    @property
    def pem(self) -> str:
        return self.certificate.read_text(encoding="utf-8")

    def _signed(self, name: str, ends: timedelta, signer: Side) -> bytes:
        """Give a certificate that says nothing of what it is for, so that it could also sign others."""
        now = datetime.now(UTC)
        self.name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        made = (
            x509.CertificateBuilder()
            .subject_name(self.name)
            .issuer_name(signer.name)
            .public_key(self.private.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=2))
            .not_valid_after(now + ends)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(signer.private, hashes.SHA256())
        )
        return made.public_bytes(serialization.Encoding.PEM)


class Sides:
    """Who sends, who fetches, and a stranger."""

    def __init__(self, folder: Path) -> None:
        self.sender, self.mover, self.stranger = (Side(folder / name) for name in ("sender", "mover", "stranger"))

    def offer(self, path: Path, kind: VolumeKind, **options: object) -> SendJob:
        given = SendJob(
            id=uuid4(),
            kind=kind,
            path=str(path),
            host="127.0.0.1",
            ports=(),
            certificate=str(self.sender.certificate),
            key=str(self.sender.key),
            peer_certificate=self.mover.pem,
            token=Secret("token"),
            patience_s=float(LIMIT_S),
        )
        return msgspec.structs.replace(given, **options)

    def place(self, port: int, **options: object) -> FarPlace:
        given = FarPlace(
            address="127.0.0.1",
            port=port,
            token=Secret("token"),
            certificate=str(self.mover.certificate),
            key=str(self.mover.key),
            peer_certificate=self.sender.pem,
        )
        return msgspec.structs.replace(given, **options)


class Sending:
    """A process that sends."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.process = process
        self.port = port

    def end(self) -> SendLine:
        """Wait for its last line, and its end."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert self.process.wait(LIMIT_S) == 0
        return msgspec.json.decode(line, type=SendLine)


@contextlib.contextmanager
def sending(offer: SendJob) -> Iterator[Sending]:
    """Send, in a process of its own."""
    with subprocess.Popen(PROGRAM, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(encode_job(offer))
            process.stdin.flush()
            line = msgspec.json.decode(process.stdout.readline(), type=SendLine)
            assert isinstance(line, Listening), line
            yield Sending(process, line.port)
        finally:
            process.kill()


@contextlib.contextmanager
def served(offer: SendJob) -> Iterator[int]:
    """Send, in a thread; give the port. Fail when it does not end as it should."""
    ports: queue.SimpleQueue[int] = queue.SimpleQueue()
    with ThreadPoolExecutor(1) as executor:
        ended = executor.submit(serve, offer, lambda said: ports.put(said.port))
        yield ports.get(timeout=LIMIT_S)
        ended.result(LIMIT_S)


@contextlib.contextmanager
def broken(offer: SendJob) -> Iterator[int]:
    """The same, when the connection does not end well: both sides are told."""
    told = False
    try:
        with served(offer) as port:
            yield port
    except Unavailable:
        told = True
    assert told


def from_afar(
    place: FarPlace, destination: Path, kind: VolumeKind = VolumeKind.FILESYSTEM, **options: object
) -> MoveJob:
    return msgspec.structs.replace(job(Path("/nowhere"), destination, kind, **options), source=place)


class Cable:
    """Leads from one port to another, counts what passes, and is cut after so many bytes from the far end."""

    def __init__(self, port: int, cut_after: int) -> None:
        self._to = port
        self._left = cut_after
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.passed = 0

    def __enter__(self) -> Self:
        self._executor = ThreadPoolExecutor(2)
        self._executor.submit(self._lead)
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        self._executor.shutdown()

    def _lead(self) -> None:
        near, _ = self._listener.accept()
        far = socket.create_connection(("127.0.0.1", self._to))
        with near, far:
            there = self._executor.submit(self._forward, near, far)
            self._forward(far, near, measured=True)
            there.result()

    def _forward(self, source: socket.socket, target: socket.socket, *, measured: bool = False) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self.passed += len(data)
                if measured:
                    data = data[: self._left]
                    self._left -= len(data)
                target.sendall(data)
                if measured and not self._left:
                    break
        for each in (source, target):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
