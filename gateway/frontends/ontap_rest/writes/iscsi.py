"""What iSCSI needs of an SVM: its service, and how initiators log in. Passwords go to the core and nowhere else."""

from __future__ import annotations

import msgspec

from gateway.core import errors, logins, tenants
from gateway.core.model import InitiatorLogin, IscsiService, LoginKind, Tenant, TenantState
from gateway.core.secret import Secret
from gateway.core.targets import ANY_INITIATOR, service_of
from gateway.frontends.ontap_rest.ask import Ask
from gateway.frontends.ontap_rest.body import Values
from gateway.frontends.ontap_rest.errors import WireError
from gateway.frontends.ontap_rest.sources_san import present_service
from gateway.frontends.ontap_rest.writes.names import tenant_of, text

_IN, _OUT = "chap.inbound", "chap.outbound"


async def create_service(ask: Ask, values: Values) -> Tenant:
    """Give an SVM an iSCSI service, and the credentials of initiators that have none of their own."""
    tenant = await tenant_of(ask, values)
    if present_service(tenant) is not None:
        message = f'An iSCSI service already exists for SVM "{tenant.name}".'
        raise WireError(409, "5374077", message=message, target="svm")
    if tenant.state is not TenantState.RUNNING:
        message = f'SVM "{tenant.name}" is stopped. It must be running to create an iSCSI service.'
        raise WireError(409, "5374893", message=message, target="svm")
    return await start_service(
        ask, tenant, alias=text(values, "target.alias"), enabled=values.get("enabled") is not False
    )


async def start_service(ask: Ask, tenant: Tenant, *, alias: str | None = None, enabled: bool = True) -> Tenant:
    """Make an SVM's iSCSI service. Its target's name is the one that it would have had anyway."""
    default = service_of(msgspec.structs.replace(tenant, iscsi=None))
    service = IscsiService(target=default.target, alias=default.alias if alias is None else alias, enabled=enabled)
    made = await tenants.update(ask.core, tenant.id, tenants.TenantChange(iscsi=service), force=True)
    if await ask.core.find(InitiatorLogin, tenant__id=tenant.id, initiator=ANY_INITIATOR) is None:
        everybody = logins.NewLogin(tenant_id=tenant.id, initiator=ANY_INITIATOR, kind=LoginKind.NONE)
        await logins.create(ask.core, everybody)
    return made


async def modify_service(ask: Ask, tenant: Tenant, values: Values) -> None:
    """Rename the target's alias, stop or start the service. Stopping it logs out whoever is logged in."""
    service = service_of(tenant)
    enabled = values.get("enabled")
    changed = msgspec.structs.replace(
        service,
        alias=(text(values, "target.alias") or "") if "target.alias" in values else service.alias,
        enabled=enabled if isinstance(enabled, bool) else service.enabled,
    )
    await tenants.update(ask.core, tenant.id, tenants.TenantChange(iscsi=changed), force=True)


async def delete_service(ask: Ask, tenant: Tenant) -> None:
    """Remove an SVM's iSCSI service, which must be disabled."""
    service = service_of(tenant)
    if service.enabled:
        message = "The iSCSI service is enabled. It must be disabled before it can be deleted."
        raise WireError(409, "5373960", message=message, target="enabled")
    await remove_service(ask, tenant)


async def remove_service(ask: Ask, tenant: Tenant) -> None:
    """Remove an SVM's iSCSI service, enabled or not."""
    gone = msgspec.structs.replace(service_of(tenant), enabled=False, removed=True)
    await tenants.update(ask.core, tenant.id, tenants.TenantChange(iscsi=gone), force=True)


async def put_service_back(ask: Ask, before: Tenant, after: Tenant) -> None:
    """Undo a change of an iSCSI service."""
    await tenants.update(ask.core, after.id, tenants.TenantChange(iscsi=before.iscsi), force=True)


