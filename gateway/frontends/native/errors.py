"""Errors as the door tells them: a status by class, the class by name, its fields, and no words of a substrate."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.core import errors
from gateway.core.errors import FieldValue, GatewayError
from gateway.frontends.native import model
from gateway.frontends.words import WORDS

STATUS: Mapping[type[GatewayError], int] = {
    errors.InvalidArgument: 400,
    errors.Unauthenticated: 401,
    errors.PermissionDenied: 403,
    errors.NotFound: 404,
    errors.AlreadyExists: 409,
    errors.Conflict: 409,
    errors.StaleRevision: 412,
    errors.InvalidState: 409,
    errors.InUse: 409,
    errors.Unsupported: 501,
    errors.LimitExceeded: 400,
    errors.OutOfSpace: 507,
    errors.Busy: 503,
    errors.Timeout: 504,
    errors.Unavailable: 503,
    errors.Internal: 500,
}

_REASON = "reason"
_OUR_REASONS = frozenset({errors.InvalidArgument, errors.Unsupported, errors.Unauthenticated})
"""Errors whose reason is ours; that of others may be a substrate's."""

_FIELD = "field"
_NAMES: Mapping[str, str] = {
    "junction_path": "path",
    "export_policy_id": "export_policy",
    "label": "labels",
    "clients": "addresses",
}
"""What the core calls a field -> what this door does."""


class GoingOn(Exception):  # noqa: N818 - it is no error
    """A change that did not end while it was waited for."""

    def __init__(self, job: str) -> None:
        super().__init__(job)
        self.job = job


def told(error: GatewayError) -> model.Error:
    """Give an error as it goes out."""
    known = _renamed(error)
    ours = type(known) in _OUR_REASONS
    fields: dict[str, FieldValue] = {name: value for name, value in known.fields.items() if ours or name != _REASON}
    return model.Error(code=type(known).__name__, message=WORDS[type(known)](known), fields=fields)


def headers(error: GatewayError) -> Mapping[str, str]:
    """Give the headers that go with an error."""
    if isinstance(error, errors.Unauthenticated):
        return {"WWW-Authenticate": 'Basic realm="gateway", charset="UTF-8"'}
    if isinstance(error, errors.Busy):
        return {"Retry-After": str(error.fields["retry_after"] or 1)}
    return {}


def _renamed(error: GatewayError) -> GatewayError:
    """Give an error that names its field as this door does."""
    name = error.fields.get(_FIELD)
    if not isinstance(name, str) or name not in _NAMES:
        return error
    return type(error)(**{**error.fields, _FIELD: _NAMES[name]})
