"""The configured pools and their backends while the process runs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from uuid import UUID

import msgspec

from gateway.core import capability as capabilities
from gateway.core import errors
from gateway.core.backend import Substrate, VolumeBackend, derive
from gateway.core.capability import Capability
from gateway.core.catalog import Catalog, put
from gateway.core.model import Pool, PoolState, Volume, VolumeKind, utc_now
from gateway.core.query import And, Compare, IsNull, Not, Op, Query

ELSEWHERE = "another gateway on this catalog has it"


class OpenPool:
    """One pool whose substrate answered: the backend and what it can do."""

    def __init__(self, name: str, backend: VolumeBackend, disabled: Sequence[str]) -> None:
        self.name = name
        self.backend = backend
        self.substrate: Substrate = backend.describe()
        self.id: UUID = self.substrate.id
        self.capabilities: Mapping[VolumeKind, Capability] = {
            kind: capabilities.mask(found, disabled) for kind, found in derive(name, backend).items()
        }

    def capability(self, kind: VolumeKind) -> Capability:
        """Give the record for a kind; Unsupported when the pool holds no such volumes."""
        try:
            return self.capabilities[kind]
        except KeyError:
            raise errors.Unsupported(capability=kind.value, backend=self.name, reason="wrong kind of volume") from None


class Configured(msgspec.Struct, frozen=True):
    """A pool as the configuration names it."""

    name: str
    backend: VolumeBackend
    disabled: tuple[str, ...] = ()


class Pools:
    """All configured pools; those whose substrate does not answer stay closed until `open` succeeds."""

    def __init__(self, catalog: Catalog, configured: Sequence[Configured]) -> None:
        self._catalog = catalog
        self.configured = {item.name: item for item in configured}
        self._open: dict[UUID, OpenPool] = {}
        self._elsewhere: set[UUID] = set()

    def __iter__(self) -> Iterator[OpenPool]:
        return iter(tuple(self._open.values()))

    def closed(self) -> tuple[str, ...]:
        """Give the names of pools that are configured but not open."""
        return tuple(self.configured.keys() - {pool.name for pool in self._open.values()})

    async def open(self, name: str) -> OpenPool:
        """Open one pool and write what was found into the catalog.

        Unavailable when the substrate does not answer; the catalog then says
        offline. Unavailable also when it is volatile and another process that
        shares the catalog has it: what is in the memory of one no other can
        reach. CapabilityMismatch when its backend contradicts itself.
        """
        item = self.configured[name]
        try:
            await item.backend.open()
        except errors.GatewayError as error:
            await self._mark_offline(name, str(error))
            raise
        pool = OpenPool(name, item.backend, item.disabled)
        if pool.substrate.volatile and not await self._catalog.acquire_lease(f"pool {pool.id}"):
            await item.backend.close()
            self._elsewhere.add(pool.id)
            raise errors.Unavailable(what="pool", reason=ELSEWHERE)
        self._elsewhere.discard(pool.id)
        await self._register(pool)
        self._open[pool.id] = pool
        return pool

    async def close_lost(self) -> None:
        """Close pools whose substrate went away while they were open; the catalog then says offline."""
        for pool in self:
            try:
                await pool.backend.capacity()
            except (errors.Unavailable, errors.Timeout) as error:
                self._open.pop(pool.id, None)
                await self._mark_offline(pool.name, str(error))

    def get(self, pool_id: UUID) -> OpenPool:
        """Give an open pool; Unavailable when it is not."""
        try:
            return self._open[pool_id]
        except KeyError:
            reason = ELSEWHERE if pool_id in self._elsewhere else "its substrate does not answer"
            raise errors.Unavailable(what="pool", reason=reason) from None

    async def observe(self, pool: OpenPool) -> None:
        """Write the pool's present space into the catalog when it changed."""
        capacity = await pool.backend.capacity()
        record = await self._catalog.get(Pool, pool.id)
        if record is None:
            return
        here = Compare("pool.id", Op.EQ, pool.id)
        retired = await self._catalog.count(Volume, And((here, Not(IsNull("retired")))))
        seen = msgspec.structs.replace(
            record,
            size=capacity.size,
            used=capacity.used,
            available=capacity.available,
            volume_count=await self._catalog.count(Volume, here) - retired,
        )
        if seen != record:
            with contextlib.suppress(errors.StaleRevision):  # another process observed it at the same time
                await self._catalog.commit(put(seen))

    async def close(self) -> None:
        """Close every backend."""
        for item in self.configured.values():
            await item.backend.close()
        self._open.clear()

    async def _register(self, pool: OpenPool) -> None:
        capacity = await pool.backend.capacity()
        while True:
            known = await self._catalog.get(Pool, pool.id)
            record = Pool(
                id=pool.id,
                name=pool.name,
                driver=pool.substrate.driver,
                created=known.created if known else utc_now(),
                volatile=pool.substrate.volatile,
                size=capacity.size,
                used=capacity.used,
                available=capacity.available,
                volume_count=known.volume_count if known else 0,
                revision=known.revision if known else 0,
            )
            if record == known:
                return
            with contextlib.suppress(errors.StaleRevision):  # another process observed it at the same time
                await self._catalog.commit(put(record))
                return

    async def _mark_offline(self, name: str, reason: str) -> None:
        while True:
            found = (await self._catalog.page(Pool, Query(where=Compare("name", Op.EQ, name), limit=1))).records
            if not found or (found[0].state, found[0].reason) == (PoolState.OFFLINE, reason):
                return
            with contextlib.suppress(errors.StaleRevision):  # see `_register`
                await self._catalog.commit(
                    put(msgspec.structs.replace(found[0], state=PoolState.OFFLINE, reason=reason))
                )
                return
