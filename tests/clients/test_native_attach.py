"""What the native door says of an attachment, tried: by a real initiator over iSCSI, and on this host's devices."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from exporter_scene import MIB, end_daemon, free_port, sh
from iscsi_scene import Initiator

from gateway.client import Client, ClientError, native
from gateway.testing.live import ACCOUNT, PASSWORD, LiveGateway

pytestmark = pytest.mark.root

HOST, NEXT = "iqn.1993-08.org.debian:01:host", "iqn.1993-08.org.debian:01:next"


class Bed:
    """A running gateway over a folder, with an iSCSI portal and devices of this host."""

    def __init__(self, gateway: LiveGateway, port: int, client: Client) -> None:
        self.gateway = gateway
        self.client = client
        self._port = port

    def volume(self, name: str, size: int = 64 * MIB) -> native.Volume:
        new = native.NewVolume(name=name, tenant="svm1", pool="blocks", size=size, kind="block")
        return self.client.run(native.create_volume(new))

    def attach(self, volume: native.Volume, node: str = "rack1", initiator: str = HOST) -> native.Attached:
        new = native.NewAttachment(node=node, ways=("local", "iscsi"), initiators=(initiator,), chap=True)
        return self.client.run(native.attach(volume.id, new))

    def initiator(self, login: native.Login | None, name: str = HOST) -> Initiator:
        return Initiator(name, self._port, None if login is None else (login.user, login.password))


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    folder, port = tmp_path_factory.mktemp("native"), free_port()
    (folder / "pool").mkdir()
    gateway = LiveGateway(
        folder / "gateway",
        pools=f'[backend.blocks]\ndriver = "directory"\npath = "{folder / "pool"}"\n',
        extra=f"[export.iscsi]\nport = {port}\n[export.local]\n",
    )
    try:
        gateway.start()
        with Client(gateway.url, user=ACCOUNT, password=PASSWORD) as client:
            yield Bed(gateway, port, client)
    finally:
        gateway.stop()
        end_daemon(gateway.data / "iscsi", "tgtd")


def test_an_initiator_logs_in_with_what_it_was_told(bed: Bed) -> None:
    first, second = bed.volume("first"), bed.volume("second")
    found, other = bed.attach(first), bed.attach(second)
    assert found.login is not None
    assert found.login == other.login
    target, numbers = found.handle.target, (found.handle.lun, other.handle.lun)
    assert (other.handle.target, numbers) == (target, (1, 2))
    client = bed.initiator(found.login)
    assert client.sees() == {target: [1, 2]}
    assert client.size(target, 1) == 64 * MIB
    assert client.io(target, 1, "write -P 0x5a 1M 64k", "read -P 0x5a 1M 64k", "flush").returncode == 0
    assert client.io(target, 2, "read -P 0 1M 64k").returncode == 0
    wrong = native.Login(user=found.login.user, password="wrong-password-0")
    assert not bed.initiator(wrong).reaches(target, 1)
    assert not bed.initiator(None).reaches(target, 1)
    assert not bed.initiator(found.login, NEXT).reaches(target, 1)
    assert bed.attach(first) == found
    # It grows while it is attached, and an initiator that comes again sees it.
    bed.client.run(native.change_volume(first.id, {"size": 128 * MIB}))
    assert client.size(target, 1) == 128 * MIB
    bed.client.run(native.detach(first.id, "rack1"))
    assert client.sees() == {target: [2]}
    bed.client.run(native.delete_volume(first.id))
    bed.client.run(native.delete_volume(second.id, force=True))
    assert not client.reaches(target, 2)
    log = bed.gateway.log.read_text()
    assert found.login.password not in log


def test_a_node_with_another_initiator_leaves_the_one_before_outside(bed: Bed) -> None:
    volume = bed.volume("moved")
    before, after = bed.attach(volume), bed.attach(volume, initiator=NEXT)
    assert after.attachment == before.attachment
    assert not bed.initiator(before.login).reaches(before.handle.target, 1)
    assert bed.initiator(after.login, NEXT).reaches(after.handle.target, 1)
    bed.client.run(native.delete_volume(volume.id, force=True))


def test_nodes_share_a_volume_each_by_its_own_target(bed: Bed) -> None:
    volume = bed.volume("shared")
    one, two = bed.attach(volume), bed.attach(volume, "rack2", NEXT)
    assert one.handle.target != two.handle.target
    writer, reader = bed.initiator(one.login), bed.initiator(two.login, NEXT)
    assert writer.io(one.handle.target, 1, "write -P 7 0 64k", "flush").returncode == 0
    assert reader.io(two.handle.target, 1, "read -P 7 0 64k").returncode == 0
    bed.client.run(native.delete_volume(volume.id, force=True))


def test_this_host_has_a_device(bed: Bed) -> None:
    volume, node = bed.volume("here"), socket.gethostname()
    found = bed.attach(volume, node)
    assert (found.attachment.transport, found.login) == ("local", None)
    device = Path(found.handle.path)
    assert device.is_block_device()
    sh("qemu-io", "-f", "raw", "-c", "write -P 0x5a 0 4k", "-c", "flush", str(device))
    with device.open("rb") as opened:
        assert opened.read(4096) == b"\x5a" * 4096
        with pytest.raises(ClientError) as caught:
            bed.client.run(native.detach(volume.id, node, force=False))
        assert (caught.value.code, caught.value.fields["by"]) == ("InUse", "sessions")
    bed.client.run(native.detach(volume.id, node))
    assert not device.exists()
    bed.client.run(native.delete_volume(volume.id))


def test_the_ontap_door_shows_it_as_a_volume_with_its_lun(bed: Bed) -> None:
    volume = bed.volume("seen")
    with httpx.Client(base_url=f"{bed.gateway.url}/api", auth=(ACCOUNT, PASSWORD), trust_env=False) as ontap:
        (shown,) = ontap.get("/storage/volumes?name=seen&fields=uuid,size").json()["records"]
        (lun,) = ontap.get(f"/storage/luns?location.volume.uuid={volume.id}&fields=**").json()["records"]
        assert (shown["uuid"], shown["size"]) == (volume.id, 64 * MIB)
        assert (lun["name"], lun["space"]["size"], lun["status"]["mapped"]) == ("/vol/seen/lun0", 64 * MIB, False)
        bed.attach(volume)
        (lun,) = ontap.get("/storage/luns?location.volume.name=seen&fields=lun_maps,status").json()["records"]
        assert "lun_maps" not in lun
        refused = ontap.delete(f"/storage/volumes/{volume.id}")
        assert refused.status_code == 409
    bed.client.run(native.delete_volume(volume.id, force=True))
