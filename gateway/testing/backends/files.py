"""Cases of single files within volumes: what a backend does with them, and what clients then find."""
# ruff: noqa: D102 - a case says what it shows by its name

from __future__ import annotations

import os
from uuid import UUID, uuid4

import pytest

from gateway.core.backend import FilesBackend
from gateway.core.entries import Entry, FileKind, FileSource
from gateway.core.errors import AlreadyExists, InUse, InvalidArgument, NotFound
from gateway.core.model import RootDirectory
from gateway.testing.backends.harness import Harness, needs
from gateway.testing.backends.snapshots import taken

_NAMES = ("a", "b", "b.c", "bb", "Ä ö", "z" * 255, "漢")


async def _at(backend: FilesBackend, volume: UUID, path: str) -> Entry:
    found = await backend.inspect_file(volume, None, path)
    assert found is not None, path
    return found


class FileCases:
    """List, inspect, make, rename, delete, clone."""

    @needs("files")
    async def test_a_directory_is_listed_in_order_and_in_parts(self, harness: Harness) -> None:
        volume = await harness.volume(**{f"d/{name}": name.encode() for name in _NAMES}, a=b"top")
        wanted = sorted(_NAMES, key=str.encode)
        async for backend in harness.lives():
            assert [each.name for each in await backend.list_files(volume, None, "", limit=9)] == ["a", "d"]
            for limit in (1, 3, 100):
                found: list[Entry] = []
                while part := await backend.list_files(
                    volume, None, "d", after=found[-1].name if found else "", limit=limit
                ):
                    assert len(part) <= limit
                    found += part
                assert [each.name for each in found] == wanted
                assert all(each.kind is FileKind.FILE and each.size == len(each.name.encode()) for each in found)
            for path in ("nothing", "a", "d/a", "d/nothing"):
                with pytest.raises(NotFound):
                    await backend.list_files(volume, None, path, limit=1)

    @needs("files")
    async def test_what_is_at_a_path_is_told(self, harness: Harness) -> None:
        volume = await harness.volume(**{"d/e/f": b"four"})
        async for backend in harness.lives():
            assert (await _at(backend, volume, "")).kind is FileKind.DIRECTORY
            assert (await _at(backend, volume, "d/e")).kind is FileKind.DIRECTORY
            found = await _at(backend, volume, "d/e/f")
            assert (found.name, found.kind, found.size) == ("f", FileKind.FILE, 4)
            for path in ("x", "d/x", "x/y", "d/e/f/g"):
                assert await backend.inspect_file(volume, None, path) is None
        with pytest.raises(NotFound):
            await harness.backend.inspect_file(uuid4(), None, "")

    @needs("files")
    async def test_a_directory_is_made_and_gets_its_mode(self, harness: Harness) -> None:
        volume = await harness.volume(a=b"alpha")
        for mode in (0o2750, 0o2750, 0o711):
            await harness.backend.make_directory(volume, "d", RootDirectory(mode=mode))
        await harness.backend.make_directory(volume, "d/e", RootDirectory())
        async for backend in harness.lives():
            assert (await _at(backend, volume, "d")).rights.mode == 0o711
            assert [each.name for each in await backend.list_files(volume, None, "d", limit=9)] == ["e"]
            assert await harness.held(volume) == {"a": b"alpha"}
            with pytest.raises(AlreadyExists):
                await backend.make_directory(volume, "a", RootDirectory())
            with pytest.raises(NotFound):
                await backend.make_directory(volume, "x/y", RootDirectory())

    @needs("files", "permissions")
    async def test_a_directory_gets_its_owner(self, harness: Harness) -> None:
        volume, root = await harness.volume(), RootDirectory(mode=0o2770, uid=1234, gid=2345)
        await harness.backend.make_directory(volume, "d", root)
        async for backend in harness.lives():
            assert (await _at(backend, volume, "d")).rights == root

    @needs("files")
    async def test_a_file_gets_another_path(self, harness: Harness) -> None:
        volume = await harness.volume(a=b"alpha", b=b"beta", **{"d/c": b"gamma"})
        moved = (await _at(harness.backend, volume, "a")).inode
        for _ in range(2):
            await harness.backend.rename_file(volume, "a", "d/ä", inode=moved)
        async for backend in harness.lives():
            assert (await _at(backend, volume, "d/ä")).inode == moved
            assert await harness.held(volume) == {"d/ä": b"alpha", "b": b"beta", "d/c": b"gamma"}

    @needs("files")
    async def test_a_directory_gets_another_path(self, harness: Harness) -> None:
        volume = await harness.volume(**{"d/e/f": b"deep", "d/g": b"flat"})
        moved = (await _at(harness.backend, volume, "d")).inode
        with pytest.raises(InvalidArgument):
            await harness.backend.rename_file(volume, "d", "d/e/d", inode=moved)
        for _ in range(2):
            await harness.backend.rename_file(volume, "d", "x", inode=moved)
        async for _ in harness.lives():
            assert await harness.held(volume) == {"x/e/f": b"deep", "x/g": b"flat"}

    @needs("files")
    async def test_a_path_that_is_taken_is_not_given(self, harness: Harness) -> None:
        volume = await harness.volume(a=b"alpha", b=b"beta", **{"d/c": b"gamma"})
        inode = (await _at(harness.backend, volume, "a")).inode
        for path in ("b", "d"):
            with pytest.raises(AlreadyExists):
                await harness.backend.rename_file(volume, "a", path, inode=inode)
        for path, to, which in (("a", "x/y", inode), ("a", "x", inode + 10_000), ("n", "x", inode + 10_000)):
            with pytest.raises(NotFound):
                await harness.backend.rename_file(volume, path, to, inode=which)
        assert await harness.held(volume) == {"a": b"alpha", "b": b"beta", "d/c": b"gamma"}

    @needs("files")
    async def test_a_file_is_removed(self, harness: Harness) -> None:
        volume = await harness.volume(a=b"alpha", b=b"beta")
        gone = (await _at(harness.backend, volume, "a")).inode
        await harness.backend.delete_file(volume, "b", inode=gone)
        for _ in range(2):
            await harness.backend.delete_file(volume, "a", inode=gone)
        async for backend in harness.lives():
            assert await harness.held(volume) == {"b": b"beta"}
            assert await backend.inspect_file(volume, None, "a") is None

    @needs("files")
    async def test_a_directory_is_removed_with_what_is_in_it_when_that_is_wanted(self, harness: Harness) -> None:
        deep = "/".join(["d", *"abcdefgh" * 8])
        volume = await harness.volume(**{f"{deep}/f": b"deep", "d/g": b"flat", "k": b"kept"})
        gone = (await _at(harness.backend, volume, "d")).inode
        with pytest.raises(InUse):
            await harness.backend.delete_file(volume, "d", inode=gone)
        assert len(await harness.held(volume)) == 3
        for _ in range(2):
            await harness.backend.delete_file(volume, "d", inode=gone, recursive=True)
        async for backend in harness.lives():
            assert await backend.inspect_file(volume, None, "d") is None
            assert await harness.held(volume) == {"k": b"kept"}

    @needs("files", "clone_file")
    async def test_a_file_is_copied_and_both_go_their_ways(self, harness: Harness) -> None:
        data, token = os.urandom(300_000), uuid4()
        volume = await harness.volume(**{"a": data, "d/x": b""})
        for _ in range(2):
            await harness.backend.clone_file(volume, FileSource(path="a"), "d/c", token=token)
        await harness.write(volume, a=b"later")
        await harness.backend.clone_file(volume, FileSource(path="a"), "d/c", token=token)
        async for backend in harness.lives():
            assert await backend.settle_clone_file(volume, "d/c", token)
            assert not await backend.settle_clone_file(volume, "d/c", uuid4())
            assert not await backend.settle_clone_file(volume, "d/none", token)
            assert await harness.held(volume) == {"a": b"later", "d/c": data, "d/x": b""}

    @needs("files", "clone_file")
    async def test_a_copy_takes_the_place_of_a_file_only_when_that_is_wanted(self, harness: Harness) -> None:
        volume, token = await harness.volume(a=b"alpha", b=b"beta", **{"d/c": b"gamma"}), uuid4()
        for to in ("b", "d", "a"):
            with pytest.raises(AlreadyExists):
                await harness.backend.clone_file(volume, FileSource(path="a"), to, token=uuid4())
        with pytest.raises(AlreadyExists):
            await harness.backend.clone_file(volume, FileSource(path="a"), "d", token=uuid4(), overwrite=True)
        for _ in range(2):
            await harness.backend.clone_file(volume, FileSource(path="a"), "b", token=token, overwrite=True)
        async for backend in harness.lives():
            assert await harness.held(volume) == {"a": b"alpha", "b": b"alpha", "d/c": b"gamma"}
            assert [each.name for each in await backend.list_files(volume, None, "", limit=9)] == ["a", "b", "d"]

    @needs("files", "clone_file")
    async def test_what_cannot_be_copied_is_not_found(self, harness: Harness) -> None:
        volume = await harness.volume(a=b"alpha", **{"d/c": b"gamma"})
        for path, to in (("n", "x"), ("d", "x"), ("a", "n/x"), ("a", "a/x"), ("d/c/e", "x")):
            with pytest.raises(NotFound):
                await harness.backend.clone_file(volume, FileSource(path=path), to, token=uuid4())
        assert await harness.held(volume) == {"a": b"alpha", "d/c": b"gamma"}

    @needs("files", "clone_file", "snapshot")
    async def test_a_file_of_a_snapshot_is_copied_back(self, harness: Harness) -> None:
        volume = await harness.volume(**{"d/a": b"old"})
        snapshot = await taken(harness, volume)
        await harness.write(volume, **{"d/a": b"new", "d/b": b"since"})
        source = FileSource(path="d/a", snapshot=snapshot)
        await harness.backend.clone_file(volume, source, "d/back", token=uuid4())
        with pytest.raises(NotFound):
            await harness.backend.clone_file(volume, FileSource(path="d/b", snapshot=snapshot), "d/x", token=uuid4())
        async for backend in harness.lives():
            assert [each.name for each in await backend.list_files(volume, snapshot, "d", limit=9)] == ["a"]
            assert await harness.held(volume) == {"d/a": b"new", "d/b": b"since", "d/back": b"old"}
