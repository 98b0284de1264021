"""Volumes as raw devices: what the storage daemon of a pool has open. All of it blocks.

Exporters know nothing of qcow2, so the daemon shows the head of an open volume
as a raw file, through FUSE. A file in `devices/` is both the mount point and
the record that this volume is open: when the daemon is gone, the next one
opens the same again under the same paths.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import structlog

from gateway.backends.files.names import look_again
from gateway.backends.qcow2 import nodes
from gateway.backends.qcow2.failures import complaint
from gateway.backends.qcow2.images import Layer
from gateway.backends.qcow2.layout import Layout, names_in, parse_device
from gateway.backends.qcow2.lines import ANSWER_S, CHANNELS, Line
from gateway.backends.qcow2.nodes import Merged, Target
from gateway.backends.qcow2.process import Daemon, gone
from gateway.core.errors import Busy, GatewayError, Timeout, Unavailable
from gateway.core.qmp import Conversation, Refused
from gateway.core.runner import Runner
from gateway.core.sockets import listen

log = structlog.get_logger(__name__)

FUSE = Path("/dev/fuse")
_DEATH_S = 5.0
_STEADY_S = 60.0
_SLOWEST = 4 * 1024**2
_MNT_DETACH, _UMOUNT_NOFOLLOW = 2, 8
_NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})
_libc = ctypes.CDLL(None, use_errno=True)

Locate = Callable[[str], Target | None]


class Devices:
    """The open volumes and snapshots of a pool. `locate` says what a name is to show now; None: nothing any more."""

    def __init__(self, pool: str, layout: Layout, runner: Runner, *, locate: Locate) -> None:
        self._pool = pool
        self._layout = layout
        self._runner = runner
        self._locate = locate
        self._daemon = Daemon(pool, layout.run)
        self._line = Line(pool, layout.run)
        self._jobs = Line(pool, layout.run)
        self._life = threading.RLock()

    # --- the daemon's life ---

    def pid(self) -> int | None:
        """Give the daemon's process, if it lives."""
        return self._daemon.pid()

    def revive(self) -> None:
        """Start the daemon when something is to be open and none lives. What cannot be opened stays closed."""
        with self._life, self._alone():
            if self._daemon.pid() is not None:
                return
            names = self.names()
            for name in names:
                self._detach(name)
            self._unlink_all()
            if not names:
                return
            try:
                pid = self._start()
            except GatewayError as error:
                log.warning("devices stay closed", pool=self._pool, error=str(error))
                return
            for name in names:
                self._open_again(name, pid)

    def _open_again(self, name: str, pid: int) -> None:
        try:
            target = self._locate(name)
            if target is None:
                (self._layout.devices / name).unlink(missing_ok=True)
                return
            with self._line.talk(pid) as talk:
                self._export(talk, name, target)
            log.info("device open again", pool=self._pool, device=name)
        except (OSError, Refused, GatewayError) as error:
            log.warning("device stays closed", pool=self._pool, device=name, error=str(error))

    def _start(self) -> int:
        servers = [listen(self._layout.run / channel) for channel in CHANNELS]
        arguments: list[str] = []
        for channel, server in zip(CHANNELS, servers, strict=True):
            arguments += ["--chardev", f"socket,fd={server.fileno()},server=on,wait=off,id={channel}"]
            arguments += ["--monitor", f"chardev={channel}"]
        try:
            self._daemon.start(arguments, inherited=[server.fileno() for server in servers])
        finally:
            for server in servers:
                server.close()
        pid = self._daemon.pid()
        if pid is None:
            raise Unavailable(what=self._pool, reason="the storage daemon ended")
        return pid

    def hang_up(self) -> None:
        """Leave the daemon to itself. Idempotent."""
        self._line.hang_up()
        self._jobs.hang_up()

    def stop(self) -> None:
        """Close everything and end the daemon."""
        with self._life:
            self._daemon.stop()
            self.hang_up()
            for name in self.names():
                self._detach(name)
                (self._layout.devices / name).unlink(missing_ok=True)
            self._unlink_all()

    def _unlink_all(self) -> None:
        for name in names_in(self._layout.open):
            (self._layout.open / name).unlink(missing_ok=True)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep other processes from starting a daemon for the same pool."""
        fd = os.open(self._layout.run / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)

    def _detach(self, name: str) -> None:
        """Take away what a daemon that is gone has left mounted."""
        path = self._layout.devices / name
        if _libc.umount2(os.fsencode(path), _MNT_DETACH | _UMOUNT_NOFOLLOW) and ctypes.get_errno() == errno.EPERM:
            self._runner.run(("fusermount3", "-u", "-z", "-q", str(path)))

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
                    with self._line.talk(pid) as talk:
                        fn(talk)
                except ConnectionError as error:
                    if last or not gone(pid, _DEATH_S):
                        raise Unavailable(what=self._pool, reason="the storage daemon hung up") from error
                else:
                    return

    # --- opening and closing ---

    def open(self, name: str, target: Target) -> Path:
        """Give the raw view of a target, opened if it is not."""
        path = self._layout.devices / name
        if not FUSE.exists():
            raise Unavailable(what=self._pool, reason=f"{FUSE} is missing: images cannot be shown as raw devices")
        with self._life:
            self.revive()
            with self._alone():
                pid = self._daemon.pid() or self._start()
            try:
                path.touch(0o600)
                with self._line.talk(pid) as talk:
                    self._export(talk, name, target)
            except (OSError, Refused, GatewayError):
                with contextlib.suppress(OSError):
                    path.unlink()
                raise
        return path

    def close(self, name: str, chain: Sequence[Layer]) -> None:
        """Take a raw view away from whoever uses it; what was written is on disk then. Not open: succeeds."""

        def end(talk: Conversation) -> None:
            if name in nodes.exports(talk):
                nodes.end_export(talk, name, timeout_s=ANSWER_S)
            self._drop(talk, [nodes.name_of(layer) for layer in chain])

        if self.is_open(name):
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

    def names(self) -> list[str]:
        """Give all that is open, or is to be."""
        return [name for name in names_in(self._layout.devices) if parse_device(name) is not None]

    def is_open(self, name: str) -> bool:
        """Tell whether a name is open, or is to be."""
        return name in names_in(self._layout.devices)

    def _export(self, talk: Conversation, name: str, target: Target) -> None:
        shown = nodes.exports(talk).get(name)
        if shown in {nodes.name_of(layer) for layer in target.chain}:
            return
        if shown is not None:
            nodes.end_export(talk, name, timeout_s=ANSWER_S)
        added: list[str] = []
        try:
            self._add_chain(talk, target, added)
            talk.execute(
                "block-export-add",
                {
                    "type": "fuse",
                    "id": nodes.export_id(name),
                    "node-name": nodes.name_of(target.chain[0]),
                    "mountpoint": str(self._layout.devices / name),
                    "writable": target.writable,
                },
            )
        except Refused:
            self._drop(talk, added[::-1])
            raise

    def _add_chain(self, talk: Conversation, target: Target, added: list[str]) -> None:
        below: str | None = None
        known: frozenset[str] | None = None
        for layer in reversed(target.chain):
            top = layer is target.chain[0]
            try:
                self._add(talk, layer, below, writable=top and target.writable, sparse=target.sparse)
            except Refused:
                # Clones share layers. To ask for all nodes each time would take long where there are many.
                known = nodes.known(talk) if known is None else known
                if nodes.name_of(layer) not in known:
                    raise
            else:
                added.append(nodes.name_of(layer))
            below = nodes.name_of(layer)

    def _add(
        self, talk: Conversation, layer: Layer, below: str | None, *, writable: bool, sparse: bool = False
    ) -> None:
        file = self._layout.open / nodes.link_of(nodes.name_of(layer))
        try:
            file.hardlink_to(layer.path)
        except FileExistsError:
            pass
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            # Without second names, what is open is merged only when it is closed.
            file = layer.path
        options = nodes.options(layer, below, file=file, writable=writable, sparse=sparse)
        talk.execute("blockdev-add", options)

    def _drop(self, talk: Conversation, names: Sequence[str]) -> None:
        nodes.drop(talk, names, links=self._layout.open)

    # --- changes of what is open ---

    def align(self, name: str, target: Target) -> None:
        """Make an open volume write to the head that it has now."""
        chain = [nodes.name_of(layer) for layer in target.chain]

        def turn(talk: Conversation) -> None:
            shown = nodes.exports(talk).get(name)
            if shown is None:
                return
            if shown not in chain:
                raise Refused(f"{name} shows {shown}, which is none of its layers")
            for layer in reversed(target.chain[: chain.index(shown)]):
                self._add(talk, layer, None, writable=True)
                try:
                    talk.execute("blockdev-snapshot", {"node": shown, "overlay": nodes.name_of(layer)})
                except Refused:
                    self._drop(talk, [nodes.name_of(layer)])
                    raise
                shown = nodes.name_of(layer)

        self._ask(turn)

    def resize(self, name: str, size: int) -> bool:
        """Set the size of an open volume; False when it is not open."""
        done: list[bool] = []

        def grow(talk: Conversation) -> None:
            shown = nodes.exports(talk).get(name)
            if shown is not None:
                talk.execute("block_resize", {"node-name": shown, "size": size})
                done.append(True)

        self._ask(grow)
        if done:
            # Who looks at the device now must not see the size that the kernel remembers.
            look_again(self._layout.devices / name)
        return bool(done)

    def replace(self, old: Sequence[Layer], new: Layer, children: Sequence[Layer]) -> None:
        """Put `new`, which holds the same bytes, in the place of the first of `old` below all open `children`."""

        def swap(talk: Conversation) -> None:
            tops = set(nodes.exports(talk).values())
            known = nodes.known(talk)
            if nodes.name_of(old[0]) not in known:
                return
            if nodes.name_of(new) not in known:
                self._add(talk, new, None, writable=False)
            for child in children:
                name = nodes.name_of(child)
                if name in known:
                    options = nodes.options(child, nodes.name_of(new), file=None, writable=name in tops)
                    talk.execute("blockdev-reopen", {"options": [options]})
            self._drop(talk, [nodes.name_of(layer) for layer in old])

        self._ask(swap)

    # --- merging ---

    def merge(self, merged: Merged, top: str, *, name: str, volume: int) -> None:
        """Write an open layer, the file `name`, into the one below it; raises when it did not happen.

        `top` is open on a layer above. The daemon remembers the job until it is
        dismissed, so that one that was done is not mistaken for one that was
        not. Whoever asks the daemon for something else does not wait for it.
        """
        found: list[str | None] = []
        self._ask(lambda talk: found.append(nodes.exports(talk).get(top)))
        pid = self._daemon.pid()
        if pid is None or not found or found[0] is None:
            raise Busy(what=self._pool)
        arguments = {
            "job-id": merged.job,
            "device": found[0],
            "top-node": f"layer{merged.upper}",
            "base-node": f"layer{merged.lower}",
            "backing-file": name,
            "auto-dismiss": False,
        }
        with self._jobs.talk(pid) as talk:
            talk.execute("block-commit", arguments)
            try:
                nodes.await_job(talk, merged.job, timeout_s=_STEADY_S + volume / _SLOWEST)
            except Timeout:
                talk.execute("job-cancel", {"id": merged.job})
                raise
            error = next((job.error for job in nodes.jobs(talk) if job.id == merged.job), "")
            if error:
                talk.execute("job-dismiss", {"id": merged.job})
                raise complaint(self._pool, "merging", error)

    def unfinished(self, *, cancel: bool = False) -> list[Merged]:
        """Give the merges that are done but not dismissed. `cancel`: those that are under way are ended first."""
        found: list[Merged] = []

        def look(talk: Conversation) -> None:
            found.clear()
            for _, job in nodes.merges(talk) if cancel else ():
                if job.status != "concluded":
                    talk.execute("job-cancel", {"id": job.id})
                    nodes.await_job(talk, job.id, timeout_s=ANSWER_S)
            for merged, job in nodes.merges(talk):
                if job.status == "concluded" and job.error:
                    talk.execute("job-dismiss", {"id": job.id})
                elif job.status == "concluded":
                    found.append(merged)

        if self._daemon.pid() is not None:
            self._ask(look)
        return found

    def dismiss(self, merged: Merged) -> None:
        """Let the daemon forget a merge after its layer has got its name."""

        def forget(talk: Conversation) -> None:
            if any(known == merged for known, _ in nodes.merges(talk)):
                talk.execute("job-dismiss", {"id": merged.job})
            self._drop(talk, [f"layer{merged.upper}"])

        self._ask(forget)
