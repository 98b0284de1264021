"""The part of the route table that says who may come in and what was done: accounts, roles, audit, events."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.frontends.ontap_rest import sources_security as sources
from gateway.frontends.ontap_rest.endpoint import Endpoint, named
from gateway.frontends.ontap_rest.schema import Schema
from gateway.frontends.ontap_rest.sources import Site
from gateway.frontends.ontap_rest.writes.accounts import AccountWriter
from gateway.frontends.ontap_rest.writes.roles import RoleWriter, Templates

_TWO_KEYS = "{}/{}"


def security_endpoints(schema: Schema, site: Site, templates: Templates) -> Mapping[str, Endpoint]:
    """Give every endpoint by its collection's path. `templates`: what is served, for rules to be about."""
    accounts, roles = sources.Accounts(site), sources.Roles(site)
    privileges = sources.Privileges(roles)
    write_account = AccountWriter(accounts.owners, site.accounts)
    write_role = RoleWriter(roles, roles.owners, templates)
    return {
        "security/accounts": Endpoint(
            resource=schema["account"],
            source=accounts,
            operation=named("account"),
            create=write_account.create,
            modify=write_account.modify,
            delete=write_account.delete,
            unmake=write_account.unmake,
            put_back=write_account.put_back,
            instance=_TWO_KEYS,
        ),
        "security/authentication/password": Endpoint(
            resource=schema["account_password"],
            source=sources.Nothing(),
            operation=named("account_password"),
            create=write_account.set_password,
            readable=False,
            instances=False,
        ),
        "security/roles": Endpoint(
            resource=schema["role"],
            source=roles,
            operation=named("role"),
            create=write_role.create,
            delete=write_role.delete,
            instance=_TWO_KEYS,
        ),
        "security/roles/{}/{}/privileges": Endpoint(
            resource=schema["role_privilege"],
            source=privileges,
            operation=named("role_privilege"),
            create=write_role.add,
            modify=write_role.modify,
            delete=write_role.remove,
            put_back=write_role.put_back,
        ),
        "security/audit/messages": Endpoint(
            resource=schema["audit_message"], source=sources.AuditMessages(site), operation=named("audit_message")
        ),
        "support/ems/events": Endpoint(
            resource=schema["ems_event"],
            source=sources.EmsEvents(site),
            operation=named("ems_event"),
            instance=_TWO_KEYS,
        ),
    }
