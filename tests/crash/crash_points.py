"""Which operations are killed where: what each one passes, and what it makes of the scene."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from typing import Any

import msgspec
from crash_scene import MIB, SIZE, SVMS, VOLUMES, Change, clone, create, delete, patch, take
from crash_world import View, VolumeView

from gateway.backends.btrfs.faults import STEPS
from gateway.backends.files.faults import INSIDE_STEPS
from gateway.core.model import Job, JobState

COMMIT = ("catalog.commit.begun", "catalog.commit.written", "catalog.commit.durable")


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of change: the request, all points it passes in order, and the scene that it leaves.

    `job`: the word of its job. `tenants`: names of the tenants there are afterwards.
    """

    job: str
    change: Change
    passes: tuple[str, ...]
    outcome: Callable[[View], View]
    tenants: tuple[str, ...] = ("svm1",)


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """Where one run ends: at the `count`-th pass of a point."""

    operation: str
    point: str
    count: int

    def __str__(self) -> str:
        return f"{self.operation} at {self.point} {self.count}"


def btrfs(operation: str) -> tuple[str, ...]:
    """Give the points of one call of the backend."""
    return tuple(f"btrfs.{operation}.{step}" for step in {**STEPS, **INSIDE_STEPS}[operation])


def journalled(operation: str, *within: str) -> tuple[str, ...]:
    """Give the points of a change that goes through the journal."""
    before = (*COMMIT, f"{operation}.journalled")
    return (*before, *within, f"{operation}.applied", *COMMIT, f"{operation}.committed")


def changed(volume: str, *, name: str = "", **values: Any) -> Callable[[View], View]:
    """Give the view with other values of one volume; `name` renames it."""

    def outcome(view: View) -> View:
        return {**without(volume)(view), name or volume: msgspec.structs.replace(view[volume], **values)}

    return outcome


def without(name: str) -> Callable[[View], View]:
    """Give the view without a volume."""
    return lambda view: {other: volume for other, volume in view.items() if other != name}


def with_volume(name: str, make: Callable[[View], VolumeView]) -> Callable[[View], View]:
    """Give the view with one more volume."""
    return lambda view: {**view, name: make(view)}


def snapshots(name: str, change: Callable[[VolumeView], dict[str, dict[str, bytes]]]) -> Callable[[View], View]:
    """Give the view with other snapshots of a volume."""
    return lambda view: changed(name, snapshots=change(view[name]))(view)


def same(view: View) -> View:
    """Give the view as it is."""
    return view


def _cloned_now(view: View) -> View:
    made = snapshots("parent", lambda v: {**v.snapshots, "clone_twin": v.files})(view)
    return {
        **made,
        "twin": VolumeView(size=SIZE, files=view["parent"].files, origin=("parent", "clone_twin")),
    }


def _restored(view: View) -> View:
    first = view["parent"].snapshots["s1"]
    return changed("parent", files=first, snapshots={"s1": first})(view)


def _renamed_snapshot(volume: VolumeView) -> dict[str, dict[str, bytes]]:
    return {("second" if name == "s2" else name): files for name, files in volume.snapshots.items()}


_TWO_SNAPSHOTS = (*btrfs("delete_snapshot"), "{}", *btrfs("delete_snapshot"), "{}")


def _two_snapshots(point: str) -> tuple[str, ...]:
    return tuple(step.format(point) for step in _TWO_SNAPSHOTS)


