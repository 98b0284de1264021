"""Calls that outlast their requests, and what is told of them later, also when their process has died."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from ls_door_scene import KEY, Scene, bearer, scene, token

from gateway.catalog import SqliteCatalog
from gateway.core import documents, errors
from gateway.core.catalog import put
from gateway.core.change import final
from gateway.core.model import Document, Job, JobState, Tenant, utc_now
from gateway.core.query import Compare, Op, Query
from gateway.core.secret import Secret
from gateway.frontends.libstorage.ask import Ask
from gateway.frontends.libstorage.errors import missing_instance, not_found
from gateway.frontends.libstorage.kept import KIND, Kept
from gateway.frontends.libstorage.routes import Route
from gateway.frontends.libstorage.settings import LibstorageAuth, LibstorageOptions, ServiceOptions
from gateway.frontends.libstorage.tasks import RESULT_MAX, Tasks, What

IMPATIENT = LibstorageOptions(execution_timeout_s=0.05)


class Slow:
    """Handlers that end when a test lets them."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.ended = asyncio.Event()

    async def succeed(self, _ask: Ask) -> object:
        await self._wait()
        return {"name": "v", "size": 2}

    async def vanish(self, _ask: Ask) -> object:
        await self._wait()
        raise not_found("v")

    async def refuse(self, _ask: Ask) -> object:
        await self._wait()
        raise errors.Busy(what="pool")

    async def break_(self, _ask: Ask) -> object:
        await self._wait()
        raise ZeroDivisionError

    async def nothing(self, _ask: Ask) -> object:
        await self._wait()
        return None

    async def _wait(self) -> None:
        await self.go.wait()
        self.ended.set()


def _checked(ask: Ask) -> None:
    raise missing_instance("memory")


def routes(slow: Slow) -> list[Route]:
    handlers = (slow.succeed, slow.vanish, slow.refuse, slow.break_, slow.nothing)
    return [
        *(Route("POST", f"/slow/{each.__name__}", each, "", 201, "slow.test", task=True) for each in handlers),
        Route("POST", "/slow/checked", slow.succeed, task=True, checks=(_checked,)),
        Route("GET", "/volumes/{service}/slow", slow.succeed, task=True),
    ]


@pytest.fixture
def slow() -> Slow:
    return Slow()


@pytest.fixture
async def at(tmp_path: Path, slow: Slow) -> AsyncIterator[Scene]:
    async with scene(tmp_path, IMPATIENT, routes(slow)) as made:
        yield made
        slow.go.set()


async def begun(at: Scene, name: str, status: int = 202, query: str = "?async") -> Any:
    answer = await at.ask("POST", f"/slow/{name}{query}")
    assert answer.status_code == status
    assert answer.headers["Libstorage-Servername"] == "here"
    return answer.json()


async def kept(at: Scene) -> list[Document]:
    return await documents.all_of(at.core, KIND)


async def test_nobody_waits_for_what_is_asked_for_async(at: Scene, slow: Slow) -> None:
    task = await begun(at, "succeed")
    assert task == {
        "id": task["id"],
        "queueTime": task["queueTime"],
        "startTime": task["queueTime"],
        "state": "running",
    }
    assert (await at.ask("GET", f"/tasks/{task['id']}")).json() == task
    assert (await at.ask("GET", "/tasks")).json() == {str(task["id"]): task}
    assert (at.traces[0].job, at.traces[0].outcome) == (str(task["id"]), "accepted")
    slow.go.set()
    ended = await at.task(task["id"], "success")
    assert ended == {
        **task,
        "state": "success",
        "completeTime": ended["completeTime"],
        "result": {"name": "v", "size": 2},
    }


async def test_what_takes_too_long_becomes_a_task_that_goes_on(at: Scene, slow: Slow) -> None:
    task = await begun(at, "succeed", 408, "")
    assert "message" not in task
    assert task["state"] == "running"
    slow.go.set()
    assert (await at.task(task["id"], "success"))["result"]["name"] == "v"


async def test_what_ends_in_time_leaves_nothing(at: Scene, slow: Slow) -> None:
    slow.go.set()
    assert (await begun(at, "succeed", 201, ""))["name"] == "v"
    assert await at.refused("POST", "/slow/vanish?async=false", 404) == ("resource not found", {"resourceID": "v"})
    assert await kept(at) == []
    assert (await at.ask("GET", "/tasks")).json() == {}


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("vanish", {"resourceID": "v", "msg": "resource not found"}),
        ("refuse", "pool is busy"),
    ],
)
async def test_a_task_tells_how_it_failed(at: Scene, slow: Slow, name: str, error: Any) -> None:
    task = await begun(at, name)
    slow.go.set()
    ended = await at.task(task["id"], "error")
    assert ended["error"] == error
    assert "result" not in ended


