from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from gateway.backends.memory import MemoryBackend, MemoryOptions
from gateway.core import backend as protocols
from gateway.core.backend import PROTOCOLS, Substrate, derive
from gateway.core.capability import (
    FLAGS,
    NO_SUCH_OPERATION,
    OPERATIONS,
    Capability,
    CapabilityMismatch,
    Facts,
    assemble,
    mask,
    require,
    require_size,
)
from gateway.core.errors import InvalidArgument, LimitExceeded, Unsupported
from gateway.core.model import VolumeKind

KIND = VolumeKind.FILESYSTEM
EVERYTHING = Facts(
    quota=True,
    thick=True,
    shrink=True,
    split=True,
    clone_needs_snapshot=True,
    restore_keeps_newer=True,
    crash_consistent=True,
    snapshot_max=255,
)


def record(
    implemented: set[str] | None = None, facts: Facts = EVERYTHING, lacks: Mapping[str, str] | None = None
) -> Capability:
    names = set(OPERATIONS) if implemented is None else implemented
    return assemble(pool="tank", kind=KIND, facts=facts, implemented=names, lacks=lacks or {})


class PartlyAble(MemoryBackend):
    """A memory pool on a substrate without some operations."""

    def __init__(self, lacks: Mapping[str, str], facts: Facts) -> None:
        super().__init__("tank", MemoryOptions())
        self._lacks = lacks
        self._facts = facts

    def describe(self) -> Substrate:
        return msgspec.structs.replace(super().describe(), lacks={KIND: self._lacks}, kinds={KIND: self._facts})


def test_operations_and_protocols_are_one_table() -> None:
    assert {name: protocol.__name__ for name, protocol in PROTOCOLS.items()} == dict(OPERATIONS)
    assert all(getattr(protocols, name) in PROTOCOLS.values() for name in OPERATIONS.values())


def test_flags_are_the_boolean_facts() -> None:
    booleans = {field.name for field in msgspec.structs.fields(Facts) if field.type is bool}
    assert set(FLAGS) == booleans
    assert not set(FLAGS) & set(OPERATIONS)


def test_derive_finds_what_the_memory_backend_implements() -> None:
    capability = derive("tank", MemoryBackend("tank", MemoryOptions()))[KIND]
    assert capability.operations == set(OPERATIONS) - {"sign"}
    assert capability.why_not == {"sign": NO_SUCH_OPERATION}
    assert (capability.pool, capability.kind) == ("tank", KIND)
    assert all(capability.can(name) for name in FLAGS if name != "clone_needs_snapshot")
    assert not capability.can("clone_needs_snapshot")


def test_derive_takes_away_what_the_substrate_lacks() -> None:
    facts = msgspec.structs.replace(EVERYTHING, split=False, clone_needs_snapshot=False)
    capability = derive("tank", PartlyAble({"clone": "no reflinks here"}, facts))[KIND]
    assert capability.operations == set(OPERATIONS) - {"clone", "sign"}
    with pytest.raises(Unsupported) as refused:
        require(capability, "clone")
    assert refused.value.fields == {"capability": "clone", "backend": "tank", "reason": "no reflinks here"}


def test_derive_refuses_a_backend_that_contradicts_itself() -> None:
    with pytest.raises(CapabilityMismatch, match=r"fact 'split' is stated, but CloneBackend is not there"):
        derive("tank", PartlyAble({"clone": "no reflinks here"}, EVERYTHING))


def test_unknown_names_cannot_be_done() -> None:
    assert not record().can("teleport")
    assert not record().can("size_min")


@pytest.mark.parametrize(
    ("fact", "operation"),
    [
        ("shrink", "resize"),
        ("split", "clone"),
        ("clone_needs_snapshot", "clone"),
        ("restore_keeps_newer", "restore"),
        ("crash_consistent", "snapshot"),
        ("snapshot_max", "snapshot"),
    ],
)
def test_a_fact_without_its_operation_stops_the_start(fact: str, operation: str) -> None:
    facts = Facts(**{fact: 3 if fact == "snapshot_max" else True})
    sentence = f"pool tank: fact {fact!r} is stated, but {OPERATIONS[operation]} is not there for kind filesystem"
    with pytest.raises(CapabilityMismatch, match=re.escape(sentence)):
        record(set(), facts)
    assert record({"snapshot", operation}, facts).facts == facts


