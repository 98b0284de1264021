"""What the libStorage door tells of the ways to volumes of a file server, without a gateway."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import pytest
from ls_volumes_scene import OPTIONS

from gateway.core.handles import AccessHandle, LocalPath, NfsExport
from gateway.core.model import Attachment, Transport, Volume, VolumeKind
from gateway.frontends.libstorage.render import View, attachments_shown
from gateway.frontends.libstorage.site import Site

NOW = datetime(2026, 1, 1, tzinfo=UTC)
FILE = NfsExport(address="192.0.2.7", port=2049, path="/export", file="volumes/v é")
HERE, DEVICES = LocalPath(path="/mnt/v"), (LocalPath(path="/dev/one"), LocalPath(path="/dev/two"))


def urls(handles: tuple[AccessHandle, ...], *transports: Transport) -> list[str]:
    """Give what attachments by these ways are told, each of a node of its own."""
    site = Site.of(OPTIONS, name="gw", tenant="svm1", pools={"fast": (), "slow": (), "other": ()}, nfs=())
    attachments = tuple(
        Attachment(id=UUID(int=number), node=f"host-{number}", created=NOW, transport=transport)
        for number, transport in enumerate(transports)
    )
    ident = UUID(int=9)
    volume = Volume(
        id=ident,
        name="v",
        tenant_id=ident,
        pool_id=ident,
        created=NOW,
        size=1,
        kind=VolumeKind.BLOCK,
        attachments=attachments,
    )
    shown = attachments_shown(volume, View(service=site.service("blocks")), location=None, handles=handles)
    return [each.fields["accessURL"] for each in shown]


@pytest.mark.parametrize(
    ("handles", "local"),
    [
        ((FILE, HERE), ["file:///mnt/v", "file:///mnt/v"]),
        ((FILE, *DEVICES, HERE), ["file:///dev/one", "file:///dev/two"]),
        ((HERE,), ["file:///mnt/v", "file:///mnt/v"]),
    ],
)
def test_every_node_of_this_host_is_told_its_own_device_or_the_file(
    handles: tuple[AccessHandle, ...], local: list[str]
) -> None:
    assert urls(handles, Transport.LOCAL, Transport.LOCAL) == local


def test_every_node_elsewhere_is_told_the_file_at_the_server() -> None:
    over_nfs = "nfs://192.0.2.7:2049/export/volumes/v%20%C3%A9"
    assert urls((FILE, HERE), Transport.NFS, Transport.LOCAL, Transport.NFS) == [over_nfs, "file:///mnt/v", over_nfs]
