"""What is measured of a process, and how rounds become one number."""

from __future__ import annotations

import os
import statistics
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

import msgspec

_TICKS = os.sysconf("SC_CLK_TCK")


class Cost(msgspec.Struct, frozen=True):
    """What one request took: CPU of the server (all its threads), and time of its client. Seconds."""

    cpu_s: float
    wall_s: float


Round = Callable[[], Awaitable[Cost]]
Rounds = Mapping[str, Sequence[Cost]]


def cpu_s(pid: int) -> float:
    """Give the CPU seconds that a process and all its threads used, at the kernel's best resolution."""
    try:
        runs = [Path(task, "schedstat").read_text() for task in Path(f"/proc/{pid}/task").iterdir()]
        return sum(int(run.split()[0]) for run in runs) / 1e9
    except OSError:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS


def resident_mb(pid: int) -> float:
    """Give the resident memory of a process in MB (2**20)."""
    return _status_mb(pid, "VmRSS:")


def _status_mb(pid: int, name: str) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) / 1024
    raise ProcessLookupError(pid)


def peak_mb(pid: int) -> float:
    """Give the most that was ever resident of a process, in MB (2**20)."""
    return _status_mb(pid, "VmHWM:")


def threads(pid: int) -> int:
    """Give how many threads a process has."""
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


async def interleaved(rounds: int, subjects: Mapping[str, Round]) -> Rounds:
    """Measure every subject once per round, so that foreign load meets all of them alike."""
    for measure in subjects.values():
        await measure()  # once in vain: connections, caches, lazy imports
    found: dict[str, list[Cost]] = {name: [] for name in subjects}
    forth = list(subjects)
    for number in range(rounds):
        for name in reversed(forth) if number % 2 else forth:
            found[name].append(await subjects[name]())
    return found


def cpu_ratio(found: Rounds, base: str, other: str) -> float:
    """Give the median over the rounds of the CPU of one subject by that of the other."""
    return statistics.median(one.cpu_s / two.cpu_s for one, two in zip(found[base], found[other], strict=True))


def wall_ratio(found: Rounds, base: str, other: str) -> float:
    """Give the same of the client's time."""
    return statistics.median(one.wall_s / two.wall_s for one, two in zip(found[base], found[other], strict=True))


def cpu_us(found: Rounds, name: str) -> float:
    """Give the median CPU per request in microseconds."""
    return statistics.median(one.cpu_s for one in found[name]) * 1e6


def wall_ms(found: Rounds, name: str) -> float:
    """Give the median time per request in milliseconds."""
    return statistics.median(one.wall_s for one in found[name]) * 1e3
