"""Which pools a first configuration has, and which it offers."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from gateway.cli.choice import Lacking, Pool, automatic, chosen, memory, offered
from gateway.cli.machine import Machine, Mount, Place
from gateway.cli.template import Content, configuration

ODD = '/mnt/with "quotes"\nand\x7f lines'
INSTALLED = frozenset({"zfs", "btrfs", "directory", "nfs", "qcow2", "memory"})
EXT4, XFS, BTRFS = Place(kind="ext4"), Place(kind="xfs", reflink=True), Place(kind="btrfs", reflink=True)
ROOT = Machine(root=True)


def only(*drivers: str) -> Lacking:
    """Give a machine on which just these drivers work."""
    return lambda driver, _options: () if driver in drivers else (f"no {driver} here",)


def brief(pools: Iterable[Pool]) -> dict[str, str]:
    """Give driver and place of each pool by its name."""
    return {pool.name: " ".join([pool.driver, *pool.options.values()]) for pool in pools}


FILES, BLOCKS = "directory pools/disk", "qcow2 pools/blocks"
ONE = Machine(root=True, zfs=("tank",))
TWO = Machine(root=True, zfs=("tank", "safe"))


@pytest.mark.parametrize(
    ("place", "machine", "works", "pools"),
    [
        pytest.param(EXT4, ROOT, INSTALLED, {"disk": FILES, "blocks": BLOCKS}, id="ext4"),
        pytest.param(EXT4, ROOT, {"directory"}, {"disk": FILES}, id="ext4 without qemu"),
        pytest.param(XFS, Machine(), INSTALLED, {"disk": FILES}, id="reflink serves both"),
        pytest.param(
            BTRFS, ROOT, INSTALLED, {"disk": "btrfs pools/disk", "blocks": "directory pools/blocks"}, id="btrfs"
        ),
        pytest.param(BTRFS, Machine(), INSTALLED - {"btrfs"}, {"disk": FILES}, id="btrfs without its rights"),
        pytest.param(EXT4, ONE, INSTALLED, {"disk": "zfs tank"}, id="the only ZFS pool"),
        pytest.param(
            EXT4, Machine(zfs=("tank",)), INSTALLED, {"disk": FILES, "blocks": BLOCKS}, id="a ZFS pool, not root"
        ),
        pytest.param(EXT4, TWO, INSTALLED, {"disk": FILES, "blocks": BLOCKS}, id="one of two ZFS pools is a guess"),
        pytest.param(Place(kind="zfs", zpool="safe"), TWO, INSTALLED, {"disk": "zfs safe"}, id="unless it is on one"),
        pytest.param(EXT4, ROOT, {"memory"}, {"memory": "memory"}, id="nothing works"),
        pytest.param(EXT4, ROOT, {"memory", "qcow2"}, {"memory": "memory"}, id="nothing for files works"),
    ],
)
def test_the_best_of_what_is_there_is_chosen(
    place: Place, machine: Machine, works: Collection[str], pools: Mapping[str, str]
) -> None:
    assert brief(automatic(place, machine, only(*works))) == pools


def pick(*requests: str, place: Place = EXT4, works: Collection[str] = INSTALLED) -> tuple[Pool, ...]:
    return chosen(requests, Path("/etc/gw"), Machine(), stand=lambda _path: place, lacking=only(*works))


def test_pools_can_be_asked_for() -> None:
    asked = ("zfs:tank", "btrfs:/srv/a", "fast=btrfs:/srv/b", "btrfs:/srv/c", "btrfs:/srv/d", "memory")
    assert brief(pick(*asked, place=BTRFS)) == {
        "zfs": "zfs tank",
        "btrfs": "btrfs /srv/a",
        "fast": "btrfs /srv/b",
        "btrfs2": "btrfs /srv/c",
        "btrfs3": "btrfs /srv/d",
        "memory": "memory",
    }
    assert brief(pick("qcow2:here")) == {"qcow2": f"qcow2 {Path.cwd() / 'here'}"}
    assert brief(pick("auto", "memory", works={"directory", "memory"})) == {"disk": FILES, "memory": "memory"}
    assert brief(pick("auto", "memory", works={"memory"})) == {"memory": "memory"}


def test_what_a_directory_is_good_for_depends_on_where_it_is() -> None:
    assert "snapshots" in pick("directory:/srv")[0].says
    assert pick("directory:/srv", place=XFS)[0].says != pick("directory:/srv")[0].says


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        ("", "is neither auto nor"),
        ("ext4:/srv", "is neither auto nor"),
        ("nfs:/srv", "is neither auto nor"),
        ("btrfs", "it is btrfs:WHERE"),
        ("btrfs:/srv", "is on ext4, not on btrfs"),
        ("memory:/srv", "memory takes nothing more"),
        ("a/b=memory", "its name: 'a/b' is not a name"),
        ("zfs:tank", "does not work here: no zfs here"),
    ],
)
def test_a_request_that_makes_no_sense(request_: str, why: str) -> None:
    with pytest.raises(ValueError, match=re.escape(why)):
        pick(request_, works={"memory", "btrfs"})


def uncommented(text: str) -> dict[str, Any]:
    """Read a configuration with all of its examples in it."""
    return tomllib.loads(re.sub(r"(?m)^# (?=\[|\w+ = )", "", text))


EVERYTHING = Machine(
    btrfs=(Path("/srv/a"), Path(ODD)),
    reflink=(Path("/srv/a"), Path("/x\ny")),
    nfs=(Mount(Path("/mnt/n"), "nfs4", "[fe80::1]:/export"), Mount(Path("/mnt/m"), "nfs", "filer:/a b/c")),
    zfs=("tank",),
    programs={"tgtd": "/usr/sbin/tgtd", "losetup": "/sbin/losetup"},
)


def test_examples_are_right_when_uncommented() -> None:
    pools = (Pool(name="disk", driver="btrfs", options={"path": "/srv/a/gateway"}, says="files"),)
    content = Content(
        listen="127.0.0.1:1",
        pools=pools,
        offered=tuple(offered(EVERYTHING, pools, INSTALLED)),
        exporters=frozenset({"nfs", "iscsi", "nbd", "local"}),
    )
    text = configuration(content, EVERYTHING)
    found = uncommented(text)
    assert found["backend"] == {
        "disk": {"driver": "btrfs", "path": "/srv/a/gateway"},
        "memory": {"driver": "memory"},
        "zfs1": {"driver": "zfs", "pool": "tank"},
        "btrfs2": {"driver": "btrfs", "path": f"{ODD}/gateway"},
        "directory1": {"driver": "directory", "path": "/x\ny/gateway"},
        "nfs1": {"driver": "nfs", "path": "/mnt/n", "server": "fe80::1", "export": "/export"},
        "nfs2": {"driver": "nfs", "path": "/mnt/m", "server": "filer", "export": "/a b/c"},
    }
    assert found["export"].keys() == {"nfs", "iscsi", "local", "mounts"}
    assert found["frontend"].keys() == {"openstorage", "libstorage", "docker"}
    assert tomllib.loads(text).keys() == {"listen", "data_dir", "name", "tenants", "accounts", "tls", "backend"}


def test_only_what_is_installed_is_offered() -> None:
    assert [pool.name for pool in offered(EVERYTHING, [memory()], {"memory", "btrfs"})] == ["btrfs1", "btrfs2"]
    assert list(offered(Machine(), [memory()], INSTALLED)) == []
