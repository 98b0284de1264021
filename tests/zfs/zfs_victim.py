"""A process that forks others, each of which makes one change and is killed at one point of it.

Reads `[zpool, parent, engine, kind, change, point]` as JSON lines, answers each with how its child ended.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys

from zfs_changes import CHANGES
from zfs_scene import Scene

from gateway.backends.zfs.library import find_library
from gateway.core.model import VolumeKind
from gateway.testing.faults import KillAt


async def change(zpool: str, parent: str, engine: str, kind: str, name: str, point: str) -> None:
    at = Scene(zpool, fault=KillAt(point), kind=VolumeKind(kind), parent=parent, engine=engine)
    await at.backend.open()
    await CHANGES[name].act(at)
    await at.backend.close()


def main() -> None:
    find_library()  # once, instead of in each child
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            status = 1
            try:
                asyncio.run(change(*json.loads(line)))
                status = 0
            finally:
                os._exit(status)
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
