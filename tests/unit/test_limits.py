"""What the core refuses by itself, whichever door asks."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import msgspec
import pytest
from core_scene import MIB, Script, clone_of, everything, make, scripted_pool, snap

from gateway.backends.memory import MemoryBackend, MemoryOptions
from gateway.core import clones, errors, jobs, policies, snapshots, tenants, volumes
from gateway.core.backend import Substrate
from gateway.core.context import Core
from gateway.core.model import (
    ExportPolicy,
    Job,
    JobState,
    RootDirectory,
    SnapshotPolicy,
    SnapshotSchedule,
    Tenant,
    Volume,
    VolumeState,
    utc_now,
)
from gateway.core.notes import NOTE_MAX
from gateway.core.pools import Configured
from gateway.core.query import ALL, Query
from gateway.testing import records
from gateway.testing.cores import core_on
from gateway.testing.records import stored


@pytest.fixture
async def core(tmp_path: Path):
    async with core_on(tmp_path, [scripted_pool(Script())]) as made:
        yield made


@pytest.mark.parametrize(
    ("field", "given"),
    [
        ("comment", {"comment": "x" * 40_000}),
        ("labels", {"comment": "x" * 30_000, "labels": {"k": "y" * 34_000}, "junction_path": "/z" * 500}),
        ("comment", {"comment": "\x01" * 20_000}),
        ("labels", {"labels": {"k": "\x01" * 20_000}}),
        ("junction_path", {"junction_path": "relative"}),
        ("junction_path", {"junction_path": "/"}),
        ("junction_path", {"junction_path": "/a/../b"}),
        ("junction_path", {"junction_path": "/a//b"}),
        ("junction_path", {"junction_path": "/a/"}),
        ("junction_path", {"junction_path": "/a\nb"}),
        ("root.uid", {"root": RootDirectory(uid=-1)}),
        ("root.gid", {"root": RootDirectory(gid=1 << 32)}),
        ("root.mode", {"root": RootDirectory(mode=0o10000)}),
        ("state", {"state": VolumeState.ERROR}),
    ],
)
async def test_unusable_values_of_a_volume(core: Core, field: str, given: dict[str, object]) -> None:
    with pytest.raises(errors.InvalidArgument) as caught:
        await make(core, "v", **given)
    assert caught.value.field == field
    volume = await make(core, "v")
    root = given.pop("root", None)
    if isinstance(root, RootDirectory):
        given |= {"root_mode": root.mode, "root_uid": root.uid, "root_gid": root.gid}
    with pytest.raises(errors.InvalidArgument) as caught:
        await volumes.update(core, volume.id, volumes.VolumeChange(**given), description="t")
    assert caught.value.field == field
    assert await core.get(Volume, volume.id) == volume


@pytest.mark.parametrize(
    ("field", "given"),
    [
        ("comment", {"comment": "x" * 5000}),
        ("label", {"label": "x" * 300}),
        ("label", {"label": "a\0"}),
        ("labels", {"labels": {"k": "x" * 70_000}}),
    ],
)
async def test_unusable_values_of_a_snapshot(core: Core, field: str, given: dict[str, object]) -> None:
    volume = await make(core, "v")
    with pytest.raises(errors.InvalidArgument) as caught:
        await snap(core, volume, "s", **given)
    assert caught.value.field == field
    snapshot = await snap(core, volume, "s")
    with pytest.raises(errors.InvalidArgument) as caught:
        await snapshots.update(core, snapshot.id, snapshots.SnapshotChange(**given), description="t")
    assert caught.value.field == field


async def test_every_note_fits(core: Core) -> None:
    volume = await make(core, "v" * 255, comment="x" * 32_000, junction_path="/z" * 500, labels={"k": "\x01" * 4000})
    await clone_of(core, volume, "v" * 254)
    (pool,) = core.pools
    async for seen in pool.backend.scan():
        assert len(seen.note.document) <= NOTE_MAX
    async for seen in pool.backend.scan_snapshots():
        assert len(seen.note.document) <= NOTE_MAX


async def test_a_snapshot_policy_of_another_tenant_is_not_there(core: Core) -> None:
    other = await tenants.create(core, "other")
    policy = await policies.create_snapshot_policy(
        core,
        SnapshotPolicy(
            id=uuid4(),
            name="p",
            created=utc_now(),
            tenant_id=other.id,
            copies=(SnapshotSchedule(schedule="daily", count=1),),
        ),
    )
    with pytest.raises(errors.NotFound):
        await make(core, "v", snapshot_policy_id=policy.id)


@pytest.mark.parametrize("name", ["c", "c" * 255, "ü" * 127])
async def test_a_clones_own_snapshot_always_finds_a_name(core: Core, name: str) -> None:
    """The snapshot of an earlier clone of that name stays."""
    volume = await make(core, "v")
    for _ in range(3):
        clone = await clone_of(core, volume, name)
        await (await volumes.delete(core, clone.id, description="t")).result()
    made = await volumes.snapshots_of(core, volume.id)
    assert len({s.name for s in made}) == 3
    assert all(len(s.name.encode()) <= 255 for s in made)


class Cramped(MemoryBackend):
    """Holds two snapshots of a volume."""

    def describe(self) -> Substrate:
        found = super().describe()
        kinds = {kind: msgspec.structs.replace(facts, snapshot_max=2) for kind, facts in found.kinds.items()}
        return msgspec.structs.replace(found, kinds=kinds)


async def test_a_clones_own_snapshot_counts_against_the_limit(tmp_path: Path) -> None:
    async with core_on(tmp_path, [Configured("memory", Cramped("memory", MemoryOptions()))]) as core:
        volume = await make(core, "v")
        await snap(core, volume, "s1")
        await clone_of(core, volume, "c1")
        before = await everything(core)
        with pytest.raises(errors.LimitExceeded):
            await clone_of(core, volume, "c2")
        assert await everything(core) == before
        new = clones.NewClone(name="c3", tenant_id=volume.tenant_id, source_id=volume.id)
        with pytest.raises(errors.LimitExceeded):
            await clones.create(core, new, description="t")
        assert volume.size == 20 * MIB


async def test_an_update_leaves_alone_what_it_does_not_name(core: Core) -> None:
    volume = await make(core, "v")
    for change in (volumes.VolumeChange(root_uid=7), volumes.VolumeChange(root_mode=0o700)):
        await (await volumes.update(core, volume.id, change, description="t")).result()
    assert (await core.get(Volume, volume.id)).root == RootDirectory(mode=0o700, uid=7)


async def test_no_policy_outlives_its_tenant(core: Core) -> None:
    for number in range(20):
        tenant = await tenants.create(core, f"t{number}")
        copies = (SnapshotSchedule(schedule="daily", count=1),)
        schedule = SnapshotPolicy(id=uuid4(), name="s", created=utc_now(), tenant_id=tenant.id, copies=copies)
        outcomes = await asyncio.gather(
            policies.create_export_policy(core, tenant.id, "p"),
            policies.create_snapshot_policy(core, schedule),
            tenants.delete(core, tenant.id),
            return_exceptions=True,
        )
        assert outcomes[2] is None
        assert await core.find(Tenant, name=tenant.name) is None
        for kind in (ExportPolicy, SnapshotPolicy):
            held = [p.tenant_id for p in (await core.catalog.page(kind, Query())).records]
            assert tenant.id not in held


async def test_all_snapshots_are_found_however_many(core: Core) -> None:
    volume = await make(core, "v")
    await stored(core.catalog, *(records.snapshot(f"s{number}", volume) for number in range(10_001)))
    assert len(await volumes.snapshots_of(core, volume.id)) == 10_001


async def test_old_jobs_are_forgotten_although_older_ones_have_only_just_ended(core: Core) -> None:
    now = utc_now()
    late = [
        msgspec.structs.replace(records.job("o", JobState.SUCCESS), created=now - timedelta(days=9), ended=now)
        for _ in range(501)
    ]
    old = msgspec.structs.replace(
        records.job("o", JobState.SUCCESS), created=now - timedelta(days=3), ended=now - timedelta(days=3)
    )
    await stored(core.catalog, *late, old)
    assert await jobs.forget_old(core) == 1
    assert await core.catalog.count(Job, ALL) == 501
