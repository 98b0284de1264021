"""A tree at the sender's, as the walk goes through it; small files are asked for before it is their turn."""

from __future__ import annotations

import os
import stat
from collections.abc import Hashable, Iterator
from contextlib import contextmanager, suppress
from itertools import pairwise, tee

from gateway.mover.attributes import Attributes, Spot
from gateway.mover.batch import Folders, Way
from gateway.mover.content import PAGE, Present
from gateway.mover.far.asking import Asking, senseless
from gateway.mover.far.contents import Coming, FarContent
from gateway.mover.far.words import Entry, File, More, Page, Part, Walk, Want, digests, order_of, unpacked
from gateway.mover.files import Work
from gateway.mover.origin import Branch, Unchanged
from gateway.mover.others import Other
from gateway.mover.placing import Item

_NAMES_MAX = 4_000_000
_NAMES_AHEAD = 1024
_SMALL = 256 * 1024
_BYTES_AHEAD = 8 * 1024 * 1024


class FarOrigin:
    """See `gateway.mover.origin.Origin`."""

    def __init__(self, asking: Asking) -> None:
        self._asking = asking

    def begin(self, present: int, unchanged: Unchanged | None) -> Branch:
        """See `Origin`."""
        if unchanged is None:
            tree = _Tree(self._asking, folders(self._asking), None)
        else:
            walked, ahead = tee(folders(self._asking))
            tree = _Tree(self._asking, walked, _Scout(self._asking, ahead, present, unchanged))
        return FarBranch(tree, ())


def folders(asking: Asking, *, keyed: bool = False) -> Iterator[list[Entry]]:
    """Yield the names of each directory, itself first; Unavailable when no tree is like that. `keyed`: see `Walk`."""
    top = True
    held: list[Entry] = []
    for part in _parts(asking, keyed=keyed):
        if not all(entry.valid() for entry in part.entries) or len(held) + len(part.entries) > _NAMES_MAX:
            raise senseless()
        held += part.entries
        if part.goes_on:
            continue
        if not held or held[0].name or not stat.S_ISDIR(held[0].mode):
            raise senseless()
        order = [_order(entry, keyed=keyed, top=top) for entry in held]
        if any(one >= other for one, other in pairwise(order)):
            raise senseless()
        yield held
        top, held = False, []


def _order(entry: Entry, *, keyed: bool, top: bool) -> bytes:
    return order_of(entry.name, folder=stat.S_ISDIR(entry.mode), top=top) if keyed and entry.name else entry.name


def _parts(asking: Asking, *, keyed: bool) -> Iterator[Part]:
    coming = asking.ask(Walk(keyed))
    while True:
        page = coming.next()
        if not isinstance(page, Page):
            raise senseless()
        if not page.last:
            coming = asking.ask(More())
        try:
            parts = unpacked(page)
        except (ValueError, UnicodeError) as error:
            raise senseless() from error
        yield from parts
        if page.last:
            return


class _Tree:
    """What all directories of one walk share."""

    def __init__(self, asking: Asking, folders: Iterator[list[Entry]], scout: _Scout | None) -> None:
        self._folders = folders
        self._scout = scout
        self.asking = asking

    def folder(self) -> list[Entry]:
        """Give the names of the next directory."""
        found = next(self._folders, None)
        if found is None:
            raise senseless()
        return found

    def passed(self, way: tuple[bytes, ...]) -> Coming | None:
        """Tell that it is a name's turn; give what was asked for ahead of it."""
        return None if self._scout is None else self._scout.passed(way)

    def close(self) -> None:
        """Let go of what is open."""
        if self._scout is not None:
            self._scout.close()


class FarBranch:
    """See `gateway.mover.origin.Branch`."""

    def __init__(self, tree: _Tree, way: tuple[bytes, ...]) -> None:
        self._tree = tree
        self._way = way
        self._self, *entries = tree.folder()
        self._left = iter(entries)
        self._entry = self._self
        self._coming: Coming | None = None
        self.names = frozenset(os.fsdecode(entry.name) for entry in entries)

    def next(self) -> tuple[str, os.stat_result] | None:
        """See `Branch`."""
        entry = next(self._left, None)
        if entry is None:
            return None
        self._entry = entry
        self._coming = self._tree.passed((*self._way, entry.name))
        return os.fsdecode(entry.name), entry.status()

    def item(self) -> Item:
        """See `Branch`."""
        return _Far(self._tree.asking, (*self._way, self._entry.name), self._entry, self._coming)

    def enter(self) -> Branch:
        """See `Branch`."""
        return FarBranch(self._tree, (*self._way, self._entry.name))

    def leave_out(self) -> None:
        """See `Branch`."""
        left = 1
        while left:
            left += sum(stat.S_ISDIR(entry.mode) for entry in self._tree.folder()[1:]) - 1

    def about(self) -> tuple[os.stat_result, Attributes]:
        """See `Branch`."""
        return self._self.status(), _attributes(self._self)

    def close(self) -> None:
        """See `Branch`."""
        if not self._way:
            self._tree.close()


