"""By which way a node reaches a volume, and with what its initiators log in."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest
from core_scene import PaperExporter, tenant_and_pool
from native_scene import Scene, native_door
from test_block_publications import PaperBlocks

from gateway.client import native
from gateway.core import attachments, hosts, logins, tenants, volumes
from gateway.core.exporter import BlockAccess, BlockExport
from gateway.core.handles import AccessHandle, LocalPath, NbdExport
from gateway.core.model import Initiator, InitiatorLogin, LoginKind, TenantState, Transport, Volume
from gateway.core.ownership import Access, Ownership
from gateway.core.query import Query
from gateway.core.secret import Secret
from gateway.core.targets import password_key, service_of
from gateway.core.volumes import VolumeChange
from gateway.frontends.native import model
from gateway.frontends.native.here import is_here

HOST, OTHER = "iqn.1993-08.org.debian:01:host", "iqn.1993-08.org.debian:01:other"
ALL_WAYS = ("nbd", "nfs", "iscsi", "local")


class Paper(PaperBlocks):
    """Says how its exports are reached over a transport."""

    def __init__(self, transport: Transport) -> None:
        super().__init__()
        self._transport = transport

    def handle(self, export: BlockExport, access: BlockAccess) -> AccessHandle:  # type: ignore[override]
        match self._transport:
            case Transport.LOCAL:
                return LocalPath(path=f"/dev/paper/{export.id}", read_only=not access.write)
            case Transport.NBD:
                return NbdExport(address="127.0.0.1", port=10809, name=access.target)
            case _:
                return msgspec.structs.replace(super().handle(export, access), chap=bool(access.logins))


class Bed:
    def __init__(self, door: Scene, blocks: dict[Transport, Paper], volume: native.Volume) -> None:
        self.door = door
        self.core = door.core
        self.blocks = blocks
        self.volume = volume

    @property
    def iscsi(self) -> Paper:
        return self.blocks[Transport.ISCSI]

    def attach(self, node: str = "rack1", volume: native.Volume | None = None, **more: Any) -> Any:
        given = {"ways": ALL_WAYS, "initiators": (HOST,), **more}
        return native.attach((volume or self.volume).id, native.NewAttachment(node=node, **given))

    async def logins(self) -> list[InitiatorLogin]:
        return list((await self.core.catalog.page(InitiatorLogin, Query())).records)

    async def login(self, kind: LoginKind, initiator: str = HOST, **more: Any) -> InitiatorLogin:
        tenant, _ = await tenant_and_pool(self.core)
        return await logins.create(
            self.core, logins.NewLogin(tenant_id=tenant.id, initiator=initiator, kind=kind, **more)
        )


@pytest.fixture
async def bed(tmp_path: Path) -> AsyncIterator[Bed]:
    blocks = {transport: Paper(transport) for transport in (Transport.ISCSI, Transport.NBD)}
    async with native_door(tmp_path, block=blocks) as door:
        yield Bed(door, blocks, await door.make("disk", kind="block"))


def own_address() -> str:
    """Give an address of this host that is not loopback, or the loopback one where there is none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])


def test_which_nodes_are_this_host() -> None:
    name = socket.gethostname()
    assert is_here(name, ())
    assert is_here(name, ("127.0.0.1", "nonsense"))
    assert not is_here(name, ("203.0.113.77", "127.0.0.1"))
    assert not is_here("localhost", ("127.0.0.1", "::1", "0.0.0.0", "nonsense", "203.0.113.77", "2001:db8::77"))
    mine = own_address()
    assert is_here("elsewhere", (mine, f"::ffff:{mine}")) is (mine != "127.0.0.1")


async def test_pools_say_by_which_ways(bed: Bed) -> None:
    (pool,) = await bed.door.run(native.pools())
    assert pool.kinds["block"].ways == ("local", "iscsi", "nbd")
    assert pool.kinds["filesystem"].ways == ("local",)
    assert pool.kinds["filesystem"].addresses == ()


