"""Records as the reference writes them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.frontends.libstorage.encode import body
from gateway.frontends.libstorage.errors import not_found
from gateway.frontends.libstorage.model import (
    DriverInfo,
    Instance,
    InstanceRef,
    NextDeviceInfo,
    ServiceInfo,
    Snapshot,
    Task,
    Volume,
    VolumeAttachment,
    VolumeAttachResponse,
)

HOST = InstanceRef(id="host-a", driver="vfs", service="")
ATTACHMENT = VolumeAttachment(device_name="/dev/xvda", instance_id=HOST, status="attached", volume_id="vfs-000")

GOLDEN: list[tuple[Any, str]] = [
    (
        Volume(id="vfs-000", name="v", type=""),
        """{
  "name": "v",
  "id": "vfs-000",
  "type": ""
}""",
    ),
    (
        Volume(
            attachments=(ATTACHMENT,),
            attachment_state=2,
            availability_zone="US",
            encrypted=True,
            iops=1000,
            name="Volume 000",
            network_name="n",
            size=10240,
            status="online",
            id="vfs-000",
            type="gold",
            fields={"priority": "2", "owner": "root@example.com"},
        ),
        """{
  "attachments": [
    {
      "deviceName": "/dev/xvda",
      "instanceID": {
        "id": "host-a",
        "driver": "vfs",
        "service": ""
      },
      "status": "attached",
      "volumeID": "vfs-000"
    }
  ],
  "attachmentState": 2,
  "availabilityZone": "US",
  "encrypted": true,
  "iops": 1000,
  "name": "Volume 000",
  "networkName": "n",
  "size": 10240,
  "status": "online",
  "id": "vfs-000",
  "type": "gold",
  "fields": {
    "owner": "root@example.com",
    "priority": "2"
  }
}""",
    ),
    (
        VolumeAttachment(
            device_name="",
            mount_point="/mnt",
            instance_id=InstanceRef(id="i", driver="ebs", service="s", fields={"region": "us"}),
            status="",
            volume_id="",
            fields={"accessURL": "nfs://h/a?b=<c>&d"},
        ),
        """{
  "deviceName": "",
  "mountPoint": "/mnt",
  "instanceID": {
    "id": "i",
    "driver": "ebs",
    "service": "s",
    "fields": {
      "region": "us"
    }
  },
  "status": "",
  "volumeID": "",
  "fields": {
    "accessURL": "nfs://h/a?b=\\u003cc\\u003e\\u0026d"
  }
}""",
    ),
    (Snapshot(id="vfs-000-000"), '{\n  "id": "vfs-000-000"\n}'),
    (
        Snapshot(
            description="d",
            name="s",
            encrypted=True,
            id="x",
            start_time=1455826676,
            status="online",
            volume_id="vfs-000",
            volume_size=10240,
            fields={"region": "US"},
        ),
        """{
  "description": "d",
  "name": "s",
  "encrypted": true,
  "id": "x",
  "startTime": 1455826676,
  "status": "online",
  "volumeID": "vfs-000",
  "volumeSize": 10240,
  "fields": {
    "region": "US"
  }
}""",
    ),
    (
        ServiceInfo(
            name="vfs",
            instance=Instance(instance_id=HOST, name="vfsInstance", provider_name=""),
            driver=DriverInfo(
                name="vfs", type="object", next_device=NextDeviceInfo(ignore=True, prefix="", pattern="")
            ),
        ),
        """{
  "name": "vfs",
  "instance": {
    "instanceID": {
      "id": "host-a",
      "driver": "vfs",
      "service": ""
    },
    "name": "vfsInstance",
    "providerName": ""
  },
  "driver": {
    "name": "vfs",
    "type": "object",
    "nextDevice": {
      "ignore": true,
      "prefix": "",
      "pattern": ""
    }
  }
}""",
    ),
    (
        ServiceInfo(name="files", driver=DriverInfo(name="isilon", type="nas")),
        """{
  "name": "files",
  "driver": {
    "name": "isilon",
    "type": "nas"
  }
}""",
    ),
    (Task(id=0, queue_time=1, state="queued"), '{\n  "id": 0,\n  "queueTime": 1,\n  "state": "queued"\n}'),
    (
        Task(
            id=7,
            user="u",
            complete_time=3,
            queue_time=1,
            start_time=2,
            state="error",
            error={"msg": "resource not found", "resourceID": "x"},
        ),
        """{
  "id": 7,
  "user": "u",
  "completeTime": 3,
  "queueTime": 1,
  "startTime": 2,
  "state": "error",
  "error": {
    "msg": "resource not found",
    "resourceID": "x"
  }
}""",
    ),
    (
        VolumeAttachResponse(volume=Volume(id="i", name="n", type=""), attach_token=""),
        """{
  "volume": {
    "name": "n",
    "id": "i",
    "type": ""
  },
  "attachToken": ""
}""",
    ),
    (
        not_found("vfs-009").body(),
        """{
  "message": "resource not found",
  "status": 404,
  "error": {
    "resourceID": "vfs-009"
  }
}""",
    ),
    (None, "null"),
    ({}, "{}"),
    ([], "[]"),
    ("0.11.4", '"0.11.4"'),
    (["http://h/volumes"], '[\n  "http://h/volumes"\n]'),
    ({"vfs": {}}, '{\n  "vfs": {}\n}'),
]


@pytest.mark.parametrize(("value", "text"), GOLDEN)
def test_bodies_are_those_of_the_reference(value: Any, text: str) -> None:
    assert body(value).decode() == text


def test_maps_are_in_the_order_of_their_keys() -> None:
    value = {"slow": {}, "fast": {f"v{i}": Volume(id=f"v{i}", name="n", type="") for i in range(12)}}
    read = json.loads(body(value))
    assert list(read) == ["fast", "slow"]
    assert list(read["fast"]) == sorted(read["fast"])


TEXTS = st.text(st.characters(codec="utf-8"))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | TEXTS,
    lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner),
)


@given(VALUES)
def test_what_is_written_is_what_was_meant(value: Any) -> None:
    written = body(value)
    assert json.loads(written) == value
    assert not set("<>&\u2028\u2029") & set(written.decode())
