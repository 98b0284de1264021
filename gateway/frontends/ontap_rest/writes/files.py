"""Files within volumes: other names, removal, and copies that share blocks."""

from __future__ import annotations

import re
from typing import Any

from gateway.core import errors, files
from gateway.core.change import Started
from gateway.core.entries import FileSource
from gateway.core.model import Volume
from gateway.frontends.ontap_rest.ask import Ask
from gateway.frontends.ontap_rest.body import Values
from gateway.frontends.ontap_rest.errors import WireError
from gateway.frontends.ontap_rest.sources_files import Found, place_of
from gateway.frontends.ontap_rest.writes.names import (
    check_agree,
    seen,
    snapshot_of,
    tenant_of,
    text,
    uuid_of,
    volume_of,
)

_ESCAPED = re.compile("%2[EeFf]")
_MEANT = {"%2e": ".", "%2f": "/"}


async def modify(ask: Ask, found: Any, values: Values) -> None:
    """Give a file or directory another path."""
    _require_live(found)
    path = text(values, "path")
    if path is not None:
        started = await files.update(
            ask.core, found.place.volume.id, found.place.path, to=_meant(path), description=ask.description
        )
        await started.result()


async def delete(ask: Ask, found: Any) -> Started | None:
    """Remove a file at once; removing a directory with all that is in it may take a while."""
    _require_live(found)
    recursive = ask.parameters.options.get("recurse") is True
    started = await files.delete(
        ask.core, found.place.volume.id, found.place.path, description=ask.description, recursive=recursive
    )
    if recursive:
        return started
    await started.result()
    return None


async def clone(ask: Ask, values: Values) -> Started:
    """Start a copy of a file within its volume."""
    volume = await _volume(ask, values)
    place = await place_of(ask, volume, text(values, "source_path") or "")
    source = FileSource(path=place.path, snapshot=None if place.snapshot is None else place.snapshot.id)
    return await files.clone(
        ask.core,
        volume.id,
        source,
        text(values, "destination_path") or "",
        description=ask.description,
        overwrite=values.get("overwrite_destination") is True,
    )


async def clone_by_command(ask: Ask, values: Values) -> Started:
    """Start the same as `volume file clone create` does it, which names the snapshot that the file is of."""
    named = {"svm.name": values.get("vserver"), "volume.name": values.get("volume")}
    tenant = await tenant_of(ask, named)
    volume = await volume_of(ask.core, named, "volume", tenant.id)
    snapshot = await snapshot_of(
        ask.core, volume.id, name=text(values, "snapshot_name"), uuid=None, path="snapshot_name"
    )
    source = FileSource(path=text(values, "source_path") or "", snapshot=None if snapshot is None else snapshot.id)
    return await files.clone(
        ask.core,
        volume.id,
        source,
        text(values, "destination_path") or "",
        description=ask.description,
        overwrite=values.get("overwrite_destination") is True,
    )


async def _volume(ask: Ask, values: Values) -> Volume:
    """Give the volume that a body names; by name alone only where the name is one volume's."""
    name, uuid = text(values, "volume.name"), uuid_of(text(values, "volume.uuid"), "volume")
    found: Volume | None
    if uuid is not None:
        found = await ask.core.catalog.get(Volume, uuid)
    elif ask.tenant is not None:
        found = await ask.core.find(Volume, name=name or "", tenant__id=ask.tenant.id)
    else:
        found = await ask.core.find(Volume, name=name or "")
    found = seen(ask.core, found)
    if found is None or (ask.tenant is not None and found.tenant_id != ask.tenant.id):
        raise errors.NotFound(kind="volume", ref=name or str(uuid))
    check_agree("volume", agree=name is None or found.name == name)
    return found


def _meant(path: str) -> str:
    """Give a path of a body as it is meant: the dot and the slash are to be escaped in it, as in an address."""
    return _ESCAPED.sub(lambda found: _MEANT[found[0].lower()], path)


def _require_live(found: Found) -> None:
    if found.place.snapshot is not None:
        raise WireError(400, "131102", message="Read-only file system.", target="path")
