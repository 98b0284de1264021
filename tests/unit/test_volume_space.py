"""Volumes whose size follows their use, thresholds that are told of, and what a move tells on its way."""

from __future__ import annotations

import itertools

import msgspec
import pytest
from core_scene import make
from move_scene import furnished, memory, moved, start, two_pools

from gateway.core import documents, volumes
from gateway.core.context import Core
from gateway.core.model import Volume
from gateway.core.observer import SilentObserver
from gateway.frontends.ontap_rest import space
from gateway.frontends.ontap_rest.body import Values
from gateway.frontends.ontap_rest.moves import moves_of, render_movement
from gateway.frontends.ontap_rest.space import SpaceWatch, SpaceWatcher, wanted_size
from gateway.testing.cores import core_on

SIZE = 1000


class Told(SilentObserver):
    """Writes down what happened."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def event(self, name: str, **fields: str | int) -> None:
        del fields
        self.events.append(name)


@pytest.fixture
async def core(tmp_path):
    async with core_on(tmp_path, two_pools()) as found:
        yield found


async def watched(core: Core, **values: object) -> Volume:
    """Make a volume of 1000 bytes with settings as a body has them."""
    volume = await make(core, "v", pool="old", size=SIZE)
    return await settle(core, volume, {path.replace("__", "."): value for path, value in values.items()})


async def settle(core: Core, volume: Volume, values: Values) -> Volume:
    annotations = space.annotated(volume, values, core.pools.get(volume.pool_id).capability(volume.kind))
    await space.mark(core, volume.id, annotations)
    change = volumes.VolumeChange(annotations=annotations)
    await (await volumes.update(core, volume.id, change, description="test")).result()
    return await core.get(Volume, volume.id)


async def size_of(core: Core, volume: Volume) -> int:
    return (await core.get(Volume, volume.id)).size


async def test_a_volume_grows_before_it_is_full_and_no_further_than_it_may(core):
    volume = await watched(core, autosize__mode="grow", autosize__maximum=1250)
    told = Told()
    watcher = SpaceWatcher(core, told)
    memory(core, "old").write(volume.id, "a", b"x" * 850)
    await watcher.run()
    assert await size_of(core, volume) == SIZE
    memory(core, "old").write(volume.id, "b", b"x" * 100)
    await watcher.run()
    assert await size_of(core, volume) == 1118
    memory(core, "old").write(volume.id, "c", b"x" * 150)
    await watcher.run()
    assert await size_of(core, volume) == 1250
    memory(core, "old").write(volume.id, "d", b"x" * 150)
    await watcher.run()
    assert await size_of(core, volume) == 1250
    assert told.events == ["volume_autosized"] * 2


async def test_a_volume_that_may_shrink_does_so_to_the_middle_of_its_thresholds(core):
    volume = await watched(core, autosize__mode="grow_shrink", autosize__minimum=400)
    memory(core, "old").write(volume.id, "a", b"x" * 350)
    await SpaceWatcher(core, Told()).run()
    assert await size_of(core, volume) == 519


async def test_a_size_is_within_its_bounds_holds_what_is_there_and_stays_when_it_was_changed(core):
    volume = await make(core, "v", pool="old", size=SIZE)
    capability = core.pools.get(volume.pool_id).capability(volume.kind)
    for mode, used in itertools.product(("off", "grow", "grow_shrink"), range(0, 1300, 10)):
        watch = SpaceWatch(volume=volume.id, mode=mode, maximum=1200, minimum=600)
        size = wanted_size(volume, watch, used, capability)
        assert size == SIZE if mode == "off" else max(600, min(used, 1200)) <= size <= 1200, (mode, used)
        resized = msgspec.structs.replace(volume, size=size)
        if used * 100 <= 85 * 1200:
            assert wanted_size(resized, watch, used, capability) == size, (mode, used)


async def test_a_volume_that_nobody_watches_any_more_is_not_looked_at(core):
    volume = await watched(core, autosize__mode="grow")
    volume = await settle(core, volume, {"autosize.mode": "off"})
    memory(core, "old").write(volume.id, "a", b"x" * 950)
    watcher = SpaceWatcher(core, Told())
    for _ in range(2):
        await watcher.run()
    assert await size_of(core, volume) == SIZE
    assert await documents.all_of(core, space.KIND) == []


async def test_a_volume_whose_watch_is_just_being_asked_for_is_watched(core):
    volume = await make(core, "v", pool="old", size=SIZE)
    annotations = space.annotated(
        volume, {"autosize.mode": "grow"}, core.pools.get(volume.pool_id).capability(volume.kind)
    )
    watcher = SpaceWatcher(core, Told())
    await space.mark(core, volume.id, annotations)
    await watcher.run()
    change = volumes.VolumeChange(annotations=annotations)
    await (await volumes.update(core, volume.id, change, description="test")).result()
    memory(core, "old").write(volume.id, "a", b"x" * 950)
    await watcher.run()
    assert await size_of(core, volume) > SIZE


async def test_the_mark_of_a_volume_goes_with_it(core):
    volume = await watched(core, autosize__mode="grow")
    await (await volumes.delete(core, volume.id, description="test")).result()
    watcher = SpaceWatcher(core, Told())
    for _ in range(2):
        await watcher.run()
    assert await documents.all_of(core, space.KIND) == []


async def test_what_cannot_be_looked_at_does_not_hold_up_the_rest(core):
    volume = await watched(core, autosize__mode="grow")
    other = await settle(core, await make(core, "w", pool="new", size=SIZE), {"autosize.mode": "grow"})
    for name, one in (("old", volume), ("new", other)):
        memory(core, name).write(one.id, "a", b"x" * 950)
    await core.pools.close_lost()
    memory(core, "old").hidden.add(volume.id)
    await SpaceWatcher(core, Told()).run()
    assert await size_of(core, volume) == SIZE
    assert await size_of(core, other) > SIZE


async def test_a_threshold_is_told_of_when_it_is_passed_and_not_again(core):
    volume = await watched(core, space__nearly_full_threshold_percent=50, space__full_threshold_percent=90)
    told = Told()
    watcher = SpaceWatcher(core, told)
    for amount in (100, 450, 10, 380):
        memory(core, "old").write(volume.id, f"f{amount}", b"x" * amount)
        await watcher.run()
    await (await volumes.update(core, volume.id, volumes.VolumeChange(size=4000), description="test")).result()
    await watcher.run()
    assert told.events == ["volume_nearly_full", "volume_full", "volume_not_full_any_more"]


async def test_a_move_tells_where_it_leads_while_it_goes_on_and_where_it_led(core):
    volume = await furnished(core)
    seen = []

    async def look() -> None:
        seen.append(render_movement((await moves_of(core, [volume]))[volume.id]))

    memory(core, "old").before_send = look
    there = await moved(core, volume)
    assert [(move["state"], move["destination_aggregate"]["name"]) for move in seen] == [("replicating", "new")]
    assert "percent_complete" not in seen[0]
    after = render_movement((await moves_of(core, [there]))[volume.id])
    assert (after["state"], after["percent_complete"]) == ("success", 100)
    assert after["destination_aggregate"]["name"] == "new"
    assert await moves_of(core, [await make(core, "never", pool="new")]) == {}


async def test_a_move_that_failed_says_so_until_another_one_succeeds(core):
    volume = await furnished(core)

    async def fail() -> None:
        raise msgspec.ValidationError("no stream")

    memory(core, "old").before_send = fail
    job = await (await start(core, volume)).wait()
    assert job.error is not None
    found = render_movement((await moves_of(core, [volume]))[volume.id])
    assert (found["state"], "destination_aggregate" in found) == ("failed", False)
    memory(core, "old").before_send = None
    there = await moved(core, volume)
    assert (await moves_of(core, [there]))[volume.id].state == "success"
