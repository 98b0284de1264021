"""The error tree in the words of the SDK: one table, with the few calls that answer otherwise."""

from __future__ import annotations

from collections.abc import Mapping

from grpc import StatusCode

from gateway.core import errors
from gateway.frontends.openstorage.call import SdkError
from gateway.frontends.words import WORDS, Words, is_retired

CODES: Mapping[type[errors.GatewayError], StatusCode] = {
    errors.InvalidArgument: StatusCode.INVALID_ARGUMENT,
    errors.Unauthenticated: StatusCode.UNAUTHENTICATED,
    errors.PermissionDenied: StatusCode.PERMISSION_DENIED,
    errors.NotFound: StatusCode.NOT_FOUND,
    errors.AlreadyExists: StatusCode.ALREADY_EXISTS,
    errors.Conflict: StatusCode.ABORTED,
    errors.StaleRevision: StatusCode.ABORTED,
    errors.InvalidState: StatusCode.FAILED_PRECONDITION,
    errors.InUse: StatusCode.FAILED_PRECONDITION,
    errors.Unsupported: StatusCode.UNIMPLEMENTED,
    errors.LimitExceeded: StatusCode.OUT_OF_RANGE,
    errors.OutOfSpace: StatusCode.RESOURCE_EXHAUSTED,
    errors.Busy: StatusCode.ABORTED,
    errors.Timeout: StatusCode.DEADLINE_EXCEEDED,
    errors.Unavailable: StatusCode.UNAVAILABLE,
    errors.Internal: StatusCode.INTERNAL,
}

OTHERWISE: Mapping[tuple[str, type[errors.GatewayError]], StatusCode] = {
    # What the backend refuses of a new volume is INTERNAL to the reference, and its suite asserts it for size 0.
    ("OpenStorageVolume/Create", errors.LimitExceeded): StatusCode.INTERNAL,
    ("OpenStorageVolume/Create", errors.Unsupported): StatusCode.INVALID_ARGUMENT,
    ("OpenStorageVolume/Update", errors.Unsupported): StatusCode.INVALID_ARGUMENT,
    ("OpenStorageCloudBackup/Create", errors.Busy): StatusCode.UNAVAILABLE,
    # Another node holds it.
    ("OpenStorageMountAttach/Attach", errors.InUse): StatusCode.ALREADY_EXISTS,
}
"""Service and call, and the error there -> its status, where that differs."""

_TEXTS: Words = {
    **WORDS,
    errors.Unauthenticated: lambda _e: "Access denied: the token cannot be used",
    # Clients look for these two words.
    errors.PermissionDenied: lambda e: f"Access denied to {e.action}",
}


def encode_error(error: errors.GatewayError, method: str) -> SdkError:
    """Give the error as a call of the method (`Service/Call`) ends with it."""
    kind = type(error)
    code = StatusCode.NOT_FOUND if is_retired(error) else OTHERWISE.get((method, kind), CODES[kind])
    return SdkError(code, _TEXTS[kind](error))
