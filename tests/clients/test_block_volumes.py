"""Block volumes through the whole core: attached, used by real clients, detached, with real servers."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from exporter_scene import MIB, connected, end_daemon, free_port, run
from iscsi_scene import Initiator

from gateway.backends.memory import MemoryBackend, MemoryOptions
from gateway.core import attachments, errors, hosts, logins, retired, snapshots, tenants, volumes
from gateway.core import model as m
from gateway.core.attachments import NewAttachment
from gateway.core.backend import Observed, VolumeSpec
from gateway.core.context import Core
from gateway.core.exporter import BlockExporter
from gateway.core.handles import AccessHandle, IscsiTarget, LocalPath, NbdExport
from gateway.core.pools import Configured
from gateway.core.secret import Secret
from gateway.exports.iscsi import IscsiExporter, IscsiOptions
from gateway.exports.local import LocalExporter, LocalOptions
from gateway.exports.nbd import NbdExporter, NbdOptions
from gateway.testing.cores import core_on

pytestmark = pytest.mark.root

SIZE = 20 * MIB
GOOD = "iqn.1993-08.org.debian:01:good"
OTHER = "iqn.1993-08.org.debian:01:other"
PASSWORD = "correct-horse-1"


class RawFiles(MemoryBackend):
    """A memory pool whose block volumes are raw files of a folder."""

    def __init__(self, folder: Path) -> None:
        super().__init__("files", MemoryOptions())
        self._folder = folder

    async def create(self, spec: VolumeSpec) -> Observed:
        self._file(spec.id).touch()
        os.truncate(self._file(spec.id), spec.size)
        return await super().create(spec)

    async def delete(self, volume: UUID) -> None:
        self._file(volume).unlink(missing_ok=True)
        await super().delete(volume)

    async def resize(self, volume: UUID, size: int) -> None:
        os.truncate(self._file(volume), size)
        await super().resize(volume, size)

    async def access(self, volume: UUID, snapshot: UUID | None = None) -> AccessHandle:  # type: ignore[override]
        await super().access(volume, snapshot)
        return LocalPath(path=str(self._file(volume)))

    def _file(self, volume: UUID) -> Path:
        return self._folder / f"{volume}.raw"


class Scene:
    """A core with one tenant, and what a test asks of it."""

    def __init__(self, core: Core, port: int) -> None:
        self.core = core
        self.port = port

    async def volume(self, name: str) -> m.Volume:
        tenant, pool = await self.core.find(m.Tenant, name="svm1"), await self.core.find(m.Pool, name="files")
        assert tenant is not None
        assert pool is not None
        new = volumes.NewVolume(name=name, tenant_id=tenant.id, pool_id=pool.id, size=SIZE, kind=m.VolumeKind.BLOCK)
        job = await (await volumes.create(self.core, new, description="test")).result()
        return await self.core.get(m.Volume, job.target_id)

    async def attach(self, volume: m.Volume, new: NewAttachment) -> AccessHandle:
        """Attach, and give the handle that came of it."""
        before = await volumes.access(self.core, volume.id)
        await (await attachments.attach(self.core, volume.id, new, description="test")).result()
        (handle,) = [one for one in await volumes.access(self.core, volume.id) if one not in before]
        return handle

    async def detach(self, volume: m.Volume, node: str, *, force: bool = False) -> None:
        await (await attachments.detach(self.core, volume.id, node, description="test", force=force)).result()

    async def group(self, *names: str) -> m.HostGroup:
        tenant = await self.core.find(m.Tenant, name="svm1")
        assert tenant is not None
        initiators = tuple(m.Initiator(name=name) for name in names)
        new = hosts.NewHostGroup(name=uuid4().hex, tenant_id=tenant.id, initiators=initiators)
        return await hosts.create(self.core, new)

    def initiator(self, name: str = GOOD, login: tuple[str, str] | None = None) -> Initiator:
        return Initiator(name, self.port, login)


@pytest.fixture
async def scene(tmp_path):
    port = free_port()
    folder = tmp_path / "files"
    folder.mkdir()
    block: Mapping[m.Transport, BlockExporter] = {
        m.Transport.ISCSI: IscsiExporter(IscsiOptions(port=port), tmp_path / "iscsi"),
        m.Transport.NBD: NbdExporter(NbdOptions(port=free_port()), tmp_path / "nbd"),
        m.Transport.LOCAL: LocalExporter(LocalOptions(), tmp_path / "local"),
    }
    try:
        for exporter in block.values():
            await exporter.open()
        async with core_on(tmp_path, [Configured("files", RawFiles(folder))], block=block) as core:
            yield Scene(core, port)
    finally:
        for exporter in block.values():
            await exporter.close()
        end_daemon(tmp_path / "iscsi", "tgtd")
        end_daemon(tmp_path / "nbd", "qemu-storage-daemon")


async def test_a_group_attaches_writes_and_detaches(scene):
    volume, group = await scene.volume("one"), await scene.group(GOOD)
    handle = await scene.attach(volume, NewAttachment(host_group_id=group.id))
    assert isinstance(handle, IscsiTarget)
    assert handle.lun == 1
    client = scene.initiator()
    assert client.sees() == {handle.target: [1]}
    assert client.size(handle.target, handle.lun) == SIZE
    assert client.io(handle.target, handle.lun, "write -P 0x5a 0 64k", "read -P 0x5a 0 64k").returncode == 0
    with connected(client.image(handle.target, handle.lun)) as session:
        with pytest.raises(errors.InUse) as caught:
            await scene.detach(volume, str(group.id))
        assert caught.value.by == "sessions"
        assert "wrote 4096" in session.tell("write -P 1 0 4k")
        assert len((await scene.core.get(m.Volume, volume.id)).attachments) == 1
        with pytest.raises(errors.InUse):
            await (await volumes.delete(scene.core, volume.id, description="test")).result()
        await scene.detach(volume, str(group.id), force=True)
        assert session.is_cut_off()
    assert client.sees() == {}
    assert (await scene.core.get(m.Volume, volume.id)).attachments == ()
    await (await volumes.delete(scene.core, volume.id, description="test")).result()


async def test_deleting_by_force_cuts_off(scene):
    volume, group = await scene.volume("one"), await scene.group(GOOD)
    handle = await scene.attach(volume, NewAttachment(host_group_id=group.id))
    with connected(scene.initiator().image(handle.target, handle.lun)) as session:
        await (await volumes.delete(scene.core, volume.id, description="test", force=True)).result()
        assert session.is_cut_off()
    assert scene.initiator().sees() == {}
    assert await scene.core.publisher.stale() == frozenset()


async def test_retiring_by_force_cuts_off_and_leaves_the_snapshot(scene):
    volume, group = await scene.volume("one"), await scene.group(GOOD)
    handle = await scene.attach(volume, NewAttachment(host_group_id=group.id))
    new = snapshots.NewSnapshot(name="s", volume_id=volume.id)
    await (await snapshots.create(scene.core, new, description="test")).result()
    with connected(scene.initiator().image(handle.target, handle.lun)) as session:
        with pytest.raises(errors.InUse):
            await retired.remove(scene.core, volume.id, description="test")
        assert "wrote 4096" in session.tell("write -P 1 0 4k")
        await (await retired.remove(scene.core, volume.id, description="test", force=True)).result()
        assert session.is_cut_off()
    assert scene.initiator().sees() == {}
    assert await scene.core.publisher.stale() == frozenset()
    again = await scene.attach(await scene.volume("one"), NewAttachment(host_group_id=group.id))
    assert scene.initiator().sees() == {again.target: [1]}
    assert (await scene.core.get(m.Volume, volume.id)).snapshot_count == 1


async def test_a_changed_group_lets_in_and_out(scene):
    volume, group = await scene.volume("one"), await scene.group(GOOD)
    handle = await scene.attach(volume, NewAttachment(host_group_id=group.id))
    assert not scene.initiator(OTHER).reaches(handle.target, handle.lun)
    await hosts.put_initiators(scene.core, group.id, [m.Initiator(name=OTHER)])
    assert scene.initiator(OTHER).reaches(handle.target, handle.lun)
    with connected(scene.initiator(OTHER).image(handle.target, handle.lun)) as session:
        with pytest.raises(errors.InUse):
            await hosts.remove_initiator(scene.core, group.id, OTHER)
        await hosts.remove_initiator(scene.core, group.id, OTHER, force=True)
        assert session.is_cut_off()
    assert not scene.initiator(OTHER).reaches(handle.target, handle.lun)
    assert scene.initiator().reaches(handle.target, handle.lun)


async def test_logins_are_asked_for_on_every_target_of_an_initiator(scene):
    first, second = await scene.volume("one"), await scene.volume("two")
    here, there = await scene.group(GOOD), await scene.group(GOOD)
    one = await scene.attach(first, NewAttachment(host_group_id=here.id))
    two = await scene.attach(second, NewAttachment(host_group_id=there.id))
    assert scene.initiator().sees() == {one.target: [1], two.target: [1]}
    login = await logins.create(
        scene.core,
        logins.NewLogin(
            tenant_id=first.tenant_id, initiator=GOOD, kind=m.LoginKind.CHAP, user="anna", password=Secret(PASSWORD)
        ),
    )
    for handle in (one, two):
        assert not scene.initiator().reaches(handle.target, 1)
        assert scene.initiator(login=("anna", PASSWORD)).reaches(handle.target, 1)
    new = "changed-horse-2"
    await logins.update(scene.core, login.id, kind=m.LoginKind.CHAP, user="anna", target_user="", password=Secret(new))
    for handle in (one, two):
        assert not scene.initiator(login=("anna", PASSWORD)).reaches(handle.target, 1)
        assert scene.initiator(login=("anna", new)).reaches(handle.target, 1)
    await logins.update(scene.core, login.id, kind=m.LoginKind.DENY, user="anna", target_user="")
    assert not scene.initiator(login=("anna", new)).reaches(one.target, 1)
    await logins.delete(scene.core, login.id)
    assert scene.initiator().reaches(one.target, 1)


async def test_a_stopped_tenant_and_an_offline_volume_are_reached_by_nobody(scene):
    volume = await scene.volume("one")
    new = NewAttachment(node="host1", initiators=(GOOD,))
    handle = await scene.attach(volume, new)
    await tenants.update(scene.core, volume.tenant_id, tenants.TenantChange(state=m.TenantState.STOPPED))
    assert scene.initiator().sees() == {}
    await tenants.update(scene.core, volume.tenant_id, tenants.TenantChange(state=m.TenantState.RUNNING))
    assert scene.initiator().reaches(handle.target, handle.lun)
    for state, seen in ((m.VolumeState.OFFLINE, {}), (m.VolumeState.ONLINE, {handle.target: [1]})):
        change = volumes.VolumeChange(state=state)
        await (await volumes.update(scene.core, volume.id, change, description="test")).result()
        assert scene.initiator().sees() == seen


async def test_a_grown_volume_is_larger_for_whoever_logs_in(scene):
    volume = await scene.volume("one")
    handle = await scene.attach(volume, NewAttachment(node="host1", initiators=(GOOD,)))
    change = volumes.VolumeChange(size=2 * SIZE)
    await (await volumes.update(scene.core, volume.id, change, description="test")).result()
    assert scene.initiator().size(handle.target, handle.lun) == 2 * SIZE


async def test_nbd_and_local_attachments_are_ways_to_the_same_bytes(scene):
    volume = await scene.volume("one")
    nbd = await scene.attach(volume, NewAttachment(node="vm1", transport=m.Transport.NBD))
    assert isinstance(nbd, NbdExport)
    url = f"nbd://{nbd.address}:{nbd.port}/{nbd.name}"
    assert run("qemu-io", "-f", "raw", "-c", "write -P 7 0 4k", "-c", "flush", url).returncode == 0
    with connected(["-f", "raw", url]) as session:
        with pytest.raises(errors.InUse):
            await scene.detach(volume, "vm1")
        assert "wrote 4096" in session.tell("write -P 7 4k 4k")
    await scene.detach(volume, "vm1")
    local = await scene.attach(volume, NewAttachment(node="here", transport=m.Transport.LOCAL))
    assert isinstance(local, LocalPath)
    assert Path(local.path).is_block_device()
    assert run("qemu-io", "-f", "raw", "-c", "read -P 7 0 4k", local.path).stdout.count("read 4096") == 1
    await scene.detach(volume, "here")
    assert not Path(local.path).exists()


CONFIG = """
listen = "127.0.0.1:{listen}"
data_dir = "{folder}/data"

[backend.memory]

[export.iscsi]
port = {iscsi}

[export.nbd]
port = {nbd}

[export.local]
"""


def test_the_gateway_checks_its_exports(tmp_path):
    ports = {"listen": free_port(), "iscsi": free_port(), "nbd": free_port()}
    config = tmp_path / "config.toml"
    config.write_text(CONFIG.format(folder=tmp_path, **ports))
    gateway = str(Path(sys.executable).with_name("gateway"))
    done = run(gateway, "check", "--config", str(config))
    assert "problem: export" not in done.stdout + done.stderr
    for kind, daemon in (("iscsi", "tgtd"), ("nbd", "qemu-storage-daemon")):
        assert not (tmp_path / "data" / kind / "daemons" / f"{daemon}.pid").exists()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", ports["iscsi"]))
        taken.listen()
        done = run(gateway, "check", "--config", str(config))
    assert "problem: export.iscsi" in done.stdout + done.stderr
    assert "problem: export.nbd" not in done.stdout + done.stderr
