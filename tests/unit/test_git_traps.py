"""What a repository can do to a pool, and what lies in it that is not the pool's."""

from __future__ import annotations

import contextlib
import hashlib
import os
import subprocess
import time
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from git_scene import AUTHOR, Scene, note, scene, spec

from gateway.backends.git_lfs import GitLfsBackend, GitLfsOptions
from gateway.backends.git_lfs.collecting import Collector
from gateway.backends.git_lfs.layout import Tree, snapshot_ref, volume_ref
from gateway.backends.git_lfs.usage import Usage, objects_of
from gateway.core.errors import Busy, Unavailable

HOUR = 3600.0


def large(at: Scene, data: bytes, *, age_s: float = 0) -> bytes:
    """Put a large file into the repository, as git-lfs does; give its pointer."""
    name = hashlib.sha256(data).hexdigest()
    place = objects_of(at.path) / name[:2] / name[2:4] / name
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(data)
    made = time.time() - age_s
    os.utime(place, (made, made))
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{name}\nsize {len(data)}\n".encode()


def files(at: Scene) -> set[bytes]:
    return {path.read_bytes() for path in objects_of(at.path).glob("*/*/*")}


async def test_large_files_live_as_long_as_anything_needs_them(tmp_path: Path) -> None:
    async with scene(tmp_path, grace_s=3600) as at:
        volume, other, snapshot = spec(), spec(), uuid4()
        for one in (volume, other):
            await at.backend.create(one)
        old = 2 * HOUR
        at.commit(volume.id, big=large(at, b"kept by a snapshot", age_s=old))
        await at.backend.snapshot(volume.id, snapshot, note("s"))
        at.commit(volume.id, big=large(at, b"in use", age_s=old))
        at.commit(other.id, big=large(at, b"in use", age_s=old), small=b"version 1\nsize 1\n")
        large(at, b"fresh")
        large(at, b"nobody's", age_s=old)
        collector = Collector(at.pool, Usage(at.pool.repository))
        assert collector.collect() == 1
        assert files(at) == {b"kept by a snapshot", b"in use", b"fresh"}
        await at.backend.delete(other.id)
        assert collector.collect() == 0
        await at.backend.delete_snapshot(volume.id, snapshot)
        # What lies in the repository is looked through when volumes are.
        assert [seen.id async for seen in at.backend.scan()] == [volume.id]
        assert files(at) == {b"in use", b"fresh"}
        later = Collector(at.pool, Usage(at.pool.repository), clock=lambda: time.time() + old)
        assert later.collect() == 1
        assert files(at) == {b"in use"}


async def test_whatever_git_lfs_takes_for_a_pointer_keeps_its_file(tmp_path: Path) -> None:
    async with scene(tmp_path, grace_s=0) as at:
        volume = spec()
        await at.backend.create(volume)
        pointers = [large(at, str(number).encode()) for number in range(5)]
        at.commit(
            volume.id,
            dos=pointers[0].replace(b"\n", b"\r\n"),
            torn=pointers[1].rstrip(),
            led=b"\n " + pointers[2],
            early=pointers[3].replace(b"https://git-lfs.github.com/spec/v1", b"http://git-media.io/v/2"),
            extended=pointers[4].replace(b"\noid", b"\next-0-x sha256:" + b"0" * 64 + b"\noid"),
        )
        large(at, b"nobody's")
        assert Collector(at.pool, Usage(at.pool.repository)).collect() == 1
        assert files(at) == {str(number).encode() for number in range(5)}


async def test_a_file_whose_ref_is_torn_is_not_thrown_away(tmp_path: Path) -> None:
    async with scene(tmp_path, grace_s=0) as at:
        volume, other = spec(), spec()
        for one in (volume, other):
            await at.backend.create(one)
        at.commit(volume.id, big=large(at, b"large"))
        at.commit(other.id, a=b"alpha")
        (at.path / f"{at.tree(volume.id).prefix}refs/heads/main").write_bytes(b"")
        with pytest.raises(Unavailable):
            Collector(at.pool, Usage(at.pool.repository)).collect()
        assert {seen.id async for seen in at.backend.scan()} == {volume.id, other.id}
        assert files(at) == {b"large"}


