"""Roles: which calls their holders may make."""

from __future__ import annotations

from gateway.core import roles
from gateway.core.model import AccessRole, RoleRule
from gateway.frontends.openstorage.call import Call, refuse, required
from gateway.frontends.openstorage.pb import role_pb2 as pb

_WHAT = "role name"


async def create(call: Call, request: pb.SdkRoleCreateRequest) -> pb.SdkRoleCreateResponse:
    """Make a role; the same one again is no error."""
    name, rules = _read(request.role)
    return pb.SdkRoleCreateResponse(role=_message(await roles.create(call.core, name, rules)))


async def enumerate_(call: Call, _request: pb.SdkRoleEnumerateRequest) -> pb.SdkRoleEnumerateResponse:
    """Give the names of all roles."""
    return pb.SdkRoleEnumerateResponse(names=[role.name for role in await roles.enumerate_(call.core)])


async def inspect(call: Call, request: pb.SdkRoleInspectRequest) -> pb.SdkRoleInspectResponse:
    """Give a role."""
    return pb.SdkRoleInspectResponse(role=_message(await roles.get(call.core, required(request.name, _WHAT))))


async def update(call: Call, request: pb.SdkRoleUpdateRequest) -> pb.SdkRoleUpdateResponse:
    """Replace a role's rules."""
    name, rules = _read(request.role)
    return pb.SdkRoleUpdateResponse(role=_message(await roles.update(call.core, name, rules)))


async def delete(call: Call, request: pb.SdkRoleDeleteRequest) -> pb.SdkRoleDeleteResponse:
    """Remove a role; one that does not exist is removed already."""
    await roles.delete(call.core, required(request.name, _WHAT))
    return pb.SdkRoleDeleteResponse()


def _read(role: pb.SdkRole) -> tuple[str, list[RoleRule]]:
    name = required(role.name, _WHAT)
    if not role.rules:
        refuse("Must supply the rules of the role")
    return name, [RoleRule(services=tuple(rule.services), apis=tuple(rule.apis)) for rule in role.rules]


def _message(role: AccessRole) -> pb.SdkRole:
    return pb.SdkRole(name=role.name, rules=[pb.SdkRule(services=rule.services, apis=rule.apis) for rule in role.rules])