async def test_the_first_way_that_leads_there_is_chosen(bed: Bed) -> None:
    run, node = bed.door.run, socket.gethostname()
    here = await run(bed.attach(node))
    assert (here.attachment, here.login) == (native.Attachment(node=node, transport="local"), None)
    assert (here.handle.kind, here.handle.path) == ("local_path", f"/volumes/{bed.volume.id}")
    there = await run(bed.attach("rack1", addresses=("127.0.0.1", "203.0.113.7")))
    assert (there.attachment.transport, there.attachment.lun, there.handle.kind) == ("iscsi", 1, "iscsi")
    assert there.handle.target.endswith(":rack1")
    bare = await run(bed.attach("rack2", initiators=(), mode="ro"))
    assert (bare.attachment.transport, bare.attachment.mode, bare.handle.kind) == ("nbd", "ro", "nbd")
    shown = await run(native.volume(bed.volume.id))
    assert [each.node for each in shown.attachments] == [node, "rack1", "rack2"]
    await bed.door.refused(native.delete_volume(bed.volume.id), "InUse", by="attachments")
    for each in shown.attachments:
        await run(native.detach(bed.volume.id, each.node))
        await run(native.detach(bed.volume.id, each.node))
    assert (await run(native.volume(bed.volume.id))).attachments == ()


async def test_a_device_of_an_exporter_goes_before_the_pools_own(tmp_path: Path) -> None:
    async with native_door(tmp_path, block={Transport.LOCAL: Paper(Transport.LOCAL)}) as door:
        volume = await door.make("disk", kind="block")
        new = native.NewAttachment(node=socket.gethostname(), ways=("local",), mode="ro")
        found = await door.run(native.attach(volume.id, new))
        assert (found.handle.path, found.handle.read_only) == (f"/dev/paper/{volume.id}", True)


async def test_no_way_is_told_with_what_there_is(bed: Bed) -> None:
    refused = bed.door.refused
    error = await refused(bed.attach(ways=("nfs",)), "Unsupported", capability="attach", backend="memory")
    assert error.fields["reason"] == "offered: local, iscsi, nbd; the node can use: nfs"
    error = await refused(bed.attach(ways=("local", "iscsi"), initiators=()), "Unsupported")
    assert "local: the node is another host" in error.fields["reason"]
    assert "iscsi: the node names no initiator" in error.fields["reason"]
    files = await bed.door.make("files")
    error = await refused(bed.attach(volume=files), "Unsupported")
    assert error.fields["reason"].startswith("offered: local; the node can use: nbd, nfs, iscsi, local")
    tenant, _ = await tenant_and_pool(bed.core)
    off = msgspec.structs.replace(service_of(tenant), enabled=False)
    await tenants.update(bed.core, tenant.id, tenants.TenantChange(iscsi=off))
    error = await refused(bed.attach(ways=("iscsi",)), "Unsupported")
    assert "iscsi: the tenant's service is off" in error.fields["reason"]
    await tenants.update(bed.core, tenant.id, tenants.TenantChange(state=TenantState.STOPPED))
    await refused(bed.attach(), "InvalidState", kind="tenant", state="stopped")


async def test_files_are_attached_over_nfs(tmp_path: Path) -> None:
    exporter = PaperExporter()
    async with native_door(tmp_path, exporter=exporter) as door:
        (pool,) = await door.run(native.pools())
        assert pool.kinds["filesystem"].ways == ("local", "nfs")
        assert pool.kinds["filesystem"].addresses == ("127.0.0.1",)
        assert pool.kinds["block"].addresses == ()
        volume = await door.make("files")
        new = native.NewAttachment(node="rack1", ways=("iscsi", "nfs"), addresses=("203.0.113.7",), mode="ro")
        found = await door.run(native.attach(volume.id, new))
        assert (found.handle.kind, found.handle.path) == ("nfs", "/files")
        (export,) = exporter.exports.values()
        assert (export.rules[0].clients, export.rules[0].write) == (("203.0.113.7",), False)


async def test_the_same_again_gives_the_same_and_another_initiator_something_new(bed: Bed) -> None:
    first = await bed.door.run(bed.attach())
    assert await bed.door.run(bed.attach()) == first
    bed.iscsi.connected = {HOST}
    await bed.door.refused(bed.attach(initiators=(OTHER,)), "InUse", by="sessions")
    await bed.door.refused(bed.attach(mode="ro"), "InUse", by="sessions")
    bed.iscsi.connected = set()
    assert (await bed.door.run(bed.attach(initiators=(OTHER.upper(),)))).attachment == first.attachment
    assert bed.iscsi.names(next(iter(bed.iscsi.exports))) == {OTHER}
    assert (await bed.door.run(bed.attach(initiators=(OTHER,), mode="ro"))).attachment.mode == "ro"


