"""Threads that may be lost: deadlines, the circuit, and what comes back late."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from gateway.core.errors import NotFound, Timeout, Unavailable
from gateway.core.expendable import ExpendableWorker


class Clock:
    """A clock that a test moves on; waiting itself takes real time."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return asyncio.get_running_loop().time() + self.ahead


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def answer() -> Iterator[threading.Event]:
    """Hangs whoever waits for it; everything answers at the latest when the test ends."""
    event = threading.Event()
    yield event
    event.set()


@asynccontextmanager
async def working(clock: Clock, *, threads: int = 2, **settings: float) -> AsyncIterator[ExpendableWorker]:
    settings = {"deadline_s": 0.05, "rest_s": 60, **settings}
    worker = ExpendableWorker("test", threads, what="server", clock=clock, **settings)
    try:
        yield worker
    finally:
        await worker.close()


async def lose(worker: ExpendableWorker, answer: threading.Event, count: int) -> None:
    for _ in range(count):
        with pytest.raises(Timeout):
            await worker.run(answer.wait)


async def all_back(worker: ExpendableWorker) -> None:
    """Wait until every call has ended and the loop has heard of it."""
    for thread in threading.enumerate():
        if thread.name == "test":
            await asyncio.to_thread(thread.join)
    await asyncio.sleep(0)
    assert worker.lost == 0


async def test_results_and_errors_come_through(clock: Clock) -> None:
    def fail() -> None:
        raise NotFound(kind="volume", ref="x")

    def time_out() -> None:
        raise TimeoutError

    async with working(clock, deadline_s=30) as worker:
        assert await worker.run(divmod, 7, 2) == (3, 1)
        with pytest.raises(NotFound):
            await worker.run(fail)
        with pytest.raises(TimeoutError):
            await worker.run(time_out)
        assert worker.lost == 0


async def test_few_are_under_way_at_once(clock: Clock) -> None:
    running, most, lock = 0, 0, threading.Lock()
    meet = threading.Barrier(2)

    def work() -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        meet.wait(30)
        with lock:
            running -= 1

    async with working(clock, deadline_s=30) as worker:
        await asyncio.gather(*(worker.run(work) for _ in range(6)))
    assert most == 2


async def test_the_circuit_opens_and_closes_when_a_lost_call_comes_back(clock: Clock, answer: threading.Event) -> None:
    async with working(clock) as worker:
        await lose(worker, answer, 3)
        assert worker.lost == 3
        with pytest.raises(Unavailable):
            await worker.run(int)
        assert worker.lost == 3
        answer.set()
        await all_back(worker)
        assert await worker.run(int) == 0


async def test_one_call_tries_after_a_rest_that_grows(clock: Clock, answer: threading.Event) -> None:
    async with working(clock) as worker:
        await lose(worker, answer, 3)
        clock.ahead += 61
        await lose(worker, answer, 1)
        clock.ahead += 61
        with pytest.raises(Unavailable):
            await worker.run(int)
        clock.ahead += 61
        assert await worker.run(int) == 0
        assert await worker.run(int) == 0
        assert worker.lost == 4


async def test_only_so_many_are_ever_lost(clock: Clock, answer: threading.Event) -> None:
    async with working(clock, spare=2) as worker:
        await lose(worker, answer, 3)
        for _ in range(2):
            clock.ahead += 10_000
            await lose(worker, answer, 1)
        clock.ahead += 10_000
        with pytest.raises(Unavailable):
            await worker.run(int)
        assert worker.lost == 5
        answer.set()
        await all_back(worker)
        assert await worker.run(int) == 0


async def test_waiting_for_a_place_ends_at_the_deadline_too(clock: Clock, answer: threading.Event) -> None:
    async with working(clock, threads=1) as worker:
        calls = [asyncio.create_task(worker.run(answer.wait)) for _ in range(5)]
        assert {type(error) for error in await asyncio.gather(*calls, return_exceptions=True)} <= {Timeout, Unavailable}
        assert worker.lost <= 3


async def test_what_was_given_up_stops_at_its_next_step(clock: Clock, answer: threading.Event) -> None:
    steps: list[object] = []

    def work(worker: ExpendableWorker) -> None:
        worker.check()
        steps.append("begun")
        answer.wait()
        try:
            worker.check()
        except Timeout as error:
            steps.append(error)
            raise
        steps.append("done")

    async with working(clock) as worker:
        with pytest.raises(Timeout):
            await worker.run(work, worker)
        answer.set()
        await all_back(worker)
    assert steps[0] == "begun"
    assert isinstance(steps[1], Timeout)
    assert len(steps) == 2


async def test_cancelling_waits_for_what_was_started(clock: Clock, answer: threading.Event) -> None:
    started = threading.Event()

    def work() -> None:
        started.set()
        answer.wait()

    async with working(clock, deadline_s=30) as worker:
        call = asyncio.create_task(worker.run(work))
        await asyncio.to_thread(started.wait)
        call.cancel()
        await asyncio.sleep(0)
        assert not call.done()
        answer.set()
        with pytest.raises(asyncio.CancelledError):
            await call


async def test_closing_does_not_wait_for_the_lost_and_forgets_none(clock: Clock, answer: threading.Event) -> None:
    async with working(clock) as worker:
        await lose(worker, answer, 1)
        await worker.close()
        assert worker.lost == 1
        await lose(worker, answer, 2)
        with pytest.raises(Unavailable):
            await worker.run(int)