async def test_parts_of_files_that_never_arrived_go(tmp_path: Path) -> None:
    async with scene(tmp_path, grace_s=3600) as at:
        await at.backend.create(spec())
        parts = objects_of(at.path).with_name("tmp")
        parts.mkdir(parents=True)
        for name, age_s in (("left", 2 * HOUR), ("arriving", 0.0)):
            (parts / name).write_bytes(b"part")
            os.utime(parts / name, (time.time() - age_s,) * 2)
        assert [seen async for seen in at.backend.scan()]
        assert [path.name for path in parts.iterdir()] == ["arriving"]


async def test_an_earlier_revision_needs_its_files_too(tmp_path: Path) -> None:
    async with scene(tmp_path, grace_s=0) as at:
        volume = spec()
        await at.backend.create(volume)
        first = at.commit(volume.id, big=large(at, b"first" * 100))
        tree = at.git("rev-parse", f"{at.commit(volume.id, a=b'second')}^{{tree}}")
        second = at.git("commit-tree", "-p", first, "-m", "next", tree)
        at.git("update-ref", at.tree(volume.id).prefix + "refs/heads/main", second)
        async for seen in at.backend.scan():
            assert seen.used >= 500
        assert files(at) == {b"first" * 100}


async def test_what_volumes_share_counts_for_each(tmp_path: Path) -> None:
    async with scene(tmp_path) as at:
        volume, clone = spec(), spec()
        empty = await at.backend.create(volume)
        at.commit(volume.id, big=large(at, bytes(5000)), a=os.urandom(3000))
        await at.backend.clone(volume.id, None, clone)
        one, two = await at.backend.inspect(volume.id), await at.backend.inspect(clone.id)
        assert one is not None
        assert two is not None
        assert empty.used == 0
        assert 8000 < one.used == two.used < 9000


async def test_every_ref_is_copied_whatever_it_is(tmp_path: Path) -> None:
    async with scene(tmp_path) as at:
        volume, clone, snapshot = spec(), spec(), uuid4()
        await at.backend.create(volume)
        made, tree = at.commit(volume.id, a=b"alpha"), at.tree(volume.id)
        tagged = at.git("mktag", stdin=f"object {made}\ntype commit\ntag v1\ntagger t <t@x> 1 +0000\n\nv1\n".encode())
        blob = at.git("hash-object", "-w", "--stdin", stdin=b"just a blob")
        odd = b"refs/heads/\xc3\xbc-\xff-\xe2\x80\xa8-%s-'quoted'"
        at.git("update-ref", f"{tree.prefix}refs/tags/v1", tagged)
        at.git("update-ref", f"{tree.prefix}refs/notes/blob", blob)
        at.git("update-ref", "--stdin", "-z", stdin=b"create " + tree.prefix.encode() + odd + f"\0{made}\0".encode())
        at.git("symbolic-ref", tree.head, f"{tree.prefix}refs/heads/side")
        await at.backend.snapshot(volume.id, snapshot, note("s"))
        await at.backend.clone(volume.id, snapshot, clone)
        seen = at.pool.seen(tree)
        assert len(seen) == 4
        assert os.fsdecode(odd) in seen
        for copy in (Tree(volume.id, snapshot), at.tree(clone.id)):
            assert at.pool.seen(copy) == seen
            assert at.pool.branch(copy) == "refs/heads/side"
        at.git("pack-refs", "--all", "--prune")
        at.git("gc", "--quiet", "--prune=now")
        assert at.pool.seen(at.tree(clone.id)) == seen
        await at.backend.delete_snapshot(volume.id, snapshot)
        await at.backend.delete(volume.id)
        at.git("gc", "--quiet", "--prune=now")
        assert at.git("cat-file", "-p", f"{made}:a") == "alpha"
        await at.reopen()
        at.assert_tidy()


