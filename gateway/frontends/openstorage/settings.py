"""What the operator decides about the openstorage door: `[frontend.openstorage]`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from gateway.frontends.kinds import KindChoice


class OpenstorageOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Addresses and defaults of the door.

    `grpc`, `rest`, `older`: HOST:PORT, empty for none. `sockets`: the folder
    for UNIX sockets (usually /var/lib/osd), `driver` is what they are called. `tenant`: whose volumes the
    door shows (default: the first one configured). `pools`: where new volumes
    go, the first that can hold them (default: all). `transport`: how attached
    blocks are reached. `ha_level_max`: how many copies the operator's pools
    really keep; a volatile pool takes any up to 3. `nfs_policy`: the export
    policy of shared volumes. `tls`: with the certificate of `[tls]`.
    `anonymous`: other machines may come in although no issuer of tokens is
    configured. `reflection`: clients may ask for the definitions.
    """

    grpc: str = "127.0.0.1:9100"
    rest: str = "127.0.0.1:9110"
    older: str = ""
    sockets: Path | None = None
    driver: str = "gateway"
    tenant: str = ""
    pools: tuple[str, ...] = ()
    kind: KindChoice = KindChoice.AUTO
    transport: Literal["local", "iscsi", "nbd"] = "local"
    ha_level_max: Annotated[int, Meta(ge=1, le=3)] = 1
    nfs_policy: str = "default"
    tls: bool = False
    anonymous: bool = False
    reflection: bool = True
