"""The S3 backend: every method is one call of a blocking part in the backend's own threads."""
# ruff: noqa: D102 - the protocols carry the contract of the methods

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, ClassVar
from uuid import UUID

from gateway.backends.s3.layout import KIND
from gateway.backends.s3.options import S3Options
from gateway.core.backend import (
    Capacity,
    FaultHook,
    Note,
    Observed,
    ObservedSnapshot,
    SignedRequest,
    SignRequest,
    StoredObject,
    Substrate,
    VolumeSpec,
    no_fault,
)
from gateway.core.capability import Facts
from gateway.core.errors import Unavailable
from gateway.core.handles import ObjectStore
from gateway.core.mover import ObjectPlace

if TYPE_CHECKING:
    from gateway.backends.s3.session import Session

_SIZE = 1 << 60
"""Bytes that a pool says it has room for: stores tell no end."""
_FACTS = Facts(shrink=True, split=True, clone_needs_snapshot=True, restore_keeps_newer=True, size_max=_SIZE)
_SLICE = 256
_PAGE = 1000

COPY_MAX = 5 << 30
"""Bytes that a store copies in one request; larger objects go in parts."""


class S3Backend:
    """Volumes as prefixes of a bucket that keeps versions, at any store that speaks the S3 protocol.

    A snapshot is a list of which version each key had; a clone rests on such a
    list and has only what differs for itself. Bytes never come by the gateway:
    clients make signed requests, or have keys of their own.
    """

    Options: ClassVar[type[S3Options]] = S3Options

    def __init__(self, name: str, options: S3Options, *, fault: FaultHook = no_fault, copy_max: int = COPY_MAX) -> None:
        self._name = name
        self._options = options
        self._fault = fault
        self._copy_max = copy_max
        self._opened: Session | None = None

    # --- life ---

    async def open(self) -> None:
        await self.close()
        try:
            from gateway.backends.s3.session import open_session  # noqa: PLC0415 - boto3 may be missing
        except ModuleNotFoundError as error:
            reason = f"{error.name} is not installed: install volume-gateway[s3]"
            raise Unavailable(what=self._name, reason=reason) from error
        self._opened = await open_session(self._name, self._options, self._fault, copy_max=self._copy_max)

    async def close(self) -> None:
        session, self._opened = self._opened, None
        if session is not None:
            await session.close()

    @property
    def _session(self) -> Session:
        if self._opened is None:
            raise Unavailable(what=self._name, reason="not open")
        return self._opened

    def describe(self) -> Substrate:
        session = self._session
        return Substrate(
            id=session.opened.id,
            driver="s3",
            kinds={KIND: _FACTS},
            handles=("objects",),
            remarks=session.remarks,
        )

    # --- VolumeBackend ---

    async def create(self, spec: VolumeSpec) -> Observed:
        return await self._session.change((spec.id,), self._session.volumes.create, spec)

    async def delete(self, volume: UUID) -> None:
        await self._session.change((volume,), self._session.volumes.delete, volume)

    async def annotate(self, volume: UUID, note: Note) -> None:
        await self._session.change((volume,), self._session.volumes.annotate, volume, note)

    async def inspect(self, volume: UUID) -> Observed | None:
        return await self._session.run(self._session.volumes.inspect, volume)

    async def scan(self) -> AsyncIterator[Observed]:
        session = self._session
        async for part in session.parts(session.volumes.all(), _SLICE):
            for seen in await session.run(session.volumes.look, part):
                yield seen
        for stranger in await session.run(session.volumes.strangers):
            yield stranger

    async def capacity(self) -> Capacity:
        await self._session.run(self._session.volumes.check)
        return Capacity(size=_SIZE, used=0, available=_SIZE)

    async def access(self, volume: UUID, snapshot: UUID | None = None) -> ObjectStore:
        session, options = self._session, self._options
        found = await session.run(session.pool.volume, volume)
        if snapshot is not None:
            await session.run(session.pool.snapshot, volume, snapshot)
        return ObjectStore(
            endpoint=options.public_endpoint or session.pool.data.s3.meta.endpoint_url,
            region=options.region,
            bucket=options.bucket,
            prefix=session.pool.layout.below(volume),
            partial=found.base is not None or snapshot is not None,
            read_only=snapshot is not None,
        )

    async def place(self, volume: UUID, snapshot: UUID | None = None) -> ObjectPlace:
        session, options = self._session, self._options
        found = await session.run(session.pool.volume, volume)
        if snapshot is not None:
            await session.run(session.pool.snapshot, volume, snapshot)
        return ObjectPlace(
            endpoint=session.pool.data.s3.meta.endpoint_url,
            region=options.region,
            bucket=options.bucket,
            prefix=session.pool.layout.below(found.id),
            addressing=options.addressing,
            ca=str(options.ca or ""),
            keys=options.credentials,
            snapshot=snapshot,
            control_bucket=options.control,
            pool_prefix=options.prefix,
            partial=found.base is not None,
        )

    async def put_manifest(self, document: bytes) -> None:
        session = self._session
        async with session.holding((session.opened.id,)):
            await session.run(self._put_manifest, document)

    def _put_manifest(self, document: bytes) -> None:
        pool = self._session.pool
        passed = pool.steps("put_manifest")
        passed("begun")
        pool.control.put(pool.layout.manifest, document)
        passed("placed")

    async def manifest(self) -> bytes | None:
        pool = self._session.pool
        return await self._session.run(pool.control.get, pool.layout.manifest)

    # --- ResizeBackend ---

    async def resize(self, volume: UUID, size: int) -> None:
        await self._session.change((volume,), self._session.volumes.resize, volume, size)

    # --- SnapshotBackend ---

    async def snapshot(self, volume: UUID, snapshot: UUID, note: Note) -> ObservedSnapshot:
        return await self._session.change((volume, snapshot), self._session.snapshots.snapshot, volume, snapshot, note)

    async def delete_snapshot(self, volume: UUID, snapshot: UUID) -> None:
        session = self._session
        found = await session.run(session.pool.find_snapshot, volume, snapshot)
        owners = () if found is None else found.owners
        await session.change((volume, snapshot, *owners), session.snapshots.delete, volume, snapshot)

    async def annotate_snapshot(self, volume: UUID, snapshot: UUID, note: Note) -> None:
        await self._session.change((volume,), self._session.snapshots.annotate, volume, snapshot, note)

    async def inspect_snapshot(self, volume: UUID, snapshot: UUID) -> ObservedSnapshot | None:
        return await self._session.run(self._session.snapshots.inspect, volume, snapshot)

    async def scan_snapshots(self) -> AsyncIterator[ObservedSnapshot]:
        session = self._session
        async for part in session.parts(session.snapshots.all(), _SLICE):
            for seen in await session.run(session.snapshots.look, part):
                yield seen

    # --- RestoreBackend, CloneBackend ---

    async def restore(self, volume: UUID, snapshot: UUID, token: UUID) -> None:
        await self._session.change((volume,), self._session.volumes.restore, volume, snapshot, token)

    async def settle_restore(self, volume: UUID, token: UUID) -> bool:
        return await self._session.change((volume,), self._session.volumes.settle_restore, volume, token)

    async def clone(self, source: UUID, snapshot: UUID | None, spec: VolumeSpec) -> Observed:
        return await self._session.change((source, spec.id), self._session.volumes.clone, source, snapshot, spec)

    async def split(self, volume: UUID) -> None:
        await self._session.change((volume,), self._session.volumes.split, volume)

    # --- SignBackend ---

    async def sign(self, volume: UUID, snapshot: UUID | None, request: SignRequest) -> SignedRequest:
        return await self._session.run(self._session.signer.sign, volume, snapshot, request)

    async def objects(
        self, volume: UUID, snapshot: UUID | None, *, prefix: str = "", after: str = ""
    ) -> AsyncIterator[StoredObject]:
        session = self._session
        found = await session.run(session.signer.objects, volume, snapshot, prefix=prefix, after=after)
        async for part in session.parts(found, _PAGE):
            for each in part:
                yield each
