"""Sending and receiving snapshots, step by step. All of it blocks.

What arrives is in the repository before anything names it. Then the volume
takes it: its sidecar names the new tree, and the snapshot that is on its way.
That is the step that decides; the sidecar of the snapshot follows, by whoever
comes next if the process dies.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import IO
from uuid import UUID, uuid4

import msgspec

from gateway.backends.files.names import flush
from gateway.backends.git_lfs.layout import HEAD as HEAD_REF
from gateway.backends.git_lfs.layout import SnapshotSidecar, Tree, VolumeSidecar, snapshot_of, snapshots_of
from gateway.backends.git_lfs.packs import Packer, Unpacker
from gateway.backends.git_lfs.pool import Kept, Pool
from gateway.backends.git_lfs.repository import NOTHING
from gateway.backends.git_lfs.stream import (
    CHUNK,
    DATA,
    FILE,
    FORMAT,
    HEAD,
    PACK,
    File,
    Head,
    Reader,
    Writer,
    broken_stream,
    digest,
)
from gateway.backends.git_lfs.usage import Usage, objects_of
from gateway.core.backend import Note, VolumeSpec
from gateway.core.errors import GatewayError, InvalidArgument, NotFound, Unavailable

Refs = dict[str, str]
_REF = re.compile(rb"refs/[^\x00-\x20\x7f]+\Z")
_OBJECT = re.compile(r"[0-9a-f]{40}\Z")


class Sender:
    """A stream that is being made."""

    def __init__(self, parts: Iterator[bytes]) -> None:
        self._parts = parts

    def read(self) -> bytes:
        """Give the next part; empty at the end."""
        return next(self._parts, b"")

    def stop(self) -> None:
        """Give it up. Idempotent."""
        close = getattr(self._parts, "close", None)
        if close is not None:
            close()


class Replicas:
    """Sends snapshots and takes them in."""

    def __init__(self, pool: Pool, usage: Usage) -> None:
        self._pool = pool
        self._usage = usage
        self._repository = pool.repository
        self._passed = pool.steps("receive")

    # --- sending ---

    def sender(self, volume: UUID, snapshot: UUID, base: UUID | None) -> Sender:
        """Start to send; NotFound when one of the snapshots is not there."""
        image = Tree(volume, self._pool.snapshot(volume, snapshot).sidecar.id)
        refs, had = self._pool.seen(image), Refs()
        if base is not None:
            had = self._pool.seen(Tree(volume, self._pool.snapshot(volume, base).sidecar.id))
        head = Head(
            format=FORMAT,
            snapshot=snapshot,
            branch=os.fsencode(self._pool.branch(image)),
            refs={os.fsencode(name): target for name, target in refs.items() if name != HEAD_REF},
            base="" if base is None else digest(had),
        )
        return Sender(self._parts(head, set(refs.values()), set(had.values())))

    def _parts(self, head: Head, tips: set[str], had: set[str]) -> Iterator[bytes]:
        writer = Writer()
        yield writer.frame(HEAD, msgspec.msgpack.encode(head))
        if tips:
            packer = Packer(self._pool.name, self._repository, tips, had)
            try:
                while part := packer.read():
                    yield writer.frame(PACK, part)
            finally:
                packer.stop()
        for oid, size in sorted(set(self._usage.files(tips)) - set(self._usage.files(had))):
            yield from self._file(writer, File(oid, size))
        yield writer.end()

    def _file(self, writer: Writer, file: File) -> Iterator[bytes]:
        """Give a large file. One that its author never sent is nowhere, and so it is not in the stream."""
        try:
            source = self._place(file.oid).open("rb")
        except FileNotFoundError:
            return
        with source:
            yield writer.frame(FILE, msgspec.msgpack.encode(file))
            while part := source.read(CHUNK):
                yield writer.frame(DATA, part)

    def _place(self, oid: str) -> Path:
        return objects_of(self._repository.path) / oid[:2] / oid[2:4] / oid

    # --- receiving ---

    def receiver(self, volume: UUID, snapshot: UUID) -> Receiver | None:
        """Start to receive; None when the snapshot is there already."""
        self.settle(volume)
        if self._pool.find_snapshot(volume, snapshot) is not None:
            return None
        self._passed("begun")
        return Receiver(self._pool, volume)

    def land(self, spec: VolumeSpec, snapshot: UUID, note: Note, head: Head) -> None:
        """Make what was received a snapshot, and its content the volume's."""
        passed = self._passed
        if not _is_sound(head):
            raise broken_stream()
        refs = {os.fsdecode(name): target for name, target in head.refs.items()}
        self._require_whole(refs)
        passed("streamed")
        present = self._pool.find_volume(spec.id)
        image, live = Tree(spec.id, snapshot), Tree(spec.id, uuid4())
        self._pool.clear(image)
        try:
            for tree in (image, live):
                self._pool.copy(refs, tree)
                self._pool.point(tree, os.fsdecode(head.branch))
            passed("made")
            arriving = SnapshotSidecar(id=snapshot, volume=spec.id, note=note)
            self._pool.put(*_advanced(spec, present, live=live, arriving=arriving), passed=passed)
        except GatewayError:
            self._pool.clear_later(image, live)
            raise
        self.settle(spec.id)
        passed("placed")
        if present is not None:
            self._pool.clear_later(Tree(spec.id, present.sidecar.tree))
        passed("removed")

    def _require_whole(self, refs: Refs) -> None:
        """Raise InvalidArgument unless everything that refs reach is here."""
        tips = "".join(f"{one}\n" for one in set(refs.values()))
        line = ("rev-list", "--objects", "--quiet", "--stdin", "--not", "--all")
        if tips and self._repository.ask(*line, stdin=tips.encode()).status:
            raise broken_stream()

    def settle(self, volume: UUID) -> None:
        """Let a snapshot follow that a volume has taken the content of already."""
        present = self._pool.find_volume(volume)
        if present is None or present.sidecar.arriving is None:
            return
        arriving, quietly = present.sidecar.arriving, _nothing
        if self._pool.find_snapshot(volume, arriving.id) is None:
            self._pool.put(arriving, NOTHING, passed=quietly)
        settled = msgspec.structs.replace(present.sidecar, arriving=None)
        self._pool.put(settled, present.written, passed=quietly)


