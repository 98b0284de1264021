"""Pools on a Perforce server, as the stand-in has it: opening, refusals, and what others do meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID, uuid4

import pytest
from perforce_scene import SIZE, Scene, note, scene, spec

from gateway.backends.perforce import PerforceOptions
from gateway.backends.perforce.failures import CLASSES, ERRORS, MESSAGES, Meaning, refusal
from gateway.backends.perforce.opening import NEVER_TRIED
from gateway.backends.perforce.records import PoolRecord, encode
from gateway.core.errors import AlreadyExists, Busy, GatewayError, Internal, InUse, Unavailable
from gateway.testing.perforce import DEPOT, StandIn
from gateway.testing.perforce.state import Message, State

# --- opening ---


def _nothing_submitted(state: State) -> None:
    state.changes.clear()
    state.files.clear()


def _label(description: str) -> Callable[[State], None]:
    def prepare(state: State) -> None:
        state.forms["label"][f"gateway-{DEPOT}-pool"] = {"Update": "now", "Owner": "x", "Description": description}

    return prepare


def _set(**values: object) -> Callable[[State], None]:
    def prepare(state: State) -> None:
        for name, value in values.items():
            setattr(state, name, value)

    return prepare


@pytest.mark.parametrize(
    ("prepare", "reason"),
    [
        (_set(depots={}), "there is no depot volumes"),
        (_set(depots={DEPOT: "local"}), "depot volumes is none of streams"),
        (_set(depth="2"), "2 levels deep"),
        (_set(version="2015.2"), "the server is 2015.2; the gateway takes 2016.1 and later"),
        (_set(version="new"), "does not tell its version"),
        (_set(permission="write"), "needs the permission admin for //volumes/... and has write"),
        (_set(permission="admin"), "may not ask for the depot's disk"),
        (_nothing_submitted, "nothing was submitted to the server yet"),
        (_label("something else"), "cannot be read"),
        (_label(encode("A later one", PoolRecord(uuid4(), 2))), "has format 2, this release knows 1"),
    ],
)
async def test_what_cannot_be_used_says_why(prepare: Callable[[State], None], reason: str) -> None:
    at = Scene()
    prepare(at.server.state)
    with pytest.raises(Unavailable) as caught:
        await at.backend.open()
    assert reason in str(caught.value.reason)
    with pytest.raises(Unavailable):
        at.backend.describe()
    assert at.forms("stream") == {}


async def test_a_server_without_protections_is_open_to_everybody() -> None:
    server = StandIn()
    server.state.protected = False
    async with scene(server) as at:
        await at.volume(a=b"alpha")


async def test_remarks_say_what_was_never_tried() -> None:
    server = StandIn()
    server.state.version, server.state.folds_case = "2023.2", True
    async with scene(server) as at:
        remarks = at.backend.describe().remarks
        assert remarks[0] == NEVER_TRIED
        assert "alone for one" in remarks[-1]
        assert not any("sparse" in remark for remark in remarks)
    server.state.version = "2024.1"
    async with scene(server) as at:
        assert any("sparse" in remark for remark in at.backend.describe().remarks)


@pytest.mark.parametrize("depot", ["", "//volumes", "volumes/", "-v", "two words", "*"])
def test_a_depot_is_named_alone(depot: str) -> None:
    with pytest.raises(ValueError, match="depot"):
        PerforceOptions(port="1666", depot=depot, user="gateway")


async def test_depots_of_one_server_are_pools_of_their_own() -> None:
    server = StandIn()
    server.state.depots["volumes-v"] = "stream"
    async with scene(server) as one, scene(server) as other:
        await other.backend.close()
        other.options = PerforceOptions(port="1666", depot="volumes-v", user="gateway")
        other.backend = other.fresh()
        await other.backend.open()
        assert one.backend.describe().id != other.backend.describe().id
        volume = await one.volume(a=b"alpha")
        await one.snapshot(volume)
        assert await other.picture() == {"manifest": None}


# --- what is not ours ---


async def test_what_is_not_ours_is_reported_and_left_alone() -> None:
    async with scene() as at:
        taken = uuid4()
        connection = at.server.connect("somebody")
        for stream in (f"//{DEPOT}/main", f"//{DEPOT}/v-{taken.hex}"):
            form = connection.run("stream", "-o", "-t", "mainline", stream)[0]
            connection.run("stream", "-i", form={**form, "Owner": "somebody"})
        label = f"gateway-{DEPOT}-v-{uuid4().hex}-s-{uuid4().hex}"
        connection.run("label", "-i", form={"Label": label, "Owner": "somebody", "Options": "unlocked"})
        await at.killed()
        assert [(seen.id, seen.place) async for seen in at.backend.scan()] == [
            (None, f"//{DEPOT}/main"),
            (None, f"//{DEPOT}/v-{taken.hex}"),
        ]
        assert [(seen.id, seen.place) async for seen in at.backend.scan_snapshots()] == [(None, label)]
        with pytest.raises(AlreadyExists):
            await at.backend.create(spec(taken))
        await at.backend.delete(taken)
        assert len(at.forms("stream")) == 2


async def test_lists_may_cut_descriptions_short() -> None:
    async with scene() as at:
        volume = await at.volume(a=b"alpha")
        await at.snapshot(volume)
        whole = await at.picture()
        at.server.state.short_descriptions = True
        await at.killed()
        assert await at.picture() == whole


async def test_what_people_change_in_a_stream_s_form_stays() -> None:
    async with scene() as at:
        volume = await at.volume()
        name = f"//{DEPOT}/v-{volume.hex}"
        connection = at.server.connect()
        form = connection.run("stream", "-o", name)[0]
        connection.run("stream", "-i", form={**form, "Paths": ["share ...", "exclude tmp/..."]})
        await at.backend.annotate(volume, note("renamed"))
        assert at.forms("stream")[name]["Paths"] == ["share ...", "exclude tmp/..."]


# --- a server that goes away ---


async def test_a_server_that_was_away_is_found_again() -> None:
    async with scene() as at:
        volume = await at.volume(a=b"alpha")
        at.server.stop()
        with pytest.raises(Unavailable):
            await at.backend.inspect(volume)
        with pytest.raises(Unavailable):
            await at.backend.annotate(volume, note("changed"))
        at.server.start()
        await at.backend.annotate(volume, note("changed"))
        seen = await at.backend.inspect(volume)
        assert seen is not None
        assert seen.note == note("changed")


async def test_tickets_run_out_unnoticed() -> None:
    async with scene() as at:
        volume = await at.volume(a=b"alpha")
        at.server.log_out()
        await at.backend.annotate(volume, note("changed"))


async def test_a_change_is_not_given_twice() -> None:
    async with scene() as at:
        volume, snapshot = await at.volume(a=b"alpha"), uuid4()

        def lose(point: str) -> None:
            if point == "perforce.snapshot.begun":
                at.server.commands.clear()
                at.server.stop()

        at.faults.watch = lose
        with pytest.raises(Unavailable):
            await at.backend.snapshot(volume, snapshot, note("snapshot"))
        assert at.server.commands == []
        at.faults.watch = None
        at.server.start()
        await at.backend.snapshot(volume, snapshot, note("snapshot"))


async def test_rights_that_are_taken_away() -> None:
    async with scene(size=SIZE) as at:
        volume = await at.volume(a=b"alpha")
        at.server.state.permission = "read"
        with pytest.raises(Unavailable) as caught:
            await at.backend.annotate(volume, note("changed"))
        assert caught.value.reason == "the server's protections do not let its user do this"


# --- what others do ---


async def test_a_volume_with_workspaces_or_streams_of_others_is_not_deleted() -> None:
    async with scene() as at:
        volume = await at.volume(a=b"alpha")
        stream = f"//{DEPOT}/v-{volume.hex}"
        connection = at.server.connect("somebody")
        form = connection.run("client", "-o", "-S", stream, "desk")[0]
        connection.run("client", "-i", form=form)
        await _assert_in_use(at, volume, "sessions")
        connection.run("client", "-d", "desk")
        form = connection.run("stream", "-o", f"//{DEPOT}/dev")[0]
        connection.run("stream", "-i", form={**form, "Parent": stream, "Owner": "somebody"})
        await _assert_in_use(at, volume, "volumes")
        connection.run("stream", "-d", f"//{DEPOT}/dev")
        snapshot = await at.snapshot(volume)
        await _assert_in_use(at, volume, "snapshots")
        await at.backend.delete_snapshot(volume, snapshot)
        await at.backend.delete(volume)
        await at.assert_tidy()


async def _assert_in_use(at: Scene, volume: UUID, by: str) -> None:
    with pytest.raises(InUse) as caught:
        await at.backend.delete(volume)
    assert caught.value.by == by
    assert await at.files(volume) == {"a": b"alpha"}


async def test_a_workspace_made_while_a_volume_is_deleted_delays_it() -> None:
    async with scene() as at:
        volume = await at.volume(a=b"alpha")
        stream = f"//{DEPOT}/v-{volume.hex}"
        connection = at.server.connect("somebody")

        def join(point: str) -> None:
            if point == "perforce.delete.emptied":
                form = connection.run("client", "-o", "-S", stream, "desk")[0]
                connection.run("client", "-i", form=form)

        at.faults.watch = join
        with pytest.raises(InUse):
            await at.backend.delete(volume)
        at.faults.watch = None
        assert await at.backend.inspect(volume) is None
        await at.killed()
        assert await at.backend.inspect(volume) is None
        connection.run("client", "-d", "desk")
        await at.backend.delete(volume)
        await at.assert_tidy()


async def test_a_restore_is_whole_or_is_not_submitted() -> None:
    async with scene() as at:
        volume = await at.volume(a=b"alpha", b=b"beta")
        snapshot, token = await at.snapshot(volume), uuid4()
        await at.write(volume, a=b"changed", b=b"changed")
        held = f"//{DEPOT}/v-{volume.hex}/b"
        at.server.state.exclusive.add(held)
        with pytest.raises(Busy):
            await at.backend.restore(volume, snapshot, token)
        assert await at.files(volume) == {"a": b"changed", "b": b"changed"}
        assert not await at.backend.settle_restore(volume, token)
        await at.assert_tidy()
        at.server.state.exclusive.clear()
        await at.backend.restore(volume, snapshot, token)
        assert await at.files(volume) == {"a": b"alpha", "b": b"beta"}


async def test_what_is_submitted_during_a_restore_stops_it() -> None:
    async with scene() as at:
        volume = await at.volume(a=b"alpha")
        snapshot, token = await at.snapshot(volume), uuid4()
        await at.write(volume, a=b"changed")
        file, stream = f"//{DEPOT}/v-{volume.hex}/a", f"//{DEPOT}/v-{volume.hex}"

        def hurry(point: str) -> None:
            if point == "perforce.restore.opened":
                connection = at.server.connect("somebody")
                connection.run("client", "-i", form=connection.run("client", "-o", "-S", stream, "desk")[0])
                at.server.state.workspaces["desk"].disk[file] = b"faster"
                for command in (("sync", "-k", file), ("edit", file), ("submit", "-d", "First!")):
                    connection.run(*command, workspace="desk")
                connection.run("client", "-d", "desk")

        at.faults.watch = hurry
        with pytest.raises(Busy):
            await at.backend.restore(volume, snapshot, token)
        at.faults.watch = None
        assert await at.files(volume) == {"a": b"faster"}
        await at.assert_tidy()
        assert not await at.backend.settle_restore(volume, token)


async def test_a_restore_to_what_is_there_submits_nothing() -> None:
    async with scene() as at:
        volume = await at.volume(a=b"alpha")
        snapshot, token = await at.snapshot(volume), uuid4()
        before = len(at.server.state.changes)
        await at.backend.restore(volume, snapshot, token)
        assert len(at.server.state.changes) == before
        assert await at.backend.settle_restore(volume, token)


# --- space ---


async def test_space_is_the_disk_s_or_what_the_options_say() -> None:
    async with scene() as at:
        await at.volume(a=b"x" * 1000)
        capacity = await at.backend.capacity()
        assert (capacity.size, capacity.used) == (1 << 40, 1005)
    server = StandIn()
    server.state.permission = "admin"
    async with scene(server, size=SIZE) as at:
        volume = await at.volume(a=b"x" * 1000)
        await at.write(volume, a=b"y" * 500)
        await at.backend.clone(volume, await at.snapshot(volume), spec())
        await at.killed()
        capacity = await at.backend.capacity()
        assert (capacity.size, capacity.used, capacity.available) == (SIZE, 1500, SIZE - 1500)
        seen = await at.backend.inspect(volume)
        assert seen is not None
        assert seen.used == 500
        at.server.stop()
        with pytest.raises(Unavailable):
            await at.backend.capacity()


# --- messages ---


def test_every_meaning_has_an_error() -> None:
    assert ERRORS.keys() == set(Meaning)
    assert {*MESSAGES.values(), *CLASSES.values(), Meaning.DEFECT} == set(Meaning)
    for make in ERRORS.values():
        assert isinstance(make("pool"), GatewayError)


@pytest.mark.parametrize(
    ("message", "meaning"),
    [
        (Message(6, 581, 0x05, "a number that is known"), Meaning.WORKSPACES),
        (Message(6, 9999, 0x06, "a class that is known"), Meaning.DENIED),
        (Message(6, 9999, 0x21, "neither"), Meaning.DEFECT),
    ],
)
def test_messages_are_told_apart_by_number_then_class(message: Message, meaning: Meaning) -> None:
    assert refusal(message.number, message.generic, message.text).meaning is meaning


async def test_what_is_not_understood_is_an_incident() -> None:
    async with scene() as at:
        at.server.state.odd["label"] = Message(6, 9999, 0x21, "secret text of a server")
        with pytest.raises(Internal) as caught:
            await at.backend.put_manifest(b"new")
        assert "secret" not in str(caught.value)
