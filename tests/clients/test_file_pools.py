"""The official SDK, unmodified, on a pool in a plain directory and on one of a file server."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import httpx
import pytest
from netapp_ontap.resources import ExportPolicy, Lun, Snapshot, Volume
from nfs_scene import Nfs
from sdk_scene import MIB, OWN_WARNINGS, SVM, names, patch, refused, sdk, seen, volume

from gateway.client import Client, ClientError, native
from gateway.testing.live import ACCOUNT, PASSWORD, LiveGateway, live_gateway
from gateway.testing.loop_pool import loop_pool
from gateway.testing.mirror import Mirror, mirror

pytestmark = [pytest.mark.root, OWN_WARNINGS]

NOT_POSSIBLE = "1638644"
RULES = [{"clients": [{"match": "0.0.0.0/0"}], "ro_rule": ["any"], "rw_rule": ["any"], "superuser": ["any"]}]


class Bed:
    """A gateway over a directory on ext4 and a mirror that stands in for a file server."""

    def __init__(self, gateway: LiveGateway, nfs: Nfs, disk: Path, server: Mirror) -> None:
        self.gateway = gateway
        self.nfs = nfs
        self.disk = disk
        self.server = server

    def handles(self, volume_id: str) -> list[dict[str, object]]:
        """Give the access handles of a volume."""
        url = f"{self.gateway.url}/gateway/volumes/{volume_id}/access"
        answer = httpx.get(url, auth=(ACCOUNT, PASSWORD))
        assert answer.status_code == 200, answer.text
        return list(answer.json()["handles"])


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    folder = tmp_path_factory.mktemp("files")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with loop_pool(folder / "disk", "ext4", "256M") as disk, mirror(folder / "filer") as server:
        pools = (
            f'[backend.plain]\ndriver = "directory"\npath = "{disk}"\n'
            f'[backend.filer]\ndriver = "nfs"\npath = "{server.mount}"\nserver = "192.0.2.7"\nexport = "/export"\n'
        )
        extra = f"[export.nfs]\nport = {port}\n"
        with live_gateway(folder / "gateway", pools=pools, extra=extra) as gateway, sdk(gateway):
            ExportPolicy(name="open", svm=SVM, rules=RULES).post(hydrate=True)
            yield Bed(gateway, Nfs(port, folder), disk, server)


def test_a_directory_is_a_volume_with_bytes_over_nfs(bed: Bed) -> None:
    made = volume("plain", "plain", nas={"path": "/plain", "export_policy": {"name": "open"}})
    assert (made.state, made.size) == ("online", 64 * MIB)
    bed.nfs.write("/plain/letter", b"words")
    place = bed.disk / "volumes" / made.uuid / "data"
    assert (place / "letter").read_bytes() == b"words"
    assert bed.nfs.read("/plain/letter") == b"words"

    patch(made.uuid, size=128 * MIB, comment="larger")
    looked = seen("plain")
    assert (looked.size, looked.comment) == (128 * MIB, "larger")

    with refused(NOT_POSSIBLE):
        Snapshot(made.uuid, name="before").post(hydrate=True)

    made.delete()
    assert "plain" not in names()
    assert not place.exists()


def test_a_volume_of_a_file_server_is_reached_at_that_server(bed: Bed) -> None:
    made = volume("filed", "filer")
    there, here = bed.handles(made.uuid)
    below = f"volumes/{UUID(made.uuid)}/data"
    assert there == {
        "type": "nfs",
        "address": "192.0.2.7",
        "port": 2049,
        "path": f"/export/{below}",
        "file": "",
        "version": "4.1",
        "read_only": False,
    }
    assert here == {"type": "local_path", "path": str(bed.server.mount / below), "read_only": False}
    assert (bed.server.server / below).is_dir()
    Volume(uuid=made.uuid).delete()
    assert not (bed.server.server / "volumes" / made.uuid).exists()


def test_a_lun_on_a_file_server_is_a_raw_file_there(bed: Bed) -> None:
    made = volume("disk", "filer")
    Lun(name="/vol/disk/lun0", svm=SVM, os_type="linux", space={"size": 16 * MIB}).post(hydrate=True)
    there, here = bed.handles(made.uuid)
    below = f"volumes/{UUID(made.uuid)}/data"
    assert (there["path"], there["file"]) == ("/export", below)
    assert here["path"] == str(bed.server.mount / below)
    assert (bed.server.server / below).stat().st_size == 16 * MIB
    with refused(NOT_POSSIBLE):
        Snapshot(made.uuid, name="before").post(hydrate=True)
    Volume(uuid=made.uuid).delete()
    assert not (bed.server.server / "volumes" / made.uuid).exists()


def test_blocks_on_a_file_server_are_attached_as_a_file_there(bed: Bed) -> None:
    with Client(bed.gateway.url, user=ACCOUNT, password=PASSWORD) as client:
        new = native.NewVolume(name="blocks", tenant="svm1", pool="filer", size=16 * MIB, kind="block")
        made = client.run(native.create_volume(new))
        below = f"volumes/{made.id}/data"
        for node in ("compute1", "compute2"):
            wanted = native.NewAttachment(node=node, ways=("local", "iscsi", "nfs"), addresses=("192.0.2.44",))
            found = client.run(native.attach(made.id, wanted)).handle
            assert (found.kind, found.address, found.path, found.file) == ("nfs", "192.0.2.7", "/export", below)
        (pool,) = [pool for pool in client.run(native.pools()) if pool.name == "filer"]
        assert pool.kinds["block"].ways == ("local", "nfs")
        with pytest.raises(ClientError, match="InUse"):
            client.run(native.delete_volume(made.id))
        for node in ("compute1", "compute2"):
            client.run(native.detach(made.id, node))
        client.run(native.delete_volume(made.id))
