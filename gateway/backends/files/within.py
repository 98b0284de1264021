"""The protocols of single files, for backends whose volumes are directories on this host."""
# ruff: noqa: D102 - the protocols carry the contract of the methods

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import ParamSpec, Protocol, TypeVar
from uuid import UUID

from gateway.backends.files.inside import Inside
from gateway.core.entries import Entry, FileSource
from gateway.core.model import RootDirectory

P = ParamSpec("P")
T = TypeVar("T")

NO_FILES: Mapping[str, str] = dict.fromkeys(("files", "clone_file"), "a block volume has no files")
"""Why blocks lack both."""

_SLICE_S = 0.5
"""So long a tree is removed in one call: others want their turn in the thread."""


class Threads(Protocol):
    """What runs the blocking parts of an open pool."""

    async def run(self, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a blocking part in a thread, guarded."""

    async def change(self, key: UUID, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a change of one object: one at a time for each id."""


class Within:
    """The inner side of an open pool's volumes. `top` gives where a volume or snapshot of it is; it blocks."""

    def __init__(self, inside: Inside, top: Callable[[UUID, UUID | None], Path], threads: Threads) -> None:
        self._inside = inside
        self._top = top
        self.threads = threads

    def entries(self, volume: UUID, snapshot: UUID | None, path: str, *, after: str, limit: int) -> Sequence[Entry]:
        return self._inside.entries(self._top(volume, snapshot), path, after=after, limit=limit)

    def inspect(self, volume: UUID, snapshot: UUID | None, path: str) -> Entry | None:
        return self._inside.inspect(self._top(volume, snapshot), path)

    def make_directory(self, volume: UUID, path: str, root: RootDirectory) -> None:
        self._inside.make_directory(self._top(volume, None), path, root)

    def rename(self, volume: UUID, path: str, to: str, inode: int) -> None:
        self._inside.rename(self._top(volume, None), path, to, inode)

    def delete(self, volume: UUID, path: str, inode: int, *, recursive: bool) -> bool:
        """Remove something, for a while; tell whether there is more to do."""
        top = self._top(volume, None)
        return self._inside.delete(top, path, inode, recursive=recursive, budget_s=_SLICE_S)

    def clone(self, volume: UUID, source: FileSource, to: str, *, token: UUID, overwrite: bool) -> None:
        top = self._top(volume, None)
        origin = top if source.snapshot is None else self._top(volume, source.snapshot)
        self._inside.clone((origin, source.path), top, to, token=token, overwrite=overwrite)

    def settle_clone(self, volume: UUID, to: str, token: UUID) -> bool:
        return self._inside.settle_clone(self._top(volume, None), to, token)


class WithinBackend(ABC):
    """A backend that looks into its volumes: each method is one call of a blocking part, or several of a long one."""

    @property
    @abstractmethod
    def within(self) -> Within:
        """Give the inner side of the open pool's volumes."""

    # --- FilesBackend ---

    async def list_files(
        self, volume: UUID, snapshot: UUID | None, path: str, *, after: str = "", limit: int
    ) -> Sequence[Entry]:
        within = self.within
        return await within.threads.run(within.entries, volume, snapshot, path, after=after, limit=limit)

    async def inspect_file(self, volume: UUID, snapshot: UUID | None, path: str) -> Entry | None:
        within = self.within
        return await within.threads.run(within.inspect, volume, snapshot, path)

    async def make_directory(self, volume: UUID, path: str, root: RootDirectory) -> None:
        within = self.within
        await within.threads.change(volume, within.make_directory, volume, path, root)

    async def rename_file(self, volume: UUID, path: str, to: str, *, inode: int) -> None:
        within = self.within
        await within.threads.change(volume, within.rename, volume, path, to, inode)

    async def delete_file(self, volume: UUID, path: str, *, inode: int, recursive: bool = False) -> None:
        within = self.within
        while await within.threads.change(volume, within.delete, volume, path, inode, recursive=recursive):
            pass

    # --- CloneFileBackend ---

    async def clone_file(
        self, volume: UUID, source: FileSource, to: str, *, token: UUID, overwrite: bool = False
    ) -> None:
        within = self.within
        await within.threads.change(volume, within.clone, volume, source, to, token=token, overwrite=overwrite)

    async def settle_clone_file(self, volume: UUID, to: str, token: UUID) -> bool:
        within = self.within
        return await within.threads.change(volume, within.settle_clone, volume, to, token)
