"""Every change of a ZFS pool as data, for the tests that end the process in the middle of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from uuid import UUID

import msgspec
from zfs_scene import BLOCK, FILESYSTEM, SIZE, Scene, note, parts, spec

from gateway.core.backend import GroupMember, Note
from gateway.core.model import RootDirectory, VolumeKind

VOLUME, OTHER, CLONE, REPLICA = (UUID(int=number, version=4) for number in range(1, 5))
FIRST, SECOND, ARRIVED, NEXT, BESIDE = (UUID(int=number, version=4) for number in range(11, 16))
TOKEN = UUID(int=21, version=4)
ROOT = RootDirectory(mode=0o2770, uid=7, gid=8)
BOTH = (FILESYSTEM, BLOCK)

Act = Callable[[Scene], Awaitable[object]]


class Change(msgspec.Struct, frozen=True):
    """A change of one operation, after something more was prepared.

    kinds: of which volumes it is tried.
    between: a volume that may be gone halfway, until the change is made again.
    """

    operation: str
    act: Act
    prepare: Act | None = None
    kinds: tuple[VolumeKind, ...] = (FILESYSTEM,)
    between: UUID | None = None


def noise(seed: int, size: int) -> bytes:
    """Give bytes that do not compress and are the same in every process."""
    state, out = seed, bytearray()
    while len(out) < size:
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        out += state.to_bytes(8, "little")[3:7]
    return bytes(out[:size])


def long_note(seed: int) -> Note:
    return Note(name="long", tenant="tenant", document=noise(seed, 20_000))


async def receive(at: Scene, snapshot: UUID, base: UUID | None) -> None:
    data = await at.stream(VOLUME, SECOND if base else FIRST, base)
    replica = spec(REPLICA, kind=at.kind, size=2 * SIZE)
    await at.backend.receive(replica, snapshot, note("arrived"), parts(data))


async def cloned(at: Scene) -> None:
    await at.backend.clone(VOLUME, FIRST, spec(CLONE, kind=at.kind))


async def held_by_a_split_clone(at: Scene) -> None:
    await at.backend.clone(VOLUME, SECOND, spec(CLONE, kind=at.kind))
    await at.backend.split(CLONE)
    for snapshot in (FIRST, SECOND):
        await at.backend.delete_snapshot(VOLUME, snapshot)


async def another(at: Scene) -> None:
    await at.backend.create(spec(OTHER, kind=at.kind))


async def group(at: Scene) -> None:
    members = [GroupMember(volume=v, snapshot=s, note=note(str(s))) for v, s in ((VOLUME, NEXT), (OTHER, BESIDE))]
    await at.backend.snapshot_group(members)


async def grown(at: Scene) -> None:
    await at.backend.resize(VOLUME, 2 * SIZE)


CHANGES: dict[str, Change] = {
    "create": Change("create", lambda at: at.backend.create(spec(OTHER, kind=at.kind)), kinds=BOTH),
    "create with permissions": Change("create", lambda at: at.backend.create(spec(OTHER, root=ROOT))),
    "clone": Change(
        "clone", lambda at: at.backend.clone(VOLUME, FIRST, spec(CLONE, kind=at.kind, size=2 * SIZE)), kinds=BOTH
    ),
    "clone with permissions": Change("clone", lambda at: at.backend.clone(VOLUME, FIRST, spec(CLONE, root=ROOT))),
    "delete": Change("delete", lambda at: at.backend.delete(OTHER), another, BOTH),
    "delete what a split clone needs": Change(
        "delete", lambda at: at.backend.delete(VOLUME), held_by_a_split_clone, BOTH
    ),
    "annotate": Change("annotate", lambda at: at.backend.annotate(VOLUME, note("changed"))),
    "annotate at length": Change(
        "annotate",
        lambda at: at.backend.annotate(VOLUME, long_note(2)),
        lambda at: at.backend.annotate(VOLUME, long_note(1)),
    ),
    "split": Change("split", lambda at: at.backend.split(CLONE), cloned),
    "resize": Change("resize", lambda at: at.backend.resize(VOLUME, 3 * SIZE), kinds=BOTH),
    "resize of a thick one": Change(
        "resize",
        lambda at: at.backend.resize(OTHER, 3 * SIZE),
        lambda at: at.backend.create(spec(OTHER, thick=True)),
    ),
    "set_root": Change("set_root", lambda at: at.backend.set_root(VOLUME, ROOT)),
    "convert": Change("convert", lambda at: at.backend.convert(spec(OTHER, kind=BLOCK)), another, between=OTHER),
    "snapshot": Change("snapshot", lambda at: at.backend.snapshot(VOLUME, NEXT, note("next")), kinds=BOTH),
    "snapshot_group": Change("snapshot_group", group, another),
    "delete_snapshot": Change("delete_snapshot", lambda at: at.backend.delete_snapshot(VOLUME, FIRST)),
    "annotate_snapshot": Change(
        "annotate_snapshot", lambda at: at.backend.annotate_snapshot(VOLUME, FIRST, long_note(3))
    ),
    "restore": Change("restore", lambda at: at.backend.restore(VOLUME, FIRST, TOKEN), grown, BOTH),
    "receive the first": Change("receive", lambda at: receive(at, ARRIVED, None), kinds=BOTH),
    "receive the next": Change(
        "receive", lambda at: receive(at, NEXT, FIRST), lambda at: receive(at, ARRIVED, None), BOTH
    ),
    "put_manifest": Change("put_manifest", lambda at: at.backend.put_manifest(noise(4, 20_000).hex().encode())),
}


async def prepared(at: Scene, change: Change) -> None:
    """Make a volume with two snapshots and newer bytes."""
    await at.backend.put_manifest(b"old")
    await at.backend.create(spec(VOLUME, kind=at.kind))
    for snapshot, data in ((FIRST, b"first"), (SECOND, b"second")):
        await at.write(VOLUME, a=data * 1000)
        await at.backend.snapshot(VOLUME, snapshot, note("taken"))
    await at.write(VOLUME, a=b"newest", b=b"new")
    if change.prepare is not None:
        await change.prepare(at)
