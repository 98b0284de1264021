"""Where the records of SnapMirror come from: relationships are replications of the core."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial
from uuid import UUID

from gateway.core import peers
from gateway.core.catalog import walk
from gateway.core.context import Core
from gateway.core.follower_model import Follower, all_followers
from gateway.core.model import Schedule, Snapshot, Tenant, Volume, utc_now
from gateway.core.ownership import visible
from gateway.core.query import ALL, And, Compare, Filter, IsNull, Op, Or, Order, Query
from gateway.core.replication_model import Replication, ReplicationPolicy, Transfer
from gateway.core.schedules import named
from gateway.frontends.ontap_rest.ask import Ask, uuid_key
from gateway.frontends.ontap_rest.errors import no_entry
from gateway.frontends.ontap_rest.render.mirror import (
    Ends,
    MirrorRefs,
    render_follower,
    render_mirror_policy,
    render_relationship,
    render_transfer,
)
from gateway.frontends.ontap_rest.sources import EVERY, CatalogSource, Item, ListSource, Rendered, stamp
from gateway.frontends.ontap_rest.tree import AllOf, Node
from gateway.frontends.ontap_rest.tree import Compare as Condition

_SOURCE = "source.path"
_OF_RELATIONSHIP = "relationship.uuid"


class Relationships(CatalogSource[Replication]):
    """Relationships, of which those whose destination the caller may read show.

    `list_destinations_only`: those that read a volume of this gateway, also
    where their destination is at a peer.
    """

    kind = Replication
    reader_field = "volume.reader"
    ages = True

    async def base(self, ask: Ask) -> Filter:
        """Narrow to the source that is asked for, by its present name."""
        terms = [await super().base(ask)]
        if ask.parameters.options.get("list_destinations_only") is True:
            terms.append(IsNull("source.peer_id"))
        terms += [await _reading(ask.core, path) for path in _equal(ask.parameters.where, _SOURCE)]
        return And(tuple(terms))

    async def instead(self, ask: Ask) -> ListSource | None:
        """Give what also has the destinations at peers, where they are asked for and there are any."""
        if ask.parameters.options.get("list_destinations_only") is not True:
            return None
        found = await followers_shown(ask)
        return _Destinations(self, found) if found else None

    async def item(self, ask: Ask) -> Item:
        """Look for those that peers have, too."""
        wanted = uuid_key(ask.keys[-1])
        for follower, rendered in await followers_shown(ask):
            if follower.id == wanted:
                return Item(follower, partial(dict, rendered))
        return await super().item(ask)

    async def one(self, ask: Ask) -> Replication:
        """Read by id."""
        return await self.relationship(ask)

    async def relationship(self, ask: Ask) -> Replication:
        """Give the relationship that the path's first key names."""
        found = await ask.core.catalog.get(Replication, uuid_key(ask.keys[0]))
        if found is None or not self.visible(ask, found):
            raise no_entry()
        if ask.core.caller is not None:
            volume = await ask.core.catalog.get(Volume, found.volume_id)
            if volume is None or not visible(ask.core.caller, volume):
                raise no_entry()
        return found

    async def items(self, ask: Ask, records: Sequence[Replication]) -> list[Item]:
        """Read the names of both ends, of the policy, the newest common snapshot and the schedules."""
        core, now = ask.core, utc_now()
        ends = await ends_of(core, records)
        policies = await core.catalog.get_many(ReplicationPolicy, {r.policy_id for r in records})
        bases = await core.catalog.get_many(Snapshot, {r.base_id for r in records if r.base_id})
        transfers = await core.catalog.get_many(Transfer, {r.transfer_id for r in records if r.transfer_id})
        schedules = await named(core, (r.schedule for r in records if r.schedule))
        items: list[Item] = []
        for replication in records:
            policy = policies.get(replication.policy_id)
            if replication.id not in ends or policy is None:
                continue
            refs = MirrorRefs(
                ends=ends[replication.id],
                policy=policy,
                base=bases.get(replication.base_id) if replication.base_id else None,
                transfer=transfers.get(replication.transfer_id) if replication.transfer_id else None,
                schedules=schedules,
            )
            items.append(Item(replication, partial(render_relationship, replication, refs, now=now)))
        return items


class _Destinations:
    """The relationships that read a volume of this gateway, wherever their destinations are."""

    def __init__(self, here: Relationships, there: Sequence[tuple[Follower, Rendered]]) -> None:
        self._here = here
        self._there = there

    async def list(self, ask: Ask) -> Sequence[tuple[object, Rendered]]:
        """Give all of them."""
        own = [
            one
            async for one in walk(
                ask.core.catalog, Replication, Query(where=await self._here.base(ask), order=(Order("created"),))
            )
        ]
        return [*await self._here.render(ask, own), *self._there]