async def test_one_damaged_volume_hides_no_other(tmp_path: Path) -> None:
    async with scene(tmp_path) as at:
        good, torn, lost = spec(), spec(), spec()
        for one in (good, torn, lost):
            await at.backend.create(one)
            at.commit(one.id, a=one.id.bytes)
        tip = at.commit(torn.id, a=b"torn")
        (at.path / "objects" / tip[:2] / tip[2:]).unlink()
        sidecar = at.git("rev-parse", volume_ref(lost.id))
        place = at.path / "objects" / sidecar[:2] / sidecar[2:]
        place.chmod(0o600)
        place.write_bytes(b"not what it was")
        large(at, b"nobody's", age_s=48 * HOUR)
        await at.reopen()
        seen = {one.id: one async for one in at.backend.scan()}
        assert files(at) == {b"nobody's"}
        assert set(seen) == {good.id, torn.id, None}
        assert seen[None].place == volume_ref(lost.id)
        assert seen[torn.id].used == 0
        with pytest.raises(Unavailable):
            await at.backend.snapshot(torn.id, uuid4(), note("s"))
        await at.backend.snapshot(good.id, uuid4(), note("s"))
        # Its tree stays: what the sidecar said cannot be told.
        assert Tree(lost.id, UUID(int=0)).prefix.rpartition("/")[0].rpartition("/")[0] + "/" in at.git(
            "for-each-ref", "--format=%(refname)"
        )


async def test_a_torn_sidecar_costs_no_volume_its_content(tmp_path: Path) -> None:
    async with scene(tmp_path) as at:
        volume, snapshot = spec(), uuid4()
        await at.backend.create(volume)
        at.commit(volume.id, a=b"alpha")
        await at.backend.snapshot(volume.id, snapshot, note("s"))
        before = at.refs()
        for ref in (volume_ref(volume.id), snapshot_ref(volume.id, snapshot)):
            place = at.path / ref
            kept = place.read_bytes()
            place.write_bytes(b"")
            await at.reopen()
            with contextlib.suppress(Unavailable):
                await at.backend.settle_restore(volume.id, uuid4())
            place.write_bytes(kept)
            assert at.refs() == before
        assert await at.backend.inspect_snapshot(volume.id, snapshot) is not None


async def test_one_damaged_volume_does_not_keep_the_others_from_being_looked_at(tmp_path: Path) -> None:
    async with scene(tmp_path, grace_s=0) as at:
        good, torn = spec(), spec()
        for one in (good, torn):
            await at.backend.create(one)
        at.commit(good.id, big=large(at, b"large", age_s=HOUR))
        tip = at.commit(torn.id, a=b"torn")
        (at.path / "objects" / tip[:2] / tip[2:]).unlink()
        await at.reopen()
        assert {one.id async for one in at.backend.scan()} == {good.id, torn.id}
        assert files(at) == {b"large"}


async def test_what_would_stop_the_upkeep_of_all_volumes_is_not_taken(tmp_path: Path) -> None:
    async with scene(tmp_path) as at:
        volume = spec()
        await at.backend.create(volume)
        tree = at.git("rev-parse", f"{at.commit(volume.id, a=b'alpha')}^{{tree}}")
        before = at.refs()
        author, environment = tmp_path / "author", {**AUTHOR, "GIT_NAMESPACE": at.tree(volume.id).namespace}

        def git(*arguments: str, stdin: bytes = b"") -> str:
            line = ("git", f"--git-dir={author}", *arguments)
            done = subprocess.run(line, input=stdin, capture_output=True, check=True, env=environment)
            return done.stdout.decode().strip()

        git("init", "--quiet", "--bare", str(author))
        (author / "objects" / "info" / "alternates").write_text(f"{at.path}/objects\n")
        blob = at.git("hash-object", "-w", "--stdin", stdin=b"alpha")
        for mode, of, taken in (("100644", tree, False), ("0100644", blob, True)):
            raw = f"{mode} x\0".encode() + bytes.fromhex(of)
            made = git("hash-object", "-t", "tree", "-w", "--literally", "--stdin", stdin=raw)
            pushed = f"{git('commit-tree', '-m', 'odd', made)}:refs/heads/{mode}"
            with contextlib.nullcontext() if taken else pytest.raises(subprocess.CalledProcessError):
                git("push", "--quiet", at.path.as_uri(), pushed)
            assert (at.refs() != before) == taken
        at.git("gc", "--quiet")


