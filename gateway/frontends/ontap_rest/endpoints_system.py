"""The part of the route table that clients look through before they work: counters, disks, keys, clocks, commands."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.core.model import Volume
from gateway.core.observer import Observer
from gateway.frontends.ontap_rest import sources_system as sources
from gateway.frontends.ontap_rest.ask import Ask
from gateway.frontends.ontap_rest.body import Values
from gateway.frontends.ontap_rest.endpoint import Create, Endpoint, named
from gateway.frontends.ontap_rest.schema import Schema
from gateway.frontends.ontap_rest.sources import Site
from gateway.frontends.ontap_rest.sources_cli import CliAggregates, CliVolumes
from gateway.frontends.ontap_rest.space import AUTOSIZE, watch_of
from gateway.frontends.ontap_rest.writes import volumes as write_volumes


def system_endpoints(schema: Schema, site: Site, observer: Observer) -> Mapping[str, Endpoint]:
    """Give every endpoint by its collection's path."""
    return {
        "cluster/counter/tables": Endpoint(
            resource=schema["counter_table"], source=sources.CounterTables(), operation=named("counter_table")
        ),
        "cluster/counter/tables/{}/rows": Endpoint(
            resource=schema["counter_row"], source=sources.CounterRows(), operation=named("counter_row")
        ),
        "storage/disks": Endpoint(resource=schema["disk"], source=sources.Nothing(), operation=named("disk")),
        "storage/snaplock/compliance-clocks": Endpoint(
            resource=schema["compliance_clock"],
            source=sources.ComplianceClocks(site),
            operation=named("compliance_clock"),
        ),
        "security/key-managers": Endpoint(
            resource=schema["key_manager"], source=sources.Nothing(), operation=named("key_manager")
        ),
        "protocols/nfs/kerberos/interfaces": Endpoint(
            resource=schema["kerberos_interface"], source=sources.Nothing(), operation=named("kerberos_interface")
        ),
        "protocols/fpolicy/{}/policies": Endpoint(
            resource=schema["fpolicy_policy"], source=sources.OfSvm(), operation=named("fpolicy_policy")
        ),
        "support/ems/application-logs": Endpoint(
            resource=schema["application_log"],
            source=sources.Nothing(),
            operation=named("application_log"),
            create=_keep(observer),
            readable=False,
            instances=False,
        ),
        **_commands(schema, site),
    }


def _commands(schema: Schema, site: Site) -> Mapping[str, Endpoint]:
    return {
        "private/cli/aggr": Endpoint(
            resource=schema["cli_aggregate"],
            source=CliAggregates(site),
            operation=named("aggregate"),
            instances=False,
        ),
        "private/cli/volume": Endpoint(
            resource=schema["cli_volume"],
            source=CliVolumes(),
            operation=named("volume"),
            modify=_modify_volume,
            instances=False,
        ),
        "private/cli/volume/efficiency": Endpoint(
            resource=schema["cli_efficiency"],
            source=sources.Nothing(),
            operation=named("volume"),
            instances=False,
        ),
    }


def _keep(observer: Observer) -> Create:
    """Give the writer that puts what clients report into the gateway's own log."""

    async def create(ask: Ask, values: Values) -> None:
        del ask
        told = {path: value for path, value in sorted(values.items()) if isinstance(value, str | int)}
        observer.event("application_log", **told)

    return create


async def _modify_volume(ask: Ask, volume: Volume, values: Values) -> None:
    """Give a volume the autosize back that one has of which nobody has said anything: it follows nothing."""
    if values.get("autosize_reset") is True and watch_of(volume) is not None:
        await (await write_volumes.modify(ask, volume, dict.fromkeys(AUTOSIZE))).result()
