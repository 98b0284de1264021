"""Files within volumes, and qtrees."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.core.entries import Entry, FileKind
from gateway.core.model import ExportPolicy, Tenant, Volume
from gateway.frontends.ontap_rest.constants import nested
from gateway.frontends.ontap_rest.kept_qtrees import Qtree
from gateway.frontends.ontap_rest.render.storage import mode_to_permissions
from gateway.frontends.ontap_rest.scalars import format_datetime

_TIMES: Mapping[str, str] = {"accessed_time": "accessed", "changed_time": "changed", "modified_time": "modified"}


def render_file(entry: Entry, volume: Volume, *, path: str, name: str, snapshot: bool) -> dict[str, Any]:
    """Render what is called `name` in the directory `path` of a volume, or (`snapshot`) of a snapshot of it."""
    record: dict[str, Any] = nested("file")
    record |= {
        "volume": {"uuid": str(volume.id), "name": volume.name},
        "path": path,
        "name": name,
        "type": entry.kind.value,
        "size": entry.size,
        "bytes_used": entry.used,
        "hard_links_count": entry.links,
        "inode_number": entry.inode,
        "owner_id": entry.rights.uid,
        "group_id": entry.rights.gid,
        "unix_permissions": mode_to_permissions(entry.rights.mode),
        "is_snapshot": snapshot,
    }
    for field, attribute in _TIMES.items():
        value = getattr(entry, attribute)
        if value is not None:
            record[field] = format_datetime(value)
    if entry.kind is FileKind.SYMLINK:
        record["target"] = entry.target
    return record


def render_qtree(
    volume: Volume, number: int, qtree: Qtree, *, tenant: Tenant, policy: ExportPolicy | None
) -> dict[str, Any]:
    """Render a qtree. Clients reach it by the volume's junction path, under the volume's export policy."""
    record: dict[str, Any] = nested("qtree")
    record |= {
        "id": number,
        "name": qtree.name,
        "svm": {"uuid": str(tenant.id), "name": tenant.name},
        "volume": {"uuid": str(volume.id), "name": volume.name},
        "unix_permissions": mode_to_permissions(qtree.mode),
        "user": {"id": str(qtree.uid)},
        "group": {"id": str(qtree.gid)},
    }
    if policy is not None:
        record["export_policy"] = {"id": policy.number, "name": policy.name}
    if volume.junction_path is not None:
        place = f"{volume.junction_path}/{qtree.name}" if qtree.name else volume.junction_path
        record |= {"path": place, "nas": {"path": place}}
    return record
