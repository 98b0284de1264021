"""What concurrent clients remember, and what may therefore be found after a crash.

Each value that clients change is a register. A write that was acknowledged
counts from its acknowledgement at the latest; one whose answer never came may
have happened or not. So of the writes of a register, each may be the last one
that did not end before another successful one began.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Generic, TypeVar
from uuid import UUID

import msgspec
from crash_world import World

from gateway.core.model import JobState

T = TypeVar("T")

DATA = "data"
Bytes = bytes | UUID | None
"""Content of a volume: bytes, those of a snapshot by its id, or no file at all."""


class Deed:
    """One attempt to change something. `outcome` None: the client has not heard."""

    def __init__(self, clock: Iterator[int]) -> None:
        self._clock = clock
        self.start = next(clock)
        self.end: float = math.inf
        self.outcome: bool | None = None
        self.job: UUID | None = None

    def before(self) -> Deed:
        """Give how things were when this began."""
        was = Deed(itertools.repeat(self.start - 1))
        was.over(True)
        return was

    def over(self, outcome: bool | None) -> None:
        """Note what the client was told."""
        self.end = next(self._clock)
        self.outcome = outcome


class Register(Generic[T]):
    """A value, and every write of it since it was last seen."""

    def __init__(self, deed: Deed, value: T) -> None:
        self._writes = [(deed, value)]

    def write(self, deed: Deed, value: T) -> None:
        """Note an attempt to set the value."""
        self._writes.append((deed, value))

    def possible(self, since: float = math.inf, until: float = math.inf) -> list[T]:
        """Give what the value can have been at some moment of the time given; without one, what it can be now."""
        done = [deed for deed, _ in self._writes if deed.outcome is True]
        return [
            value
            for deed, value in self._writes
            if deed.outcome is not False
            and deed.start <= until
            and not any(deed.end < later.start and later.end < since for later in done)
        ]


def born(made: Deed) -> Register[bool]:
    """Give the existence of something that may be there once it was made."""
    exists = Register(made.before(), False)
    exists.write(made, True)
    return exists


class KnownVolume:
    """A volume that some client was told of."""

    def __init__(self, made: Deed, *, name: str, size: int, origin: UUID | None, data: Bytes) -> None:
        self.exists = born(made)
        self.name = Register(made, name)
        self.size = Register(made, size)
        self.origin = Register(made, origin)
        self.data: Register[Bytes] = Register(made, data)
        self.restores: list[Deed] = []


class KnownSnapshot:
    """A snapshot that some client was told of. `data`: its bytes, once they were seen."""

    def __init__(self, made: Deed, volume: UUID, data: list[bytes | None] | None = None) -> None:
        self.volume = volume
        self.made = made
        self.exists = born(made)
        self.data = data


class Memory:
    """All clients' knowledge. Ids enter with the answer of the request that made them."""

    def __init__(self) -> None:
        self._clock = itertools.count()
        self.deeds: list[Deed] = []
        self.volumes: dict[UUID, KnownVolume] = {}
        self.snapshots: dict[UUID, KnownSnapshot] = {}

    def deed(self) -> Deed:
        """Begin an attempt."""
        made = Deed(self._clock)
        self.deeds.append(made)
        return made

    def check(self, world: World) -> None:
        """Compare with what was found after a crash; from then on, that is what clients know."""
        for deed in self.deeds:
            self._settle(deed, world)
        for key, volume in self.volumes.items():
            assert (key in world.volumes) in volume.exists.possible(), f"volume {key}"
            if key in world.volumes:
                self._check_volume(key, volume, world)
        for key, snapshot in self.snapshots.items():
            self._check_snapshot(key, snapshot, world)
        self._learn(world)

    def _settle(self, deed: Deed, world: World) -> None:
        """Complete what a client heard by what the job says now; what was acknowledged may not have changed."""
        if deed.job is None:
            return
        assert deed.job in world.jobs, "an accepted change is forgotten"
        succeeded = world.jobs[deed.job].state is JobState.SUCCESS
        if deed.outcome is None:
            deed.over(succeeded)
        assert deed.outcome == succeeded, f"job {deed.job} ended otherwise than it was said to"

    def _check_volume(self, key: UUID, volume: KnownVolume, world: World) -> None:
        row = world.volumes[key]
        assert row.name in volume.name.possible(), f"name of {key}"
        assert row.size in volume.size.possible(), f"size of {key}"
        assert (row.origin.snapshot_id if row.origin else None) in volume.origin.possible(), f"origin of {key}"
        wanted = [data for token in volume.data.possible() for data in self._bytes(token)]
        assert world.files[key].get(DATA) in wanted, f"bytes of volume {row.name} {key}"

    def _check_snapshot(self, key: UUID, snapshot: KnownSnapshot, world: World) -> None:
        if key in world.snapshots:
            assert True in snapshot.exists.possible(), f"snapshot {key} is back"
            assert world.files[key].get(DATA) in self._snapshot_bytes(key), f"bytes of snapshot {key}"
        elif snapshot.volume in world.volumes:
            # A restore of an older snapshot takes newer ones with it.
            restores = self.volumes[snapshot.volume].restores if snapshot.volume in self.volumes else []
            discarded = any(deed.outcome is not False and deed.end > snapshot.made.start for deed in restores)
            assert discarded or False in snapshot.exists.possible(), f"snapshot {key} is lost"

    def _bytes(self, token: Bytes) -> list[bytes | None]:
        return self._snapshot_bytes(token) if isinstance(token, UUID) else [token]

    def _snapshot_bytes(self, key: UUID) -> list[bytes | None]:
        snapshot = self.snapshots[key]
        if snapshot.data is None:
            made, source = snapshot.made, self.volumes[snapshot.volume]
            tokens = source.data.possible(made.start, made.end)
            snapshot.data = [data for token in tokens for data in self._bytes(token)]
        return snapshot.data

    def _learn(self, world: World) -> None:
        self.deeds = []
        now = Deed(self._clock)
        now.over(True)
        self.volumes = {
            key: KnownVolume(
                now,
                name=row.name,
                size=row.size,
                origin=row.origin.snapshot_id if row.origin else None,
                data=world.files[key].get(DATA),
            )
            for key, row in world.volumes.items()
        }
        self.snapshots = {
            key: KnownSnapshot(now, row.volume_id, [world.files[key].get(DATA)]) for key, row in world.snapshots.items()
        }


class Told(msgspec.Struct, frozen=True):
    """How often clients heard what, for a test that wants to know whether its load was one."""

    succeeded: int
    failed: int
    unknown: int


def told(memory: Memory) -> Told:
    """Count the attempts since the last check."""
    outcomes = [deed.outcome for deed in memory.deeds]
    return Told(outcomes.count(True), outcomes.count(False), outcomes.count(None))
