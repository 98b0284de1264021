"""What every way of writing shares: checks before a create, the change of one found record, and what a create made."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import msgspec

from gateway.core.change import Started
from gateway.core.model import Job
from gateway.frontends.ontap_rest import reading
from gateway.frontends.ontap_rest.ask import Ask
from gateway.frontends.ontap_rest.body import Values, confirm, require_fields
from gateway.frontends.ontap_rest.endpoint import Endpoint, Keyed, Made, Placed
from gateway.frontends.ontap_rest.errors import no_verb
from gateway.frontends.ontap_rest.options import refuse_unserved
from gateway.frontends.ontap_rest.reading import Found
from gateway.frontends.ontap_rest.schema import Verb
from gateway.frontends.ontap_rest.sources import CatalogSource, Rendered
from gateway.frontends.ontap_rest.tunnel import check_own


def precheck(endpoint: Endpoint, ask: Ask, values: Values) -> None:
    """Refuse what the resource refuses before any record is looked for."""
    refuse_unserved(endpoint.resource.name, ask.verb, ask.parameters)
    if endpoint.precheck is not None:
        endpoint.precheck(ask, values)


def check_new(endpoint: Endpoint, ask: Ask, values: Values) -> None:
    """Refuse a POST that lacks something obligatory or asks for what the door does not carry out."""
    if endpoint.create is None:
        raise no_verb()
    resource = endpoint.resource
    if ask.tenant is not None and "svm.name" in resource.fields:
        require_fields(resource, {"svm.name": ask.tenant.name, **values})
    else:
        require_fields(resource, values)
    confirm(resource, ask.verb, values)


async def create(endpoint: Endpoint, ask: Ask, values: Values) -> Made:
    """Start a POST that `check_new` let pass."""
    if endpoint.create is None:
        raise no_verb()
    return await endpoint.create(ask, values)


async def change(endpoint: Endpoint, ask: Ask, found: Found, values: Values) -> Made:
    """Start a PATCH or DELETE of one record."""
    record, rendered = found
    check_own(ask, record)
    if ask.verb is Verb.PATCH and endpoint.modify is not None:
        confirm(endpoint.resource, ask.verb, values, rendered)
        return await endpoint.modify(ask, record, values)
    if ask.verb is Verb.DELETE and endpoint.delete is not None:
        return await endpoint.delete(ask, record)
    raise no_verb()


async def made_record(endpoint: Endpoint, ask: Ask, made: Made) -> Rendered | None:
    """Render what a POST made or is making; None when it is gone already."""
    source = endpoint.source
    # There is no record of what is placed before the change is done.
    if isinstance(made, Placed) and (await made.change.wait()).error is not None:
        return None
    if isinstance(made, Keyed | Placed):
        keyed = msgspec.structs.replace(ask, keys=(*ask.keys, *made.keys))
        told = made.told if isinstance(made, Keyed) else {}
        return _with((await reading.read_one(endpoint.resource, source, keyed))[1], told)
    if not isinstance(source, CatalogSource):
        return await _listed(endpoint, ask, made)
    record: Any = made.job if isinstance(made, Started) else made
    if isinstance(record, Job):
        target: UUID | None = record.target_id
        record = await ask.core.catalog.get(source.kind, target) if target else None
    rendered = await source.render(ask, [record]) if record is not None else []
    return rendered[0][1] if rendered else None


async def _listed(endpoint: Endpoint, ask: Ask, made: Made) -> Rendered | None:
    """Render what was made and recorded as a job, of a resource that is not in the catalog under its own kind."""
    if not isinstance(made, Job) or made.target_id is None:
        return None
    keyed = msgspec.structs.replace(ask, keys=(*ask.keys, str(made.target_id)))
    return (await reading.read_one(endpoint.resource, endpoint.source, keyed))[1]


def _with(rendered: Rendered, told: Rendered) -> Rendered:
    """Give a record with more in it."""
    both = {name for name in told if isinstance(told[name], dict) and isinstance(rendered.get(name), dict)}
    return {**rendered, **told, **{name: _with(rendered[name], told[name]) for name in both}}
