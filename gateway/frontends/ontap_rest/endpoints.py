"""The route table: which path leads to which resource, and what each verb does there."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.core import jobs, policies, retired, snapshots, tenants, volumes
from gateway.core.accounts import forget_accounts
from gateway.core.model import ExportPolicy, ExportRule, Job, Snapshot, SnapshotPolicy, SnapshotSchedule, Tenant, Volume
from gateway.core.observer import Observer, SilentObserver
from gateway.frontends.ontap_rest import sources
from gateway.frontends.ontap_rest.ask import Ask
from gateway.frontends.ontap_rest.body import Values
from gateway.frontends.ontap_rest.calls import call_of
from gateway.frontends.ontap_rest.consistency import forget_groups
from gateway.frontends.ontap_rest.endpoint import Create, Endpoint, Keyed, Made, Route, named
from gateway.frontends.ontap_rest.endpoints_files import files_endpoints
from gateway.frontends.ontap_rest.endpoints_groups import group_endpoints
from gateway.frontends.ontap_rest.endpoints_mirror import mirror_endpoints
from gateway.frontends.ontap_rest.endpoints_network import network_endpoints
from gateway.frontends.ontap_rest.endpoints_qos import qos_endpoints
from gateway.frontends.ontap_rest.endpoints_san import san_endpoints
from gateway.frontends.ontap_rest.endpoints_security import security_endpoints
from gateway.frontends.ontap_rest.endpoints_system import system_endpoints
from gateway.frontends.ontap_rest.errors import WireError
from gateway.frontends.ontap_rest.licensing import Licenses
from gateway.frontends.ontap_rest.qos import forget_policies
from gateway.frontends.ontap_rest.schema import Schema, Verb
from gateway.frontends.ontap_rest.security_roles import forget_roles
from gateway.frontends.ontap_rest.sources import Site
from gateway.frontends.ontap_rest.sources_volumes import Snapshots, Volumes
from gateway.frontends.ontap_rest.tunnel import check_own
from gateway.frontends.ontap_rest.writes import policies as write_policies
from gateway.frontends.ontap_rest.writes import schedules as write_schedules
from gateway.frontends.ontap_rest.writes import snapshots as write_snapshots
from gateway.frontends.ontap_rest.writes import svms as write_svms
from gateway.frontends.ontap_rest.writes import volumes as write_volumes

_FIXED_POOLS = "19726544"


def routes(schema: Schema, site: Site, observer: Observer | None = None) -> Mapping[str, Route]:
    """Give every route by its template below `/api`. The observer is told what clients report."""
    table: dict[str, Route] = {}
    every = {
        **_endpoints(schema, site),
        **san_endpoints(schema, site),
        **mirror_endpoints(schema, site),
        **qos_endpoints(schema),
        **network_endpoints(schema, site),
        **files_endpoints(schema),
        **group_endpoints(schema),
        **security_endpoints(schema, site, table.keys),
        **group_endpoints(schema),
        **system_endpoints(schema, site, observer or SilentObserver()),
    }
    for collection, endpoint in every.items():
        table[collection] = _route(collection, endpoint, instance=endpoint.singleton)
        if endpoint.instances and not endpoint.singleton:
            instance = f"{collection}/{endpoint.instance}"
            table[instance] = _route(instance, endpoint, instance=True)
    return table


def _route(template: str, endpoint: Endpoint, *, instance: bool) -> Route:
    offered = {
        Verb.GET: endpoint.readable,
        Verb.POST: endpoint.create is not None and not instance,
        Verb.PATCH: endpoint.modify is not None,
        Verb.DELETE: endpoint.delete is not None,
    }
    if endpoint.listing and not instance:
        offered = {Verb.GET: True}
    verbs = tuple(verb for verb, yes in offered.items() if yes)
    calls = {verb: call_of(endpoint.resource.name, verb, instance=instance) for verb in verbs}
    return Route(template=template, endpoint=endpoint, instance=instance, verbs=verbs, calls=calls)


def _endpoints(schema: Schema, site: Site) -> Mapping[str, Endpoint]:
    export_policies = sources.ExportPolicies()
    snapshot_policies = sources.SnapshotPolicies()
    return {
        "cluster/nodes": Endpoint(resource=schema["node"], source=sources.Nodes(site), operation=named("node")),
        "cluster/jobs": Endpoint(
            resource=schema["job"], source=sources.Jobs(site), operation=named("job"), modify=_modify_job
        ),
        "cluster/licensing/licenses": Endpoint(
            resource=schema["license"], source=Licenses(site), operation=named("license")
        ),
        "cluster/schedules": Endpoint(
            resource=schema["schedule"],
            source=sources.Schedules(site),
            operation=named("schedule"),
            create=write_schedules.create,
            modify=write_schedules.modify,
            delete=write_schedules.delete,
            put_back=write_schedules.put_back,
        ),
        "svm/svms": Endpoint(
            resource=schema["svm"],
            source=sources.Svms(site),
            operation=named("svm"),
            precheck=write_svms.serves(site),
            create=_create_svm,
            modify=_modify_svm,
            delete=_delete_svm,
            put_back=_put_svm_back,
        ),
        "storage/aggregates": Endpoint(
            resource=schema["aggregate"],
            source=sources.Aggregates(site),
            operation=named("aggregate"),
            precheck=_refuse_pools,
            refuses=_FIXED_POOLS,
            create=_fixed_pools,
            modify=_fixed_pools,
            delete=_fixed_pools,
        ),
        "storage/volumes": Endpoint(
            resource=schema["volume"],
            source=Volumes(),
            operation=write_volumes.operation,
            precheck=write_volumes.precheck,
            create=write_volumes.create,
            modify=write_volumes.modify,
            delete=_delete_volume,
            unmake=write_volumes.unmake,
            put_back=_put_volume_back,
        ),
        "storage/volumes/{}/snapshots": Endpoint(
            resource=schema["snapshot"],
            source=Snapshots(),
            operation=named("snapshot"),
            create=_create_snapshot,
            modify=write_snapshots.modify,
            delete=_delete_snapshot,
            put_back=_put_snapshot_back,
        ),
        "storage/snapshot-policies": Endpoint(
            resource=schema["snapshot_policy"],
            source=snapshot_policies,
            operation=named("snapshot_policy"),
            create=write_policies.create_snapshot_policy,
            modify=write_policies.modify_snapshot_policy,
            delete=_delete_snapshot_policy,
            put_back=_put_snapshot_policy_back,
        ),
        "storage/snapshot-policies/{}/schedules": Endpoint(
            resource=schema["snapshot_policy_schedule"],
            source=sources.PolicyLines(snapshot_policies),
            operation=named("snapshot_policy_schedule"),
            create=_create_line(snapshot_policies),
            modify=_modify_line,
            delete=_delete_line,
            put_back=_put_line_back,
        ),
        "protocols/nfs/export-policies": Endpoint(
            resource=schema["export_policy"],
            source=export_policies,
            operation=named("export_policy"),
            create=write_policies.create_export_policy,
            modify=write_policies.modify_export_policy,
            delete=_delete_export_policy,
            put_back=_put_export_policy_back,
        ),
        "protocols/nfs/export-policies/{}/rules": Endpoint(
            resource=schema["export_rule"],
            source=sources.ExportRules(export_policies),
            operation=named("export_rule"),
            create=_create_rule(export_policies),
            modify=_modify_rule,
            delete=_delete_rule,
            put_back=_put_rule_back,
        ),
    }


# --- writers that are one call of the core ---


def _refuse_pools(*_: object) -> None:
    raise WireError(
        405,
        _FIXED_POOLS,
        message="POST, PATCH and DELETE of aggregates are not supported on this version. "
        "Aggregates are the pools of the gateway's configuration.",
    )


async def _fixed_pools(*_: object) -> Made:
    _refuse_pools()
    return None


async def _create_svm(ask: Ask, values: Values) -> Made:
    tenant = await write_svms.create(ask, values)
    return await jobs.finished(ask.core, "svm.create", description=ask.description, tenant=tenant)


async def _modify_svm(ask: Ask, tenant: Tenant, values: Values) -> Made:
    await write_svms.modify(ask, tenant, values)
    return await jobs.finished(ask.core, "svm.update", description=ask.description, tenant=tenant)


async def _delete_svm(ask: Ask, tenant: Tenant) -> Made:
    await tenants.delete(ask.core, tenant.id)
    await forget_policies(ask.core, tenant)
    await forget_groups(ask.core, tenant)
    await forget_accounts(ask.core, tenant.id)
    await forget_roles(ask.core, tenant.id)
    return await jobs.finished(ask.core, "svm.delete", description=ask.description, tenant=tenant)


async def _delete_volume(ask: Ask, volume: Volume) -> Made:
    if volume.retired is not None:
        force = ask.parameters.options.get("force") is True
        return await retired.dispose(ask.core, volume.id, description=ask.description, force=force)
    return await volumes.delete(ask.core, volume.id, description=ask.description)


async def _create_snapshot(ask: Ask, values: Values) -> Made:
    volume = await Snapshots().volume(ask)
    return await write_snapshots.create(ask, volume, values)


async def _delete_snapshot(ask: Ask, snapshot: Snapshot) -> Made:
    return await snapshots.delete(ask.core, snapshot.id, description=ask.description)


async def _delete_snapshot_policy(ask: Ask, policy: SnapshotPolicy) -> None:
    await policies.delete_snapshot_policy(ask.core, policy.id)


def _create_line(source: sources.SnapshotPolicies) -> Create:
    async def create(ask: Ask, values: Values) -> Made:
        policy = await source.policy(ask)
        check_own(ask, policy)
        return Keyed((str(await write_schedules.create_line(ask, policy, values)),))

    return create


async def _modify_line(ask: Ask, found: tuple[SnapshotPolicy, SnapshotSchedule], values: Values) -> None:
    await write_schedules.modify_line(ask, found[0], found[1], values)


async def _delete_line(ask: Ask, found: tuple[SnapshotPolicy, SnapshotSchedule]) -> None:
    await policies.delete_line(ask.core, found[0].id, found[1].schedule)


async def _delete_export_policy(ask: Ask, policy: ExportPolicy) -> None:
    await policies.delete_export_policy(ask.core, policy.id)


def _create_rule(source: sources.ExportPolicies) -> Create:
    async def create(ask: Ask, values: Values) -> Made:
        rule = await write_policies.create_rule(ask, await source.policy(ask), values)
        return Keyed((str(rule.index),))

    return create


async def _modify_rule(ask: Ask, found: tuple[ExportPolicy, ExportRule], values: Values) -> None:
    await write_policies.modify_rule(ask, found[0], found[1], values)


async def _delete_rule(ask: Ask, found: tuple[ExportPolicy, ExportRule]) -> None:
    await policies.delete_rule(ask.core, found[0].id, found[1].index)


# --- a modify of a batch that failed is put back ---


async def _put_svm_back(ask: Ask, before: Tenant, after: Tenant) -> None:
    change = {
        name: value
        for name in tenants.TenantChange.__struct_fields__
        if (value := getattr(before, name)) != getattr(after, name)
    }
    await tenants.update(ask.core, after.id, tenants.TenantChange(**change))


async def _put_volume_back(ask: Ask, before: Volume, after: Volume) -> Made:
    return await volumes.put_back(ask.core, before, after, description=ask.description)


async def _put_snapshot_back(ask: Ask, before: Snapshot, after: Snapshot) -> Made:
    return await snapshots.put_back(ask.core, before, after, description=ask.description)


async def _put_snapshot_policy_back(ask: Ask, before: SnapshotPolicy, after: SnapshotPolicy) -> None:
    await policies.update_snapshot_policy(ask.core, after.id, comment=before.comment, enabled=before.enabled)


async def _put_line_back(
    ask: Ask, before: tuple[SnapshotPolicy, SnapshotSchedule], after: tuple[SnapshotPolicy, SnapshotSchedule]
) -> None:
    await policies.change_line(ask.core, after[0].id, before[1])


async def _put_export_policy_back(ask: Ask, before: ExportPolicy, after: ExportPolicy) -> None:
    await policies.update_export_policy(ask.core, after.id, name=before.name, rules=before.rules)


async def _put_rule_back(
    ask: Ask, before: tuple[ExportPolicy, ExportRule], after: tuple[ExportPolicy, ExportRule]
) -> None:
    await policies.change_rule(ask.core, after[0].id, after[1].index, before[1])


async def _modify_job(ask: Ask, job: Job, values: Values) -> Made:
    """Refuse to cancel, pause or resume: a change runs to its end once it is journalled."""
    del values
    if job.state in jobs.FINAL:
        raise WireError(409, "458762", message="The job is already in a terminal state.", target="state")
    code, what = {"cancel": ("458784", "cancelled"), "pause": ("458783", "paused")}.get(
        str(ask.parameters.options.get("action", "")), ("458771", "resumed: it is running")
    )
    raise WireError(409, code, message=f"The job cannot be {what}.", target="action")
