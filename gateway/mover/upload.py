"""Trees into object stores; `gateway.mover.catalogs` says how they lie there."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from typing import Protocol

import msgspec

from gateway.core.mover import OURS, ObjectPlace
from gateway.mover.aligning import aligned
from gateway.mover.attributes import Spot, source_attributes
from gateway.mover.batch import open_folder
from gateway.mover.catalogs import DOCUMENT, Entry, Writer, escaped, key_of, read
from gateway.mover.content import UNIT, Source, Stored
from gateway.mover.failures import DESTINATION, SOURCE, at
from gateway.mover.lanes import Lanes, lanes
from gateway.mover.meter import Meter
from gateway.mover.stores import PART, THREADS, Listed, Store, Uploaded, digest_of, tag_of


def tree_to_objects(path: str, place: ObjectPlace, meter: Meter, *, full: bool) -> None:
    """Make the objects of a place those of a directory. `full`: trust no times."""
    with ExitStack() as stack:
        with at(SOURCE):
            root = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        stack.callback(os.close, root)
        found_to_objects(walk(root), place, meter, full=full)


def found_to_objects(found: Iterator[Found], place: ObjectPlace, meter: Meter, *, full: bool) -> None:
    """Make the objects of a place those of a tree that may be anywhere, given all of it in the order of the keys."""
    _Upload(found, Store(place, DESTINATION), meter, full=full).run()


class Found(Protocol):
    """A name of the source."""

    @property
    def entry(self) -> Entry:
        """Give what it is."""

    def opened(self) -> AbstractContextManager[Stored]:
        """Open its content, for any thread. To be asked for while the walk stands there."""


class _Here:
    """See `Found`."""

    def __init__(self, entry: Entry, spot: Spot) -> None:
        self.entry = entry
        self._spot = spot

    def opened(self) -> AbstractContextManager[Stored]:
        """See `Found`."""
        with at(SOURCE):
            return _opened(self._spot.open(os.O_RDONLY))


@contextmanager
def _opened(fd: int) -> Iterator[Stored]:
    try:
        yield Source(fd)
    finally:
        os.close(fd)


class _Upload:
    def __init__(self, found: Iterator[Found], store: Store, meter: Meter, *, full: bool) -> None:
        self._found = found
        self._store = store
        self._meter = meter
        self._full = full

    def run(self) -> None:
        """Upload what differs, remove what has to go, and set the document."""
        store = self._store
        before = next((listed.etag for listed in store.listed(DOCUMENT) if listed.key == DOCUMENT), None)
        with tempfile.TemporaryFile() as file, ExitStack() as stack:
            writer = Writer(file)
            known: Iterator[Entry] = iter(())
            if before is not None:
                known = read(stack.enter_context(closing(store.open(DOCUMENT))), DESTINATION)
            listed = (one for one in store.listed() if not one.key.startswith(OURS))
            rows = aligned(
                (self._found, lambda found: found.entry.order),
                (known, lambda entry: entry.order),
                (listed, lambda one: one.key.encode()),
                end=DESTINATION,
            )
            taken: Lanes[Entry | None] = stack.enter_context(lanes(THREADS, lambda entry: _write(writer, entry)))
            for found, was, there in rows:
                self._settle(taken, found, was, there)
            taken.finish()
            writer.close()
            file.flush()
            self._set_document(file.fileno(), before)

    def _settle(self, taken: Lanes[Entry | None], found: Found | None, was: Entry | None, there: Listed | None) -> None:
        """Deal with one key: what the source has there, what the document says, and what the store has."""
        if there is not None and (found is None or not found.entry.holds):
            taken.ask(lambda: self._store.remove((there.key,)))
        if found is None:
            return
        entry = found.entry
        if not entry.holds:
            taken.hand(entry)
            return
        valid = was is not None and was.holds and there is not None and (was.etag, was.size) == (there.etag, entry.size)
        trusted = valid and not self._full
        if was is not None and trusted and (was.modified, was.changed) == (entry.modified, entry.changed):
            taken.hand(msgspec.structs.replace(entry, etag=was.etag, digest=was.digest))
            return
        opened = found.opened()
        taken.ask(lambda: self._upload(opened, entry, was if valid else None, there))

    def _upload(
        self, opened: AbstractContextManager[Stored], entry: Entry, was: Entry | None, there: Listed | None
    ) -> Entry:
        """Set an object, unless it is found to be the same; in a thread."""
        with opened as content:
            made = self._same(content, was, there)
            if made is None:
                made = self._store.put(entry.key, content.read, content.length, self._meter)
                self._meter.passed("object.put")
                self._meter.file()
        return msgspec.structs.replace(entry, size=content.length, etag=made.etag, digest=made.digest)

    @staticmethod
    def _same(content: Stored, was: Entry | None, there: Listed | None) -> Uploaded | None:
        """Give what is there if it has this content: by our own checksum, or by the store's of a simple object."""
        if was is not None and there is not None:
            digest = content.digest(0, content.length)
            return Uploaded(there.etag, digest) if digest == was.digest else None
        if there is None or content.distant or content.length > PART or tag_of(_parts(content)) != there.etag:
            return None
        return Uploaded(there.etag, digest_of(_parts(content)))

    def _set_document(self, fd: int, before: str | None) -> None:
        content = Source(fd)
        if content.length > PART or before is None or tag_of(_parts(content)) != before:
            self._store.put(DOCUMENT, content.read, content.length, self._meter)
            self._meter.passed("object.settled")


