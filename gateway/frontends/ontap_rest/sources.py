"""Where the records of each resource come from, and how they are rendered.

A source is either backed by the catalog, which then filters, orders and pages,
or lists the few records there are and leaves filtering to the reader.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from functools import partial
from typing import Any, Generic, Protocol, TypeVar
from uuid import NAMESPACE_URL, UUID, uuid5

import msgspec

from gateway import __version__
from gateway.core.accounts import LocalAccounts, NoLocalAccounts
from gateway.core.assigned import may_use
from gateway.core.context import Core
from gateway.core.manifest import CLUSTER_ID, everything
from gateway.core.model import (
    ExportPolicy,
    ExportRule,
    Job,
    Pool,
    Record,
    Schedule,
    SnapshotPolicy,
    SnapshotSchedule,
    Tenant,
    Volume,
)
from gateway.core.ownership import readable, visible
from gateway.core.query import ALL, NONE, And, Compare, Filter, IsNull, Op, Or, Query
from gateway.core.schedules import named
from gateway.core.tenants import DEFAULT_POLICY
from gateway.core.trail import NoTrail, Trail
from gateway.frontends.ontap_rest.ask import Ask, uuid_key
from gateway.frontends.ontap_rest.errors import no_entry
from gateway.frontends.ontap_rest.processors import COUNTERS, render_statistics
from gateway.frontends.ontap_rest.release import DEFAULT_RELEASE, Release
from gateway.frontends.ontap_rest.render.cluster import (
    NodeFacts,
    render_job,
    render_node,
)
from gateway.frontends.ontap_rest.render.policies import (
    render_export_policy,
    render_export_rule,
    render_policy_line,
    render_schedule,
    render_snapshot_policy,
)
from gateway.frontends.ontap_rest.render.storage import (
    render_aggregate,
    render_svm,
)
from gateway.frontends.ontap_rest.scalars import INTEGER_MAX

Rendered = dict[str, Any]
R = TypeVar("R", bound=Record)
PRODUCT = "volume-gateway"
_DIGITS = len(str(INTEGER_MAX))
EVERY = "*"
"""Stands for any parent in the path (`storage/volumes/*/snapshots`)."""


class DataAddress(msgspec.Struct, frozen=True, kw_only=True):
    """Where clients find an exporter; `kind` as `[export.*]` names it."""

    kind: str
    address: str


class Site(msgspec.Struct, frozen=True, kw_only=True):
    """What the cluster resources tell: name and id of the cluster, data addresses, when the process started.

    `accounts` are those of the operator, `trail` is what this gateway keeps of what it did.
    """

    name: str
    cluster_id: UUID
    addresses: tuple[DataAddress, ...]
    started: float
    release: Release = DEFAULT_RELEASE
    accounts: LocalAccounts = NoLocalAccounts()
    trail: Trail = NoTrail()

    @property
    def software(self) -> str:
        """Give the product's own name and version."""
        return f"{PRODUCT} {__version__}"

    def node(self) -> NodeFacts:
        """Give the one node: this process's host."""
        return NodeFacts(
            id=uuid5(self.cluster_id, "node"),
            name=f"{self.name}-01",
            software=self.software,
            uptime=int(time.monotonic() - self.started),
            release=self.release,
        )

    @classmethod
    async def of(
        cls,
        core: Core,
        *,
        name: str,
        addresses: tuple[DataAddress, ...],
        release: Release = DEFAULT_RELEASE,
        accounts: LocalAccounts | None = None,
        trail: Trail | None = None,
    ) -> Site:
        """Read the cluster's id from the catalog."""
        found = await core.catalog.setting(CLUSTER_ID)
        cluster_id = UUID(found) if found else uuid5(NAMESPACE_URL, name)
        return cls(
            name=name,
            cluster_id=cluster_id,
            addresses=addresses,
            started=time.monotonic(),
            release=release,
            accounts=accounts or NoLocalAccounts(),
            trail=trail or NoTrail(),
        )


