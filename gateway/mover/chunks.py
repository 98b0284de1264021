"""Blocks in object stores: an object for each unit that is not all zeros, and a document that says what they are.

As with trees the document is set last, in one request, and what it says of an
object holds only while that has the tag that it names.
"""

from __future__ import annotations

import gzip
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing
from typing import IO

import msgspec

from gateway.core.errors import LimitExceeded, NotFound, Unavailable
from gateway.core.mover import OURS, ObjectPlace
from gateway.mover.aligning import aligned
from gateway.mover.blocks import opened_blocks, reserved
from gateway.mover.content import UNIT, Present, Source, Stored, Target, length_of, runs
from gateway.mover.failures import DESTINATION, SOURCE, at
from gateway.mover.lanes import Lanes, lanes
from gateway.mover.locks import alone
from gateway.mover.meter import Meter
from gateway.mover.stores import PART, THREADS, Listed, Store, digest_of, tag_of

DOCUMENT = f"{OURS}blocks"
FOLDER = "blocks/"
_FORMAT = "gateway-blocks-1"
_ZEROS = bytes(UNIT)


class Head(msgspec.Struct, frozen=True):
    """The document's first line. `length` is in bytes, as is `unit`."""

    format: str
    length: int
    unit: int


class Chunk(msgspec.Struct, frozen=True, gc=False):
    """A unit with something in it, by its number."""

    number: int
    etag: str
    digest: str

    @property
    def order(self) -> bytes:
        """Give its place in the order of the keys."""
        return key_of(self.number).encode()


def key_of(number: int) -> str:
    """Give the key of a unit."""
    return f"{FOLDER}{number:010x}"


def blocks_to_objects(path: str, place: ObjectPlace, meter: Meter) -> None:
    """Make the objects of a place those of a raw file or device."""
    with ExitStack() as stack:
        fd = stack.enter_context(opened_blocks(path, os.O_RDONLY, SOURCE))
        content_to_objects(Source(fd), place, meter)


def content_to_objects(content: Stored, place: ObjectPlace, meter: Meter) -> None:
    """Make the objects of a place those of blocks that may be anywhere."""
    _Upload(content, Store(place, DESTINATION), meter).run()


