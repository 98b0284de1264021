"""Several official clients at one volume at the same time, and clients that do not wait."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openstorage_client import DOOR, Client, official_client

from gateway.testing.live import LiveGateway, live_gateway

GIB = 1 << 30
SPEC = {"size": GIB, "ha_level": 1}
MANY = 12


@pytest.fixture
def volume(sdk: Client) -> str:
    return str(sdk("Volume/Create", name="v", spec=SPEC)["volume_id"])


def statuses(answers: list[tuple[str, Any]]) -> Counter[str]:
    return Counter(code for code, _ in answers)


class TestOneName:
    def test_all_who_make_the_same_get_the_same_id(self, sdk: Client) -> None:
        answers = sdk.at_once("Volume/Create", *[{"name": "v", "spec": SPEC}] * MANY)
        assert statuses(answers) == {"OK": MANY}
        (made,) = {answer["volume_id"] for _, answer in answers}
        assert sdk("Volume/Enumerate")["volume_ids"] == [made]

    def test_also_when_their_schedules_have_to_be_made_first(self, sdk: Client) -> None:
        wanted = [{"name": "v", "spec": {**SPEC, "snapshot_schedule": f"daily=@12:{n:02}"}} for n in range(MANY)]
        answers = sdk.at_once("Volume/Create", *wanted)
        assert len({answer["volume_id"] for _, answer in answers}) == 1

    def test_all_who_clone_the_same_get_the_same_id(self, sdk: Client, volume: str) -> None:
        answers = sdk.at_once("Volume/Clone", *[{"name": "c", "parent_id": volume}] * MANY)
        assert statuses(answers) == {"OK": MANY}
        assert len({answer["volume_id"] for _, answer in answers}) == 1

    def test_of_two_that_differ_one_already_exists(self, sdk: Client) -> None:
        wanted = [{"name": "v", "spec": {**SPEC, "size": size * GIB}} for size in (1, 2)]
        assert statuses(sdk.at_once("Volume/Create", *wanted)) == {"OK": 1, "ALREADY_EXISTS": 1}

    def test_snapshots_of_one_name_are_distinct(self, sdk: Client, volume: str) -> None:
        answers = sdk.at_once("Volume/SnapshotCreate", *[{"volume_id": volume, "name": "s"}] * MANY)
        assert len({answer["snapshot_id"] for _, answer in answers}) == MANY


class TestOneVolume:
    def test_labels_of_all_are_kept(self, sdk: Client, volume: str) -> None:
        wanted = [{"volume_id": volume, "labels": {f"k{n}": "1"}} for n in range(MANY)]
        assert statuses(sdk.at_once("Volume/Update", *wanted)) == {"OK": MANY}
        assert len(sdk("Volume/Inspect", volume_id=volume)["labels"]) == MANY

    def test_labels_of_a_snapshot_are_kept_too(self, sdk: Client, volume: str) -> None:
        taken = sdk("Volume/SnapshotCreate", volume_id=volume, name="s")["snapshot_id"]
        sdk.at_once("Volume/Update", *[{"volume_id": taken, "labels": {f"k{n}": "1"}} for n in range(MANY)])
        assert len(sdk("Volume/Inspect", volume_id=taken)["labels"]) == MANY

    def test_members_of_the_spec_are_kept(self, sdk: Client, volume: str) -> None:
        specs: list[dict[str, Any]] = [{"sticky": True}, {"cos": "HIGH"}, {"io_profile": "IO_PROFILE_DB"}]
        specs += [{"journal": True}, {"snapshot_interval": 60}, {"size": 2 * GIB}]
        answers = sdk.at_once("Volume/Update", *[{"volume_id": volume, "spec": spec} for spec in specs])
        assert statuses(answers) == {"OK": len(specs)}
        shown = sdk("Volume/Inspect", volume_id=volume)["volume"]["spec"]
        assert {key: shown[key] for spec in specs for key in spec} == {
            "sticky": True,
            "cos": "HIGH",
            "io_profile": "IO_PROFILE_DB",
            "journal": True,
            "snapshot_interval": 60,
            "size": str(2 * GIB),
        }

    def test_all_attach_it(self, sdk: Client, volume: str) -> None:
        answers = sdk.at_once("MountAttach/Attach", *[{"volume_id": volume}] * MANY)
        assert statuses(answers) == {"OK": MANY}
        assert len({answer["device_path"] for _, answer in answers}) == 1

    def test_all_delete_it(self, sdk: Client, volume: str) -> None:
        sdk("Volume/SnapshotCreate", volume_id=volume, name="s")
        assert statuses(sdk.at_once("Volume/Delete", *[{"volume_id": volume}] * MANY)) == {"OK": MANY}


class TestWhoDoesNotWait:
    def test_gets_what_was_made_by_asking_again(self, gateway: LiveGateway, sdk: Client) -> None:
        for n in range(MANY):
            hasty = sdk.within(0.0005 * (n + 1))
            assert hasty.at_once("Volume/Create", {"name": f"v{n}", "spec": SPEC})[0][0] in {"OK", "DEADLINE_EXCEEDED"}
            first = sdk("Volume/Create", name=f"v{n}", spec=SPEC)
            assert sdk("Volume/Create", name=f"v{n}", spec=SPEC) == first
        assert len(sdk("Volume/Enumerate")["volume_ids"]) == MANY
        assert '"level":"error"' not in gateway.log.read_text()


class TestAGatewayThatWasKilled:
    @pytest.fixture
    def own(self, tmp_path: Path) -> Iterator[LiveGateway]:
        with live_gateway(tmp_path / "gateway", pools=_pool(tmp_path), extra=DOOR) as running:
            yield running

    @pytest.mark.parametrize("point", ["journalled", "applied", "committed"])
    def test_in_a_create_made_it_or_makes_it_when_asked_again(
        self, own: LiveGateway, openstorage_python: Path, point: str
    ) -> None:
        request = {"name": "v", "spec": SPEC, "labels": {"a": "1"}}
        with official_client(openstorage_python, own.addresses["openstorage"]) as sdk:
            own.arm(f"volume.create.{point}")
            assert sdk.at_once("Volume/Create", request)[0][0] in {"UNAVAILABLE", "UNKNOWN"}
            own.wait()
            own.start()
            again = sdk.at(own.addresses["openstorage"])
            made = again("Volume/Create", **request)["volume_id"]
            assert again("Volume/Enumerate")["volume_ids"] == [made]
            found = again("Volume/Inspect", volume_id=made)
            assert (found["volume"]["state"], found["labels"]) == ("VOLUME_STATE_AVAILABLE", {"a": "1"})


def _pool(folder: Path) -> str:
    disk = folder / "disk"
    disk.mkdir()
    return f'[backend.files]\ndriver = "directory"\npath = {json.dumps(str(disk))}\n'
