"""Consistency groups: create, change and remove them, and take and remove their snapshots."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID, uuid4

import msgspec

from gateway.core import documents, errors, groups, snapshots
from gateway.core.change import Started
from gateway.core.model import Tenant, Volume
from gateway.core.snapshots import NewSnapshot
from gateway.frontends.ontap_rest.ask import Ask
from gateway.frontends.ontap_rest.body import Values
from gateway.frontends.ontap_rest.consistency import (
    KIND,
    ConsistencyGroup,
    GroupSnapshot,
    KeptGroup,
    document_name,
    groups_of,
    mark,
)
from gateway.frontends.ontap_rest.endpoint import Keyed
from gateway.frontends.ontap_rest.errors import WireError
from gateway.frontends.ontap_rest.writes.names import tenant_of, text, volume_of

_ADD, _REMOVE = "add", "remove"


async def create(ask: Ask, values: Values) -> Keyed:
    """Keep a new group of volumes that exist. Without a name it is called like its only volume."""
    tenant = await tenant_of(ask, values)
    volumes = [volume for volume, _ in await _named(ask, values, tenant, actions=(_ADD,))]
    name = text(values, "name") or (volumes[0].name if len(volumes) == 1 else "")
    if not name:
        raise WireError(400, "53411846", message="A name is required for a group of several volumes.", target="name")
    await _check_free(ask, volumes)
    group = ConsistencyGroup(name=name, tenant_id=tenant.id, volumes=tuple(volume.id for volume in volumes))
    _check_number(group.volumes)
    try:
        document = await documents.create(ask.core, KIND, document_name(group), _body(group))
    except errors.AlreadyExists:
        message = f'A consistency group called "{name}" exists in SVM "{tenant.name}".'
        raise WireError(409, "53411852", message=message, target="name") from None
    return Keyed((str(document.id),))


async def modify(ask: Ask, kept: KeptGroup, values: Values) -> None:
    """Add volumes to a group and take others out of it."""
    present = [volume.id for volume in kept.volumes]
    named = await _named(ask, values, kept.tenant, actions=(_ADD, _REMOVE))
    added = [volume for volume, action in named if action == _ADD and volume.id not in present]
    gone = {volume.id for volume, action in named if action == _REMOVE}
    await _check_free(ask, added)
    left = tuple(key for key in (*present, *(volume.id for volume in added)) if key not in gone)
    _check_number(left)
    await documents.replace(ask.core, kept.document, _body(msgspec.structs.replace(kept.group, volumes=left)))


async def delete(ask: Ask, kept: KeptGroup) -> None:
    """Forget a group. Its volumes stay, with the snapshots that were taken of it."""
    await documents.delete(ask.core, KIND, kept.document.name)


async def create_snapshot(ask: Ask, kept: KeptGroup, values: Values) -> Keyed:
    """Take a snapshot of each volume of a group, all at one instant, and wait for it."""
    key = uuid4()
    members = [
        NewSnapshot(
            name=text(values, "name") or "",
            volume_id=volume.id,
            comment=text(values, "comment") or "",
            label=text(values, "snapmirror_label") or "",
            annotations=dict(mark(kept.document.id, key)),
        )
        for volume in kept.volumes
    ]
    await (await _taking(ask, members)).result()
    return Keyed((str(key),))


async def _taking(ask: Ask, members: Sequence[NewSnapshot]) -> Started:
    if len(members) == 1:
        # One volume is always at one instant with itself, in whichever pool it is.
        return await snapshots.create(ask.core, members[0], description=ask.description)
    return await groups.create(ask.core, members, description=ask.description)


async def delete_snapshot(ask: Ask, snapshot: GroupSnapshot) -> None:
    """Remove the snapshots of all volumes, and wait for it. Those that clones need are tried first."""
    for part in sorted(snapshot.parts, key=lambda each: -each.clone_count):
        await (await snapshots.delete(ask.core, part.id, description=ask.description)).result()


async def _named(ask: Ask, values: Values, tenant: Tenant, *, actions: Sequence[str]) -> list[tuple[Volume, str]]:
    """Give the volumes that a body names, and what is to be done with each."""
    wanted = values.get("volumes")
    found: list[tuple[Volume, str]] = []
    for item in wanted if isinstance(wanted, list) else ():
        action = text(item, "provisioning_options.action") or _ADD
        if action not in actions:
            message = 'Volumes are made before they become members of a group; "action" is one of ' + ", ".join(actions)
            raise WireError(400, "53411856", message=message, target="volumes.provisioning_options.action")
        found.append((await _volume(ask, item, tenant), action))
    return found


async def _volume(ask: Ask, item: Values, tenant: Tenant) -> Volume:
    ref = text(item, "name") or text(item, "uuid")
    if ref is None:
        raise WireError(400, "53411846", message="A volume's name or uuid is required.", target="volumes")
    try:
        named = {f"volume.{path}": value for path, value in item.items()}
        volume = await volume_of(ask.core, named, "volume", tenant.id)
    except errors.NotFound:
        volume = None
    if volume is None or volume.tenant_id != tenant.id:
        raise WireError(404, "918235", message=f'A volume with UUID or name "{ref}" was not found.', target="volumes")
    return volume


async def _check_free(ask: Ask, volumes: Sequence[Volume]) -> None:
    """Refuse volumes that are in a group, because a volume is in one at most."""
    wanted = {volume.id: volume.name for volume in volumes}
    if len(wanted) < len(volumes):
        raise WireError(400, "53411853", message="A volume is named twice.", target="volumes")
    for kept in await groups_of(ask.core):
        for key in set(kept.group.volumes) & wanted.keys():
            message = f'Volume "{wanted[key]}" belongs to consistency group "{kept.group.name}".'
            raise WireError(409, "53411860", message=message, target="volumes")


def _check_number(volumes: Sequence[UUID]) -> None:
    if volumes:
        groups.require_count(len(volumes))


def _body(group: ConsistencyGroup) -> str:
    return msgspec.json.encode(group).decode()
