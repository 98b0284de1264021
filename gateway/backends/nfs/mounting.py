"""What is mounted where, and mounting it. Nothing here touches the file server but the program that mounts."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import msgspec
import structlog

from gateway.core.errors import Unavailable
from gateway.core.runner import Circuit, Runner

log = structlog.get_logger(__name__)

TABLE = Path("/proc/self/mountinfo")
_OCTAL = re.compile(r"\\([0-7]{3})")
_NFS = frozenset({"nfs", "nfs4"})


class NfsPoolOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of a pool on a file server.

    path: where the export is mounted on this host; a relative one begins at the configuration file.
    server: the file server, as it is mounted here.
    port: where it listens.
    address: what clients are told to mount from, when they know it by another name.
    export: the path there that corresponds to `path`.
    version: the protocol's, such as "4.1".
    mount: the gateway mounts the export where it is not mounted; else it must be.
    mount_options: what mount(8) is given besides version and port. Calls that fail
        are better than calls that hang: whatever matters is checked.
    timeout_s: no touch of the mount is waited for longer than this.
    threads: how many touches may be under way at once.
    rest_s: how long a server that does not answer is left alone before it is tried again.
    durable: every change is on the server's disk before it returns.
    """

    path: Path
    server: str
    export: str
    port: int = 2049
    address: str = ""
    version: str = "4.1"
    mount: bool = False
    mount_options: str = "softerr,timeo=100,retrans=2"
    timeout_s: float = 30.0
    threads: int = 4
    rest_s: float = 30.0
    durable: bool = True


class Mount(msgspec.Struct, frozen=True):
    """One line of the mount table. `source` is what was mounted, `root` the path in it."""

    point: str
    root: str
    filesystem: str
    source: str


def mounts(table: Iterable[str]) -> list[Mount]:
    """Give what is mounted, in order: of several at one point the last one counts."""
    found = []
    for line in table:
        before, _, after = line.partition(" - ")
        fields, rest = before.split(" "), after.split(" ")
        found.append(Mount(point=_plain(fields[4]), root=_plain(fields[3]), filesystem=rest[0], source=_plain(rest[1])))
    return found


class Mounting:
    """Sees to it that the export is where the pool expects it. Safe for use from several threads at once."""

    def __init__(self, name: str, options: NfsPoolOptions, runner: Runner, table: Path = TABLE) -> None:
        self._name = name
        self._options = options
        self._runner = Circuit(runner, what=name)
        self._table = table
        self._turn = threading.Lock()

    def ensure(self) -> None:
        """Mount the export if we are to; Unavailable unless `path` then leads to a mounted file server.

        Without this a server that is not mounted would be taken for an empty
        pool, and volumes would be made on the disk below the mount point.
        """
        if self._refusal() is not None and self._options.mount:
            if not self._turn.acquire(blocking=False):
                raise Unavailable(what=self._name, reason="it is being mounted")
            try:
                if self._refusal() is not None:
                    self._mount()
            finally:
                self._turn.release()
        refusal = self._refusal()
        if refusal is not None:
            raise Unavailable(what=self._name, reason=refusal)

    def _mount(self) -> None:
        options = self._options
        done = self._runner.run(command(options), timeout_s=options.timeout_s)
        if done.status:
            export, error = remote(options), done.stderr.strip()
            log.warning("not mounted", pool=self._name, export=export, status=done.status, error=error)
            reason = f"{export} cannot be mounted (mount ended with status {done.status})"
            raise Unavailable(what=self._name, reason=reason)

    def _refusal(self) -> str | None:
        with self._table.open(encoding="utf-8", errors="surrogateescape") as lines:
            table = mounts(line.rstrip("\n") for line in lines)
        return _refusal(PurePosixPath(self._options.path.absolute()), self._options, table)


def command(options: NfsPoolOptions) -> tuple[str, ...]:
    """Give the command line that mounts the export."""
    wanted = ",".join(filter(None, (f"vers={options.version}", f"port={options.port}", options.mount_options)))
    return ("mount", "-t", "nfs4", "-o", wanted, "--", remote(options), str(options.path))


def remote(options: NfsPoolOptions) -> str:
    """Give the export as the mount table names it."""
    server = f"[{options.server}]" if ":" in options.server else options.server
    return f"{server}:{PurePosixPath('/', options.export)}"


def _refusal(path: PurePosixPath, options: NfsPoolOptions, table: list[Mount]) -> str | None:
    """Tell why `path` is not the export; None when it is, or is a mount of another kind that stands in for it."""
    holding = [mount for mount in table if path.is_relative_to(mount.point)]
    deepest = max(holding, key=lambda mount: len(PurePosixPath(mount.point).parts), default=None)
    if deepest is None:
        return f"{path} is not mounted"
    last = [mount for mount in holding if mount.point == deepest.point][-1]
    if last.filesystem not in _NFS:
        return None if PurePosixPath(last.point) == path and last.point != "/" else f"{path} is not a mount point"
    server, _, export = last.source.rpartition(":")
    mounted = f"{server}:{PurePosixPath(export, last.root.lstrip('/'), path.relative_to(last.point))}"
    if mounted != remote(options):
        return f"{mounted} is mounted at {path}, not {remote(options)}"
    return None


def _plain(text: str) -> str:
    return _OCTAL.sub(lambda match: chr(int(match[1], 8)), text)
