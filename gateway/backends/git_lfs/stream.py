"""The stream of a snapshot: its refs, a pack of its objects, its large files, and an end that says that it is whole.

    frame := kind (1 byte), length (4 bytes, big-endian), that many bytes
    stream := H, P*, (F, D*)*, E

`H` is a `Head`, `P` a part of a pack as `git pack-objects` writes it, `F` a
`File`, `D` a part of it, and `E` the SHA-256 of all before it.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from typing import Final
from uuid import UUID

import msgspec

from gateway.core.errors import GatewayError, InvalidArgument

HEAD: Final = b"H"
PACK: Final = b"P"
FILE: Final = b"F"
DATA: Final = b"D"
END: Final = b"E"

FORMAT: Final = 1
CHUNK: Final = 256 * 1024
_FRAME = struct.Struct(">cI")
_FRAME_MAX = 256 * 1024**2


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """What a stream is of. `refs`: name -> object; names are bytes, for they need be no text.

    `base`: the refs of the snapshot that it is the difference from, by `digest`; "" for a whole one.
    """

    format: int
    snapshot: UUID
    branch: bytes
    refs: dict[bytes, str]
    base: str = ""


class File(msgspec.Struct, frozen=True):
    """A large file that follows."""

    oid: str
    size: int


def digest(refs: dict[str, str]) -> str:
    """Give what stands for refs: the same for the same ones in whatever pool."""
    made = hashlib.sha256()
    for name in sorted(refs):
        made.update(name.encode(errors="surrogateescape") + b"\0" + refs[name].encode() + b"\n")
    return made.hexdigest()


class Writer:
    """Makes frames, and the end that fits them."""

    def __init__(self) -> None:
        self._sum = hashlib.sha256()

    def frame(self, kind: bytes, data: bytes) -> bytes:
        """Give a frame."""
        made = _FRAME.pack(kind, len(data)) + data
        self._sum.update(made)
        return made

    def end(self) -> bytes:
        """Give the last frame."""
        return self.frame(END, self._sum.digest())


class Reader:
    """Takes a stream in whatever parts it comes, and gives its frames. InvalidArgument when it is broken."""

    def __init__(self) -> None:
        self._sum = hashlib.sha256()
        self._kept = b""
        self.ended = False

    def frames(self, part: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield the frames that are whole by now; the last one is checked, and not given."""
        self._kept += part
        while len(self._kept) >= _FRAME.size:
            kind, length = _FRAME.unpack_from(self._kept)
            if self.ended or kind not in {HEAD, PACK, FILE, DATA, END} or length > _FRAME_MAX:
                raise broken_stream()
            if len(self._kept) < _FRAME.size + length:
                return
            whole, self._kept = self._kept[: _FRAME.size + length], self._kept[_FRAME.size + length :]
            data = whole[_FRAME.size :]
            if kind == END:
                self.ended = data == self._sum.digest()
                if not self.ended:
                    raise broken_stream()
                continue
            self._sum.update(whole)
            yield kind, data

    def finish(self) -> None:
        """Raise InvalidArgument unless the stream has come to its end."""
        if not self.ended or self._kept:
            raise broken_stream()


def broken_stream() -> GatewayError:
    """Give the error of a stream that is damaged, cut short or no stream at all."""
    return InvalidArgument(field="stream", reason="broken or cut short")
