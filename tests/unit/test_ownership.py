"""Whose volumes are and who may do what with them: the rules of openstorage's ownership, one by one."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest
from core_scene import clone_of, make, snap, tenant_and_pool
from hypothesis import given
from hypothesis import strategies as st

import gateway.core
from gateway.core import attachments, clones, errors, snapshots, volumes
from gateway.core.attachments import NewAttachment
from gateway.core.change import Started
from gateway.core.context import Core
from gateway.core.model import Job, Snapshot, Volume, VolumeKind
from gateway.core.observer import SilentObserver
from gateway.core.ownership import Access, Ownership, changed, inherited, level, owned, readable, readers
from gateway.core.principal import Principal
from gateway.core.query import Compare, Or, Query
from gateway.core.rebuild import rebuild
from gateway.testing.cores import core_on, memory_pool

READ, WRITE, ADMIN = Access.READ, Access.WRITE, Access.ADMIN
ALICE = Principal(name="alice", roles=(), groups=("users",))
BOB = Principal(name="bob", roles=(), groups=("users", "testers"))
EVE = Principal(name="eve", roles=())
ROOT = Principal(name="root", roles=(), groups=("*",))
ADMIN_ROLE = Principal(name="mallory", roles=("system.admin",))
GUEST = Principal(name="", roles=("system.guest",), guest=True)
NOBODY = Principal(name="", roles=("system.admin",), groups=("*",))
MINE = Ownership(owner="alice")


# --- the access decision ---


def test_no_ownership_allows_everybody() -> None:
    assert {level(who, None) for who in (ALICE, GUEST, EVE, None)} == {ADMIN}


def test_the_gateway_itself_may_everything() -> None:
    assert level(None, MINE) is ADMIN


def test_an_empty_owner_allows_everybody() -> None:
    assert {level(who, Ownership(groups={"users": READ})) for who in (EVE, GUEST)} == {ADMIN}


@pytest.mark.parametrize("public", Access)
def test_public_allows_up_to_its_level_guests_too(public: Access) -> None:
    shared = Ownership(owner="alice", public=public)
    assert level(GUEST, shared) is level(EVE, shared) is public
    assert level(ALICE, shared) is ADMIN


def test_a_guest_gets_nothing_else() -> None:
    assert level(GUEST, Ownership(owner="alice", groups={"*": ADMIN}, collaborators={"*": ADMIN})) is None


def test_the_owner_may_everything_and_strangers_nothing() -> None:
    assert (level(ALICE, MINE), level(BOB, MINE), level(GUEST, MINE)) == (ADMIN, None, None)


def test_group_star_administers_and_role_admin_alone_does_not() -> None:
    assert (level(ROOT, MINE), level(ADMIN_ROLE, MINE)) == (ADMIN, None)


def test_the_best_of_several_groups_decides() -> None:
    assert level(BOB, Ownership(owner="alice", groups={"users": READ, "testers": WRITE})) is WRITE
    assert level(BOB, Ownership(owner="alice", groups={"users": ADMIN, "testers": READ})) is ADMIN


def test_key_star_among_groups_stands_for_every_named_caller() -> None:
    shared = Ownership(owner="alice", groups={"*": WRITE, "users": READ})
    assert (level(BOB, shared), level(EVE, shared), level(GUEST, shared)) == (WRITE, WRITE, None)


def test_collaborators_are_callers_by_name() -> None:
    shared = Ownership(owner="alice", collaborators={"bob": WRITE})
    assert (level(BOB, shared), level(EVE, shared)) == (WRITE, None)


def test_key_star_among_collaborators_stands_for_every_named_caller() -> None:
    shared = Ownership(owner="alice", collaborators={"*": READ})
    assert (level(BOB, shared), level(GUEST, shared)) == (READ, None)


def test_a_guest_is_no_owner_whatever_its_name() -> None:
    assert level(Principal(name="alice", roles=(), guest=True), MINE) is None


_names = st.sampled_from(["alice", "bob", "users", "testers", "*", "public", "user:bob"])
_rights = st.dictionaries(_names, st.sampled_from(Access), max_size=3)
_ownerships = st.none() | st.builds(
    Ownership,
    owner=st.sampled_from(["", "alice", "bob", "*"]),
    groups=_rights,
    collaborators=_rights,
    public=st.none() | st.sampled_from(Access),
)
_callers = st.builds(
    Principal,
    name=st.just("") | _names,
    roles=st.just(()),
    groups=st.lists(_names, max_size=3).map(tuple),
    guest=st.booleans(),
)


@given(ownership=_ownerships, caller=_callers)
def test_lists_show_exactly_what_may_be_read(ownership: Ownership | None, caller: Principal) -> None:
    where = readable(caller)
    if where is None:
        assert level(caller, ownership) is not None
        return
    assert isinstance(where, Or)
    asked = {term.value for term in where.terms if isinstance(term, Compare)}
    assert bool(asked & set(readers(ownership))) == (level(caller, ownership) is not None)


# --- whose new volumes are ---


def test_the_owner_of_a_new_volume_is_its_maker_whatever_it_asked_for() -> None:
    wanted = Ownership(owner="bob", groups={"users": READ})
    assert owned(ALICE, wanted) == Ownership(owner="alice", groups={"users": READ})
    assert owned(ROOT, None) == Ownership(owner="root")


def test_a_guest_makes_public_volumes() -> None:
    assert owned(GUEST, Ownership(owner="x", groups={"users": READ})) is None


def test_without_authentication_the_ownership_is_as_it_was_asked_for() -> None:
    assert owned(None, Ownership(owner="x")) == Ownership(owner="x")


def test_a_clone_by_the_owner_keeps_the_rights_and_one_by_another_drops_them() -> None:
    source = Ownership(owner="alice", groups={"users": READ})
    assert inherited(ALICE, source) == source
    assert inherited(BOB, source) == Ownership(owner="bob")
    assert inherited(BOB, None) == Ownership(owner="bob")
    assert inherited(GUEST, source) is None
    assert inherited(None, source) == source


# --- changing it ---


def test_rights_are_replaced_as_a_whole_and_the_owner_stays() -> None:
    before = Ownership(owner="alice", groups={"users": READ}, public=READ)
    assert changed(ALICE, before, Ownership(collaborators={"bob": WRITE})) == Ownership(
        owner="alice", collaborators={"bob": WRITE}
    )


def test_only_an_administrator_names_an_owner() -> None:
    for caller in (ALICE, BOB, ADMIN_ROLE, GUEST):
        with pytest.raises(errors.PermissionDenied):
            changed(caller, MINE, Ownership(owner="alice"))
    assert changed(ROOT, Ownership(owner="alice", groups={"users": READ}), Ownership(owner="bob")) == Ownership(
        owner="bob"
    )


def test_only_an_administrator_takes_an_ownership_away() -> None:
    with pytest.raises(errors.PermissionDenied):
        changed(ALICE, MINE, None)
    assert changed(ROOT, MINE, None) is None


def test_without_authentication_the_whole_is_replaced() -> None:
    assert changed(None, MINE, Ownership(public=READ)) == Ownership(public=READ)


# --- the use cases ---


@pytest.fixture
async def core(tmp_path: Path) -> AsyncIterator[Core]:
    async with core_on(tmp_path, [memory_pool()]) as made:
        yield made


async def shared(core: Core, **rights: object) -> Volume:
    return await make(core.acting_for(ALICE), "data", ownership=Ownership(**rights))  # type: ignore[arg-type]


async def update(core: Core, volume: Volume, **change: object) -> Started:
    return await volumes.update(core, volume.id, volumes.VolumeChange(**change), description="test")  # type: ignore[arg-type]


Action = Callable[[Core, Volume, Snapshot], Awaitable[Started]]


def _attach(core: Core, volume: Volume, _snapshot: Snapshot) -> Awaitable[Started]:
    return attachments.attach(core, volume.id, NewAttachment(node="n1"), description="test")


def _detach(core: Core, volume: Volume, _snapshot: Snapshot) -> Awaitable[Started]:
    return attachments.detach(core, volume.id, "n1", description="test")


def _clone(core: Core, volume: Volume, snapshot: Snapshot) -> Awaitable[Started]:
    new = clones.NewClone(name="c", tenant_id=volume.tenant_id, source_id=volume.id, snapshot_id=snapshot.id)
    return clones.create(core, new, description="test")


ACTIONS: dict[str, tuple[Access, Action]] = {
    "clone": (READ, _clone),
    "snapshot create": (
        READ,
        lambda core, v, _: snapshots.create(core, snapshots.NewSnapshot(name="n", volume_id=v.id), description="t"),
    ),
    "update": (WRITE, lambda core, v, _: update(core, v, comment="x")),
    "attach": (WRITE, _attach),
    "detach": (WRITE, _detach),
    "snapshot restore": (
        WRITE,
        lambda core, v, s: volumes.restore(core, v.id, s.id, description="t", discard_newer=False),
    ),
    "snapshot update": (
        WRITE,
        lambda core, _, s: snapshots.update(core, s.id, snapshots.SnapshotChange(comment="x"), description="t"),
    ),
    "split": (WRITE, lambda core, v, _: clones.split(core, v.id, description="t")),
    "convert": (
        WRITE,
        lambda core, v, _: volumes.convert(core, v.id, size=v.size, annotations={}, description="t"),
    ),
    "snapshot delete": (ADMIN, lambda core, _, s: snapshots.delete(core, s.id, description="t")),
    "ownership edit": (ADMIN, lambda core, v, _: update(core, v, ownership=Ownership(public=READ))),
    "delete": (ADMIN, lambda core, v, _: volumes.delete(core, v.id, description="t")),
}
"""What is done, and the least right that it takes."""


@pytest.mark.parametrize("name", ACTIONS)
async def test_required_levels(core: Core, name: str) -> None:
    """With one level less it is refused before anything else is told; with that level the refusals are others."""
    least, action = ACTIONS[name]
    for group in (None, *Access):
        rights = {} if group is None else {"testers": group}
        volume = await make(
            core.acting_for(ALICE),
            f"v{group}",
            kind=VolumeKind.BLOCK if "tach" in name else VolumeKind.FILESYSTEM,
            ownership=Ownership(groups=rights),
        )
        snapshot = await snap(core, volume, "s")
        if group is not None and group >= least:
            # Other refusals come only behind the rights.
            with suppress(errors.NotFound, errors.InvalidState, errors.InUse, errors.AlreadyExists):
                await (await action(core.acting_for(BOB), volume, snapshot)).wait()
        else:
            with pytest.raises(errors.PermissionDenied):
                await action(core.acting_for(BOB), volume, snapshot)


async def test_ways_to_the_bytes_take_the_right_to_read(core: Core) -> None:
    volume = await shared(core, collaborators={"bob": READ})
    assert await volumes.access(core.acting_for(BOB), volume.id)
    for who in (EVE, GUEST):
        with pytest.raises(errors.PermissionDenied):
            await volumes.access(core.acting_for(who), volume.id)


async def test_an_owner_grants_and_takes_back(core: Core) -> None:
    """The scenario of openstorage's own suite."""
    volume = await shared(core)
    assert volume.ownership == MINE
    await (await update(core.acting_for(ALICE), volume, ownership=Ownership(groups={"users": READ}))).result()
    with pytest.raises(errors.PermissionDenied):
        await update(core.acting_for(BOB), volume, ownership=Ownership(groups={"users": ADMIN}))
    with pytest.raises(errors.PermissionDenied):
        await update(core.acting_for(BOB), volume, ownership=Ownership())
    wider = Ownership(groups={"users": READ, "testers": WRITE})
    await (await update(core.acting_for(ROOT), volume, ownership=wider)).result()
    assert (await core.get(Volume, volume.id)).ownership == msgspec.structs.replace(wider, owner="alice")


