"""Every error of the core becomes an exception that the share manager knows."""

from __future__ import annotations

import pytest
from manila import exception

from gateway.client import ClientError
from gateway.core import errors
from gateway.frontends.manila_driver.errors import TABLE, telling, told
from gateway.frontends.manila_driver.refusals import Mismatch, Refusal


def failed(code: str, **fields: object) -> ClientError:
    return ClientError(400, code, "the gateway's words", fields=fields)


def test_the_table_has_the_whole_tree() -> None:
    assert TABLE.keys() == errors.tree().keys()


@pytest.mark.parametrize("code", [*sorted(errors.tree()), "", "NoSuchClass"])
def test_each_is_one_of_manilas_own(code: str) -> None:
    assert isinstance(told(failed(code)), exception.ManilaException)
    assert "the gateway's words" in str(told(failed(code)))


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (failed("NotFound", kind="volume", ref="share-1"), exception.ShareResourceNotFound, "share-1"),
        (failed("NotFound", kind="snapshot", ref="sn"), exception.SnapshotResourceNotFound, "sn"),
        (failed("NotFound", kind="tenant", ref="svm1"), exception.ShareBackendException, "the gateway's words"),
        (failed("InUse", kind="snapshot", ref="sn", by="clones"), exception.ShareSnapshotIsBusy, "sn"),
        (failed("InUse", kind="volume", ref="v", by="mounts"), exception.ShareBackendException, "words"),
        (failed("LimitExceeded", limit="size"), exception.InvalidShare, "words"),
        (failed("OutOfSpace", pool="fast"), exception.ShareBackendException, "words"),
    ],
)
def test_what_is_told(error: ClientError, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words), telling():
        raise error


def test_what_the_driver_refuses_is_told_as_the_call_has_it() -> None:
    with pytest.raises(exception.InvalidShare, match="no such thing"), telling():
        raise Refusal("no such thing")
    with pytest.raises(exception.ManageInvalidShare, match="no such thing"), telling(exception.ManageInvalidShare):
        raise Refusal("no such thing")
    with pytest.raises(exception.ManageExistingShareTypeMismatch), telling(exception.ManageInvalidShare):
        raise Mismatch("thin")


def test_other_things_that_go_wrong_are_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError), telling():
        raise ZeroDivisionError
