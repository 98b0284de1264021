"""Single files within volumes of a memory pool: `FilesBackend` and `CloneFileBackend` over dicts of bytes.

A directory is there because it was made, or because a file is in it.
"""
# ruff: noqa: D102 - the protocols carry the contract of the methods

from __future__ import annotations

import heapq
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import TypeVar
from uuid import UUID

import msgspec

from gateway.core.entries import Entry, FileKind, FileSource, parted
from gateway.core.errors import AlreadyExists, InUse, InvalidArgument, NotFound
from gateway.core.model import RootDirectory

T = TypeVar("T")

_FILE_RIGHTS = RootDirectory(mode=0o644)


class Tree(msgspec.Struct):
    """What is in a volume: files, and directories that were made. `numbers` are inodes, `marks` tokens of copies."""

    root: RootDirectory
    files: dict[str, bytes]
    folders: dict[str, RootDirectory]
    numbers: dict[str, int]
    marks: dict[str, UUID]

    def kind(self, path: str) -> FileKind | None:
        """Tell what is at a path."""
        if path in self.files:
            return FileKind.FILE
        below = f"{path}/"
        there = not path or path in self.folders or any(each.startswith(below) for each in self._paths())
        return FileKind.DIRECTORY if there else None

    def entry(self, path: str) -> Entry | None:
        """Describe what is at a path."""
        kind = self.kind(path)
        if kind is None:
            return None
        size = len(self.files.get(path, b""))
        rights = _FILE_RIGHTS if kind is FileKind.FILE else self.folders.get(path, RootDirectory())
        return Entry(
            name=parted(path)[1],
            kind=kind,
            inode=self.numbers.setdefault(path, max(self.numbers.values(), default=0) + 1),
            size=size,
            used=size,
            rights=rights if path else self.root,
        )

    def within(self, path: str) -> list[str]:
        """Give the paths of all that is below a directory."""
        below = f"{path}/" if path else ""
        return [each for each in self._paths() if each.startswith(below) and each != path]

    def names(self, path: str) -> set[str]:
        """Give the names of what is in a directory."""
        start = len(path) + 1 if path else 0
        return {each[start:].partition("/")[0] for each in self.within(path)}

    def require_folder(self, path: str) -> None:
        """Raise NotFound unless there is such a directory."""
        if self.kind(path) is not FileKind.DIRECTORY:
            raise NotFound(kind="file", ref=path)

    def forget(self, path: str) -> None:
        """Forget what was kept about a path."""
        self.numbers.pop(path, None)
        self.marks.pop(path, None)

    def move(self, path: str, to: str) -> None:
        """Give something, with all that is in it, another path."""
        for each in (path, *self.within(path)):
            place = to + each[len(path) :]
            _rename(self.files, each, place)
            _rename(self.folders, each, place)
            _rename(self.numbers, each, place)
            _rename(self.marks, each, place)

    def _paths(self) -> Iterator[str]:
        yield from self.files
        yield from self.folders


def _rename(kept: dict[str, T], path: str, to: str) -> None:
    if path in kept:
        kept[to] = kept.pop(path)


class FilesInMemory(ABC):
    """The part of a memory pool that looks into its volumes."""

    @abstractmethod
    def tree(self, volume: UUID, snapshot: UUID | None = None) -> Tree:
        """Give what is in a volume, live, or in a snapshot."""

    @abstractmethod
    def write(self, volume: UUID, path: str, data: bytes | None) -> None:
        """Set one file's content (None: remove it)."""

    @abstractmethod
    def step(self, name: str) -> AbstractContextManager[None]:
        """Surround a change with its fault points."""

    # --- FilesBackend ---

    async def list_files(
        self, volume: UUID, snapshot: UUID | None, path: str, *, after: str = "", limit: int
    ) -> Sequence[Entry]:
        tree = self.tree(volume, snapshot)
        tree.require_folder(path)
        names = (name for name in tree.names(path) if name.encode() > after.encode())
        first = heapq.nsmallest(limit, names, key=str.encode)
        found = (tree.entry(f"{path}/{name}" if path else name) for name in first)
        return [each for each in found if each is not None]

    async def inspect_file(self, volume: UUID, snapshot: UUID | None, path: str) -> Entry | None:
        return self.tree(volume, snapshot).entry(path)

    async def make_directory(self, volume: UUID, path: str, root: RootDirectory) -> None:
        tree = self.tree(volume)
        tree.require_folder(parted(path)[0])
        if tree.kind(path) is FileKind.FILE:
            raise AlreadyExists(kind="file", name=path, field="to")
        with self.step("make_directory"):
            tree.folders[path] = root

    async def rename_file(self, volume: UUID, path: str, to: str, *, inode: int) -> None:
        tree = self.tree(volume)
        there, found = tree.entry(to), tree.entry(path)
        if there is not None and there.inode == inode:
            return
        tree.require_folder(parted(to)[0])
        if found is None or found.inode != inode:
            raise NotFound(kind="file", ref=path)
        if there is not None:
            raise AlreadyExists(kind="file", name=to, field="to")
        if to.startswith(f"{path}/"):
            raise InvalidArgument(field="to", value=to[:64], reason="lies within what is renamed")
        with self.step("rename_file"):
            tree.move(path, to)

    async def delete_file(self, volume: UUID, path: str, *, inode: int, recursive: bool = False) -> None:
        tree = self.tree(volume)
        found = tree.entry(path)
        if found is None or found.inode != inode:
            return
        content = tree.within(path) if found.kind is FileKind.DIRECTORY else []
        if content and not recursive:
            raise InUse(kind="file", ref=path, by="content", action="delete")
        with self.step("delete_file"):
            for each in (*content, path):
                if each in tree.files:
                    self.write(volume, each, None)
                tree.folders.pop(each, None)
                tree.forget(each)

    # --- CloneFileBackend ---

    async def clone_file(
        self, volume: UUID, source: FileSource, to: str, *, token: UUID, overwrite: bool = False
    ) -> None:
        tree = self.tree(volume)
        if tree.marks.get(to) == token:
            return
        data = self.tree(volume, source.snapshot).files.get(source.path)
        if data is None:
            raise NotFound(kind="file", ref=source.path)
        tree.require_folder(parted(to)[0])
        present = tree.kind(to)
        if present is FileKind.DIRECTORY or (present is not None and not overwrite):
            raise AlreadyExists(kind="file", name=to, field="to")
        with self.step("clone_file"):
            self.write(volume, to, data)
            tree.forget(to)
            tree.marks[to] = token

    async def settle_clone_file(self, volume: UUID, to: str, token: UUID) -> bool:
        return self.tree(volume).marks.get(to) == token
