from __future__ import annotations

import operator
import re
from typing import Any
from uuid import UUID

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from mirror_scene import FAILED, NOW, RELATIONSHIPS, RUNNING, SHARED, VAULT
from ontap_scene import (
    BARE_GROUP,
    BASE,
    DEFAULT_LOGIN,
    GROUP,
    LOGIN,
    LUN,
    NODE,
    OTHER,
    OTHER_LUN,
    PARENT,
    PLAIN,
    POOL,
    SNAPSHOTS,
    TENANT,
    VOLUMES,
    attempt,
    uid,
)

from gateway.catalog.compile import compile_filter
from gateway.catalog.tables import TABLES
from gateway.core import query as core
from gateway.core.model import (
    ExportPolicy,
    HostGroup,
    InitiatorLogin,
    IscsiService,
    Job,
    Pool,
    Schedule,
    Snapshot,
    SnapshotPolicy,
    Tenant,
    Volume,
)
from gateway.core.query import Op, Order
from gateway.core.recurrence import Cron, Periodic
from gateway.core.replication_model import Replication, ReplicationPolicy, Transfer
from gateway.frontends.ontap_rest.constants import CONSTANTS, SILENT
from gateway.frontends.ontap_rest.errors import WireError
from gateway.frontends.ontap_rest.pushdown import COLUMNS, catalog_order, sort_records, split
from gateway.frontends.ontap_rest.query import OrderBy, parse_query
from gateway.frontends.ontap_rest.render import (
    VolumeRefs,
    labels_to_tags,
    render_credentials,
    render_igroup,
    render_iscsi_service,
    render_lun,
    render_lun_map,
    render_mirror_policy,
    render_relationship,
    render_schedule,
    render_snapshot,
    render_snapshot_policy,
    render_transfer,
    render_volume,
)
from gateway.frontends.ontap_rest.render.network import render_nfs_service
from gateway.frontends.ontap_rest.schema import Verb, load_schema
from gateway.frontends.ontap_rest.tree import TRUE, predicate

SCHEMA = load_schema()
KINDS: dict[str, type] = {
    "cli_volume": Volume,
    "volume": Volume,
    "snapshot": Snapshot,
    "svm": Tenant,
    "aggregate": Pool,
    "export_policy": ExportPolicy,
    "snapshot_policy": SnapshotPolicy,
    "schedule": Schedule,
    "job": Job,
    "lun": Volume,
    "lun_map": Volume,
    "igroup": HostGroup,
    "iscsi_service": Tenant,
    "nfs_service": Tenant,
    "iscsi_credentials": InitiatorLogin,
    "svm_peer": Tenant,
    "qtree": Volume,
    "snapmirror_policy": ReplicationPolicy,
    "snapmirror_relationship": Replication,
    "snapmirror_transfer": Transfer,
}
FIELDS = {name: frozenset(TABLES[kind].fields) for name, kind in KINDS.items()}

OPERATORS = {Op.EQ: operator.eq, Op.LT: operator.lt, Op.LE: operator.le, Op.GT: operator.gt, Op.GE: operator.ge}


def holds(where, values):
    """The catalog's contract, evaluated over a record's core fields."""
    if isinstance(where, core.And):
        return all(holds(term, values) for term in where.terms)
    if isinstance(where, core.Or):
        return any(holds(term, values) for term in where.terms)
    if isinstance(where, core.Not):
        return not holds(where.term, values)
    stored = values[where.field]
    items = stored if isinstance(stored, list) else [] if stored is None else [stored]
    if isinstance(where, core.IsNull):
        return not items
    if isinstance(where, core.Match):
        pattern = re.compile(".*".join(map(re.escape, where.pattern.split("*"))), re.DOTALL)
        return any(pattern.fullmatch(item) for item in items)
    return any(OPERATORS[where.op](item, where.value) for item in items)


