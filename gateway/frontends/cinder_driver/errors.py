"""What an error of the gateway means to Cinder.

`Refusal` names one of Cinder's exceptions with its keywords, so that nothing
here needs Cinder. Which one it is depends on the kind of call: Cinder gives a
volume back when deleting it raises `VolumeIsBusy`, copies through the host
when reverting raises `NotImplementedError`, and so on. A call's own table comes
before the general one; a test walks the whole tree of core errors.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping

import msgspec

from gateway.client import ClientError, native
from gateway.frontends.cinder_driver.records import GIB, gigabytes

NOT_IMPLEMENTED = "NotImplementedError"
"""Not one of Cinder's: what the base class raises for what a driver does not do, and Cinder does in another way."""

ANSWER_LOST = "AnswerLost"
"""Not one of Cinder's: nobody knows whether a volume was made. It must not be made elsewhere, too."""


_TEXTS = ("message", "reason", "data")


class Refusal(Exception):  # noqa: N818 - it becomes an exception with a name of its own
    """One of Cinder's exceptions by name, with the keywords that its text wants."""

    def __init__(self, exception: str, **keywords: object) -> None:
        self.exception = exception
        self.keywords = keywords
        super().__init__(f"{exception}: {', '.join(f'{key} {value}' for key, value in keywords.items())}")

    @property
    def text(self) -> str:
        """Give what it says in words, without the name."""
        return str(next((self.keywords[key] for key in _TEXTS if key in self.keywords), self))


class Doing(enum.Enum):
    """What Cinder asked for."""

    READ = enum.auto()
    MAKE = enum.auto()
    CLONE = enum.auto()
    DELETE_VOLUME = enum.auto()
    EXTEND = enum.auto()
    REVERT = enum.auto()
    SNAPSHOT = enum.auto()
    DELETE_SNAPSHOT = enum.auto()
    ATTACH = enum.auto()
    MANAGE = enum.auto()
    MOVE = enum.auto()
    GROUP = enum.auto()


class Word(msgspec.Struct, frozen=True):
    """An exception by name, and the keywords in which it takes the text and the name of the object."""

    exception: str
    text: str = ""
    name: str = ""

    def refusal(self, error: ClientError, ref: str) -> Refusal:
        """Give the exception for an error of something called `ref`."""
        keywords = {self.text: said(error)} if self.text else {}
        return Refusal(self.exception, **keywords, **({self.name: ref} if self.name else {}))


_BROKEN = Word("VolumeBackendAPIException", text="data")
_REFUSED = Word("VolumeDriverException", text="message")
_STATE = Word("InvalidVolume", text="reason")
_INPUT = Word("InvalidInput", text="reason")
_FALLBACK = Word(NOT_IMPLEMENTED, text="message")
_VOLUME_BUSY = Word("VolumeIsBusy", name="volume_name")
_SNAPSHOT_BUSY = Word("SnapshotIsBusy", name="snapshot_name")
_NO_EXTENSION = Word("ExtendVolumeError", text="reason")
_REFERENCE = Word("ManageExistingInvalidReference", text="reason", name="existing_ref")
_NO_MOVE = Word("VolumeMigrationFailed", text="reason")

GENERAL: Mapping[str, Word] = {
    "": _BROKEN,
    "InvalidArgument": _INPUT,
    "Unauthenticated": _BROKEN,
    "PermissionDenied": _BROKEN,
    "NotFound": _BROKEN,
    "AlreadyExists": _BROKEN,
    "Conflict": _BROKEN,
    "StaleRevision": _BROKEN,
    "InvalidState": _STATE,
    "InUse": _STATE,
    "Unsupported": _REFUSED,
    "LimitExceeded": _INPUT,
    "OutOfSpace": _BROKEN,
    "Busy": _BROKEN,
    "Timeout": _BROKEN,
    "Unavailable": _BROKEN,
    "Internal": _BROKEN,
}
"""Name of a core error -> what Cinder is told. An empty name: nobody knows what became of the request."""

ABSENT: Mapping[str, Word] = {
    "volume": Word("VolumeNotFound", name="volume_id"),
    "snapshot": Word("SnapshotNotFound", name="snapshot_id"),
}
"""The same for `NotFound`, by the kind of what is not there."""

BY_CALL: Mapping[Doing, Mapping[str, Word]] = {
    # A cached image that cannot be cloned is downloaded again.
    Doing.CLONE: {"Unsupported": _FALLBACK},
    # The volume, or the snapshot, is available again.
    Doing.DELETE_VOLUME: {"InUse": _VOLUME_BUSY, "Conflict": _VOLUME_BUSY},
    Doing.DELETE_SNAPSHOT: {"InUse": _SNAPSHOT_BUSY, "Conflict": _SNAPSHOT_BUSY},
    Doing.EXTEND: dict.fromkeys(("Unsupported", "LimitExceeded", "InvalidArgument", "OutOfSpace"), _NO_EXTENSION),
    # Cinder copies the snapshot's content through the host.
    Doing.REVERT: {"Unsupported": _FALLBACK},
    Doing.MANAGE: dict.fromkeys(("NotFound", "InvalidState", "InUse", "Conflict", "InvalidArgument"), _REFERENCE),
    Doing.MOVE: dict.fromkeys(("InvalidState", "InUse", "Conflict", "OutOfSpace", "LimitExceeded"), _NO_MOVE),
}
"""Where a call needs another word than the general one."""

_MAKING = frozenset({Doing.MAKE, Doing.CLONE})


def refusal(error: ClientError, doing: Doing, ref: str) -> Refusal:
    """Give what Cinder is told about an error, while it did something with what it calls `ref`."""
    if doing in _MAKING and native.is_unknown(error):
        return Refusal(ANSWER_LOST, data=said(error))
    word = BY_CALL.get(doing, {}).get(error.code)
    if word is None and error.code == "LimitExceeded" and (limited := _limited(error)) is not None:
        return limited
    if word is None and error.code == "NotFound":
        word = ABSENT.get(str(error.fields.get("kind")))
    return (word or GENERAL.get(error.code, _BROKEN)).refusal(error, ref)


def said(error: ClientError) -> str:
    """Give an error's text for Cinder's log and for messages to its users."""
    return f"the gateway answered {error}" if error.status or error.code else str(error)


def _limited(error: ClientError) -> Refusal | None:
    """Give Cinder's own word for a limit that it has one for."""
    limit, value, most = (error.fields.get(name) for name in ("limit", "value", "maximum"))
    if limit == "snapshots" and isinstance(most, int):
        return Refusal("SnapshotLimitReached", set_limit=most)
    if limit == "size" and isinstance(value, int) and isinstance(most, int) and value > most:
        return Refusal("VolumeSizeExceedsLimit", size=gigabytes(value), limit=most // GIB)
    return None
