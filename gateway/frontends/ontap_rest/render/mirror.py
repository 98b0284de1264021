"""SnapMirror: relationships, their transfers, and policies."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from gateway.core.follower_model import Follower
from gateway.core.model import Schedule, Snapshot, Tenant, Volume
from gateway.core.peers import Peer
from gateway.core.replication_model import Replication, ReplicationPolicy, ReplicationRule, SnapshotChoice, Transfer
from gateway.frontends.ontap_rest.constants import nested
from gateway.frontends.ontap_rest.errors import encode_job_error, from_record
from gateway.frontends.ontap_rest.pushdown import MIRROR_STATES, SENT
from gateway.frontends.ontap_rest.scalars import format_datetime, format_hours

KIB = 1024
"""ONTAP counts throttles in KiB per second."""

_UNHEALTHY = "6620649"
"""What real systems show as the code of a transfer that failed."""


class Ends(msgspec.Struct, frozen=True, kw_only=True):
    """Both ends of a relationship as they are called now. `source_tenant` None: the source is not here, or gone.

    `peer`: the cluster at which it is. `hidden`: the caller may not know of the source.
    """

    source_tenant: Tenant | None
    source_volume: Volume | None
    tenant: Tenant
    volume: Volume
    peer: Peer | None = None
    hidden: bool = False


class MirrorRefs(msgspec.Struct, frozen=True, kw_only=True):
    """What a relationship refers to. `base`: the newest common snapshot; `schedules`: those it may name, by name."""

    ends: Ends
    policy: ReplicationPolicy
    base: Snapshot | None = None
    transfer: Transfer | None = None
    schedules: Mapping[str, Schedule] = {}


def render_relationship(replication: Replication, refs: MirrorRefs, *, now: datetime) -> dict[str, Any]:
    """Render a relationship as it is at `now`, since its lag grows by itself."""
    record: dict[str, Any] = nested("snapmirror_relationship")
    record |= {
        "uuid": str(replication.id),
        "destination": {"path": path_of(refs.ends.tenant.name, refs.ends.volume.name), "svm": _named(refs.ends.tenant)},
        "state": MIRROR_STATES[replication.state],
        "healthy": replication.healthy,
        "throttle": to_kib(replication.throttle or 0),
        "total_transfer_bytes": replication.total_bytes,
        "total_transfer_duration": format_hours(replication.total_duration_s),
    }
    record["policy"] |= _named(refs.policy)
    if not refs.ends.hidden:
        record["source"] = source_end(replication, refs.ends)
    if replication.schedule:
        record["transfer_schedule"] = _schedule(replication.schedule, refs.schedules)
    if refs.base is not None:
        record["exported_snapshot"] = refs.base.name
    if replication.base_created is not None:
        record["lag_time"] = format_hours(max(0, int((now - replication.base_created).total_seconds())))
    if not replication.healthy:
        record["unhealthy_reason"] = [_reason(replication, refs.transfer)]
    if refs.transfer is not None:
        record["transfer"] = _progress(refs.transfer, now)
        record["last_transfer_type"] = refs.transfer.kind.value
    return record


def render_follower(follower: Follower, source: Volume, tenant: Tenant, peer: Peer | None) -> dict[str, Any]:
    """Render a relationship as the cluster of its source knows it: by its ends, and by nothing that changes."""
    destination: dict[str, Any] = {
        "path": path_of(follower.tenant, follower.volume),
        "svm": {"name": follower.tenant, "uuid": str(follower.reader_id)},
    }
    return {
        "uuid": str(follower.id),
        "source": {"path": path_of(tenant.name, source.name), "svm": _named(tenant)},
        "destination": destination if peer is None else {**destination, "cluster": _named(peer)},
        "policy": {"type": "async"},
        "group_type": "none",
    }


def render_transfer(
    transfer: Transfer, replication: Replication, ends: Ends, *, snapshot: Snapshot | None, now: datetime
) -> dict[str, Any]:
    """Render a transfer. `snapshot` is the source's that is sent."""
    record: dict[str, Any] = nested("snapmirror_transfer")
    record["relationship"] |= {
        "uuid": str(replication.id),
        "destination": {"path": path_of(ends.tenant.name, ends.volume.name), "svm": _named(ends.tenant)},
    }
    record |= {name: value for name, value in _progress(transfer, now).items() if name != "type"}
    record["throttle"] = to_kib(transfer.throttle)
    if snapshot is not None:
        record["snapshot"] = snapshot.name
    if transfer.error is not None:
        code, error = encode_job_error(from_record(transfer.error), operation="snapmirror_transfer.create")
        record["error_info"] = {"code": code, "message": error["message"]}
    return record


