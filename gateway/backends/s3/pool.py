"""An open pool in an object store: what every change of volumes and snapshots is made of. All of it blocks."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar
from uuid import UUID

import msgspec

from gateway.backends.s3.bucket import Bucket, Version
from gateway.backends.s3.inventories import Entry, Inventories
from gateway.backends.s3.joining import laid_over, latest
from gateway.backends.s3.layout import Journal, Layout, SnapshotSidecar, Unsettled, VolumeSidecar, named
from gateway.backends.s3.options import S3Options
from gateway.core.backend import FaultHook
from gateway.core.errors import NotFound

D = TypeVar("D", bound=msgspec.Struct)
T = TypeVar("T")
R = TypeVar("R")
Step = Callable[[str], None]

_encoder = msgspec.json.Encoder()


class Traits(msgspec.Struct, frozen=True, kw_only=True):
    """What was found out about a store.

    creates: that a document must not be there yet is a condition that it keeps.
    updates: so is that a document is still what it was; `quoted` tells how it wants that said.
    marks_absent: it marks as removed what never was there.
    """

    creates: bool = False
    updates: bool = False
    quoted: bool = True
    marks_absent: bool = True
    remarks: tuple[str, ...] = ()


class Pool:
    """The parts that changes share."""

    def __init__(
        self, name: str, options: S3Options, *, s3: Any, public: Any, traits: Traits, fault: FaultHook
    ) -> None:
        self.name = name
        self.options = options
        self.public = public
        self.traits = traits
        self.layout = Layout(options.prefix)
        self.data = Bucket(s3, options.bucket)
        self.control = Bucket(s3, options.control)
        self.inventories = Inventories(name, self.control, self.layout)
        self.unsettled: set[UUID] = set()
        """Volumes and snapshots that are being made or removed, or whose making or removal was cut short."""
        self.restoring: set[UUID] = set()
        """Volumes with a restore that has begun and not ended."""
        self._fault = fault
        self._fan = ThreadPoolExecutor(options.threads, thread_name_prefix=f"s3-{name}-fan")

    def close(self) -> None:
        """End the threads. Idempotent."""
        self._fan.shutdown(cancel_futures=True)

    def steps(self, operation: str) -> Step:
        """Give the function that an operation calls after each of its steps; see `faults.STEPS`."""

        def passed(step: str) -> None:
            self._fault(f"s3.{operation}.{step}")

        return passed

    def each(self, work: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        """Yield what `work` gives for each item, in order, several at once, and never many of them in memory."""
        window = 2 * self.options.threads
        running: deque[Future[R]] = deque()
        try:
            for item in items:
                running.append(self._fan.submit(work, item))
                if len(running) >= window:
                    yield running.popleft().result()
            while running:
                yield running.popleft().result()
        finally:
            for future in running:
                future.cancel()

    # --- documents ---

    def load(self, key: str, kind: type[D]) -> D | None:
        """Give a document, or None."""
        found = self.control.get(key)
        return None if found is None else msgspec.json.decode(found, type=kind)

    def store(self, key: str, document: msgspec.Struct) -> None:
        """Set a document."""
        self.control.put(key, _encoder.encode(document))

    def find_volume(self, volume: UUID) -> VolumeSidecar | None:
        """Give a volume of ours, or None."""
        return self.load(self.layout.volume(volume), VolumeSidecar)

    def volume(self, volume: UUID) -> VolumeSidecar:
        """Give a volume of ours, or raise NotFound."""
        found = self.find_volume(volume)
        if found is None:
            raise NotFound(kind="volume", ref=str(volume))
        return found

    def put_volume(self, sidecar: VolumeSidecar) -> None:
        """Replace a volume's sidecar."""
        self.store(self.layout.volume(sidecar.id), sidecar)

    def find_snapshot(self, volume: UUID, snapshot: UUID) -> SnapshotSidecar | None:
        """Give a snapshot of ours, or None."""
        return self.load(self.layout.snapshot(volume, snapshot), SnapshotSidecar)

    def snapshot(self, volume: UUID, snapshot: UUID) -> SnapshotSidecar:
        """Give a snapshot of ours, or raise NotFound."""
        found = self.find_snapshot(volume, snapshot)
        if found is None:
            raise NotFound(kind="snapshot", ref=str(snapshot))
        return found

    def put_snapshot(self, sidecar: SnapshotSidecar) -> None:
        """Replace a snapshot's sidecar."""
        self.store(self.layout.snapshot(sidecar.volume, sidecar.id), sidecar)

    def mark(self, about: Unsettled) -> None:
        """Say that a volume or snapshot is being made or removed."""
        self.store(self.layout.unsettled(about.id), about)
        self.unsettled.add(about.id)

    def find_unsettled(self, about: UUID) -> Unsettled | None:
        """Give what is said of a volume or snapshot whose making or removal was cut short, or None."""
        return self.load(self.layout.unsettled(about), Unsettled) if about in self.unsettled else None

    def unmark(self, about: UUID) -> None:
        """Say that it is made, or gone."""
        self.control.delete(self.layout.unsettled(about))
        self.unsettled.discard(about)

    def begin_restore(self, journal: Journal) -> None:
        """Say that a restore has begun; from here on it goes on until its end."""
        self.store(self.layout.restore(journal.volume), journal)
        self.restoring.add(journal.volume)

    def end_restore(self, volume: UUID) -> None:
        """Say that a volume's restore has ended."""
        self.control.delete(self.layout.restore(volume))
        self.restoring.discard(volume)

    # --- content ---

    def own(self, volume: UUID, *, prefix: str = "", after: str = "") -> Iterator[Version]:
        """Yield all versions and markers below a volume, by their keys there."""
        below = self.layout.below(volume)
        for found in self.data.versions(f"{below}{prefix}", after=f"{below}{after}" if after else ""):
            yield msgspec.structs.replace(found, key=found.key[len(below) :])

    def content(self, found: VolumeSidecar, *, prefix: str = "", after: str = "") -> Iterator[Entry]:
        """Yield what is in a volume, in order of keys: those that begin with `prefix` and come after `after`."""
        own = latest(self.own(found.id, prefix=prefix, after=after))
        if found.base is None:
            return laid_over(own, found.id, ())
        base = self.frozen(found.base.snapshot, prefix=prefix, after=after)
        return laid_over(own, found.id, base)

    def frozen(self, snapshot: UUID, *, prefix: str = "", after: str = "") -> Iterator[Entry]:
        """Yield what an inventory names, as `content` does."""
        for entry in self.inventories.entries(snapshot, start=max(prefix, after)):
            if entry.key > after or not after:
                if entry.key.startswith(prefix):
                    yield entry
                elif entry.key > prefix:
                    return

    def is_needed(self, volume: UUID, snapshot: UUID) -> bool:
        """Tell whether a snapshot's inventory is: by the snapshot itself, or by a clone that rests on it."""
        if self.find_snapshot(volume, snapshot) is not None:
            return True
        for key in self.control.keys(self.layout.holds_of(snapshot)):
            clone = named(key)
            found = None if clone is None else self.find_volume(clone)
            if found is not None and found.base is not None and found.base.snapshot == snapshot:
                return True
            self.control.delete(key)
        return False
