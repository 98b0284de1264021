"""Stores that speak the S3 protocol against the conformance suite."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import TypeVar

import pytest
from object_stores import object_store

from gateway.testing.backends import BackendConformance, Harness
from gateway.testing.object_store import S3Server

Suite = TypeVar("Suite")


def only(*names: str) -> Callable[[type[Suite]], type[Suite]]:
    """Leave a suite some of its cases."""

    def left(suite: type[Suite]) -> type[Suite]:
        cases = {name for name in dir(suite) if name.startswith("test_")}
        kept = {f"test_{name}" for name in names}
        assert kept <= cases
        for name in cases - kept:
            setattr(suite, name, None)
        return suite

    return left


@pytest.mark.root
class TestCeph(BackendConformance):
    @pytest.fixture
    async def harness(self, ceph: S3Server) -> AsyncIterator[Harness]:
        async with object_store(ceph) as harness:
            yield harness


@only(
    "a_clone_starts_with_the_bytes_and_diverges",
    "a_clone_of_a_snapshot_has_the_old_bytes",
    "a_split_clone_outlives_its_source",
    "a_signed_request_does_what_it_says",
    "an_object_is_written_in_parts",
    "delete_and_delete_of_nothing",
    "only_what_is_there_is_signed_for_reading",
    "restore_brings_the_bytes_back",
    "scan_lists_exactly_what_exists",
)
class TestMoto(BackendConformance):
    """An emulator that checks no signatures and marks nothing that is not there: what may differ by that."""

    @pytest.fixture
    async def harness(self, moto: S3Server) -> AsyncIterator[Harness]:
        async with object_store(moto) as harness:
            yield harness