class _Far:
    """See `gateway.mover.placing.Item`."""

    def __init__(self, asking: Asking, way: tuple[bytes, ...], entry: Entry, coming: Coming | None) -> None:
        self._asking = asking
        self._way = way
        self._entry = entry
        self._coming = coming
        self.status = entry.status()
        self.identity: Hashable = entry.inode

    def other(self) -> Other:
        """Look at it."""
        points_to = os.fsdecode(self._entry.points_to) if self._entry.points_to else None
        return Other(self.status, points_to, _attributes(self._entry))

    @contextmanager
    def work(self, spot: Spot, way: Way) -> Iterator[Work]:
        """Be ready to read it."""
        file, entry = File(self._way), self._entry
        content = FarContent(self._asking, file, length=entry.size, changed=entry.changed, coming=self._coming)
        yield Work(spot, way, self.status, _attributes(entry), content)

    def known_in(self, _present: int) -> bool:
        """Whether it is has to be found out by comparing."""
        return False


def _attributes(entry: Entry) -> Attributes:
    return {os.fsdecode(name): value for name, value in entry.attributes.items()}


class _Ahead:
    """A directory where a scout is."""

    def __init__(self, way: tuple[bytes, ...], entries: list[Entry]) -> None:
        self.way = way
        self.left = iter(entries[1:])


class _Scout:
    """Goes ahead of the walk, by so many names and bytes, and asks for small files that will be needed.

    It may be wrong: what it asked for is only used where nothing has changed here since.
    """

    def __init__(self, asking: Asking, folders: Iterator[list[Entry]], present: int, unchanged: Unchanged) -> None:
        self._asking = asking
        self._folders = folders
        self._present = Folders(present)
        self._unchanged = unchanged
        self._stack: list[_Ahead] | None = None
        self._coming: dict[tuple[bytes, ...], tuple[int, Coming]] = {}
        self._linked: set[int] = set()
        self._names = 0
        self._bytes = 0

    def passed(self, way: tuple[bytes, ...]) -> Coming | None:
        """Tell that it is a name's turn; give what was asked for."""
        if self._names == 0:
            self._step()
        self._names -= 1
        size, coming = self._coming.pop(way, (0, None))
        self._bytes -= size
        while self._names < _NAMES_AHEAD and self._bytes < _BYTES_AHEAD and self._step():
            pass
        return coming

    def close(self) -> None:
        """Close what is open."""
        self._present.close()

    def _step(self) -> bool:
        """Go to the next name, in the order of the walk; tell whether there is one."""
        if self._stack is None:
            self._stack = [_Ahead((), next(self._folders, []))]
        while self._stack:
            entry = next(self._stack[-1].left, None)
            if entry is None:
                self._stack.pop()
                continue
            self._names += 1
            way = (*self._stack[-1].way, entry.name)
            if stat.S_ISDIR(entry.mode):
                self._stack.append(_Ahead(way, next(self._folders, [])))
            elif stat.S_ISREG(entry.mode) and 0 < entry.size <= _SMALL:
                with suppress(OSError):  # then nothing is asked for
                    self._look(way, entry)
            return True
        return False

    def _look(self, way: tuple[bytes, ...], entry: Entry) -> None:
        if entry.names > 1:
            if entry.inode in self._linked:
                return
            self._linked.add(entry.inode)
        with self._found(way) as fd:
            if fd is not None and self._unchanged(entry.status(), os.fstat(fd)):
                return
            present = Present(fd)
            known = b""
            if present.data_from(0) is not None:
                known = b"".join(digests(present.read(0, entry.size), PAGE, self._asking.key))
            answers = self._asking.ask(Want(File(way), 0, entry.size, known))
            self._coming[way] = entry.size, Coming(present.identity, answers)
        self._bytes += entry.size

    @contextmanager
    def _found(self, way: tuple[bytes, ...]) -> Iterator[int | None]:
        """Open the regular file that is here; None: there is none."""
        *above, name = map(os.fsdecode, way)
        try:
            spot = Spot(self._present.open(tuple(above)), name)
            status = spot.status()
        except OSError:
            status = None
        if status is None or not stat.S_ISREG(status.st_mode):
            yield None
            return
        fd = spot.open(os.O_RDONLY)
        try:
            yield fd
        finally:
            os.close(fd)
