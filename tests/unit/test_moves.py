"""Volumes that move from one memory pool to another: what moves, what is refused, what others see of it."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import msgspec
import pytest
from core_scene import MIB, LocalMemory, PaperExporter, Script, clone_of, make, scripted_pool, snap, tenant_and_pool
from move_scene import assert_whole, compared, furnished, held, memory, moved, rows, start, two_pools

from gateway.backends.memory import MemoryOptions
from gateway.core import attachments, clones, errors, moves, retired, volumes
from gateway.core.backend import Substrate, VolumeSpec, no_fault
from gateway.core.catalog import put
from gateway.core.context import Core
from gateway.core.model import (
    FILES_AND_BLOCKS,
    ExportPolicy,
    Mount,
    Pool,
    RootDirectory,
    Snapshot,
    Transport,
    Volume,
    VolumeKind,
    VolumeState,
)
from gateway.core.notes import note
from gateway.core.ownership import Ownership
from gateway.core.pools import Configured
from gateway.core.principal import Principal
from gateway.core.query import Query
from gateway.testing.cores import core_on


class Foreign(LocalMemory):
    """A pool of another driver."""

    def describe(self) -> Substrate:
        return msgspec.structs.replace(super().describe(), driver="other")


@pytest.fixture
async def core(tmp_path: Path):
    async with core_on(tmp_path, two_pools()) as made:
        yield made


@pytest.mark.parametrize("kind", FILES_AND_BLOCKS)
@pytest.mark.parametrize("thick", [False, True])
async def test_it_is_the_same_volume_in_the_other_pool(core: Core, kind: VolumeKind, thick: bool) -> None:
    root = RootDirectory(mode=0o2750, uid=7, gid=8) if kind is VolumeKind.FILESYSTEM else RootDirectory()
    before = await furnished(core, kind=kind, thick=thick, comment="c", root=root)
    after = await moved(core, before)
    _, pool = await tenant_and_pool(core, "new")
    same = msgspec.structs.replace(before, pool_id=pool.id, generation=1, used=7, revision=after.revision)
    assert after == same
    await assert_whole(core, at="new")
    seen = await memory(core, "new").inspect(after.id)
    assert seen is not None
    assert seen.note == note(after, "svm1")
    assert memory(core, "new").root(str(after.id)) == root
    counts = {row.name: row.volume_count for row in (await core.catalog.page(Pool, Query())).records}
    assert counts == {"old": 1, "new": 2}
    assert (await core.publisher.handles(after)) == (await memory(core, "new").access(after.id),)


async def test_there_and_back(core: Core) -> None:
    volume = await moved(core, await moved(core, await furnished(core)), "old")
    await assert_whole(core, at="old")
    assert volume.generation == 2


async def test_an_offline_volume_stays_offline(core: Core) -> None:
    volume = await furnished(core, state=VolumeState.OFFLINE)
    assert (await moved(core, volume)).state is VolumeState.OFFLINE


async def test_to_its_own_pool_nothing_changes(core: Core) -> None:
    volume = await furnished(core)
    after = await moved(core, volume, "old")
    assert msgspec.structs.replace(after, revision=volume.revision) == volume
    await assert_whole(core, at="old")


async def test_content_is_that_of_one_instant(tmp_path: Path) -> None:
    script = Script()
    async with core_on(tmp_path, two_pools(), fault=script) as core:
        volume = await furnished(core)
        script.steps["volume.move.withdrawn"] = lambda: memory(core, "old").write(volume.id, "g", b"before")
        script.steps["volume.move.taken"] = lambda: memory(core, "old").write(volume.id, "g", b"after")
        await moved(core, volume)
        assert script.steps == {}
        assert (await held(core))["new"]["v"] == {"f": b"content", "g": b"before"}


async def test_a_volume_is_published_from_where_it_is(tmp_path: Path) -> None:
    exporter = PaperExporter()
    async with core_on(tmp_path, two_pools(), exporter=exporter) as core:
        volume = await furnished(core)
        policy = await core.find(ExportPolicy, name="default")
        assert policy is not None
        publish = volumes.VolumeChange(junction_path="/v", export_policy_id=policy.id)
        await (await volumes.update(core, volume.id, publish, description="t")).result()
        with pytest.raises(errors.InUse, match="export"):
            await start(core, volume)
        withdraw = volumes.VolumeChange(junction_path=None)
        await (await volumes.update(core, volume.id, withdraw, description="t")).result()
        assert (await moved(core, volume)).export_policy_id == policy.id
        assert exporter.exports == {}
        await (await volumes.update(core, volume.id, publish, description="t")).result()
        assert exporter.exports[volume.id].generation == 1


async def test_a_clone_becomes_independent(core: Core) -> None:
    parent = await make(core, "parent", pool="old")
    memory(core, "old").write(parent.id, "f", b"content")
    tenant, _ = await tenant_and_pool(core, "old")
    new = clones.NewClone(name="v", tenant_id=tenant.id, source_id=parent.id, transient_base=True)
    job = await (await clones.create(core, new, description="t")).result()
    assert job.target_id is not None
    after = await moved(core, await core.get(Volume, job.target_id))
    assert after.origin is None
    assert (await core.get(Volume, parent.id)).clone_count == 0
    (base,) = (await core.catalog.page(Snapshot, Query())).records
    assert (base.volume_id, base.clone_count) == (parent.id, 0)
    assert await compared(core) == []
    assert await retired.collect(core) == 1
    assert await held(core) == {"old": {"parent": {"f": b"content"}}, "new": {"v": {"f": b"content"}}}


async def test_snapshots_that_only_clones_needed_stay_behind(core: Core) -> None:
    volume = await furnished(core)
    new = clones.NewClone(name="kid", tenant_id=volume.tenant_id, source_id=volume.id, transient_base=True)
    job = await (await clones.create(core, new, description="t")).result()
    assert job.target_id is not None
    with pytest.raises(errors.InUse, match="clones"):
        await start(core, volume)
    await (await volumes.delete(core, job.target_id, description="t")).result()
    assert (await core.get(Volume, volume.id)).snapshot_count == 1
    await moved(core, volume)
    await assert_whole(core, at="new")


async def test_what_holds_it_where_it_is(core: Core) -> None:
    volume = await furnished(core)
    await snap(core, volume, "s")
    with pytest.raises(errors.InUse, match="snapshots"):
        await start(core, volume)
    other = await make(core, "attached", pool="old")
    new = attachments.NewAttachment(node="n", transport=Transport.LOCAL)
    await (await attachments.attach(core, other.id, new, description="t")).result()
    with pytest.raises(errors.InUse, match="attachments"):
        await start(core, other)
    mounted = await make(core, "mounted", pool="old")
    place = Mount(id=uuid4(), node="n", path="/mnt", created=mounted.created)
    await core.catalog.commit(put(msgspec.structs.replace(mounted, mounts=(place,))))
    with pytest.raises(errors.InUse, match="mounts"):
        await start(core, mounted)
    source = await make(core, "source", pool="old")
    await clone_of(core, source, "kid")
    with pytest.raises(errors.InUse, match="clones"):
        await start(core, source)
    await (await retired.retire(core, source.id, description="t")).result()
    with pytest.raises(errors.InvalidState):
        await start(core, source)
    assert (await rows(core))["Intent"] == []


async def test_who_may_not_change_it_may_not_move_it(core: Core) -> None:
    volume = await furnished(core, ownership=Ownership(owner="somebody"))
    with pytest.raises(errors.PermissionDenied):
        await start(core.acting_for(Principal(name="else", roles=())), volume)
    await assert_whole(core, at="old")


async def test_what_the_other_pool_cannot_have(tmp_path: Path) -> None:
    pools = [
        scripted_pool(no_fault, "old"),
        Configured("foreign", Foreign("foreign", MemoryOptions())),
        Configured("mute", LocalMemory("mute", MemoryOptions()), ("replicate",)),
        Configured("thin", LocalMemory("thin", MemoryOptions()), ("thick",)),
        Configured("files", LocalMemory("files", MemoryOptions(kinds=("filesystem",)))),
        Configured("coarse", LocalMemory("coarse", MemoryOptions(step=64 * MIB))),
        Configured("lean", LocalMemory("lean", MemoryOptions()), ("snapshot",)),
    ]
    async with core_on(tmp_path, pools) as core:
        volume = await make(core, "v", pool="old", thick=True, kind=VolumeKind.BLOCK)
        for name, capability in (
            ("foreign", "move"),
            ("mute", "replicate"),
            ("thin", "thick"),
            ("files", "block"),
            ("lean", "replicate"),
        ):
            with pytest.raises(errors.Unsupported) as refused:
                await start(core, volume, name)
            assert (refused.value.capability, refused.value.backend) == (capability, name)
        with pytest.raises(errors.InvalidArgument):
            await start(core, volume, "coarse")
        with pytest.raises(errors.NotFound, match="pool"):
            await moves.move(core, volume.id, uuid4(), description="t")
        assert (await rows(core))["Intent"] == []


async def test_what_has_the_id_in_the_other_pool_stays(core: Core) -> None:
    volume = await furnished(core)
    stranger = VolumeSpec(id=volume.id, kind=volume.kind, size=MIB, note=note(volume, "svm1"))
    await memory(core, "new").create(stranger)
    with pytest.raises(errors.AlreadyExists):
        await start(core, volume)
    assert await memory(core, "new").inspect(volume.id) is not None
    (finding,) = await compared(core)
    assert (finding.did, finding.ref, finding.why) == ("flagged", "v", "the catalog has it in another pool")


async def test_a_pool_without_room_leaves_it_where_it_is(tmp_path: Path) -> None:
    pools = [scripted_pool(no_fault, "old"), Configured("new", LocalMemory("new", MemoryOptions(size=6)))]
    async with core_on(tmp_path, pools) as core:
        volume = await furnished(core)
        await compared(core)
        before = await rows(core)
        with pytest.raises(errors.OutOfSpace):
            await moved(core, volume)
        await assert_whole(core, at="old")
        assert (await rows(core))["Volume"] == before["Volume"]
        assert (await memory(core, "new").capacity()).used == 0
