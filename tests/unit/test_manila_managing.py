"""Volumes and snapshots that were there before Manila, and all of its shares at once, at a real gateway."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from manila_flows_scene import MIB, Wire, made, new_share, new_snapshot, over, rules, volume_of
from manila_scene import FAST, PLAIN, TENANT, Bed, access_row, manila_bed

from gateway.client import Flow, native
from gateway.client.native import Volume
from gateway.frontends.manila_driver import ensuring, managing, shares, snapshots
from gateway.frontends.manila_driver.managing import Wanted
from gateway.frontends.manila_driver.naming import GIB, MANAGED
from gateway.frontends.manila_driver.refusals import Mismatch, Refusal

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    with manila_bed(tmp_path_factory.mktemp("manila")) as bed:
        yield bed


@pytest.fixture
def run(bed: Bed) -> Callable[[Flow[Any]], Any]:
    return bed.client.run


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
