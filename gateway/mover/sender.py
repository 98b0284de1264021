"""Starts a process for each thing that another gateway's mover may fetch, and ends it when nobody wants it any more."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import sys
from collections.abc import Callable, Sequence
from uuid import UUID, uuid4

import msgspec
import structlog

from gateway.core.errors import Busy, GatewayError, Internal, Unavailable, from_record
from gateway.core.model import VolumeKind
from gateway.core.mover import Offered
from gateway.core.secret import Secret
from gateway.core.worker import Worker
from gateway.mover.child import WHAT, Child
from gateway.mover.wire import Failed, Listening, SendJob, SendLine, Sent, encode_job

log = structlog.get_logger(__name__)

PROGRAM = (sys.executable, "-P", "-X", "utf8", "-m", "gateway.mover.send")
_PATIENCE_S = 120.0


class ProcessSenders:
    """See `gateway.core.mover.Senders`. The processes die with the gateway, however that dies.

    certificate, key: paths of files in PEM by which they show who they are.
    ports: those where they may listen; none: any that is free.
    at_once: how many there may be; Busy when one more is asked for.
    patience_s: how long one waits for whoever fetches what it has.
    """

    def __init__(
        self,
        *,
        certificate: str,
        key: str,
        ports: Sequence[int] = (),
        at_once: int = 8,
        patience_s: float = _PATIENCE_S,
        program: Sequence[str] = PROGRAM,
    ) -> None:
        self._certificate = certificate
        self._key = key
        self._ports = tuple(ports)
        self._at_once = at_once
        self._patience_s = patience_s
        self._program = tuple(program)
        self._worker = Worker("sender", at_once)
        self._sendings: dict[UUID, _Sending] = {}

    async def offer(self, *, kind: VolumeKind, path: str, listen_host: str, peer_certificate: str) -> Offered:
        """See `gateway.core.mover.Senders`."""
        if len(self._sendings) >= self._at_once:
            raise Busy(what="sender")
        job = SendJob(
            id=uuid4(),
            kind=kind,
            path=path,
            host=listen_host,
            ports=self._ports,
            certificate=self._certificate,
            key=self._key,
            peer_certificate=peer_certificate,
            token=Secret(secrets.token_urlsafe(32)),
            patience_s=self._patience_s,
        )
        sending = self._sendings[job.id] = _Sending(self._program, job)
        sending.begin(self._worker, lambda: self._sendings.pop(job.id, None))
        try:
            heard = await sending.listening()
        except BaseException:
            await self.withdraw(job.id)
            raise
        return Offered(id=job.id, address=heard.address, port=heard.port, token=job.token)

    async def withdraw(self, offer: UUID) -> None:
        """See `gateway.core.mover.Senders`."""
        sending = self._sendings.get(offer)
        if sending is not None:
            await sending.end()

    async def ended(self, offer: UUID) -> None:
        """Wait until an offer has come to its end, whichever that is."""
        sending = self._sendings.get(offer)
        if sending is not None:
            await sending.over()

    async def close(self) -> None:
        """End what is still offered. Idempotent."""
        for sending in tuple(self._sendings.values()):
            await sending.end()
        await self._worker.close()


class _Sending:
    """One process, from its start to its end."""

    def __init__(self, program: tuple[str, ...], job: SendJob) -> None:
        self._job = job
        self._child = Child(program, encode_job(job), self._note)
        self._heard: asyncio.Future[Listening] = asyncio.get_running_loop().create_future()
        self._ended: asyncio.Future[None] | None = None

    def begin(self, worker: Worker, ended: Callable[[], object]) -> None:
        """Start it; `ended` is called when it is no more."""
        loop = asyncio.get_running_loop()

        def heard(line: Listening) -> None:
            with contextlib.suppress(RuntimeError):  # a loop that is gone
                loop.call_soon_threadsafe(self._hear, line)

        def over(running: asyncio.Future[None]) -> None:
            ended()
            if not running.cancelled():
                running.exception()  # whoever waits for it is told all the same

        self._ended = asyncio.ensure_future(worker.run(self._to_end, heard))
        self._ended.add_done_callback(over)

    async def listening(self) -> Listening:
        """Wait until it can be reached. Raises what it says instead."""
        if self._ended is not None:
            await asyncio.wait((self._heard, self._ended), return_when=asyncio.FIRST_COMPLETED)
            if not self._heard.done():
                await self._ended
                raise Unavailable(what=WHAT, reason="its process was ended")
        return await self._heard

    async def end(self) -> None:
        """End it, and wait until it has ended."""
        self._child.kill()
        if self._ended is not None:
            self._ended.cancel()  # it may not have begun
        await self.over()

    async def over(self) -> None:
        """Wait until it has ended."""
        if self._ended is not None:
            await asyncio.wait((self._ended,))

    def _hear(self, line: Listening) -> None:
        if not self._heard.done():
            self._heard.set_result(line)

    def _to_end(self, heard: Callable[[Listening], None]) -> None:
        reached = False
        try:
            with self._child.said() as lines:
                for line in lines:
                    match self._decoded(line):
                        case Listening() as said:
                            reached = True
                            heard(said)
                        case Sent():
                            return
                        case Failed() as failed:
                            raise from_record(failed.error)
            raise Unavailable(what=WHAT, reason="its process was ended")
        except GatewayError as error:
            if not reached:
                raise
            # Whoever fetches it is told by the end of the connection.
            log.warning("sending failed", sending=str(self._job.id), error=str(error))

    def _decoded(self, line: bytes) -> SendLine:
        try:
            said: SendLine = msgspec.json.decode(line, type=SendLine)
        except msgspec.DecodeError as error:
            raise Internal(incident=f"sending {self._job.id}") from error
        return said

    def _note(self, text: str) -> None:
        log.warning("sending complained", sending=str(self._job.id), detail=text)