class Receiver:
    """A stream that is being taken."""

    def __init__(self, pool: Pool, volume: UUID) -> None:
        self._pool = pool
        self._volume = volume
        self._reader = Reader()
        self._unpacker: Unpacker | None = None
        self._head: Head | None = None
        self._file: _Arriving | None = None

    @property
    def head(self) -> Head:
        """Give what the stream is of, once it has said so."""
        if self._head is None:
            raise broken_stream()
        return self._head

    def write(self, part: bytes) -> None:
        """Take the next part. NotFound when the volume has no such snapshot as the stream builds on."""
        for kind, data in self._reader.frames(part):
            try:
                self._take(kind, data)
            except msgspec.DecodeError:
                raise broken_stream() from None

    def _take(self, kind: bytes, data: bytes) -> None:
        if kind == HEAD and self._head is None:
            self._head = msgspec.msgpack.decode(data, type=Head)
            self._require(self._head)
        elif kind == PACK and self._head is not None and self._file is None:
            self._unpacker = self._unpacker or Unpacker(self._pool.name, self._pool.repository)
            self._unpacker.write(data)
        elif kind == FILE and self._head is not None:
            self._end_file()
            self._file = _Arriving(objects_of(self._pool.repository.path), msgspec.msgpack.decode(data, type=File))
        elif kind == DATA and self._file is not None:
            self._file.write(data)
        else:
            raise broken_stream()

    def _require(self, head: Head) -> None:
        if head.format > FORMAT:
            raise InvalidArgument(field="stream", reason="of a later release")
        if not head.base:
            return
        keys = (snapshot_of(ref) for ref in self._pool.repository.refs(snapshots_of(self._volume)))
        images = [Tree(self._volume, key) for key in keys if key is not None]
        seen = self._pool.seen_together(images) if images else {}
        if head.base not in map(digest, seen.values()):
            raise NotFound(kind="snapshot", ref="the base of the stream")

    def finish(self) -> Head:
        """End it and wait until all of it is taken; raises why not."""
        self._reader.finish()
        self._end_file()
        if self._unpacker is not None:
            try:
                self._unpacker.finish()
            except Unavailable:
                raise broken_stream() from None
        return self.head

    def _end_file(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.finish()

    def stop(self) -> None:
        """Give up what is not finished. Idempotent."""
        file, self._file = self._file, None
        if file is not None:
            file.stop()
        if self._unpacker is not None:
            self._unpacker.stop()


class _Arriving:
    """A large file that is being taken."""

    def __init__(self, folder: Path, file: File) -> None:
        if len(file.oid) != 64 or not set(file.oid) <= set("0123456789abcdef"):  # noqa: PLR2004 - digits of a SHA-256
            raise broken_stream()
        self._target = folder / file.oid[:2] / file.oid[2:4] / file.oid
        self._sum = hashlib.sha256()
        parts = folder.parent / "tmp"
        parts.mkdir(parents=True, exist_ok=True)
        self._part = parts / f"arriving-{secrets.token_hex(16)}"
        self._stream: IO[bytes] = self._part.open("xb")

    def write(self, data: bytes) -> None:
        self._sum.update(data)
        self._stream.write(data)

    def finish(self) -> None:
        """Put it into its place; InvalidArgument when it is another one than was said."""
        try:
            if self._sum.hexdigest() != self._target.name:
                raise broken_stream()
            self._stream.flush()
            os.fsync(self._stream.fileno())
            self._target.parent.mkdir(parents=True, exist_ok=True)
            self._part.replace(self._target)
            flush(self._target.parent)
        finally:
            self.stop()

    def stop(self) -> None:
        self._stream.close()
        with contextlib.suppress(FileNotFoundError):
            self._part.unlink()


def _advanced(
    spec: VolumeSpec, present: Kept | None, *, live: Tree, arriving: SnapshotSidecar
) -> tuple[VolumeSidecar, str]:
    """Give the sidecar of a volume that takes what arrived, and the object that it replaces."""
    if present is not None:
        return msgspec.structs.replace(present.sidecar, tree=live.name, arriving=arriving), present.written
    made = VolumeSidecar(id=spec.id, tree=live.name, size=spec.size, note=spec.note, arriving=arriving)
    return made, NOTHING


def _is_sound(head: Head) -> bool:
    """Tell whether all that goes to git from a stream is names of refs and ids of objects. It refuses bad names."""
    names = (head.branch, *head.refs)
    return all(_REF.match(name) for name in names) and all(_OBJECT.match(one) for one in head.refs.values())


def _nothing(_step: str) -> None:
    """Pass no point: the step that decides is over."""
