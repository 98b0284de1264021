"""A Docker daemon of one's own, and gateways that it finds by their sockets."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import signal
import subprocess
import tarfile
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

from docker_client import plugin_at
from exporter_scene import runs

from gateway.client import Client
from gateway.core.mount_table import entries
from gateway.testing.live import ACCOUNT, PASSWORD, LiveGateway
from gateway.testing.loop_pool import detach

PLUGINS = Path("/run/docker/plugins")
"""Where every daemon looks for sockets; it cannot be told otherwise."""

IMAGE = "box"
DEADLINE_S = 100


class Docker:
    """A daemon with an image of busybox. It has no network, and everything of it lies in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self._containerd = folder / "exec/containerd/containerd.pid"
        (folder / "daemon.json").write_text("{}")
        self._environment = {
            "PATH": os.environ["PATH"],
            "DOCKER_HOST": f"unix://{folder}/docker.sock",
            "DOCKER_CONFIG": str(folder / "client"),
        }

    def start(self) -> None:
        """Start it and wait until it answers."""
        folder = self.folder
        options = {
            "config-file": folder / "daemon.json",
            "data-root": folder / "data",
            "exec-root": folder / "exec",
            "pidfile": folder / "pid",
            "host": f"unix://{folder}/docker.sock",
            "group": "root",
            "storage-driver": "vfs",
            "bridge": "none",
            "iptables": "false",
            "ip6tables": "false",
        }
        command = ["dockerd", *(f"--{name}={value}" for name, value in options.items())]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None
        self._process = process
        log = (folder / "log").open("a")
        watchdog = threading.Timer(DEADLINE_S, process.kill)
        watchdog.start()
        for line in process.stderr:
            log.write(line)
            if "API listen on" in line:
                break
        else:
            log.close()
            raise RuntimeError((folder / "log").read_text()[-3000:])
        watchdog.cancel()
        # It blocks when nobody reads what it has to say.
        self._reader = threading.Thread(target=_drain, args=(process.stderr, log))
        self._reader.start()

    def kill(self) -> None:
        """End it by SIGKILL. Its containers go on."""
        self._end(signal.SIGKILL)
        # The kernel ends containerd with it, but where nobody reaps orphans that one seems to live on.
        self._containerd.unlink(missing_ok=True)

    def stop(self) -> None:
        """End it with all of its containers."""
        if self._process is not None:
            with contextlib.suppress(AssertionError):
                self.end_containers()
            self._end(signal.SIGTERM)

    def end_containers(self) -> None:
        """Remove all containers, running or not."""
        for container in self("ps", "--all", "--quiet").split():
            self("rm", "--force", container)

    def clean(self) -> None:
        """Take away what is left of it, whatever became of it."""
        self.stop()
        if self._containerd.exists() and runs(pid := int(self._containerd.read_text())):
            os.kill(pid, signal.SIGTERM)
        for pid in self._shims():
            # Each watches over a container, also without a daemon.
            with contextlib.suppress(ProcessLookupError):
                for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
                    os.kill(int(child), signal.SIGKILL)
                os.kill(pid, signal.SIGKILL)
        for entry in reversed(entries()):
            if entry.point.startswith(f"{self.folder}/"):
                subprocess.run(["umount", "--lazy", entry.point], check=False, capture_output=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def __call__(self, *arguments: str) -> str:
        """Run the client; AssertionError with what it says when it fails."""
        done = self._run(*arguments)
        assert done.returncode == 0, f"docker {' '.join(arguments)}: {done.stderr}"
        return done.stdout.strip()

    def refused(self, *arguments: str) -> str:
        """Give what the client says of something that must fail."""
        done = self._run(*arguments)
        assert done.returncode != 0, done.stdout
        return done.stderr

    def box(self, *volumes: str, say: str, detached: bool = False, name: str = "") -> str:
        """Run a shell in a container with volumes, `NAME:/PATH` each; give what it says, or the container's id."""
        return self(
            "run",
            "--network=none",
            *(["--detach"] if detached else ["--rm"]),
            *([f"--name={name}"] if name else []),
            *(f"--volume={volume}" for volume in volumes),
            IMAGE,
            "/bin/sh",
            "-c",
            say,
        )

    def import_image(self) -> None:
        """Make the image: nothing but busybox."""
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as tar:
            tar.add("/bin/busybox", arcname="bin/busybox")
            for name in ("sh", "cat", "sync", "sleep", "ls", "stat", "df"):
                link = tarfile.TarInfo(f"bin/{name}")
                link.type, link.linkname = tarfile.SYMTYPE, "busybox"
                tar.addfile(link)
        subprocess.run(
            ["docker", "import", "-", IMAGE],
            input=packed.getvalue(),
            env=self._environment,
            check=True,
            capture_output=True,
            timeout=DEADLINE_S,
        )

    def _shims(self) -> list[int]:
        """Give the processes that hold containers of this daemon."""
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                line = (process / "cmdline").read_bytes()
                if b"containerd-shim" in line and f"{self.folder}/".encode() in line:
                    found.append(int(process.name))
        return found

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["docker", *arguments],
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=DEADLINE_S,
        )

    def _end(self, number: int) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(number)
        process.wait(DEADLINE_S)
        if self._reader is not None:
            self._reader.join()
            self._reader = None


