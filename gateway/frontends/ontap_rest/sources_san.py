"""Where the records of SAN come from: LUNs and their maps are volumes, igroups host groups, credentials logins."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from gateway.core.catalog import walk
from gateway.core.model import (
    Attachment,
    HostGroup,
    Initiator,
    InitiatorLogin,
    IscsiService,
    Pool,
    Tenant,
    Volume,
    VolumeKind,
)
from gateway.core.ownership import visible
from gateway.core.query import NONE, And, Compare, Filter, Op, Or, Order, Query
from gateway.core.retired import RETIRED
from gateway.frontends.ontap_rest import kept
from gateway.frontends.ontap_rest.ask import Ask, uuid_key
from gateway.frontends.ontap_rest.errors import WireError, no_entry, shorten
from gateway.frontends.ontap_rest.projection import compile_projection
from gateway.frontends.ontap_rest.render.san import (
    render_credentials,
    render_igroup,
    render_initiator,
    render_iscsi_service,
    render_lun,
    render_lun_map,
)
from gateway.frontends.ontap_rest.schema import Resource
from gateway.frontends.ontap_rest.sources import CatalogSource, Item, Rendered, Site, stamp
from gateway.frontends.ontap_rest.tree import AllOf, Search

_LUNS = Compare("kind", Op.EQ, VolumeKind.BLOCK)
_MAPPED = And((_LUNS, Compare("attachment_count", Op.GT, 0)))


def no_lun(ref: str, target: str = "uuid") -> WireError:
    """Give the answer for a LUN that is not there."""
    return WireError(404, "5374875", message=f'LUN "{shorten(ref)}" does not exist.', target=target)


def no_igroup(ref: str, target: str = "uuid") -> WireError:
    """Give the answer for an igroup that is not there."""
    return WireError(404, "5374852", message=f'Initiator group "{shorten(ref)}" does not exist.', target=target)


class Luns(CatalogSource[Volume]):
    """LUNs: every volume of blocks has one, but those that were asked for as FlexVols and wait for it."""

    kind = Volume
    reader_field = "reader"
    one_each = False

    def __init__(self, site: Site) -> None:
        self._site = site

    async def base(self, ask: Ask) -> Filter:
        """Restrict to volumes of blocks."""
        return And((await super().base(ask), _LUNS))

    def hidden(self, ask: Ask) -> Filter:
        """Hide those of retired volumes from those who do not ask by uuid."""
        return NONE if "uuid" in ask.parameters.queried else RETIRED

    async def one(self, ask: Ask) -> Volume:
        """Read by the uuid, which is the volume's."""
        found = await ask.core.catalog.get(Volume, uuid_key(ask.keys[-1]))
        if found is None or not self.visible(ask, found) or kept.lun_name(found) is None:
            raise no_lun(ask.keys[-1])
        return found

    async def items(self, ask: Ask, records: Sequence[Volume]) -> list[Item]:
        """Read the names of SVMs and of the igroups that the LUNs are mapped to."""
        known = ask.core.known
        luns = [volume for volume in records if kept.lun_name(volume) is not None]
        tenants = await known.get_many(Tenant, {v.tenant_id for v in luns})
        pools = await known.get_many(Pool, {v.pool_id for v in luns})
        mapped = [a.host_group_id for v in luns for a in kept.maps(v) if a.host_group_id]
        groups = await known.get_many(HostGroup, set(mapped))
        node = self._site.node()
        items: list[Item] = []
        for volume in luns:
            tenant, pool = tenants.get(volume.tenant_id), pools.get(volume.pool_id)
            if tenant is None or pool is None:
                continue
            render = partial(render_lun, volume, tenant=tenant, pool=pool, groups=groups, node=node)
            shown = [groups.get(a.host_group_id) for a in kept.maps(volume) if a.host_group_id]
            items.append(Item(volume, render, stamp(volume, tenant, pool, *shown)))
        return items


class Igroups(CatalogSource[HostGroup]):
    """Igroups. Their LUN maps cost a search, so they are looked up only when somebody asks."""

    kind = HostGroup

    def __init__(self, resource: Resource, site: Site) -> None:
        self._resource = resource
        self._site = site

    async def one(self, ask: Ask) -> HostGroup:
        """Read by id."""
        return await self.group(ask)

    async def group(self, ask: Ask) -> HostGroup:
        """Give the igroup that the path's first key names."""
        found = await ask.core.catalog.get(HostGroup, uuid_key(ask.keys[0]))
        if found is None or not self.visible(ask, found):
            raise no_igroup(ask.keys[0])
        return found

    async def items(self, ask: Ask, records: Sequence[HostGroup]) -> list[Item]:
        """Read the names of SVMs and, when wanted, the volumes that are attached."""
        tenants = await ask.core.known.get_many(Tenant, {g.tenant_id for g in records})
        volumes: list[Volume] = []
        wanted = records and self._wants_maps(ask)
        if wanted:
            where = Or(tuple(Compare("attachment.node", Op.EQ, str(group.id)) for group in records))
            query = Query(where=where, order=(Order("name"),))
            attached = [volume async for volume in walk(ask.core.catalog, Volume, query)]
            volumes = [volume for volume in attached if visible(ask.core.caller, volume)]
        node = self._site.node()
        items: list[Item] = []
        for group in records:
            tenant = tenants.get(group.tenant_id)
            if tenant is not None:
                render = partial(render_igroup, group, tenant, volumes=volumes, node=node)
                items.append(Item(group, render, None if wanted else stamp(group, tenant)))
        return items

    def _wants_maps(self, ask: Ask) -> bool:
        parameters = ask.parameters
        projection = compile_projection(
            self._resource,
            parameters.fields,
            queried=(*parameters.queried, *(item.path for item in parameters.order)),
            ignore_unknown=parameters.ignore_unknown_fields,
        )
        terms = parameters.where.terms if isinstance(parameters.where, AllOf) else (parameters.where,)
        searched = any(path.startswith("lun_maps.") for t in terms if isinstance(t, Search) for path in t.paths)
        return searched or projection.wants("lun_maps")


