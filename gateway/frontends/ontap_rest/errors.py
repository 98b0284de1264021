"""Errors in ONTAP's words: one table from the core's tree, and what this dialect alone can object to.

`encode_error` turns either into a status and a body; a job keeps the same
object with the code as an integer (`encode_job_error`). Codes and texts are
those of the vendor's documentation where it gives any.
"""

from __future__ import annotations

from collections.abc import Mapping

from gateway.core import errors
from gateway.core.errors import ErrorRecord, FieldValue, GatewayError
from gateway.frontends.ontap_rest.error_rule import Rule
from gateway.frontends.ontap_rest.error_table import RULES, TARGETS

JsonObject = dict[str, object]


class WireError(Exception):
    """A request that this dialect refuses before the core is asked. `code` is a string of digits, as on the wire."""

    def __init__(
        self,
        status: int,
        code: str,
        *,
        message: str,
        target: str = "",
        arguments: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.target = target
        self.arguments = arguments


_RECORDED = "ontap_rest.WireError"
_SHOWN = 64


def shorten(text: str) -> str:
    """Give text that is safe to repeat in a message: cut, and without characters that UTF-8 cannot carry."""
    cut = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
    return cut.encode("utf-8", "replace").decode("utf-8")


def unexpected(name: str) -> WireError:
    """Give the refusal of an unknown query parameter or body field; clients compare the text literally."""
    return WireError(400, "262179", message=f'Unexpected argument "{shorten(name)}".')


def invalid(field: str, value: str, hint: str) -> WireError:
    """Give the refusal of a value; `hint` says what would be right."""
    message = f'The value "{shorten(value)}" is invalid for field "{field}" (<{hint}>)'
    return WireError(400, "262197", message=message, target=field)


def out_of_range(field: str, value: str, hint: str, code: str = "262200") -> WireError:
    """Give the refusal of a number outside its limits."""
    message = f'The value "{shorten(value)}" is out of range for field "{field}" ({hint})'
    return WireError(400, code, message=message, target=field)


def given_twice(field: str, code: str = "262188") -> WireError:
    """Give the refusal of a repeated parameter (262188) or property (262282)."""
    return WireError(400, code, message=f'Field "{field}" was given twice', target=field)


def not_settable(field: str) -> WireError:
    """Give the refusal of a field that this verb does not set."""
    return WireError(400, "262196", message=f'Field "{field}" cannot be set in this operation', target=field)


def missing_value(field: str) -> WireError:
    """Give the refusal of a body without a required field."""
    return WireError(400, "262212", message=f'A value is required for field "{field}"', target=field)


def no_entry(target: str = "uuid") -> WireError:
    """Give the answer for a key that no record has; Ansible searches for this very text."""
    return WireError(404, "4", message="entry doesn't exist", target=target)


def bad_key(field: str, value: str, kind: str) -> WireError:
    """Give the answer for a key that cannot be one, such as a malformed UUID in the path."""
    message = f'"{shorten(value)}" is an invalid value for field "{field}" (<{kind}>)'
    return WireError(404, "2", message=message, target=field)


def no_endpoint() -> WireError:
    """Give the answer for an unknown path."""
    return WireError(404, "3", message="API not found")


def no_verb() -> WireError:
    """Give the answer for a method that the path does not offer."""
    return WireError(405, "3", message="The specified method is not supported for this API")


def encode_error(error: GatewayError | WireError, *, operation: str = "") -> tuple[int, JsonObject]:
    """Give the status and the whole body for an error. `operation` is the core's name, such as `volume.create`."""
    status, described = _describe(error, operation)
    return status, {"error": described}


def encode_job_error(error: GatewayError | WireError, *, operation: str) -> tuple[int, JsonObject]:
    """Give a failed job's integer `code` and its `error` object."""
    _, described = _describe(error, operation)
    return int(str(described["code"])), described


def to_record(error: WireError) -> ErrorRecord:
    """Give the form in which a job keeps an error of this dialect; `arguments` are not kept."""
    fields: dict[str, FieldValue] = {
        "status": error.status,
        "code": error.code,
        "message": error.message,
        "target": error.target,
    }
    return ErrorRecord(type=_RECORDED, fields=fields)


def from_record(record: ErrorRecord) -> GatewayError | WireError:
    """Rebuild an error that a job kept, this dialect's own ones too."""
    if record.type != _RECORDED:
        return errors.from_record(record)
    code, message, target = (str(record.fields.get(name) or "") for name in ("code", "message", "target"))
    return WireError(int(record.fields.get("status") or 400), code, message=message, target=target)


def _describe(error: GatewayError | WireError, operation: str) -> tuple[int, JsonObject]:
    if isinstance(error, WireError):
        described: JsonObject = {"message": error.message, "code": error.code}
        if error.target:
            described["target"] = error.target
        if error.arguments:
            described["arguments"] = [{"code": code, "message": text} for code, text in error.arguments]
        return error.status, described
    facts = _facts(error, operation)
    rule = next(rule for rule in RULES if _applies(rule, error, operation, facts))
    words = {name: shorten("" if value is None else str(value)) for name, value in facts.items()}
    described = {"message": rule.message.format_map(words), "code": rule.code}
    target = rule.target or words["target"]
    if target:
        described["target"] = target
    return rule.status, described


def _applies(rule: Rule, error: GatewayError, operation: str, facts: Mapping[str, FieldValue]) -> bool:
    if not isinstance(error, rule.error):
        return False
    if rule.during and not any(
        operation == word or (word.endswith(".") and operation.startswith(word)) for word in rule.during
    ):
        return False
    return all(facts.get(name) == value for name, value in rule.when.items())


def _facts(error: GatewayError, operation: str) -> dict[str, FieldValue]:
    facts = dict(error.fields)
    field = facts.get("field")
    facts["target"] = (
        TARGETS.get(field, field) if isinstance(error, errors.InvalidArgument) and isinstance(field, str) else ""
    )
    facts["noun"] = operation.partition(".")[0].replace("_", " ") or "specified"
    value, minimum = facts.get("value"), facts.get("minimum")
    if isinstance(value, int) and isinstance(minimum, int):
        facts["side"] = "low" if value < minimum else "high"
    return facts
