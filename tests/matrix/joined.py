"""The doors of the matrix. A new one joins by its line here."""

from __future__ import annotations

from collections.abc import Sequence

from dialect import Dialect
from dialect_docker import Docker
from dialect_libstorage import Libstorage
from dialect_native import Native
from dialect_ontap import Ontap
from dialect_openstorage import Older, SdkOverGrpc, SdkOverHttp

DOORS: Sequence[type[Dialect]] = (
    Ontap,
    SdkOverGrpc,
    SdkOverHttp,
    Older,
    Libstorage,
    Docker,
    Native,
)
