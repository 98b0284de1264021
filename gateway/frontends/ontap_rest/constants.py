"""What holds for every record of a kind, because this gateway has no other sort.

These are truths about the gateway, shown in answers, searchable without
looking at a record, and accepted in a body that merely confirms them. Nothing
measured belongs here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from gateway.frontends.ontap_rest.scalars import Scalar

CONSTANTS: Mapping[str, Mapping[str, Scalar]] = {
    "cluster": {
        "disaggregated": False,
        "san_optimized": False,
        "timezone.name": "Etc/UTC",
    },
    "node": {
        "ha.enabled": False,
        "is_all_flash_optimized": False,
        "is_all_flash_select_optimized": False,
        "membership": "member",
        "model": "volume-gateway",
        "state": "up",
    },
    "svm": {
        "auto_enable_activity_tracking": False,
        "auto_enable_analytics": False,
        "cifs.allowed": False,
        "cifs.enabled": False,
        "fcp.allowed": False,
        "fcp.enabled": False,
        "ipspace.name": "Default",
        "iscsi.allowed": True,
        "language": "c.utf_8",
        "max_volumes": "unlimited",
        "ndmp.allowed": False,
        "nvme.allowed": False,
        "nvme.enabled": False,
        "s3.allowed": False,
        "s3.enabled": False,
        "snapmirror.is_protected": False,
        "subtype": "default",
    },
    "aggregate": {
        "block_storage.mirror.enabled": False,
        "block_storage.primary.raid_type": "raid0",
        "block_storage.storage_type": "lun",
        "cloud_storage.attach_eligible": False,
        "data_encryption.drive_protection_enabled": False,
        "data_encryption.software_encryption_enabled": False,
        "snaplock_type": "non_snaplock",
    },
    "volume": {
        "activity_tracking.state": "off",
        "activity_tracking.supported": False,
        "analytics.state": "off",
        "analytics.supported": False,
        "anti_ransomware.state": "disabled",
        "cloud_retrieval_policy": "default",
        "cloud_write_enabled": False,
        "efficiency.compaction": "none",
        "efficiency.compression": "none",
        "efficiency.cross_volume_dedupe": "none",
        "efficiency.dedupe": "none",
        "efficiency.state": "disabled",
        "encryption.enabled": False,
        "encryption.state": "unencrypted",
        "encryption.type": "none",
        "error_state.is_inconsistent": False,
        "flexcache_endpoint_type": "none",
        "granular_data": False,
        "guarantee.honored": True,
        "is_object_store": False,
        "is_svm_root": False,
        "language": "c.utf_8",
        "quota.state": "off",
        "scheduled_snapshot_naming_scheme": "create_time",
        "snaplock.type": "non_snaplock",
        "snapmirror.destinations.is_cloud": False,
        "snapshot_directory_access_enabled": False,
        "snapshot_locking_enabled": False,
        "space.filesystem_size_fixed": False,
        "space.large_size_enabled": False,
        "space.logical_space.enforcement": False,
        "space.logical_space.reporting": False,
        "style": "flexvol",
        "tiering.policy": "none",
    },
    "schedule": {"scope": "cluster"},
    "qtree": {"security_style": "unix"},
    "file": {
        "is_junction": False,
        "is_vm_aligned": False,
    },
    "lun": {
        "auto_delete": False,
        "class": "regular",
        "encryption.state": "unencrypted",
        "vvol.is_bound": False,
    },
    "igroup": {
        "delete_on_unmap": False,
        "supports_igroups": False,
    },
    "lun_map": {
        "igroup.replicated": False,
        "lun.smbc.replicated": False,
        "replicated": False,
    },
    "export_rule": {
        "chown_mode": "restricted",
        "ntfs_unix_security": "fail",
    },
    "ip_interface": {
        "enabled": True,
        "ipspace.name": "Default",
        "location.is_home": True,
        "scope": "svm",
        "state": "up",
        "vip": False,
    },
    "consistency_group": {"replicated": False},
    "consistency_group_snapshot": {"consistency_type": "crash"},
    "nfs_service": {
        "protocol.v3_enabled": False,
        "protocol.v40_enabled": True,
        "protocol.v40_features.read_delegation_enabled": False,
        "protocol.v40_features.referrals_enabled": False,
        "protocol.v40_features.write_delegation_enabled": False,
        "protocol.v41_enabled": True,
        "protocol.v41_features.pnfs_enabled": False,
        "protocol.v41_features.read_delegation_enabled": False,
        "protocol.v41_features.referrals_enabled": False,
        "protocol.v41_features.trunking_enabled": False,
        "protocol.v41_features.write_delegation_enabled": False,
        "protocol.v4_64bit_identifiers_enabled": True,
        "rquota_enabled": False,
        "showmount_enabled": False,
        "transport.rdma_enabled": False,
        "transport.tcp_enabled": True,
        "transport.tcp_max_transfer_size": 1048576,
        "transport.udp_enabled": False,
        "vstorage_enabled": False,
    },
    "snapmirror_policy": {
        "network_compression_enabled": False,
        "type": "async",
    },
    "snapmirror_relationship": {
        "group_type": "none",
        "policy.type": "async",
        "restore": False,
    },
    "snapmirror_transfer": {"relationship.restore": False},
    "qos_policy": {"object_count": 0, "policy_class": "user_defined", "scope": "svm"},
    "cluster_peer": {
        "encryption.proposed": "tls_psk",
        "encryption.state": "tls_psk",
        "ipspace.name": "Default",
    },
    "svm_peer": {},
}
"""Resource -> path -> the value that every record shows."""

SILENT: Mapping[str, Mapping[str, Scalar]] = {
    "account": {
        "applications.is_ldap_fastbind": False,
        "applications.is_ns_switch_group": False,
    },
    "volume": {
        "nas.security_style": "unix",
        "asynchronous_directory_delete.enabled": False,
        "aggressive_readahead_mode": "none",
        "encryption.rekey": False,
        "granular_data_mode": "disabled",
        "movement.capacity_tier_optimized": False,
        "movement.tiering_policy": "none",
        "optimize_aggregates": False,
        "qos.policy.name": "none",
        "queue_for_encryption": False,
        "quota.enabled": False,
        "sizing_method": "use_existing_resources",
        "smas_protection": "unprotected",
        "snaplock.append_mode_enabled": False,
        "space.snapshot.autodelete.enabled": False,
        "space.snapshot.autodelete_enabled": False,
        "svm_dr_protection": "unprotected",
        "tiering.supported": False,
        "use_mirrored_aggregates": False,
        "validate_only": False,
    },
    "qtree": {"ext_performance_monitoring.enabled": False},
    "file_clone": {
        "autodelete": False,
        "is_vvol_backup": False,
        "nosplit_entry": False,
    },
    "snapmirror_policy": {
        "retention.preserve": False,
        "retention.warn": 0,
    },
    "snapmirror_relationship": {
        "create_destination.snapshot_locking_enabled": False,
        "create_destination.storage_service.enabled": False,
        "create_destination.tiering.policy": "none",
        "create_destination.tiering.supported": False,
        "preserve": False,
        "quick_resync": False,
        "recover_after_break": False,
        "restore_to_snapshot": "",
    },
    "consistency_group_snapshot": {"write_fence": True},
    "snapmirror_transfer": {"storage_efficiency_enabled": True},
    "export_policy": {
        "rules.chown_mode": "restricted",
        "rules.ntfs_unix_security": "fail",
    },
}
"""What a body may confirm beyond that; where a record shows the path, the record decides."""


def _nested(values: Mapping[str, Scalar]) -> bytes:
    tree: dict[str, Any] = {}
    for path, value in values.items():
        *parents, leaf = path.split(".")
        place = tree
        for name in parents:
            place = place.setdefault(name, {})
        place[leaf] = value
    return msgspec.json.encode(tree)


_DECODER = msgspec.json.Decoder(dict[str, Any])
_TEMPLATES: Mapping[str, bytes] = {resource: _nested(values) for resource, values in CONSTANTS.items()}


def nested(resource: str) -> dict[str, Any]:
    """Give a resource's constants as a fresh tree of dicts, ready to be filled with a record's own values."""
    # Decoding is the quickest deep copy there is.
    return _DECODER.decode(_TEMPLATES[resource])
