"""The error tree in the words of the SDK: one table, with the few calls that answer otherwise."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from grpc import StatusCode

from gateway.core import errors
from gateway.frontends.openstorage.call import SdkError

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
    # Another node holds it.
    ("OpenStorageMountAttach/Attach", errors.InUse): StatusCode.ALREADY_EXISTS,
}
"""Service and call, and the error there -> its status, where that differs."""

RETIRED = "retired"
"""The state of a volume that lives on only for others, in an `InvalidState`."""

_TEXTS: Mapping[type[errors.GatewayError], Callable[[errors.GatewayError], str]] = {
    errors.InvalidArgument: lambda e: f"{e.field}: {e.reason}",
    errors.Unauthenticated: lambda _e: "Access denied: the token cannot be used",
    # Clients look for these two words.
    errors.PermissionDenied: lambda e: f"Access denied to {e.action}",
    errors.NotFound: lambda e: f"{e.kind} {e.ref} not found",
    errors.AlreadyExists: lambda e: f"{e.kind} {e.name} already exists",
    errors.Conflict: lambda e: f"{e.kind} {e.ref} is being changed by somebody else",
    errors.StaleRevision: lambda e: f"{e.kind} {e.ref} has changed meanwhile",
    errors.InvalidState: lambda e: f"cannot {e.action} {e.kind} {e.ref}: it is {e.state}",
    errors.InUse: lambda e: f"cannot {e.action} {e.kind} {e.ref}: it is in use ({e.by})",
    errors.Unsupported: lambda e: f"no {e.capability} on {e.backend}: {e.reason}",
    errors.LimitExceeded: lambda e: f"{e.limit} {e.value} is out of range: {_range(e)}",
    errors.OutOfSpace: lambda e: f"pool {e.pool} has no room for {e.wanted} bytes",
    errors.Busy: lambda e: f"{e.what} is busy: try again",
    errors.Timeout: lambda e: f"{e.what} did not answer within {e.after} s",
    errors.Unavailable: lambda e: f"{e.what} is not available",
    errors.Internal: lambda e: f"an unexpected error occurred (incident {e.incident})",
}


def encode_error(error: errors.GatewayError, method: str) -> SdkError:
    """Give the error as a call of the method (`Service/Call`) ends with it."""
    kind = type(error)
    if isinstance(error, errors.InvalidState) and error.state == RETIRED:
        # Its user deleted it while this call was under way; its name is one of ours by now.
        return SdkError(StatusCode.NOT_FOUND, f"{error.kind} has been deleted")
    return SdkError(OTHERWISE.get((method, kind), CODES[kind]), _TEXTS[kind](error))


def _range(error: errors.GatewayError) -> str:
    most = "" if error.maximum is None else f" and at most {error.maximum}"
    return f"at least {error.minimum}{most}"
