"""The passwords with which initiators log in, made for those that have none.

A login says in its user's name for whom it was made. It is told to its caller
and to administrators: who may attach one volume must not learn with what
another caller's hosts log in, and what he made must not open their volumes.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import AsyncIterator, Sequence

from gateway.core import errors, logins
from gateway.core.catalog import walk
from gateway.core.context import Core
from gateway.core.model import Attachment, HostGroup, InitiatorLogin, LoginKind, Tenant, Transport, Volume
from gateway.core.ownership import Access
from gateway.core.query import And, Compare, Op, Order, Query
from gateway.core.secret import Secret
from gateway.core.targets import login_of, password_key
from gateway.frontends.native import model

_DIGEST = 12
_USER_BYTES, _PASSWORD_BYTES = 8, 24
_ANY_ADMINISTRATOR = "gateway"
_MADE = re.compile(rf"[0-9a-f]{{{_DIGEST}}}-[0-9a-f]{{{2 * _USER_BYTES}}}")
"""Users of logins that were made for callers who are no administrators."""


async def ensure(core: Core, tenant: Tenant, volume: Volume, initiators: Sequence[str]) -> model.Login | None:
    """Give with what initiators log in that shall reach a volume; those that have no login of their own get one.

    One login opens what all of them are given. None where the operator said
    that they need none. PermissionDenied for one that is kept out, or whose
    login was made for another caller: he knows it, so only what is his, too,
    may be behind it. InUse when one is attached already and would be cut off,
    because it does not log in.
    """
    found = [await _ensured(core, tenant, volume, name) for name in initiators]
    return next((login for login in found if login is not None), None)


async def present(core: Core, tenant: Tenant, volume: Volume, initiators: Sequence[str]) -> model.Login | None:
    """Give with what initiators have to log in although nobody asked for that now; None where the caller may not know.

    PermissionDenied as for `ensure` when who may not change the volume knows it.
    """
    for initiator in initiators:
        login = await login_of(core.catalog, tenant.id, initiator)
        if login is None or login.kind is not LoginKind.CHAP:
            continue
        if not _keeps(login, volume):
            raise _not_to_know(initiator)
        if _may_know(core, login):
            return await _told(core, login)
    return None


async def _ensured(core: Core, tenant: Tenant, volume: Volume, initiator: str) -> model.Login | None:
    login = await login_of(core.catalog, tenant.id, initiator)
    if login is not None and login.kind is LoginKind.DENY:
        raise errors.PermissionDenied(action=f"log in as {initiator}")
    if not _is_own(login, initiator):
        await _make(core, tenant, initiator)
        login = await login_of(core.catalog, tenant.id, initiator)
    if login is None or login.kind is not LoginKind.CHAP:
        return None
    if not _may_know(core, login) or not _keeps(login, volume):
        raise _not_to_know(initiator)
    return await _told(core, login)


def _not_to_know(initiator: str) -> errors.PermissionDenied:
    return errors.PermissionDenied(action=f"know with what {initiator} logs in")


async def _told(core: Core, login: InitiatorLogin) -> model.Login:
    password = await core.catalog.setting(password_key(login.id)) or await _repaired(core, login)
    return model.Login(user=login.user, password=password)


def _is_own(login: InitiatorLogin | None, initiator: str) -> bool:
    """Tell whether a login is the initiator's own, rather than that of all who have none."""
    return login is not None and login.initiator == initiator


async def _make(core: Core, tenant: Tenant, initiator: str) -> None:
    async for other in _attachments(core, tenant, initiator):
        if other.transport is Transport.ISCSI:
            if _is_own(await login_of(core.catalog, tenant.id, initiator), initiator):
                return  # somebody was faster, and attached it, too
            raise errors.InUse(kind="initiator", ref=initiator, by="attachments", action="make a login for")
    new = logins.NewLogin(
        tenant_id=tenant.id,
        initiator=initiator,
        kind=LoginKind.CHAP,
        user=f"{_asking(core)}-{secrets.token_hex(_USER_BYTES)}",
        password=_password(),
    )
    try:
        await logins.create(core, new)
    except errors.AlreadyExists:
        return  # somebody was faster


async def _attachments(core: Core, tenant: Tenant, initiator: str) -> AsyncIterator[Attachment]:
    """Yield what an initiator has, as whatever node or as one of a host group."""
    own = Compare("tenant.id", Op.EQ, tenant.id)
    those = Query(where=And((own, Compare("initiator", Op.EQ, initiator))), order=(Order("id"),))
    groups = {group.id async for group in walk(core.catalog, HostGroup, those)}
    attached = Query(where=And((own, Compare("attachment_count", Op.GT, 0))), order=(Order("id"),))
    async for volume in walk(core.catalog, Volume, attached):
        for attachment in volume.attachments:
            if attachment.host_group_id in groups or initiator in attachment.initiators:
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
    return caller is None or caller.administrator or _made_for(login, _whose(caller.name))


def _keeps(login: InitiatorLogin, volume: Volume) -> bool:
    """Tell whether nobody who knows a login may not change the volume, too."""
    owned = volume.ownership
    if owned is None or not owned.owner or not _MADE.fullmatch(login.user):
        return True
    others = [name for name, level in owned.collaborators.items() if level >= Access.WRITE]
    return any(_made_for(login, _whose(name)) for name in (owned.owner, *others))


def _made_for(login: InitiatorLogin, whose: str) -> bool:
    return login.user.startswith(f"{whose}-")


def _asking(core: Core) -> str:
    caller = core.caller
    return _ANY_ADMINISTRATOR if caller is None or caller.administrator else _whose(caller.name)


def _whose(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:_DIGEST]


def _password() -> Secret:
    return Secret(secrets.token_urlsafe(_PASSWORD_BYTES))
