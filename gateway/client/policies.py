"""Export policies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.client.flows import Flow, Listing, change, find
from gateway.client.records import Policy
from gateway.client.wire import exactly

_PATH = "/api/protocols/nfs/export-policies"
_FIELDS = "id,name,svm,rules"


def every(*, tenant: str | None = None) -> Listing[Policy]:
    """Ask for every export policy, of one tenant or of all."""
    query = [("fields", _FIELDS)]
    if tenant is not None:
        query.append(("svm.name", exactly(tenant)))
    return Listing(path=_PATH, kind=Policy, query=tuple(query))


def show(name: str, *, tenant: str | None = None) -> Flow[Policy]:
    """Give a policy by name. `tenant` is needed when several have one of that name."""
    return find(every(tenant=tenant), kind="export policy", name=name, named=lambda policy: policy.name)


def create(name: str, *, tenant: str, rules: Sequence[Mapping[str, Any]] = ()) -> Flow[Policy]:
    """Make a policy and give it. Rules are as ONTAP writes them."""
    body: dict[str, Any] = {"name": name, "svm": {"name": tenant}}
    if rules:
        body["rules"] = list(rules)
    yield from change("POST", _PATH, body)
    return (yield from show(name, tenant=tenant))


def patch(number: int, values: Mapping[str, Any]) -> Flow[None]:
    """Set the name or all rules."""
    return change("PATCH", f"{_PATH}/{number}", values)


def delete(number: int) -> Flow[None]:
    """Delete a policy."""
    return change("DELETE", f"{_PATH}/{number}")
