"""The passwords with which initiators log in, made for those that have none.

A login says in its user's name for whom it was made. It is told to its caller
and to administrators: who may attach one volume must not learn with what
another caller's hosts log in.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import AsyncIterator, Sequence

from gateway.core import errors, logins
from gateway.core.catalog import walk
from gateway.core.context import Core
from gateway.core.model import Attachment, HostGroup, InitiatorLogin, LoginKind, Tenant, Transport, Volume
from gateway.core.query import And, Compare, Op, Order, Query
from gateway.core.secret import Secret
from gateway.core.targets import login_of, password_key
from gateway.frontends.native import model

_DIGEST = 12
_USER_BYTES, _PASSWORD_BYTES = 8, 24


async def ensure(core: Core, tenant: Tenant, node: str, initiators: Sequence[str]) -> model.Login | None:
    """Give with what the initiators of a node log in; those that have no login of their own get one.

    One login opens what all of them are given. None where the operator said
    that they need none. PermissionDenied for one that is kept out, or whose
    login is another caller's; InUse when one is attached already and would be
    cut off, because it does not log in.
    """
    found = [await _ensured(core, tenant, node, name) for name in initiators]
    return next((login for login in found if login is not None), None)


async def present(core: Core, tenant: Tenant, initiators: Sequence[str]) -> model.Login | None:
    """Give with what initiators have to log in, although nobody asked for that now; None for others' logins."""
    for initiator in initiators:
        login = await login_of(core.catalog, tenant.id, initiator)
        if login is not None and login.kind is LoginKind.CHAP and _may_know(core, login):
            return await _told(core, login)
    return None


async def _ensured(core: Core, tenant: Tenant, node: str, initiator: str) -> model.Login | None:
    login = await login_of(core.catalog, tenant.id, initiator)
    if login is not None and login.kind is LoginKind.DENY:
        raise errors.PermissionDenied(action=f"log in as {initiator}")
    if not _is_own(login, initiator):
        await _make(core, tenant, node, initiator)
        login = await login_of(core.catalog, tenant.id, initiator)
    if login is None or login.kind is not LoginKind.CHAP:
        return None
    if not _may_know(core, login):
        raise errors.PermissionDenied(action=f"know with what {initiator} logs in")
    return await _told(core, login)


async def _told(core: Core, login: InitiatorLogin) -> model.Login:
    password = await core.catalog.setting(password_key(login.id)) or await _repaired(core, login)
    return model.Login(user=login.user, password=password)


def _is_own(login: InitiatorLogin | None, initiator: str) -> bool:
    """Tell whether a login is the initiator's own, rather than that of all who have none."""
    return login is not None and login.initiator == initiator


async def _make(core: Core, tenant: Tenant, node: str, initiator: str) -> None:
    async for other in _attachments(core, tenant, node, initiator):
        if other.transport is Transport.ISCSI:
            if _is_own(await login_of(core.catalog, tenant.id, initiator), initiator):
                return  # somebody was faster, and attached it, too
            raise errors.InUse(kind="initiator", ref=initiator, by="attachments", action="make a login for")
    new = logins.NewLogin(
        tenant_id=tenant.id,
        initiator=initiator,
        kind=LoginKind.CHAP,
        user=f"{_whose(core)}-{secrets.token_hex(_USER_BYTES)}",
        password=_password(),
    )
    try:
        await logins.create(core, new)
    except errors.AlreadyExists:
        return  # somebody was faster


async def _attachments(core: Core, tenant: Tenant, node: str, initiator: str) -> AsyncIterator[Attachment]:
    """Yield what the node has, by its own name or as one of a host group."""
    own = Compare("tenant.id", Op.EQ, tenant.id)
    groups = Query(where=And((own, Compare("initiator", Op.EQ, initiator))), order=(Order("id"),))
    names = [node, *[str(group.id) async for group in walk(core.catalog, HostGroup, groups)]]
    for name in names:
        query = Query(where=And((own, Compare("attachment.node", Op.EQ, name))), order=(Order("id"),))
        async for volume in walk(core.catalog, Volume, query):
            for attachment in volume.attachments:
                if attachment.node == name and (attachment.host_group_id or initiator in attachment.initiators):
                    yield attachment


async def _repaired(core: Core, login: InitiatorLogin) -> str:
    """Give a new password to a login that lost its own, as those of a rebuilt catalog did: it lets nobody in."""
    password = _password()
    await logins.update(
        core, login.id, kind=login.kind, user=login.user, target_user=login.target_user, password=password
    )
    return password.reveal()


def _may_know(core: Core, login: InitiatorLogin) -> bool:
    caller = core.caller
    return caller is None or caller.administrator or login.user.startswith(f"{_whose(core)}-")


def _whose(core: Core) -> str:
    name = "" if core.caller is None else core.caller.name
    return hashlib.sha256(name.encode()).hexdigest()[:_DIGEST]


def _password() -> Secret:
    return Secret(secrets.token_urlsafe(_PASSWORD_BYTES))
