"""What ZFS does that one has to know, and what others do to a pool behind the gateway's back."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from zfs_scene import BLOCK, FILESYSTEM, MIB, SIZE, command, note, parts, scene, spec

from gateway.backends.zfs import ZfsEncryption
from gateway.core.backend import GroupMember
from gateway.core.errors import (
    AlreadyExists,
    Busy,
    InUse,
    InvalidArgument,
    InvalidState,
    LimitExceeded,
    NotFound,
    OutOfSpace,
    Unavailable,
)
from gateway.core.model import RootDirectory

ENGINES = pytest.mark.parametrize("engine", ["cli", "lzc"])
KINDS = pytest.mark.parametrize("kind", [FILESYSTEM, BLOCK], ids=str)


async def volume(at, **files):
    made = spec(kind=at.kind)
    await at.backend.create(made)
    await at.write(made.id, **files)
    return made.id


async def taken(at, of):
    snapshot = uuid4()
    await at.backend.snapshot(of, snapshot, note("taken"))
    return snapshot


async def scanned(at):
    return {seen.id async for seen in at.backend.scan()}


async def filled(at, one):
    for number in itertools.count():
        await at.write(one, **{f"fill{number}": os.urandom(MIB // 2)})


async def snapshots(at):
    return {seen.id async for seen in at.backend.scan_snapshots()}


# --- restore ---


@ENGINES
@KINDS
async def test_a_restore_that_would_lose_a_held_snapshot_loses_nothing(zpool, engine, kind):
    async with scene(zpool, engine=engine, kind=kind) as at:
        one = await volume(at, a=b"1")
        points = [await taken(at, one) for _ in range(4)]
        await at.write(one, a=b"2")
        held = f"{at.place(one)}@{points[3]}"
        command("zfs", "hold", "keep", held)
        with pytest.raises(InUse) as refused:
            await at.backend.restore(one, points[0], uuid4())
        assert (refused.value.by, refused.value.ref) == ("replication", str(points[3]))
        assert await snapshots(at) == set(points)
        assert (await at.content(one)) is not None
        assert await (await at.content(one)).read("a") == b"2"
        command("zfs", "release", "keep", held)
        await at.backend.restore(one, points[0], uuid4())
        assert await snapshots(at) == {points[0]}
        assert await (await at.content(one)).read("a") == b"1"


async def test_a_restore_never_takes_what_others_made(zpool):
    async with scene(zpool) as at:
        one = await volume(at, a=b"1")
        first = await taken(at, one)
        command("zfs", "snapshot", f"{at.place(one)}@autosnap")
        with pytest.raises(InUse, match="snapshots"):
            await at.backend.restore(one, first, uuid4())
        command("zfs", "bookmark", f"{at.place(one)}@autosnap", f"{at.place(one)}#mark")
        command("zfs", "destroy", f"{at.place(one)}@autosnap")
        with pytest.raises(InUse, match="replication"):
            await at.backend.restore(one, first, uuid4())
        command("zfs", "destroy", f"{at.place(one)}#mark")
        await at.backend.restore(one, first, uuid4())


async def test_a_restore_past_a_clone_s_base_is_refused(zpool):
    async with scene(zpool) as at:
        one = await volume(at, a=b"1")
        first, second = await taken(at, one), await taken(at, one)
        await at.backend.clone(one, second, spec())
        with pytest.raises(InUse, match="clones"):
            await at.backend.restore(one, first, uuid4())
        assert await snapshots(at) == {first, second}


async def test_a_restore_waits_for_nobody_who_has_a_file_open(zpool):
    async with scene(zpool) as at:
        one = await volume(at, a=b"1")
        first = await taken(at, one)
        await at.write(one, a=b"2")
        top = Path((await at.backend.access(one)).path)
        token = uuid4()
        with (top / "a").open("rb") as file:
            with pytest.raises(Busy):
                await at.backend.restore(one, first, token)
            assert file.read() == b"2"
        assert not await at.backend.settle_restore(one, token)
        await at.backend.restore(one, first, token)
        assert (top / "a").read_bytes() == b"1"


async def test_a_restore_beyond_the_size_is_refused(zpool):
    async with scene(zpool) as at:
        one = await volume(at, a=os.urandom(4 * MIB))
        full = await taken(at, one)
        await (await at.content(one)).remove("a")
        await at.backend.resize(one, 2 * MIB)
        with pytest.raises(LimitExceeded):
            await at.backend.restore(one, full, uuid4())


# --- split ---


@ENGINES
@KINDS
async def test_both_halves_of_a_split_go_on_their_own(zpool, engine, kind):
    for first_to_go in ("source", "clone"):
        async with scene(zpool, engine=engine, kind=kind) as at:
            source = await volume(at, a=b"1")
            older, base, newer = [await taken(at, source) for _ in range(3)]
            clone = spec(kind=kind)
            await at.backend.clone(source, base, clone)
            await at.backend.split(clone.id)
            await at.write(clone.id, b=b"clone")
            own = await taken(at, clone.id)
            await at.backend.delete_snapshot(source, base)
            assert await snapshots(at) == {older, newer, own}
            assert await at.backend.inspect_snapshot(source, base) is None
            await at.backend.restore(source, newer, uuid4())
            if first_to_go == "clone":
                await at.backend.delete_snapshot(clone.id, own)
                await at.backend.delete(clone.id)
                assert await snapshots(at) == {older, newer}
                await at.backend.restore(source, older, uuid4())
            for snapshot in (older, newer):
                await at.backend.delete_snapshot(source, snapshot)
            await at.backend.delete(source)
            left = {clone.id} - ({clone.id} if first_to_go == "clone" else set())
            await at.reopen()
            assert await scanned(at) == left
            if left:
                assert await at.files(clone.id) == await at.files(clone.id, own) | {}
                assert await snapshots(at) == {own}
                await at.backend.delete_snapshot(clone.id, own)
                await at.backend.delete(clone.id)
            await at.assert_tidy()


async def test_a_source_with_many_split_clones_goes(zpool):
    async with scene(zpool) as at:
        source = await volume(at, a=b"1")
        bases = [await taken(at, source) for _ in range(3)]
        clones = [spec() for _ in range(6)]
        for number, clone in enumerate(clones):
            await at.backend.clone(source, bases[number % 3], clone)
        with pytest.raises(InUse, match="clones"):
            await at.backend.delete_snapshot(source, bases[0])
        with pytest.raises(InUse, match="clones"):
            await at.backend.delete(source)
        for clone in clones:
            await at.backend.split(clone.id)
        with pytest.raises(InUse, match="snapshots"):
            await at.backend.delete(source)
        for base in bases:
            await at.backend.delete_snapshot(source, base)
        await at.backend.delete(source)
        for clone in clones:
            assert list(await at.files(clone.id)) == ["a"]
            await at.backend.delete(clone.id)
        await at.assert_tidy()
        assert await scanned(at) == set()


async def test_a_restore_past_the_base_of_a_split_clone_is_refused_as_long_as_it_is_there(zpool):
    async with scene(zpool) as at:
        source = await volume(at, a=b"1")
        older, base = await taken(at, source), await taken(at, source)
        clone = spec()
        await at.backend.clone(source, base, clone)
        await at.backend.split(clone.id)
        await at.backend.delete_snapshot(source, base)
        with pytest.raises(InUse, match="clones"):
            await at.backend.restore(source, older, uuid4())
        await at.backend.delete(clone.id)
        await at.backend.restore(source, older, uuid4())


async def test_a_clone_promoted_by_hand_takes_nothing_from_view(zpool):
    async with scene(zpool) as at:
        source = await volume(at, a=b"1")
        base = await taken(at, source)
        clone = spec()
        await at.backend.clone(source, base, clone)
        command("zfs", "promote", at.place(clone.id))
        assert await snapshots(at) == {base}
        seen = await at.backend.inspect_snapshot(source, base)
        assert seen is not None
        assert seen.volume_id == source
        assert await at.files(source, base) == await at.files(source)
        with pytest.raises(InvalidState):
            await at.backend.restore(source, base, uuid4())
        with pytest.raises(InUse):
            await at.backend.delete(clone.id)


# --- others ---


async def test_what_an_administrator_destroys_is_gone(zpool):
    async with scene(zpool) as at:
        one, two = await volume(at), await volume(at)
        snapshot = await taken(at, two)
        command("zfs", "destroy", "-r", at.place(one))
        command("zfs", "destroy", f"{at.place(two)}@{snapshot}")
        assert await at.backend.inspect(one) is None
        assert await scanned(at) == {two}
        assert await snapshots(at) == set()
        with pytest.raises(NotFound):
            await at.backend.access(one)
        with pytest.raises(NotFound):
            await at.backend.resize(one, 2 * SIZE)
        await at.backend.delete(one)
        await at.backend.delete_snapshot(two, snapshot)


async def test_what_an_administrator_renames_is_gone_and_seen_elsewhere(zpool):
    async with scene(zpool) as at:
        one = await volume(at)
        command("zfs", "unmount", at.place(one))
        command("zfs", "rename", "-u", at.place(one), f"{at.parent}/renamed")
        assert await at.backend.inspect(one) is None
        seen = [seen async for seen in at.backend.scan()]
        assert [(s.id, s.place) for s in seen] == [(None, f"{at.parent}/renamed")]
        command("zfs", "rename", "-u", f"{at.parent}/renamed", at.place(one))
        assert await scanned(at) == {one}


async def test_what_is_not_ours_is_reported_and_left_alone(zpool):
    async with scene(zpool) as at:
        one = await volume(at, a=b"1")
        foreign, taken_place = f"{at.parent}/foreign", uuid4()
        command("zfs", "create", "-p", f"{foreign}/deeper")
        command("zfs", "create", at.place(taken_place))
        Path("/", at.place(taken_place), "precious").write_bytes(os.urandom(MIB))
        command("zfs", "snapshot", f"{at.place(one)}@by-hand")
        command("zfs", "create", f"{at.place(one)}/child")
        for _ in range(2):
            seen = [seen async for seen in at.backend.scan()]
            assert {s.place for s in seen if s.id is None} == {foreign, at.place(taken_place)}
            assert {s.id for s in seen} == {one, None}
            assert [s.place async for s in at.backend.scan_snapshots()] == [f"{at.place(one)}@by-hand"]
            with pytest.raises(AlreadyExists):
                await at.backend.create(spec(taken_place))
            await at.backend.delete(taken_place)
            with pytest.raises(InUse):
                await at.backend.delete(one)
            await at.reopen()
        assert Path("/", at.place(taken_place), "precious").exists()


async def test_a_dataset_that_a_power_cut_left_without_its_record_makes_room(zpool):
    async with scene(zpool) as at:
        left, again = spec(), spec()
        for each in (left, again):
            command("zfs", "create", "-u", "-o", "canmount=noauto", at.place(each.id))
        assert (await at.backend.create(again)).id == again.id
        await at.reopen()
        assert await scanned(at) == {again.id}
        await at.assert_tidy()


async def test_an_increment_never_takes_newer_snapshots_away(zpool):
    async with scene(zpool) as at:
        source = await volume(at, a=b"1")
        first = await taken(at, source)
        await at.write(source, a=b"2")
        second = await taken(at, source)
        replica, newer = spec(), uuid4()
        await at.backend.receive(replica, uuid4(), note("first"), parts(await at.stream(source, first)))
        await at.backend.snapshot(replica.id, newer, note("newer"))
        increment = await at.stream(source, second, first)
        with pytest.raises(InUse):
            await at.backend.receive(replica, uuid4(), note("second"), parts(increment))
        assert newer in await snapshots(at)
        await at.backend.delete_snapshot(replica.id, newer)
        await at.backend.receive(replica, uuid4(), note("second"), parts(increment))
        assert await (await at.content(replica.id)).read("a") == b"2"


@KINDS
async def test_a_broken_stream_goes_on_where_it_broke(zpool, kind):
    async with scene(zpool, kind=kind) as at:
        source = await volume(at, a=os.urandom(2 * MIB))
        first = await taken(at, source)
        await at.write(source, b=os.urandom(2 * MIB))
        second = await taken(at, source)
        replica = spec(kind=kind)
        for snapshot, base in ((first, None), (second, first)):
            copy, whole = uuid4(), await at.stream(source, snapshot, base)
            with pytest.raises(InvalidArgument):
                await at.backend.receive(replica, copy, note("copy"), parts(whole[: len(whole) // 2]))
            await at.reopen()
            token = await at.backend.resume_token(replica.id)
            assert token is not None
            rest = b"".join([part async for part in at.backend.send_rest(token)])
            assert len(rest) < 3 * len(whole) // 4
            await at.backend.receive(replica, copy, note("copy"), parts(rest))
            assert await at.files(replica.id, copy) == await at.files(source, snapshot)
            assert await at.backend.resume_token(replica.id) is None
        await at.assert_tidy()


async def test_a_stream_of_the_other_kind_is_refused(zpool):
    async with scene(zpool) as at:
        source = await volume(at, a=b"1")
        stream = await at.stream(source, await taken(at, source))
        with pytest.raises(InvalidArgument):
            await at.backend.receive(spec(kind=BLOCK), uuid4(), note("copy"), parts(stream))
        with pytest.raises(AlreadyExists):
            await at.backend.receive(spec(source), uuid4(), note("copy"), parts(stream))


async def test_a_conversion_looks_at_what_nobody_can_write_to(zpool):
    async with scene(zpool) as at:
        made = spec()
        await at.backend.create(made)
        top = Path((await at.backend.access(made.id)).path)
        with (top / "gone").open("wb") as file:
            (top / "gone").unlink()
            with pytest.raises(Busy):
                await at.backend.convert(spec(made.id, kind=BLOCK))
            file.write(b"still used")
        seen = await at.backend.convert(spec(made.id, kind=BLOCK))
        assert seen.kind is BLOCK
        assert Path((await at.backend.access(made.id)).path).is_block_device()


# --- limits ---


async def test_a_chain_of_fifty_clones(zpool):
    async with scene(zpool, engine="lzc") as at:
        chain = [await volume(at, a=b"1")]
        for _ in range(50):
            made = spec()
            await at.backend.clone(chain[-1], await taken(at, chain[-1]), made)
            chain.append(made.id)
        assert list(await at.files(chain[-1])) == ["a"]
        assert await scanned(at) == set(chain)
        for one in chain[1:]:
            await at.backend.split(one)
        for snapshot in [seen async for seen in at.backend.scan_snapshots()]:
            await at.backend.delete_snapshot(snapshot.volume_id, snapshot.id)
        for one in chain[:-1]:
            await at.backend.delete(one)
        assert list(await at.files(chain[-1])) == ["a"]
        await at.backend.delete(chain[-1])
        await at.assert_tidy()


async def test_a_thousand_snapshots_of_one_volume(zpool):
    async with scene(zpool, engine="lzc") as at:
        one = await volume(at, a=b"1")
        ids = [uuid4() for _ in range(1000)]
        for snapshot in ids:
            await at.backend.snapshot(one, snapshot, note(str(snapshot)))
        assert await snapshots(at) == set(ids)
        await at.write(one, a=b"2")
        await at.backend.restore(one, ids[0], uuid4())
        assert await snapshots(at) == {ids[0]}
        assert await (await at.content(one)).read("a") == b"1"


async def test_a_name_at_the_limit(zpool):
    longest = 255 - len(f"{zpool}//{uuid4()}@{uuid4()}")
    async with scene(zpool, parent="p" * longest) as at:
        await taken(at, await volume(at, a=b"1"))
    async with scene(zpool, parent="p" * (longest + 1)) as at:
        one = await volume(at, a=b"1")
        with pytest.raises(LimitExceeded, match="name"):
            await taken(at, one)


async def test_a_group_of_a_hundred(zpool):
    async with scene(zpool, engine="lzc") as at:
        members = []
        for number in range(100):
            made = spec()
            await at.backend.create(made)
            members.append(GroupMember(volume=made.id, snapshot=uuid4(), note=note(f"snapshot {number}")))
        await at.backend.snapshot_group(members)
        seen = {s.id: s.note async for s in at.backend.scan_snapshots()}
        assert seen == {m.snapshot: m.note for m in members}
        instants = command("zfs", "get", "-Hp", "-r", "-t", "snapshot", "-o", "value", "createtxg", at.parent).split()
        assert len(set(instants)) == 1


# --- pools that are not well ---


@contextmanager
def small_pool(folder: Path, size: str = "96M") -> Iterator[str]:
    image, name = folder / "zpool.img", f"small{uuid4().hex[:8]}"
    command("truncate", "-s", size, image)
    command("zpool", "create", name, image)
    try:
        yield name
    finally:
        command("zpool", "destroy", "-f", name)
        image.unlink()


@ENGINES
async def test_a_full_pool_refuses_and_recovers(tmp_path, engine):
    with small_pool(tmp_path) as zpool:
        async with scene(zpool, engine=engine) as at:
            one, kept = await volume(at, a=b"1"), await volume(at, a=b"kept")
            await at.backend.resize(one, 1024 * MIB)
            with pytest.raises(OutOfSpace):
                await filled(at, one)
            command("zpool", "sync", zpool)
            for change in (
                lambda: at.backend.create(spec()),
                lambda: taken(at, kept),
                lambda: at.backend.create(spec(thick=True)),
            ):
                with pytest.raises(OutOfSpace):
                    await change()
            assert await scanned(at) == {one, kept}
            await at.backend.annotate(kept, note("still"))
            await at.backend.delete(one)
            command("zpool", "wait", "-t", "free", zpool)
            await taken(at, kept)


async def test_a_pool_imported_read_only_is_unavailable(tmp_path):
    with small_pool(tmp_path) as zpool:
        async with scene(zpool) as at:
            one = await volume(at, a=b"1")
            await at.backend.close()
            command("zpool", "export", zpool)
            command("zpool", "import", "-d", tmp_path, "-o", "readonly=on", zpool)
            with pytest.raises(Unavailable, match="read-only"):
                await at.backend.open()
            command("zpool", "export", zpool)
            command("zpool", "import", "-d", tmp_path, zpool)
            await at.backend.open()
            assert await scanned(at) == {one}


@ENGINES
async def test_a_pool_that_was_exported_is_unavailable_and_comes_back(tmp_path, engine):
    with small_pool(tmp_path) as zpool:
        async with scene(zpool, engine=engine) as at:
            one = await volume(at, a=b"1")
            command("zpool", "export", zpool)
            for ask in (
                at.backend.manifest,
                at.backend.capacity,
                lambda: scanned(at),
                lambda: snapshots(at),
                lambda: at.backend.inspect(one),
                lambda: at.backend.delete(one),
                lambda: at.backend.create(spec()),
                lambda: taken(at, one),
            ):
                with pytest.raises(Unavailable):
                    await ask()
            command("zpool", "import", "-d", tmp_path, zpool)
            assert await scanned(at) == {one}
            assert list(await at.files(one)) == ["a"]


async def test_a_zpool_that_is_not_there(zpool):
    with pytest.raises(Unavailable, match="no such pool"):
        async with scene("nowhere"):
            pass
    async with scene(zpool, parent=f"deep-{uuid4().hex[:8]}/er/pool") as at:
        await volume(at, a=b"1")


# --- encryption ---


def unmount_below(parent: str) -> None:
    for line in command("zfs", "list", "-H", "-r", "-o", "mounted,name", "-t", "filesystem", parent).splitlines():
        mounted, name = line.split("\t")
        if mounted == "yes":
            command("zfs", "unmount", name)


@KINDS
async def test_an_encrypted_pool_asks_for_its_key(zpool, tmp_path, kind):
    key = tmp_path / "key"
    key.write_bytes(os.urandom(32))
    async with scene(zpool, kind=kind, encryption=ZfsEncryption(keylocation=f"file://{key}")) as at:
        one = await volume(at, a=b"secret")
        found = command("zfs", "get", "-H", "-o", "value", "encryption,encryptionroot", at.place(one)).split()
        assert found == ["aes-256-gcm", at.parent]
        await at.backend.close()
        unmount_below(at.parent)
        command("zfs", "unload-key", at.parent)
        await at.backend.open()
        assert list(await at.files(one)) == ["a"]
        snapshot = await taken(at, one)
        replica = spec(kind=kind)
        await at.backend.receive(replica, uuid4(), note("copy"), parts(await at.stream(one, snapshot)))
        assert command("zfs", "get", "-H", "-o", "value", "encryption", at.place(replica.id)).strip() == "aes-256-gcm"
        await at.backend.close()
        unmount_below(at.parent)
        command("zfs", "unload-key", at.parent)
        key.rename(tmp_path / "elsewhere")
        with pytest.raises(Unavailable):
            await at.backend.open()


async def test_a_plain_parent_does_not_pass_for_an_encrypted_one(zpool, tmp_path):
    async with scene(zpool) as at:
        encryption = ZfsEncryption(keylocation=f"file://{tmp_path / 'key'}")
        with pytest.raises(Unavailable, match="not encrypted"):
            async with scene(zpool, parent=at.options.parent, encryption=encryption):
                pass


# --- permissions ---


async def test_permissions_are_there_before_the_volume_is(zpool):
    async with scene(zpool) as at:
        made = spec(root=RootDirectory(mode=0o1777, uid=5, gid=6))
        await at.backend.create(made)
        await at.reopen()
        assert await (await at.content(made.id)).root() == made.root
