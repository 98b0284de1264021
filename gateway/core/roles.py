"""Roles: which calls of which services a caller may make, the same through every door.

A call is named by a service and an api, both in small letters, as openstorage
names its own: `volume` and `create`. A door that has other words says in a
table of its own what they mean here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime
from uuid import NAMESPACE_URL, UUID, uuid5

import msgspec

from gateway.core import errors
from gateway.core.catalog import drop, put
from gateway.core.context import Core
from gateway.core.manifest import everything
from gateway.core.model import AccessRole, RoleRule, utc_now
from gateway.core.principal import EVERY, Principal
from gateway.core.volumes import check_text

ADMIN, VIEW, USER, GUEST = "system.admin", "system.view", "system.user", "system.guest"

EVERYBODY = Principal(name="", roles=(ADMIN,), groups=(EVERY,))
"""Who is asking where nobody has to say who it is."""

_NAME_MAX = 255
_RULES_MAX = 1000
_PATTERN_MAX = 255
_DENY = "!"
_RETRIES = 10


def role_id(name: str) -> UUID:
    """Give the id of the role of that name; names of roles never change."""
    return uuid5(NAMESPACE_URL, f"role:{name}")


def _builtin(name: str, *rules: tuple[str, str]) -> AccessRole:
    return AccessRole(
        id=role_id(name),
        name=name,
        created=datetime(1970, 1, 1, tzinfo=UTC),
        rules=tuple(RoleRule(services=tuple(s.split()), apis=tuple(a.split())) for s, a in rules),
        builtin=True,
    )


BUILTIN: Mapping[str, AccessRole] = {
    role.name: role
    for role in (
        _builtin(ADMIN, ("*", "*")),
        _builtin(
            VIEW,
            ("*", "*enumerate* inspect* stats status validate capacityusage watch"),
            ("identity", "*"),
        ),
        _builtin(
            USER,
            ("volume cloudbackup credentials objectstore schedulepolicy mountattach migrate", "*"),
            ("cluster node", "inspect* enumerate*"),
            ("identity", "*"),
            ("policy", "*enumerate* *inspect*"),
        ),
        _builtin(
            GUEST,
            ("mountattach volume cloudbackup migrate", "*"),
            ("identity", "version"),
            ("cluster node", "inspect* enumerate*"),
        ),
    )
}
"""The roles that are always there."""

CHANGEABLE = frozenset({GUEST})
"""Those of them whose rules may be changed; the catalog has them once they were."""


def allows(role: AccessRole, service: str, api: str) -> bool:
    """Tell whether a role allows a call: no rule of it denies the call, and one allows it."""
    allowed = False
    for rule in role.rules:
        if _denied(rule.services, service):
            return False
        if _matched(rule.services, service):
            if _denied(rule.apis, api):
                return False
            allowed = allowed or _matched(rule.apis, api)
    return allowed


async def authorize(core: Core, principal: Principal, service: str, api: str) -> None:
    """Raise PermissionDenied unless one of the principal's roles allows the call; roles that do not exist allow none.

    Reads what the request's `Known.renew` vouches for; nothing for the roles that cannot change.
    """
    if ADMIN in principal.roles:
        return  # as its one rule says; most requests of most gateways are such
    others = [name for name in principal.roles if name not in BUILTIN or name in CHANGEABLE]
    if any(allows(BUILTIN[name], service, api) for name in principal.roles if name not in others):
        return
    if others:
        found = await core.known.get_many(AccessRole, {role_id(name) for name in others})
        for name in others:
            role = found.get(role_id(name), BUILTIN.get(name))
            if role is not None and allows(role, service, api):
                return
    raise errors.PermissionDenied(action=f"{service}.{api}")


async def get(core: Core, name: str) -> AccessRole:
    """Give a role by name, or raise NotFound."""
    found = await core.catalog.get(AccessRole, role_id(name))
    role = BUILTIN.get(name) if found is None else found
    if role is None:
        raise errors.NotFound(kind="role", ref=name)
    return role


async def enumerate_(core: Core) -> tuple[AccessRole, ...]:
    """Give all roles in order of their names."""
    stored = {role.name: role for role in await everything(core.catalog, AccessRole)}
    return tuple(sorted({**BUILTIN, **stored}.values(), key=lambda role: role.name))


async def create(core: Core, name: str, rules: Iterable[RoleRule]) -> AccessRole:
    """Make a role. The same one again is no error, another one of that name AlreadyExists.

    InvalidArgument for the name of a built-in role and for rules that say nothing.
    """
    if name in BUILTIN:
        raise errors.InvalidArgument(field="name", value=name, reason="is the name of a built-in role")
    role = AccessRole(id=role_id(name), name=name, created=utc_now(), rules=tuple(rules))
    _check(role)
    present = await core.catalog.get(AccessRole, role.id)
    if present is None:
        try:
            await core.catalog.commit(put(role))
        except errors.AlreadyExists:
            present = await core.get(AccessRole, role.id)  # somebody was faster
    if present is not None:
        if present.rules != role.rules:
            raise errors.AlreadyExists(kind="role", name=name, field="name", same_spec=False)
        return present
    await core.manifest.write()
    return await core.get(AccessRole, role.id)


async def update(core: Core, name: str, rules: Iterable[RoleRule]) -> AccessRole:
    """Replace a role's rules. NotFound when there is none; InvalidArgument for a built-in one that cannot change."""
    if name in BUILTIN and name not in CHANGEABLE:
        raise errors.InvalidArgument(field="name", value=name, reason="is a built-in role, which cannot be changed")
    wanted = tuple(rules)
    for attempt in range(_RETRIES + 1):
        role = msgspec.structs.replace(await get(core, name), rules=wanted)
        _check(role)
        try:
            await core.catalog.commit(put(role))
        except (errors.StaleRevision, errors.AlreadyExists):
            if attempt == _RETRIES:
                raise
            continue
        break
    await core.manifest.write()
    return await core.get(AccessRole, role.id)