def _write(writer: Writer, entry: Entry | None) -> None:
    if entry is not None:
        writer.add(entry)


def _parts(content: Stored) -> Iterator[bytes]:
    for offset in range(0, content.length, UNIT):
        yield content.read(offset, min(UNIT, content.length - offset))


# --- the source, in the order of the keys ---


class _Folder:
    def __init__(self, fd: int, key: str) -> None:
        self.fd = fd
        self.key = key
        with os.scandir(fd) as entries:
            # A directory is where its content is: after names that go on with what sorts before a slash.
            names = [(key_of(key, each.name) + "/" * each.is_dir(follow_symlinks=False), each.name) for each in entries]
        self.left = iter(sorted(names, key=lambda pair: pair[0].encode()))


def walk(root: int) -> Iterator[Found]:
    """Yield everything in an open directory, and itself first, in the order of the keys."""
    links: dict[tuple[int, int], str] = {}
    stack: list[_Folder] = []
    with at(SOURCE):
        try:
            yield _Here(_entry("", os.fstat(root), root, links), Spot(root, "."))
            stack.append(_Folder(os.dup(root), ""))
            while stack:
                folder = stack[-1]
                key, name = next(folder.left, ("", ""))
                if not key:
                    os.close(stack.pop().fd)
                    continue
                spot = Spot(folder.fd, name)
                status = os.stat(name, dir_fd=folder.fd, follow_symlinks=False)
                yield _Here(_entry(key, status, spot, links), spot)
                if stat.S_ISDIR(status.st_mode):
                    stack.append(_Folder(open_folder(folder.fd, name), key))
        finally:
            for folder in stack:
                os.close(folder.fd)


def _entry(key: str, status: os.stat_result, place: Spot | int, links: dict[tuple[int, int], str]) -> Entry:
    mode, link, target = status.st_mode, "", ""
    if status.st_nlink > 1 and not stat.S_ISDIR(mode):
        first = links.setdefault((status.st_dev, status.st_ino), key)
        link = "" if first == key else first
    if stat.S_ISLNK(mode) and isinstance(place, Spot):
        target = escaped(os.readlink(place.name, dir_fd=place.folder))
    return Entry(
        key=key,
        mode=mode,
        uid=status.st_uid,
        gid=status.st_gid,
        modified=status.st_mtime_ns,
        changed=0 if stat.S_ISDIR(mode) else status.st_ctime_ns,
        size=status.st_size if stat.S_ISREG(mode) else 0,
        device=status.st_rdev if stat.S_ISBLK(mode) or stat.S_ISCHR(mode) else 0,
        attributes=dict(source_attributes(place.path if isinstance(place, Spot) else place)),
        target=target,
        link=link,
        names=status.st_nlink if not stat.S_ISDIR(mode) else 1,
    )
