"""Projects of OpenStack as processes: started with a configuration of their own, killed, and started again."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

from database import MariaDb
from exporter_scene import free_port

HERE = Path(__file__).parent
ETC = Path(sys.prefix) / "etc"
READY_S = 90
STOP_S = 45

Sections = Mapping[str, Mapping[str, object]]


def ini(sections: Sections) -> str:
    """Give the text of a configuration for oslo.config."""
    lines: list[str] = []
    for section, options in sections.items():
        lines += [f"[{section}]", *(f"{name} = {value}" for name, value in options.items()), ""]
    return "\n".join(lines)


class Service:
    """One project in a process. `start` and `kill` may alternate; folder, port and database stay the same.

    `program`: a file of `services`. `argument`: its first argument; the second is the port.
    It ends when this process does.
    """

    def __init__(self, folder: Path, *, program: str, argument: Path, environment: Mapping[str, str] = {}) -> None:
        self.folder = folder
        self.port = free_port()
        self.log = folder / "service.log"
        self._program = HERE / "services" / program
        self._argument = argument
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it and wait until its API answers. RuntimeError with the log's end when it does not."""
        self._process = self._run(str(self.port))
        stdout = self._process.stdout
        assert stdout is not None
        watchdog = threading.Timer(READY_S, self._process.kill)
        watchdog.start()
        line = stdout.readline()
        watchdog.cancel()
        if line != b"READY\n":
            self.kill()
            raise RuntimeError(f"not ready: {line!r}\n{self.tail()}")

    def migrate(self) -> None:
        """Make the tables of its database."""
        process = self._run("migrate")
        try:
            assert process.wait(READY_S) == 0, self.tail()
        finally:
            _end(process)

    def kill(self) -> None:
        """End it with SIGKILL and wait."""
        process, self._process = self._process, None
        if process is not None:
            _end(process)

    def stop(self) -> int:
        """End it with SIGTERM; give its exit status."""
        process, self._process = self._process, None
        if process is None:
            return 0
        try:
            process.send_signal(signal.SIGTERM)
            return process.wait(STOP_S)
        finally:
            _end(process)

    def tail(self, lines: int = 60) -> str:
        """Give the last lines of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:]) if self.log.exists() else ""

    def _run(self, how: str) -> subprocess.Popen[bytes]:
        # Their programs are looked for on PATH.
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, str(self._program), str(self._argument), how],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, **self._environment, "PATH": path},
                cwd=self.folder,
            )


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait(30)
    if process.stdout is not None:
        process.stdout.close()


@contextlib.contextmanager
def running(service: Service) -> Iterator[Service]:
    """Start it for a block, and end it then. What fails tells how its log ends."""
    service.start()
    try:
        yield service
    except Exception as error:
        error.add_note(service.tail())
        raise
    finally:
        service.stop()


def cinder_database(server: MariaDb, folder: Path) -> str:
    """Give the URL of a new database for Cinder."""
    return server.copy("cinder", lambda url: cinder(folder, database=url, backends={}).migrate())


def manila_database(server: MariaDb, folder: Path) -> str:
    """Give the URL of a new database for Manila."""
    return server.copy("manila", lambda url: manila(folder, database=url, backends={}).migrate())


def cinder(
    folder: Path,
    *,
    database: str,
    backends: Sections,
    extra: Mapping[str, object] = {},
    environment: Mapping[str, str] = {},
) -> Service:
    """Give Cinder without Keystone: one volume service per backend."""
    for name in ("state", "locks"):
        (folder / name).mkdir(parents=True)
    file = folder / "cinder.conf"
    service = Service(folder, program="run_cinder.py", argument=file, environment=environment)
    common = {
        "auth_strategy": "noauth",
        "transport_url": "fake:/",
        "host": "cinder",
        "my_ip": "127.0.0.1",
        "log_file": service.log,
        "state_path": folder / "state",
        "api_paste_config": ETC / "cinder/api-paste.ini",
        "resource_query_filters_file": ETC / "cinder/resource_filters.json",
        "enabled_backends": ",".join(backends),
        "default_volume_type": "__DEFAULT__",
        **_PERIODS,
        "backend_stats_polling_interval": 3,
        "scheduler_driver_init_wait_time": 2,
        **extra,
    }
    file.write_text(ini({"DEFAULT": common, **_places(folder, database), **backends}))
    return service


def manila(folder: Path, *, database: str, backends: Sections, extra: Mapping[str, object] = {}) -> Service:
    """Give Manila without Keystone: one share service per backend."""
    for name in ("state", "locks"):
        (folder / name).mkdir(parents=True)
    file = folder / "manila.conf"
    service = Service(folder, program="run_manila.py", argument=file)
    common = {
        "auth_strategy": "noauthv2",
        "transport_url": "fake:/",
        "host": "manila",
        "my_ip": "127.0.0.1",
        "log_file": service.log,
        "state_path": folder / "state",
        "api_paste_config": ETC / "manila/api-paste.ini",
        "enabled_share_backends": ",".join(backends),
        "enabled_share_protocols": "NFS,CIFS",
        "default_share_type": "default",
        **_PERIODS,
        **extra,
    }
    file.write_text(ini({"DEFAULT": common, **_places(folder, database), **backends}))
    return service


def glance(folder: Path) -> Service:
    """Give Glance without Keystone: images are files in its folder."""
    folder.mkdir(parents=True)
    (folder / "images").mkdir()
    service = Service(folder, program="run_glance.py", argument=folder)
    common = {
        "log_file": service.log,
        "worker_self_reference_url": service.url,
        "enabled_backends": "files:file",
        "enabled_import_methods": "[]",
        "node_staging_uri": f"file://{folder / 'staging'}",
    }
    sections = {
        "DEFAULT": common,
        "database": {"connection": f"sqlite:///{folder / 'glance.sqlite'}"},
        "paste_deploy": {"config_file": ETC / "glance/glance-api-paste.ini", "flavor": ""},
        "glance_store": {"default_backend": "files"},
        "files": {"filesystem_store_datadir": folder / "images"},
        "oslo_policy": {"policy_file": folder / "policy.yaml"},
        "os_glance_staging_store": {"filesystem_store_datadir": folder / "staging"},
        "os_glance_tasks_store": {"filesystem_store_datadir": folder / "tasks"},
    }
    # Callers without Keystone have no role.
    (folder / "policy.yaml").write_text('"context_is_admin": "@"\n')
    (folder / "glance-api.conf").write_text(ini(sections))
    return service


NATIVE_THREADS = {"OS_CINDER_DISABLE_EVENTLET_PATCHING": "true"}
"""Cinder's environment for threads of the system. Volumes do not become images then: it waits for itself for ever."""

_PERIODS = {"report_interval": 2, "periodic_interval": 3, "periodic_fuzzy_delay": 0, "service_down_time": 60}


def _places(folder: Path, database: str) -> Sections:
    return {"database": {"connection": database}, "oslo_concurrency": {"lock_path": folder / "locks"}}
