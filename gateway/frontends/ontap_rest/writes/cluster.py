"""The cluster's own words about itself."""

from __future__ import annotations

import msgspec

from gateway.core import jobs
from gateway.core.model import Job
from gateway.frontends.ontap_rest.ask import Ask
from gateway.frontends.ontap_rest.body import Values
from gateway.frontends.ontap_rest.cluster_identity import read_identity, write_identity
from gateway.frontends.ontap_rest.render.cluster import ClusterFacts
from gateway.frontends.ontap_rest.writes.names import text


async def modify(ask: Ask, cluster: ClusterFacts, values: Values) -> Job:
    """Change location and contact; null clears. The job is done when it begins."""
    changed = {path: text(values, path) or "" for path in ("location", "contact") if path in values}
    await write_identity(ask.core, msgspec.structs.replace(await read_identity(ask.core), **changed))
    return await jobs.finished(
        ask.core, "cluster.update", description=ask.description, tenant=None, target_id=cluster.id
    )
