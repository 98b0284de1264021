"""Trees and blocks into an object store and out again: what is equal afterwards, and how little moves."""

from __future__ import annotations

import gzip
import io
import os
import signal
import tempfile
from pathlib import Path
from types import SimpleNamespace
from uuid import uuid4

import msgspec
import pytest
from core_scene import make
from hypothesis import given, settings
from hypothesis import strategies as st
from mover_scene import BLOCK, MEMORY, TREE, job, moved, picture, same

from gateway.backends.s3 import S3Backend
from gateway.backends.s3.bucket import client
from gateway.core import replication_policies, replications, transfers
from gateway.core.errors import GatewayError, LimitExceeded, NotFound, Unavailable
from gateway.core.model import VolumeKind
from gateway.core.mover import MoveJob, ObjectPlace
from gateway.core.pools import Configured
from gateway.core.secret import AccessKeys, Secret
from gateway.mover.catalogs import DOCUMENT, Entry, escaped, key_of, unescaped
from gateway.mover.client import ProcessMover
from gateway.mover.upload import walk
from gateway.mover.wire import decode_job, encode_job
from gateway.testing.cores import core_on
from gateway.testing.forks import ForkServer
from gateway.testing.object_store import make_bucket, options_at

pytestmark = pytest.mark.root

MIB = 1 << 20
BUCKET, POOLS = "moved", "moved-in-pools"
NAMES = (
    (st.binary(min_size=1, max_size=4) | st.sampled_from([b".gateway", b"%41", "\ufffe".encode()]))
    .filter(lambda name: not {0, 0x2F} & {*name} and name not in {b".", b".."})
    .map(os.fsdecode)
)


@pytest.fixture
def at(ceph, tmp_path):
    """Give two trees, and a place of objects."""
    make_bucket(ceph, BUCKET)
    prefix = f"v/{uuid4()}/"
    found = SimpleNamespace(
        source=tmp_path / "source",
        back=tmp_path / "back",
        place=ObjectPlace(endpoint=ceph.url, region="us-east-1", bucket=BUCKET, prefix=prefix, keys=ceph.keys),
        s3=client(options_at(ceph, BUCKET), ceph.url),
    )
    for path in (found.source, found.back):
        path.mkdir()
    return found


def up(at, kind=TREE, **options) -> MoveJob:
    return msgspec.structs.replace(job(at.source, at.source, kind, **options), destination=at.place)


def down(at, kind=TREE, **options) -> MoveJob:
    return msgspec.structs.replace(job(at.back, at.back, kind, **options), source=at.place)


def objects(at) -> dict[str, bytes]:
    """Give the objects, but for what is ours."""
    listed = at.s3.list_objects_v2(Bucket=at.place.bucket, Prefix=at.place.prefix).get("Contents", ())
    keys = [one["Key"].removeprefix(at.place.prefix) for one in listed]
    return {key: get(at, key) for key in keys if not key.startswith(".gateway/")}


def get(at, key: str) -> bytes:
    return at.s3.get_object(Bucket=at.place.bucket, Key=at.place.prefix + key)["Body"].read()


def put(at, key: str, data: bytes) -> None:
    at.s3.put_object(Bucket=at.place.bucket, Key=at.place.prefix + key, Body=data)


def furnish(root: Path) -> None:
    """Make something of everything, in an order of names that is not that of the keys by accident."""
    (root / "a").mkdir()
    for name in ("a.b", "a/b", "a0", "empty", "odd \udcfe%41\n+ &", ".gateway"):
        (root / name).write_bytes(b"" if name == "empty" else name.encode(errors="surrogateescape"))
    (root / "a/hard").hardlink_to(root / "a.b")
    (root / "a/nothing").mkdir(mode=0o700)
    (root / "link").symlink_to("odd \udcfe%41")
    os.mkfifo(root / "fifo", 0o640)
    (root / "large").write_bytes(os.urandom(9 * MIB))
    os.utime(root / "a", (1, 2))


def test_a_tree_there_and_back(at):
    furnish(at.source)
    moved(up(at))
    assert objects(at) == {
        "%2Egateway": b".gateway",
        "a.b": b"a.b",
        "a/b": b"a/b",
        "a0": b"a0",
        "empty": b"",
        "large": (at.source / "large").read_bytes(),
        "odd %FE%2541%0A+ &": b"odd \xfe%41\n+ &",
    }
    moved(down(at))
    same(at.source, at.back)
    for again in (up(at), down(at), up(at, full=True), down(at, full=True)):
        assert moved(again).bytes_transferred == 0


