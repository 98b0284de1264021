"""Export policies: set whole, shown, removed."""

from __future__ import annotations

from ipaddress import ip_network

from gateway.core import errors, policies
from gateway.core.model import ExportRule
from gateway.frontends.native import model, render
from gateway.frontends.native.ask import Ask
from gateway.frontends.native.bodies import Nothing, Rule, Rules
from gateway.frontends.native.lookup import POLICY, asked_tenant

_MAY, _MAY_NOT = ("any",), ("never",)


async def inspect(ask: Ask[Nothing, Nothing]) -> model.ExportPolicy:
    """Give an export policy."""
    tenant = await asked_tenant(ask)
    return render.policy(await policies.export_policy_named(ask.core, tenant.id, ask.keys[POLICY]), tenant)


async def put(ask: Ask[Nothing, Rules]) -> model.ExportPolicy:
    """Make an export policy, or replace all of its rules."""
    tenant, name = await asked_tenant(ask), ask.keys[POLICY]
    ask.trace.target = f"{tenant.name}/{name}"[:128]
    rules = [_rule(index, rule) for index, rule in enumerate(ask.body.rules)]
    return render.policy(await policies.put_export_policy(ask.core, tenant.id, name, rules), tenant)


async def delete(ask: Ask[Nothing, Nothing]) -> None:
    """Remove an export policy; one that is not there is removed already. InUse while volumes have it."""
    tenant, name = await asked_tenant(ask), ask.keys[POLICY]
    ask.trace.target = f"{tenant.name}/{name}"[:128]
    try:
        found = await policies.export_policy_named(ask.core, tenant.id, name)
    except errors.NotFound:
        return
    await policies.delete_export_policy(ask.core, found.id)


def _rule(index: int, rule: Rule) -> ExportRule:
    clients = tuple(_network(f"rules[{index}].clients[{place}]", text) for place, text in enumerate(rule.clients))
    if not clients:
        raise errors.InvalidArgument(field=f"rules[{index}].clients", reason="must not be empty")
    return ExportRule(index=0, clients=clients, write=_MAY if rule.write else _MAY_NOT)


def _network(field: str, text: str) -> str:
    """Give an address or network as it is compared; InvalidArgument for anything else."""
    try:
        found = ip_network(text, strict=False)
    except ValueError:
        raise errors.InvalidArgument(field=field, value=text[:64], reason="is no address or network") from None
    return str(found.network_address) if found.prefixlen == found.max_prefixlen else str(found)
