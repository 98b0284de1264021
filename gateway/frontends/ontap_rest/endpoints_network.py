"""The routes of the cluster itself, of ports and interfaces, and of NFS services."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.frontends.ontap_rest import sources_network as sources
from gateway.frontends.ontap_rest.endpoint import Endpoint, named
from gateway.frontends.ontap_rest.schema import Schema
from gateway.frontends.ontap_rest.sources import Site
from gateway.frontends.ontap_rest.writes import cluster as write_cluster
from gateway.frontends.ontap_rest.writes import nfs as write_nfs


def network_endpoints(schema: Schema, site: Site) -> Mapping[str, Endpoint]:
    """Give the endpoints by their collections' paths."""
    return {
        "cluster": Endpoint(
            resource=schema["cluster"],
            source=sources.Cluster(site),
            operation=named("cluster"),
            modify=write_cluster.modify,
            singleton=True,
        ),
        "network/ethernet/ports": Endpoint(
            resource=schema["port"], source=sources.Ports(site), operation=named("port")
        ),
        "network/ip/interfaces": Endpoint(
            resource=schema["ip_interface"], source=sources.Interfaces(site), operation=named("ip_interface")
        ),
        "protocols/nfs/services": Endpoint(
            resource=schema["nfs_service"],
            source=sources.NfsServices(site),
            operation=named("nfs_service"),
            create=write_nfs.create_service(site),
            modify=write_nfs.modify_service,
            delete=write_nfs.delete_service,
            put_back=write_nfs.put_service_back,
        ),
    }
