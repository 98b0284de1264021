"""Names and uuids in bodies become ids of the core; what does not exist or disagrees is said in ONTAP's codes."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from gateway.core import errors
from gateway.core.context import Core
from gateway.core.model import ExportPolicy, Pool, Snapshot, SnapshotPolicy, Tenant, Volume
from gateway.core.ownership import visible
from gateway.core.query import And, Compare, IsNull, Op, Or, Query
from gateway.frontends.ontap_rest.ask import Ask
from gateway.frontends.ontap_rest.body import Values
from gateway.frontends.ontap_rest.errors import WireError

_DIFFER: Mapping[str, tuple[str, str]] = {
    "svm": ("2621706", 'The specified "svm.uuid" and "svm.name" do not refer to the same SVM.'),
    "aggregates": ("787141", "The specified aggregate name and uuid do not match."),
    "snapshot_policy": ("1638587", "The specified snapshot policy name and uuid do not match."),
    "clone.parent_volume": ("918236", 'The specified "clone.parent_volume" name and uuid do not match.'),
    "clone.parent_snapshot": ("918243", 'The specified "clone.parent_snapshot" name and uuid do not match.'),
    "clone.source": ("5374874", 'The specified "clone.source" name and uuid do not refer to the same LUN.'),
    "lun": ("262186", 'The specified "lun.uuid" and "lun.name" do not refer to the same LUN.'),
    "igroup": ("262186", 'The specified "igroup.uuid" and "igroup.name" do not refer to the same igroup.'),
    "nas.export_policy": ("1703952", "The specified export policy name and id do not match."),
    "export_policy": ("1703952", "The specified export policy name and id do not match."),
    "volume": ("918236", 'The specified "volume.uuid" and "volume.name" do not refer to the same volume.'),
}


def text(values: Values, path: str) -> str | None:
    """Give the text at a path; None when it is absent or null."""
    value = values.get(path)
    return None if value is None else str(value)


def check_agree(path: str, *, agree: bool) -> None:
    """Refuse a name and a uuid that speak of different objects."""
    if not agree:
        code, message = _DIFFER[path]
        raise WireError(400, code, message=message, target=path)


def check_place(values: Values, present: Mapping[str, object]) -> None:
    """Refuse a body that says that its record lies elsewhere than where the path says."""
    for path, value in present.items():
        if values.get(path) not in (None, value):
            message = f'Field "{path}" contradicts the path of the request, which says "{value}".'
            raise WireError(400, "262186", message=message, target=path)


def uuid_of(value: str | None, kind: str) -> UUID | None:
    """Read a uuid of a body; NotFound for a text that is none."""
    if value is None:
        return None
    try:
        return UUID(value)
    except ValueError:
        raise errors.NotFound(kind=kind, ref=value) from None


async def tenant_of(ask: Ask, values: Values, path: str = "svm") -> Tenant:
    """Give the SVM that a body names, or the tunnelled one; they must not contradict each other."""
    name, uuid = text(values, f"{path}.name"), uuid_of(text(values, f"{path}.uuid"), "tenant")
    if name is None and uuid is None:
        if ask.tenant is None:
            raise WireError(
                400,
                "2621707",
                message='No SVM was specified. Either "svm.name" or "svm.uuid" must be supplied.',
                target="svm.name",
            )
        return ask.tenant
    found = await _tenant(ask.core, name, uuid)
    if ask.tenant is not None and found.id != ask.tenant.id:
        raise WireError(400, "2621706", message=_DIFFER["svm"][1], target="svm.name")
    return found


async def _tenant(core: Core, name: str | None, uuid: UUID | None) -> Tenant:
    found = await core.get(Tenant, uuid) if uuid else await core.find(Tenant, name=name or "")
    if found is None:
        raise errors.NotFound(kind="tenant", ref=name)
    check_agree("svm", agree=name is None or found.name == name)
    return found


async def pool_of(core: Core, values: Values) -> Pool:
    """Give the one aggregate of a body."""
    listed = values.get("aggregates")
    if not isinstance(listed, list) or len(listed) != 1:
        raise WireError(
            400, "918242", message="A FlexVol volume must be created on exactly one aggregate.", target="aggregates"
        )
    name, uuid = text(listed[0], "name"), uuid_of(text(listed[0], "uuid"), "pool")
    found = await core.get(Pool, uuid) if uuid else await core.find(Pool, name=name or "")
    if found is None:
        raise errors.NotFound(kind="pool", ref=name)
    check_agree("aggregates", agree=name is None or found.name == name)
    return found


async def export_policy_of(core: Core, values: Values, tenant_id: UUID) -> UUID | None:
    """Give the export policy that a volume's body names; None when it names none."""
    return await export_policy_named(core, values, "nas.export_policy", tenant_id)


