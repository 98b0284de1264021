"""Groups of hosts, and the block volumes that are attached to them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gateway.client.flows import Flow, Listing, Progress, change, find
from gateway.client.records import HostGroup
from gateway.client.wire import exactly

_GROUPS = "/api/protocols/san/igroups"
_MAPS = "/api/protocols/san/lun-maps"
_FIELDS = "uuid,name,svm,os_type,protocol,comment,initiators,lun_maps"


def every(*, tenant: str | None = None) -> Listing[HostGroup]:
    """Ask for every group of hosts (ONTAP's igroup), of one tenant or of all."""
    query = [("fields", _FIELDS)]
    if tenant is not None:
        query.append(("svm.name", exactly(tenant)))
    return Listing(path=_GROUPS, kind=HostGroup, query=tuple(query))


def show(name: str, *, tenant: str | None = None) -> Flow[HostGroup]:
    """Give a group by name. `tenant` is needed when several have one of that name."""
    return find(every(tenant=tenant), kind="host group", name=name, named=lambda group: group.name)


def create(name: str, *, tenant: str, initiators: Sequence[str] = (), os_type: str = "linux") -> Flow[HostGroup]:
    """Make a group of the hosts with these iSCSI names, and give it."""
    body: dict[str, Any] = {"name": name, "svm": {"name": tenant}, "os_type": os_type, "protocol": "iscsi"}
    if initiators:
        body["initiators"] = [{"name": initiator} for initiator in initiators]
    yield from change("POST", _GROUPS, body)
    return (yield from show(name, tenant=tenant))


def delete(uuid: str) -> Flow[None]:
    """Delete a group."""
    return change("DELETE", f"{_GROUPS}/{uuid}")


def attach(
    volume: str, group: str, *, tenant: str, number: int | None = None, progress: Progress | None = None
) -> Flow[None]:
    """Attach a block volume, by its id, to a group; `number` is the logical unit number, None takes a free one."""
    body: dict[str, Any] = {"svm": {"name": tenant}, "lun": {"uuid": volume}, "igroup": {"name": group}}
    if number is not None:
        body["logical_unit_number"] = number
    return change("POST", _MAPS, body, progress=progress)


def detach(volume: str, group: str, *, progress: Progress | None = None) -> Flow[None]:
    """Detach a block volume from a group, both by id. Hosts that are connected are cut off."""
    return change("DELETE", f"{_MAPS}/{volume}/{group}", progress=progress)