@pytest.mark.parametrize("operation", ["restore", "replicate"])
def test_an_operation_without_the_one_it_needs_stops_the_start(operation: str) -> None:
    with pytest.raises(CapabilityMismatch, match=f"pool tank: {OPERATIONS[operation]} needs SnapshotBackend"):
        record({operation}, Facts())
    with pytest.raises(CapabilityMismatch, match="needs SnapshotBackend"):
        record({operation, "snapshot"}, Facts(), {"snapshot": "not today"})


def test_lacks_must_name_operations_that_are_implemented() -> None:
    with pytest.raises(CapabilityMismatch, match="lacks names 'teleport', which is no operation"):
        record(lacks={"teleport": "no"})
    with pytest.raises(CapabilityMismatch, match="lacks names 'clone', but the backend has no CloneBackend"):
        record({"snapshot"}, Facts(), {"clone": "no"})


def test_what_is_not_implemented_has_a_reason() -> None:
    assert set(record({"resize"}, Facts()).why_not) == set(OPERATIONS) - {"resize"}


NEEDED_BY = {"snapshot": {"restore", "replicate", "snapshot_group"}, "files": {"clone_file"}}


@pytest.mark.parametrize("name", OPERATIONS)
def test_mask_takes_an_operation_and_all_that_needs_it(name: str) -> None:
    full = record()
    masked = mask(full, [name])
    gone = full.operations - masked.operations
    assert gone == {name, *NEEDED_BY.get(name, ())}
    for operation in gone:
        with pytest.raises(Unsupported) as refused:
            require(masked, operation)
        assert refused.value.reason == "disabled by the operator"
    assemble(pool="tank", kind=KIND, facts=masked.facts, implemented=masked.operations, lacks={})


@pytest.mark.parametrize("name", sorted({*FLAGS} - {"clone_needs_snapshot"}))
def test_mask_takes_a_fact(name: str) -> None:
    masked = mask(record(), [name])
    assert not masked.can(name)
    assert masked.operations == set(OPERATIONS)
    with pytest.raises(Unsupported) as refused:
        require(masked, name)
    assert refused.value.fields == {"capability": name, "backend": "tank", "reason": "disabled by the operator"}
    assert masked.facts == msgspec.structs.replace(EVERYTHING, **{name: False})


def test_mask_of_nothing_changes_nothing_and_never_adds() -> None:
    assert mask(record(), []) == record()
    bare = record(set(), Facts())
    masked = mask(bare, ["clone", "quota"])
    assert (masked.operations, masked.facts) == (bare.operations, bare.facts)


@pytest.mark.parametrize("name", ["teleport", "size_max", "", "clone_needs_snapshot"])
def test_mask_refuses_what_is_no_ability(name: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        mask(record(), [name])
    assert (refused.value.field, refused.value.value) == ("disable", name)


@pytest.mark.parametrize("name", [*OPERATIONS, *FLAGS])
def test_require_passes_what_is_there(name: str) -> None:
    require(record(), name)


@pytest.mark.parametrize("name", [*OPERATIONS, *FLAGS])
def test_require_refuses_what_is_not(name: str) -> None:
    with pytest.raises(Unsupported) as refused:
        require(record(set(), Facts(thin=False)), name)
    assert refused.value.capability == name


@pytest.mark.parametrize(
    ("size", "error"),
    [
        (0, LimitExceeded),
        (4095, LimitExceeded),
        (4096, None),
        (4097, InvalidArgument),
        (8192, None),
        (40960, None),
        (45056, LimitExceeded),
        (-4096, LimitExceeded),
    ],
)
def test_sizes_are_held_to_the_limits(size: int, error: type[Exception] | None) -> None:
    capability = record(set(), Facts(size_min=4096, size_max=40960, size_step=4096))
    if error is None:
        require_size(capability, size)
        return
    with pytest.raises(error) as refused:
        require_size(capability, size)
    fields: dict[str, Any] = refused.value.fields  # type: ignore[attr-defined]
    assert fields["value"] == size
    if error is LimitExceeded:
        assert fields == {"limit": "size", "value": size, "minimum": 4096, "maximum": 40960}


def test_without_a_maximum_any_size_goes_that_a_file_offset_can_say() -> None:
    require_size(record(set(), Facts()), 2**63 - 1)
    with pytest.raises(LimitExceeded):
        require_size(record(set(), Facts()), 2**63)


def test_a_record_survives_json() -> None:
    for capability in (record(), mask(record(), ["snapshot", "thick"]), record(set(), Facts())):
        assert msgspec.json.decode(msgspec.json.encode(capability), type=Capability) == capability
