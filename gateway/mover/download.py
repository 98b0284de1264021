"""Trees out of object stores; `gateway.mover.catalogs` says how they lie there."""

from __future__ import annotations

import io
import os
import stat
from collections import deque
from collections.abc import Generator, Hashable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from typing import IO

from gateway.core.errors import NotFound, Unavailable
from gateway.core.mover import ObjectPlace
from gateway.mover.attributes import Spot
from gateway.mover.batch import Way, open_folder
from gateway.mover.catalogs import DOCUMENT, Entry, read, unescaped
from gateway.mover.content import UNIT, Difference, Present, Source, checksum, differences
from gateway.mover.failures import DESTINATION, SOURCE, at
from gateway.mover.files import Work
from gateway.mover.locks import alone
from gateway.mover.meter import Meter
from gateway.mover.others import Other
from gateway.mover.placing import Placer, finish_folder, remove
from gateway.mover.stores import THREADS, Store, digest_of

_Coming = Future[bytes] | None

_NEVER = frozenset({"", ".", ".."})


def objects_to_tree(place: ObjectPlace, path: str, meter: Meter, *, full: bool) -> None:
    """Make a directory what a place of objects says. `full`: trust no times."""
    store = Store(place, SOURCE)
    with ExitStack() as stack:
        if not store.has(DOCUMENT):
            raise NotFound(kind="tree", ref=DOCUMENT)
        known = read(stack.enter_context(closing(store.open(DOCUMENT))), SOURCE)
        stack.enter_context(at(DESTINATION))
        root = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        stack.callback(os.close, root)
        stack.enter_context(alone(root))
        with os.scandir(root) as present:
            empty = next(present, None) is None
        entries = stack.enter_context(closing(_ahead(store, known, fetch=empty)))
        _Download(store, root, Placer(root, meter, full=full), meter).run(entries)


def _ahead(store: Store, entries: Iterator[Entry], *, fetch: bool) -> Generator[tuple[Entry, _Coming], None, None]:
    """Yield entries; `fetch`: small objects are asked for before their turn, several at a time."""
    executor = ThreadPoolExecutor(THREADS)
    waiting: deque[tuple[Entry, _Coming]] = deque()
    try:
        for entry in entries:
            coming = None
            if fetch and entry.holds and 0 < entry.size <= UNIT:
                coming = executor.submit(store.fetch, store.where(entry.key))
            waiting.append((entry, coming))
            if len(waiting) > 4 * THREADS:
                yield waiting.popleft()
        yield from waiting
    finally:
        executor.shutdown(cancel_futures=True)


class _Folder:
    """An open directory, and what was put there."""

    def __init__(self, fd: int, entry: Entry, way: Way) -> None:
        self.fd = fd
        self.entry = entry
        self.way = way
        self.names: set[str] = set()

    def finish(self) -> None:
        """Remove what was not put there, and give it what is kept about it."""
        with os.scandir(self.fd) as entries:
            surplus = [entry.name for entry in entries if entry.name not in self.names]
        for name in surplus:
            remove(self.fd, name)
        finish_folder(self.fd, self.entry.status(), self.entry.attributes)


