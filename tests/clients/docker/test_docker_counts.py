"""Who needs a mount, when calls race, the gateway dies in the middle of them, or the host boots anew."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import httpx
import pytest
from docker_client import PluginClient, PluginError, plugin_at
from docker_scene import Bed

from gateway.client import volumes
from gateway.config import load
from gateway.core.backend import no_fault
from gateway.observe import AccessLog, Metrics, ReportingObserver
from gateway.server.assembly import furnished
from gateway.server.docker import docker
from gateway.server.drivers import DOORS, EXPORTERS, driver_options
from gateway.server.surroundings import Surroundings
from gateway.server.tls import Certificate

pytestmark = pytest.mark.root

FILES = {"pool": "files", "size": "64MiB"}
BLOCKS = {"pool": "images", "kind": "block", "size": "64MiB"}
ROUNDS = 8


def at_once(calls: list[Callable[[], Any]]) -> list[Any]:
    """Make calls at the same time; give what each gave, or its `Err`."""

    def told(call: Callable[[], Any]) -> Any:
        try:
            return call()
        except PluginError as error:
            return str(error)

    with ThreadPoolExecutor(len(calls)) as threads:
        return list(threads.map(told, calls))


@pytest.mark.parametrize("options", [FILES, BLOCKS], ids=["files", "blocks"])
def test_mounts_that_race_are_one_mount(bed: Bed, plugin: PluginClient, options: dict[str, str]) -> None:
    plugin("Create", Name="v", Opts=options)
    callers = [f"caller-{number}" for number in range(ROUNDS)]
    found = at_once([lambda caller=caller: plugin("Mount", Name="v", ID=caller) for caller in callers])
    assert found == [{"Mountpoint": str(bed.mounts / "v"), "Err": ""}] * ROUNDS
    assert (plugin.status("v")["users"], bed.mounted()) == (ROUNDS, ["v"])
    assert plugin("Path", Name="v")["Mountpoint"] == str(bed.mounts / "v")
    # The same caller again counts once, and so does the end of what has ended.
    plugin("Mount", Name="v", ID=callers[0])
    assert plugin.status("v")["users"] == ROUNDS
    gone = [*callers[:3], callers[0]]
    at_once([lambda caller=caller: plugin("Unmount", Name="v", ID=caller) for caller in gone])
    assert (plugin.status("v")["users"], bed.mounted()) == (ROUNDS - 3, ["v"])
    at_once([lambda caller=caller: plugin("Unmount", Name="v", ID=caller) for caller in callers[3:]])
    assert (plugin.status("v")["users"], bed.mounted()) == (0, [])
    assert plugin.refused("Path", Name="v") == "cannot give the path of volume v: it is not mounted"
    assert list(bed.mounts.iterdir()) == []


def test_a_mount_and_a_removal_that_race_both_know_how_it_ended(bed: Bed, plugin: PluginClient) -> None:
    for number in range(ROUNDS):
        name = f"v{number}"
        plugin("Create", Name=name, Opts=FILES)
        # Nobody here has what is mounted, so a removal may come first or last, but not in between.
        at_once([partial(plugin, "Mount", Name=name, ID="c"), partial(plugin, "Remove", Name=name)])
        mounted = name in bed.mounted()
        assert mounted == (name in plugin.names())
        if mounted:
            assert plugin.status(name)["users"] == 1
            plugin("Unmount", Name=name, ID="c")
            plugin("Remove", Name=name)
        assert plugin.refused("Mount", Name=name, ID="c") == f"volume {name} not found"
    assert bed.mounted() == []


def test_a_volume_has_one_maker_however_many_ask(bed: Bed, plugin: PluginClient) -> None:
    found = at_once([lambda: plugin("Create", Name="v", Opts=FILES)] * ROUNDS)
    assert found == [{"Err": ""}] * ROUNDS
    assert plugin.names() == ["v"]
    assert "is not what was asked for" in plugin.refused("Create", Name="v", Opts={**FILES, "size": "65MiB"})


def test_a_volume_that_was_renamed_while_mounted_is_unmounted_by_its_old_name(bed: Bed, plugin: PluginClient) -> None:
    plugin("Create", Name="old", Opts=FILES)
    plugin("Mount", Name="old", ID="c")
    with bed.client() as client:
        client.run(volumes.patch(client.run(volumes.show("old")).uuid, {"name": "new"}))
    assert (plugin.status("new")["users"], bed.mounted()) == (1, ["old"])
    plugin("Unmount", Name="old", ID="c")
    assert (plugin.status("new")["users"], bed.mounted()) == (0, [])
    assert plugin.refused("Unmount", Name="old", ID="c") == "volume old not found"


KILLS = [
    ("Mount", "volume.update.journalled"),
    ("Mount", "mounts.mount.recorded"),
    ("Mount", "mounts.mount.formatted"),
    ("Mount", "mounts.mount.placed"),
    ("Mount", "volume.update.committed"),
    ("Unmount", "volume.update.journalled"),
    ("Unmount", "mounts.unmount.unmounted"),
    ("Unmount", "mounts.unmount.forgotten"),
    ("Unmount", "volume.update.committed"),
]


@pytest.mark.slow
def test_killed_at_any_point_the_call_that_is_made_again_counts_right(bed: Bed, plugin: PluginClient) -> None:
    for number, (call, point) in enumerate(KILLS):
        name = f"v{number}"
        plugin("Create", Name=name, Opts=BLOCKS)
        if call == "Unmount":
            plugin("Mount", Name=name, ID="c")
        bed.gateway.arm(point)
        with pytest.raises(httpx.TransportError):
            plugin(call, Name=name, ID="c")
        bed.gateway.wait()
        bed.gateway.start()
        plugin(call, Name=name, ID="c")
        mounted = call == "Mount"
        assert (plugin.status(name)["users"], bed.mounted()) == ((1, [name]) if mounted else (0, [])), point
        plugin("Unmount", Name=name, ID="c")
        assert bed.mounted() == []


async def test_what_containers_needed_before_the_host_booted_is_ended_at_the_start(
    bed: Bed, plugin: PluginClient
) -> None:
    plugin("Create", Name="files", Opts=FILES)
    plugin("Create", Name="blocks", Opts=BLOCKS)
    for name in ("files", "blocks"):
        plugin("Mount", Name=name, ID="c")
        plugin("Mount", Name=name, ID="d")
    bed.gateway.stop()
    assert bed.mounted() == ["blocks", "files"]
    settings = load([bed.gateway.config], {}, drivers=driver_options(), exporters=EXPORTERS, doors=DOORS)
    metrics = Metrics()
    observer = ReportingObserver(metrics)
    shared = Surroundings(
        limits=settings.limits,
        certificate=Certificate(settings.tls),
        metrics=metrics,
        access=AccessLog(settings.log, lambda _line: None),
        observer=observer,
    )
    async with (
        furnished(settings, observer, no_fault) as house,
        docker(settings, house, shared, boot="0" * 32) as opened,
    ):
        assert opened == {"docker": f"unix://{bed.socket}"}
        assert bed.mounted() == []
        # And what is needed since is this boot's.
        await asyncio.to_thread(plugin, "Mount", Name="files", ID="c")
        assert (await asyncio.to_thread(plugin.status, "files"))["users"] == 1
    bed.gateway.start()
    assert (plugin.status("files")["users"], plugin.status("blocks")["users"]) == (0, 0)
    assert bed.mounted() == []


def test_a_second_gateway_leaves_the_socket_of_the_first_alone(bed: Bed, plugin: PluginClient) -> None:
    other = Bed(bed.mounts.parent / "other", bed.driver, pools="[backend.memory]\n")
    with pytest.raises(RuntimeError, match="Address already in use"):
        other.gateway.start()
    assert plugin("Plugin.Activate") == {"Implements": ["VolumeDriver"]}
    with plugin_at(bed.socket) as again:
        assert again.names() == []
    bed.gateway.stop()
    assert not bed.socket.exists()
    bed.gateway.start()
