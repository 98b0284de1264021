"""A typed client of the ONTAP REST door and, in `native`, of the gateway's own resources.

What can be asked is described by plain functions (`volumes.show("vol1")`,
`snapshots.create(...)`), which do no I/O. `Client` and `AsyncClient` carry
the descriptions out::

    with Client("https://127.0.0.1:8443", user="admin", password=...) as client:
        made = client.run(volumes.create("vol1", size=1 << 30, tenant="svm1", pool="memory"))
        for volume in client.each(volumes.every(tenant="svm1")):
            print(volume.name, volume.size)

Everything that fails raises `ClientError`.
"""

from __future__ import annotations

from gateway.client import hosts, jobs, native, policies, pools, snapshots, tenants, volumes
from gateway.client.carriers import AsyncClient, Client
from gateway.client.flows import Flow, Listing, Progress
from gateway.client.records import Handle, HostGroup, Job, Policy, Pool, Snapshot, Volume
from gateway.client.wire import ClientError

__all__ = [
    "AsyncClient",
    "Client",
    "ClientError",
    "Flow",
    "Handle",
    "HostGroup",
    "Job",
    "Listing",
    "Policy",
    "Pool",
    "Progress",
    "Snapshot",
    "Volume",
    "hosts",
    "jobs",
    "native",
    "policies",
    "pools",
    "snapshots",
    "tenants",
    "volumes",
]
