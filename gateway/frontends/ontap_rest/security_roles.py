"""Roles of this dialect: names for path rules, of the whole cluster or of one SVM. Kept as documents."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from uuid import NAMESPACE_URL, UUID, uuid5

import msgspec

from gateway.core import documents, errors
from gateway.core.accounts import Account, everyone
from gateway.core.catalog import drop, put
from gateway.core.context import Core
from gateway.core.model import Document, Tenant, utc_now
from gateway.core.principal import Principal
from gateway.core.roles import ADMIN
from gateway.core.volumes import check_name
from gateway.frontends.ontap_rest.privileges import Access, Privilege, covers

KIND = "ontap.role"
RULES_MAX = 200
_WHOLE = "cluster"


class Role(msgspec.Struct, frozen=True, kw_only=True):
    """A role. `tenant_id` None: it is the cluster's."""

    name: str
    privileges: tuple[Privilege, ...]
    tenant_id: UUID | None = None
    builtin: bool = False


def _builtin(name: str, access: Access) -> Role:
    return Role(name=name, privileges=(Privilege("/api", access),), builtin=True)


OF_CLUSTER: Mapping[str, Role] = {
    role.name: role
    for role in (
        _builtin("admin", Access.ALL),
        _builtin("none", Access.NONE),
        _builtin("readonly", Access.READONLY),
    )
}
OF_SVM: Mapping[str, Role] = {
    role.name: role for role in (_builtin("vsadmin", Access.ALL), _builtin("vsadmin-readonly", Access.READONLY))
}
"""The roles that are always there, of the cluster and of every SVM."""


def builtin(name: str, tenant_id: UUID | None) -> Role | None:
    """Give a role that is always there; None when the name is no such role's."""
    found = (OF_CLUSTER if tenant_id is None else OF_SVM).get(name)
    return found if found is None else msgspec.structs.replace(found, tenant_id=tenant_id)


async def named(core: Core, name: str, tenant_id: UUID | None) -> Role | None:
    """Give a role; None when there is none."""
    always = builtin(name, tenant_id)
    if always is not None:
        return always
    document = await core.catalog.get(Document, _id(name, tenant_id))
    return None if document is None else _read(document)


async def listed(core: Core, tenants: Iterable[Tenant], *, cluster: bool) -> list[Role]:
    """Give the roles of some SVMs, and the cluster's."""
    there = {tenant.id for tenant in tenants}
    kept = [_read(document) for document in await documents.all_of(core, KIND)]
    found = [*OF_CLUSTER.values()] if cluster else []
    found += [msgspec.structs.replace(role, tenant_id=key) for key in there for role in OF_SVM.values()]
    found += [role for role in kept if (role.tenant_id in there if role.tenant_id else cluster)]
    return sorted(found, key=lambda role: (str(role.tenant_id or ""), role.name))


async def create(core: Core, role: Role) -> None:
    """Keep a new role. AlreadyExists for its name."""
    check_name("name", role.name)
    _check(role)
    if builtin(role.name, role.tenant_id) is not None:
        raise errors.AlreadyExists(kind="role", name=role.name, field="name")
    document = Document(
        id=_id(role.name, role.tenant_id),
        kind=KIND,
        name=_called(role.name, role.tenant_id),
        created=utc_now(),
        body=_body(role),
    )
    try:
        await core.catalog.commit(put(document))
    except errors.AlreadyExists:
        raise errors.AlreadyExists(kind="role", name=role.name, field="name") from None
    await core.manifest.write()


async def replace(core: Core, before: Role, privileges: Sequence[Privilege]) -> None:
    """Give a role other rules. StaleRevision when it has changed since it was read."""
    document = await _changeable(core, before)
    after = msgspec.structs.replace(before, privileges=tuple(privileges))
    _check(after)
    await core.catalog.commit(put(msgspec.structs.replace(document, body=_body(after))))
    await core.manifest.write()


async def delete(core: Core, role: Role) -> None:
    """Forget a role that no account has. InUse for one that some have, and for one that is always there."""
    document = await _changeable(core, role)
    accounts = [kept.account for kept in await everyone(core)]
    if any(account.role == role.name and account.tenant_id == role.tenant_id for account in accounts):
        raise errors.InUse(kind="role", ref=role.name, by="accounts", action="delete")
    await core.catalog.commit(drop(document))
    await core.manifest.write()


async def forget_roles(core: Core, tenant_id: UUID) -> None:
    """Remove the roles of an SVM that went."""
    await documents.delete_each(core, KIND, lambda document: _read(document).tenant_id == tenant_id)


async def rules_of(core: Core, principal: Principal) -> tuple[Privilege, ...] | None:
    """Give the rules for a caller, as they were at the last `Known.renew` or later.

    None: not these decide what it may, but the core's roles.
    """
    if not principal.door_role:
        return None
    always = builtin(principal.door_role, principal.tenant_id)
    if always is not None:
        return always.privileges
    key = _id(principal.door_role, principal.tenant_id)
    document = (await core.known.get_many(Document, {key})).get(key)
    return () if document is None else _read(document).privileges


async def check_grants(core: Core, caller: Principal | None, *roles: Role | None) -> None:
    """Raise PermissionDenied unless the caller itself may all that some roles allow: nobody gives more than it has."""
    if caller is None or ADMIN in caller.roles:
        return
    own = await named(core, caller.door_role, caller.tenant_id) if caller.door_role else None
    for role in roles:
        within = role is not None and caller.tenant_id in (None, role.tenant_id)
        if own is None or role is None or not within or not covers(own.privileges, role.privileges):
            raise errors.PermissionDenied(action="grant more than it may itself")


async def role_of(core: Core, account: Account) -> Role | None:
    """Give an account's role."""
    return await named(core, account.role, account.tenant_id)


async def _changeable(core: Core, role: Role) -> Document:
    if role.builtin:
        raise errors.InUse(kind="role", ref=role.name, by="builtin", action="change")
    document = await core.catalog.get(Document, _id(role.name, role.tenant_id))
    if document is None or _read(document) != role:
        raise errors.StaleRevision(kind="role", ref=role.name)
    return document


def _check(role: Role) -> None:
    if not 1 <= len(role.privileges) <= RULES_MAX:
        raise errors.LimitExceeded(limit="privileges", value=len(role.privileges), minimum=1, maximum=RULES_MAX)


def _called(name: str, tenant_id: UUID | None) -> str:
    return f"{tenant_id or _WHOLE}:{name}"


def _id(name: str, tenant_id: UUID | None) -> UUID:
    return uuid5(NAMESPACE_URL, f"{KIND}:{_called(name, tenant_id)}")


def _read(document: Document) -> Role:
    return msgspec.json.decode(document.body, type=Role)


def _body(role: Role) -> str:
    return msgspec.json.encode(role).decode()
