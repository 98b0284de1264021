"""One line of one volume: takes the snapshot that is due, and removes those beyond the number that is kept."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import uuid4

import msgspec

from gateway.core import errors, snapshots
from gateway.core.agenda import Due
from gateway.core.backend import FaultHook
from gateway.core.context import Core
from gateway.core.lines import stem_of
from gateway.core.model import Snapshot, SnapshotState, Volume

_SAME_NAME_MAX = 100


class Outcome(msgspec.Struct):
    """What one pass did: snapshots taken and removed, and volumes that could not be served."""

    taken: int = 0
    removed: int = 0
    failed: int = 0


class Retention:
    """Serves lines during one pass, which began at `now`, and counts what it does in `outcome`."""

    def __init__(self, core: Core, now: datetime, fault: FaultHook) -> None:
        self.outcome = Outcome()
        self._core = core
        self._now = now
        self._fault = fault

    async def serve(self, volume: Volume, due: Due, own: Sequence[Snapshot]) -> None:
        """Take what is due unless it is among `own`, the line's snapshots on the volume; then remove the surplus.

        Not counted, and never removed: what a clone hangs on, and what must not
        be deleted yet.
        """
        kept = list(own)
        if not any(snapshot.due == due.instant for snapshot in kept):
            kept.append(await self._take(volume, due, kept))
            self.outcome.taken += 1
            self._fault("scheduler.taken")
        for snapshot in self._free(kept)[: -due.line.count]:
            await self._remove(snapshot)

    async def _take(self, volume: Volume, due: Due, own: list[Snapshot]) -> Snapshot:
        """Take a snapshot; where its name is a user's or another line's, it gets a number behind it."""
        taken_by, stem = due.taken_by(volume.id), f"{stem_of(due.line)}.{due.stamp}"
        for number in range(_SAME_NAME_MAX):
            new = snapshots.NewSnapshot(
                name=f"{stem}.{number}" if number else stem,
                volume_id=volume.id,
                label=due.line.label,
                taken_by=taken_by,
                due=due.instant,
            )
            try:
                return await self._create(new, own, due.line.count)
            except errors.AlreadyExists:
                there = await self._core.find(Snapshot, volume__id=volume.id, name=new.name)
                if there is not None and (there.taken_by, there.due) == (taken_by, due.instant):
                    return there
        raise errors.AlreadyExists(kind="snapshot", name=stem, field="name")

    async def _create(self, new: snapshots.NewSnapshot, own: list[Snapshot], count: int) -> Snapshot:
        description = f"Scheduled snapshot {new.name}"
        try:
            started = await snapshots.create(self._core, new, description=description)
        except errors.LimitExceeded as error:
            oldest = self._free(own)[:1] if len(self._free(own)) >= count else []
            if error.limit != "snapshots" or not oldest:
                raise
            await self._remove(oldest[0])
            own.remove(oldest[0])
            started = await snapshots.create(self._core, new, description=description)
        job = await started.result()
        return await self._core.get(Snapshot, job.target_id or uuid4())

    def _free(self, own: Sequence[Snapshot]) -> list[Snapshot]:
        """Give what may go, the oldest first; before those what a clock that was wrong took for the future."""
        return sorted(
            (
                snapshot
                for snapshot in own
                if snapshot.state is SnapshotState.VALID
                and not snapshot.clone_count
                and (snapshot.expires is None or snapshot.expires <= self._now)
            ),
            key=lambda s: (s.due is None or s.due <= self._now, s.due or s.created, s.id),
        )

    async def _remove(self, snapshot: Snapshot) -> None:
        """Remove a snapshot, unless it is gone or has got a clone or an expiry since it was read."""
        description = f"Removal of scheduled snapshot {snapshot.name}"
        try:
            await (await snapshots.delete(self._core, snapshot.id, description=description)).result()
        except (errors.NotFound, errors.InUse, errors.InvalidState):
            return
        self.outcome.removed += 1
        self._fault("scheduler.removed")
