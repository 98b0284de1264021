"""Single files through the core: what is refused, what a volume's record has of them, and what a crash leaves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from uuid import UUID, uuid4

import msgspec
import pytest
from core_scene import LocalMemory, make, snap
from move_scene import two_pools

from gateway.backends.memory import MemoryBackend, MemoryOptions
from gateway.core import errors, files, volumes
from gateway.core.backend import no_fault
from gateway.core.change import Changes, Started
from gateway.core.context import Core
from gateway.core.entries import FileKind, FileSource
from gateway.core.model import Intent, Job, JobState, RootDirectory, Volume, VolumeState
from gateway.core.notes import read_volume
from gateway.core.observer import SilentObserver
from gateway.core.operation import Context
from gateway.core.ownership import Access, Ownership
from gateway.core.pools import Configured
from gateway.core.principal import Principal
from gateway.core.query import Query
from gateway.testing.cores import core_on, memory_pool

ROOT = RootDirectory(mode=0o2770, uid=7, gid=8)
Act = Callable[[Core, Volume], Awaitable[Started]]


def noted(text: str) -> files.Annotations:
    return lambda volume: {**volume.annotations, "door.note": text}


CHANGES: dict[str, Act] = {
    "file.clone": lambda core, v: files.clone(core, v.id, FileSource(path="a"), "d/new", description="t"),
    "file.clone over another": lambda core, v: files.clone(
        core, v.id, FileSource(path="a"), "b", description="t", overwrite=True
    ),
    "file.update": lambda core, v: files.update(
        core, v.id, "d", to="e", root=ROOT, description="t", annotations=noted("moved")
    ),
    "file.delete": lambda core, v: files.delete(
        core, v.id, "d", description="t", recursive=True, annotations=noted("gone")
    ),
    "file.make": lambda core, v: files.make_directory(
        core, v.id, "q", ROOT, description="t", annotations=noted("made")
    ),
}


@pytest.fixture
async def core(tmp_path: Path) -> AsyncIterator[Core]:
    async with core_on(tmp_path, [memory_pool()]) as made:
        yield made


async def furnished(core: Core) -> Volume:
    volume = await make(core, "v")
    await (await files.make_directory(core, volume.id, "d", RootDirectory(), description="t")).result()
    for path, data in (("a", b"alpha"), ("b", b"beta"), ("d/c", b"gamma")):
        memory(core).write(volume.id, path, data)
    return await core.get(Volume, volume.id)


def memory(core: Core) -> MemoryBackend:
    (pool,) = core.pools
    assert isinstance(pool.backend, MemoryBackend)
    return pool.backend


async def state(core: Core, volume: Volume) -> dict[str, object]:
    """Give what the volume holds, and its annotations, of which catalog and note must say the same."""
    backend, row = memory(core), await core.get(Volume, volume.id)
    seen = await backend.inspect(volume.id)
    assert seen is not None
    assert seen.note is not None
    kept = read_volume(seen.note)
    assert kept is not None
    assert kept.annotations == row.annotations
    assert (await core.catalog.page(Intent, Query())).records == ()
    tree = backend.tree(volume.id)
    return {"files": dict(tree.files), "folders": dict(tree.folders), "annotations": row.annotations}


async def refused(error: type[errors.GatewayError], change: Awaitable[Started]) -> errors.GatewayError:
    with pytest.raises(error) as caught:
        await change
    return caught.value


# --- looking ---


async def test_what_is_in_a_volume_is_told_page_by_page(core: Core) -> None:
    volume = await furnished(core)
    first = await files.page(core, volume.id, "", limit=2)
    assert ([one.name for one in first.records], first.after) == (["a", "b"], "b")
    rest = await files.page(core, volume.id, "/./", after=first.after, limit=2)
    assert ([one.name for one in rest.records], rest.after) == (["d"], "")
    assert (await files.entry(core, volume.id, "d/c")).kind is FileKind.FILE
    for path in ("n", "d/n", "a/c"):
        with pytest.raises(errors.NotFound):
            await files.entry(core, volume.id, path)
    for path in ("..", "d/../a", "\0", "x" * 256, "/".join(["x" * 200] * 25)):
        with pytest.raises(errors.InvalidArgument):
            await files.entry(core, volume.id, path)


async def test_who_may_not_read_a_volume_does_not_look_into_it(core: Core) -> None:
    shared = Ownership(owner="she", collaborators={"reader": Access.READ})
    volume = await make(core, "v", ownership=shared)
    reader, stranger = (core.acting_for(Principal(name=name, roles=())) for name in ("reader", "stranger"))
    assert (await files.page(reader, volume.id, "", limit=1)).records == ()
    for call in (
        files.page(stranger, volume.id, "", limit=1),
        files.make_directory(reader, volume.id, "d", RootDirectory(), description="t"),
        files.clone(reader, volume.id, FileSource(path="a"), "b", description="t"),
    ):
        with pytest.raises(errors.PermissionDenied):
            await call


# --- changing ---


async def test_every_change_does_what_it_says(core: Core) -> None:
    after: dict[str, dict[str, object]] = {}
    for name, act in CHANGES.items():
        volume = await make(core, name.replace(" ", "_"))
        await (await files.make_directory(core, volume.id, "d", RootDirectory(), description="t")).result()
        for path, data in (("a", b"alpha"), ("b", b"beta"), ("d/c", b"gamma")):
            memory(core).write(volume.id, path, data)
        job = await (await act(core, volume)).result()
        assert (job.operation, job.target_id) == (name.partition(" ")[0], volume.id)
        after[name] = await state(core, volume)
    held = {"a": b"alpha", "b": b"beta", "d/c": b"gamma"}
    plain = {"d": RootDirectory()}
    assert after == {
        "file.clone": {"files": {**held, "d/new": b"alpha"}, "folders": plain, "annotations": {}},
        "file.clone over another": {"files": {**held, "b": b"alpha"}, "folders": plain, "annotations": {}},
        "file.update": {
            "files": {"a": b"alpha", "b": b"beta", "e/c": b"gamma"},
            "folders": {"e": ROOT},
            "annotations": {"door.note": "moved"},
        },
        "file.delete": {
            "files": {"a": b"alpha", "b": b"beta"},
            "folders": {},
            "annotations": {"door.note": "gone"},
        },
        "file.make": {"files": held, "folders": {**plain, "q": ROOT}, "annotations": {"door.note": "made"}},
    }


async def test_what_cannot_be_is_refused_before_anything_is_journalled(core: Core) -> None:
    volume = await furnished(core)
    before = await state(core, volume)
    source, there = FileSource(path="a"), {"description": "t"}
    await refused(errors.NotFound, files.clone(core, volume.id, FileSource(path="n"), "x", **there))
    await refused(errors.NotFound, files.clone(core, volume.id, source, "n/x", **there))
    await refused(errors.NotFound, files.clone(core, volume.id, source, "a/x", **there))
    await refused(errors.InvalidArgument, files.clone(core, volume.id, FileSource(path="d"), "x", **there))
    await refused(errors.AlreadyExists, files.clone(core, volume.id, source, "b", **there))
    await refused(errors.AlreadyExists, files.clone(core, volume.id, source, "d", overwrite=True, **there))
    await refused(errors.NotFound, files.clone(core, volume.id, FileSource(path="a", snapshot=uuid4()), "x", **there))
    await refused(errors.InvalidArgument, files.update(core, volume.id, "d", to="d/e", **there))
    await refused(errors.AlreadyExists, files.update(core, volume.id, "a", to="b", **there))
    await refused(errors.InvalidArgument, files.update(core, volume.id, "a", root=ROOT, **there))
    for nobody in (RootDirectory(uid=2**32 - 1), RootDirectory(gid=2**64), RootDirectory(mode=0o10000)):
        await refused(errors.InvalidArgument, files.update(core, volume.id, "d", root=nobody, **there))
        await refused(errors.InvalidArgument, files.make_directory(core, volume.id, "q", nobody, **there))
    await refused(errors.NotFound, files.delete(core, volume.id, "n", **there))
    await refused(errors.InvalidArgument, files.delete(core, volume.id, "", **there))
    assert (await refused(errors.InUse, files.delete(core, volume.id, "d", **there))).by == "content"
    await refused(errors.AlreadyExists, files.make_directory(core, volume.id, "d", ROOT, **there))
    assert await state(core, volume) == before


async def test_a_volume_that_does_not_serve_is_not_looked_into(core: Core) -> None:
    volume = await furnished(core)
    offline = volumes.VolumeChange(state=VolumeState.OFFLINE)
    await (await volumes.update(core, volume.id, offline, description="t")).result()
    with pytest.raises(errors.InvalidState):
        await files.page(core, volume.id, "", limit=1)
    for act in CHANGES.values():
        await refused(errors.InvalidState, act(core, volume))
    replica = await make(core, "r", replica=True)
    for act in CHANGES.values():
        assert (await refused(errors.InvalidState, act(core, replica))).state == "replica"


async def test_nobody_waits_for_the_end_of_a_removal(tmp_path: Path) -> None:
    """A tree may hold so much that it takes hours."""
    async with core_on(tmp_path, two_pools()) as made:
        context = Context(made.catalog, made.pools, made.publisher, no_fault)
        changes = Changes(made.catalog, context, SilentObserver(), no_fault, patience_s=0.01)
        core = msgspec.structs.replace(made, changes=changes)
        volume = await make(core, "v", pool="old")
        await (await files.make_directory(core, volume.id, "d", ROOT, description="t")).result()
        reached, go_on = asyncio.Event(), asyncio.Event()

        async def pause() -> None:
            reached.set()
            await go_on.wait()

        old = core.pools.get(volume.pool_id).backend
        assert isinstance(old, LocalMemory)
        old.before_annotate = pause
        removal = await files.delete(core, volume.id, "d", description="t", recursive=True, annotations=noted("gone"))
        await reached.wait()
        with pytest.raises(errors.Conflict):
            await asyncio.wait_for(snap(core, volume, "s"), 30)
        go_on.set()
        await removal.result()


class Endless(MemoryBackend):
    """Removes nothing, for ever."""

    def __init__(self) -> None:
        super().__init__("memory", MemoryOptions())
        self.reached = asyncio.Event()

    async def delete_file(self, volume: UUID, path: str, *, inode: int, recursive: bool = False) -> None:
        del volume, path, inode, recursive
        self.reached.set()
        await asyncio.Event().wait()


async def test_a_gateway_that_stops_does_not_wait_for_the_end_of_a_removal(tmp_path: Path) -> None:
    backend = Endless()
    async with core_on(tmp_path, [Configured("memory", backend)]) as core:
        volume = await furnished(core)
        removal = await files.delete(core, volume.id, "d", description="t", recursive=True, annotations=noted("gone"))
        await backend.reached.wait()
        await asyncio.wait_for(core.changes.close(), 30)
        job = await removal.wait()
        assert (job.state, job.error and job.error.type) == (JobState.FAILURE, "Unavailable")
        assert (await state(core, volume))["annotations"] == {}


@pytest.mark.parametrize("capability", ["files", "clone_file"])
async def test_what_the_pool_lacks_is_refused(tmp_path: Path, capability: str) -> None:
    async with core_on(tmp_path, [memory_pool(disabled=(capability,))]) as core:
        volume = await make(core, "v")
        source = FileSource(path="a")
        error = await refused(errors.Unsupported, files.clone(core, volume.id, source, "b", description="t"))
        assert error.capability == "clone_file"
        if capability == "files":
            with pytest.raises(errors.Unsupported):
                await files.page(core, volume.id, "", limit=1)


async def test_a_file_comes_back_from_a_snapshot(core: Core) -> None:
    volume = await furnished(core)
    snapshot = await snap(core, volume, "s")
    memory(core).write(volume.id, "a", b"later")
    source = FileSource(path="a", snapshot=snapshot.id)
    await (await files.clone(core, volume.id, source, "a", description="t", overwrite=True)).result()
    assert memory(core).tree(volume.id).files["a"] == b"alpha"


# --- crashing ---


class Crash(BaseException):
    """Stands for the end of the process."""


POINTS = {
    "file.clone": "clone_file",
    "file.clone over another": "clone_file",
    "file.update": "rename_file",
    "file.delete": "delete_file",
    "file.make": "make_directory",
}
CASES = [
    (name, point)
    for name, backend in POINTS.items()
    for point in (
        "file.changed",
        *(f"{name.partition(' ')[0]}.{step}" for step in ("journalled", "applied", "committed")),
        *(f"memory.{backend}.{step}" for step in ("begin", "done")),
        *(() if "clone" in name else ("memory.annotate.begin", "memory.annotate.done")),
    )
]


@pytest.mark.parametrize(("name", "point"), CASES)
async def test_a_change_interrupted_anywhere_either_happened_or_did_not(tmp_path: Path, name: str, point: str) -> None:
    """One process ends at the point; the next one finds everything settled, and can do it again."""
    armed = False

    def fault(passed: str) -> None:
        if armed and passed == point:
            raise Crash

    pool = memory_pool(fault=fault)
    async with core_on(tmp_path, [pool], fault=fault) as core:
        volume = await furnished(core)
        before = await state(core, volume)
        armed = True
        with pytest.raises(Crash):
            await (await CHANGES[name](core, volume)).wait()
        armed = False
    async with core_on(tmp_path, [pool]) as core:
        found = await state(core, volume)
        job = max((await core.catalog.page(Job, Query())).records, key=lambda job: job.created)
        assert (found != before) == (job.state is JobState.SUCCESS)
        if found == before:
            await (await CHANGES[name](core, volume)).result()
            assert await state(core, volume) != before


@pytest.mark.parametrize("name", POINTS)
async def test_what_fails_at_the_end_is_taken_back_as_far_as_it_can_be(tmp_path: Path, name: str) -> None:
    armed = False

    def fault(passed: str) -> None:
        if armed and passed == "file.changed":
            raise errors.Unavailable(what="memory", reason="gone")

    async with core_on(tmp_path, [memory_pool()], fault=fault) as core:
        volume = await furnished(core)
        before = await state(core, volume)
        armed = True
        assert (await (await CHANGES[name](core, volume)).wait()).state is JobState.FAILURE
        found = await state(core, volume)
        if name in {"file.delete", "file.clone over another"}:
            assert found["annotations"] == before["annotations"]
        else:
            assert found == before
