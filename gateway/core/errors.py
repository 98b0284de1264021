"""What can go wrong, once, for every dialect.

    GatewayError
    ├── InvalidArgument    a value the caller gave cannot be used
    ├── Unauthenticated    who the caller is could not be established
    ├── PermissionDenied   the caller may not do this
    ├── NotFound           the object named does not exist
    ├── AlreadyExists      the name or id is taken
    ├── Conflict           another change of the same object is under way
    ├── StaleRevision      the object changed since the caller read it
    ├── InvalidState       the object's state does not allow this
    ├── InUse              something else still depends on the object
    ├── Unsupported        the substrate cannot do this, or not for this kind
    ├── LimitExceeded      a value is outside what the substrate allows
    ├── OutOfSpace         the pool has no room
    ├── Busy               (retryable) the substrate refused for the moment
    ├── Timeout            (retryable) the substrate did not answer in time
    ├── Unavailable        (retryable) the substrate or catalog cannot be reached
    └── Internal           a defect of ours; the log has it under the incident id

Errors carry typed fields, never a dialect's words or numbers. Every front end
maps the whole tree in one table. `to_record` and `from_record` let a job keep
its error across a restart.
"""

from __future__ import annotations

from typing import ClassVar

import msgspec

FieldValue = str | int | bool | None


class ErrorRecord(msgspec.Struct, frozen=True, kw_only=True):
    """An error as a job keeps it: the class name and the fields."""

    type: str
    fields: dict[str, FieldValue]


class GatewayError(Exception):
    """Base of everything the core, the catalog, the backends and the exporters raise on purpose."""

    retryable: ClassVar[bool] = False
    names: ClassVar[tuple[str, ...]] = ()

    def __init__(self, **fields: FieldValue) -> None:
        """Take exactly the fields that the class declares; missing ones are None."""
        unknown = set(fields) - set(self.names)
        if unknown:
            msg = f"{type(self).__name__} has no field {sorted(unknown)}"
            raise TypeError(msg)
        self.fields: dict[str, FieldValue] = {name: fields.get(name) for name in self.names}
        super().__init__(", ".join(f"{k}={v!r}" for k, v in self.fields.items() if v is not None))

    def __getattr__(self, name: str) -> FieldValue:
        try:
            return self.__dict__["fields"][name]  # type: ignore[no-any-return]
        except KeyError:
            raise AttributeError(name) from None

    def to_record(self) -> ErrorRecord:
        """Give the form that a job stores."""
        return ErrorRecord(type=type(self).__name__, fields=dict(self.fields))


class InvalidArgument(GatewayError):
    names = ("field", "value", "reason")


class Unauthenticated(GatewayError):
    names = ("reason",)


class PermissionDenied(GatewayError):
    names = ("action",)


class NotFound(GatewayError):
    names = ("kind", "ref")


class AlreadyExists(GatewayError):
    names = ("kind", "name", "field", "same_spec")


class Conflict(GatewayError):
    names = ("kind", "ref", "holder")


class StaleRevision(GatewayError):
    names = ("kind", "ref", "expected", "actual")


class InvalidState(GatewayError):
    names = ("kind", "ref", "state", "action")


class InUse(GatewayError):
    """Something of the kind `by` depends on it.

    `by` is one of: attachments, builtin, clone, clones, content, expiry,
    export, mounts, policies, policy, quiesce, replication, sessions, snapshots, tenants, volumes.
    """

    names = ("kind", "ref", "by", "action")


class Unsupported(GatewayError):
    names = ("capability", "backend", "reason")


class LimitExceeded(GatewayError):
    names = ("limit", "value", "minimum", "maximum")


class OutOfSpace(GatewayError):
    names = ("pool", "wanted", "free")


class Busy(GatewayError):
    retryable = True
    names = ("what", "retry_after")


class Timeout(GatewayError):
    retryable = True
    names = ("what", "after")


class Unavailable(GatewayError):
    retryable = True
    names = ("what", "reason")


class Internal(GatewayError):
    names = ("incident",)


def tree() -> dict[str, type[GatewayError]]:
    """Give every concrete error class by name; front ends' tables are tested against it."""
    return {cls.__name__: cls for cls in GatewayError.__subclasses__()}


def from_record(record: ErrorRecord) -> GatewayError:
    """Rebuild the error that `to_record` described; an unknown type becomes Internal."""
    cls = tree().get(record.type)
    if cls is None or set(record.fields) - set(cls.names):
        return Internal(incident=record.type)
    return cls(**record.fields)
