"""What stores refuse, lose and change behind a pool's back: the right error, and nothing lost."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from uuid import UUID, uuid4

import msgspec
import pytest
from s3_scene import note, scene, spec

from gateway.backends.s3 import S3Backend, S3Options
from gateway.backends.s3.bucket import client
from gateway.backends.s3.inventories import BLOCK, Entry
from gateway.backends.s3.layout import Layout, PoolRecord
from gateway.backends.s3.lease import Holder, Lease, ended, this_process
from gateway.backends.s3.probing import NO_MARKER, UNCHECKED, UNSIGNED
from gateway.backends.s3.session import ELSEWHERE
from gateway.core.errors import Busy, GatewayError, Timeout, Unavailable
from gateway.core.model import utc_now
from gateway.core.secret import AccessKeys, Secret
from gateway.testing.object_store import S3Server, fresh_options, make_bucket, options_at

VOLUME, SNAPSHOT = UUID(int=1, version=4), UUID(int=11, version=4)


async def refused(options: S3Options) -> GatewayError:
    """Give the error with which a pool does not open."""
    backend = S3Backend("pool", options)
    try:
        with pytest.raises(GatewayError) as caught:
            await backend.open()
    finally:
        await backend.close()
    return caught.value


class Refusing(BaseHTTPRequestHandler):
    """Answers everything with one error."""

    status = 500
    code = ""
    asked: list[str]

    def _answer(self) -> None:
        self.asked.append(self.command)
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = f"<?xml version='1.0'?><Error><Code>{self.code}</Code><Message>their words</Message></Error>".encode()
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = _answer  # noqa: N815 - the names are the methods'

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - so it is called there
        """Say nothing."""


@contextmanager
def answering(status: int, code: str) -> Iterator[tuple[S3Server, list[str]]]:
    """Give a store that answers everything with one error, and the list of what it was asked."""
    asked: list[str] = []
    handler = type("Handler", (Refusing,), {"status": status, "code": code, "asked": asked})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield S3Server(f"http://127.0.0.1:{server.server_port}", "any", "any"), asked
        finally:
            server.shutdown()
            thread.join()


async def asked_about(options: S3Options, server: S3Server) -> GatewayError:
    """Give the error of a question to a pool whose store has become another one."""
    backend = S3Backend("pool", options)
    await backend.open()
    session = backend._session
    healthy = session.pool.data.s3
    session.pool.control.s3 = client(options_at(server, options.bucket), server.url)
    try:
        with pytest.raises(GatewayError) as caught:
            await backend.inspect(VOLUME)
    finally:
        session.pool.control.s3 = healthy
        await backend.close()
    return caught.value


@pytest.mark.parametrize(
    ("status", "code", "kind", "reason"),
    [
        (503, "SlowDown", Busy, None),
        (400, "RequestTimeout", Timeout, None),
        (403, "RequestTimeTooSkewed", Unavailable, "clocks"),
        (403, "InvalidAccessKeyId", Unavailable, "refuses the keys"),
        (404, "NoSuchBucket", Unavailable, "the bucket is gone"),
        (500, "InternalError", Unavailable, "failed"),
        (418, "SomethingNew", Unavailable, "failed"),
    ],
)
async def test_an_answer_is_told_in_our_words_after_few_tries(
    moto: S3Server, status: int, code: str, kind: type[GatewayError], reason: str | None
) -> None:
    with answering(status, code) as (server, asked):
        error = await asked_about(fresh_options(moto), server)
    assert type(error) is kind
    assert "their words" not in str(error)
    assert reason is None or reason in str(error.fields["reason"])
    assert 1 <= len(asked) <= 4


async def test_a_store_that_is_not_there_is_unavailable(moto: S3Server) -> None:
    with answering(200, "") as (server, _):
        pass
    assert (await asked_about(fresh_options(moto), server)).reason == "the store cannot be reached"


@pytest.mark.root
async def test_wrong_keys_are_refused(ceph: S3Server) -> None:
    for access, secret in (("nobody", ceph.secret), (ceph.access, "wrong")):
        keys = AccessKeys(access, Secret(secret))
        error = await refused(msgspec.structs.replace(fresh_options(ceph), credentials=keys))
        assert type(error) is Unavailable
        assert secret not in str(error)


async def test_buckets_that_are_not_as_they_have_to_be(moto: S3Server) -> None:
    name = f"b-{uuid4()}"
    options = options_at(moto, name)
    s3 = client(options, moto.url)
    assert (await refused(options)).reason == f"there is no bucket {name}"
    make_bucket(moto, name)
    s3.put_object(Bucket=name, Key="somebody's", Body=b"")
    assert "does not keep versions" in str((await refused(options)).reason)
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    backend = S3Backend("pool", options)
    await backend.open()
    await backend.close()
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Suspended"})
    assert "any more" in str((await refused(options)).reason)
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    s3.put_bucket_versioning(Bucket=options.control, VersioningConfiguration={"Status": "Enabled"})
    assert "never did" in str((await refused(options)).reason)


async def test_buckets_that_are_exchanged_are_noticed(moto: S3Server) -> None:
    first, second = (f"b-{uuid4()}" for _ in range(2))
    for name in (first, second):
        make_bucket(moto, name)
    options = options_at(moto, first)
    backend = S3Backend("pool", options)
    await backend.open()
    await backend.create(spec(VOLUME))
    s3, key = backend._session.pool.data.s3, Layout("").pool
    s3.delete_object(Bucket=first, Key=key)
    with pytest.raises(Unavailable, match="in its place"):
        await backend.capacity()
    await backend.close()
    assert "another one" in str((await refused(options)).reason)
    s3.put_object(Bucket=second, Key=key, Body=msgspec.json.encode(PoolRecord(id=uuid4())))
    assert "documents is gone" in str((await refused(options_at(moto, second))).reason)


async def test_what_moto_does_otherwise_is_told(moto: S3Server) -> None:
    async with scene(moto) as at:
        assert at.backend.describe().remarks == (NO_MARKER, UNCHECKED)


async def test_a_store_that_takes_unsigned_headers_is_told_of(ceph: S3Server) -> None:
    async with scene(ceph) as at:
        assert UNSIGNED in at.backend.describe().remarks
        assert list(at.pool.control.keys(at.layout.probes)) == []


async def test_stray_uploads_go_with_the_next_opening_or_their_volume(moto: S3Server) -> None:
    """Moto says of every upload that it began in 2010."""
    async with scene(moto) as at:
        await at.backend.create(spec(VOLUME))
        key = f"{at.layout.below(VOLUME)}big"
        for end in (at.reopen, lambda: at.backend.delete(VOLUME)):
            at.data.s3.create_multipart_upload(Bucket=at.data.name, Key=key)
            assert len(list(at.data.uploads(at.layout.objects))) == 1
            await end()
            assert list(at.data.uploads(at.layout.objects)) == []


async def test_an_inventory_of_many_entries_is_read_in_part(moto: S3Server) -> None:
    async with scene(moto) as at:
        entries = [Entry(f"k{n:05}", VOLUME, str(n), n, "e", utc_now()) for n in range(0, 5 * BLOCK, 2)]
        kept = at.pool.inventories
        index = kept.write(SNAPSHOT, iter(entries))
        assert (index.count, index.size) == (len(entries), sum(entry.size for entry in entries))
        await at.reopen()
        kept = at.pool.inventories
        assert [entry.key for entry in kept.entries(SNAPSHOT)] == [entry.key for entry in entries]
        for start in ("", "k00999", "k01000", "k01998", "k03999", "k04998", "z"):
            wanted = [entry.key for entry in entries if entry.key >= start]
            assert [entry.key for entry in kept.entries(SNAPSHOT, start=start)] == wanted
        for key in ("k00000", "k01998", "k02000", "k04998"):
            assert (kept.find(SNAPSHOT, key) or entries[0]).key == key
        for key in ("", "a", "k00001", "k01999", "z"):
            assert kept.find(SNAPSHOT, key) is None
        at.pool.control.put(at.layout.inventory(SNAPSHOT), b"damaged")
        await at.reopen()
        with pytest.raises(Unavailable, match="damaged"):
            at.pool.inventories.find(SNAPSHOT, "k00000")


# --- the lease ---


def elsewhere(*, valid_s: float) -> bytes:
    """Give a lease that a gateway on another machine has."""
    holder = Holder(boot="another machine", space="", pid=1, started="1")
    return msgspec.json.encode(Lease(id=uuid4(), holder=holder, until=utc_now() + timedelta(seconds=valid_s)))


async def test_a_pool_that_another_gateway_changes_is_only_read(moto: S3Server) -> None:
    async with scene(moto) as at:
        await at.backend.create(spec(VOLUME))
        await at.backend.close()
        control = client(at.options, at.options.endpoint)
        control.put_object(Bucket=at.options.control, Key=at.layout.lease, Body=elsewhere(valid_s=600))
        at.backend = at.fresh()
        await at.backend.open()
        assert ELSEWHERE in at.backend.describe().remarks
        assert await at.backend.inspect(VOLUME) is not None
        with pytest.raises(Unavailable):
            await at.backend.snapshot(VOLUME, SNAPSHOT, note("snapshot"))
        await at.backend.close()
        found = at.fresh()
        control.put_object(Bucket=at.options.control, Key=at.layout.lease, Body=elsewhere(valid_s=-1))
        await found.open()
        assert ELSEWHERE not in found.describe().remarks
        await found.snapshot(VOLUME, SNAPSHOT, note("snapshot"))
        # Somebody takes it away: the next renewal notices, and nothing is changed any more.
        control.put_object(Bucket=at.options.control, Key=at.layout.lease, Body=elsewhere(valid_s=600))
        await found._session.lead()
        with pytest.raises(Unavailable):
            await found.delete_snapshot(VOLUME, SNAPSHOT)
        await found.close()
        kept = control.get_object(Bucket=at.options.control, Key=at.layout.lease)["Body"].read()
        assert b"another machine" in kept


def test_a_holder_is_known_to_have_ended_only_here() -> None:
    me = this_process()
    assert ended(me, me)
    assert ended(msgspec.structs.replace(me, started="0"), me)
    assert not ended(msgspec.structs.replace(me, boot="elsewhere"), me)
    assert not ended(msgspec.structs.replace(me, space="pid:[1]"), me)
    assert not ended(me, msgspec.structs.replace(me, pid=1))
