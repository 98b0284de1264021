"""Documents in properties: any length, replaced at once, and never believed when damaged."""

from __future__ import annotations

import os
from uuid import UUID, uuid4

import pytest

from gateway.backends.zfs.documents import VALUE_MAX, load, part_names, store
from gateway.backends.zfs.records import (
    PoolRecord,
    Restoring,
    SnapshotRecord,
    VolumeRecord,
    decode_pool,
    decode_snapshot,
    decode_volume,
    encode,
    encode_pool,
    incoming_id,
    parse_id,
)
from gateway.core.backend import Note

NAME = "volume-gateway:volume"
NOTE = Note(name="Grüße\t\n'", tenant="t", document=b"\x00\xff")


@pytest.mark.parametrize("size", [0, 1, 5000, 6140, 6150, 60 * 1024, 300 * 1024])
def test_a_document_comes_back(size: int) -> None:
    document = os.urandom(size)
    stored = store(NAME, document)
    assert all(len(value) <= VALUE_MAX for value in (stored.head, *stored.parts.values()))
    assert not any(character in value for value in (stored.head, *stored.parts.values()) for character in "\t\n")
    assert part_names(NAME, stored.head) == tuple(stored.parts)
    assert load(NAME, stored.head, stored.parts) == document


def test_a_replacement_leaves_the_parts_that_count_alone() -> None:
    first = store(NAME, os.urandom(20_000))
    second = store(NAME, os.urandom(20_000), first.head)
    third = store(NAME, os.urandom(20_000), second.head)
    assert not set(first.parts) & set(second.parts)
    assert set(third.parts) == set(first.parts)


def test_words_compress() -> None:
    assert not store(NAME, b"a note like any other " * 1000).parts


@pytest.mark.parametrize("head", ["", "-", "something", "a x", "c 2", "=%%%", "=AAAA"])
def test_what_is_not_ours_is_no_document(head: str) -> None:
    assert load(NAME, head, {}) is None


def test_a_missing_part_is_no_document() -> None:
    stored = store(NAME, os.urandom(20_000))
    for part in stored.parts:
        assert load(NAME, stored.head, {k: v for k, v in stored.parts.items() if k != part}) is None


def test_records_come_back_where_they_belong() -> None:
    volume, other, snapshot = uuid4(), uuid4(), uuid4()
    record = VolumeRecord(id=volume, size=5, note=NOTE, restoring=Restoring(other, snapshot, 7))
    assert decode_volume(encode(record), volume) == record
    assert decode_volume(encode(record), other) is None
    assert decode_volume(b"\xff", volume) is None
    assert decode_volume(None, volume) is None
    group = [SnapshotRecord(snapshot, volume, NOTE), SnapshotRecord(other, volume, NOTE)]
    assert decode_snapshot(encode(group), other) == group[1]
    assert decode_snapshot(encode(group), volume) is None


def test_the_pool_s_record_is_plain_text() -> None:
    record = PoolRecord(uuid4())
    assert encode_pool(record) == f"1 {record.id}"
    assert decode_pool(encode_pool(record)) == record
    assert [decode_pool(value) for value in ("", "1", "x y", f"one {record.id}")] == [None] * 4


def test_only_names_that_we_give_are_ids() -> None:
    some = UUID(int=10, version=4)
    assert parse_id(str(some)) == some
    assert [parse_id(name) for name in ("", "manifest", some.hex, str(some).upper(), f"{{{some}}}")] == [None] * 5
    assert incoming_id(f"incoming-{some}") == some
    assert incoming_id(str(some)) is None
