"""Several gateways on one catalog: what one that died had begun is ended by one that lives."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from core_scene import LocalMemory, PaperExporter, Script, everything, make, scripted_pool, snap, tenant_and_pool

from gateway.core import errors, retired, snapshots, volumes
from gateway.core.change import Plan
from gateway.core.context import Core
from gateway.core.model import ExportPolicy, Job, JobState, Volume
from gateway.core.observer import SilentObserver
from gateway.core.query import Query
from gateway.core.recover import Recovery
from gateway.server.assembly import House
from gateway.server.duties import duties
from gateway.testing.cores import core_on


class Death(BaseException):
    """Stands for the end of the process."""


def die() -> None:
    raise Death


async def half_made(core: Core) -> None:
    tenant, pool = await tenant_and_pool(core)
    new = volumes.NewVolume(name="v", tenant_id=tenant.id, pool_id=pool.id, size=1 << 20)
    started = await volumes.create(core, new, description="t")
    with pytest.raises(Death):
        await started.wait()


def house(core: Core) -> House:
    return House(core, Recovery(core, SilentObserver()), None, SilentObserver())


async def perform(home: House, name: str) -> None:
    (duty,) = (duty for duty in duties(home, {}) if duty.name == name)
    await duty.act()


async def test_a_living_gateway_ends_what_a_dead_one_began(tmp_path: Path) -> None:
    script = Script()
    pool = scripted_pool(script)
    async with core_on(tmp_path, [pool]) as living:
        script.steps["volume.create.applied"] = die
        async with core_on(tmp_path, [pool], fault=script) as dying:
            await half_made(dying)
        assert [v.state for v in (await everything(living))["Volume"]] == ["creating"]
        await perform(house(living), "open_pools")
        (volume,) = (await living.catalog.page(Volume, Query())).records
        assert volume.state == "online"
        (job,) = (await living.catalog.page(Job, Query())).records
        assert job.state is JobState.SUCCESS
        await (await volumes.delete(living, volume.id, description="t")).result()


async def test_a_job_whose_end_could_not_be_written_is_ended_at_the_next_try(tmp_path: Path) -> None:
    script = Script()
    pool = scripted_pool(script)
    async with core_on(tmp_path, [pool], fault=script) as living:
        policy = await living.find(ExportPolicy, name="default")
        assert policy is not None
        async with core_on(tmp_path, [pool], exporter=PaperExporter(), fault=script) as dying:
            script.steps["volume.create.committed"] = die
            tenant, found = await tenant_and_pool(dying)
            new = volumes.NewVolume(
                name="v",
                tenant_id=tenant.id,
                pool_id=found.id,
                size=1 << 20,
                junction_path="/v",
                export_policy_id=policy.id,
            )
            started = await volumes.create(dying, new, description="t")
            with pytest.raises(Death):
                await started.wait()
        home = house(living)

        def adopted() -> None:
            script.steps["catalog.commit.begun"] = errors.Unavailable(what="catalog")

        script.steps["catalog.commit.written"] = adopted
        with pytest.raises(errors.Unavailable):
            await perform(home, "open_pools")
        await perform(home, "open_pools")
        assert (await living.get(Job, started.job.id)).state is JobState.SUCCESS


async def test_one_pool_that_does_not_answer_does_not_hide_the_others(tmp_path: Path) -> None:
    first, second = Script(), Script()
    pools = [scripted_pool(first, "one"), scripted_pool(second, "two")]
    async with core_on(tmp_path, pools) as core:
        await make(core, "a", pool="one")
        await make(core, "b", pool="two")
        for pool in pools:
            assert isinstance(pool.backend, LocalMemory)
            pool.backend.silent = True
            other = next(p for p in pools if p is not pool)
            await perform(house(core), "pool_space")
            assert (await tenant_and_pool(core, other.name))[1].volume_count == 1
            pool.backend.silent = False


async def test_a_retired_volume_goes_with_its_last_snapshot_without_being_asked(tmp_path: Path) -> None:
    async with core_on(tmp_path, [scripted_pool(Script())]) as core:
        volume = await make(core, "v")
        snapshot = await snap(core, volume, "s")
        await (await retired.remove(core, volume.id, description="t")).result()
        await perform(house(core), "collect_retired")
        assert [v.id for v in (await everything(core))["Volume"]] == [volume.id]
        await (await snapshots.delete(core, snapshot.id, description="t")).result()
        await perform(house(core), "collect_retired")
        assert (await everything(core))["substrate"] == []


async def test_a_pool_that_opens_late_gets_the_manifest(tmp_path: Path) -> None:
    script = Script()
    pool = scripted_pool(script)
    async with core_on(tmp_path, []) as core:
        core.pools.configured[pool.name] = pool
        await perform(house(core), "open_pools")
        assert b"svm1" in (await pool.backend.manifest() or b"")


async def test_what_another_gateway_changed_while_a_change_was_planned_stays(tmp_path: Path) -> None:
    pool = scripted_pool(Script())
    async with core_on(tmp_path, [pool]) as one, core_on(tmp_path, [pool]) as two:
        volume = await make(one, "v")
        plans = 0

        async def plan() -> Plan:
            nonlocal plans
            plans += 1
            before = await one.get(Volume, volume.id)
            if plans == 1:
                grown = volumes.VolumeChange(size=3 * volume.size)
                await (await volumes.update(two, volume.id, grown, description="t")).result()
            after = msgspec.structs.replace(before, comment="late")
            return Plan(operation="volume.update", description="t", pool_id=before.pool_id, before=before, after=after)

        await (await one.start({volume.id}, plan)).result()
        found = await two.get(Volume, volume.id)
        assert (found.size, found.comment, plans) == (3 * volume.size, "late", 2)


async def test_what_another_gateway_changed_is_published_here_too(tmp_path: Path) -> None:
    pool, exporter = scripted_pool(Script()), PaperExporter()
    async with core_on(tmp_path, [pool]) as one, core_on(tmp_path, [pool], exporter=exporter) as two:
        (follow,) = (duty for duty in duties(house(two), {}) if duty.name == "follow")
        policy = await one.find(ExportPolicy, name="default")
        assert policy is not None
        volume = await make(one, "v", junction_path="/v", export_policy_id=policy.id)
        await follow.act()
        assert set(await exporter.published()) == {volume.id}
        await follow.act()
        await (await volumes.delete(one, volume.id, description="t")).result()
        await follow.act()
        assert await exporter.published() == {}
