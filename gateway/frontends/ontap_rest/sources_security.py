"""Where accounts, roles and the trail come from. They are few, so they are listed whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import msgspec

from gateway.core.accounts import Kept, everyone
from gateway.core.context import Core
from gateway.core.manifest import everything
from gateway.core.model import Tenant
from gateway.core.trail import Entry
from gateway.frontends.ontap_rest import security_roles
from gateway.frontends.ontap_rest.ask import Ask
from gateway.frontends.ontap_rest.errors import no_entry
from gateway.frontends.ontap_rest.privileges import Privilege
from gateway.frontends.ontap_rest.render.security import (
    AccountFacts,
    Owner,
    render_account,
    render_audit,
    render_event,
    render_privilege,
    render_role,
)
from gateway.frontends.ontap_rest.security_roles import Role
from gateway.frontends.ontap_rest.sources import Rendered, Site


class Operated(msgspec.Struct, frozen=True):
    """An account of the operator's file. `role` is what it is called here."""

    name: str
    role: str


class Owners:
    """Whose things may be: the cluster's, and the SVMs' that a request may see."""

    def __init__(self, site: Site) -> None:
        self.site = site

    async def tenants(self, ask: Ask) -> Sequence[Tenant]:
        """Give the SVMs: the tunnelled one, or all."""
        return [ask.tenant] if ask.tenant is not None else await everything(ask.core.catalog, Tenant)

    def cluster(self) -> Owner:
        """Give the cluster as an owner."""
        return Owner(str(self.site.cluster_id), self.site.name, "cluster")

    async def known(self, ask: Ask) -> Mapping[UUID | None, Owner]:
        """Give the owners by the id of their tenant; None is the cluster's, which no tunnel shows."""
        found: dict[UUID | None, Owner] = {} if ask.tenant is not None else {None: self.cluster()}
        return found | {t.id: Owner(str(t.id), t.name, "svm") for t in await self.tenants(ask)}


class Accounts:
    """Accounts: those of the operator's file, which are the cluster's, and those that callers made."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self.owners = Owners(site)

    async def list(self, ask: Ask) -> Sequence[tuple[Kept | Operated, Rendered]]:
        """List by name, those of the path's owner."""
        owners = await self.owners.known(ask)
        local = self._site.accounts
        found: dict[str, tuple[Kept | Operated, AccountFacts]] = {}
        for kept in await everyone(ask.core):
            account = kept.account
            if account.tenant_id in owners:
                locked = (account.locked or local.barred(account.name)) if kept.password_hash else None
                found[account.name] = (
                    kept,
                    AccountFacts(
                        name=account.name,
                        owner=owners[account.tenant_id],
                        role=account.role,
                        methods=[method.value for method in account.methods],
                        comment=account.comment,
                        locked=locked,
                    ),
                )
        for name, role in local.names() if None in owners else ():
            # Whoever has a name in the file is who comes in by it.
            found[name] = (
                Operated(name, role),
                AccountFacts(name=name, owner=owners[None], role=role, methods=["password"], locked=local.barred(name)),
            )
        return [
            (record, render_account(facts))
            for _, (record, facts) in sorted(found.items())
            if not ask.keys or facts.owner.uuid == ask.keys[0].lower()
        ]


class Roles:
    """Roles of the cluster and of SVMs."""

    def __init__(self, site: Site) -> None:
        self.owners = Owners(site)

    async def list(self, ask: Ask) -> Sequence[tuple[Role, Rendered]]:
        """List by owner and name, those of the path's owner."""
        owners = await self.owners.known(ask)
        tenants = await self.owners.tenants(ask)
        listed = await security_roles.listed(ask.core, tenants, cluster=None in owners)
        return [
            (role, render_role(role, owners[role.tenant_id]))
            for role in listed
            if not ask.keys or owners[role.tenant_id].uuid == ask.keys[0].lower()
        ]

    async def role(self, ask: Ask) -> tuple[Role, Owner]:
        """Give the role that the path's first two keys name."""
        for tenant_id, owner in (await self.owners.known(ask)).items():
            if owner.uuid == ask.keys[0].lower():
                found = await security_roles.named(ask.core, ask.keys[1], tenant_id)
                if found is not None:
                    return found, owner
        raise no_entry("name")


class Privileges:
    """The rules of one role. Writers get the role and the rule."""

    def __init__(self, roles: Roles) -> None:
        self.roles = roles

    async def list(self, ask: Ask) -> Sequence[tuple[tuple[Role, Privilege], Rendered]]:
        """List in the order in which they came."""
        role, owner = await self.roles.role(ask)
        return [((role, privilege), render_privilege(privilege, role, owner)) for privilege in role.privileges]


class AuditMessages:
    """The changes that callers asked this gateway for, the latest first."""

    def __init__(self, site: Site) -> None:
        self._site = site

    async def list(self, ask: Ask) -> Sequence[tuple[Entry, Rendered]]:
        """List what the trail still has."""
        entries = [entry for entry in self._site.trail.entries() if entry.door]
        names = await _names(ask.core, entries)
        node = self._site.node()
        return [(entry, render_audit(entry, node, names.get(entry.tenant_id, ""))) for entry in reversed(entries)]


class EmsEvents:
    """What happened here, the latest first."""

    def __init__(self, site: Site) -> None:
        self._site = site

    async def list(self, ask: Ask) -> Sequence[tuple[Entry, Rendered]]:
        """List what the trail still has, of the path's node."""
        node = self._site.node()
        if ask.keys and ask.keys[0] != node.name:
            return []
        return [(entry, render_event(entry, node)) for entry in reversed(self._site.trail.entries())]


class Nothing:
    """What is written and never read."""

    async def list(self, ask: Ask) -> Sequence[tuple[Any, Rendered]]:
        """Give nothing."""
        del ask
        return []


async def _names(core: Core, entries: Sequence[Entry]) -> Mapping[UUID | None, str]:
    wanted = {entry.tenant_id for entry in entries if entry.tenant_id is not None}
    found = await core.known.get_many(Tenant, wanted)
    return {key: tenant.name for key, tenant in found.items()}
