"""Batches: POST, PATCH or DELETE of a collection with `{"records": [...]}`, carried out as one job.

What can be said without looking at any record is said at once; everything
else is in the job and behind its `results` link.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar
from urllib.parse import unquote
from uuid import UUID

import msgspec

from gateway.core import batches, errors, jobs
from gateway.core.batches import Done, Refused, Step
from gateway.core.change import Started
from gateway.core.model import Job, PartState
from gateway.core.query import Op
from gateway.frontends.ontap_rest import reading, writing
from gateway.frontends.ontap_rest.ask import Ask
from gateway.frontends.ontap_rest.body import Values
from gateway.frontends.ontap_rest.encode import quote
from gateway.frontends.ontap_rest.endpoint import Endpoint, Made, Placed
from gateway.frontends.ontap_rest.errors import (
    WireError,
    missing_value,
    no_entry,
    no_verb,
    shorten,
    to_record,
)
from gateway.frontends.ontap_rest.query import Parameters
from gateway.frontends.ontap_rest.reading import Found
from gateway.frontends.ontap_rest.schema import Resource, Verb
from gateway.frontends.ontap_rest.sources import Rendered, own_job
from gateway.frontends.ontap_rest.tree import AllOf, Compare, values_at

T = TypeVar("T")
_PARENT = ("svm.name", "svm.uuid")
_SHOWN = (*_PARENT, "uuid", "id", "index", "name")
_AT_ONCE = 20


async def start(endpoint: Endpoint, ask: Ask, records: Sequence[Values]) -> Started:
    """Start a batch; WireError for what is wrong with a record as it was sent."""
    if not records:
        raise missing_value("records")
    offered = {Verb.POST: endpoint.create, Verb.PATCH: endpoint.modify, Verb.DELETE: endpoint.delete}
    if offered[ask.verb] is None:
        raise no_verb()
    return await batches.start(
        ask.core,
        [_step(endpoint, ask, values, place) for place, values in enumerate(records, start=1)],
        description=ask.description,
        atomic=ask.verb is not Verb.DELETE and not ask.parameters.continue_on_failure,
        serial=ask.parameters.serial_records,
        tenant_id=ask.tenant.id if ask.tenant else None,
    )


async def results(endpoint: Endpoint, ask: Ask, job_id: UUID) -> tuple[Job, Sequence[Found]]:
    """Give a batch's job and those of its records that were made or changed and still exist."""
    job = await ask.core.catalog.get(Job, job_id)
    if job is None or not job.parts or not own_job(ask, job):
        raise no_entry("job_results_uuid")
    if job.description.partition(" ")[2] != ask.path:
        message = f"Job {job_id} was not started by this API"
        raise WireError(400, "262294", message=message, target="job_results_uuid")
    if job.state not in jobs.FINAL:
        raise WireError(400, "262293", message=f"Job {job_id} is still running", target="job_results_uuid")
    found: list[Found] = []
    for place, part in enumerate(job.parts, start=1):
        if part.state is PartState.SUCCESS:
            try:
                found.append(await reading.read_one(endpoint.resource, endpoint.source, _keyed(ask, part.ref)))
            except (errors.NotFound, WireError):
                continue
        if place % _AT_ONCE == 0:
            await asyncio.sleep(0)
    return job, found


def _step(endpoint: Endpoint, ask: Ask, values: Values, place: int) -> Step:
    writing.precheck(endpoint, ask, values)
    operation = endpoint.operation(ask, values)
    name = _label(values, place)
    if ask.verb is Verb.POST:
        writing.check_new(endpoint, ask, values)
        return Step(operation=operation, name=name, run=_told(lambda: _create(endpoint, ask, values)))
    identity, rest = _divided(endpoint.resource, ask, values)
    if ask.verb is Verb.PATCH:
        return Step(operation=operation, name=name, run=_told(lambda: _modify(endpoint, ask, identity, rest)))
    return Step(operation=operation, name=name, run=_told(lambda: _delete(endpoint, ask, identity)))