def test_only_what_differs_moves(at):
    furnish(at.source)
    first = moved(up(at)).bytes_transferred
    moved(down(at))
    (at.source / "a/b").write_bytes(b"changed")
    (at.source / "a0").rename(at.source / "a1")
    (at.source / "large").chmod(0o600)
    (at.source / "empty").unlink()
    (at.source / "link").unlink()
    (at.source / "link").write_bytes(b"no link any more")
    second = moved(up(at))
    document = at.s3.head_object(Bucket=BUCKET, Key=at.place.prefix + DOCUMENT)["ContentLength"]
    assert second.bytes_transferred == len(b"changed" + b"a0" + b"no link any more") + document
    assert second.bytes_transferred < first / 100
    assert moved(down(at)).bytes_transferred == len(b"changed" + b"a0" + b"no link any more")
    same(at.source, at.back)
    assert "empty" not in objects(at)


def test_what_others_did_to_the_objects_is_seen(at):
    furnish(at.source)
    moved(up(at))
    before = objects(at)
    put(at, "a/b", b"overwritten")
    put(at, "stranger", b"stranger")
    put(at, "a/", b"as some tools mark directories")
    at.s3.delete_object(Bucket=BUCKET, Key=at.place.prefix + "a0")
    moved(up(at))
    assert objects(at) == before


def test_an_object_that_is_not_what_was_put_is_not_taken(at):
    (at.source / "a").write_bytes(b"right")
    moved(up(at))
    put(at, "a", b"wrong")
    (at.back / "a").write_bytes(b"old")
    with pytest.raises(Unavailable, match="not what was put there"):
        moved(down(at))
    assert (at.back / "a").read_bytes() == b"old"
    (at.back / "a").unlink()
    with pytest.raises(Unavailable, match="not what was put there"):
        moved(down(at))
    assert list(at.back.iterdir()) == []


def test_a_move_that_broke_off_goes_on(at):
    """The objects of the first try are not sent again, and what it did counts for nothing else."""
    (at.source / "a").write_bytes(b"one")
    (at.source / "b").write_bytes(b"one")
    moved(up(at))
    document = get(at, DOCUMENT)
    (at.source / "a").write_bytes(b"two")
    moved(up(at))
    put(at, DOCUMENT, document)  # as if it had died just before
    (at.source / "b").write_bytes(b"new")
    size = len(document)
    assert moved(up(at)).bytes_transferred < len(b"new") + 2 * size
    moved(down(at))
    same(at.source, at.back)
    put(at, DOCUMENT, document)
    (at.source / "a").write_bytes(b"one")
    moved(up(at))
    assert objects(at) == {"a": b"one", "b": b"new"}


@pytest.mark.parametrize("kind", [TREE, BLOCK])
def test_moves_that_are_killed(at, kind):
    """After some of the objects, and after the document; what was sent is not sent again."""
    if kind is BLOCK:
        blocks(at, 12 * MIB, m0=os.urandom(6 * MIB))
    else:
        for number in range(6):
            (at.source / f"f{number}").write_bytes(os.urandom(MIB))
    document = encode_job(up(at, kind)).decode()
    with ForkServer(["mover_scene"], folders=[Path(__file__).parent]) as forks:
        for point in ("object.put", "object.settled"):
            process = forks.start(
                "mover_scene:die", document, f"mover.{point}", "1", environment=os.environ, stdout=2, stderr=2
            )
            assert process.wait(60) == -signal.SIGKILL
    assert moved(up(at, kind)).bytes_transferred == 0
    moved(down(at, kind))
    if kind is BLOCK:
        assert at.back.read_bytes() == at.source.read_bytes()
    else:
        same(at.source, at.back)


@pytest.mark.parametrize("key", ["../out", "/etc/out", "%2E%2E", "a%2Fb", "", "nowhere/out", "a%00", "folder/"])
def test_a_document_leads_nowhere_else(at, key):
    moved(up(at))
    entry = Entry(key=key, mode=0o100644, uid=os.getuid(), gid=os.getgid(), modified=0, changed=0)
    lines = gzip.decompress(get(at, DOCUMENT)) + msgspec.json.encode(entry) + b"\n"
    put(at, DOCUMENT, gzip.compress(lines, mtime=0))
    with pytest.raises(Unavailable, match="damaged"):
        moved(down(at))
    assert list(at.back.iterdir()) == []


