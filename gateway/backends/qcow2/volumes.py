"""Changes of volumes, step by step. All of it blocks; the caller keeps others from the family meanwhile."""
# ruff: noqa: D102 - the protocols carry the contract of the methods

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import msgspec
import structlog

from gateway.backends.files.names import flush, parse_id
from gateway.backends.qcow2.layers import Layers
from gateway.backends.qcow2.layout import SnapshotSidecar, VolumeSidecar, device_name, owner
from gateway.backends.qcow2.pool import Pool, Step, Volume
from gateway.core.backend import Note, Observed, VolumeSpec
from gateway.core.errors import GatewayError, InvalidArgument, Unavailable
from gateway.core.model import VolumeKind
from gateway.core.qmp import Refused

log = structlog.get_logger(__name__)


class Volumes:
    """Makes, changes and finds volumes. A volume is there from the one rename that puts its sidecar into its place."""

    def __init__(self, pool: Pool, layers: Layers) -> None:
        self._pool = pool
        self._layers = layers
        self._layout = pool.layout

    # --- making ---

    def create(self, spec: VolumeSpec) -> Observed:
        present = self._pool.find_volume(spec.id)
        if present is not None:
            return self.observed(present)
        passed = self._pool.steps("create")
        passed("begun")
        family = self._layout.family(spec.id)
        with self._making(spec.id, family):
            self._pool.prepare(spec.id, family)
            passed("prepared")
            head = self._pool.layer(family, spec.id, spec.size)
            passed("made")
            self._pool.put_volume(VolumeSidecar(id=spec.id, head=head.name, note=spec.note), passed)
        passed("durable")
        return self.observed(self._pool.volume(spec.id))

    def clone(self, source: UUID, snapshot: UUID | None, spec: VolumeSpec) -> Observed:
        present = self._pool.find_volume(spec.id)
        if present is not None:
            return self.observed(present)
        found = self._pool.volume(source) if snapshot is None else self._pool.snapshot(source, snapshot)
        base = found.head if isinstance(found, Volume) else found.layer
        if spec.size < base.size:
            raise InvalidArgument(field="size", value=spec.size, reason="a block volume does not shrink")
        passed = self._pool.steps("clone")
        passed("begun")
        if isinstance(found, Volume):
            self.freeze(found, None, self._pool.steps("freeze"))
        with self._making(spec.id, found.family):
            self._pool.prepare(spec.id, found.family)
            passed("prepared")
            head = self._pool.layer(found.family, spec.id, spec.size, on=base)
            passed("made")
            sidecar = VolumeSidecar(id=spec.id, head=head.name, note=spec.note)
            descended = msgspec.structs.replace(sidecar, origin=source, origin_snapshot=snapshot)
            self._pool.put_volume(descended, passed)
        passed("durable")
        if snapshot is None:
            self._layers.collect(found.family)
        return self.observed(self._pool.volume(spec.id))

    @contextmanager
    def _making(self, volume: UUID, family: UUID) -> Iterator[None]:
        """Leave nothing of a new volume when the body fails.

        Only errors of the system and the core count: an end of the process
        would not clean up, and the tests of that raise something else.
        """
        try:
            yield
        except (OSError, GatewayError):
            with contextlib.suppress(OSError, Refused, GatewayError):
                self._layout.volume_note(volume).unlink(missing_ok=True)
                self.tidy(volume, family)
            raise

    def freeze(self, found: Volume, taken: SnapshotSidecar | None, passed: Step) -> None:
        """Make a volume's head immutable and put a new one on top, of which `taken` comes to be at the same instant.

        The new head is in force when it is noted. Whoever has the volume open
        is turned to it afterwards, at the latest by the next opening: until
        then nobody can tell that the instant has passed.
        """
        passed("begun")
        head = self._pool.layer(found.family, found.sidecar.id, found.head.size, on=found.head)
        passed("made")
        kept = taken or found.sidecar.taken
        try:
            self._pool.put_volume(msgspec.structs.replace(found.sidecar, head=head.name, taken=kept), passed)
            self.align(found.sidecar.id)
        except (OSError, Refused):
            self._pool.put_volume(found.sidecar, lambda _step: None)
            head.path.unlink(missing_ok=True)
            raise
        passed("switched")

    def align(self, volume: UUID) -> None:
        """Make sure that whoever has a volume open writes to its present head."""
        name = device_name(volume)
        if self._pool.devices.is_open(name):
            self._pool.devices.align(name, self._pool.target(self._pool.volume(volume)))

    # --- removing ---

    def delete(self, volume: UUID) -> None:
        found = self._pool.find_volume(volume)
        if found is None:
            return
        passed = self._pool.steps("delete")
        passed("begun")
        self.close(found)
        passed("closed")
        self._pool.place_taken(volume)
        self._layout.volume_note(volume).unlink(missing_ok=True)
        passed("forgotten")
        flush(self._layout.folder(volume))
        passed("durable")
        self.tidy(volume, found.family)
        passed("collected")

    def tidy(self, volume: UUID, family: UUID) -> None:
        """Remove what nothing needs any more after a volume or snapshot is gone."""
        self._layers.collect(family)
        folder = self._layout.folder(volume)
        with contextlib.suppress(OSError):
            folder.rmdir()
        if not folder.exists():
            (self._layout.kin / str(volume)).unlink(missing_ok=True)
        for place in (self._layout.layers(family), folder.parent):
            with contextlib.suppress(OSError):
                place.rmdir()

    def close(self, found: Volume) -> None:
        """Take a volume away from whoever uses it."""
        name = device_name(found.sidecar.id)
        if self._pool.devices.is_open(name):
            self._pool.devices.close(name, self._pool.images.chain(found.head.path))

    # --- changing ---

    def annotate(self, volume: UUID, note: Note) -> None:
        found = self._pool.volume(volume)
        passed = self._pool.steps("annotate")
        passed("begun")
        self._pool.put_volume(msgspec.structs.replace(found.sidecar, note=note), passed)
        passed("durable")

    def resize(self, volume: UUID, size: int) -> None:
        found = self._pool.volume(volume)
        if size < found.head.size:
            raise InvalidArgument(field="size", value=size, reason="a block volume does not shrink")
        if size == found.head.size:
            return
        passed = self._pool.steps("resize")
        passed("begun")
        self.align(volume)
        if not self._pool.devices.resize(device_name(volume), size):
            self._pool.images.resize(found.head.path, size)
        passed("resized")
        flush(found.head.path)
        passed("durable")

    def split(self, volume: UUID) -> None:
        found = self._pool.volume(volume)
        root = self._layers.own_root(volume, found.head)
        if root.backing is None and found.sidecar.origin is None:
            return
        passed = self._pool.steps("split")
        passed("begun")
        if root.backing is not None:
            if root.name == found.head.name and self._pool.devices.is_open(device_name(volume)):
                # Only what is immutable can be copied while the volume is in use.
                self.freeze(found, None, self._pool.steps("freeze"))
            self._layers.detach(volume, found.family, root, passed)
        alone = msgspec.structs.replace(self._pool.volume(volume).sidecar, origin=None, origin_snapshot=None)
        self._pool.put_volume(alone, passed)
        self._layers.collect(found.family)
        passed("collected")

    # --- restoring ---

    def restore(self, volume: UUID, snapshot: UUID, token: UUID) -> None:
        found = self._pool.volume(volume)
        if found.sidecar.restored == token:
            return
        source = self._pool.snapshot(volume, snapshot)
        passed = self._pool.steps("restore")
        passed("begun")
        self._pool.place_taken(volume)
        # A device never becomes smaller under its users.
        size = max(found.head.size, source.layer.size)
        head = self._pool.layer(found.family, volume, size, on=source.layer)
        passed("made")
        was_open = self._pool.devices.is_open(device_name(volume))
        self.close(found)
        passed("closed")
        restored = msgspec.structs.replace(found.sidecar, head=head.name, restored=token, taken=None)
        self._pool.put_volume(restored, passed)
        if was_open:
            self.open(volume)
        passed("reopened")
        self._layers.collect(found.family)
        passed("collected")

    def settle_restore(self, volume: UUID, token: UUID) -> bool:
        found = self._pool.volume(volume)
        self._layers.collect(found.family)
        return found.sidecar.restored == token

    # --- opening ---

    def open(self, volume: UUID) -> Path:
        """Give the raw device of a volume, opened if it is not."""
        name = device_name(volume)
        found = self._pool.volume(volume)
        passed = self._pool.steps("access")
        passed("begun")
        path = self._pool.devices.open(name, self._pool.target(found))
        self.align(volume)
        passed("opened")
        return path

    # --- looking ---

    def inspect(self, volume: UUID) -> Observed | None:
        found = self._pool.find_volume(volume)
        return None if found is None else self.observed(found)

    def observed(self, found: Volume, used: int | None = None) -> Observed:
        """Describe a volume. `used` is what is allocated for all of its layers, shared with others or not."""
        if used is None:
            used = sum(layer.allocated for layer in self._pool.images.chain(found.head.path))
        return Observed(
            id=found.sidecar.id,
            kind=VolumeKind.BLOCK,
            size=found.head.size,
            used=used,
            note=found.sidecar.note,
            origin=found.sidecar.origin,
            origin_snapshot=found.sidecar.origin_snapshot,
            place=str(found.head.path),
        )

    def look(self, families: Iterable[UUID]) -> list[Observed]:
        """Give every volume of these families."""
        seen = []
        for family in families:
            try:
                kin = self._layers.kin(family)
                found = [self._pool.find_volume(member) for member in self._layout.members(family)]
            except (msgspec.DecodeError, Unavailable) as error:
                log.warning("family damaged", pool=self._pool.name, family=str(family), error=str(error))
                seen.append(Observed(id=None, kind=VolumeKind.BLOCK, place=str(self._layout.layers(family))))
                continue
            seen += [self.observed(each, kin.used(each.head.name)) for each in found if each is not None]
        return seen

    def strangers(self) -> list[Observed]:
        """Give what lies among the images and is none of ours."""
        found = []
        for place in sorted(self._layout.images.iterdir()):
            if parse_id(place.name) is None or not place.is_dir():
                found.append(place)
            else:
                found += [path for path in sorted(place.iterdir()) if owner(path.name) is None]
        return [Observed(id=None, kind=VolumeKind.BLOCK, place=str(path)) for path in found]
