"""A volume made through each door is the same one in each other, for every pair of those that joined."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from dialect import ABILITIES, ASKED_BY, BLOCKS, FILES, GIB, Case, Dialect, Doors, RefusedError, Seen, Snap
from dialect_ontap import Ontap
from joined import DOORS

KINDS = (FILES, BLOCKS)
Wanted = Callable[[type[Dialect], type[Dialect], str], bool]


def cells(wanted: Wanted = lambda _maker, _user, _kind: True) -> Any:
    """Parametrise a test: each door makes each kind that it can, for each that uses it, where that is wanted."""
    found = [(maker, user, kind) for kind in KINDS for maker in DOORS if kind in maker.kinds for user in DOORS]
    told = [(maker.name, user.name, kind) for maker, user, kind in found if wanted(maker, user, kind)]
    return pytest.mark.parametrize(("maker", "user", "kind"), told, ids=map("-".join, told))


class Pair:
    """Two doors and what one of them made. What neither has a word for is asked of one that has."""

    def __init__(self, doors: Doors, maker: str, user: str, kind: str) -> None:
        self._doors = doors
        self.maker, self.user, self.kind = doors[maker], doors[user], kind

    def able(self, ability: str) -> Any:
        """Give the method of the first that can: the user, the maker, any other."""
        found = next(door for door in (self.user, self.maker, *self._doors.values()) if door.can(ability))
        return getattr(found, ability)

    def made(self, *, pool: str = "memory") -> Seen:
        """Let the maker make a volume, and give it."""
        name = f"v{uuid4().hex[:12]}"
        self.maker.make(name, self.kind, pool=pool)
        return self.found(name)

    def found(self, name: str) -> Seen:
        """Give a volume as maker and user show it, in which they agree; another door tells what neither does."""
        views = [self.maker.find(name), self.user.find(name)]
        others = iter(self._doors.values())
        while not all(
            told := [[value for value in values if value is not None] for values in zip(*views, strict=True)]
        ):
            views.append(next(others).find(name))
        assert [len(set(values)) for values in told] == [1] * len(told), views
        return Seen(*(values[0] for values in told))

    def refused(self, door: Dialect, case: Case, *arguments: Any) -> None:
        """Ask a door for what it has to refuse."""
        with pytest.raises(RefusedError) as caught:
            getattr(door, ASKED_BY[case])(*arguments)
        assert door.says(case, caught.value), f"{door.name}, {case.name}: {caught.value}"

    def gone(self, name: str) -> None:
        """Check that nobody has the name."""
        for door in (self.maker, self.user):
            assert name not in door.names()
            self.refused(door, Case.UNKNOWN, name)


@pytest.fixture
def pair(doors: Doors, maker: str, user: str, kind: str) -> Pair:
    return Pair(doors, maker, user, kind)


@cells()
def test_one_volume(pair: Pair) -> None:
    life(pair)


in_turn = cells(lambda maker, user, kind: kind == FILES and DOORS[DOORS.index(maker) - 1] is user)
"""Each door makes once, and each uses once what another one made."""


@pytest.mark.root
@in_turn
def test_one_volume_on_btrfs(doors_on_btrfs: Doors, maker: str, user: str, kind: str) -> None:
    life(Pair(doors_on_btrfs, maker, user, kind))


@pytest.mark.root
@in_turn
def test_its_bytes_on_btrfs(doors_on_btrfs: Doors, maker: str, user: str, kind: str) -> None:
    pair, ontap = Pair(doors_on_btrfs, maker, user, kind), doors_on_btrfs[Ontap.name]
    assert isinstance(ontap, Ontap)
    volume = pair.made()
    file = ontap.folder(str(volume.id)) / "file"
    file.write_text("old")
    snapshot = pair.able("snapshot")(volume, "s")
    file.write_text("new")
    pair.able("copy")(volume, f"{volume.name}copy")
    pair.able("copy_of_snapshot")(volume, snapshot, f"{volume.name}then")
    copy, then = pair.found(f"{volume.name}copy"), pair.found(f"{volume.name}then")
    texts = [(ontap.folder(str(each.id)) / "file").read_text() for each in (volume, copy, then)]
    assert texts == ["new", "new", "old"]
    for each in (copy, then):
        pair.maker.remove(each)
    pair.able("restore")(volume, snapshot)
    assert file.read_text() == "old"
    pair.able("remove_snapshot")(volume, snapshot)
    pair.maker.remove(volume)


@pytest.mark.root
@cells(lambda maker, user, kind: kind == FILES and maker.can("mount") and user is not maker)
def test_a_volume_that_another_door_mounted(doors_on_btrfs: Doors, maker: str, user: str, kind: str) -> None:
    pair = Pair(doors_on_btrfs, maker, user, kind)
    volume = pair.made()
    try:
        (pair.maker.mount(volume) / "file").write_text("here")
        pair.refused(pair.user, Case.MOUNTED, volume)
        assert pair.found(volume.name) == volume
    finally:
        pair.maker.unmount(volume)
    pair.user.remove(volume)


@cells(lambda _maker, user, kind: kind in user.kinds)
def test_a_name_that_is_taken(pair: Pair) -> None:
    volume = pair.made()
    pair.refused(pair.user, Case.TAKEN, volume.name, pair.kind, 2 * GIB)
    assert pair.found(volume.name) == volume
    pair.user.remove(volume)


@cells(lambda _maker, user, kind: kind == BLOCKS and user.can("resize"))
def test_blocks_that_shall_shrink(pair: Pair) -> None:
    volume = pair.made()
    pair.refused(pair.user, Case.SMALLER, volume, GIB // 2)
    assert pair.found(volume.name) == volume
    pair.user.remove(volume)


@cells(lambda _maker, user, _kind: user.can("snapshot"))
def test_a_pool_that_takes_no_snapshots(pair: Pair) -> None:
    volume = pair.made(pool="poor")
    pair.refused(pair.user, Case.UNABLE, volume, "s")
    pair.user.remove(volume)


@cells(lambda maker, _user, kind: maker.can("attach") and kind in maker.attaches)
def test_a_volume_that_is_attached(pair: Pair) -> None:
    volume = pair.made()
    pair.maker.attach(volume)
    pair.refused(pair.user, Case.ATTACHED, volume)
    assert pair.found(volume.name) == volume
    pair.maker.detach(volume)
    pair.user.remove(volume)


@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.name)
def test_what_a_dialect_has_no_word_for_is_declared(door: type[Dialect]) -> None:
    assert [ability for ability in ABILITIES if hasattr(door, ability) is (ability in door.lacks)] == []
    asked = {case for case, method in ASKED_BY.items() if method not in door.lacks}
    assert set(door.words) == asked


def life(pair: Pair) -> None:
    """Let the user do everything with what the maker made, and the maker see it."""
    maker, user, volume = pair.maker, pair.user, pair.made()
    assert all(volume.name in door.names() for door in (maker, user))
    looked = pair.able("look")(volume.id)
    assert looked == Seen(*(None if told is None else known for told, known in zip(looked, volume, strict=True)))

    pair.able("resize")(volume, 2 * GIB)
    assert pair.found(volume.name) == volume._replace(size=2 * GIB)

    snapshot: Snap = pair.able("snapshot")(volume, "s")
    for door in filter(lambda door: door.can("snapshots"), (maker, user)):
        assert door.snapshots(volume) == {snapshot}
    pair.able("restore")(volume, snapshot)

    copies = [f"{volume.name}copy", f"{volume.name}then"]
    pair.able("copy")(volume, copies[0])
    pair.able("copy_of_snapshot")(volume, snapshot, copies[1])
    clones = [pair.found(name) for name in copies]
    assert [clone.size for clone in clones] == [2 * GIB, 2 * GIB]
    assert len({volume.id, *(clone.id for clone in clones)}) == 3

    if user.can("remove_snapshot"):
        pair.refused(user, Case.PINNED, volume, snapshot)
    for clone in clones:
        user.remove(clone)
        pair.gone(clone.name)
    pair.able("remove_snapshot")(volume, snapshot)
    user.remove(volume)
    pair.gone(volume.name)
