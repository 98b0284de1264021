"""Layers as files: what their headers say, and what qemu-img makes of them. All of it blocks.

Only a layer's first bytes are read here, and programs are told each format:
what a client writes into its volume never decides how, or which, files are
opened.
"""

from __future__ import annotations

import os
import secrets
import struct
from collections.abc import Iterator
from pathlib import Path

import msgspec

from gateway.backends.files.names import flush
from gateway.backends.qcow2.failures import complaint
from gateway.backends.qcow2.layout import SUFFIX, owner
from gateway.core.errors import Unavailable
from gateway.core.runner import Runner

PROGRAM = "qemu-img"
_HEAD = struct.Struct(">4sIQIIQ")
_MAGIC = b"QFI\xfb"
_NAME_MAX = 1023
_OPTIONS = "compat=1.1,lazy_refcounts=off"
_STEADY_S = 60.0
_SLOWEST = 4 * 1024**2
_BLOCK = 512


class Layer(msgspec.Struct, frozen=True):
    """A layer as its file is. `size` is the device's, `allocated` what the file takes; `backing` a file's name."""

    path: Path
    inode: int
    size: int
    allocated: int
    backing: str | None

    @property
    def name(self) -> str:
        """Give the name of the file."""
        return self.path.name

    @property
    def below(self) -> Path | None:
        """Give the file that this layer lies on."""
        return None if self.backing is None else self.path.parent / self.backing


class Extent(msgspec.Struct, frozen=True):
    """A run of bytes of a device. `depth`: which layer of the chain has it; `offset`: where in that layer's file."""

    start: int
    length: int
    depth: int
    zero: bool
    data: bool
    present: bool = True
    offset: int | None = None


_extents = msgspec.json.Decoder(list[Extent])


def read_layer(pool: str, path: Path) -> Layer | None:
    """Give a layer as its header has it; None when there is no file. Unavailable when it is none that we made."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    try:
        status = os.fstat(fd)
        head = os.pread(fd, _HEAD.size, 0)
        if len(head) < _HEAD.size:
            raise _damaged(pool, path)
        magic, version, place, length, _, size = _HEAD.unpack(head)
        if magic != _MAGIC or version < 2 or length > _NAME_MAX:  # noqa: PLR2004 - versions of the format
            raise _damaged(pool, path)
        backing = os.pread(fd, length, place).decode(errors="replace") if place else None
    finally:
        os.close(fd)
    if backing is not None and owner(backing) is None:
        raise _damaged(pool, path)
    return Layer(path, status.st_ino, size, status.st_blocks * _BLOCK, backing)


def _damaged(pool: str, path: Path) -> Unavailable:
    return Unavailable(what=pool, reason=f"the image {path.name} is damaged")


class Images:
    """Makes and changes layers that nothing else has open. What is made is on disk when a method returns."""

    def __init__(self, pool: str, runner: Runner) -> None:
        self._pool = pool
        self._runner = runner

    def layer(self, path: Path) -> Layer:
        """Give a layer, or raise Unavailable when it is missing or damaged."""
        found = read_layer(self._pool, path)
        if found is None:
            raise Unavailable(what=self._pool, reason=f"the image {path.name} is missing")
        return found

    def chain(self, path: Path) -> tuple[Layer, ...]:
        """Give a layer and all below it, the upper first."""
        return tuple(self._down(path))

    def _down(self, path: Path) -> Iterator[Layer]:
        below: Path | None = path
        while below is not None:
            layer = self.layer(below)
            yield layer
            below = layer.below

    def make(self, path: Path, size: int, backing: str | None = None) -> Layer:
        """Make an empty layer of `size` bytes, on another one or on nothing."""
        options = _OPTIONS if backing is None else f"{_OPTIONS},backing_file={backing},backing_fmt=qcow2"
        # -u: that the backing file is there is known, and reading its whole chain would take the time of its depth.
        self._run("create", "-q", "-u", "-f", "qcow2", "-o", options, str(path), str(size))
        path.chmod(0o600)
        flush(path)
        return self.layer(path)

    def resize(self, path: Path, size: int) -> None:
        """Set a layer's size."""
        self._run("resize", "-q", "-f", "qcow2", str(path), str(size))
        flush(path)

    def flatten(self, source: Path, target: Path, *, volume: int) -> None:
        """Make `target` hold all that is seen through `source`, on nothing; `volume` is how many bytes that may be."""
        self._run(
            "convert", "-q", "-f", "qcow2", "-O", "qcow2", "-o", _OPTIONS, str(source), str(target), volume=volume
        )
        target.chmod(0o600)
        flush(target)

    def commit(self, upper: Path, *, volume: int) -> None:
        """Write what a layer holds into the one below it. What is seen through the upper one never changes."""
        self._run("commit", "-q", "-d", "-f", "qcow2", str(upper), volume=volume)

    def map(self, path: Path) -> list[Extent]:
        """Give where the bytes of a device are, in order."""
        out = self._run("map", "--output=json", "-f", "qcow2", str(path), volume=path.stat().st_size)
        return _extents.decode(out)

    def _run(self, command: str, *arguments: str, volume: int = 0) -> bytes:
        limit_s = _STEADY_S + volume / _SLOWEST
        done = self._runner.run((PROGRAM, command, *arguments), timeout_s=limit_s)
        if done.status:
            raise complaint(self._pool, f"{PROGRAM} {command}", done.stderr)
        return done.stdout


def new_name(volume: object) -> str:
    """Give the name of a new layer of a volume."""
    return f"{volume}.{secrets.token_hex(8)}{SUFFIX}"
