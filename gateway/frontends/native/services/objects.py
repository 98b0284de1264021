"""Single objects: which there are, and signed requests for them, which clients make at the store themselves."""

from __future__ import annotations

from msgspec import UNSET

from gateway.core import objects
from gateway.core.backend import SignRequest
from gateway.frontends.native import model
from gateway.frontends.native.ask import Ask
from gateway.frontends.native.bodies import Nothing, ObjectsWanted, Signing
from gateway.frontends.native.lookup import asked_volume, snapshot_of


async def enumerate_(ask: Ask[ObjectsWanted, Nothing]) -> model.Objects:
    """Give a page of the objects of a volume, or of one of its snapshots, in order of their keys."""
    volume, wanted = await asked_volume(ask), ask.query
    if wanted.snapshot is not UNSET:
        await snapshot_of(ask.core, wanted.snapshot)
    found = await objects.page(
        ask.core,
        volume.id,
        snapshot_id=None if wanted.snapshot is UNSET else wanted.snapshot,
        prefix=wanted.prefix,
        after=wanted.after,
        limit=wanted.limit,
    )
    records = tuple(
        model.Object(key=each.key, size=each.size, etag=each.etag, modified=each.modified) for each in found.records
    )
    return model.Objects(records=records, next=found.after)


async def sign(ask: Ask[Nothing, Signing]) -> model.SignedRequest:
    """Sign a request for one object, which whoever holds it may make for a while."""
    volume, wanted = await asked_volume(ask), ask.body
    if wanted.snapshot is not None:
        await snapshot_of(ask.core, wanted.snapshot)
    request = SignRequest(
        action=wanted.action,
        key=wanted.key,
        expires_s=wanted.expires_s,
        size=wanted.size,
        content_type=wanted.content_type,
        upload=wanted.upload,
        part=wanted.part,
    )
    signed = await objects.sign(ask.core, volume.id, request, snapshot_id=wanted.snapshot)
    return model.SignedRequest(
        method=signed.method, url=signed.url, headers=dict(signed.headers), expires=signed.expires
    )
