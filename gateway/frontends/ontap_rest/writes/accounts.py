"""Accounts: made, changed and removed; passwords."""

from __future__ import annotations

import re
from collections.abc import Iterable
from uuid import UUID

import msgspec

from gateway.core import accounts, errors
from gateway.core.accounts import Account, Kept, LocalAccounts, Method
from gateway.core.secret import Secret
from gateway.frontends.ontap_rest.ask import Ask
from gateway.frontends.ontap_rest.body import Values
from gateway.frontends.ontap_rest.endpoint import Keyed, Made
from gateway.frontends.ontap_rest.errors import WireError, missing_value, no_entry
from gateway.frontends.ontap_rest.render.security import HTTP
from gateway.frontends.ontap_rest.security_roles import Role, builtin, check_grants, named, role_of
from gateway.frontends.ontap_rest.sources_security import Operated, Owners
from gateway.frontends.ontap_rest.writes.names import text
from gateway.frontends.ontap_rest.writes.roles import owner_of

_PASSWORD_MIN, _PASSWORD_MAX = 8, 128
_LETTER, _DIGIT = re.compile(r"[A-Za-z]"), re.compile(r"[0-9]")
_METHODS = frozenset(method.value for method in Method)
_FIXED = "The account is one of the operator's file, which no request changes"


class AccountWriter:
    """Writes accounts; `local` makes and checks hashes."""

    def __init__(self, owners: Owners, local: LocalAccounts) -> None:
        self._owners = owners
        self._local = local

    async def create(self, ask: Ask, values: Values) -> Made:
        """Make an account."""
        owner = await owner_of(ask, values, self._owners)
        name = text(values, "name") or ""
        account = Account(
            name=name,
            tenant_id=owner,
            role=text(values, "role.name") or _usual_role(owner),
            comment=text(values, "comment") or "",
            locked=values.get("locked") is True,
            methods=_methods(values) or (Method.PASSWORD,),
        )
        await check_grants(ask.core, ask.principal, await _role(ask, account))
        if any(name == taken for taken, _ in self._local.names()):
            raise errors.AlreadyExists(kind="account", name=name, field="name")
        password = text(values, "password")
        if password is None and Method.PASSWORD in account.methods:
            raise WireError(
                400, "7078900", message="A password is not set. Include it in the request", target="password"
            )
        kept = "" if password is None else await self._hashed(name, password)
        await accounts.create(ask.core, account, kept)
        return Keyed((str(owner) if owner else self._owners.cluster().uuid, name))

    async def modify(self, ask: Ask, record: Kept | Operated, values: Values) -> Made:
        """Change role, ways to come in, comment or password; lock or unlock."""
        if isinstance(record, Operated):
            await self._modify_operated(ask, record, values)
            return None
        before = record.account
        after = msgspec.structs.replace(
            before,
            role=text(values, "role.name") or before.role,
            comment=(text(values, "comment") or "") if "comment" in values else before.comment,
            locked=values["locked"] is True if values.get("locked") is not None else before.locked,
            methods=_methods(values) or before.methods,
        )
        await self._check_change(ask, before, after)
        password = text(values, "password")
        if values.get("locked") is not None and password is None and not record.password_hash:
            message = "The operation cannot be performed for this account, since its password is not set"
            raise WireError(400, "5636096", message=message, target="locked")
        kept = None if password is None else await self._new_hash(record, password)
        await accounts.update(ask.core, record, after, kept)
        if values.get("locked") is False or kept is not None:
            self._local.forgive(before.name)
        return None

    async def delete(self, ask: Ask, record: Kept | Operated) -> Made:
        """Remove an account."""
        if isinstance(record, Operated):
            raise _fixed()
        await check_grants(ask.core, ask.principal, await role_of(ask.core, record.account))
        await accounts.delete(ask.core, record)
        self._local.forgive(record.account.name)
        return None

    async def unmake(self, ask: Ask, record: Kept | Operated, values: Values) -> Made:
        """Undo a create."""
        del values
        return await self.delete(ask, record)

    async def put_back(self, ask: Ask, before: Kept, after: Kept) -> Made:
        """Undo a modify."""
        if isinstance(before, Kept) and isinstance(after, Kept):
            await accounts.update(ask.core, after, before.account, before.password_hash)
        return None

    async def set_password(self, ask: Ask, values: Values) -> Made:
        """Change the password of the account that a body names."""
        owner = await owner_of(ask, values, self._owners)
        kept = await accounts.named(ask.core, text(values, "name") or "")
        if kept is None or kept.account.tenant_id != owner:
            if owner is None and any(name == text(values, "name") for name, _ in self._local.names()):
                await check_grants(ask.core, ask.principal, builtin("admin", None))
                raise _fixed()
            raise no_entry("name")
        if ask.principal is None or kept.account.name != ask.principal.name:
            await check_grants(ask.core, ask.principal, await role_of(ask.core, kept.account))
        password = text(values, "password") or ""
        await accounts.update(ask.core, kept, kept.account, await self._new_hash(kept, password))
        self._local.forgive(kept.account.name)
        return None

    async def _check_change(self, ask: Ask, before: Account, after: Account) -> None:
        roles = [await role_of(ask.core, before)]
        if after.role != before.role:
            roles.append(await _role(ask, after))
        await check_grants(ask.core, ask.principal, *roles)

    async def _modify_operated(self, ask: Ask, record: Operated, values: Values) -> None:
        """Refuse to change an account of the file; it may be let in again before its time."""
        await check_grants(ask.core, ask.principal, builtin("admin", None))
        if set(values) != {"locked"} or values["locked"] is not False:
            raise _fixed()
        self._local.forgive(record.name)

    async def _new_hash(self, kept: Kept, password: str) -> str:
        _check_password(kept.account.name, password)
        if kept.password_hash and await self._local.matches(Secret(password), kept.password_hash):
            message = "New password must be different than the old password."
            raise WireError(400, "7077925", message=message, target="password")
        return await self._hashed(kept.account.name, password)

    async def _hashed(self, name: str, password: str) -> str:
        _check_password(name, password)
        return await self._local.hashed(Secret(password))


