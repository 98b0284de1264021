"""Where the records within volumes come from: files from the substrate, qtrees from the volumes' annotations."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from functools import partial
from uuid import UUID

import msgspec

from gateway.core import files
from gateway.core.entries import Entry, FileKind, parted
from gateway.core.errors import NotFound
from gateway.core.model import ExportPolicy, Snapshot, Tenant, Volume, VolumeKind
from gateway.core.query import And, Compare, Filter, Op
from gateway.core.retired import RETIRED
from gateway.frontends.ontap_rest.ask import Ask, uuid_key
from gateway.frontends.ontap_rest.errors import WireError, shorten
from gateway.frontends.ontap_rest.kept_qtrees import qtrees
from gateway.frontends.ontap_rest.render.files import render_file, render_qtree
from gateway.frontends.ontap_rest.sources import CatalogSource, Item, PagedSource, Rendered, stamp
from gateway.frontends.ontap_rest.sources_volumes import Snapshots

SNAPSHOTS = ".snapshot"
"""The directory in which every snapshot is one."""

_FILES = Compare("kind", Op.EQ, VolumeKind.FILESYSTEM)
_PAGE = 10_000
"""Each page of a directory takes a look at all of its names, so there are few."""
_AT_ONCE = 100
_DOTS = (".", "..")


class Place(msgspec.Struct, frozen=True):
    """A path of a volume, or (`snapshot`) of a snapshot of it. `shown` is what the client calls it."""

    volume: Volume
    path: str
    shown: str
    snapshot: Snapshot | None = None


class Found(msgspec.Struct, frozen=True):
    """What writers get: a file or directory, and where it is."""

    place: Place
    entry: Entry


async def place_of(ask: Ask, volume: Volume, path: str) -> Place:
    """Read a path as clients write it, which may lead through a snapshot."""
    parts = [part for part in path.split("/") if part not in {"", "."}]
    shown = "/".join(parts)
    if parts[:1] != [SNAPSHOTS] or len(parts) == 1:
        return Place(volume, shown, shown)
    snapshot = await ask.core.find(Snapshot, name=parts[1], volume__id=volume.id) if "\0" not in parts[1] else None
    if snapshot is None:
        raise NotFound(kind="file", ref=shown)
    return Place(volume, "/".join(parts[2:]), shown, snapshot)


class Files(PagedSource):
    """What is in a directory; `return_metadata` asks for the one file or directory itself."""

    async def item(self, ask: Ask) -> Item:
        """Give the file or directory that the path names."""
        place = await self._place(ask)
        entry = await self._entry(ask, place)
        return Item(Found(place, entry), partial(_rendered, place, entry, path=place.shown, name=""))

    async def walk(self, ask: Ask, after: str) -> AsyncIterator[tuple[str, Item]]:
        """Yield the directory and the one that it is in, as it holds them, then its content by name."""
        place = await self._place(ask)
        entry = await self._entry(ask, place)
        if ask.parameters.options.get("return_metadata") is True:
            yield "", Item(Found(place, entry), partial(_rendered, place, entry, path=place.shown, name=""))
            return
        if entry.kind is not FileKind.DIRECTORY:
            message = f'The content of "{shorten(place.shown)}" is not to be had from here; mount the volume.'
            raise WireError(400, "262144017", message=message, target="path")
        above = await self._entry(ask, msgspec.structs.replace(place, path=parted(place.path)[0]))
        for name, found in zip(_DOTS, (entry, above), strict=True):
            # No name holds a slash, so these cursors are none of those of other names.
            if after in ("", "/") if name == "." else after in ("", "/."):
                yield f"/{name}", self._item(place, found, name)
        name = "" if after.startswith("/") else after
        while True:
            part = await files.page(
                ask.core, place.volume.id, place.path, snapshot_id=_id(place), after=name, limit=_PAGE
            )
            for number, found in enumerate(part.records, 1):
                yield found.name, self._item(place, found, found.name)
                if number % _AT_ONCE == 0:
                    await asyncio.sleep(0)  # others want their turn of the loop
            name = part.after
            if not name:
                return

    def _item(self, place: Place, entry: Entry, name: str) -> Item:
        return Item(Found(place, entry), partial(_rendered, place, entry, path=place.shown, name=name))

    async def _place(self, ask: Ask) -> Place:
        return await place_of(ask, await Snapshots().volume(ask), ask.keys[1] if len(ask.keys) > 1 else "")

    async def _entry(self, ask: Ask, place: Place) -> Entry:
        return await files.entry(ask.core, place.volume.id, place.path, snapshot_id=_id(place))


class Qtrees(CatalogSource[Volume]):
    """The qtrees of all volumes of files. Writers get the volume and the number."""

    kind = Volume
    reader_field = "reader"
    one_each = False

    async def base(self, ask: Ask) -> Filter:
        """Restrict to volumes of files."""
        return And((await super().base(ask), _FILES))

    def hidden(self, ask: Ask) -> Filter:
        """Hide those of retired volumes."""
        del ask
        return RETIRED

    async def item(self, ask: Ask) -> Item:
        """Give the qtree that the path's volume and number name."""
        volume = await ask.core.catalog.get(Volume, uuid_key(ask.keys[0], "volume.uuid"))
        if volume is None or not self.visible(ask, volume):
            message = f'A volume with UUID "{shorten(ask.keys[0])}" was not found.'
            raise WireError(404, "918235", message=message, target="volume.uuid")
        for item in await self.items(ask, [volume]):
            if str(item.record[1]) == ask.keys[-1]:
                return item
        message = f'There is no qtree with ID "{shorten(ask.keys[-1])}" in the volume.'
        raise WireError(404, "5242956", message=message, target="id")

    async def items(self, ask: Ask, records: Sequence[Volume]) -> list[Item]:
        """Read the names of SVMs and export policies."""
        known = ask.core.known
        held = [volume for volume in records if volume.kind is VolumeKind.FILESYSTEM]
        tenants = await known.get_many(Tenant, {v.tenant_id for v in held})
        policies = await known.get_many(ExportPolicy, {v.export_policy_id for v in held if v.export_policy_id})
        items: list[Item] = []
        for volume in held:
            tenant = tenants.get(volume.tenant_id)
            policy = policies.get(volume.export_policy_id) if volume.export_policy_id else None
            if tenant is None:
                continue
            for part, (number, qtree) in enumerate(qtrees(volume).items(), 1):
                render = partial(render_qtree, volume, number, qtree, tenant=tenant, policy=policy)
                seen = (*stamp(volume, tenant, policy), number)
                items.append(Item((volume, number), render, seen, whole=volume, part=part))
        return items


def _id(place: Place) -> UUID | None:
    return None if place.snapshot is None else place.snapshot.id


def _rendered(place: Place, entry: Entry, *, path: str, name: str) -> Rendered:
    return render_file(entry, place.volume, path=path, name=name, snapshot=place.snapshot is not None)
