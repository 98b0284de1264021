"""Batches over the memory backend: one job, its lines, what is taken back and what a restart leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest

from gateway.core import batches, errors, volumes
from gateway.core.batches import Done, Step
from gateway.core.catalog import put
from gateway.core.context import Core
from gateway.core.errors import ErrorRecord
from gateway.core.model import Job, JobPart, JobState, PartState, Pool, Tenant, Volume, utc_now
from gateway.core.observer import SilentObserver
from gateway.core.query import Query
from gateway.core.recover import Recovery
from gateway.testing.cores import core_on, memory_pool

MIB = 1 << 20


@pytest.fixture
async def core(tmp_path: Path):
    async with core_on(tmp_path, [memory_pool()]) as made:
        yield made


async def names(core: Core) -> list[str]:
    return [volume.name for volume in (await core.catalog.page(Volume, Query())).records]


def creation(core: Core, name: str, size: int = 20 * MIB) -> Step:
    """Create a volume; its undo deletes it."""

    async def run() -> Done:
        tenant, pool = await core.find(Tenant, name="svm1"), await core.find(Pool, name="memory")
        assert tenant is not None
        assert pool is not None
        new = volumes.NewVolume(name=name, tenant_id=tenant.id, pool_id=pool.id, size=size)
        job = await (await volumes.create(core, new, description="part")).result()

        async def undo() -> None:
            await (await volumes.delete(core, job.target_id, description="undo")).result()

        return Done(ref=str(job.target_id), undo=undo)

    return Step(operation="volume.create", name=name, run=run)


def raising(error: Callable[[], Exception]) -> Step:
    async def run() -> Done:
        raise error()

    return Step(operation="volume.create", name="bad", run=run)


def missing() -> Exception:
    return errors.NotFound(kind="pool", ref="nowhere")


async def run(core: Core, steps: list[Step], *, atomic: bool = True, serial: bool = False) -> Job:
    job = await (await batches.start(core, steps, description="POST /x", atomic=atomic, serial=serial)).wait()
    assert await core.get(Job, job.id) == job
    return job


def states(job: Job) -> list[str]:
    return [part.state.value for part in job.parts]


@pytest.mark.parametrize("serial", [True, False])
async def test_all_parts_succeed(core: Core, serial: bool) -> None:
    job = await run(core, [creation(core, f"v{number:02}") for number in range(20)], serial=serial)
    assert (job.state, job.error, job.operation) == (JobState.SUCCESS, None, batches.OPERATION)
    assert job.ended is not None
    assert states(job) == ["success"] * 20
    assert await names(core) == [part.name for part in job.parts]
    stored = {str(volume.id) for volume in (await core.catalog.page(Volume, Query())).records}
    assert {part.ref for part in job.parts} == stored


@pytest.mark.parametrize("serial", [True, False])
async def test_an_atomic_batch_takes_back_what_was_done(core: Core, serial: bool) -> None:
    steps = [creation(core, "a"), creation(core, "b"), raising(missing), creation(core, "c")]
    job = await run(core, steps, serial=serial)
    assert job.state is JobState.FAILURE
    assert job.error == missing().to_record()
    assert job.parts[2].error == job.error
    assert {part.state for part in job.parts if part.name in {"a", "b"}} <= {PartState.UNDONE, PartState.QUEUED}
    if serial:
        assert states(job) == ["undone", "undone", "failure", "queued"]
    assert await names(core) == []


async def test_another_batch_goes_on_without_what_failed(core: Core) -> None:
    job = await run(core, [creation(core, "a"), raising(missing), creation(core, "b")], atomic=False)
    assert (job.state, states(job)) == (JobState.FAILURE, ["success", "failure", "success"])
    assert await names(core) == ["a", "b"]


async def test_every_kind_of_failure_is_kept(core: Core) -> None:
    own = ErrorRecord(type="of a dialect", fields={"code": 7})
    steps = [raising(lambda: batches.Refused(own)), raising(lambda: RuntimeError("a defect"))]
    job = await run(core, steps, atomic=False)
    assert job.parts[0].error == own
    assert job.parts[1].error is not None
    assert job.parts[1].error.type == "Internal"


async def test_what_cannot_be_taken_back_is_told(core: Core) -> None:
    async def stuck() -> None:
        raise errors.InvalidState(kind="volume", ref="v", state="restored", action="take back")

    async def irreversible() -> Done:
        return Done(ref="v", undo=stuck)

    steps = [Step(operation="volume.restore", name="v", run=irreversible), creation(core, "a"), raising(missing)]
    job = await run(core, steps, serial=True)
    assert states(job) == ["success", "undone", "failure"]
    assert job.parts[0].undo_error is not None
    assert job.parts[0].undo_error.fields["state"] == "restored"


async def test_an_update_is_put_back_but_not_what_others_changed(core: Core) -> None:
    await run(core, [creation(core, "v")])
    before = await core.find(Volume, name="v")
    assert before is not None
    first = volumes.VolumeChange(size=30 * MIB, labels={"a": "b"}, junction_path="/v", root_uid=7)
    await (await volumes.update(core, before.id, first, description="test")).result()
    after = await core.get(Volume, before.id)
    theirs = volumes.VolumeChange(comment="theirs", name="renamed")
    await (await volumes.update(core, before.id, theirs, description="test")).result()
    await (await volumes.put_back(core, before, after, description="test")).result()
    now = await core.get(Volume, before.id)
    assert (now.size, now.labels, now.junction_path, now.root) == (20 * MIB, {}, None, before.root)
    assert after.root.uid == 7
    assert (now.name, now.comment) == ("renamed", "theirs")


async def test_lines_are_written_while_the_batch_runs(core: Core) -> None:
    reached, go_on = asyncio.Event(), asyncio.Event()

    async def waits() -> Done:
        reached.set()
        await go_on.wait()
        return Done(ref="")

    steps = [creation(core, "a"), Step(operation="volume.create", name="b", run=waits)]
    started = await batches.start(core, steps, description="POST /x", atomic=True, serial=True)
    await reached.wait()
    job = await core.get(Job, started.job.id)
    assert (job.state, states(job)) == (JobState.RUNNING, ["success", "queued"])
    go_on.set()
    assert (await started.wait()).state is JobState.SUCCESS


async def test_a_stopping_gateway_ends_its_batches(core: Core) -> None:
    reached, go_on = asyncio.Event(), asyncio.Event()

    async def waits() -> Done:
        reached.set()
        await go_on.wait()
        return Done(ref="")

    steps = [creation(core, "a"), Step(operation="volume.create", name="b", run=waits), creation(core, "c")]
    started = await batches.start(core, steps, description="POST /x", atomic=True, serial=True)
    await reached.wait()
    closing = asyncio.create_task(core.changes.close())
    await asyncio.sleep(0)
    assert core.changes.draining
    with pytest.raises(errors.Unavailable):
        await batches.start(core, steps, description="POST /x", atomic=True)
    go_on.set()
    await closing
    job = await started.wait()
    assert states(job) == ["undone", "undone", "failure"]
    assert await names(core) == []


async def test_too_many_parts_are_refused(core: Core) -> None:
    steps = [creation(core, "v")] * (batches.PARTS_MAX + 1)
    with pytest.raises(errors.LimitExceeded):
        await batches.start(core, steps, description="POST /x", atomic=True)
    assert await names(core) == []


@pytest.mark.parametrize(
    ("lines", "state"),
    [
        ([PartState.SUCCESS, PartState.SUCCESS], JobState.SUCCESS),
        ([PartState.SUCCESS, PartState.QUEUED], JobState.FAILURE),
        ([PartState.UNDONE, PartState.FAILURE], JobState.FAILURE),
    ],
)
async def test_a_restart_ends_a_batch_honestly(tmp_path: Path, lines: list[PartState], state: JobState) -> None:
    pool = memory_pool()
    async with core_on(tmp_path, [pool]) as core:
        left = Job(
            id=uuid4(),
            operation=batches.OPERATION,
            description="POST /x",
            state=JobState.RUNNING,
            created=utc_now(),
            owner="a process that died",
            parts=tuple(JobPart(operation="volume.create", name="v", state=line) for line in lines),
        )
        await core.catalog.commit(put(left))
        await Recovery(core, SilentObserver()).adopt()
        job = await core.get(Job, left.id)
        assert job.state is state
        assert states(job) == [line.value for line in lines]
        assert (job.error is None) == (state is JobState.SUCCESS)
        assert job.ended is not None
