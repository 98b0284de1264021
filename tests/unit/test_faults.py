from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from gateway.backends.memory import MemoryBackend, MemoryOptions
from gateway.core.errors import Unavailable
from gateway.testing.faults import KillAt, RaiseAt, Recorder

KILLED = """
from gateway.testing.faults import KillAt
fault = KillAt("b", 2)
for point in ("a", "b", "a", "b", "a"):
    print(point, flush=True)
    fault(point)
"""


def test_kill_at_ends_the_process_there() -> None:
    done = subprocess.run([sys.executable, "-c", KILLED], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL
    assert done.stdout.split() == ["a", "b", "a", "b"]


def test_raise_at_fails_once() -> None:
    fault = RaiseAt("b", Unavailable(what="disk"), 2)
    for point in ("a", "b", "a"):
        fault(point)
    with pytest.raises(Unavailable):
        fault("b")
    fault("b")


def test_a_count_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        KillAt("a", 0)


async def test_a_backend_passes_its_points_in_order() -> None:
    recorder = Recorder()
    backend = MemoryBackend("pool", MemoryOptions(), fault=recorder)
    await backend.put_manifest(b"{}")
    assert recorder.points == ["memory.put_manifest.begin", "memory.put_manifest.done"]
