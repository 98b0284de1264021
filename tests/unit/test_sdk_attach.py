"""Who has a volume, as several nodes of the SDK and nodes of other doors attach and detach it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import msgspec
import pytest
from core_scene import LocalMemory, PaperExporter, Script, make, scripted_pool

from gateway.core import attachments, errors, volumes
from gateway.core.attachments import NewAttachment
from gateway.core.context import Core
from gateway.core.manifest import CLUSTER_ID
from gateway.core.model import FILES_AND_BLOCKS, Transport, Volume, VolumeKind
from gateway.core.observer import SilentObserver
from gateway.core.reconcile import Reconciler
from gateway.core.roles import EVERYBODY
from gateway.frontends.openstorage.call import Call
from gateway.frontends.openstorage.pb import mount_attach_pb2, volume_pb2
from gateway.frontends.openstorage.project import ATTACHED
from gateway.frontends.openstorage.schema import load_schema
from gateway.frontends.openstorage.services import mount_attach
from gateway.frontends.openstorage.services import volumes as volume_service
from gateway.frontends.openstorage.settings import OpenstorageOptions
from gateway.frontends.openstorage.site import Site
from gateway.testing.cores import core_on

ATTACH = load_schema()["OpenStorageMountAttach"].methods["Attach"]


class Node:
    """A gateway's host as the SDK has it."""

    def __init__(self, core: Core, site: Site, name: str) -> None:
        site = msgspec.structs.replace(site, node_id=name)
        self._call = Call(core=core, site=site, principal=EVERYBODY, method=ATTACH)

    async def attach(self, volume: Volume) -> str:
        """Attach; give the device path."""
        answer = await mount_attach.attach(
            self._call, mount_attach_pb2.SdkVolumeAttachRequest(volume_id=str(volume.id))
        )
        return answer.device_path

    async def detach(self, volume: Volume, *, force: bool = False) -> None:
        options = mount_attach_pb2.SdkVolumeDetachOptions(force=force)
        request = mount_attach_pb2.SdkVolumeDetachRequest(volume_id=str(volume.id), options=options)
        await mount_attach.detach(self._call, request)

    async def shown(self, volume: Volume) -> tuple[str, str]:
        """Give who has the volume, and its device path."""
        request = volume_pb2.SdkVolumeInspectRequest(volume_id=str(volume.id))
        found = (await volume_service.inspect(self._call, request)).volume
        return found.attached_on, found.device_path

    async def delete(self, volume: Volume) -> None:
        await volume_service.delete(self._call, volume_pb2.SdkVolumeDeleteRequest(volume_id=str(volume.id)))


class Scene:
    """Two nodes at one catalog."""

    def __init__(self, core: Core, site: Site) -> None:
        self.core = core
        self.here = Node(core, site, "here")
        self.there = Node(core, site, "there")

    async def update(self, volume: Volume, **values: object) -> None:
        change = volumes.VolumeChange(**values)  # type: ignore[arg-type]
        await (await volumes.update(self.core, volume.id, change, description="test")).result()

    async def attach_remote(self, volume: Volume) -> None:
        """Attach as another door does."""
        new = NewAttachment(node="remote", transport=Transport.NFS, clients=("192.0.2.1",))
        await (await attachments.attach(self.core, volume.id, new, description="test")).result()


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    async with core_on(tmp_path, [scripted_pool(Script())], exporter=PaperExporter()) as core:
        await core.catalog.put_setting(CLUSTER_ID, str(UUID(int=1)))
        yield Scene(core, await Site.of(core, OpenstorageOptions(), name="gw", tenant="svm1"))


@pytest.mark.parametrize("kind", FILES_AND_BLOCKS)
async def test_one_node_has_a_volume_at_a_time(scene: Scene, kind: VolumeKind) -> None:
    made = await make(scene.core, "v", kind=kind)
    device = await scene.here.attach(made)
    assert await scene.here.attach(made) == device == f"/volumes/{made.id}"
    assert await scene.there.shown(made) == ("here", device)
    with pytest.raises(errors.InUse):
        await scene.there.attach(made)
    with pytest.raises(errors.InUse):
        await scene.there.delete(made)
    await scene.there.detach(made)
    assert await scene.here.shown(made) == ("here", device)
    await scene.here.detach(made)
    await scene.here.detach(made)
    assert await scene.here.shown(made) == ("", "")
    await scene.there.attach(made)


async def test_files_are_detached_from_another_node_by_force(scene: Scene) -> None:
    made = await make(scene.core, "v")
    await scene.here.attach(made)
    await scene.there.detach(made, force=True)
    assert await scene.here.shown(made) == ("", "")


async def test_a_shared_volume_has_several_nodes(scene: Scene) -> None:
    made = await make(scene.core, "v", multi_attach=True)
    for node in (scene.here, scene.there):
        await node.attach(made)
    await scene.here.detach(made)
    assert (await scene.here.shown(made))[0] == "there"


async def test_what_a_node_of_another_door_has_is_attached_here_too(scene: Scene) -> None:
    made = await make(scene.core, "v")
    await scene.attach_remote(made)
    assert await scene.here.shown(made) == ("remote", "nfs://127.0.0.1:2049/v")
    with pytest.raises(errors.InUse):
        await scene.here.attach(made)
    await scene.update(made, multi_attach=True)
    assert await scene.here.attach(made) == f"/volumes/{made.id}"
    await scene.here.detach(made)
    assert (await scene.here.shown(made))[0] == "remote"
    await scene.here.detach(made, force=True)
    assert await scene.here.shown(made) == ("", "")


async def test_an_attachment_that_was_only_noted_holds_until_it_is_detached(scene: Scene) -> None:
    made = await make(scene.core, "v", annotations={ATTACHED: "here", "other": "kept"})
    assert await scene.there.shown(made) == ("here", f"/volumes/{made.id}")
    for refused in (scene.there.attach, scene.there.delete):
        with pytest.raises(errors.InUse):
            await refused(made)
    await scene.there.detach(made)
    assert (await scene.there.shown(made))[0] == "here"
    await scene.here.attach(made)
    await scene.here.detach(made)
    assert await scene.there.shown(made) == ("", "")
    assert (await scene.core.get(Volume, made.id)).annotations == {"other": "kept"}
    await scene.update(made, annotations={ATTACHED: "here"})
    await scene.there.detach(made, force=True)
    assert await scene.there.shown(made) == ("", "")


async def test_a_volume_that_went_missing_is_detached_and_then_deleted(scene: Scene) -> None:
    made = await make(scene.core, "v")
    await scene.here.attach(made)
    (pool,) = scene.core.pools
    assert isinstance(pool.backend, LocalMemory)
    pool.backend.hidden.add(made.id)
    await Reconciler(scene.core, pool, SilentObserver()).run()
    with pytest.raises(errors.InUse):
        await scene.here.delete(made)
    await scene.here.detach(made)
    await scene.here.delete(made)
    assert await scene.core.catalog.get(Volume, made.id) is None
