"""What a request of this dialect is to the roles: a service and an api of the core's words.

Everybody may look at what has no owner (SVMs, aggregates, igroups, export
policies), because nothing can be asked for without its name; changing it takes
a role that may change the cluster.
"""

from __future__ import annotations

from collections.abc import Mapping

from gateway.frontends.ontap_rest.schema import Verb

Call = tuple[str, str]

_APIS: Mapping[tuple[Verb, bool], str] = {
    (Verb.GET, False): "enumerate",
    (Verb.GET, True): "inspect",
    (Verb.POST, False): "create",
    (Verb.PATCH, False): "update",
    (Verb.PATCH, True): "update",
    (Verb.DELETE, False): "delete",
    (Verb.DELETE, True): "delete",
}
"""By verb, and whether the path names one record."""

SERVICES: Mapping[str, str] = {
    "cluster": "cluster",
    "node": "node",
    "job": "cluster",
    "svm": "cluster",
    "aggregate": "cluster",
    "volume": "volume",
    "snapshot": "volume",
    "snapshot_policy": "schedulepolicy",
    "snapshot_policy_schedule": "schedulepolicy",
    "schedule": "schedulepolicy",
    "export_policy": "cluster",
    "export_rule": "cluster",
    "ip_interface": "cluster",
    "nfs_service": "cluster",
    "port": "cluster",
    "lun": "volume",
    "file": "volume",
    "file_clone": "volume",
    "cli_file_clone": "volume",
    "split_status": "volume",
    "qtree": "volume",
    "quota_rule": "volume",
    "igroup": "cluster",
    "igroup_initiator": "cluster",
    "lun_map": "mountattach",
    "account": "account",
    "account_password": "account",
    "role": "role",
    "role_privilege": "role",
    "audit_message": "alerts",
    "ems_event": "alerts",
    "iscsi_service": "cluster",
    "iscsi_credentials": "cluster",
    "license": "cluster",
    "consistency_group": "volume",
    "consistency_group_snapshot": "volume",
    "counter_table": "cluster",
    "counter_row": "cluster",
    "disk": "cluster",
    "key_manager": "cluster",
    "compliance_clock": "cluster",
    "kerberos_interface": "cluster",
    "fpolicy_policy": "cluster",
    "application_log": "cluster",
    "cli_aggregate": "cluster",
    "cli_volume": "volume",
    "cli_efficiency": "volume",
    "cluster_peer": "cluster",
    "svm_peer": "cluster",
    "snapmirror_policy": "schedulepolicy",
    "snapmirror_relationship": "volume",
    "snapmirror_transfer": "volume",
    "qos_policy": "cluster",
    "volume_metrics": "volume",
}
"""The service of each resource."""

_OWN_APIS: Mapping[tuple[str, str], str] = {
    ("snapshot", "enumerate"): "snapshotenumerate",
    ("snapshot", "create"): "snapshotcreate",
    ("consistency_group_snapshot", "create"): "snapshotcreate",
    ("snapmirror_relationship", "create"): "update",
    ("snapmirror_relationship", "delete"): "update",
    ("snapmirror_transfer", "create"): "update",
    ("file", "delete"): "update",
    ("file_clone", "create"): "update",
    ("cli_file_clone", "create"): "update",
    ("qtree", "create"): "update",
    ("qtree", "delete"): "update",
    ("quota_rule", "create"): "update",
    ("lun_map", "create"): "attach",
    ("lun_map", "delete"): "detach",
}
"""Where a resource's verb is another api than those of other resources."""

OPERATIONS: Mapping[str, Call] = {
    "volume.clone": ("volume", "clone"),
    "lun.clone": ("volume", "clone"),
    "volume.restore": ("volume", "snapshotrestore"),
}
"""What only the body tells, and must be allowed too."""


def call_of(resource: str, verb: Verb, *, instance: bool) -> Call:
    """Give the call that a verb on a record (`instance`) or a collection is."""
    api = _APIS[verb, instance]
    return SERVICES[resource], _OWN_APIS.get((resource, api), api)