class Item(msgspec.Struct, frozen=True):
    """A record and its rendering, made when it is wanted.

    Items of one resource with equal stamps render alike: a stamp is the
    revisions of everything that shows. None: something else shows too.
    `whole` is the catalog's record where that gives several items, of which
    this is number `part`, from 1.
    """

    record: Any
    render: Callable[[], Rendered]
    stamp: tuple[int, ...] | None = None
    whole: Any = None
    part: int = 0


class CatalogSource(Generic[R]):
    """Records that the catalog pages, keyed by their id.

    They are restricted to the tunnelled SVM by `tenant_field`, and to what the
    caller may read by `reader_field`: the rest is as if it were not there.
    `one_each`: every record that `base` selects gives one item. Otherwise it
    may give none, or several that say which part of it they are. `ages`: what
    it shows changes by itself, so no answer is kept.
    """

    kind: type[R]
    tenant_field: str | None = "tenant.id"
    reader_field: str | None = None
    one_each = True
    ages = False

    async def base(self, ask: Ask) -> Filter:
        """Give what the path and the tunnel restrict the collection to; WireError when the parent is missing."""
        terms: list[Filter] = []
        if ask.tenant is not None and self.tenant_field is not None:
            terms.append(Compare(self.tenant_field, Op.EQ, ask.tenant.id))
        if self.reader_field is not None and ask.core.caller is not None:
            readers = readable(ask.core.caller, field=self.reader_field)
            terms += [] if readers is None else [readers]
        return terms[0] if len(terms) == 1 else And(tuple(terms))

    def fields(self, ask: Ask) -> Collection[str]:
        """Give the catalog's fields by which the caller may have records selected."""
        return ask.core.catalog.fields(self.kind)

    def hidden(self, ask: Ask) -> Filter:
        """Select what the collection does not show although `base` selects it: few records, if any."""
        del ask
        return NONE

    async def one(self, ask: Ask) -> R:
        """Give the record that the path's keys name; WireError 4 when there is none."""
        found = await ask.core.catalog.get(self.kind, uuid_key(ask.keys[-1]))
        if found is None or not self.visible(ask, found):
            raise no_entry()
        return found

    async def instead(self, ask: Ask) -> ListSource | None:
        """Give what is listed instead of what the catalog has, None for nothing."""
        del ask
        return None

    async def item(self, ask: Ask) -> Item:
        """Give the same as an item."""
        items = await self.items(ask, [await self.one(ask)])
        if not items:
            raise no_entry()
        return items[0]

    def visible(self, ask: Ask, record: R) -> bool:
        """Tell whether the tunnel shows the record, and the caller may know of it."""
        if isinstance(record, Volume) and not visible(ask.core.caller, record):
            return False
        tenant_id = getattr(record, "tenant_id", None)
        return ask.tenant is None or tenant_id is None or tenant_id == ask.tenant.id

    @abstractmethod
    async def items(self, ask: Ask, records: Sequence[R]) -> list[Item]:
        """Read what the records refer to. One whose tenant or parent went away meanwhile is left out."""

    async def render(self, ask: Ask, records: Sequence[R]) -> list[tuple[R, Rendered]]:
        """Render records, whole."""
        return [(item.record, item.render()) for item in await self.items(ask, records)]


class ListSource(Protocol):
    """Records that are few enough to list: pairs of what the writers need and the rendering."""

    async def list(self, ask: Ask) -> Sequence[tuple[object, Rendered]]:
        """Give every record below the path."""


class PagedSource(ABC):
    """Records that are too many to list, and not in the catalog: those of a directory."""

    @abstractmethod
    async def item(self, ask: Ask) -> Item:
        """Give the record that the path's keys name, as those that change it need it."""

    @abstractmethod
    def walk(self, ask: Ask, after: str) -> AsyncIterator[tuple[str, Item]]:
        """Yield the records from a cursor on (empty: all), each with the cursor that leads on from it."""


