"""Ways to the bytes of volumes as text, where doors say them alike."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.core.handles import (
    AccessHandle,
    GitRemote,
    InProcess,
    IscsiTarget,
    LocalPath,
    NbdExport,
    NfsExport,
    ObjectStore,
    PerforceStream,
)
from gateway.core.model import Transport

KINDS: Mapping[Transport, type[AccessHandle]] = {
    Transport.ISCSI: IscsiTarget,
    Transport.NBD: NbdExport,
    Transport.LOCAL: LocalPath,
    Transport.NFS: NfsExport,
}
"""How an attachment leads to the bytes -> the handle that says where."""


def bracketed(address: str) -> str:
    """Give an address as it stands before a colon."""
    return f"[{address}]" if ":" in address else address


def url_of(handle: InProcess | IscsiTarget | NbdExport | ObjectStore | GitRemote | PerforceStream) -> str:
    """Give a way as a URL. Paths are not here: each door has its own manner with them."""
    match handle:
        case InProcess():
            return f"memory:{handle.key}"
        case IscsiTarget():
            return f"iscsi://{bracketed(handle.address)}:{handle.port}/{handle.target}/{handle.lun}"
        case NbdExport():
            return f"nbd://{bracketed(handle.address)}:{handle.port}/{handle.name}"
        case ObjectStore():
            return f"{handle.endpoint.rstrip('/')}/{handle.bucket}/{handle.prefix}"
        case GitRemote():
            return handle.url
        case PerforceStream():
            return f"p4://{handle.port}{handle.stream}{handle.revision}"
