"""What kind of store it is: found out by asking, because servers that speak the protocol differ. All of it blocks."""

from __future__ import annotations

import contextlib
import enum
import re
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from http import HTTPStatus
from pathlib import Path
from uuid import uuid4

from botocore.awsrequest import AWSRequest
from botocore.exceptions import BotoCoreError, ClientError
from botocore.httpsession import URLLib3Session

from gateway.backends.s3.bucket import Bucket
from gateway.backends.s3.failures import PRECONDITION, code_of
from gateway.backends.s3.layout import Layout
from gateway.backends.s3.options import S3Options
from gateway.backends.s3.pool import Traits

_SIGNATURE = re.compile(r"(X-Amz-Signature=)([0-9a-f]+)")
_SKEW_S = 60
_TIMEOUT_S = 10

NO_CREATE = "the store does not keep to If-None-Match: two gateways that begin at once may both hold the lease"
NO_UPDATE = "the store does not keep to If-Match: two gateways may both renew the lease"
NO_MARKER = "the store marks only what is there as removed: what a clone removes of its source is copied before"
UNCHECKED = "the store does not check signatures: whoever reaches it may do everything"
SKEWED = "the clock of the store differs by more than a minute: signed requests begin or end at other times"


def probe(data: Bucket, control: Bucket, options: S3Options) -> Traits:
    """Find out what a store does. What it takes to ask is removed again."""
    layout = Layout(options.prefix)
    key = f"{layout.probes}{uuid4()}"
    try:
        creates = _creates(control, key)
        updates, quoted = _updates(control, key)
        unchecked = _unchecked(control, key, ca=options.ca)
    finally:
        control.delete(key)
    marks_absent = _marks_absent(data, key)
    said = ((not creates, NO_CREATE), (not updates, NO_UPDATE), (not marks_absent, NO_MARKER))
    more = ((unchecked, UNCHECKED), (_skewed(control), SKEWED))
    return Traits(
        creates=creates,
        updates=updates,
        quoted=quoted,
        marks_absent=marks_absent,
        remarks=tuple(text for holds, text in (*said, *more) if holds),
    )


def _creates(control: Bucket, key: str) -> bool:
    control.put(key, b"first")
    return _tried(lambda: control.put(key, b"second", IfNoneMatch="*")) is _Outcome.REFUSED


def _updates(control: Bucket, key: str) -> tuple[bool, bool]:
    """Tell whether If-Match holds, and whether the ETag stands in quotes there."""
    for quoted in (True, False):
        etag = as_asked(control.put(key, b"third"), quoted=quoted)
        wrong = as_asked("0" * 32, quoted=quoted)
        if _tried(partial(control.put, key, b"fourth", IfMatch=etag)) is _Outcome.DONE:
            return _tried(partial(control.put, key, b"fifth", IfMatch=wrong)) is _Outcome.REFUSED, quoted
    return False, True


def as_asked(etag: str, *, quoted: bool) -> str:
    """Give an ETag with quotes or without."""
    bare = etag.strip('"')
    return f'"{bare}"' if quoted else bare


class _Outcome(enum.Enum):
    DONE = enum.auto()
    REFUSED = enum.auto()
    UNKNOWN = enum.auto()


def _tried(attempt: Callable[[], object]) -> _Outcome:
    """Tell what a store does about a condition; some say that they know none."""
    try:
        attempt()
    except ClientError as error:
        if code_of(error) in PRECONDITION:
            return _Outcome.REFUSED
        if code_of(error) == "NotImplemented":
            return _Outcome.UNKNOWN
        raise
    return _Outcome.DONE


def _marks_absent(data: Bucket, key: str) -> bool:
    data.delete(key)
    found = data.of(key)
    data.delete_versions([(each.key, each.version) for each in found])
    return bool(found)


def _unchecked(control: Bucket, key: str, *, ca: Path | None) -> bool:
    """Tell whether the store gives an object for a request whose signature is wrong."""
    signed = control.s3.generate_presigned_url("get_object", Params={"Bucket": control.name, "Key": key})
    nobody = URLLib3Session(verify=True if ca is None else str(ca), timeout=_TIMEOUT_S)
    try:
        answer = nobody.send(AWSRequest("GET", _SIGNATURE.sub(_forged, signed)).prepare())
    except BotoCoreError:
        return False
    finally:
        nobody.close()
    return bool(answer.status_code == HTTPStatus.OK)


def _forged(found: re.Match[str]) -> str:
    return found[1] + found[2][::-1]


def _skewed(control: Bucket) -> bool:
    with contextlib.suppress(ClientError, BotoCoreError, KeyError, ValueError, TypeError):
        answer = control.s3.head_bucket(Bucket=control.name)
        told = parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])
        return abs((datetime.now(UTC) - told).total_seconds()) > _SKEW_S
    return False