def _usual_role(owner: UUID | None) -> str:
    return "admin" if owner is None else "vsadmin"


async def _role(ask: Ask, account: Account) -> Role:
    found = await named(ask.core, account.role, account.tenant_id)
    if found is None:
        code = "5636129" if account.tenant_id is None else "7077906"
        message = f'A role with the name "{account.role}" has not been defined.'
        raise WireError(400, code, message=message, target="role.name")
    return found


def _methods(values: Values) -> tuple[Method, ...]:
    """Give the ways to come in that a body names; none when it names none."""
    if "applications" not in values:
        return ()
    listed = values["applications"]
    if not isinstance(listed, list) or not listed:
        raise missing_value("applications")
    if len(listed) > 1 or listed[0].get("application") != HTTP:
        raise _unsupported("applications.application", f"accounts come in by {HTTP} only")
    application = listed[0]
    second = application.get("second_authentication_method")
    if second not in (None, "none"):
        raise _unsupported("applications.second_authentication_method", "there is no second method")
    for name in ("is_ldap_fastbind", "is_ns_switch_group"):
        if application.get(name) is True:
            raise _unsupported(f"applications.{name}", "there is no name service")
    return _read_methods(application.get("authentication_methods"))


def _read_methods(named: object) -> tuple[Method, ...]:
    methods: Iterable[str] = map(str, named) if isinstance(named, list) else [Method.PASSWORD.value]
    found = tuple(dict.fromkeys(methods))
    if not set(found) <= _METHODS or not found:
        raise _unsupported("applications.authentication_methods", f"they are {', '.join(sorted(_METHODS))}")
    return tuple(Method(method) for method in found)


def _check_password(name: str, password: str) -> None:
    code, message = "", ""
    if len(password) < _PASSWORD_MIN:
        code, message = "7077919", f"The password has fewer than {_PASSWORD_MIN} characters"
    elif len(password) > _PASSWORD_MAX:
        code, message = "7077940", f"The password has more than {_PASSWORD_MAX} characters"
    elif not _LETTER.search(password) or not _DIGIT.search(password):
        code, message = "7077920", "The new password must have both letters and numbers"
    elif name.lower() in password.lower():
        code, message = "7077918", "The password cannot contain the user name"
    if code:
        raise WireError(400, code, message=message, target="password")


def _unsupported(path: str, reason: str) -> WireError:
    message = f'The operation is not supported on this platform. Field "{path}": {reason}.'
    return WireError(400, "262144017", message=message, target=path)


def _fixed() -> WireError:
    return WireError(405, "262144017", message=f"The operation is not supported on this platform. {_FIXED}.")