async def test_a_way_that_was_chosen_stays_while_it_can_be_used(bed: Bed) -> None:
    node = socket.gethostname()
    assert (await bed.door.run(bed.attach(node, ways=("iscsi",)))).attachment.transport == "iscsi"
    assert (await bed.door.run(bed.attach(node))).attachment.transport == "iscsi"
    assert (await bed.door.run(bed.attach(node, ways=("local",)))).attachment.transport == "local"


async def test_others_may_write_too_unless_it_is_said(bed: Bed) -> None:
    await bed.door.run(bed.attach())
    await bed.door.refused(bed.attach("rack2", initiators=(OTHER,), shared=False), "InUse", by="attachments")
    await bed.door.run(bed.attach("rack2", initiators=(OTHER,)))


async def test_what_another_door_maps_is_left_alone(bed: Bed) -> None:
    tenant, _ = await tenant_and_pool(bed.core)
    both = (Initiator(name=HOST),)
    group = await hosts.create(bed.core, hosts.NewHostGroup(name="g", tenant_id=tenant.id, initiators=both))
    volume = await bed.core.find(Volume, name="disk")
    assert volume is not None
    new = attachments.NewAttachment(host_group_id=group.id)
    await (await attachments.attach(bed.core, volume.id, new, description="test")).result()
    await bed.door.refused(bed.attach(str(group.id)), "AlreadyExists", kind="attachment")
    await bed.door.refused(bed.attach(chap=True), "InUse", kind="initiator", ref=HOST)


async def test_initiators_get_a_login_of_their_own(bed: Bed) -> None:
    first = await bed.door.run(bed.attach(chap=True))
    assert first.login is not None
    assert first.handle.chap
    assert len(first.login.password) >= 16
    assert await bed.door.run(bed.attach(chap=True)) == first
    other = await bed.door.make("other", kind="block")
    again = await bed.door.run(bed.attach(volume=other, chap=True))
    assert (again.login, again.attachment.lun) == (first.login, 2)
    (login,) = await bed.logins()
    assert (login.initiator, login.kind, login.user) == (HOST, LoginKind.CHAP, first.login.user)
    (access,) = next(iter(bed.iscsi.exports.values())).access
    assert [each.password.reveal() for each in access.logins] == [first.login.password]
    for trace in bed.door.traces:
        assert first.login.password not in repr(trace)
    shown = model.Login(user="u", password="very-secret")
    assert "very-secret" not in repr(shown)


async def test_a_login_that_is_there_is_told_also_when_nobody_asks_for_one(bed: Bed) -> None:
    asked = (await bed.door.run(bed.attach(chap=True))).login
    other = await bed.door.make("other", kind="block")
    found = await bed.door.run(bed.attach(volume=other))
    assert (found.login, found.handle.chap) == (asked, True)
    mine = await bed.door.make("mine", kind="block", who="alice")
    assert (await bed.door.run(bed.attach("rack2", volume=mine), "alice")).login is None


async def test_a_login_that_lost_its_password_gets_another(bed: Bed) -> None:
    first = await bed.door.run(bed.attach(chap=True))
    (login,) = await bed.logins()
    await bed.core.catalog.put_setting(password_key(login.id), "")
    again = await bed.door.run(bed.attach(chap=True))
    assert first.login is not None
    assert again.login is not None
    assert again.login.user == first.login.user
    assert again.login.password != first.login.password


async def test_what_the_operator_said_of_logins_counts(bed: Bed) -> None:
    await bed.login(LoginKind.CHAP, user="anna", password=Secret("correct-horse-1"))
    assert (await bed.door.run(bed.attach(chap=True))).login == native.Login(user="anna", password="correct-horse-1")
    await bed.login(LoginKind.NONE, OTHER)
    assert (await bed.door.run(bed.attach("rack2", initiators=(OTHER,), chap=True))).login is None
    await bed.login(LoginKind.DENY, "default")
    await bed.door.refused(bed.attach("rack3", initiators=(f"{OTHER}3",), chap=True), "PermissionDenied")


