"""Kills a real process at every step of every change of a pool, and looks at what is left.

For authors of backends: `KillScene` furnishes a pool through a core, finds the
points that each operation passes, lets a child process end itself by SIGKILL
at one of them, and compares what the next core finds with what was there
before and what would be there after.

    with ForkServer(MODULES) as forks:
        scene = KillScene(folder, Place(driver="mine", options={"path": ...}, kind=VolumeKind.BLOCK), forks)
        for operation in await scene.operations():
            for point, count in await scene.passes(operation):
                await scene.assert_all_or_nothing(operation, point, count)
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Protocol
from uuid import UUID

import msgspec

from gateway.core import attachments, clones, groups, moves, retired, snapshots, volumes
from gateway.core.backend import FaultHook, VolumeBackend, no_fault
from gateway.core.change import Started
from gateway.core.context import Core
from gateway.core.model import Intent, Job, JobState, Snapshot, Tenant, Transport, Volume, VolumeKind
from gateway.core.observer import SilentObserver
from gateway.core.pools import Configured, OpenPool
from gateway.core.query import Query
from gateway.core.reconcile import Reconciler
from gateway.testing.backends.blocks import BlockContent
from gateway.testing.backends.content import Content, LocalContent
from gateway.testing.cores import CATALOG, core_on
from gateway.testing.faults import KillAt, Recorder
from gateway.testing.forks import ForkServer

MIB = 1 << 20
SIZE = 32 * MIB
POOL, BESIDE = "pool", "beside"
GONE = "gone"
MODULES = ("gateway.testing.kills", "gateway.server.drivers")
"""What the server of forks imports, beside the modules of the drivers."""
CHILD_LIMIT_S = 120
_BESIDE_COMMITS = (".journalled", ".committed")


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """The pool under test: an installed driver and its options as a configuration gives them.

    `beside`: the options of another pool. Volumes then move there, and nothing else is done.
    """

    driver: str
    options: dict[str, Any]
    kind: VolumeKind
    beside: dict[str, Any] | None = None

    def backends(self, fault: FaultHook) -> dict[str, VolumeBackend]:
        """Make the backends, by the names of their pools."""
        from gateway.server.drivers import one_driver  # noqa: PLC0415 - only whoever runs a pool needs a driver

        driver = one_driver(self.driver)
        named = {POOL: self.options} | ({} if self.beside is None else {BESIDE: self.beside})
        return {
            name: driver(
                name, msgspec.convert(options, driver.Options, dec_hook=lambda kind, value: kind(value)), fault=fault
            )
            for name, options in named.items()
        }


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """A volume as its user sees it: everything by name, and a retired one by the name that it had."""

    kind: VolumeKind
    size: int
    comment: str
    files: dict[str, bytes] | None
    snapshots: dict[str, dict[str, bytes]]
    origin: tuple[str, str] | None
    nodes: tuple[str, ...]
    retired: bool
    pool: str


View = dict[str, Seen]
Act = Callable[[Core, Mapping[str, Volume], Mapping[str, Snapshot]], Awaitable[Started]]


class Operation(msgspec.Struct, frozen=True):
    """One change: what the pool must be able to do for it, and the change."""

    needs: tuple[str, ...]
    act: Act


def _update(volume: str, **changes: Any) -> Act:
    return lambda core, v, _s: volumes.update(core, v[volume].id, volumes.VolumeChange(**changes), description="kill")


def _clone(snapshot: str | None, of: str = "parent") -> Act:
    def act(core: Core, v: Mapping[str, Volume], s: Mapping[str, Snapshot]) -> Awaitable[Started]:
        base = None if snapshot is None else s[snapshot].id
        parent = v[of]
        new = clones.NewClone(name="twin", tenant_id=parent.tenant_id, source_id=parent.id, snapshot_id=base)
        return clones.create(core, new, description="kill")

    return act


def _attach(*, shared: bool | None = None, preempt: bool = False) -> Act:
    def act(core: Core, v: Mapping[str, Volume], _s: Mapping[str, Snapshot]) -> Awaitable[Started]:
        new = attachments.NewAttachment(node="n2", transport=Transport.LOCAL, shared=shared, preempt=preempt)
        return attachments.attach(core, v["parent"].id, new, description="kill")

    return act


def _move(core: Core, v: Mapping[str, Volume], _s: Mapping[str, Snapshot]) -> Awaitable[Started]:
    return moves.move(core, v["kid"].id, _named(core, BESIDE).id, description="kill")


def _group(core: Core, v: Mapping[str, Volume], _s: Mapping[str, Snapshot]) -> Awaitable[Started]:
    members = [snapshots.NewSnapshot(name="new", volume_id=v[name].id) for name in ("parent", "kid", "other")]
    return groups.create(core, members, description="kill")


def _create(core: Core, v: Mapping[str, Volume], _s: Mapping[str, Snapshot]) -> Awaitable[Started]:
    like = v["parent"]
    new = volumes.NewVolume(
        name="new", tenant_id=like.tenant_id, pool_id=like.pool_id, size=SIZE, kind=like.kind, comment="made"
    )
    return volumes.create(core, new, description="kill")


OPERATIONS: Mapping[str, Operation] = {
    "create": Operation((), _create),
    "delete": Operation((), lambda core, v, _s: volumes.delete(core, v["other"].id, description="kill")),
    "retire": Operation((), lambda core, v, _s: retired.retire(core, v["parent"].id, description="kill", force=True)),
    "remove": Operation(("snapshot",), lambda core, v, _s: retired.remove(core, v["other"].id, description="kill")),
    "dispose": Operation((), lambda core, v, _s: retired.dispose(core, v[GONE].id, description="kill", force=True)),
    "clone of a retired volume": Operation(("snapshot", "clone"), _clone("g1", GONE)),
    "delete a clone": Operation(("clone",), lambda core, v, _s: volumes.delete(core, v["kid"].id, description="kill")),
    "rename": Operation((), _update("parent", name="renamed", comment="longer " * 500)),
    "grow": Operation(("resize",), _update("parent", size=2 * SIZE)),
    "attach": Operation((), _attach(shared=True)),
    "take from others": Operation((), _attach(preempt=True)),
    "convert": Operation(
        ("convert",),
        lambda core, v, _s: volumes.convert(core, v["empty"].id, size=SIZE, annotations={}, description="kill"),
    ),
    "snapshot": Operation(
        ("snapshot",),
        lambda core, v, _s: snapshots.create(
            core, snapshots.NewSnapshot(name="new", volume_id=v["parent"].id), description="kill"
        ),
    ),
    "snapshot several": Operation(("snapshot_group", "clone"), _group),
    "delete a snapshot": Operation(
        ("snapshot",), lambda core, _v, s: snapshots.delete(core, s["s2"].id, description="kill")
    ),
    "rename a snapshot": Operation(
        ("snapshot",),
        lambda core, _v, s: snapshots.update(
            core, s["s2"].id, snapshots.SnapshotChange(name="second"), description="kill"
        ),
    ),
    "clone a snapshot": Operation(("snapshot", "clone"), _clone("s2")),
    "clone a volume": Operation(("snapshot", "clone"), _clone(None)),
    "move": Operation(("snapshot", "clone", "replicate"), _move),
    "split": Operation(("clone", "split"), lambda core, v, _s: clones.split(core, v["kid"].id, description="kill")),
    "restore": Operation(
        ("restore",),
        lambda core, v, s: volumes.restore(core, v["other"].id, s["o1"].id, description="kill", discard_newer=True),
    ),
}
"""Every kind of change, on what `KillScene.furnish` makes."""


class Store(Protocol):
    """Keeps the bytes of a pool: much quicker than to furnish it again. Nothing has the pool open meanwhile."""

    def keep(self) -> None:
        """Keep the pool as it is."""

    def put_back(self) -> None:
        """Make the pool what it was when it was kept."""


class KillScene:
    """A pool with something in it to lose. `folder` keeps the catalog.

    `forks` starts the processes that die; only `assert_all_or_nothing` needs it.

    `used`: the volumes are in use by local clients while the process dies, as
    far as their access handles tell the backend.

    `store` keeps what `furnish` makes; without one it is made anew each time.
    """

    def __init__(
        self,
        folder: Path,
        place: Place,
        forks: ForkServer | None = None,
        *,
        used: bool = False,
        store: Store | None = None,
    ) -> None:
        self._folder = folder
        self._place = place
        self._forks = forks
        self._used = used
        self._store = store
        self._views: dict[str, tuple[View, View]] = {}
        self._furnished: View | None = None
        self._intact = False
        self._made_as: dict[UUID, str] = {}

    def core(self, fault: FaultHook = no_fault) -> AbstractAsyncContextManager[Core]:
        """Give a core on the pool, with what a predecessor left settled."""
        return _core(self._folder, self._place, fault)

    async def operations(self) -> list[str]:
        """Give the operations that the pool is able to do."""
        async with self.core() as core:
            pool = _named(core, POOL)
            able = pool.capability(self._place.kind)
            files = pool.capabilities.get(VolumeKind.FILESYSTEM)
        block = self._place.kind is VolumeKind.BLOCK
        found = []
        for name, operation in OPERATIONS.items():
            if name == "convert":
                fit = block and files is not None and files.can("convert")
            else:
                fit = all(able.can(need) for need in operation.needs)
            fit = fit and (name == "move") == (self._place.beside is not None)
            found += [name] if fit else []
        return found

    async def passes(self, operation: str) -> list[tuple[str, int]]:
        """Do an operation whole; give every point that it passes, with its how manieth pass that is.

        Points of the catalog's commits, and those right beside them, are left
        out: they are the same for every pool.
        """
        before = await self._fresh()
        recorder = Recorder()
        async with self.core(recorder) as core:
            await _use(core, used=self._used)
            recorder.points.clear()
            await _perform(core, operation)
            passed = list(recorder.points)
            self._views[operation] = (before, await self.view(core))
            await self._assert_settled(core)
        counts: Counter[str] = Counter()
        found = []
        for point in passed:
            counts[point] += 1
            if not point.startswith("catalog.") and not point.endswith(_BESIDE_COMMITS):
                found.append((point, counts[point]))
        return found

    async def assert_all_or_nothing(self, operation: str, point: str, count: int) -> None:
        """Let a process die at the point, and fail unless the change then has happened whole or not at all."""
        if operation not in self._views:
            await self.passes(operation)
        before, after = self._views[operation]
        assert await self._fresh() == before
        await asyncio.to_thread(self._die, operation, point, count)
        async with self.core() as core:
            found = await self.view(core)
            jobs = (await core.catalog.page(Job, Query())).records
            last = max(jobs, key=lambda job: job.created)
            expected = after if last.state is JobState.SUCCESS else before
            assert found == expected, f"{operation} killed at {point} {count}: the job says {last.state}"
            await self._assert_settled(core)
            if found != before:
                await self.clean(core)
        self._intact = found == before

    def _die(self, operation: str, point: str, count: int) -> None:
        assert self._forks is not None
        order = _Order(
            folder=str(self._folder),
            place=self._place,
            used=self._used,
            operation=operation,
            point=point,
            count=count,
        )
        with (self._folder / "victim.log").open("wb+") as log:
            entry, document = f"{__name__}:die", msgspec.json.encode(order).decode()
            victim = self._forks.start(
                entry, document, environment=os.environ, stdout=log.fileno(), stderr=log.fileno()
            )
            try:
                status = victim.wait(CHILD_LIMIT_S)
            except subprocess.TimeoutExpired:
                victim.kill()
                raise
            log.seek(0)
            said = log.read().decode()[-2000:]
        assert status == -signal.SIGKILL, f"{operation} did not die at {point} {count}: {status}\n{said}"

    async def _assert_settled(self, core: Core) -> None:
        assert (await core.catalog.page(Intent, Query())).records == ()
        for pool in core.pools:
            assert await Reconciler(core, pool, SilentObserver()).run() == []

    # --- what is in it ---

    async def _fresh(self) -> View:
        """Have the pool as furnished, for whoever changes it next; give what is there."""
        if self._furnished is None or (not self._intact and self._store is None):
            async with self.core() as core:
                await self.clean(core)
                await self.furnish(core)
                self._furnished = await self.view(core)
            if self._store is not None:
                self._store.keep()
                self._copy_catalog(self._folder, self._kept)
        elif not self._intact and self._store is not None:
            self._store.put_back()
            self._copy_catalog(self._kept, self._folder)
        self._intact = False
        return self._furnished

    @property
    def _kept(self) -> Path:
        return self._folder / "kept"

    @staticmethod
    def _copy_catalog(source: Path, target: Path) -> None:
        target.mkdir(exist_ok=True)
        for old in target.glob(f"{CATALOG}*"):
            old.unlink()
        for path in source.glob(f"{CATALOG}*"):
            shutil.copyfile(path, target / path.name)

    async def furnish(self, core: Core) -> None:
        """Make a parent with two snapshots, a clone of the first, another volume with two, an empty one, a retired one.

        The last one has a snapshot, where the pool can take them. Where volumes
        move there are only the parent, with one snapshot, and the clone.
        """
        pool, kind = _named(core, POOL), self._place.kind
        alone = self._place.beside is None
        parent = await self._taken(core, "parent", *(("s1", "s2") if alone else ("s1",)))
        if alone:
            await self._taken(core, "other", "o1", "o2")
            gone = await self._taken(core, GONE, "g1")
            await (await retired.retire(core, gone.id, description="furnish")).result()
        if pool.capability(kind).can("snapshot") and pool.capability(kind).can("clone"):
            await self._kid(core, parent)
        if alone and VolumeKind.FILESYSTEM in pool.capabilities:
            await self._made(core, "empty", VolumeKind.FILESYSTEM)
        new_attachment = attachments.NewAttachment(node="n1", transport=Transport.LOCAL)
        await (await attachments.attach(core, parent.id, new_attachment, description="furnish")).result()

    async def _taken(self, core: Core, name: str, *names: str) -> Volume:
        """Make a volume and a snapshot for each of its states but the last."""
        able = _named(core, POOL).capability(self._place.kind)
        volume = await self._made(core, name, self._place.kind)
        for state in names:
            await self.write(core, volume, state)
            if able.can("snapshot"):
                new = snapshots.NewSnapshot(name=state, volume_id=volume.id)
                await (await snapshots.create(core, new, description="furnish")).result()
        await self.write(core, volume, "now")
        return volume

    async def _kid(self, core: Core, parent: Volume) -> None:
        base = await core.find(Snapshot, volume__id=parent.id, name="s1")
        assert base is not None
        new = clones.NewClone(name="kid", tenant_id=parent.tenant_id, source_id=parent.id, snapshot_id=base.id)
        await (await clones.create(core, new, description="furnish")).result()
        kid = await core.find(Volume, name="kid")
        assert kid is not None
        await self.write(core, kid, "kid")

    async def clean(self, core: Core) -> None:
        """Delete everything, clones before their parents."""
        while found := (await core.catalog.page(Volume, Query())).records:
            for volume in found:
                if not volume.clone_count:
                    await (await volumes.delete(core, volume.id, description="clean", force=True)).result()

    async def view(self, core: Core) -> View:
        """Give what a user sees, bytes included."""
        found = (await core.catalog.page(Volume, Query())).records
        names = {volume.id: volume.name if volume.retired is None else self._made_as[volume.id] for volume in found}
        taken = {s.id: s for s in (await core.catalog.page(Snapshot, Query())).records}
        view: View = {}
        for volume in found:
            origin = volume.origin
            own = [s for s in taken.values() if s.volume_id == volume.id]
            view[names[volume.id]] = Seen(
                kind=volume.kind,
                size=volume.size,
                comment=volume.comment,
                files=await self._held(core, volume.id),
                snapshots={_stem(s.name): await self._held(core, volume.id, s.id) for s in own},
                origin=(names[origin.volume_id], _stem(taken[origin.snapshot_id].name))
                if origin and origin.snapshot_id
                else None,
                nodes=tuple(attachment.node for attachment in volume.attachments),
                retired=volume.retired is not None,
                pool=core.pools.get(volume.pool_id).name,
            )
        return view

    async def _made(self, core: Core, name: str, kind: VolumeKind) -> Volume:
        pool = _named(core, POOL)
        tenant = await core.find(Tenant, name="svm1")
        assert tenant is not None
        new = volumes.NewVolume(name=name, tenant_id=tenant.id, pool_id=pool.id, size=SIZE, kind=kind)
        await (await volumes.create(core, new, description="furnish")).result()
        made = await core.find(Volume, name=name)
        assert made is not None
        self._made_as[made.id] = name
        return made

    async def _content(self, core: Core, volume: UUID, snapshot: UUID | None = None) -> Content:
        backend = core.pools.get((await core.get(Volume, volume)).pool_id).backend
        handle = await backend.access(volume, snapshot)
        seen = await backend.inspect(volume)
        return BlockContent(handle) if seen is not None and seen.kind is VolumeKind.BLOCK else LocalContent(handle)

    async def write(self, core: Core, volume: Volume, word: str) -> None:
        """Write a file called as the word, and over the one that all volumes have."""
        content = await self._content(core, volume.id)
        await content.write("a", word.encode() * 1000)
        await content.write(word, word.encode())

    async def _held(self, core: Core, volume: UUID, snapshot: UUID | None = None) -> dict[str, bytes]:
        content = await self._content(core, volume, snapshot)
        return {path: await content.read(path) for path in sorted(await content.paths())}


def _stem(name: str) -> str:
    """Give a snapshot's name without the time in it, where a clone took it for itself."""
    return name.partition(".")[0] if name.startswith("clone_") else name


