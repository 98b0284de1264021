"""What a running gateway does without being asked, each on its own timer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from uuid import uuid4

import msgspec

from gateway.core import errors, peers, retired
from gateway.core.backend import FaultHook, no_fault
from gateway.core.backup_schedules import Backups
from gateway.core.jobs import forget_old
from gateway.core.model import utc_now
from gateway.core.observer import Observer
from gateway.core.replicator import Replicator
from gateway.core.scheduler import Scheduler
from gateway.frontends.ontap_rest.space import SpaceWatcher
from gateway.server.assembly import House
from gateway.server.following import Follower

_LEASED = "duties"


class Duty(msgspec.Struct, frozen=True, kw_only=True):
    """Something done every `every_s` seconds.

    `alone`: by one process of those that share the catalog. `at_once`: the
    first time is right after the start.
    """

    name: str
    every_s: float
    act: Callable[[], Awaitable[object]]
    alone: bool = False
    at_once: bool = False


def duties(house: House, periods: Mapping[str, float], *, fault: FaultHook = no_fault) -> Sequence[Duty]:
    """Give the duties of a gateway. `periods` has, by name, the seconds of those that keep another time than usual."""
    scheduler = Scheduler(house.core, house.observer, fault=fault)
    replicator = Replicator(house.core, house.observer)
    backups = Backups(house.core, house.observer)

    async def open_closed() -> None:
        """Also ends what other gateways on this catalog left when they died."""
        pools = house.core.pools
        await house.recovery.adopt()
        await pools.close_lost()
        closed = pools.closed()
        for name in closed:
            await house.open_pool(name)
        for pool in pools:
            await house.recovery.settle(pool.id)
        if set(closed) - set(pools.closed()):
            await house.core.manifest.write()

    async def sample() -> None:
        for pool in house.core.pools:
            try:
                await house.core.pools.observe(pool)
            except errors.GatewayError as error:
                house.observer.event("pool_not_sampled", pool=pool.name, error=str(error))

    usual = (
        Duty(name="open_pools", every_s=15, act=open_closed),
        Duty(name="resettle", every_s=15, act=house.core.changes.resettle),
        Duty(name="follow", every_s=1, act=Follower(house.core, house.converge_volume).run),
        Duty(name="exports", every_s=60, act=house.converge_exports, at_once=True),
        Duty(name="pool_space", every_s=30, act=sample, alone=True),
        Duty(name="reconcile", every_s=300, act=house.reconcile, alone=True, at_once=True),
        Duty(name="schedules", every_s=20, act=_at_now(scheduler.run), alone=True),
        Duty(name="replicate", every_s=20, act=_at_now(replicator.run), alone=True, at_once=True),
        Duty(name="back_up", every_s=20, act=_at_now(backups.run), alone=True, at_once=True),
        Duty(name="collect_retired", every_s=60, act=partial(retired.collect, house.core), alone=True),
        Duty(name="peers", every_s=30, act=partial(_ask_peers, house), at_once=True),
        Duty(name="space", every_s=20, act=SpaceWatcher(house.core, house.observer).run, alone=True),
        Duty(name="forget_jobs", every_s=600, act=partial(forget_old, house.core), alone=True),
    )
    return tuple(msgspec.structs.replace(duty, every_s=periods.get(duty.name, duty.every_s)) for duty in usual)


async def _ask_peers(house: House) -> None:
    """Find out which peers answer, and let those in with which another gateway on this catalog has agreed."""
    if house.links is None:
        return
    if house.links.review is not None:
        await house.links.review()
    known = [peer for peer in await peers.everyone(house.core) if peer.certificate]
    for peer in known:
        house.links.trusted(peer.certificate)
    for peer in known:
        await house.links.ask(peer.id)


def _at_now(run: Callable[[datetime], Awaitable[object]]) -> Callable[[], Awaitable[object]]:
    async def act() -> object:
        return await run(utc_now())

    return act


async def perform(duty: Duty, house: House, observer: Observer) -> None:
    """Perform a duty for ever."""

    async def act() -> object:
        if duty.alone and not await house.core.catalog.acquire_lease(_LEASED):
            return None
        return await duty.act()

    if not duty.at_once:
        await asyncio.sleep(duty.every_s)
    while True:
        await once(act, observer)
        await asyncio.sleep(duty.every_s)


async def once(act: Callable[[], Awaitable[object]], observer: Observer) -> None:
    """Do something whose failure is logged and must not end anything else."""
    try:
        await act()
    except errors.GatewayError as error:
        observer.event("duty_failed", duty=getattr(act, "__qualname__", ""), error=str(error))
    except Exception as error:  # noqa: BLE001 - a defect in one duty must not end the others
        observer.defect(uuid4().hex, error)


async def cancel(tasks: Sequence[asyncio.Task[None]]) -> None:
    """End tasks, and wait until they have ended."""
    for task in tasks:
        task.cancel()
    for task in tasks:
        with suppress(asyncio.CancelledError):
            await task
