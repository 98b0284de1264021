"""The ONTAP door over memory and over real btrfs behaves like a page of plain Python, bytes included.

A few dozen short runs by default; many long ones with
`pytest tests/model --hypothesis-profile=long`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from model_world import POOL, World, btrfs_backend, memory_backend
from plain_model import MIB, Model, Vol

from gateway.testing.btrfs_pool import btrfs_pool

NAMES = st.sampled_from(["a", "b", "c", "d"])
SNAPSHOTS = st.sampled_from(["s1", "s2", "s3"])
POLICIES = st.sampled_from(["default", "default", "p1", "p1", "p2", "missing"])
PATHS = st.sampled_from(["/x", "/y", "/x/z", "/w"])
SIZES = st.sampled_from([20 * MIB, 20 * MIB, 24 * MIB, 33 * MIB + 1, 64 * MIB, MIB])
FILES = st.sampled_from(["f", "dir/g"])
BYTES = st.binary(max_size=8) | st.integers(1, 255).map(lambda byte: bytes([byte]) * 70_000)
TAGS = st.lists(st.sampled_from(["k:1", "l:2", "m:"]), max_size=3, unique=True).map(tuple)
SHOWN = "name,size,state,comment,_tags,nas.path,nas.export_policy.name,snapshot_count,clone"
ORDERS: dict[str, Callable[[Vol], Any]] = {
    "name": lambda vol: vol.name,
    "size": lambda vol: vol.size,
    "snapshot_count": lambda vol: len(vol.snapshots),
}
NOWHERE = str(uuid4())
WHICH = st.integers(0, 11)
"""Picks one of those that exist; 0 stands for one that does not."""


class Door(RuleBasedStateMachine):
    """Each step is asked of the door and done in the model; then both must agree about everything."""

    world: World
    tenants: Iterator[int]

    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        self.svm, self.svm_uuid = f"m{next(self.tenants)}", ""

    @initialize()
    def begin(self) -> None:
        self.change("POST", "/api/svm/svms", {"name": self.svm}, None)
        found = self.get(f"/api/svm/svms?name={self.svm}")
        self.svm_uuid = found["records"][0]["uuid"]
        self.create_policy("p1")
        for name in ("a", "b"):
            self.create(name, 20 * MIB, online=True, junction=None, policy=None)
            self.all_is_as_the_model_says()
            self.write(len(self.model.volumes), "f", name.encode())
            self.snap(len(self.model.volumes), "s1")

    # --- volumes ---

    @rule(
        name=NAMES,
        size=SIZES,
        online=st.sampled_from([True, True, True, False]),
        junction=st.none() | PATHS,
        policy=st.none() | POLICIES,
    )
    def create(self, name: str, size: int, *, online: bool, junction: str | None, policy: str | None) -> None:
        body: dict[str, Any] = {"name": name, "svm": {"name": self.svm}, "aggregates": [{"name": POOL}], "size": size}
        body |= {} if online else {"state": "offline"}
        body |= self._place(junction, policy)
        expected = self.model.create(name, size, online=online, junction=junction, policy=policy)
        self.change("POST", "/api/storage/volumes", body, expected)

    @rule(
        volume=WHICH,
        which=st.none() | WHICH,
        name=NAMES,
        junction=st.none() | PATHS,
        policy=st.none() | POLICIES,
    )
    def clone(self, volume: int, which: int | None, name: str, junction: str | None, policy: str | None) -> None:
        parent = self.one(volume)
        snapshot = None if which is None else self.one_of(parent, which)
        clone: dict[str, Any] = {"is_flexclone": True, "parent_volume": {"name": parent}}
        clone |= {} if snapshot is None else {"parent_snapshot": {"name": snapshot}}
        body = {"name": name, "svm": {"name": self.svm}, "clone": clone, **self._place(junction, policy)}
        expected = self.model.clone(parent, snapshot, name, junction=junction, policy=policy)
        self.change("POST", "/api/storage/volumes", body, expected)

    @precondition(lambda self: self.model.volumes)
    @rule(volume=WHICH, which=st.none() | WHICH)
    def clone_simply(self, volume: int, which: int | None) -> None:
        """Clone under a name that is free, so that what follows from clones is seen often."""
        free = next(name for number in count() if self.model.volume(name := f"clone{number}") is None)
        self.clone(volume, which, free, None, None)

    @precondition(lambda self: any(vol.origin for vol in self.model.volumes))
    @rule(which=WHICH, whole=st.booleans())
    def end_clone(self, which: int, *, whole: bool) -> None:
        """Split a clone off or delete it: either frees its parent."""
        clones = [place for place, vol in enumerate(self.model.volumes, start=1) if vol.origin]
        (self.delete if whole else self.split)(clones[which % len(clones)])

    @rule(volume=WHICH)
    def split(self, volume: int) -> None:
        name = self.one(volume)
        path = self.path(name)
        self.change("PATCH", path, {"clone": {"split_initiated": True}}, self.model.split(name))

    @rule(volume=WHICH, size=SIZES)
    def resize(self, volume: int, size: int) -> None:
        name = self.one(volume)
        path = self.path(name)
        self.change("PATCH", path, {"size": size}, self.model.update(name, size=size))

    @rule(volume=WHICH, new_name=NAMES)
    def rename(self, volume: int, new_name: str) -> None:
        name = self.one(volume)
        path = self.path(name)
        self.change("PATCH", path, {"name": new_name}, self.model.update(name, new_name=new_name))

    @rule(volume=WHICH, comment=st.text(st.characters(exclude_categories=["C"]), max_size=5), tags=TAGS)
    def describe(self, volume: int, comment: str, tags: tuple[str, ...]) -> None:
        name = self.one(volume)
        path = self.path(name)
        expected = self.model.update(name, comment=comment, tags=tags)
        self.change("PATCH", path, {"comment": comment, "_tags": list(tags)}, expected)

    @rule(volume=WHICH, junction=PATHS | st.just(""))
    def mount(self, volume: int, junction: str) -> None:
        name = self.one(volume)
        path = self.path(name)
        self.change("PATCH", path, self._place(junction, None), self.model.update(name, junction=junction))

    @rule(volume=WHICH, online=st.booleans())
    def switch(self, volume: int, *, online: bool) -> None:
        name = self.one(volume)
        path = self.path(name)
        body = {"state": "online" if online else "offline"}
        self.change("PATCH", path, body, self.model.update(name, online=online))

    @rule(volume=WHICH, new_name=NAMES, size=SIZES, online=st.booleans(), junction=PATHS, policy=POLICIES)
    def change_much(self, volume: int, new_name: str, size: int, *, online: bool, junction: str, policy: str) -> None:
        name = self.one(volume)
        path = self.path(name)
        body = {"name": new_name, "size": size, "state": "online" if online else "offline"}
        body |= self._place(junction, policy)
        expected = self.model.update(
            name, new_name=new_name, size=size, online=online, junction=junction, policy=policy
        )
        self.change("PATCH", path, body, expected)

    @rule(volume=WHICH)
    def delete(self, volume: int) -> None:
        name = self.one(volume)
        path = self.path(name)
        self.change("DELETE", path, None, self.model.delete(name))

    @rule(volume=WHICH, file=FILES, data=BYTES)
    def write(self, volume: int, file: str, data: bytes) -> None:
        name = self.one(volume)
        vol = self.model.volume(name)
        if vol is not None and vol.online:
            self.world.write(vol.id, file, data)
            vol.files[file] = data

    # --- snapshots ---

    @rule(volume=WHICH, snapshot=SNAPSHOTS)
    def snap(self, volume: int, snapshot: str) -> None:
        name = self.one(volume)
        path = f"{self.path(name)}/snapshots"
        self.change("POST", path, {"name": snapshot}, self.model.snap(name, snapshot))

    @rule(volume=WHICH, which=WHICH, new_name=SNAPSHOTS)
    def rename_snapshot(self, volume: int, which: int, new_name: str) -> None:
        name = self.one(volume)
        snapshot = self.one_of(name, which)
        path = self.snapshot_path(name, snapshot)
        self.change("PATCH", path, {"name": new_name}, self.model.rename_snapshot(name, snapshot, new_name))

    @rule(volume=WHICH, which=WHICH)
    def delete_snapshot(self, volume: int, which: int) -> None:
        name = self.one(volume)
        snapshot = self.one_of(name, which)
        path = self.snapshot_path(name, snapshot)
        self.change("DELETE", path, None, self.model.delete_snapshot(name, snapshot))

    @rule(volume=WHICH, which=WHICH, in_query=st.booleans())
    def restore(self, volume: int, which: int, *, in_query: bool) -> None:
        name = self.one(volume)
        snapshot = self.one_of(name, which)
        path, body = self.path(name), {"restore_to": {"snapshot": {"name": snapshot}}}
        if in_query:
            path, body = f"{path}?restore_to.snapshot.name={snapshot}", {}
        self.change("PATCH", path, body, self.model.restore(name, snapshot))

    # --- export policies ---

    @rule(name=POLICIES.filter(lambda name: name != "missing"))
    def create_policy(self, name: str) -> None:
        body = {"name": name, "svm": {"name": self.svm}}
        self.change("POST", "/api/protocols/nfs/export-policies", body, self.model.create_policy(name))

    @rule(name=POLICIES)
    def delete_policy(self, name: str) -> None:
        path = self.policy_path(name)
        self.change("DELETE", path, None, self.model.delete_policy(name))

    @rule(name=POLICIES, new_name=POLICIES.filter(lambda name: name != "missing"))
    def rename_policy(self, name: str, new_name: str) -> None:
        path = self.policy_path(name)
        self.change("PATCH", path, {"name": new_name}, self.model.rename_policy(name, new_name))

    @rule(name=POLICIES, client=st.sampled_from(["10.0.0.1", "::/0"]), index=st.none() | st.integers(1, 4))
    def add_rule(self, name: str, client: str, index: int | None) -> None:
        path = f"{self.policy_path(name)}/rules"
        body = {"clients": [{"match": client}], "ro_rule": ["any"], "rw_rule": ["any"]}
        body |= {} if index is None else {"index": index}
        self.change("POST", path, body, self.model.add_rule(name, client, index))

    @rule(name=POLICIES, index=st.integers(1, 4))
    def delete_rule(self, name: str, index: int) -> None:
        path = f"{self.policy_path(name)}/rules/{index}"
        self.change("DELETE", path, None, self.model.delete_rule(name, index))

    # --- the gateway itself ---

    @precondition(lambda self: self.model.volumes)
    @rule()
    def restart(self) -> None:
        self.world.restart()

    @precondition(lambda self: self.model.volumes)
    @rule()
    def reconcile(self) -> None:
        assert self.world.reconcile() == []

    # --- questions ---

    @rule(
        order=st.sampled_from(sorted(ORDERS)),
        descending=st.booleans(),
        page=st.integers(1, 3),
        condition=st.sampled_from(["", "state=online", "size=>20MB", "name=a|c", "nas.path=!null", "comment=!*a*"]),
    )
    def list_in_order(self, order: str, page: int, condition: str, *, descending: bool) -> None:
        key = ORDERS[order]
        wanted = sorted((vol for vol in self.model.volumes if CONDITIONS[condition](vol)), key=key, reverse=descending)
        direction = "desc" if descending else "asc"
        path = f"/api/storage/volumes?svm.name={self.svm}&order_by={order}%20{direction}&max_records={page}&{condition}"
        seen: list[str] = []
        for turn in count():
            answer = self.get(path)
            names = [record["name"] for record in answer["records"]]
            assert len(names) == answer["num_records"] <= page
            seen += names
            if "next" not in answer["_links"]:
                break
            assert turn < len(wanted) + 1
            path = answer["_links"]["next"]["href"]
        assert sorted(seen) == sorted(vol.name for vol in wanted)
        ranks = {vol.name: key(vol) for vol in wanted}
        assert [ranks[name] for name in seen] == [key(vol) for vol in wanted]
        counted = self.get(f"/api/storage/volumes?svm.name={self.svm}&return_records=false&{condition}")
        assert counted["num_records"] == len(wanted)

    # --- what holds after every step ---

    @invariant()
    def all_is_as_the_model_says(self) -> None:
        if self.svm_uuid:
            self._compare_volumes()
            self._compare_bytes()
            self._compare_policies()

    def _compare_volumes(self) -> None:
        listed = self.get(f"/api/storage/volumes?svm.uuid={self.svm_uuid}&fields={SHOWN}")["records"]
        self._learn(listed)
        assert {record["name"]: shown(record) for record in listed} == {
            vol.name: self._expected(vol) for vol in self.model.volumes
        }

    def _compare_bytes(self) -> None:
        for vol in self.model.volumes:
            assert self.world.files(vol.id) == vol.files
            for snap in vol.snapshots:
                assert self.world.files(vol.id, snap.id) == snap.files

    def _compare_policies(self) -> None:
        listed = self.get(f"/api/protocols/nfs/export-policies?svm.name={self.svm}&fields=name,rules")["records"]
        found = {
            record["name"]: [(rule["index"], rule["clients"][0]["match"]) for rule in record.get("rules", [])]
            for record in listed
        }
        assert found == {name: policy.rules for name, policy in self.model.policies.items()}

    def teardown(self) -> None:
        """Leave nothing behind, as far as a failure allows; the test looks at what is left after the last run."""
        if not self.svm_uuid:
            return
        mine = f"/api/storage/volumes?svm.uuid={self.svm_uuid}&clone.has_flexclone=false&return_timeout=60"
        for _ in self.model.volumes:
            self.world.ask("DELETE", mine)
        self.world.ask("DELETE", f"/api/svm/svms/{self.svm_uuid}")

    # --- asking ---

    def get(self, path: str) -> Any:
        status, body = self.world.ask("GET", path)
        assert status == 200, body
        return body

    def change(self, method: str, path: str, body: object, expected: str | None) -> None:
        """Make a change, wait for its end, and compare its outcome with the model's."""
        mark = "&" if "?" in path else "?"
        status, answer = self.world.ask(method, f"{path}{mark}return_timeout=60", body)
        code = answer.get("error", {}).get("code")
        note(f"{self.svm}: {status} {answer.get('error', '')}")
        assert code == expected, answer
        assert (status < 300) == (expected is None), (status, answer)

    def one(self, volume: int) -> str:
        """Give the name of a volume that exists; 0: of one that does not."""
        volumes = self.model.volumes
        return volumes[(volume - 1) % len(volumes)].name if volume and volumes else "missing"

    def one_of(self, name: str, which: int) -> str:
        """Give the name of a snapshot of the volume; 0: one that it does not have."""
        vol = self.model.volume(name)
        return vol.snapshots[(which - 1) % len(vol.snapshots)].name if vol and vol.snapshots and which else "missing"

    def path(self, name: str) -> str:
        vol = self.model.volume(name)
        return f"/api/storage/volumes/{vol.id if vol else NOWHERE}"

    def snapshot_path(self, name: str, snapshot: str) -> str:
        vol = self.model.volume(name)
        found = vol.snapshot(snapshot) if vol else None
        return f"{self.path(name)}/snapshots/{found.id if found else NOWHERE}"

    def policy_path(self, name: str) -> str:
        found = self.get(f"/api/protocols/nfs/export-policies?svm.name={self.svm}&name={quote(name)}")["records"]
        return f"/api/protocols/nfs/export-policies/{found[0]['id'] if found else 999_999}"

    def _place(self, junction: str | None, policy: str | None) -> dict[str, Any]:
        # Junction paths are one name space for all SVMs, and runs must not meet in it.
        nas: dict[str, Any] = {} if junction is None else {"path": junction and f"/{self.svm}{junction}"}
        nas |= {} if policy is None else {"export_policy": {"name": policy}}
        return {"nas": nas} if nas else {}

    def _learn(self, listed: list[dict[str, Any]]) -> None:
        """Take over what the door alone decides: ids, and the names of snapshots that clones made themselves."""
        for record in listed:
            vol = self.model.volume(record["name"])
            assert vol is not None, record
            assert vol.id in {"", record["uuid"]}
            vol.id = record["uuid"]
            path = f"/api/storage/volumes/{vol.id}/snapshots?order_by=create_time&fields=name,owners"
            found = self.get(path)["records"]
            assert len(found) == len(vol.snapshots)
            for snap, seen in zip(vol.snapshots, found, strict=True):
                snap.name = snap.name or seen["name"]
                snap.id = snap.id or seen["uuid"]
                assert (snap.name, snap.id) == (seen["name"], seen["uuid"])
                assert ("volume_clone" in seen.get("owners", [])) == bool(self.model.based_on(snap))

    def _expected(self, vol: Vol) -> dict[str, Any]:
        origin = vol.origin
        return {
            "size": vol.size,
            "state": "online" if vol.online else "offline",
            "comment": vol.comment,
            "tags": sorted(vol.tags),
            "path": vol.junction and f"/{self.svm}{vol.junction}",
            "policy": vol.policy,
            "snapshots": len(vol.snapshots),
            "parent": origin and (origin[0].id, origin[0].name, origin[1].id, origin[1].name),
            "has_flexclone": bool(self.model.clones_of(vol)),
        }