async def test_a_defect_in_a_task_shows_where_the_log_has_it(at: Scene, slow: Slow) -> None:
    task = await begun(at, "break_")
    slow.go.set()
    ended = await at.task(task["id"], "error")
    assert set(ended["error"]) == {"incident", "msg"}
    assert [type(each) for each in at.watcher.defects] == [ZeroDivisionError]


async def test_a_task_without_a_result_has_none(at: Scene, slow: Slow) -> None:
    task = await begun(at, "nothing")
    slow.go.set()
    assert "result" not in await at.task(task["id"], "success")


async def test_what_can_be_refused_at_once_is_no_task(at: Scene) -> None:
    assert await at.refused("POST", "/slow/checked?async", 400) == ("missing instance ID", {"service": "memory"})
    assert await kept(at) == []


async def test_numbers_are_never_the_same(at: Scene, slow: Slow) -> None:
    tasks = await asyncio.gather(*(begun(at, "succeed") for _ in range(30)))
    numbers = {task["id"] for task in tasks}
    assert len(numbers) == 30
    assert {int(number) for number in (await at.ask("GET", "/tasks")).json()} == numbers
    assert all(abs(number / 1000 - task["queueTime"]) < 60 for number, task in zip(sorted(numbers), tasks, strict=True))


@pytest.mark.parametrize("number", ["0", "7", "-1", "x", "1e3", "9" * 30, f"{10**15}", f"{2**63 - 1}", "%C2%B2", "+1"])
async def test_a_task_that_is_not_there_is_not_found(at: Scene, number: str) -> None:
    message, error = await at.refused("GET", f"/tasks/{number}", 404)
    assert message == "resource not found"
    assert error.keys() == {"resourceID"}


# --- how long they are kept ---


def tasks(at: Scene, *, retention_s: float = 600, kept_max: int = 1000) -> Tasks:
    return Tasks(at.core, execution_timeout_s=0.05, retention_s=retention_s, observer=at.watcher, kept_max=kept_max)


async def done(_core: object) -> bytes:
    return b"{}"


async def test_tasks_are_forgotten_some_time_after_their_end(at: Scene, slow: Slow) -> None:
    running = await begun(at, "succeed")
    ended = [await tasks(at).perform(done, at.core, What(), wait=False) for _ in range(2)]
    assert len(await kept(at)) == len(ended) + 1
    brief = tasks(at, retention_s=1e-6)
    await tasks(at).sweep()
    await asyncio.gather(*(at.task(each.id, "success") for each in ended))  # type: ignore[union-attr]
    await brief.sweep()
    # Whatever its age, what runs is kept.
    assert [document.name for document in await kept(at)] == [str(running["id"])]


async def test_what_is_past_is_not_shown_even_before_it_is_forgotten(at: Scene) -> None:
    past = utc_now() - timedelta(hours=1)
    old = Kept(owner="somebody", request="r", queued=past, ended=past)
    await documents.create(at.core, KIND, "1234", old.body(), passing=True)
    await at.refused("GET", "/tasks/1234", 404)
    assert (await at.ask("GET", "/tasks")).json() == {}


async def test_there_are_never_too_many(at: Scene, slow: Slow) -> None:
    running = await begun(at, "succeed")
    few = tasks(at, kept_max=3)
    for _ in range(6):
        made = await few.perform(done, at.core, What(), wait=False)
        await few.close()
    assert len(names := [document.name for document in await kept(at)]) == 3
    assert {str(running["id"]), str(made.id)} <= set(names)  # type: ignore[union-attr]


async def test_what_nobody_waits_for_is_never_too_much(at: Scene) -> None:
    few, go = tasks(at, kept_max=2), asyncio.Event()

    async def slow(_core: object) -> bytes:
        await go.wait()
        return b"{}"

    await few.perform(slow, at.core, What(), wait=False)
    await few.perform(slow, at.core, What(), wait=True)
    with pytest.raises(errors.Busy):
        await few.perform(slow, at.core, What(), wait=False)
    assert await few.perform(done, at.core, What(), wait=True) == b"{}"
    go.set()
    await few.close()
    await few.perform(done, at.core, What(), wait=False)
    await few.close()


