"""Blocks as an NBD client reaches them: by libnbd."""
# ruff: noqa: D102 - `Device` carries the contract of the methods

from __future__ import annotations

import ctypes
import errno
from functools import cache
from typing import Any, Self

from gateway.core.handles import AccessHandle, NbdExport
from gateway.testing.wire.library import load

_POINTER, _TEXT, _INT = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int
_SIZE, _PLACE, _FLAGS = ctypes.c_size_t, ctypes.c_uint64, ctypes.c_uint32
_STRICT_COMMANDS = 1


@cache
def _library() -> Any:
    return load(
        "nbd",
        {
            "nbd_create": (_POINTER, ()),
            "nbd_close": (None, (_POINTER,)),
            "nbd_get_error": (_TEXT, ()),
            "nbd_get_errno": (_INT, ()),
            "nbd_set_export_name": (_INT, (_POINTER, _TEXT)),
            "nbd_get_strict_mode": (_FLAGS, (_POINTER,)),
            "nbd_set_strict_mode": (_INT, (_POINTER, _FLAGS)),
            "nbd_connect_tcp": (_INT, (_POINTER, _TEXT, _TEXT)),
            "nbd_is_read_only": (_INT, (_POINTER,)),
            "nbd_get_size": (ctypes.c_int64, (_POINTER,)),
            "nbd_pread": (_INT, (_POINTER, _POINTER, _SIZE, _PLACE, _FLAGS)),
            "nbd_pwrite": (_INT, (_POINTER, _TEXT, _SIZE, _PLACE, _FLAGS)),
            "nbd_flush": (_INT, (_POINTER, _FLAGS)),
            "nbd_shutdown": (_INT, (_POINTER, _FLAGS)),
        },
    )


class NbdDevice:
    """A `Device` behind an `NbdExport` handle: one connection, for a `with` block."""

    def __init__(self, handle: AccessHandle) -> None:
        if not isinstance(handle, NbdExport):
            raise TypeError(f"not an NBD export: {handle}")
        self._export = handle

    def __enter__(self) -> Self:
        self._library = _library()
        self._connection = self._library.nbd_create()
        try:
            # What may not be written is for the server to refuse, not for the library.
            strict = self._library.nbd_get_strict_mode(self._connection)
            self._done("nbd_set_strict_mode", strict & ~_STRICT_COMMANDS)
            self._done("nbd_set_export_name", self._export.name.encode())
            self._done("nbd_connect_tcp", self._export.address.encode(), str(self._export.port).encode())
        except BaseException:
            self._library.nbd_close(self._connection)
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._done("nbd_shutdown", 0)
        finally:
            self._library.nbd_close(self._connection)

    def size(self) -> int:
        return self._done("nbd_get_size")

    def pread(self, length: int, place: int) -> bytes:
        room = ctypes.create_string_buffer(length)
        if length:
            self._done("nbd_pread", room, length, place, 0)
        return room.raw

    def pwrite(self, data: bytes, place: int) -> None:
        if not data:
            return
        try:
            self._done("nbd_pwrite", data, len(data), place, 0)
        except OSError as refused:
            # Servers differ in the number by which they refuse; all say first whether they would.
            if self._done("nbd_is_read_only"):
                raise OSError(errno.EROFS, str(refused)) from refused
            raise

    def flush(self) -> None:
        self._done("nbd_flush", 0)

    def _done(self, function: str, *arguments: object) -> int:
        status: int = getattr(self._library, function)(self._connection, *arguments)
        if status < 0:
            number, text = self._library.nbd_get_errno(), self._library.nbd_get_error() or b""
            raise OSError(number or errno.EIO, text.decode(errors="replace"))
        return status
