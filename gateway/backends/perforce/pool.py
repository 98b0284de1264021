"""An open pool on a Perforce server: what every change of volumes and snapshots is made of. All of it blocks."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from typing import Final, Literal
from uuid import UUID

import msgspec

from gateway.backends.perforce.connection import Connections, Field, Record
from gateway.backends.perforce.failures import Meaning, Refused
from gateway.backends.perforce.records import Names, SnapshotRecord, VolumeRecord, decode, encode
from gateway.core.backend import Capacity, FaultHook
from gateway.core.errors import Busy, NotFound, Unavailable
from gateway.core.secret import Secret

Step = Callable[[str], None]
Form = Literal["stream", "label", "client", "depot"]

_AT_ONCE: Final = 50
"""Streams whose files one command adds up."""
_USAGE_AGE_S: Final = 60.0
"""How long the sum of a whole depot is good for: the server looks at every revision for it."""
_DEPOT: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


class PerforceOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of a pool on a Perforce server.

    port: the server, as P4PORT has it.
    depot: a stream depot for this pool alone; its streams are directly below it.
    user: who does it there, with the permission admin for the depot.
    password: of that user.
    charset: P4CHARSET, where the server is in Unicode mode.
    public_port: the server as clients are told, when they reach it by another name.
    size: bytes that the pool is taken to have; needed where the user may not ask for the disk (super).
    threads: how many commands may be under way at once.
    timeout_s: how long the server may be silent.
    """

    port: str
    depot: str
    user: str
    password: Secret | None = None
    charset: str = ""
    public_port: str = ""
    size: int | None = None
    threads: int = 4
    timeout_s: float = 60.0

    def __post_init__(self) -> None:
        """Refuse what no depot is called."""
        if not _DEPOT.fullmatch(self.depot):
            raise ValueError("depot: give the name alone, of letters, digits, dots, dashes and underscores")


class Volume(msgspec.Struct, frozen=True):
    """A stream that is ours, and its form as the server has it."""

    record: VolumeRecord
    form: Record


class Snapshot(msgspec.Struct, frozen=True):
    """A label that is ours, and its form."""

    record: SnapshotRecord
    form: Record


