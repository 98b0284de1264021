"""Two gateways of which one is killed while a volume of the one follows a volume of the other: the next try goes on."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from gateway.testing.btrfs_pool import btrfs_pool
from gateway.testing.forks import ForkServer
from gateway.testing.live import ACCOUNT, PASSWORD, LiveGateway

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(300)]

RELATIONSHIPS = "/api/snapmirror/relationships"
PEERS = "/api/cluster/peers"
GOING = {"queued", "transferring"}
PASSPHRASE = "correct horse"


class Site:
    """A gateway with a pool of its own, killed and started again as often as a test likes."""

    def __init__(self, folder: Path, name: str, store: Path, forks: ForkServer) -> None:
        self.place = store / name
        self.place.mkdir()
        self.gateway = LiveGateway(
            folder / name,
            name=name,
            pools=f'[backend.files]\ndriver = "btrfs"\npath = "{self.place}"\n',
            extra='[peer]\nlisten = "127.0.0.1:0"\n',
            forks=forks,
        )
        self.other: Site

    @property
    def address(self) -> str:
        """Give where its peers find it now."""
        return urlsplit(self.gateway.addresses["peer"]).netloc

    def start(self) -> None:
        """Start it, and tell the other one where it is now."""
        self.gateway.start()
        if self.other.gateway.alive:
            self.other.ask("PATCH", f"{PEERS}?name=*", {"remote.ip_addresses": [self.address]})

    def ask(self, verb: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Send a request that must succeed; wait for its job."""
        mark = "&" if "?" in path else "?"
        wait = "" if verb == "GET" else f"{mark}return_timeout=60"
        url = f"{self.gateway.url}{path}{wait}"
        answer = httpx.request(verb, url, json=body, auth=(ACCOUNT, PASSWORD), timeout=90, trust_env=False)
        assert answer.is_success, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def only(self, path: str) -> dict[str, Any]:
        """Give the one record of a collection."""
        (found,) = self.ask("GET", path)["records"]
        assert isinstance(found, dict)
        return found

    def snapshots(self, volume: str) -> int:
        """Count the snapshots of a volume."""
        return int(self.ask("GET", f"/api/storage/volumes/{volume}/snapshots?return_records=false")["num_records"])

    def folder_of(self, volume: str) -> Path:
        """Give the folder of a volume."""
        (handle,) = self.ask("GET", f"/gateway/volumes/{volume}/access")["handles"]
        return Path(handle["path"])


class Following:
    """A volume of `here` that follows one of `there`."""

    def __init__(self, there: Site, here: Site) -> None:
        self.there, self.here = there, here
        there.ask("POST", PEERS, {**_offer(), "name": "here", "initial_allowed_svms": [{"name": "svm1"}]} | _at(here))
        here.ask("POST", PEERS, {**_offer(), "name": "there"} | _at(there))
        ends = {"svm.name": "svm1", "peer": {"svm": {"name": "svm1"}, "cluster": {"name": "there"}}}
        here.ask("POST", "/api/svm/peers", {**ends, "name": "far", "applications": ["snapmirror"]})
        base = {"svm": {"name": "svm1"}, "aggregates": [{"name": "files"}], "size": "64MB"}
        there.ask("POST", "/api/storage/volumes", {**base, "name": "source"})
        self.source = there.only("/api/storage/volumes?name=source")["uuid"]
        self.tree = there.folder_of(self.source)
        self.write("first")
        here.ask(
            "POST",
            RELATIONSHIPS,
            {
                "source": {"path": "far:source"},
                "destination": {"path": "svm1:copy"},
                "create_destination": {"enabled": True},
                "state": "snapmirrored",
            },
        )
        self.path = f"{RELATIONSHIPS}/{here.only(RELATIONSHIPS)['uuid']}"
        assert self.settled()["state"] == "success"
        self.copy = here.only("/api/storage/volumes?name=copy")["uuid"]

    def write(self, word: str) -> None:
        """Change a file, and add one."""
        (self.tree / "all").write_bytes(word.encode() * 5000)
        (self.tree / f"only.{word}").write_bytes(word.encode())

    def transfer(self) -> None:
        """Ask for a transfer."""
        self.here.ask("POST", f"{self.path}/transfers", {})

    def settled(self) -> dict[str, Any]:
        """Give the last transfer once it has ended."""
        while True:
            transfer = self.here.ask("GET", f"{self.path}?fields=transfer")["transfer"]
            if transfer["state"] not in GOING:
                return dict(transfer)

    def assert_equal(self) -> None:
        """Fail unless both ends hold the same, and nothing that is not needed."""
        ends = self.tree, self.here.folder_of(self.copy)
        one, two = ({path.name: path.read_bytes() for path in end.iterdir()} for end in ends)
        assert one == two
        assert (self.there.snapshots(self.source), self.here.snapshots(self.copy)) == (1, 1)


def _offer() -> dict[str, Any]:
    return {"authentication": {"passphrase": PASSPHRASE}}


def _at(site: Site) -> dict[str, Any]:
    return {"remote": {"ip_addresses": [site.address]}}


@pytest.fixture(scope="module")
def following(tmp_path_factory: pytest.TempPathFactory, forks: ForkServer) -> Iterator[Following]:
    folder = tmp_path_factory.mktemp("peers")
    with ExitStack() as stack:
        store = stack.enter_context(btrfs_pool(folder / "store", "256M"))
        there, here = (Site(folder, name, store, forks) for name in ("there", "here"))
        there.other, here.other = here, there
        for site in (there, here):
            stack.callback(site.gateway.kill)
            site.gateway.start()
        yield Following(there, here)


@pytest.mark.parametrize(
    "point", ["transfer.taken", "snapshot.receive.moved", "transfer.copied", "transfer.advanced", "transfer.ended"]
)
def test_death_of_the_gateway_that_follows(following: Following, point: str) -> None:
    following.write(point)
    following.here.gateway.arm(point)
    with suppress(httpx.TransportError):  # it may die before it has answered
        following.transfer()
    assert following.here.gateway.wait() == -signal.SIGKILL
    following.here.start()
    assert following.settled()["state"] == "success"
    following.transfer()
    assert following.settled()["state"] == "success"
    following.assert_equal()


@pytest.mark.parametrize("point", ["peer.take", "peer.send", "peer.keep"])
def test_death_of_the_gateway_that_is_followed(following: Following, point: str) -> None:
    following.write(point)
    following.there.gateway.arm(point, 2 if point == "peer.keep" else 1)
    following.transfer()
    assert following.there.gateway.wait() == -signal.SIGKILL
    assert following.settled()["state"] == "failed"
    following.there.start()
    following.transfer()
    assert following.settled()["state"] == "success"
    following.assert_equal()


def test_a_follower_that_is_gone_is_released(following: Following) -> None:
    following.here.gateway.kill()
    shown = following.there.only(f"{RELATIONSHIPS}?list_destinations_only=true")
    following.there.ask("DELETE", f"{RELATIONSHIPS}/{shown['uuid']}?source_only=true")
    assert following.there.snapshots(following.source) == 0
    following.there.ask("DELETE", f"/api/storage/volumes/{following.source}")
