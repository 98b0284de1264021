"""A real S3 server for tests: Ceph's object gateway on one daemon that keeps everything in memory.

The processes of a test run share one. Who starts it leaves it to a guard,
which ends it when nobody holds the file `users` any more, however they ended.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from uuid import uuid4

import msgspec

from gateway.testing.object_store import S3Server, make_bucket

ACCESS, SECRET = "gwaccess", "gwsecret"
_READY = "starting handler: beast"
_SERVING = "serving"

_CONFIG = """
[global]
fsid = {fsid}
mon host = [v2:127.0.0.1:{mon}]
public addr = 127.0.0.1
cluster addr = 127.0.0.1
auth cluster required = none
auth service required = none
auth client required = none
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 1
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
mon max pg per osd = 1000
paxos propose interval = 0.05
paxos min wait = 0.01
run dir = {folder}
crash dir = {folder}
admin socket = {folder}/$name.$pid.asok
log file = {folder}/$name.log
[mon.a]
mon data = {folder}/mon
[osd]
osd data = {folder}/osd
osd objectstore = memstore
memstore device bytes = 2147483648
[client.rgw]
ms mon client mode = crc
auth client required = none
rgw frontends = beast endpoint=127.0.0.1:{port} tcp_nodelay=1
rgw enable usage log = false
rgw enable ops log = false
rgw enable gc threads = false
rgw enable lc threads = false
rgw thread pool size = 16
rgw dns name = 127.0.0.1
"""


@contextmanager
def radosgw(folder: Path) -> Iterator[S3Server]:
    """Give the server that runs in a folder, started if none does; it ends some time after its last user."""
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as held:
        users = held.enter_context((folder / "users").open("ab"))
        with (folder / "start").open("ab") as turn:
            fcntl.flock(turn, fcntl.LOCK_EX)
            fcntl.flock(users, fcntl.LOCK_SH)
            ready = folder / _SERVING
            if not ready.exists():
                subprocess.run((sys.executable, "-m", "gateway.testing.radosgw", str(folder)), check=True)
        yield msgspec.json.decode(ready.read_bytes(), type=S3Server)


def _guard(folder: Path, ready: Callable[[], None]) -> None:
    """Have the server run as long as somebody holds `users`."""
    serving, data = folder / _SERVING, folder / "ceph"
    with ExitStack() as stack, (folder / "users").open("ab") as users:
        stack.callback(shutil.rmtree, data, ignore_errors=True)
        server = _start(data, stack)
        make_bucket(server)
        serving.write_bytes(msgspec.json.encode(server))
        stack.callback(serving.unlink)
        ready()
        fcntl.flock(users, fcntl.LOCK_EX)


def _detached(folder: Path) -> bool:
    """Leave a guard behind in a process of its own, and tell whether its server serves."""
    reading, writing = os.pipe()
    if os.fork():
        os.close(writing)
        return os.read(reading, 1) == b"y"
    os.close(reading)
    os.setsid()
    _guard(folder, lambda: _say(writing))
    return True


def _say(writing: int) -> None:
    os.write(writing, b"y")
    os.close(writing)


def _start(folder: Path, stack: ExitStack) -> S3Server:
    folder.mkdir()
    mon, port = free_ports(2)
    config = folder / "ceph.conf"
    config.write_text(_CONFIG.format(fsid=uuid4(), mon=mon, port=port, folder=folder))
    common = ("-c", str(config))
    monmap, osd = folder / "monmap", str(uuid4())
    _run("monmaptool", "--create", "--addv", "a", f"[v2:127.0.0.1:{mon}]", "--enable-all-features", str(monmap))
    _run("ceph-mon", *common, "--mkfs", "-i", "a", "--monmap", str(monmap))
    _spawn(stack, "ceph-mon", *common, "-i", "a", "-f")
    _run("ceph", *common, "osd", "new", osd)
    (folder / "osd").mkdir()
    _run("ceph-osd", *common, "-i", "0", "--mkfs", "--osd-uuid", osd)
    _spawn(stack, "ceph-osd", *common, "-i", "0", "-f")
    name = ("-n", "client.rgw")
    account = ("--uid=gw", "--display-name=gw", f"--access-key={ACCESS}", f"--secret-key={SECRET}")
    _run("radosgw-admin", *common, *name, "user", "create", *account)
    _spawn(stack, "radosgw", *common, *name, "-d", ready=_READY)
    return S3Server(f"http://127.0.0.1:{port}", ACCESS, SECRET)


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=100)


def _spawn(stack: ExitStack, *command: str, ready: str = "") -> None:
    """Start a program that ends with the stack; return once it has said that it is ready, where that is known."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    stack.callback(_end, process)
    assert process.stdout is not None
    lines = process.stdout
    assert not ready or any(ready in line for line in lines), f"{command[0]} ended"
    threading.Thread(target=lambda: [None for _ in lines], daemon=True).start()


def _end(process: subprocess.Popen[str]) -> None:
    # Nothing of it is wanted any more, and it would take its time.
    process.send_signal(signal.SIGKILL)
    process.wait()
    if process.stdout is not None:
        process.stdout.close()


def free_ports(count: int) -> list[int]:
    """Give ports that nobody listens on."""
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]


if __name__ == "__main__":
    sys.exit(0 if _detached(Path(sys.argv[1])) else f"radosgw did not start; see {sys.argv[1]}")
