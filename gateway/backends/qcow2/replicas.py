"""Sending and receiving snapshots, step by step. All of it blocks.

What is sent is read straight from the files of the layers, which never change.
What is received is written through the daemon into a layer that nothing names
yet; one sidecar then makes it the snapshot and puts the volume on it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path
from uuid import UUID

import msgspec

from gateway.backends.files.names import flush, put_on_disk
from gateway.backends.qcow2.images import Extent, Layer
from gateway.backends.qcow2.layers import Layers
from gateway.backends.qcow2.layout import SnapshotSidecar, VolumeSidecar, device_name
from gateway.backends.qcow2.nodes import Target
from gateway.backends.qcow2.pool import Pool, Snapshot, Volume
from gateway.backends.qcow2.stream import (
    END,
    RUN,
    Decoder,
    Head,
    Run,
    broken_stream,
    changed,
    encode_head,
    encode_run,
    pieces,
    union,
)
from gateway.backends.qcow2.volumes import Volumes
from gateway.core.backend import Note, VolumeSpec
from gateway.core.errors import GatewayError, InvalidArgument, NotFound
from gateway.core.qmp import Refused

_ZEROS = bytes(1024 * 1024)


class Sender:
    """A snapshot that is being sent. Its layers stay as they are until `stop`."""

    def __init__(self, pool: Pool, snapshot: Snapshot, base: Snapshot | None) -> None:
        self._pool = pool
        chain = pool.images.chain(snapshot.layer.path)
        self._pinned = [layer.inode for layer in chain]
        self._files: list[int] = []
        self._digest = hashlib.sha256()
        pool.pinned.update(self._pinned)
        try:
            self._files = [os.open(layer.path, os.O_RDONLY | os.O_CLOEXEC) for layer in chain]
            self._pieces = pieces(*_plan(pool, chain, base))
        except BaseException:
            self.stop()
            raise
        lineage = None if base is None else base.sidecar.lineage
        self._head = encode_head(Head(snapshot.layer.size, snapshot.sidecar.lineage, lineage))
        self._ended = False

    def read(self) -> bytes:
        """Give the next part; empty at the end."""
        if self._head:
            part, self._head = self._head, b""
            return self._counted(part)
        piece = next(self._pieces, None)
        if piece is not None:
            return self._counted(encode_run(Run(piece.start, piece.length, self._data(piece))))
        if self._ended:
            return b""
        self._ended = True
        return self._counted(RUN.pack(0, 0, END)) + self._digest.digest()

    def _counted(self, part: bytes) -> bytes:
        self._digest.update(part)
        return part

    def _data(self, piece: Extent) -> bytes | None:
        if piece.zero or not piece.data or piece.offset is None:
            return None
        data = os.pread(self._files[piece.depth], piece.length, piece.offset)
        # A file may end within its last cluster: what is missing are zeros.
        return data.ljust(piece.length, b"\0")

    def stop(self) -> None:
        """Let go of the layers. Idempotent."""
        self._pool.pinned.subtract(self._pinned)
        self._pinned = []
        for file in self._files:
            os.close(file)
        self._files = []


def _plan(pool: Pool, chain: tuple[Layer, ...], base: Snapshot | None) -> tuple[list[Extent], list[tuple[int, int]]]:
    """Give where all bytes are, and the runs that differ from the base.

    The base need not be below the snapshot: after a restore both only have an
    ancestor in common, and what either has above it may differ.
    """
    extents = pool.images.map(chain[0].path)
    if base is None:
        return extents, union(changed(extents, len(chain)))
    inodes = [layer.inode for layer in chain]
    other = pool.images.chain(base.layer.path)
    common = next((index for index, layer in enumerate(other) if layer.inode in inodes), len(other))
    above = inodes.index(other[common].inode) if common < len(other) else len(chain)
    runs = changed(extents, above)
    if common:
        runs += changed(pool.images.map(other[0].path), common)
    return extents, union(runs)


class Receiver:
    """A snapshot that arrives: a layer that nothing names yet, written through the daemon."""

    def __init__(self, replicas: Replicas, spec: VolumeSpec, snapshot: UUID) -> None:
        self._replicas = replicas
        self._spec = spec
        self._name = device_name(spec.id, snapshot)
        self._decoder = Decoder()
        self._fd = -1
        self.layer: Layer | None = None

    @property
    def head(self) -> Head:
        """Give what the stream said first; InvalidArgument when it did not say anything."""
        if self._decoder.head is None:
            raise broken_stream()
        return self._decoder.head

    def write(self, part: bytes) -> None:
        """Take the next part."""
        for run in self._decoder.take(part):
            self._begin()
            if run.start + run.length > self.head.size:
                raise broken_stream()
            _write_all(self._fd, _ZEROS[: run.length] if run.data is None else run.data, run.start)

    def _begin(self) -> None:
        if self.layer is None:
            self.layer, path = self._replicas.make(self._spec, self.head, self._name)
            self._fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)

    def finish(self) -> Layer:
        """Give the layer with all that arrived, durably; InvalidArgument when that is not the whole stream."""
        if not self._decoder.whole:
            raise broken_stream()
        self._begin()
        if self.layer is None:
            raise broken_stream()
        put_on_disk(self._fd)
        self._replicas.passed("streamed")
        self.stop()
        flush(self.layer.path)
        self._replicas.passed("closed")
        return self.layer

    def stop(self) -> None:
        """Close the layer. Idempotent."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        if self.layer is not None:
            self._replicas.close(self._name, self.layer)

    def abandon(self) -> None:
        """Remove what arrived."""
        with contextlib.suppress(OSError, Refused, GatewayError):
            self.stop()
        if self.layer is not None:
            self.layer.path.unlink(missing_ok=True)
        self._replicas.tidy(self._spec.id)


