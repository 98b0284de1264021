"""Ways to bytes as the SDK's device paths, without a gateway."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import msgspec
import pytest

from gateway.core.handles import AccessHandle, InProcess, IscsiTarget, LocalPath, NbdExport, NfsExport
from gateway.core.model import Attachment, Transport, Volume, VolumeKind
from gateway.frontends.openstorage.devices import chosen, text_of
from gateway.frontends.openstorage.project import ATTACHED, attached_on, attachment_of

KEY = UUID(int=1)
NOW = datetime(2026, 1, 1, tzinfo=UTC)
VOLUME = Volume(id=KEY, name="v", tenant_id=KEY, pool_id=KEY, created=NOW, size=1, kind=VolumeKind.BLOCK)
IMAGE = LocalPath(path="/srv/v")
ISCSI = IscsiTarget(address="192.0.2.1", port=3260, target="iqn.2026-01.org.example:x", lun=3)
NBD = NbdExport(address="fe80::1", port=10809, name="v")
NFS = NfsExport(address="192.0.2.1", port=2049, path="/v")
FILE = NfsExport(address="192.0.2.1", port=2049, path="/export", file="volumes/v")


@pytest.mark.parametrize(
    ("handle", "text"),
    [
        (IMAGE, "/srv/v"),
        (InProcess(key="v"), "memory:v"),
        (ISCSI, "iscsi://192.0.2.1:3260/iqn.2026-01.org.example:x/3"),
        (NBD, "nbd://[fe80::1]:10809/v"),
        (NFS, "nfs://192.0.2.1:2049/v"),
        (FILE, "nfs://192.0.2.1:2049/export/volumes/v"),
    ],
)
def test_every_handle_has_a_text(handle: AccessHandle, text: str) -> None:
    assert text_of(handle) == text


@pytest.mark.parametrize(
    ("transport", "found"),
    [
        (Transport.ISCSI, ISCSI),
        (Transport.NBD, NBD),
        (Transport.LOCAL, LocalPath(path="/dev/x")),
        (Transport.NFS, NFS),
    ],
)
def test_a_volume_is_reached_by_the_way_it_is_attached(transport: Transport, found: AccessHandle) -> None:
    attachment = Attachment(id=KEY, node="n", created=NOW, transport=transport)
    assert chosen(attachment, (IMAGE, ISCSI, NBD, LocalPath(path="/dev/x"), NFS)) == found


def test_without_an_exporter_the_pools_own_way_is_told() -> None:
    attachment = Attachment(id=KEY, node="n", created=NOW, transport=Transport.ISCSI)
    assert chosen(attachment, (IMAGE,)) == IMAGE


def test_files_are_a_folder_of_this_host_before_they_are_an_export() -> None:
    here = Attachment(id=KEY, node="n", created=NOW, transport=Transport.LOCAL)
    for attachment in (None, here):
        assert chosen(attachment, (IMAGE, NFS)) == IMAGE
        assert chosen(attachment, (InProcess(key="v"), NFS)) == NFS


def test_blocks_on_a_file_server_are_its_file_but_where_this_host_is_meant() -> None:
    here = Attachment(id=KEY, node="n", created=NOW, transport=Transport.LOCAL)
    there = msgspec.structs.replace(here, transport=Transport.NFS)
    device = LocalPath(path="/dev/x")
    for attachment, handles, found in (
        (None, (FILE, IMAGE), FILE),
        (there, (FILE, IMAGE), FILE),
        (here, (FILE, IMAGE), IMAGE),
        (here, (FILE, device, IMAGE), device),
    ):
        assert chosen(attachment, handles) == found


def test_a_node_finds_its_own_way_among_those_of_others() -> None:
    there = Attachment(id=KEY, node="there", created=NOW, transport=Transport.NFS)
    here = Attachment(id=KEY, node="here", created=NOW, transport=Transport.LOCAL)
    volume = msgspec.structs.replace(VOLUME, attachments=(there, here))
    assert attachment_of(volume, "here") == here
    assert attachment_of(volume, "elsewhere") == there
    assert attachment_of(VOLUME, "here") is None


def test_an_attachment_that_is_only_noted_is_told() -> None:
    noted = msgspec.structs.replace(VOLUME, annotations={ATTACHED: "n"})
    assert attached_on(noted) == "n"
