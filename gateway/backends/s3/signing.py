"""Requests for single objects, signed for whoever gets them. All of it blocks, though mostly for the processor."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from uuid import UUID

import msgspec

from gateway.backends.s3.inventories import Entry
from gateway.backends.s3.layout import KEY_MAX, VolumeSidecar
from gateway.backends.s3.pool import Pool
from gateway.backends.s3.volumes import Volumes
from gateway.core.backend import EXPIRES_MAX_S, SignAction, SignedRequest, SignRequest, StoredObject
from gateway.core.errors import InvalidArgument, InvalidState, LimitExceeded, NotFound
from gateway.core.model import utc_now

PUT_MAX = 5 << 30
"""Bytes that a store takes in one request."""
PARTS_MAX = 10_000

Parameters = dict[str, str | int]


class _Kind(msgspec.Struct, frozen=True):
    """How an action is done: the client's call of that name, by that method, with what else of the request."""

    call: str
    method: str
    more: Callable[[SignRequest], Parameters]


def _nothing(_request: SignRequest) -> Parameters:
    return {}


def _typed(request: SignRequest) -> Parameters:
    return {"ContentType": request.content_type} if request.content_type else {}


def _body(request: SignRequest) -> Parameters:
    return {} if request.size is None else {"ContentLength": request.size}


def _upload(request: SignRequest) -> Parameters:
    if not request.upload:
        raise InvalidArgument(field="upload", value="", reason="the id of an upload is needed")
    return {"UploadId": request.upload}


def _part(request: SignRequest) -> Parameters:
    if not 1 <= request.part <= PARTS_MAX:
        raise LimitExceeded(limit="part", value=request.part, minimum=1, maximum=PARTS_MAX)
    return {**_upload(request), "PartNumber": request.part, **_body(request)}


KINDS: Mapping[SignAction, _Kind] = {
    SignAction.GET: _Kind("get_object", "GET", _nothing),
    SignAction.PUT: _Kind("put_object", "PUT", lambda request: {**_typed(request), **_body(request)}),
    SignAction.DELETE: _Kind("delete_object", "DELETE", _nothing),
    SignAction.MULTIPART_START: _Kind("create_multipart_upload", "POST", _typed),
    SignAction.MULTIPART_PART: _Kind("upload_part", "PUT", _part),
    SignAction.MULTIPART_COMPLETE: _Kind("complete_multipart_upload", "POST", _upload),
    SignAction.MULTIPART_ABORT: _Kind("abort_multipart_upload", "DELETE", _upload),
}


class Signer:
    """Signs requests, and finds objects."""

    def __init__(self, pool: Pool, volumes: Volumes) -> None:
        self._pool = pool
        self._layout = pool.layout
        self._volumes = volumes

    def sign(self, volume: UUID, snapshot: UUID | None, request: SignRequest) -> SignedRequest:
        """Sign a request; see `gateway.core.backend.SignBackend`."""
        self._check(volume, request)
        if snapshot is None:
            owner, version = self._live(self._pool.volume(volume), request)
        else:
            self._pool.snapshot(volume, snapshot)
            if request.action is not SignAction.GET:
                raise InvalidState(kind="snapshot", ref=str(snapshot), state="read_only", action="write")
            entry = self._pool.inventories.find(snapshot, request.key)
            if entry is None:
                raise NotFound(kind="object", ref=request.key)
            owner, version = entry.owner, entry.version
        return self._signed(owner, version, request)

    def _live(self, found: VolumeSidecar, request: SignRequest) -> tuple[UUID, str | None]:
        """Give below which volume a request is made, and of which version; None: of what counts then."""
        if found.base is not None and request.action is SignAction.DELETE:
            self._volumes.bring_down(found, request.key)
        if found.base is None or request.action is not SignAction.GET:
            return found.id, None
        own = self._pool.data.of(f"{self._layout.below(found.id)}{request.key}")
        entry = None if own else self._pool.inventories.find(found.base.snapshot, request.key)
        if entry is not None:
            return entry.owner, entry.version
        if not own or own[0].marker:
            raise NotFound(kind="object", ref=request.key)
        return found.id, None

    def _signed(self, owner: UUID, version: str | None, request: SignRequest) -> SignedRequest:
        kind = KINDS[request.action]
        parameters: Parameters = {
            "Bucket": self._pool.data.name,
            "Key": f"{self._layout.below(owner)}{request.key}",
            **kind.more(request),
            **({} if version is None else {"VersionId": version}),
        }
        begun = utc_now()
        url = self._pool.public.generate_presigned_url(kind.call, Params=parameters, ExpiresIn=request.expires_s)
        headers = {name: str(parameters[field]) for field, name in _HEADERS.items() if field in parameters}
        expires = begun.replace(microsecond=0) + timedelta(seconds=request.expires_s)
        return SignedRequest(method=kind.method, url=url, headers=headers, expires=expires)

    def _check(self, volume: UUID, request: SignRequest) -> None:
        if not 1 <= request.expires_s <= EXPIRES_MAX_S:
            raise LimitExceeded(limit="expires_s", value=request.expires_s, minimum=1, maximum=EXPIRES_MAX_S)
        if request.size is not None and not 0 <= request.size <= PUT_MAX:
            raise LimitExceeded(limit="size", value=request.size, minimum=0, maximum=PUT_MAX)
        parts = request.key.split("/")
        if not request.key or "\0" in request.key or "." in parts or ".." in parts:
            # Clients tidy such paths up, which would lead elsewhere.
            raise InvalidArgument(field="key", value=request.key, reason="empty, or with '.' or '..' between slashes")
        longest = KEY_MAX - len(self._layout.below(volume).encode())
        if not (request.content_type.isascii() and request.content_type.isprintable()):
            raise InvalidArgument(field="content_type", value=request.content_type, reason="not fit for a header")
        length = len(request.key.encode(errors="surrogatepass"))
        if length > longest:
            raise LimitExceeded(limit="key", value=length, minimum=1, maximum=longest)

    def objects(
        self, volume: UUID, snapshot: UUID | None, *, prefix: str = "", after: str = ""
    ) -> Iterator[StoredObject]:
        """Yield what is in a volume or snapshot; see `gateway.core.backend.SignBackend`."""
        if snapshot is None:
            found = self._pool.content(self._pool.volume(volume), prefix=prefix, after=after)
        else:
            self._pool.snapshot(volume, snapshot)
            found = self._pool.frozen(snapshot, prefix=prefix, after=after)
        return map(self._stored, found)

    def _stored(self, entry: Entry) -> StoredObject:
        return StoredObject(
            key=entry.key,
            size=entry.size,
            etag=entry.etag,
            modified=entry.modified,
            bucket=self._pool.data.name,
            stored_key=f"{self._layout.below(entry.owner)}{entry.key}",
            version=entry.version,
        )


_HEADERS: Mapping[str, str] = {"ContentType": "Content-Type", "ContentLength": "Content-Length"}
"""What of a request's parameters is a header that the signature covers."""
