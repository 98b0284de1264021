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
    """List, inspect, make, rename, delete, clone. Each case shows much, for the sake of pools that lack it all."""

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
            assert (await _at(backend, volume, "")).kind is FileKind.DIRECTORY
            assert (await _at(backend, volume, "d")).kind is FileKind.DIRECTORY
            assert ((await _at(backend, volume, "d/b.c")).name, (await _at(backend, volume, "a")).size) == ("b.c", 3)
            for path in ("x", "d/x", "x/y", "d/a/g"):
                assert await backend.inspect_file(volume, None, path) is None
            with pytest.raises(NotFound):
                await backend.inspect_file(uuid4(), None, "")

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
    async def test_what_is_there_gets_another_path_unless_that_is_taken(self, harness: Harness) -> None:
        volume = await harness.volume(a=b"alpha", b=b"beta", **{"d/e/f": b"deep"})
        file, folder = [(await _at(harness.backend, volume, path)).inode for path in ("a", "d")]
        for path in ("b", "d"):
            with pytest.raises(AlreadyExists):
                await harness.backend.rename_file(volume, "a", path, inode=file)
        for path, to, which in (("a", "x/y", file), ("a", "x", file + 10_000), ("n", "x", file + 10_000)):
            with pytest.raises(NotFound):
                await harness.backend.rename_file(volume, path, to, inode=which)
        with pytest.raises(InvalidArgument):
            await harness.backend.rename_file(volume, "d", "d/e/d", inode=folder)
        assert await harness.held(volume) == {"a": b"alpha", "b": b"beta", "d/e/f": b"deep"}
        for path, to, which in (("a", "d/e/ä", file), ("a", "d/e/ä", file), ("d", "x", folder), ("d", "x", folder)):
            await harness.backend.rename_file(volume, path, to, inode=which)
        async for backend in harness.lives():
            assert (await _at(backend, volume, "x/e/ä")).inode == file
            assert await harness.held(volume) == {"x/e/ä": b"alpha", "b": b"beta", "x/e/f": b"deep"}

    @needs("files")
    async def test_what_is_removed_is_gone_with_its_content_only_when_that_is_wanted(self, harness: Harness) -> None:
        deep = "/".join(["d", *"abcdefgh" * 8])
        volume = await harness.volume(**{f"{deep}/f": b"deep", "d/g": b"flat", "k": b"kept", "a": b"alpha"})
        file, folder = [(await _at(harness.backend, volume, path)).inode for path in ("a", "d")]
        await harness.backend.delete_file(volume, "k", inode=file)
        with pytest.raises(InUse):
            await harness.backend.delete_file(volume, "d", inode=folder)
        assert len(await harness.held(volume)) == 4
        for _ in range(2):
            await harness.backend.delete_file(volume, "a", inode=file)
            await harness.backend.delete_file(volume, "d", inode=folder, recursive=True)
        async for backend in harness.lives():
            assert [each.name for each in await backend.list_files(volume, None, "", limit=9)] == ["k"]
            assert await harness.held(volume) == {"k": b"kept"}

    @needs("files", "clone_file")
    async def test_a_file_is_copied_and_both_go_their_ways(self, harness: Harness) -> None:
        data, token, over = os.urandom(300_000), uuid4(), uuid4()
        volume = await harness.volume(**{"a": data, "b": b"beta", "d/x": b""})
        for path, to in (("n", "x"), ("d", "x"), ("a", "n/x"), ("a", "a/x"), ("d/x/e", "x")):
            with pytest.raises(NotFound):
                await harness.backend.clone_file(volume, FileSource(path=path), to, token=uuid4())
        for to in ("b", "d", "a"):
            with pytest.raises(AlreadyExists):
                await harness.backend.clone_file(volume, FileSource(path="a"), to, token=uuid4())
        with pytest.raises(AlreadyExists):
            await harness.backend.clone_file(volume, FileSource(path="a"), "d", token=uuid4(), overwrite=True)
        assert await harness.held(volume) == {"a": data, "b": b"beta", "d/x": b""}
        for _ in range(2):
            await harness.backend.clone_file(volume, FileSource(path="a"), "d/c", token=token)
            await harness.backend.clone_file(volume, FileSource(path="a"), "b", token=over, overwrite=True)
        await harness.write(volume, a=b"later")
        await harness.backend.clone_file(volume, FileSource(path="a"), "d/c", token=token)
        await harness.backend.clone_file(volume, FileSource(path="a"), "b", token=over, overwrite=True)
        async for backend in harness.lives():
            assert await backend.settle_clone_file(volume, "d/c", token)
            assert not await backend.settle_clone_file(volume, "d/c", uuid4())
            assert not await backend.settle_clone_file(volume, "d/none", token)
            assert [each.name for each in await backend.list_files(volume, None, "", limit=9)] == ["a", "b", "d"]
            assert await harness.held(volume) == {"a": b"later", "b": data, "d/c": data, "d/x": b""}

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
