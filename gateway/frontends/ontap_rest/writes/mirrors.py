"""SnapMirror relationships: create, and everything that a PATCH can mean."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from gateway.core import errors, followers, jobs, replications, transfers
from gateway.core.follower_model import Follower
from gateway.core.model import Job, Tenant, Volume
from gateway.core.replication_model import Replication, ReplicationState
from gateway.core.replications import NewReplication, ReplicationChange
from gateway.core.transferring import mark
from gateway.frontends.ontap_rest.ask import Ask
from gateway.frontends.ontap_rest.body import Values
from gateway.frontends.ontap_rest.errors import WireError
from gateway.frontends.ontap_rest.render.mirror import KIB, path_of, source_end
from gateway.frontends.ontap_rest.schema import Verb
from gateway.frontends.ontap_rest.sources_mirror import ends_of
from gateway.frontends.ontap_rest.writes.mirror_ends import destination_of, source_of
from gateway.frontends.ontap_rest.writes.mirror_policies import policy_of, schedule_of
from gateway.frontends.ontap_rest.writes.names import text

NOUN = "snapmirror_relationship"
_MIRRORED = "snapmirrored"
_STATES: Mapping[str, str] = {_MIRRORED: "mirror", "broken_off": "break", "paused": "pause"}
"""What a PATCH asks for -> the operation that it is."""

_POLICY = "Asynchronous"
_SYNCHRONOUS = frozenset({"in_sync", "out_of_sync", "synchronizing", "expanding", "shrinking"})
_WITH_STATE: Mapping[str, tuple[str, str]] = {
    "preserve": ("13303836", _MIRRORED),
    "quick_resync": ("13303836", _MIRRORED),
    "restore_to_snapshot": ("13303835", "broken_off"),
}
"""Flags of a PATCH -> the code of their refusal without the state that they belong to."""

_FLAGS = ("failback", "failover", "force", "force-failover", "validate_only")
_SIDES = ("destination_only", "source_only", "source_info_only")
_ENDS = ("source.path", "destination.path")


def operation(ask: Ask, values: Values) -> str:
    """Give what a request does, by which errors are told apart."""
    if ask.verb is Verb.POST:
        return f"{NOUN}.create"
    if ask.verb is Verb.DELETE:
        return f"{NOUN}.delete"
    if any(path in values for path in _ENDS):
        return f"{NOUN}.reverse"
    return f"{NOUN}.{_STATES.get(text(values, 'state') or '', 'update')}"


def precheck(ask: Ask, values: Values) -> None:
    """Refuse what no relationship can do here, and flags that exclude each other or lack their state."""
    options = ask.parameters.options
    for flag in _FLAGS:
        if options.get(flag) is True:
            raise _unsupported(flag, "a failover is a break here, and what is asked for is done or refused as a whole")
    if len([side for side in _SIDES if options.get(side) is True]) > 1:
        message = f"Only one of {', '.join(_SIDES)} can be given."
        raise WireError(400, "262186", message=message, target=_SIDES[0])
    state = text(values, "state")
    if state in _SYNCHRONOUS:
        raise _unsupported("state", f'"{state}" is for synchronous policies, of which there are none', "13303866")
    for path, (code, wanted) in _WITH_STATE.items():
        if ask.verb is Verb.PATCH and values.get(path) not in (None, False, "") and state != wanted:
            message = f'Field "{path}" can be set only together with the state "{wanted}".'
            raise WireError(400, code if state else "13303837", message=message, target=path)


async def create(ask: Ask, values: Values) -> Job:
    """Make a relationship, with `create_destination` its destination first, and begin to fill that when asked to."""
    core = ask.core
    state = text(values, "state")
    if state not in {None, "uninitialized", _MIRRORED}:
        raise WireError(400, "13303817", message=f'A relationship cannot begin as "{state}".', target="state")
    source = await source_of(ask, values)
    schedule = await schedule_of(core, values)
    async with destination_of(ask, values, source) as volume:
        policy = await policy_of(core, values, volume.tenant_id, fallback=_POLICY)
        new = NewReplication(
            source_id=source.id,
            far=source if source.peer_id is not None else None,
            destination_id=volume.id,
            policy_id=policy.id,
            schedule=None if schedule is msgspec.UNSET else schedule,
            throttle=_throttle(values),
        )
        made = await replications.create(core, new, description=ask.description)
    if state == _MIRRORED:
        await transfers.transfer(core, made.id, description=ask.description)
    return await _done(ask, made, "create")


async def modify(ask: Ask, replication: Replication | Follower, values: Values) -> Job:
    """Change a relationship's policy, schedule or throttle, turn it around, and bring it into another state."""
    core = ask.core
    if isinstance(replication, Follower):
        message = "The relationship is of the cluster at which its destination is, and is changed there."
        raise WireError(409, "13303841", message=message, target="uuid")
    reverse = await _reversed(ask, replication, values)
    await _change(ask, replication, values)
    if reverse:
        await replications.reverse(core, replication.id, description=ask.description)
        return await _done(ask, replication, "reverse")
    state = text(values, "state")
    if state is not None:
        await _bring(ask, await core.get(Replication, replication.id), state)
    return await _done(ask, replication, _STATES.get(state or "", "update"))


