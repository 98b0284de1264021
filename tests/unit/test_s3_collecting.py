"""Whatever is done to volumes, everything that something needs is kept, and what nothing needs is gone."""

from __future__ import annotations

import random
from uuid import UUID, uuid4

import pytest
from s3_scene import Scene, note, scene, spec

from gateway.core.errors import NotFound, Unavailable
from gateway.testing.object_store import S3Server

pytestmark = pytest.mark.root

KEYS = ("a", "b/c", "d", "é")
STEPS = 60


class Walk:
    """A pool and what it should hold, changed alike at random."""

    def __init__(self, at: Scene, seed: int) -> None:
        self.at = at
        self.random = random.Random(seed)
        self.live: dict[UUID, dict[str, bytes]] = {}
        self.taken: dict[UUID, tuple[UUID, dict[str, bytes]]] = {}
        self.count = 0

    async def step(self) -> str:
        """Make one change."""
        names = ["write"] * 4 + ["remove"] * 2 + ["snapshot"] * 2 + ["clone", "split", "restore", "create"]
        names += ["delete_snapshot"] * 2 + ["delete"]
        name = self.random.choice(names) if self.live else "create"
        await getattr(self, f"_{name}")()
        return name

    def _volume(self) -> UUID:
        return self.random.choice(list(self.live))

    async def _create(self) -> None:
        volume = UUID(int=self.random.getrandbits(128), version=4)
        await self.at.backend.create(spec(volume))
        self.live[volume] = {}

    async def _write(self) -> None:
        volume, key = self._volume(), self.random.choice(KEYS)
        self.count += 1
        self.live[volume][key] = str(self.count).encode()
        self.at.write(volume, **{key: self.live[volume][key]})

    async def _remove(self) -> None:
        volume, key = self._volume(), self.random.choice(KEYS)
        if key in self.live[volume]:
            self.at.remove(volume, key)
            del self.live[volume][key]

    async def _snapshot(self) -> None:
        volume, snapshot = self._volume(), uuid4()
        await self.at.backend.snapshot(volume, snapshot, note("snapshot"))
        self.taken[snapshot] = (volume, dict(self.live[volume]))

    async def _clone(self) -> None:
        if self.taken:
            snapshot = self.random.choice(list(self.taken))
            volume, content = self.taken[snapshot]
            clone = uuid4()
            await self.at.backend.clone(volume, snapshot, spec(clone))
            self.live[clone] = dict(content)

    async def _split(self) -> None:
        await self.at.backend.split(self._volume())

    async def _restore(self) -> None:
        mine = [(snapshot, of) for snapshot, (of, _) in self.taken.items() if of in self.live]
        if mine:
            snapshot, volume = self.random.choice(mine)
            await self.at.backend.restore(volume, snapshot, uuid4())
            self.live[volume] = dict(self.taken[snapshot][1])

    async def _delete_snapshot(self) -> None:
        """Also one that a clone rests on: the core would not let it, but nothing is lost by it."""
        if self.taken:
            snapshot = self.random.choice(list(self.taken))
            await self.at.backend.delete_snapshot(self.taken.pop(snapshot)[0], snapshot)

    async def _delete(self) -> None:
        volume = self._volume()
        await self.at.backend.delete(volume)
        del self.live[volume]

    async def assert_kept(self) -> None:
        """Fail unless everything is as it should be."""
        for volume, content in self.live.items():
            assert await self.at.held(volume) == content
        for snapshot, (volume, content) in self.taken.items():
            if volume in self.live:
                assert await self.at.held(volume, snapshot) == content
            else:
                named = self.at.pool.frozen(snapshot)
                assert {entry.key for entry in named} == set(content)

    async def remove_everything(self) -> None:
        while self.live:
            await self._delete()
        while self.taken:
            await self._delete_snapshot()