Source = CatalogSource[Any] | ListSource | PagedSource


class Svms(CatalogSource[Tenant]):
    """SVMs."""

    kind = Tenant
    tenant_field = "id"

    def __init__(self, site: Site) -> None:
        self._nfs = any(address.kind == "nfs" for address in site.addresses)

    def visible(self, ask: Ask, record: Tenant) -> bool:
        """Show the tunnelled SVM only."""
        return ask.tenant is None or record.id == ask.tenant.id

    async def items(self, ask: Ask, records: Sequence[Tenant]) -> list[Item]:
        """Read the aggregates that an SVM may use, those assigned to it or all, and the policies of its new volumes."""
        pools = await everything(ask.core.catalog, Pool)
        chosen = {tenant.snapshot_policy_id for tenant in records if tenant.snapshot_policy_id is not None}
        assigned = await ask.core.known.get_many(SnapshotPolicy, chosen)
        of_cluster = And((Compare("name", Op.EQ, DEFAULT_POLICY), IsNull("tenant.id")))
        (usual,) = (await ask.core.catalog.page(SnapshotPolicy, Query(where=of_cluster, limit=1))).records or (None,)
        items: list[Item] = []
        for tenant in records:
            own = [pool for pool in pools if may_use(tenant, pool.id)]
            policy = assigned.get(tenant.snapshot_policy_id) if tenant.snapshot_policy_id else usual
            items.append(Item(tenant, partial(render_svm, tenant, own, policy=policy or usual, nfs=self._nfs)))
        return items


class Aggregates(CatalogSource[Pool]):
    """Aggregates are the configured pools."""

    kind = Pool
    tenant_field = None

    def __init__(self, site: Site) -> None:
        self._site = site

    async def items(self, ask: Ask, records: Sequence[Pool]) -> list[Item]:
        """Add the node."""
        del ask
        return [Item(pool, partial(render_aggregate, pool, self._site.node())) for pool in records]


class Jobs(CatalogSource[Job]):
    """Jobs. Callers who are no administrators see their own."""

    kind = Job
    tenant_field = None

    def __init__(self, site: Site) -> None:
        self._site = site

    async def base(self, ask: Ask) -> Filter:
        """Restrict to the caller's own, or to its SVM's."""
        caller = ask.core.caller
        if caller is None:
            return ALL
        if caller.administrator and caller.tenant_id is not None:
            return Compare("tenant.id", Op.EQ, caller.tenant_id)
        return Compare("caller", Op.EQ, caller.name)

    async def one(self, ask: Ask) -> Job:
        """Read by id; jobs are asked for without the tunnel's restriction."""
        found = await ask.core.catalog.get(Job, uuid_key(ask.keys[-1]))
        if found is None or not own_job(ask, found):
            raise no_entry()
        return found

    async def items(self, ask: Ask, records: Sequence[Job]) -> list[Item]:
        """Read the SVM's name."""
        tenants = await ask.core.known.get_many(Tenant, {j.tenant_id for j in records if j.tenant_id})
        node = self._site.node()
        return [
            Item(job, partial(render_job, job, tenant=tenants.get(job.tenant_id) if job.tenant_id else None, node=node))
            for job in records
        ]


class ExportPolicies(CatalogSource[ExportPolicy]):
    """Export policies; their key is a number."""

    kind = ExportPolicy

    async def one(self, ask: Ask) -> ExportPolicy:
        """Read by number."""
        return await self.policy(ask)

    async def policy(self, ask: Ask) -> ExportPolicy:
        """Give the policy that the path's first key numbers."""
        text = ask.keys[0]
        number = int(text) if text.isascii() and text.isdigit() and len(text) < _DIGITS else None
        found = None if number is None else await ask.core.find(ExportPolicy, number=number)
        if found is None or not self.visible(ask, found):
            raise no_entry("id")
        return found

    async def items(self, ask: Ask, records: Sequence[ExportPolicy]) -> list[Item]:
        """Read the SVM's name."""
        tenants = await ask.core.known.get_many(Tenant, {p.tenant_id for p in records})
        return [
            Item(p, partial(render_export_policy, p, tenants[p.tenant_id])) for p in records if p.tenant_id in tenants
        ]


