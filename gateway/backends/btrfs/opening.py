"""Opening a pool: probe, layout, identity, quotas, and the leftovers of a crash. All of it blocks."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Mapping
from uuid import uuid4

import msgspec

from gateway.backends.btrfs.kernel import Filesystem, Kernel
from gateway.backends.btrfs.layout import FORMAT, GONE, Layout, PoolRecord
from gateway.backends.btrfs.pool import BtrfsOptions, Pool
from gateway.backends.btrfs.replicas import Replicas
from gateway.backends.btrfs.volumes import Volumes
from gateway.backends.files.failures import refused
from gateway.backends.files.lock import Lock
from gateway.backends.files.names import UNFINISHED, parse_id, replace_file
from gateway.core.backend import FaultHook
from gateway.core.errors import Unavailable

_REASONS: Mapping[int, str] = {
    errno.ENOENT: "no such directory",
    errno.ENOTDIR: "not a directory",
    errno.ENOTTY: "not on a btrfs file system",
    errno.EPERM: "not permitted: managing btrfs needs root with CAP_SYS_ADMIN",
    errno.EACCES: "not permitted: managing btrfs needs root with CAP_SYS_ADMIN",
    errno.EROFS: "the file system is mounted read-only",
}


class Opened(msgspec.Struct, frozen=True):
    """What opening gives."""

    pool: Pool
    record: PoolRecord
    lock: Lock


def open_pool(name: str, options: BtrfsOptions, fault: FaultHook) -> Opened:
    """Open a pool, or raise Unavailable with the reason.

    What a crash left is settled only when no other process uses the pool: what
    looks left over may be its work in progress.
    """
    with refused(name, "libbtrfsutil.so.1 cannot be loaded", _REASONS):
        kernel = Kernel()
    with refused(name, f"cannot use {options.path}", _REASONS):
        layout = Layout(options.path.resolve(strict=True))
        filesystem = kernel.filesystem(layout.root)
        layout.make()
        _require_one_tree(name, layout)
        lock = Lock(layout.lock)
        try:
            pool = Pool(name, options, kernel=kernel, layout=layout, filesystem=filesystem, fault=fault)
            record = _identify(pool)
            _probe(pool)
            record = _ensure_quota(pool, record)
            if lock.alone:
                _settle(pool)
            lock.share()
        except BaseException:
            lock.release()
            raise
    return Opened(pool, record, lock)


def _require_one_tree(name: str, layout: Layout) -> None:
    devices = {path.stat().st_dev for path in (layout.root, layout.volumes, layout.snapshots, layout.staging)}
    if len(devices) > 1:
        reason = f"{layout.root} and the directories in it must not be separate subvolumes or mounts"
        raise Unavailable(what=name, reason=reason)


def _identify(pool: Pool) -> PoolRecord:
    try:
        record = pool.layout.pool_record()
    except msgspec.DecodeError as error:
        raise Unavailable(what=pool.name, reason=f"{pool.layout.record} is damaged") from error
    if record is None:
        record = PoolRecord(format=FORMAT, id=uuid4())
        _put_record(pool, record)
    if record.format > FORMAT:
        reason = f"its layout has format {record.format}, this release knows {FORMAT}"
        raise Unavailable(what=pool.name, reason=reason)
    return record


def _put_record(pool: Pool, record: PoolRecord) -> None:
    replace_file(pool.layout.record, msgspec.json.encode(record))
    pool.kernel.sync(pool.layout.root)


def _probe(pool: Pool) -> None:
    """Make and remove a subvolume: what may not do that may do nothing here."""
    path = pool.layout.staged(uuid4())
    pool.kernel.create_subvolume(path)
    pool.kernel.subvolume(path)
    pool.kernel.delete_subvolume(path)


# --- quotas ---


def _ensure_quota(pool: Pool, record: PoolRecord) -> PoolRecord:
    """Turn quotas on if they are wanted, and give every volume its limit if they were not on all the time."""
    kernel, filesystem = pool.kernel, pool.filesystem
    limited = pool.options.quota
    if limited:
        mode = kernel.quota_mode(filesystem.id)
        if mode == "squota":
            reason = "simple quotas are on, which do not count what clones share: turn them off or set quota = false"
            raise Unavailable(what=pool.name, reason=reason)
        if mode is None:
            kernel.enable_quota(pool.layout.root)
            kernel.rescan_quota(pool.layout.root, wait=True)
            _require_usage(pool, filesystem)
        elif not kernel.quota_consistent(filesystem.id):
            kernel.rescan_quota(pool.layout.root, wait=False)
        with contextlib.suppress(OSError):
            # A safeguard only: where /sys is read-only, `keep_counting` starts a rescan afterwards.
            kernel.count_big_deletions(filesystem.id)
        if mode is None or not record.limited:
            _limit_all(pool)
    if record.limited == limited:
        return record
    changed = msgspec.structs.replace(record, limited=limited)
    _put_record(pool, changed)
    return changed


def _require_usage(pool: Pool, filesystem: Filesystem) -> None:
    if pool.kernel.quota_mode(filesystem.id) is None:
        raise Unavailable(what=pool.name, reason="quotas are on, but /sys/fs/btrfs does not show them")


def _limit_all(pool: Pool) -> None:
    for path in pool.layout.volumes.iterdir():
        volume = parse_id(path.name)
        found = None if volume is None else pool.find_volume(volume)
        if found is not None:
            pool.limit(found.subvolume, found.sidecar.size)


def keep_counting(pool: Pool) -> None:
    """Start a rescan where the kernel has stopped to count, and with that to enforce."""
    kernel = pool.kernel
    if pool.options.quota and not kernel.quota_consistent(pool.filesystem.id):
        kernel.rescan_quota(pool.layout.root, wait=False)


# --- leftovers ---


def _settle(pool: Pool) -> None:
    """Remove what changes left that did not end. Only names that we give are touched."""
    layout = pool.layout
    for path in layout.staging.iterdir():
        if parse_id(path.name.removesuffix(GONE)) is not None:
            pool.discard_later(path)
    replicas = Replicas(pool, Volumes(pool))
    for volume, snapshot in list(replicas.arriving()):
        replicas.settle(volume, snapshot)
    for folder in (layout.notes, layout.private):
        for path in folder.glob(UNFINISHED):
            path.unlink()
    owners = _owners(layout)
    for path in layout.notes.glob("*.json"):
        if parse_id(path.stem) is not None and path.stem not in owners:
            path.unlink()
    _remove_empty_families(layout)


def _owners(layout: Layout) -> set[str]:
    """Give the names of all that a sidecar may speak of."""
    owners = {path.name for path in layout.volumes.iterdir()}
    for family in layout.snapshots.iterdir():
        if family.is_dir():
            owners |= {path.name.removeprefix(".") for path in family.iterdir()}
    return owners


def _remove_empty_families(layout: Layout) -> None:
    for family in layout.snapshots.iterdir():
        volume = parse_id(family.name)
        if volume is not None and not layout.volume(volume).exists():
            with contextlib.suppress(OSError):
                family.rmdir()