@asynccontextmanager
async def _core(folder: Path, place: Place, fault: FaultHook) -> AsyncIterator[Core]:
    backends = place.backends(fault)
    try:
        async with core_on(folder, [Configured(name, one) for name, one in backends.items()], fault=fault) as core:
            yield core
    finally:
        for backend in backends.values():
            await backend.close()


def _named(core: Core, name: str) -> OpenPool:
    return next(pool for pool in core.pools if pool.name == name)


async def _use(core: Core, *, used: bool) -> None:
    """Ask for the way to every volume, if they are to be in use."""
    for volume in (await core.catalog.page(Volume, Query())).records if used else ():
        await core.pools.get(volume.pool_id).backend.access(volume.id)


async def _perform(core: Core, operation: str) -> None:
    found = {GONE if v.retired else v.name: v for v in (await core.catalog.page(Volume, Query())).records}
    taken = {snapshot.name: snapshot for snapshot in (await core.catalog.page(Snapshot, Query())).records}
    await (await OPERATIONS[operation].act(core, found, taken)).result()


class _Order(msgspec.Struct, frozen=True, kw_only=True):
    """What the child process is to do."""

    folder: str
    place: Place
    used: bool
    operation: str
    point: str
    count: int


class _Armed:
    """Passes nothing on until it is armed: opening the pool passes points, too."""

    def __init__(self) -> None:
        self.hook: FaultHook = no_fault

    def __call__(self, point: str) -> None:
        self.hook(point)


def die(document: str) -> None:
    """Do an operation and die at a point of it, as the order says."""
    asyncio.run(_die(msgspec.json.decode(document, type=_Order)))


async def _die(order: _Order) -> None:
    fault = _Armed()
    async with _core(Path(order.folder), order.place, fault) as core:
        await _use(core, used=order.used)
        fault.hook = KillAt(order.point, order.count)
        await _perform(core, order.operation)
