"""libzfs_core, where it can be imported: the same changes without starting a program for each.

The module is the operating system's (`python3-pyzfs`), which a virtual
environment does not see, so its place is looked at too. What PyPI has under
that name is older than the functions and structures of today's library and is
not taken. The library neither lists, mounts nor sets properties, nor does it
work out what a reserved volume needs: those stay with the programs.
"""
# ruff: noqa: D102 - see `commands.Commands`

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as TooLate
from typing import Any, ClassVar, Protocol, cast

from gateway.backends.zfs.commands import PATIENCE, Commands, Shape
from gateway.backends.zfs.failures import numbered
from gateway.core.errors import Timeout
from gateway.core.runner import Circuit

PLACES = ("/usr/lib/python3/dist-packages",)
_NOAUTO = 2
_FUNCTIONS = ("lzc_create", "lzc_clone", "lzc_snapshot", "lzc_destroy", "lzc_destroy_snaps")
_NEWER_FUNCTIONS = ("lzc_rename", "lzc_promote", "lzc_rollback_to")
"""Those that PyPI's module lacks, or the C library may lack."""


class Library(Protocol):
    """What is used of the module `libzfs_core`. All names and texts are bytes, numbers are the kernel's."""

    exceptions: Any
    """Its errors: all are a `ZFSError`, which has an `errno` and is no OSError."""

    def is_supported(self, function: Callable[..., Any]) -> bool: ...
    def lzc_create(self, name: bytes, ds_type: str, props: Mapping[bytes, object]) -> None: ...
    def lzc_clone(self, name: bytes, origin: bytes, props: Mapping[bytes, object]) -> None: ...
    def lzc_snapshot(self, snaps: Sequence[bytes], props: Mapping[bytes, object]) -> None: ...
    def lzc_destroy(self, name: bytes) -> None: ...
    def lzc_destroy_snaps(self, snaps: Sequence[bytes], defer: bool) -> None: ...
    def lzc_rename(self, source: bytes, target: bytes) -> None: ...
    def lzc_promote(self, name: bytes) -> None: ...
    def lzc_rollback_to(self, name: bytes, snap: bytes) -> None: ...


def find_library(places: Sequence[str] = PLACES) -> Library | str:
    """Import the module, or tell why it cannot be used."""
    added = [place for place in places if place not in sys.path]
    sys.path.extend(added)
    try:
        module = importlib.import_module("libzfs_core")
        wanted = [getattr(module, name, None) for name in (*_FUNCTIONS, *_NEWER_FUNCTIONS)]
        if None in wanted or not hasattr(module, "is_supported"):
            return "the module libzfs_core is too old; take the operating system's python3-pyzfs"
        if not all(module.is_supported(getattr(module, name)) for name in _NEWER_FUNCTIONS):
            return "the library libzfs_core is too old"
        found = cast("Library", module)
    except ImportError as error:
        return f"the module libzfs_core cannot be imported: {error}"
    except OSError as error:
        return f"the library libzfs_core cannot be used: {error}"
    finally:
        for place in added:
            sys.path.remove(place)
    return found


class LibraryCommands(Commands):
    """The engine that calls the library where it can."""

    name: ClassVar[str] = "lzc"

    def __init__(self, circuit: Circuit, library: Library, *, timeout_s: float, threads: int) -> None:
        super().__init__(circuit, timeout_s=timeout_s)
        self._ring = circuit
        self._library = library
        self._deadline_s = timeout_s
        # A call that hangs in the kernel keeps its thread; the circuit sees to it that few do.
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="libzfs_core")

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def create(self, name: str, shape: Shape) -> None:
        if shape.volsize is not None and shape.reserved:
            super().create(name, shape)
            return
        kind = "zfs" if shape.volsize is None else "zvol"
        self._call("create", self._library.lzc_create, name.encode(), kind, _properties(shape))

    def clone(self, snapshot: str, name: str, shape: Shape) -> None:
        if shape.volsize is not None and shape.reserved:
            super().clone(snapshot, name, shape)
            return
        self._call("clone", self._library.lzc_clone, name.encode(), snapshot.encode(), _properties(shape))

    def snapshot(self, names: Sequence[str], user: Mapping[str, str]) -> None:
        self._call("snapshot", self._library.lzc_snapshot, [name.encode() for name in names], _encoded(user))

    def destroy(self, name: str) -> None:
        self._call("destroy", self._library.lzc_destroy, name.encode(), patience=PATIENCE)

    def destroy_snapshots(self, dataset: str, shorts: Sequence[str], *, deferred: bool = False) -> None:
        names = [f"{dataset}@{short}".encode() for short in shorts]
        self._call("destroy_snapshots", self._library.lzc_destroy_snaps, names, deferred, patience=PATIENCE)

    def rename(self, old: str, new: str) -> None:
        self._call("rename", self._library.lzc_rename, old.encode(), new.encode())

    def promote(self, name: str) -> None:
        self._call("promote", self._library.lzc_promote, name.encode(), patience=PATIENCE)

    def rollback(self, snapshot: str) -> None:
        dataset = snapshot.partition("@")[0]
        self._call("rollback", self._library.lzc_rollback_to, dataset.encode(), snapshot.encode(), patience=PATIENCE)

    def _call(self, name: str, function: Callable[..., Any], *arguments: object, patience: int = 1) -> None:
        timeout_s = self._deadline_s * patience

        def ask() -> None:
            answer: Future[Any] = self._threads.submit(function, *arguments)
            try:
                answer.result(timeout_s)
            except TooLate:
                raise Timeout(what=f"libzfs_core {name}", after=int(timeout_s)) from None

        try:
            self._ring.call(ask, timeout_s=timeout_s)
        except (OSError, self._library.exceptions.ZFSError) as error:
            raise numbered(name, _number(error), str(error)) from error


def _number(error: Exception) -> int:
    """Give the number of an error of the library, or of the first that it is made of."""
    inner = getattr(error, "errors", None)
    first = inner[0] if inner else error
    return getattr(first, "errno", None) or 0


def _properties(shape: Shape) -> dict[bytes, object]:
    numbers: dict[bytes, object] = {}
    if shape.volsize is None:
        numbers[b"canmount"] = _NOAUTO
        if shape.refquota is not None:
            numbers[b"refquota"] = shape.refquota
            if shape.reserved:
                numbers[b"refreservation"] = shape.refquota
    else:
        numbers[b"volsize"] = shape.volsize
        if shape.volblocksize is not None:
            numbers[b"volblocksize"] = shape.volblocksize
    return {**numbers, **_encoded(shape.user)}


def _encoded(user: Mapping[str, str]) -> dict[bytes, object]:
    return {name.encode(): value.encode() for name, value in user.items()}
