"""Opening a pool: probe, parent, identity, rights, and the leftovers of a crash. All of it blocks."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import msgspec

from gateway.backends.zfs.commands import Commands, Dataset, options
from gateway.backends.zfs.failures import Meaning, Refused
from gateway.backends.zfs.library import Library, LibraryCommands, find_library
from gateway.backends.zfs.pool import Pool, ZfsOptions
from gateway.backends.zfs.records import (
    FORMAT,
    MANIFEST_NAME,
    POOL,
    SNAPSHOT,
    VOLUME,
    PoolRecord,
    decode_pool,
    encode_pool,
    incoming_id,
    parse_id,
)
from gateway.backends.zfs.replicas import Replicas
from gateway.backends.zfs.rights import ALL, Rights, is_root, probe
from gateway.backends.zfs.snapshots import Snapshots
from gateway.backends.zfs.volumes import Volumes
from gateway.core.backend import FaultHook
from gateway.core.errors import GatewayError, Unavailable
from gateway.core.runner import Circuit, Runner

_WELL = frozenset({"ONLINE", "DEGRADED"})
_LOCKS = Path("/run/lock")
_OWN = frozenset({"local", "received"})


class Lock:
    """A process's hold on a pool. `alone`: nobody else had one when it was taken."""

    def __init__(self, path: Path) -> None:
        self._fd: int | None = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self.alone = True
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.alone = False
            fcntl.flock(self._fd, fcntl.LOCK_SH)

    def share(self) -> None:
        """Let other processes in."""
        if self._fd is not None:
            fcntl.flock(self._fd, fcntl.LOCK_SH)

    def release(self) -> None:
        """Let go. Idempotent."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


class Opened(msgspec.Struct, frozen=True):
    """What opening gives."""

    pool: Pool
    record: PoolRecord
    rights: Rights
    lock: Lock


def open_pool(name: str, options: ZfsOptions, fault: FaultHook, runner: Runner) -> Opened:
    """Open a pool, or raise Unavailable with the reason.

    What a crash left is settled only when no other process uses the pool: what
    looks left over may be its work in progress.
    """
    commands = _engine(name, options, runner)
    try:
        with _unavailable(name):
            _require_zpool(name, options, commands)
            record = _parent(name, options, commands)
            lock = Lock((options.lock_dir or _LOCKS) / f"volume-gateway-zfs-{record.id}.lock")
            try:
                rights = ALL if is_root() else probe(f"{options.pool}/{options.parent}", commands)
                _require_use(name, rights)
                pool = Pool(
                    name,
                    options,
                    record=record,
                    commands=commands,
                    fault=fault,
                    may_mount=not rights.mount,
                    quota=not rights.quota,
                )
                _look_around(pool, alone=lock.alone)
                lock.share()
            except BaseException:
                lock.release()
                raise
    except BaseException:
        commands.close()
        raise
    return Opened(pool, record, rights, lock)


def _engine(name: str, options: ZfsOptions, runner: Runner) -> Commands:
    circuit = Circuit(runner, what=name)
    library: Library | str = "not asked for"
    if options.engine != "cli":
        library = find_library()
    if not isinstance(library, str):
        return LibraryCommands(circuit, library, timeout_s=options.timeout_s, threads=options.threads)
    if options.engine == "lzc":
        raise Unavailable(what=name, reason=library)
    return Commands(circuit, timeout_s=options.timeout_s)


@contextmanager
def _unavailable(name: str) -> Iterator[None]:
    try:
        yield
    except Refused as refused:
        raise Unavailable(what=name, reason=refused.text.partition("\n")[0]) from refused
    except OSError as error:
        raise Unavailable(what=name, reason=str(error)) from error


def _require_zpool(name: str, options: ZfsOptions, commands: Commands) -> None:
    lines = commands.table("zpool", "list", "-Hp", "-o", "health,readonly", options.pool)
    if not lines:
        raise Unavailable(what=name, reason=f"there is no zpool {options.pool}")
    health, read_only = lines[0]
    if health not in _WELL:
        raise Unavailable(what=name, reason=f"the zpool {options.pool} is {health.lower()}")
    if read_only == "on":
        raise Unavailable(what=name, reason=f"the zpool {options.pool} is imported read-only")


# --- the parent ---


def _parent(name: str, options: ZfsOptions, commands: Commands) -> PoolRecord:
    """Give what the parent says of the pool. It is made if need be, and its key loaded."""
    parent = f"{options.pool}/{options.parent}"
    wanted = f"type,encryption,keystatus,{POOL}"
    lines = commands.table("zfs", "get", "-Hp", "-o", "property,value,source", wanted, parent)
    if not lines:
        return _make_parent(parent, options, commands)
    found = {prop: value for prop, value, _ in lines}
    if found["type"] != "filesystem":
        raise Unavailable(what=name, reason=f"{parent} is no filesystem")
    if options.encryption is not None and found["encryption"] == "off":
        raise Unavailable(what=name, reason=f"{parent} is there already and not encrypted")
    # The parent of a pool within another pool inherits that one's identity.
    own = {prop for prop, _, source in lines if source in _OWN}
    record = _identified(name, parent, found[POOL]) if POOL in own else PoolRecord(uuid4())
    if found["keystatus"] == "unavailable":
        commands.run("zfs", "load-key", parent)
    if POOL not in own:
        commands.set(parent, {POOL: encode_pool(record)})
    return record


def _make_parent(parent: str, settings: ZfsOptions, commands: Commands) -> PoolRecord:
    encryption, record = settings.encryption, PoolRecord(uuid4())
    values = {"canmount": "off", POOL: encode_pool(record)}
    if settings.mountpoint is not None:
        values["mountpoint"] = str(settings.mountpoint)
    if encryption is not None:
        values |= {
            "encryption": encryption.cipher,
            "keyformat": encryption.keyformat,
            "keylocation": encryption.keylocation,
        }
    commands.run("zfs", "create", "-u", "-p", *options(values), parent)
    return record


def _identified(name: str, parent: str, value: str) -> PoolRecord:
    record = decode_pool(value)
    if record is None:
        raise Unavailable(what=name, reason=f"what {parent} says of itself in {POOL} cannot be read")
    if record.format > FORMAT:
        reason = f"its layout has format {record.format}, this release knows {FORMAT}"
        raise Unavailable(what=name, reason=reason)
    return record


def _require_use(name: str, rights: Rights) -> None:
    if rights.filesystems and rights.blocks:
        raise Unavailable(what=name, reason=rights.filesystems)


# --- leftovers ---


def _look_around(pool: Pool, *, alone: bool) -> None:
    """Make the place of the manifest where it is missing, and settle what a crash left."""
    datasets = pool.commands.datasets(pool.parent, VOLUME, below=True)
    manifest = f"{pool.parent}/{MANIFEST_NAME}"
    if manifest not in {dataset.name for dataset in datasets}:
        pool.commands.run("zfs", "create", "-u", "-o", "canmount=off", manifest)
    if alone:
        _settle(pool, datasets)


def _settle(pool: Pool, datasets: Sequence[Dataset]) -> None:
    """Finish or remove what changes left that did not end. One that resists must not keep the others out."""
    volumes, snapshots = Volumes(pool), Snapshots(pool)
    records = pool.volume_records(datasets)
    for dataset in datasets:
        record = records.get(dataset.name)
        with _lenient():
            if incoming_id(dataset.short) is not None:
                # What can be resumed is progress, not a leftover.
                if dataset.token is None:
                    volumes.discard_arriving(dataset)
            elif parse_id(dataset.short) is not None and (record is None or not record.whole):
                volumes.discard_unfinished(dataset)
            elif record is not None and record.restoring is not None:
                snapshots.settle(record.id, record.restoring.token)
    _settle_increments(pool, volumes)


def _settle_increments(pool: Pool, volumes: Volumes) -> None:
    snaps = [s for s in pool.commands.snaps(pool.parent, SNAPSHOT, depth=2) if incoming_id(s.short) is not None]
    recorded = pool.snapshot_records(snaps)
    replicas = Replicas(pool, volumes)
    for snap in snaps:
        with _lenient():
            replicas.settle([snap.name], [*recorded])


@contextmanager
def _lenient() -> Iterator[None]:
    with contextlib.suppress(GatewayError):
        try:
            yield
        except Refused as refused:
            if refused.meaning is Meaning.GONE:
                raise
