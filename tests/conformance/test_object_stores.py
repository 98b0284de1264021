"""Stores that speak the S3 protocol against the conformance suite."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from object_stores import object_store

from gateway.testing.backends import BackendConformance, Harness, content_cases
from gateway.testing.object_store import S3Server


@pytest.mark.root
class TestCeph(BackendConformance):
    @pytest.fixture
    async def harness(self, ceph: S3Server) -> AsyncIterator[Harness]:
        async with object_store(ceph) as harness:
            yield harness


@content_cases
class TestMoto(BackendConformance):
    """An emulator: it checks no signatures, and without the cases that only make many requests."""

    test_a_request_for_another_object_is_not_signed = None
    test_what_is_longer_than_signed_is_refused = None
    test_parallel_creates_and_deletes = None
    test_parallel_snapshots_and_deletes = None
    test_parallel_clones = None
    test_snapshot_notes_come_back_and_are_replaced = None

    @pytest.fixture
    async def harness(self, moto: S3Server) -> AsyncIterator[Harness]:
        async with object_store(moto) as harness:
            yield harness
