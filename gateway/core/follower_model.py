"""What gateways elsewhere follow of the volumes here, as it is kept in documents."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

import msgspec

from gateway.core.catalog import walk
from gateway.core.model import Document, Snapshot
from gateway.core.query import And, Compare, Op, Order, Query

if TYPE_CHECKING:
    from gateway.core.context import Core

FOLLOWER = "peer.follower"
"""The kind of the documents that are followers; they are called as `name_of` says."""

KEPT = "peer.kept"
"""The kind of the documents that hold what a follower needs, under its name. They pass: see `kept_for_followers`."""


class Follower(msgspec.Struct, frozen=True, kw_only=True):
    """A replication at a peer whose source is a volume of this gateway.

    `id` is the replication's. `reader_id` is the tenant there that it belongs
    to; `tenant` and `volume` are the names of its destination as last known.
    """

    id: UUID
    peer_id: UUID
    volume_id: UUID
    reader_id: UUID
    tenant: str
    volume: str
    created: datetime


def name_of(volume_id: UUID, follower_id: UUID) -> str:
    """Give what the documents of a follower are called, so that those of a volume are found without the others."""
    return f"{volume_id}.{follower_id}"


async def followers_of(core: Core, volume_id: UUID) -> list[Follower]:
    """Give the followers of a volume."""
    return [read(document) for document in await _documents(core, FOLLOWER, volume_id)]


async def all_followers(core: Core) -> list[Follower]:
    """Give the followers of every volume."""
    query = Query(where=Compare("kind", Op.EQ, FOLLOWER), order=(Order("name"),))
    return [read(document) async for document in walk(core.catalog, Document, query)]


async def kept_for_followers(core: Core, volume_id: UUID) -> frozenset[UUID]:
    """Give the ids of a volume's snapshots that its followers need.

    While one has not said what that is, as after a rebuild, all that there are.
    """
    followers = await followers_of(core, volume_id)
    if not followers:
        return frozenset()
    kept = {document.name: document for document in await _documents(core, KEPT, volume_id)}
    if any(name_of(volume_id, follower.id) not in kept for follower in followers):
        query = Query(where=Compare("volume.id", Op.EQ, volume_id), order=(Order("created"),))
        return frozenset([snapshot.id async for snapshot in walk(core.catalog, Snapshot, query)])
    return frozenset(key for document in kept.values() for key in read_kept(document))


def read(document: Document) -> Follower:
    """Give the follower that a document holds."""
    return msgspec.json.decode(document.body, type=Follower)


def read_kept(document: Document) -> frozenset[UUID]:
    """Give the ids of snapshots that a document holds."""
    return msgspec.json.decode(document.body, type=frozenset[UUID])


async def _documents(core: Core, kind: str, volume_id: UUID) -> list[Document]:
    ours = And((Compare("name", Op.GE, f"{volume_id}."), Compare("name", Op.LT, f"{volume_id}/")))
    query = Query(where=And((Compare("kind", Op.EQ, kind), ours)), order=(Order("name"),))
    return [document async for document in walk(core.catalog, Document, query)]