def shown(record: dict[str, Any]) -> dict[str, Any]:
    clone = record["clone"]
    parent = clone.get("parent_volume")
    base = clone.get("parent_snapshot", {})
    assert clone["is_flexclone"] is (parent is not None)
    return {
        "size": record["size"],
        "state": record["state"],
        "comment": record["comment"],
        "tags": sorted(record.get("_tags", [])),
        "path": record["nas"].get("path"),
        "policy": record["nas"]["export_policy"]["name"],
        "snapshots": record["snapshot_count"],
        "parent": parent and (parent["uuid"], parent["name"], base.get("uuid"), base.get("name")),
        "has_flexclone": clone["has_flexclone"],
    }


CONDITIONS: dict[str, Callable[[Vol], bool]] = {
    "": lambda _: True,
    "state=online": lambda vol: vol.online,
    "size=>20MB": lambda vol: vol.size > 20 * MIB,
    "name=a|c": lambda vol: vol.name in {"a", "c"},
    "nas.path=!null": lambda vol: vol.junction is not None,
    "comment=!*a*": lambda vol: "a" not in vol.comment,
}


@pytest.fixture(params=["memory", pytest.param("btrfs", marks=pytest.mark.root)])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    with ExitStack() as stack:
        if request.param == "memory":
            yield stack.enter_context(World(tmp_path, memory_backend))
        else:
            mount = stack.enter_context(btrfs_pool(tmp_path / "pool"))
            yield stack.enter_context(World(tmp_path, lambda: btrfs_backend(mount)))


SHORT = {"memory": (80, 40), "btrfs": (40, 40)}


def chosen(substrate: str) -> settings:
    """Give the profile named on the command line, or few short runs."""
    if settings.get_current_profile_name() == "long":
        return settings()
    examples, steps = SHORT[substrate]
    quiet = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
    return settings(max_examples=examples, stateful_step_count=steps, deadline=None, suppress_health_check=quiet)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_door_behaves_like_the_model(world: World, request: pytest.FixtureRequest) -> None:
    class OnThisWorld(Door):
        pass

    OnThisWorld.world, OnThisWorld.tenants = world, count(1)
    run_state_machine_as_test(OnThisWorld, settings=chosen(request.node.callspec.params["world"]))
    assert world.inventory() == (set(), set())
    assert world.ask("GET", "/api/svm/svms")[1]["num_records"] == 1
