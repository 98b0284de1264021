from __future__ import annotations

from gateway.client.flows import Flow, Listing, find
from gateway.client.records import Pool

_PATH = "/api/storage/aggregates"
_FIELDS = "uuid,name,state,space.block_storage.size,space.block_storage.used,space.block_storage.available"


def every() -> Listing[Pool]:
    """Ask for every pool."""
    return Listing(path=_PATH, kind=Pool, query=(("fields", _FIELDS),))


def show(name: str) -> Flow[Pool]:
    """Give a pool by name."""
    return find(every(), kind="pool", name=name, named=lambda pool: pool.name)
