"""What a pool can do, as data: derived from its backend, masked by the operator, required in one place.

A backend never declares an operation. `derive` finds the operations from the
protocols that the backend implements, takes away what this instance's
substrate lacks (`Substrate.lacks`, found by probing, with the reason), and
adds the facts no method can show (`Facts`). Facts that speak of an operation
that is not there stop the start with a sentence naming both.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from gateway.core import errors
from gateway.core.model import VolumeKind


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What a backend states about one kind of volume.

    quota: the substrate itself stops writes beyond a volume's size.
    thin: volumes without reserved space can be made.
    thick: volumes with reserved space can be made.
    shrink: resize may also go down.
    clone_needs_snapshot: a clone's source must be a snapshot.
    split: a clone can be made independent of its source.
    restore_keeps_newer: snapshots newer than the restored one survive.
    crash_consistent: a snapshot is one instant of the whole volume.
    size_min: bytes of the smallest volume.
    size_max: bytes of the largest volume; None: no limit known.
    size_step: bytes that every size is a multiple of.
    snapshot_max: how many snapshots a volume may have; None: no limit known.
    """

    quota: bool = False
    thin: bool = True
    thick: bool = False
    shrink: bool = False
    split: bool = False
    clone_needs_snapshot: bool = False
    restore_keeps_newer: bool = False
    crash_consistent: bool = False
    size_min: int = 1
    size_max: int | None = None
    size_step: int = 1
    snapshot_max: int | None = None


class Capability(msgspec.Struct, frozen=True, kw_only=True):
    """The whole truth about one kind of volume in one pool."""

    pool: str
    kind: VolumeKind
    operations: frozenset[str]
    facts: Facts
    why_not: dict[str, str] = {}

    def can(self, name: str) -> bool:
        """Tell whether an operation (`OPERATIONS`) or a boolean fact holds."""
        return name in self.operations or (name in FLAGS and getattr(self.facts, name) is True)


OPERATIONS: Mapping[str, str] = {
    "resize": "ResizeBackend",
    "permissions": "PermissionsBackend",
    "snapshot": "SnapshotBackend",
    "restore": "RestoreBackend",
    "clone": "CloneBackend",
    "replicate": "ReplicationBackend",
    "snapshot_group": "GroupSnapshotBackend",
    "convert": "ConvertBackend",
    "sign": "SignBackend",
    "files": "FilesBackend",
    "clone_file": "CloneFileBackend",
}
"""Operation -> the protocol (in `gateway.core.backend`) that carries it."""

FLAGS: tuple[str, ...] = (
    "quota",
    "thin",
    "thick",
    "shrink",
    "split",
    "clone_needs_snapshot",
    "restore_keeps_newer",
    "crash_consistent",
)

NO_SUCH_OPERATION = "the substrate has no such operation"
"""The reason where a backend gives no other."""

_FACT_NEEDS: Mapping[str, str] = {
    "shrink": "resize",
    "split": "clone",
    "clone_needs_snapshot": "clone",
    "restore_keeps_newer": "restore",
    "crash_consistent": "snapshot",
    "snapshot_max": "snapshot",
}
_OPERATION_NEEDS: Mapping[str, str] = {
    "restore": "snapshot",
    "replicate": "snapshot",
    "snapshot_group": "snapshot",
    "clone_file": "files",
}
SIZE_MAX = (1 << 63) - 1
"""Bytes of the largest volume anywhere: what a file offset can say."""

RESTRICTIONS = frozenset({"clone_needs_snapshot"})
"""Flags that take something away when set: masking one would add an ability."""


class CapabilityMismatch(Exception):  # noqa: N818 - it ends the start, it is not part of the error tree
    """A backend's facts and methods contradict each other."""


def assemble(
    *,
    pool: str,
    kind: VolumeKind,
    facts: Facts,
    implemented: Iterable[str],
    lacks: Mapping[str, str],
) -> Capability:
    """Join facts, implemented operations and probed absences into one record, or raise CapabilityMismatch."""
    operations = set(implemented)
    for name in lacks:
        if name not in OPERATIONS:
            msg = f"pool {pool}: lacks names {name!r}, which is no operation"
            raise CapabilityMismatch(msg)
        if name not in operations:
            msg = f"pool {pool}: lacks names {name!r}, but the backend has no {OPERATIONS[name]} to begin with"
            raise CapabilityMismatch(msg)
    operations -= set(lacks)
    for name, needed in _OPERATION_NEEDS.items():
        if name in operations and needed not in operations:
            msg = f"pool {pool}: {OPERATIONS[name]} needs {OPERATIONS[needed]}"
            raise CapabilityMismatch(msg)
    default = Facts()
    for fact, needed in _FACT_NEEDS.items():
        if getattr(facts, fact) != getattr(default, fact) and needed not in operations:
            msg = f"pool {pool}: fact {fact!r} is stated, but {OPERATIONS[needed]} is not there for kind {kind}"
            raise CapabilityMismatch(msg)
    why_not = {name: lacks.get(name, NO_SUCH_OPERATION) for name in set(OPERATIONS) - operations}
    return Capability(pool=pool, kind=kind, operations=frozenset(operations), facts=facts, why_not=why_not)


def mask(capability: Capability, disabled: Iterable[str]) -> Capability:
    """Take away what the operator disabled; nothing can be added. Unknown names raise InvalidArgument."""
    operations, facts, why_not = set(capability.operations), capability.facts, dict(capability.why_not)
    for name in disabled:
        if name in OPERATIONS:
            dependants = {name} | {op for op, needed in _OPERATION_NEEDS.items() if needed == name}
            operations -= dependants
            why_not |= dict.fromkeys(dependants, "disabled by the operator")
        elif name in FLAGS and name not in RESTRICTIONS:
            facts = msgspec.structs.replace(facts, **{name: False})
            why_not[name] = "disabled by the operator"
        else:
            raise errors.InvalidArgument(field="disable", value=name, reason="no such capability")
    default = Facts()
    gone = {fact: getattr(default, fact) for fact, needed in _FACT_NEEDS.items() if needed not in operations}
    return msgspec.structs.replace(
        capability, operations=frozenset(operations), facts=msgspec.structs.replace(facts, **gone), why_not=why_not
    )


def require(capability: Capability, name: str) -> None:
    """Raise Unsupported unless the pool can do `name`. Called by the change path only."""
    if not capability.can(name):
        reason = capability.why_not.get(name, NO_SUCH_OPERATION)
        raise errors.Unsupported(capability=name, backend=capability.pool, reason=reason)


def require_size(capability: Capability, size: int) -> None:
    """Raise LimitExceeded unless a volume may have `size` bytes."""
    facts = capability.facts
    most = SIZE_MAX if facts.size_max is None else facts.size_max
    if not facts.size_min <= size <= most:
        raise errors.LimitExceeded(limit="size", value=size, minimum=facts.size_min, maximum=most)
    if size % facts.size_step:
        raise errors.InvalidArgument(field="size", value=size, reason=f"not a multiple of {facts.size_step}")