async def test_a_login_is_told_to_its_caller_and_to_administrators(bed: Bed) -> None:
    mine, theirs = [await bed.door.make(name, kind="block", who=name) for name in ("alice", "bob")]
    told = await bed.door.run(bed.attach(volume=mine, chap=True), "alice")
    assert told.login is not None
    assert (await bed.door.run(bed.attach(volume=mine, chap=True), "alice")).login == told.login
    assert (await bed.door.run(bed.attach(volume=mine, chap=True))).login == told.login
    error = await bed.door.refused(bed.attach(volume=theirs, chap=True), "PermissionDenied", "bob")
    assert told.login.password not in str(error)
    assert told.login.user not in str(error)


async def test_nobody_makes_himself_a_login_for_anothers_volumes(bed: Bed) -> None:
    mine, theirs = [await bed.door.make(name, kind="block", who=name) for name in ("alice", "bob")]
    # Before the others attach theirs: they learn that the login is not only their own, administrators too.
    known = await bed.door.run(bed.attach("hers", volume=mine, chap=True), "alice")
    assert known.login is not None
    await bed.door.refused(bed.attach("his", volume=theirs, chap=True), "PermissionDenied")
    await bed.door.refused(bed.attach("root's", chap=True), "PermissionDenied")
    await bed.door.refused(bed.attach("his", volume=theirs), "PermissionDenied", "bob")
    assert (await bed.door.run(bed.attach("hers", volume=mine, chap=True))).login == known.login
    # After it, by whatever node.
    new = {"initiators": (OTHER,), "chap": True}
    await bed.door.run(bed.attach("his", volume=theirs, initiators=(OTHER,)), "bob")
    await bed.door.refused(bed.attach("hers2", volume=mine, **new), "InUse", "alice", kind="initiator")
    assert [login.initiator for login in await bed.logins()] == [HOST]


async def test_what_administrators_made_is_for_all_of_them(bed: Bed) -> None:
    login = (await bed.door.run(bed.attach(chap=True))).login
    theirs = await bed.door.make("theirs", kind="block", who="bob")
    assert (await bed.door.run(bed.attach(volume=theirs, chap=True))).login == login
    await bed.door.refused(bed.attach("his", volume=theirs, chap=True), "PermissionDenied", "bob")


async def test_nobody_sees_the_volumes_of_anothers_node(bed: Bed) -> None:
    mine, theirs = [await bed.door.make(name, kind="block", who=name) for name in ("alice", "bob")]
    first = await bed.door.run(bed.attach(volume=theirs), "bob")
    await bed.door.refused(bed.attach(volume=mine, initiators=(OTHER,)), "PermissionDenied", "alice")
    assert (await bed.door.run(native.volume(mine.id), "alice")).attachments == ()
    other = await bed.door.run(bed.attach("rack2", volume=mine, initiators=(OTHER,)), "alice")
    assert other.handle.target != first.handle.target
    again = await bed.door.make("bob2", kind="block", who="bob")
    assert (await bed.door.run(bed.attach(volume=again, initiators=(OTHER,)), "bob")).attachment.lun == 2
    assert (await bed.door.run(bed.attach(initiators=(OTHER,)))).attachment.lun == 3


async def test_who_may_only_read_makes_no_login(bed: Bed) -> None:
    volume = await bed.door.make("shown", kind="block", who="bob")
    change = VolumeChange(ownership=Ownership(owner="bob", public=Access.READ))
    await (await volumes.update(bed.core, UUID(volume.id), change, description="test")).result()
    await bed.door.refused(bed.attach(volume=volume, chap=True), "PermissionDenied", "alice")
    assert await bed.logins() == []


async def test_who_is_connected_without_a_login_is_not_cut_off_by_one(bed: Bed) -> None:
    await bed.door.run(bed.attach())
    other = await bed.door.make("other", kind="block")
    await bed.door.refused(bed.attach(volume=other, chap=True), "InUse", kind="initiator", by="attachments")
    assert await bed.logins() == []
    await bed.door.run(native.detach(bed.volume.id, "rack1"))
    assert (await bed.door.run(bed.attach(volume=other, chap=True))).login is not None
