"""Roles and their path rules."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from uuid import UUID

import msgspec

from gateway.core import errors
from gateway.frontends.ontap_rest import security_roles
from gateway.frontends.ontap_rest.ask import Ask
from gateway.frontends.ontap_rest.body import Values
from gateway.frontends.ontap_rest.endpoint import Keyed, Made
from gateway.frontends.ontap_rest.errors import WireError, given_twice, missing_value, shorten
from gateway.frontends.ontap_rest.privileges import (
    Access,
    BadPathError,
    Privilege,
    UnknownPathError,
    rule_path,
)
from gateway.frontends.ontap_rest.security_roles import Role, check_grants
from gateway.frontends.ontap_rest.sources_security import Owners, Roles
from gateway.frontends.ontap_rest.writes.names import tenant_of, text

_RETRIES = 10

Templates = Callable[[], Iterable[str]]
"""Gives every path that is served, below the root."""


async def owner_of(ask: Ask, values: Values, owners: Owners) -> UUID | None:
    """Give the SVM that a body names as the owner, or the tunnelled one; None: it is the cluster's."""
    named = {f"svm.{part}": values[f"owner.{part}"] for part in ("name", "uuid") if values.get(f"owner.{part}")}
    if ask.tenant is None:
        cluster = owners.cluster()
        told = {"svm.name": cluster.name, "svm.uuid": cluster.uuid}
        if all(str(value).lower() == told[path].lower() for path, value in named.items()):
            return None
    try:
        return (await tenant_of(ask, named)).id
    except errors.NotFound as error:
        message = f'SVM "{shorten(str(error.fields["ref"]))}" does not exist.'
        raise WireError(404, "2621462", message=message, target=_told(named)) from None
    except WireError as error:
        raise WireError(error.status, error.code, message=error.message, target=_told(named)) from None


def _told(named: Values) -> str:
    """Give the field by which a body named an owner."""
    return next(iter(named), "svm.name").replace("svm.", "owner.")


class RoleWriter:
    """Writes roles. `templates`: what paths there are for rules to be about."""

    def __init__(self, roles: Roles, owners: Owners, templates: Templates) -> None:
        self._roles = roles
        self._owners = owners
        self._templates = templates

    async def create(self, ask: Ask, values: Values) -> Made:
        """Make a role."""
        owner = await owner_of(ask, values, self._owners)
        listed = values.get("privileges")
        role = Role(
            name=text(values, "name") or "",
            tenant_id=owner,
            privileges=self._privileges(listed if isinstance(listed, list) else []),
        )
        await check_grants(ask.core, ask.principal, role)
        await security_roles.create(ask.core, role)
        return Keyed((str(owner) if owner else self._owners.cluster().uuid, role.name))

    async def delete(self, ask: Ask, role: Role) -> Made:
        """Remove a role that no account has."""
        await check_grants(ask.core, ask.principal, role)
        await security_roles.delete(ask.core, role)
        return None

    async def add(self, ask: Ask, values: Values) -> Made:
        """Add a rule to the path's role."""
        added = self._privilege(values)

        def change(present: Sequence[Privilege]) -> Sequence[Privilege]:
            if any(privilege.path == added.path for privilege in present):
                raise WireError(409, "1", message="duplicate entry", target="path")
            return (*present, added)

        await self._edit(ask, change)
        return Keyed((added.path,))

    async def modify(self, ask: Ask, found: tuple[Role, Privilege], values: Values) -> Made:
        """Change what a rule allows."""
        before = found[1]
        _check_query(values)
        after = Privilege(before.path, Access(text(values, "access") or before.access))
        await self._edit(ask, lambda present: [after if rule == before else rule for rule in present])
        return None

    async def remove(self, ask: Ask, found: tuple[Role, Privilege]) -> Made:
        """Take a rule away; what it was about is then ruled by the next shorter path."""
        await self._edit(ask, lambda present: [rule for rule in present if rule != found[1]])
        return None

    async def put_back(self, ask: Ask, before: tuple[Role, Privilege], after: tuple[Role, Privilege]) -> Made:
        """Undo a modify."""
        await self._edit(ask, lambda present: [before[1] if rule == after[1] else rule for rule in present])
        return None

    async def _edit(self, ask: Ask, change: Callable[[Sequence[Privilege]], Sequence[Privilege]]) -> None:
        """Change the rules of the path's role as they are now; others may change them at the same time."""
        for attempt in range(_RETRIES + 1):
            role, _ = await self._roles.role(ask)
            after = msgspec.structs.replace(role, privileges=tuple(change(role.privileges)))
            await check_grants(ask.core, ask.principal, role, after)
            try:
                await security_roles.replace(ask.core, role, after.privileges)
            except errors.StaleRevision:
                if attempt == _RETRIES:
                    raise
                continue
            return

    def _privileges(self, listed: Sequence[Values]) -> tuple[Privilege, ...]:
        if not listed:
            raise WireError(400, "13434892", message="Roles need at least one privilege", target="privileges")
        found = [self._privilege(values, base="privileges.") for values in listed]
        paths = [privilege.path for privilege in found]
        if len(set(paths)) < len(paths):
            raise given_twice("privileges.path", "262282")
        return tuple(found)

    def _privilege(self, values: Values, *, base: str = "") -> Privilege:
        _check_query(values, base=base)
        path, access = text(values, "path"), text(values, "access")
        if path is None or access is None:
            raise missing_value(f"{base}path" if path is None else f"{base}access")
        try:
            return Privilege(rule_path(path, self._templates()), Access(access))
        except BadPathError:
            message = f'The URI path "{shorten(path)}" is not valid or not supported'
            raise WireError(400, "5636169", message=message, target=f"{base}path") from None
        except UnknownPathError:
            message = f'The URI path "{shorten(path)}" does not exist'
            raise WireError(400, "5636170", message=message, target=f"{base}path") from None


def _check_query(values: Values, *, base: str = "") -> None:
    if text(values, "query"):
        message = 'A "query" cannot be specified for a privilege that is about an API path'
        raise WireError(400, "5636192", message=message, target=f"{base}query")