class Transfers(CatalogSource[Transfer]):
    """The transfers of one relationship, or of all (`*`), that are under way; those that ended are found by uuid."""

    kind = Transfer
    tenant_field = None
    reader_field = "volume.reader"
    ages = True

    def __init__(self, relationships: Relationships) -> None:
        self._relationships = relationships

    async def base(self, ask: Ask) -> Filter:
        """Restrict to the path's relationship, which must exist."""
        terms = [await super().base(ask), IsNull("ended")]
        if ask.keys[0] != EVERY:
            relationship = await self._relationships.relationship(ask)
            terms.append(Compare("replication.id", Op.EQ, relationship.id))
        return And(tuple(terms))

    async def one(self, ask: Ask) -> Transfer:
        """Read by id; it must be the path's relationship's."""
        relationship = await self._relationships.relationship(ask)
        found = await ask.core.catalog.get(Transfer, uuid_key(ask.keys[-1]))
        if found is None or found.replication_id != relationship.id:
            raise no_entry()
        return found

    async def items(self, ask: Ask, records: Sequence[Transfer]) -> list[Item]:
        """Read the relationships and the snapshots that are sent."""
        core, now = ask.core, utc_now()
        replications = await core.catalog.get_many(Replication, {t.replication_id for t in records})
        ends = await ends_of(core, replications.values())
        snapshots = await core.catalog.get_many(Snapshot, {t.snapshot_id for t in records if t.snapshot_id})
        items: list[Item] = []
        for transfer in records:
            replication = replications.get(transfer.replication_id)
            if replication is None or replication.id not in ends or not self._relationships.visible(ask, replication):
                continue
            snapshot = snapshots.get(transfer.snapshot_id) if transfer.snapshot_id else None
            render = partial(render_transfer, transfer, replication, ends[replication.id], snapshot=snapshot, now=now)
            items.append(Item(transfer, render))
        return items


class MirrorPolicies(CatalogSource[ReplicationPolicy]):
    """SnapMirror policies, of the cluster and of SVMs."""

    kind = ReplicationPolicy

    async def base(self, ask: Ask) -> Filter:
        """Show the cluster's through every tunnel."""
        own = await super().base(ask)
        return own if own == ALL else Or((own, IsNull("tenant.id")))

    async def items(self, ask: Ask, records: Sequence[ReplicationPolicy]) -> list[Item]:
        """Read the names of the SVMs, and the schedules."""
        tenants = await ask.core.known.get_many(Tenant, {p.tenant_id for p in records if p.tenant_id})
        schedules = await named(ask.core, _schedules(records))
        items: list[Item] = []
        for policy in records:
            tenant = tenants.get(policy.tenant_id) if policy.tenant_id else None
            render = partial(render_mirror_policy, policy, tenant, schedules)
            shown = stamp(policy, tenant, *_ordered(policy, schedules))
            items.append(Item(policy, render, shown))
        return items


async def ends_of(core: Core, records: Collection[Replication]) -> Mapping[UUID, Ends]:
    """Give the ends of replications by their ids; one whose destination went away meanwhile is left out."""
    here = {r.source.volume_id for r in records if r.source.peer_id is None}
    volumes = await core.catalog.get_many(Volume, {r.volume_id for r in records} | here)
    tenants = await core.known.get_many(Tenant, {volume.tenant_id for volume in volumes.values()})
    found: dict[UUID, Ends] = {}
    far = {peer.id: peer for peer in await peers.everyone(core)} if any(r.source.peer_id for r in records) else {}
    for replication in records:
        volume = volumes.get(replication.volume_id)
        tenant = None if volume is None else tenants.get(volume.tenant_id)
        if volume is None or tenant is None:
            continue
        source = volumes.get(replication.source.volume_id) if replication.source.peer_id is None else None
        known = core.caller is None or (source is not None and visible(core.caller, source))
        found[replication.id] = Ends(
            source_volume=source,
            source_tenant=tenants.get(source.tenant_id) if source is not None else None,
            tenant=tenant,
            volume=volume,
            peer=far.get(replication.source.peer_id) if replication.source.peer_id is not None else None,
            hidden=not known,
        )
    return found


async def followers_shown(ask: Ask) -> list[tuple[Follower, Rendered]]:
    """Give what follows volumes of this gateway at peers, as far as the caller may know of the volumes."""
    core = ask.core
    followers = await all_followers(core)
    if not followers:
        return []
    volumes = await core.catalog.get_many(Volume, {one.volume_id for one in followers})
    tenants = await core.known.get_many(Tenant, {volume.tenant_id for volume in volumes.values()})
    known = {peer.id: peer for peer in await peers.everyone(core)}
    found: list[tuple[Follower, Rendered]] = []
    for one in followers:
        volume = volumes.get(one.volume_id)
        if volume is None or not visible(core.caller, volume) or volume.tenant_id not in tenants:
            continue
        if ask.tenant is None or ask.tenant.id == volume.tenant_id:
            found.append((one, render_follower(one, volume, tenants[volume.tenant_id], known.get(one.peer_id))))
    return found


def _schedules(policies: Iterable[ReplicationPolicy]) -> set[str]:
    rules = {rule.schedule for policy in policies for rule in policy.rules}
    return (rules | {policy.schedule for policy in policies}) - {""}


def _ordered(policy: ReplicationPolicy, schedules: Mapping[str, Schedule]) -> list[Schedule | None]:
    return [schedules.get(name) for name in sorted(_schedules([policy]))]


def _equal(where: Node, path: str) -> list[str]:
    """Give the values that a query says a path has."""
    terms = where.terms if isinstance(where, AllOf) else (where,)
    found = [term for term in terms if isinstance(term, Condition) and term.path == path and term.op is Op.EQ]
    return [str(term.value) for term in found]


async def _reading(core: Core, path: str) -> Filter:
    """Select the replications that may read what is called so: by the volume's id, or by the names as last known."""
    tenant, _, volume = path.partition(":")
    if "\0" in path:
        return ALL
    known = And((Compare("source.tenant", Op.EQ, tenant), Compare("source.volume", Op.EQ, volume)))
    found = await core.known.named(Tenant, tenant)
    source = await core.find(Volume, name=volume, tenant__id=found.id) if found is not None else None
    return known if source is None else Or((known, Compare("source.volume_id", Op.EQ, source.id)))
