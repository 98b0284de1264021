"""Swift against those cases of the conformance suite that look at content."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from object_stores import object_store

from gateway.testing.backends import BackendConformance, Harness, content_cases
from gateway.testing.object_store import S3Server

pytestmark = pytest.mark.root


@content_cases
class TestSwift(BackendConformance):
    @pytest.fixture
    async def harness(self, store: S3Server) -> AsyncIterator[Harness]:
        async with object_store(store) as harness:
            yield harness
