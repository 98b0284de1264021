"""The way to a volume's bytes as the text that the SDK calls a device path."""

from __future__ import annotations

from contextlib import suppress

from gateway.core import errors, volumes
from gateway.core.handles import AccessHandle, LocalPath, NfsExport
from gateway.core.model import Attachment, Volume
from gateway.frontends.handles import KINDS, bracketed, url_of
from gateway.frontends.openstorage.call import Call
from gateway.frontends.openstorage.project import attached_on, attachment_of


async def device_path(call: Call, volume: Volume) -> str:
    """Give where whoever attached a volume finds it; empty while nobody has, or when its pool does not answer.

    A device or folder on this host is a plain path, everything else a URL:
    `iscsi://HOST:PORT/TARGET/LUN`, `nbd://HOST:PORT/NAME`, `nfs://HOST:PORT/PATH`.
    """
    if not attached_on(volume):
        return ""
    with suppress(errors.Unavailable, errors.Timeout):
        attachment = attachment_of(volume, call.site.node_id)
        return text_of(chosen(attachment, await volumes.access(call.core, volume.id)))
    return ""


def chosen(attachment: Attachment | None, handles: tuple[AccessHandle, ...]) -> AccessHandle:
    """Give the handle that an attachment means; the pool's own where no exporter has a better one."""
    if attachment is not None:
        kind = KINDS[attachment.transport]
        found = [handle for handle in handles[1:] if isinstance(handle, kind)]
        if found:
            return found[0]
    shared = [handle for handle in handles if isinstance(handle, NfsExport)]
    return handles[0] if isinstance(handles[0], LocalPath) or not shared else shared[0]


def text_of(handle: AccessHandle) -> str:
    """Give a handle as text."""
    match handle:
        case LocalPath():
            return handle.path
        case NfsExport():
            return f"nfs://{bracketed(handle.address)}:{handle.port}{handle.place}"
        case _:
            return url_of(handle)
