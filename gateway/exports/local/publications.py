"""The steps of publishing and withdrawing devices of this host, in an order that any crash may cut.

A volume has a link for those who write and one for those who only read. Each
leads to a loop device over the source, or to the source itself where that is a
device which may be written. What goes is taken away before the record changes,
what comes is made after it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
from collections.abc import Mapping
from pathlib import Path
from uuid import UUID

import msgspec
import structlog

from gateway.core.backend import FaultHook
from gateway.core.errors import GatewayError, InUse, Unavailable
from gateway.core.exporter import BlockAccess, BlockExport
from gateway.core.handles import LocalPath
from gateway.exports.local.devices import LOOP_CONTROL, WHAT, Loop, Loops, in_use, is_device
from gateway.exports.process import sync_directory
from gateway.exports.records import Records

log = structlog.get_logger(__name__)

FAULT_POINTS = (
    "local.publish.narrowed",
    "local.publish.recorded",
    "local.publish.attached",
    "local.publish.linked",
    "local.withdraw.narrowed",
    "local.withdraw.forgotten",
)


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """What one link leads to. `name` is empty until it is known; it may be the source's own.

    By `token` a loop device is ended also when its file has another name by
    now, or none: another gateway of this host may have deleted the volume.
    """

    write: bool
    name: str = ""
    token: str = ""


class LocalRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One publication and its devices, of which it has one for writers, one for readers, or both."""

    id: UUID
    source: LocalPath
    devices: tuple[Device, ...]
    generation: int = 0


def writes(export: BlockExport, access: BlockAccess) -> bool:
    """Tell whether an access is one to the device for writers."""
    return access.write and not export.source.read_only


def link_name(volume: UUID, *, write: bool) -> str:
    """Give the name of a link."""
    return str(volume) if write else f"{volume}-ro"


