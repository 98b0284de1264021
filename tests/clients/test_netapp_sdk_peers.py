"""Two gateways as two clusters, by the official SDK: they become peers, and volumes of one follow the other's."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from netapp_ontap.resources import (
    ClusterPeer,
    Lun,
    SnapmirrorRelationship,
    SnapmirrorTransfer,
    Snapshot,
    Svm,
    SvmPeer,
    Volume,
)
from sdk_scene import MIB, OWN_WARNINGS, refused, sdk, seen, volume
from test_netapp_sdk_mirror import Bed, bring, settled, snapshots

from gateway.testing.btrfs_pool import btrfs_pool
from gateway.testing.live import LiveGateway, live_gateway

pytestmark = [pytest.mark.root, OWN_WARNINGS]


class Site(Bed):
    """One of both clusters."""

    def __init__(self, gateway: LiveGateway, name: str) -> None:
        super().__init__(gateway)
        self.gateway = gateway
        self.name = name

    @property
    def address(self) -> str:
        """Give where its peers find it."""
        return urlsplit(self.gateway.addresses["peer"]).netloc

    @contextlib.contextmanager
    def used(self) -> Iterator[None]:
        """Make it the cluster that the SDK talks to."""
        with sdk(self.gateway):
            yield


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, Site]]:
    folder = tmp_path_factory.mktemp("peers")
    with contextlib.ExitStack() as stack:
        found: list[Site] = []
        store = stack.enter_context(btrfs_pool(folder / "store"))
        for name in ("there", "here"):
            files, blocks = store / f"{name}-files", store / f"{name}-blocks"
            files.mkdir()
            blocks.mkdir()
            pools = (
                f'[backend.files]\ndriver = "btrfs"\npath = "{files}"\n'
                f'[backend.blocks]\ndriver = "directory"\npath = "{blocks}"\n'
            )
            extra = '[peer]\nlisten = "127.0.0.1:0"\n'
            gateway = stack.enter_context(live_gateway(folder / name, name=name, pools=pools, extra=extra))
            found.append(Site(gateway, name))
        there, here = found
        with here.used():
            Svm(name="dr").post()
        peered(there, here)
        yield there, here


def peered(there: Site, here: Site) -> None:
    """Make both clusters peers, and two of their SVMs."""
    with there.used():
        offer = ClusterPeer(authentication={"generate_passphrase": True}, initial_allowed_svms=[{"name": "svm1"}])
        answer = offer.post()
        # It is told this once; the SDK's `hydrate` would look again.
        passphrase = answer.http_response.json()["records"][0]["authentication"]["passphrase"]
        offer.get()
        assert not hasattr(offer.authentication, "passphrase")
        assert len(passphrase) >= 24
        assert (offer.status.state, offer.authentication.state) == ("pending", "pending")
    with here.used():
        peer = ClusterPeer(
            remote={"ip_addresses": [there.address]}, authentication={"passphrase": passphrase}, name="source_site"
        )
        peer.post(hydrate=True)
        assert (peer.authentication.state, peer.status.state, peer.remote.name) == ("ok", "available", "there")
        assert passphrase not in str(peer.to_dict())
    with there.used():
        found = ClusterPeer.find(name="here", fields="**")
        assert (found.uuid, found.authentication.state, found.remote.ip_addresses) == (
            offer.uuid,
            "ok",
            [here.address],
        )
    with here.used():
        svm = SvmPeer(
            svm={"name": "dr"},
            peer={"svm": {"name": "svm1"}, "cluster": {"name": "source_site"}},
            applications=["snapmirror"],
            name="far",
        )
        svm.post(hydrate=True)
        assert (svm.state, svm.name, svm.peer.svm.name) == ("peered", "far", "svm1")


def test_a_mirror_between_clusters_from_its_first_transfer_to_its_end(sites: tuple[Site, Site]) -> None:
    there, here = sites
    with there.used():
        source = volume("src", "files")
        there.write(source, letter=b"first words", large=os.urandom(4 * MIB))
    with here.used():
        copy = Volume(name="dst", svm={"name": "dr"}, aggregates=[{"name": "files"}], size=64 * MIB, type="dp")
        copy.post(hydrate=True)
        relationship = SnapmirrorRelationship(
            source={"path": "svm1:src", "cluster": {"name": "source_site"}}, destination={"path": "dr:dst"}
        )
        relationship.post(hydrate=True)
        assert (relationship.state, relationship.source.cluster.name) == ("uninitialized", "source_site")
        bring(relationship, "snapmirrored")
        assert relationship.last_transfer_type == "initialize"
        assert relationship.transfer.bytes_transferred >= 4 * MIB
        assert here.read(copy) == there.read(source)
        (base,) = snapshots(copy)

        there.write(source, letter=b"second words", note=b"new")
        SnapmirrorTransfer(relationship.uuid).post()
        settled(relationship)
        assert relationship.transfer.bytes_transferred < MIB
        assert here.read(copy) == there.read(source)
    with there.used():
        shown = seen("src")
        assert shown.snapmirror.is_protected is True
        (kept,) = Snapshot.get_collection(source.uuid, fields="owners")
        assert list(kept.owners) == ["snapmirror"]
        assert kept.name != base
        with refused("1638555", status=409):
            kept.delete()
        with refused("8", status=409):
            source.delete()
        (followed,) = SnapmirrorRelationship.get_collection(list_destinations_only=True)
        assert (followed.uuid, followed.destination.path) == (relationship.uuid, "dr:dst")
        with refused("4653079", status=409):
            ClusterPeer.find(name="here").delete()
    with here.used():
        bring(relationship, "broken_off")
        here.write(copy, letter=b"written at the destination", mine=b"there")
        bring(relationship, "snapmirrored")
        assert relationship.last_transfer_type == "resync"
        assert here.read(copy) == there.read(source)
        turned = SnapmirrorRelationship(uuid=relationship.uuid)
        turned.source, turned.destination = {"path": "dr:dst"}, {"path": "svm1:src"}
        turned.state = "snapmirrored"
        bring(relationship, "broken_off")
        with refused("13303841", status=400):
            turned.patch()
        here.write(copy, letter=b"of the other side")
    with there.used():
        back = SnapmirrorRelationship(
            source={"path": "dr:dst", "cluster": {"name": "here"}}, destination={"path": "svm1:src"}
        )
        back.post(hydrate=True)
        assert back.state == "broken_off"
        bring(back, "snapmirrored")
        assert there.read(source)["letter"] == b"of the other side"
        assert there.read(source) == here.read(copy)
        bring(back, "broken_off")
        back.delete()
    with here.used():
        relationship.delete()
        assert (SnapmirrorRelationship.count_collection(), snapshots(copy)) == (0, [])
        copy.delete()
    with there.used():
        assert snapshots(source) == []
        source.delete()


def test_a_lun_follows_one_at_a_peer(sites: tuple[Site, Site]) -> None:
    there, here = sites
    with there.used():
        source = volume("lv", "blocks", size=32 * MIB)
        Lun(name="/vol/lv/data", svm={"name": "svm1"}, os_type="linux", space={"size": 32 * MIB}).post()
        there.put(source, at=MIB, data=b"first" * 1000)
    with here.used():
        relationship = SnapmirrorRelationship(
            source={"path": "far:lv"},
            destination={"path": "dr:lv_copy"},
            create_destination={"enabled": True},
            state="snapmirrored",
        )
        relationship.post(hydrate=True)
        settled(relationship)
        copy = seen("lv_copy")
        assert here.blocks(copy) == there.blocks(source)
        there.put(source, at=5 * MIB, data=b"second" * 1000)
        SnapmirrorTransfer(relationship.uuid).post()
        settled(relationship)
        assert relationship.transfer.bytes_transferred <= 4 * MIB
        assert here.blocks(copy) == there.blocks(source)
        relationship.delete(destination_only=True)
        copy.delete()
    with there.used():
        with refused("8", status=409):
            source.delete()
        (followed,) = SnapmirrorRelationship.get_collection(list_destinations_only=True)
        followed.delete(source_only=True)
        assert snapshots(source) == []
        source.delete()


def test_peers_part(sites: tuple[Site, Site]) -> None:
    there, here = sites
    with there.used():
        source = volume("late", "files")
    with here.used():
        svm = SvmPeer.find(**{"peer.cluster.name": "source_site"})
        svm.delete()
        with refused("13303886", status=400):
            SnapmirrorRelationship(
                source={"path": "svm1:late", "cluster": {"name": "source_site"}},
                destination={"path": "dr:late"},
                create_destination={"enabled": True},
            ).post()
        ClusterPeer.find(name="source_site").delete()
        assert ClusterPeer.count_collection() == 0
    with there.used():
        found = ClusterPeer.find(name="here", fields="**")
        assert (found.authentication.in_use, found.status.state) == ("revoked", "unavailable")
        for one in SvmPeer.get_collection(**{"peer.cluster.name": "here"}):
            one.delete()
        found.delete()
        source.delete()
