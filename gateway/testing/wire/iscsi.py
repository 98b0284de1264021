"""Blocks as an iSCSI initiator reaches them: by libiscsi."""
# ruff: noqa: D102 - `Device` carries the contract of the methods

from __future__ import annotations

import ctypes
import errno
import struct
from functools import cache
from typing import Any, Self

from gateway.core.handles import AccessHandle, IscsiTarget
from gateway.testing.wire.library import load

INITIATOR = "iqn.1993-08.org.debian:01:conformance"

_NORMAL_SESSION = 2
_LIMIT_S = 30
_MOST = 256 * 1024
"""Bytes of one command."""

_DATA_PROTECT, _NO_ROOM = 7, 0x2707
_CAPACITY = struct.Struct(">QI")


class _Sense(ctypes.Structure):
    _fields_ = (
        ("error_type", ctypes.c_ubyte),
        ("key", ctypes.c_int),
        ("code", ctypes.c_int),
        ("specific", ctypes.c_ubyte),
        ("bit_pointer", ctypes.c_ubyte),
        ("field_pointer", ctypes.c_uint16),
    )


class _Data(ctypes.Structure):
    _fields_ = (("size", ctypes.c_int), ("data", ctypes.c_void_p))


class _Task(ctypes.Structure):
    """The beginning of `struct scsi_task`."""

    _fields_ = (
        ("status", ctypes.c_int),
        ("command_size", ctypes.c_int),
        ("direction", ctypes.c_int),
        ("expected", ctypes.c_int),
        ("command", ctypes.c_ubyte * 16),
        ("residual_status", ctypes.c_int),
        ("residual", ctypes.c_size_t),
        ("sense", _Sense),
        ("datain", _Data),
    )


_POINTER, _TEXT, _INT = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int
_PLACE, _COUNT, _FIVE = ctypes.c_uint64, ctypes.c_uint32, (ctypes.c_int,) * 5
_TASK = ctypes.POINTER(_Task)


@cache
def _library() -> Any:
    return load(
        "iscsi",
        {
            "iscsi_create_context": (_POINTER, (_TEXT,)),
            "iscsi_destroy_context": (_INT, (_POINTER,)),
            "iscsi_get_error": (_TEXT, (_POINTER,)),
            "iscsi_set_targetname": (_INT, (_POINTER, _TEXT)),
            "iscsi_set_session_type": (_INT, (_POINTER, _INT)),
            "iscsi_set_noautoreconnect": (None, (_POINTER, _INT)),
            "iscsi_set_timeout": (_INT, (_POINTER, _INT)),
            "iscsi_full_connect_sync": (_INT, (_POINTER, _TEXT, _INT)),
            "iscsi_logout_sync": (_INT, (_POINTER,)),
            "iscsi_readcapacity16_sync": (_TASK, (_POINTER, _INT)),
            "iscsi_read16_sync": (_TASK, (_POINTER, _INT, _PLACE, _COUNT, _INT, *_FIVE)),
            "iscsi_write16_sync": (_TASK, (_POINTER, _INT, _PLACE, _TEXT, _COUNT, _INT, *_FIVE)),
            "iscsi_synchronizecache16_sync": (_TASK, (_POINTER, _INT, _PLACE, _COUNT, _INT, _INT)),
            "scsi_free_scsi_task": (None, (_TASK,)),
        },
    )


class IscsiDevice:
    """A `Device` behind an `IscsiTarget` handle: one session of `initiator`, for a `with` block."""

    def __init__(self, handle: AccessHandle, *, initiator: str = INITIATOR) -> None:
        if not isinstance(handle, IscsiTarget):
            raise TypeError(f"not an iSCSI target: {handle}")
        self._target = handle
        self._initiator = initiator

    def __enter__(self) -> Self:
        self._library = _library()
        self._context = self._library.iscsi_create_context(self._initiator.encode())
        try:
            self._connect()
            self._blocks, self._block = self._capacity()
        except BaseException:
            self._library.iscsi_destroy_context(self._context)
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._done("iscsi_logout_sync")
        finally:
            self._library.iscsi_destroy_context(self._context)

    def size(self) -> int:
        return self._blocks * self._block

    def pread(self, length: int, place: int) -> bytes:
        data, ahead = b"", place % self._block
        at, end = place - ahead, self._rounded(place + length)
        while at < end:
            most = min(end - at, _MOST)
            data += self._command("iscsi_read16_sync", at // self._block, most, self._block, *(0,) * 5)
            at += most
        return data[ahead : ahead + length]

    def pwrite(self, data: bytes, place: int) -> None:
        whole, ahead = data, place % self._block
        end = place + len(data)
        if ahead:
            whole = self.pread(ahead, place - ahead) + whole
        if end % self._block:
            whole += self.pread(self._rounded(end) - end, end)
        for begin in range(0, len(whole), _MOST):
            part = whole[begin : begin + _MOST]
            at = (place - ahead + begin) // self._block
            self._command("iscsi_write16_sync", at, part, len(part), self._block, *(0,) * 5)

    def flush(self) -> None:
        self._command("iscsi_synchronizecache16_sync", 0, 0, 0, 0)

    def _rounded(self, place: int) -> int:
        return -(-place // self._block) * self._block

    def _connect(self) -> None:
        self._done("iscsi_set_targetname", self._target.target.encode())
        self._done("iscsi_set_session_type", _NORMAL_SESSION)
        self._done("iscsi_set_timeout", _LIMIT_S)
        self._library.iscsi_set_noautoreconnect(self._context, 1)
        portal = f"{self._target.address}:{self._target.port}"
        self._done("iscsi_full_connect_sync", portal.encode(), self._target.lun)

    def _capacity(self) -> tuple[int, int]:
        """Give the number of blocks and the bytes of each."""
        last, block = _CAPACITY.unpack_from(self._command("iscsi_readcapacity16_sync"))
        return last + 1, block

    def _command(self, function: str, *arguments: object) -> bytes:
        """Give what a command to the unit answers."""
        task = getattr(self._library, function)(self._context, self._target.lun, *arguments)
        if not task:
            raise OSError(errno.EIO, self._error())
        try:
            if task.contents.status:
                raise OSError(_number(task.contents.sense), self._error())
            answer = task.contents.datain
            return ctypes.string_at(answer.data, answer.size) if answer.data else b""
        finally:
            self._library.scsi_free_scsi_task(task)

    def _done(self, function: str, *arguments: object) -> None:
        if getattr(self._library, function)(self._context, *arguments):
            raise OSError(errno.EIO, self._error())

    def _error(self) -> str:
        return (self._library.iscsi_get_error(self._context) or b"").decode(errors="replace")


def _number(sense: _Sense) -> int:
    if sense.key != _DATA_PROTECT:
        return errno.EIO
    return errno.ENOSPC if sense.code == _NO_ROOM else errno.EROFS