class ExportRules:
    """The rules of one export policy. Writers get the policy and the rule."""

    def __init__(self, policies: ExportPolicies) -> None:
        self.policies = policies

    async def list(self, ask: Ask) -> Sequence[tuple[tuple[ExportPolicy, ExportRule], Rendered]]:
        """List in order of index."""
        policy = await self.policies.policy(ask)
        tenant = await ask.core.get(Tenant, policy.tenant_id)
        return [((policy, rule), render_export_rule(rule, policy, tenant)) for rule in policy.rules]


class SnapshotPolicies(CatalogSource[SnapshotPolicy]):
    """Snapshot policies, of the cluster and of SVMs."""

    kind = SnapshotPolicy

    async def base(self, ask: Ask) -> Filter:
        """Show the cluster's through every tunnel."""
        own = await super().base(ask)
        return own if own == ALL else Or((own, IsNull("tenant.id")))

    async def items(self, ask: Ask, records: Sequence[SnapshotPolicy]) -> list[Item]:
        """Read the names of the SVMs and the schedules."""
        tenants = await ask.core.known.get_many(Tenant, {p.tenant_id for p in records if p.tenant_id})
        schedules = await named(ask.core, (line.schedule for p in records for line in p.copies))
        return [
            Item(p, partial(render_snapshot_policy, p, tenants.get(p.tenant_id) if p.tenant_id else None, schedules))
            for p in records
        ]

    async def policy(self, ask: Ask) -> SnapshotPolicy:
        """Give the policy that the path's first key names."""
        found = await ask.core.catalog.get(SnapshotPolicy, uuid_key(ask.keys[0], "snapshot_policy.uuid"))
        if found is None or not self.visible(ask, found):
            raise no_entry("snapshot_policy.uuid")
        return found


class PolicyLines:
    """The lines of one snapshot policy. Writers get the policy and the line."""

    def __init__(self, policies: SnapshotPolicies) -> None:
        self.policies = policies

    async def list(self, ask: Ask) -> Sequence[tuple[tuple[SnapshotPolicy, SnapshotSchedule], Rendered]]:
        """List them as the policy has them."""
        policy = await self.policies.policy(ask)
        known = await named(ask.core, (line.schedule for line in policy.copies))
        return [
            ((policy, line), render_policy_line(line, policy, known[line.schedule]))
            for line in policy.copies
            if line.schedule in known
        ]


class Schedules(CatalogSource[Schedule]):
    """Schedules, which all belong to the cluster."""

    kind = Schedule
    tenant_field = None

    def __init__(self, site: Site) -> None:
        self._site = site

    async def items(self, ask: Ask, records: Sequence[Schedule]) -> list[Item]:
        """Add the cluster."""
        del ask
        render = partial(render_schedule, cluster=self._site.name, cluster_id=self._site.cluster_id)
        return [Item(schedule, partial(render, schedule)) for schedule in records]


class Nodes:
    """The one node."""

    def __init__(self, site: Site) -> None:
        self._site = site

    async def list(self, ask: Ask) -> Sequence[tuple[object, Rendered]]:
        """Give the node."""
        del ask
        node = self._site.node()
        return [(node, {**render_node(node), "statistics": render_statistics(COUNTERS.read_text())})]


def own_job(ask: Ask, job: Job) -> bool:
    """Tell whether the caller may know of the job."""
    caller = ask.core.caller
    if caller is not None and caller.administrator and caller.tenant_id is not None:
        return job.tenant_id == caller.tenant_id
    return caller is None or caller.name == job.caller


def stamp(*records: Record | None) -> tuple[int, ...]:
    """Give what `Item` calls so. Revisions are unique among all records, so they name record and content at once."""
    return tuple([0 if record is None else record.revision for record in records])
