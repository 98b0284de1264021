"""What a gateway's catalog and its btrfs pool hold, seen by somebody else, and compared with each other."""

from __future__ import annotations

import base64
import json
from collections import Counter
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec

from gateway.backends.btrfs import BtrfsBackend, BtrfsOptions
from gateway.backends.btrfs.kernel import Kernel
from gateway.catalog import SqliteCatalog
from gateway.core.catalog import R
from gateway.core.jobs import FINAL
from gateway.core.manifest import everything
from gateway.core.model import (
    ExportPolicy,
    Intent,
    Job,
    Schedule,
    Snapshot,
    SnapshotPolicy,
    SnapshotState,
    Tenant,
    Volume,
    VolumeState,
)
from gateway.core.notes import note, read_manifest
from gateway.core.observer import SilentObserver
from gateway.core.pools import Configured
from gateway.core.query import Order, Query
from gateway.core.reconcile import Finding, Reconciler
from gateway.testing.cores import core_on

CATALOG = "catalog.sqlite"

Files = dict[str, bytes]


class VolumeView(msgspec.Struct, frozen=True, kw_only=True):
    """A volume as its users know it: nothing in it is an id. `origin` is (volume, snapshot)."""

    size: int
    files: Files
    snapshots: dict[str, Files] = {}
    origin: tuple[str, str] | None = None
    comment: str = ""
    path: str | None = None
    state: str = "online"
    mode: int = 0o755


View = dict[str, VolumeView]


class World(msgspec.Struct, frozen=True, kw_only=True):
    """Everything in a catalog; `files` are the bytes of volumes and snapshots, `view` both by name."""

    tenants: dict[UUID, Tenant]
    volumes: dict[UUID, Volume]
    snapshots: dict[UUID, Snapshot]
    jobs: dict[UUID, Job]
    policies: dict[UUID, ExportPolicy]
    files: dict[UUID, Files] = {}
    view: View = {}
    findings: list[Finding] = []


