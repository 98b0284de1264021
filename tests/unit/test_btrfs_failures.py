"""The table of the kernel's error numbers, and the program's complaints."""

from __future__ import annotations

import errno
import os

import pytest

from gateway.backends.btrfs.failures import FAILURES, translated
from gateway.backends.btrfs.stream import RECEIVE_FAILURES
from gateway.core.errors import Busy, GatewayError, Internal, NotFound, OutOfSpace, Unavailable, tree


def raised(number: int) -> GatewayError:
    with pytest.raises(GatewayError) as caught, translated("pool"):
        raise OSError(number, os.strerror(number))
    assert isinstance(caught.value.__cause__, OSError)
    return caught.value


@pytest.mark.parametrize("number", FAILURES)
def test_every_number_gives_an_error_of_the_core(number: int) -> None:
    assert type(raised(number)).__name__ in tree()


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (errno.ENOSPC, OutOfSpace),
        (errno.EDQUOT, OutOfSpace),
        (errno.EPERM, Busy),
        (errno.EBUSY, Busy),
        (errno.EROFS, Unavailable),
        (errno.EIO, Unavailable),
        (errno.ENOTTY, Unavailable),
        (errno.ENOENT, Unavailable),
    ],
)
def test_what_the_numbers_mean(number: int, expected: type[GatewayError]) -> None:
    assert type(raised(number)) is expected


def test_a_number_that_is_not_expected_is_a_defect() -> None:
    error = raised(errno.EXDEV)
    assert isinstance(error, Internal)
    assert error.fields["incident"] == "pool: EXDEV"


def test_errors_of_the_core_pass_unchanged() -> None:
    with pytest.raises(NotFound), translated("pool"):
        raise NotFound(kind="volume", ref="x")


def test_every_complaint_gives_an_error_of_the_core() -> None:
    assert all(isinstance(failure("pool"), GatewayError) for failure in RECEIVE_FAILURES.values())
