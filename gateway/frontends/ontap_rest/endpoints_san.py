"""The part of the route table that serves blocks: LUNs, igroups, LUN maps and iSCSI."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.core import volumes
from gateway.core.model import Volume
from gateway.frontends.ontap_rest import sources_san as sources
from gateway.frontends.ontap_rest.ask import Ask
from gateway.frontends.ontap_rest.body import Values
from gateway.frontends.ontap_rest.endpoint import Create, Endpoint, Made, named
from gateway.frontends.ontap_rest.schema import Schema
from gateway.frontends.ontap_rest.sources import Site
from gateway.frontends.ontap_rest.writes import igroups as write_igroups
from gateway.frontends.ontap_rest.writes import iscsi as write_iscsi
from gateway.frontends.ontap_rest.writes import luns as write_luns

_TWO_KEYS = "{}/{}"


def san_endpoints(schema: Schema, site: Site) -> Mapping[str, Endpoint]:
    """Give every endpoint by its collection's path."""
    igroups = sources.Igroups(schema["igroup"], site)
    return {
        "storage/luns": Endpoint(
            resource=schema["lun"],
            source=sources.Luns(site),
            operation=write_luns.operation,
            create=write_luns.create,
            modify=write_luns.modify,
            delete=write_luns.delete,
            unmake=write_luns.unmake,
            put_back=_put_lun_back,
        ),
        "protocols/san/igroups": Endpoint(
            resource=schema["igroup"],
            source=igroups,
            operation=named("igroup"),
            create=write_igroups.create,
            modify=write_igroups.modify,
            delete=write_igroups.delete,
            put_back=write_igroups.put_back,
        ),
        "protocols/san/igroups/{}/initiators": Endpoint(
            resource=schema["igroup_initiator"],
            source=sources.Initiators(igroups),
            operation=named("igroup_initiator"),
            create=_add_initiator(igroups),
            modify=write_igroups.modify_initiator,
            delete=write_igroups.remove_initiator,
            put_back=write_igroups.put_initiator_back,
        ),
        "protocols/san/lun-maps": Endpoint(
            resource=schema["lun_map"],
            source=sources.LunMaps(site),
            operation=named("lun_map"),
            create=write_igroups.create_map,
            delete=write_igroups.delete_map,
            instance=_TWO_KEYS,
        ),
        **_iscsi_endpoints(schema),
    }


def _iscsi_endpoints(schema: Schema) -> Mapping[str, Endpoint]:
    return {
        "protocols/san/iscsi/services": Endpoint(
            resource=schema["iscsi_service"],
            source=sources.IscsiServices(),
            operation=named("iscsi_service"),
            create=write_iscsi.create_service,
            modify=write_iscsi.modify_service,
            delete=write_iscsi.delete_service,
            unmake=_unmake_service,
            put_back=write_iscsi.put_service_back,
        ),
        "protocols/san/iscsi/credentials": Endpoint(
            resource=schema["iscsi_credentials"],
            source=sources.Credentials(),
            operation=named("iscsi_credentials"),
            create=write_iscsi.create_credentials,
            modify=write_iscsi.modify_credentials,
            delete=write_iscsi.delete_credentials,
            put_back=write_iscsi.put_credentials_back,
            instance=_TWO_KEYS,
        ),
    }


def _add_initiator(source: sources.Igroups) -> Create:
    async def create(ask: Ask, values: Values) -> Made:
        return await write_igroups.add_initiator(ask, await source.group(ask), values)

    return create


async def _put_lun_back(ask: Ask, before: Volume, after: Volume) -> Made:
    return await volumes.put_back(ask.core, before, after, description=ask.description)


async def _unmake_service(ask: Ask, tenant: Any, values: Values) -> None:
    del values
    await write_iscsi.remove_service(ask, tenant)
