"""The gateway is killed again and again while clients change shared volumes: what they were told stays true."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import httpx
import pytest
from crash_load import Load
from crash_memory import Memory, told
from crash_points import OPERATIONS, cases
from crash_scene import Scene, scene
from crash_world import examine

from gateway.testing.forks import ForkServer
from gateway.testing.live import ACCOUNT, PASSWORD

pytestmark = [pytest.mark.root, pytest.mark.slow]

KILLS = 55
CLIENTS = 10
DEEP_EVERY = 20
POINTS = sorted({case.point for case in cases(OPERATIONS)})


async def load_until_killed(at: Scene, memory: Memory, rng: random.Random, prefix: str) -> None:
    """Let clients work, and kill the gateway after 5 to 150 ms or at a random point."""
    if at_a_point := rng.random() < 0.5:
        at.gateway.arm(rng.choice(POINTS), rng.randint(1, 4))
    limit = 0.4 if at_a_point else rng.uniform(0.005, 0.150)
    limits = httpx.Limits(max_connections=CLIENTS)
    async with httpx.AsyncClient(
        base_url=at.gateway.url, auth=(ACCOUNT, PASSWORD), timeout=60, limits=limits, trust_env=False, verify=False
    ) as http:
        load = Load(http, at.mount, memory, rng, prefix)
        async with asyncio.TaskGroup() as clients:
            working = [clients.create_task(load.client()) for _ in range(CLIENTS)]
            await asyncio.wait(working, timeout=limit, return_when=asyncio.FIRST_EXCEPTION)
            at.gateway.kill()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", [1, 2, 3, 4])
async def test_what_was_acknowledged_survives_any_kill(tmp_path: Path, forks: ForkServer, seed: int) -> None:
    rng, memory = random.Random(seed), Memory()
    succeeded = unknown = 0
    with scene(tmp_path, forks, periods={}) as at:
        at.start()
        for kill in range(KILLS):
            await load_until_killed(at, memory, rng, f"{kill}")
            heard = told(memory)
            succeeded, unknown = succeeded + heard.succeeded, unknown + heard.unknown
            at.start()
            deep = (kill + 1) % DEEP_EVERY == 0
            world = await examine(at.gateway.data, at.mount, reconcile=deep)
            assert world.findings == []
            memory.check(world)
        recovered = at.gateway.log.read_text().count('"recovered"')
    # A load that did nothing, or kills that interrupted nothing, would prove nothing.
    assert succeeded > KILLS
    assert unknown > KILLS
    assert recovered > KILLS // 4