async def create_credentials(ask: Ask, values: Values) -> InitiatorLogin:
    """Say how an initiator of an SVM logs in."""
    tenant = await tenant_of(ask, values)
    if present_service(tenant) is None:
        message = f'The iSCSI service does not exist in SVM "{tenant.name}".'
        raise WireError(404, "5374078", message=message, target="svm")
    kind = LoginKind(text(values, "authentication_type") or LoginKind.NONE)
    user, target_user = _users(values, kind, user="", target_user="")
    _require_passwords(values, kind, fresh=True, fresh_target=bool(target_user))
    new = logins.NewLogin(
        tenant_id=tenant.id,
        initiator=text(values, "initiator") or "",
        kind=kind,
        user=user,
        password=_password(values, _IN),
        target_user=target_user,
        target_password=_password(values, _OUT),
    )
    return await logins.create(ask.core, new)


async def modify_credentials(ask: Ask, login: InitiatorLogin, values: Values) -> None:
    """Change how an initiator logs in; a password that is not given stays as it is."""
    kind = LoginKind(text(values, "authentication_type") or login.kind)
    user, target_user = _users(values, kind, user=login.user, target_user=login.target_user)
    fresh = login.kind is not LoginKind.CHAP
    _require_passwords(values, kind, fresh=fresh, fresh_target=bool(target_user) and (fresh or not login.target_user))
    await logins.update(
        ask.core,
        login.id,
        kind=kind,
        user=user,
        target_user=target_user,
        password=_password(values, _IN),
        target_password=_password(values, _OUT),
    )


async def delete_credentials(ask: Ask, login: InitiatorLogin) -> None:
    """Forget how an initiator logs in, and its passwords; the default of an SVM stays."""
    if login.initiator == ANY_INITIATOR:
        message = "The default security credentials cannot be deleted for an SVM."
        raise WireError(409, "5374148", message=message, target="initiator")
    await logins.delete(ask.core, login.id)


async def put_credentials_back(ask: Ask, before: InitiatorLogin, after: InitiatorLogin) -> None:
    """Refuse: nobody keeps passwords that were replaced."""
    del ask, before
    raise errors.InvalidState(kind="initiator login", ref=after.initiator, state="changed", action="take back")


def _users(values: Values, kind: LoginKind, *, user: str, target_user: str) -> tuple[str, str]:
    given = [path for path in values if path.startswith("chap.") and values[path] is not None]
    if kind is not LoginKind.CHAP:
        if given:
            message = f'CHAP properties cannot be set with the authentication type "{kind.value}".'
            raise WireError(400, "5374900", message=message, target=min(given))
        return "", ""
    found = [
        (text(values, f"{side}.user") or "") if f"{side}.user" in values else present
        for side, present in ((_IN, user), (_OUT, target_user))
    ]
    return found[0], found[1]


def _require_passwords(values: Values, kind: LoginKind, *, fresh: bool, fresh_target: bool) -> None:
    """Refuse CHAP without what it needs. `fresh`: there is no password of the initiator's yet."""
    if kind is not LoginKind.CHAP:
        return
    inbound, outbound = (text(values, f"{side}.password") for side in (_IN, _OUT))
    missing = [f"{_IN}.{part}" for part in ("user", "password") if fresh and not text(values, f"{_IN}.{part}")]
    if missing or (f"{_IN}.user" in values and not text(values, f"{_IN}.user")):
        message = "The inbound user and password are required for CHAP authentication."
        raise WireError(400, "5374149", message=message, target=(missing or [f"{_IN}.user"])[0])
    if fresh_target and not outbound:
        message = "Outbound CHAP authentication requires an outbound password."
        raise WireError(400, "5374150", message=message, target=f"{_OUT}.password")
    if inbound is not None and inbound == outbound:
        message = "The inbound and outbound passwords must be different."
        raise WireError(400, "5374147", message=message, target=f"{_OUT}.password")


def _password(values: Values, side: str) -> Secret | None:
    found = text(values, f"{side}.password")
    return None if found is None else Secret(found)
