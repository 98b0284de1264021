"""The stock REX-Ray client, unmodified, on machines of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from libstorage_scene import DOOR, Bed, blocks_bed, files_bed, service
from rexray_scene import Host

from gateway.testing.live import live_gateway

pytestmark = pytest.mark.root

HELD = "volume already attached to a host"
NONE_FOUND = "no volumes found"


class Scene:
    """A bed and two machines that use it. Those of files are told apart by their addresses, others by their names."""

    def __init__(self, bed: Bed, first: Host, second: Host) -> None:
        self.bed = bed
        self.first = first
        self.second = second

    @property
    def nodes(self) -> tuple[str, str]:
        if self.bed.driver == "isilon":
            return "127.0.0.1", "192.0.2.77"
        return self.first.name, self.second.name

    def holders(self, name: str) -> list[str]:
        return self.bed.nobody.by_name(self.bed.service, name, 1).holders


@pytest.fixture(scope="module", params=[files_bed, blocks_bed])
def whole_scene(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, rexray: Path
) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("rexray")
    with (
        request.param(folder) as bed,
        Host(rexray, folder / "a", "host-a", host=bed.address, service=bed.service, tls=False) as first,
        Host(
            rexray, folder / "b", "host-b", address="192.0.2.77", host=f"unix://{bed.socket}", service=bed.service
        ) as second,
    ):
        yield Scene(bed, first, second)


@pytest.fixture
def scene(whole_scene: Scene) -> Iterator[Scene]:
    yield whole_scene
    whole_scene.bed.clean()


def test_the_life_of_a_volume(scene: Scene) -> None:
    host = scene.first
    assert host.listed() == {}
    (made,) = host.told("volume", "create", "data", "--size=2")
    assert (made["name"], made["size"], made["attachmentState"]) == ("data", 2, 3)
    assert host.listed("--available").keys() == {"data"}

    (attached,) = host.told("volume", "attach", "data")
    assert attached["attachmentState"] == 2
    assert [each["instanceID"]["id"] for each in attached["attachments"]] == [scene.nodes[0]]
    assert host.listed("--attached").keys() == {"data"}
    assert host.listed("--available") == {}

    assert " available " not in host.rexray("volume", "mount", "data")
    assert (host.folder / "var/lib/volumes/data/data").is_dir() is (scene.bed.driver == "vfs")
    assert HELD in host.fails("volume", "rm", "data")

    host.rexray("volume", "unmount", "data")
    assert scene.holders("data") == []
    assert host.listed()["data"]["attachmentState"] == 3
    assert host.rexray("volume", "rm", "data").split() == ["data"]
    assert scene.bed.nobody.volumes(scene.bed.service) == {}


def test_what_is_not_said_is_the_servers_choice(scene: Scene) -> None:
    (made,) = scene.first.told("volume", "create", "plain")
    assert made["size"] == 16
    (full,) = scene.first.told(
        "volume", "create", "full", "--size=1", "--volumeType=gold", "--iops=100", "--availabilityZone=az1"
    )
    assert (full["size"], full["type"], full["iops"], full["availabilityZone"]) == (1, "gold", 100, "az1")
    assert "volume name already exists" in scene.first.fails("volume", "create", "plain")
    assert "not implemented" in scene.first.fails("volume", "create", "secret", "--encrypted")
    assert scene.first.listed().keys() == {"plain", "full"}


def test_another_machine_sees_and_takes_what_it_may(scene: Scene) -> None:
    first, second = scene.first, scene.second
    first.rexray("volume", "create", "data", "--size=1")
    first.rexray("volume", "attach", "data")
    assert second.listed()["data"]["attachmentState"] == 4
    assert second.listed("--attached") == second.listed("--available") == {}
    for words in (("attach",), ("attach", "-i"), ("mount",)):
        assert NONE_FOUND in second.fails("volume", *words, "data")
    assert scene.holders("data") == [scene.nodes[0]]
    second.rexray("volume", "attach", "data", "--force")
    assert scene.holders("data") == [scene.nodes[1]]
    assert first.listed()["data"]["attachmentState"] == 4
    assert HELD in first.fails("volume", "rm", "data")
    first.rexray("volume", "rm", "data", "--force")
    assert second.listed() == {}


def test_commands_may_be_repeated_where_the_client_says_so(scene: Scene) -> None:
    host = scene.first
    host.rexray("volume", "create", "data", "--size=1")
    for verb in ("attach", "detach"):
        host.rexray("volume", verb, "data")
        assert NONE_FOUND in host.fails("volume", verb, "data")
        host.rexray("volume", verb, "data", "-i")
    for _ in range(2):
        host.rexray("volume", "mount", "data")
    host.rexray("volume", "unmount", "data")
    assert scene.holders("data") == []


def test_several_volumes_at_once(scene: Scene) -> None:
    host, names = scene.first, ("one", "two", "three")
    assert {each["name"] for each in host.told("volume", "create", *names, "--size=1")} == set(names)
    assert len(host.told("volume", "attach", *names)) == 3
    assert host.listed("--attached").keys() == set(names)
    assert len(host.told("volume", "detach", *names)) == 3
    assert set(host.rexray("volume", "rm", *names).split()) == set(names)


def test_machines_and_services_are_told(scene: Scene) -> None:
    service = scene.bed.service
    shown = scene.first.told("adapter", "types")[service]
    assert (shown["name"], shown["driver"]["name"]) == (service, scene.bed.driver)
    for host, node in zip((scene.first, scene.second), scene.nodes, strict=True):
        assert host.told("adapter", "instances")[service]["instanceID"]["id"] == node


def test_a_controller_manages_volumes_and_attaches_none(scene: Scene, rexray: Path, tmp_path: Path) -> None:
    settings = {"host": scene.bed.address, "service": scene.bed.service, "tls": False}
    with Host(rexray, tmp_path, "host-c", client={"type": "controller"}, **settings) as host:
        host.rexray("volume", "create", "data", "--size=1")
        assert host.listed().keys() == {"data"}
        for verb in ("attach", "detach", "mount"):
            assert host.try_rexray("volume", verb, "data").returncode != 0
        assert scene.holders("data") == []
        host.rexray("volume", "rm", "data")
        assert host.listed() == {}


def test_a_driver_that_the_client_lacks_ends_its_start(rexray: Path, tmp_path: Path) -> None:
    services = service("svc", pool="memory") + service("exotic", pool="memory", driver="efs")
    with live_gateway(tmp_path / "gateway", extra=DOOR + services) as gateway:
        settings = {"host": gateway.addresses["libstorage"].replace("http", "tcp"), "service": "svc", "tls": False}
        with Host(rexray, tmp_path / "host", "host-a", **settings) as host:
            host.fails("volume", "ls")
            host.configure(client={"type": "controller"}, **settings)
            assert host.listed() == {}


def test_a_mount_that_preempts(scene: Scene, rexray: Path, tmp_path: Path) -> None:
    preempt = {"volume": {"operations": {"mount": {"preempt": True}}}}
    settings = {"host": scene.bed.address, "service": scene.bed.service, "tls": False, "integration": preempt}
    scene.second.rexray("volume", "create", "data", "--size=1")
    scene.second.rexray("volume", "attach", "data")
    volume_id = scene.second.listed()["data"]["id"]
    with Host(rexray, tmp_path, scene.first.name, **settings) as host:
        assert NONE_FOUND in host.fails("volume", "mount", "data")  # its list leaves out what another one has
        host.rexray("volume", "attach", volume_id, "--force")
        host.rexray("volume", "mount", "data")
    assert scene.holders("data") == [scene.nodes[0]]


def test_a_machine_with_a_large_table_of_mounts(scene: Scene, rexray: Path, tmp_path: Path) -> None:
    settings = {"host": scene.bed.address, "service": scene.bed.service, "tls": False}
    with Host(rexray, tmp_path, scene.first.name, **settings) as host:
        for number in range(70):
            place = tmp_path / f"m{number}"
            place.mkdir()
            done = host.run("/bin/mount", "-t", "tmpfs", f"{number:04}{'x' * 3900}", str(place))
            assert done.returncode == 0, done.stderr
        assert sum(map(len, host.mounted().values())) > 256 << 10
        host.rexray("volume", "create", "data", "--size=1")
        host.rexray("volume", "mount", "data")
        assert host.listed("--path").keys() == {"data"}
        host.rexray("volume", "unmount", "data")
