"""Who reaches blocks follows the catalog; who is connected is cut off by force only, or where it may be no more."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import pytest
from core_scene import PaperExporter, Script, make, scripted_pool

from gateway.core import attachments, errors, hosts, logins, tenants
from gateway.core.attachments import NewAttachment
from gateway.core.context import Core
from gateway.core.exporter import BlockAccess, BlockExport
from gateway.core.handles import IscsiTarget
from gateway.core.model import HostGroup, Initiator, IscsiService, LoginKind, Tenant, Transport, Volume, VolumeKind
from gateway.core.targets import service_of
from gateway.testing.cores import core_on

HOST = "iqn.1993-08.org.debian:01:host"
OTHER = "iqn.1993-08.org.debian:01:other"


class PaperBlocks:
    """Writes down what it publishes. `connected` are initiators that nobody may end but by force.

    Refuses everything while it is `down`.
    """

    def __init__(self) -> None:
        self.exports: dict[UUID, BlockExport] = {}
        self.connected: set[str] = set()
        self.down = False

    async def open(self) -> None:
        self._check()

    async def publish(self, export: BlockExport, *, force: bool = False) -> None:
        self._check()
        self._end(export.id, {name for access in export.access for name in access.initiators}, force=force)
        self.exports[export.id] = export

    async def withdraw(self, export_id: UUID, *, force: bool = False) -> None:
        self._check()
        self._end(export_id, set(), force=force)
        self.exports.pop(export_id, None)

    async def published(self) -> frozenset[UUID]:
        self._check()
        return frozenset(self.exports)

    def handle(self, export: BlockExport, access: BlockAccess) -> IscsiTarget:
        del export
        return IscsiTarget(address="127.0.0.1", port=3260, target=access.target, lun=access.lun)

    async def close(self) -> None:
        pass

    def _check(self) -> None:
        if self.down:
            raise errors.Unavailable(what="blocks", reason="the exporter is not open")

    def _end(self, export_id: UUID, kept: set[str], *, force: bool) -> None:
        ended = (self.names(export_id) & self.connected) - kept
        if ended and not force:
            raise errors.InUse(kind="volume", ref=str(export_id), by="sessions", action="detach")
        self.connected -= ended

    def names(self, export_id: UUID) -> set[str]:
        export = self.exports.get(export_id)
        return set() if export is None else {name for access in export.access for name in access.initiators}


class Scene:
    """A volume of blocks that a group of two hosts has."""

    def __init__(self, core: Core, blocks: PaperBlocks, volume: Volume, group: HostGroup) -> None:
        self.core = core
        self.blocks = blocks
        self.volume = volume
        self.group = group

    @property
    def reach(self) -> set[str]:
        return self.blocks.names(self.volume.id)

    async def serve(self, service: IscsiService, *, force: bool = False) -> None:
        change = tenants.TenantChange(iscsi=service)
        await tenants.update(self.core, self.volume.tenant_id, change, force=force)


@pytest.fixture
async def scene(tmp_path: Path):
    blocks = PaperBlocks()
    async with core_on(tmp_path, [scripted_pool(Script())], block={Transport.ISCSI: blocks}) as core:
        volume = await make(core, "v", kind=VolumeKind.BLOCK)
        both = (Initiator(name=HOST), Initiator(name=OTHER))
        group = await hosts.create(core, hosts.NewHostGroup(name="g", tenant_id=volume.tenant_id, initiators=both))
        new = NewAttachment(host_group_id=group.id, shared=True)
        await (await attachments.attach(core, volume.id, new, description="test")).result()
        blocks.connected = {HOST}
        yield Scene(core, blocks, volume, group)


async def test_a_tenant_that_never_asked_serves_and_one_whose_service_was_removed_does_not(scene: Scene) -> None:
    assert scene.reach == {HOST, OTHER}
    service = service_of(await scene.core.get(Tenant, scene.volume.tenant_id))
    removed = IscsiService(target=service.target, enabled=True, removed=True)
    with pytest.raises(errors.InUse):
        await scene.serve(removed)
    assert scene.reach == {HOST, OTHER}
    await scene.serve(IscsiService(target=service.target, enabled=False), force=True)
    assert scene.reach == set()
    await scene.serve(service)
    assert scene.reach == {HOST, OTHER}


async def test_an_initiator_that_is_removed_by_force_is_cut_off(scene: Scene) -> None:
    with pytest.raises(errors.InUse):
        await hosts.remove_initiator(scene.core, scene.group.id, HOST)
    assert scene.blocks.connected == {HOST}
    await hosts.remove_initiator(scene.core, scene.group.id, HOST, force=True)
    assert (scene.reach, scene.blocks.connected) == ({OTHER}, set())


async def test_an_initiator_that_may_not_log_in_any_more_is_cut_off(scene: Scene) -> None:
    new = logins.NewLogin(tenant_id=scene.volume.tenant_id, initiator=HOST, kind=LoginKind.DENY)
    login = await logins.create(scene.core, new)
    assert (scene.reach, scene.blocks.connected) == ({OTHER}, set())
    await logins.delete(scene.core, login.id)
    assert scene.reach == {HOST, OTHER}


async def test_an_exporter_that_is_down_does_not_hinder_the_others(tmp_path: Path) -> None:
    iscsi, nbd = PaperBlocks(), PaperBlocks()
    block = {Transport.ISCSI: iscsi, Transport.NBD: nbd}
    files = PaperExporter()
    async with core_on(tmp_path, [scripted_pool(Script())], exporter=files, block=block) as core:
        volume = await make(core, "v", kind=VolumeKind.BLOCK, multi_attach=True)
        files.down = iscsi.down = True
        over_nbd = NewAttachment(node="near", transport=Transport.NBD)
        await (await attachments.attach(core, volume.id, over_nbd, description="test")).result()
        assert nbd.exports.keys() == {volume.id}
        iscsi.down = False
        over_iscsi = NewAttachment(node="far", initiators=(HOST,))
        await (await attachments.attach(core, volume.id, over_iscsi, description="test")).result()
        iscsi.down = True
        nbd.exports.clear()
        with pytest.raises(errors.Unavailable):
            await core.publisher.converge(volume.id)
        assert nbd.exports.keys() == {volume.id}
        gone = UUID(int=1)
        nbd.exports[gone] = nbd.exports[volume.id]
        assert await core.publisher.stale() == {gone}
        await core.publisher.converge(gone)
        assert nbd.exports.keys() == {volume.id}


async def test_what_failed_to_be_published_is_published_when_asked_for_again(tmp_path: Path) -> None:
    blocks = PaperBlocks()
    async with core_on(tmp_path, [scripted_pool(Script())], block={Transport.ISCSI: blocks}) as core:
        volume, new = await make(core, "v", kind=VolumeKind.BLOCK), NewAttachment(node="far", initiators=(HOST,))
        blocks.down = True
        for _ in range(2):
            with pytest.raises(errors.Unavailable):
                await (await attachments.attach(core, volume.id, new, description="test")).result()
        blocks.down = False
        await (await attachments.attach(core, volume.id, new, description="test")).result()
        assert blocks.names(volume.id) == {HOST}
