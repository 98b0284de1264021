"""One request as the endpoints see it: decoded, authenticated, with the tunnelled SVM resolved."""

from __future__ import annotations

from uuid import UUID

import msgspec

from gateway.core.context import Core
from gateway.core.model import Tenant
from gateway.core.principal import Principal
from gateway.frontends.ontap_rest.errors import bad_key
from gateway.frontends.ontap_rest.query import Parameters
from gateway.frontends.ontap_rest.schema import Verb


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked. `keys` are the path's keys in order, `path` is the request path as it was sent.

    `tenant` is the SVM that `X-Dot-SVM-Name` restricts the request to. `hal`:
    the answer carries `_links`. `core` acts for the caller, unless that is an
    administrator; `principal` None: nobody's roles are looked at.
    """

    core: Core
    verb: Verb
    path: str
    raw_query: str
    keys: tuple[str, ...]
    parameters: Parameters
    tenant: Tenant | None = None
    hal: bool = True
    principal: Principal | None = None

    @property
    def description(self) -> str:
        """Give what a job of this request is called: the verb and the path."""
        return f"{self.verb.value} {self.path}"


def uuid_key(text: str, field: str = "uuid") -> UUID:
    """Read a UUID from the path; WireError when it is none."""
    try:
        return UUID(text)
    except ValueError:
        raise bad_key(field, text, "UUID") from None