class Initiators:
    """The initiators of one igroup. Writers get the group and the initiator."""

    def __init__(self, igroups: Igroups) -> None:
        self.igroups = igroups

    async def list(self, ask: Ask) -> Sequence[tuple[tuple[HostGroup, Initiator], Rendered]]:
        """List in the order in which they came."""
        group = await self.igroups.group(ask)
        return [((group, initiator), render_initiator(initiator, group)) for initiator in group.initiators]


class LunMaps(CatalogSource[Volume]):
    """LUN maps: the attachments of volumes to host groups. Writers get the volume and the attachment."""

    kind = Volume
    reader_field = "reader"
    one_each = False

    def __init__(self, site: Site) -> None:
        self._site = site

    async def base(self, ask: Ask) -> Filter:
        """Restrict to volumes of blocks that are attached."""
        return And((await super().base(ask), _MAPPED))

    async def item(self, ask: Ask) -> Item:
        """Give the map of the LUN and the igroup that the path names."""
        lun, igroup = uuid_key(ask.keys[-2], "lun.uuid"), uuid_key(ask.keys[-1], "igroup.uuid")
        volume = await ask.core.catalog.get(Volume, lun)
        if volume is None or not self.visible(ask, volume) or kept.lun_name(volume) is None:
            raise no_lun(ask.keys[-2], "lun.uuid")
        for item in await self.items(ask, [volume]):
            if item.record[1].host_group_id == igroup:
                return item
        raise WireError(404, "5374922", message="The specified LUN map does not exist.", target="igroup.uuid")

    async def items(self, ask: Ask, records: Sequence[Volume]) -> list[Item]:
        """Read the names of SVMs and igroups."""
        known = ask.core.known
        mapped: list[tuple[Volume, Attachment]] = [(v, a) for v in records for a in kept.maps(v)]
        tenants = await known.get_many(Tenant, {v.tenant_id for v, _ in mapped})
        groups = await known.get_many(HostGroup, {a.host_group_id for _, a in mapped if a.host_group_id})
        node = self._site.node()
        items: list[Item] = []
        for volume, attachment in mapped:
            tenant = tenants.get(volume.tenant_id)
            group = groups.get(attachment.host_group_id) if attachment.host_group_id else None
            if tenant is None or group is None:
                continue
            render = partial(render_lun_map, volume, attachment, group=group, tenant=tenant, node=node)
            part = volume.attachments.index(attachment) + 1
            items.append(Item((volume, attachment), render, stamp(volume, tenant, group), whole=volume, part=part))
        return items


class IscsiServices(CatalogSource[Tenant]):
    """The iSCSI services of SVMs; one that was removed, or never asked for, is none."""

    kind = Tenant
    tenant_field = "id"
    one_each = False

    async def one(self, ask: Ask) -> Tenant:
        """Read by the SVM's uuid."""
        found = await ask.core.catalog.get(Tenant, uuid_key(ask.keys[-1], "svm.uuid"))
        if found is None or not self.visible(ask, found):
            raise WireError(404, "2621462", message=f'SVM "{ask.keys[-1]}" does not exist.', target="svm.uuid")
        if present_service(found) is None:
            message = f'SVM "{found.name}" does not have an iSCSI service.'
            raise WireError(404, "5374078", message=message, target="svm.uuid")
        return found

    def visible(self, ask: Ask, record: Tenant) -> bool:
        """Show the tunnelled SVM's only."""
        return ask.tenant is None or record.id == ask.tenant.id

    async def items(self, ask: Ask, records: Sequence[Tenant]) -> list[Item]:
        """Leave out SVMs without a service."""
        del ask
        found = [(tenant, present_service(tenant)) for tenant in records]
        return [
            Item(tenant, partial(render_iscsi_service, tenant, service), stamp(tenant))
            for tenant, service in found
            if service is not None
        ]


class Credentials(CatalogSource[InitiatorLogin]):
    """iSCSI credentials: the logins of initiators, by SVM and initiator."""

    kind = InitiatorLogin

    async def one(self, ask: Ask) -> InitiatorLogin:
        """Read by the SVM's uuid and the initiator's name."""
        svm = uuid_key(ask.keys[-2], "svm.uuid")
        name = ask.keys[-1].lower()
        found = await ask.core.find(InitiatorLogin, tenant__id=svm, initiator=name) if "\0" not in name else None
        if found is None or not self.visible(ask, found):
            message = f'There are no iSCSI credentials for initiator "{shorten(name)}" in the SVM.'
            raise WireError(404, "5374895", message=message, target="initiator")
        return found

    async def items(self, ask: Ask, records: Sequence[InitiatorLogin]) -> list[Item]:
        """Read the SVM's name."""
        tenants = await ask.core.known.get_many(Tenant, {login.tenant_id for login in records})
        items: list[Item] = []
        for login in records:
            tenant = tenants.get(login.tenant_id)
            if tenant is None:
                raise no_entry()
            items.append(Item(login, partial(render_credentials, login, tenant), stamp(login, tenant)))
        return items


def present_service(tenant: Tenant) -> IscsiService | None:
    """Give the iSCSI service that somebody asked for and nobody removed."""
    return None if tenant.iscsi is None or tenant.iscsi.removed else tenant.iscsi
