"""The process that sends: a job on standard input, and as long as that stays open it waits, and answers one client."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable

import msgspec

from gateway.core.errors import GatewayError, Internal, Unsupported
from gateway.core.model import VolumeKind
from gateway.mover import kernel
from gateway.mover.far.answering import Answering, Blocks, Offer, Tree
from gateway.mover.far.channel import Channel
from gateway.mover.far.reception import Reception, listener
from gateway.mover.far.trust import server_context
from gateway.mover.far.words import VERSION, Welcome
from gateway.mover.voice import Voice, die_unwanted, settle_in
from gateway.mover.wire import Failed, Listening, SendJob, Sent, decode_send_job


def main() -> int:
    """Serve the one client that there is. The last line says how it ended."""
    kernel.die_with_parent()
    job = decode_send_job(sys.stdin.buffer.readline())
    die_unwanted()
    settle_in()
    voice = Voice()
    try:
        serve(job, voice.say)
    except GatewayError as error:
        voice.say(Failed(error=error.to_record()))
    except Exception:  # noqa: BLE001 - whatever it is, the gateway has to hear of it
        traceback.print_exc()
        voice.say(Failed(error=Internal(incident=f"sending {job.id}").to_record()))
    else:
        voice.say(Sent())
    return 0


def serve(job: SendJob, say: Callable[[Listening], None]) -> None:
    """Wait for who fetches it, and answer as long as there are questions. `say` is told where that is."""
    if job.kind not in (VolumeKind.FILESYSTEM, VolumeKind.BLOCK):
        raise Unsupported(capability="replicate", backend="mover", reason=f"nothing sends {job.kind.value} content")
    with Tree(job.path) if job.kind is VolumeKind.FILESYSTEM else Blocks.at(job.path) as offer:
        context = server_context(job.certificate, job.key, job.peer_certificate)
        with listener(job.host, job.ports) as listening:
            address, port = listening.getsockname()[:2]
            say(Listening(address=address, port=port))
            reception = Reception(context, job.token.reveal(), job.peer_certificate)
            channel, hello = reception.wait(listening, job.patience_s)
        try:
            channel.bear(None)
            _answer(offer, channel, hello.key, kind=job.kind)
        finally:
            channel.close()


def _answer(offer: Offer, channel: Channel, key: bytes, *, kind: VolumeKind) -> None:
    channel.send(msgspec.msgpack.encode(Welcome(VERSION, kind.value, offer.length)))
    answering = Answering(offer, channel, key, tree=kind is VolumeKind.FILESYSTEM)
    while answering.answer(channel.receive()):
        pass


if __name__ == "__main__":
    sys.exit(main())