async def export_policy_named(core: Core, values: Values, path: str, tenant_id: UUID) -> UUID | None:
    """Give the export policy that `path`.name or `path`.id names; None when nothing is."""
    name, number = text(values, f"{path}.name"), values.get(f"{path}.id")
    if name is None and number is None:
        return None
    conditions: dict[str, str | int | UUID] = {"tenant__id": tenant_id}
    if name is not None:
        conditions["name"] = name
    elif isinstance(number, int):
        conditions["number"] = number
    found = await core.find(ExportPolicy, **conditions)
    if found is None:
        raise errors.NotFound(kind="export policy", ref=name or str(number))
    check_agree(path, agree=number is None or found.number == number)
    return found.id


async def default_export_policy(core: Core, tenant_id: UUID) -> UUID | None:
    """Give the SVM's built-in policy, which volumes get that name none."""
    found = await core.find(ExportPolicy, name="default", tenant__id=tenant_id)
    return found.id if found else None


async def snapshot_policy_of(core: Core, values: Values, tenant_id: UUID, *, fallback: str | None) -> UUID | None:
    """Give the snapshot policy that a volume's body names, one of the SVM before one of the cluster."""
    name, uuid = text(values, "snapshot_policy.name"), uuid_of(text(values, "snapshot_policy.uuid"), "snapshot policy")
    if uuid is not None:
        found = await core.get(SnapshotPolicy, uuid)
        if found.tenant_id not in (None, tenant_id):
            raise errors.NotFound(kind="snapshot policy", ref=str(uuid))
        check_agree("snapshot_policy", agree=name is None or found.name == name)
        return found.id
    wanted = name if name is not None else fallback
    if wanted is None:
        return None
    scope = Or((Compare("tenant.id", Op.EQ, tenant_id), IsNull("tenant.id")))
    where = And((Compare("name", Op.EQ, wanted), scope))
    page = await core.catalog.page(SnapshotPolicy, Query(where=where, limit=2))
    if not page.records:
        if name is None:
            return None
        raise errors.NotFound(kind="snapshot policy", ref=name)
    return max(page.records, key=lambda policy: policy.tenant_id is not None).id


def seen(core: Core, volume: Volume | None) -> Volume | None:
    """Give the volume if the caller may know of it."""
    return volume if volume is not None and visible(core.caller, volume) else None


async def volume_of(core: Core, values: Values, path: str, tenant_id: UUID) -> Volume:
    """Give the volume that `path`.name or `path`.uuid names within an SVM."""
    name, uuid = text(values, f"{path}.name"), uuid_of(text(values, f"{path}.uuid"), "volume")
    if name is None and uuid is None:
        raise WireError(400, "918232", message=f'Either "{path}.name" or "{path}.uuid" is required.', target=path)
    found = (
        await core.catalog.get(Volume, uuid) if uuid else await core.find(Volume, name=name or "", tenant__id=tenant_id)
    )
    found = seen(core, found)
    if found is None:
        raise errors.NotFound(kind="volume", ref=name or str(uuid))
    check_agree(path, agree=name is None or found.name == name)
    return found


async def snapshot_of(core: Core, volume_id: UUID, *, name: str | None, uuid: str | None, path: str) -> Snapshot | None:
    """Give the snapshot of a volume that is named; None when nothing is."""
    found: Snapshot | None
    key = uuid_of(uuid, "snapshot")
    if key is not None:
        found = await core.catalog.get(Snapshot, key)
    elif name is not None:
        found = await core.find(Snapshot, name=name, volume__id=volume_id)
    else:
        return None
    if found is None or found.volume_id != volume_id:
        raise errors.NotFound(kind="snapshot", ref=name or uuid)
    if path in _DIFFER:
        check_agree(path, agree=name is None or found.name == name)
    return found
