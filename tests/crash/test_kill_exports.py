"""The gateway is killed while NFS exports are made and ended: afterwards clients see what the catalog wishes."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import msgspec
import pytest
from crash_points import COMMIT, Case, Operation, assert_all_or_nothing, btrfs, cases, changed, journalled, without
from crash_points import with_volume as added
from crash_scene import POLICIES, SIZE, Change, Scene, create, delete, patch, scene
from crash_world import View, VolumeView, World

from gateway.core.exports import access_of
from gateway.exports.nfs import FAULT_POINTS
from gateway.exports.nfs.records import Record
from gateway.exports.process import Daemon
from gateway.testing.forks import ForkServer

pytestmark = pytest.mark.root

PATIENCE_S = 60
PUBLISH = (
    "nfs.publish.recorded",
    "nfs.publish.mounted",
    "nfs.publish.joined",
    "nfs.publish.written",
    "nfs.publish.applied",
    *COMMIT,
)
WITHDRAW = ("nfs.withdraw.applied", "nfs.withdraw.unmounted", "nfs.withdraw.forgotten")

RULES = f"{POLICIES}/{{@default}}/rules"
MOUNT = patch("other", nas={"path": "/p"})
ANYBODY = {"ro_rule": ["any"], "rw_rule": ["any"], "superuser": ["any"]}


def _restored(view: View) -> View:
    first = view["other"].snapshots["o1"]
    return changed("other", files=first, snapshots={"o1": first})(view)


FRESH: Mapping[str, Operation] = {
    "mount": Operation(
        job="volume.update",
        change=MOUNT,
        passes=(*journalled("volume.update", "volume.update.withdrawn", *btrfs("annotate")), *PUBLISH),
        outcome=changed("other", path="/p"),
    ),
    "make mounted": Operation(
        job="volume.create",
        change=create("fresh", nas={"path": "/f"}),
        passes=(*journalled("volume.create", *btrfs("create")), *PUBLISH),
        outcome=added("fresh", lambda _: VolumeView(size=SIZE, files={}, path="/f")),
    ),
}
"""Changes of a scene without exports."""

MOUNTED: Mapping[str, Operation] = {
    "mount elsewhere": Operation(
        job="volume.update",
        change=patch("other", nas={"path": "/q"}),
        passes=(*journalled("volume.update", *WITHDRAW, "volume.update.withdrawn", *btrfs("annotate")), *PUBLISH),
        outcome=changed("other", path="/q"),
    ),
    "unmount": Operation(
        job="volume.update",
        change=patch("other", nas={"path": ""}),
        passes=journalled("volume.update", *WITHDRAW, "volume.update.withdrawn", *btrfs("annotate")),
        outcome=changed("other", path=None),
    ),
    "go offline": Operation(
        job="volume.update",
        change=patch("other", state="offline"),
        passes=journalled("volume.update", *WITHDRAW, "volume.update.withdrawn", *btrfs("annotate")),
        outcome=changed("other", path=None, state="offline"),
    ),
    "restore": Operation(
        job="volume.restore",
        change=patch("other", restore_to={"snapshot": {"name": "o1"}}),
        passes=(
            *journalled(
                "volume.restore",
                *WITHDRAW,
                "volume.restore.withdrawn",
                *btrfs("restore"),
                "volume.restore.restored",
                *btrfs("delete_snapshot"),
                "volume.restore.snapshot",
                *btrfs("annotate"),
                "volume.restore.annotated",
            ),
            *PUBLISH,
        ),
        outcome=_restored,
    ),
    "delete": Operation(
        job="volume.delete",
        change=delete("other"),
        passes=journalled(
            "volume.delete",
            *WITHDRAW,
            "volume.delete.withdrawn",
            *(*btrfs("delete_snapshot"), "volume.delete.snapshot") * 2,
            *btrfs("delete"),
        ),
        outcome=without("other"),
    ),
    "forbid to write": Operation(
        job="export_rule.update",
        change=Change(verb="PATCH", path=f"{RULES}/1", body={"rw_rule": ["never"]}),
        passes=(*COMMIT, *btrfs("put_manifest"), "nfs.publish.written", "nfs.publish.applied"),
        outcome=lambda view: view,
    ),
}
"""Changes of a scene in which `other` is published as /p."""

OPERATIONS: Mapping[str, Operation] = {
    **FRESH,
    **{f"{name} mounted": operation for name, operation in MOUNTED.items()},
}
# What lies between two steps of the substrate is visited without exports; see `test_kill_points`.
CASES = [
    case
    for case in cases(OPERATIONS)
    if not case.point.startswith("btrfs.") and (case.count > 2 or not case.point.startswith("catalog."))
]


class Exports:
    """The scene with an NFS server, seen by NFS clients."""

    def __init__(self, at: Scene, port: int) -> None:
        self.at = at
        self._state = at.gateway.data / "nfs"
        self._port = port

    def furnish(self, name: str) -> View:
        """Make the scene that an operation starts from, and give what is in it."""
        at = self.at
        at.start()
        at.clean()
        rules = at.http.get(at.resolved(RULES)).json()["num_records"]
        verb, path = ("PATCH", f"{RULES}/1") if rules else ("POST", RULES)
        body = ANYBODY if rules else {"clients": [{"match": "0.0.0.0/0"}], **ANYBODY}
        at.perform(Change(verb=verb, path=path, body=body))
        at.furnish()
        if OPERATIONS[name] not in FRESH.values():
            at.perform(MOUNT)
        world = at.look()
        self.assert_published(world)
        return world.view

    def assert_published(self, world: World) -> None:
        """Wait until exactly the mounted volumes are published, with the bytes and rules that they have."""
        deadline = time.monotonic() + PATIENCE_S
        wished = {str(volume.id) for volume in world.volumes.values() if volume.junction_path}
        _until(lambda: self._records().keys() == wished, deadline)
        _until(lambda: self._mounts() == wished, deadline)
        for volume in world.volumes.values():
            if volume.junction_path is None:
                continue
            (policy,) = [found for found in world.policies.values() if found.id == volume.export_policy_id]
            rules = tuple(rule for rule in map(access_of, policy.rules) if rule is not None)
            _until(lambda key=str(volume.id), rules=rules: self._records()[key].export.rules == rules, deadline)
            _until(lambda path=volume.junction_path: self._names(path) is not None, deadline)
            files = world.files[volume.id]
            assert self._names(volume.junction_path) == files.keys()
            assert {name: self._cat(f"{volume.junction_path}/{name}") for name in files} == files
        paths = {volume.junction_path for volume in world.volumes.values()}
        for path in {"/p", "/q", "/f"} - paths:
            assert self._names(path) is None, f"{path} is published"

    def end(self) -> None:
        """End all: the NFS server outlives a gateway that was killed, and so do its mounts."""
        self.at.gateway.stop()
        for name in ("ganesha.nfsd", "dbus-daemon"):
            Daemon(name, self._state / "daemons", what="nfs").stop()
        for volume in self._mounts():
            subprocess.run(["umount", str(self._state / "mnt" / volume)], check=True, timeout=PATIENCE_S)

    def _records(self) -> dict[str, Record]:
        folder = self._state / "exports"
        return {path.stem: msgspec.json.decode(path.read_bytes(), type=Record) for path in folder.glob("*.json")}

    def _mounts(self) -> set[str]:
        folder = f"{self._state / 'mnt'}/"
        points = [line.split(" ")[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
        return {point.removeprefix(folder) for point in points if point.startswith(folder)}

    def _names(self, path: str) -> set[str] | None:
        """Give the names in an export; None when there is none."""
        done = self._client("nfs-ls", path)
        return None if done.returncode else {line.split()[-1].decode() for line in done.stdout.splitlines() if line}

    def _cat(self, path: str) -> bytes:
        done = self._client("nfs-cat", path)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def _client(self, tool: str, path: str) -> subprocess.CompletedProcess[bytes]:
        url = f"nfs://127.0.0.1{path}?version=4&nfsport={self._port}"
        return subprocess.run([tool, url], capture_output=True, check=False, timeout=PATIENCE_S)


def _until(true: Callable[[], bool], deadline: float) -> None:
    """Ask again until it is so."""
    while not true():
        assert time.monotonic() < deadline, "it does not come to be"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def nfs(tmp_path_factory: pytest.TempPathFactory, forks: ForkServer) -> Iterator[Exports]:
    port = _free_port()
    extra = f"[export.nfs]\nport = {port}\n"
    with scene(tmp_path_factory.mktemp("exports"), forks, extra=extra, trace=True) as at:
        exports = Exports(at, port)
        try:
            yield exports
        finally:
            exports.end()


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_passes_exactly_its_points(nfs: Exports, name: str) -> None:
    operation = OPERATIONS[name]
    before = nfs.furnish(name)
    nfs.at.gateway.passed()
    nfs.at.perform(operation.change)
    assert tuple(nfs.at.gateway.passed()) == operation.passes
    world = nfs.at.look(reconcile=True)
    assert world.findings == []
    assert world.view == operation.outcome(before)
    nfs.assert_published(world)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_clients_see_what_the_catalog_wishes_after_death_at_any_point(nfs: Exports, case: Case) -> None:
    before = nfs.furnish(case.operation)
    known = nfs.at.look().jobs.keys()
    nfs.at.die(OPERATIONS[case.operation].change, case.point, case.count)
    nfs.at.start()
    world = nfs.at.look(reconcile=True)
    assert world.findings == []
    jobs = [job for key, job in world.jobs.items() if key not in known]
    assert_all_or_nothing(OPERATIONS, case, jobs, before=before, after=world.view)
    nfs.assert_published(world)


def test_every_point_of_the_exporter_is_visited() -> None:
    assert set(FAULT_POINTS) == {case.point for case in CASES if case.point.startswith("nfs.")}
