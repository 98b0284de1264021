"""What the Manila driver does at a real gateway, without Manila: whole or not at all, however often it is asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from manila_flows_scene import HERE, MIB, Wire, absent, made, new_share, new_snapshot, over, rules, volume_of
from manila_scene import FAST, PLAIN, TENANT, Bed, access_row, manila_bed

from gateway.client import ClientError, Flow, native
from gateway.frontends.manila_driver import shares, snapshots
from gateway.frontends.manila_driver.naming import GIB, Share
from gateway.frontends.manila_driver.refusals import Refusal, WouldLoseData

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    with manila_bed(tmp_path_factory.mktemp("manila")) as bed:
        yield bed


@pytest.fixture
def run(bed: Bed) -> Callable[[Flow[Any]], Any]:
    return bed.client.run


def test_a_new_share_is_there_for_nobody(bed: Bed, run: Callable[[Flow[Any]], Any]) -> None:
    share = new_share()
    done = run(shares.create(share, pool=FAST, size=GIB))
    assert done.locations[0]["path"] == f"127.0.0.1:/{share.name}"
    volume = done.volume
    assert (volume.name, volume.pool, volume.size, volume.path) == (share.name, FAST, GIB, f"/{share.name}")
    assert volume.labels == share.labels
    assert rules(bed, share.name) == []
    assert not bed.nfs.reaches(f"/{share.name}")


def test_asked_again_it_is_the_same_and_keeps_its_rules(bed: Bed, run: Callable[[Flow[Any]], Any]) -> None:
    share = made(bed)
    before = volume_of(bed, share)
    again = run(shares.create(share, pool=FAST, size=GIB))
    assert again.volume.id == before.id
    assert rules(bed, share.name) == [("127.0.0.1", True)]


@pytest.mark.parametrize("due", [1, 2])
def test_an_answer_that_is_lost_makes_no_second_share(bed: Bed, run: Callable[[Flow[Any]], Any], due: int) -> None:
    share = new_share()
    over(bed, Wire("lost", due), shares.create(share, pool=FAST, size=GIB))
    run(shares.create(share, pool=FAST, size=GIB))
    listed = run(shares.every(native.volumes(tenant=TENANT)))
    assert len([one for one in listed if share.owns(one.labels)]) == 1
    run(shares.delete(share))
    assert absent(bed, share)


@pytest.mark.parametrize("due", [0, 1])
def test_a_gateway_that_goes_away_meanwhile_leaves_what_a_deletion_finds(
    bed: Bed, run: Callable[[Flow[Any]], Any], due: int
) -> None:
    share = new_share()
    assert over(bed, Wire("down", due), shares.create(share, pool=FAST, size=GIB)) is None
    run(shares.delete(share))
    assert absent(bed, share)


@pytest.mark.parametrize("due", [1, 2])
def test_a_lost_answer_to_a_deletion_is_asked_for_again(bed: Bed, run: Callable[[Flow[Any]], Any], due: int) -> None:
    share = made(bed)
    over(bed, Wire("lost", due), shares.delete(share))
    run(shares.delete(share))
    assert absent(bed, share)


@pytest.mark.parametrize(
    ("pool", "thick", "error"),
    [(PLAIN, True, ClientError), ("memory", False, Refusal), ("nowhere", False, ClientError)],
)
def test_what_cannot_be_leaves_nothing(
    bed: Bed, run: Callable[[Flow[Any]], Any], pool: str, *, thick: bool, error: type[Exception]
) -> None:
    share = new_share()
    with pytest.raises(error):
        run(shares.create(share, pool=pool, size=GIB, thick=thick))
    assert absent(bed, share)


def test_what_bears_no_mark_is_not_touched(bed: Bed, run: Callable[[Flow[Any]], Any]) -> None:
    share = new_share()
    theirs = run(native.create_volume(native.NewVolume(name=share.name, tenant=TENANT, pool=FAST, size=GIB)))
    with pytest.raises(ClientError) as taken:
        run(shares.create(share, pool=FAST, size=GIB))
    assert taken.value.code == "AlreadyExists"
    run(shares.delete(share))
    assert run(native.volume(theirs.id)).name == share.name
    with pytest.raises(ClientError) as missing:
        run(shares.set_access(share, [HERE]))
    assert native.is_absent(missing.value, "volume")


def test_a_share_that_somebody_renamed_is_the_same_share(bed: Bed, run: Callable[[Flow[Any]], Any]) -> None:
    share = made(bed)
    volume = volume_of(bed, share)
    run(native.change_volume(volume.id, {"name": f"theirs-{share.id}"}))
    assert run(shares.find(share)) is None
    known = msgspec.structs.replace(share, volume_id=volume.id)
    run(shares.extend(known, 2 * GIB))
    assert run(native.volume(volume.id)).size == 2 * GIB
    run(shares.delete(known))
    with pytest.raises(ClientError) as gone:
        run(native.volume(volume.id))
    assert native.is_absent(gone.value, "volume")


def test_what_is_remembered_of_another_volume_does_not_count(bed: Bed, run: Callable[[Flow[Any]], Any]) -> None:
    share, other = made(bed), made(bed)
    wrong = msgspec.structs.replace(share, volume_id=volume_of(bed, other).id)
    assert run(shares.find(wrong)).name == share.name
    gone = msgspec.structs.replace(share, volume_id=str(uuid4()))
    assert run(shares.find(gone)).name == share.name


def test_a_mount_point_of_the_users_own(bed: Bed, run: Callable[[Flow[Any]], Any]) -> None:
    share = new_share(mount_point=f"of-{uuid4().hex[:8]}")
    done = run(shares.create(share, pool=FAST, size=GIB))
    assert done.locations[0]["path"] == f"127.0.0.1:/{share.mount_point}"


def test_sizes(bed: Bed, run: Callable[[Flow[Any]], Any]) -> None:
    share = made(bed)
    run(shares.extend(share, 3 * GIB))
    run(shares.extend(share, 2 * GIB))
    assert volume_of(bed, share).size == 3 * GIB
    run(shares.shrink(share, 2 * GIB))
    run(shares.shrink(share, 3 * GIB))
    assert volume_of(bed, share).size == 2 * GIB


def test_what_clients_have_written_is_not_cut_off(bed: Bed, run: Callable[[Flow[Any]], Any]) -> None:
    share = made(bed, size=64 * MIB)
    place = run(native.handles(volume_of(bed, share).id))[0].path
    (Path(place) / "much").write_bytes(b"x" * (8 * MIB))
    with pytest.raises(WouldLoseData):
        run(shares.shrink(share, 4 * MIB))
    assert volume_of(bed, share).size == 64 * MIB


def test_a_share_from_a_snapshot_has_the_old_bytes(bed: Bed, run: Callable[[Flow[Any]], Any]) -> None:
    share, snapshot = made(bed), new_snapshot()
    bed.nfs.write(f"/{share.name}/letter", b"old")
    taken = run(snapshots.take(share, snapshot))
    assert run(snapshots.take(share, snapshot)).id == taken.id
    bed.nfs.overwrite(f"/{share.name}/letter", b"new")
    for size in (GIB, 3 * GIB):
        copy = new_share()
        done = run(shares.create_from(copy, taken, pool=FAST, size=size))
        assert run(shares.create_from(copy, taken, pool=FAST, size=size)).volume.id == done.volume.id
        assert (done.volume.size, done.volume.labels, done.volume.thick) == (size, copy.labels, False)
        assert not bed.nfs.reaches(f"/{copy.name}")
        run(shares.set_access(copy, [HERE]))
        assert bed.nfs.read(f"/{copy.name}/letter") == b"old"
    assert bed.nfs.read(f"/{share.name}/letter") == b"new"


def test_a_share_from_a_snapshot_is_as_large_as_asked_although_the_source_has_grown(
    bed: Bed, run: Callable[[Flow[Any]], Any]
) -> None:
    share, snapshot, copy = made(bed), new_snapshot(), new_share()
    taken = run(snapshots.take(share, snapshot))
    run(shares.extend(share, 3 * GIB))
    assert run(shares.create_from(copy, taken, pool=FAST, size=GIB)).volume.size == GIB


@pytest.mark.parametrize("due", [1, 2])
def test_a_lost_answer_makes_no_second_clone(bed: Bed, run: Callable[[Flow[Any]], Any], due: int) -> None:
    share, snapshot, copy = made(bed), new_snapshot(), new_share()
    taken = run(snapshots.take(share, snapshot))
    over(bed, Wire("lost", due), shares.create_from(copy, taken, pool=FAST, size=2 * GIB))
    assert run(shares.create_from(copy, taken, pool=FAST, size=2 * GIB)).volume.size == 2 * GIB
    run(shares.delete(copy))
    run(snapshots.delete(share, snapshot))
    run(shares.delete(share))
    assert absent(bed, copy)
    assert absent(bed, share)


def test_a_snapshot_stays_in_its_pool(bed: Bed, run: Callable[[Flow[Any]], Any]) -> None:
    share, snapshot, copy = made(bed), new_snapshot(), new_share()
    taken = run(snapshots.take(share, snapshot))
    with pytest.raises(Refusal, match="in pool fast cannot become a share in pool plain"):
        run(shares.create_from(copy, taken, pool=PLAIN, size=GIB))
    assert absent(bed, copy)


def test_a_snapshot_that_a_share_was_made_of_goes_with_that(bed: Bed, run: Callable[[Flow[Any]], Any]) -> None:
    share, snapshot, copy = made(bed), new_snapshot(), new_share()
    bed.nfs.write(f"/{share.name}/letter", b"old")
    taken = run(snapshots.take(share, snapshot))
    run(shares.create_from(copy, taken, pool=FAST, size=GIB))
    run(snapshots.delete(share, snapshot))
    assert run(snapshots.find(share, snapshot)) is None
    run(shares.set_access(copy, [HERE]))
    assert bed.nfs.read(f"/{copy.name}/letter") == b"old"
    assert volume_of(bed, share).snapshot_count == 1
    run(shares.delete(copy))
    assert volume_of(bed, share).snapshot_count == 0


def test_snapshots_are_found_by_what_manila_keeps_and_by_name(bed: Bed, run: Callable[[Flow[Any]], Any]) -> None:
    share, snapshot = made(bed), new_snapshot()
    taken = run(snapshots.take(share, snapshot))
    kept = msgspec.structs.replace(snapshot, location=taken.id)
    for known in (snapshot, kept, msgspec.structs.replace(snapshot, location=str(uuid4()))):
        assert run(snapshots.require(share, known)).id == taken.id
    other = msgspec.structs.replace(new_snapshot(), location=taken.id)
    assert run(snapshots.find(share, other)) is None
    with pytest.raises(ClientError) as missing:
        run(snapshots.require(share, other))
    assert native.is_absent(missing.value, "snapshot")
    run(snapshots.delete(share, other))
    assert run(snapshots.find(new_share(), snapshot)) is None
    run(snapshots.delete(share, kept))
    run(snapshots.delete(share, kept))


def unserved(bed: Bed) -> Share:
    """Make what would be a share, in the pool that takes snapshots of several volumes at one instant."""
    share = new_share()
    new = native.NewVolume(name=share.name, tenant=TENANT, pool="memory", size=MIB, labels=share.labels)
    bed.client.run(native.create_volume(new))
    return share


@pytest.mark.parametrize("due", [1, 9])
def test_snapshots_of_several_shares_at_one_instant(bed: Bed, run: Callable[[Flow[Any]], Any], due: int) -> None:
    members = [(unserved(bed), new_snapshot()) for _ in range(2)]
    over(bed, Wire("lost", due), snapshots.take_together(members))
    taken = run(snapshots.take_together(members))
    assert [one.name for one in taken] == [snapshot.name for _, snapshot in members]
    assert len({one.created for one in taken}) == 1
    for share, snapshot in members:
        assert run(snapshots.require(share, snapshot)).labels == snapshot.labels


def test_where_a_pool_cannot_take_them_together_nobody_pretends(bed: Bed, run: Callable[[Flow[Any]], Any]) -> None:
    members = [(made(bed), new_snapshot()) for _ in range(2)]
    assert run(snapshots.take_together(members)) is None
    assert [run(snapshots.find(*member)) for member in members] == [None, None]
    apart = [(made(bed), new_snapshot()), (unserved(bed), new_snapshot())]
    assert run(snapshots.take_together(apart)) is None


def test_a_pool_that_cannot_snapshot_says_so(bed: Bed, run: Callable[[Flow[Any]], Any]) -> None:
    share = made(bed, pool=PLAIN)
    with pytest.raises(ClientError) as refused:
        run(snapshots.take(share, new_snapshot()))
    assert refused.value.code == "Unsupported"


def test_reverting_brings_bytes_back_and_takes_nothing_else(bed: Bed, run: Callable[[Flow[Any]], Any]) -> None:
    share, first, second = made(bed), new_snapshot(), new_snapshot()
    bed.nfs.write(f"/{share.name}/letter", b"old")
    taken = run(snapshots.take(share, first))
    bed.nfs.overwrite(f"/{share.name}/letter", b"new")
    run(snapshots.take(share, second))
    run(shares.extend(share, 2 * GIB))
    assert run(shares.restore(share, taken)).size == 2 * GIB
    assert bed.nfs.read(f"/{share.name}/letter") == b"old"
    assert run(snapshots.find(share, second)) is not None


def test_access_is_what_the_rules_say_and_nothing_else(bed: Bed, run: Callable[[Flow[Any]], Any]) -> None:
    share = made(bed)
    path = f"/{share.name}"
    bed.nfs.write(f"{path}/letter", b"words")
    reader, stranger = access_row("127.0.0.0/8", "ro"), access_row("192.0.2.0/24")
    assert run(shares.set_access(share, [stranger, reader])) == {}
    assert rules(bed, share.name) == [("192.0.2.0/24", True), ("127.0.0.0/8", False)]
    assert bed.nfs.read(f"{path}/letter") == b"words"
    assert bed.nfs.try_write(f"{path}/other", b"x").returncode != 0
    assert run(shares.set_access(share, [stranger])) == {}
    assert not bed.nfs.reaches(path)
    run(shares.set_access(share, []))
    assert rules(bed, share.name) == []


def test_rules_that_cannot_be_do_not_hinder_those_that_can(bed: Bed, run: Callable[[Flow[Any]], Any]) -> None:
    share = made(bed)
    # The last one is a network as good as any, which the NFS server cannot tell from others.
    bad = [access_row("10.0.0.5/24"), access_row("alice", kind="user"), access_row("2001:db8::/100")]
    refused = run(shares.set_access(share, [*bad, HERE, access_row("2001:db8:1::/48", "ro"), access_row("::1")]))
    assert refused.keys() == {row["access_id"] for row in bad}
    assert set(rules(bed, share.name)) == {("127.0.0.1", True), ("2001:db8:1::/48", False), ("::1", True)}
    assert bed.nfs.reaches(f"/{share.name}")


def test_a_lost_answer_to_access_rules_is_asked_for_again(bed: Bed, run: Callable[[Flow[Any]], Any]) -> None:
    share = made(bed)
    other = access_row("192.0.2.7")
    assert over(bed, Wire("lost", 1), shares.set_access(share, [other])) is None
    assert run(shares.set_access(share, [other])) == {}
    assert rules(bed, share.name) == [("192.0.2.7", True)]


def test_a_share_that_is_still_needed_goes_with_what_needs_it(bed: Bed, run: Callable[[Flow[Any]], Any]) -> None:
    share, snapshot, copy = made(bed), new_snapshot(), new_share()
    taken = run(snapshots.take(share, snapshot))
    run(shares.create_from(copy, taken, pool=FAST, size=GIB))
    run(shares.delete(share))
    assert absent(bed, share)
    assert run(shares.find(copy)) is not None
    run(shares.delete(copy))
    assert absent(bed, copy)


def test_all_pages_of_a_list_are_read(bed: Bed, run: Callable[[Flow[Any]], Any]) -> None:
    names = {made(bed).name for _ in range(3)}
    listing = native.volumes(tenant=TENANT)
    small = msgspec.structs.replace(listing, query=(*listing.query, ("limit", "1")))
    assert names <= {volume.name for volume in run(shares.every(small))}