OPERATIONS: Mapping[str, Operation] = {
    "create": Operation(
        job="volume.create",
        change=create("fresh", comment="new", nas={"unix_permissions": 2750}),
        passes=journalled("volume.create", *btrfs("create")),
        outcome=with_volume("fresh", lambda _: VolumeView(size=SIZE, files={}, comment="new", mode=0o2750)),
    ),
    "clone of a snapshot": Operation(
        job="volume.clone",
        change=clone("twin", "parent", "s2"),
        passes=journalled("volume.clone", *btrfs("clone")),
        outcome=with_volume(
            "twin", lambda v: VolumeView(size=SIZE, files=v["parent"].snapshots["s2"], origin=("parent", "s2"))
        ),
    ),
    "clone of a volume": Operation(
        job="volume.clone",
        change=clone("twin", "parent"),
        passes=journalled("volume.clone", *btrfs("snapshot"), "volume.clone.based", *btrfs("clone")),
        outcome=_cloned_now,
    ),
    "delete": Operation(
        job="volume.delete",
        change=delete("other"),
        passes=journalled(
            "volume.delete", "volume.delete.withdrawn", *_two_snapshots("volume.delete.snapshot"), *btrfs("delete")
        ),
        outcome=without("other"),
    ),
    "delete a clone": Operation(
        job="volume.delete",
        change=delete("kid"),
        passes=journalled("volume.delete", "volume.delete.withdrawn", *btrfs("delete")),
        outcome=without("kid"),
    ),
    "rename": Operation(
        job="volume.update",
        change=patch("kid", name="child", comment="renamed"),
        passes=journalled("volume.update", *btrfs("annotate")),
        outcome=changed("kid", name="child", comment="renamed"),
    ),
    "rename a parent, grow it, permit": Operation(
        job="volume.update",
        change=patch("parent", name="elder", size=2 * SIZE, nas={"unix_permissions": 2700}),
        passes=journalled(
            "volume.update",
            *btrfs("resize"),
            "volume.update.resized",
            *btrfs("set_root"),
            "volume.update.permitted",
            *btrfs("annotate"),
        ),
        outcome=lambda view: changed("kid", origin=("elder", "s1"))(
            changed("parent", name="elder", size=2 * SIZE, mode=0o2700)(view)
        ),
    ),
    "shrink": Operation(
        job="volume.update",
        change=patch("parent", size=24 * MIB),
        passes=journalled("volume.update", *btrfs("resize"), "volume.update.resized", *btrfs("annotate")),
        outcome=changed("parent", size=24 * MIB),
    ),
    "go offline": Operation(
        job="volume.update",
        change=patch("other", state="offline"),
        passes=journalled("volume.update", "volume.update.withdrawn", *btrfs("annotate")),
        outcome=changed("other", state="offline"),
    ),
    "split": Operation(
        job="volume.split",
        change=patch("kid", clone={"split_initiated": True}),
        passes=journalled("volume.split", *btrfs("split"), "volume.split.split", *btrfs("annotate")),
        outcome=changed("kid", origin=None),
    ),
    "restore": Operation(
        job="volume.restore",
        change=patch("parent", restore_to={"snapshot": {"name": "s1"}}),
        passes=journalled(
            "volume.restore",
            "volume.restore.withdrawn",
            *btrfs("restore"),
            "volume.restore.restored",
            *_two_snapshots("volume.restore.snapshot"),
            *btrfs("annotate"),
            "volume.restore.annotated",
        ),
        outcome=_restored,
    ),
    "snapshot": Operation(
        job="snapshot.create",
        change=take("{kid}", "k1"),
        passes=journalled("snapshot.create", *btrfs("snapshot")),
        outcome=snapshots("kid", lambda v: {"k1": v.files}),
    ),
    "rename a snapshot": Operation(
        job="snapshot.update",
        change=Change(
            verb="PATCH", path=f"{VOLUMES}/{{parent}}/snapshots/{{parent/s2}}", body={"name": "second", "comment": "c"}
        ),
        passes=journalled("snapshot.update", *btrfs("annotate_snapshot")),
        outcome=snapshots("parent", _renamed_snapshot),
    ),
    "delete a snapshot": Operation(
        job="snapshot.delete",
        change=Change(verb="DELETE", path=f"{VOLUMES}/{{parent}}/snapshots/{{parent/s2}}"),
        passes=journalled("snapshot.delete", *btrfs("delete_snapshot")),
        outcome=snapshots("parent", lambda v: {n: f for n, f in v.snapshots.items() if n != "s2"}),
    ),
    "make a tenant": Operation(
        job="svm.create",
        change=Change(verb="POST", path=SVMS, body={"name": "svm2"}),
        # A number for its export policy, the tenant, and the job of what is then over.
        passes=(*COMMIT, *COMMIT, *btrfs("put_manifest"), *COMMIT),
        outcome=same,
        tenants=("svm1", "svm2"),
    ),
}
"""Name -> operation. What it passes is proven by running it; see `test_kill_points`."""

FILES: Mapping[str, Operation] = {
    "clone a file over another": Operation(
        job="file.clone",
        change=Change(
            verb="POST",
            path="/api/storage/file/clone",
            body={
                "volume": {"name": "other"},
                "source_path": "o1",
                "destination_path": "o2",
                "overwrite_destination": True,
            },
        ),
        passes=journalled("file.clone", *btrfs("clone_file"), "file.changed"),
        outcome=changed("other", files={"o1": b"o1", "o2": b"o1"}),
    ),
}
"""The same of what happens to single files, which the load of `test_random_kills` does not do."""


def cases(operations: Mapping[str, Operation]) -> list[Case]:
    """Give one case for every pass of every point of every operation."""
    found = []
    for name, operation in operations.items():
        passed: Counter[str] = Counter()
        for point in operation.passes:
            passed[point] += 1
            found.append(Case(operation=name, point=point, count=passed[point]))
    return found


def assert_all_or_nothing(
    operations: Mapping[str, Operation], case: Case, jobs: Collection[Job], *, before: View, after: View
) -> None:
    """Compare what became of an operation with what its job says; without a job it has not happened."""
    operation = operations[case.operation]
    done = after == operation.outcome(before)
    assert done or after == before, "neither as before nor as wanted"
    start = f"{operation.job}.journalled"
    if start not in operation.passes:
        return
    assert [job.operation for job in jobs] in ([], [operation.job])
    assert done == ([job.state for job in jobs] == [JobState.SUCCESS])
    # Once the intent is durable, its job is known ever after.
    position = cases({case.operation: operation}).index(case)
    assert bool(jobs) == (position >= operation.passes.index(start) - 1)
