"""What is published follows the catalog, also when changes race with it or parts of it fail."""

from __future__ import annotations

import asyncio
from pathlib import Path
from uuid import UUID

import pytest
from core_scene import LocalMemory, PaperExporter, Script, make, scripted_pool, snap

from gateway.core import errors, policies, tenants, volumes
from gateway.core.context import Core
from gateway.core.model import ExportPolicy, ExportRule, Tenant, TenantState, Volume, VolumeState
from gateway.testing.cores import core_on


class Scene:
    """A core that publishes on paper."""

    def __init__(self, core: Core, exporter: PaperExporter, policy: ExportPolicy) -> None:
        self.core = core
        self.exporter = exporter
        self.policy = policy

    async def published(self, name: str) -> Volume:
        return await make(self.core, name, junction_path=f"/{name}", export_policy_id=self.policy.id)


@pytest.fixture
async def scene(tmp_path: Path):
    exporter = PaperExporter()
    async with core_on(tmp_path, [scripted_pool(Script())], exporter=exporter) as core:
        tenant = await core.find(Tenant, name="svm1")
        policy = await policies.create_export_policy(core, tenant.id, "p")
        yield Scene(core, exporter, policy)


def clients(exporter: PaperExporter, volume_id: UUID) -> list[str]:
    return [client for rule in exporter.exports[volume_id].rules for client in rule.clients]


async def test_rules_taken_away_are_taken_away_everywhere_although_one_volume_fails(scene: Scene) -> None:
    made = [await scene.published(f"v{number}") for number in range(3)]
    await policies.add_rule(scene.core, scene.policy.id, ExportRule(index=0, clients=("10.0.0.1",)))
    for broken in made:
        scene.exporter.broken = {broken.id}
        rule = ExportRule(index=0, clients=(broken.name,))
        with pytest.raises(errors.Unavailable):
            await policies.update_export_policy(scene.core, scene.policy.id, rules=[rule])
        for volume in made:
            if volume is not broken:
                assert clients(scene.exporter, volume.id) == [broken.name]


async def test_a_stopped_tenant_publishes_nothing_although_one_volume_fails(scene: Scene) -> None:
    made = [await scene.published(f"v{number}") for number in range(3)]
    await tenants.update(scene.core, made[0].tenant_id, tenants.TenantChange(state=TenantState.STOPPED))
    assert scene.exporter.exports == {}
    for broken in made:
        scene.exporter.broken = {broken.id}
        with pytest.raises(errors.Unavailable):
            await tenants.update(scene.core, broken.tenant_id, tenants.TenantChange(state=TenantState.RUNNING))
        assert scene.exporter.exports.keys() == {volume.id for volume in made} - {broken.id}
        await tenants.update(scene.core, broken.tenant_id, tenants.TenantChange(state=TenantState.STOPPED))


async def test_an_unmounted_volume_stays_unpublished_although_its_policy_changes_meanwhile(scene: Scene) -> None:
    """The rules change just after the withdrawal, while the volume still has its path in the catalog."""
    core, volume = scene.core, await scene.published("v")
    (pool,) = core.pools
    assert isinstance(pool.backend, LocalMemory)
    racing: list[asyncio.Task[object]] = []

    async def rules_change() -> None:
        rule = ExportRule(index=0, clients=("10.0.0.1",))
        racing.append(asyncio.ensure_future(policies.add_rule(core, scene.policy.id, rule)))
        for _ in range(10_000):
            if (await core.get(ExportPolicy, scene.policy.id)).rules:
                break
            await asyncio.sleep(0)
        for _ in range(100):
            await asyncio.sleep(0)

    pool.backend.before_annotate = rules_change
    change = volumes.VolumeChange(state=VolumeState.OFFLINE)
    await (await volumes.update(core, volume.id, change, description="t")).result()
    await asyncio.gather(*racing)
    assert scene.exporter.exports == {}


async def test_without_its_exporter_the_gateway_changes_what_is_not_mounted(scene: Scene) -> None:
    core = scene.core
    mounted, plain = await scene.published("mounted"), await make(core, "plain")
    snapshot = await snap(core, plain, "s")
    scene.exporter.down = True
    await (await volumes.restore(core, plain.id, snapshot.id, description="t", discard_newer=True)).result()
    offline = volumes.VolumeChange(state=VolumeState.OFFLINE)
    await (await volumes.update(core, plain.id, offline, description="t")).result()
    await (await volumes.delete(core, plain.id, description="t")).result()
    with pytest.raises(errors.Unavailable):
        await (await volumes.delete(core, mounted.id, description="t")).result()
    assert (await core.get(Volume, mounted.id)).state is VolumeState.ONLINE
