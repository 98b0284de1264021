"""Where volumes may be mounted: below the configured paths, on empty directories, through no link."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec
import structlog

from gateway.core.errors import InvalidArgument, Unavailable
from gateway.exports.mounts.kernel import closing, open_below, place, unmount

log = structlog.get_logger(__name__)

WHAT = "mounts"
_PART_MAX = 255
_SHOWN = 128
_LINK = "leads through a link or a file"
_REFUSED: Mapping[int, str] = {
    errno.ELOOP: _LINK,
    errno.ENOTDIR: _LINK,
    errno.EXDEV: "leads to something that is mounted there",
}


class Point(msgspec.Struct, frozen=True):
    """A place for a mount: a way down from a configured path, which is without links."""

    root: str
    way: tuple[str, ...]

    @property
    def path(self) -> str:
        """Give it as the kernel's table has it."""
        return "/".join((self.root.rstrip("/"), *self.way))

    @property
    def name(self) -> str:
        """Give the last part."""
        return self.way[-1]

    def relative(self, depth: int) -> str:
        """Give the first `depth` parts of the way."""
        return "/".join(self.way[:depth])


class Roots:
    """The configured paths. `resolve` has to come first."""

    def __init__(self, configured: tuple[Path, ...]) -> None:
        self._configured = configured
        self._real: dict[Path, str] = {}

    def resolve(self) -> tuple[str, ...]:
        """Give where the paths lead, which the operator may have made links. Unavailable when one is missing."""
        for path in self._configured:
            try:
                self._real[path] = str(path.resolve(strict=True))
            except OSError as error:
                raise Unavailable(what=WHAT, reason=f"{path}: {error.strerror}") from error
        return tuple(self._real.values())

    def point(self, text: str) -> Point:
        """Give the place that a path names; InvalidArgument when it is not one below a configured path."""
        parts = text.split("/")[1:]
        if not text.startswith("/") or any(not _is_name(part) for part in parts):
            raise _refused(text, 'must be absolute and must not hold ".", "..", empty or overlong parts')
        for configured, real in self._real.items():
            for root in (str(configured), real):
                above = root.rstrip("/").split("/")[1:]
                if parts[: len(above)] == above and len(parts) > len(above):
                    return Point(real, tuple(parts[len(above) :]))
        raise _refused(text, "is not below a path where this gateway may mount")


def _is_name(part: str) -> bool:
    return part not in {"", ".", ".."} and part.isprintable() and len(os.fsencode(part)) <= _PART_MAX


def missing(point: Point) -> tuple[str, ...]:
    """Give the directories on the way that are missing, outermost first; InvalidArgument when nothing may go there."""
    for depth in range(1, len(point.way) + 1):
        try:
            with _directory(point, point.relative(depth)) as found:
                if depth == len(point.way):
                    _require_empty(point, found)
        except FileNotFoundError:
            return tuple(point.relative(deeper) for deeper in range(depth, len(point.way) + 1))
    return ()


def make(point: Point, directories: tuple[str, ...]) -> None:
    """Make directories, outermost first."""
    for relative in directories:
        above, _, name = relative.rpartition("/")
        with _directory(point, above) as parent, contextlib.suppress(FileExistsError):
            os.mkdir(name, 0o700, dir_fd=parent)
            with closing(open_below(parent, name)) as made:
                # Whatever our own mask is: those who use the volume have to get there.
                os.fchmod(made, 0o755)


def cover(point: Point, tree: int) -> None:
    """Put a detached mount onto the place, which has to be an empty directory."""
    with _directory(point, point.relative(len(point.way))) as found:
        _require_empty(point, found)
        place(tree, found)


def uncover(point: Point, *, lazily: bool) -> None:
    """Take the mount on the place away; see `gateway.exports.mounts.kernel.unmount`."""
    with _directory(point, point.relative(len(point.way) - 1)) as parent:
        unmount(parent, point.name, lazily=lazily)


def remove(point: Point, directories: tuple[str, ...]) -> None:
    """Remove directories, innermost first, as far as they exist and are empty."""
    for relative in reversed(directories):
        above, _, name = relative.rpartition("/")
        try:
            with _directory(point, above) as parent:
                os.rmdir(name, dir_fd=parent)
        except FileNotFoundError:
            continue
        except (InvalidArgument, OSError) as error:
            # Somebody has put something there, or uses it: then it is not ours any more.
            log.info("mount directory kept", path=point.path, error=str(error))
            return


@contextlib.contextmanager
def _directory(point: Point, relative: str) -> Iterator[int]:
    """Give a descriptor of a directory on the way; InvalidArgument when there is something else in between."""
    try:
        root = os.open(point.root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            found = open_below(root, relative)
        finally:
            os.close(root)
    except FileNotFoundError:
        raise
    except OSError as error:
        reason = _REFUSED.get(error.errno or 0)
        if reason is None:
            raise
        raise _refused(point.path, reason) from error
    with closing(found):
        yield found


def _require_empty(point: Point, directory: int) -> None:
    if os.listdir(directory):
        raise _refused(point.path, "is not empty")


def _refused(path: str, reason: str) -> InvalidArgument:
    return InvalidArgument(field="path", value=path[:_SHOWN], reason=reason)
