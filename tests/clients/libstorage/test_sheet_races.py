"""Calls that come at once, and a gateway that dies while it carries one out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from libstorage_client import ANY, RefusedError, client_of
from libstorage_scene import DOOR, Bed

from gateway.testing.live import live_gateway


def at_once(calls: Sequence[Callable[[], Any]]) -> list[Any]:
    """Make calls at the same time; give what each gives, or how it is refused."""

    def one(call: Callable[[], Any]) -> Any:
        try:
            return call()
        except RefusedError as error:
            return error

    with ThreadPoolExecutor(len(calls)) as threads:
        return list(threads.map(one, calls))


def refusals(results: Sequence[Any]) -> list[str]:
    return [each.message for each in results if isinstance(each, RefusedError)]


def test_one_name_is_given_to_one_of_many(bed: Bed) -> None:
    names = ["data", "DATA", "Data", "dAta", "daTa", "datA"]
    results = at_once([lambda name=name: bed.client.create(bed.service, name, size=1) for name in names])
    refused = refusals(results)
    assert len(refused) == len(names) - 1
    assert set(refused) <= {"volume name already exists", "volume is being changed"}
    assert len(bed.client.volumes(bed.service)) == 1


def test_two_nodes_race_for_a_volume(bed: Bed) -> None:
    made = bed.client.create(bed.service, "data", size=1).id
    results = at_once([lambda client=client: client.attach(bed.service, made) for client in (bed.client, bed.other)])
    holders = bed.nobody.volume(bed.service, made, ANY).holders
    if bed.shares:
        assert (refusals(results), holders) == ([], sorted(bed.nodes))
    else:
        assert refusals(results) == ["volume already attached to a host"]
        assert len(holders) == 1


def test_a_node_attaches_many_at_once_each_under_a_device_of_its_own(bed: Bed) -> None:
    ids = [bed.client.create(bed.service, f"v{number}", size=1).id for number in range(6)]
    results = at_once([lambda each=each: bed.client.attach(bed.service, each) for each in ids])
    assert refusals(results) == []
    assert len({each.volume.attachments[0].device_name for each in results}) == len(ids)


def test_all_is_detached_while_more_is_attached_and_removed(bed: Bed) -> None:
    ids = [bed.client.create(bed.service, f"v{number}", size=1).id for number in range(6)]
    for each in ids[:3]:
        bed.client.attach(bed.service, each)
    calls: list[Callable[[], Any]] = [lambda: bed.client.detach_service(bed.service)] * 2
    calls += [lambda each=each: bed.client.attach(bed.service, each) for each in ids[3:]]
    calls += [lambda each=each: bed.client.remove(bed.service, each, "?force") for each in ids[1:5]]
    at_once(calls)
    for each in ids[1:5]:
        at_once([lambda each=each: bed.client.remove(bed.service, each, "?force")])
    bed.client.detach_service(bed.service)
    left = bed.nobody.volumes(bed.service, ANY)
    assert {each: volume.holders for each, volume in left.items()} == {ids[0]: [], ids[5]: []}


def test_a_task_of_a_gateway_that_died_tells_how_it_ended(tmp_path: Path) -> None:
    pool = tmp_path / "pool"
    pool.mkdir()
    pools = f'[backend.plain]\ndriver = "directory"\npath = "{pool}"\n'
    with live_gateway(tmp_path / "gateway", pools=pools, extra=DOOR) as gateway:
        with client_of(gateway.addresses["libstorage"]) as client:
            queued = [client.queued("POST", "/volumes/plain", {"name": f"v{number}"}) for number in range(8)]
        gateway.kill()
        gateway.start()
        with client_of(gateway.addresses["libstorage"]) as client:
            ended = [client.ended(task) for task in queued]
            assert len(client.volumes("plain")) == sum(task.state == "success" for task in ended)
            assert len({task.id for task in ended}) == len(queued)