def volume_values(volume: Volume, refs) -> dict[str, Any]:
    origin = volume.origin
    return {
        **{name: getattr(volume, name) for name in volume.__struct_fields__},
        "label": labels_to_tags(volume.labels),
        "is_clone": origin is not None,
        "root.uid": volume.root.uid,
        "root.gid": volume.root.gid,
        "tenant.id": volume.tenant_id,
        "tenant.name": refs.tenant.name,
        "pool.id": volume.pool_id,
        "pool.name": refs.pool.name,
        "export_policy.name": refs.export_policy and refs.export_policy.name,
        "export_policy.number": refs.export_policy and refs.export_policy.number,
        "snapshot_policy.id": volume.snapshot_policy_id,
        "snapshot_policy.name": refs.snapshot_policy and refs.snapshot_policy.name,
        "origin.volume.id": origin and origin.volume_id,
        "origin.volume.name": refs.parent and refs.parent.name,
        "origin.snapshot.id": origin and origin.snapshot_id,
        "origin.snapshot.name": refs.parent_snapshot and refs.parent_snapshot.name,
        "attachment_count": len(volume.attachments),
        "attachment.node": [attachment.node for attachment in volume.attachments],
    }


def snapshot_values(snapshot: Snapshot) -> dict[str, Any]:
    return {
        **{name: getattr(snapshot, name) for name in snapshot.__struct_fields__},
        "tenant.id": snapshot.tenant_id,
        "tenant.name": TENANT.name,
        "volume.id": snapshot.volume_id,
        "volume.name": PARENT.name,
    }


def policy_values(policy: SnapshotPolicy, tenant) -> dict[str, Any]:
    return {
        **{name: getattr(policy, name) for name in policy.__struct_fields__},
        "tenant.id": policy.tenant_id,
        "tenant.name": tenant and tenant.name,
    }


def owned_values(record: HostGroup | InitiatorLogin, tenant: Tenant) -> dict[str, Any]:
    values = {name: getattr(record, name) for name in record.__struct_fields__}
    if isinstance(record, HostGroup):
        values["initiator"] = [initiator.name for initiator in record.initiators]
    return {**values, "tenant.id": record.tenant_id, "tenant.name": tenant.name}


def replication_values(replication: Replication, refs) -> dict[str, Any]:
    return {
        **{name: getattr(replication, name) for name in replication.__struct_fields__},
        "tenant.id": replication.tenant_id,
        "tenant.name": refs.ends.tenant.name,
        "volume.name": refs.ends.volume.name,
        "policy.id": replication.policy_id,
        "policy.name": refs.policy.name,
    }


def transfer_values(transfer: Transfer) -> dict[str, Any]:
    values = {name: getattr(transfer, name) for name in transfer.__struct_fields__}
    return {**values, "replication.id": transfer.replication_id}


def tenant_values(tenant: Tenant) -> dict[str, Any]:
    return {name: getattr(tenant, name) for name in tenant.__struct_fields__}


BLOCKS = [(LUN, VolumeRefs(tenant=TENANT, pool=POOL)), (OTHER_LUN, VolumeRefs(tenant=OTHER, pool=POOL))]
SERVICE = IscsiService(target="iqn.2024-07.x:y", alias="svm1")
OWNED = SnapshotPolicy(id=uid(20), name="own", created=SNAPSHOTS.created, tenant_id=OTHER.id, enabled=False)
ROWS = {
    "volume": [(volume_values(*row), render_volume(*row)) for row in VOLUMES],
    "snapshot": [(snapshot_values(s), render_snapshot(s, PARENT, TENANT)) for s in (BASE, PLAIN)],
    "snapshot_policy": [
        (policy_values(policy, tenant), render_snapshot_policy(policy, tenant))
        for policy, tenant in ((SNAPSHOTS, None), (OWNED, OTHER))
    ],
    "schedule": [
        (
            {name: getattr(schedule, name) for name in schedule.__struct_fields__},
            render_schedule(schedule, cluster="gateway", cluster_id=uid(32)),
        )
        for schedule in (
            Schedule(id=uid(33), name="hourly", created=SNAPSHOTS.created, recurrence=Cron((5,))),
            Schedule(id=uid(34), name="often", created=SNAPSHOTS.created, recurrence=Periodic(450)),
        )
    ],
    "lun": [
        (
            volume_values(volume, refs),
            render_lun(volume, tenant=refs.tenant, pool=POOL, groups={GROUP.id: GROUP}, node=NODE),
        )
        for volume, refs in BLOCKS
    ],
    "lun_map": [
        (
            volume_values(*BLOCKS[0]),
            render_lun_map(LUN, LUN.attachments[0], group=GROUP, tenant=TENANT, node=NODE),
        )
    ],
    "igroup": [
        (owned_values(group, tenant), render_igroup(group, tenant, volumes=[LUN], node=NODE))
        for group, tenant in ((GROUP, TENANT), (BARE_GROUP, OTHER))
    ],
    "iscsi_service": [(tenant_values(TENANT), render_iscsi_service(TENANT, SERVICE))],
    "nfs_service": [(tenant_values(TENANT), render_nfs_service(TENANT))],
    "iscsi_credentials": [
        (owned_values(login, tenant), render_credentials(login, tenant))
        for login, tenant in ((LOGIN, TENANT), (DEFAULT_LOGIN, OTHER))
    ],
    "snapmirror_policy": [
        (policy_values(policy, tenant), render_mirror_policy(policy, tenant))
        for policy, tenant in ((SHARED, None), (VAULT, OTHER))
    ],
    "snapmirror_relationship": [
        (replication_values(*row), render_relationship(*row, now=NOW)) for row in RELATIONSHIPS
    ],
    "snapmirror_transfer": [
        (transfer_values(transfer), render_transfer(transfer, row[0], row[1].ends, snapshot=None, now=NOW))
        for transfer, row in zip((RUNNING, FAILED), RELATIONSHIPS, strict=True)
    ],
}

