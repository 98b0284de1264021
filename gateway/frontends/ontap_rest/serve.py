"""Carries out a decoded request: reads through `reading`, writes through the endpoint's writers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from uuid import UUID

import msgspec

from gateway.core import errors
from gateway.core.change import Started
from gateway.core.door import Trace
from gateway.core.model import Job
from gateway.frontends.memory import Memory
from gateway.frontends.ontap_rest import batch, reading, writing
from gateway.frontends.ontap_rest.answer import Answer
from gateway.frontends.ontap_rest.ask import Ask
from gateway.frontends.ontap_rest.body import Body, Values, decode
from gateway.frontends.ontap_rest.encode import (
    accepted,
    accepted_many,
    collection,
    compact,
    dumps,
    items_text,
    next_href,
    page_text,
    quote,
    record_href,
    results_href,
    with_links,
)
from gateway.frontends.ontap_rest.endpoint import Endpoint, Keyed, Made, Placed, Route
from gateway.frontends.ontap_rest.errors import JsonObject, WireError, encode_error, no_entry, unexpected
from gateway.frontends.ontap_rest.options import refuse_unserved
from gateway.frontends.ontap_rest.projection import Projection, Projections
from gateway.frontends.ontap_rest.reading import Selection
from gateway.frontends.ontap_rest.render.batches import batch_error, part_errors
from gateway.frontends.ontap_rest.rights import check_body
from gateway.frontends.ontap_rest.schema import Resource, Verb
from gateway.frontends.ontap_rest.sources import Item, Rendered
from gateway.frontends.ontap_rest.tree import predicate
from gateway.frontends.ontap_rest.tunnel import check_tunnel

_BULK_TIMEOUT_S = 15
_MOMENT_S = 0.2
_WHOLE_BYTES = 1024 * 1024


class Server:
    """Answers asks. Holds nothing but the compiled projections, and the texts of records as they were last shown."""

    def __init__(self, projections: Projections, texts: Memory[msgspec.Raw]) -> None:
        self._projections = projections
        self._texts = texts

    # --- reading ---

    async def get(self, route: Route, ask: Ask) -> Answer:
        """Answer a GET of a record or a collection."""
        endpoint = route.endpoint
        refuse_unserved(endpoint.resource.name, ask.verb, ask.parameters)
        whole = route.single or ask.parameters.options.get("return_metadata") is True
        self._projection(endpoint.resource, ask, instance=whole)  # refuses unknown fields
        if route.single:
            item = await reading.read_item(endpoint.resource, endpoint.source, ask)
            return Answer(status=200, body=self._dump(ask, self._text(endpoint.resource, ask, item, instance=True)))
        if ask.parameters.job_results is not None:
            return await self._results(endpoint, ask, ask.parameters.job_results)
        href = f"{ask.path}?{ask.raw_query}" if ask.raw_query else ask.path
        if ask.parameters.return_records is False:
            number = await reading.count(endpoint.resource, endpoint.source, ask)
            return Answer(status=200, body=self._dump(ask, collection(None, count=number, href=href, links=ask.hal)))
        page = await reading.read_page(endpoint.resource, endpoint.source, ask)
        following = self._following(endpoint.resource, ask, page)
        envelope = collection([], count=len(page.items), href=href, links=ask.hal, following=following)
        headers = {"Link": f'<{following}>; rel="next"'} if following else {}
        pieces = await self._page(endpoint.resource, ask, page.items, envelope, whole=whole)
        if sum(map(len, pieces)) > _WHOLE_BYTES:
            return Answer(status=200, parts=pieces, headers=headers)
        return Answer(status=200, body=b"".join(pieces), headers=headers)

    async def _page(
        self, resource: Resource, ask: Ask, items: Sequence[Item], envelope: JsonObject, *, whole: bool
    ) -> list[bytes]:
        """Encode in slices, so that a large page holds the loop for no longer than one slice."""
        if not items:
            return [self._dump(ask, envelope)]
        slices: list[bytes] = []
        for start in range(0, len(items), reading.AT_ONCE):
            part = items[start : start + reading.AT_ONCE]
            texts = [self._text(resource, ask, item, instance=whole) for item in part]
            slices.append(items_text(texts, pretty=ask.parameters.pretty))
            if len(items) > reading.AT_ONCE:
                await asyncio.sleep(0)
        return page_text(slices, envelope, pretty=ask.parameters.pretty)

    def _text(self, resource: Resource, ask: Ask, item: Item, *, instance: bool) -> msgspec.Raw:
        projection = self._projection(resource, ask, instance=instance)
        key = None if item.stamp is None else (item.stamp, projection, ask.hal)
        text = None if key is None else self._texts.get(key)
        if text is None:
            text = compact(self._shown(resource, ask, item.render(), instance=instance))
            if key is not None:
                self._texts.put(key, text, len(memoryview(text)))
        return text

    def _projection(self, resource: Resource, ask: Ask, *, instance: bool) -> Projection:
        parameters = ask.parameters
        return self._projections.get(
            resource,
            parameters.fields,
            queried=parameters.queried,
            instance=instance,
            ignore_unknown=parameters.ignore_unknown_fields,
        )

    def _shown(self, resource: Resource, ask: Ask, rendered: Rendered, *, instance: bool = False) -> dict[str, object]:
        pruned = self._projection(resource, ask, instance=instance).prune(rendered)
        return with_links(resource, pruned, record_href(resource, rendered)) if ask.hal else pruned

    def _following(self, resource: Resource, ask: Ask, page: Selection) -> str:
        if page.cursor is None:
            return ""
        return next_href(
            ask.path, ask.raw_query, key=resource.keys[-1] if resource.keys else "record", cursor=page.cursor
        )

    def _dump(self, ask: Ask, body: object) -> bytes:
        return dumps(body, pretty=ask.parameters.pretty)

    # --- writing ---

    async def write(self, route: Route, ask: Ask, raw: bytes, trace: Trace) -> Answer:
        """Answer a POST, PATCH or DELETE of a record, of a batch, or of all that a query selects."""
        endpoint = route.endpoint
        trace.target, trace.outcome = ask.path, "accepted"
        trace.operation = f"{endpoint.resource.name}.{ask.verb.value.lower()}"
        body = decode(endpoint.resource, ask.verb, raw)
        if body.records is not None:
            # Of what cannot be read nobody could be told what became of it.
            if route.instance or not endpoint.readable:
                raise unexpected("records")
            for values in body.records:
                await check_body(ask, endpoint.resource, endpoint.operation(ask, values), values=values)
                check_tunnel(ask, values)
            return await self._batch(endpoint, ask, body.records, trace)
        trace.operation = endpoint.operation(ask, body.values)
        await check_body(ask, endpoint.resource, trace.operation, values=body.values)
        check_tunnel(ask, body.values)
        writing.precheck(endpoint, ask, body.values)
        if ask.verb is Verb.POST:
            return await self._create(endpoint, ask, body.values, trace)
        if route.instance:
            return await self._change(endpoint, ask, body.values, trace)
        return await self._bulk(endpoint, ask, body, trace)

    async def _create(self, endpoint: Endpoint, ask: Ask, values: Values, trace: Trace) -> Answer:
        resource = endpoint.resource
        writing.check_new(endpoint, ask, values)
        made = await writing.create(endpoint, ask, values)
        job = await self._job(made, ask, trace)
        if job is not None and not ask.parameters.return_records:
            # The core minted the key, so the way to the record is known without looking at it.
            keys = "/".join(map(quote, made.keys)) if isinstance(made, Placed) else job.target_id
            headers = {} if not endpoint.instances else {"Location": f"{ask.path}/{keys}"}
            return self._job_answer(ask, job, None, headers=headers, trace=trace)
        rendered = await writing.made_record(endpoint, ask, made)
        headers = {"Location": record_href(resource, rendered)} if rendered else {}
        records = None
        told = isinstance(made, Keyed) and bool(made.told)
        if (ask.parameters.return_records or told) and rendered:
            records = [self._shown(resource, ask, rendered, instance=True)]
        if job is not None:
            return self._job_answer(ask, job, records, headers=headers, trace=trace)
        trace.outcome = "success"
        made_body: dict[str, object] = {} if records is None else {"num_records": len(records), "records": records}
        return Answer(status=201, body=self._dump(ask, made_body), headers=headers)

    async def _change(self, endpoint: Endpoint, ask: Ask, values: Values, trace: Trace) -> Answer:
        found = await reading.read_one(endpoint.resource, endpoint.source, ask)
        # Who asks for what is in a directory by its name must not lose the directory.
        if ask.parameters.queried and not predicate(ask.parameters.where)(found[1]):
            raise no_entry(endpoint.resource.keys[-1] if endpoint.resource.keys else "uuid")
        made = await writing.change(endpoint, ask, found, values)
        job = await self._job(made, ask, trace)
        if job is not None:
            return self._job_answer(ask, job, None, headers={}, trace=trace)
        trace.outcome = "success"
        return Answer(status=200, body=self._dump(ask, {}))

    async def _bulk(self, endpoint: Endpoint, ask: Ask, body: Body, trace: Trace) -> Answer:
        """Change all that a query selects. Without a query this would be everything there is, so it is refused."""
        if not ask.parameters.selects:
            raise WireError(
                400, "262194", message="A PATCH or DELETE of a collection needs a query that says which records"
            )
        page = await reading.read_page(endpoint.resource, endpoint.source, ask)
        started: list[Made] = []
        failure: errors.GatewayError | WireError | None = None
        for found in page.found:
            try:
                started.append(await writing.change(endpoint, ask, found, body.values))
            except (errors.GatewayError, WireError) as error:
                failure = failure or error
                if not ask.parameters.continue_on_failure:
                    break
        jobs = [job for made in started if (job := await self._job(made, ask, trace, default_s=_BULK_TIMEOUT_S))]
        following = self._following(endpoint.resource, ask, page)
        href = f"{ask.path}?{ask.raw_query}"
        answer = accepted_many([job.id for job in jobs], href=href, links=ask.hal, following=following)
        if not jobs:
            answer |= {"num_records": len(started)}
        if failure is None:
            return Answer(status=200, body=self._dump(ask, answer))
        trace.outcome = type(failure).__name__
        status, refused = encode_error(failure, operation=trace.operation)
        return Answer(status=status, body=self._dump(ask, {**answer, **refused} if jobs else refused))

    async def _batch(self, endpoint: Endpoint, ask: Ask, records: Sequence[Values], trace: Trace) -> Answer:
        """Answer 202 with one job for all the records of a body."""
        trace.operation = f"{endpoint.resource.name}.batch"
        job = await self._job(await batch.start(endpoint, ask, records), ask, trace, at_once=True)
        if job is None:
            raise AssertionError
        headers = {"Location": results_href(ask.path, job.id)}
        body = accepted(job.id, results=headers["Location"])
        error = batch_error(job)
        if error is None:
            return Answer(status=202, body=self._dump(ask, body), headers=headers)
        return Answer(status=400, body=self._dump(ask, {**body, "error": error}))

    async def _results(self, endpoint: Endpoint, ask: Ask, job_id: UUID) -> Answer:
        """Answer what became of a batch: its records as they are now, and its errors."""
        job, found = await batch.results(endpoint, ask, job_id)
        shown = [self._shown(endpoint.resource, ask, rendered, instance=True) for _, rendered in found]
        envelope = collection(shown, count=len(shown), href=f"{ask.path}?{ask.raw_query}", links=ask.hal)
        return Answer(status=200, body=self._dump(ask, {**envelope, **part_errors(job)}))

    async def _job(
        self, made: Made, ask: Ask, trace: Trace, *, default_s: int = 0, at_once: bool = False
    ) -> Job | None:
        """Give the job of a change, after waiting for its end as long as the client wants to."""
        made = made.change if isinstance(made, Placed) else made
        if isinstance(made, Started):
            wanted = ask.parameters.return_timeout
            patience = default_s if wanted is None else wanted
            job = await made.wait(patience) if patience else await _begun(made, at_once=at_once or wanted is not None)
        elif isinstance(made, Job):
            job = made
        else:
            return None
        trace.job = str(job.id)
        if job.error is not None:
            trace.outcome = job.error.type
        return job

    def _job_answer(
        self, ask: Ask, job: Job, records: Sequence[object] | None, *, headers: dict[str, str], trace: Trace
    ) -> Answer:
        """Answer 202 with the job even when it is over: Cinder and Manila read `job` from nothing else.

        A change that failed while the client waited is an error at once.
        """
        body = accepted(job.id, records)
        if job.error is None:
            return Answer(status=202, body=self._dump(ask, body), headers=headers)
        status, refused = encode_error(errors.from_record(job.error), operation=trace.operation)
        return Answer(status=status, body=self._dump(ask, {**body, **refused}))


async def _begun(made: Started, *, at_once: bool) -> Job:
    """Give the job as it is when it begins.

    What is done in a moment is done before the answer, unless that shall come
    `at_once`: clients look after their jobs when it comes, and then not before
    several seconds have passed.
    """
    begun = made.job
    if not at_once:
        await made.wait(_MOMENT_S)
    return begun
