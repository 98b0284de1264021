"""Rules of the original tests about snapshots, and about tasks."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from libstorage_client import ANY, ATTACHED, Client, OutlastedError, RefusedError, client_of, not_found, refused
from libstorage_scene import DOOR, Bed

from gateway.testing.live import live_gateway

FULL = {"availabilityZone": "az1", "iops": 1000, "size": 2, "type": "gold"}


def test_a_snapshot_tells_its_name_and_its_volume(bed: Bed) -> None:
    made = bed.client.create(bed.service, "data", **FULL, opts={"team": "red"})
    before = set(bed.client.snapshots(bed.service))
    taken = bed.client.snapshot(bed.service, made.id, "before", reason="upgrade")
    assert (taken.name, taken.volume_id, taken.volume_size, taken.status) == ("before", made.id, 2, "online")
    assert taken.start_time > 1_000_000_000
    assert taken.fields.items() >= {"team": "red", "reason": "upgrade"}.items()
    assert bed.nobody.inspect_snapshot(bed.service, taken.id) == taken
    assert set(bed.nobody.snapshots(bed.service)) - before == {taken.id}
    assert bed.nobody.snapshots_everywhere()[bed.service] == {taken.id: taken}


def test_a_volume_of_a_snapshot_inherits_what_it_is_not_told(bed: Bed) -> None:
    made = bed.client.create(bed.service, "data", **FULL, opts={"team": "red", "a": 1})
    taken = bed.client.snapshot(bed.service, made.id, "before")
    plain = bed.client.from_snapshot(bed.service, taken.id, "plain")
    assert (plain.name, plain.availability_zone, plain.iops, plain.size, plain.type) == (
        "plain",
        "az1",
        1000,
        2,
        "gold",
    )
    larger = bed.client.from_snapshot(bed.service, taken.id, "larger", size=3, type="", opts={"a": 2})
    assert (larger.size, larger.type, larger.iops) == (3, "gold", 1000)
    assert larger.fields.items() >= {"team": "red", "a": "2"}.items()
    assert bed.nobody.volume(bed.service, larger.id, ANY).size == 3


def test_a_snapshot_is_not_copied(bed: Bed) -> None:
    made = bed.client.create(bed.service, "data")
    taken = bed.client.snapshot(bed.service, made.id, "before")
    for destination in ("", "elsewhere"):
        with pytest.raises(RefusedError, match="not implemented") as caught:
            bed.client.copy_snapshot(bed.service, taken.id, "copy", destination)
        assert caught.value.status == 500
    assert set(bed.nobody.snapshots(bed.service)) == {taken.id}


def test_a_snapshot_is_removed_once(bed: Bed) -> None:
    made = bed.client.create(bed.service, "data")
    taken = bed.client.snapshot(bed.service, made.id, "before")
    bed.client.remove_snapshot(bed.service, taken.id)
    with not_found(taken.id):
        bed.client.remove_snapshot(bed.service, taken.id)
    with not_found(taken.id):
        bed.client.inspect_snapshot(bed.service, taken.id)
    with not_found(taken.id):
        bed.client.from_snapshot(bed.service, taken.id, "copy")


def test_snapshots_outlive_their_volume_or_go_with_it_but_never_point_nowhere(bed: Bed) -> None:
    made = bed.client.create(bed.service, "data", size=1)
    taken = bed.client.snapshot(bed.service, made.id, "before")
    bed.client.remove(bed.service, made.id, "?force")
    for snapshot in bed.nobody.snapshots(bed.service).values():
        assert bed.client.from_snapshot(bed.service, snapshot.id, "again").size == 1
    assert taken.volume_id == made.id


@pytest.mark.parametrize("body", [{}, {"snapshotName": "x"}, {"destinationID": ""}, {"name": "x"}])
def test_the_body_of_a_copied_snapshot_is_held_against_its_schema(bed: Bed, body: object) -> None:
    made = bed.client.create(bed.service, "data")
    taken = bed.client.snapshot(bed.service, made.id, "before")
    with pytest.raises(RefusedError, match="validate req schema: validation error: ") as caught:
        bed.client.call("POST", f"/snapshots/{bed.service}/{taken.id}?copy", body)
    assert caught.value.status == 500


def test_what_is_not_waited_for_is_a_task_that_ends_with_the_result(bed: Bed) -> None:
    queued = bed.client.queued("POST", f"/volumes/{bed.service}", {"name": "data"} | FULL)
    ended = bed.client.ended(queued)
    assert ended.state == "success"
    volume_id = ended.result["id"]
    assert ended.result == bed.client.call("GET", f"/volumes/{bed.service}/{volume_id}?attachments=1")
    assert bed.client.tasks()[str(queued.id)] == ended

    attached = bed.client.ended(bed.client.queued("POST", f"/volumes/{bed.service}/{volume_id}?attach", {}))
    assert attached.result["volume"]["attachmentState"] == ATTACHED
    listed = bed.client.ended(bed.client.queued("GET", f"/volumes/{bed.service}?attachments=0"))
    assert set(listed.result) == {volume_id}
    for path in (f"/volumes/{bed.service}/{volume_id}?detach", f"/volumes/{bed.service}?detach", "/volumes?detach"):
        assert bed.client.ended(bed.client.queued("POST", path)).state == "success"
    taken = bed.client.ended(
        bed.client.queued("POST", f"/volumes/{bed.service}/{volume_id}?snapshot", {"snapshotName": "s"})
    )
    assert bed.client.ended(bed.client.queued("GET", "/snapshots")).result[bed.service][taken.result["id"]]
    assert (
        bed.client.ended(bed.client.queued("DELETE", f"/snapshots/{bed.service}/{taken.result['id']}")).result is None
    )
    assert bed.client.ended(bed.client.queued("DELETE", f"/volumes/{bed.service}/{volume_id}")).state == "success"
    assert bed.client.volumes(bed.service) == {}


def test_a_task_that_fails_tells_why(bed: Bed) -> None:
    ended = bed.client.ended(bed.client.queued("DELETE", f"/volumes/{bed.service}/vfs-009"))
    assert (ended.state, ended.error) == ("error", {"msg": "resource not found", "resourceID": "vfs-009"})


def test_what_can_be_told_at_once_is_not_queued(bed: Bed) -> None:
    made = bed.client.create(bed.service, "data")
    with refused(400, "missing instance ID", {"service": bed.service}):
        bed.nobody.queued("POST", f"/volumes/{bed.service}/{made.id}?attach")
    with pytest.raises(RefusedError, match="validation error"):
        bed.nobody.queued("POST", f"/volumes/{bed.service}", {})
    with not_found("none"):
        bed.nobody.queued("GET", "/volumes/none")


def test_numbers_of_tasks_are_used_once(bed: Bed) -> None:
    numbers = [bed.client.queued("GET", "/volumes").id for _ in range(5)]
    assert numbers == sorted(set(numbers))
    with not_found("4711"):
        bed.client.task(4711)
    with not_found("x"):
        bed.client.call("GET", "/tasks/x")


@contextlib.contextmanager
def _hurried(folder: Path) -> Iterator[Client]:
    extra = f"{DOOR}execution_timeout_s = 0.000001\n"
    with (
        live_gateway(folder, extra=extra) as gateway,
        client_of(gateway.addresses["libstorage"], "vfs=host-a") as client,
    ):
        yield client


def test_a_call_that_outlasts_the_limit_goes_on_as_a_task(tmp_path: Path) -> None:
    with _hurried(tmp_path) as client:
        with pytest.raises(OutlastedError) as caught:
            client.create("memory", "data")
        ended = client.ended(caught.value.task)
        assert (ended.state, ended.result["name"]) == ("success", "data")
