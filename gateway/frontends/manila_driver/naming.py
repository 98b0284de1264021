"""What Manila's objects are called at the gateway, and by which marks they are known there.

A share is a volume of its instance's name, a snapshot one of its own
instance's. Labels bear their ids in Manila: whatever has another's, or none,
is not touched. The volume's id is remembered where the service keeps things,
so that a share that somebody renamed at another door stays the same share.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

SHARE, INSTANCE = "manila.share", "manila.share_instance"
SNAPSHOT, SNAPSHOT_INSTANCE = "manila.snapshot", "manila.snapshot_instance"
MANAGED = "manila.managed"
"""Of what was there before Manila, with any value."""

GIB = 1 << 30


class Share(msgspec.Struct, frozen=True, kw_only=True):
    """A share instance. `volume_id`: as which volume it was made, where that is remembered."""

    id: str
    share_id: str
    name: str
    tenant: str
    mount_point: str = ""
    volume_id: str | None = None

    @property
    def labels(self) -> dict[str, str]:
        """Give the marks that its volume bears."""
        return {SHARE: self.share_id, INSTANCE: self.id}

    @property
    def path(self) -> str:
        """Give where its volume is published."""
        return f"/{self.mount_point or self.name}"

    def owns(self, labels: Mapping[str, str]) -> bool:
        """Tell whether a volume with these labels is this share."""
        return labels.get(INSTANCE) == self.id


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot instance. `location` is what Manila keeps of it: the id of the gateway's snapshot, or ""."""

    id: str
    snapshot_id: str
    name: str
    location: str = ""

    @property
    def labels(self) -> dict[str, str]:
        """Give the marks that the gateway's snapshot bears."""
        return {SNAPSHOT: self.snapshot_id, SNAPSHOT_INSTANCE: self.id}

    def owns(self, labels: Mapping[str, str]) -> bool:
        """Tell whether a snapshot with these labels is this one."""
        return labels.get(SNAPSHOT_INSTANCE) == self.id


def unmarked(labels: Mapping[str, str]) -> dict[str, str]:
    """Give labels without the marks."""
    marks = {SHARE, INSTANCE, SNAPSHOT, SNAPSHOT_INSTANCE, MANAGED}
    return {key: value for key, value in labels.items() if key not in marks}


def gib(size: int) -> int:
    """Give bytes in whole GiB, rounded up, as Manila counts."""
    return -(-size // GIB)
