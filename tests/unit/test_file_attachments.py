"""Attachments of volumes of files, as the core decides them; what the exporter of files is told of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from core_scene import LocalMemory, PaperExporter, Script, ServedMemory, make, scripted_pool

from gateway.backends.memory import MemoryBackend, MemoryOptions
from gateway.core import attachments, errors, policies, retired, tenants, volumes
from gateway.core.attachments import NewAttachment
from gateway.core.context import Core
from gateway.core.exporter import ExportAccess
from gateway.core.handles import LocalPath, NfsExport
from gateway.core.model import (
    FILES_AND_BLOCKS,
    Attachment,
    AttachMode,
    ExportPolicy,
    ExportRule,
    TenantState,
    Transport,
    Volume,
    VolumeKind,
    VolumeState,
)
from gateway.core.observer import SilentObserver
from gateway.core.pools import Configured
from gateway.core.rebuild import rebuild
from gateway.testing.cores import core_on

ONE, TWO = "192.0.2.1", "192.0.2.2"


def over_nfs(node: str = "one", *clients: str, **more: object) -> NewAttachment:
    return NewAttachment(node=node, transport=Transport.NFS, clients=clients or (ONE,), **more)  # type: ignore[arg-type]


def granted(*clients: str, write: bool = True) -> ExportAccess:
    return ExportAccess(clients=clients, write=write)


class Scene:
    """A core that publishes files on paper."""

    def __init__(self, core: Core, exporter: PaperExporter, script: Script) -> None:
        self.core = core
        self.exporter = exporter
        self.script = script

    async def attach(self, volume: Volume, new: NewAttachment) -> Volume:
        await (await attachments.attach(self.core, volume.id, new, description="test")).result()
        return await self.core.get(Volume, volume.id)

    async def detach(self, volume: Volume, node: str | None, *, force: bool = False) -> Volume:
        await (await attachments.detach(self.core, volume.id, node, description="test", force=force)).result()
        return await self.core.get(Volume, volume.id)

    async def update(self, volume: Volume, **values: object) -> Volume:
        change = volumes.VolumeChange(**values)  # type: ignore[arg-type]
        await (await volumes.update(self.core, volume.id, change, description="test")).result()
        return await self.core.get(Volume, volume.id)

    def rules(self, volume: Volume) -> list[ExportAccess]:
        return list(self.exporter.exports[volume.id].rules)

    async def allow(self, volume: Volume, *clients: str) -> ExportPolicy:
        """Make the volume's tenant's default policy let the clients read."""
        policy = await self.core.find(ExportPolicy, name="default", tenant__id=volume.tenant_id)
        assert policy is not None
        rule = ExportRule(index=1, clients=clients, write=("never",), superuser=("never",))
        await policies.update_export_policy(self.core, policy.id, rules=(rule,))
        return policy


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    exporter, script = PaperExporter(), Script()
    async with core_on(tmp_path, [scripted_pool(script)], exporter=exporter, fault=script) as core:
        yield Scene(core, exporter, script)


def nodes(volume: Volume) -> list[str]:
    return [attachment.node for attachment in volume.attachments]


# --- over NFS ---


async def test_a_node_gets_a_volume_that_nobody_had_published(scene: Scene) -> None:
    made = await make(scene.core, "v")
    volume = await scene.attach(made, over_nfs("one", ONE, device="/dev/xvdb"))
    (attachment,) = volume.attachments
    assert (attachment.node, attachment.transport, attachment.clients, attachment.device, attachment.lun) == (
        "one",
        Transport.NFS,
        (ONE,),
        "/dev/xvdb",
        None,
    )
    policy = await scene.core.get(ExportPolicy, volume.export_policy_id)
    assert (volume.junction_path, policy.name, policy.tenant_id) == ("/v", "default", volume.tenant_id)
    assert scene.rules(volume) == [granted(ONE)]
    handles = await volumes.access(scene.core, volume.id)
    assert [handle.path for handle in handles if isinstance(handle, NfsExport)] == ["/v"]


async def test_the_same_node_again_changes_nothing_but_what_it_says_anew(scene: Scene) -> None:
    made = await make(scene.core, "v")
    first = await scene.attach(made, over_nfs("one", ONE, device="/dev/xvdb"))
    again = await scene.attach(made, over_nfs("one", ONE, device="/dev/xvdb"))
    assert again.attachments == first.attachments
    unsaid = NewAttachment(node="one", transport=Transport.NFS)
    assert (await scene.attach(made, unsaid)).attachments == first.attachments
    moved = await scene.attach(made, over_nfs("one", TWO, device="/dev/xvdc"))
    (attachment,) = moved.attachments
    assert attachment == msgspec.structs.replace(first.attachments[0], clients=(TWO,), device="/dev/xvdc")
    assert scene.rules(made) == [granted(TWO)]
    scene.exporter.exports.clear()
    await scene.attach(made, unsaid)
    assert scene.rules(made) == [granted(TWO)]


@pytest.mark.parametrize("other", [{"mode": AttachMode.READ_ONLY}, {"transport": Transport.LOCAL}])
async def test_another_attachment_of_the_same_node_is_refused(scene: Scene, other: dict[str, object]) -> None:
    made = await make(scene.core, "v")
    await scene.attach(made, over_nfs())
    with pytest.raises(errors.AlreadyExists):
        await scene.attach(made, msgspec.structs.replace(over_nfs(), **other))


async def test_every_node_has_its_right_until_it_is_detached(scene: Scene) -> None:
    made = await make(scene.core, "v")
    await scene.allow(made, "198.51.100.0/24")
    everybody = ExportAccess(clients=("198.51.100.0/24",), write=False, squash_root=True)
    await scene.attach(made, over_nfs("reader", ONE, mode=AttachMode.READ_ONLY))
    volume = await scene.attach(made, over_nfs("writer", TWO, "2001:db8::1"))
    assert nodes(volume) == ["reader", "writer"]
    assert scene.rules(made) == [granted(TWO, "2001:db8::1"), granted(ONE, write=False), everybody]
    assert nodes(await scene.detach(made, "writer")) == ["reader"]
    assert scene.rules(made) == [granted(ONE, write=False), everybody]
    volume = await scene.detach(made, "reader")
    assert scene.rules(made) == [everybody]
    assert volume.junction_path == "/v"
    with pytest.raises(errors.NotFound):
        await scene.detach(made, "reader")


async def test_all_nodes_are_detached_at_once(scene: Scene) -> None:
    made = await make(scene.core, "v")
    await scene.attach(made, over_nfs("one"))
    await scene.attach(made, over_nfs("two", TWO))
    assert (await scene.detach(made, None)).attachments == ()
    assert scene.rules(made) == []
    with pytest.raises(errors.NotFound):
        await scene.detach(made, None)


async def test_a_node_that_takes_a_volume_for_itself_takes_it_from_the_others(scene: Scene) -> None:
    made = await make(scene.core, "v")
    for node, client in (("one", ONE), ("two", TWO)):
        await scene.attach(made, over_nfs(node, client))
    volume = await scene.attach(made, over_nfs("three", "192.0.2.3", preempt=True))
    assert nodes(volume) == ["three"]
    assert scene.rules(made) == [granted("192.0.2.3")]
    await scene.attach(made, over_nfs("one"))
    volume = await scene.attach(made, over_nfs("three", "192.0.2.3", preempt=True))
    assert nodes(volume) == ["three"]
    assert scene.rules(made) == [granted("192.0.2.3")]


async def test_what_is_taken_away_is_gone_before_anything_new_is_given(scene: Scene) -> None:
    made = await make(scene.core, "v")
    await scene.attach(made, over_nfs("one", ONE, "192.0.2.9"))
    seen: list[list[ExportAccess]] = []
    for new in (over_nfs("one", "192.0.2.9", TWO), over_nfs("two", TWO, preempt=True)):
        scene.script.steps["volume.update.narrowed"] = lambda: seen.append(scene.rules(made))
        await scene.attach(made, new)
    assert seen == [[granted("192.0.2.9")], []]
    assert scene.rules(made) == [granted(TWO)]


async def test_a_detachment_that_fails_gives_the_right_back(scene: Scene) -> None:
    made = await make(scene.core, "v")
    attached = await scene.attach(made, over_nfs())
    scene.script.steps["volume.update.narrowed"] = errors.Unavailable(what="test")
    with pytest.raises(errors.Unavailable):
        await scene.detach(made, "one")
    assert scene.rules(made) == [granted(ONE)]
    assert (await scene.core.get(Volume, made.id)).attachments == attached.attachments
    scene.exporter.down = True
    with pytest.raises(errors.Unavailable):
        await scene.detach(made, "one")
    assert (await scene.core.get(Volume, made.id)).attachments == attached.attachments


async def test_several_who_attach_at_once_are_all_let_in(scene: Scene) -> None:
    made = await make(scene.core, "v")
    names = [f"node{number}" for number in range(4)]
    await asyncio.gather(
        *(scene.attach(made, over_nfs(name, f"192.0.2.{number}")) for number, name in enumerate(names))
    )
    assert sorted(nodes(await scene.core.get(Volume, made.id))) == names
    assert len(scene.rules(made)) == 4


async def test_a_published_volume_stays_where_it_is(scene: Scene) -> None:
    tenant_policy = await policies.create_export_policy(scene.core, (await make(scene.core, "x")).tenant_id, "p")
    made = await make(scene.core, "v", junction_path="/elsewhere", export_policy_id=tenant_policy.id)
    volume = await scene.attach(made, over_nfs())
    assert (volume.junction_path, volume.export_policy_id) == ("/elsewhere", tenant_policy.id)
    assert scene.rules(volume) == [granted(ONE)]


async def test_a_path_that_another_volume_has_is_left_to_it(scene: Scene) -> None:
    await make(scene.core, "first", junction_path="/V")
    taken = await make(scene.core, "v")
    assert (await scene.attach(taken, over_nfs())).junction_path == f"/{taken.id}"


async def test_two_that_would_have_one_path_may_be_published_at_once(scene: Scene) -> None:
    made = [await make(scene.core, name) for name in ("v", "V")]
    published = await asyncio.gather(*(scene.attach(each, over_nfs(each.name)) for each in made))
    (by_name,) = [each for each in published if each.junction_path == f"/{each.name}"]
    (by_id,) = [each for each in published if each.junction_path == f"/{each.id}"]
    assert by_name != by_id


@pytest.mark.parametrize("name", ['a"b', "a'b", "a\\b", "a#b", "a b", "a,b", "a:b"])
async def test_a_name_that_no_table_of_mounts_can_say_is_no_path(scene: Scene, name: str) -> None:
    made = await make(scene.core, name)
    assert (await scene.attach(made, over_nfs())).junction_path == f"/{made.id}"


async def test_a_volume_that_was_away_is_published_again_by_attaching_again(scene: Scene) -> None:
    made = await make(scene.core, "v")
    await scene.attach(made, over_nfs())
    offline = await scene.update(made, state=VolumeState.OFFLINE)
    assert (nodes(offline), scene.exporter.exports) == (["one"], {})
    assert (await scene.attach(made, over_nfs())).junction_path is None
    await scene.update(made, state=VolumeState.ONLINE)
    assert (await scene.attach(made, over_nfs())).junction_path == "/v"
    assert scene.rules(made) == [granted(ONE)]
    await tenants.update(scene.core, made.tenant_id, tenants.TenantChange(state=TenantState.STOPPED))
    assert scene.exporter.exports == {}
    await tenants.update(scene.core, made.tenant_id, tenants.TenantChange(state=TenantState.RUNNING))
    assert scene.rules(made) == [granted(ONE)]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("fe80::1%eth0", "fe80::1"),
        ("2001:DB8::0:1", "2001:db8::1"),
    ],
)
async def test_addresses_are_told_as_the_exporter_sees_them(scene: Scene, given: str, told: str) -> None:
    made = await make(scene.core, "v")
    await scene.attach(made, over_nfs("one", given, told))
    assert scene.rules(made) == [granted(told)]


# --- on this host ---


async def test_on_this_host_files_are_there_without_being_published(scene: Scene) -> None:
    made = await make(scene.core, "v")
    volume = await scene.attach(made, NewAttachment(node="here", transport=Transport.LOCAL))
    assert (nodes(volume), volume.junction_path, scene.exporter.exports) == (["here"], None, {})
    again = await scene.attach(made, NewAttachment(node="here", transport=Transport.LOCAL))
    assert again.attachments == volume.attachments
    await scene.attach(made, NewAttachment(node="there", transport=Transport.LOCAL))
    assert (await scene.detach(made, None)).attachments == ()


async def test_who_wants_files_alone_gets_them_alone(scene: Scene) -> None:
    made = await make(scene.core, "v")
    await scene.attach(made, over_nfs())
    alone = NewAttachment(node="here", transport=Transport.LOCAL, shared=False)
    with pytest.raises(errors.InUse) as caught:
        await scene.attach(made, alone)
    assert caught.value.by == "attachments"
    await scene.detach(made, "one")
    await scene.attach(made, over_nfs("reader", mode=AttachMode.READ_ONLY))
    await scene.attach(made, msgspec.structs.replace(alone, node="second", mode=AttachMode.READ_ONLY))
    await scene.update(made, multi_attach=True)
    assert nodes(await scene.attach(made, alone)) == ["reader", "second", "here"]


# --- refusals ---


async def test_ways_that_lead_nowhere_are_refused_with_a_reason(scene: Scene, tmp_path: Path) -> None:
    files, blocks = await make(scene.core, "f"), await make(scene.core, "b", kind=VolumeKind.BLOCK)
    for volume, transport in (
        (files, Transport.ISCSI),
        (files, Transport.NBD),
        (blocks, Transport.NFS),
    ):
        with pytest.raises(errors.Unsupported) as caught:
            await scene.attach(volume, NewAttachment(node="one", transport=transport))
        assert transport in caught.value.reason
    (tmp_path / "bare").mkdir()
    async with core_on(tmp_path / "bare", [scripted_pool(Script())]) as core:
        lone = await make(core, "v")
        with pytest.raises(errors.Unsupported) as caught:
            await attachments.attach(core, lone.id, over_nfs(), description="test")
        assert "no NFS exporter" in caught.value.reason
    (tmp_path / "memory").mkdir()
    memory = Configured("memory", MemoryBackend("memory", MemoryOptions()))
    async with core_on(tmp_path / "memory", [memory], exporter=PaperExporter()) as core:
        lone = await make(core, "v")
        with pytest.raises(errors.Unsupported):
            await attachments.attach(core, lone.id, over_nfs(), description="test")
        assert (await core.get(Volume, lone.id)).junction_path is None


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Scene]:
    exporter = PaperExporter()
    pool = Configured("memory", ServedMemory("memory", MemoryOptions()))
    async with core_on(tmp_path, [pool], exporter=exporter) as core:
        yield Scene(core, exporter, Script())


@pytest.mark.parametrize("kind", FILES_AND_BLOCKS)
async def test_what_is_on_a_server_of_its_own_is_not_published_again(served: Scene, kind: VolumeKind) -> None:
    made = await make(served.core, "v", kind=kind)
    after = await served.attach(made, over_nfs())
    assert (nodes(after), after.junction_path, served.exporter.exports) == (["one"], None, {})
    there, here = await volumes.access(served.core, made.id)
    assert isinstance(there, NfsExport)
    assert there.place == f"/export/{made.id}"
    assert here == LocalPath(path=f"/mnt/{made.id}")
    served.exporter.down = True
    assert (await served.detach(made, "one")).attachments == ()


async def test_blocks_on_a_file_server_are_for_one_node_unless_it_shares_them(served: Scene) -> None:
    made = await make(served.core, "v", kind=VolumeKind.BLOCK)
    await served.attach(made, over_nfs())
    with pytest.raises(errors.InUse) as caught:
        await served.attach(made, over_nfs("two", TWO))
    assert caught.value.by == "attachments"
    assert nodes(await served.attach(made, over_nfs("two", TWO, shared=True))) == ["one", "two"]
    with pytest.raises(errors.InUse):
        await volumes.delete(served.core, made.id, description="test")
    assert nodes(await served.attach(made, over_nfs("three", preempt=True))) == ["three"]


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("clients", {"clients": ("host1",)}),
        ("clients", {"clients": ("192.0.2.0/24",)}),
        ("clients", {"clients": ("",)}),
        ("device", {"device": "x" * 256}),
        ("device", {"device": "a\x00b"}),
    ],
)
async def test_a_bad_value_is_refused_by_its_name(scene: Scene, field: str, change: dict[str, object]) -> None:
    made = await make(scene.core, "v")
    with pytest.raises(errors.InvalidArgument) as caught:
        await scene.attach(made, msgspec.structs.replace(over_nfs(), **change))
    assert caught.value.field == field
    assert await scene.core.get(Volume, made.id) == made


async def test_more_nodes_than_the_note_can_hold_are_refused(scene: Scene) -> None:
    made = await make(scene.core, "v")
    many = tuple(f"2001:db8::{number:x}" for number in range(5000))
    with pytest.raises(errors.InvalidArgument) as caught:
        await scene.attach(made, over_nfs("one", *many))
    assert caught.value.field == "attachments"


@pytest.mark.parametrize("by_retiring", [False, True], ids=["delete", "remove"])
async def test_an_attached_volume_is_deleted_by_force_only(scene: Scene, *, by_retiring: bool) -> None:
    act = retired.remove if by_retiring else volumes.delete
    made = await make(scene.core, "v")
    await scene.attach(made, over_nfs())
    with pytest.raises(errors.InUse) as caught:
        await act(scene.core, made.id, description="test")
    assert caught.value.by == "attachments"
    await (await act(scene.core, made.id, description="test", force=True)).result()
    assert scene.exporter.exports == {}


async def test_files_that_somebody_has_do_not_become_blocks(scene: Scene) -> None:
    made = await make(scene.core, "v")
    await scene.attach(made, NewAttachment(node="here", transport=Transport.LOCAL))
    with pytest.raises(errors.InUse) as caught:
        await volumes.convert(scene.core, made.id, size=made.size, annotations={}, description="test")
    assert caught.value.by == "attachments"


async def test_a_rebuilt_catalog_has_the_attachments(scene: Scene, tmp_path: Path) -> None:
    volume = await scene.attach(await make(scene.core, "v"), over_nfs("one", ONE, device="/dev/xvdb"))
    await scene.core.manifest.write()
    (pool,) = scene.core.pools
    assert isinstance(pool.backend, LocalMemory)
    (tmp_path / "new").mkdir()
    configured = msgspec.structs.replace(scripted_pool(Script()), backend=pool.backend)
    exporter = PaperExporter()
    async with core_on(tmp_path / "new", [configured], exporter=exporter, tenants=()) as core:
        await rebuild(core, SilentObserver())
        found = await core.get(Volume, volume.id)
        assert (found.attachments, found.junction_path) == (volume.attachments, "/v")
        await core.publisher.converge(volume.id)
        assert exporter.exports[volume.id].rules == (granted(ONE),)


def test_a_note_of_before_is_read() -> None:
    old = b'{"id":"00000000-0000-0000-0000-000000000001","node":"n","created":"2026-01-01T00:00:00Z","transport":"nbd"}'
    found = msgspec.json.decode(old, type=Attachment)
    assert (found.clients, found.device) == ((), "")
