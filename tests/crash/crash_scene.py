"""A gateway over a real btrfs with something in it to lose, and what can be asked of it."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import msgspec
from crash_world import Files, View, VolumeView, World, everything_in, examine

from gateway.core.model import Job
from gateway.testing.btrfs_pool import btrfs_pool
from gateway.testing.forks import ForkServer
from gateway.testing.live import ACCOUNT, PASSWORD, LiveGateway

MIB = 1 << 20
SIZE = 32 * MIB
VOLUMES = "/api/storage/volumes"
SVMS = "/api/svm/svms"
POLICIES = "/api/protocols/nfs/export-policies"
QUIET = {"open_pools": 3600.0, "resettle": 3600.0, "exports": 3600.0, "pool_space": 3600.0, "reconcile": 3600.0}
"""Duties that stay out of the way of a test that counts what happens."""


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One request that changes something.

    In the path `{volume}`, `{volume/snapshot}` and `{@export policy}` stand for ids.
    """

    verb: str
    path: str
    body: dict[str, Any] = {}


class Scene:
    """The gateway, its pool, and a client that waits for each job."""

    def __init__(self, gateway: LiveGateway, mount: Path) -> None:
        self.gateway = gateway
        self.mount = mount
        self._http: httpx.Client | None = None
        self._given: View | None = None
        self._intact = False

    @property
    def http(self) -> httpx.Client:
        """Give a client of the running gateway."""
        if self._http is None:
            self._http = httpx.Client(
                base_url=self.gateway.url, auth=(ACCOUNT, PASSWORD), timeout=90, trust_env=False, verify=False
            )
        return self._http

    def start(self, *, armed: str = "", count: int = 1) -> None:
        """Start the gateway if it does not run."""
        self.disconnect()
        if not self.gateway.alive:
            self.gateway.start(armed=armed, count=count)

    def disconnect(self) -> None:
        """Close the client's connections; the next use makes new ones."""
        if self._http is not None:
            self._http.close()
            self._http = None

    def request(self, change: Change) -> httpx.Response:
        """Send a change and wait for its end."""
        verb, path = change.verb, self.resolved(change.path)
        return self.http.request(verb, path, params={"return_timeout": 60}, json=change.body)

    def perform(self, change: Change) -> None:
        """Send a change that must succeed."""
        answer = self.request(change)
        assert answer.status_code in {200, 201, 202}, answer.text

    def die(self, change: Change, point: str, count: int = 1) -> None:
        """Send a change in which the process must die at the `count`-th pass of a point."""
        ready = msgspec.structs.replace(change, path=self.resolved(change.path))
        self.gateway.arm(point, count)
        try:
            answer = self.request(ready)
        except httpx.TransportError:
            pass
        else:
            raise AssertionError(f"{point} was not passed: {answer.status_code} {answer.text}")
        assert self.gateway.wait() == -signal.SIGKILL

    def look(self, *, reconcile: bool = False) -> World:
        """Compare catalog and substrate and give what they hold; see `examine`."""
        world = asyncio.run(examine(self.gateway.data, self.mount, reconcile=reconcile))
        tenants = [tenant.name for tenant in world.tenants.values()]
        self._intact = (world.view, world.findings, tenants) == (self._given, [], ["svm1"])
        return world

    def jobs(self) -> set[UUID]:
        """Give the ids of all jobs there are."""
        return {job.id for job in asyncio.run(everything_in(self.gateway.data, Job))[Job]}

    # --- what is in it ---

    def fresh(self) -> View:
        """Clean and furnish it, unless the last look found it as this left it; give what is there."""
        if self._given is None or not self._intact:
            self.clean()
            self._given = self.furnish()
        self._intact = False
        return self._given

    def volume(self, name: str) -> str:
        """Give the id of a volume."""
        (record,) = self.http.get(VOLUMES, params={"name": name}).json()["records"]
        return str(record["uuid"])

    def snapshot(self, volume: str, name: str) -> str:
        """Give the id of a snapshot of a volume's id."""
        (record,) = self.http.get(f"{VOLUMES}/{volume}/snapshots", params={"name": name}).json()["records"]
        return str(record["uuid"])

    def write(self, volume: str, files: Files) -> None:
        """Write bytes into a volume as a local client would."""
        for name, data in files.items():
            (self.mount / "volumes" / volume / name).write_bytes(data)

    def furnish(self) -> View:
        """Make a parent with three snapshots, a clone of the first, and another volume with two; give what is there."""
        one, two, three, now = ({"a": word * 300} for word in (b"one", b"two", b"three", b"now"))
        parent = self._made("parent")
        for name, files in (("s1", one), ("s2", two), ("s3", three)):
            self.write(parent, files)
            self.perform(take(parent, name))
        self.write(parent, now)
        self.perform(clone("kid", "parent", "s1"))
        self.write(self.volume("kid"), {"k": b"kid"})
        other = self._made("other")
        for name in ("o1", "o2"):
            self.write(other, {name: name.encode()})
            self.perform(take(other, name))
        return {
            "parent": VolumeView(size=SIZE, files=now, snapshots={"s1": one, "s2": two, "s3": three}),
            "kid": VolumeView(size=SIZE, files={**one, "k": b"kid"}, origin=("parent", "s1")),
            "other": VolumeView(
                size=SIZE,
                files={"o1": b"o1", "o2": b"o2"},
                snapshots={"o1": {"o1": b"o1"}, "o2": {"o1": b"o1", "o2": b"o2"}},
            ),
        }

    def clean(self) -> None:
        """Delete everything, clones before their parents."""
        answer = self.http.get(VOLUMES, params={"fields": "uuid,clone.is_flexclone", "max_records": 1000}).json()
        for record in sorted(answer["records"], key=lambda r: not r.get("clone", {}).get("is_flexclone", False)):
            self.perform(Change(verb="DELETE", path=f"{VOLUMES}/{record['uuid']}"))
        for record in self.http.get(SVMS).json()["records"]:
            if record["name"] != "svm1":
                self.perform(Change(verb="DELETE", path=f"{SVMS}/{record['uuid']}"))

    def _made(self, name: str) -> str:
        self.perform(create(name))
        return self.volume(name)

    def resolved(self, path: str) -> str:
        """Put ids where a path names things, such as `/{parent}/snapshots/{parent/s1}`."""
        while "{" in path:
            before, _, rest = path.partition("{")
            inner, _, after = rest.partition("}")
            path = f"{before}{self._id(inner)}{after}"
        return path

    def _id(self, named: str) -> str:
        if named.startswith("@"):
            (record,) = self.http.get(POLICIES, params={"name": named[1:]}).json()["records"]
            return str(record["id"])
        volume, _, snapshot = named.partition("/")
        found = self.volume(volume)
        return self.snapshot(found, snapshot) if snapshot else found


