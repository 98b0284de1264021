"""The part of the route table that is about several volumes at once: consistency groups and their snapshots."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.frontends.ontap_rest.ask import Ask
from gateway.frontends.ontap_rest.body import Values
from gateway.frontends.ontap_rest.consistency import ConsistencyGroups, GroupSnapshots
from gateway.frontends.ontap_rest.endpoint import Create, Endpoint, Made, named
from gateway.frontends.ontap_rest.errors import no_entry
from gateway.frontends.ontap_rest.schema import Schema
from gateway.frontends.ontap_rest.sources import EVERY
from gateway.frontends.ontap_rest.writes import consistency as write


def group_endpoints(schema: Schema) -> Mapping[str, Endpoint]:
    """Give every endpoint by its collection's path."""
    groups = ConsistencyGroups()
    return {
        "application/consistency-groups": Endpoint(
            resource=schema["consistency_group"],
            source=groups,
            operation=named("consistency_group"),
            create=write.create,
            modify=write.modify,
            delete=write.delete,
        ),
        "application/consistency-groups/{}/snapshots": Endpoint(
            resource=schema["consistency_group_snapshot"],
            source=GroupSnapshots(groups),
            operation=named("consistency_group_snapshot"),
            create=_create_snapshot(groups),
            delete=write.delete_snapshot,
        ),
    }


def _create_snapshot(groups: ConsistencyGroups) -> Create:
    async def create(ask: Ask, values: Values) -> Made:
        if ask.keys[0] == EVERY:
            raise no_entry("consistency_group.uuid")
        (kept,) = await groups.named(ask)
        return await write.create_snapshot(ask, kept, values)

    return create
