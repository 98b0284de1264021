"""LUNs, igroups and their initiators, LUN maps, and what iSCSI needs of an SVM."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from gateway.core.model import (
    Attachment,
    HostGroup,
    Initiator,
    InitiatorLogin,
    IscsiService,
    Pool,
    PoolState,
    Tenant,
    Volume,
    VolumeState,
)
from gateway.core.targets import serial_of
from gateway.frontends.ontap_rest import kept
from gateway.frontends.ontap_rest.constants import nested
from gateway.frontends.ontap_rest.pushdown import LUN_ENABLED, LUN_STATES
from gateway.frontends.ontap_rest.render.cluster import NodeFacts
from gateway.frontends.ontap_rest.scalars import format_datetime


def render_lun(
    volume: Volume, *, tenant: Tenant, pool: Pool, groups: Mapping[UUID, HostGroup], node: NodeFacts
) -> dict[str, Any]:
    """Render the LUN of a volume of blocks. `groups` are those that it may be mapped to."""
    record: dict[str, Any] = nested("lun")
    serial = serial_of(volume.id)
    requested = kept.flagged(volume, kept.RESERVE)
    record |= {
        "uuid": str(volume.id),
        "name": kept.lun_path(volume),
        "svm": _named(tenant),
        "comment": volume.annotations.get(kept.COMMENT, ""),
        "create_time": format_datetime(volume.created),
        "enabled": LUN_ENABLED[volume.state],
        "os_type": kept.os_type(volume),
        "serial_number": serial,
        "serial_number_hex": serial.encode().hex(),
        "location": {
            "logical_unit": kept.lun_name(volume),
            "node": _node(node),
            "volume": _named(volume),
        },
        "space": {
            "size": volume.size,
            "used": volume.used,
            "scsi_thin_provisioning_support_enabled": kept.flagged(volume, kept.SCSI_THIN),
            "guarantee": {"requested": requested, "reserved": requested and volume.thick},
        },
    }
    record["status"] = {
        "state": LUN_STATES[volume.state],
        "container_state": _container_state(volume, pool),
        "mapped": bool(volume.attachments),
        "read_only": volume.replica_of is not None,
    }
    mapped = [
        {"igroup": _named(groups[a.host_group_id]), "logical_unit_number": a.lun}
        for a in kept.maps(volume)
        if a.host_group_id is not None and a.host_group_id in groups
    ]
    if mapped:
        record["lun_maps"] = mapped
    return record


def render_igroup(
    group: HostGroup, tenant: Tenant, *, volumes: Iterable[Volume] = (), node: NodeFacts
) -> dict[str, Any]:
    """Render a host group as an igroup. `volumes` are those attached to it."""
    record: dict[str, Any] = nested("igroup")
    record |= {
        "uuid": str(group.id),
        "name": group.name,
        "svm": _named(tenant),
        "comment": group.comment,
        "os_type": kept.os_type(group),
        "protocol": kept.protocol(group),
    }
    if group.initiators:
        record["initiators"] = [_initiator(initiator) for initiator in group.initiators]
    mapped = [
        {"lun": _lun(volume, node), "logical_unit_number": attachment.lun}
        for volume in volumes
        for attachment in kept.maps(volume)
        if attachment.host_group_id == group.id
    ]
    if mapped:
        record["lun_maps"] = mapped
    return record


def render_initiator(initiator: Initiator, group: HostGroup) -> dict[str, Any]:
    """Render an igroup's initiator as a record of its own."""
    return _initiator(initiator) | {"igroup": _named(group)}


def render_lun_map(
    volume: Volume, attachment: Attachment, *, group: HostGroup, tenant: Tenant, node: NodeFacts
) -> dict[str, Any]:
    """Render an attachment to a host group as a LUN map."""
    record: dict[str, Any] = nested("lun_map")
    record["svm"] = _named(tenant)
    record["logical_unit_number"] = attachment.lun
    record["lun"] |= _lun(volume, node)
    record["igroup"] |= _named(group) | {"os_type": kept.os_type(group), "protocol": kept.protocol(group)}
    if group.initiators:
        record["igroup"]["initiators"] = [initiator.name for initiator in group.initiators]
    record["reporting_nodes"] = [_node(node)]
    return record


def render_iscsi_service(tenant: Tenant, service: IscsiService) -> dict[str, Any]:
    """Render a tenant's iSCSI service."""
    return {
        "svm": _named(tenant),
        "enabled": service.enabled,
        "target": {"name": service.target, "alias": service.alias},
    }


def render_credentials(login: InitiatorLogin, tenant: Tenant) -> dict[str, Any]:
    """Render an initiator's login, without its passwords, which nobody is shown."""
    record: dict[str, Any] = {
        "svm": _named(tenant),
        "initiator": login.initiator,
        "authentication_type": login.kind.value,
    }
    users = {"inbound": login.user, "outbound": login.target_user}
    chap = {side: {"user": user} for side, user in users.items() if user}
    if chap:
        record["chap"] = chap
    return record


def _container_state(volume: Volume, pool: Pool) -> str:
    if pool.state is not PoolState.ONLINE:
        return "aggregate_offline"
    return "online" if volume.state is VolumeState.ONLINE else "volume_offline"


def _initiator(initiator: Initiator) -> dict[str, Any]:
    record: dict[str, Any] = {"name": initiator.name}
    if initiator.comment:
        record["comment"] = initiator.comment
    return record


def _lun(volume: Volume, node: NodeFacts) -> dict[str, Any]:
    return {"uuid": str(volume.id), "name": kept.lun_path(volume), "node": _node(node)}


def _node(node: NodeFacts) -> dict[str, Any]:
    return {"uuid": str(node.id), "name": node.name}


def _named(record: Tenant | Volume | HostGroup) -> dict[str, Any]:
    return {"uuid": str(record.id), "name": record.name}
