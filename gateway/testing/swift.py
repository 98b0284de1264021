"""OpenStack Swift with its S3 API, one copy of everything: a second real store, stricter than others in some things."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

from gateway.testing.object_store import S3Server, make_bucket
from gateway.testing.radosgw import free_ports

_KEYS = "gw:admin", "gwsecret"
_TRIES = 40

_HASH = """
[swift-hash]
swift_hash_path_prefix = gateway
swift_hash_path_suffix = tests
[storage-policy:0]
name = only
default = yes
"""

_SERVER = """
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
workers = 0
user = {user}
swift_dir = {folder}
devices = {folder}/disks
mount_check = false
disable_fallocate = true
fallocate_reserve = 0
"""

_STORAGE = """
[pipeline:main]
pipeline = {name}-server
[app:{name}-server]
use = egg:swift#{name}
"""

_RINGS = """
import sys
from swift.common.ring import RingBuilder
for name, port in (said.split("=") for said in sys.argv[1:]):
    ring = RingBuilder(4, 1, 0)
    place = {"ip": "127.0.0.1", "port": int(port), "device": "d1", "meta": ""}
    ring.add_dev({"id": 0, "region": 1, "zone": 1, "weight": 1.0, **place})
    ring.rebalance()
    ring.get_ring().save(f"{name}.ring.gz")
"""
"""Where everything is: there is one place for each."""

_FILTERS: Mapping[str, Mapping[str, str]] = {
    "catch_errors": {},
    "gatekeeper": {},
    "cache": {"use": "egg:swift#memcache", "memcache_servers": "127.0.0.1:{memcached}"},
    "listing_formats": {},
    "bulk": {},
    "s3api": {"location": "us-east-1", "s3_acl": "false", "check_bucket_owner": "false"},
    "tempauth": {"user_gw_admin": "gwsecret .admin"},
    "copy": {},
    "slo": {},
    "dlo": {},
    "versioned_writes": {"allow_versioned_writes": "true", "allow_object_versioning": "true"},
    "symlink": {},
}
"""What stands before the proxy, in this order, with its settings."""


@contextmanager
def swift(folder: Path, programs: Path) -> Iterator[S3Server]:
    """Give a store that serves until the block ends. `programs`: the directory with Swift's."""
    folder.mkdir(parents=True)
    names = ("account", "container", "object", "proxy", "memcached")
    ports = dict(zip(names, free_ports(len(names)), strict=True))
    (folder / "disks/d1").mkdir(parents=True)
    (folder / "swift.conf").write_text(_HASH)
    with ExitStack() as stack:
        user = "nobody" if os.getuid() == 0 else str(os.getuid())
        _spawn(stack, "memcached", "-u", user, "-l", "127.0.0.1", "-p", str(ports["memcached"]), "-m", "32")
        said = [f"{name}={ports[name]}" for name in names[:3]]
        subprocess.run((str(programs / "python"), "-c", _RINGS, *said), cwd=folder, check=True, timeout=100)
        for name in names[:3]:
            _serve(stack, programs, folder, name=name, port=ports[name], text=_STORAGE.format(name=name))
        _serve(stack, programs, folder, name="proxy", port=ports["proxy"], text=_proxy(ports["memcached"]))
        server = S3Server(f"http://127.0.0.1:{ports['proxy']}", *_KEYS)
        _ready(server)
        yield server


def _proxy(memcached: int) -> str:
    lines = [f"[pipeline:main]\npipeline = {' '.join(_FILTERS)} proxy-server\n[app:proxy-server]"]
    lines += ["use = egg:swift#proxy", "account_autocreate = true", "allow_account_management = true"]
    for name, settings in _FILTERS.items():
        said = {"use": f"egg:swift#{name}", **settings}
        lines += [f"[filter:{name}]", *(f"{key} = {value}" for key, value in said.items())]
    return "\n".join(lines).format(memcached=memcached) + "\n"


def _serve(stack: ExitStack, programs: Path, folder: Path, *, name: str, port: int, text: str) -> None:
    config = folder / f"{name}-server.conf"
    user = "root" if os.getuid() == 0 else str(os.getuid())
    config.write_text(_SERVER.format(port=port, user=user, folder=folder) + text)
    _spawn(stack, str(programs / f"swift-{name}-server"), str(config))


def _spawn(stack: ExitStack, *command: str) -> None:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    stack.callback(process.wait)
    stack.callback(process.kill)


def _ready(server: S3Server) -> None:
    """Make the tests' bucket; the client itself waits between its tries until all servers answer."""
    for _ in range(_TRIES):
        try:
            make_bucket(server)
        except (ClientError, BotoCoreError):
            continue
        return
    raise TimeoutError("Swift does not serve")
