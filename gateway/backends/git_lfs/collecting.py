"""Throwing large files away that nothing needs any more. All of it blocks.

Git knows nothing of these files, so what keeps them is found here: the
pointers in every revision that any volume or snapshot reaches. A file is sent
before the revision that needs it, so a fresh one stays for a while. A server
that tells a client "that one is here already" makes it fresh again, while it
holds the lock that is held here from the look to the removal.
"""

from __future__ import annotations

import fcntl
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import structlog

from gateway.backends.git_lfs.layout import NAMESPACES
from gateway.backends.git_lfs.pool import Pool
from gateway.backends.git_lfs.usage import Usage, has_files, objects_of

log = structlog.get_logger(__name__)

LOCK = "collect.lock"
_PART_S = 3600
"""A part that was not written to for longer was left by a process that died."""
_FILE = re.compile(r"[0-9a-f]{64}\Z")


class Collector:
    """Finds and removes what is not needed."""

    def __init__(self, pool: Pool, usage: Usage, *, clock: Callable[[], float] = time.time) -> None:
        self._pool = pool
        self._usage = usage
        self._clock = clock
        self._folder = objects_of(pool.repository.path)

    def collect(self) -> int:
        """Remove the large files that nothing reaches and that have not been touched for a while; give how many.

        Unavailable when it cannot be told what is needed.
        """
        self._sweep()
        if not has_files(self._pool.repository.path):
            return 0
        # The files first: what comes later is fresh, and is not looked at.
        old = [path for path in self._files() if self._is_old(path)]
        if not old:
            return 0
        tips = frozenset(self._pool.repository.refs(NAMESPACES, whole=True).values())
        needed = {name for name, _ in self._usage.files(tips)}
        gone = [path for path in old if path.name not in needed and self._remove(path)]
        if gone:
            log.info("large files removed", pool=self._pool.name, count=len(gone))
        return len(gone)

    def _files(self) -> Iterator[Path]:
        for path in self._folder.glob("??/??/*"):
            if _FILE.match(path.name):
                yield path

    def _sweep(self) -> None:
        """Remove the parts of files that never arrived, and are not being written any more."""
        for part in self._folder.with_name("tmp").glob("*"):
            if part.is_file() and self._clock() - part.stat().st_mtime >= max(self._pool.options.grace_s, _PART_S):
                part.unlink(missing_ok=True)

    def _is_old(self, path: Path) -> bool:
        try:
            return self._clock() - path.stat().st_mtime >= self._pool.options.grace_s
        except FileNotFoundError:
            return False

    def _remove(self, path: Path) -> bool:
        with (self._folder.parent / LOCK).open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not self._is_old(path):
                return False
            path.unlink(missing_ok=True)
            return True
