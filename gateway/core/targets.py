"""What an attachment means to an exporter: the target's name, who may log in, and with what."""

from __future__ import annotations

import hashlib
import re
from uuid import UUID

import msgspec

from gateway.core import errors
from gateway.core.catalog import Catalog
from gateway.core.exporter import BlockAccess, ExportAccess, Login
from gateway.core.model import (
    Attachment,
    AttachMode,
    HostGroup,
    InitiatorLogin,
    IscsiService,
    LoginKind,
    Tenant,
    Transport,
)
from gateway.core.query import And, Compare, Op, Query
from gateway.core.secret import Secret

ANY_INITIATOR = "default"
"""Names the login of initiators without one of their own."""

_AUTHORITY = "iqn.2024-07.internal.volume-gateway"
"""`internal` is the top level domain that is set aside for private use, since that month."""

_INITIATOR = re.compile(
    r"iqn\.\d{4}-\d{2}\.[a-z0-9.-]+(?::[^\s,/]+)?|eui\.[0-9a-f]{16}|naa\.(?:[0-9a-f]{16}|[0-9a-f]{32})"
)
_NAME_MAX = 223
"""The longest iSCSI name in bytes (RFC 7143)."""

SERVICE_MAX = 158
"""The longest name of a tenant's service: it leaves room for the nodes' parts of their targets' names."""

_SHORT_MAX, _DIGEST = 64, 12
_DIGESTED = re.compile(r"(?:.*-)?[0-9a-f]{12}")
"""What the part of a host group looks like, and those parts that have a digest."""


def check_initiator(field: str, name: str) -> str:
    """Give an initiator's or target's name as it is compared, in lower case; InvalidArgument when it is none."""
    lower = name.lower()
    if len(lower.encode()) > _NAME_MAX or not _INITIATOR.fullmatch(lower):
        reason = "is no iSCSI name, such as iqn.1993-08.org.debian:01:abc"
        raise errors.InvalidArgument(field=field, value=name[:64], reason=reason)
    return lower


def service_of(tenant: Tenant) -> IscsiService:
    """Give a tenant's iSCSI service: what it asked for, or what it has when it never asked."""
    return tenant.iscsi or IscsiService(target=f"{_AUTHORITY}:{tenant.id.hex[:12]}", alias=tenant.name)


def target_of(tenant: Tenant, attachment: Attachment) -> str:
    """Give the name of the target that the node or host group of an attachment logs in to.

    Each has its own: an iSCSI target shows all its units to whoever may log
    in, so what one group may see needs a target of its own.
    """
    group = attachment.host_group_id
    return f"{service_of(tenant).target}:{_short(attachment.node) if group is None else group.hex[:_DIGEST]}"


def serial_of(volume_id: UUID) -> str:
    """Give the twelve characters by which initiators recognise a volume."""
    return volume_id.hex[:12]


def file_access(attachment: Attachment) -> ExportAccess | None:
    """Give what an attachment means to an exporter of files; None when it grants nothing. A node's root stays root."""
    if attachment.transport is not Transport.NFS or not attachment.clients:
        return None
    return ExportAccess(clients=attachment.clients, write=attachment.mode is AttachMode.READ_WRITE)


async def block_access(catalog: Catalog, tenant: Tenant, attachment: Attachment) -> BlockAccess | None:
    """Give an attachment as exporters see it; None when it grants nothing."""
    write = attachment.mode is AttachMode.READ_WRITE
    if attachment.transport is not Transport.ISCSI:
        return BlockAccess(id=attachment.id, target=str(attachment.id), lun=0, write=write)
    service = service_of(tenant)
    if not service.enabled or service.removed:
        return None
    names = attachment.initiators
    if attachment.host_group_id is not None:
        group = await catalog.get(HostGroup, attachment.host_group_id)
        names = tuple(initiator.name for initiator in group.initiators) if group is not None else ()
    bare = BlockAccess(id=attachment.id, target=target_of(tenant, attachment), lun=attachment.lun or 0, write=write)
    return await _with_logins(catalog, tenant, names, bare)


async def _with_logins(catalog: Catalog, tenant: Tenant, names: tuple[str, ...], bare: BlockAccess) -> BlockAccess:
    """Add who may log in. Where one initiator has to prove itself, those that have nothing to prove stay out."""
    open_to: list[str] = []
    proven: dict[str, InitiatorLogin] = {}
    for name in names:
        login = await login_of(catalog, tenant.id, name)
        if login is None or login.kind is LoginKind.NONE:
            open_to.append(name)
        elif login.kind is LoginKind.CHAP:
            proven[name] = login
    if not proven:
        return msgspec.structs.replace(bare, initiators=tuple(open_to))
    logins: dict[str, Login] = {}
    target_login: Login | None = None
    for name, login in tuple(proven.items()):
        password = await catalog.setting(password_key(login.id))
        if not password:
            # As after a rebuild: what nobody can prove is not open to all.
            del proven[name]
            continue
        logins[login.user] = Login(user=login.user, password=Secret(password))
        other = await catalog.setting(password_key(login.id, target=True)) if login.target_user else None
        if other:
            target_login = Login(user=login.target_user, password=Secret(other))
    return msgspec.structs.replace(
        bare, initiators=tuple(proven), logins=tuple(logins.values()), target_login=target_login
    )


async def login_of(catalog: Catalog, tenant_id: UUID, initiator: str) -> InitiatorLogin | None:
    """Give how an initiator of a tenant logs in: its own login, else the default one, else None."""
    for name in (initiator, ANY_INITIATOR):
        where = And((Compare("tenant.id", Op.EQ, tenant_id), Compare("initiator", Op.EQ, name)))
        for login in (await catalog.page(InitiatorLogin, Query(where=where, limit=1))).records:
            return login
    return None


def password_key(login_id: UUID, *, target: bool = False) -> str:
    """Give the name of the catalog's setting that holds a login's password. It is kept nowhere else."""
    return f"login/{login_id}/{'target' if target else 'initiator'}"


def _short(node: str) -> str:
    """Give a node's part of a target's name: what is allowed of its own, with a digest where that is not all of it.

    Two nodes never have the same, nor one that of a host group, or one would see what is the other's.
    """
    plain = re.sub(r"[^a-z0-9.-]+", "-", node.lower())[:_SHORT_MAX].strip("-")
    if plain == node and not _DIGESTED.fullmatch(plain):
        return plain
    digest = hashlib.sha256(node.encode()).hexdigest()[:_DIGEST]
    return f"{plain[: _SHORT_MAX - _DIGEST - 1].strip('-') or 'node'}-{digest}"
