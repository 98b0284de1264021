"""Opening a pool: layout, identity, the storage daemon, and the leftovers of a crash. All of it blocks."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID, uuid4

import msgspec
import structlog

from gateway.backends.files.failures import refused
from gateway.backends.files.lock import Lock
from gateway.backends.files.names import flush, parse_id, replace_file
from gateway.backends.files.opening import REASONS
from gateway.backends.qcow2 import images
from gateway.backends.qcow2.layers import Layers
from gateway.backends.qcow2.layout import FORMAT, UNFINISHED, VOLUME_NOTE, Layout, PoolRecord, names_in, parse_device
from gateway.backends.qcow2.pool import Pool, Qcow2Options
from gateway.backends.qcow2.volumes import Volumes
from gateway.core.backend import FaultHook
from gateway.core.errors import GatewayError, Unavailable
from gateway.core.qmp import Refused

log = structlog.get_logger(__name__)


class Opened(msgspec.Struct, frozen=True):
    """What opening gives."""

    pool: Pool
    record: PoolRecord
    lock: Lock


def open_pool(name: str, options: Qcow2Options, fault: FaultHook) -> Opened:
    """Open a pool, or raise Unavailable with the reason.

    What a crash left is settled only when no other process uses the pool: what
    looks left over may be its work in progress.
    """
    if shutil.which(images.PROGRAM) is None:
        raise Unavailable(what=name, reason=f"{images.PROGRAM} is not installed")
    with refused(name, f"cannot use {options.path}", REASONS):
        layout = Layout(options.path.resolve(strict=True))
        layout.make()
        lock = Lock(layout.lock)
        try:
            pool = Pool(name, options, layout=layout, fault=fault)
            record = _identify(pool)
            if lock.alone:
                _settle(pool)
            lock.share()
        except BaseException:
            lock.release()
            raise
    return Opened(pool, record, lock)


def close_pool(opened: Opened) -> None:
    """End the storage daemon unless another process uses the pool, and let go."""
    opened.pool.devices.hang_up()
    opened.lock.release()
    with contextlib.suppress(OSError):
        last = Lock(opened.pool.layout.lock)
        try:
            if last.alone:
                opened.pool.devices.stop()
        finally:
            last.release()


def _identify(pool: Pool) -> PoolRecord:
    try:
        record = pool.layout.pool_record()
    except msgspec.DecodeError as error:
        raise Unavailable(what=pool.name, reason=f"{pool.layout.record} is damaged") from error
    if record is None:
        record = PoolRecord(format=FORMAT, id=uuid4())
        replace_file(pool.layout.record, msgspec.json.encode(record))
        flush(pool.layout.private)
        flush(pool.layout.root)
    if record.format > FORMAT:
        reason = f"its layout has format {record.format}, this release knows {FORMAT}"
        raise Unavailable(what=pool.name, reason=reason)
    return record


# --- leftovers ---


def _settle(pool: Pool) -> None:
    """Complete or remove what changes left that did not end. Only names that we give are touched."""
    layout = pool.layout
    for path in layout.private.glob(UNFINISHED):
        path.unlink()
    for path in layout.notes.glob(f"*/*/{UNFINISHED}"):
        path.unlink()
    _link_kin(layout)
    for family in layout.families():
        for member in layout.members(family):
            with _tolerated(pool, family):
                pool.place_taken(member)
    pool.devices.revive()
    layers = Layers(pool)
    with _tolerated(pool, None):
        layers.finish(cancel=True)
    for family in layout.families():
        with _tolerated(pool, family):
            layers.collect(family)
        _remove_empty(layout, family)
    _remove_idle_links(layout)
    _turn(pool, Volumes(pool, layers))


@contextmanager
def _tolerated(pool: Pool, family: UUID | None) -> Iterator[None]:
    """Let the rest of a pool open when a part of it is damaged or cannot be changed now; that is reported by scan."""
    try:
        yield
    except (msgspec.DecodeError, OSError, Refused, GatewayError) as error:
        log.warning("leftovers stay", pool=pool.name, family=str(family), error=str(error))


def _link_kin(layout: Layout) -> None:
    """Let every clone be found by its id: where its sidecars are is the truth, the link only says so."""
    for family in layout.families():
        for member in layout.members(family):
            folder = layout.notes / str(family) / str(member)
            if member != family and layout.family(member) != family and (folder / VOLUME_NOTE).exists():
                (layout.kin / str(member)).unlink(missing_ok=True)
                (layout.kin / str(member)).symlink_to(str(family))


def _remove_empty(layout: Layout, family: UUID) -> None:
    notes = layout.notes / str(family)
    folders = [notes / str(member) for member in layout.members(family)]
    for folder in (*folders, notes, layout.layers(family)):
        with contextlib.suppress(OSError):
            folder.rmdir()


def _remove_idle_links(layout: Layout) -> None:
    for name in names_in(layout.kin):
        volume = parse_id(name)
        if volume is not None and not layout.folder(volume).is_dir():
            (layout.kin / name).unlink(missing_ok=True)


def _turn(pool: Pool, volumes: Volumes) -> None:
    """Turn open volumes to the heads that they have now, and close what is gone."""
    for path in sorted(pool.layout.devices.iterdir()):
        device = parse_device(path.name)
        if device is None:
            continue
        with _tolerated(pool, None):
            if pool.locate(path.name) is None:
                pool.devices.close(path.name, ())
            elif device[1] is None:
                volumes.align(device[0])
