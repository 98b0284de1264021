"""Opening a pool: the buckets, what kind of store it is, identity, and the leftovers of a crash. All of it blocks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import msgspec
import structlog
from botocore.exceptions import BotoCoreError, ClientError

from gateway.backends.s3.bucket import Bucket, client
from gateway.backends.s3.collecting import Collector
from gateway.backends.s3.failures import code_of, is_absent
from gateway.backends.s3.layout import FORMAT, Journal, Layout, PoolRecord, Unsettled
from gateway.backends.s3.lease import Leasing
from gateway.backends.s3.options import S3Options
from gateway.backends.s3.pool import Pool, Traits
from gateway.backends.s3.probing import probe
from gateway.backends.s3.volumes import Volumes
from gateway.core.backend import FaultHook
from gateway.core.errors import GatewayError, Unavailable
from gateway.core.model import utc_now

log = structlog.get_logger(__name__)

STRAY = timedelta(days=8)
"""How old an upload in parts is that nobody can go on with: signed requests are good for a week at most."""


class Opened(msgspec.Struct, frozen=True):
    """What opening gives."""

    pool: Pool
    id: UUID
    leasing: Leasing


def open_pool(name: str, options: S3Options, fault: FaultHook) -> Opened:
    """Open a pool, or raise Unavailable with the reason."""
    s3, public = _clients(name, options)
    data, control = Bucket(s3, options.bucket), Bucket(s3, options.control)
    layout = Layout(options.prefix)
    _make_control(name, control)
    known = _identity(name, control, layout)
    copy = _copy(name, data, layout)
    # Whoever died before the copy was there has left nothing that could be missed in another bucket.
    begun = known is not None and copy is None and _holds_nothing(control, layout)
    _check_data(name, data, known=None if begun else known, copy=copy)
    traits = probe(data, control, options)
    record = known or _identify(control, layout, traits)
    if copy is None:
        data.put(layout.pool, msgspec.json.encode(record))
    pool = Pool(name, options, s3=s3, public=public, traits=traits, fault=fault)
    return Opened(pool, record.id, Leasing(control, layout, traits))


def _clients(name: str, options: S3Options) -> tuple[Any, Any]:
    try:
        s3 = client(options, options.endpoint)
        return s3, client(options, options.public_endpoint) if options.public_endpoint else s3
    except (ValueError, OSError, BotoCoreError) as error:
        raise Unavailable(what=name, reason=f"the settings make no client: {type(error).__name__}") from error


def _make_control(name: str, control: Bucket) -> None:
    try:
        control.s3.head_bucket(Bucket=control.name)
    except ClientError as error:
        if not is_absent(error) and code_of(error) != "NoSuchBucket":
            raise
        place = (
            {} if control.s3.meta.region_name == "us-east-1" else {"LocationConstraint": control.s3.meta.region_name}
        )
        more = {"CreateBucketConfiguration": place} if place else {}
        try:
            control.s3.create_bucket(Bucket=control.name, **more)
        except ClientError as refusal:
            if code_of(refusal) not in {"BucketAlreadyOwnedByYou", "OperationAborted"}:
                reason = f"the bucket {control.name} for the gateway's documents cannot be made"
                raise Unavailable(what=name, reason=reason) from refusal
    if _versioning(control):
        reason = f"the bucket {control.name} keeps versions; the gateway's documents need one that never did"
        raise Unavailable(what=name, reason=reason)


def _versioning(bucket: Bucket) -> str:
    return str(bucket.s3.get_bucket_versioning(Bucket=bucket.name).get("Status") or "")


def _identity(name: str, control: Bucket, layout: Layout) -> PoolRecord | None:
    found = control.get(layout.pool)
    if found is None:
        return None
    record = msgspec.json.decode(found, type=PoolRecord)
    if record.format > FORMAT:
        raise Unavailable(what=name, reason="written by a newer release")
    return record


def _holds_nothing(control: Bucket, layout: Layout) -> bool:
    kept = (layout.volumes, layout.snapshots, layout.all_unsettled)
    return all(next(control.keys(prefix), None) is None for prefix in kept)


def _copy(name: str, data: Bucket, layout: Layout) -> PoolRecord | None:
    """Give the identity that the bucket of the objects has; None: none. Unavailable when there is no such bucket."""
    try:
        data.s3.head_bucket(Bucket=data.name)
    except ClientError as error:
        if is_absent(error) or code_of(error) == "NoSuchBucket":
            raise Unavailable(what=name, reason=f"there is no bucket {data.name}") from error
        raise
    found = data.get(layout.pool)
    return None if found is None else msgspec.json.decode(found, type=PoolRecord)


def _check_data(name: str, data: Bucket, *, known: PoolRecord | None, copy: PoolRecord | None) -> None:
    """Raise Unavailable unless the bucket keeps versions, and is the pool's."""
    if known is not None and (copy is None or copy.id != known.id):
        raise Unavailable(what=name, reason=f"the bucket {data.name} is another one than when the pool was made")
    if known is None and copy is not None:
        raise Unavailable(what=name, reason="the bucket with the gateway's documents is gone, or another one is named")
    if _versioning(data) != "Enabled":
        if known is not None:
            reason = f"the bucket {data.name} does not keep versions any more, so that snapshots would lose objects"
            raise Unavailable(what=name, reason=reason)
        if next(data.keys(""), None) is not None:
            reason = f"the bucket {data.name} holds objects and does not keep versions: switch its versioning on"
            raise Unavailable(what=name, reason=reason)
        data.s3.put_bucket_versioning(Bucket=data.name, VersioningConfiguration={"Status": "Enabled"})


def _identify(control: Bucket, layout: Layout, traits: Traits) -> PoolRecord:
    """Give a new pool its identity. The document decides; its copy follows."""
    record = PoolRecord(id=uuid4())
    conditions = {"IfNoneMatch": "*"} if traits.creates else {}
    control.put(layout.pool, msgspec.json.encode(record), **conditions)
    return record


@contextmanager
def _tolerated(pool: Pool, about: UUID) -> Iterator[None]:
    try:
        yield
    except (ClientError, BotoCoreError, GatewayError) as error:
        log.warning("not settled", pool=pool.name, id=str(about), error=type(error).__name__)


def settle(pool: Pool, volumes: Volumes, collector: Collector) -> None:
    """Complete what a crash, or a gateway that lost its lease, left half done. What fails is tried at the next need."""
    layout = pool.layout
    found = [pool.load(key, Unsettled) for key in pool.control.keys(layout.all_unsettled)]
    journals = [pool.load(key, Journal) for key in pool.control.keys(layout.restores)]
    pool.unsettled = {about.id for about in found if about is not None}
    pool.restoring = {journal.volume for journal in journals if journal is not None}
    for about in found:
        if about is not None:
            with _tolerated(pool, about.id):
                collector.settle(about)
    for volume in sorted(pool.restoring):
        with _tolerated(pool, volume):
            volumes.go_on(volume)
    old = utc_now() - STRAY
    for upload in pool.data.uploads(layout.objects):
        if upload.begun < old:
            pool.data.abort(upload)
