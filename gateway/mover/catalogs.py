"""How a tree lies in an object store: a file is an object whose key is its path, and one document tells the rest.

The document is a list of everything in the tree in the order of the keys'
bytes, which is the order in which stores list them: a directory comes before
what is in it, as its path with a slash. It is set last, in one request. What
it says of an object holds only while the object has the tag that it names.
"""

from __future__ import annotations

import gzip
import os
import re
import stat
from collections.abc import Iterator
from typing import IO
from urllib.parse import unquote_to_bytes

import msgspec

from gateway.core.errors import Unavailable
from gateway.core.mover import OURS

DOCUMENT = f"{OURS}tree"
_ESCAPED = re.compile("[\x00-\x1f%\x7f\udc80-\udcff\ufffe\uffff]")
_FORMAT = {"format": "gateway-tree-1"}


class Entry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One name of a tree. `key` ends with a slash for directories, and is empty for the root.

    `names`: how many the file has; `link` is the key of the first one, which
    has its content, for all others.
    `changed` is when the source's inode last changed; times are nanoseconds.
    """

    key: str
    mode: int
    uid: int
    gid: int
    modified: int
    changed: int
    size: int = 0
    device: int = 0
    attributes: dict[str, bytes] = {}
    target: str = ""
    link: str = ""
    etag: str = ""
    digest: str = ""
    names: int = 1

    @property
    def holds(self) -> bool:
        """Tell whether there is an object with its content."""
        return stat.S_ISREG(self.mode) and not self.link

    @property
    def order(self) -> bytes:
        """Give its place in the order."""
        return self.key.encode()

    def status(self) -> os.stat_result:
        """Give what stat(2) said of it."""
        times = {"st_mtime_ns": self.modified, "st_ctime_ns": self.changed, "st_rdev": self.device}
        seconds = (0, self.modified // 10**9, self.changed // 10**9)
        return os.stat_result((self.mode, 0, 0, self.names, self.uid, self.gid, self.size, *seconds), times)


def escaped(name: str) -> str:
    """Give a name, or the target of a link, as text that every store takes."""
    return _ESCAPED.sub(lambda found: "".join(f"%{byte:02X}" for byte in os.fsencode(found[0])), name)


def unescaped(text: str) -> str:
    """Give the name back."""
    return os.fsdecode(unquote_to_bytes(text))


def key_of(above: str, name: str) -> str:
    """Give the key of a name in a directory with a key."""
    text = escaped(name)
    return above + (f"%2E{text[1:]}" if not above and text.startswith(".gateway") else text)


class Writer:
    """Writes the document."""

    def __init__(self, file: IO[bytes]) -> None:
        self._zipped = gzip.GzipFile(fileobj=file, mode="wb", compresslevel=6, mtime=0)
        self._line(msgspec.json.encode(_FORMAT))

    def add(self, entry: Entry) -> None:
        """Write what comes next."""
        self._line(msgspec.json.encode(entry))

    def close(self) -> None:
        """Write the end."""
        self._zipped.close()

    def _line(self, data: bytes) -> None:
        self._zipped.write(data + b"\n")


def read(file: IO[bytes], end: str) -> Iterator[Entry]:
    """Yield what a document says; Unavailable when it is damaged."""
    decoder = msgspec.json.Decoder(Entry)
    try:
        with gzip.GzipFile(fileobj=file, mode="rb") as lines:
            if msgspec.json.decode(lines.readline()) != _FORMAT:
                raise Unavailable(what=end, reason="its tree is of a newer gateway")
            for line in lines:
                yield decoder.decode(line)
    except (OSError, EOFError, msgspec.DecodeError) as error:
        raise Unavailable(what=end, reason="the document of its tree is damaged") from error
