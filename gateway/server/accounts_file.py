"""The operator's file of accounts."""

from __future__ import annotations

import enum
import tomllib
from collections.abc import Mapping
from pathlib import Path

import msgspec

from gateway.config import ConfigError
from gateway.core import roles
from gateway.core.principal import EVERY, Principal
from gateway.server.passwords import PasswordHash


class Role(enum.StrEnum):
    """`admin` may everything, `readonly` may look at everything, `user` has volumes of its own."""

    ADMIN = "admin"
    READONLY = "readonly"
    USER = "user"


_ROLES: Mapping[Role, tuple[str, tuple[str, ...]]] = {
    Role.ADMIN: (roles.ADMIN, (EVERY,)),
    Role.READONLY: (roles.VIEW, (EVERY,)),
    Role.USER: (roles.USER, ()),
}
"""The core's role and the groups of an account's role."""


class _Account(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    password: str | msgspec.UnsetType = msgspec.UNSET
    role: Role
    groups: tuple[str, ...] = ()
    certificate: bool = False


class _File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    account: dict[str, _Account]


class FileAccount(msgspec.Struct, frozen=True, kw_only=True):
    """An account as it is checked. `password` None: it has none. `certificate`: one in its name lets it in."""

    principal: Principal
    role: Role
    password: PasswordHash | None
    certificate: bool


def read_accounts(path: Path) -> Mapping[str, FileAccount]:
    """Give the accounts of a file by name; ConfigError when it cannot be used."""
    source = str(path)
    try:
        decoded = msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), _File)
    except OSError as error:
        raise ConfigError(source, f"cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(source, "is not UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(source, f"is not TOML: {error}") from None
    except msgspec.ValidationError as error:
        raise ConfigError(source, str(error)) from None
    if not decoded.account:
        raise ConfigError(source, "there is no [account.NAME] table: nobody could log in")
    return {name: _known(source, name, account) for name, account in decoded.account.items()}


def principal_of(name: str, role: Role, groups: tuple[str, ...] = ()) -> Principal:
    """Give who an account of that role is to the core."""
    core_role, every = _ROLES[role]
    return Principal(name=name, roles=(core_role,), groups=(*every, *groups))


def _known(source: str, name: str, account: _Account) -> FileAccount:
    if not name or ":" in name:
        raise ConfigError(source, "an account's name is not empty and has no colon", path=("account", name))
    if account.password is msgspec.UNSET and not account.certificate:
        reason = "missing required field `password`, or certificate = true"
        raise ConfigError(source, reason, path=("account", name))
    try:
        password = None if account.password is msgspec.UNSET else PasswordHash.parse(account.password)
    except ValueError as error:
        raise ConfigError(source, str(error), path=("account", name, "password")) from None
    if account.groups and account.role is not Role.USER:
        raise ConfigError(source, "only an account whose role is 'user' has groups", path=("account", name, "groups"))
    if EVERY in account.groups or "" in account.groups:
        raise ConfigError(source, "a group's name is not empty and not '*'", path=("account", name, "groups"))
    principal = principal_of(name, account.role, account.groups)
    return FileAccount(principal=principal, role=account.role, password=password, certificate=account.certificate)
