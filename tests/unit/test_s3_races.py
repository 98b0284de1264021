"""Two things happen at once in a pool, or the lease changes hands in the middle of a change: nothing is lost."""

from __future__ import annotations

import asyncio
import threading
from uuid import UUID, uuid4

import msgspec
import pytest
from s3_scene import Scene, note, scene, spec

from gateway.backends.s3.copying import Copied, Copier
from gateway.backends.s3.inventories import Entry
from gateway.backends.s3.lease import Holder, Lease
from gateway.backends.s3.volumes import Volumes
from gateway.core.backend import SignAction, SignRequest
from gateway.core.errors import GatewayError, InvalidArgument, Unavailable
from gateway.core.model import utc_now
from gateway.testing.object_store import S3Server

VOLUME, CLONE = UUID(int=1, version=4), UUID(int=2, version=4)
SNAPSHOT, SECOND = UUID(int=11, version=4), UUID(int=12, version=4)


class Held:
    """Lets a change stand still after one step until it is let go on, or fail there."""

    def __init__(self, at: Scene, point: str, *, error: GatewayError | None = None) -> None:
        self._point = point
        self._error = error
        self.there = threading.Event()
        self.go = threading.Event()
        at.backend._session.pool._fault = self

    def __call__(self, point: str) -> None:
        if point != self._point:
            return
        self._point = ""
        if self._error is not None:
            raise self._error
        self.there.set()
        self.go.wait(60)

    async def reached(self) -> None:
        await asyncio.to_thread(self.there.wait, 60)


def taken_by_another(at: Scene) -> None:
    """Let a gateway on another machine have the lease."""
    holder = Holder(boot="other", space="other", pid=1, started="1")
    lease = Lease(id=uuid4(), holder=holder, until=utc_now().replace(year=2100))
    at.pool.store(at.layout.lease, lease)


async def test_what_was_begun_before_the_lease_was_lost_does_not_end_after_it(moto: S3Server) -> None:
    async with scene(moto) as at:
        await at.backend.create(spec(VOLUME))
        at.write(VOLUME, a=b"one")
        session = at.backend._session
        held = Held(at, "s3.snapshot.written")
        change = asyncio.create_task(at.backend.snapshot(VOLUME, SNAPSHOT, note("taken")))
        await held.reached()
        taken_by_another(at)
        await session.lead()
        assert not session.may_change
        at.pool.control.delete(at.layout.lease)
        await session.lead()
        held.go.set()
        with pytest.raises(Unavailable):
            await change
        await session.lead()
        assert session.may_change
        await at.backend.snapshot(VOLUME, SNAPSHOT, note("taken"))
        assert await at.held(VOLUME, SNAPSHOT) == {"a": b"one"}
        at.assert_tidy()


async def test_a_lease_that_was_renewed_without_an_answer_is_held(moto: S3Server) -> None:
    async with scene(moto) as at:
        leasing = at.backend._session.opened.leasing
        found = leasing._read()
        assert found is not None
        # What the first of two tries did that the answer was lost of.
        assert leasing._write(found[1])
        assert leasing._write(found[1])


@pytest.mark.parametrize("step", ["forgotten", "collected"])
async def test_a_removal_that_is_gone_on_with_waits_for_what_it_rests_on(moto: S3Server, step: str) -> None:
    async with scene(moto) as at:
        await at.backend.create(spec(VOLUME))
        at.write(VOLUME, a=b"one")
        await at.backend.snapshot(VOLUME, SNAPSHOT, note("taken"))
        await at.backend.clone(VOLUME, SNAPSHOT, spec(CLONE))
        await at.backend.delete_snapshot(VOLUME, SNAPSHOT)
        Held(at, f"s3.delete.{step}", error=Unavailable(what="pool"))
        with pytest.raises(Unavailable):
            await at.backend.delete(CLONE)
        held = Held(at, "s3.snapshot.claimed")
        taking = asyncio.create_task(at.backend.snapshot(VOLUME, SECOND, note("taken")))
        await held.reached()
        removing = asyncio.create_task(at.backend.delete(CLONE))
        done, _ = await asyncio.wait((removing,), timeout=0.3)
        assert not done
        held.go.set()
        await asyncio.gather(taking, removing)
        assert await at.held(VOLUME, SECOND) == {"a": b"one"}
        at.assert_tidy()


class Untold(Copier):
    """Copies in a store that does not tell the version; a client writes the same key right after."""

    def __init__(self, at: Scene) -> None:
        super().__init__(at.pool, at_once=5 << 30)
        self._at = at

    def copy(self, entry: Entry, volume: UUID) -> Copied:
        made = super().copy(entry, volume)
        self._at.write(volume, **{entry.key: b"a client's"})
        return msgspec.structs.replace(made, version="")


async def test_a_client_that_writes_right_after_a_copy_is_not_taken_for_it(moto: S3Server) -> None:
    async with scene(moto) as at:
        await at.backend.create(spec(VOLUME))
        at.write(VOLUME, a=b"base")
        await at.backend.snapshot(VOLUME, SNAPSHOT, note("taken"))
        await at.backend.clone(VOLUME, SNAPSHOT, spec(CLONE))
        Volumes(at.pool, at.backend._session.collector, Untold(at)).split(CLONE)
        assert await at.held(CLONE) == {"a": b"a client's"}
        assert at.versions(CLONE) == [("a", False)]


async def test_no_line_gets_into_a_header_by_what_is_signed(moto: S3Server) -> None:
    async with scene(moto) as at:
        await at.backend.create(spec(VOLUME))
        request = SignRequest(action=SignAction.PUT, key="a", content_type="text/plain\r\nX-Other: 1")
        with pytest.raises(InvalidArgument):
            await at.backend.sign(VOLUME, None, request)


async def test_the_lease_is_kept_until_changes_have_ended(moto: S3Server) -> None:
    async with scene(moto) as at:
        await at.backend.create(spec(VOLUME))
        leasing, held = at.backend._session.opened.leasing, Held(at, "s3.snapshot.written")
        change = asyncio.create_task(at.backend.snapshot(VOLUME, SNAPSHOT, note("taken")))
        await held.reached()
        closing = asyncio.create_task(at.backend.close())
        await asyncio.wait((closing,), timeout=0.3)
        assert leasing._read() is not None
        held.go.set()
        await asyncio.gather(change, closing)
        assert leasing._read() is None
        await at.backend.open()
        assert await at.held(VOLUME, SNAPSHOT) == {}


async def test_a_pool_whose_making_was_cut_short_can_be_opened(moto: S3Server) -> None:
    async with scene(moto) as at:
        made = at.backend.describe().id
        at.data.delete_versions([(each.key, each.version) for each in at.data.of(at.layout.pool)])
        await at.reopen()
        assert at.backend.describe().id == made
        assert at.data.get(at.layout.pool) is not None
        await at.backend.create(spec(VOLUME))
        at.data.delete_versions([(each.key, each.version) for each in at.data.of(at.layout.pool)])
        with pytest.raises(Unavailable, match="another one"):
            await at.reopen()