def _drain(source: io.TextIOBase, log: io.TextIOBase) -> None:
    with source, log:
        log.writelines(source)


def new_driver() -> str:
    """Give a name for a plugin that nobody else on this machine has."""
    return f"gateway-{uuid4().hex[:12]}"


@contextlib.contextmanager
def docker_daemon() -> Iterator[Docker]:
    """Give a running daemon. Its folder has a short name, as its sockets lie deep below it."""
    docker = Docker(Path(tempfile.mkdtemp(prefix="docker-", dir="/tmp")))
    try:
        docker.start()
        docker.import_image()
        yield docker
    finally:
        docker.clean()


class Bed:
    """A gateway whose plugin Docker knows as `driver`."""

    def __init__(self, folder: Path, driver: str, *, pools: str, extra: str = "", door: str = "") -> None:
        self.driver = driver
        self._tag = uuid4().hex[:8]
        self.socket = PLUGINS / f"{self.driver}.sock"
        self.mounts = folder / "volumes"
        self.mounts.mkdir(parents=True)
        self.gateway = LiveGateway(
            folder / "gateway",
            pools=pools,
            extra=f'[export.mounts]\npaths = ["{self.mounts}"]\nnode = "here"\n\n{extra}\n'
            f'[frontend.docker]\nsocket = "{self.socket}"\n{door}\n',
            periods={"exports": 0.5},
        )

    def name(self, stem: str) -> str:
        """Give a volume's name that no other bed has: daemons see the plugins of all beds, and names are one's only."""
        return f"{stem}-{self._tag}"

    def mounted(self) -> list[str]:
        """Give the names of the volumes that are mounted on this host."""
        found = [entry.point for entry in entries() if entry.point.startswith(f"{self.mounts}/")]
        return sorted(point.removeprefix(f"{self.mounts}/") for point in found)

    def remove_all(self) -> None:
        """Remove every volume, copies before what they came from; AssertionError for one that is still needed."""
        with plugin_at(self.socket) as plugin:
            for name in reversed(plugin.names()):
                plugin("Remove", Name=name)

    def client(self) -> Client:
        """Give a client of the ONTAP door."""
        return Client(self.gateway.url, user=ACCOUNT, password=PASSWORD)

    def clean(self) -> None:
        """Take away what a test left, also when the gateway died."""
        self.gateway.kill()
        self.socket.unlink(missing_ok=True)
        for entry in reversed(entries()):
            if entry.point.startswith(f"{self.mounts}/"):
                detach(Path(entry.point))


@contextlib.contextmanager
def bed_on(folder: Path, driver: str, *, pools: str, extra: str = "", door: str = "") -> Iterator[Bed]:
    """Give a bed with its gateway running."""
    bed = Bed(folder, driver, pools=pools, extra=extra, door=door)
    try:
        bed.gateway.start()
        yield bed
    finally:
        bed.clean()