class _Upload:
    def __init__(self, source: Stored, store: Store, meter: Meter) -> None:
        self._source = source
        self._store = store
        self._meter = meter

    def run(self) -> None:
        """Upload what differs, remove what has to go, and set the document."""
        store = self._store
        before = next((listed.etag for listed in store.listed(DOCUMENT) if listed.key == DOCUMENT), None)
        with tempfile.TemporaryFile() as file, ExitStack() as stack:
            known: Iterator[Chunk] = iter(())
            if before is not None:
                body = stack.enter_context(closing(store.open(DOCUMENT)))
                _, known = _read(body, DESTINATION)
            zipped = gzip.GzipFile(fileobj=file, mode="wb", compresslevel=6, mtime=0)
            _write(zipped, Head(_FORMAT, self._source.length, UNIT))
            rows = aligned(
                (self._units(), lambda number: key_of(number).encode()),
                (known, lambda chunk: chunk.order),
                ((one for one in store.listed() if not one.key.startswith(OURS)), lambda one: one.key.encode()),
                end=DESTINATION,
            )

            def take(chunk: Chunk | None) -> None:
                if chunk is not None:
                    _write(zipped, chunk)

            made: Lanes[Chunk | None] = stack.enter_context(lanes(THREADS, take))
            for number, was, there in rows:
                self._settle(made, number, was, there)
            made.finish()
            zipped.close()
            file.flush()
            content = Source(file.fileno())
            if before is None or content.length > PART or tag_of((content.read(0, content.length),)) != before:
                store.put(DOCUMENT, content.read, content.length, self._meter)
                self._meter.passed("object.settled")

    def _units(self) -> Iterator[int]:
        """Yield the numbers of the units that may not be all zeros."""
        number = 0
        while (start := self._source.data_from(number * UNIT)) is not None:
            number = max(number, start // UNIT)
            yield number
            number += 1

    def _settle(self, made: Lanes[Chunk | None], number: int | None, was: Chunk | None, there: Listed | None) -> None:
        if number is None:
            if there is not None:
                made.ask(lambda: self._store.remove((there.key,)))
            return
        valid = was is not None and there is not None and was.etag == there.etag
        made.ask(lambda: self._upload(number, was if valid else None, there))

    def _upload(self, number: int, was: Chunk | None, there: Listed | None) -> Chunk | None:
        """Set the object of a unit, unless it is found to be the same; in a thread. None: it is all zeros."""
        offset, end = number * UNIT, min((number + 1) * UNIT, self._source.length)
        if self._source.distant and was is not None and was.digest == self._source.digest(offset, end):
            return was
        data = self._source.read(offset, end - offset)
        if data == _ZEROS[: len(data)]:
            if there is not None:
                self._store.remove((there.key,))
            return None
        digest = digest_of((data,))
        if there is not None and (tag_of((data,)) == there.etag if was is None else was.digest == digest):
            return Chunk(number, there.etag, digest)
        put = self._store.put(key_of(number), lambda _offset, _count: data, len(data), self._meter)
        self._meter.passed("object.put")
        return Chunk(number, put.etag, put.digest)


def objects_to_blocks(place: ObjectPlace, path: str, meter: Meter) -> None:
    """Make a raw file or device what a place of objects says; what it has beyond that becomes zeros."""
    store = Store(place, SOURCE)
    with ExitStack() as stack:
        if not store.has(DOCUMENT):
            raise NotFound(kind="blocks", ref=DOCUMENT)
        head, chunks = _read(stack.enter_context(closing(store.open(DOCUMENT))), SOURCE)
        fd = stack.enter_context(opened_blocks(path, os.O_RDWR, DESTINATION))
        stack.enter_context(at(DESTINATION))
        stack.enter_context(alone(fd))
        length = length_of(fd)
        if head.length > length:
            raise LimitExceeded(limit="size", value=head.length, maximum=length)
        target = Target(fd, meter, keep_room=reserved(fd))
        present, chunk = Present(fd), next(chunks, None)
        for number in range(-(-length // head.unit)):
            offset = number * head.unit
            count = min(head.unit, length - offset)
            mine, chunk = (chunk, next(chunks, None)) if chunk and chunk.number == number else (None, chunk)
            if mine is None and present.data_from(offset) is None:
                continue
            found = present.read(offset, count)
            wanted = bytes(count) if mine is None else _fetched(store, mine, found, min(count, head.length - offset))
            for difference in runs(offset, wanted, found) if wanted != found else ():
                target.put(difference)
                meter.passed("blocks.written")
        if chunk is not None:
            raise _damaged(SOURCE)
        target.prove()
        os.fsync(fd)
        meter.passed("blocks.proven")


def _fetched(store: Store, chunk: Chunk, found: bytes, count: int) -> bytes:
    """Give a unit: what is here, where that is what it is to be."""
    if digest_of((found[:count],)) == chunk.digest:
        data = found[:count]
    else:
        with closing(store.open(key_of(chunk.number))) as body, store.asked():
            data = body.read(count)
        if digest_of((data,)) != chunk.digest:
            raise Unavailable(what=SOURCE, reason="an object of it is not what was put there")
    return data.ljust(len(found), b"\0")


def _write(zipped: gzip.GzipFile, line: Head | Chunk) -> None:
    zipped.write(msgspec.json.encode(line) + b"\n")


def _read(file: IO[bytes], end: str) -> tuple[Head, Iterator[Chunk]]:
    """Give what a document says; Unavailable when it is damaged."""
    lines = _lines(file, end)
    try:
        head = msgspec.json.decode(next(lines, b""), type=Head)
    except msgspec.DecodeError as error:
        raise _damaged(end) from error
    if head.format != _FORMAT or head.unit != UNIT:
        raise Unavailable(what=end, reason="its blocks are of a newer gateway")
    return head, _chunks(lines, end)


def _lines(file: IO[bytes], end: str) -> Iterator[bytes]:
    try:
        with gzip.GzipFile(fileobj=file, mode="rb") as zipped:
            yield from zipped
    except (OSError, EOFError) as error:
        raise _damaged(end) from error


def _chunks(lines: Iterator[bytes], end: str) -> Iterator[Chunk]:
    decoder = msgspec.json.Decoder(Chunk)
    try:
        yield from map(decoder.decode, lines)
    except msgspec.DecodeError as error:
        raise _damaged(end) from error


def _damaged(end: str) -> Unavailable:
    return Unavailable(what=end, reason="the document of its blocks is damaged")
