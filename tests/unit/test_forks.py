"""Processes that are forked from one that has imported everything: each is its own, and its end is told."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator

import pytest

from gateway.testing.forks import Fork, ForkServer


@pytest.fixture(scope="module")
def forks() -> Iterator[ForkServer]:
    with ForkServer(["gateway.testing.faults"]) as server:
        yield server


def started(forks: ForkServer, entry: str, *arguments: str, **environment: str) -> Fork:
    return forks.start(entry, *arguments, environment=environment, stdout=subprocess.PIPE, stderr=2)


def said(process: Fork) -> str:
    assert process.stdout is not None
    with process.stdout as stdout:
        return stdout.read().decode()


def test_a_process_does_what_it_is_told_and_ends(forks: ForkServer) -> None:
    process = started(forks, "builtins:print", "one", "two")
    assert said(process) == "one two\n"
    assert process.wait(60) == process.poll() == 0


def test_it_has_the_environment_it_was_given_and_no_other(forks: ForkServer) -> None:
    process = started(forks, "os:system", "/usr/bin/env", WORD="given")
    assert "WORD=given\n" in said(process)
    assert process.wait(60) == 0
    process = started(forks, "os:system", "/usr/bin/env")
    assert "WORD" not in said(process)
    assert process.wait(60) == 0


def test_processes_live_side_by_side_until_they_are_killed(forks: ForkServer) -> None:
    first, second = (started(forks, "signal:pause") for _ in range(2))
    assert first.pid != second.pid
    with pytest.raises(subprocess.TimeoutExpired):
        first.wait(0)
    first.kill()
    assert first.wait(60) == -signal.SIGKILL
    assert second.poll() is None
    second.send_signal(signal.SIGTERM)
    assert second.wait(60) == -signal.SIGTERM
    second.kill()
    assert [said(process) for process in (first, second)] == ["", ""]


def test_what_goes_wrong_in_it_is_told(forks: ForkServer) -> None:
    with tempfile.TemporaryFile() as log:
        process = forks.start(
            "builtins:int", "nothing", environment=os.environ, stdout=log.fileno(), stderr=log.fileno()
        )
        assert process.wait(60) == 1
        log.seek(0)
        assert b"ValueError: invalid literal" in log.read()


def test_a_process_outlives_the_server() -> None:
    with ForkServer(["gateway.testing.faults"]) as forks:
        process = started(forks, "signal:pause")
    assert process.poll() is None
    process.kill()
    assert process.wait(60) == -signal.SIGKILL
    assert said(process) == ""


def test_a_server_that_cannot_import_does_not_start(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RuntimeError, match="ended"):
        ForkServer(["gateway.no_such_module"])
    assert "No module named 'gateway.no_such_module'" in capfd.readouterr().err
