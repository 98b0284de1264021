"""Errors of the gateway as the exceptions that Manila's share manager knows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from manila import exception

from gateway.client import ClientError
from gateway.frontends.manila_driver.refusals import Mismatch, Refusal

Told = Callable[[ClientError], Exception]


def _backend(error: ClientError) -> Exception:
    return exception.ShareBackendException(msg=error.message)  # type: ignore[no-any-return]


def _invalid(error: ClientError) -> Exception:
    return exception.InvalidShare(reason=error.message)  # type: ignore[no-any-return]


def _not_found(error: ClientError) -> Exception:
    ref = error.fields.get("ref")
    match error.fields.get("kind"):
        case "volume":
            return exception.ShareResourceNotFound(share_id=ref)  # type: ignore[no-any-return]
        case "snapshot":
            return exception.SnapshotResourceNotFound(name=ref)  # type: ignore[no-any-return]
    return _backend(error)


def _in_use(error: ClientError) -> Exception:
    if error.fields.get("kind") == "snapshot":
        return exception.ShareSnapshotIsBusy(snapshot_name=error.fields.get("ref"))  # type: ignore[no-any-return]
    return _backend(error)


TABLE: Mapping[str, Told] = {
    "InvalidArgument": _invalid,
    "Unauthenticated": _backend,
    "PermissionDenied": _backend,
    "NotFound": _not_found,
    "AlreadyExists": _invalid,
    "Conflict": _backend,
    "StaleRevision": _backend,
    "InvalidState": _backend,
    "InUse": _in_use,
    "Unsupported": _backend,
    "LimitExceeded": _invalid,
    "OutOfSpace": _backend,
    "Busy": _backend,
    "Timeout": _backend,
    "Unavailable": _backend,
    "Internal": _backend,
}
"""Class of the core's error -> what is raised for it. One that the gateway could not tell is the backend's."""


def told(error: ClientError) -> Exception:
    """Give the exception for what a client met."""
    return TABLE.get(error.code, _backend)(error)


@contextmanager
def telling(refused: Callable[..., Any] = exception.InvalidShare, **fields: str) -> Iterator[None]:
    """Raise what goes wrong in a block as Manila's exceptions. `refused`: the one for what the driver refuses."""
    try:
        yield
    except ClientError as error:
        raise told(error) from error
    except Mismatch as refusal:
        raise exception.ManageExistingShareTypeMismatch(reason=str(refusal)) from None
    except Refusal as refusal:
        raise refused(reason=str(refusal), **fields) from None