OPERANDS = st.sampled_from(
    [
        *(
            "null",
            "*",
            "0",
            "1",
            "2",
            "7",
            "20MB",
            "10GB",
            "5..20971520",
            "true",
            "false",
            "online",
            "offline",
            "error",
        ),
        *(
            "vol1",
            "VOL1",
            "v*",
            "*1",
            "clone*1",
            '"clone*1"',
            "a..w",
            '"a *"',
            "svm1",
            "svm*",
            "aggr1",
            "default",
            "da*",
        ),
        *("/vol1", "/v*", '""', '"a ""comment"""', "env:test", "env:*", "e..f", "rw", "flex*", "none", "volume", "s1"),
        *("/vol/lv1/data", "/vol/lv1/*", "/vol/*", "/vol/lv1/data*", "/vol/vol1/lun0", "/vol/x/y", "lv1", "lun0"),
        *("000000000000", "ffffffffffff", "00000000000", "ffff*", "ig1", "iqn*", "eui.0123456789abcdef", "chap", "me"),
        *(str(GROUP.id), "unix", "windows", "vmware", "4KB", "1GB", "deny", "default"),
        *(
            "svm2:vol1_dst",
            "svm2:*",
            "svm1:vol1",
            ":",
            "a:b:c",
            "snapmirrored",
            "uninitialized",
            "dp",
            "aborted",
            "PT1H",
        ),
        *("valid", "unknown", "keep", "cluster", "svm", "755", "2750", "10"),
        *("2022-11-24T10:23:13Z", "2022-11-24T10:23:13.25Z", "2022-11-24T10:23:12.999999Z", "2022-11-24T10:23:14Z"),
        *("2022-11-24T10:23:12Z..2022-11-24T10:23:13Z", "2022*", "2099-11-24T10:23:13+00:00"),
        *(str(uid(number)) for number in (2, 5, 7, 8)),
        *(f"{{{uid(7)}}}", str(uid(7)).upper(), uid(7).hex, "0000*", "not-a-uuid", "\0", "x\0*", "v" * 5000 + "*"),
    ]
)
VALUES = st.lists(
    st.tuples(st.sampled_from(["", "", "!", "<", "<=", ">", ">=", "!>"]), OPERANDS).map("".join), min_size=1, max_size=3
).map("|".join)


@pytest.mark.parametrize("resource", sorted(ROWS))
@given(data=st.data())
def test_the_catalogs_part_and_the_rest_are_together_the_whole_question(resource, data):
    schema = SCHEMA[resource]
    paths = sorted({*COLUMNS[resource], *CONSTANTS.get(resource, {})} | {"guarantee.type", "owners"} & {*schema.fields})
    conditions = data.draw(st.dictionaries(st.sampled_from(paths), VALUES, min_size=1, max_size=3), label="conditions")
    text = "&".join(f"{path}={value}" for path, value in conditions.items())
    parameters = attempt(lambda: parse_query(schema, Verb.GET, text))
    assume(not isinstance(parameters, WireError))
    available = data.draw(st.sampled_from([FIELDS[resource], frozenset({"name", "state", "created"}), frozenset()]))
    parts = split(resource, parameters.where, available)
    compile_filter(TABLES[KINDS[resource]], parts.where)
    whole, rest = predicate(parameters.where), predicate(parts.residual)
    for values, record in ROWS[resource]:
        assert (holds(parts.where, values) and rest(record)) == whole(record)


