"""Errors in the words of libStorage."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from gateway.core import errors
from gateway.core.errors import GatewayError
from gateway.frontends.libstorage.errors import (
    RULES,
    LsError,
    bad_admin_token,
    bad_body,
    bad_token,
    batch_error,
    ls_error,
    missing_devices,
    missing_instance,
    not_found,
    not_implemented,
)
from gateway.frontends.libstorage.filters import NO_START, BadFilter
from gateway.frontends.libstorage.headers import BadHeader
from gateway.frontends.libstorage.model import ErrorBody


@pytest.mark.parametrize("name", sorted(errors.tree()))
def test_every_core_error_has_an_answer(name: str) -> None:
    kind = errors.tree()[name]
    for error in (kind(), kind(**dict.fromkeys(kind.names, "x"))):
        found = ls_error(error)
        body = found.body()
        assert 400 <= found.status < 600
        assert body.status == found.status != 408
        assert body.message
        assert body.error == found.message or isinstance(body.error, dict)
        assert "{" not in body.message
        assert msgspec.json.encode(body)


@pytest.mark.parametrize("name", sorted(errors.tree()))
def test_every_class_ends_with_a_line_without_conditions(name: str) -> None:
    lines = [rule for rule in RULES if rule.error is errors.tree()[name]]
    assert not lines[-1].when
    assert all(rule.when for rule in lines[:-1])


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.message)
def test_every_line_names_what_its_error_has(rule: Any) -> None:
    assert set(rule.fields.values()) | set(rule.when) <= set(rule.error.names)
    assert rule.message.format_map(dict.fromkeys(rule.error.names, ""))


CASES: list[tuple[GatewayError, int, str, Any]] = [
    (errors.NotFound(kind="volume", ref="vfs-009"), 404, "resource not found", {"resourceID": "vfs-009"}),
    (
        errors.NotFound(kind="export policy", ref="strict"),
        409,
        "there is no export policy strict",
        "there is no export policy strict",
    ),
    (errors.NotFound(kind="snapshot", ref="s"), 404, "resource not found", {"resourceID": "s"}),
    (
        errors.AlreadyExists(kind="volume", name="data", field="name"),
        500,
        "volume name already exists",
        {"volumeName": "data"},
    ),
    (
        errors.AlreadyExists(kind="snapshot", name="s", field="name"),
        409,
        "snapshot already exists",
        {"name": "s", "field": "name"},
    ),
    (
        errors.InUse(kind="volume", ref="data", by="attachments", action="attach"),
        500,
        "volume already attached to a host",
        {"resourceID": "data", "action": "attach"},
    ),
    (
        errors.InUse(kind="volume", ref="data", by="mounts", action="delete"),
        409,
        "volume is in use by mounts",
        {"resourceID": "data", "action": "delete"},
    ),
    (
        errors.Unsupported(capability="clone", backend="d", reason="no snapshots here"),
        500,
        "not implemented",
        {"capability": "clone", "reason": "no snapshots here"},
    ),
    (errors.Unauthenticated(reason="expired"), 401, "invalid security token", "invalid security token"),
    (errors.PermissionDenied(action="volume.create"), 403, "permission denied", {"action": "volume.create"}),
    (
        errors.InvalidArgument(field="name", value="a/b", reason="has a slash"),
        400,
        "invalid name: has a slash",
        {"field": "name", "value": "a/b"},
    ),
    (errors.InvalidArgument(field="name"), 400, "invalid name", {"field": "name"}),
    (
        errors.LimitExceeded(limit="size", value=0, minimum=1, maximum=None),
        422,
        "size is out of range",
        {"value": 0, "minimum": 1},
    ),
    (errors.OutOfSpace(pool="p", wanted=2, free=0), 507, "no space left", {"pool": "p", "wanted": 2, "free": 0}),
    (errors.Busy(what="pool p"), 503, "pool p is busy", "pool p is busy"),
    (errors.Internal(incident="i1"), 500, "internal error", {"incident": "i1"}),
]


@pytest.mark.parametrize(("error", "status", "message", "context"), CASES, ids=repr)
def test_errors_of_the_core(error: GatewayError, status: int, message: str, context: Any) -> None:
    assert ls_error(error).body() == ErrorBody(message=message, status=status, error=context)


@pytest.mark.parametrize(
    ("error", "status", "message", "context"),
    [
        (not_found("vfs-009"), 404, "resource not found", {"resourceID": "vfs-009"}),
        (missing_instance("fast"), 400, "missing instance ID", {"service": "fast"}),
        (missing_devices("fast"), 400, "missing local devices", {"service": "fast"}),
        (bad_token(), 401, "invalid security token", "invalid security token"),
        (bad_admin_token("t"), 401, "invalid admin token", {"token": "t"}),
        (not_implemented(), 500, "not implemented", "not implemented"),
        (bad_body("x"), 500, "validate req schema: validation error: x", "validate req schema: validation error: x"),
        (BadFilter("x", NO_START), 500, "bad filter", {"filter": "x", "inner": "filter does not start with an '()'"}),
        (BadHeader("InstanceID", "x"), 500, "invalid InstanceID", {"value": "x"}),
        (BadHeader("LocalDevices", "x"), 500, "invalid LocalDevices", {"value": "x"}),
    ],
    ids=repr,
)
def test_errors_of_the_dialect(error: Any, status: int, message: str, context: Any) -> None:
    assert ls_error(error).body() == ErrorBody(message=message, status=status, error=context)


def test_what_is_repeated_is_cut_and_can_be_written() -> None:
    for value in ("x" * 300_000, "\udcff"):
        for error in (BadHeader("LocalDevices", value), errors.NotFound(ref=value), BadFilter(value, NO_START)):
            assert len(msgspec.json.encode(ls_error(error).body())) < 500


def test_a_batch_error_masks_its_cause() -> None:
    done: dict[str, Any] = {"fast": {}}
    error = batch_error(done, missing_instance("slow"))
    inner = {"service": "slow", "msg": "missing instance ID"}
    assert error.body() == ErrorBody(
        message="batch processing error", status=500, error={"completed": done, "inner": inner}
    )
    assert batch_error({}, not_implemented()).fields == {"completed": {}, "inner": "not implemented"}
    assert batch_error({}, errors.NotFound(kind="volume", ref="v")).fields["inner"]["resourceID"] == "v"


def test_an_error_with_a_cause_has_the_shape_of_the_original_suite() -> None:
    error = LsError(500, "this error has an inner error", {"inner": "no such file", "path": "/some/dir"})
    assert error.body().error == {"inner": "no such file", "path": "/some/dir"}
