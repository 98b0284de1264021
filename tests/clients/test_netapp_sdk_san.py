"""The official SDK, unmodified, on a memory pool: a LUN from its volume to its end."""

from __future__ import annotations

import pytest
from netapp_ontap.resources import (
    Igroup,
    IgroupInitiator,
    IpInterface,
    IscsiCredentials,
    IscsiService,
    Lun,
    LunMap,
    Snapshot,
    Svm,
    Volume,
)
from sdk_scene import MIB, OWN_WARNINGS, SVM, clone, patch, refused, sdk, volume

from gateway.testing.live import live_gateway

pytestmark = OWN_WARNINGS
HOST = "iqn.1993-08.org.debian:01:host1"
OTHER_HOST = "iqn.1993-08.org.debian:01:host2"
PASSWORD = "blocks-and-bytes"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    with live_gateway(tmp_path_factory.mktemp("san"), tls=True) as running:
        yield running


@pytest.fixture
def connection(gateway):
    with sdk(gateway) as connected:
        yield connected
        leave_nothing()


def leave_nothing() -> None:
    for group in Igroup.get_collection():
        group.delete(allow_delete_while_mapped=True)
    left = list(Volume.get_collection(fields="clone"))
    for found in sorted(left, key=lambda item: not item.clone.is_flexclone):
        found.delete()
    for service in IscsiService.get_collection(enabled=True):
        service.enabled = False
        service.patch()
    for service in IscsiService.get_collection():
        service.delete()
    for login in IscsiCredentials.get_collection(initiator="!default"):
        login.delete()
    for svm in Svm.get_collection(name="!svm1"):
        svm.delete()


def lun(path: str, size: int = 64 * MIB, **fields) -> Lun:
    made = Lun(name=path, svm=SVM, os_type="linux", space={"size": size}, **fields)
    made.post(hydrate=True)
    return made


def igroup(name: str, *hosts: str) -> Igroup:
    made = Igroup(
        name=name, svm=SVM, os_type="linux", protocol="iscsi", initiators=[{"name": host} for host in hosts] or None
    )
    made.post(hydrate=True)
    return made


def mapped(path: str, group: str, **fields) -> LunMap:
    made = LunMap(svm=SVM, lun={"name": path}, igroup={"name": group}, **fields)
    made.post(hydrate=True)
    return made


def test_the_life_of_a_lun(connection):
    service = IscsiService(svm=SVM)
    service.post(hydrate=True)
    assert service.enabled
    assert service.target.alias == "svm1"
    assert service.target.name.startswith("iqn.")
    IscsiCredentials(
        svm=SVM, initiator=HOST, authentication_type="chap", chap={"inbound": {"user": "me", "password": PASSWORD}}
    ).post()

    parent = volume("v1", "memory")
    data = lun("/vol/v1/data", 128 * MIB, comment="first")
    assert data.uuid == parent.uuid
    assert (data.location.volume.name, data.location.logical_unit, data.os_type) == ("v1", "data", "linux")
    assert (data.space.size, data.status.state, data.status.mapped, data.enabled) == (128 * MIB, "online", False, True)
    assert len(data.serial_number) == 12

    group = igroup("hosts", HOST)
    IgroupInitiator(group.uuid, name=OTHER_HOST, comment="spare").post()
    group.get(fields="initiators")
    assert [one.name for one in group.initiators] == [HOST, OTHER_HOST]
    first = mapped("/vol/v1/data", "hosts")
    assert first.logical_unit_number == 1
    with refused("1254197"):
        Lun(uuid=data.uuid).delete()

    Snapshot(parent.uuid, name="before").post()
    copy = clone("v2", "v1", "before")
    twin = Lun.find(name="/vol/v2/data", fields="**")
    assert twin is not None
    assert (twin.uuid, twin.os_type, twin.status.mapped) == (copy.uuid, "linux", False)
    assert mapped("/vol/v2/data", "hosts").logical_unit_number == 2
    assert [found.lun.name for found in LunMap.get_collection(**{"igroup.name": "hosts"})] == [
        "/vol/v1/data",
        "/vol/v2/data",
    ]

    data = Lun(uuid=data.uuid)
    data.space = {"size": 256 * MIB}
    data.patch(hydrate=True)
    assert data.space.size == 256 * MIB
    parent.get(fields="size")
    assert parent.size == 256 * MIB

    for found in LunMap.get_collection():
        found.delete()
    Lun(uuid=copy.uuid).delete()
    with refused("5374705", text="snapshots"):
        Lun(uuid=data.uuid).delete()
    Volume(uuid=parent.uuid).delete()
    assert not list(Lun.get_collection())
    assert not list(Volume.get_collection())


@pytest.mark.parametrize("fields", ["*", "**", None])
def test_every_resource_passes_the_schema_checks_of_the_sdk(connection, fields):
    query = {} if fields is None else {"fields": fields}
    IscsiService(svm=SVM).post()
    IscsiCredentials(
        svm=SVM,
        initiator=HOST,
        authentication_type="chap",
        chap={"inbound": {"user": "me", "password": PASSWORD}, "outbound": {"user": "you", "password": PASSWORD[::-1]}},
    ).post()
    lun("/vol/shown/l")
    group = igroup("shown", HOST, OTHER_HOST)
    mapped("/vol/shown/l", "shown", logical_unit_number=7)
    collections = {
        "lun": Lun.get_collection(**query),
        "igroup": Igroup.get_collection(**query),
        "initiator": IgroupInitiator.get_collection(group.uuid, **query),
        "map": LunMap.get_collection(**query),
        "service": IscsiService.get_collection(**query),
        "credentials": IscsiCredentials.get_collection(**query),
        "volume": Volume.get_collection(**query),
    }
    for noun, collection in collections.items():
        found = list(collection)
        assert found, noun
        for record in found:
            shown = record.to_dict()
            record.get(**query)
            assert record.to_dict().keys() >= shown.keys(), noun
            assert PASSWORD not in str(record.to_dict())


def test_lists_are_filtered_ordered_and_paged(connection):
    for name, size in (("b1", 40), ("b2", 60), ("b3", 80)):
        lun(f"/vol/{name}/l", size * MIB)
    volume("files", "memory")
    for size in (1, 2, 3, 50):
        found = list(Lun.get_collection(name="/vol/b*", order_by="name desc", max_records=size))
        assert [one.name for one in found] == ["/vol/b3/l", "/vol/b2/l", "/vol/b1/l"]
    assert [one.name for one in Lun.get_collection(**{"space.size": ">=60MB", "order_by": "space.size"})] == [
        "/vol/b2/l",
        "/vol/b3/l",
    ]
    assert Lun.count_collection() == 3
    assert [one.name for one in Volume.get_collection(**{"nas.security_style": "null"})] == ["b1", "b2", "b3"]


def test_a_volume_of_blocks_is_restored(connection):
    made = lun("/vol/r/l")
    Snapshot(made.uuid, name="s").post()
    patch(made.uuid, restore_to={"snapshot": {"name": "s"}})
    assert Lun.find(name="/vol/r/l") is not None


def test_an_svm_with_iscsi_has_its_service(connection):
    Svm(name="blocks", iscsi={"enabled": True}).post()
    found = Svm.find(name="blocks", fields="iscsi")
    assert found is not None
    assert (found.iscsi.allowed, found.iscsi.enabled) == (True, True)
    assert IscsiService.find(**{"svm.name": "blocks"}) is not None


def test_without_an_exporter_there_is_no_interface(connection):
    assert not list(IpInterface.get_collection(services="data_iscsi"))
