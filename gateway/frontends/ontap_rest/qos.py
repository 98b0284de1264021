"""QoS policies: documents that say what a policy is. Nothing here throttles, so no volume can have one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal
from uuid import UUID

import msgspec

from gateway.core import documents
from gateway.core.context import Core
from gateway.core.manifest import everything
from gateway.core.model import Document, Tenant
from gateway.frontends.ontap_rest.ask import Ask
from gateway.frontends.ontap_rest.constants import nested
from gateway.frontends.ontap_rest.sources import Rendered

KIND = "ontap.qos_policy"


class QosPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """A policy of an SVM. `values`: what of `form` a body said, and the usual for the rest."""

    name: str
    tenant_id: UUID
    form: Literal["fixed", "adaptive"]
    values: dict[str, int | str | bool]


class KeptPolicy(msgspec.Struct, frozen=True):
    """A policy and the document that keeps it, whose id is the policy's."""

    document: Document
    policy: QosPolicy
    tenant: Tenant


def document_name(policy: QosPolicy) -> str:
    """Give what the policy's document is called: names are unique within an SVM."""
    return f"{policy.tenant_id.hex}.{policy.name}"


async def policies_of(core: Core) -> list[KeptPolicy]:
    """Give all policies of all SVMs, by SVM and name. Those of SVMs that are gone are none."""
    tenants = {tenant.id: tenant for tenant in await everything(core.catalog, Tenant)}
    found = []
    for document in await documents.all_of(core, KIND):
        policy = msgspec.json.decode(document.body, type=QosPolicy)
        if policy.tenant_id in tenants:
            found.append(KeptPolicy(document, policy, tenants[policy.tenant_id]))
    return found


async def forget_policies(core: Core, tenant: Tenant) -> None:
    """Remove the policies of an SVM that went."""
    await documents.delete_each(
        core, KIND, lambda document: msgspec.json.decode(document.body, type=QosPolicy).tenant_id == tenant.id
    )


def render_policy(kept: KeptPolicy) -> dict[str, Any]:
    """Render a policy."""
    record: dict[str, Any] = nested("qos_policy")
    record |= {
        "uuid": str(kept.document.id),
        "name": kept.policy.name,
        "svm": {"uuid": str(kept.tenant.id), "name": kept.tenant.name},
        kept.policy.form: dict(kept.policy.values),
    }
    return record


class QosPolicies:
    """The policies of all SVMs."""

    async def list(self, ask: Ask) -> Sequence[tuple[object, Rendered]]:
        """List them by SVM and name."""
        return [
            (kept, render_policy(kept))
            for kept in await policies_of(ask.core)
            if ask.tenant is None or kept.tenant.id == ask.tenant.id
        ]
