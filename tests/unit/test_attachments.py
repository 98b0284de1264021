"""Attachments, host groups, logins and conversion, as the core decides them; what exporters are told of it."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest
from core_scene import MIB, LocalMemory, ServedMemory, make, tenant_and_pool

from gateway.backends.memory import MemoryOptions
from gateway.core import attachments, errors, hosts, logins, tenants, volumes
from gateway.core import model as m
from gateway.core.attachments import LUN_MAX, LUN_MIN, NewAttachment
from gateway.core.context import Core
from gateway.core.exporter import BlockAccess, BlockExport, BlockExporter
from gateway.core.handles import IscsiTarget, LocalPath, NfsExport
from gateway.core.observer import SilentObserver
from gateway.core.pools import Configured
from gateway.core.query import Query
from gateway.core.rebuild import rebuild
from gateway.core.reconcile import Reconciler
from gateway.core.secret import Secret
from gateway.core.targets import SERVICE_MAX, check_initiator, password_key, target_of
from gateway.testing.cores import core_on

ONE = "iqn.1993-08.org.debian:01:one"
TWO = "iqn.1993-08.org.debian:01:two"
PASSWORD, OWN_PASSWORD = "correct-horse-1", "battery-staple-2"


class PaperBlocks:
    """Writes down what it publishes. Volumes in `connected` have a client, and are not narrowed but by force."""

    def __init__(self) -> None:
        self.exports: dict[UUID, BlockExport] = {}
        self.connected: set[UUID] = set()

    async def open(self) -> None:
        pass

    async def publish(self, export: BlockExport, *, force: bool = False) -> None:
        before = self.exports.get(export.id)
        kept = {access.id for access in export.access}
        if before is not None and any(access.id not in kept for access in before.access):
            self._object(export.id, force=force)
        self.exports[export.id] = export

    async def withdraw(self, export_id: UUID, *, force: bool = False) -> None:
        if export_id in self.exports:
            self._object(export_id, force=force)
            del self.exports[export_id]

    async def published(self) -> frozenset[UUID]:
        return frozenset(self.exports)

    def handle(self, export: BlockExport, access: BlockAccess) -> IscsiTarget:
        assert access in export.access
        return IscsiTarget(
            address="127.0.0.1",
            port=3260,
            target=access.target,
            lun=access.lun,
            chap=bool(access.logins),
            read_only=not access.write,
        )

    async def close(self) -> None:
        pass

    def access(self, volume: m.Volume) -> tuple[BlockAccess, ...]:
        export = self.exports.get(volume.id)
        return export.access if export is not None else ()

    def _object(self, volume: UUID, *, force: bool) -> None:
        if volume in self.connected and not force:
            raise errors.InUse(kind="volume", ref=str(volume), by="sessions", action="detach")
        self.connected.discard(volume)


class Scene:
    """A core that publishes blocks on paper."""

    def __init__(self, core: Core, exporter: PaperBlocks, pool: Configured) -> None:
        self.core = core
        self.exporter = exporter
        self.pool = pool

    async def volume(self, name: str = "v", **more: object) -> m.Volume:
        return await make(self.core, name, kind=m.VolumeKind.BLOCK, **more)

    async def attach(self, volume: m.Volume, new: NewAttachment) -> m.Attachment:
        await (await attachments.attach(self.core, volume.id, new, description="test")).result()
        found = await self.core.get(m.Volume, volume.id)
        return next(one for one in found.attachments if one.node == new.key)

    async def detach(self, volume: m.Volume, node: str, *, force: bool = False) -> None:
        await (await attachments.detach(self.core, volume.id, node, description="test", force=force)).result()

    async def group(self, *names: str, name: str = "group") -> m.HostGroup:
        tenant, _ = await tenant_and_pool(self.core)
        initiators = tuple(m.Initiator(name=one) for one in names)
        return await hosts.create(self.core, hosts.NewHostGroup(name=name, tenant_id=tenant.id, initiators=initiators))

    async def login(self, initiator: str = ONE, **more: object) -> m.InitiatorLogin:
        tenant, _ = await tenant_and_pool(self.core)
        values: dict[str, object] = {"kind": m.LoginKind.CHAP, "user": "anna", "password": Secret(PASSWORD), **more}
        return await logins.create(
            self.core,
            logins.NewLogin(tenant_id=tenant.id, initiator=initiator, **values),  # type: ignore[arg-type]
        )


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    exporter = PaperBlocks()
    assert isinstance(exporter, BlockExporter)
    pool = Configured("memory", LocalMemory("memory", MemoryOptions()))
    async with core_on(tmp_path, [pool], block={m.Transport.ISCSI: exporter}) as core:
        yield Scene(core, exporter, pool)


# --- attaching ---


async def test_attaching_twice_is_attaching_once(scene: Scene) -> None:
    volume, new = await scene.volume(), NewAttachment(node="host1", initiators=(ONE.upper(), ONE))
    first = await scene.attach(volume, new)
    assert await scene.attach(volume, new) == first
    assert await scene.attach(volume, msgspec.structs.replace(new, lun=first.lun)) == first
    assert first.initiators == (ONE,)
    (access,) = scene.exporter.access(volume)
    assert (access.id, access.lun, access.write, access.initiators) == (first.id, LUN_MIN, True, (ONE,))
    assert len((await scene.core.get(m.Volume, volume.id)).attachments) == 1


@pytest.mark.parametrize(
    "other",
    [
        {"mode": m.AttachMode.READ_ONLY},
        {"transport": m.Transport.NBD},
        {"initiators": (TWO,)},
        {"lun": 9},
    ],
)
async def test_another_attachment_of_the_same_node_is_refused(scene: Scene, other: dict[str, object]) -> None:
    volume, new = await scene.volume(), NewAttachment(node="host1", initiators=(ONE,))
    await scene.attach(volume, new)
    with pytest.raises(errors.AlreadyExists):
        await scene.attach(volume, msgspec.structs.replace(new, **other))


async def test_blocks_on_a_file_server_are_published_from_where_this_host_has_them(tmp_path: Path) -> None:
    exporter, pool = PaperBlocks(), Configured("memory", ServedMemory("memory", MemoryOptions()))
    async with core_on(tmp_path, [pool], block={m.Transport.ISCSI: exporter}) as core:
        scene = Scene(core, exporter, pool)
        volume = await scene.volume()
        await scene.attach(volume, NewAttachment(node="host1", initiators=(ONE,)))
        here = LocalPath(path=f"/mnt/{volume.id}")
        assert exporter.exports[volume.id].source == here
        there, published, last = await volumes.access(core, volume.id)
        assert (type(there), type(published), last) == (NfsExport, IscsiTarget, here)


async def test_blocks_on_a_file_server_are_reached_there_rather_than_by_way_of_this_host(tmp_path: Path) -> None:
    pool = Configured("memory", ServedMemory("memory", MemoryOptions()))
    async with core_on(tmp_path, [pool], block={m.Transport.ISCSI: PaperBlocks()}) as core:
        volume = await make(core, "v", kind=m.VolumeKind.BLOCK)
        ways = (m.Transport.LOCAL, m.Transport.NFS, m.Transport.ISCSI)
        assert core.publisher.ways(volume.pool_id, m.VolumeKind.BLOCK) == ways
        assert core.publisher.ways(volume.pool_id, m.VolumeKind.FILESYSTEM) == ways[:2]
        here = LocalPath(path=f"/mnt/{volume.id}")
        there = NfsExport(address="192.0.2.7", port=2049, path="/export", file=str(volume.id))
        for transport, way in zip(ways, (here, there), strict=False):
            for mode in m.AttachMode:
                attachment = m.Attachment(id=uuid4(), node="n", created=m.utc_now(), transport=transport, mode=mode)
                told = msgspec.structs.replace(way, read_only=mode is m.AttachMode.READ_ONLY)
                assert await core.publisher.way(volume, attachment) == told


async def test_a_second_writer_is_fenced_off(scene: Scene) -> None:
    volume = await scene.volume()
    await scene.attach(volume, NewAttachment(node="host1"))
    for mode in m.AttachMode:
        with pytest.raises(errors.InUse) as caught:
            await scene.attach(volume, NewAttachment(node="host2", mode=mode))
        assert caught.value.by == "attachments"
    await scene.attach(volume, NewAttachment(node="host2", shared=True))
    await scene.detach(volume, "host1")
    with pytest.raises(errors.InUse):
        await scene.attach(volume, NewAttachment(node="host3"))


async def test_a_multi_attach_volume_has_as_many_writers_as_come(scene: Scene) -> None:
    volume = await scene.volume(multi_attach=True)
    for node in ("host1", "host2", "host3"):
        await scene.attach(volume, NewAttachment(node=node))
    assert len(scene.exporter.access(volume)) == 3


async def test_who_takes_blocks_for_himself_takes_them_from_whoever_is_connected(scene: Scene) -> None:
    volume = await scene.volume(multi_attach=True)
    for node in ("host1", "host2"):
        await scene.attach(volume, NewAttachment(node=node))
    scene.exporter.connected = {volume.id}
    taken = await scene.attach(volume, NewAttachment(node="host3", preempt=True))
    assert (await scene.core.get(m.Volume, volume.id)).attachments == (taken,)
    (access,) = scene.exporter.access(volume)
    assert access.id == taken.id
    assert scene.exporter.connected == set()


async def test_readers_share_a_volume_and_keep_writers_out(scene: Scene) -> None:
    volume = await scene.volume()
    for node in ("host1", "host2"):
        await scene.attach(volume, NewAttachment(node=node, mode=m.AttachMode.READ_ONLY))
    assert [access.write for access in scene.exporter.access(volume)] == [False, False]
    with pytest.raises(errors.InUse):
        await scene.attach(volume, NewAttachment(node="host3"))


async def test_two_that_attach_at_once_are_not_both_let_in(scene: Scene) -> None:
    volume = await scene.volume()
    done = await asyncio.gather(
        *(scene.attach(volume, NewAttachment(node=f"host{number}")) for number in range(4)), return_exceptions=True
    )
    assert sorted(type(one).__name__ for one in done) == ["Attachment", "InUse", "InUse", "InUse"]


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("node", {"node": ""}),
        ("node", {"node": "a\x00b"}),
        ("node", {"node": "n" * 256}),
        ("lun", {"lun": LUN_MIN - 1}),
        ("lun", {"lun": LUN_MAX + 1}),
        ("initiators", {"initiators": ("host1",)}),
        ("initiators", {"initiators": ("iqn.1993-08.org.debian:with space",)}),
        ("initiators", {"initiators": (f"iqn.1993-08.org.debian:{'x' * 223}",)}),
    ],
)
async def test_a_bad_value_is_refused_by_its_name(scene: Scene, field: str, change: dict[str, object]) -> None:
    volume = await scene.volume()
    new = msgspec.structs.replace(NewAttachment(node="host1"), **change)
    with pytest.raises(errors.InvalidArgument) as caught:
        await scene.attach(volume, new)
    assert caught.value.field == field
    assert (await scene.core.get(m.Volume, volume.id)).attachments == ()


async def test_what_cannot_be_attached(scene: Scene) -> None:
    files = await make(scene.core, "files")
    with pytest.raises(errors.Unsupported):
        await scene.attach(files, NewAttachment(node="host1"))
    volume = await scene.volume(state=m.VolumeState.OFFLINE)
    with pytest.raises(errors.InvalidState):
        await scene.attach(volume, NewAttachment(node="host1"))
    with pytest.raises(errors.NotFound):
        await scene.attach(volume, NewAttachment(host_group_id=uuid4()))
    other = await tenants.create(scene.core, "svm2")
    foreign = await hosts.create(scene.core, hosts.NewHostGroup(name="g", tenant_id=other.id))
    with pytest.raises(errors.NotFound):
        await scene.attach(volume, NewAttachment(host_group_id=foreign.id))
    with pytest.raises(errors.NotFound):
        await scene.detach(volume, "host1")


# --- unit numbers ---


async def test_a_node_has_each_unit_number_once_and_the_lowest_first(scene: Scene) -> None:
    made = [await scene.volume(f"v{number}") for number in range(4)]
    numbers = [(await scene.attach(volume, NewAttachment(node="host1"))).lun for volume in made[:3]]
    assert numbers == [LUN_MIN, LUN_MIN + 1, LUN_MIN + 2]
    with pytest.raises(errors.AlreadyExists) as caught:
        await scene.attach(made[3], NewAttachment(node="host1", lun=LUN_MIN))
    assert caught.value.field == "lun"
    await scene.detach(made[1], "host1")
    assert (await scene.attach(made[3], NewAttachment(node="host1"))).lun == LUN_MIN + 1
    assert (await scene.attach(made[1], NewAttachment(node="host2"))).lun == LUN_MIN


async def test_volumes_that_are_attached_at_once_get_numbers_of_their_own(scene: Scene) -> None:
    made = [await scene.volume(f"v{number}") for number in range(8)]
    done = await asyncio.gather(*(scene.attach(volume, NewAttachment(node="host1")) for volume in made))
    assert sorted(one.lun or 0 for one in done) == list(range(LUN_MIN, LUN_MIN + 8))


async def test_other_ways_than_iscsi_have_no_number(scene: Scene) -> None:
    attachment = await scene.attach(await scene.volume(), NewAttachment(node="vm1", transport=m.Transport.NBD))
    assert attachment.lun is None


# --- names ---


def test_names_are_compared_in_lower_case() -> None:
    assert check_initiator("name", ONE.upper()) == ONE
    for name in ("iqn.1993-08.org.debian", "eui.0123456789abcdef", "naa.0123456789abcdef"):
        assert check_initiator("name", name) == name
    for name in ("", "iqn.93-08.org.debian", "eui.1", "naa.0123", "iqn.1993-08.org.debian:a,b", "debian"):
        with pytest.raises(errors.InvalidArgument) as caught:
            check_initiator("name", name)
        assert caught.value.field == "name"


async def test_no_two_nodes_have_one_target(scene: Scene) -> None:
    tenant, _ = await tenant_and_pool(scene.core)
    group = uuid4()
    like_others = [target_of(tenant, on_node(node)).rpartition(":")[2] for node in ("host 1", "é")]
    nodes = ("host-1", "host 1", "HOST-1", "host_1", "-host-1", "é", "è", "höst", "x" * 80, "x" * 90, *like_others)
    ids = (str(group), group.hex, group.hex[:12], f"{str(group)[:13]}-4000-8000-000000000000")
    attached = [on_node(str(group), host_group_id=group), *map(on_node, (*nodes, *ids))]
    targets = {target_of(tenant, attachment) for attachment in attached}
    assert len(targets) == len(attached)
    for target in targets:
        assert check_initiator("target", target) == target


def on_node(node: str, **more: Any) -> m.Attachment:
    return m.Attachment(id=uuid4(), node=node, created=m.utc_now(), transport=m.Transport.ISCSI, **more)


async def test_the_name_of_a_service_leaves_room_for_those_of_its_targets(scene: Scene) -> None:
    tenant, _ = await tenant_and_pool(scene.core)
    base = "iqn.2024-07.internal:"
    longest = base + "x" * (SERVICE_MAX - len(base))
    for target, fits in ((longest, True), (longest + "x", False), ("nonsense", False)):
        change = tenants.TenantChange(iscsi=m.IscsiService(target=target))
        if fits:
            changed = await tenants.update(scene.core, tenant.id, change)
            assert check_initiator("target", target_of(changed, on_node("y" * 255)))
        else:
            with pytest.raises(errors.InvalidArgument) as caught:
                await tenants.update(scene.core, tenant.id, change)
            assert caught.value.field == "iscsi.target"


# --- detaching and deleting ---


async def test_a_connected_node_stays_unless_by_force(scene: Scene) -> None:
    volume = await scene.volume(multi_attach=True)
    for node in ("host1", "host2"):
        await scene.attach(volume, NewAttachment(node=node))
    scene.exporter.connected = {volume.id}
    with pytest.raises(errors.InUse) as caught:
        await scene.detach(volume, "host1")
    assert caught.value.by == "sessions"
    assert len((await scene.core.get(m.Volume, volume.id)).attachments) == 2
    assert len(scene.exporter.access(volume)) == 2
    await scene.detach(volume, "host1", force=True)
    assert [one.node for one in (await scene.core.get(m.Volume, volume.id)).attachments] == ["host2"]
    assert len(scene.exporter.access(volume)) == 1
    await scene.detach(volume, "host2")
    assert scene.exporter.exports == {}


async def test_an_attached_volume_is_deleted_by_force_only(scene: Scene) -> None:
    volume = await scene.volume()
    await scene.attach(volume, NewAttachment(node="host1"))
    scene.exporter.connected = {volume.id}
    with pytest.raises(errors.InUse) as caught:
        await (await volumes.delete(scene.core, volume.id, description="test")).result()
    assert caught.value.by == "attachments"
    await (await volumes.delete(scene.core, volume.id, description="test", force=True)).result()
    assert scene.exporter.exports == {}


async def test_going_offline_asks_those_that_are_connected(scene: Scene) -> None:
    volume = await scene.volume()
    await scene.attach(volume, NewAttachment(node="host1"))
    scene.exporter.connected = {volume.id}
    offline = volumes.VolumeChange(state=m.VolumeState.OFFLINE)
    with pytest.raises(errors.InUse):
        await (await volumes.update(scene.core, volume.id, offline, description="test")).result()
    assert scene.exporter.access(volume)
    scene.exporter.connected = set()
    await (await volumes.update(scene.core, volume.id, offline, description="test")).result()
    assert scene.exporter.exports == {}
    assert (await scene.core.get(m.Volume, volume.id)).attachments


async def test_a_node_is_detached_from_a_volume_that_went_missing(scene: Scene) -> None:
    volume, group = await scene.volume(), await scene.group(ONE)
    await scene.attach(volume, NewAttachment(host_group_id=group.id))
    await scene.pool.backend.delete(volume.id)
    (pool,) = scene.core.pools
    await Reconciler(scene.core, pool, SilentObserver()).run()
    assert (await scene.core.get(m.Volume, volume.id)).state is m.VolumeState.ERROR
    await scene.detach(volume, str(group.id), force=True)
    assert (await scene.core.get(m.Volume, volume.id)).attachments == ()
    assert scene.exporter.exports == {}
    await hosts.delete(scene.core, group.id)


# --- host groups ---


async def test_a_group_is_kept_while_it_has_volumes(scene: Scene) -> None:
    volume, group = await scene.volume(), await scene.group(ONE)
    await scene.attach(volume, NewAttachment(host_group_id=group.id))
    with pytest.raises(errors.InUse):
        await hosts.delete(scene.core, group.id)
    with pytest.raises(errors.InUse):
        await hosts.remove_initiator(scene.core, group.id, ONE)
    await hosts.remove_initiator(scene.core, group.id, ONE.upper(), force=True)
    assert [access.initiators for access in scene.exporter.access(volume)] == [()]
    await hosts.put_initiators(scene.core, group.id, [m.Initiator(name=TWO.upper(), comment="two")])
    assert [access.initiators for access in scene.exporter.access(volume)] == [(TWO,)]
    with pytest.raises(errors.NotFound):
        await hosts.remove_initiator(scene.core, group.id, ONE, force=True)
    await scene.detach(volume, str(group.id))
    await hosts.delete(scene.core, group.id)
    with pytest.raises(errors.NotFound):
        await scene.core.get(m.HostGroup, group.id)


async def test_a_group_has_a_name_of_its_own_and_each_initiator_once(scene: Scene) -> None:
    await scene.group(ONE)
    with pytest.raises(errors.AlreadyExists):
        await scene.group(TWO)
    for names, field in (((ONE, ONE.upper()), "initiators.name"), (("nobody",), "initiators.name")):
        with pytest.raises(errors.InvalidArgument) as caught:
            await scene.group(*names, name="other")
        assert caught.value.field == field
    with pytest.raises(errors.InvalidArgument) as caught:
        await scene.group(name="a/b")
    assert caught.value.field == "name"


# --- logins ---


async def test_where_one_has_to_prove_itself_the_others_stay_out(scene: Scene) -> None:
    volume, group = await scene.volume(), await scene.group(ONE, TWO)
    await scene.attach(volume, NewAttachment(host_group_id=group.id))
    assert scene.exporter.access(volume)[0].initiators == (ONE, TWO)
    login = await scene.login(ONE, target_user="gateway", target_password=Secret(OWN_PASSWORD))
    (access,) = scene.exporter.access(volume)
    assert access.initiators == (ONE,)
    assert [(one.user, one.password) for one in access.logins] == [("anna", Secret(PASSWORD))]
    assert access.target_login is not None
    assert access.target_login.password == Secret(OWN_PASSWORD)
    await logins.update(scene.core, login.id, kind=m.LoginKind.DENY, user="anna", target_user="")
    assert [(a.initiators, a.logins) for a in scene.exporter.access(volume)] == [((TWO,), ())]
    await logins.delete(scene.core, login.id)
    assert scene.exporter.access(volume)[0].initiators == (ONE, TWO)


async def test_the_default_login_is_that_of_all_without_one(scene: Scene) -> None:
    volume, group = await scene.volume(), await scene.group(ONE, TWO)
    await scene.attach(volume, NewAttachment(host_group_id=group.id))
    await scene.login("default", kind=m.LoginKind.DENY, password=None, user="")
    assert scene.exporter.access(volume)[0].initiators == ()
    await scene.login(TWO)
    assert scene.exporter.access(volume)[0].initiators == (TWO,)


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("user", {"user": ""}),
        ("user", {"user": "a b"}),
        ("user", {"user": "a,b"}),
        ("user", {"user": "u" * 129}),
        ("target_user", {"target_user": "a\tb"}),
        ("target_user", {"target_user": "anna"}),
        ("password", {"password": None}),
        ("password", {"password": Secret("short")}),
        ("password", {"password": Secret("p" * 129)}),
        ("password", {"password": Secret("with a space 1")}),
        ("password", {"password": Secret("ünterschied-12")}),
        ("target_password", {"target_user": "gateway", "target_password": Secret("short")}),
        ("initiator", {"initiator": "nobody"}),
    ],
)
async def test_a_bad_login_is_refused_by_the_name_of_the_field(
    scene: Scene, field: str, change: dict[str, object]
) -> None:
    with pytest.raises(errors.InvalidArgument) as caught:
        await scene.login(**change)  # type: ignore[arg-type]
    assert caught.value.field == field
    for value in change.values():
        assert not isinstance(value, Secret) or value.reveal() not in str(caught.value)
    assert (await scene.core.catalog.page(m.InitiatorLogin, Query())).records == ()


def settings(folder: Path) -> dict[str, str]:
    """Give everything that the catalog keeps beside records."""
    with sqlite3.connect(folder / "catalog.sqlite") as catalog:
        return dict(catalog.execute("SELECT name, value FROM setting"))


async def test_passwords_are_kept_as_long_as_their_login_and_nowhere_else(scene: Scene, tmp_path: Path) -> None:
    volume = await scene.volume()
    await scene.attach(volume, NewAttachment(node="host1", initiators=(ONE,)))
    login = await scene.login(target_user="gateway", target_password=Secret(OWN_PASSWORD))
    with pytest.raises(errors.AlreadyExists):
        await scene.login(password=Secret("another-secret-3"))
    assert "another-secret-3" not in settings(tmp_path).values()
    assert await scene.core.catalog.setting(password_key(login.id)) == PASSWORD
    manifest = await scene.pool.backend.manifest()
    assert manifest is not None
    notes = [one.note.document async for one in scene.pool.backend.scan() if one.note is not None]
    with sqlite3.connect(tmp_path / "catalog.sqlite") as catalog:
        tables = [name for (name,) in catalog.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        rows = [str(row) for name in tables if name != "setting" for row in catalog.execute(f"SELECT * FROM {name}")]
    for secret in (PASSWORD, OWN_PASSWORD):
        assert not any(secret in row for row in rows)
        assert not any(secret.encode() in text for text in (manifest, *notes))
        assert secret not in repr(scene.exporter.exports)
        assert secret not in str(await volumes.access(scene.core, volume.id))
    await logins.delete(scene.core, login.id)
    assert not {PASSWORD, OWN_PASSWORD} & set(settings(tmp_path).values())


async def test_passwords_go_with_their_tenant(scene: Scene, tmp_path: Path) -> None:
    login = await scene.login(target_user="gateway", target_password=Secret(OWN_PASSWORD))
    await tenants.delete(scene.core, login.tenant_id)
    assert not {PASSWORD, OWN_PASSWORD} & set(settings(tmp_path).values())


async def test_a_login_keeps_its_password_through_changes_and_needs_one(scene: Scene) -> None:
    login = await scene.login(kind=m.LoginKind.NONE, password=None)
    with pytest.raises(errors.InvalidArgument) as caught:
        await logins.update(scene.core, login.id, kind=m.LoginKind.CHAP, user="anna", target_user="")
    assert caught.value.field == "password"
    chap = {"kind": m.LoginKind.CHAP, "user": "anna", "target_user": ""}
    await logins.update(scene.core, login.id, **chap, password=Secret(PASSWORD))  # type: ignore[arg-type]
    await logins.update(scene.core, login.id, kind=m.LoginKind.NONE, user="anna", target_user="")
    await logins.update(scene.core, login.id, **chap)  # type: ignore[arg-type]
    assert await scene.core.catalog.setting(password_key(login.id)) == PASSWORD


async def test_a_rebuilt_catalog_has_everything_but_passwords_and_lets_nobody_in(scene: Scene, tmp_path: Path) -> None:
    volume, group = await scene.volume(multi_attach=True), await scene.group(ONE)
    await scene.attach(volume, NewAttachment(host_group_id=group.id))
    await scene.attach(volume, NewAttachment(node="host2", initiators=(TWO,)))
    login = await scene.login()
    before = await scene.core.get(m.Volume, volume.id)
    folder = tmp_path / "rebuilt"
    folder.mkdir()
    exporter = PaperBlocks()
    async with core_on(folder, [scene.pool], block={m.Transport.ISCSI: exporter}, tenants=()) as core:
        findings = await rebuild(core, SilentObserver())
        assert [finding.kind for finding in findings if "password" in finding.why] == ["initiator login"]
        assert (await core.get(m.Volume, volume.id)).attachments == before.attachments
        assert (await core.get(m.HostGroup, group.id)).initiators == group.initiators
        assert (await core.get(m.InitiatorLogin, login.id)).user == "anna"
        assert await core.catalog.setting(password_key(login.id)) is None
        await core.publisher.converge(volume.id)
        assert {access.initiators for access in exporter.access(before)} == {(), (TWO,)}
        again = {"kind": m.LoginKind.CHAP, "user": "anna", "target_user": "", "password": Secret(PASSWORD)}
        await logins.update(core, login.id, **again)  # type: ignore[arg-type]
        assert {access.initiators for access in exporter.access(before)} == {(ONE,), (TWO,)}


# --- services ---


async def test_a_stopped_service_publishes_nothing(scene: Scene) -> None:
    volume = await scene.volume()
    attachment = await scene.attach(volume, NewAttachment(node="host1", initiators=(ONE,)))
    tenant, _ = await tenant_and_pool(scene.core)
    service = m.IscsiService(target="iqn.2024-07.internal:mine")
    for enabled in (False, True):
        stopped = msgspec.structs.replace(service, enabled=enabled)
        await tenants.update(scene.core, tenant.id, tenants.TenantChange(iscsi=stopped))
        assert bool(scene.exporter.access(volume)) is enabled
    (access,) = scene.exporter.access(volume)
    assert (access.id, access.target) == (attachment.id, "iqn.2024-07.internal:mine:host1")


# --- conversion ---


async def test_an_empty_volume_of_files_becomes_one_of_blocks(scene: Scene) -> None:
    files = await make(scene.core, "files")
    job = await volumes.convert(scene.core, files.id, size=24 * MIB, annotations={"door": "1"}, description="test")
    await job.result()
    found = await scene.core.get(m.Volume, files.id)
    assert (found.id, found.kind, found.size) == (files.id, m.VolumeKind.BLOCK, 24 * MIB)
    assert found.generation == files.generation + 1
    assert found.annotations == {"door": "1"}
    await scene.attach(found, NewAttachment(node="host1", initiators=(ONE,)))
    with pytest.raises(errors.Unsupported):
        await volumes.convert(scene.core, files.id, size=MIB, annotations={}, description="test")


async def test_what_is_used_is_not_converted(scene: Scene) -> None:
    mounted = await make(scene.core, "mounted", junction_path="/mounted")
    with pytest.raises(errors.InUse) as caught:
        await volumes.convert(scene.core, mounted.id, size=20 * MIB, annotations={}, description="test")
    assert caught.value.by == "export"
    plain = await make(scene.core, "plain")
    with pytest.raises(errors.LimitExceeded):
        await volumes.convert(scene.core, plain.id, size=0, annotations={}, description="test")