@pytest.mark.parametrize("document", [b"no gzip", gzip.compress(b"{}\n", mtime=0)])
@pytest.mark.parametrize("kind", [TREE, BLOCK])
def test_documents_of_others(at, document, kind):
    if kind is BLOCK:
        blocks(at, MIB)
    put(at, DOCUMENT if kind is TREE else ".gateway/blocks", document)
    with pytest.raises(Unavailable):
        moved(down(at, kind))


def test_a_document_without_a_tree(at):
    moved(up(at))
    (at.back / "old").write_text("x")
    head, *_ = gzip.decompress(get(at, DOCUMENT)).splitlines(keepends=True)
    put(at, DOCUMENT, gzip.compress(head, mtime=0))
    with pytest.raises(Unavailable, match="damaged"):
        moved(down(at))


def test_where_nothing_was_put(at):
    with pytest.raises(NotFound):
        moved(down(at))
    blocks(at, MIB)
    with pytest.raises(NotFound):
        moved(down(at, BLOCK))


def blocks(at, size: int, **parts: bytes) -> None:
    """Make raw files of the two ends. `parts`: what is where, `m3` being at the third MiB."""
    for path in (at.source, at.back):
        if path.is_dir():
            path.rmdir()
    with at.source.open("wb") as file:
        file.truncate(size)
        for where, data in parts.items():
            file.seek(int(where[1:]) * MIB)
            file.write(data)
    if not at.back.exists():
        at.back.write_bytes(b"")
        os.truncate(at.back, size)


def test_blocks_there_and_back(at):
    size = 20 * MIB + 512
    blocks(at, size, m0=b"x" * 10, m3=os.urandom(2 * MIB), m20=b"end")
    moved(up(at, BLOCK))
    assert sorted(objects(at)) == [f"blocks/{number:010x}" for number in (0, 3, 4, 20)]
    assert moved(down(at, BLOCK)).bytes_transferred == 2 * MIB + 4096 + 512
    assert at.back.read_bytes() == at.source.read_bytes()
    for again in (up(at, BLOCK), down(at, BLOCK)):
        assert moved(again).bytes_transferred == 0
    blocks(at, size, m0=b"x" * 10, m4=b"y" * 10, m7=b"new")
    assert 2 * MIB < moved(up(at, BLOCK)).bytes_transferred < 2 * MIB + 1000
    assert sorted(objects(at)) == [f"blocks/{number:010x}" for number in (0, 4, 7)]
    assert moved(down(at, BLOCK)).bytes_transferred == 2 * 4096
    assert at.back.read_bytes() == at.source.read_bytes()


def test_blocks_that_do_not_fit(at):
    blocks(at, 2 * MIB, m1=b"x")
    moved(up(at, BLOCK))
    os.truncate(at.back, MIB)
    with pytest.raises(LimitExceeded):
        moved(down(at, BLOCK))
    os.truncate(at.back, 4 * MIB)
    moved(down(at, BLOCK))
    assert at.back.read_bytes() == at.source.read_bytes() + bytes(2 * MIB)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"bucket": "nothing"}, "the bucket is gone"),
        ({"endpoint": "http://127.0.0.1:9"}, "the store cannot be reached"),
    ],
)
@pytest.mark.parametrize("kind", [TREE, BLOCK])
def test_stores_that_do_not_do(at, kind, changes, reason):
    if kind is BLOCK:
        blocks(at, MIB, m0=b"x")
    broken = SimpleNamespace(source=at.source, back=at.back, place=msgspec.structs.replace(at.place, **changes))
    for given_job, end in ((up(broken, kind), "destination"), (down(broken, kind), "source")):
        with pytest.raises(GatewayError) as raised:
            moved(given_job)
        assert raised.value.fields == {"what": end, "reason": reason}


def copied(at, **changes) -> MoveJob:
    place = msgspec.structs.replace(at.place, **changes)
    given_job = job(at.source, at.source, VolumeKind.OBJECTS)
    return msgspec.structs.replace(given_job, source=at.place, destination=place)


