"""File systems on block volumes: recognised, made where there is nothing at all, and grown."""

from __future__ import annotations

import shutil
from collections.abc import Mapping

import msgspec
import structlog

from gateway.core.errors import LimitExceeded, Unavailable, Unsupported
from gateway.core.runner import Runner
from gateway.exports.mounts.points import WHAT

log = structlog.get_logger(__name__)

DEFAULT = "ext4"
MAKE_LIMIT_S = 50.0
_FOUND, _NOTHING = 0, 2
_MIB = 1 << 20


class Format(msgspec.Struct, frozen=True, kw_only=True):
    """How a type of file system is made, mounted and grown.

    `make` is followed by the device.
    `grow` is followed by the device, or (`grow_at_mount`) by the mount point.
    """

    make: tuple[str, ...]
    grow: tuple[str, ...]
    grow_at_mount: bool = True
    size_min: int
    options: tuple[str, ...] = ()


FORMATS: Mapping[str, Format] = {
    "ext4": Format(
        make=("mkfs.ext4", "-q", "-E", "nodiscard"),
        grow=("resize2fs",),
        grow_at_mount=False,
        size_min=16 * _MIB,
    ),
    "xfs": Format(
        make=("mkfs.xfs", "-q", "-K"),
        grow=("xfs_growfs", "-d"),
        size_min=300 * _MIB,
        # A clone has the identity of its parent, which may be mounted here, too.
        options=("nouuid",),
    ),
    "btrfs": Format(
        make=("mkfs.btrfs", "--quiet", "--nodiscard"),
        grow=("btrfs", "filesystem", "resize", "max"),
        size_min=128 * _MIB,
    ),
}
"""The types that volumes are mounted with. Making one discards nothing, so that space a volume reserved stays."""


class Formats:
    """The programs that know file systems. Every method blocks."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner

    def found(self, path: str) -> str | None:
        """Give the type of the file system on a file or device; "" for another signature, None for none at all."""
        done = self._runner.run(("blkid", "--probe", "--output", "export", path))
        if done.status == _NOTHING:
            return None
        if done.status != _FOUND:
            log.warning("blkid failed", path=path, status=done.status, detail=done.stderr.strip())
            return ""
        told = dict(line.split("=", 1) for line in done.text.splitlines() if "=" in line)
        kind = told.get("TYPE", "")
        return kind if told.get("USAGE") == "filesystem" and kind in FORMATS else ""

    def require(self, kind: str, size: int) -> None:
        """Raise unless such a file system can be made in so many bytes: LimitExceeded or Unsupported."""
        wanted = FORMATS[kind]
        if size < wanted.size_min:
            raise LimitExceeded(limit="size", value=size, minimum=wanted.size_min)
        if shutil.which(wanted.make[0]) is None:
            raise Unsupported(capability=f"format {kind}", backend=WHAT, reason=f"{wanted.make[0]} is not installed")

    def make(self, kind: str, device: str) -> None:
        """Make a file system on a device that holds nothing."""
        wanted = FORMATS[kind]
        done = self._runner.run((*wanted.make, device), timeout_s=MAKE_LIMIT_S)
        if done.status != 0:
            log.warning("file system not made", kind=kind, device=device, detail=done.stderr.strip())
            raise Unavailable(what=WHAT, reason="the file system could not be made")

    def grow(self, kind: str, device: str, point: str) -> bool:
        """Have a mounted file system take the whole of its device. False where the program for it is not installed."""
        wanted = FORMATS[kind]
        if shutil.which(wanted.grow[0]) is None:
            log.warning("file system not grown", kind=kind, path=point, reason=f"{wanted.grow[0]} is not installed")
            return False
        done = self._runner.run((*wanted.grow, point if wanted.grow_at_mount else device))
        if done.status != 0:
            log.warning("file system not grown", kind=kind, path=point, detail=done.stderr.strip())
            raise Unavailable(what=WHAT, reason="the file system could not be grown")
        return True
