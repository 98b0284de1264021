"""Carries out a decoded request: reads through `reading`, writes through the endpoint's writers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import msgspec

from gateway.core import errors
from gateway.core.change import Started
from gateway.core.door import Trace
from gateway.core.model import ExportRule, Job
from gateway.frontends.ontap_rest import reading
from gateway.frontends.ontap_rest.answer import Answer
from gateway.frontends.ontap_rest.ask import Ask
from gateway.frontends.ontap_rest.body import Body, Values, confirm, decode, require_fields
from gateway.frontends.ontap_rest.encode import (
    accepted,
    accepted_many,
    collection,
    dumps,
    next_href,
    record_href,
    with_links,
)
from gateway.frontends.ontap_rest.endpoints import Endpoint, Made, Route
from gateway.frontends.ontap_rest.errors import WireError, encode_error, no_verb
from gateway.frontends.ontap_rest.projection import Projection, Projections
from gateway.frontends.ontap_rest.reading import Found, Selection
from gateway.frontends.ontap_rest.schema import Resource, Verb
from gateway.frontends.ontap_rest.sources import CatalogSource, Rendered
from gateway.frontends.ontap_rest.tree import TRUE, AllOf

_BULK_TIMEOUT_S = 15


class Server:
    """Answers asks. Holds nothing but the compiled projections."""

    def __init__(self, projections: Projections) -> None:
        self._projections = projections

    # --- reading ---

    async def get(self, route: Route, ask: Ask) -> Answer:
        """Answer a GET of a record or a collection."""
        endpoint = route.endpoint
        self._projection(endpoint.resource, ask, instance=route.instance)  # refuses unknown fields
        if route.instance:
            _, rendered = await reading.read_one(endpoint.resource, endpoint.source, ask)
            shown = self._shown(endpoint.resource, ask, rendered, instance=True)
            return Answer(status=200, body=self._dump(ask, shown))
        href = f"{ask.path}?{ask.raw_query}" if ask.raw_query else ask.path
        if ask.parameters.return_records is False:
            number = await reading.count(endpoint.resource, endpoint.source, ask)
            return Answer(status=200, body=self._dump(ask, collection(None, count=number, href=href, links=ask.hal)))
        page = await reading.read_page(endpoint.resource, endpoint.source, ask)
        following = self._following(endpoint.resource, ask, page)
        shown_records = [self._shown(endpoint.resource, ask, rendered) for _, rendered in page.found]
        body = collection(shown_records, count=len(shown_records), href=href, links=ask.hal, following=following)
        headers = {"Link": f'<{following}>; rel="next"'} if following else {}
        return Answer(status=200, body=self._dump(ask, body), headers=headers)

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
        return next_href(ask.path, ask.raw_query, key=resource.keys[-1], cursor=page.cursor)

    def _dump(self, ask: Ask, body: object) -> bytes:
        return dumps(body, pretty=ask.parameters.pretty)

    # --- writing ---

    async def write(self, route: Route, ask: Ask, raw: bytes, trace: Trace) -> Answer:
        """Answer a POST, PATCH or DELETE of a record, of a batch, or of all that a query selects."""
        endpoint = route.endpoint
        trace.target, trace.outcome = ask.path, "accepted"
        trace.operation = f"{endpoint.resource.name}.{ask.verb.value.lower()}"
        body = decode(endpoint.resource, ask.verb, raw)
        trace.operation = endpoint.operation(ask, body.values)
        if endpoint.precheck is not None:
            endpoint.precheck(ask, body.values)
        if body.records is not None:
            raise WireError(400, "262200", message='A batch of "records" is not supported here', target="records")
        if ask.verb is Verb.POST:
            return await self._create(endpoint, ask, body.values, trace)
        if route.instance:
            return await self._change(endpoint, ask, body.values, trace)
        return await self._bulk(endpoint, ask, body, trace)

    async def _create(self, endpoint: Endpoint, ask: Ask, values: Values, trace: Trace) -> Answer:
        if endpoint.create is None:
            raise no_verb()
        resource = endpoint.resource
        if ask.tenant is not None and "svm.name" in resource.fields:
            require_fields(resource, {"svm.name": ask.tenant.name, **values})
        else:
            require_fields(resource, values)
        confirm(resource, ask.verb, values)
        made = await endpoint.create(ask, values)
        job = await self._job(made, ask, trace)
        rendered = await self._made(endpoint, ask, made, job)
        headers = {"Location": record_href(resource, rendered)} if rendered else {}
        records = None
        if ask.parameters.return_records and rendered:
            records = [self._shown(resource, ask, rendered, instance=True)]
        if job is not None:
            return self._job_answer(ask, job, records, headers=headers, trace=trace)
        trace.outcome = "success"
        made_body: dict[str, object] = {} if records is None else {"num_records": len(records), "records": records}
        return Answer(status=201, body=self._dump(ask, made_body), headers=headers)

    async def _change(self, endpoint: Endpoint, ask: Ask, values: Values, trace: Trace) -> Answer:
        found = await reading.read_one(endpoint.resource, endpoint.source, ask)
        made = await self._apply(endpoint, ask, found, values)
        job = await self._job(made, ask, trace)
        if job is not None:
            return self._job_answer(ask, job, None, headers={}, trace=trace)
        trace.outcome = "success"
        return Answer(status=200, body=self._dump(ask, {}))

    async def _apply(self, endpoint: Endpoint, ask: Ask, found: Found, values: Values) -> Made:
        record, rendered = found
        if ask.verb is Verb.PATCH and endpoint.modify is not None:
            confirm(endpoint.resource, ask.verb, values, rendered)
            return await endpoint.modify(ask, record, values)
        if ask.verb is Verb.DELETE and endpoint.delete is not None:
            return await endpoint.delete(ask, record)
        raise no_verb()

    async def _bulk(self, endpoint: Endpoint, ask: Ask, body: Body, trace: Trace) -> Answer:
        """Change all that a query selects. Without a query this would be everything there is, so it is refused."""
        if ask.parameters.where in (TRUE, AllOf(())) and not ask.parameters.cursor:
            raise WireError(
                400, "262194", message="A PATCH or DELETE of a collection needs a query that says which records"
            )
        page = await reading.read_page(endpoint.resource, endpoint.source, ask)
        started: list[Made] = []
        failure: errors.GatewayError | WireError | None = None
        for found in page.found:
            try:
                started.append(await self._apply(endpoint, ask, found, body.values))
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

    async def _job(self, made: Made, ask: Ask, trace: Trace, *, default_s: int = 0) -> Job | None:
        """Give the job of a change, after waiting for its end as long as the client wants to."""
        if isinstance(made, Started):
            wanted = ask.parameters.return_timeout
            patience = default_s if wanted is None else wanted
            job = await made.wait(patience) if patience else made.job
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

    async def _made(self, endpoint: Endpoint, ask: Ask, made: Made, job: Job | None) -> Rendered | None:
        """Render what a POST made, for `Location` and `return_records`; None when it is gone already."""
        source = endpoint.source
        if isinstance(made, ExportRule):
            keyed = msgspec.structs.replace(ask, keys=(*ask.keys, str(made.index)))
            return (await reading.read_one(endpoint.resource, source, keyed))[1]
        if not isinstance(source, CatalogSource):
            return None
        record: Any = made
        if job is not None:
            target: UUID | None = job.target_id
            record = await ask.core.catalog.get(source.kind, target) if target else None
        rendered = await source.render(ask.core, [record]) if record is not None else []
        return rendered[0][1] if rendered else None
