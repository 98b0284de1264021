"""Copies that the store makes itself: no byte of an object comes by here."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID

import msgspec
from botocore.exceptions import ClientError

from gateway.backends.s3.bucket import Upload, Version
from gateway.backends.s3.inventories import Entry
from gateway.backends.s3.pool import Pool

_PART = 512 << 20
_PARTS_MAX = 10_000
_KEPT = ("CacheControl", "ContentDisposition", "ContentEncoding", "ContentLanguage", "ContentType", "Metadata")
"""What belongs to an object beside its bytes; a copy in parts has to be told."""


class Copied(msgspec.Struct, frozen=True):
    """A copy that was made, as far as the store tells: which version it is, and its ETag. Either may be empty."""

    version: str
    etag: str
    size: int

    def is_it(self, found: Version) -> bool:
        """Tell whether a version is the copy, or has the same bytes."""
        if self.version:
            return found.version == self.version
        return not found.marker and found.size == self.size and self.etag in {"", found.etag}


class Copier:
    """Copies versions into volumes. `at_once`: bytes of the largest object that goes in one request."""

    def __init__(self, pool: Pool, *, at_once: int) -> None:
        self._pool = pool
        self._at_once = at_once
        self._part = min(_PART, at_once)

    def copy(self, entry: Entry, volume: UUID) -> Copied:
        """Make a version what counts of its key in a volume, and give what is known of the copy."""
        data, layout = self._pool.data, self._pool.layout
        source = {"Bucket": data.name, "Key": f"{layout.below(entry.owner)}{entry.key}", "VersionId": entry.version}
        target = f"{layout.below(volume)}{entry.key}"
        if entry.size > self._at_once:
            return self._in_parts(entry, source, target)
        made = data.s3.copy_object(Bucket=data.name, Key=target, CopySource=source)
        return _copied(entry, made, made.get("CopyObjectResult", {}))

    def _in_parts(self, entry: Entry, source: dict[str, str], target: str) -> Copied:
        data = self._pool.data
        known = data.head(source["Key"], entry.version) or {}
        kept = {name: known[name] for name in _KEPT if known.get(name)}
        upload = data.s3.create_multipart_upload(Bucket=data.name, Key=target, **kept)["UploadId"]
        which: dict[str, Any] = {"Bucket": data.name, "Key": target, "UploadId": upload}

        def part(numbered: tuple[int, str]) -> dict[str, Any]:
            number, wanted = numbered
            answer = data.s3.upload_part_copy(
                **which, PartNumber=number, CopySource=source, CopySourceRange=f"bytes={wanted}"
            )
            return {"PartNumber": number, "ETag": answer["CopyPartResult"]["ETag"]}

        try:
            # Whoever copies several objects at once is in a thread of the pool's already: parts go one by one.
            parts = [part(each) for each in enumerate(self._ranges(entry.size), 1)]
            answer = data.s3.complete_multipart_upload(**which, MultipartUpload={"Parts": parts})
        except BaseException:
            with contextlib.suppress(ClientError):
                data.abort(Upload(target, upload, entry.modified))
            raise
        return _copied(entry, answer, answer)

    def _ranges(self, size: int) -> Iterator[str]:
        step = max(self._part, -(-size // _PARTS_MAX))
        return (f"{start}-{min(start + step, size) - 1}" for start in range(0, size, step))


def _copied(entry: Entry, answer: Mapping[str, Any], result: Mapping[str, Any]) -> Copied:
    return Copied(str(answer.get("VersionId") or ""), str(result.get("ETag") or "").strip('"'), entry.size)