async def delete(core: Core, name: str) -> None:
    """Remove a role; one that does not exist is no error. InvalidArgument for a built-in one."""
    if name in BUILTIN:
        raise errors.InvalidArgument(field="name", value=name, reason="is a built-in role, which cannot be deleted")
    for attempt in range(_RETRIES + 1):
        present = await core.catalog.get(AccessRole, role_id(name))
        if present is None:
            return
        try:
            await core.catalog.commit(drop(present))
        except errors.StaleRevision:
            if attempt == _RETRIES:
                raise
            continue
        break
    await core.manifest.write()


def _denied(patterns: Collection[str], word: str) -> bool:
    return any(pattern.startswith(_DENY) and matches(pattern[1:], word) for pattern in patterns)


def _matched(patterns: Collection[str], word: str) -> bool:
    return any(not pattern.startswith(_DENY) and matches(pattern, word) for pattern in patterns)


def matches(pattern: str, word: str) -> bool:
    """Tell whether a word fits `word`, `wo*`, `*rd`, `*or*` or `*`; a star elsewhere is only a star."""
    if pattern == EVERY:
        return True
    front, back = pattern.startswith(EVERY), pattern.endswith(EVERY)
    if front and back:
        return pattern[1:-1] in word
    if front:
        return word.endswith(pattern[1:])
    return word.startswith(pattern[:-1]) if back else word == pattern


def _check(role: AccessRole) -> None:
    if not role.name:
        raise errors.InvalidArgument(field="name", value="", reason="must not be empty")
    check_text("name", role.name, _NAME_MAX)
    if "/" in role.name or any(char.isspace() for char in role.name):
        raise errors.InvalidArgument(field="name", value=role.name[:64], reason="holds a slash or a space")
    if not 1 <= len(role.rules) <= _RULES_MAX:
        raise errors.InvalidArgument(field="rules", reason=f"must be 1 to {_RULES_MAX}")
    for rule in role.rules:
        for field, patterns in (("rules.services", rule.services), ("rules.apis", rule.apis)):
            if not patterns:
                raise errors.InvalidArgument(field=field, reason="a rule needs at least one")
            for pattern in patterns:
                if not pattern.removeprefix(_DENY):
                    raise errors.InvalidArgument(field=field, value=pattern, reason="must not be empty")
                check_text(field, pattern, _PATTERN_MAX)
