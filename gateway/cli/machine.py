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
    "ganesha.nfsd": "NFS exports (nfs-ganesha)",
    "tgtd": "iSCSI targets (tgt)",
    "qemu-storage-daemon": "NBD exports (qemu)",
    "git": "git repositories",
    "zpool": "OpenZFS",
}
"""Program -> what it is good for."""

_FICLONE = 0x40049409
_MAY_REFLINK = frozenset({"xfs", "btrfs", "bcachefs", "ocfs2", "zfs"})
_ZPOOL_TIMEOUT_S = 5.0

Run = Callable[[Sequence[str]], str]
Which = Callable[[str], str | None]


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """What was found. `programs` maps a name of `PROGRAMS` to where it is."""

    btrfs: tuple[Path, ...] = ()
    reflink: tuple[Path, ...] = ()
    zfs: tuple[str, ...] = ()
    programs: Mapping[str, str] = {}
    root: bool = False


def look(*, mounts: Path = MOUNTS, run: Run | None = None, which: Which = shutil.which) -> Machine:
    """Look around without changing anything. What cannot be read counts as absent."""
    programs = {name: place for name in PROGRAMS if (place := which(name)) is not None}
    writable = [(path, kind) for path, kind in _mounts(mounts) if os.access(path, os.W_OK)]
    return Machine(
        btrfs=tuple(path for path, kind in writable if kind == "btrfs"),
        reflink=tuple(path for path, kind in writable if kind in _MAY_REFLINK and reflinks(path)),
        zfs=tuple(_zfs_pools(run or _run)) if "zpool" in programs else (),
        programs=programs,
        root=os.geteuid() == 0,
    )


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


def _mounts(table: Path) -> Iterator[tuple[Path, str]]:
    """Yield mount points that are not read only, with their kind of file system."""
    try:
        lines = table.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return
    for line in lines:
        before, dash, after = line.partition(" - ")
        fields = before.split(" ")
        if dash and len(fields) > 5 and "rw" in fields[5].split(","):  # noqa: PLR2004 - proc(5): mount options
            yield Path(_unescape(fields[4])), after.split(" ")[0]


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
