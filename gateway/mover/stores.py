"""An object store as the process of a move uses it: with the client and the tables of the backend for such stores."""

from __future__ import annotations

import base64
import hashlib
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import msgspec

from gateway.core.errors import GatewayError, Unavailable
from gateway.core.mover import ObjectPlace
from gateway.mover.content import checksum
from gateway.mover.meter import Meter

if TYPE_CHECKING:
    from gateway.backends.s3.bucket import Bucket
    from gateway.mover.frozen import Frozen

PART = 8 * 1024 * 1024
"""Bytes of one request; larger objects go in parts."""
_PARTS_MAX = 10_000
COPY_MAX = 5 << 30
"""Bytes of the largest object that a store copies in one request."""

THREADS = 8
_ABOUT = ("CacheControl", "ContentDisposition", "ContentEncoding", "ContentLanguage", "ContentType", "Metadata")

Read = Callable[[int, int], bytes]
"""Gives bytes, from an offset on, so many."""


class Listed(msgspec.Struct, frozen=True, gc=False):
    """An object that is there. Its key is without the prefix."""

    key: str
    etag: str
    size: int


class Uploaded(msgspec.Struct, frozen=True, gc=False):
    """What became of content: the store's tag of it, and our checksum."""

    etag: str
    digest: str


class Store:
    """The objects below a prefix. Threads may share it. `end` names it in errors."""

    def __init__(self, place: ObjectPlace, end: str) -> None:
        try:
            from gateway.backends.s3.bucket import Bucket, client  # noqa: PLC0415 - boto3 may be missing
            from gateway.backends.s3.options import S3Options  # noqa: PLC0415
        except ModuleNotFoundError as error:
            reason = f"{error.name} is not installed: install volume-gateway[s3]"
            raise Unavailable(what=end, reason=reason) from error
        options = S3Options(
            bucket=place.bucket,
            endpoint=place.endpoint,
            region=place.region,
            credentials=place.keys,
            addressing="virtual" if place.addressing == "virtual" else "path",
            ca=Path(place.ca) if place.ca else None,
            threads=THREADS,
        )
        self._end = end
        self._prefix = place.prefix
        s3 = client(options, place.endpoint)
        self._bucket: Bucket = Bucket(s3, place.bucket)
        self._frozen: Frozen | None = None
        if place.snapshot is not None:
            from gateway.mover.frozen import Frozen  # noqa: PLC0415 - as above

            self._frozen = Frozen(Bucket(s3, place.control_bucket), place.pool_prefix, place.snapshot, end)

    @contextmanager
    def asked(self) -> Iterator[None]:
        """Turn what the client raises in the body into errors of the core."""
        import botocore.exceptions as boto  # noqa: PLC0415 - see above

        try:
            yield
        except (boto.ClientError, boto.BotoCoreError) as error:
            raise self._failure(error) from error

    def _failure(self, error: Exception) -> GatewayError:
        from botocore.exceptions import ClientError  # noqa: PLC0415 - see above

        from gateway.backends.s3.failures import CLASSES, CODES, code_of, unavailable  # noqa: PLC0415

        sys.stderr.write(f"{self._end}: {type(error).__name__}\n")
        if isinstance(error, ClientError):
            code = code_of(error)
            sys.stderr.write(f"{self._end}: {error.operation_name} {code}\n")
            return CODES.get(code, unavailable("the store failed"))(self._end)
        return next(
            (found(self._end) for kind, found in CLASSES if isinstance(error, kind)), Unavailable(what=self._end)
        )

    def has(self, key: str) -> bool:
        """Tell whether an object is there."""
        if self._frozen is not None:
            with self.asked():
                return self._frozen.find(key) is not None
        # Asked for one object, stores do not tell whether it or the bucket is not there.
        first = next(self.listed(key), None)
        return first is not None and first.key == key

    def open(self, key: str) -> IO[bytes]:
        """Give a stream of an object; Unavailable when it is not there."""
        with self.asked():
            body: Any = self._bucket.s3.get_object(**self.where(key))["Body"]
        return body  # type: ignore[no-any-return]

    def about(self, key: str) -> dict[str, Any]:
        """Give what is kept with an object beside its bytes, in the words of requests."""
        with self.asked():
            known = self._bucket.s3.head_object(**self.where(key))
        return {name: known[name] for name in _ABOUT if known.get(name)}

    def copy(self, source: Store, key: str, size: int, about: Mapping[str, Any], meter: Meter) -> None:
        """Have the store copy an object of its own, of `COPY_MAX` bytes at most."""
        meter.allow(size)
        with self.asked():
            self._bucket.s3.copy_object(
                Bucket=self._bucket.name,
                Key=self._prefix + key,
                CopySource=source.where(key),
                MetadataDirective="REPLACE",
                **about,
            )
        meter.moved(size)

    def where(self, key: str) -> dict[str, str]:
        """Give what requests call an object."""
        with self.asked():
            found = None if self._frozen is None else self._frozen.find(key)
        return {"Bucket": self._bucket.name, **(found or {"Key": self._prefix + key})}

    def fetch(self, where: Mapping[str, str]) -> bytes:
        """Give a small object by what `where` gave."""
        with self.asked():
            return bytes(self._bucket.s3.get_object(**where)["Body"].read())

    def listed(self, prefix: str = "") -> Iterator[Listed]:
        """Yield what is there, in the order of the keys' bytes."""
        with self.asked():
            if self._frozen is not None:
                yield from (
                    Listed(found.key, found.etag, found.size)
                    for found in self._frozen.entries()
                    if found.key.startswith(prefix)
                )
                return
            pages = self._bucket.s3.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket.name, Prefix=self._prefix + prefix
            )
            for page in pages:
                for found in page.get("Contents", ()):
                    yield Listed(found["Key"][len(self._prefix) :], found["ETag"].strip('"'), found["Size"])

    def remove(self, keys: Iterable[str]) -> None:
        """Remove objects; where versions are kept these stay. Nothing there: succeeds."""
        with self.asked():
            for key in keys:
                self._bucket.delete(self._prefix + key)

    def put(self, key: str, read: Read, length: int, meter: Meter, *, about: Mapping[str, Any] = {}) -> Uploaded:
        """Set an object. The store itself compares what comes with the checksums that are sent along."""
        if length > PART:
            return self._put_parts(key, read, length, meter, about=about)
        data = read(0, length)
        meter.allow(length)
        with self.asked():
            answer = self._bucket.s3.put_object(
                Bucket=self._bucket.name, Key=self._prefix + key, Body=data, ContentMD5=_sum(data), **about
            )
        meter.moved(length)
        return Uploaded(str(answer.get("ETag", "")).strip('"'), digest_of((data,)))

    def _put_parts(self, key: str, read: Read, length: int, meter: Meter, *, about: Mapping[str, Any]) -> Uploaded:
        s3, where = self._bucket.s3, {"Bucket": self._bucket.name, "Key": self._prefix + key}
        size = max(PART, -(-length // _PARTS_MAX))
        digest, done = checksum(), []
        with self.asked():
            upload = {**where, "UploadId": s3.create_multipart_upload(**where, **about)["UploadId"]}
            try:
                for number, offset in enumerate(range(0, length, size), 1):
                    data = read(offset, min(size, length - offset))
                    meter.allow(len(data))
                    answer = s3.upload_part(**upload, PartNumber=number, Body=data, ContentMD5=_sum(data))
                    meter.moved(len(data))
                    digest.update(data)
                    done.append({"PartNumber": number, "ETag": answer["ETag"]})
                s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": done})
            except BaseException:
                s3.abort_multipart_upload(**upload)
                raise
            # Some stores say no tag at the end of such an upload.
            etag = str(s3.head_object(**where)["ETag"]).strip('"')
        return Uploaded(etag, digest.hexdigest())


def digest_of(parts: Iterable[bytes]) -> str:
    """Give it for content."""
    made = checksum()
    for part in parts:
        made.update(part)
    return made.hexdigest()


def tag_of(parts: Iterable[bytes]) -> str:
    """Give the tag that stores give an object that came in one request."""
    made = hashlib.md5(usedforsecurity=False)
    for part in parts:
        made.update(part)
    return made.hexdigest()


def _sum(data: bytes) -> str:
    return base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
