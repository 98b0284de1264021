"""A volume is deleted while a real client has it mounted over NFS: its name serves anew, its snapshots live on."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from exporter_scene import end_daemon, free_port
from nfs_scene import Nfs

from gateway.backends.btrfs import BtrfsBackend, BtrfsOptions
from gateway.core import clones, policies, retired, snapshots, volumes
from gateway.core.context import Core
from gateway.core.handles import NfsExport
from gateway.core.model import ExportPolicy, ExportRule, Pool, Snapshot, Tenant, Volume
from gateway.core.pools import Configured
from gateway.exports.nfs import NfsExporter, NfsOptions
from gateway.testing.btrfs_pool import btrfs_pool
from gateway.testing.cores import core_on
from gateway.testing.wire import NfsMount

pytestmark = pytest.mark.root

MIB = 1 << 20


async def make(core: Core, name: str, policy: ExportPolicy) -> Volume:
    tenant, pool = await core.find(Tenant, name="svm1"), await core.find(Pool, name="fast")
    new = volumes.NewVolume(
        name=name,
        tenant_id=tenant.id,
        pool_id=pool.id,
        size=32 * MIB,
        junction_path=f"/{name}",
        export_policy_id=policy.id,
    )
    job = await (await volumes.create(core, new, description="test")).result()
    return await core.get(Volume, job.target_id)


async def life(core: Core, client: Nfs, port: int) -> None:
    tenant = await core.find(Tenant, name="svm1")
    policy = await policies.create_export_policy(core, tenant.id, "open")
    rule = ExportRule(index=1, clients=("0.0.0.0/0",), superuser=("any",))
    await policies.update_export_policy(core, policy.id, rules=(rule,))
    volume = await make(core, "data", policy)
    client.write("/data/file", b"first")
    new = snapshots.NewSnapshot(name="s", volume_id=volume.id)
    taken = (await (await snapshots.create(core, new, description="test")).result()).target_id
    with contextlib.closing(NfsMount(NfsExport(address="127.0.0.1", port=port, path="/data"))) as mount:
        assert mount.read("/file") == b"first"
        await (await retired.remove(core, volume.id, description="test")).result()
        with pytest.raises(OSError):
            mount.read("/file")
    assert not client.reaches("/data")
    await make(core, "data", policy)
    assert client.names("/data") == set()
    clone = clones.NewClone(
        name="copy",
        tenant_id=tenant.id,
        source_id=volume.id,
        snapshot_id=taken,
        junction_path="/copy",
        export_policy_id=policy.id,
    )
    made = (await (await clones.create(core, clone, description="test")).result()).target_id
    assert client.read("/copy/file") == b"first"
    client.write("/copy/more", b"second")
    assert client.names("/copy") == {"file", "more"}
    await (await retired.remove(core, made, description="test")).result()
    await (await snapshots.delete(core, taken, description="test")).result()
    assert await retired.collect(core, [volume.id]) == 1
    assert await core.catalog.get(Snapshot, taken) is None
    assert client.names("/") == {"data"}


async def test_a_mounted_volume_is_deleted_before_its_snapshot(tmp_path: Path) -> None:
    port = free_port()
    exporter = NfsExporter(NfsOptions(port=port), tmp_path / "nfs")
    with btrfs_pool(tmp_path / "pool") as mount:
        backend = BtrfsBackend("fast", BtrfsOptions(path=mount))
        try:
            await exporter.open()
            async with core_on(tmp_path, [Configured("fast", backend)], exporter=exporter) as core:
                await life(core, Nfs(port, tmp_path), port)
        finally:
            await exporter.close()
            await backend.close()
            for name in ("ganesha.nfsd", "dbus-daemon"):
                end_daemon(tmp_path / "nfs", name)
