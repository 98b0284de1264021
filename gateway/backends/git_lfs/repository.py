"""One bare repository, by the program git. All of it blocks."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec
import structlog

from gateway.backends.files.names import descriptor, read_file
from gateway.backends.git_lfs.failures import DAMAGED, complaint
from gateway.core.errors import Unavailable
from gateway.core.runner import Done, Runner, SystemRunner

log = structlog.get_logger(__name__)

GIT = "git"
NOTHING = "0" * 40
"""The object that a ref points at which is not there."""

ENVIRONMENT: Mapping[str, str] = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_NAMESPACE": "",
}
"""What keeps git from what the machine and the user have set for it."""

_STANDS_FOR = b"ref: "


class Move(msgspec.Struct, frozen=True):
    """A change of one ref. `new` NOTHING removes it; `old`: what it has to be before, None for anything."""

    ref: str
    new: str
    old: str | None = None

    def line(self) -> str:
        """Give it as `git update-ref --stdin -z` takes it. HEAD is changed itself, not what it points at."""
        if self.new == NOTHING:
            return f"option no-deref\0delete {self.ref}\0{self.old or ''}\0"
        return f"update {self.ref}\0{self.new}\0{'' if self.old is None else self.old}\0"


class Repository:
    """Reads and changes refs and objects. Raises OSError and errors of the core."""

    def __init__(self, pool: str, path: Path, *, runner: Runner | None = None, timeout_s: float) -> None:
        self.path = path
        self._pool = pool
        self._runner = runner or SystemRunner(ENVIRONMENT)
        self._timeout_s = timeout_s

    def run(self, command: str, *arguments: str, stdin: bytes = b"", settings: Sequence[str] = ()) -> Done:
        """Run a command to its end; an error of the core when it fails."""
        done = self.ask(command, *arguments, stdin=stdin, settings=settings)
        if done.status:
            raise complaint(self._pool, command, done.stderr)
        return done

    def ask(self, command: str, *arguments: str, stdin: bytes = b"", settings: Sequence[str] = ()) -> Done:
        """Run a command to its end, however that is. `settings` are such as "core.fsync=none"."""
        given = [part for setting in settings for part in ("-c", setting)]
        line = (GIT, f"--git-dir={self.path}", *given, command, *arguments)
        return self._runner.run(line, stdin=stdin, timeout_s=self._timeout_s)

    # --- refs ---

    def refs(self, *prefixes: str, whole: bool = False) -> dict[str, str]:
        """Give ref -> object of all whose names begin with one of the prefixes, which end with a slash or are whole.

        Torn ones are left out; `whole`: Unavailable if there are any. Git says
        nothing in between, and succeeds.
        """
        done = self.run("for-each-ref", "--format=%(objectname) %(refname)", *prefixes)
        if whole and done.stderr.strip():
            log.warning("refs are torn", pool=self._pool, text=done.stderr.strip()[:2000])
            raise Unavailable(what=self._pool, reason=DAMAGED)
        # Not `splitlines`: names may hold what Unicode takes for the end of a line.
        pairs = (line.split(" ", 1) for line in done.text.split("\n") if line)
        return {ref: target for target, ref in pairs}

    def move(self, moves: Iterable[Move], *, lazily: bool = False) -> None:
        """Change refs, or none of them. `lazily`: nothing is put on disk yet; see `flush`.

        It is one step for whoever reads refs by git, but a dying machine may
        leave the first of several changed.
        """
        lines = "".join(move.line() for move in moves)
        settings = ("core.fsync=none",) if lazily else ()
        if lines:
            self.run("update-ref", "--stdin", "-z", stdin=os.fsencode(lines), settings=settings)

    def point(self, ref: str, target: str) -> None:
        """Make a ref that stands for another one."""
        self.run("symbolic-ref", ref, target)

    def pointed(self, ref: str) -> str | None:
        """Give the ref for which a ref stands, which need not be there; None when it stands for none.

        Such a ref is a file, always: git packs only those that point at objects.
        """
        said = read_file(self.path / ref) or b""
        return os.fsdecode(said[len(_STANDS_FOR) :].strip()) if said.startswith(_STANDS_FOR) else None

    def is_torn(self, ref: str) -> bool:
        """Tell whether there is something by the name of a ref that git does not list, which is no ref then."""
        return (self.path / ref).is_file()

    def folders(self, prefix: str) -> list[str]:
        """Give the names right below a prefix of refs, as far as they are not packed; HEAD never is."""
        try:
            with os.scandir(self.path / prefix) as found:
                return sorted(entry.name for entry in found if entry.is_dir(follow_symlinks=False))
        except FileNotFoundError:
            return []

    def documents(self, *prefixes: str) -> list[tuple[str, str, bytes]] | None:
        """Give (ref, object, bytes) of refs that point at blobs; None when one of these cannot be read."""
        done = self.ask("for-each-ref", "--format=%(raw:size) %(objectname) %(refname)%0a%(raw)", *prefixes)
        if done.status:
            return None
        found, data, place = [], done.stdout, 0
        while place < len(data):
            end = data.index(b"\n", place)
            size, target, ref = data[place:end].split(b" ", 2)
            place = end + 1 + int(size)
            found.append((os.fsdecode(ref), target.decode(), data[end + 1 : place]))
            place += 1
        return found

    # --- objects ---

    def write(self, data: bytes) -> str:
        """Keep bytes as an object and give its id; not on disk yet, see `flush`."""
        return self.run("hash-object", "-w", "--stdin", stdin=data, settings=("core.fsync=none",)).text.strip()

    def read(self, objects: Sequence[str]) -> Iterator[bytes | None]:
        """Yield the bytes of blobs in their order, None for one that is not there."""
        if not objects:
            return
        done = self.run("cat-file", "--batch", stdin="".join(f"{one}\n" for one in objects).encode())
        data, place = done.stdout, 0
        for _ in objects:
            end = data.find(b"\n", place)
            if end < 0:
                raise Unavailable(what=self._pool, reason="git cat-file ended early")
            head = data[place:end].split(b" ")
            place = end + 1
            if len(head) != 3 or not head[2].isdigit():  # noqa: PLR2004
                yield None
                continue
            length = int(head[2])
            yield data[place : place + length]
            place += length + 1

    # --- durability ---

    def flush(self) -> None:
        """Put everything on disk that was written to the repository so far."""
        with descriptor(self.path) as fd:
            if ctypes.CDLL(None, use_errno=True).syncfs(fd):
                number = ctypes.get_errno()
                raise OSError(number, os.strerror(number), str(self.path))
