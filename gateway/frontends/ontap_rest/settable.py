"""What of a body the door carries out: a literal table, which `body` applies."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.frontends.ontap_rest.schema import Verb

_POLICY_RULE = (
    "allow_device_creation",
    "allow_suid",
    "anonymous_user",
    "clients.match",
    "index",
    "protocols",
    "ro_rule",
    "rw_rule",
    "superuser",
)
_PARENT = ("svm.name", "svm.uuid")
_OWNER = ("owner.name", "owner.uuid")
_ACCOUNT_BOTH = (
    "applications.application",
    "applications.authentication_methods",
    "applications.is_ldap_fastbind",
    "applications.is_ns_switch_group",
    "applications.second_authentication_method",
    "comment",
    "locked",
    "password",
    "role.name",
)
_PRIVILEGE = ("path", "access", "query")
_VOLUME_BOTH = (
    "_tags",
    "autosize.grow_threshold",
    "autosize.maximum",
    "autosize.minimum",
    "autosize.mode",
    "autosize.shrink_threshold",
    "comment",
    "name",
    "nas.export_policy.id",
    "nas.export_policy.name",
    "nas.gid",
    "nas.path",
    "nas.uid",
    "nas.unix_permissions",
    "size",
    "snapshot_policy.name",
    "snapshot_policy.uuid",
    "space.full_threshold_percent",
    "space.nearly_full_threshold_percent",
    "space.size",
    "space.snapshot.reserve_percent",
    "state",
)
_QTREE_BOTH = ("group.id", "group.name", "name", "unix_permissions", "user.id", "user.name")
_GROUP_MEMBERS = ("volumes", "volumes.name", "volumes.provisioning_options.action", "volumes.uuid")
_LUN_BOTH = (
    "comment",
    "location.logical_unit",
    "location.volume.name",
    "location.volume.uuid",
    "name",
    "space.guarantee.requested",
    "space.scsi_thin_provisioning_support_enabled",
    "space.size",
)
_RECURRENCE = ("interval", *(f"cron.{part}" for part in ("days", "hours", "minutes", "months", "weekdays")))
_CHAP = tuple(f"chap.{side}.{part}" for side in ("inbound", "outbound") for part in ("user", "password"))
_MIRROR_POLICY_BOTH = (
    "comment",
    "retention",
    "retention.count",
    "retention.creation_schedule.name",
    "retention.creation_schedule.uuid",
    "retention.label",
    "retention.prefix",
    "throttle",
    "transfer_schedule.name",
    "transfer_schedule.uuid",
)
_MIRROR_BOTH = (
    "destination.path",
    "policy.name",
    "policy.uuid",
    "source.path",
    "state",
    "throttle",
    "transfer_schedule.name",
    "transfer_schedule.uuid",
)
_QOS = (
    "adaptive.absolute_min_iops",
    "adaptive.block_size",
    "adaptive.expected_iops",
    "adaptive.expected_iops_allocation",
    "adaptive.peak_iops",
    "adaptive.peak_iops_allocation",
    "fixed.capacity_shared",
    "fixed.max_throughput_iops",
    "fixed.max_throughput_mbps",
    "fixed.min_throughput_iops",
    "fixed.min_throughput_mbps",
)
_SNAPSHOT_BOTH = ("comment", "expiry_time", "name", "snapmirror_label", "volume.name", "volume.uuid", *_PARENT)
_SVM_BOTH = (
    "aggregates",
    "aggregates.name",
    "aggregates.uuid",
    "comment",
    "name",
    "snapshot_policy.name",
    "snapshot_policy.uuid",
)
_EXPORT_POLICY_BOTH = ("name", "rules", *(f"rules.{name}" for name in _POLICY_RULE))

_CLUSTER_PEER = (
    "authentication.expiry_time",
    "authentication.generate_passphrase",
    "authentication.passphrase",
    "encryption.proposed",
    "initial_allowed_svms",
    "initial_allowed_svms.name",
    "initial_allowed_svms.uuid",
    "name",
    "peer_applications",
    "remote.ip_addresses",
)

SETTABLE: Mapping[tuple[str, Verb], frozenset[str]] = {
    ("volume", Verb.POST): frozenset(
        {
            *_VOLUME_BOTH,
            *_PARENT,
            "aggregates.name",
            "aggregates.uuid",
            "clone.is_flexclone",
            "clone.parent_snapshot.name",
            "clone.parent_snapshot.uuid",
            "clone.parent_svm.name",
            "clone.parent_svm.uuid",
            "clone.parent_volume.name",
            "clone.parent_volume.uuid",
            "guarantee.type",
            "type",
        }
    ),
    ("volume", Verb.PATCH): frozenset(
        {
            *_VOLUME_BOTH,
            "clone.split_initiated",
            "movement.destination_aggregate.name",
            "movement.destination_aggregate.uuid",
            "movement.state",
            "restore_to.snapshot.force",
            "restore_to.snapshot.name",
            "restore_to.snapshot.uuid",
        }
    ),
    ("file", Verb.PATCH): frozenset({"path"}),
    ("file_clone", Verb.POST): frozenset(
        {
            "bypass_throttle",
            "destination_path",
            "is_backup",
            "overwrite_destination",
            "source_path",
            "volume.name",
            "volume.uuid",
        }
    ),
    ("cli_file_clone", Verb.POST): frozenset(
        {
            "destination_path",
            "is_backup",
            "no_reserve",
            "overwrite_destination",
            "snapshot_name",
            "source_path",
            "volume",
            "vserver",
        }
    ),
    ("qtree", Verb.POST): frozenset(
        {*_QTREE_BOTH, *_PARENT, "export_policy.id", "export_policy.name", "volume.name", "volume.uuid"}
    ),
    ("qtree", Verb.PATCH): frozenset(_QTREE_BOTH),
    ("snapshot", Verb.POST): frozenset(_SNAPSHOT_BOTH),
    ("snapshot", Verb.PATCH): frozenset(_SNAPSHOT_BOTH),
    ("consistency_group", Verb.POST): frozenset({"name", *_PARENT, *_GROUP_MEMBERS}),
    ("consistency_group", Verb.PATCH): frozenset(_GROUP_MEMBERS),
    ("consistency_group_snapshot", Verb.POST): frozenset({"name", "comment", "snapmirror_label"}),
    ("application_log", Verb.POST): frozenset(
        {
            "app_version",
            "autosupport_required",
            "category",
            "computer_name",
            "event_description",
            "event_id",
            "event_source",
            "severity",
        }
    ),
    ("cli_volume", Verb.PATCH): frozenset({"autosize_reset"}),
    ("cluster", Verb.PATCH): frozenset({"contact", "location"}),
    ("svm", Verb.POST): frozenset({*_SVM_BOTH, "iscsi.enabled", "nfs.allowed", "nfs.enabled"}),
    ("account", Verb.POST): frozenset({*_ACCOUNT_BOTH, "name", *_OWNER}),
    ("account", Verb.PATCH): frozenset(_ACCOUNT_BOTH),
    ("account_password", Verb.POST): frozenset({"name", "password", *_OWNER}),
    ("role", Verb.POST): frozenset({"name", *_OWNER, *(f"privileges.{part}" for part in _PRIVILEGE)}),
    ("role_privilege", Verb.POST): frozenset(_PRIVILEGE),
    ("role_privilege", Verb.PATCH): frozenset({"access", "query"}),
    ("svm", Verb.PATCH): frozenset({*_SVM_BOTH, "state"}),
    ("export_policy", Verb.POST): frozenset({*_EXPORT_POLICY_BOTH, *_PARENT}),
    ("export_policy", Verb.PATCH): frozenset(_EXPORT_POLICY_BOTH),
    ("export_rule", Verb.POST): frozenset({*_POLICY_RULE, "policy.id", "policy.name"}),
    ("export_rule", Verb.PATCH): frozenset(_POLICY_RULE),
    ("snapshot_policy", Verb.POST): frozenset(
        {
            *_PARENT,
            "comment",
            "copies.count",
            "copies.prefix",
            "copies.schedule.name",
            "copies.schedule.uuid",
            "copies.snapmirror_label",
            "enabled",
            "name",
        }
    ),
    ("snapshot_policy", Verb.PATCH): frozenset({"comment", "enabled"}),
    ("snapshot_policy_schedule", Verb.POST): frozenset(
        {"count", "prefix", "schedule.name", "schedule.uuid", "snapmirror_label"}
    ),
    ("snapshot_policy_schedule", Verb.PATCH): frozenset({"count", "snapmirror_label"}),
    ("schedule", Verb.POST): frozenset({"name", *_RECURRENCE}),
    ("schedule", Verb.PATCH): frozenset(_RECURRENCE),
    ("lun", Verb.POST): frozenset({*_LUN_BOTH, *_PARENT, "clone.source.name", "clone.source.uuid", "os_type"}),
    ("lun", Verb.PATCH): frozenset({*_LUN_BOTH, "enabled"}),
    ("igroup", Verb.POST): frozenset(
        {*_PARENT, "comment", "initiators", "initiators.comment", "initiators.name", "name", "os_type", "protocol"}
    ),
    ("igroup", Verb.PATCH): frozenset({"comment", "name", "os_type"}),
    ("igroup_initiator", Verb.POST): frozenset({"comment", "name"}),
    ("igroup_initiator", Verb.PATCH): frozenset({"comment"}),
    ("lun_map", Verb.POST): frozenset(
        {*_PARENT, "igroup.name", "igroup.uuid", "logical_unit_number", "lun.name", "lun.uuid"}
    ),
    ("iscsi_service", Verb.POST): frozenset({*_PARENT, "enabled", "target.alias"}),
    ("iscsi_service", Verb.PATCH): frozenset({"enabled", "target.alias"}),
    ("nfs_service", Verb.POST): frozenset({*_PARENT, "enabled"}),
    ("nfs_service", Verb.PATCH): frozenset({"enabled"}),
    ("iscsi_credentials", Verb.POST): frozenset({*_PARENT, *_CHAP, "authentication_type", "initiator"}),
    ("iscsi_credentials", Verb.PATCH): frozenset({*_CHAP, "authentication_type"}),
    ("snapmirror_policy", Verb.POST): frozenset(
        {
            *_MIRROR_POLICY_BOTH,
            *_PARENT,
            "copy_all_source_snapshots",
            "copy_latest_source_snapshot",
            "create_snapshot_on_source",
            "name",
        }
    ),
    ("snapmirror_policy", Verb.PATCH): frozenset(_MIRROR_POLICY_BOTH),
    ("snapmirror_relationship", Verb.POST): frozenset(
        {
            *_MIRROR_BOTH,
            "create_destination.enabled",
            "create_destination.size",
            "source.cluster.name",
            "source.cluster.uuid",
        }
    ),
    ("snapmirror_relationship", Verb.PATCH): frozenset({*_MIRROR_BOTH, "quick_resync"}),
    ("qos_policy", Verb.POST): frozenset({"name", *_PARENT, *_QOS}),
    ("qos_policy", Verb.PATCH): frozenset({"name", *_QOS} - {"fixed.capacity_shared"}),
    ("cluster_peer", Verb.POST): frozenset(_CLUSTER_PEER),
    ("cluster_peer", Verb.PATCH): frozenset(_CLUSTER_PEER),
    ("svm_peer", Verb.POST): frozenset({*_PARENT, "applications", "name", "peer.cluster.name", "peer.svm.name"}),
    ("svm_peer", Verb.PATCH): frozenset({"applications", "name", "state"}),
    ("snapmirror_transfer", Verb.POST): frozenset(
        {"files.destination_path", "files.source_path", "files", "source_snapshot", "throttle"}
    ),
    ("snapmirror_transfer", Verb.PATCH): frozenset({"state"}),
}
"""The fields that the door carries out. Every other one may only confirm what is reported anyway."""
