"""Use cases of initiators' logins.

Passwords go into the catalog's settings and nowhere else: not into a record,
a job, a log line or a pool's manifest. A rebuilt catalog therefore has logins
without passwords; they let nobody in until they are set again.

Who may not log in any more after a change is cut off.
"""

from __future__ import annotations

from uuid import UUID, uuid4

import msgspec

from gateway.core import errors
from gateway.core.catalog import Guard, drop, put, when
from gateway.core.context import Core
from gateway.core.model import InitiatorLogin, LoginKind, Tenant, utc_now
from gateway.core.query import Compare, Op
from gateway.core.secret import Secret
from gateway.core.targets import ANY_INITIATOR, check_initiator, password_key
from gateway.core.volumes import check_text

_USER_MAX = 128
_PASSWORD_MIN, _PASSWORD_MAX = 12, 128


class NewLogin(msgspec.Struct, frozen=True, kw_only=True):
    """What a caller says about a login: `password` goes with `user`, `target_password` with `target_user`."""

    tenant_id: UUID
    initiator: str
    kind: LoginKind
    user: str = ""
    password: Secret | None = None
    target_user: str = ""
    target_password: Secret | None = None


async def create(core: Core, new: NewLogin) -> InitiatorLogin:
    """Make an initiator's login. AlreadyExists when it has one."""
    await core.get(Tenant, new.tenant_id)
    login = InitiatorLogin(
        id=uuid4(),
        tenant_id=new.tenant_id,
        initiator=_name(new.initiator),
        kind=new.kind,
        created=utc_now(),
        user=new.user,
        target_user=new.target_user,
    )
    _check(login, new.password, new.target_password, present=False)
    gone = errors.NotFound(kind="tenant", ref=str(new.tenant_id))
    there = when(Guard(Tenant, Compare("id", Op.EQ, new.tenant_id), exists=True, error=gone))
    # Before the record: a login without its password lets nobody in, a password without its login says nothing.
    await _keep(core, login.id, new.password, new.target_password)
    try:
        await core.catalog.commit(there + put(login))
    except errors.GatewayError:
        await forget_passwords(core, login.id)
        raise
    return await _follow(core, login)


async def update(
    core: Core,
    login_id: UUID,
    *,
    kind: LoginKind,
    user: str,
    target_user: str,
    password: Secret | None = None,
    target_password: Secret | None = None,
) -> InitiatorLogin:
    """Change a login; a password that is None stays as it is."""
    async with core.changes.locks.holding(login_id):
        before = await core.get(InitiatorLogin, login_id)
        after = msgspec.structs.replace(before, kind=kind, user=user, target_user=target_user)
        kept = bool(await core.catalog.setting(password_key(login_id)))
        _check(after, password, target_password, present=kept)
        await _keep(core, login_id, password, target_password)
        if after != before:
            await core.catalog.commit(put(after))
    return await _follow(core, after)


async def delete(core: Core, login_id: UUID) -> None:
    """Remove a login, and its passwords with it."""
    login = await core.get(InitiatorLogin, login_id)
    await core.catalog.commit(drop(login))
    await forget_passwords(core, login_id)
    await core.manifest.write()
    await _converge(core, login.tenant_id)


async def _follow(core: Core, login: InitiatorLogin) -> InitiatorLogin:
    await core.manifest.write()
    await _converge(core, login.tenant_id)
    return await core.get(InitiatorLogin, login.id)


async def _converge(core: Core, tenant_id: UUID) -> None:
    await core.publisher.converge_tenant(tenant_id, core.changes.locks, force=True)


async def _keep(core: Core, login_id: UUID, password: Secret | None, target_password: Secret | None) -> None:
    for value, target in ((password, False), (target_password, True)):
        if value is not None:
            await core.catalog.put_setting(password_key(login_id, target=target), value.reveal())


async def forget_passwords(core: Core, login_id: UUID) -> None:
    """Remove what `gateway.core.targets.password_key` names for a login that is gone."""
    for target in (False, True):
        await core.catalog.put_setting(password_key(login_id, target=target), "")


def _name(initiator: str) -> str:
    return ANY_INITIATOR if initiator == ANY_INITIATOR else check_initiator("initiator", initiator)


def _check(login: InitiatorLogin, password: Secret | None, target_password: Secret | None, *, present: bool) -> None:
    for field, user in (("user", login.user), ("target_user", login.target_user)):
        check_text(field, user, _USER_MAX)
        if "," in user or any(character.isspace() for character in user):
            raise errors.InvalidArgument(field=field, value=user[:64], reason="holds white space or a comma")
    for field, value in (("password", password), ("target_password", target_password)):
        if value is not None and not _usable(value.reveal()):
            reason = f"must be {_PASSWORD_MIN} to {_PASSWORD_MAX} printable ASCII characters without white space"
            raise errors.InvalidArgument(field=field, reason=reason)
    if login.kind is LoginKind.CHAP and not login.user:
        raise errors.InvalidArgument(field="user", value="", reason="CHAP needs a user")
    if login.kind is LoginKind.CHAP and password is None and not present:
        raise errors.InvalidArgument(field="password", reason="CHAP needs a password")
    if login.target_user and login.target_user == login.user:
        raise errors.InvalidArgument(field="target_user", value=login.user, reason="must differ from the initiator's")


def _usable(password: str) -> bool:
    return (
        _PASSWORD_MIN <= len(password) <= _PASSWORD_MAX
        and password.isascii()
        and password.isprintable()
        and " " not in password
    )
