"""The steps of mounting and unmounting, in an order that any crash may cut.

The record is written before anything else is done and forgotten after all of
it is undone. A mount of ours is where a record says so and the kernel's table
shows there what the record speaks of; anything else is somebody else's.
"""

from __future__ import annotations

import contextlib
import errno
import threading
import time
from collections.abc import Iterator, Mapping
from uuid import UUID

import msgspec
import structlog

from gateway.core.backend import FaultHook
from gateway.core.errors import GatewayError, InUse, InvalidArgument, InvalidState, Unavailable, Unsupported
from gateway.core.exporter import HostMount
from gateway.core.handles import LocalPath
from gateway.core.model import VolumeKind
from gateway.core.mount_table import Entry, at, entries
from gateway.exports.mounts import devices, kernel, options, points
from gateway.exports.mounts.formats import DEFAULT, FORMATS, Formats
from gateway.exports.mounts.points import WHAT, Point, Roots
from gateway.exports.mounts.turns import Turns
from gateway.exports.records import Records

log = structlog.get_logger(__name__)

FAULT_POINTS = (
    "mounts.mount.recorded",
    "mounts.mount.formatting",
    "mounts.mount.formatted",
    "mounts.mount.prepared",
    "mounts.mount.placed",
    "mounts.unmount.unmounted",
    "mounts.unmount.removed",
    "mounts.unmount.forgotten",
)
_UNKNOWN = 0
BUSY_TRIES = 5
BUSY_PAUSE_S = 0.05


class MountRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One mount of ours.

    `made` are the directories made for it. `format` is "" for files; `device`
    shows the blocks, `given` are the options of its file system. `formatting`:
    what is on the device is nothing but an unfinished file system of ours.
    `size` is the one that the file system has been told of, 0 when that is not known. `seen` is what the
    kernel's table said of the mount once it was made, `identity` that of the
    directory it shows.
    """

    id: UUID
    volume_id: UUID
    point: Point
    source: LocalPath
    made: tuple[str, ...] = ()
    format: str = ""
    device: str = ""
    given: tuple[str, ...] = ()
    formatting: bool = False
    size: int = 0
    generation: int = 0
    seen: Entry | None = None
    identity: tuple[int, int] | None = None

    def fits(self, wanted: HostMount) -> bool:
        """Tell whether what it shows, or may go on to show, is what is wanted."""
        return not self.formatting and (self.source, self.generation) == (wanted.source, wanted.generation)

    def is_entry(self, entry: Entry | None) -> bool:
        """Tell whether an entry of the kernel's table is this mount, whatever has become of the source."""
        if entry is None:
            return False
        if self.seen is None:
            return self.shows_source(entry)
        return _same(entry, self.seen) and kernel.identity(entry.point) == self.identity

    def shows_source(self, entry: Entry | None) -> bool:
        """Tell whether an entry, which is the one seen at its place, shows what the source is now."""
        if entry is None:
            return False
        if not self.format:
            return kernel.same_directory(entry.point, self.source.path)
        same = (entry.root, entry.filesystem, entry.source) == ("/", self.format, self.device)
        return same and devices.shows(self.device, self.source.path)


