"""The transfers and backups that this process carries: how they are waited for, and ended early."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID


class Carried:
    """What is under way, by its id."""

    def __init__(self) -> None:
        self._halts: dict[UUID, asyncio.Event] = {}
        self._tasks: dict[UUID, asyncio.Task[Any]] = {}

    def announce(self, transfer_id: UUID) -> None:
        """Let a transfer be halted before its task is there."""
        self._halts.setdefault(transfer_id, asyncio.Event())

    def add(self, transfer_id: UUID, task: asyncio.Task[Any]) -> None:
        """Carry a transfer until its task is done."""
        self.announce(transfer_id)
        self._tasks[transfer_id] = task
        task.add_done_callback(lambda _task: self._drop(transfer_id))

    def task(self, transfer_id: UUID) -> asyncio.Task[Any] | None:
        """Give the task of a transfer; None when it is not under way here."""
        return self._tasks.get(transfer_id)

    def halt(self, transfer_id: UUID) -> None:
        """Ask a transfer to end early."""
        if transfer_id in self._halts:
            self._halts[transfer_id].set()

    def halted(self, transfer_id: UUID) -> asyncio.Event:
        """Give what is set once the transfer is to end; of one that is not carried here it never is."""
        return self._halts.get(transfer_id) or asyncio.Event()

    def _drop(self, transfer_id: UUID) -> None:
        self._halts.pop(transfer_id, None)
        self._tasks.pop(transfer_id, None)
