"""The text of a first configuration file."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from gateway.cli.choice import Pool
from gateway.cli.machine import PROGRAMS, Machine

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_NFS = "ganesha.nfsd"
_BLOCK_EXPORTS: Mapping[str, str] = {"iscsi": "tgtd", "nbd": "qemu-storage-daemon", "local": "losetup"}
"""Kind of export -> the program that does it."""
_ADDRESSED = frozenset({"iscsi", "nbd"})


class Content(msgspec.Struct, frozen=True, kw_only=True):
    """What a first configuration says. `nfs_port` None: NFS is not switched on. `exporters`: the installed kinds."""

    listen: str
    pools: Sequence[Pool]
    offered: Sequence[Pool] = ()
    nfs_port: int | None = None
    exporters: frozenset[str] = frozenset()


def configuration(content: Content, machine: Machine) -> str:
    """Give a file that works as it is, with a comment for everything else that would."""
    return "\n".join(
        [
            *_top(content.listen),
            *_pools(content.pools),
            *_offered(content.offered),
            *_nfs(machine, content.nfs_port),
            *_blocks(machine, content.exporters),
            *_doors(),
            *_rest(),
        ]
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


def _pools(pools: Sequence[Pool]) -> Iterator[str]:
    yield "# A pool per [backend.NAME] table."
    for pool in pools:
        yield f"# {_sentence(pool)}"
        yield from _table(pool)
        yield ""


def _offered(pools: Sequence[Pool]) -> Iterator[str]:
    if pools:
        yield "# Other pools that would work here; make their folders first."
    for pool in pools:
        yield f"# {_sentence(pool)}"
        yield from (f"# {line}" for line in _table(pool))
        yield ""


def _sentence(pool: Pool) -> str:
    return f"{pool.says[0].upper()}{pool.says[1:]}."


def _table(pool: Pool) -> Iterator[str]:
    yield f"[backend.{pool.name if _BARE.fullmatch(pool.name) else quoted(pool.name)}]"
    yield f"driver = {quoted(pool.driver)}"
    yield from (f"{key} = {quoted(value)}" for key, value in pool.options.items())


def _nfs(machine: Machine, port: int | None) -> Iterator[str]:
    yield "# File volumes with a junction path and an export policy become NFSv4 exports."
    if port is None:
        why = "it needs root" if _NFS in machine.programs else "install nfs-ganesha and nfs-ganesha-vfs"
        yield f"# Not switched on: {why}."
        yield "# [export.nfs]"
        yield "# port = 2049"
    else:
        yield "[export.nfs]"
        yield 'engine = "ganesha"'
        yield f"port = {port}"
        yield '# address = "192.0.2.1"        # what clients are told to mount from; default 127.0.0.1'
        yield '# bind = "192.0.2.1"           # the address to listen on; default 127.0.0.1'
    yield ""


def _blocks(machine: Machine, exporters: frozenset[str]) -> Iterator[str]:
    found = [kind for kind, program in _BLOCK_EXPORTS.items() if kind in exporters and program in machine.programs]
    if found:
        yield "# Block volumes that are attached are published in these ways."
    for kind in found:
        yield f"# [export.{kind}]               # {PROGRAMS[_BLOCK_EXPORTS[kind]]}"
        if kind in _ADDRESSED:
            yield '# address = "192.0.2.1"        # what clients are told to connect to'
            yield '# bind = "192.0.2.1"           # the address to listen on'
        yield ""


def _doors() -> Iterator[str]:
    yield "# [frontend.openstorage]         # the openstorage SDK: gRPC, its REST form, the older REST API"
    yield '# grpc = "127.0.0.1:9100"'
    yield '# rest = "127.0.0.1:9110"'
    yield '# older = "127.0.0.1:9001"'
    yield ""
    yield "# [frontend.libstorage]          # the libStorage API, for REX-Ray: a service for each pool"
    yield '# listen = "127.0.0.1:7979"'
    yield ""
    yield "# [frontend.docker]              # the volume plugin of Docker on this host; needs [export.mounts]"
    yield '# socket = "/run/docker/plugins/gateway.sock"'
    yield ""
    yield "# [export.mounts]               # lets clients mount volumes on this host, below these folders"
    yield '# paths = ["/var/lib/osd/mounts"]'
    yield ""
    yield "# [auth.issuer.mine]            # whose tokens are accepted; without one everybody on this host may come in"
    yield '# issuer = "openstorage.io"'
    yield '# shared_secret = "file:token-secret"'
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
