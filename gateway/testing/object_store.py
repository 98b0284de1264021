"""An S3 store for tests, whoever serves it, and pools in it."""

from __future__ import annotations

from uuid import uuid4

import msgspec

from gateway.backends.s3 import S3Options
from gateway.backends.s3.bucket import client
from gateway.core.secret import AccessKeys, Secret

BUCKET = "gateway-tests"


class S3Server(msgspec.Struct, frozen=True):
    """Where a store is, and with which keys it is used."""

    url: str
    access: str
    secret: str

    @property
    def keys(self) -> AccessKeys:
        """The keys as options take them."""
        return AccessKeys(self.access, Secret(self.secret))


def options_at(server: S3Server, bucket: str, *, prefix: str = "") -> S3Options:
    """Give the options of a pool in a bucket of a store."""
    return S3Options(endpoint=server.url, bucket=bucket, credentials=server.keys, prefix=prefix, threads=8)


def make_bucket(server: S3Server, bucket: str = BUCKET) -> None:
    """Make a bucket, unless it is there."""
    options = options_at(server, bucket)
    client(options, options.endpoint).create_bucket(Bucket=bucket)


def fresh_options(server: S3Server) -> S3Options:
    """Give the options of a new pool in the bucket that the tests share: making one takes a second in real stores."""
    return options_at(server, BUCKET, prefix=str(uuid4()))
