"""Qtrees: directories at the top of a volume, with a number that the volume's annotations keep."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.core import errors, files, volumes
from gateway.core.change import Started
from gateway.core.model import ExportPolicy, Volume
from gateway.frontends.ontap_rest.ask import Ask
from gateway.frontends.ontap_rest.body import Values
from gateway.frontends.ontap_rest.endpoint import Placed
from gateway.frontends.ontap_rest.errors import WireError, invalid
from gateway.frontends.ontap_rest.kept_qtrees import DEFAULT, NUMBER_MAX, Qtree, annotated, free_number, qtrees
from gateway.frontends.ontap_rest.render.storage import permissions_to_mode
from gateway.frontends.ontap_rest.writes.names import export_policy_named, tenant_of, text, volume_of

_ROOT = "root"


async def create(ask: Ask, values: Values) -> Placed:
    """Start making a qtree. What it is not told of it has from its volume."""
    tenant = await tenant_of(ask, values)
    volume = await volume_of(ask.core, values, "volume", tenant.id)
    await _require_policy(ask, values, volume)
    name = text(values, "name") or ""
    number = DEFAULT

    def kept(present: Volume) -> dict[str, str]:
        nonlocal number
        _require_free(present, name, "5242886")
        free = free_number(present)
        if free is None:
            raise errors.LimitExceeded(limit="qtrees", value=NUMBER_MAX + 1, minimum=0, maximum=NUMBER_MAX)
        number = free
        return annotated(present, {number: wanted})

    wanted = _changed(qtrees(volume)[DEFAULT], values, name=name)
    started = await files.make_directory(
        ask.core, volume.id, name, wanted.root, description=ask.description, annotations=kept
    )
    return Placed(started, (str(volume.id), str(number)))


async def modify(ask: Ask, found: Any, values: Values) -> Started:
    """Start giving a qtree another name, owner or mode. Those of the nameless one are the volume's."""
    volume, number = found
    before = qtrees(volume)[number]
    wanted = _changed(before, values, name=text(values, "name") or before.name)
    if number == DEFAULT:
        if wanted.name:
            raise _of_the_default("renamed")
        root = wanted.root
        change = volumes.VolumeChange(root_mode=root.mode, root_uid=root.uid, root_gid=root.gid)
        return await volumes.update(ask.core, volume.id, change, description=ask.description)

    def kept(present: Volume) -> dict[str, str]:
        if wanted.name != before.name:
            _require_free(present, wanted.name, "5242972")
        return annotated(present, {number: wanted})

    return await files.update(
        ask.core,
        volume.id,
        before.name,
        to=wanted.name,
        root=None if wanted.root == before.root else wanted.root,
        description=ask.description,
        annotations=kept,
    )


async def put_back(ask: Ask, before: Any, after: Any) -> Started:
    """Start giving a qtree the name, owner and mode that it had."""
    old, number = before
    wanted, present = qtrees(old)[number], qtrees(after[0])[number]
    if number == DEFAULT:
        return await volumes.put_back(ask.core, old, after[0], description=ask.description)

    def kept(volume: Volume) -> dict[str, str]:
        return annotated(volume, {number: wanted})

    return await files.update(
        ask.core,
        old.id,
        present.name,
        to=wanted.name,
        root=None if wanted.root == present.root else wanted.root,
        description=ask.description,
        annotations=kept,
    )


async def delete(ask: Ask, found: Any) -> Started:
    """Start removing a qtree with all that is in it."""
    volume, number = found
    if number == DEFAULT:
        raise _of_the_default("deleted")

    def kept(present: Volume) -> dict[str, str]:
        return annotated(present, {number: None})

    try:
        return await files.delete(
            ask.core,
            volume.id,
            qtrees(volume)[number].name,
            description=ask.description,
            recursive=True,
            annotations=kept,
        )
    except errors.NotFound as error:
        if error.fields["kind"] != "file":
            raise
    # A client removed the directory, so what is left of the qtree is its number.
    change = volumes.VolumeChange(annotations=kept(volume))
    return await volumes.update(ask.core, volume.id, change, description=ask.description, annotated=volume.annotations)


def _changed(present: Qtree, values: Values, *, name: str) -> Qtree:
    permissions = values.get("unix_permissions")
    return msgspec.structs.replace(
        present,
        name=name,
        mode=present.mode if not isinstance(permissions, int) else permissions_to_mode(permissions),
        uid=_owner(values, "user", present.uid),
        gid=_owner(values, "group", present.gid),
    )


def _owner(values: Values, path: str, present: int) -> int:
    """Give the number of a user or group. There are no names here but root's."""
    given, name = text(values, f"{path}.id"), text(values, f"{path}.name")
    if given is None and name is None:
        return present
    for field, value in ((f"{path}.id", given), (f"{path}.name", name)):
        if value is not None and value != _ROOT and not (value.isascii() and value.isdigit()):
            raise invalid(field, value, "a number")
    numbers = {0 if value == _ROOT else int(value) for value in (given, name) if value is not None}
    if len(numbers) > 1:
        raise invalid(f"{path}.name", name or "", "the one of the id")
    return numbers.pop()


async def _require_policy(ask: Ask, values: Values, volume: Volume) -> None:
    """Refuse an export policy that is not the volume's: what is in a volume is exported with it."""
    wanted = await export_policy_named(ask.core, values, "export_policy", volume.tenant_id)
    if wanted is None or wanted == volume.export_policy_id:
        return
    own = await ask.core.catalog.get(ExportPolicy, volume.export_policy_id) if volume.export_policy_id else None
    message = "The operation is not supported on this platform. A qtree has the export policy of its volume"
    raise WireError(400, "262144017", message=f"{message} ({own.name if own else 'none'}).", target="export_policy")


def _require_free(volume: Volume, name: str, code: str) -> None:
    if any(qtree.name == name for qtree in qtrees(volume).values()):
        raise WireError(409, code, message=f'A qtree named "{name}" exists in the volume already.', target="name")


def _of_the_default(deed: str) -> WireError:
    message = f"The default qtree cannot be {deed}: it is all of the volume that is in no other qtree."
    return WireError(400, "5242894", message=message, target="id")
