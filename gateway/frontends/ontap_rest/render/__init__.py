"""Core records as full ONTAP records: every path that has a value, none that has not.

Pure functions over a record and what it refers to. The result is a fresh dict
without links; `encode` prunes it and adds them. Integers and times without a
value are left out, because the vendor's client library refuses null there.
"""

from __future__ import annotations

from gateway.frontends.ontap_rest.render.cluster import (
    ClusterFacts,
    InterfaceFacts,
    NodeFacts,
    render_cluster,
    render_interface,
    render_job,
    render_node,
)
from gateway.frontends.ontap_rest.render.mirror import (
    Ends,
    MirrorRefs,
    render_mirror_policy,
    render_relationship,
    render_transfer,
)
from gateway.frontends.ontap_rest.render.peers import render_cluster_peer, render_far_svm_peer, render_svm_peer
from gateway.frontends.ontap_rest.render.policies import (
    render_export_policy,
    render_export_rule,
    render_policy_line,
    render_schedule,
    render_snapshot_policy,
)
from gateway.frontends.ontap_rest.render.san import (
    render_credentials,
    render_igroup,
    render_initiator,
    render_iscsi_service,
    render_lun,
    render_lun_map,
)
from gateway.frontends.ontap_rest.render.storage import (
    VolumeRefs,
    labels_to_tags,
    mode_to_permissions,
    permissions_to_mode,
    render_aggregate,
    render_snapshot,
    render_svm,
    render_volume,
    tags_to_labels,
)

__all__ = [
    "ClusterFacts",
    "Ends",
    "InterfaceFacts",
    "MirrorRefs",
    "NodeFacts",
    "VolumeRefs",
    "labels_to_tags",
    "mode_to_permissions",
    "permissions_to_mode",
    "render_aggregate",
    "render_cluster",
    "render_cluster_peer",
    "render_credentials",
    "render_export_policy",
    "render_export_rule",
    "render_far_svm_peer",
    "render_igroup",
    "render_initiator",
    "render_interface",
    "render_iscsi_service",
    "render_job",
    "render_lun",
    "render_lun_map",
    "render_mirror_policy",
    "render_node",
    "render_policy_line",
    "render_relationship",
    "render_schedule",
    "render_snapshot",
    "render_snapshot_policy",
    "render_svm",
    "render_svm_peer",
    "render_transfer",
    "render_volume",
    "tags_to_labels",
]
