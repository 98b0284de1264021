"""What refs reach: bytes in the repository, and the large files that pointers of git-lfs name. All of it blocks."""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec
import structlog

from gateway.backends.git_lfs.layout import NAMESPACES, Tree, parse_tree
from gateway.backends.git_lfs.repository import Repository
from gateway.core.errors import Unavailable

log = structlog.get_logger(__name__)

POINTER_MAX = 1024
"""Bytes that a pointer has at the most, by the specification of git-lfs."""

_POINTER = re.compile(rb"\s*version http[^\n]*\n(?:[^\n]*\n)*?oid sha256:([0-9a-f]{64})\r?\nsize ([0-9]{1,19})\s*\Z")
"""As git-lfs takes them, which is more than it writes: with spaces around, lines as DOS ends them, and older names."""
_REMEMBERED = 4096
_BATCH = 8192


class Reach(msgspec.Struct, frozen=True):
    """What some tips reach: bytes of objects as they lay on disk when they were counted, and (sha256, bytes) of files.

    Objects never change. Only how they lie on disk does, when git packs them anew.
    """

    disk: int
    files: frozenset[tuple[str, int]]

    @property
    def used(self) -> int:
        """Give all bytes."""
        return self.disk + sum(size for _, size in self.files)


class Usage:
    """Counts what tips reach, and remembers it."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._lock = threading.Lock()
        self._known: OrderedDict[frozenset[str], Reach] = OrderedDict()

    def tips(self) -> dict[Tree, frozenset[str]]:
        """Give what the refs of every tree point at."""
        found: dict[Tree, set[str]] = {}
        for ref, target in self._repository.refs(NAMESPACES).items():
            pair = parse_tree(ref)
            if pair is not None:
                found.setdefault(pair[0], set()).add(target)
        return {tree: frozenset(targets) for tree, targets in found.items()}

    def used(self, tips: frozenset[str]) -> int:
        """Give the bytes that tips reach: those of objects as they lie in the repository, and of large files.

        0 where that cannot be told because the repository is damaged there, which must not hide the rest of a pool.
        """
        try:
            return self.reach(tips).used if tips else 0
        except Unavailable as error:
            log.warning(
                "bytes of a damaged tree cannot be counted", repository=str(self._repository.path), **error.fields
            )
            return 0

    def reach(self, tips: frozenset[str]) -> Reach:
        """Give all that tips reach."""
        with self._lock:
            found = self._known.get(tips)
            if found is not None:
                self._known.move_to_end(tips)
                return found
        fresh = Reach(self._disk(tips), frozenset(self.files(tips)))
        with self._lock:
            self._known[tips] = fresh
            while len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        return fresh

    def files(self, tips: Iterable[str]) -> Iterator[tuple[str, int]]:
        """Yield (sha256, bytes) of every large file that tips reach, in whatever revision; some more than once."""
        if not has_files(self._repository.path):
            return
        small = self._walk(
            tips, "--no-object-names", "--filter=object:type=blob", f"--filter=blob:limit={POINTER_MAX}"
        ).splitlines()
        for start in range(0, len(small), _BATCH):
            for data in self._repository.read([line.decode() for line in small[start : start + _BATCH]]):
                found = None if data is None else _POINTER.match(data)
                if found is not None:
                    yield found[1].decode(), int(found[2])

    def _disk(self, tips: Iterable[str]) -> int:
        return int(self._walk(tips, "--disk-usage") or b"0")

    def _walk(self, tips: Iterable[str], *arguments: str) -> bytes:
        filtered = any(argument.startswith("--filter") for argument in arguments)
        more = ("--filter-provided-objects",) if filtered else ()
        line = ("--objects", *arguments, *more, "--stdin")
        return self._repository.run("rev-list", *line, stdin="".join(f"{tip}\n" for tip in tips).encode()).stdout


def objects_of(repository: Path) -> Path:
    """Give the folder of the large files of a repository."""
    return repository / "lfs" / "objects"


def has_files(repository: Path) -> bool:
    """Tell whether a repository has any large file."""
    try:
        return any(objects_of(repository).iterdir())
    except FileNotFoundError:
        return False
