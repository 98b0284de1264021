"""Opening a pool: layout, identity, probes, and the leftovers of a crash. All of it blocks."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from uuid import uuid4

import msgspec

from gateway.backends.files.failures import refused
from gateway.backends.files.layout import FORMAT, Layout, PoolRecord, is_emptied, is_ours
from gateway.backends.files.lock import Lock
from gateway.backends.files.names import UNFINISHED, flush, parse_id, replace_file
from gateway.backends.files.pool import Hold, Pool
from gateway.core.backend import FaultHook
from gateway.core.errors import Unavailable

REASONS: Mapping[int, str] = {
    errno.ENOENT: "no such directory",
    errno.ENOTDIR: "not a directory",
    errno.EPERM: "not permitted",
    errno.EACCES: "not permitted",
    errno.EROFS: "the file system is mounted read-only",
    errno.ENOLCK: "it gives no locks",
    errno.EOPNOTSUPP: "it gives no locks",
}
_STRANGERS = (65534, 65533)


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """Where a pool is, and how it is used.

    path: a directory for this pool alone.
    wanted: called after each step of a change; raises when its caller has given it up.
    regain: called before a pool that was lost is looked for; raises when it cannot be there.
    """

    name: str
    driver: str
    path: Path
    durable: bool
    fault: FaultHook
    wanted: Callable[[], None] = lambda: None
    regain: Callable[[], None] = lambda: None


class Opened(msgspec.Struct, frozen=True):
    """What opening gives. `owners`: whether this process may give files away."""

    pool: Pool
    owners: bool


def open_pool(setting: Setting) -> Opened:
    """Open a pool, or raise Unavailable with the reason.

    What a crash left is settled only when no other process uses the pool: what
    looks left over may be its work in progress.
    """
    with refused(setting.name, f"cannot use {setting.path}", REASONS):
        layout = Layout(setting.path.resolve(strict=True))
        _require_directory(layout.root)
        layout.make()
        _require_one_mount(setting.name, layout)
        lock = Lock(layout.lock)
        try:
            record = _identify(setting.name, layout)
            pool = Pool(
                setting.name,
                layout,
                Hold(setting.name, layout, record.id, lock, regain=setting.regain),
                driver=setting.driver,
                durable=setting.durable,
                fault=setting.fault,
                wanted=setting.wanted,
            )
            owners = _may_give_away(layout)
            if lock.alone:
                _settle(pool)
            lock.share()
            setting.wanted()
        except BaseException:
            lock.release()
            raise
    return Opened(pool, owners)


def _require_directory(root: Path) -> None:
    if not root.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(root))


def _require_one_mount(name: str, layout: Layout) -> None:
    places = (layout.root, layout.volumes, layout.snapshots, layout.staging)
    if len({path.stat().st_dev for path in places}) > 1:
        reason = f"{layout.root} and the directories in it must be on one file system"
        raise Unavailable(what=name, reason=reason)


def _identify(name: str, layout: Layout) -> PoolRecord:
    try:
        record = layout.pool_record()
    except msgspec.DecodeError as error:
        raise Unavailable(what=name, reason=f"{layout.record} is damaged") from error
    if record is None:
        record = PoolRecord(format=FORMAT, id=uuid4())
        replace_file(layout.record, msgspec.json.encode(record))
        for folder in (layout.private, layout.root):
            flush(folder)
    if record.format > FORMAT:
        reason = f"its layout has format {record.format}, this release knows {FORMAT}"
        raise Unavailable(what=name, reason=reason)
    return record


def _may_give_away(layout: Layout) -> bool:
    """Try to give a directory to somebody else, which also shows that something can be made and removed here."""
    probe = layout.trial()
    probe.mkdir()
    try:
        os.chown(probe, next(user for user in _STRANGERS if user != os.geteuid()), -1)
    except PermissionError:
        return False
    finally:
        probe.rmdir()
    return True


def _settle(pool: Pool) -> None:
    """Throw away what changes left that did not end. Only names that we give are touched."""
    layout = pool.layout
    for path in layout.staging.iterdir():
        if is_ours(path.name):
            with contextlib.suppress(OSError):
                pool.discard(path)
    _discard_emptied(pool)
    for folder in (layout.private, *_containers(layout)):
        for path in folder.glob(UNFINISHED):
            path.unlink()
    _remove_empty_families(layout)


def _containers(layout: Layout) -> Iterator[Path]:
    for pattern in ("*", "*/*"):
        parent = layout.volumes if pattern == "*" else layout.snapshots
        yield from (path for path in parent.glob(pattern) if parse_id(path.name) and path.is_dir())


def _discard_emptied(pool: Pool) -> None:
    """Throw away containers whose content a conversion had removed when it was cut short."""
    for path in pool.layout.volumes.iterdir():
        volume = parse_id(path.name)
        if volume is not None and is_emptied(path, volume):
            pool.discard(path)


def _remove_empty_families(layout: Layout) -> None:
    for family in layout.snapshots.iterdir():
        volume = parse_id(family.name)
        if volume is not None and not layout.volume(volume).exists():
            with contextlib.suppress(OSError):
                family.rmdir()
