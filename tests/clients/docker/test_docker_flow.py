"""A real Docker daemon with real containers on volumes of real pools."""

from __future__ import annotations

import json
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from docker_client import PluginClient
from docker_scene import Bed, Docker

from gateway.client import snapshots, volumes

pytestmark = pytest.mark.root

KINDS = {"files": ["pool=files"], "blocks": ["pool=images", "kind=block"]}
MIB = 1 << 20


def create(docker: Docker, bed: Bed, name: str, *options: str) -> str:
    return docker("volume", "create", "--driver", bed.driver, *(f"--opt={option}" for option in options), name)


def snapshot(bed: Bed, volume: str, name: str) -> None:
    """Take a snapshot through the ONTAP door."""
    with bed.client() as client:
        client.run(snapshots.create(client.run(volumes.show(volume)).uuid, name))


def path_of(bed: Bed, volume: str) -> str:
    """Give where the bytes of a volume are on this host."""
    with bed.client() as client:
        (found,) = client.run(volumes.access(client.run(volumes.show(volume)).uuid))
    assert found.path is not None
    return found.path


def file_system(path: str) -> str:
    """Give the id of the file system on a raw file; "" when there is none."""
    done = subprocess.run(["blkid", "-p", "-s", "UUID", "-o", "value", path], capture_output=True, check=False)
    return done.stdout.decode().strip()


@pytest.mark.parametrize("kind", KINDS)
def test_a_container_on_a_copy_of_a_snapshot_reads_the_old_bytes(docker: Docker, bed: Bed, kind: str) -> None:
    data = bed.name("data")
    copy = bed.name("copy")
    assert create(docker, bed, data, *KINDS[kind], "size=64MiB") == data
    docker.box(f"{data}:/d", say="echo old > /d/file; sync")
    assert bed.mounted() == []
    snapshot(bed, data, "before")
    docker.box(f"{data}:/d", say="echo new > /d/file")
    create(docker, bed, copy, f"from={data}@before")
    assert docker.box(f"{copy}:/d", f"{data}:/e", say="cat /d/file /e/file") == "old\nnew"
    (found,) = json.loads(docker("volume", "inspect", copy))
    assert found["Driver"] == bed.driver
    assert found["Scope"] == "local"
    assert found["Status"]["size"] == 64 * MIB
    assert {data, copy} <= set(docker("volume", "ls", "--quiet", "--filter", f"driver={bed.driver}").split())
    # What is needed by the other goes first, and takes nothing from it.
    docker("volume", "rm", data)
    assert docker.box(f"{copy}:/d", say="cat /d/file") == "old"
    docker("volume", "rm", copy)
    assert bed.mounted() == []
    assert "no such volume" in docker.refused("volume", "inspect", copy).lower()


def test_what_the_name_string_says_counts(docker: Docker, bed: Bed, plugin: PluginClient) -> None:
    spoken = bed.name("spoken")
    text = f"name={spoken},size=64M,pool=files,io_priority=high"
    assert create(docker, bed, text) == text
    assert plugin.names() == [spoken]
    status = plugin.status(spoken)
    assert (status["size"], status["pool"], status["not_followed"]) == (64 * MIB, "files", {"io_priority": "high"})
    (found,) = json.loads(docker("volume", "inspect", text))
    assert (found["Name"], found["Status"]["id"]) == (text, status["id"])
    docker.box(f"{text}:/d", say="echo said > /d/file")
    assert docker.box(f"{text}:/d", say="cat /d/file") == "said"
    docker("volume", "rm", text)
    assert plugin.names() == []


def test_a_volume_that_nobody_made_before_is_made_as_usual(docker: Docker, bed: Bed, plugin: PluginClient) -> None:
    fresh = bed.name("fresh")
    docker("run", "--rm", "--network=none", f"--volume-driver={bed.driver}", f"--volume={fresh}:/d", "box", "/bin/sh")
    assert plugin.status(fresh)["size"] == 10 << 30


def test_two_containers_share_a_mount_until_the_last_one_ends(docker: Docker, bed: Bed, plugin: PluginClient) -> None:
    shared = bed.name("shared")
    create(docker, bed, shared, "pool=files", "size=64MiB")
    first = docker.box(f"{shared}:/d", say="echo one > /d/file; sleep 600", detached=True)
    second = docker.box(f"{shared}:/d:ro", say="sleep 600", detached=True)
    assert plugin.status(shared)["users"] == 2
    assert bed.mounted() == [shared]
    assert docker("exec", second, "cat", "/d/file") == "one"
    docker("rm", "--force", first)
    assert (plugin.status(shared)["users"], bed.mounted()) == (1, [shared])
    assert docker("exec", second, "cat", "/d/file") == "one"
    assert "in use" in docker.refused("volume", "rm", shared)
    docker("rm", "--force", second)
    assert (plugin.status(shared)["users"], bed.mounted()) == (0, [])


@pytest.mark.parametrize("kind", KINDS)
def test_a_gateway_that_is_killed_between_mount_and_unmount_counts_on(
    docker: Docker, bed: Bed, plugin: PluginClient, kind: str
) -> None:
    data = bed.name("data")
    create(docker, bed, data, *KINDS[kind], "size=64MiB")
    first, second = (docker.box(f"{data}:/d", say="sleep 600", detached=True) for _ in range(2))
    bed.gateway.kill()
    assert bed.socket.is_socket(), "a process that is killed leaves its socket"
    docker("exec", first, "sh", "-c", "echo meanwhile > /d/file")
    bed.gateway.start()
    assert (plugin.status(data)["users"], bed.mounted()) == (2, [data])
    assert docker("exec", second, "cat", "/d/file") == "meanwhile"
    docker("rm", "--force", first)
    assert (plugin.status(data)["users"], bed.mounted()) == (1, [data])
    bed.gateway.kill()
    bed.gateway.start()
    docker("rm", "--force", second)
    assert (plugin.status(data)["users"], bed.mounted()) == (0, [])
    assert docker.box(f"{data}:/d", say="cat /d/file") == "meanwhile"


