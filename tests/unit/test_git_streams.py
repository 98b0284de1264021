"""Streams of snapshots between pools in git repositories, whole and broken."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID, uuid4

import msgspec
import pytest
from git_scene import Scene, note, scene, spec
from test_git_traps import files, large

from gateway.backends.git_lfs.layout import Tree
from gateway.backends.git_lfs.stream import DATA, FILE, HEAD, PACK, File, Head, Reader, Writer
from gateway.core.errors import InvalidArgument, NotFound

VOLUME, COPY, FIRST, SECOND = (UUID(int=number, version=4) for number in range(1, 5))


async def parts(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), 1000):
        yield data[start : start + 1000]


async def sent(at: Scene, snapshot: UUID, base: UUID | None = None) -> bytes:
    return b"".join([part async for part in at.backend.send(VOLUME, snapshot, base)])


async def source(at: Scene) -> tuple[bytes, bytes]:
    """Make a volume with two snapshots; give a whole stream of the first and the difference to the second."""
    await at.backend.create(spec(VOLUME))
    at.commit(VOLUME, a=os.urandom(5000), big=large(at, b"first" * 1000))
    at.git("symbolic-ref", at.tree(VOLUME).head, f"{at.tree(VOLUME).prefix}refs/heads/side")
    await at.backend.snapshot(VOLUME, FIRST, note("first"))
    at.commit(VOLUME, a=b"second", big=large(at, b"second" * 1000), never=large(at, b"never sent"))
    (lost,) = [path for path in (at.path / "lfs/objects").glob("*/*/*") if path.read_bytes() == b"never sent"]
    lost.unlink()
    at.commit(VOLUME, branch="more", a=b"more")
    await at.backend.snapshot(VOLUME, SECOND, note("second"))
    return await sent(at, FIRST), await sent(at, SECOND, FIRST)


def frames(data: bytes) -> list[tuple[bytes, bytes]]:
    reader = Reader()
    found = list(reader.frames(data))
    reader.finish()
    return found


def framed(*parts: tuple[bytes, bytes]) -> bytes:
    writer = Writer()
    return b"".join([writer.frame(kind, data) for kind, data in parts]) + writer.end()


async def test_a_volume_follows_another_pool_with_its_large_files(tmp_path: Path) -> None:
    async with scene(tmp_path) as at, scene(tmp_path) as there:
        full, increment = await source(at)
        assert len(increment) < len(full)
        assert [kind for kind, _ in frames(increment)].count(FILE) == 1
        for snapshot, data in ((FIRST, full), (SECOND, increment)):
            await there.backend.receive(spec(COPY), snapshot, note("copy"), parts(data))
            expected = at.pool.seen(Tree(VOLUME, snapshot))
            assert there.pool.seen(Tree(COPY, snapshot)) == expected == there.pool.seen(there.tree(COPY))
            assert there.pool.branch(there.tree(COPY)) == "refs/heads/side"
        assert files(there) == {b"first" * 1000, b"second" * 1000}
        there.git("rev-list", "--objects", "--all", "--quiet")
        await there.reopen()
        there.assert_tidy()
        # A pool that has the content already needs no base to tell it from a stranger's.
        with pytest.raises(NotFound):
            await there.backend.receive(spec(uuid4()), SECOND, note("copy"), parts(increment))


async def test_what_is_broken_leaves_nothing(tmp_path: Path) -> None:
    async with scene(tmp_path) as at, scene(tmp_path) as there:
        full, _ = await source(at)
        whole = frames(full)
        head = msgspec.msgpack.decode(whole[0][1], type=Head)
        packs = [frame for frame in whole if frame[0] == PACK]
        torn = bytearray(packs[0][1])
        torn[len(torn) // 2] ^= 1

        def headed(**changes: object) -> tuple[bytes, bytes]:
            return HEAD, msgspec.msgpack.encode(msgspec.structs.replace(head, **changes))

        flipped = bytearray(full)
        flipped[-40] ^= 1
        tip = next(iter(head.refs.values()))
        for data in (
            framed(whole[0]),  # first: what broken streams brought is there, although nothing names it
            b"",
            b"not a stream at all",
            full[:-1],
            full + b"x",
            bytes(flipped),
            framed(*packs),
            framed(whole[0], (PACK, bytes(torn))),
            framed((HEAD, b"\xc1"), *packs),
            framed(headed(format=99), *packs),
            framed(headed(refs={b"../../escape": tip}), *packs),
            framed(headed(refs={b"refs/heads/x": "1" * 40}), *packs),
            framed(headed(refs={b"refs/heads/x": "--all"}), *packs),
            framed(headed(refs={f"refs/heads/x\0{tip}\0\0update refs/heads/theirs".encode(): tip}), *packs),
            framed(headed(branch=b"refs/heads/x\0y"), *packs),
            framed(whole[0], *packs, (DATA, b"x")),
            framed(whole[0], *packs, (FILE, msgspec.msgpack.encode(File("../x", 1)))),
            framed(whole[0], *packs, (FILE, msgspec.msgpack.encode(File("0" * 64, 1))), (DATA, b"x")),
        ):
            with pytest.raises(InvalidArgument):
                await there.backend.receive(spec(COPY), FIRST, note("copy"), parts(data))
            assert await there.backend.inspect(COPY) is None
            assert await there.backend.inspect_snapshot(COPY, FIRST) is None
            there.assert_tidy()
            assert there.git("for-each-ref", "refs/heads/") == ""
            assert not list(there.path.glob("lfs/**/arriving-*"))
        await there.backend.receive(spec(COPY), FIRST, note("copy"), parts(full))
        assert there.pool.seen(Tree(COPY, FIRST)) == at.pool.seen(Tree(VOLUME, FIRST))
