"""How what the core wants kept with an object fits into what ONTAP keeps with it.

A FlexVol has up to 64 tags of `key:value` (200 characters each), a snapshot a
comment of 255 characters. A description is packed (deflate, with the words of
the core's documents as dictionary) and written as text; a FlexVol's goes to
the tags `gw00`, `gw01`, ..., a snapshot's to its comment. What does not fit goes
to carriers, which are FlexVols with nothing but tags; `More` then says which.
Tags that are not ours are left as they are.
"""

from __future__ import annotations

import base64
import binascii
import re
import zlib
from collections.abc import Iterable, Sequence
from typing import TypeVar
from uuid import UUID

import msgspec

from gateway.core.backend import Note

T = TypeVar("T")

TAGS_MAX = 64
COMMENT_MAX = 255
_TAG_MAX = 200
_PART = _TAG_MAX - len("gw00:")
_TAG = re.compile(r"gw([0-9]{2}):(.*)", re.DOTALL)
_MORE = re.compile(r"gwmore:([0-9a-f]{8})\.([0-9]{1,4})")
_IN_COMMENT, _ELSEWHERE = "gw1:", "gwmore:"
_FORMAT = b"\x01"
_CHECK = 4
_PLAIN_MAX = 4 * 1024 * 1024
_WORDS = (
    b'{"annotations":{},"attachments":[],"builtin":false,"clone_count":0,"comment":"","created":"2026-01-01T00:00:00.'
    b'000000Z","due":"2026-01-01T00:00:00.000000Z","due":null,"expires":null,"export_policy_id":"00000000-0000-4000-'
    b'8000-000000000000","export_policy_id":null,"format":"","generation":0,"id":"00000000-0000-4000-8000-000000000000'
    b'","internal":false,"junction_path":null,"kind":"filesystem","label":"","labels":{},"more_snapshot_policy_ids":[],'
    b'"mounts":[],"multi_attach":false,"name":"","origin":null,"ownership":null,"pool_id":"00000000-0000-4000-8000-0000'
    b'00000000","reason":"","retired":null,"revision":0,"root":{"gid":0,"mode":493,"uid":0},"schedules":[],"size":0,'
    b'"snapshot_count":0,"snapshot_policy_id":"00000000-0000-4000-8000-000000000000","state":"online","state":"valid",'
    b'"taken_by":"","tenant_id":"00000000-0000-4000-8000-000000000000","thick":false,"transient":false,"used":0,'
    b'"volume_id":"00000000-0000-4000-8000-000000000000","volume_size":0}'
)
"""What most documents hold. Part of the format: it never changes."""


class Damaged(Exception):  # noqa: N818 - `failures` turns it into an error of the core
    """A description that is there cannot be read."""


class Pending(msgspec.Struct, frozen=True):
    """A restore that was announced, and how large the volume was then."""

    token: UUID
    size: int


class VolumeSidecar(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is kept with a volume. `restored`: the token of the last restore that took effect."""

    id: UUID
    note: Note
    origin: UUID | None = None
    origin_snapshot: UUID | None = None
    restored: UUID | None = None
    pending: Pending | None = None


class Document(msgspec.Struct, frozen=True):
    """The document of the whole pool."""

    document: bytes


class More(msgspec.Struct, frozen=True):
    """Which carriers hold the rest: those of a generation, so many."""

    generation: str
    count: int


def pack(record: VolumeSidecar | Note | Document, *known: UUID) -> str:
    """Give a record as text. `known` are ids that whoever reads it knows too; naming them then costs little."""
    plain = msgspec.msgpack.encode(record)
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15, 9, zdict=_dictionary(known))
    packed = deflate.compress(plain) + deflate.flush()
    return base64.urlsafe_b64encode(_FORMAT + _checksum(plain) + packed).rstrip(b"=").decode()


def unpack(text: str, kind: type[T], *known: UUID) -> T:
    """Give the record that `pack` wrote; Damaged when it is not whole."""
    try:
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        inflate = zlib.decompressobj(-15, zdict=_dictionary(known))
        plain = inflate.decompress(data[1 + _CHECK :], _PLAIN_MAX)
        if data[:1] != _FORMAT or data[1 : 1 + _CHECK] != _checksum(plain) or not inflate.eof:
            raise Damaged
        return msgspec.msgpack.decode(plain, type=kind)
    except (ValueError, binascii.Error, zlib.error, msgspec.MsgspecError) as error:
        raise Damaged from error


def _dictionary(known: Sequence[UUID]) -> bytes:
    return _WORDS + b"".join(str(key).encode() + key.bytes for key in known)


def _checksum(plain: bytes) -> bytes:
    return zlib.crc32(plain).to_bytes(_CHECK)


# --- tags ---


def foreign(tags: Iterable[str]) -> tuple[str, ...]:
    """Give the tags that are not ours."""
    return tuple(tag for tag in tags if _TAG.fullmatch(tag) is None and _MORE.fullmatch(tag) is None)


def room(kept: Sequence[str]) -> int:
    """Give how many characters of text fit into the tags of a FlexVol beside those that it keeps."""
    return max(TAGS_MAX - len(kept) - 1, 0) * _PART


def to_tags(text: str, more: More | None = None) -> list[str]:
    """Give text as tags."""
    tags = [f"gw{index:02d}:{part}" for index, part in enumerate(_cut(text, _PART))]
    return tags if more is None else [*tags, f"{_ELSEWHERE}{more.generation}.{more.count}"]


def from_tags(tags: Iterable[str]) -> tuple[str, More | None] | None:
    """Give what `to_tags` was given; None when no tag is ours."""
    parts, more = {}, None
    for tag in tags:
        if part := _TAG.fullmatch(tag):
            parts[int(part[1])] = part[2]
        elif rest := _MORE.fullmatch(tag):
            more = More(rest[1], int(rest[2]))
    if not parts and more is None:
        return None
    return "".join(parts[index] for index in sorted(parts)), more


def _cut(text: str, length: int) -> list[str]:
    return [text[start : start + length] for start in range(0, len(text), length)]


# --- comments ---


def to_comment(text: str) -> str | None:
    """Give text as the comment of a snapshot; None when it is too long."""
    return f"{_IN_COMMENT}{text}" if len(_IN_COMMENT) + len(text) <= COMMENT_MAX else None


def elsewhere(more: More) -> str:
    """Give the comment of a snapshot whose description carriers hold."""
    return f"{_ELSEWHERE}{more.generation}.{more.count}"


def from_comment(comment: str) -> str | More:
    """Give the text in a snapshot's comment, or where it is; Damaged when it is not ours."""
    if comment.startswith(_IN_COMMENT):
        return comment.removeprefix(_IN_COMMENT)
    if rest := _MORE.fullmatch(comment):
        return More(rest[1], int(rest[2]))
    raise Damaged
