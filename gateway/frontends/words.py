"""The error tree in plain words, for doors whose protocol has none of its own.

What a substrate said stays in the log.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from gateway.core import errors

Words = Mapping[type[errors.GatewayError], Callable[[errors.GatewayError], str]]

RETIRED = "retired"
"""The state of a volume that lives on only for others, in an `InvalidState`."""


def is_retired(error: errors.GatewayError) -> bool:
    """Tell whether it is about a volume that its user deleted while the call was under way."""
    return isinstance(error, errors.InvalidState) and error.state == RETIRED


def _state(error: errors.GatewayError) -> str:
    # The name of a retired volume is one of ours.
    if is_retired(error):
        return f"{error.kind} has been deleted"
    return f"cannot {error.action} {error.kind} {error.ref}: it is {error.state}"


def _range(error: errors.GatewayError) -> str:
    most = "" if error.maximum is None else f" and at most {error.maximum}"
    return f"at least {error.minimum}{most}"


WORDS: Words = {
    errors.InvalidArgument: lambda e: f"{e.field}: {e.reason}",
    errors.Unauthenticated: lambda _e: "who is asking could not be established",
    errors.PermissionDenied: lambda e: f"access denied to {e.action}",
    errors.NotFound: lambda e: f"{e.kind} {e.ref} not found",
    errors.AlreadyExists: lambda e: f"{e.kind} {e.name} already exists",
    errors.Conflict: lambda e: f"{e.kind} {e.ref} is being changed by somebody else",
    errors.StaleRevision: lambda e: f"{e.kind} {e.ref} has changed meanwhile",
    errors.InvalidState: _state,
    errors.InUse: lambda e: f"cannot {e.action} {e.kind} {e.ref}: it is in use ({e.by})",
    errors.Unsupported: lambda e: f"no {e.capability} on {e.backend}: {e.reason}",
    errors.LimitExceeded: lambda e: f"{e.limit} {e.value} is out of range: {_range(e)}",
    errors.OutOfSpace: lambda e: f"pool {e.pool} has no room for {e.wanted} bytes",
    errors.Busy: lambda e: f"{e.what} is busy: try again",
    errors.Timeout: lambda e: f"{e.what} did not answer within {e.after} s",
    errors.Unavailable: lambda e: f"{e.what} is not available",
    errors.Internal: lambda e: f"an unexpected error occurred (incident {e.incident})",
}