async def _create(endpoint: Endpoint, ask: Ask, values: Values) -> Done:
    made = await writing.create(endpoint, ask, values)
    await _settled(made)
    rendered = await writing.made_record(endpoint, ask, made)
    if rendered is None:
        raise no_entry()
    key = _key(endpoint.resource, ask, rendered)

    async def undo() -> None:
        record, _ = await reading.read_one(endpoint.resource, endpoint.source, _keyed(ask, key))
        if endpoint.unmake is not None:
            await _settled(await endpoint.unmake(ask, record, values))
        elif endpoint.delete is not None:
            await _settled(await endpoint.delete(ask, record))

    return Done(ref=key, undo=_told(undo))


async def _modify(endpoint: Endpoint, ask: Ask, identity: Values, values: Values) -> Done:
    found = await _located(endpoint, ask, identity)
    key = _key(endpoint.resource, ask, found[1])
    at = _keyed(ask, key)
    await _settled(await writing.change(endpoint, at, found, values))
    after, _ = await reading.read_one(endpoint.resource, endpoint.source, at)

    async def undo() -> None:
        if endpoint.put_back is not None:
            await _settled(await endpoint.put_back(at, found[0], after))

    return Done(ref=key, undo=_told(undo))


async def _delete(endpoint: Endpoint, ask: Ask, identity: Values) -> Done:
    found = await _located(endpoint, ask, identity)
    key = _key(endpoint.resource, ask, found[1])
    await _settled(await writing.change(endpoint, _keyed(ask, key), found, {}))
    return Done(ref=key)


def _divided(resource: Resource, ask: Ask, values: Values) -> tuple[Values, Values]:
    """Divide a record into what says which one is meant, by its keys or else by name, and the rest."""
    own = resource.keys[len(ask.keys) :]
    named = ("name", own[-1], *_PARENT)
    by = own if all(values.get(key) is not None for key in own) else named
    identity = {path: values[path] for path in by if values.get(path) is not None}
    if not identity.keys() & {own[-1], "name"}:
        raise missing_value(own[-1])
    dropped = {*identity, *resource.keys, *_PARENT}
    return identity, {path: value for path, value in values.items() if path not in dropped}


async def _located(endpoint: Endpoint, ask: Ask, identity: Values) -> Found:
    resource = endpoint.resource
    own = resource.keys[len(ask.keys) :]
    if identity.keys() >= set(own):
        key = "/".join(quote(identity[path]) for path in own)
        return await reading.read_one(resource, endpoint.source, _keyed(ask, key))
    where = AllOf(tuple(Compare(path, Op.EQ, str(value)) for path, value in identity.items()))
    searching = msgspec.structs.replace(ask, parameters=Parameters(where=where, max_records=2))
    found = (await reading.read_page(resource, endpoint.source, searching)).found
    if not found:
        raise no_entry("name")
    if len(found) > 1:
        called = shorten(str(identity.get("name", identity.get(own[-1]))))
        message = f'More than one record is called "{called}"; name its SVM or its key'
        raise WireError(400, "262186", message=message, target="name")
    return found[0]


def _keyed(ask: Ask, key: str) -> Ask:
    return msgspec.structs.replace(ask, keys=(*ask.keys, *map(unquote, key.split("/"))), path=f"{ask.path}/{key}")


def _key(resource: Resource, ask: Ask, rendered: Rendered) -> str:
    """Give how a record's path goes on behind the collection's."""
    own = resource.keys[len(ask.keys) :]
    return "/".join(quote(next(values_at(rendered, tuple(path.split("."))))) for path in own)


def _label(values: Values, place: int) -> str:
    shown = [f"{path}: {shorten(str(values[path]))}" for path in _SHOWN if values.get(path) is not None]
    return ", ".join(shown) or f"record {place}"


async def _settled(made: Made) -> None:
    made = made.change if isinstance(made, Placed) else made
    if isinstance(made, Started):
        await made.result()


def _told(work: Callable[[], Awaitable[T]]) -> Callable[[], Awaitable[T]]:
    """Let the dialect's own errors pass through the core."""

    async def telling() -> T:
        try:
            return await work()
        except WireError as error:
            raise Refused(to_record(error)) from None

    return telling
