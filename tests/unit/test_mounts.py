"""Mounts as the core decides them, and what the mounter is told of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import msgspec
import pytest
from core_scene import LocalMemory, Script, clone_of, make, scripted_pool, snap

from gateway.core import attachments, errors, mounts, quiesce, tenants, volumes
from gateway.core.attachments import NewAttachment
from gateway.core.catalog import put
from gateway.core.context import Core
from gateway.core.exporter import Held, HostMount, Mounter, Quiesce, Quiesced
from gateway.core.model import AttachMode, Intent, TenantState, Transport, Volume, VolumeKind, VolumeState, utc_now
from gateway.core.mounts import NewMount
from gateway.core.observer import SilentObserver
from gateway.core.query import Query
from gateway.core.rebuild import rebuild
from gateway.testing.cores import core_on


class PaperMounter:
    """Writes down what it mounts. Mounts in `busy` end by force only; those at a path in `refused` cannot be made."""

    node = "here"
    quiesce_max_s = 60

    def __init__(self) -> None:
        self.mounts: dict[UUID, HostMount] = {}
        self.busy: set[UUID] = set()
        self.refused: set[str] = set()
        self.deleted: list[str] = []
        self.held: dict[UUID, Quiesced] = {}
        self.down = False

    async def open(self) -> None:
        pass

    async def check(self, wanted: HostMount) -> str:
        self._require(wanted.path)
        return "" if wanted.kind is VolumeKind.FILESYSTEM else wanted.format or "ext4"

    async def mount(self, wanted: HostMount) -> None:
        self._require(wanted.path)
        self.mounts[wanted.id] = wanted

    async def unmount(self, mount_id: UUID, *, force: bool = False, delete_path: bool = False) -> None:
        if mount_id in self.mounts:
            if mount_id in self.busy and not force:
                raise errors.InUse(kind="volume", ref=str(mount_id), by="mounts", action="unmount")
            ended = self.mounts.pop(mount_id)
            self.deleted += [ended.path] if delete_path else []

    async def mounted(self) -> Mapping[UUID, UUID]:
        if self.down:
            raise errors.Unavailable(what="mounts", reason="the mounter is not open")
        return {mount.id: mount.volume_id for mount in self.mounts.values()}

    async def quiesce(self, wanted: Quiesce) -> Quiesced:
        until = utc_now() + timedelta(seconds=wanted.timeout_s)
        held = Quiesced(volume_id=wanted.volume_id, quiesce_id=wanted.quiesce_id, how=Held.FROZEN, until=until)
        self.held[wanted.volume_id] = held
        return held

    async def unquiesce(self, volume_id: UUID) -> None:
        self.held.pop(volume_id, None)

    async def quiesced(self) -> Mapping[UUID, Quiesced]:
        return dict(self.held)

    async def close(self) -> None:
        pass

    def paths(self) -> set[str]:
        return {mount.path for mount in self.mounts.values()}

    def _require(self, path: str) -> None:
        if self.down:
            raise errors.Unavailable(what="mounts", reason="the mounter is not open")
        if path in self.refused:
            raise errors.InvalidArgument(field="path", value=path, reason="is not empty")


class Scene:
    """A core that mounts on paper."""

    def __init__(self, core: Core, mounter: PaperMounter, script: Script) -> None:
        self.core = core
        self.mounter = mounter
        self.script = script

    async def mount(self, volume: Volume, path: str = "/mnt/v", **more: object) -> Volume:
        new = NewMount(path=path, **more)  # type: ignore[arg-type]
        await (await mounts.mount(self.core, volume.id, new, description="test")).result()
        return await self.core.get(Volume, volume.id)

    async def unmount(self, volume: Volume, path: str = "/mnt/v", **more: object) -> Volume:
        await (await mounts.unmount(self.core, volume.id, path, description="test", **more)).result()  # type: ignore[arg-type]
        return await self.core.get(Volume, volume.id)

    async def drop(self, volume: Volume, *gone: str, path: str = "/mnt/v") -> Volume:
        """Drop those users of a mount who are gone."""
        await (await mounts.drop_users(self.core, volume.id, path, gone.__contains__, description="test")).result()
        return await self.core.get(Volume, volume.id)

    async def update(self, volume: Volume, **values: object) -> Volume:
        change = volumes.VolumeChange(**values)  # type: ignore[arg-type]
        await (await volumes.update(self.core, volume.id, change, description="test")).result()
        return await self.core.get(Volume, volume.id)


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    mounter, script = PaperMounter(), Script()
    assert isinstance(mounter, Mounter)
    async with core_on(tmp_path, [scripted_pool(script)], mounter=mounter, fault=script) as core:
        yield Scene(core, mounter, script)


async def test_the_same_mount_again_is_one_mount(scene: Scene) -> None:
    made = await make(scene.core, "v")
    volume = await scene.mount(made, options={"noatime": ""}, read_only=True)
    assert (await scene.mount(made, options={"noatime": "", "ro": ""})).mounts == volume.mounts
    (mount,) = volume.mounts
    assert (mount.node, mount.path, mount.read_only, mount.options) == ("here", "/mnt/v", True, {"noatime": ""})
    (told,) = scene.mounter.mounts.values()
    assert (told.id, told.volume_id, told.source.path) == (mount.id, volume.id, f"/volumes/{volume.id}")
    scene.mounter.mounts.clear()
    assert (await scene.mount(volume, options={"noatime": ""}, read_only=True)).mounts == volume.mounts
    assert scene.mounter.paths() == {"/mnt/v"}
    for other in ({"options": {}, "read_only": True}, {"options": {"noatime": ""}}):
        with pytest.raises(errors.AlreadyExists) as caught:
            await scene.mount(volume, **other)
        assert caught.value.field == "path"


async def test_a_mount_ends_with_the_last_of_its_users(scene: Scene) -> None:
    made = await make(scene.core, "v")
    (first,) = (await scene.mount(made, user="a")).mounts
    (both,) = (await scene.mount(made, user="b")).mounts
    assert both == msgspec.structs.replace(first, users=("a", "b"))
    assert (await scene.mount(made, user="a")).mounts == (both,)
    with pytest.raises(errors.NotFound) as caught:
        await scene.unmount(made, user="c")
    assert (caught.value.kind, caught.value.ref) == ("mount user", "c")
    scene.mounter.busy = {first.id}
    assert [mount.users for mount in (await scene.unmount(made, user="a")).mounts] == [("b",)]
    assert scene.mounter.mounts.keys() == {first.id}
    with pytest.raises(errors.InUse):
        await scene.unmount(made, user="b")
    scene.mounter.busy = set()
    assert (await scene.unmount(made, user="b")).mounts == ()
    assert scene.mounter.mounts == {}
    with pytest.raises(errors.NotFound) as caught:
        await scene.unmount(made, user="b")
    assert caught.value.kind == "mount"


async def test_another_user_cannot_have_the_mount_otherwise(scene: Scene) -> None:
    made = await make(scene.core, "v")
    await scene.mount(made, user="a")
    with pytest.raises(errors.AlreadyExists):
        await scene.mount(made, user="b", read_only=True)


@pytest.mark.parametrize("first", ["", "a"])
async def test_a_mount_that_somebody_unnamed_needs_stays_without_the_named_ones(scene: Scene, first: str) -> None:
    made = await make(scene.core, "v")
    for user in (first, "a", ""):
        volume = await scene.mount(made, user=user)
    assert sorted(volume.mounts[0].users) == ["", "a"]
    assert [mount.users for mount in (await scene.unmount(made, user="a")).mounts] == [()]
    await scene.mount(made, user="a")
    assert (await scene.unmount(made)).mounts == ()


async def test_users_who_are_gone_are_dropped(scene: Scene) -> None:
    made = await make(scene.core, "v")
    for user in ("old/a", "old/b", "new/c"):
        await scene.mount(made, user=user)
    assert [mount.users for mount in (await scene.drop(made, "old/a", "old/b")).mounts] == [("new/c",)]
    assert (await scene.drop(made, "new/c")).mounts == ()
    assert scene.mounter.mounts == {}
    await scene.mount(made)
    assert len((await scene.drop(made, "")).mounts) == 1
    with pytest.raises(errors.NotFound):
        await scene.drop(made, path="/mnt/w")


async def test_users_have_short_names_and_are_not_too_many(scene: Scene) -> None:
    made = await make(scene.core, "v")
    for wrong in ("u" * 81, "a\x00b"):
        with pytest.raises(errors.InvalidArgument) as caught:
            await scene.mount(made, user=wrong)
        assert caught.value.field == "user"
    volume = await scene.mount(made, user="u" * 80)
    many = msgspec.structs.replace(volume.mounts[0], users=tuple(f"{number:080}" for number in range(780)))
    await scene.core.catalog.commit(put(msgspec.structs.replace(volume, mounts=(many,))))
    with pytest.raises(errors.InvalidArgument) as caught:
        await scene.mount(made, user="one more")
    assert caught.value.field == "mounts"


async def test_a_path_has_one_volume_and_a_volume_several_paths(scene: Scene) -> None:
    one, two = await make(scene.core, "one"), await make(scene.core, "two")
    await scene.mount(one, "/mnt/a")
    await scene.mount(one, "/mnt/b")
    with pytest.raises(errors.AlreadyExists):
        await scene.mount(two, "/mnt/a")
    await scene.unmount(one, "/mnt/a")
    await scene.mount(two, "/mnt/a")
    assert {mount.path: mount.volume_id for mount in scene.mounter.mounts.values()} == {
        "/mnt/b": one.id,
        "/mnt/a": two.id,
    }


async def test_what_was_never_mounted_is_not_found(scene: Scene) -> None:
    volume = await make(scene.core, "v")
    with pytest.raises(errors.NotFound):
        await scene.unmount(volume)
    with pytest.raises(errors.NotFound):
        await mounts.unmount(scene.core, uuid4(), "/mnt/v", description="test")


async def test_a_refused_place_changes_nothing(scene: Scene) -> None:
    volume = await make(scene.core, "v")
    scene.mounter.refused = {"/mnt/v"}
    with pytest.raises(errors.InvalidArgument):
        await scene.mount(volume)
    assert (await scene.core.catalog.page(Intent, Query())).records == ()
    assert await scene.core.get(Volume, volume.id) == volume


async def test_a_mount_whose_change_fails_goes_again(scene: Scene) -> None:
    volume = await make(scene.core, "v")
    scene.script.steps["volume.update.remounted"] = errors.Unavailable(what="test")
    with pytest.raises(errors.Unavailable):
        await scene.mount(volume)
    assert scene.mounter.mounts == {}
    assert (await scene.core.get(Volume, volume.id)).mounts == ()
    volume = await scene.mount(volume)
    scene.script.steps["volume.update.remounted"] = errors.Unavailable(what="test")
    with pytest.raises(errors.Unavailable):
        await scene.unmount(volume)
    assert scene.mounter.paths() == {"/mnt/v"}
    assert await scene.core.get(Volume, volume.id) == volume


async def test_a_busy_mount_ends_by_force_only(scene: Scene) -> None:
    volume = await scene.mount(await make(scene.core, "v"))
    scene.mounter.busy = {volume.mounts[0].id}
    with pytest.raises(errors.InUse):
        await scene.unmount(volume)
    assert await scene.core.get(Volume, volume.id) == volume
    assert (await scene.unmount(volume, force=True, delete_path=True)).mounts == ()
    assert scene.mounter.deleted == ["/mnt/v"]


@pytest.mark.parametrize("action", ["delete", "restore", "convert"])
async def test_what_would_replace_a_mounted_volume_is_refused(scene: Scene, action: str) -> None:
    core, volume = scene.core, await make(scene.core, "v")
    snapshot = await snap(core, volume, "s") if action == "restore" else None
    volume = await scene.mount(volume)
    acts = {
        "delete": lambda: volumes.delete(core, volume.id, description="t"),
        "restore": lambda: volumes.restore(core, volume.id, snapshot.id, description="t", discard_newer=True),  # type: ignore[union-attr]
        "convert": lambda: volumes.convert(core, volume.id, size=volume.size, annotations={}, description="t"),
    }
    with pytest.raises(errors.InUse) as caught:
        await acts[action]()
    assert caught.value.by == "mounts"
    await scene.unmount(volume)
    await (await acts[action]()).result()


async def test_a_volume_deleted_by_force_is_unmounted_first(scene: Scene) -> None:
    volume = await scene.mount(await make(scene.core, "v"))
    scene.mounter.busy = {volume.mounts[0].id}
    await quiesce.quiesce(scene.core, volume.id)
    await (await volumes.delete(scene.core, volume.id, description="t", force=True)).result()
    assert scene.mounter.mounts == {}
    assert scene.mounter.held == {}


async def test_mounts_follow_the_state_of_the_volume_and_its_tenant(scene: Scene) -> None:
    volume = await scene.mount(await make(scene.core, "v"))
    offline = await scene.update(volume, state=VolumeState.OFFLINE)
    assert offline.mounts == volume.mounts
    assert scene.mounter.mounts == {}
    with pytest.raises(errors.InvalidState):
        await scene.mount(offline, "/mnt/w")
    await scene.update(volume, state=VolumeState.ONLINE)
    assert scene.mounter.paths() == {"/mnt/v"}
    await tenants.update(scene.core, volume.tenant_id, tenants.TenantChange(state=TenantState.STOPPED))
    assert scene.mounter.mounts == {}
    with pytest.raises(errors.Unsupported):
        await scene.mount(volume, "/mnt/w")
    await tenants.update(scene.core, volume.tenant_id, tenants.TenantChange(state=TenantState.RUNNING))
    assert scene.mounter.paths() == {"/mnt/v"}
    scene.mounter.busy = {volume.mounts[0].id}
    with pytest.raises(errors.InUse):
        await scene.update(volume, state=VolumeState.OFFLINE)
    assert (await scene.core.get(Volume, volume.id)).state is VolumeState.ONLINE


async def test_a_new_junction_path_leaves_mounts_alone(scene: Scene) -> None:
    volume = await scene.mount(await make(scene.core, "v"))
    scene.mounter.busy = {volume.mounts[0].id}
    await scene.update(volume, junction_path="/v")
    await scene.update(volume, junction_path=None)
    assert scene.mounter.paths() == {"/mnt/v"}


async def test_blocks_keep_the_format_and_are_told_their_size(scene: Scene) -> None:
    volume = await make(scene.core, "b", kind=VolumeKind.BLOCK)
    volume = await scene.mount(volume, format="xfs")
    assert volume.format == "xfs"
    await scene.update(volume, size=2 * volume.size)
    (told,) = scene.mounter.mounts.values()
    assert (told.size, told.format) == (2 * volume.size, "xfs")
    copy = await clone_of(scene.core, volume, "copy")
    assert (copy.format, copy.mounts) == ("xfs", ())
    assert (await scene.unmount(volume)).format == "xfs"


async def test_no_two_nodes_write_to_one_file_system(scene: Scene) -> None:
    core, volume = scene.core, await make(scene.core, "b", kind=VolumeKind.BLOCK)

    async def attach(node: str, mode: AttachMode = AttachMode.READ_WRITE) -> None:
        new = NewAttachment(node=node, transport=Transport.LOCAL, mode=mode)
        await (await attachments.attach(core, volume.id, new, description="t")).result()

    await attach("there")
    with pytest.raises(errors.InUse) as caught:
        await scene.mount(volume, read_only=True)
    assert caught.value.by == "attachments"
    await (await attachments.detach(core, volume.id, "there", description="t")).result()
    await attach("here")
    await scene.mount(volume)
    await (await attachments.detach(core, volume.id, "here", description="t")).result()
    for mode in AttachMode:
        with pytest.raises(errors.InUse) as caught:
            await attach("there", mode)
        assert caught.value.by == "mounts"
    await scene.unmount(volume)
    await scene.mount(volume, read_only=True)
    await attach("there", AttachMode.READ_ONLY)
    with pytest.raises(errors.InUse):
        await scene.mount(volume, "/mnt/w")


async def test_the_timer_makes_good_what_is_lost_and_ends_what_is_not_wished(scene: Scene) -> None:
    publisher, volume = scene.core.publisher, await scene.mount(await make(scene.core, "v"))
    scene.mounter.mounts.clear()
    await publisher.converge(volume.id)
    assert scene.mounter.paths() == {"/mnt/v"}
    assert [one async for one in publisher.wished()] == [volume.id]
    assert await publisher.stale() == frozenset()
    (known,) = scene.mounter.mounts.values()
    strange = msgspec.structs.replace(known, id=uuid4(), path="/mnt/old")
    gone = msgspec.structs.replace(known, id=uuid4(), volume_id=uuid4(), path="/mnt/gone")
    scene.mounter.mounts |= {strange.id: strange, gone.id: gone}
    scene.mounter.busy = {strange.id, gone.id}
    assert await publisher.stale() == {volume.id, gone.volume_id}
    for volume_id in await publisher.stale():
        await publisher.converge(volume_id, force=True)
    assert scene.mounter.paths() == {"/mnt/v"}


async def test_a_mounter_that_does_not_answer_hinders_only_where_something_is_mounted(scene: Scene) -> None:
    plain = await make(scene.core, "plain")
    mounted = await scene.mount(await make(scene.core, "mounted"))
    scene.mounter.down = True
    assert await scene.core.publisher.stale() == frozenset()
    await scene.update(plain, state=VolumeState.OFFLINE)
    await (await volumes.delete(scene.core, plain.id, description="t")).result()
    with pytest.raises(errors.Unavailable):
        await scene.update(mounted, state=VolumeState.OFFLINE)
    assert await scene.core.get(Volume, mounted.id) == mounted


async def test_mounts_of_another_node_are_not_ours(tmp_path: Path) -> None:
    mounter, elsewhere = PaperMounter(), PaperMounter()
    elsewhere.node = "there"
    pool = scripted_pool(Script())
    async with core_on(tmp_path, [pool], mounter=elsewhere) as core:
        volume = await Scene(core, elsewhere, Script()).mount(await make(core, "v"))
    async with core_on(tmp_path, [pool], mounter=mounter) as core:
        scene = Scene(core, mounter, Script())
        await core.publisher.converge(volume.id)
        assert mounter.mounts == {}
        with pytest.raises(errors.NotFound):
            await scene.unmount(volume)
        await scene.mount(volume)
        assert len((await core.get(Volume, volume.id)).mounts) == 2
        assert len(mounter.mounts) == 1


async def test_a_rebuilt_catalog_has_the_mounts(scene: Scene, tmp_path: Path) -> None:
    volume = await scene.mount(await make(scene.core, "v", kind=VolumeKind.BLOCK), format="xfs")
    await scene.core.manifest.write()
    (pool,) = scene.core.pools
    assert isinstance(pool.backend, LocalMemory)
    (tmp_path / "new").mkdir()
    configured = msgspec.structs.replace(scripted_pool(Script()), backend=pool.backend)
    async with core_on(tmp_path / "new", [configured], tenants=()) as core:
        await rebuild(core, SilentObserver())
        found = await core.get(Volume, volume.id)
        assert (found.mounts, found.format) == (volume.mounts, "xfs")


async def test_nothing_is_mounted_where_nothing_is_configured(tmp_path: Path) -> None:
    async with core_on(tmp_path, [scripted_pool(Script())]) as core:
        volume = await make(core, "v")
        with pytest.raises(errors.Unsupported):
            await mounts.mount(core, volume.id, NewMount(path="/mnt/v"), description="t")
        with pytest.raises(errors.Unsupported):
            await mounts.unmount(core, volume.id, "/mnt/v", description="t")
        with pytest.raises(errors.Unsupported):
            await quiesce.quiesce(core, volume.id)
        await quiesce.unquiesce(core, volume.id)
        assert await quiesce.quiesced(core) == {}


async def test_quiescing_has_a_holder_and_an_end(scene: Scene) -> None:
    core, volume = scene.core, await make(scene.core, "v")
    held = await quiesce.quiesce(core, volume.id, quiesce_id="one", timeout_s=5)
    assert held.until - utc_now() <= timedelta(seconds=5)
    await snap(core, volume, "while-held")
    with pytest.raises(errors.InUse):
        await quiesce.unquiesce(core, volume.id, quiesce_id="two")
    await quiesce.unquiesce(core, volume.id, quiesce_id="one")
    assert await quiesce.quiesced(core) == {}
    await quiesce.unquiesce(core, volume.id, quiesce_id="one")
    longest = await quiesce.quiesce(core, volume.id)
    assert longest.until - utc_now() > timedelta(seconds=50)
    await quiesce.unquiesce(core, volume.id)
    for wrong in (-1, 61, 1 << 64):
        with pytest.raises(errors.LimitExceeded):
            await quiesce.quiesce(core, volume.id, timeout_s=wrong)
    with pytest.raises(errors.NotFound):
        await quiesce.quiesce(core, uuid4())
    with pytest.raises(errors.NotFound):
        await quiesce.unquiesce(core, uuid4())
    await scene.update(volume, state=VolumeState.OFFLINE)
    with pytest.raises(errors.InvalidState):
        await quiesce.quiesce(core, volume.id)
