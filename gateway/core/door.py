"""What a door leaves on a request for the server that watches over all doors alike."""

from __future__ import annotations

from uuid import UUID

import msgspec


class Trace(msgspec.Struct, kw_only=True):
    """Filled in by a door while it answers. `route` is the pattern, never a path with ids in it.

    `operation` is set for changes only: they are audited, with `target`,
    `outcome` and the `job` that goes on. `client_id`: what the client calls its
    operation. `tenant_id`: of the tenant that is all there is for the caller.
    """

    route: str = ""
    who: str = ""
    operation: str = ""
    target: str = ""
    outcome: str = ""
    job: str = ""
    client_id: str = ""
    tenant_id: UUID | None = None
