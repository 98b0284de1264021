"""Directory trees: both are walked together, in the order of their names, one directory at a time.

Nothing is ever reached through a symbolic link: every step is from an open
directory to a name in it. What the source does not have goes first, so that
its room can be used. A move that died is repeated from the start, and moves
what still differs.
"""

from __future__ import annotations

import os
import stat
from contextlib import ExitStack

from gateway.core.errors import OutOfSpace
from gateway.mover.attributes import Spot
from gateway.mover.batch import Way, open_folder
from gateway.mover.failures import DESTINATION, SOURCE, at
from gateway.mover.locks import alone
from gateway.mover.meter import Meter
from gateway.mover.origin import Branch, LocalOrigin, Origin
from gateway.mover.placing import Placer, finish_folder, remove

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


def move_tree(source_path: str, path: str, meter: Meter, *, full: bool) -> None:
    """Make a directory equal to another one, with all that is in it. `full`: trust no times."""
    with ExitStack() as stack:
        with at(SOURCE):
            source = os.open(source_path, _FOLDER)
        stack.callback(os.close, source)
        grow_tree(LocalOrigin(source), path, meter, full=full)


def grow_tree(origin: Origin, path: str, meter: Meter, *, full: bool) -> None:
    """Make a directory equal to one that may be anywhere."""
    with ExitStack() as stack:
        stack.enter_context(at(DESTINATION))
        root = os.open(path, _FOLDER)
        stack.callback(os.close, root)
        stack.enter_context(alone(root))
        try:
            with at(DESTINATION):
                _Walk(origin, root, meter, full=full).run()
        except OutOfSpace:
            # What is to go may lie where the walk did not come yet.
            if not _Walk(origin, root, meter, full=full).prune():
                raise
            _Walk(origin, root, meter, full=full).run()


class _Frame:
    """A directory of both sides."""

    def __init__(self, source: Branch, target: int, way: Way) -> None:
        self.source = source
        self.target = target
        self.way = way

    def close(self) -> None:
        """Close both."""
        self.source.close()
        os.close(self.target)


class _Walk:
    def __init__(self, origin: Origin, root: int, meter: Meter, *, full: bool) -> None:
        self._origin = origin
        self._root = root
        self._meter = meter
        self._placer = Placer(root, meter, full=full)
        self._removed = 0

    def run(self) -> None:
        """Make the trees equal, durably."""
        self._walk(self._origin.begin(self._root, self._placer.unchanged), only_prune=False)
        self._placer.finish()

    def prune(self) -> bool:
        """Remove what the source does not have; tell whether anything was there."""
        self._walk(self._origin.begin(self._root, None), only_prune=True)
        return self._removed > 0

    def _walk(self, source: Branch, *, only_prune: bool) -> None:
        stack = [_Frame(source, os.dup(self._root), ())]
        try:
            self._enter(stack[0])
            while stack:
                frame = stack[-1]
                found = frame.source.next()
                if found is None:
                    if not only_prune:
                        finish_folder(frame.target, *frame.source.about())
                        self._meter.passed("tree.finished")
                    stack.pop().close()
                    continue
                inner = self._visit(frame, *found, only_prune=only_prune)
                if inner is not None:
                    stack.append(inner)
                    self._enter(inner)
        finally:
            for frame in stack:
                frame.close()

    def _enter(self, frame: _Frame) -> None:
        wanted = frame.source.names
        with os.scandir(frame.target) as entries:
            surplus = [entry.name for entry in entries if entry.name not in wanted]
        for name in surplus:
            remove(frame.target, name)
            self._meter.passed("tree.removed")
        self._removed += len(surplus)

    def _visit(self, frame: _Frame, name: str, wanted: os.stat_result, *, only_prune: bool) -> _Frame | None:
        """Deal with a name; give the directory that it is."""
        spot = Spot(frame.target, name)
        found = spot.status()
        if found is not None and stat.S_ISDIR(found.st_mode) != stat.S_ISDIR(wanted.st_mode):
            remove(frame.target, name)
            self._removed += 1
            found = None
        if not stat.S_ISDIR(wanted.st_mode):
            if not only_prune:
                self._placer.put(spot, frame.way, found, frame.source.item())
            return None
        if only_prune and found is None:
            frame.source.leave_out()
            return None
        return self._descend(frame, name, found)

    def _descend(self, frame: _Frame, name: str, found: os.stat_result | None) -> _Frame:
        if found is None:
            os.mkdir(name, 0o700, dir_fd=frame.target)
            self._meter.passed("tree.made")
        source = frame.source.enter()
        try:
            target = open_folder(frame.target, name)
        except OSError:
            source.close()
            raise
        return _Frame(source, target, (*frame.way, name))
