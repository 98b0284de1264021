"""What a snapshot of a pool in an object store holds, by the list that the pool keeps of it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from uuid import UUID

from gateway.backends.s3.bucket import Bucket
from gateway.backends.s3.inventories import Entry, Inventories
from gateway.backends.s3.layout import Layout


class Frozen:
    """Finds versions of objects; quickly when they are asked for in the order of their keys. Threads may share it."""

    def __init__(self, control: Bucket, prefix: str, snapshot: UUID, end: str) -> None:
        self._layout = Layout(prefix)
        self._inventories = Inventories(end, control, self._layout)
        self._snapshot = snapshot
        self._entries: Iterator[Entry] = iter(())
        self._head: Entry | None = None
        self._lock = threading.Lock()

    def entries(self) -> Iterator[Entry]:
        """Yield everything, in order."""
        return self._inventories.entries(self._snapshot)

    def find(self, key: str) -> dict[str, str] | None:
        """Give the request's words for the version of an object; None: it has none."""
        with self._lock:
            if self._head is None or key < self._head.key:
                self._entries = self._inventories.entries(self._snapshot, start=key)
                self._head = next(self._entries, None)
            while self._head is not None and self._head.key < key:
                self._head = next(self._entries, None)
            found = self._head
        if found is None or found.key != key:
            return None
        return {"Key": f"{self._layout.below(found.owner)}{key}", "VersionId": found.version}
