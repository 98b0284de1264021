"""Where the records of the cluster, of ports, interfaces and NFS services come from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from uuid import uuid5

import msgspec

from gateway.core.manifest import everything
from gateway.core.model import Tenant
from gateway.frontends.ontap_rest.ask import Ask, uuid_key
from gateway.frontends.ontap_rest.cluster_identity import read_identity
from gateway.frontends.ontap_rest.errors import WireError, no_entry
from gateway.frontends.ontap_rest.ports import HostPort, host_ports, port_at
from gateway.frontends.ontap_rest.render.cluster import ClusterFacts, InterfaceFacts, render_cluster, render_interface
from gateway.frontends.ontap_rest.render.network import port_id, render_nfs_service, render_port
from gateway.frontends.ontap_rest.sources import CatalogSource, Item, Rendered, Site, stamp

NFS = "nfs"
"""The kind of exporter without which there is no NFS service."""


class Cluster:
    """The one cluster."""

    def __init__(self, site: Site) -> None:
        self._site = site

    async def list(self, ask: Ask) -> Sequence[tuple[ClusterFacts, Rendered]]:
        """Give the singleton."""
        identity = await read_identity(ask.core)
        facts = ClusterFacts(
            id=self._site.cluster_id,
            name=self._site.name,
            software=self._site.software,
            location=identity.location,
            contact=identity.contact,
            release=self._site.release,
        )
        return [(facts, render_cluster(facts))]


class Ports:
    """The network ports of this host."""

    def __init__(self, site: Site) -> None:
        self._site = site

    async def list(self, ask: Ask) -> Sequence[tuple[HostPort, Rendered]]:
        """List them as the kernel numbers them."""
        ports, node = host_ports(), self._site.node()
        used = [port_at(place.address, ports) for place in self._site.addresses]
        tenants = len(await everything(ask.core.catalog, Tenant))
        return [(port, render_port(port, node, interfaces=used.count(port.name) * tenants)) for port in ports]


class _Served(msgspec.Struct, frozen=True):
    """What an interface tells of an exporter. `mark` tells its id from that of another one at the same address."""

    services: tuple[str, ...]
    policy: str
    mark: str = ""


_SERVED: Mapping[str, _Served] = {
    NFS: _Served(("data_core", "data_nfs"), "default-data-files"),
    "iscsi": _Served(("data_core", "data_iscsi"), "default-data-blocks", "iscsi "),
}


class Interfaces:
    """Every SVM is served at every data address."""

    def __init__(self, site: Site) -> None:
        self._site = site

    async def list(self, ask: Ask) -> Sequence[tuple[InterfaceFacts, Rendered]]:
        """List SVMs times addresses."""
        return self.of([ask.tenant] if ask.tenant else await everything(ask.core.catalog, Tenant))

    def of(self, tenants: Sequence[Tenant]) -> Sequence[tuple[InterfaceFacts, Rendered]]:
        """List those of some SVMs."""
        found, node, ports = [], self._site.node(), host_ports()
        for tenant in tenants:
            for number, place in enumerate(self._site.addresses, start=1):
                served = _SERVED[place.kind]
                port = port_at(place.address, ports)
                facts = InterfaceFacts(
                    id=uuid5(tenant.id, f"interface {served.mark}{place.address}"),
                    name=f"{tenant.name}_data_{number}",
                    address=place.address,
                    netmask="128" if ":" in place.address else "32",
                    tenant=tenant,
                    node=node,
                    port=port,
                    port_id=port_id(node, port),
                    services=served.services,
                    policy=served.policy,
                )
                found.append((facts, render_interface(facts)))
        return found


class NfsServices(CatalogSource[Tenant]):
    """The NFS services of SVMs: every one has it from the beginning, while there is an exporter."""

    kind = Tenant
    tenant_field = "id"
    one_each = False

    def __init__(self, site: Site) -> None:
        self._served = serves_nfs(site)

    async def one(self, ask: Ask) -> Tenant:
        """Read by the SVM's uuid."""
        found = await ask.core.catalog.get(Tenant, uuid_key(ask.keys[-1], "svm.uuid"))
        if found is None or not self.visible(ask, found):
            raise WireError(404, "2621462", message=f'SVM "{ask.keys[-1]}" does not exist.', target="svm.uuid")
        if found.nfs.removed or not self._served:
            raise no_entry("svm.uuid")
        return found

    def visible(self, ask: Ask, record: Tenant) -> bool:
        """Show the tunnelled SVM's only."""
        return ask.tenant is None or record.id == ask.tenant.id

    async def items(self, ask: Ask, records: Sequence[Tenant]) -> list[Item]:
        """Leave out SVMs whose service was removed."""
        del ask
        shown = [tenant for tenant in records if self._served and not tenant.nfs.removed]
        return [Item(tenant, partial(render_nfs_service, tenant), stamp(tenant)) for tenant in shown]


def serves_nfs(site: Site) -> bool:
    """Tell whether files are exported at all."""
    return any(address.kind == NFS for address in site.addresses)