@pytest.mark.parametrize("other_name", ["", "/"])
def test_objects_to_objects(at, other_name):
    """By the store itself, or through here where it may be another one; with what is kept beside their bytes."""
    there = SimpleNamespace(s3=at.s3, place=msgspec.structs.replace(at.place, prefix=f"v/{uuid4()}/"))
    given_job = copied(at, prefix=there.place.prefix, endpoint=at.place.endpoint + other_name)
    for key, data in (("a", b"a"), ("a/b", b"b" * 1000), ("a.b", b""), ("z %41+", b"z")):
        put(at, key, data)
    at.s3.upload_fileobj(io.BytesIO(os.urandom(17 * MIB)), BUCKET, f"{at.place.prefix}large")
    at.s3.put_object(
        Bucket=BUCKET, Key=f"{at.place.prefix}typed", Body=b"t", ContentType="text/x", Metadata={"mine": "1"}
    )
    put(there, "surplus", b"surplus")
    put(there, "a", b"b")
    assert moved(given_job).bytes_transferred == 17 * MIB + 1003
    assert objects(there) == objects(at)
    typed = at.s3.head_object(Bucket=BUCKET, Key=f"{there.place.prefix}typed")
    assert (typed["ContentType"], typed["Metadata"]["mine"]) == ("text/x", "1")
    assert moved(given_job).bytes_transferred == 0
    put(at, "a", b"changed")
    at.s3.delete_object(Bucket=BUCKET, Key=f"{at.place.prefix}a/b")
    assert moved(given_job).bytes_transferred == len(b"changed")
    assert objects(there) == objects(at)


async def test_pools_in_object_stores_follow_each_other(ceph, tmp_path):
    make_bucket(ceph, POOLS)
    options = [options_at(ceph, POOLS, prefix=f"{name}/") for name in ("one", "two")]
    pools = [Configured(name, S3Backend(name, each)) for name, each in zip(("one", "two"), options, strict=True)]
    mover = ProcessMover()
    try:
        async with core_on(tmp_path, pools, mover=mover) as core:
            made = [await make(core, name, pool=name, kind=VolumeKind.OBJECTS, size=MIB) for name in ("one", "two")]
            at_store = client(options[0], ceph.url)
            places = [
                SimpleNamespace(place=await pool.backend.place(volume.id), s3=at_store)
                for pool, volume in zip(pools, made, strict=True)
            ]
            for key in ("a", "b", "c"):
                put(places[0], key, key.encode() * 1000)
            policy = await replication_policies.named(core, "Asynchronous")
            new = replications.NewReplication(source_id=made[0].id, destination_id=made[1].id, policy_id=policy.id)
            replication = await replications.create(core, new, description="t")
            for expected in (3000, 1):
                begun = await transfers.transfer(core, replication.id, description="t")
                ended = await transfers.wait(core, begun.id)
                assert (ended.error, ended.bytes_transferred) == (None, expected)
                assert objects(places[1]) == objects(places[0])
                put(places[0], "a", b"a")
    finally:
        await mover.close()
        for pool in pools:
            await pool.backend.close()


async def test_by_the_process(at):
    """Its keys go the way of the job, which nobody else sees."""
    furnish(at.source)
    mover = ProcessMover()
    try:
        told = await mover.move(up(at), progress=lambda _progress: None)
        assert told.bytes_transferred > 9 * MIB
        await mover.move(down(at), progress=lambda _progress: None)
    finally:
        await mover.close()
    same(at.source, at.back)


def test_jobs_survive_the_wire_and_show_no_secret(at):
    keys = AccessKeys("access", Secret("very secret"))
    given_job = msgspec.structs.replace(up(at), destination=msgspec.structs.replace(at.place, keys=keys))
    assert decode_job(encode_job(given_job)) == given_job
    assert b"very secret" in encode_job(given_job)
    assert "very secret" not in repr(given_job)


@given(NAMES, NAMES)
def test_names_come_back_from_keys(one, other):
    assert unescaped(escaped(one)) == one
    key_of("", one).encode()
    assert unescaped(key_of("", one)) == one
    assert (key_of("", one) == key_of("", other)) == (one == other)
    assert not key_of("", one).startswith(".gateway/")


@settings(max_examples=30)
@given(st.sets(st.lists(st.text("aA.0-", min_size=1, max_size=2), min_size=1, max_size=3).map(tuple), max_size=12))
def test_the_walk_is_in_the_order_of_keys(paths):
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        root = Path(folder)
        for path in sorted(paths):
            if {".", ".."}.isdisjoint(path):
                place = root.joinpath(*path)
                if not any(above.is_file() for above in place.parents if above != root.parent) and not place.exists():
                    place.parent.mkdir(parents=True, exist_ok=True)
                    place.write_bytes(b"")
        fd = os.open(root, os.O_RDONLY)
        try:
            keys = [found.entry.key.encode() for found in walk(fd)]
        finally:
            os.close(fd)
        assert keys == sorted(set(keys))
        assert len(keys) == len(picture(root))
