"""The conformance suite of backends: what every substrate must show, not say.

    class TestMine(BackendConformance):
        @pytest.fixture
        async def harness(self) -> AsyncIterator[Harness]:
            backend = MyBackend("pool", MyOptions(...))
            await backend.open()
            yield Harness(opened=backend, content=LocalContent, reopen=...)
            await backend.close()

Cases are keyed on the derived capability record: what the pool lacks is
skipped by name, what it states is shown by behaviour, and where a fact can be
disproved its absence is shown as well. All content is read and written through
access handles: on this host, or over the wire as clients elsewhere do it
(`gateway.testing.wire`); `content_cases` leaves a suite the cases for which that
makes a difference. Whatever must survive is looked at twice: at once, and after
the pool was closed and opened again. For readable failures call
`pytest.register_assert_rewrite("gateway.testing")` in a `conftest.py`.
"""

from __future__ import annotations

from gateway.testing.backends.blocks import BlockContent, Device, FileDevice
from gateway.testing.backends.clones import CloneCases
from gateway.testing.backends.content import Content, LocalContent, MemoryContent
from gateway.testing.backends.files import FileCases
from gateway.testing.backends.harness import Harness, content_cases, looks_at_content, needed, needs, note
from gateway.testing.backends.honesty import HonestyCases
from gateway.testing.backends.objects import ObjectCases
from gateway.testing.backends.replication import ReplicationCases
from gateway.testing.backends.snapshots import SnapshotCases
from gateway.testing.backends.volumes import VolumeCases

__all__ = [
    "BackendConformance",
    "BlockContent",
    "Content",
    "Device",
    "FileDevice",
    "Harness",
    "LocalContent",
    "MemoryContent",
    "content_cases",
    "looks_at_content",
    "needed",
    "needs",
    "note",
]


class BackendConformance(
    VolumeCases, SnapshotCases, CloneCases, ReplicationCases, ObjectCases, FileCases, HonestyCases
):
    """Every case. A subclass gives one fixture, `harness`: a fresh, empty, opened pool for each case."""
