"""The settings of a pool on an ONTAP cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec

from gateway.core.secret import Secret

PREFIX = r"^[A-Za-z_][A-Za-z0-9_]{0,39}$"
FINGERPRINT = r"^$|^([0-9A-Fa-f]{2}:?){31}[0-9A-Fa-f]{2}$"


class OntapOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of a pool on an ONTAP cluster.

    url: where its REST API is, such as "https://cluster.example"; plain HTTP only on this host.
    user: an account of the cluster.
    password: its password, as a reference (`env:NAME`, `file:PATH`).
    svm: the SVM that the volumes are in.
    aggregate: where new volumes are made; empty: the one of the SVM with the most room.
    prefix: what the names of the pool's volumes there begin with. Pools that share an SVM need one each.
    adopt: the tenant whose volumes the other volumes of the SVM become; empty: they are left alone.
    ca: the certificates that the cluster's is checked against; those of the system when there is none.
    fingerprint: the SHA-256 of the cluster's certificate in hexadecimal; then nothing else is trusted, or looked at.
    junction: the directory of the SVM's name space that volumes are mounted in; it must exist.
    export_policy: who may mount the volumes; empty: as the SVM has it for new volumes.
    address: where clients mount from; empty: what the SVM's interfaces for NFS say.
    port: where NFS is served there.
    version: the version of NFS that clients are told, such as "4.1".
    thick: volumes whose space is reserved can be made (guarantee "volume").
    timeout_s: no single answer is waited for longer than this.
    patience_s: a job of the cluster is waited for so long.
    rate_per_s: requests per second on average, at most; 0: as many as there are.
    threads: how many requests may be under way at once.
    rest_s: how long a cluster that does not answer is left alone before it is tried again.
    leftovers_after_s: what a change that broke off left is removed when the pool
        is opened and this is so old; until then it may be another gateway's work.
    """

    url: str
    user: str
    password: Secret
    svm: str
    aggregate: str = ""
    prefix: Annotated[str, msgspec.Meta(pattern=PREFIX)] = "gw_"
    adopt: str = ""
    ca: Path | None = None
    fingerprint: Annotated[str, msgspec.Meta(pattern=FINGERPRINT)] = ""
    junction: Annotated[str, msgspec.Meta(pattern=r"^/(.*[^/])?$")] = "/"
    export_policy: str = ""
    address: str = ""
    port: int = 2049
    version: str = "4.1"
    thick: bool = False
    timeout_s: Annotated[float, msgspec.Meta(gt=0)] = 30.0
    patience_s: Annotated[float, msgspec.Meta(gt=0)] = 600.0
    rate_per_s: Annotated[float, msgspec.Meta(ge=0)] = 50.0
    threads: Annotated[int, msgspec.Meta(ge=1)] = 8
    rest_s: float = 30.0
    leftovers_after_s: float = 3600.0