@pytest.mark.parametrize(("length", "told"), [(RESULT_MAX, True), (RESULT_MAX + 1, False)])
async def test_results_are_kept_up_to_a_size(at: Scene, length: int, *, told: bool) -> None:
    async def large(_core: object) -> bytes:
        return b'"' + b"x" * (length - 2) + b'"'

    made = await tasks(at).perform(large, at.core, What(), wait=False)
    ended = await at.task(made.id, "success")  # type: ignore[union-attr]
    assert ended.get("result") == ("x" * (length - 2) if told else None)


async def test_pools_keep_no_copy(at: Scene) -> None:
    await documents.create(at.core, "other.kind", "mine", "{}")
    await tasks(at).perform(done, at.core, What(), wait=False)
    await at.core.manifest.write()
    for pool in at.core.pools:
        assert b"other.kind" in (copy := await pool.backend.manifest() or b"")
        assert KIND.encode() not in copy


async def test_closing_waits_for_what_runs(tmp_path: Path, slow: Slow) -> None:
    async with scene(tmp_path, IMPATIENT, routes(slow)) as at:
        task = await begun(at, "succeed")
        closing = asyncio.create_task(at.door.close())
        await asyncio.sleep(0)
        assert not closing.done()
        slow.go.set()
        await closing
        assert (await at.task(task["id"], "success"))["id"] == task["id"]


# --- jobs of the core ---


def job(at: Scene, **fields: Any) -> Job:
    made = Job(
        id=uuid4(),
        operation="volume.create",
        description="",
        state=JobState.RUNNING,
        created=utc_now(),
        owner=at.core.catalog.owner,
    )
    return msgspec.structs.replace(made, **fields)


async def tenant_id(at: Scene) -> Any:
    found = await at.core.find(Tenant, name="svm1")
    assert found is not None
    return found.id


async def test_jobs_that_belong_to_no_task_are_tasks_too(at: Scene) -> None:
    made = await at.ask("POST", "/volumes/memory", json={"name": "v", "size": 1})
    assert made.status_code == 201
    ((number, task),) = (await at.ask("GET", "/tasks")).json().items()
    assert (task["id"], task["state"]) == (int(number), "success")
    assert task["id"] > 10**15
    assert (await at.ask("GET", f"/tasks/{number}")).json() == task
    await at.refused("GET", f"/tasks/{int(number) + 1}", 404)
    (stored,) = (await at.core.catalog.page(Job, Query())).records
    assert stored.request


async def test_jobs_of_a_task_are_not_told_twice(at: Scene) -> None:
    task = (await at.ask("POST", "/volumes/memory?async", json={"name": "v", "size": 1})).json()
    ended = await at.task(task["id"], "success")
    assert ended["result"]["name"] == "v"
    assert list((await at.ask("GET", "/tasks")).json()) == [str(task["id"])]


async def test_only_jobs_of_the_services_tenants_are_told_and_only_for_a_while(at: Scene) -> None:
    tenant, long_ago = await tenant_id(at), utc_now() - timedelta(hours=2)
    error = errors.OutOfSpace(pool="p", wanted=2, free=1)
    failed = final(job(at, tenant_id=tenant, caller="bob"), error)
    others = [
        job(at, tenant_id=uuid4()),
        job(at),
        job(at, tenant_id=tenant, created=long_ago, ended=long_ago, state=JobState.SUCCESS),
    ]
    unfinished = job(at, tenant_id=tenant, created=long_ago, state=JobState.QUEUED)
    await at.core.catalog.commit(put(failed, unfinished, *others))
    told = list((await at.ask("GET", "/tasks")).json().values())
    assert sorted(each["state"] for each in told) == ["error", "queued"]
    (found,) = [each for each in told if each["state"] == "error"]
    assert found["user"] == "bob"
    assert found["error"] == {"pool": "p", "wanted": 2, "free": 1, "msg": "no space left"}
    await at.core.catalog.commit(put(*[final((await at.core.get(Job, unfinished.id)), None)]))


async def test_jobs_that_begin_at_once_have_numbers_of_their_own(at: Scene) -> None:
    tenant, now = await tenant_id(at), utc_now()
    jobs = [job(at, tenant_id=tenant, created=now, ended=now, state=JobState.SUCCESS) for _ in range(40)]
    distinct = {each.id.int % 4: each for each in jobs}
    await at.core.catalog.commit(put(*distinct.values()))
    told = (await at.ask("GET", "/tasks")).json()
    assert len(told) == len(distinct)
    for number, task in told.items():
        assert (await at.ask("GET", f"/tasks/{number}")).json() == task