class Pool:
    """The parts that changes share. Raises `Refused` and errors of the core."""

    def __init__(self, name: str, options: PerforceOptions, connections: Connections, fault: FaultHook) -> None:
        self.name = name
        self.options = options
        self.names = Names(options.depot)
        self.change = connections.change
        self.read = connections.read
        self._fault = fault
        self._usage: tuple[float, int] | None = None

    def steps(self, operation: str) -> Step:
        """Give what is called after each step of an operation."""
        return lambda step: self._fault(f"perforce.{operation}.{step}")

    # --- forms ---

    def form(self, kind: Form, name: str) -> Record | None:
        """Give a form; None when there is none by that name. The server then offers an empty one, never saved."""
        try:
            found = self.read(kind, "-o", name)
        except Refused as refused:
            if refused.meaning is not Meaning.MISSING:
                raise
            return None
        return found[0] if found and found[0].get("Update") else None

    def template(self, kind: Form, name: str, *flags: str) -> Record:
        """Give the form that the server offers for a new object: it has the fields that its release wants."""
        found = self.read(kind, "-o", *flags, name)
        return found[0] if found else {}

    def save(self, kind: Form, form: Record) -> None:
        """Save a form in one transaction: all of it or nothing."""
        self.change(kind, "-i", form=form)

    def remove(self, kind: Form, name: str, *flags: str) -> None:
        """Remove a form. Nothing there: succeeds."""
        try:
            self.change(kind, "-d", *flags, name)
        except Refused as refused:
            if refused.meaning is not Meaning.MISSING:
                raise

    # --- volumes ---

    def find(self, volume: UUID) -> Volume | None:
        """Give a volume that is ours, whole or not."""
        form = self.form("stream", self.names.stream(volume))
        record = None if form is None else decode(form.get("Description"), VolumeRecord)
        return None if form is None or record is None or record.id != volume else Volume(record, form)

    def volume(self, volume: UUID) -> Volume:
        """Give a whole volume; NotFound when there is none."""
        found = self.find(volume)
        if found is None or not found.record.whole:
            raise NotFound(kind="volume", ref=str(volume))
        return found

    def make(self, record: VolumeRecord) -> None:
        """Make the stream of a volume."""
        stream = self.names.stream(record.id)
        form: dict[str, Field] = {
            "Stream": stream,
            "Owner": self.options.user,
            "Parent": "none",
            "Type": "mainline",
            "Description": _titled(record),
            # Locked is the form, not the files: only its owner changes or removes it.
            "Options": "allsubmit locked notoparent nofromparent mergedown",
            "Paths": ["share ..."],
        }
        self.save("stream", {**self.template("stream", stream, "-t", "mainline"), **form})

    def describe(self, found: Volume, record: VolumeRecord) -> None:
        """Replace a volume's record; what else its stream's form has stays."""
        self.save("stream", {**found.form, "Description": _titled(record)})

    def discard(self, found: Volume) -> None:
        """Remove a volume that is not whole: first its files, so that the stream is there until nothing is left."""
        self.empty(found.record.id)
        self.remove("stream", self.names.stream(found.record.id), "-f")

    def empty(self, volume: UUID) -> None:
        """Remove the files of a volume with their history. What lazy copies elsewhere need of them stays with those."""
        try:
            self.change("obliterate", "-y", self.names.files(volume))
        except Refused as refused:
            if refused.meaning is not Meaning.MISSING:
                raise

    # --- labels ---

    def save_label(self, name: str, description: str, **fields: Field) -> None:
        """Make a label, or replace its description."""
        form = {"Label": name, "Owner": self.options.user, "Options": "locked noautoreload", "Description": description}
        self.save("label", {**self.template("label", name), "View": [self.names.everything], **fields, **form})

    def find_snapshot(self, volume: UUID, snapshot: UUID) -> Snapshot | None:
        """Give a snapshot that is ours."""
        form = self.form("label", self.names.label(volume, snapshot))
        record = None if form is None else decode(form.get("Description"), SnapshotRecord)
        if form is None or record is None or (record.volume, record.id) != (volume, snapshot):
            return None
        return Snapshot(record, form)

    def snapshot(self, volume: UUID, snapshot: UUID) -> Snapshot:
        """Give a snapshot; NotFound when there is none."""
        found = self.find_snapshot(volume, snapshot)
        if found is None:
            raise NotFound(kind="snapshot", ref=str(snapshot))
        return found

    def newest_change(self, volume: UUID) -> int:
        """Give a changelist after which the volume's files are as they are now, whatever is submitted later.

        For a volume that nothing was ever submitted to, the newest of the
        server: what comes has a higher number.
        """
        for where in ([self.names.files(volume)], []):
            found = self.read("changes", "-s", "submitted", "-m", "1", *where)
            if found:
                return int(text(found[0], "change"))
        raise Unavailable(what=self.name, reason="nothing was ever submitted to its server")

    # --- workspaces ---

    def clear(self, workspace: str) -> None:
        """Remove the workspace of a restore with what it has open."""
        if self.form("client", workspace) is None:
            return
        self.change("revert", "-k", f"//{workspace}/...", workspace=workspace)
        for line in self.read("changes", "-s", "pending", "-c", workspace):
            self.change("change", "-d", text(line, "change"), workspace=workspace)
        self.remove("client", workspace, "-f")

    def workspaces_of(self, volume: UUID) -> list[str]:
        """Give the workspaces that others have for a volume; those of restores, which only a failure leaves, go."""
        found = [text(line, "client") for line in self.read("clients", "-S", self.names.stream(volume))]
        ours = [name for name in found if self.names.restores(name)]
        for name in ours:
            self.clear(name)
        return [name for name in found if name not in ours]

    # --- space ---

    def sizes(self, paths: Sequence[str]) -> dict[str, int]:
        """Give the bytes of the files below each path; none for a path without files."""
        found: dict[str, int] = {}
        for start in range(0, len(paths), _AT_ONCE):
            for line in self.read("sizes", "-s", *paths[start : start + _AT_ONCE]):
                found[text(line, "path")] = int(text(line, "fileSize"))
        return found

    def size_of(self, path: str) -> int:
        """Give the bytes of the files below one path."""
        found = self.read("sizes", "-s", path)
        return int(text(found[0], "fileSize")) if found else 0

    def capacity(self) -> Capacity:
        """Give the space of the depot's disk, or what the options say of it."""
        if self.options.size is None:
            found = self.read("diskspace", self.options.depot)
            if not found:
                raise Unavailable(what=self.name, reason="its server does not tell the disk of the depot")
            size, free = int(text(found[0], "totalBytes")), int(text(found[0], "freeBytes"))
            return Capacity(size=size, used=size - free, available=free)
        used = min(self._used(), self.options.size)
        return Capacity(size=self.options.size, used=used, available=self.options.size - used)

    def _used(self) -> int:
        """Give the bytes of all revisions that are no lazy copies. The server is asked something in any case."""
        now = time.monotonic()
        if self._usage is None or now - self._usage[0] > _USAGE_AGE_S:
            found = self.read("sizes", "-s", "-a", "-z", self.names.everything)
            self._usage = now, int(text(found[0], "fileSize")) if found else 0
        else:
            self.read("info", "-s")
        return self._usage[1]


def text(record: Record, field: str) -> str:
    """Give a field of one value; Busy when the server left it out, as it does when it is being restarted."""
    value = record.get(field)
    if not isinstance(value, str):
        raise Busy(what=f"perforce: {field} is missing")
    return value


def _titled(record: VolumeRecord) -> str:
    return encode(f"Volume {record.note.name} of {record.note.tenant}, kept by volume-gateway.", record)
