"""Consistency groups: documents that name volumes, and the snapshots that were taken of all of them at one instant.

A group's snapshot is kept nowhere but in the snapshots of its volumes, each of
which bears an annotation: whatever becomes of the group, or of this process,
they are ordinary snapshots of their volumes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

import msgspec

from gateway.core import documents
from gateway.core.catalog import walk
from gateway.core.context import Core
from gateway.core.manifest import everything
from gateway.core.model import Document, Snapshot, Tenant, Volume
from gateway.core.ownership import visible
from gateway.core.query import Compare, Op, Or, Query
from gateway.frontends.ontap_rest.ask import Ask, uuid_key
from gateway.frontends.ontap_rest.constants import nested
from gateway.frontends.ontap_rest.errors import no_entry
from gateway.frontends.ontap_rest.scalars import format_datetime
from gateway.frontends.ontap_rest.sources import EVERY, Rendered

KIND = "ontap.consistency_group"
TAKEN = "ontap.consistency_group"
"""The annotation of a snapshot that was taken of a group: the ids of the group and of the group's snapshot."""


class ConsistencyGroup(msgspec.Struct, frozen=True, kw_only=True):
    """What a group's document says."""

    name: str
    tenant_id: UUID
    volumes: tuple[UUID, ...]


class KeptGroup(msgspec.Struct, frozen=True, kw_only=True):
    """A group, the document that keeps it, whose id is the group's, and those of its volumes that are there."""

    document: Document
    group: ConsistencyGroup
    tenant: Tenant
    volumes: tuple[Volume, ...]


class GroupSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot of a group: those of its volumes."""

    id: UUID
    kept: KeptGroup
    parts: tuple[Snapshot, ...]


def document_name(group: ConsistencyGroup) -> str:
    """Give what the group's document is called: names are unique within an SVM."""
    return f"{group.tenant_id.hex}.{group.name}"


async def groups_of(core: Core, *, tenant: Tenant | None = None) -> list[KeptGroup]:
    """Give the groups of one SVM or of all, by SVM and name. None has a volume that the caller may not read.

    A volume that its user deleted belongs to none, although what depends on it may still keep it.
    """
    tenants = {each.id: each for each in await everything(core.catalog, Tenant)}
    found = []
    for document in await documents.all_of(core, KIND):
        group = msgspec.json.decode(document.body, type=ConsistencyGroup)
        if group.tenant_id not in tenants or (tenant is not None and group.tenant_id != tenant.id):
            continue
        present = await core.catalog.get_many(Volume, set(group.volumes))
        volumes = tuple(present[key] for key in group.volumes if key in present and present[key].retired is None)
        if all(visible(core.caller, volume) for volume in volumes):
            found.append(KeptGroup(document=document, group=group, tenant=tenants[group.tenant_id], volumes=volumes))
    return found


async def forget_groups(core: Core, tenant: Tenant) -> None:
    """Remove the groups of an SVM that went."""
    await documents.delete_each(
        core, KIND, lambda document: msgspec.json.decode(document.body, type=ConsistencyGroup).tenant_id == tenant.id
    )


def mark(group: UUID, snapshot: UUID) -> Mapping[str, str]:
    """Give the annotation of each snapshot that belongs to a group's."""
    return {TAKEN: f"{group}/{snapshot}"}


async def snapshots_of(core: Core, kept: KeptGroup) -> list[GroupSnapshot]:
    """Give the snapshots that were taken of a group, the oldest first."""
    if not kept.volumes:
        return []
    where = Or(tuple(Compare("volume.id", Op.EQ, volume.id) for volume in kept.volumes))
    parts: dict[str, list[Snapshot]] = {}
    async for snapshot in walk(core.catalog, Snapshot, Query(where=where)):
        group, _, key = snapshot.annotations.get(TAKEN, "").partition("/")
        if group == str(kept.document.id):
            parts.setdefault(key, []).append(snapshot)
    found = [GroupSnapshot(id=UUID(key), kept=kept, parts=tuple(each)) for key, each in parts.items()]
    return sorted(found, key=lambda each: (each.parts[0].created, each.parts[0].name))


class ConsistencyGroups:
    """The groups of all SVMs."""

    async def list(self, ask: Ask) -> Sequence[tuple[object, Rendered]]:
        """List them by SVM and name."""
        return [(kept, render_group(kept)) for kept in await groups_of(ask.core, tenant=ask.tenant)]

    async def named(self, ask: Ask) -> Sequence[KeptGroup]:
        """Give the group that the path's first key names, or all for `*`."""
        kept = await groups_of(ask.core, tenant=ask.tenant)
        if ask.keys[0] == EVERY:
            return kept
        wanted = uuid_key(ask.keys[0], "consistency_group.uuid")
        found = [each for each in kept if each.document.id == wanted]
        if not found:
            raise no_entry("consistency_group.uuid")
        return found


class GroupSnapshots:
    """The snapshots of one group, or of all (`*`)."""

    def __init__(self, groups: ConsistencyGroups) -> None:
        self._groups = groups

    async def list(self, ask: Ask) -> Sequence[tuple[object, Rendered]]:
        """List them, the oldest first."""
        return [
            (snapshot, render_group_snapshot(snapshot))
            for kept in await self._groups.named(ask)
            for snapshot in await snapshots_of(ask.core, kept)
        ]


def render_group(kept: KeptGroup) -> Rendered:
    """Render a group. What its volumes take together is its space."""
    record: Rendered = nested("consistency_group")
    size, used = (sum(getattr(volume, part) for volume in kept.volumes) for part in ("size", "used"))
    record |= {
        "uuid": str(kept.document.id),
        "name": kept.group.name,
        "svm": {"uuid": str(kept.tenant.id), "name": kept.tenant.name},
        "volumes": [{"uuid": str(volume.id), "name": volume.name} for volume in kept.volumes],
        "space": {"size": size, "used": used, "available": max(0, size - used)},
    }
    return record


def render_group_snapshot(snapshot: GroupSnapshot) -> Rendered:
    """Render a snapshot of a group. It is partial when some volume of the group has none that belongs to it."""
    kept, first = snapshot.kept, snapshot.parts[0]
    volumes = {volume.id: {"uuid": str(volume.id), "name": volume.name} for volume in kept.volumes}
    taken = {part.volume_id for part in snapshot.parts}
    missing = [volume for key, volume in volumes.items() if key not in taken]
    record: Rendered = nested("consistency_group_snapshot")
    record |= {
        "uuid": str(snapshot.id),
        "name": first.name,
        "comment": first.comment,
        "create_time": format_datetime(first.created),
        "consistency_group": {"uuid": str(kept.document.id), "name": kept.group.name},
        "svm": {"uuid": str(kept.tenant.id), "name": kept.tenant.name},
        "is_partial": bool(missing),
        "snapshot_volumes": [
            {"volume": volumes[part.volume_id], "snapshot": {"uuid": str(part.id), "name": part.name}}
            for part in snapshot.parts
        ],
    }
    if missing:
        record["missing_volumes"] = missing
    if first.label:
        record["snapmirror_label"] = first.label
    return record