def contents(folder: Path) -> Files:
    """Give the files of a volume or snapshot with their bytes."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


async def examine(data: Path, mount: Path, *, reconcile: bool = False) -> World:
    """Give what is there, once catalog and substrate were found equal and nothing half-made.

    `reconcile`: the gateway's own comparison runs, too; what it found is in `findings`.
    """
    catalog = SqliteCatalog(data / CATALOG)
    await catalog.open()
    try:
        world = World(
            tenants=await _all(catalog, Tenant),
            volumes=await _all(catalog, Volume),
            snapshots=await _all(catalog, Snapshot),
            jobs=await _all(catalog, Job),
            policies=await _all(catalog, ExportPolicy),
        )
        assert not await _all(catalog, Intent), "an intent was left open"
        document = (mount / ".gateway" / "manifest").read_bytes()
        kept = read_manifest(document)
        assert kept is not None
        assert kept.tenants == await everything(catalog, Tenant)
        assert kept.export_policies == await everything(catalog, ExportPolicy)
        assert kept.snapshot_policies == await everything(catalog, SnapshotPolicy)
        assert kept.schedules == await everything(catalog, Schedule)
    finally:
        await catalog.close()
    _assert_final(world)
    _assert_counted(world)
    _assert_substrate(world, mount)
    findings = await _reconciled(data, mount) if reconcile else []
    files = {volume.id: contents(mount / "volumes" / str(volume.id)) for volume in world.volumes.values()}
    for snapshot in world.snapshots.values():
        files[snapshot.id] = contents(mount / "snapshots" / str(snapshot.volume_id) / str(snapshot.id))
    return msgspec.structs.replace(world, files=files, view=_view(world, files, mount), findings=findings)


async def everything_in(data: Path, *kinds: type[Any]) -> dict[type[Any], list[Any]]:
    """Give all records of these kinds in a catalog."""
    catalog = SqliteCatalog(data / CATALOG)
    await catalog.open()
    try:
        return {kind: list((await _all(catalog, kind)).values()) for kind in kinds}
    finally:
        await catalog.close()


async def _all(catalog: SqliteCatalog, kind: type[R]) -> dict[UUID, R]:
    found: dict[UUID, R] = {}
    query = Query(order=(Order("id"),), limit=1000)
    while True:
        page = await catalog.page(kind, query)
        found |= {record.id: record for record in page.records}
        if page.cursor is None:
            return found
        query = msgspec.structs.replace(query, after=page.cursor)


def _assert_final(world: World) -> None:
    unfinished = [job for job in world.jobs.values() if job.state not in FINAL or job.ended is None]
    assert not unfinished, f"jobs are not final: {unfinished}"
    for volume in world.volumes.values():
        assert volume.state in {VolumeState.ONLINE, VolumeState.OFFLINE}, f"{volume.name}: {volume.reason}"
    for snapshot in world.snapshots.values():
        assert snapshot.state is SnapshotState.VALID, f"{snapshot.name}: {snapshot.reason}"
        assert snapshot.volume_id in world.volumes


def _assert_counted(world: World) -> None:
    snapshots = Counter(snapshot.volume_id for snapshot in world.snapshots.values())
    clones = Counter(volume.origin.volume_id for volume in world.volumes.values() if volume.origin)
    based = Counter(volume.origin.snapshot_id for volume in world.volumes.values() if volume.origin)
    for volume in world.volumes.values():
        assert volume.snapshot_count == snapshots[volume.id], volume.name
        assert volume.clone_count == clones[volume.id], volume.name
        if volume.origin is not None:
            assert volume.origin.volume_id in world.volumes
            assert volume.origin.snapshot_id in world.snapshots
    for snapshot in world.snapshots.values():
        assert snapshot.clone_count == based[snapshot.id], snapshot.name


def _assert_substrate(world: World, mount: Path) -> None:
    kernel = Kernel()
    filesystem = kernel.filesystem(mount)
    assert _names(mount / "staging") == set()
    assert _names(mount / "volumes") == {str(volume) for volume in world.volumes}
    assert _names(mount / "notes") == {f"{owner}.json" for owner in (*world.volumes, *world.snapshots)}
    for family in (mount / "snapshots").iterdir():
        held = {str(s.id) for s in world.snapshots.values() if str(s.volume_id) == family.name}
        assert _names(family) == held
        assert family.name in _names(mount / "volumes"), "the snapshots' directory of a volume that is gone"
    for volume in world.volumes.values():
        subvolume = kernel.subvolume(mount / "volumes" / str(volume.id))
        assert subvolume is not None
        assert not subvolume.read_only
        usage = kernel.usage(filesystem.id, subvolume.id)
        assert usage is not None
        assert usage.limit == volume.size, f"{volume.name} has another limit than its size"
        kept = _note(mount, volume.id)
        assert kept["size"] == volume.size
        _assert_note(kept, volume, world)
        origin = (kept.get("origin"), kept.get("origin_snapshot"))
        wanted = volume.origin
        assert origin == ((str(wanted.volume_id), str(wanted.snapshot_id)) if wanted else (None, None))
    for snapshot in world.snapshots.values():
        subvolume = kernel.subvolume(mount / "snapshots" / str(snapshot.volume_id) / str(snapshot.id))
        assert subvolume is not None
        assert subvolume.read_only
        _assert_note(_note(mount, snapshot.id), snapshot, world)


def _assert_note(kept: dict[str, object], record: Volume | Snapshot, world: World) -> None:
    wanted = note(record, world.tenants[record.tenant_id].name)
    found = kept["note"]
    assert isinstance(found, dict)
    assert (found["name"], found["tenant"]) == (wanted.name, wanted.tenant)
    assert base64.b64decode(found["document"]) == wanted.document, "the note tells another story than the catalog"


def _note(mount: Path, owner: UUID) -> dict[str, object]:
    found = json.loads((mount / "notes" / f"{owner}.json").read_text())
    assert isinstance(found, dict)
    return found


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def _view(world: World, files: dict[UUID, Files], mount: Path) -> View:
    """Name things as a user does. Snapshots that a clone made for itself lose the time in their name."""
    shown = {
        s.id: s.name.partition(".")[0] if s.name.startswith("clone_") else s.name for s in world.snapshots.values()
    }
    view: View = {}
    for volume in world.volumes.values():
        origin = volume.origin
        view[volume.name] = VolumeView(
            size=volume.size,
            files=files[volume.id],
            snapshots={shown[s.id]: files[s.id] for s in world.snapshots.values() if s.volume_id == volume.id},
            origin=(world.volumes[origin.volume_id].name, shown[origin.snapshot_id])
            if origin and origin.snapshot_id
            else None,
            comment=volume.comment,
            path=volume.junction_path,
            state=volume.state.value,
            mode=(mount / "volumes" / str(volume.id)).stat().st_mode & 0o7777,
        )
    return view


async def _reconciled(data: Path, mount: Path) -> list[Finding]:
    """Compare as another gateway of the same catalog would, while the first one runs."""
    backend = BtrfsBackend("fast", BtrfsOptions(path=mount))
    try:
        async with core_on(data, [Configured("fast", backend)], tenants=()) as core:
            (pool,) = core.pools
            return await Reconciler(core, pool, SilentObserver()).run()
    finally:
        await backend.close()
