"""The text of a first configuration file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from gateway.cli.machine import PROGRAMS, Machine


def configuration(machine: Machine, *, listen: str, nfs_port: int | None) -> str:
    """Give a file that works as it is, with an example for everything that was found. `nfs_port` None: no export."""
    return "\n".join(
        [*_top(listen), *_memory(), *_btrfs(machine), *_found(machine), *_nfs(machine, nfs_port), *_rest()]
    )


def quoted(text: str) -> str:
    """Give the text as a TOML string."""
    return json.dumps(text).replace("\x7f", "\\u007f")


def _top(listen: str) -> Iterator[str]:
    yield "# Configuration of a volume gateway, made by `gateway init`."
    yield "# Relative paths begin at this folder. `gateway config-schema` describes every key,"
    yield "# `gateway check --config` this file tells whether all of it works here."
    yield ""
    yield f"listen = {quoted(listen)}"
    yield 'data_dir = "data"'
    yield 'name = "gateway"'
    yield 'tenants = ["svm1"]            # made at the first start'
    yield 'accounts = "accounts.toml"'
    yield ""
    yield "[tls]"
    yield 'certificate = "tls/cert.pem"'
    yield 'key = "tls/key.pem"'
    yield ""


def _memory() -> Iterator[str]:
    yield "# A pool per [backend.NAME] table. This one lives in the memory of the gateway:"
    yield "# good for trying things out, empty again after every start."
    yield "[backend.memory]"
    yield ""


def _btrfs(machine: Machine) -> Iterator[str]:
    if not machine.btrfs:
        yield "# No btrfs that may be written to is mounted here. With one, a pool of real volumes is"
        yield "# [backend.fast]"
        yield '# driver = "btrfs"'
        yield '# path = "/srv/fast/gateway"'
        yield ""
    for number, path in enumerate(machine.btrfs, start=1):
        yield f"# btrfs is mounted at {quoted(str(path))}:"
        yield f"# [backend.btrfs{number}]"
        yield '# driver = "btrfs"'
        yield f"# path = {quoted(str(path / 'gateway'))}     # a folder of its own; make it first"
        yield ""


def _found(machine: Machine) -> Iterator[str]:
    for pool in machine.zfs:
        yield f"# ZFS pool {quoted(pool)} was seen; this version has no driver for it."
    for number, path in enumerate(_without(machine.reflink, machine.btrfs), start=1):
        yield f"# {quoted(str(path))} can copy files by reference, which is enough for block volumes with snapshots:"
        yield f"# [backend.directory{number}]"
        yield '# driver = "directory"'
        yield f"# path = {quoted(str(path / 'gateway'))}     # a folder of its own; make it first"
    for name in ("tgtd", "qemu-storage-daemon", "git"):
        if name in machine.programs:
            yield f"# {name} was seen: {PROGRAMS[name]}; this version does not use it."
    yield ""


def _without(paths: tuple[Path, ...], known: tuple[Path, ...]) -> list[Path]:
    return [path for path in paths if path not in known]


def _nfs(machine: Machine, port: int | None) -> Iterator[str]:
    yield "# Volumes with a junction path and an export policy become NFSv4 exports."
    if port is None:
        why = "it needs root" if "ganesha.nfsd" in machine.programs else "install nfs-ganesha and nfs-ganesha-vfs"
        yield f"# Not switched on: {why}."
        yield "# [export.nfs]"
        yield "# port = 2049"
    else:
        yield "[export.nfs]"
        yield 'engine = "ganesha"'
        yield f"port = {port}"
        yield '# address = "192.0.2.1"        # what clients are told to mount from; default 127.0.0.1'
    yield ""


def _rest() -> Iterator[str]:
    yield "# [limits]"
    yield "# max_body_bytes = 1048576"
    yield "# max_connections = 4096"
    yield ""
    yield "# [log]"
    yield '# level = "info"'
    yield '# format = "json"               # or "console"'
    yield "# access_sample = 0.1           # share of successful reads that leave a line"
    yield ""