@pytest.mark.parametrize("seed", [1, 7])
async def test_a_random_walk_loses_nothing_and_leaves_nothing(ceph: S3Server, seed: int) -> None:
    async with scene(ceph) as at:
        walk = Walk(at, seed)
        done = []
        for number in range(STEPS):
            done.append(await walk.step())
            if number % 15 == 0:
                await walk.assert_kept()
                at.assert_covered()
        await walk.assert_kept()
        at.assert_covered()
        await walk.remove_everything()
        assert at.documents() == [], done
        assert list(at.data.versions(at.layout.objects)) == [], done


async def test_nothing_is_collected_while_an_inventory_is_missing(ceph: S3Server) -> None:
    volume, first, second = uuid4(), uuid4(), uuid4()
    async with scene(ceph) as at:
        await at.backend.create(spec(volume))
        for snapshot, data in ((first, b"one"), (second, b"two")):
            at.write(volume, a=data)
            await at.backend.snapshot(volume, snapshot, note("taken"))
        lost = at.pool.control.get(at.layout.inventory(first))
        assert lost is not None
        at.pool.control.delete(at.layout.inventory(first))
        before = at.versions(volume)
        with pytest.raises(Unavailable, match="missing"):
            await at.backend.delete_snapshot(volume, second)
        assert at.versions(volume) == before
        at.pool.control.put(at.layout.inventory(first), lost)
        await at.reopen()
        assert await at.held(volume, first) == {"a": b"one"}
        at.assert_tidy()


async def test_an_id_that_is_used_again_shows_nothing_of_before(ceph: S3Server) -> None:
    volume, snapshot, clone = uuid4(), uuid4(), uuid4()
    async with scene(ceph) as at:
        await at.backend.create(spec(volume))
        at.write(volume, a=b"kept for the clone", b=b"b")
        await at.backend.snapshot(volume, snapshot, note("taken"))
        await at.backend.clone(volume, snapshot, spec(clone))
        await at.backend.delete_snapshot(volume, snapshot)
        await at.backend.delete(volume)
        await at.backend.create(spec(volume))
        assert await at.held(volume) == {}
        at.write(volume, a=b"new")
        assert await at.held(clone) == {"a": b"kept for the clone", "b": b"b"}
        await at.backend.delete(clone)
        assert await at.held(volume) == {"a": b"new"}
        at.assert_tidy()
        with pytest.raises(NotFound):
            await at.backend.access(clone)


async def test_what_a_client_writes_while_a_clone_is_split_stays(ceph: S3Server) -> None:
    volume, snapshot, clone = uuid4(), uuid4(), uuid4()
    async with scene(ceph) as at:
        await at.backend.create(spec(volume))
        at.write(volume, a=b"base", b=b"base", c=b"base")
        await at.backend.snapshot(volume, snapshot, note("taken"))
        await at.backend.clone(volume, snapshot, spec(clone))
        session = at.backend._session
        for entry in session.pool.inventories.entries(snapshot):
            # Between the list of what is to be copied and the copy.
            if entry.key == "a":
                at.write(clone, a=b"a client's")
            elif entry.key == "b":
                at.write(clone, b=b"soon removed")
                at.remove(clone, "b")
            session.volumes._adopt(entry, clone)
        await at.backend.split(clone)
        assert await at.held(clone) == {"a": b"a client's", "c": b"base"}


async def test_large_objects_are_copied_in_parts(ceph: S3Server) -> None:
    volume, snapshot, clone = uuid4(), uuid4(), uuid4()
    data = random.Random(5).randbytes(12 << 20)
    async with scene(ceph, copy_max=5 << 20) as at:
        await at.backend.create(spec(volume))
        key = f"{at.layout.below(volume)}big"
        at.data.s3.put_object(
            Bucket=at.data.name, Key=key, Body=data, ContentType="text/x-test", Metadata={"kept": "yes"}
        )
        await at.backend.snapshot(volume, snapshot, note("taken"))
        await at.backend.clone(volume, snapshot, spec(clone))
        await at.backend.split(clone)
        assert await at.held(clone) == {"big": data}
        known = at.data.head(f"{at.layout.below(clone)}big")
        assert known is not None
        assert (known["ContentType"], known["Metadata"]) == ("text/x-test", {"kept": "yes"})
        assert list(at.data.uploads(at.layout.objects)) == []
