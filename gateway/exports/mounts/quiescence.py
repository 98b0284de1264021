"""Volumes held still, and let go for certain.

What is to be held is written down before it is held and forgotten after it is
released, so that the next process can release what this one could not. Only
file systems that are a block volume's own are frozen. A directory of a pool
shares its file system with every other volume, and freezing that holds up the
pool itself: taking a snapshot of a frozen btrfs waits until it is thawed, and
cannot even be killed. There what was written is synced, and the substrate's
snapshot is one instant by itself.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from uuid import UUID

import msgspec
import structlog

from gateway.core.backend import FaultHook
from gateway.core.errors import Busy, InUse, Unavailable, Unsupported
from gateway.core.exporter import Held, Quiesce, Quiesced
from gateway.core.model import VolumeKind, utc_now
from gateway.core.mount_table import entries
from gateway.core.runner import Runner
from gateway.exports.mounts import devices, kernel
from gateway.exports.mounts.formats import FORMATS
from gateway.exports.mounts.points import WHAT
from gateway.exports.mounts.steps import MountRecord
from gateway.exports.mounts.turns import Turns
from gateway.exports.records import Records

log = structlog.get_logger(__name__)

FAULT_POINTS = (
    "mounts.quiesce.recorded",
    "mounts.quiesce.held",
    "mounts.unquiesce.released",
    "mounts.unquiesce.forgotten",
)
HOOK_LIMIT_S = 20.0


class HoldRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A volume that is held, or was about to be; `id` is its own. `format`, `device`, `source`: what is frozen."""

    id: UUID
    name: str
    held: Quiesced
    format: str = ""
    device: str = ""
    source: str = ""


