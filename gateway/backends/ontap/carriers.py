"""Volumes that hold nothing but tags: the rest of descriptions that are longer than one object can say.

They are made before the object that names their generation, and removed after
it names another one, so a description is always whole.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from uuid import UUID

from gateway.backends.ontap.descriptions import (
    Document,
    More,
    VolumeSidecar,
    foreign,
    pack,
    room,
    to_tags,
)
from gateway.backends.ontap.pool import Pool
from gateway.backends.ontap.records import FlexVol

SIZE_MIN = 20 * 1024 * 1024
"""Bytes of ONTAP's smallest volume."""


class Carriers:
    """Makes, reads and removes carriers."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._cluster = pool.cluster

    def tags(self, record: VolumeSidecar | Document, key: UUID, kept: Iterable[str] = ()) -> list[str]:
        """Give the tags that describe a volume, beside those of others that it keeps; the rest is carried."""
        others = foreign(kept)
        text = pack(record, key)
        inline = room(others)
        more = self.carry(key, text[inline:]) if len(text) > inline else None
        return [*others, *to_tags(text[:inline], more)]

    def carry(self, key: UUID, text: str) -> More:
        """Make carriers with a text, and give which they are."""
        generation, most = secrets.token_hex(4), room(())
        parts = [text[start : start + most] for start in range(0, len(text), most)]
        aggregate = self._pool.aggregates()[0].name
        for index, part in enumerate(parts):
            name = self._pool.names.carrier(key, generation, index)
            self._cluster.make_volume(bare(name, aggregate) | {"_tags": to_tags(part)})
        return More(generation, len(parts))

    def drop(self, carriers: Iterable[FlexVol], keep: More | None = None) -> None:
        """Remove carriers but those that are to be kept."""
        for carrier in carriers:
            named = self._pool.names.read(carrier.name)
            if named is not None and (keep is None or named.generation != keep.generation):
                self._cluster.remove_volume(carrier)

    def of(self, key: UUID) -> tuple[FlexVol, ...]:
        """Give the carriers of what has an id."""
        return self._pool.family(key).carriers


def bare(name: str, aggregate: str) -> dict[str, object]:
    """Describe a volume that holds nothing: nobody reaches it, no snapshots are taken of it."""
    return {
        "name": name,
        "aggregates": [{"name": aggregate}],
        "size": SIZE_MIN,
        "guarantee": {"type": "none"},
        "snapshot_policy": {"name": "none"},
        "comment": "volume-gateway: part of a description",
    }
