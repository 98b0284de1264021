"""SVMs, aggregates, volumes and snapshots."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from gateway.core.model import ExportPolicy, Pool, PoolState, Snapshot, SnapshotPolicy, Tenant, Volume, VolumeKind
from gateway.frontends.ontap_rest.constants import nested
from gateway.frontends.ontap_rest.moves import Movement, render_movement
from gateway.frontends.ontap_rest.pushdown import NAS_STYLES, SNAPSHOT_STATES, VOLUME_STATES
from gateway.frontends.ontap_rest.render.cluster import NodeFacts
from gateway.frontends.ontap_rest.scalars import format_datetime
from gateway.frontends.ontap_rest.space import render_autosize, reserve_percent, watch_of


class VolumeRefs(msgspec.Struct, frozen=True, kw_only=True):
    """The records that a volume refers to. None: not set, or not wanted by the projection.

    `protected`: it is the source of a relationship. `movement`: its move to another aggregate.
    """

    tenant: Tenant
    pool: Pool
    export_policy: ExportPolicy | None = None
    snapshot_policy: SnapshotPolicy | None = None
    parent: Volume | None = None
    parent_snapshot: Snapshot | None = None
    parent_tenant: Tenant | None = None
    protected: bool = False
    movement: Movement | None = None

    @property
    def records(self) -> tuple[Tenant | Pool | ExportPolicy | SnapshotPolicy | Volume | Snapshot | None, ...]:
        """Give everything that shows beside the volume itself."""
        return (
            self.tenant,
            self.pool,
            self.export_policy,
            self.snapshot_policy,
            self.parent,
            self.parent_snapshot,
            self.parent_tenant,
        )


def render_svm(
    tenant: Tenant, pools: Iterable[Pool] = (), *, policy: SnapshotPolicy | None = None, nfs: bool = False
) -> dict[str, Any]:
    """Render a tenant as an SVM.

    `pools` are those it may use, `policy` that of volumes which name none, `nfs` whether there is an exporter.
    """
    record: dict[str, Any] = nested("svm")
    record |= {"uuid": str(tenant.id), "name": tenant.name, "comment": tenant.comment, "state": tenant.state.value}
    record["aggregates"] = [
        {
            "uuid": str(pool.id),
            "name": pool.name,
            "available_size": pool.available,
            "state": pool.state.value,
            "snaplock_type": "non_snaplock",
        }
        for pool in pools
    ]
    record["aggregates_delegated"] = bool(tenant.pool_ids)
    if policy is not None:
        record["snapshot_policy"] = _named(policy)
    record["nfs"] = {"allowed": nfs, "enabled": nfs and tenant.nfs.enabled}
    service = tenant.iscsi
    record["iscsi"]["enabled"] = service is not None and service.enabled and not service.removed
    return record


def render_aggregate(pool: Pool, node: NodeFacts) -> dict[str, Any]:
    """Render a pool as an aggregate of the node that runs the gateway."""
    record: dict[str, Any] = nested("aggregate")
    place = {"uuid": str(node.id), "name": node.name}
    record |= {
        "uuid": str(pool.id),
        "name": pool.name,
        "state": pool.state.value,
        "create_time": format_datetime(pool.created),
        "node": place,
        "home_node": dict(place),
        "volume-count": pool.volume_count,
    }
    space: dict[str, Any] = {"size": pool.size, "used": pool.used, "available": pool.available}
    if pool.size:
        space["used_percent"] = pool.used * 100 // pool.size
    record["space"] = {"block_storage": space}
    return record


def render_volume(volume: Volume, refs: VolumeRefs) -> dict[str, Any]:
    """Render a volume as a FlexVol."""
    record: dict[str, Any] = nested("volume")
    record |= {
        "uuid": str(volume.id),
        "name": volume.name,
        "svm": _named(refs.tenant),
        "aggregates": [_named(refs.pool)],
        "size": volume.size,
        "state": VOLUME_STATES[volume.state],
        "comment": volume.comment,
        "create_time": format_datetime(volume.created),
        "snapshot_count": volume.snapshot_count,
    }
    if volume.labels:
        record["_tags"] = labels_to_tags(volume.labels)
    record["type"] = "rw" if volume.replica_of is None else "dp"
    record["snapmirror"]["is_protected"] = refs.protected
    record["snapmirror"]["destinations"]["is_ontap"] = refs.protected
    record["guarantee"]["type"] = "volume" if volume.thick else "none"
    record["autosize"] = render_autosize(watch_of(volume)) if volume.annotations else {"mode": "off"}
    record["efficiency"]["volume_path"] = f"/vol/{volume.name}"
    if refs.snapshot_policy is not None:
        record["snapshot_policy"] = _named(refs.snapshot_policy)
    record["space"] |= _volume_space(volume, refs.pool)
    if volume.kind is VolumeKind.FILESYSTEM:
        record["nas"] = _nas(volume, refs.export_policy)
    record["clone"] = _clone(volume, refs)
    if refs.movement is not None:
        record["movement"] = render_movement(refs.movement)
    return record


def _volume_space(volume: Volume, pool: Pool) -> dict[str, Any]:
    percent = reserve_percent(volume) if volume.annotations else 0
    reserve = volume.size * percent // 100
    left = max(0, volume.size - reserve - volume.used)
    if pool.state is PoolState.ONLINE and pool.size and not volume.thick:
        left = min(left, pool.available)
    space: dict[str, Any] = {
        "size": volume.size,
        "used": volume.used,
        "available": left,
        "afs_total": volume.size - reserve,
        "filesystem_size": volume.size,
        "snapshot": {"reserve_percent": percent, "reserve_size": reserve},
    }
    watch = watch_of(volume) if volume.annotations else None
    if watch is not None and watch.nearly_full is not None:
        space["nearly_full_threshold_percent"] = watch.nearly_full
    if watch is not None and watch.full is not None:
        space["full_threshold_percent"] = watch.full
    if volume.size:
        space["percent_used"] = volume.used * 100 // volume.size
    return space


def _nas(volume: Volume, policy: ExportPolicy | None) -> dict[str, Any]:
    nas: dict[str, Any] = {
        "security_style": NAS_STYLES[volume.kind],
        "unix_permissions": mode_to_permissions(volume.root.mode),
        "uid": volume.root.uid,
        "gid": volume.root.gid,
    }
    if volume.junction_path is not None:
        nas["path"] = volume.junction_path
    if policy is not None:
        nas["export_policy"] = {"id": policy.number, "name": policy.name}
    return nas


def _clone(volume: Volume, refs: VolumeRefs) -> dict[str, Any]:
    clone: dict[str, Any] = {
        "is_flexclone": volume.origin is not None,
        "has_flexclone": volume.clone_count > 0,
    }
    if volume.origin is None:
        return clone
    clone["split_initiated"] = False
    clone["parent_volume"] = {"uuid": str(volume.origin.volume_id)}
    if refs.parent is not None:
        clone["parent_volume"]["name"] = refs.parent.name
    if volume.origin.snapshot_id is not None:
        clone["parent_snapshot"] = {"uuid": str(volume.origin.snapshot_id)}
        if refs.parent_snapshot is not None:
            clone["parent_snapshot"]["name"] = refs.parent_snapshot.name
    if refs.parent_tenant is not None:
        clone["parent_svm"] = _named(refs.parent_tenant)
    return clone


def render_snapshot(
    snapshot: Snapshot, volume: Volume, tenant: Tenant, *, base: bool = False, owned: bool = False
) -> dict[str, Any]:
    """Render a snapshot. `owners` says what keeps it from being deleted and is absent when nothing does.

    `base`: a SnapMirror relationship goes on from it. `owned`: `owners` is there in any case.
    """
    record: dict[str, Any] = {
        "uuid": str(snapshot.id),
        "name": snapshot.name,
        "volume": _named(volume),
        "svm": _named(tenant),
        "create_time": format_datetime(snapshot.created),
        "comment": snapshot.comment,
        "state": SNAPSHOT_STATES[snapshot.state],
        "size": snapshot.size,
        "provenance_volume": {"uuid": str(volume.id)},
    }
    if snapshot.label:
        record["snapmirror_label"] = snapshot.label
    if snapshot.expires is not None:
        record["expiry_time"] = format_datetime(snapshot.expires)
    owners = [name for name, holds in (("volume_clone", snapshot.clone_count > 0), ("snapmirror", base)) if holds]
    if owners or owned:
        record["owners"] = owners
    return record


def labels_to_tags(labels: Mapping[str, str]) -> list[str]:
    """Give labels as `key:value` texts."""
    return [f"{key}:{value}" for key, value in labels.items()]


def tags_to_labels(tags: Iterable[str]) -> dict[str, str]:
    """Give `key:value` texts as labels; the first colon divides, the last of equal keys wins."""
    return {key: value for key, _, value in (tag.partition(":") for tag in tags)}


def mode_to_permissions(mode: int) -> int:
    """Give permission bits as ONTAP writes them: a decimal number whose digits are octal (0o755 is 755)."""
    return int(f"{mode:o}")


def permissions_to_mode(permissions: int) -> int:
    """Give the bits that such a number means; its digits must be octal."""
    return int(str(permissions), 8)


def _named(record: Tenant | Pool | Volume | SnapshotPolicy) -> dict[str, Any]:
    return {"uuid": str(record.id), "name": record.name}
