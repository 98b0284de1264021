"""What this machine offers: file systems that can copy on write, and programs that the gateway can use."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

MOUNTS = Path("/proc/self/mountinfo")
PROGRAMS: Mapping[str, str] = {
    "ganesha.nfsd": "NFS exports",
    "tgtd": "iSCSI exports",
    "qemu-storage-daemon": "NBD exports and qcow2 images",
    "qemu-img": "qcow2 images",
    "losetup": "devices on this machine",
    "zpool": "ZFS",
}
"""Program -> what it is good for."""

_FICLONE = 0x40049409
_MAY_REFLINK = frozenset({"xfs", "btrfs", "bcachefs", "ocfs2", "zfs"})
_NFS = frozenset({"nfs", "nfs4"})
_ZPOOL_TIMEOUT_S = 5.0

Run = Callable[[Sequence[str]], str]
Which = Callable[[str], str | None]


class Mount(msgspec.Struct, frozen=True):
    """A mounted file system that is not read only. `source` is a device, a dataset or `server:/export`."""

    path: Path
    kind: str
    source: str


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """The file system that a folder is on, or will be. `zpool`: the ZFS pool that it is part of."""

    kind: str = ""
    reflink: bool = False
    zpool: str | None = None


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """What was found. `programs` maps a name of `PROGRAMS` to where it is."""

    btrfs: tuple[Path, ...] = ()
    reflink: tuple[Path, ...] = ()
    nfs: tuple[Mount, ...] = ()
    zfs: tuple[str, ...] = ()
    programs: Mapping[str, str] = {}
    root: bool = False


def look(*, mounts: Path = MOUNTS, run: Run | None = None, which: Which = shutil.which) -> Machine:
    """Look around without changing anything. What cannot be read counts as absent."""
    programs = {name: place for name in PROGRAMS if (place := which(name)) is not None}
    writable = [mount for mount in _mounts(mounts) if mount.kind in _NFS or os.access(mount.path, os.W_OK)]
    return Machine(
        btrfs=tuple(mount.path for mount in writable if mount.kind == "btrfs"),
        reflink=tuple(mount.path for mount in writable if mount.kind in _MAY_REFLINK and reflinks(mount.path)),
        nfs=tuple(mount for mount in writable if mount.kind in _NFS),
        zfs=tuple(_zfs_pools(run or _run)) if "zpool" in programs else (),
        programs=programs,
        root=os.geteuid() == 0,
    )


def stand(folder: Path, *, mounts: Path = MOUNTS) -> Place:
    """Look at the file system that a folder is on; one that is not there yet will be where its next ancestor is."""
    folder = folder.absolute()
    there = next(path for path in (folder, *folder.parents) if path.is_dir()).resolve()
    below = [mount for mount in _mounts(mounts) if there.is_relative_to(mount.path)]
    # Of those at the same place the last one hides the others.
    deepest = max(reversed(below), key=lambda mount: len(mount.path.parts), default=None)
    if deepest is None:
        return Place()
    zpool = deepest.source.partition("/")[0] if deepest.kind == "zfs" else None
    return Place(kind=deepest.kind, reflink=deepest.kind in _MAY_REFLINK and reflinks(there), zpool=zpool)


def reflinks(folder: Path) -> bool:
    """Try a copy-on-write copy between two files without names."""
    flags = os.O_TMPFILE | os.O_RDWR
    try:
        source = os.open(folder, flags, 0o600)
        try:
            os.write(source, b"\0" * 4096)
            target = os.open(folder, flags, 0o600)
            try:
                fcntl.ioctl(target, _FICLONE, source)
            finally:
                os.close(target)
        finally:
            os.close(source)
    except OSError:
        return False
    return True


def _mounts(table: Path) -> Iterator[Mount]:
    """Yield what is mounted and not read only, in the order of the table."""
    try:
        lines = table.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return
    for line in lines:
        before, dash, after = line.partition(" - ")
        fields, kind_and_source = before.split(" "), after.split(" ")
        if dash and len(fields) > 5 and "rw" in fields[5].split(","):  # noqa: PLR2004 - proc(5): mount options
            kind, source, *_ = [*kind_and_source, ""]
            yield Mount(Path(_unescape(fields[4])), kind, _unescape(source))


def _unescape(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)


def _zfs_pools(run: Run) -> Sequence[str]:
    try:
        return run(["zpool", "list", "-H", "-o", "name"]).split()
    except (OSError, subprocess.SubprocessError):
        return ()


def _run(arguments: Sequence[str]) -> str:
    done = subprocess.run(arguments, check=True, capture_output=True, text=True, timeout=_ZPOOL_TIMEOUT_S)
    return done.stdout