class _Download:
    def __init__(self, store: Store, root: int, placer: Placer, meter: Meter) -> None:
        self._store = store
        self._root = root
        self._placer = placer
        self._meter = meter
        self._stack: list[_Folder] = []

    def run(self, entries: Iterator[tuple[Entry, _Coming]]) -> None:
        """Put one name after the other."""
        try:
            for entry, coming in entries:
                self._take(entry, coming)
            if not self._stack:
                raise damaged()  # it ends before the root
            while self._stack:
                self._leave()
            self._placer.finish()
        finally:
            for folder in self._stack:
                os.close(folder.fd)

    def _leave(self) -> None:
        folder = self._stack[-1]
        folder.finish()
        os.close(self._stack.pop().fd)
        self._meter.passed("tree.finished")

    def _take(self, entry: Entry, coming: _Coming) -> None:
        while self._stack and not entry.key.startswith(self._stack[-1].entry.key):
            self._leave()
        if not self._stack:
            if entry.key:
                raise damaged()
            self._stack.append(_Folder(os.dup(self._root), entry, ()))
            return
        above = self._stack[-1]
        name = unescaped(entry.key[len(above.entry.key) :].removesuffix("/"))
        folder = stat.S_ISDIR(entry.mode)
        # Whoever wrote there may have wished to lead us out of the tree.
        if name in _NEVER or "/" in name or "\0" in name or name in above.names or entry.key.endswith("/") != folder:
            raise damaged()
        above.names.add(name)
        spot = Spot(above.fd, name)
        found = spot.status()
        if found is not None and stat.S_ISDIR(found.st_mode) != folder:
            remove(above.fd, name)
            found = None
        if not folder:
            self._placer.put(spot, above.way, found, _Remote(self._store, entry, coming))
            return
        if found is None:
            os.mkdir(name, 0o700, dir_fd=above.fd)
            self._meter.passed("tree.made")
        self._stack.append(_Folder(open_folder(above.fd, name), entry, (*above.way, name)))


class _Remote:
    """See `gateway.mover.placing.Item`."""

    def __init__(self, store: Store, entry: Entry, coming: _Coming) -> None:
        self._store = store
        self._entry = entry
        self._coming = coming
        self.status = entry.status()
        self.identity: Hashable = entry.link or entry.key

    def other(self) -> Other:
        """Look at it."""
        link = stat.S_ISLNK(self.status.st_mode)
        return Other(self.status, unescaped(self._entry.target) if link else None, self._entry.attributes)

    @contextmanager
    def work(self, spot: Spot, way: Way) -> Iterator[Work]:
        """Be ready to read it."""
        fetched = None if self._coming is None else io.BytesIO(self._coming.result())
        with closing(_Stream(self._store, self._entry, fetched)) as content:
            yield Work(spot, way, self.status, self._entry.attributes, content)

    def known_in(self, present: int) -> bool:
        """Compare checksums: to read what is here costs less than to fetch what is there."""
        content = Source(present)
        if content.length != self._entry.size:
            return False
        parts = (content.read(at, min(UNIT, content.length - at)) for at in range(0, content.length, UNIT))
        return digest_of(parts) == self._entry.digest


class _Stream:
    """An object as `gateway.mover.content.Content`. Unavailable at its end when it is not what was once put there."""

    def __init__(self, store: Store, entry: Entry, body: IO[bytes] | None) -> None:
        self._store = store
        self._entry = entry
        self._body = body
        self._position = 0
        self._digest = checksum()
        self.distant = False

    @property
    def length(self) -> int:
        """See `Content`."""
        return self._entry.size

    def differences(self, present: Present, length: int) -> Iterator[Difference]:
        """See `Content`."""
        return differences(self, present, length)

    def data_from(self, offset: int) -> int | None:
        """See `Readable`."""
        return offset if offset < self.length else None

    def read(self, offset: int, count: int) -> bytes:
        """See `Readable`."""
        if self._body is None or offset != self._position:
            self.close()
            if offset:
                raise ValueError("an object is read from its beginning on")
            self._body, self._position, self._digest = self._store.open(self._entry.key), 0, checksum()
        wanted = min(count, self.length - offset)
        with self._store.asked():
            data = self._body.read(wanted)
        self._digest.update(data)
        self._position += len(data)
        ended = self._position == self.length
        if len(data) < wanted or (ended and self._digest.hexdigest() != self._entry.digest):
            raise Unavailable(what=SOURCE, reason="an object of it is not what was put there")
        return data.ljust(count, b"\0")

    def close(self) -> None:
        """Let go of the object."""
        body, self._body = self._body, None
        if body is not None:
            body.close()


def damaged() -> Unavailable:
    """Give the error of a document that nobody of us wrote."""
    return Unavailable(what=SOURCE, reason="the document of its tree is damaged")