async def test_clones_through_the_core(core: Core) -> None:
    volume = await shared(core, groups={"testers": READ})
    assert (await clone_of(core.acting_for(BOB), volume, "b")).ownership == Ownership(owner="bob")
    assert (await clone_of(core.acting_for(ALICE), volume, "a")).ownership == volume.ownership
    assert (await clone_of(core, volume, "g")).ownership == volume.ownership


@pytest.mark.parametrize(
    "wrong", [{"groups": {"": READ}}, {"collaborators": {"a\0": READ}}, {"groups": {"x" * 256: READ}}]
)
async def test_names_that_nobody_could_have(core: Core, wrong: dict[str, dict[str, Access]]) -> None:
    with pytest.raises(errors.InvalidArgument, match="ownership"):
        await shared(core, **wrong)


async def test_more_rights_than_a_note_holds(core: Core) -> None:
    with pytest.raises(errors.InvalidArgument, match="ownership"):
        await shared(core, groups={f"{n}{'x' * 200}": READ for n in range(400)})


async def test_a_job_says_whose_it_is(core: Core) -> None:
    for who, whose in ((ALICE, "alice"), (ROOT, ""), (NOBODY, ""), (GUEST, "")):
        await make(core.acting_for(who), f"v{who.name}{who.guest}")
        jobs = (await core.catalog.page(Job, Query())).records
        assert max(jobs, key=lambda job: job.revision).caller == whose


