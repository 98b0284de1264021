"""Volumes as raw devices: the storage daemon that shows them, one for each pool. All of it blocks.

Exporters know nothing of qcow2, so the daemon shows the head of an open volume
as a raw file, through FUSE. A file in `devices/` is both the mount point and
the record that this volume is open: when the daemon is gone, the next one
opens the same again under the same paths.

A node of the daemon is named by the inode of the layer's file, which stays
when a merged layer takes the name of another.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import structlog

from gateway.backends.qcow2.failures import Refused, complaint
from gateway.backends.qcow2.images import Layer
from gateway.backends.qcow2.layout import Layout, names_in, parse_device
from gateway.backends.qcow2.process import Daemon, ended
from gateway.backends.qcow2.qmp import Conversation, HungUp, listen
from gateway.core.errors import GatewayError, Timeout, Unavailable
from gateway.core.runner import Runner

log = structlog.get_logger(__name__)

PROGRAM = "qemu-storage-daemon"
CONTROL, JOBS = "control", "jobs"
FUSE = Path("/dev/fuse")
_TALK_S = 20.0
_START_S = 5.0
_STARTS = 3
_REST_S = 30.0
_DEATH_S = 5.0
_STEADY_S = 60.0
_SLOWEST = 4 * 1024**2
_LOWER_CACHE = 1024**2
_MNT_DETACH, _UMOUNT_NOFOLLOW = 2, 8
_libc = ctypes.CDLL(None, use_errno=True)


class Target(msgspec.Struct, frozen=True):
    """What a raw view shows: the first layer of a chain. `sparse`: zeros that are written take no space."""

    chain: tuple[Layer, ...]
    writable: bool
    sparse: bool = False


class Merged(msgspec.Struct, frozen=True):
    """A merge that the daemon has done: `upper` is of no use any more, `lower` has to take its name."""

    family: UUID
    lower: int
    upper: int

    @property
    def job(self) -> str:
        """Give the name of the job, which says it all, also after the gateway was killed."""
        return f"merge.{self.family}.{self.lower}.{self.upper}"


Locate = Callable[[str], Target | None]


class _Export(msgspec.Struct, frozen=True):
    id: str
    node: str = msgspec.field(name="node-name")


class _Node(msgspec.Struct, frozen=True):
    name: str = msgspec.field(name="node-name")


class _Job(msgspec.Struct, frozen=True):
    id: str
    status: str
    error: str = ""


class Devices:
    """The open volumes and snapshots of a pool. `locate` says what a name is to show now; None: nothing any more."""

    def __init__(self, pool: str, layout: Layout, runner: Runner, *, locate: Locate) -> None:
        self._pool = pool
        self._layout = layout
        self._runner = runner
        self._locate = locate
        self._daemon = Daemon(pool, layout.run)
        self._life = threading.RLock()
        self._rest_until = 0.0

    # --- the daemon's life ---

    def pid(self) -> int | None:
        """Give the daemon's process, if it runs."""
        with self._life:
            return self._daemon.pid()

    def revive(self) -> None:
        """Start the daemon when something is to be open and it does not run. What cannot be opened stays closed."""
        with self._life, self._alone():
            if self._daemon.pid() is not None:
                return
            names = self._names()
            for name in names:
                self._detach(name)
            if not names:
                return
            try:
                self._start()
                self._open_again(names)
            except (OSError, GatewayError) as error:
                log.warning("devices stay closed", pool=self._pool, error=str(error))

    def _open_again(self, names: Sequence[str]) -> None:
        for name in names:
            try:
                target = self._locate(name)
                if target is None:
                    (self._layout.devices / name).unlink(missing_ok=True)
                    continue
                with self._talk() as talk:
                    self._export(talk, name, target)
                log.info("device open again", pool=self._pool, device=name)
            except (Refused, GatewayError) as error:
                log.warning("device stays closed", pool=self._pool, device=name, error=str(error))

    def stop(self) -> None:
        """Close everything and end the daemon."""
        with self._life:
            self._daemon.stop()
            for name in self._names():
                self._detach(name)
                (self._layout.devices / name).unlink(missing_ok=True)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep other processes from starting a daemon for the same pool."""
        fd = os.open(self._layout.run / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)

    def _start(self) -> None:
        """Start the daemon and be greeted by it.

        A monitor that somebody connects to while it is being set up may stay
        mute for ever (a race in QEMU). Such a daemon has nothing open yet, so
        another one is started in its place.
        """
        for _ in range(_STARTS):
            self._launch()
            try:
                for channel in (CONTROL, JOBS):
                    with self._greeted(channel, _START_S):
                        pass
            except (OSError, Timeout) as error:
                log.warning("storage daemon did not start", pool=self._pool, error=repr(error))
                self._daemon.stop()
            else:
                self._rest_until = 0.0
                return
        reason = f"{PROGRAM} did not start; {self._layout.run / 'output'} may say why"
        raise Unavailable(what=self._pool, reason=reason)

    def _launch(self) -> None:
        sockets = {name: listen(self._layout.run / name) for name in (CONTROL, JOBS)}
        try:
            arguments = [PROGRAM]
            for name, server in sockets.items():
                arguments += ["--chardev", f"socket,fd={server.fileno()},server=on,wait=off,id={name}"]
                arguments += ["--monitor", f"chardev={name}"]
            self._daemon.start(arguments, inherited=[server.fileno() for server in sockets.values()])
        finally:
            for server in sockets.values():
                server.close()

    def _names(self) -> list[str]:
        return [name for name in names_in(self._layout.devices) if parse_device(name) is not None]

    def _detach(self, name: str) -> None:
        """Take away what a daemon that is gone has left mounted."""
        path = self._layout.devices / name
        if _libc.umount2(os.fsencode(path), _MNT_DETACH | _UMOUNT_NOFOLLOW) and ctypes.get_errno() == errno.EPERM:
            self._runner.run(("fusermount3", "-u", "-z", "-q", str(path)), timeout_s=_TALK_S)

    # --- talking ---

    @contextmanager
    def _talk(self, channel: str = CONTROL) -> Iterator[Conversation]:
        """Talk to the daemon. One that was silent is left alone for a while, so that not all threads wait for it."""
        if time.monotonic() < self._rest_until:
            raise Unavailable(what=self._pool, reason="the storage daemon did not answer and is left alone for a while")
        try:
            with self._greeted(channel, _TALK_S) as talk:
                yield talk
        except Timeout:
            if channel == CONTROL:
                self._rest_until = time.monotonic() + _REST_S
            raise

    def _greeted(self, channel: str, timeout_s: float) -> Conversation:
        return Conversation(self._layout.run / channel, what=f"{self._pool}: storage daemon", timeout_s=timeout_s)

    def _ask(self, fn: Callable[[Conversation], None]) -> None:
        """Run `fn` with a daemon that has everything open that is to be; not at all when nothing is to be open.

        A daemon that dies in it is replaced, and `fn` is run again.
        """
        for last in (False, True):
            with self._life:
                self.revive()
                pid = self._daemon.pid()
                if pid is None:
                    return
                try:
                    with self._talk() as talk:
                        fn(talk)
                except (HungUp, ConnectionError) as error:
                    if last or not self._gone(pid):
                        raise Unavailable(what=self._pool, reason="the storage daemon hung up") from error
                else:
                    return

    def _gone(self, pid: int) -> bool:
        """Tell whether a daemon that hung up has ended: its sockets close a little before it is gone."""
        try:
            fd = os.pidfd_open(pid)
        except ProcessLookupError:
            return True
        try:
            return ended(fd, _DEATH_S)
        finally:
            os.close(fd)

    # --- opening and closing ---

    def open(self, name: str, target: Target) -> Path:
        """Give the raw view of a target, opened if it is not."""
        path = self._layout.devices / name
        if not FUSE.exists():
            raise Unavailable(what=self._pool, reason=f"{FUSE} is missing: images cannot be shown as raw devices")
        with self._life:
            self.revive()
            if self._daemon.pid() is None:
                with self._alone():
                    self._start()
            try:
                path.touch(0o600)
                with self._talk() as talk:
                    self._export(talk, name, target)
            except (OSError, Refused, GatewayError):
                with contextlib.suppress(OSError):
                    path.unlink()
                raise
        return path

    def close(self, name: str, chain: Sequence[Layer]) -> None:
        """Take a raw view away from whoever uses it; what was written is on disk then. Not open: succeeds."""
        if not self.is_open(name):
            return

        def end(talk: Conversation) -> None:
            if name in _exports(talk):
                talk.execute("block-export-del", {"id": _export_id(name), "mode": "hard"})
                talk.await_event(
                    lambda event, data: event == "BLOCK_EXPORT_DELETED" and data.get("id") == _export_id(name),
                    timeout_s=_TALK_S,
                )
            _drop(talk, [_node(layer) for layer in chain])

        with self._life:
            self._ask(end)
            self._detach(name)
            (self._layout.devices / name).unlink(missing_ok=True)

    def showing(self, name: str) -> Path | None:
        """Give the raw view of a name if it can be used just now; nothing is started or asked for that."""
        path = self._layout.devices / name
        try:
            mounted = path.stat().st_dev != self._layout.devices.stat().st_dev
        except OSError:
            return None
        return path if mounted else None

    def is_open(self, name: str) -> bool:
        """Tell whether a name is open, or is to be."""
        return name in names_in(self._layout.devices)

    def _export(self, talk: Conversation, name: str, target: Target) -> None:
        if name in _exports(talk):
            return
        added: list[str] = []
        try:
            self._add_chain(talk, target, added)
            talk.execute(
                "block-export-add",
                {
                    "type": "fuse",
                    "id": _export_id(name),
                    "node-name": _node(target.chain[0]),
                    "mountpoint": str(self._layout.devices / name),
                    "writable": target.writable,
                },
            )
        except Refused:
            _drop(talk, added[::-1])
            raise

    def _add_chain(self, talk: Conversation, target: Target, added: list[str]) -> None:
        backing: str | None = None
        known: frozenset[str] | None = None
        for layer in reversed(target.chain):
            top = layer is target.chain[0]
            options = _options(layer, backing, writable=top and target.writable, sparse=target.sparse)
            backing = _node(layer)
            try:
                talk.execute("blockdev-add", options)
            except Refused:
                # Clones share layers. Asking for all nodes takes long where there are many.
                known = _nodes(talk) if known is None else known
                if backing not in known:
                    raise
            else:
                added.append(backing)

    # --- changes of what is open ---

    def align(self, name: str, target: Target) -> None:
        """Make an open volume write to the head that it has now."""
        nodes = [_node(layer) for layer in target.chain]

        def turn(talk: Conversation) -> None:
            node = _exports(talk).get(name)
            if node is None:
                return
            if node not in nodes:
                raise Refused(f"{name} shows {node}, which is none of its layers")
            for layer in reversed(target.chain[: nodes.index(node)]):
                talk.execute("blockdev-add", _options(layer, None, writable=True))
                try:
                    talk.execute("blockdev-snapshot", {"node": node, "overlay": _node(layer)})
                except Refused:
                    _drop(talk, [_node(layer)])
                    raise
                node = _node(layer)

        self._ask(turn)

    def resize(self, name: str, size: int) -> bool:
        """Set the size of an open volume; False when it is not open."""
        done: list[bool] = []

        def grow(talk: Conversation) -> None:
            node = _exports(talk).get(name)
            if node is not None:
                talk.execute("block_resize", {"node-name": node, "size": size})
                done.append(True)

        self._ask(grow)
        return bool(done)

    def holders(self, layer: Layer) -> list[tuple[str, int]]:
        """Give the names that are open on this layer, and how many layers lie above it in each."""
        found = []
        for name in self._names():
            target = self._locate(name)
            inodes = [] if target is None else [each.inode for each in target.chain]
            if layer.inode in inodes:
                found.append((name, inodes.index(layer.inode)))
        return found

    def replace(self, old: tuple[Layer, ...], new: Layer, children: Sequence[Layer]) -> None:
        """Put `new`, which holds the same bytes, in the place of the first of `old` below all open `children`."""

        def swap(talk: Conversation) -> None:
            tops = set(_exports(talk).values())
            known = _nodes(talk)
            if _node(old[0]) not in known:
                return
            if _node(new) not in known:
                talk.execute("blockdev-add", _options(new, None, writable=False))
            for child in children:
                if _node(child) in known:
                    options = _options(child, _node(new), writable=_node(child) in tops)
                    talk.execute("blockdev-reopen", {"options": [{**options, "file": _file(child)}]})
            _drop(talk, [_node(layer) for layer in old])

        self._ask(swap)

    # --- merging ---

    def merge(self, merged: Merged, top: str, *, name: str, volume: int) -> None:
        """Write an open layer into the one below it; raises when it did not happen.

        The job is remembered by the daemon until it is dismissed, so that one
        that was done is not mistaken for one that was not.
        """
        limit_s = _STEADY_S + volume / _SLOWEST
        with self._talk() as talk:
            node = _exports(talk).get(top)
        with self._talk(JOBS) as talk:
            talk.execute(
                "block-commit",
                {
                    "job-id": merged.job,
                    "device": node,
                    "top-node": f"layer{merged.upper}",
                    "base-node": f"layer{merged.lower}",
                    "backing-file": name,
                    "auto-dismiss": False,
                },
            )
            try:
                talk.await_event(_concluded(merged.job), timeout_s=limit_s)
            except Timeout:
                talk.execute("job-cancel", {"id": merged.job})
                raise
            error = next((job.error for job in _jobs(talk) if job.id == merged.job), "")
            if error:
                talk.execute("job-dismiss", {"id": merged.job})
                raise complaint(self._pool, "merging", error)

    def unfinished(self, *, cancel: bool = False) -> list[Merged]:
        """Give the merges that are done but not dismissed. `cancel`: those that are under way are ended first."""
        found: list[Merged] = []

        def look(talk: Conversation) -> None:
            found.clear()
            for job in _jobs(talk):
                merged = _parse_job(job.id)
                if merged is None:
                    continue
                if job.status != "concluded" and cancel:
                    talk.execute("job-cancel", {"id": job.id})
                    talk.await_event(_concluded(job.id), timeout_s=_TALK_S)
            for job in _jobs(talk):
                merged = _parse_job(job.id)
                if merged is None or job.status != "concluded":
                    continue
                if job.error:
                    talk.execute("job-dismiss", {"id": job.id})
                else:
                    found.append(merged)

        if self.pid() is not None:
            self._ask(look)
        return found

    def dismiss(self, merged: Merged) -> None:
        """Let the daemon forget a merge after its layer has got its name."""

        def forget(talk: Conversation) -> None:
            if any(job.id == merged.job for job in _jobs(talk)):
                talk.execute("job-dismiss", {"id": merged.job})
            _drop(talk, [f"layer{merged.upper}"])

        self._ask(forget)


# --- what is said ---


def _node(layer: Layer) -> str:
    return f"layer{layer.inode}"


def _file(layer: Layer) -> str:
    return f"file{layer.inode}"


def _export_id(name: str) -> str:
    return f"x{name}"


def _options(layer: Layer, backing: str | None, *, writable: bool, sparse: bool = False) -> dict[str, Any]:
    options: dict[str, Any] = {
        "driver": "qcow2",
        "node-name": _node(layer),
        "read-only": not writable,
        "discard": "unmap",
        "backing": backing,
        "file": {"driver": "file", "node-name": _file(layer), "filename": str(layer.path), "discard": "unmap"},
    }
    if sparse:
        options["detect-zeroes"] = "unmap"
    if not writable:
        # There may be hundreds of them; the default is what the head alone should take.
        options["l2-cache-size"] = _LOWER_CACHE
    return options


def _exports(talk: Conversation) -> dict[str, str]:
    found = msgspec.json.decode(talk.execute("query-block-exports"), type=list[_Export])
    return {export.id.removeprefix("x"): export.node for export in found}


def _nodes(talk: Conversation) -> frozenset[str]:
    found = msgspec.json.decode(talk.execute("query-named-block-nodes", {"flat": True}), type=list[_Node])
    return frozenset(node.name for node in found)


def _jobs(talk: Conversation) -> list[_Job]:
    return msgspec.json.decode(talk.execute("query-jobs"), type=list[_Job])


def _concluded(job: str) -> Callable[[str, Mapping[str, Any]], bool]:
    return lambda event, data: (
        event == "JOB_STATUS_CHANGE" and data.get("id") == job and data.get("status") == "concluded"
    )


def _parse_job(name: str) -> Merged | None:
    kind, *parts = name.split(".")
    if kind != "merge" or len(parts) != 3:  # noqa: PLR2004 - family, lower, upper
        return None
    return Merged(family=UUID(parts[0]), lower=int(parts[1]), upper=int(parts[2]))


def _drop(talk: Conversation, nodes: Sequence[str]) -> None:
    """Let go of nodes, the upper first, up to one that others still use."""
    for node in nodes:
        try:
            talk.execute("blockdev-del", {"node-name": node})
        except Refused:
            return
