"""Storage policies: make, change, list, and which one is the default."""

from __future__ import annotations

from grpc import StatusCode

from gateway.core import documents, errors
from gateway.core.ownership import Access, owned
from gateway.frontends.openstorage import storage_rules as rules
from gateway.frontends.openstorage.call import Call, SdkError, refuse, required
from gateway.frontends.openstorage.ownerships import ownership_message, read_ownership
from gateway.frontends.openstorage.pb import storage_policy_pb2 as pb
from gateway.frontends.openstorage.spec.schedule import parse_schedule
from gateway.frontends.openstorage.specs import check_enums

_WHAT = "storage policy name"


async def create(call: Call, request: pb.SdkOpenStoragePolicyCreateRequest) -> pb.SdkOpenStoragePolicyCreateResponse:
    """Make a policy, which is its maker's. ALREADY_EXISTS for its name."""
    policy = _checked(request.storage_policy)
    ownership = owned(call.core.caller, read_ownership(policy.ownership) if policy.HasField("ownership") else None)
    policy.ClearField("ownership")
    if ownership is not None:
        policy.ownership.CopyFrom(ownership_message(ownership))
    await documents.create(call.core, rules.KIND, policy.name, rules.policy_body(policy))
    return pb.SdkOpenStoragePolicyCreateResponse()


async def update(call: Call, request: pb.SdkOpenStoragePolicyUpdateRequest) -> pb.SdkOpenStoragePolicyUpdateResponse:
    """Replace a policy; its owner stays."""
    policy = _checked(request.storage_policy)
    present = await documents.named(call.core, rules.KIND, policy.name)
    if present is None:
        raise errors.NotFound(kind="Storage policy", ref=policy.name)
    before = rules.read_policy(present.body)
    rules.check_access(call, before, Access.WRITE, "update")
    if policy.HasField("ownership"):
        rules.check_access(call, before, Access.ADMIN, "change the rights to")
    if policy.HasField("ownership") and before.HasField("ownership"):
        policy.ownership.owner = before.ownership.owner
    elif before.HasField("ownership"):
        policy.ownership.CopyFrom(before.ownership)
    await documents.replace(call.core, present, rules.policy_body(policy))
    return pb.SdkOpenStoragePolicyUpdateResponse()


async def enumerate_(
    call: Call, _request: pb.SdkOpenStoragePolicyEnumerateRequest
) -> pb.SdkOpenStoragePolicyEnumerateResponse:
    """Give the policies that the caller may read."""
    found = [rules.read_policy(document.body) for document in await documents.all_of(call.core, rules.KIND)]
    return pb.SdkOpenStoragePolicyEnumerateResponse(
        storage_policies=[policy for policy in found if rules.accessible(call, policy, Access.READ)]
    )


async def inspect(call: Call, request: pb.SdkOpenStoragePolicyInspectRequest) -> pb.SdkOpenStoragePolicyInspectResponse:
    """Give a policy."""
    policy = await rules.policy_named(call.core, required(request.name, _WHAT))
    rules.check_access(call, policy, Access.READ, "inspect")
    return pb.SdkOpenStoragePolicyInspectResponse(storage_policy=policy)


async def delete(call: Call, request: pb.SdkOpenStoragePolicyDeleteRequest) -> pb.SdkOpenStoragePolicyDeleteResponse:
    """Remove a policy, and the default if it was that. One that does not exist is removed already."""
    name = required(request.name, _WHAT)
    present = await documents.named(call.core, rules.KIND, name)
    if present is not None:
        rules.check_access(call, rules.read_policy(present.body), Access.ADMIN, "delete")
        if await rules.default_name(call.core) == name:
            await documents.delete(call.core, rules.DEFAULT_KIND, rules.DEFAULT)
        await documents.delete(call.core, rules.KIND, name)
    return pb.SdkOpenStoragePolicyDeleteResponse()


async def set_default(
    call: Call, request: pb.SdkOpenStoragePolicySetDefaultRequest
) -> pb.SdkOpenStoragePolicySetDefaultResponse:
    """Make a policy that of all volumes which name none. Administrators only."""
    _administrators_only(call)
    policy = await rules.policy_named(call.core, required(request.name, _WHAT))
    await documents.put_named(call.core, rules.DEFAULT_KIND, rules.DEFAULT, policy.name)
    return pb.SdkOpenStoragePolicySetDefaultResponse()


async def default_inspect(
    call: Call, _request: pb.SdkOpenStoragePolicyDefaultInspectRequest
) -> pb.SdkOpenStoragePolicyDefaultInspectResponse:
    """Give the default policy; an empty answer when there is none."""
    return pb.SdkOpenStoragePolicyDefaultInspectResponse(storage_policy=await rules.default(call.core))


async def release(
    call: Call, _request: pb.SdkOpenStoragePolicyReleaseRequest
) -> pb.SdkOpenStoragePolicyReleaseResponse:
    """Have no default policy any more. Administrators only."""
    _administrators_only(call)
    await documents.delete(call.core, rules.DEFAULT_KIND, rules.DEFAULT)
    return pb.SdkOpenStoragePolicyReleaseResponse()


def _checked(asked: pb.SdkStoragePolicy) -> pb.SdkStoragePolicy:
    """Give a copy of a policy with a name and rules in it."""
    required(asked.name, _WHAT)
    if not asked.HasField("policy"):
        refuse("Must supply the rules of the storage policy")
    check_enums(asked)
    if asked.policy.passphrase:
        refuse("policy.passphrase: encrypted volumes cannot be had")
    parse_schedule(asked.policy.snapshot_schedule, field="policy.snapshot_schedule")
    policy = pb.SdkStoragePolicy()
    policy.CopyFrom(asked)
    return policy


def _administrators_only(call: Call) -> None:
    caller = call.core.caller
    if caller is not None and not caller.administrator:
        raise SdkError(StatusCode.PERMISSION_DENIED, "Access denied: only administrators set the default policy")
