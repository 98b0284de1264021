"""Opening a pool: the repository, its identity, and the leftovers of a crash. All of it blocks."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import msgspec
import structlog

from gateway.backends.files.failures import refused
from gateway.backends.files.lock import Lock
from gateway.backends.files.names import parse_id, read_file, replace_file
from gateway.backends.files.opening import REASONS
from gateway.backends.git_lfs.layout import (
    FORMAT,
    NAMESPACES,
    POOL,
    SNAPSHOTS,
    VOLUMES,
    PoolRecord,
    SnapshotSidecar,
    Tree,
    VolumeSidecar,
    parse_tree,
    record_decoder,
    trees_of,
)
from gateway.backends.git_lfs.pool import GitLfsOptions, Pool
from gateway.backends.git_lfs.replicas import Replicas
from gateway.backends.git_lfs.repository import GIT, NOTHING, Move, Repository
from gateway.backends.git_lfs.usage import Usage
from gateway.core.backend import FaultHook
from gateway.core.errors import Busy, Unavailable

log = structlog.get_logger(__name__)

_SETTINGS = {
    "core.fsync": "all",
    # Many clients and this process remove refs at once, and each has to rewrite the packed ones.
    "core.packedrefstimeout": "20000",
    "core.filesreflocktimeout": "5000",
    "http.receivepack": "true",
    "http.getanyfile": "false",
    # One object that is not what another one takes it for stops git's upkeep, and the collection of large files, for
    # all volumes. What old histories are known to have does no harm.
    "receive.fsckobjects": "true",
    "receive.fsck.badtimezone": "ignore",
    "receive.fsck.missingspacebeforedate": "ignore",
    "receive.fsck.zeropaddedfilemode": "ignore",
}
_HIDDEN = ("^refs/", "!refs/")
"""What is not of the name space is not told to who pushes: git would give the ids of all that the pool has. Of a name
space `!refs/` is, which wins as the last that fits."""
_STALE_S = 600
"""A ref is locked for as long as it takes to write it. What is locked longer was left by a process that died."""

_HOOK = """#!/bin/sh
# Only the live tree of a volume takes what is pushed. Its name is in the sidecar.
sidecar="refs/gateway/volumes/${GIT_NAMESPACE%%/*}"
live="\\"tree\\":\\"${GIT_NAMESPACE#*/}\\""
[ -n "$GIT_NAMESPACE" ] && git cat-file blob "$sidecar" 2>/dev/null | grep -qF "$live" && exit 0
echo "read only" >&2
exit 1
"""
"""Keeps snapshots, and everything of ours, from whoever pushes by whatever way."""


class Opened(msgspec.Struct, frozen=True):
    """What opening gives."""

    pool: Pool
    record: PoolRecord
    lock: Lock


def open_pool(name: str, options: GitLfsOptions, fault: FaultHook) -> Opened:
    """Open a pool, or raise Unavailable with the reason.

    What a crash left is settled only when no other process uses the pool: what
    looks left over may be its work in progress.
    """
    if shutil.which(GIT) is None:
        raise Unavailable(what=name, reason=f"{GIT} is not installed")
    with refused(name, f"cannot use {options.path}", REASONS):
        path = options.path.resolve(strict=True)
        lock = Lock(path / "gateway.lock")
        try:
            repository = Repository(name, path, timeout_s=options.timeout_s)
            pool = Pool(name, options, repository=repository, fault=fault)
            if lock.alone:
                _unlock(path)
                _furnish(pool)
            record = _identify(pool)
            if lock.alone:
                _settle(pool)
            lock.share()
        except BaseException:
            lock.release()
            raise
    return Opened(pool, record, lock)


def _furnish(pool: Pool) -> None:
    """Make the repository, or what it lacks. Only a folder with nothing in it becomes one."""
    repository, path = pool.repository, pool.repository.path
    if repository.ask("rev-parse", "--is-bare-repository").text.strip() != "true":
        there = {entry.name for entry in path.iterdir()} - {"gateway.lock", "lost+found"}
        if there - {"HEAD", "branches", "config", "description", "hooks", "info", "objects", "refs"}:
            raise Unavailable(what=pool.name, reason=f"{path} is neither empty nor a bare repository")
        repository.run("init", "--quiet", "--bare", f"--initial-branch={pool.options.branch}")
    settings = repository.run("config", "--local", "--list").text.splitlines()
    for key, value in _SETTINGS.items():
        if f"{key}={value}" not in settings:
            repository.run("config", key, value)
    hidden = [one.partition("=")[2] for one in settings if one.startswith("receive.hiderefs=")]
    if hidden != list(_HIDDEN):
        repository.run("config", "--replace-all", "receive.hideRefs", _HIDDEN[0])
        repository.run("config", "--add", "receive.hideRefs", _HIDDEN[1])
    hook = path / "hooks" / "pre-receive"
    if read_file(hook) != _HOOK.encode():
        hook.parent.mkdir(exist_ok=True)
        replace_file(hook, _HOOK.encode())
        hook.chmod(0o755)


def _identify(pool: Pool) -> PoolRecord:
    repository = pool.repository
    for _ in range(2):
        written = repository.refs(POOL).get(POOL)
        if written is not None:
            break
        fresh = repository.write(msgspec.json.encode(PoolRecord(format=FORMAT, id=uuid4())))
        try:
            repository.move([Move(POOL, fresh, NOTHING)])
        except Busy:
            # Another process that opens it was first.
            continue
        repository.flush()
    data = None if written is None else next(repository.read([written]))
    try:
        record = record_decoder.decode(data or b"")
    except msgspec.DecodeError as error:
        raise Unavailable(what=pool.name, reason=f"{POOL} is damaged") from error
    if record.format > FORMAT:
        reason = f"its layout has format {record.format}, this release knows {FORMAT}"
        raise Unavailable(what=pool.name, reason=reason)
    return record


# --- leftovers ---


def _unlock(path: Path) -> None:
    """Remove the locks of processes that died with them: nobody could change those refs any more."""
    now = time.time()
    # A machine that was started since has killed whoever had a lock, however short a time ago that is.
    fresh = max(now - _STALE_S, now - time.clock_gettime(time.CLOCK_BOOTTIME))
    for lock in _locks(path):
        ours = lock.is_relative_to(path / "refs" / "gateway")
        if ours or lock.stat().st_mtime < fresh:
            log.warning("lock of a dead process removed", path=str(lock))
            lock.unlink(missing_ok=True)


def _locks(path: Path) -> Iterator[Path]:
    yield from (lock for lock in (path / "packed-refs.lock", path / "config.lock") if lock.exists())
    yield from (path / "refs").rglob("*.lock")


def _settle(pool: Pool) -> None:
    """Complete what was received, and remove the trees that no sidecar names."""
    named = set()
    for _, sidecar in pool.sidecars(VOLUMES, SNAPSHOTS):
        if isinstance(sidecar, VolumeSidecar):
            named.add(Tree(sidecar.id, sidecar.tree))
            if sidecar.arriving is not None:
                Replicas(pool, Usage(pool.repository)).settle(sidecar.id)
                named.add(Tree(sidecar.id, sidecar.arriving.id))
        elif isinstance(sidecar, SnapshotSidecar):
            named.add(Tree(sidecar.volume, sidecar.id))
        else:
            # What it named cannot be told, so nothing is thrown away.
            log.warning("leftovers stay beside a damaged sidecar", pool=pool.name, ref=sidecar)
            return
    left = _trees(pool) - named
    try:
        pool.repository.refs(VOLUMES, SNAPSHOTS, whole=True)
    except Unavailable:
        # It is in no list, so the tree that it names looks left over.
        log.warning("leftovers stay beside a torn sidecar", pool=pool.name)
        return
    for tree in left:
        for lock in (pool.repository.path / tree.prefix).rglob("*.lock"):
            lock.unlink(missing_ok=True)
    if left:
        pool.clear_later(*left)
        pool.keep()


def _trees(pool: Pool) -> set[Tree]:
    """Give every tree that there is, whole or not."""
    found = {pair[0] for ref in pool.repository.refs(NAMESPACES) if (pair := parse_tree(ref)) is not None}
    for name in pool.repository.folders(NAMESPACES):
        volume = parse_id(name)
        inner = [] if volume is None else pool.repository.folders(trees_of(volume))
        names = {tree for name in inner if (tree := parse_id(name)) is not None}
        found |= {Tree(volume, tree) for tree in names if volume is not None}
    return found
