"""QoS policies: create, change and remove."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from gateway.core import documents, errors, jobs
from gateway.core.model import Job, Tenant
from gateway.core.volumes import check_name
from gateway.frontends.ontap_rest.ask import Ask
from gateway.frontends.ontap_rest.body import Values
from gateway.frontends.ontap_rest.errors import WireError
from gateway.frontends.ontap_rest.qos import KIND, KeptPolicy, QosPolicy, document_name
from gateway.frontends.ontap_rest.writes.names import tenant_of, text

_FORMS: Mapping[str, Mapping[str, int | str | bool]] = {
    "fixed": {
        "capacity_shared": False,
        "max_throughput_iops": 0,
        "max_throughput_mbps": 0,
        "min_throughput_iops": 0,
        "min_throughput_mbps": 0,
    },
    "adaptive": {
        "absolute_min_iops": 0,
        "block_size": "any",
        "expected_iops": 0,
        "expected_iops_allocation": "allocated_space",
        "peak_iops": 0,
        "peak_iops_allocation": "used_space",
    },
}
"""Form of a policy -> what it says, and the usual of that; a throughput of 0 is no limit."""
_PAIRS = {
    "fixed": (("min_throughput_iops", "max_throughput_iops"), ("min_throughput_mbps", "max_throughput_mbps")),
    "adaptive": (("expected_iops", "peak_iops"),),
}
_NEEDED = ("expected_iops", "peak_iops")


async def create(ask: Ask, values: Values) -> Job:
    """Keep a new policy of an SVM."""
    tenant = await tenant_of(ask, values)
    forms = [form for form in _FORMS if _given(values, form)]
    if len(forms) != 1:
        code, message = ("262186", "exclude each other") if forms else ("262212", "are missing: one is required")
        raise WireError(400, code, message=f'Fields "fixed" and "adaptive" {message}.', target="fixed")
    (form,) = forms
    if form == "adaptive":
        for field in _NEEDED:
            if not _given(values, form).get(field):
                message = f'A value is required for field "adaptive.{field}"'
                raise WireError(400, "262212", message=message, target=f"adaptive.{field}")
    policy = QosPolicy(
        name=_name(values),
        tenant_id=tenant.id,
        form="fixed" if form == "fixed" else "adaptive",
        values={**_FORMS[form], **_given(values, form)},
    )
    _check(policy)
    try:
        document = await documents.create(ask.core, KIND, document_name(policy), _body(policy))
    except errors.AlreadyExists:
        raise errors.AlreadyExists(kind="qos policy", name=policy.name, field="name") from None
    return await jobs.finished(
        ask.core, "qos_policy.create", description=ask.description, tenant=tenant, target_id=document.id
    )


async def modify(ask: Ask, kept: KeptPolicy, values: Values) -> Job:
    """Rename a policy, or change what it says; it stays of its form."""
    policy = kept.policy
    for form in _FORMS:
        if form != policy.form and _given(values, form):
            message = f'Policy "{policy.name}" is {policy.form}, and stays so.'
            raise WireError(400, "262186", message=message, target=form)
    name = _name(values) if "name" in values else policy.name
    changed = msgspec.structs.replace(policy, name=name, values={**policy.values, **_given(values, policy.form)})
    _check(changed)
    return await _keep(ask, kept, changed)


async def delete(ask: Ask, kept: KeptPolicy) -> Job:
    """Forget a policy."""
    await documents.delete(ask.core, KIND, kept.document.name)
    return await _done(ask, "delete", kept.tenant, kept)


async def put_back(ask: Ask, before: KeptPolicy, after: KeptPolicy) -> Job:
    """Undo a change."""
    return await _keep(ask, after, before.policy)


async def _keep(ask: Ask, kept: KeptPolicy, policy: QosPolicy) -> Job:
    try:
        await documents.replace(ask.core, kept.document, _body(policy), name=document_name(policy))
    except errors.AlreadyExists:
        raise errors.AlreadyExists(kind="qos policy", name=policy.name, field="name") from None
    return await _done(ask, "update", kept.tenant, kept)


async def _done(ask: Ask, word: str, tenant: Tenant, kept: KeptPolicy) -> Job:
    return await jobs.finished(
        ask.core, f"qos_policy.{word}", description=ask.description, tenant=tenant, target_id=kept.document.id
    )


def _name(values: Values) -> str:
    name = text(values, "name") or ""
    check_name("name", name)
    return name


def _given(values: Values, form: str) -> dict[str, int | str | bool]:
    found: dict[str, int | str | bool] = {}
    for field in _FORMS[form]:
        value = values.get(f"{form}.{field}")
        if isinstance(value, int | str):
            found[field] = value
    return found


def _check(policy: QosPolicy) -> None:
    for low, high in _PAIRS[policy.form]:
        least, most = policy.values[low], policy.values[high]
        if isinstance(least, int) and isinstance(most, int) and most and least > most:
            message = f'Field "{policy.form}.{low}" exceeds "{policy.form}.{high}".'
            raise WireError(400, "262186", message=message, target=f"{policy.form}.{low}")


def _body(policy: QosPolicy) -> str:
    return msgspec.json.encode(policy).decode()
