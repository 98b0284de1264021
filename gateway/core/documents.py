"""Use cases of documents: what a door keeps that belongs to no volume. They touch no substrate.

Like tenants and policies they are copied into the pools, so a rebuilt catalog has them; `passing` ones are not.
"""

from __future__ import annotations

from collections.abc import Callable
from uuid import uuid4

import msgspec

from gateway.core import errors
from gateway.core.catalog import drop, put, walk
from gateway.core.context import Core
from gateway.core.model import Document, utc_now
from gateway.core.query import Compare, Op, Order, Query
from gateway.core.volumes import check_name

_RETRIES = 10


async def named(core: Core, kind: str, name: str) -> Document | None:
    """Give a document, None when there is none."""
    return await core.find(Document, kind=kind, name=name)


async def all_of(core: Core, kind: str) -> list[Document]:
    """Give every document of a kind, by name."""
    query = Query(where=Compare("kind", Op.EQ, kind), order=(Order("name"),))
    return [document async for document in walk(core.catalog, Document, query)]


async def create(core: Core, kind: str, name: str, body: str, *, passing: bool = False) -> Document:
    """Keep a new document. AlreadyExists for its name."""
    document = drawn_up(kind, name, body, passing=passing)
    stored = await core.catalog.commit(put(document))
    await _copy(core, document)
    return stored[document.id]  # type: ignore[return-value]


def drawn_up(kind: str, name: str, body: str, *, passing: bool = False) -> Document:
    """Give a new document for whoever commits it together with others."""
    check_name("name", name)
    return Document(id=uuid4(), kind=kind, name=name, created=utc_now(), body=body, passing=passing)


async def replace(core: Core, document: Document, body: str, *, name: str | None = None) -> None:
    """Give a document another body and, where given, name. StaleRevision when it has changed since it was read.

    AlreadyExists for the name.
    """
    if name is not None:
        check_name("name", name)
    wanted = document.name if name is None else name
    await core.catalog.commit(put(msgspec.structs.replace(document, name=wanted, body=body)))
    await _copy(core, document)


async def put_named(core: Core, kind: str, name: str, body: str, *, passing: bool = False) -> None:
    """Keep a document whether there is one of that name or not; the last writer wins."""
    for _ in range(_RETRIES):
        present = await named(core, kind, name)
        try:
            if present is None:
                await create(core, kind, name, body, passing=passing)
            else:
                await replace(core, present, body)
        except (errors.AlreadyExists, errors.StaleRevision):
            continue
        return
    raise errors.Busy(what=f"{kind} {name}", retry_after=1)


async def rewrite(core: Core, kind: str, name: str, change: Callable[[Document], str | None], *, what: str) -> None:
    """Give a document the body that `change` makes of it as it is; None leaves it, and so does one that is gone.

    A race with somebody else reads again; Busy, about `what`, when that does not end.
    """
    for _ in range(_RETRIES):
        present = await named(core, kind, name)
        body = None if present is None else change(present)
        if present is None or body is None:
            return
        try:
            await replace(core, present, body)
        except errors.StaleRevision:
            continue
        return
    raise errors.Busy(what=what, retry_after=1)


async def delete(core: Core, kind: str, name: str) -> bool:
    """Forget a document; False when there was none."""
    for _ in range(_RETRIES):
        present = await named(core, kind, name)
        if present is None:
            return False
        try:
            await core.catalog.commit(drop(present))
        except errors.StaleRevision:
            continue
        await _copy(core, present)
        return True
    raise errors.Busy(what=f"{kind} {name}", retry_after=1)


async def delete_each(core: Core, kind: str, doomed: Callable[[Document], bool]) -> None:
    """Forget the documents of a kind that `doomed` says so of."""
    for document in await all_of(core, kind):
        if doomed(document):
            await delete(core, kind, document.name)


async def _copy(core: Core, document: Document) -> None:
    """Bring the pools' copies up to date."""
    if not document.passing:
        await core.manifest.write()
