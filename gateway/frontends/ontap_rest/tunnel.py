"""The SVM that a request is restricted to, by `X-Dot-SVM-Name` and `X-Dot-SVM-UUID` or because of its account."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from multidict import CIMultiDictProxy, istr

from gateway.core import errors
from gateway.core.accounts import Kept
from gateway.core.context import Core
from gateway.core.model import Tenant
from gateway.core.principal import Principal
from gateway.core.query import Op
from gateway.frontends.ontap_rest.ask import Ask
from gateway.frontends.ontap_rest.consistency import GroupSnapshot, KeptGroup
from gateway.frontends.ontap_rest.errors import WireError
from gateway.frontends.ontap_rest.qos import KeptPolicy
from gateway.frontends.ontap_rest.sources_files import Found
from gateway.frontends.ontap_rest.tree import AllOf, Compare, Node

HEADERS = (istr("X-Dot-SVM-Name"), istr("X-Dot-SVM-UUID"))
_DIFFER = 'The specified "svm.uuid" and "svm.name" do not refer to the same SVM.'


async def tunnelled(core: Core, principal: Principal, headers: CIMultiDictProxy[str]) -> Tenant | None:
    """Give the SVM. NotFound for one that does not exist, PermissionDenied for another one than the account's."""
    name, uuid = [headers.get(header) for header in HEADERS]
    if principal.tenant_id is not None:
        own = await _own(core, principal.tenant_id)
        if (name and name != own.name) or (uuid and uuid.lower() != str(own.id)):
            # Whether there is such an SVM is not for it to know.
            raise errors.PermissionDenied(action="ask for another SVM")
        return own
    if not name and not uuid:
        return None
    found = await _named(core, name, uuid)
    if found is None:
        raise errors.NotFound(kind="tenant", ref=name or uuid)
    if name and uuid and not _is(found, uuid):
        raise _conflict()
    return found


def check_tunnel(ask: Ask, values: Mapping[str, Any]) -> None:
    """Refuse a body that names another SVM than the request is restricted to."""
    if ask.tenant is None:
        return
    name, uuid = values.get("svm.name"), values.get("svm.uuid")
    if (name and name != ask.tenant.name) or (uuid and not _is(ask.tenant, str(uuid))):
        raise _conflict()


def check_query(where: Node, tenant: Tenant) -> None:
    """Refuse a query for another SVM than the one that a header restricts the request to."""
    told = {"svm.name": tenant.name, "svm.uuid": str(tenant.id)}
    for term in where.terms if isinstance(where, AllOf) else (where,):
        if isinstance(term, Compare) and term.op is Op.EQ and term.path in told and term.value != told[term.path]:
            raise _conflict()


def check_own(ask: Ask, record: object) -> None:
    """Raise PermissionDenied when an account of an SVM would change what is not its SVM's, though it may see it."""
    caller = ask.core.caller
    if caller is None or caller.tenant_id is None:
        return
    if _owner(record) != caller.tenant_id:
        raise errors.PermissionDenied(action="change what is not its SVM's")


def _owner(record: object) -> UUID | None:
    """Give the SVM's id that a record belongs to, as its writers get it; None: none's, or that is not known."""
    first = record[0] if isinstance(record, tuple) else record
    if isinstance(first, Kept):
        first = first.account
    elif isinstance(first, Found):
        first = first.place.volume
    elif isinstance(first, KeptPolicy):
        first = first.policy
    elif isinstance(first, GroupSnapshot):
        first = first.kept.group
    elif isinstance(first, KeptGroup):
        first = first.group
    owner = first.id if isinstance(first, Tenant) else getattr(first, "tenant_id", None)
    return owner if isinstance(owner, UUID) else None


async def _own(core: Core, tenant_id: UUID) -> Tenant:
    found = (await core.known.get_many(Tenant, {tenant_id})).get(tenant_id)
    if found is None:
        raise errors.PermissionDenied(action="ask for an SVM that is gone")
    return found


async def _named(core: Core, name: str | None, uuid: str | None) -> Tenant | None:
    try:
        if name:
            return await core.find(Tenant, name=name)
        return await core.catalog.get(Tenant, UUID(uuid)) if uuid else None
    except (errors.InvalidArgument, ValueError):
        return None  # a text that no SVM can have


def _is(tenant: Tenant, uuid: str) -> bool:
    try:
        return UUID(uuid) == tenant.id
    except ValueError:
        return False


def _conflict() -> WireError:
    return WireError(400, "2621706", message=_DIFFER, target="svm.name")
