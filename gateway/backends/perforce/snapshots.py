"""Changes of snapshots, and restores, step by step. All of it blocks."""
# ruff: noqa: D102 - the protocols carry the contract of the methods

from __future__ import annotations

import contextlib
from uuid import UUID

import msgspec
import structlog

from gateway.backends.perforce.connection import Record
from gateway.backends.perforce.failures import Meaning, Refused
from gateway.backends.perforce.pool import Pool, Step, Volume, text
from gateway.backends.perforce.records import SnapshotRecord, decode, encode
from gateway.core.backend import Note, ObservedSnapshot
from gateway.core.errors import Busy, GatewayError

log = structlog.get_logger(__name__)


class Snapshots:
    """Takes, removes, finds and restores snapshots."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    # --- taking and removing ---

    def snapshot(self, volume: UUID, snapshot: UUID, note: Note) -> ObservedSnapshot:
        self._pool.volume(volume)
        present = self._pool.find_snapshot(volume, snapshot)
        if present is not None:
            return self._observed(present.record)
        passed = self._pool.steps("snapshot")
        passed("begun")
        names, change = self._pool.names, self._pool.newest_change(volume)
        size = self._pool.size_of(names.files(volume, change))
        record = SnapshotRecord(id=snapshot, volume=volume, change=change, size=size, note=note)
        self._pool.save_label(
            names.label(volume, snapshot), _titled(record), Revision=f"@{change}", View=[names.files(volume)]
        )
        passed("taken")
        return self._observed(record)

    def delete(self, volume: UUID, snapshot: UUID) -> None:
        if self._pool.find_snapshot(volume, snapshot) is None:
            return
        passed = self._pool.steps("delete_snapshot")
        passed("begun")
        self._pool.remove("label", self._pool.names.label(volume, snapshot), "-f")
        passed("removed")

    def annotate(self, volume: UUID, snapshot: UUID, note: Note) -> None:
        found = self._pool.snapshot(volume, snapshot)
        passed = self._pool.steps("annotate_snapshot")
        passed("begun")
        record = msgspec.structs.replace(found.record, note=note)
        self._pool.save("label", {**found.form, "Description": _titled(record)})
        passed("noted")

    # --- restoring ---

    def restore(self, volume: UUID, snapshot: UUID, token: UUID) -> None:
        found = self._pool.volume(volume)
        if found.record.restored == token:
            self._pool.clear(self._pool.names.workspace(token))
            return
        target = self._pool.snapshot(volume, snapshot).record.change
        passed = self._pool.steps("restore")
        if not self._submitted(volume, token):
            passed("begun")
            self._bring_back(volume, target, token, passed)
        self._note_restored(found, token)
        passed("noted")
        self._pool.clear(self._pool.names.workspace(token))
        passed("cleared")

    def _bring_back(self, volume: UUID, change: int, token: UUID, passed: Step) -> None:
        """Submit one changelist after which the files are as they were; none when they are so already."""
        names, pool = self._pool.names, self._pool
        old, now = names.files(volume, change), names.files(volume)
        differing = {_path(line) for line in pool.read("diff2", "-q", old, now)}
        if not differing:
            return
        workspace = names.workspace(token)
        self._stage(volume, workspace)
        passed("staged")
        try:
            pool.change("copy", "-v", old, now, workspace=workspace)
            opened = {text(line, "depotFile") for line in pool.change("opened", workspace=workspace)}
            if opened != differing:
                # Somebody holds a file exclusively, or submitted one just now.
                log.warning("perforce_restore_partial", volume=str(volume), wanted=len(differing), opened=len(opened))
                raise Busy(what=pool.name)
            passed("opened")
            self._submit(workspace, f"Restore of {names.stream(volume)} to changelist {change}, by volume-gateway")
        except (Refused, GatewayError):
            with contextlib.suppress(Refused):
                self._pool.clear(workspace)
            raise
        passed("submitted")

    def _submit(self, workspace: str, description: str) -> None:
        try:
            self._pool.change("submit", "-d", description, workspace=workspace)
        except Refused as refused:
            if refused.meaning is not Meaning.DEFECT:
                raise
            # What stops a submit has many names: somebody was faster, or a trigger of the server does not want it.
            log.warning("perforce_refused", pool=self._pool.name, text=refused.text)
            raise Busy(what=self._pool.name) from refused

    def _stage(self, volume: UUID, workspace: str) -> None:
        """Make the workspace that submits a restore. No file of it is ever on a disk."""
        self._pool.clear(workspace)
        stream = self._pool.names.stream(volume)
        offered = self._pool.template("client", workspace, "-S", stream)
        form = {
            "Client": workspace,
            "Owner": self._pool.options.user,
            "Description": "Brings a volume back to a snapshot, for volume-gateway.",
            "Root": f"/nonexistent/{workspace}",
            "SubmitOptions": "submitunchanged",
            "Stream": stream,
        }
        # Its view follows from the stream, and it is used from wherever the gateway runs.
        kept = {field: value for field, value in offered.items() if field not in {"Host", "View"}}
        self._pool.save("client", {**kept, **form})

    def _submitted(self, volume: UUID, token: UUID) -> bool:
        """Tell whether the changelist of a restore is there. The name of its workspace outlives the workspace."""
        names = self._pool.names
        return bool(
            self._pool.read("changes", "-s", "submitted", "-m", "1", "-c", names.workspace(token), names.files(volume))
        )

    def _note_restored(self, found: Volume, token: UUID) -> None:
        self._pool.describe(found, msgspec.structs.replace(found.record, restored=token))

    def settle(self, volume: UUID, token: UUID) -> bool:
        found = self._pool.volume(volume)
        happened = found.record.restored == token or self._submitted(volume, token)
        if happened and found.record.restored != token:
            self._note_restored(found, token)
        self._pool.clear(self._pool.names.workspace(token))
        return happened

    # --- looking ---

    def inspect(self, volume: UUID, snapshot: UUID) -> ObservedSnapshot | None:
        found = self._pool.find_snapshot(volume, snapshot)
        return None if found is None else self._observed(found.record)

    def scan(self) -> list[ObservedSnapshot]:
        """Give every snapshot, and labels that are called like one but are none of ours."""
        seen = []
        for line in self._pool.read("labels", "-e", self._pool.names.labels):
            label = text(line, "label")
            ids = self._pool.names.snapshot_of(label)
            record = None if ids is None else decode(line.get("Description"), SnapshotRecord)
            if ids is not None and record is None:
                found = self._pool.find_snapshot(*ids)
                record = None if found is None else found.record
            if record is None or (record.volume, record.id) != ids:
                seen.append(ObservedSnapshot(id=None, volume_id=None, place=label))
            else:
                seen.append(self._observed(record))
        return seen

    def _observed(self, record: SnapshotRecord) -> ObservedSnapshot:
        return ObservedSnapshot(
            id=record.id,
            volume_id=record.volume,
            size=record.size,
            note=record.note,
            place=self._pool.names.label(record.volume, record.id),
        )


def _path(line: Record) -> str:
    """Give the file that a line of a comparison of revisions is about: it is called the same on both sides.

    The library takes the 2 of the second side's fields for an index when the
    first side has no such file.
    """
    for field in ("depotFile", "depotFile2"):
        value = line.get(field)
        if isinstance(value, str):
            return value
        if value:
            return value[-1]
    return text(line, "depotFile")


def _titled(record: SnapshotRecord) -> str:
    return encode(f"Snapshot {record.note.name} of {record.note.tenant}, kept by volume-gateway.", record)