class Quiescence:
    """Holds and releases. Every method blocks; calls for one volume take turns.

    `freeze_hook` and `thaw_hook` are commands of the operator; the volume's id
    and name follow their arguments and are in their environment.
    """

    def __init__(
        self,
        records: Records[HoldRecord],
        runner: Callable[[Mapping[str, str]], Runner],
        turns: Turns,
        *,
        freeze_hook: Sequence[str],
        thaw_hook: Sequence[str],
        fault: FaultHook,
    ) -> None:
        self._records = records
        self._runner = runner
        self._freeze_hook = tuple(freeze_hook)
        self._thaw_hook = tuple(thaw_hook)
        self._fault = fault
        self._turns = turns
        self._lock = threading.Lock()

    def load(self) -> tuple[UUID, ...]:
        """Find what a predecessor held; it has to be released."""
        with self._lock:
            self._records.load()
            return tuple(self._records.ids())

    def held(self) -> Mapping[UUID, Quiesced]:
        """Give what is held."""
        with self._lock:
            return {record.id: record.held for record in self._records.all()}

    def hold(self, wanted: Quiesce, mounts: Sequence[MountRecord]) -> Quiesced:
        """Hold a volume, which is mounted so; see `Mounter.quiesce`."""
        with self._turns.of(wanted.volume_id):
            return self._held(wanted, mounts)

    def release(self, volume_id: UUID) -> None:
        """Release a volume. Not held: succeeds. What cannot be released is still known, to be tried again."""
        with self._turns.of(volume_id):
            record = self._record(volume_id)
            if record is not None:
                self._let_go(record)
            self._forget(volume_id)
            self._fault("mounts.unquiesce.forgotten")

    def _held(self, wanted: Quiesce, mounts: Sequence[MountRecord]) -> Quiesced:
        known = self._record(wanted.volume_id)
        until = utc_now() + timedelta(seconds=wanted.timeout_s)
        if known is not None:
            if known.held.quiesce_id != wanted.quiesce_id:
                raise InUse(kind="volume", ref=wanted.name, by="quiesce", action="quiesce")
            again = msgspec.structs.replace(known, held=msgspec.structs.replace(known.held, until=until))
            self._put(again)
            return again.held
        own = next((mount for mount in mounts if mount.format), None)
        record = HoldRecord(
            id=wanted.volume_id,
            name=wanted.name,
            held=Quiesced(
                volume_id=wanted.volume_id, quiesce_id=wanted.quiesce_id, how=self._how(wanted, own), until=until
            ),
            format=own.format if own else "",
            device=own.device if own else "",
            source=own.source.path if own else "",
        )
        self._put(record)
        self._fault("mounts.quiesce.recorded")
        try:
            self._hold(record, wanted, own)
            self._fault("mounts.quiesce.held")
            self._turns.check()
        except Busy:
            # Somebody else holds it, and must not be interrupted.
            self._forget(record.id)
            raise
        except BaseException:
            self._let_go(record)
            self._forget(record.id)
            raise
        return record.held

    def _let_go(self, record: HoldRecord) -> None:
        if record.held.how is Held.FROZEN:
            _thaw(record)
        elif record.held.how is Held.HOOK:
            self._call(self._thaw_hook, record)
        self._fault("mounts.unquiesce.released")

    def _how(self, wanted: Quiesce, own: MountRecord | None) -> Held:
        if own is not None:
            return Held.FROZEN
        if self._freeze_hook:
            return Held.HOOK
        if wanted.kind is VolumeKind.FILESYSTEM and wanted.source is not None:
            return Held.SYNCED
        reason = "it is not mounted on this host, and the configuration has no command for it"
        raise Unsupported(capability="quiesce", backend=WHAT, reason=reason)

    def _hold(self, record: HoldRecord, wanted: Quiesce, own: MountRecord | None) -> None:
        if own is not None:
            with kernel.closing(os.open(own.point.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)) as directory:
                if not kernel.freeze(directory):
                    raise Busy(what=WHAT)
            return
        if record.held.how is Held.HOOK:
            self._call(self._freeze_hook, record)
        if wanted.kind is VolumeKind.FILESYSTEM and wanted.source is not None:
            kernel.sync_filesystem(wanted.source.path)

    def _call(self, hook: Sequence[str], record: HoldRecord) -> None:
        if not hook:
            return
        runner = self._runner({"VOLUME_ID": str(record.id), "VOLUME_NAME": record.name})
        done = runner.run((*hook, str(record.id), record.name), timeout_s=HOOK_LIMIT_S)
        if done.status != 0:
            log.warning("quiesce hook failed", command=hook[0], status=done.status, detail=done.stderr.strip()[-500:])
            raise Unavailable(what=WHAT, reason="the command that holds volumes still, or releases them, failed")

    def _record(self, volume_id: UUID) -> HoldRecord | None:
        with self._lock:
            return self._records.get(volume_id)

    def _put(self, record: HoldRecord) -> None:
        with self._lock:
            self._records.put(record)

    def _forget(self, volume_id: UUID) -> None:
        with self._lock:
            self._records.remove(volume_id)


def _thaw(record: HoldRecord) -> None:
    """Thaw what was frozen, wherever it is mounted now. One that is mounted nowhere any more is still frozen."""
    if not os.path.exists(record.device) or not devices.shows(record.device, record.source):  # noqa: PTH110
        return
    for entry in entries():
        if (entry.filesystem, entry.source) == (record.format, record.device):
            try:
                if _thaw_at(entry.point, entry.id):
                    return
            except OSError as error:
                log.info("not thawed here", path=entry.point, error=error.strerror)
    try:
        with kernel.closing(kernel.make_tree(record.format, record.device, FORMATS[record.format].options)) as tree:
            _thaw_at(f"/proc/self/fd/{tree}", None)
    except OSError as error:
        raise Unavailable(what=WHAT, reason="the file system could not be thawed") from error


def _thaw_at(path: str, entry_id: int | None) -> bool:
    """Thaw what is mounted at a path. False when that is another mount than the one meant, which covers it."""
    with kernel.closing(os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)) as directory:
        if entry_id not in {None, kernel.mount_of(directory)}:
            return False
        kernel.thaw(directory)
        return True
