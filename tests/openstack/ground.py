"""A real gateway over real pools, for services of OpenStack to stand on."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import httpx
from exporter_scene import end_daemon, free_port, run, sh

from gateway.client import Client, native
from gateway.testing.live import ACCOUNT, PASSWORD, LiveGateway

GIB = 1 << 30
TENANT = "svm1"
LIMIT_S = 60
POLL_S = 0.1
DAEMONS = {"iscsi": ("tgtd",), "nfs": ("ganesha.nfsd", "dbus-daemon"), "local": ()}


class Ground:
    """A gateway that keeps its address when it is started again; `ports` are those of its exports."""

    def __init__(self, folder: Path, *, pools: Mapping[str, Mapping[str, str]], exports: tuple[str, ...] = ()) -> None:
        self.ports = {kind: free_port() for kind in exports}
        self.gateway = LiveGateway(
            folder,
            pools="\n".join(_table(f"backend.{name}", options) for name, options in pools.items()),
            extra="\n".join(
                _table(f"export.{kind}", {} if kind == "local" else {"port": port}) for kind, port in self.ports.items()
            ),
            periods={"exports": 0.5},
        )
        config = self.gateway.config
        config.write_text(config.read_text().replace('listen = "127.0.0.1:0"', f'listen = "127.0.0.1:{free_port()}"'))
        self._places = [Path(options["path"]) for options in pools.values() if "path" in options]

    def stanza(self, **options: object) -> Mapping[str, object]:
        """Give what a driver has to know."""
        return {"gateway_url": self.gateway.url, "gateway_user": ACCOUNT, "gateway_password": PASSWORD, **options}

    def client(self) -> Client:
        return Client(self.gateway.url, user=ACCOUNT, password=PASSWORD)

    def volumes(self) -> dict[str, native.Volume]:
        """Give the volumes by name."""
        with self.client() as client:
            return {volume.name: volume for volume in client.each(native.volumes())}

    def bearing(self, key: str) -> list[native.Volume]:
        """Give the volumes that bear an id of OpenStack's."""
        return [volume for volume in self.volumes().values() if key in volume.labels.values()]

    def until(self, reached: Callable[[], bool]) -> None:
        """Wait for what services do when they have answered already."""
        end = time.monotonic() + LIMIT_S
        while not reached():
            assert time.monotonic() < end
            time.sleep(POLL_S)

    def snapshots(self) -> dict[str, native.Snapshot]:
        """Give the snapshots by name."""
        with self.client() as client:
            return {snapshot.name: snapshot for snapshot in client.each(native.snapshots())}

    def listed(self) -> set[str]:
        """Give the names that the command line tells."""
        secret = {"GATEWAY_PASSWORD": PASSWORD}
        done = run(
            "env",
            *(f"{name}={value}" for name, value in secret.items()),
            sys.executable,
            *("-m", "gateway", "volume", "list", "--url", self.gateway.url, "--user", ACCOUNT, "--json"),
        )
        assert done.returncode == 0, done.stderr
        return {volume["name"] for volume in json.loads(done.stdout)}

    def told_to_ontap(self) -> set[str]:
        """Give the names of volumes that ONTAP REST tells."""
        answer = httpx.get(f"{self.gateway.url}/api/storage/volumes", auth=(ACCOUNT, PASSWORD))
        return {record["name"] for record in answer.json()["records"]}

    def objects(self) -> set[str]:
        """Give all files in the pools, and all folders but those of the gateway's own books."""
        found = (path for place in self._places for path in place.rglob("*"))
        return {str(path) for path in found if path.is_file() or ".gateway" not in path.parts}

    def check(self) -> None:
        """See that `gateway check` finds nothing wrong, when the gateway has ended."""
        done = run(sys.executable, "-m", "gateway", "check", "--config", str(self.gateway.config))
        assert done.returncode == 0, done.stdout + done.stderr

    def end(self) -> None:
        """End it, what serves its volumes, and its devices."""
        try:
            self.gateway.stop()
        finally:
            self.gateway.kill()
            for kind in self.ports:
                for daemon in DAEMONS[kind]:
                    end_daemon(self.gateway.data / kind, daemon)
            self._free_devices()

    def _free_devices(self) -> None:
        told = sh("losetup", "--list", "--json", "--output", "NAME,BACK-FILE")
        for loop in json.loads(told)["loopdevices"] if told.strip() else []:
            # The pools' own devices are over files outside of them.
            if any(str(loop["back-file"]).startswith(f"{place}/") for place in (*self._places, self.gateway.data)):
                sh("losetup", "--detach", loop["name"])


@contextlib.contextmanager
def standing(ground: Ground) -> Iterator[Ground]:
    """Start a gateway for a block. What fails tells how its log ends."""
    ground.gateway.start()
    try:
        yield ground
    except Exception as error:
        error.add_note(ground.gateway.tail())
        raise
    finally:
        ground.end()


def _table(name: str, options: Mapping[str, object]) -> str:
    lines = (f"{key} = {json.dumps(value)}" for key, value in options.items())
    return "\n".join([f"[{name}]", *lines, ""])
