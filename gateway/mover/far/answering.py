"""The sender's side: questions are answered, whoever asks them; nothing outside of the source is ever opened."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Protocol, Self

import msgspec

from gateway.core.errors import GatewayError, InvalidArgument
from gateway.mover.attributes import Spot
from gateway.mover.batch import Folders
from gateway.mover.blocks import opened_blocks
from gateway.mover.content import PAGE, UNIT, Difference, Source, grouped
from gateway.mover.failures import SOURCE, at
from gateway.mover.far.channel import Channel
from gateway.mover.far.listing import pages
from gateway.mover.far.words import (
    CHANGED,
    DIGEST,
    Answer,
    Bye,
    Check,
    Differing,
    Done,
    Failed,
    File,
    More,
    Page,
    Question,
    Run,
    Runs,
    Sum,
    Summed,
    Walk,
    Want,
    digests,
    fits,
    packed,
    time_of,
)

_RUNS_BYTES = UNIT
_ZEROS = bytes(PAGE)


class Offer(Protocol):
    """What is offered."""

    @property
    def length(self) -> int:
        """Give the bytes that there are, of blocks."""

    def pages(self, *, keyed: bool) -> Iterator[Page]:
        """Yield what there is, of a tree, in the order that `Walk` says."""

    def opened(self, file: File) -> int:
        """Give an open file; it stays open until the next one is asked for."""


class Tree:
    """A directory, as an `Offer`."""

    def __init__(self, path: str) -> None:
        self._stack = ExitStack()
        with at(SOURCE):
            self._root = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._stack.callback(os.close, self._root)
        self._folders = self._stack.enter_context(Folders(self._root))
        self._file: File | None = None
        self._fd: int | None = None
        self.length = 0

    def __enter__(self) -> Self:
        """Give itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close everything."""
        self._leave()
        self._stack.close()

    def pages(self, *, keyed: bool) -> Iterator[Page]:
        """See `Offer`."""
        return pages(self._root, keyed=keyed)

    def opened(self, file: File) -> int:
        """See `Offer`."""
        if self._fd is not None and file == self._file:
            return self._fd
        self._leave()
        *way, name = (os.fsdecode(each) for each in file.way)
        with at(SOURCE):
            spot = Spot(self._folders.open(tuple(way)), name)
            status = spot.status()
            # A device is not even opened: that may already do something.
            if status is None or not stat.S_ISREG(status.st_mode):
                raise CHANGED
            fd = spot.open(os.O_RDONLY)
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                os.close(fd)
                raise CHANGED
        self._fd, self._file = fd, file
        return fd

    def _leave(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = self._file = None


class Blocks:
    """A raw file or device, as an `Offer`."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self.length = Source(fd).length

    @classmethod
    @contextmanager
    def at(cls, path: str) -> Iterator[Self]:
        """Open it for a block."""
        with opened_blocks(path, os.O_RDONLY, SOURCE) as fd:
            yield cls(fd)

    def pages(self, *, keyed: bool) -> Iterator[Page]:  # noqa: ARG002 - there are none
        """See `Offer`."""
        raise _refused("walk")

    def opened(self, _file: File) -> int:
        """See `Offer`."""
        return self._fd


class Answering:
    """Answers questions about an offer. `key` is what checksums are made with."""

    def __init__(self, offer: Offer, channel: Channel, key: bytes, *, tree: bool) -> None:
        self._offer = offer
        self._channel = channel
        self._key = key
        self._tree = tree
        self._pages: Iterator[Page] = iter(())
        self._decoder = msgspec.msgpack.Decoder(Question)

    def answer(self, frame: bytes) -> bool:
        """Answer a question; tell whether there may be more. InvalidArgument when there is no such question."""
        try:
            question: Question = self._decoder.decode(frame)
        except (msgspec.DecodeError, UnicodeError) as error:
            raise _refused("frame") from error
        if isinstance(question, Check | Want | Sum) and not (fits(question) and bool(question.file.way) == self._tree):
            raise _refused("range")
        try:
            match question:
                case Walk():
                    self._pages = self._offer.pages(keyed=question.keyed)
                    self._say(next(self._pages))
                case More():
                    self._say(next(self._pages, Page(packed(()), last=True)))
                case Check():
                    self._say(Differing(list(self._differing(question))))
                case Want():
                    self._give(question)
                case Sum():
                    self._say(Summed(self._source(question.file).digest(question.offset, question.end)))
        except InvalidArgument:
            raise
        except GatewayError as error:
            self._say(Failed(error.to_record()))
        return not isinstance(question, Bye)

    def _differing(self, question: Check) -> Iterator[int]:
        source = self._source(question.file)
        for number, start in enumerate(range(question.offset, question.end, UNIT)):
            data = source.read(start, min(UNIT, question.end - start))
            (found,) = digests(data, UNIT, self._key)
            if found != question.digests[number * DIGEST : (number + 1) * DIGEST]:
                yield number

    def _give(self, question: Want) -> None:
        source = self._source(question.file)
        held: list[Run] = []
        weight = 0
        for run in self._runs(source, question):
            held.append(Run(run.offset, run.length, run.data))
            weight += PAGE + (len(run.data) if run.data is not None else 0)
            if weight >= _RUNS_BYTES:
                self._say(Runs(held))
                held, weight = [], 0
        if held:
            self._say(Runs(held))
        status = os.fstat(self._offer.opened(question.file))
        self._say(Done(source.length, time_of(status.st_ctime_ns), source.data_from(question.end)))

    def _runs(self, source: Source, question: Want) -> Iterator[Difference]:
        offset = question.offset
        while offset < question.end:
            if not question.digests:
                data_from = source.data_from(offset)
                if data_from is None or data_from >= question.end:
                    return
                offset = max(offset, data_from // PAGE * PAGE)
            data = source.read(offset, min(UNIT, question.end - offset))
            yield from grouped(offset, data, self._same(question, offset, data))
            offset += UNIT

    def _same(self, question: Want, offset: int, data: bytes) -> Callable[[int, bytes], bool]:
        """Give what tells whether the mover has a page of a part already."""
        if not question.digests:
            return lambda _start, page: page == _ZEROS[: len(page)]
        first = (offset - question.offset) // PAGE * DIGEST
        known, found = question.digests[first:], b"".join(digests(data, PAGE, self._key))

        def same(start: int, _page: bytes) -> bool:
            digest = slice(start // PAGE * DIGEST, (start // PAGE + 1) * DIGEST)
            return found[digest] == known[digest]

        return same

    def _source(self, file: File) -> Source:
        return Source(self._offer.opened(file))

    def _say(self, answer: Answer) -> None:
        self._channel.send(msgspec.msgpack.encode(answer))


def _refused(what: str) -> InvalidArgument:
    return InvalidArgument(field=what, reason="the mover asked for what no mover asks for")
