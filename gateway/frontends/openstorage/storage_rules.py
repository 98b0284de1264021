"""Storage policies: rules for specs that an administrator names, and what they do to volumes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf import json_format
from grpc import StatusCode

from gateway.core import documents
from gateway.core.context import Core
from gateway.core.errors import NotFound
from gateway.core.ownership import Access, may
from gateway.frontends.openstorage.call import Call, SdkError, refuse
from gateway.frontends.openstorage.ownerships import read_ownership
from gateway.frontends.openstorage.pb import storage_policy_pb2 as pb
from gateway.frontends.openstorage.pb import volume_spec_pb2 as spec_pb
from gateway.frontends.openstorage.spec.schedule import parse_schedule
from gateway.frontends.openstorage.specs import CALLED_OTHERWISE

KIND, DEFAULT_KIND = "openstorage.storage_policy", "openstorage.default_storage_policy"
DEFAULT = "default"
"""The kinds of documents that hold the policies, and the name of the default one; and that document's name."""

_SCHEDULE = "snapshot_schedule"
_Op = pb.VolumeSpecPolicy
_OPERATORS: Mapping[str, str] = {
    name: f"{name}_operator" for name in ("size", "ha_level", "scale", "snapshot_interval")
}
"""Fields for which a policy says whether its value is the only, the least or the greatest one."""


async def policy_named(core: Core, name: str) -> pb.SdkStoragePolicy:
    """Give a policy; NotFound when there is none."""
    found = await documents.named(core, KIND, name)
    if found is None:
        raise NotFound(kind="Storage policy", ref=name)
    return read_policy(found.body)


async def default_name(core: Core) -> str:
    """Give the name of the default policy, empty when there is none."""
    found = await documents.named(core, DEFAULT_KIND, DEFAULT)
    return "" if found is None else found.body


async def default(core: Core) -> pb.SdkStoragePolicy | None:
    """Give the default policy, None when there is none or it has just been deleted."""
    name = await default_name(core)
    found = await documents.named(core, KIND, name) if name else None
    return None if found is None else read_policy(found.body)


def read_policy(body: str) -> pb.SdkStoragePolicy:
    """Give the policy that a document holds."""
    return json_format.Parse(body, pb.SdkStoragePolicy(), ignore_unknown_fields=True)


def policy_body(policy: pb.SdkStoragePolicy) -> str:
    """Give the document that holds a policy."""
    return json_format.MessageToJson(policy, preserving_proto_field_name=True, indent=None)


def check_access(call: Call, policy: pb.SdkStoragePolicy, access: Access, action: str) -> None:
    """Refuse a caller who may not do that much with the policy."""
    if not accessible(call, policy, access):
        raise SdkError(StatusCode.PERMISSION_DENIED, f"Access denied to {action} storage policy {policy.name}")


def accessible(call: Call, policy: pb.SdkStoragePolicy, access: Access) -> bool:
    """Tell whether the caller may do that much with the policy."""
    ownership = read_ownership(policy.ownership) if policy.HasField("ownership") else None
    return may(call.core.caller, ownership, access)


async def applied(call: Call, spec: spec_pb.VolumeSpec) -> spec_pb.VolumeSpec:
    """Give the spec of a new volume under the policy that it names, or the default one.

    A policy that is forced is not overruled: INVALID_ARGUMENT for each field
    that breaks it. Another one puts its values in place. NOT_FOUND for one
    that does not exist.
    """
    policy = await (policy_named(call.core, spec.storage_policy) if spec.storage_policy else default(call.core))
    if policy is None:
        return spec
    check_access(call, policy, Access.READ, "use")
    result = spec_pb.VolumeSpec()
    result.CopyFrom(spec)
    _apply(policy, result)
    result.storage_policy = policy.name
    return result


async def applied_to_update(call: Call, before: spec_pb.VolumeSpec, after: spec_pb.VolumeSpec) -> spec_pb.VolumeSpec:
    """Give the spec of a changed volume under the policy that it was made with.

    The policy is left aside when it allows that and the caller may write it,
    and when it is no more.
    """
    if not before.storage_policy or before == after:
        return after
    try:
        policy = await policy_named(call.core, before.storage_policy)
    except NotFound:
        return after
    if policy.allow_update and accessible(call, policy, Access.WRITE):
        return after
    _apply(policy, after)
    return after


def _apply(policy: pb.SdkStoragePolicy, spec: spec_pb.VolumeSpec) -> None:
    for field, value in policy.policy.ListFields():
        if field.name.endswith("_operator"):
            continue
        name = CALLED_OTHERWISE.get(field.name, field.name)
        if name == "volume_labels":
            _label(policy, spec, value)
            continue
        present = getattr(spec, name)
        wanted = _wanted(policy, field.name, present, value)
        if wanted == present or (name == _SCHEDULE and parse_schedule(wanted) == parse_schedule(present)):
            continue
        if policy.force:
            refuse(f"{name}: storage policy {policy.name} does not allow this value")
        if field.message_type is not None:
            present.CopyFrom(wanted)
        else:
            setattr(spec, name, wanted)


def _wanted(policy: pb.SdkStoragePolicy, name: str, present: Any, value: Any) -> Any:
    """Give the value nearest to the present one that the policy allows."""
    operator = getattr(policy.policy, _OPERATORS[name]) if name in _OPERATORS else _Op.Equal
    if operator == _Op.Minimum:
        return max(present, value)
    return min(present, value) if operator == _Op.Maximum else value


def _label(policy: pb.SdkStoragePolicy, spec: spec_pb.VolumeSpec, labels: Mapping[str, str]) -> None:
    for key, value in labels.items():
        if policy.force and spec.volume_labels.get(key, value) != value:
            refuse(f"volume_labels[{key}]: storage policy {policy.name} does not allow this value")
        spec.volume_labels[key] = value
