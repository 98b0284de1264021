"""What the Manila driver does at a real gateway, without Manila: whole or not at all, however often it is asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import httpx
import msgspec
import pytest
from manila_scene import FAST, PLAIN, TENANT, Bed, access_row, manila_bed

from gateway.client import Client, ClientError, Flow, native
from gateway.client.native import Volume
from gateway.frontends.manila_driver import ensuring, managing, shares, snapshots
from gateway.frontends.manila_driver.managing import Wanted
from gateway.frontends.manila_driver.naming import GIB, MANAGED, Share, Snapshot
from gateway.frontends.manila_driver.refusals import Mismatch, Refusal, WouldLoseData
from gateway.testing.live import ACCOUNT, PASSWORD

pytestmark = pytest.mark.root

T = TypeVar("T")
MIB = 1 << 20
HERE = access_row("127.0.0.1")


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    with manila_bed(tmp_path_factory.mktemp("manila")) as bed:
        yield bed


@pytest.fixture
def run(bed: Bed) -> Callable[[Flow[Any]], Any]:
    return bed.client.run


def new_share(**fields: Any) -> Share:
    key = str(uuid4())
    return Share(id=key, share_id=str(uuid4()), name=f"share-{key}", tenant=TENANT, **fields)


def new_snapshot(**fields: Any) -> Snapshot:
    key = str(uuid4())
    return Snapshot(id=key, snapshot_id=str(uuid4()), name=f"share-snapshot-{key}", **fields)


def made(bed: Bed, *, pool: str = FAST, size: int = GIB) -> Share:
    """Make a share that this host may write to."""
    share = new_share()
    bed.client.run(shares.create(share, pool=pool, size=size))
    bed.client.run(shares.set_access(share, [HERE]))
    return share


def volume_of(bed: Bed, share: Share) -> Volume:
    found = bed.client.run(shares.find(share))
    assert found is not None
    return found


def rules(bed: Bed, name: str) -> list[tuple[str, bool]]:
    return [(rule.clients[0], rule.write) for rule in bed.client.run(native.export_policy(TENANT, name)).rules]


def absent(bed: Bed, share: Share) -> bool:
    """Tell whether nothing is left of a share, whatever its marks."""
    with pytest.raises(ClientError) as missing:
        bed.client.run(native.export_policy(TENANT, share.name))
    named = bed.client.run(native.volume_named(share.name, tenant=TENANT))
    return named is None and native.is_absent(missing.value, "export policy")


class Wire(httpx.BaseTransport):
    """The network to the gateway, with one thing that goes wrong at the change that is due.

    `lost`: the gateway does it, and its answer does not arrive; `down`: from
    then on nobody is there.
    """

    def __init__(self, how: str, due: int) -> None:
        self._how = how
        self._left = due
        self._inner = httpx.HTTPTransport()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self._left -= request.method != "GET"
        if self._how == "down" and self._left < 0:
            raise httpx.ConnectError("nobody is there", request=request)
        answer = self._inner.handle_request(request)
        if self._how == "lost" and self._left == 0 and request.method != "GET":
            self._left = -1
            answer.read()
            raise httpx.ReadError("the answer is lost", request=request)
        return answer

    def close(self) -> None:
        self._inner.close()


def over(bed: Bed, wire: Wire, flow: Flow[T]) -> T | None:
    """Carry a flow out over a network that goes wrong; None when nobody knows what became of it."""
    with Client(bed.gateway.url, user=ACCOUNT, password=PASSWORD, transport=wire) as client:
        try:
            return client.run(flow)
        except ClientError as error:
            if not native.is_lost(error):
                raise
            return None


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


ANY = Wanted(pool=FAST)


def theirs(bed: Bed, *, pool: str = FAST, **fields: Any) -> Volume:
    """Make a volume at another door, so to say."""
    key = uuid4().hex[:8]
    new = native.NewVolume(name=f"v{key}", tenant=TENANT, pool=pool, path=f"/v{key}", size=GIB + MIB, **fields)
    return bed.client.run(native.create_volume(new))


def test_a_volume_becomes_a_share_and_is_let_go_again(bed: Bed, run: Callable[[Flow[Any]], Any]) -> None:
    run(native.set_export_policy(TENANT, "open", [native.Rule(clients=("0.0.0.0/0",), write=True)]))
    volume = theirs(bed, labels={"owner": "me"}, export_policy="open")
    bed.nfs.write(f"{volume.path}/letter", b"words")
    share = new_share()
    done = run(managing.adopt(share, f"127.0.0.1:{volume.path}", ANY, {}))
    taken = done.volume
    assert (taken.id, taken.name, taken.path) == (volume.id, share.name, volume.path)
    assert taken.labels == {"owner": "me", **share.labels, MANAGED: "true"}
    assert done.locations[0]["path"] == f"127.0.0.1:{volume.path}"
    # Clients go on, until Manila says who may.
    assert bed.nfs.read(f"{volume.path}/letter") == b"words"
    assert run(managing.adopt(share, f"127.0.0.1:{volume.path}", ANY, {})).volume.id == volume.id
    run(shares.set_access(share, [access_row("192.0.2.7")]))
    assert not bed.nfs.reaches(str(volume.path))
    assert rules(bed, "open") == [("0.0.0.0/0", True)]
    run(managing.release(share))
    run(managing.release(share))
    left = run(native.volume(volume.id))
    assert (left.labels, left.name) == ({"owner": "me"}, share.name)
    run(shares.delete(share))
    assert run(native.volume(volume.id)).state == "online"


def test_what_manila_failed_to_manage_is_let_go_rather_than_deleted(bed: Bed, run: Callable[[Flow[Any]], Any]) -> None:
    volume, share = theirs(bed), new_share()
    ref = run(native.create_snapshot(volume.id, "nightly"))
    assert over(bed, Wire("lost", 3), managing.adopt(share, f"127.0.0.1:{volume.path}", ANY, {})) is None
    assert run(shares.find(share)).id == volume.id
    snapshot = new_snapshot(location="nightly")
    assert over(bed, Wire("lost", 1), managing.adopt_snapshot(share, snapshot, {})) is None
    run(snapshots.delete(share, snapshot))
    run(shares.delete(share))
    assert run(native.volume(volume.id)).labels == {}
    assert run(native.snapshot(ref.id)).labels == {}
    # What it does have, it deletes.
    share, snapshot = new_share(), new_snapshot(location=ref.id)
    run(managing.adopt(share, f"127.0.0.1:{volume.path}", ANY, {}))
    run(managing.adopt_snapshot(share, snapshot, {}))
    run(snapshots.delete(share, snapshot))
    run(shares.delete(msgspec.structs.replace(share, volume_id=volume.id)))
    assert run(native.volume_named(share.name, tenant=TENANT)) is None


@pytest.mark.parametrize(
    ("change", "wanted", "reason"),
    [
        ({"pool": PLAIN}, ANY, "in pool plain, not in fast"),
        ({"labels": {"manila.share_instance": "another"}}, ANY, "bears the mark of another"),
        ({}, Wanted(pool=FAST, thick=True), "is thin, and its share type asks for the other"),
    ],
)
def test_what_cannot_be_managed_stays_as_it_is(
    bed: Bed, run: Callable[[Flow[Any]], Any], change: dict[str, Any], wanted: Wanted, reason: str
) -> None:
    volume = theirs(bed, **change)
    with pytest.raises(Refusal, match=reason) as refused:
        run(managing.adopt(new_share(), f"127.0.0.1:{volume.path}", wanted, {}))
    assert isinstance(refused.value, Mismatch) is (wanted.thick is not None)
    after = run(native.volume(volume.id))
    assert (after.name, after.labels) == (volume.name, volume.labels)


@pytest.mark.parametrize(
    ("location", "options", "reason"),
    [
        ("127.0.0.1:/nothing-there", {}, "has no volume at /nothing-there"),
        ("nonsense", {}, "is no export location"),
        ("127.0.0.1:/x", {"colour": "red"}, "no driver option 'colour'"),
    ],
)
def test_what_is_not_there_cannot_be_managed(
    run: Callable[[Flow[Any]], Any], location: str, options: dict[str, object], reason: str
) -> None:
    with pytest.raises(Refusal, match=reason):
        run(managing.adopt(new_share(), location, ANY, options))


def test_a_volume_of_another_manila_is_taken_over_only_on_request(bed: Bed, run: Callable[[Flow[Any]], Any]) -> None:
    first, second = made(bed), new_share()
    location = f"127.0.0.1:/{first.name}"
    with pytest.raises(Refusal, match="take_over=true"):
        run(managing.adopt(second, location, ANY, {}))
    done = run(managing.adopt(second, location, ANY, {"take_over": "true"}))
    assert second.owns(done.volume.labels)
    assert run(shares.find(first)) is None


def test_a_volume_that_is_offline_or_holds_blocks_cannot_be_managed(bed: Bed, run: Callable[[Flow[Any]], Any]) -> None:
    volume = theirs(bed)
    for change, reason in (({"kind": "block"}, "holds blocks"), ({"state": "offline"}, "is offline")):
        with pytest.raises(Refusal, match=reason):
            managing.check(msgspec.structs.replace(volume, **change), ANY)


def test_snapshots_are_managed_by_id_and_by_name(bed: Bed, run: Callable[[Flow[Any]], Any]) -> None:
    share = made(bed)
    volume = volume_of(bed, share)
    for ref in ("id", "name"):
        taken = run(native.create_snapshot(volume.id, f"nightly-{ref}", labels={"owner": "me"}))
        snapshot = new_snapshot(location=getattr(taken, ref))
        managed = run(managing.adopt_snapshot(share, snapshot, {}))
        assert (managed.id, managed.name) == (taken.id, snapshot.name)
        assert managed.labels == {"owner": "me", **snapshot.labels, MANAGED: "true"}
        with pytest.raises(Refusal, match="bears the mark"):
            run(managing.adopt_snapshot(share, new_snapshot(location=taken.id), {}))
        run(managing.release_snapshot(share, snapshot))
        run(managing.release_snapshot(share, snapshot))
        assert run(native.snapshot(taken.id)).labels == {"owner": "me"}


@pytest.mark.parametrize("ref", ["nothing", "00000000-0000-4000-8000-000000000000", ""])
def test_a_snapshot_that_the_share_does_not_have_cannot_be_managed(
    bed: Bed, run: Callable[[Flow[Any]], Any], ref: str
) -> None:
    with pytest.raises(Refusal, match="the share has no snapshot"):
        run(managing.adopt_snapshot(made(bed), new_snapshot(location=ref), {}))


def test_a_snapshot_of_another_share_cannot_be_managed(bed: Bed, run: Callable[[Flow[Any]], Any]) -> None:
    share, other = made(bed), made(bed)
    taken = run(native.create_snapshot(volume_of(bed, other).id, "nightly"))
    with pytest.raises(Refusal, match="the share has no snapshot"):
        run(managing.adopt_snapshot(share, new_snapshot(location=taken.id), {}))


def test_the_condition_of_shares(bed: Bed, run: Callable[[Flow[Any]], Any]) -> None:
    well, gone, off, withdrawn = made(bed), new_share(), made(bed), made(bed)
    run(native.change_volume(volume_of(bed, off).id, {"state": "offline"}))
    run(native.change_volume(volume_of(bed, withdrawn).id, {"path": None}))
    found = run(ensuring.conditions(TENANT, [well, gone, off, withdrawn]))
    assert {key: (one.healthy, one.renewed) for key, one in found.items()} == {
        well.id: (True, False),
        gone.id: (False, False),
        off.id: (False, False),
        withdrawn.id: (True, True),
    }
    assert found[withdrawn.id].locations[0]["path"] == f"127.0.0.1:/{withdrawn.name}"
    assert bed.nfs.reaches(f"/{withdrawn.name}")


def test_a_share_whose_place_somebody_else_has_taken_is_in_error(bed: Bed, run: Callable[[Flow[Any]], Any]) -> None:
    share, other = made(bed), theirs(bed)
    run(native.change_volume(volume_of(bed, share).id, {"path": None}))
    run(native.change_volume(other.id, {"path": f"/{share.name}"}))
    found = run(ensuring.conditions(TENANT, [share, made(bed)]))
    assert [one.healthy for one in found.values()] == [False, True]


def test_how_full_shares_are(bed: Bed, run: Callable[[Flow[Any]], Any]) -> None:
    share = made(bed)
    sizes = run(ensuring.used(TENANT, [share.id, str(uuid4())]))
    assert sizes.keys() == {share.id}
    assert 0 <= sizes[share.id] < 1


def test_all_pages_of_a_list_are_read(bed: Bed, run: Callable[[Flow[Any]], Any]) -> None:
    names = {made(bed).name for _ in range(3)}
    listing = native.volumes(tenant=TENANT)
    small = msgspec.structs.replace(listing, query=(*listing.query, ("limit", "1")))
    assert names <= {volume.name for volume in run(shares.every(small))}
