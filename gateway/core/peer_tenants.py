"""Use cases of tenants of two gateways that exchange what replications send.

An agreement between gateways lets nobody read anything: each of its tenants
has to be let in to one of ours. One side asks, the other one says yes, unless
it has said so beforehand (`Peer.allowed`).
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from uuid import UUID, uuid5

import msgspec

from gateway.core import documents, errors, peers
from gateway.core.context import Core
from gateway.core.follower_model import all_followers
from gateway.core.model import Tenant, utc_now
from gateway.core.peering import Peers
from gateway.core.peers import Peer
from gateway.core.query import And, Compare, Op
from gateway.core.replication_model import Replication
from gateway.core.volumes import check_name

KIND = "peer.tenant"

WAITING_MAX = 256
"""So many tenants of a peer may wait to be let in."""

NO_PEER = "read volumes of a tenant that is no peer"
"""The action of a PermissionDenied for a tenant that was not let in."""


class TenantState(enum.StrEnum):
    """Initiated: we asked, and wait. Pending: they asked, and wait. Only `peered` lets anybody in."""

    INITIATED = "initiated"
    PENDING = "pending"
    PEERED = "peered"
    REJECTED = "rejected"
    SUSPENDED = "suspended"


class TenantPeer(msgspec.Struct, frozen=True, kw_only=True):
    """A tenant of ours and one of a peer. `remote` is that one's name there, `name` what it is called here."""

    id: UUID
    tenant_id: UUID
    peer_id: UUID
    remote: str
    name: str
    state: TenantState
    created: datetime
    remote_id: UUID | None = None


class TenantAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What a peer says to who asks for one of its tenants: the tenant's id, and in what state the agreement is."""

    tenant_id: UUID
    state: TenantState


async def everyone(core: Core) -> list[TenantPeer]:
    """Give all of them."""
    return [msgspec.json.decode(one.body, type=TenantPeer) for one in await documents.all_of(core, KIND)]


async def get(core: Core, peering_id: UUID) -> TenantPeer:
    """Give one; NotFound."""
    found = await documents.named(core, KIND, str(peering_id))
    if found is None:
        raise errors.NotFound(kind="tenant peer", ref=str(peering_id))
    return msgspec.json.decode(found.body, type=TenantPeer)


async def propose(core: Core, tenant_id: UUID, peer_id: UUID, *, remote: str, name: str = "") -> TenantPeer:
    """Ask a peer to let a tenant of ours in to one of its own, and let that in to ours.

    AlreadyExists; NotFound when the peer has no tenant of that name; Unavailable when it does not answer.
    """
    tenant = await core.get(Tenant, tenant_id)
    check_name("name", name or remote)
    made = TenantPeer(
        id=_id(tenant_id, peer_id, remote),
        tenant_id=tenant_id,
        peer_id=peer_id,
        remote=remote,
        name=name or remote,
        state=TenantState.INITIATED,
        created=utc_now(),
    )
    for other in await everyone(core):
        if other.id == made.id or (other.tenant_id == tenant_id and other.name == made.name):
            raise errors.AlreadyExists(kind="tenant peer", name=made.name, field="name")
    answer = await _peers(core).propose(peer_id, made, called=tenant.name)
    made = msgspec.structs.replace(made, remote_id=answer.tenant_id)
    if answer.state is TenantState.PEERED:
        made = msgspec.structs.replace(made, state=TenantState.PEERED)
    await _keep(core, made)
    return made


async def proposed(core: Core, peer: Peer, *, remote_id: UUID, remote: str, wanted: str) -> TenantAnswer:
    """Answer a peer that asks for a tenant of ours. NotFound when there is none."""
    tenant = await core.find(Tenant, name=wanted)
    if tenant is None:
        raise errors.NotFound(kind="tenant", ref=wanted)
    check_name("remote", remote)
    key = _id(tenant.id, peer.id, remote)
    others = await everyone(core)
    present = next((one for one in others if one.id == key), None)
    waiting = [one for one in others if one.peer_id == peer.id and one.state is TenantState.PENDING]
    if present is None and len(waiting) >= WAITING_MAX:
        raise errors.LimitExceeded(limit="tenants that wait", value=len(waiting) + 1, minimum=0, maximum=WAITING_MAX)
    taken = {one.name for one in others if one.tenant_id == tenant.id}
    state = TenantState.PEERED if tenant.id in peer.allowed else TenantState.PENDING
    if present is not None and present.state is not TenantState.PENDING:
        # Both asked, or it asks again: whoever was rejected or suspended stays so.
        agreed = {TenantState.INITIATED, TenantState.PEERED}
        state = TenantState.PEERED if present.state in agreed else present.state
    made = TenantPeer(
        id=key,
        tenant_id=tenant.id,
        peer_id=peer.id,
        remote=remote,
        name=present.name if present is not None else remote if remote not in taken else f"{remote[:50]}-{key.hex[:8]}",
        state=state,
        created=utc_now() if present is None else present.created,
        remote_id=remote_id,
    )
    await _keep(core, made)
    return TenantAnswer(tenant_id=tenant.id, state=state)


async def turn(core: Core, peering_id: UUID, state: TenantState) -> TenantPeer:
    """Accept, reject or suspend; the peer is told, if it answers. InvalidState for who asked and waits itself."""
    before = await get(core, peering_id)
    if before.state is TenantState.INITIATED:
        raise errors.InvalidState(kind="tenant peer", ref=before.name, state=before.state, action="change")
    after = msgspec.structs.replace(before, state=state)
    await _keep(core, after)
    with suppress(errors.GatewayError):  # it asks again before it needs to know
        await _peers(core).tell(before.peer_id, after)
    return after


