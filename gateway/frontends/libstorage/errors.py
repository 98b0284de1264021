"""Errors in the words of libStorage: one table from the core's tree, and what this dialect alone can object to.

The reference answers 400, 401, 404 or 500. Where it has words for what
happened, they and its status are kept; where it has none, the status says
more than its 500, which clients treat alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from gateway.core import errors
from gateway.core.errors import FieldValue, GatewayError
from gateway.frontends.libstorage.filters import BadFilter
from gateway.frontends.libstorage.headers import BadHeader
from gateway.frontends.libstorage.model import ErrorBody

JsonObject = dict[str, Any]

_SHOWN = 200


class LsError(Exception):
    """A refusal as it goes out. `fields` are its context, None or empty for none."""

    def __init__(self, status: int, message: str, fields: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.fields: JsonObject = dict(fields or {})

    def body(self) -> ErrorBody:
        """Give the body of the answer."""
        return ErrorBody(message=self.message, status=self.status, error=self.fields or self.message)

    def inner(self) -> JsonObject | str:
        """Give it as the cause of another error, or as the end of a task."""
        return {**self.fields, "msg": self.message} if self.fields else self.message


class Rule(msgspec.Struct, frozen=True):
    """One line of the table: which errors, and how they look. `when` narrows it by fields of the error.

    `fields` names what is told of the error's fields, each by its name on the wire.
    """

    error: type[GatewayError]
    status: int
    message: str
    fields: Mapping[str, str] = {}
    when: Mapping[str, FieldValue] = {}


RULES: tuple[Rule, ...] = (
    Rule(errors.InvalidArgument, 400, "invalid {field}: {reason}", {"field": "field", "value": "value"}),
    Rule(errors.Unauthenticated, 401, "invalid security token"),
    Rule(errors.PermissionDenied, 403, "permission denied", {"action": "action"}),
    # Clients take 404 for what they asked about, and the operator's policy is not that.
    Rule(errors.NotFound, 409, "there is no {kind} {ref}", {}, {"kind": "export policy"}),
    Rule(errors.NotFound, 404, "resource not found", {"resourceID": "ref"}),
    Rule(
        errors.AlreadyExists,
        500,
        "volume name already exists",
        {"volumeName": "name"},
        {"kind": "volume", "field": "name"},
    ),
    Rule(errors.AlreadyExists, 409, "{kind} already exists", {"name": "name", "field": "field"}),
    Rule(errors.Conflict, 409, "{kind} is being changed", {"resourceID": "ref"}),
    Rule(errors.StaleRevision, 412, "{kind} has changed", {"resourceID": "ref"}),
    Rule(errors.InvalidState, 409, "{kind} is {state}", {"resourceID": "ref", "action": "action"}),
    Rule(
        errors.InUse,
        500,
        "volume already attached to a host",
        {"resourceID": "ref", "action": "action"},
        {"kind": "volume", "by": "attachments"},
    ),
    Rule(errors.InUse, 409, "{kind} is in use by {by}", {"resourceID": "ref", "action": "action"}),
    Rule(errors.Unsupported, 500, "not implemented", {"capability": "capability", "reason": "reason"}),
    Rule(
        errors.LimitExceeded,
        422,
        "{limit} is out of range",
        {"value": "value", "minimum": "minimum", "maximum": "maximum"},
    ),
    Rule(errors.OutOfSpace, 507, "no space left", {"pool": "pool", "wanted": "wanted", "free": "free"}),
    Rule(errors.Busy, 503, "{what} is busy"),
    Rule(errors.Timeout, 504, "{what} did not answer in time"),
    Rule(errors.Unavailable, 503, "{what} cannot be reached"),
    Rule(errors.Internal, 500, "internal error", {"incident": "incident"}),
)
"""Every error of the core; the first line that applies counts."""


def ls_error(error: GatewayError | LsError | BadHeader | BadFilter) -> LsError:
    """Give any error of the core or of this dialect as it goes out."""
    if isinstance(error, LsError):
        return error
    if isinstance(error, BadHeader):
        return LsError(500, f"invalid {error.kind}", {"value": shorten(error.value)})
    if isinstance(error, BadFilter):
        return LsError(500, "bad filter", {"filter": shorten(error.text), "inner": error.reason})
    rule = next(rule for rule in RULES if _applies(rule, error))
    words = {name: "" if value is None else shorten(str(value)) for name, value in error.fields.items()}
    told = {wire: error.fields[name] for wire, name in rule.fields.items() if error.fields[name] not in (None, "")}
    fields = {wire: shorten(value) if isinstance(value, str) else value for wire, value in told.items()}
    return LsError(rule.status, rule.message.format_map(words).strip(": "), fields)


def shorten(text: str) -> str:
    """Give text that is safe to repeat: cut, and without characters that UTF-8 cannot carry."""
    cut = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
    return cut.encode("utf-8", "replace").decode("utf-8")


def not_found(resource_id: str) -> LsError:
    """Give the answer for a service, volume, snapshot or task that is not there, by its id or name as it was given."""
    return LsError(404, "resource not found", {"resourceID": shorten(resource_id)})


def missing_instance(service: str) -> LsError:
    """Give the refusal of a call that has to know which node asks."""
    return LsError(400, "missing instance ID", {"service": service})


def missing_devices(service: str) -> LsError:
    """Give the refusal of a call that has to know what the node has."""
    return LsError(400, "missing local devices", {"service": service})


def bad_token() -> LsError:
    """Give the refusal of a caller; why is not told."""
    return LsError(401, "invalid security token")


def bad_admin_token(token: str) -> LsError:
    """Give the refusal of what only the server's own administrator sees."""
    return LsError(401, "invalid admin token", {"token": shorten(token)})


def bad_body(reason: str) -> LsError:
    """Give the refusal of a body that is not as its schema has it."""
    return LsError(500, f"validate req schema: validation error: {reason}")


def not_implemented() -> LsError:
    """Give the refusal of what nothing here can do."""
    return LsError(500, "not implemented")


def batch_error(completed: Mapping[str, Any], cause: GatewayError | LsError | BadFilter) -> LsError:
    """Give the answer of a call over services of which one failed; `completed` are the results by service."""
    return LsError(500, "batch processing error", {"completed": dict(completed), "inner": ls_error(cause).inner()})


def _applies(rule: Rule, error: GatewayError) -> bool:
    return isinstance(error, rule.error) and all(error.fields.get(name) == value for name, value in rule.when.items())