class Replicas:
    """Sends snapshots and takes them in."""

    def __init__(self, pool: Pool, layers: Layers, volumes: Volumes) -> None:
        self._pool = pool
        self._layers = layers
        self._volumes = volumes
        self._layout = pool.layout
        self.passed = pool.steps("receive")

    def sender(self, volume: UUID, snapshot: UUID, base: UUID | None) -> Sender:
        """Start to send; NotFound when one of the snapshots is not there."""
        self._volumes.align(volume)
        found = self._pool.snapshot(volume, snapshot)
        return Sender(self._pool, found, None if base is None else self._pool.snapshot(volume, base))

    def receiver(self, spec: VolumeSpec, snapshot: UUID) -> Receiver | None:
        """Start to receive; None when the snapshot is there already."""
        self._pool.place_taken(spec.id)
        if self._pool.find_snapshot(spec.id, snapshot) is not None:
            return None
        self.passed("begun")
        return Receiver(self, spec, snapshot)

    def make(self, spec: VolumeSpec, head: Head, name: str) -> tuple[Layer, Path]:
        """Make the layer of a stream; give it and its raw device."""
        base = None if head.base is None else self._base(spec.id, head.base)
        if (base is not None and head.size < base.layer.size) or head.size % 512:
            raise InvalidArgument(field="stream", reason="of a size that it cannot have")
        self._pool.prepare(spec.id, self._layout.family(spec.id))
        self.passed("prepared")
        family = self._layout.family(spec.id)
        layer = self._pool.layer(family, spec.id, head.size, on=None if base is None else base.layer)
        self.passed("made")
        target = Target(self._pool.images.chain(layer.path), writable=True, sparse=True)
        path = self._pool.devices.open(name, target)
        self.passed("opened")
        return layer, path

    def _base(self, volume: UUID, lineage: UUID) -> Snapshot:
        for snapshot in self._layout.snapshots(volume):
            found = self._pool.find_snapshot(volume, snapshot)
            if found is not None and found.sidecar.lineage == lineage:
                return found
        raise NotFound(kind="snapshot", ref=str(lineage))

    def close(self, name: str, layer: Layer) -> None:
        """Take the raw device of an arriving layer away."""
        self._pool.devices.close(name, self._pool.images.chain(layer.path))

    def tidy(self, volume: UUID) -> None:
        """Remove what a stream that broke off may have left."""
        self._volumes.tidy(volume, self._layout.family(volume))

    def land(self, spec: VolumeSpec, snapshot: UUID, note: Note, *, arrived: Layer, lineage: UUID) -> None:
        """Make what arrived a snapshot, and its content the volume's: one sidecar says both."""
        present = self._pool.find_volume(spec.id)
        size = spec.size if present is None else present.head.size
        if present is None and size < arrived.size:
            raise InvalidArgument(field="size", value=size, reason="less than the snapshot has")
        family = self._layout.family(spec.id)
        head = self._pool.layer(family, spec.id, max(size, arrived.size), on=arrived)
        try:
            self.passed("topped")
            was_open = self._shut(present)
            taken = SnapshotSidecar(id=snapshot, volume=spec.id, layer=arrived.name, lineage=lineage, note=note)
            base = VolumeSidecar(id=spec.id, head=head.name, note=spec.note) if present is None else present.sidecar
            sidecar = msgspec.structs.replace(base, head=head.name, taken=taken)
            self._pool.put_volume(sidecar, self.passed)
        except (OSError, GatewayError):
            head.path.unlink(missing_ok=True)
            raise
        self._pool.place_taken(spec.id)
        self.passed("placed")
        if was_open:
            self._volumes.open(spec.id)
        self.passed("reopened")
        self._layers.collect(family)
        self.passed("collected")

    def _shut(self, present: Volume | None) -> bool:
        was_open = present is not None and self._pool.devices.is_open(device_name(present.sidecar.id))
        if present is not None:
            self._volumes.close(present)
        self.passed("shut")
        return was_open


def _write_all(fd: int, data: bytes, start: int) -> None:
    done = 0
    while done < len(data):
        done += os.pwrite(fd, data[done:], start + done)