async def rename(core: Core, peering_id: UUID, name: str) -> None:
    """Call a peer's tenant otherwise here. AlreadyExists."""
    before = await get(core, peering_id)
    check_name("name", name)
    for other in await everyone(core):
        if other.id != before.id and (other.tenant_id, other.name) == (before.tenant_id, name):
            raise errors.AlreadyExists(kind="tenant peer", name=name, field="name")
    await _keep(core, msgspec.structs.replace(before, name=name))


async def told(core: Core, peer: Peer, *, tenant_id: UUID, remote_id: UUID, state: TenantState) -> None:
    """Take over from a peer in what state it sees an agreement; that it may not speak for us is seen to."""
    for one in await everyone(core):
        if (one.peer_id, one.tenant_id, one.remote_id) != (peer.id, tenant_id, remote_id):
            continue
        accepted = state is TenantState.PEERED and one.state is TenantState.INITIATED
        ended = state in {TenantState.REJECTED, TenantState.SUSPENDED}
        if accepted or ended:
            await _keep(core, msgspec.structs.replace(one, state=state))


async def forget(core: Core, peering_id: UUID) -> None:
    """End an agreement; the peer is told, if it answers. NotFound; InUse while replications need it."""
    found = await get(core, peering_id)
    here = And((Compare("source.peer_id", Op.EQ, found.peer_id), Compare("tenant.id", Op.EQ, found.tenant_id)))
    followed = [
        one for one in await all_followers(core) if (one.peer_id, one.reader_id) == (found.peer_id, found.remote_id)
    ]
    if await core.catalog.count(Replication, here) or followed:
        raise errors.InUse(kind="tenant peer", ref=found.name, by="replication", action="delete")
    await documents.delete(core, KIND, str(peering_id))
    with suppress(errors.GatewayError):
        await _peers(core).tell(found.peer_id, msgspec.structs.replace(found, state=TenantState.REJECTED))


async def part(core: Core, peer_id: UUID) -> None:
    """End an agreement with a peer, or take back the offer of one; the peer is told, if it answers.

    NotFound; InUse while tenants or replications need it.
    """
    peer = await peers.known(core, peer_id)
    theirs = [one for one in await everyone(core) if one.peer_id == peer_id]
    present = await core.catalog.get_many(Tenant, {one.tenant_id for one in theirs})
    if peer is not None and present:
        raise errors.InUse(kind="peer", ref=peer.name, by="tenants", action="delete")
    await peers.require_unneeded(core, peer_id)
    for one in theirs:
        await documents.delete(core, KIND, str(one.id))
    await peers.forget(core, peer_id)
    # Only now: one that does not answer must not stay let in for as long as it is waited for.
    if peer is not None and core.changes.context.peers is not None:
        with suppress(errors.GatewayError):
            await core.changes.context.peers.leave(peer)


async def require(core: Core, peer_id: UUID, *, tenant_id: UUID, remote_id: UUID) -> TenantPeer:
    """Give the agreement of a tenant of ours with one of a peer; PermissionDenied unless there is one in force."""
    for one in await everyone(core):
        if (one.peer_id, one.tenant_id, one.remote_id) == (peer_id, tenant_id, remote_id):
            if one.state is TenantState.PEERED:
                return one
            break
    raise errors.PermissionDenied(action=NO_PEER)


def so_called(those: Sequence[TenantPeer], word: str) -> TenantPeer | None:
    """Give the one of a tenant's agreements that is called so here, else the only one that is called so there.

    What others call themselves must not lead to another peer than the one that is meant.
    """
    found = [one for one in those if one.name == word] or [one for one in those if one.remote == word]
    return found[0] if len(found) == 1 else None


async def reading(core: Core, peer_id: UUID, tenant_id: UUID, remote: str) -> TenantPeer:
    """Give the agreement by which a tenant of ours reads a peer's that is called so here or there.

    One that waits is asked for again, as its peer may have accepted meanwhile.
    PermissionDenied unless it is in force.
    """
    mine = [one for one in await everyone(core) if (one.peer_id, one.tenant_id) == (peer_id, tenant_id)]
    found = so_called(mine, remote)
    if found is not None and found.state is TenantState.INITIATED:
        tenant = await core.get(Tenant, tenant_id)
        answer = await _peers(core).propose(peer_id, found, called=tenant.name)
        found = msgspec.structs.replace(found, remote_id=answer.tenant_id)
        if answer.state is not TenantState.PENDING:
            found = msgspec.structs.replace(found, state=answer.state)
        await _keep(core, found)
    if found is None or found.state is not TenantState.PEERED:
        raise errors.PermissionDenied(action=NO_PEER)
    return found


def _peers(core: Core) -> Peers:
    if core.changes.context.peers is None:
        raise errors.Unsupported(capability="peers", reason="this gateway is not configured to have peers")
    return core.changes.context.peers


def _id(tenant_id: UUID, peer_id: UUID, remote: str) -> UUID:
    return uuid5(tenant_id, f"{peer_id}/{remote}")


async def _keep(core: Core, peering: TenantPeer) -> None:
    await documents.put_named(core, KIND, str(peering.id), msgspec.json.encode(peering).decode())
