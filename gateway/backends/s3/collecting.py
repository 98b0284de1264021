"""What nothing needs any more, and proof of it, goes.

A version below a volume is needed when it counts now and the volume is there,
or when an inventory names it. Every inventory that names versions below a
volume has said so under `needs/` before it came to be, so reading those is
reading all. Versions, markers and inventories go by in order of keys, so that
it takes no memory to compare them.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from uuid import UUID

from gateway.backends.s3.bucket import BATCH, Version
from gateway.backends.s3.joining import key_of
from gateway.backends.s3.layout import Base, Unsettled, named
from gateway.backends.s3.pool import Pool
from gateway.core.errors import Unavailable


class Collector:
    """Removes what is left of volumes and snapshots that are gone. Every step may be repeated."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._layout = pool.layout

    def settle(self, about: Unsettled) -> None:
        """Remove the rest of a volume or snapshot, unless it is there."""
        if about.snapshot is None:
            found = self._pool.find_volume(about.volume)
            if found is None:
                self.volume(about)
            elif about.base is not None and found.base != about.base:
                self.let_go(about.volume, about.base)
        elif not self._pool.is_needed(about.volume, about.snapshot):
            self.drop(about.snapshot, about.owners)
        self._pool.unmark(about.id)

    def volume(self, about: Unsettled) -> None:
        """Remove the rest of a volume that is gone."""
        self.collect(about.volume)
        self.release(about)

    def release(self, about: Unsettled) -> None:
        """End what a volume that is gone, or stands by itself, has had to do with others."""
        if about.base is not None:
            self.let_go(about.volume, about.base)
        if about.volume in self._pool.restoring:
            self._pool.end_restore(about.volume)

    def let_go(self, clone: UUID, base: Base) -> None:
        """End the hold of a clone on its base; what was needed for that only goes."""
        self._pool.control.delete(self._layout.hold(base.snapshot, clone))
        if not self._pool.is_needed(base.volume, base.snapshot):
            self.drop(base.snapshot, base.owners)

    def drop(self, snapshot: UUID, owners: tuple[UUID, ...]) -> None:
        """Remove an inventory, and what only it needed."""
        self.forget(snapshot, owners)
        for owner in owners:
            self.collect(owner)

    def forget(self, snapshot: UUID, owners: tuple[UUID, ...]) -> None:
        """Remove an inventory, and before that what says that it needs something."""
        for owner in owners:
            self._pool.control.delete(self._layout.need(owner, snapshot))
        self._pool.inventories.remove(snapshot)

    def collect(self, volume: UUID) -> None:
        """Remove what nothing needs of all that is below a volume, whether that is there or not."""
        there = self._pool.find_volume(volume)
        doomed = _Doomed(self._pool, volume, live=there is not None, based=there is not None and there.base is not None)
        needed = self._needed(volume)
        at = next(needed, None)
        for key, group in itertools.groupby(self._pool.own(volume), key=key_of):
            wanted: set[str] = set()
            while at is not None and at[0] <= key:
                if at[0] == key:
                    wanted.add(at[1])
                at = next(needed, None)
            doomed.judge(list(group), wanted)
        doomed.flush()
        if there is None:
            for upload in self._pool.data.uploads(self._layout.below(volume)):
                self._pool.data.abort(upload)

    def _needed(self, volume: UUID) -> Iterator[tuple[str, str]]:
        """Yield key and version of all below a volume that inventories name, in order of keys."""
        ids = [named(key) for key in self._pool.control.keys(self._layout.needs_of(volume))]
        written = [each for each in ids if each is not None and self._is_written(each)]
        streams = [self._named_by(each, volume, beside=len(written)) for each in written]
        return heapq.merge(*streams, key=lambda pair: pair[0])

    def _is_written(self, inventory: UUID) -> bool:
        """Tell whether an inventory is there. If one is missing that should be, nothing may be removed."""
        if self._pool.inventories.exists(inventory):
            return True
        if inventory in self._pool.unsettled:
            return False
        raise Unavailable(what=self._pool.name, reason=f"inventory {inventory} is missing: nothing is collected")

    def _named_by(self, inventory: UUID, volume: UUID, *, beside: int) -> Iterator[tuple[str, str]]:
        entries = self._pool.inventories.entries(inventory, beside=beside)
        return ((entry.key, entry.version) for entry in entries if entry.owner == volume)


class _Doomed:
    """Versions and markers below a volume that go. A marker goes after what it hides, or that would show again.

    `live`: the volume is there. `based`: it rests on something that a marker may hide.
    """

    def __init__(self, pool: Pool, volume: UUID, *, live: bool, based: bool) -> None:
        self._data = pool.data
        self._proceed = pool.proceed
        self._below = pool.layout.below(volume)
        self._live = live
        self._based = based
        self._versions: list[tuple[str, str]] = []
        self._markers: list[tuple[str, str]] = []
        self._hidden: list[str] = []

    def judge(self, group: Sequence[Version], wanted: AbstractSet[str]) -> None:
        """Decide about all of one key; its latest comes first."""
        top = group[0]
        kept = [each for each in group if not each.marker and (each.version in wanted or (self._live and each.latest))]
        marked = top.marker and (bool(kept) or (self._live and self._based))
        for each in group:
            if each not in kept and not (each is top and marked):
                (self._markers if each.marker else self._versions).append((self._below + each.key, each.version))
        if kept and not self._live and not top.marker:
            self._hidden.append(self._below + top.key)
        if len(self._versions) + len(self._markers) + len(self._hidden) >= BATCH:
            self.flush()

    def flush(self) -> None:
        """Remove what has gathered."""
        self._proceed()
        for key in self._hidden:
            self._data.delete(key)
        self._data.delete_versions(self._versions)
        self._data.delete_versions(self._markers)
        self._hidden, self._versions, self._markers = [], [], []