def render_mirror_policy(
    policy: ReplicationPolicy, tenant: Tenant | None, schedules: Mapping[str, Schedule] = {}
) -> dict[str, Any]:
    """Render a policy; one that belongs to no tenant has cluster scope and no `svm`."""
    record: dict[str, Any] = nested("snapmirror_policy")
    record |= {
        "uuid": str(policy.id),
        "name": policy.name,
        "comment": policy.comment,
        "scope": "cluster" if policy.tenant_id is None else "svm",
        "throttle": to_kib(policy.throttle),
        **SENT[policy.choice],
        # With rules only the snapshots go whose labels they name.
        "copy_all_source_snapshots": policy.choice is SnapshotChoice.ALL and not policy.rules,
    }
    if policy.rules:
        record["retention"] = [_rule(rule, schedules) for rule in policy.rules]
    if policy.schedule:
        record["transfer_schedule"] = _schedule(policy.schedule, schedules)
    if tenant is not None:
        record["svm"] = _named(tenant)
    return record


def source_end(replication: Replication, ends: Ends) -> dict[str, Any]:
    """Render where a relationship's content comes from, by the names of now as far as they are known."""
    source = replication.source
    if ends.source_tenant is None or ends.source_volume is None:
        end: dict[str, Any] = {"path": path_of(source.tenant, source.volume), "svm": {"name": source.tenant}}
        return end if ends.peer is None else {**end, "cluster": _named(ends.peer)}
    return {"path": path_of(ends.source_tenant.name, ends.source_volume.name), "svm": _named(ends.source_tenant)}


def path_of(tenant: str, volume: str) -> str:
    """Give the path of a relationship's end."""
    return f"{tenant}:{volume}"


def to_kib(throttle: int) -> int:
    """Give bytes per second as this dialect counts them; only no limit is 0."""
    return -(-throttle // KIB)


def _progress(transfer: Transfer, now: datetime) -> dict[str, Any]:
    lasted = (transfer.ended or now) - transfer.created
    shown: dict[str, Any] = {
        "uuid": str(transfer.id),
        "state": transfer.state.value,
        "type": transfer.kind.value,
        "bytes_transferred": transfer.bytes_transferred,
        "total_duration": format_hours(max(0, int(lasted.total_seconds()))),
    }
    if transfer.ended is not None:
        shown["end_time"] = format_datetime(transfer.ended)
    return shown


def _reason(replication: Replication, transfer: Transfer | None) -> dict[str, Any]:
    if transfer is None or transfer.error is None:
        return {"code": _UNHEALTHY, "message": f"Transfer failed. Reason: {replication.reason or 'unknown'}."}
    code, error = encode_job_error(from_record(transfer.error), operation="snapmirror_transfer.create")
    return {"code": str(code), "message": f"Transfer failed. Reason: {error['message']}"}


def _rule(rule: ReplicationRule, schedules: Mapping[str, Schedule]) -> dict[str, Any]:
    shown: dict[str, Any] = {"label": rule.label, "count": str(rule.count), "preserve": False, "warn": 0}
    if rule.prefix:
        shown["prefix"] = rule.prefix
    if rule.schedule:
        shown["creation_schedule"] = _schedule(rule.schedule, schedules)
    return shown


def _schedule(name: str, schedules: Mapping[str, Schedule]) -> dict[str, Any]:
    found = schedules.get(name)
    return {"name": name} if found is None else _named(found)


def _named(record: Tenant | Volume | Schedule | ReplicationPolicy | Peer) -> dict[str, Any]:
    return {"uuid": str(record.id), "name": record.name}