class Steps:
    """Makes and ends mounts. Every method blocks; calls for one volume take turns."""

    def __init__(
        self,
        roots: Roots,
        formats: Formats,
        records: Records[MountRecord],
        turns: Turns,
        *,
        fault: FaultHook,
    ) -> None:
        self._roots = roots
        self._formats = formats
        self._records = records
        self._fault = fault
        self._turns = turns
        self._check = turns.check
        self._lock = threading.Lock()

    def open(self) -> None:
        """Find the records; Unavailable when this kernel or these rights do not allow to mount."""
        for root in self._roots.resolve():
            try:
                with kernel.closing(kernel.clone_tree(root)) as tree:
                    kernel.set_attributes(tree, ("ro",))
            except OSError as error:
                raise Unavailable(what=WHAT, reason=f"may not mount below {root}: {error.strerror}") from error
        with self._lock:
            self._records.load()

    def mounted(self) -> Mapping[UUID, UUID]:
        """Give what is recorded: mount -> volume."""
        with self._lock:
            return {record.id: record.volume_id for record in self._records.all()}

    def record(self, mount_id: UUID) -> MountRecord | None:
        """Give one record."""
        with self._lock:
            return self._records.get(mount_id)

    def of_volume(self, volume_id: UUID) -> tuple[MountRecord, ...]:
        """Give the records of a volume whose mounts are there."""
        with self._lock:
            records = [record for record in self._records.all() if record.volume_id == volume_id]
        known = entries()
        return tuple(record for record in records if record.is_entry(at(record.point.path, known)))

    def check(self, wanted: HostMount) -> str:
        """See `Mounter.check`."""
        points.missing(self._roots.point(wanted.path))
        options.split(wanted)
        if wanted.kind is VolumeKind.FILESYSTEM:
            if wanted.format:
                raise InvalidArgument(field="format", value=wanted.format, reason="the volume holds files, not blocks")
            return ""
        if wanted.format and wanted.format not in FORMATS:
            reason = f"must be one of {', '.join(FORMATS)}"
            raise InvalidArgument(field="format", value=wanted.format, reason=reason)
        return self._format(wanted)

    def mount(self, wanted: HostMount) -> None:
        """See `Mounter.mount`."""
        with self._turns.of(wanted.volume_id):
            record = self.record(wanted.id)
            entry = None if record is None else at(record.point.path, entries())
            if record is not None and record.fits(wanted) and record.is_entry(entry) and record.shows_source(entry):
                self._follow(record, wanted)
                return
            if record is not None and (record.is_entry(entry) or not record.fits(wanted)):
                self._end(record, force=False, delete_path=False)
                record = None
            try:
                self._make(wanted, record)
            except Exception:
                if record is None:
                    self._give_up(wanted.id)
                raise

    def unmount(self, mount_id: UUID, *, force: bool, delete_path: bool) -> None:
        """See `Mounter.unmount`."""
        record = self.record(mount_id)
        if record is None:
            return
        with self._turns.of(record.volume_id):
            self._end(record, force=force, delete_path=delete_path)

    # --- mounting ---

    def _make(self, wanted: HostMount, known: MountRecord | None) -> None:
        """Take every step from a wish to its mount. Steps already taken are found so."""
        point = self._roots.point(wanted.path)
        missing = points.missing(point)
        record = MountRecord(
            id=wanted.id,
            volume_id=wanted.volume_id,
            point=point,
            source=wanted.source,
            made=tuple(sorted({*(known.made if known else ()), *missing})),
            size=wanted.size,
            generation=wanted.generation,
        )
        self._put(record)
        self._fault("mounts.mount.recorded")
        points.make(point, missing)
        attributes, more = options.split(wanted)
        with self._tree(record, wanted, more) as (record, tree):
            kernel.set_attributes(tree, attributes)
            self._fault("mounts.mount.prepared")
            self._check()
            points.cover(point, tree)
        self._fault("mounts.mount.placed")
        entry = at(point.path, entries())
        if entry is None:
            return
        record = msgspec.structs.replace(record, seen=entry, identity=kernel.identity(point.path))
        self._put(record)
        try:
            self._follow(record, wanted)
        except Unavailable:
            # What is there can be used as it is; it is tried again at the next mount.
            self._put(msgspec.structs.replace(record, size=wanted.size))

    def _give_up(self, mount_id: UUID) -> None:
        """Take back what failed, or leave it to whoever ends the mount."""
        left = self.record(mount_id)
        if left is not None:
            try:
                self._end(left, force=True, delete_path=False)
            except (GatewayError, OSError) as error:
                log.warning("mount not taken back", mount=str(mount_id), error=str(error))

    @contextlib.contextmanager
    def _tree(self, record: MountRecord, wanted: HostMount, more: tuple[str, ...]) -> Iterator[tuple[MountRecord, int]]:
        """Give a detached mount of what is wanted, and the record as it is then."""
        if wanted.kind is VolumeKind.FILESYSTEM:
            with kernel.closing(kernel.clone_tree(wanted.source.path)) as tree:
                yield record, tree
            return
        for other in self.of_volume(wanted.volume_id):
            if other.format:
                # One file system is mounted once; its further places show the same.
                if set(other.given) != set(more):
                    reason = "the volume is mounted with others, which are those of its file system"
                    raise InvalidArgument(field="options", value=",".join(more), reason=reason)
                record = msgspec.structs.replace(record, format=other.format, device=other.device, given=more)
                self._put(record)
                with kernel.closing(kernel.clone_tree(other.point.path)) as tree:
                    yield record, tree
                return
        kind = self._format(wanted)
        with devices.device_of(wanted.source) as device:
            record = msgspec.structs.replace(record, format=kind, device=device, given=more)
            self._put(record)
            if self._formats.found(device) is None:
                self._format_blank(record)
            else:
                # It may be smaller than the volume, which may have grown since.
                record = msgspec.structs.replace(record, size=_UNKNOWN)
                self._put(record)
            with kernel.closing(_made_tree(record, wanted)) as tree:
                yield record, tree

    def _format(self, wanted: HostMount) -> str:
        """Give the type that a block volume has, or will have; raise when it is none, or not the one asked for."""
        found = self._formats.found(wanted.source.path)
        if found == "" or (found is None and not devices.is_blank(wanted.source.path, self._check)):
            raise InUse(kind="volume", ref=str(wanted.volume_id), by="content", action="mount")
        if found is not None:
            if wanted.format not in {"", found}:
                raise InvalidArgument(field="format", value=wanted.format, reason=f"the volume has {found}")
            return found
        if wanted.read_only or wanted.source.read_only:
            raise InvalidArgument(field="read_only", value=True, reason="the volume has no file system yet")
        kind = wanted.format or DEFAULT
        self._formats.require(kind, wanted.size)
        return kind

    def _format_blank(self, record: MountRecord) -> None:
        begun = msgspec.structs.replace(record, formatting=True)
        self._put(begun)
        self._fault("mounts.mount.formatting")
        self._check()
        self._formats.make(record.format, record.device)
        self._fault("mounts.mount.formatted")
        self._put(record)

    def _follow(self, record: MountRecord, wanted: HostMount) -> None:
        """Have a mounted file system take a new size. One that is only read cannot."""
        if not record.format or record.size == wanted.size or wanted.read_only or wanted.source.read_only:
            return
        devices.measure(record.device, record.source.path)
        self._formats.grow(record.format, record.device, record.point.path)
        self._put(msgspec.structs.replace(record, size=wanted.size))

    # --- unmounting ---

    def _end(self, record: MountRecord, *, force: bool, delete_path: bool) -> None:
        self._uncover(record, force=force)
        self._fault("mounts.unmount.unmounted")
        self._undo(record, delete_path=delete_path)

    def _uncover(self, record: MountRecord, *, force: bool) -> None:
        for attempt in range(BUSY_TRIES):
            if attempt:
                # What looks at new mounts has them open for a moment.
                time.sleep(BUSY_PAUSE_S)
            known = entries()
            if not record.is_entry(at(record.point.path, known)):
                if record.seen is not None and any(_same(entry, record.seen) for entry in known):
                    log.warning("mount covered by another one", path=record.point.path)
                    break
                return
            self._check()
            try:
                points.uncover(record.point, lazily=force and attempt == BUSY_TRIES - 1)
            except OSError as error:
                if error.errno != errno.EBUSY:
                    raise
            else:
                return
        raise InUse(kind="volume", ref=str(record.volume_id), by="mounts", action="unmount")

    def _undo(self, record: MountRecord, *, delete_path: bool) -> None:
        """Take back what was done before the mount was put into its place."""
        if record.formatting:
            devices.blank(record.source.path)
        whole = record.point.relative(len(record.point.way))
        kept = () if not delete_path or whole in record.made else (whole,)
        points.remove(record.point, (*record.made, *kept))
        self._fault("mounts.unmount.removed")
        with self._lock:
            self._records.remove(record.id)
        self._fault("mounts.unmount.forgotten")

    def _put(self, record: MountRecord) -> None:
        with self._lock:
            self._records.put(record)


def _same(one: Entry, other: Entry) -> bool:
    """Tell whether two entries are of one mount. A number alone may be given again; the root changes with its name."""
    return (one.id, one.point, one.filesystem, one.source) == (other.id, other.point, other.filesystem, other.source)


def _made_tree(record: MountRecord, wanted: HostMount) -> int:
    """Give a new, detached mount of a file system on a device."""
    given = (*FORMATS[record.format].options, *record.given, *(("ro",) if wanted.source.read_only else ()))
    try:
        return kernel.make_tree(record.format, record.device, given)
    except OSError as error:
        about = {"kind": record.format, "device": record.device, "error": error.strerror, "detail": error.filename}
        log.warning("file system not mounted", volume=str(record.volume_id), **about)
        if error.errno == errno.ENODEV:
            raise Unsupported(
                capability=f"mount {record.format}", backend=WHAT, reason="the kernel lacks it"
            ) from error
        if error.errno == errno.EINVAL and record.given:
            raise InvalidArgument(
                field="options", value=",".join(record.given), reason="the file system refuses it"
            ) from error
        raise InvalidState(kind="volume", ref=str(record.volume_id), state="damaged", action="mount") from error