async def test_an_administrator_without_a_name_is_the_gateway_itself(core: Core) -> None:
    assert core.acting_for(NOBODY) is core
    assert (await make(core.acting_for(NOBODY), "v")).ownership is None


async def test_ownership_survives_a_rebuild(tmp_path: Path) -> None:
    pool = memory_pool()
    first, second = tmp_path / "a", tmp_path / "b"
    first.mkdir()
    second.mkdir()
    async with core_on(first, [pool]) as core:
        volume = await shared(core, groups={"users": WRITE}, public=READ)
    async with core_on(second, [pool], tenants=()) as core:
        await rebuild(core, SilentObserver())
        again = await core.get(Volume, volume.id)
        assert again.ownership == Ownership(owner="alice", groups={"users": WRITE}, public=READ)
        assert readers(again.ownership) == ["public"]


async def test_rights_outlive_a_restart(tmp_path: Path) -> None:
    async with core_on(tmp_path, [pool := memory_pool()]) as core:
        volume = await shared(core)
    async with core_on(tmp_path, [pool]) as core:
        assert (await core.get(Volume, volume.id)).ownership == MINE
        tenant, _ = await tenant_and_pool(core)
        assert await core.find(Volume, tenant__id=tenant.id, reader="user:alice") is not None


def test_every_use_case_starts_its_change_in_the_callers_name() -> None:
    """`Changes.start` knows no caller of its own: `Core.start` tells it."""
    for path in Path(gateway.core.__file__).parent.glob("*.py"):
        if path.name != "context.py":
            assert re.search(r"\bchanges\.start\(", path.read_text(encoding="utf-8")) is None, path.name