class Publications:
    """Keeps the links and devices as the records say; see `gateway.exports.blocks.Steps`."""

    def __init__(self, folder: Path, loops: Loops, records: Records[LocalRecord], fault: FaultHook) -> None:
        self._folder = folder
        self._loops = loops
        self._records = records
        self._fault = fault
        self._lock = threading.Lock()

    def open(self) -> None:
        """See `Steps`."""
        with self._lock:
            if shutil.which("losetup") is None:
                raise Unavailable(what=WHAT, reason="losetup is not installed")
            if not os.access(LOOP_CONTROL, os.R_OK | os.W_OK):
                raise Unavailable(what=WHAT, reason="loop devices cannot be made here")
            self._folder.mkdir(mode=0o755, parents=True, exist_ok=True)
            self._records.load()
            self._drop_strangers()
            for record in self._records.all():
                self._tolerantly(record)

    def revive(self) -> None:
        """See `Steps`. There is no server."""

    def close(self) -> None:
        """See `Steps`. Devices that are in use stay."""
        with self._lock:
            for record in self._records.all():
                with contextlib.suppress(InUse, Unavailable):
                    self._detach(record, record.devices, force=False)

    def pids(self) -> tuple[int, ...]:
        """See `Steps`."""
        return ()

    def alive(self) -> bool:
        """See `Steps`."""
        return True

    def publish(self, export: BlockExport, *, force: bool) -> None:
        """See `Steps`."""
        modes = {writes(export, access) for access in export.access}
        with self._lock:
            record = self._records.get(export.id)
            if record is not None:
                same = (record.source, record.generation) == (export.source, export.generation)
                going = tuple(one for one in record.devices if not same or one.write not in modes)
                self._detach(record, going, force=force)
                kept = {one.write: one for one in record.devices if one not in going}
            else:
                kept = {}
            self._fault("local.publish.narrowed")
            wanted = LocalRecord(
                id=export.id,
                source=export.source,
                devices=tuple(kept.get(write, Device(write=write)) for write in sorted(modes)),
                generation=export.generation,
            )
            if wanted != record:
                self._records.put(wanted)
            self._fault("local.publish.recorded")
            self._attach(wanted)

    def withdraw(self, export_id: UUID, *, force: bool) -> None:
        """See `Steps`."""
        with self._lock:
            if export_id not in self._records.ids():
                return
            record = self._records.get(export_id)
            if record is not None:
                self._detach(record, record.devices, force=force)
            self._fault("local.withdraw.narrowed")
            self._records.remove(export_id)
            self._fault("local.withdraw.forgotten")

    def published(self) -> frozenset[UUID]:
        """See `Steps`."""
        with self._lock:
            return self._records.ids()

    def _attach(self, record: LocalRecord) -> None:
        """Take every step from a record to its links. Steps already taken are found so."""
        itself = is_device(record.source.path)
        for device in record.devices:
            backing = itself and device.write
            made = Device(write=True, name=record.source.path) if backing else self._loop(record, device)
            self._fault("local.publish.attached")
            if made != device:
                named = tuple(made if d is device else d for d in record.devices)
                record = msgspec.structs.replace(record, devices=named)
                self._records.put(record)
            self._link(record.id, made.name, write=device.write)
            self._fault("local.publish.linked")

    def _loop(self, record: LocalRecord, device: Device) -> Device:
        loop = _found(self._loops.all(), record, device)
        if loop is None:
            name = self._loops.make(record.source.path, write=device.write)
            loop = self._loops.all().get(name, Loop(name))
        self._loops.measure(loop.name, record.source.path)
        return Device(write=device.write, name=loop.name, token=loop.token())

    def _detach(self, record: LocalRecord, devices: tuple[Device, ...], *, force: bool) -> None:
        """End devices and their links. InUse, and all as before, when one is in use, unless by force."""
        ended: list[Device] = []
        for device in devices:
            if not self._end(record, device, force=force):
                if ended:
                    self._attach(record)
                raise InUse(kind="volume", ref=str(record.id), by="sessions", action="detach")
            (self._folder / link_name(record.id, write=device.write)).unlink(missing_ok=True)
            ended.append(device)

    def _end(self, record: LocalRecord, device: Device, *, force: bool) -> bool:
        if device.write and device.name == record.source.path:
            # The device is the backend's: whoever has it open goes on having it.
            return force or not in_use(device.name)
        loops = self._loops.all()
        loop = loops.get(device.name)
        if loop is None or not device.token or loop.token() != device.token:
            loop = _found(loops, record, device)
        return loop is None or self._loops.end(loop.name, force=force)

    def _link(self, volume: UUID, name: str, *, write: bool) -> None:
        """Have a link lead to a device, in one step."""
        link = self._folder / link_name(volume, write=write)
        if link.is_symlink() and os.readlink(link) == name:  # noqa: PTH115
            return
        draft = link.with_name(f"{link.name}.new")
        draft.unlink(missing_ok=True)
        draft.symlink_to(name)
        draft.replace(link)
        sync_directory(self._folder)

    def _drop_strangers(self) -> None:
        """Remove links of no record."""
        known = {
            link_name(record.id, write=device.write) for record in self._records.all() for device in record.devices
        }
        for link in self._folder.iterdir():
            if link.is_symlink() and link.name not in known:
                link.unlink()

    def _tolerantly(self, record: LocalRecord) -> None:
        try:
            self._attach(record)
        except GatewayError as error:
            log.warning("local publication left out", error=type(error).__name__, **error.fields)


def _found(loops: Mapping[str, Loop], record: LocalRecord, device: Device) -> Loop | None:
    """Give the loop device that was made for a record, also one that could not be written down any more."""
    if device.name:
        known = loops.get(device.name)
        return known if known is not None and known.shows(record.source.path) else None
    for loop in loops.values():
        if loop.ro != device.write and loop.shows(record.source.path) and not loop.deleted:
            return loop
    return None