def test_a_container_that_ends_while_the_gateway_is_down_is_counted_off_afterwards(
    docker: Docker, bed: Bed, plugin: PluginClient
) -> None:
    data = bed.name("data")
    create(docker, bed, data, "pool=files")
    container = docker.box(f"{data}:/d", say="sleep 600", detached=True)
    bed.gateway.kill()
    with ThreadPoolExecutor(1) as threads:
        # The daemon asks again and again for a while.
        removing = threads.submit(docker, "rm", "--force", container)
        docker("version")
        bed.gateway.start()
        removing.result()
    assert (plugin.status(data)["users"], bed.mounted()) == (0, [])


def test_what_a_daemon_that_was_killed_never_took_back_ends_with_the_volume(
    docker: Docker, bed: Bed, plugin: PluginClient
) -> None:
    data = bed.name("data")
    create(docker, bed, data, "pool=files")
    docker.box(f"{data}:/d", say="echo kept > /d/file; sleep 600", detached=True, name=(sleeper := bed.name("sleeper")))
    docker.kill()
    assert "in use (mounts)" in plugin.refused("Remove", Name=data), "its container goes on"
    docker.start()
    docker("rm", "--force", sleeper)
    assert docker.box(f"{data}:/d", say="cat /d/file") == "kept"
    assert (plugin.status(data)["users"], bed.mounted()) == (1, [data])
    docker("volume", "rm", data)
    assert (plugin.names(), bed.mounted()) == ([], [])


@pytest.mark.parametrize(("fs", "size"), [("ext4", "64MiB"), ("btrfs", "128MiB"), ("xfs", "320MiB")])
def test_blocks_are_formatted_at_the_first_mount_and_never_again(
    docker: Docker, bed: Bed, plugin: PluginClient, fs: str, size: str
) -> None:
    disk = bed.name("disk")
    create(docker, bed, disk, f"fs={fs}", f"size={size}", "kind=block")
    raw = path_of(bed, disk)
    assert file_system(raw) == ""
    docker.box(f"{disk}:/d", say="echo first > /d/file")
    made = file_system(raw)
    assert made
    assert plugin.status(disk)["format"] == fs
    bed.gateway.kill()
    bed.gateway.start()
    assert docker.box(f"{disk}:/d", say="cat /d/file") == "first"
    assert file_system(raw) == made


def test_blocks_that_hold_something_are_not_formatted(docker: Docker, bed: Bed) -> None:
    disk = bed.name("disk")
    create(docker, bed, disk, "kind=block", "size=64MiB")
    raw = Path(path_of(bed, disk))
    with raw.open("r+b") as blocks:
        blocks.seek(40 * MIB)
        blocks.write(b"precious")
    assert "in use (content)" in docker.refused("run", "--rm", "--network=none", "-v", f"{disk}:/d", "box", "/bin/sh")
    with raw.open("rb") as blocks:
        blocks.seek(40 * MIB)
        assert blocks.read(8) == b"precious"
    assert bed.mounted() == []


@pytest.mark.parametrize(("options", "size"), [(["pool=files"], 64), (["kind=block", "fs=btrfs"], 128)])
def test_a_copy_may_be_larger(docker: Docker, bed: Bed, plugin: PluginClient, options: list[str], size: int) -> None:
    small = bed.name("small")
    large = bed.name("large")
    create(docker, bed, small, *options, f"size={size}MiB")
    docker.box(f"{small}:/d", say="echo old > /d/file")
    create(docker, bed, large, f"from={small}", f"size={3 * size}MiB")
    assert plugin.status(large)["size"] == 3 * size * MIB
    told = docker.box(f"{large}:/d", say="cat /d/file; stat -f -c %b\\ %S /d").split()
    assert told[0] == "old"
    assert int(told[1]) * int(told[2]) > 2 * size * MIB
    # Once more is no error: whoever asks may not have heard the answer.
    create(docker, bed, large, f"from={small}", f"size={3 * size}MiB")


def test_mount_options_are_those_of_the_volume(docker: Docker, bed: Bed) -> None:
    data = bed.name("data")
    create(docker, bed, data, "pool=files", "mount_options=noexec,ro")
    assert "Read-only" in docker.refused(
        "run", "--rm", "--network=none", "-v", f"{data}:/d", "box", "/bin/sh", "-c", "echo > /d/file"
    )


def test_nothing_is_mounted_on_a_place_that_is_not_empty(docker: Docker, bed: Bed, plugin: PluginClient) -> None:
    data = bed.name("data")
    create(docker, bed, data, "pool=files")
    (bed.mounts / data).mkdir()
    (bed.mounts / data / "note").write_text("mine")
    refusal = docker.refused("run", "--rm", "--network=none", "-v", f"{data}:/d", "box", "/bin/sh")
    assert "path: is not empty" in refusal
    assert (plugin.status(data)["users"], bed.mounted()) == (0, [])
    (bed.mounts / data / "note").unlink()
    assert docker.box(f"{data}:/d", say="ls /d") == ""
