"""What requests may say, in their bodies and behind the question mark, and how both are read. Pure.

What is not said here is refused, by the path of the field.
"""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal, TypeVar
from urllib.parse import parse_qsl
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType

from gateway.core.backend import SignAction
from gateway.core.errors import InvalidArgument
from gateway.core.model import AttachMode, Transport, VolumeKind

T = TypeVar("T")

WAIT: Final = "wait"
"""The parameter of every change: for how many seconds its end is waited for."""

WAIT_S: Final = 30
_WAIT_MAX_S: Final = 120
_PARAMETERS_MAX: Final = 32
_LIMIT: Final = 200
_LIMIT_MAX: Final = 1000

_FAULT = re.compile(r"(?P<what>.*?)(?: - at `\$(?P<path>.*)`)?", re.DOTALL)
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<name>.*)`", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(?P<name>.*)`", re.DOTALL)

PageSize = Annotated[int, Meta(ge=1, le=_LIMIT_MAX)]
AskedState = Literal["online", "offline"]


class Nothing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """No parameters, or a body that says nothing."""


class VolumesWanted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which volumes a list shows; those that are all of what is given."""

    tenant: str | UnsetType = UNSET
    name: str | UnsetType = UNSET
    pool: str | UnsetType = UNSET
    kind: VolumeKind | UnsetType = UNSET
    path: str | UnsetType = UNSET
    after: str = ""
    limit: PageSize = _LIMIT


class SnapshotsWanted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which snapshots a list shows; those that are all of what is given."""

    tenant: str | UnsetType = UNSET
    volume: UUID | UnsetType = UNSET
    name: str | UnsetType = UNSET
    after: str = ""
    limit: PageSize = _LIMIT


class ObjectsWanted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which objects a list shows: of a `snapshot`, else of the volume; whose keys begin with `prefix`."""

    snapshot: UUID | UnsetType = UNSET
    prefix: str = ""
    after: str = ""
    limit: PageSize = _LIMIT


class ReplicationsWanted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which replications a list shows; those that are all of what is given. `tenant` is the destination's."""

    tenant: str | UnsetType = UNSET
    volume: UUID | UnsetType = UNSET
    source: UUID | UnsetType = UNSET
    after: str = ""
    limit: PageSize = _LIMIT


class PageWanted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which page of a list."""

    after: str = ""
    limit: PageSize = _LIMIT


class NewReplication(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A replication to make: `volume` shall follow `source`. `schedule`, `throttle` null: as the policy says."""

    source: UUID
    volume: UUID
    policy: str = "Asynchronous"
    schedule: str | None = None
    throttle: int | None = None


class ReplicationChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """New values. `paused`: whether transfers begin."""

    policy: str | UnsetType = UNSET
    schedule: str | UnsetType | None = UNSET
    throttle: int | UnsetType | None = UNSET
    paused: bool | UnsetType = UNSET