@pytest.mark.parametrize("resource", sorted(COLUMNS))
def test_columns_name_readable_fields_and_fields_of_the_catalog(resource):
    for path, column in COLUMNS[resource].items():
        assert SCHEMA[resource].fields[path].readable
        assert column.field in FIELDS[resource]


@pytest.mark.parametrize("resource", sorted(CONSTANTS))
def test_constants_are_legal_values_of_readable_fields(resource):
    for path, value in CONSTANTS[resource].items():
        field = SCHEMA[resource].fields[path]
        assert field.readable
        assert not field.enum or value in field.enum
        assert path not in COLUMNS.get(resource, {})
    for path in SILENT.get(resource, {}):
        assert path in SCHEMA[resource].fields


def asked(text, resource="volume"):
    return split(resource, parse_query(SCHEMA[resource], Verb.GET, text).where, FIELDS[resource])


def test_constants_never_reach_the_catalog_or_a_record():
    parts = asked("type=rw&style=flex*&is_svm_root=false&error_state.is_inconsistent=false&state=online")
    assert parts.residual == TRUE
    assert parts.where == core.And(
        (core.Or((core.IsNull("replica_of"),)), core.Or((core.Compare("state", Op.EQ, "online"),)))
    )
    assert asked("is_svm_root=true").where == core.NONE
    assert asked("is_svm_root=null").where == core.NONE
    assert asked("is_svm_root=!true").where == core.ALL
    assert asked("is_svm_root=!null").where == core.ALL
    assert asked("is_svm_root=!false").where == core.NONE


def test_the_path_of_a_destination_is_two_names():
    parts = asked("destination.path=svm2:v", "snapmirror_relationship")
    names = core.And((core.Compare("tenant.name", Op.EQ, "svm2"), core.Compare("volume.name", Op.EQ, "v")))
    assert (parts.where, parts.residual) == (core.Or((names,)), TRUE)


def test_a_clients_usual_question_is_answered_by_the_catalog_alone():
    parts = asked("svm.name=svm1&name=v*&size=>1GB&uuid=" + str(uid(7)))
    assert parts.residual == TRUE
    assert parts.where == core.And(
        (
            core.Compare("tenant.name", Op.EQ, "svm1"),
            core.Match("name", "v*"),
            core.Compare("size", Op.GT, 1 << 30),
            core.Compare("id", Op.EQ, UUID(int=uid(7).int)),
        )
    )


def test_a_question_of_thousands_of_terms_is_not_put_to_the_catalog():
    parts = asked("name=" + "|".join(f"v{number}" for number in range(3000)))
    assert parts.where == core.ALL
    assert parts.residual != TRUE


def test_resources_without_a_table_are_filtered_on_their_records():
    where = parse_query(SCHEMA["node"], Verb.GET, "name=n*&state=up").where
    assert split("node", where, frozenset()).where == core.ALL


def test_the_catalog_sorts_what_it_can_and_nothing_else():
    order = (OrderBy("svm.name"), OrderBy("create_time", True))
    assert catalog_order("volume", order, FIELDS["volume"]) == (Order("tenant.name"), Order("created", True))
    for path, available in (("state", FIELDS["volume"]), ("type", FIELDS["volume"]), ("name", frozenset())):
        with pytest.raises(WireError) as caught:
            catalog_order("volume", (OrderBy(path),), available)
        assert caught.value.code == "262268"


def test_records_outside_the_catalog_are_sorted_with_unset_values_last():
    records = [{"a": {"b": 2}, "n": "x"}, {"n": "y"}, {"a": {"b": 1}, "n": "z"}, {"a": {"b": 2}, "n": "w"}]
    down = sort_records(records, (OrderBy("a.b", True), OrderBy("n")))
    assert [record["n"] for record in down] == ["w", "x", "z", "y"]
    assert [record["n"] for record in sort_records(records, (OrderBy("a.b"),))] == ["z", "x", "w", "y"]
