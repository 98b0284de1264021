"""What the operator decides about the libStorage door: `[frontend.libstorage]`."""

from __future__ import annotations

import enum
import re
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from gateway.core.model import Transport
from gateway.core.secret import Secret
from gateway.frontends.kinds import KindChoice

GIB = 1024**3
_SIZE = re.compile(r"([1-9][0-9]{0,8}) ?([GT])iB")
_BLOCK_TRANSPORTS = frozenset({Transport.LOCAL, Transport.ISCSI, Transport.NBD})
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}")

Seconds = Annotated[float, Meta(gt=0)]


class Algorithm(enum.StrEnum):
    """How tokens are signed: by a shared secret (HS), or by the holder of a private key."""

    HS256 = "HS256"
    HS384 = "HS384"
    HS512 = "HS512"
    RS256 = "RS256"
    RS384 = "RS384"
    RS512 = "RS512"
    PS256 = "PS256"
    PS384 = "PS384"
    PS512 = "PS512"
    ES256 = "ES256"
    ES384 = "ES384"
    ES512 = "ES512"


class LibstorageAuth(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whose tokens are accepted. A token is asked for as soon as there is an entry in `allow` or `deny`.

    `key`: the shared secret, or the public key in PEM. `allow`, `deny`:
    subjects, tokens, or NAME:TOKEN, of which the subject counts; capitals are
    small letters here. What a service does not say the door's own table says.
    """

    key: Secret | None = None
    alg: Algorithm | None = None
    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()


class ServiceOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One service. `pool` or `pools`: where its volumes are, new ones in the first that can hold them.

    `tenant`: whose they are (default: the door's). `driver`: the executor that
    clients use (default: isilon when it makes files and they can be published
    by NFS, else vfs). `transport`: how attached blocks are reached. `policy`:
    the export policy of files. `auth`: who may use it.
    """

    pool: str = ""
    pools: tuple[str, ...] = ()
    tenant: str = ""
    driver: str = ""
    kind: KindChoice = KindChoice.AUTO
    transport: Transport = Transport.LOCAL
    policy: str = "default"
    auth: LibstorageAuth | None = None

    def __post_init__(self) -> None:
        if bool(self.pool) == bool(self.pools):
            raise ValueError("pool: either pool or pools must name where the volumes are")
        if self.transport not in _BLOCK_TRANSPORTS:
            raise ValueError(f"transport: must be one of {', '.join(sorted(_BLOCK_TRANSPORTS))}")

    @property
    def pool_names(self) -> tuple[str, ...]:
        """Give the pools in order."""
        return self.pools or (self.pool,)


class LibstorageOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Addresses, services and defaults of the door.

    `listen`: HOST:PORT, empty for none. `socket`: a UNIX socket. `tls`: with
    the certificate of `[tls]`. `anonymous`: other machines may come in
    although nobody asks who they are. `server_name`: what answers say who
    gives them (default: the gateway's name). `tenant`: whose volumes the
    services show (default: the first one configured). `execution_timeout_s`:
    how long a request waits before it is answered with the task that goes on.
    `task_retention_s`: how long tasks are shown after their end.
    `parse_request_opts`: options of a request count as its own fields.
    `default_size`: of volumes that are made without one. `service`: the
    services by name (default: one per pool).
    """

    listen: str = "127.0.0.1:7979"
    socket: Path | None = None
    tls: bool = False
    anonymous: bool = False
    server_name: str = ""
    tenant: str = ""
    execution_timeout_s: Seconds = 60.0
    task_retention_s: Annotated[float, Meta(gt=0, le=86_400)] = 600.0
    parse_request_opts: bool = False
    default_size: str = "16GiB"
    auth: LibstorageAuth = LibstorageAuth()
    service: dict[str, ServiceOptions] = {}

    def __post_init__(self) -> None:
        if _SIZE.fullmatch(self.default_size) is None:
            raise ValueError(f"default_size: {self.default_size!r} is not a size such as 16GiB")
        if self.server_name and _NAME.fullmatch(self.server_name) is None:
            raise ValueError(
                f"server_name: {self.server_name!r} is not a name: up to 63 letters, digits, '_', '.', '-'"
            )
        for name in self.service:
            if _NAME.fullmatch(name) is None:
                raise ValueError(f"service: {name!r} is not a name: up to 63 letters, digits, '_', '.', '-'")
        if len({name.lower() for name in self.service}) != len(self.service):
            raise ValueError("service: two names differ in capitals only")

    @property
    def default_gib(self) -> int:
        """Give the size of volumes that are made without one, in GiB."""
        match = _SIZE.fullmatch(self.default_size)
        assert match is not None  # noqa: S101 - `__post_init__` refuses others
        return int(match[1]) * (1024 if match[2] == "T" else 1)