async def test_of_two_gateways_the_later_change_of_one_thing_is_told_to_try_again(tmp_path: Path) -> None:
    async with scene(tmp_path) as at:
        other = at.fresh()
        await other.open()
        try:
            volume = spec()
            await at.backend.create(volume)
            assert other.describe().id == at.backend.describe().id
            assert await other.inspect(volume.id) is not None
            kept = at.pool.volume(volume.id)
            await other.annotate(volume.id, note("theirs"))
            with pytest.raises(Busy):
                at.pool.put(kept.sidecar, kept.written, passed=lambda _: None)
            assert (await other.create(volume)).note == note("theirs")
        finally:
            await other.close()


async def test_locks_of_the_dead_are_removed(tmp_path: Path) -> None:
    async with scene(tmp_path) as at:
        volume = spec()
        await at.backend.create(volume)
        at.commit(volume.id, a=b"alpha")
        main = at.path / f"{at.tree(volume.id).prefix}refs/heads/main.lock"
        ours = at.path / f"{volume_ref(volume.id)}.lock"
        for lock in (main, ours):
            lock.touch()
        await at.reopen()
        assert (main.exists(), ours.exists()) == (True, False)
        os.utime(main, (time.time() - HOUR,) * 2)
        await at.reopen()
        assert not main.exists()


async def test_what_is_no_pool_is_not_made_one(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "precious").touch()
    for path in (tmp_path / "none", tmp_path / "file", tmp_path / "full"):
        backend = GitLfsBackend("pool", GitLfsOptions(path=path))
        with pytest.raises(Unavailable):
            await backend.open()
        with pytest.raises(Unavailable):
            await backend.inspect(uuid4())
    assert {path.name for path in (tmp_path / "full").iterdir()} <= {"precious", "gateway.lock"}


LATER = b'{"format":99,"id":"00000000-0000-4000-8000-000000000001"}'


@pytest.mark.parametrize("document", [b"not json", LATER], ids=["damaged", "later"])
async def test_a_pool_that_is_not_understood_is_not_opened(tmp_path: Path, document: bytes) -> None:
    async with scene(tmp_path) as at:
        at.git("update-ref", "refs/gateway/pool", at.git("hash-object", "-w", "--stdin", stdin=document))
        await at.backend.close()
        with pytest.raises(Unavailable):
            await at.fresh().open()


async def test_a_repository_that_was_replaced_is_not_taken_for_the_pool(tmp_path: Path) -> None:
    async with scene(tmp_path) as at:
        volume = spec()
        await at.backend.create(volume)
        moved = at.path.with_name("moved")
        at.path.rename(moved)
        with pytest.raises(Unavailable):
            await at.backend.inspect(volume.id)
        at.path.mkdir()
        with pytest.raises(Unavailable):
            await at.backend.inspect(volume.id)
        at.path.rmdir()
        moved.rename(at.path)
        assert await at.backend.inspect(volume.id) is not None


async def test_an_interrupted_first_opening_is_completed(tmp_path: Path) -> None:
    async with scene(tmp_path) as at:
        identity = at.backend.describe().id
        for name in ("config", "HEAD", "hooks/pre-receive"):
            (at.path / name).unlink()
        await at.reopen()
        assert at.backend.describe().id == identity
