"""One bucket, by the calls that a pool needs. All of it blocks, and raises what the client raises."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from functools import cache
from typing import IO, Any

import boto3
import msgspec
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.loaders import Loader
from botocore.session import Session

from gateway.backends.s3.failures import is_absent
from gateway.backends.s3.options import S3Options

BATCH = 1000
"""Keys of one request to remove many, and of one page."""
_TRIES = 4
_CONNECT_S, _READ_S = 10, 60


class Version(msgspec.Struct, frozen=True, gc=False):
    """A version of a key, or a marker (`marker`) that says that the key was removed then. `latest`: it counts now."""

    key: str
    version: str
    latest: bool
    marker: bool
    size: int
    etag: str
    modified: datetime


class Upload(msgspec.Struct, frozen=True):
    """An upload in parts that has not been completed."""

    key: str
    id: str
    begun: datetime


@cache
def _descriptions() -> Loader:
    """Give what describes the protocol to the client: a megabyte to be read, once for the process."""
    return Loader()


def client(options: S3Options, endpoint: str, *, tries: int = _TRIES) -> Any:
    """Give a client of a store. Threads may share it. `tries`: how often it asks before it gives up."""
    keys = options.credentials
    core = Session()
    core.register_component("data_loader", _descriptions())
    session = boto3.session.Session(
        botocore_session=core,
        aws_access_key_id=keys.access if keys else None,
        aws_secret_access_key=keys.secret.reveal() if keys else None,
        aws_session_token=keys.token.reveal() if keys and keys.token else None,
        region_name=options.region,
    )
    return session.client(
        "s3",
        endpoint_url=endpoint or None,
        verify=str(options.ca) if options.ca else None,
        config=Config(
            # Against endpoints of others, boto3 signs URLs in an old way otherwise.
            signature_version="s3v4",
            s3={"addressing_style": options.addressing},
            retries={"mode": "standard", "total_max_attempts": tries},
            connect_timeout=_CONNECT_S,
            read_timeout=_READ_S,
            max_pool_connections=2 * options.threads,
            # Stores other than AWS do not know the newer checksums.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )


class Bucket:
    """A bucket. Whoever uses it says whether it keeps versions."""

    def __init__(self, s3: Any, name: str) -> None:
        self.s3 = s3
        self.name = name

    # --- one object ---

    def put(self, key: str, body: bytes | IO[bytes], **conditions: str) -> str:
        """Set an object, and give its ETag."""
        return str(self.s3.put_object(Bucket=self.name, Key=key, Body=body, **conditions).get("ETag", ""))

    def get(self, key: str) -> bytes | None:
        """Give an object, or None."""
        found = self.get_tagged(key)
        return None if found is None else found[0]

    def get_tagged(self, key: str) -> tuple[bytes, str] | None:
        """Give an object and its ETag, or None."""
        try:
            answer = self.s3.get_object(Bucket=self.name, Key=key)
        except ClientError as error:
            if is_absent(error):
                return None
            raise
        return bytes(answer["Body"].read()), str(answer.get("ETag", ""))

    def get_range(self, key: str, wanted: str) -> tuple[bytes, int] | None:
        """Give a part of an object and the whole's length, or None. `wanted` is as in HTTP's Range: "0-9" or "-10"."""
        try:
            answer = self.s3.get_object(Bucket=self.name, Key=key, Range=f"bytes={wanted}")
        except ClientError as error:
            if is_absent(error):
                return None
            raise
        data = bytes(answer["Body"].read())
        total = str(answer.get("ContentRange", "")).rpartition("/")[2]
        return data, int(total) if total.isdecimal() else len(data)

    def head(self, key: str, version: str | None = None) -> Mapping[str, Any] | None:
        """Give what is known of an object, or None."""
        which = {} if version is None else {"VersionId": version}
        try:
            return dict(self.s3.head_object(Bucket=self.name, Key=key, **which))
        except ClientError as error:
            if is_absent(error):
                return None
            raise

    def delete(self, key: str) -> None:
        """Remove an object; where versions are kept, a marker says so. Nothing there: succeeds."""
        self.s3.delete_object(Bucket=self.name, Key=key)

    def delete_versions(self, versions: Iterable[tuple[str, str]]) -> None:
        """Remove versions (key, version) for good. Nothing there: succeeds."""
        for batch in batches(versions):
            objects = [{"Key": key, "VersionId": version} for key, version in batch]
            answer = self.s3.delete_objects(Bucket=self.name, Delete={"Objects": objects, "Quiet": True})
            for failed in answer.get("Errors", ()):
                refusal = ClientError({"Error": {"Code": failed.get("Code", "")}}, "DeleteObjects")
                if not is_absent(refusal):
                    raise refusal

    # --- many ---

    def keys(self, prefix: str, *, after: str = "") -> Iterator[str]:
        """Yield the keys that begin with a prefix, in order."""
        more = {"StartAfter": after} if after else {}
        for page in self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=prefix, **more):
            yield from (str(found["Key"]) for found in page.get("Contents", ()))

    def folders(self, prefix: str) -> Iterator[str]:
        """Yield what there is right below a prefix: keys, and what stands before a slash (with it)."""
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=prefix, Delimiter="/")
        for page in pages:
            yield from (str(found["Prefix"]) for found in page.get("CommonPrefixes", ()))
            yield from (str(found["Key"]) for found in page.get("Contents", ()))

    def versions(self, prefix: str, *, after: str = "") -> Iterator[Version]:
        """Yield all versions and markers of the keys that begin with a prefix, key by key; of each the latest first."""
        more = {"KeyMarker": after} if after else {}
        for page in self.s3.get_paginator("list_object_versions").paginate(Bucket=self.name, Prefix=prefix, **more):
            kept = [_version(found, marker=False) for found in page.get("Versions", ())]
            markers = [_version(found, marker=True) for found in page.get("DeleteMarkers", ())]
            # Some stores begin with the key itself that was to come before.
            found = [each for each in (*kept, *markers) if each.key > after] if after else [*kept, *markers]
            yield from sorted(found, key=lambda each: (each.key, not each.latest))

    def of(self, key: str) -> list[Version]:
        """Give all versions and markers of one key, the latest first."""
        answer = self.s3.list_object_versions(Bucket=self.name, Prefix=key, MaxKeys=BATCH)
        kept = [_version(found, marker=False) for found in answer.get("Versions", ())]
        markers = [_version(found, marker=True) for found in answer.get("DeleteMarkers", ())]
        return sorted((each for each in (*kept, *markers) if each.key == key), key=lambda each: not each.latest)

    # --- uploads in parts ---

    def uploads(self, prefix: str) -> Iterator[Upload]:
        """Yield the uploads in parts that have begun and not ended."""
        for page in self.s3.get_paginator("list_multipart_uploads").paginate(Bucket=self.name, Prefix=prefix):
            for found in page.get("Uploads", ()):
                yield Upload(str(found["Key"]), str(found["UploadId"]), found["Initiated"])

    def abort(self, upload: Upload) -> None:
        """End an upload in parts, with all that came of it. Nothing there: succeeds."""
        with contextlib.suppress(self.s3.exceptions.NoSuchUpload):
            self.s3.abort_multipart_upload(Bucket=self.name, Key=upload.key, UploadId=upload.id)


def batches(items: Iterable[tuple[str, str]]) -> Iterator[list[tuple[str, str]]]:
    """Yield items in lists as long as one request takes."""
    batch: list[tuple[str, str]] = []
    for item in items:
        batch.append(item)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _version(found: Mapping[str, Any], *, marker: bool) -> Version:
    return Version(
        key=found["Key"],
        version=found["VersionId"],
        latest=found["IsLatest"],
        marker=marker,
        size=found.get("Size", 0),
        etag=str(found.get("ETag", "")).strip('"'),
        modified=found["LastModified"],
    )
