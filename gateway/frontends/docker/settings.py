"""What the operator decides about the Docker volume plugin: `[frontend.docker]`."""

from __future__ import annotations

import enum
import re
from pathlib import Path

import msgspec

from gateway.frontends.kinds import KindChoice
from gateway.frontends.openstorage.spec import parse_size

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")


class Scope(enum.StrEnum):
    """What Docker takes the volumes for: those of one host, or those of all hosts of a cluster."""

    LOCAL = "local"
    GLOBAL = "global"


class DockerOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where Docker finds the plugin, and what volumes it makes.

    `socket`: a UNIX socket; Docker calls the plugin by its name when it lies in
    /run/docker/plugins. "" for none. `listen`: HOST:PORT, empty for none; `discovery` is the
    folder in which a file then tells Docker of it (usually /etc/docker/plugins),
    under the name `name`. `tls`: with the certificate of `[tls]`;
    `client_certificate` and `client_key` are what Docker then shows, where
    `[tls]` has a `client_ca`. `anonymous`: other machines may come in without
    one. `tenants`: whose volumes there are (default: the first tenant
    configured); new ones are the first one's, names are looked up in this order.
    `pools`: where new volumes go, the first that can hold them (default: all).
    `default_size`: of volumes whose user says none. `mounts`: the folder in
    which volumes are mounted, one of `[export.mounts]` or below one (default: the first).
    """

    socket: str = "/run/docker/plugins/gateway.sock"
    listen: str = ""
    discovery: Path | None = None
    name: str = "gateway"
    tls: bool = False
    client_certificate: Path | None = None
    client_key: Path | None = None
    anonymous: bool = False
    tenants: tuple[str, ...] = ()
    pools: tuple[str, ...] = ()
    kind: KindChoice = KindChoice.AUTO
    default_size: str = "10GiB"
    mounts: Path | None = None
    scope: Scope = Scope.LOCAL

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError("name: must be up to 63 letters, digits, '_', '.', '-' and begin with a letter or a digit")
        if self.socket and not self.socket.startswith("/"):
            raise ValueError("socket: must be an absolute path, or empty for none")
        if len(set(self.tenants)) != len(self.tenants):
            raise ValueError("tenants: a name is there twice")
        if bool(self.client_certificate) != bool(self.client_key):
            raise ValueError("client_certificate: it and client_key have to be given together")
        try:
            size = parse_size(self.default_size)
        except ValueError as error:
            raise ValueError(f"default_size: {error}") from None
        if not size:
            raise ValueError("default_size: must not be zero")