async def delete(ask: Ask, replication: Replication | Follower) -> Job:
    """End a relationship. `destination_only` leaves both ends a snapshot from which another one can go on.

    A destination that nothing has come to stays one, and waits for another source.
    One whose destination is at a peer is released: with `source_only` the
    snapshots that were taken for it go, with `source_info_only` they stay.
    """
    if isinstance(replication, Follower):
        return await _released(ask, replication)
    for side in _SIDES[1:]:
        if ask.parameters.options.get(side) is True:
            message = (
                'Failed to release the relationship. Reason: its destination follows; delete with "destination_only".'
            )
            raise WireError(409, "13303822", message=message, target=side)
    keep_source = ask.parameters.options.get("destination_only") is True
    await replications.delete(ask.core, replication.id, keep_source=keep_source, description=ask.description)
    if replication.state is ReplicationState.UNINITIALIZED:
        await mark(ask.core, replication.volume_id, replication.volume_id, description=ask.description)
    return await _done(ask, replication, "delete")


async def _released(ask: Ask, follower: Follower) -> Job:
    options = ask.parameters.options
    if not any(options.get(side) is True for side in _SIDES[1:]):
        message = (
            "Failed to release the relationship. Reason: its destination is at another cluster; "
            'delete it there, or release it here with "source_only".'
        )
        raise WireError(409, "13303822", message=message, target="source_only")
    snapshots_too = options.get("source_info_only") is not True
    await followers.let_go(
        ask.core, follower.volume_id, follower.id, snapshots_too=snapshots_too, description=ask.description
    )
    volume = await ask.core.get(Volume, follower.volume_id)
    return await jobs.finished(
        ask.core,
        f"{NOUN}.delete",
        description=ask.description,
        tenant=await ask.core.get(Tenant, volume.tenant_id),
        target_id=follower.id,
    )


async def put_back(ask: Ask, before: Replication, after: Replication) -> None:
    """Undo a change of values. InvalidState where content went the one way or the other."""
    if (before.state, before.source.volume_id) != (after.state, after.source.volume_id):
        raise errors.InvalidState(kind="replication", ref=str(after.id), state=after.state.value, action="take back")
    change = ReplicationChange(policy_id=before.policy_id, schedule=before.schedule, throttle=before.throttle)
    await replications.change(ask.core, after.id, change)


async def _bring(ask: Ask, replication: Replication, state: str) -> None:
    core, key, description = ask.core, replication.id, ask.description
    now = replication.state
    if state == "paused":
        await replications.pause(core, key)
    elif state == "broken_off":
        await replications.break_(core, key, description=description)
    elif state != _MIRRORED:
        raise WireError(409, "13303818", message=f'The state cannot be changed to "{state}".', target="state")
    elif now is ReplicationState.MIRRORED:
        raise WireError(409, "13303832", message="The relationship is already initialized.", target="state")
    elif now is ReplicationState.PAUSED:
        await replications.resume(core, key)
    elif now is ReplicationState.BROKEN:
        await replications.resync(core, key, description=description)
    else:
        await transfers.transfer(core, key, description=description)


async def _change(ask: Ask, replication: Replication, values: Values) -> None:
    core, unset = ask.core, msgspec.UNSET
    named = {"policy.name", "policy.uuid"} & values.keys()
    policy = await policy_of(core, values, replication.tenant_id, fallback=_POLICY) if named else None
    change = ReplicationChange(
        policy_id=unset if policy is None else policy.id,
        schedule=await schedule_of(core, values),
        throttle=_throttle(values) if "throttle" in values else unset,
    )
    if change != ReplicationChange():
        await replications.change(core, replication.id, change)


async def _reversed(ask: Ask, replication: Replication, values: Values) -> bool:
    """Tell whether the body swaps the ends; what names them as they are asks for nothing."""
    if not any(path in values for path in _ENDS):
        return False
    ends = (await ends_of(ask.core, [replication]))[replication.id]
    source_path = None if ends.hidden else source_end(replication, ends)["path"]
    destination_path = path_of(ends.tenant.name, ends.volume.name)
    wanted = [text(values, path) for path in _ENDS]
    if all(given in (None, present) for given, present in zip(wanted, (source_path, destination_path), strict=True)):
        return False
    if wanted == [destination_path, source_path] and ends.peer is not None:
        message = (
            "The ends of a relationship between clusters are not swapped: break it, "
            f'and create one from "{destination_path}" to "{source_path}" at cluster "{ends.peer.name}".'
        )
        raise WireError(400, "13303841", message=message, target="source.path")
    if wanted == [destination_path, source_path]:
        return True
    changed = _ENDS[0] if wanted[0] not in {None, source_path} else _ENDS[1]
    raise WireError(
        400,
        "13303841",
        message="The ends of a relationship can be swapped, by both paths, and not changed otherwise.",
        target=changed,
    )


def _throttle(values: Values) -> int | None:
    throttle = values.get("throttle")
    return throttle * KIB if isinstance(throttle, int) else None


async def _done(ask: Ask, replication: Replication, word: str) -> Job:
    tenant = await ask.core.get(Tenant, replication.tenant_id)
    return await jobs.finished(
        ask.core,
        f"{NOUN}.{word}",
        description=ask.description,
        tenant=tenant,
        target_id=replication.id,
    )


def _unsupported(field: str, why: str, code: str = "262144017") -> WireError:
    message = f'The operation is not supported on this platform. Field "{field}": {why}.'
    return WireError(400, code, message=message, target=field)