# --- who may see them ---


async def test_a_task_is_seen_by_those_who_may_use_its_service(tmp_path: Path, slow: Slow) -> None:
    own = LibstorageAuth(key=Secret(KEY), allow=("akutz",))
    options = LibstorageOptions(
        service={"shut": ServiceOptions(pool="memory", auth=own), "open": ServiceOptions(pool="spare")}
    )
    async with scene(tmp_path, options, routes(slow)) as at:
        slow.go.set()
        akutz = bearer(token())
        shut = (await at.ask("GET", "/volumes/shut/slow?async", akutz)).json()
        open_ = (await at.ask("GET", "/volumes/open/slow?async")).json()
        every = (await at.ask("POST", "/slow/succeed?async", akutz)).json()
        assert (shut["user"], open_.get("user")) == ("akutz", None)
        await at.core.catalog.commit(put(final(job(at, tenant_id=await tenant_id(at)), None)))
        assert list((await at.ask("GET", "/tasks")).json()) == [str(open_["id"])]
        seen = (await at.ask("GET", "/tasks", akutz)).json()
        assert {str(each["id"]) for each in (shut, open_, every)} < seen.keys()
        assert len(seen) == 4
        for number in seen:
            assert (await at.ask("GET", f"/tasks/{number}", akutz)).status_code == 200
            assert ((await at.ask("GET", f"/tasks/{number}")).status_code == 200) == (number == str(open_["id"]))


# --- processes that died ---


class Dead:
    """A process that had the same catalog open, and left a task."""

    def __init__(self, at: Scene, owner: str) -> None:
        self.at = at
        self.owner = owner
        self.request = uuid4().hex

    async def left(self, *, single: bool = True, jobs: tuple[Job, ...] = ()) -> int:
        kept = Kept(owner=self.owner, request=self.request, queued=utc_now() - timedelta(seconds=2), single=single)
        made = [msgspec.structs.replace(each, request=self.request) for each in jobs]
        await self.at.core.catalog.commit(put(*made, job(self.at, state=JobState.SUCCESS, ended=utc_now())))
        document = await documents.create(
            self.at.core, KIND, str(int(utc_now().timestamp() * 1000)), kept.body(), passing=True
        )
        return int(document.name)


@pytest.fixture
async def dead(at: Scene, tmp_path: Path) -> Dead:
    catalog = SqliteCatalog(tmp_path / "catalog.sqlite")
    await catalog.open()
    alive = Dead(at, catalog.owner)
    assert (await at.ask("GET", f"/tasks/{await alive.left()}")).json()["state"] == "running"
    await documents.delete(at.core, KIND, (await kept(at))[0].name)
    await catalog.close()
    return alive


async def test_it_ends_as_its_only_job_does(at: Scene, dead: Dead) -> None:
    begun = job(at)
    number = await dead.left(jobs=(begun,))
    assert (await at.ask("GET", f"/tasks/{number}")).json()["state"] == "running"
    await at.core.changes.end_job(begun, None)
    ended = (await at.ask("GET", f"/tasks/{number}")).json()
    assert (ended["state"], "result" in ended, "error" in ended) == ("success", False, False)
    assert ended["completeTime"] >= ended["startTime"]


async def test_it_fails_as_a_job_did(at: Scene, dead: Dead) -> None:
    failed = final(job(at), errors.NotFound(kind="volume", ref="v"))
    number = await dead.left(jobs=(final(job(at), None), failed), single=False)
    ended = (await at.ask("GET", f"/tasks/{number}")).json()
    assert (ended["state"], ended["error"]) == ("error", {"resourceID": "v", "msg": "resource not found"})


@pytest.mark.parametrize("jobs", [0, 1])
async def test_what_was_not_all_begun_was_not_done(at: Scene, dead: Dead, jobs: int) -> None:
    number = await dead.left(jobs=tuple(final(job(at), None) for _ in range(jobs)), single=not jobs)
    ended = (await at.ask("GET", f"/tasks/{number}")).json()
    assert (ended["state"], ended["error"]) == ("error", "the gateway was restarted before this was done")


async def test_it_is_forgotten_like_others(at: Scene, dead: Dead) -> None:
    number = await dead.left(jobs=(final(job(at), None),))
    await tasks(at).sweep()
    assert [document.name for document in await kept(at)] == [str(number)]
    await tasks(at, retention_s=1e-6).sweep()
    assert await at.core.catalog.count(Document, Compare("kind", Op.EQ, KIND)) == 0
