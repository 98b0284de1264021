"""The part of the route table that is SnapMirror: relationships, their transfers, and policies."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.frontends.ontap_rest import sources_mirror as sources
from gateway.frontends.ontap_rest.ask import Ask
from gateway.frontends.ontap_rest.body import Values
from gateway.frontends.ontap_rest.endpoint import Create, Endpoint, Made, named
from gateway.frontends.ontap_rest.schema import Schema
from gateway.frontends.ontap_rest.sources import Site
from gateway.frontends.ontap_rest.sources_peers import ClusterPeers, SvmPeers
from gateway.frontends.ontap_rest.writes import mirror_policies as write_policies
from gateway.frontends.ontap_rest.writes import mirrors as write_mirrors
from gateway.frontends.ontap_rest.writes import peers as write_peers
from gateway.frontends.ontap_rest.writes import transfers as write_transfers


def mirror_endpoints(schema: Schema, site: Site) -> Mapping[str, Endpoint]:
    """Give every endpoint by its collection's path."""
    relationships = sources.Relationships()
    clusters = write_peers.ClusterPeerWriter(site)
    return {
        "cluster/peers": Endpoint(
            resource=schema["cluster_peer"],
            source=ClusterPeers(),
            operation=named("cluster_peer"),
            create=clusters.create,
            modify=clusters.modify,
            delete=clusters.delete,
        ),
        "svm/peers": Endpoint(
            resource=schema["svm_peer"],
            source=SvmPeers(site),
            operation=named("svm_peer"),
            create=write_peers.create_svm_peer,
            modify=write_peers.modify_svm_peer,
            delete=write_peers.delete_svm_peer,
        ),
        "snapmirror/policies": Endpoint(
            resource=schema["snapmirror_policy"],
            source=sources.MirrorPolicies(),
            operation=named("snapmirror_policy"),
            create=write_policies.create,
            modify=write_policies.modify,
            delete=write_policies.delete,
            put_back=write_policies.put_back,
        ),
        "snapmirror/relationships": Endpoint(
            resource=schema["snapmirror_relationship"],
            source=relationships,
            operation=write_mirrors.operation,
            precheck=write_mirrors.precheck,
            create=write_mirrors.create,
            modify=write_mirrors.modify,
            delete=write_mirrors.delete,
            put_back=write_mirrors.put_back,
        ),
        "snapmirror/relationships/{}/transfers": Endpoint(
            resource=schema["snapmirror_transfer"],
            source=sources.Transfers(relationships),
            operation=named("snapmirror_transfer"),
            create=_create_transfer(relationships),
            modify=write_transfers.modify,
        ),
    }


def _create_transfer(source: sources.Relationships) -> Create:
    async def create(ask: Ask, values: Values) -> Made:
        return await write_transfers.create(ask, await source.relationship(ask), values)

    return create
