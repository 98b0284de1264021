"""The part of the route table that is about performance: QoS policies, and the metrics of volumes."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.frontends.ontap_rest.endpoint import Endpoint, named
from gateway.frontends.ontap_rest.qos import QosPolicies
from gateway.frontends.ontap_rest.schema import Schema
from gateway.frontends.ontap_rest.sources_metrics import VolumeMetrics
from gateway.frontends.ontap_rest.sources_volumes import Snapshots
from gateway.frontends.ontap_rest.writes import qos as write_qos


def qos_endpoints(schema: Schema) -> Mapping[str, Endpoint]:
    """Give every endpoint by its collection's path."""
    return {
        "storage/qos/policies": Endpoint(
            resource=schema["qos_policy"],
            source=QosPolicies(),
            operation=named("qos_policy"),
            create=write_qos.create,
            modify=write_qos.modify,
            delete=write_qos.delete,
            put_back=write_qos.put_back,
        ),
        "storage/volumes/{}/metrics": Endpoint(
            resource=schema["volume_metrics"],
            source=VolumeMetrics(Snapshots()),
            operation=named("volume_metrics"),
        ),
    }
