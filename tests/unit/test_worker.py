from __future__ import annotations

import asyncio
import threading

import pytest

from gateway.core.worker import Worker


def meet(barrier: threading.Barrier) -> int:
    barrier.wait()
    return threading.get_ident()


async def test_results_and_errors_come_back_from_threads_of_its_own() -> None:
    worker = Worker("mine", 2)
    try:
        assert (await worker.run(lambda: threading.current_thread().name)).startswith("mine")
        with pytest.raises(ZeroDivisionError):
            await worker.run(divmod, 1, 0)
    finally:
        await worker.close()


async def test_never_more_threads_than_allowed() -> None:
    worker, barrier = Worker("mine", 2), threading.Barrier(2)
    try:
        threads = await asyncio.gather(*(worker.run(meet, barrier) for _ in range(8)))
        assert len(set(threads)) == 2
    finally:
        await worker.close()


async def test_cancelling_waits_for_what_has_started() -> None:
    worker, started, go = Worker("mine", 1), asyncio.Event(), threading.Event()
    loop, ended = asyncio.get_running_loop(), []

    def work() -> None:
        loop.call_soon_threadsafe(started.set)
        go.wait()
        ended.append(True)
        raise ValueError

    try:
        running, waiting = asyncio.create_task(worker.run(work)), asyncio.create_task(worker.run(ended.append, False))
        await started.wait()
        waiting.cancel()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert not running.done()
        go.set()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert ended == [True]
    finally:
        go.set()
        await worker.close()


async def test_close_waits_for_what_has_started() -> None:
    worker, started, go, ended = Worker("mine", 1), asyncio.Event(), threading.Event(), []
    loop = asyncio.get_running_loop()

    def work() -> None:
        loop.call_soon_threadsafe(started.set)
        go.wait()
        ended.append(True)

    running = asyncio.create_task(worker.run(work))
    await started.wait()
    closing = asyncio.create_task(worker.close())
    await asyncio.sleep(0)
    assert not closing.done()
    go.set()
    await closing
    assert ended == [True]
    await running


async def test_close_is_idempotent_and_final() -> None:
    worker = Worker("mine", 1)
    await worker.close()
    await worker.close()
    with pytest.raises(RuntimeError):
        await worker.run(int)
