"""Where the records of volumes and snapshots come from: theirs, and those of everything that they refer to."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from functools import partial

from gateway.core.model import ExportPolicy, Pool, Snapshot, SnapshotPolicy, Tenant, Volume
from gateway.core.ownership import visible
from gateway.core.query import NONE, Compare, Filter, Op
from gateway.core.retired import RETIRED
from gateway.frontends.ontap_rest import moves
from gateway.frontends.ontap_rest.ask import Ask, uuid_key
from gateway.frontends.ontap_rest.errors import no_entry
from gateway.frontends.ontap_rest.protection import bases_among, sources_among
from gateway.frontends.ontap_rest.render.storage import VolumeRefs, render_snapshot, render_volume
from gateway.frontends.ontap_rest.sources import EVERY, CatalogSource, Item, stamp

_PARENTS = frozenset({"origin.volume.name", "origin.snapshot.name"})
# As a comparison, because that lets SQLite begin with the few volumes.
_OF_RETIRED = Compare("volume.retired", Op.GE, datetime(1970, 1, 1, tzinfo=UTC))


class Volumes(CatalogSource[Volume]):
    """FlexVols. What a clone's parent is called is told to those who may read the parent."""

    kind = Volume
    reader_field = "reader"

    def fields(self, ask: Ask) -> Collection[str]:
        """Leave out what would let a caller guess the names of parents that it may not read."""
        found = super().fields(ask)
        return found if ask.core.caller is None else set(found) - _PARENTS

    async def base(self, ask: Ask) -> Filter:
        """Give nothing to those who want the constituents of FlexGroups only."""
        return NONE if ask.parameters.options.get("is_constituent") is True else await super().base(ask)

    def hidden(self, ask: Ask) -> Filter:
        """Hide what is retired, as ONTAP does with its recovery queue; not from those who ask by uuid."""
        return NONE if "uuid" in ask.parameters.queried else RETIRED

    async def items(self, ask: Ask, records: Sequence[Volume]) -> list[Item]:
        """Read the names of everything that a volume refers to."""
        known, catalog = ask.core.known, ask.core.catalog
        tenants = await known.get_many(Tenant, {v.tenant_id for v in records})
        pools = await known.get_many(Pool, {v.pool_id for v in records})
        exports = await known.get_many(ExportPolicy, {v.export_policy_id for v in records if v.export_policy_id})
        policies = await known.get_many(SnapshotPolicy, {v.snapshot_policy_id for v in records if v.snapshot_policy_id})
        protected = await sources_among(ask.core, [v.id for v in records])
        origins = [v.origin for v in records if v.origin is not None]
        parents = await catalog.get_many(Volume, {o.volume_id for o in origins}) if origins else {}
        bases = await catalog.get_many(Snapshot, {o.snapshot_id for o in origins if o.snapshot_id}) if origins else {}
        if parents and ask.core.caller is not None:
            parents = {key: parent for key, parent in parents.items() if visible(ask.core.caller, parent)}
            bases = {key: base for key, base in bases.items() if base.volume_id in parents}
        moving = await moves.moves_of(ask.core, records) if moves.wanted(ask) else {}
        items: list[Item] = []
        for volume in records:
            tenant, pool = tenants.get(volume.tenant_id), pools.get(volume.pool_id)
            if tenant is None or pool is None:
                continue
            origin = volume.origin
            refs = VolumeRefs(
                tenant=tenant,
                pool=pool,
                export_policy=exports.get(volume.export_policy_id) if volume.export_policy_id else None,
                snapshot_policy=policies.get(volume.snapshot_policy_id) if volume.snapshot_policy_id else None,
                parent=parents.get(origin.volume_id) if origin else None,
                parent_snapshot=bases.get(origin.snapshot_id) if origin and origin.snapshot_id else None,
                parent_tenant=tenant if origin else None,
                protected=volume.id in protected,
                movement=moving.get(volume.id),
            )
            # Moves are few, and what they show does not change with the volume alone.
            seen = None if refs.movement else (*stamp(volume, *refs.records), refs.protected)
            items.append(Item(volume, partial(render_volume, volume, refs), seen))
        return items


class Snapshots(CatalogSource[Snapshot]):
    """Snapshots of one volume, or of all (`*`)."""

    kind = Snapshot
    reader_field = "volume.reader"

    async def base(self, ask: Ask) -> Filter:
        """Restrict to the path's volume, which must exist."""
        if ask.keys[0] == EVERY:
            return await super().base(ask)
        return Compare("volume.id", Op.EQ, (await self.volume(ask)).id)

    def hidden(self, ask: Ask) -> Filter:
        """Hide those of retired volumes from those who name no volume."""
        named = ask.keys[0] != EVERY or not {"uuid", "volume.uuid"}.isdisjoint(ask.parameters.queried)
        return NONE if named else _OF_RETIRED

    async def volume(self, ask: Ask) -> Volume:
        """Give the path's volume."""
        found = await ask.core.catalog.get(Volume, uuid_key(ask.keys[0], "volume.uuid"))
        if found is None or (ask.tenant is not None and found.tenant_id != ask.tenant.id):
            raise no_entry("volume.uuid")
        if not visible(ask.core.caller, found):
            raise no_entry("volume.uuid")
        return found

    async def one(self, ask: Ask) -> Snapshot:
        """Read by id; it must be the path's volume's."""
        found = await super().one(ask)
        if ask.keys[0] != EVERY and found.volume_id != uuid_key(ask.keys[0], "volume.uuid"):
            raise no_entry()
        return found

    async def items(self, ask: Ask, records: Sequence[Snapshot]) -> list[Item]:
        """Read the names of volume and SVM. Snapshots of volumes that the caller may not read are left out."""
        core = ask.core
        volumes = await core.catalog.get_many(Volume, {s.volume_id for s in records})
        tenants = await core.known.get_many(Tenant, {s.tenant_id for s in records})
        bases = await bases_among(core, volumes)
        owned = _owners_of_all(ask)
        items: list[Item] = []
        for snapshot in records:
            volume, tenant = volumes.get(snapshot.volume_id), tenants.get(snapshot.tenant_id)
            if volume is not None and tenant is not None and visible(core.caller, volume):
                base = snapshot.id in bases
                render = partial(render_snapshot, snapshot, volume, tenant, base=base, owned=owned)
                items.append(Item(snapshot, render, (*stamp(snapshot, volume, tenant), base, owned)))
        return items


def _owners_of_all(ask: Ask) -> bool:
    """Tell whether a list of all volumes' snapshots asks for their owners.

    Manila looks through it for those that have none, and does not expect that
    they could have no such field.
    """
    return ask.keys[0] == EVERY and "owners" in (ask.parameters.fields or "").split(",")