class Letting(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`keep_source`: the snapshots that transfers took of the source stay."""

    keep_source: bool = False


class NewTransfer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A transfer to start. `snapshot` null: as the policy says; `throttle` null: as the replication says."""

    snapshot: UUID | None = None
    throttle: int | None = None


class Turning(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How quickly a transfer that this starts may be; see `NewTransfer`."""

    throttle: int | None = None


class Removal(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`force`: whoever uses it is cut off."""

    force: bool = False


class SnapshotRemoval(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`retire`: one that clones still need is seen by nobody any more, and goes with the last of them."""

    retire: bool = False


class Detachment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`force`: a node that is connected is cut off."""

    force: bool = True


class NewVolume(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A volume to make. It is published at `path` to whom `export_policy` lets in, where it has both."""

    name: str
    tenant: str
    pool: str
    size: int
    kind: VolumeKind = VolumeKind.FILESYSTEM
    thick: bool = False
    comment: str = ""
    labels: dict[str, str] = {}
    path: str | None = None
    export_policy: str | None = None
    multi_attach: bool = False


class NewToken(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A token to make."""

    write: bool = False


class NewClone(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A clone to make: of the volume as it is, without a `snapshot`. What is not given here it has of its source."""

    name: str
    snapshot: UUID | None = None
    size: int | None = None
    comment: str = ""
    labels: dict[str, str] = {}
    path: str | None = None
    export_policy: str | UnsetType | None = UNSET
    multi_attach: bool | UnsetType = UNSET


class VolumeChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """New values. `path` null takes the volume out of the name space."""

    name: str | UnsetType = UNSET
    size: int | UnsetType = UNSET
    comment: str | UnsetType = UNSET
    labels: dict[str, str] | UnsetType = UNSET
    path: str | UnsetType | None = UNSET
    export_policy: str | UnsetType | None = UNSET
    multi_attach: bool | UnsetType = UNSET
    state: AskedState | UnsetType = UNSET


class Move(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The name of the pool where a volume is to be."""

    pool: str


class Restore(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A snapshot whose content comes back. `discard_newer`: those taken after it may go."""

    snapshot: UUID
    discard_newer: bool = False


class NewSnapshot(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A snapshot to take."""

    name: str
    labels: dict[str, str] = {}
    comment: str = ""


class Member(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A snapshot to take at the same instant as others."""

    volume: UUID
    name: str
    labels: dict[str, str] = {}
    comment: str = ""


class NewGroup(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Snapshots to take at one instant: all of them, or none."""

    members: tuple[Member, ...]


class SnapshotChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """New values."""

    name: str | UnsetType = UNSET
    labels: dict[str, str] | UnsetType = UNSET
    comment: str | UnsetType = UNSET


class NewAttachment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A node that shall reach a volume.

    `ways`: what it can use. `initiators`: its iSCSI names. `addresses`: its
    own. `shared`: other nodes may write at the same time. `chap`: over iSCSI
    its initiators are to log in.
    """

    node: str
    ways: tuple[Transport, ...]
    mode: AttachMode = AttachMode.READ_WRITE
    initiators: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    shared: bool = True
    chap: bool = False


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Clients by address or network, and whether they may write."""

    clients: tuple[str, ...]
    write: bool = False


class Rules(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All rules of an export policy, in order."""

    rules: tuple[Rule, ...]


class _Wait(msgspec.Struct, frozen=True, kw_only=True):
    wait: Annotated[int, Meta(ge=0, le=_WAIT_MAX_S)] = WAIT_S


class Signing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A request to sign: see `gateway.core.backend.SignRequest`. `snapshot`: what is read is its."""

    action: SignAction
    key: str
    snapshot: UUID | None = None
    expires_s: int = 900
    size: int | None = None
    content_type: str = ""
    upload: str = ""
    part: int = 0


def read_body(content: bytes, kind: type[T]) -> T:
    """Give what a body says; InvalidArgument. An empty one says nothing."""
    try:
        return msgspec.json.decode(content.strip() or b"{}", type=kind)
    except msgspec.ValidationError as error:
        raise _fault(str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise InvalidArgument(field="body", reason="is no JSON") from None


def read_parameters(text: str) -> dict[str, str]:
    """Give what stands behind the question mark; InvalidArgument for a parameter that is there twice."""
    try:
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=_PARAMETERS_MAX)
    except ValueError:
        raise InvalidArgument(field="query", reason=f"has more than {_PARAMETERS_MAX} parameters") from None
    found = dict(pairs)
    for name, _ in pairs if len(found) < len(pairs) else ():
        if [each for each, _ in pairs].count(name) > 1:
            raise InvalidArgument(field=name[:64], reason="is there twice")
    return found


def read_query(parameters: dict[str, str], kind: type[T]) -> T:
    """Give what parameters say; InvalidArgument."""
    try:
        return msgspec.convert(parameters, kind, strict=False)
    except msgspec.ValidationError as error:
        raise _fault(str(error)) from None


def read_wait(parameters: dict[str, str]) -> int:
    """Take out for how long the end of a change is waited for; InvalidArgument."""
    given = {WAIT: parameters.pop(WAIT)} if WAIT in parameters else {}
    return read_query(given, _Wait).wait


def _fault(told: str) -> InvalidArgument:
    """Give what msgspec objects to, by the field's path."""
    found = _FAULT.fullmatch(told)
    what, path = (told, "") if found is None else (found["what"], (found["path"] or "").lstrip("."))
    for pattern, reason in ((_UNKNOWN, "is not known here"), (_MISSING, "is missing")):
        if (named := pattern.fullmatch(what)) is not None:
            path, what = f"{path}.{named['name'][:64]}".lstrip("."), reason
    return InvalidArgument(field=path or "body", reason=what)