@contextlib.contextmanager
def scene(
    folder: Path,
    forks: ForkServer | None = None,
    *,
    extra: str = "",
    trace: bool = False,
    periods: Mapping[str, float] = QUIET,
) -> Iterator[Scene]:
    """Give a scene whose gateway is not started yet; process, mount and loop device are gone afterwards."""
    with btrfs_pool(folder / "pool") as mount:
        pools = f'[backend.fast]\ndriver = "btrfs"\npath = "{mount}"\n'
        gateway = LiveGateway(folder / "gw", pools=pools, extra=extra, periods=periods, trace=trace, forks=forks)
        at = Scene(gateway, mount)
        try:
            yield at
        finally:
            at.disconnect()
            gateway.stop()


# --- requests ---


def create(name: str, **more: Any) -> Change:
    """Ask for a volume."""
    body = {"name": name, "svm": {"name": "svm1"}, "aggregates": [{"name": "fast"}], "size": SIZE, **more}
    return Change(verb="POST", path=VOLUMES, body=body)


def clone(name: str, parent: str, snapshot: str | None = None) -> Change:
    """Ask for a clone of a snapshot, or of the volume as it is."""
    origin: dict[str, Any] = {"is_flexclone": True, "parent_volume": {"name": parent}}
    if snapshot is not None:
        origin["parent_snapshot"] = {"name": snapshot}
    return Change(verb="POST", path=VOLUMES, body={"name": name, "svm": {"name": "svm1"}, "clone": origin})


def patch(volume: str, **values: Any) -> Change:
    """Ask for new values of a volume, given by name."""
    return Change(verb="PATCH", path=f"{VOLUMES}/{{{volume}}}", body=values)


def delete(volume: str) -> Change:
    """Ask to delete a volume, given by name."""
    return Change(verb="DELETE", path=f"{VOLUMES}/{{{volume}}}")


def take(volume: str, name: str) -> Change:
    """Ask for a snapshot of a volume, given by id."""
    return Change(verb="POST", path=f"{VOLUMES}/{volume}/snapshots", body={"name": name})
