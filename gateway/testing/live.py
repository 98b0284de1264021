"""A real gateway in a process of its own, for clients, crashes and benchmarks."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from gateway.core.model import utc_now
from gateway.server.passwords import hash_password
from gateway.testing.forks import Fork, ForkServer

ACCOUNT = "admin"
PASSWORD = "correct horse"  # noqa: S105 - of a gateway that lives as long as a test
READER = "viewer"
READY_S = 60
FAULT_FILE = "GATEWAY_TEST_FAULT_FILE"
TRACE_FILE = "GATEWAY_TEST_TRACE_FILE"
PERIODS = "GATEWAY_TEST_PERIODS"
_RESTING = {"schedules": 1e9}
_GATE, _REACHED = ".gate", ".reached"
MODULES = ("gateway.testing.live", "gateway.config", "gateway.server.app", "gateway.server.drivers", "uvloop")
"""What a server of forks imports for gateways, beside the modules of their drivers."""


class LiveGateway:
    """One configured gateway. `start` and `kill` may alternate as often as a test likes; its folder stays.

    Plain HTTP on a free loopback port, embedded catalog, the accounts `admin`
    and `viewer` (read only). `name` is the cluster's. `extra` is TOML appended to the configuration,
    `pools` the `[backend.*]` tables as TOML. `faults` False: the program as
    it is installed, without the hook that `arm` needs. `trace`: `passed` tells
    the points. `periods`: see `gateway.server.duties.duties`; without one of its
    own the `schedules` rest, as a test must not depend on the time of day. `under`: a
    command line that starts the program, such as one that takes rights away.
    `forks`: starts it instead, much quicker, for those who kill it often.
    """

    def __init__(
        self,
        folder: Path,
        *,
        name: str = "gateway",
        pools: str = "[backend.memory]\n",
        extra: str = "",
        tls: bool = False,
        faults: bool = True,
        trace: bool = False,
        periods: Mapping[str, float] = {},
        under: Sequence[str] = (),
        forks: ForkServer | None = None,
    ) -> None:
        self.folder = folder
        self._under = tuple(under)
        self._faults = faults
        self._forks = forks
        self.url = ""
        self.addresses: dict[str, str] = {}
        self.log = folder / "gateway.log"
        self.fault_file = folder / "fault"
        self.trace_file = folder / "passed"
        self._environment = {
            FAULT_FILE: str(self.fault_file),
            TRACE_FILE: str(self.trace_file) if trace else "",
            PERIODS: json.dumps({**_RESTING, **periods}),
        }
        self._process: subprocess.Popen[bytes] | Fork | None = None
        folder.mkdir(parents=True, exist_ok=True)
        if tls:
            from gateway.server.certificate import write_self_signed  # noqa: PLC0415 - plain gateways need no cryptography

            write_self_signed(
                certificate=folder / "cert.pem", key=folder / "key.pem", names=(), now=utc_now(), overwrite=True
            )
        lines = 'certificate = "cert.pem"\nkey = "key.pem"\n' if tls else "enabled = false\n"
        (folder / "config.toml").write_text(
            f'name = "{name}"\nlisten = "127.0.0.1:0"\ndata_dir = "data"\n\n[tls]\n{lines}\n{pools}\n{extra}\n'
        )
        # Cheap hashes: tests start many gateways, and this password guards nothing.
        (folder / "accounts.toml").write_text(
            "".join(
                f'[account.{name}]\npassword = "{hash_password(PASSWORD, n=1 << 10)}"\nrole = "{role}"\n'
                for name, role in ((ACCOUNT, "admin"), (READER, "readonly"))
            )
        )

    @property
    def config(self) -> Path:
        """Give the configuration file."""
        return self.folder / "config.toml"

    @property
    def data(self) -> Path:
        """Give the data folder, with the catalog."""
        return self.folder / "data"

    @property
    def pid(self) -> int:
        """Give the process id; RuntimeError when it does not run."""
        if self._process is None:
            raise RuntimeError("the gateway is not running")
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Tell whether the process runs."""
        return self._process is not None and self._process.poll() is None

    def start(self, environment: Mapping[str, str] | None = None, *, armed: str = "", count: int = 1) -> str:
        """Start and wait until it is ready; give the base URL. RuntimeError with the log's end when it is not.

        `armed`: the point at which it kills itself, `count` as for `arm`; it may die before it is ready.
        """
        self.fault_file.unlink(missing_ok=True)
        if armed:
            self.arm(armed, count)
        with self.log.open("ab") as log:
            self._process = self._started({**os.environ, **self._environment, **(environment or {})}, log.fileno())
        stdout = self._process.stdout
        if stdout is None:
            raise RuntimeError("no pipe to the gateway")
        watchdog = threading.Timer(READY_S, self._process.kill)
        watchdog.start()
        line = stdout.readline().decode()
        watchdog.cancel()
        if not line.startswith("ready "):
            self._process.wait()
            stdout.close()
            raise RuntimeError(f"not ready: {line!r}\n{self.tail()}")
        self.addresses = dict(part.split("=", 1) for part in line.split()[1:])
        self.url = self.addresses["ontap"]
        return self.url

    def _started(self, environment: Mapping[str, str], log: int) -> subprocess.Popen[bytes] | Fork:
        if self._forks is not None:
            return self._forks.start(
                f"{__name__}:main", str(self.config), environment=environment, stdout=subprocess.PIPE, stderr=log
            )
        program = ["gateway.testing.live"] if self._faults else ["gateway", "serve", "--config"]
        command = [*self._under, sys.executable, "-m", *program, str(self.config)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, env=environment)

    def arm(self, point: str, count: int = 1, *, gate: Path | None = None) -> None:
        """Make the running gateway kill itself (SIGKILL) when it passes the point for the `count`-th time from now.

        With a `gate`, a named pipe, it reads from that instead, until nobody writes to it any more.
        """
        fresh = self.fault_file.with_suffix(".new")
        fresh.write_text(f"{point} {count} {gate or ''}")
        fresh.replace(self.fault_file)

    @contextlib.contextmanager
    def held(self, point: str, count: int = 1) -> Iterator[Callable[[], object]]:
        """Hold whatever passes the point for the `count`-th time from now until the end of the block.

        Gives what waits until it is there. The thread stands still at the point,
        so that has to be one that is not passed on the event loop.
        """
        gates = [self.fault_file.with_suffix(suffix) for suffix in (_GATE, _REACHED)]
        for gate in gates:
            os.mkfifo(gate)
        # A pipe opened for one direction would wait for the other end.
        ends = [os.open(gate, os.O_RDWR) for gate in gates]
        self.arm(point, count, gate=gates[0])
        try:
            yield lambda: os.read(ends[1], 1)
        finally:
            self.fault_file.unlink(missing_ok=True)
            for end in ends:
                os.close(end)
            for gate in gates:
                gate.unlink()

    def passed(self) -> list[str]:
        """Give the points that were passed since the last call, in order; `trace` must have been asked for."""
        try:
            return self.trace_file.read_text().split()
        finally:
            self.trace_file.unlink(missing_ok=True)

    def kill(self) -> None:
        """End it with SIGKILL and wait."""
        if self._process is not None:
            self._process.kill()
            self.wait()

    def stop(self) -> int:
        """End it with SIGTERM; give its exit status."""
        if self._process is None:
            return 0
        if self.alive:
            self._process.send_signal(signal.SIGTERM)
        return self.wait()

    def wait(self, timeout_s: float = 60) -> int:
        """Wait for its end; give its exit status (negative: the signal)."""
        if self._process is None:
            return 0
        status = self._process.wait(timeout_s)
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._process = None
        return status

    def tail(self, lines: int = 40) -> str:
        """Give the last lines of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:]) if self.log.exists() else ""


@contextlib.contextmanager
def live_gateway(folder: Path, **options: Any) -> Iterator[LiveGateway]:
    """Give a started gateway; it is stopped (killed when it will not) at the end. What fails tells how its log ends."""
    gateway = LiveGateway(folder, **options)
    gateway.start()
    try:
        yield gateway
    except Exception as error:
        error.add_note(gateway.tail())
        raise
    finally:
        try:
            gateway.stop()
        except subprocess.TimeoutExpired:
            gateway.kill()
            raise


class FileFault:
    """A fault hook that a test steers while this process runs.

    It kills this process at the point named in one file, at the `count`-th
    pass since the file was written, or reads there from the pipe that the
    file names; it adds every point to another one, `trace`.
    """

    def __init__(self, path: Path, trace: str = "") -> None:
        self._path = str(path)
        self._trace = trace
        self._armed = (0, 0)
        self._left = 0
        self._lock = threading.Lock()

    def __call__(self, point: str) -> None:
        """Pass a point; from any thread."""
        if self._trace:
            with Path(self._trace).open("a") as trace:
                trace.write(f"{point}\n")
        if not os.path.exists(self._path):  # noqa: PTH110 - passed often
            return
        with self._lock, Path(self._path).open() as file:
            status = os.fstat(file.fileno())
            armed, count, gate = file.read().split(" ", 2)
            if self._armed != (status.st_ino, status.st_mtime_ns):
                self._armed, self._left = (status.st_ino, status.st_mtime_ns), int(count)
            due = armed == point and self._left == 1
            self._left -= armed == point
        if due and gate:
            _wait_at(gate)
        elif due:
            os.kill(os.getpid(), signal.SIGKILL)


def _wait_at(gate: str) -> None:
    """Wait until nobody writes to a pipe any more."""
    with contextlib.suppress(FileNotFoundError):
        pipe = os.open(gate, os.O_RDONLY | os.O_NONBLOCK)
        os.set_blocking(pipe, True)
        reached = os.open(Path(gate).with_suffix(_REACHED), os.O_RDWR)
        os.write(reached, b"!")
        os.read(pipe, 1)
        os.close(reached)
        os.close(pipe)


def main(config: str) -> None:
    """Serve a configuration, with the fault hook when the environment names its file."""
    from gateway.config import load  # noqa: PLC0415 - the test's side of this module needs no server
    from gateway.server.app import serve  # noqa: PLC0415
    from gateway.server.drivers import DOORS, EXPORTERS, driver_options  # noqa: PLC0415
    from gateway.server.loop import loop_factory  # noqa: PLC0415

    settings = load([Path(config)], {}, drivers=driver_options(), exporters=EXPORTERS, doors=DOORS)

    def announce(line: str) -> None:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()

    fault = FileFault(Path(os.environ[FAULT_FILE]), os.environ.get(TRACE_FILE, ""))
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(serve(settings, announce=announce, fault=fault, periods=json.loads(os.environ[PERIODS])))


if __name__ == "__main__":
    main(sys.argv[1])
