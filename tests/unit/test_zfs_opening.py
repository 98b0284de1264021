"""Opening: what is looked at, in which order, and the reasons for which a pool does not open."""

from __future__ import annotations

from pathlib import Path

import pytest
from zfs_script import DATASETS, ONE, PARENT, SNAPS, dataset, does, hangs, refuses, says

from gateway.backends.zfs import ZfsBackend, ZfsEncryption, ZfsOptions
from gateway.backends.zfs.rights import ALL, Rights, facts, lacks
from gateway.core.backend import derive
from gateway.core.capability import assemble
from gateway.core.errors import Timeout, Unavailable
from gateway.core.model import FILES_AND_BLOCKS
from gateway.testing.runner import Exchange, ScriptedRunner

IDENTITY = "volume-gateway:pool"
MANIFEST = f"{PARENT}/manifest"
HEALTH = ("zpool", "list", "-Hp", "-o", "health,readonly", "tank")
KIND = ("zfs", "get", "-Hp", "-o", "property,value,source", f"type,encryption,keystatus,{IDENTITY}", PARENT)
WELL = says("ONLINE\toff\n", *HEALTH)


def parent(
    *,
    kind: str = "filesystem",
    encryption: str = "off",
    key: str = "-",
    says_of: str = f"1 {ONE}",
    source: str = "local",
) -> Exchange:
    lines = [("type", kind, "-"), ("encryption", encryption, "default"), ("keystatus", key, "-")]
    return says("".join("\t".join(line) + "\n" for line in [*lines, (IDENTITY, says_of, source)]), *KIND)


NO_DATASET = "cannot open 'tank/gateway': dataset does not exist"
BELOW = ("zfs", "list", "-Hp", "-d", "1", "-t", "filesystem,volume", "-o", DATASETS, PARENT)
SNAPSHOTS = does("zfs", "list", "-Hp", "-d", "2", "-t", "snapshot", "-o", SNAPS, PARENT)
REST = (says(dataset(PARENT, head="-") + dataset(MANIFEST, head="-"), *BELOW), SNAPSHOTS)


def pool(folder: Path, *exchanges: Exchange, **options: object) -> tuple[ZfsBackend, ScriptedRunner]:
    runner = ScriptedRunner(*exchanges)
    settings = ZfsOptions(pool="tank", engine="cli", lock_dir=folder, **options)
    return ZfsBackend("pool", settings, runner=runner), runner


@pytest.mark.root
async def test_a_known_pool_opens(tmp_path: Path) -> None:
    backend, runner = pool(tmp_path, WELL, parent(), *REST)
    await backend.open()
    assert backend.describe().id == ONE
    assert set(derive("pool", backend)) == set(FILES_AND_BLOCKS)
    runner.finish()
    await backend.close()
    await backend.close()


@pytest.mark.root
async def test_a_new_pool_is_made_with_its_identity(tmp_path: Path) -> None:
    encryption = ZfsEncryption(keylocation="file:///etc/gateway/key")
    words = ["canmount=off", "*", "mountpoint=/srv/vols", "encryption=aes-256-gcm", "keyformat=raw"]
    words.append("keylocation=file:///etc/gateway/key")
    made = ("zfs", "create", "-u", "-p", *[part for word in words for part in ("-o", word)], PARENT)
    backend, runner = pool(
        tmp_path,
        WELL,
        refuses(NO_DATASET, *KIND),
        does(*made),
        says(dataset(PARENT, head="-"), *BELOW),
        does("zfs", "create", "-u", "-o", "canmount=off", MANIFEST),
        SNAPSHOTS,
        mountpoint=Path("/srv/vols"),
        encryption=encryption,
    )
    await backend.open()
    runner.finish()
    await backend.close()


@pytest.mark.root
async def test_an_identity_that_is_only_inherited_is_another_pool_s(tmp_path: Path) -> None:
    inherited = parent(source="inherited from tank")
    backend, runner = pool(tmp_path, WELL, inherited, does("zfs", "set", "*", PARENT), *REST)
    await backend.open()
    assert backend.describe().id != ONE
    runner.finish()
    await backend.close()


@pytest.mark.root
async def test_a_locked_pool_gets_its_key(tmp_path: Path) -> None:
    locked = parent(encryption="aes-256-gcm", key="unavailable")
    backend, runner = pool(tmp_path, WELL, locked, does("zfs", "load-key", PARENT), *REST)
    await backend.open()
    runner.finish()
    await backend.close()


@pytest.mark.parametrize(
    ("exchanges", "reason"),
    [
        ([refuses("cannot open 'tank': no such pool", *HEALTH)], "no such pool"),
        ([says("SUSPENDED\toff\n", *HEALTH)], "suspended"),
        ([says("ONLINE\ton\n", *HEALTH)], "read-only"),
        ([WELL, parent(kind="volume")], "no filesystem"),
        ([WELL, parent(says_of="strange")], "cannot be read"),
        ([WELL, parent(says_of=f"2 {ONE}")], "format 2"),
        ([refuses("/dev/zfs and /proc/self/mounts are required.\n...", *HEALTH)], "/dev/zfs"),
    ],
)
async def test_why_a_pool_does_not_open(tmp_path: Path, exchanges: list[Exchange], reason: str) -> None:
    backend, runner = pool(tmp_path, *exchanges)
    with pytest.raises(Unavailable, match=reason):
        await backend.open()
    runner.finish()
    with pytest.raises(Unavailable, match="not open"):
        backend.describe()


async def test_a_zfs_that_hangs_does_not_open(tmp_path: Path) -> None:
    backend, _ = pool(tmp_path, hangs(Timeout(what="zpool", after=60), *HEALTH))
    with pytest.raises(Timeout):
        await backend.open()


@pytest.mark.parametrize("name", [None, *Rights.__struct_fields__])
def test_facts_and_what_is_lacking_never_contradict_each_other(name: str | None) -> None:
    rights = ALL if name is None else Rights(**{name: "permission denied"})
    implemented = ("resize", "permissions", "snapshot", "restore", "clone", "replicate", "snapshot_group", "convert")
    for kind, stated in facts(rights, volblocksize=16384).items():
        assemble(pool="p", kind=kind, facts=stated, implemented=implemented, lacks=lacks(rights)[kind])
