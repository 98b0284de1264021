"""Sending and receiving snapshots, step by step. All of it blocks.

A stream is received in staging, where a broken one leaves its half. Whole, it
waits beside its final place under a hidden name until the volume has taken its
content; that exchange is the one step that decides, and all after it can be
done later from what the sidecars say.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

from gateway.backends.btrfs.layout import Restored, SnapshotSidecar, VolumeSidecar, arriving_id
from gateway.backends.btrfs.pool import Pool, Volume
from gateway.backends.btrfs.stream import Receiver, Sender, broken_stream
from gateway.backends.btrfs.volumes import Volumes
from gateway.backends.files.names import parse_id
from gateway.core.backend import Note, VolumeSpec
from gateway.core.errors import AlreadyExists, GatewayError, NotFound


class Replicas:
    """Sends snapshots and takes them in."""

    def __init__(self, pool: Pool, volumes: Volumes) -> None:
        self._pool = pool
        self._volumes = volumes
        self._kernel = pool.kernel
        self._layout = pool.layout
        self._passed = pool.steps("receive")

    def sender(self, volume: UUID, snapshot: UUID, base: UUID | None) -> Sender:
        """Start to send; NotFound when one of the snapshots is not there."""
        path = self._pool.snapshot(volume, snapshot).path
        return Sender(self._pool.name, path, None if base is None else self._pool.snapshot(volume, base).path)

    def receiver(self, volume: UUID, snapshot: UUID) -> Receiver | None:
        """Start to receive; None when the snapshot is there already."""
        self.settle(volume, snapshot)
        if self._pool.find_snapshot(volume, snapshot) is not None:
            return None
        if self._layout.snapshot(volume, snapshot).exists():
            raise AlreadyExists(kind="snapshot", name=str(snapshot), field="id")
        self._volumes.present(volume)
        self._passed("begun")
        folder = self._layout.staged(snapshot)
        self._pool.discard(folder)
        folder.mkdir()
        return Receiver(self._pool.name, folder)

    def require_base(self, volume: UUID, base: UUID | None) -> None:
        """Raise NotFound unless the volume has the snapshot that a stream builds on.

        The kernel would take any subvolume of the file system for it.
        """
        family = self._layout.family(volume)
        paths = () if base is None or not family.is_dir() else family.iterdir()
        subvolumes = (self._kernel.subvolume(path) for path in paths)
        if base is not None and not any(found and base in {found.uuid, found.received} for found in subvolumes):
            raise NotFound(kind="snapshot", ref=str(base))

    def abandon(self, snapshot: UUID) -> None:
        """Remove what a broken stream left."""
        self._pool.discard_later(self._layout.staged(snapshot))

    def land(self, spec: VolumeSpec, snapshot: UUID, note: Note) -> None:
        """Make what was received a snapshot, and its content the volume's."""
        passed = self._passed
        folder, arriving = self._layout.staged(snapshot), self._layout.arriving(spec.id, snapshot)
        present = self._volumes.present(spec.id)
        try:
            self._seal(folder, spec.id, arriving)
            with self._pool.staged(self._layout.staged(spec.id)) as staged:
                self._kernel.create_snapshot(arriving, staged, read_only=False)
                passed("made")
                self._prepare(spec, snapshot, note, present)
                if present is None:
                    self._kernel.move(staged, self._layout.volume(spec.id))
                else:
                    self._kernel.exchange(staged, present.path)
        except (OSError, GatewayError):
            self._pool.discard_later(arriving)
            self._layout.note(snapshot).unlink(missing_ok=True)
            self.abandon(snapshot)
            raise
        passed("advanced")
        self._kernel.move(arriving, self._layout.snapshot(spec.id, snapshot))
        passed("placed")
        self._pool.keep(self._layout.volumes, arriving.parent)
        passed("durable")
        self._pool.discard_later(staged)
        self._pool.discard_later(folder)
        passed("removed")

    def _seal(self, folder: Path, volume: UUID, arriving: Path) -> None:
        """Bring a whole received subvolume out of staging, beside its final place."""
        received = list(folder.iterdir())
        subvolume = self._kernel.subvolume(received[0]) if len(received) == 1 else None
        if subvolume is None or subvolume.received is None or not subvolume.read_only:
            raise broken_stream()
        self._passed("streamed")
        self._pool.family(volume)
        self._pool.discard(arriving)
        # Only a writable subvolume can change directories; the received uuid, which the next increment
        # looks for, survives that.
        self._kernel.set_read_only(received[0], False)
        self._kernel.move(received[0], arriving)
        self._kernel.set_read_only(arriving, True)
        self._passed("sealed")

    def _prepare(self, spec: VolumeSpec, snapshot: UUID, note: Note, present: Volume | None) -> None:
        """Shape the tree that the volume is to have, and write both sidecars."""
        passed = self._passed
        staged = self._layout.staged(spec.id)
        tree = self._pool.staged_subvolume(staged)
        fresh: VolumeSidecar | None = None
        if present is None:
            _, fresh = self._volumes.shape(staged, spec, spec.root, passed)
        else:
            passed("permitted")
            self._volumes.inherit_limit(present, tree)
            passed("limited")
        arrived = self._pool.staged_subvolume(self._layout.arriving(spec.id, snapshot))
        sidecar = SnapshotSidecar(id=snapshot, volume=spec.id, note=note, tree=arrived.uuid, with_=tree.uuid)
        self._layout.put_sidecar(sidecar, lambda: passed("drafted"))
        passed("described")
        if present is not None:
            self._volumes.announce(present, Restored(token=snapshot, tree=tree.uuid), passed)
        elif fresh is not None:
            self._layout.put_sidecar(fresh, lambda: passed("written"))
            passed("noted")

    # --- after a crash ---

    def arriving(self) -> Iterator[tuple[UUID, UUID]]:
        """Yield (volume, snapshot) of everything that waits under a hidden name."""
        for family in self._layout.snapshots.iterdir():
            volume = parse_id(family.name)
            if volume is None or not family.is_dir():
                continue
            for path in family.iterdir():
                snapshot = arriving_id(path.name)
                if snapshot is not None:
                    yield volume, snapshot

    def settle(self, volume: UUID, snapshot: UUID) -> None:
        """Finish a receive whose content the volume has taken; undo any other."""
        path = self._layout.arriving(volume, snapshot)
        if not path.exists():
            return
        subvolume = self._kernel.subvolume(path)
        sidecar = self._layout.snapshot_sidecar(snapshot)
        present = self._pool.find_volume(volume)
        advanced = (
            subvolume is not None
            and sidecar is not None
            and present is not None
            and (sidecar.volume, sidecar.tree, sidecar.with_) == (volume, subvolume.uuid, present.subvolume.uuid)
        )
        if advanced:
            self._kernel.move(path, self._layout.snapshot(volume, snapshot))
        else:
            self._pool.discard(path)
