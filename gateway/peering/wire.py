"""The calls, version 1. Each is a POST of one JSON object to `/peer/v1/<name>`, and is answered by one.

Every call can be made again, as when its answer got lost. Fields that are not
known are ignored on both sides, so that calls may get new ones.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Generic, TypeVar
from uuid import UUID

import msgspec
from msgspec import Meta

from gateway.core.errors import ErrorRecord
from gateway.core.model import RootDirectory, Snapshot, SnapshotState, VolumeKind
from gateway.core.peer_tenants import TenantAnswer, TenantState
from gateway.core.peering import SourceVolume
from gateway.core.receiving import FAR

PREFIX = "/peer/v1/"
VERSION = 1
REQUEST_MAX = 1024 * 1024
ANSWER_MAX = 16 * 1024 * 1024
"""Bytes of a body; an answer may list all snapshots of a volume."""

Word = Annotated[str, Meta(max_length=255)]
Words = Annotated[str, Meta(max_length=65_536)]
Size = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]
Q = TypeVar("Q", bound=msgspec.Struct)
A = TypeVar("A")


class Nothing(msgspec.Struct, frozen=True):
    """No more to say."""


class Welcome(msgspec.Struct, frozen=True):
    """Here is a gateway that understands these versions."""

    versions: tuple[int, ...]


class Join(msgspec.Struct, frozen=True, kw_only=True):
    """Let us agree. `proof` shows that the passphrase is known, and is about the certificates of both."""

    cluster_id: UUID
    cluster: Word
    certificate: Words
    addresses: tuple[Word, ...]
    nonce: Word
    proof: Word
    version: Word = ""


class Joined(msgspec.Struct, frozen=True, kw_only=True):
    """We agree."""

    cluster_id: UUID
    cluster: Word
    proof: Word
    version: Word = ""


class Propose(msgspec.Struct, frozen=True, kw_only=True):
    """Our tenant would like to have to do with yours that is called `wanted`."""

    tenant_id: UUID
    tenant: Word
    wanted: Word


class Tell(msgspec.Struct, frozen=True, kw_only=True):
    """Of your tenant `tenant_id` and ours `remote_id`: this is how they are to each other now."""

    tenant_id: UUID
    remote_id: UUID
    state: TenantState


class Named(msgspec.Struct, frozen=True, kw_only=True):
    """What volume is called so? Asked for our tenant `reader_id`."""

    tenant: Word
    volume: Word
    reader_id: UUID


class Of(msgspec.Struct, frozen=True, kw_only=True):
    """About a volume of yours, asked for our tenant `reader_id`."""

    volume_id: UUID
    reader_id: UUID


class Follow(msgspec.Struct, frozen=True, kw_only=True):
    """Our replication `follower_id` follows your volume; `tenant` and `volume` are the names of its destination."""

    volume_id: UUID
    follower_id: UUID
    reader_id: UUID
    tenant: Word
    volume: Word


class Keep(msgspec.Struct, frozen=True, kw_only=True):
    """It needs these snapshots, and no others."""

    volume_id: UUID
    follower_id: UUID
    snapshots: tuple[UUID, ...]


class Release(msgspec.Struct, frozen=True, kw_only=True):
    """It follows no more."""

    volume_id: UUID
    follower_id: UUID


class About(msgspec.Struct, frozen=True, kw_only=True):
    """Take this snapshot for it; or, let it have this one."""

    volume_id: UUID
    follower_id: UUID
    snapshot_id: UUID


class Remove(msgspec.Struct, frozen=True, kw_only=True):
    """Nothing of ours needs these snapshots any more."""

    volume_id: UUID
    follower_id: UUID
    reader_id: UUID
    snapshots: tuple[UUID, ...]


class Offering(msgspec.Struct, frozen=True, kw_only=True):
    """Here it can be fetched, once, with this token."""

    offer_id: UUID
    kind: VolumeKind
    port: Annotated[int, Meta(gt=0, lt=65_536)]
    token: Word


class Withdraw(msgspec.Struct, frozen=True, kw_only=True):
    """Nobody comes for it any more."""

    offer_id: UUID


class FarVolume(msgspec.Struct, frozen=True, kw_only=True):
    """A volume as it is told; see `SourceVolume`."""

    id: UUID
    tenant: Word
    name: Word
    kind: VolumeKind
    size: Size
    root: RootDirectory = RootDirectory()
    annotations: dict[Word, Words] = {}
    why_not: Words = ""

    def read(self, peer_id: UUID) -> SourceVolume:
        """Give it as it is known here."""
        told = {name: getattr(self, name) for name in self.__struct_fields__}
        return SourceVolume(**told, peer_id=peer_id)

    @classmethod
    def of(cls, volume: SourceVolume) -> FarVolume:
        """Give what is told of a volume."""
        return cls(**{name: getattr(volume, name) for name in cls.__struct_fields__})


class FarSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot as it is told; see `Snapshot`."""

    id: UUID
    volume_id: UUID
    name: Word
    created: Annotated[datetime, Meta(tz=True)]
    state: SnapshotState = SnapshotState.VALID
    comment: Words = ""
    label: Word = ""
    labels: dict[Words, Words] = {}
    annotations: dict[Words, Words] = {}
    internal: bool = False
    taken_by: Word = ""
    volume_size: Size = 0
    lineage: UUID | None = None

    def read(self) -> Snapshot:
        """Give it as it is known here, where it is in no pool."""
        told = {name: getattr(self, name) for name in self.__struct_fields__}
        return Snapshot(**told, tenant_id=FAR, pool_id=FAR)

    @classmethod
    def of(cls, snapshot: Snapshot) -> FarSnapshot:
        """Give what is told of a snapshot."""
        return cls(**{name: getattr(snapshot, name) for name in cls.__struct_fields__})


class FarSnapshots(msgspec.Struct, frozen=True):
    """Snapshots, oldest first."""

    snapshots: tuple[FarSnapshot, ...]


class Refusal(msgspec.Struct, frozen=True):
    """Why not, as the core has it. The status is 4xx or 5xx."""

    error: ErrorRecord


class Call(msgspec.Struct, Generic[Q, A], frozen=True):
    """A call: its name, what is said, and what is answered. `known`: only those are let in that we agreed with."""

    name: str
    question: type[Q]
    answer: type[A]
    known: bool = True

    @property
    def path(self) -> str:
        """Give where it is made."""
        return f"{PREFIX}{self.name}"


HELLO = Call("hello", Nothing, Welcome, known=False)
JOIN = Call("join", Join, Joined, known=False)
LEAVE = Call("leave", Nothing, Nothing)
HOW = Call("how", Nothing, Welcome)
PROPOSE = Call("propose", Propose, TenantAnswer)
TELL = Call("tell", Tell, Nothing)
FIND = Call("find", Named, FarVolume)
VOLUME = Call("volume", Of, FarVolume)
SNAPSHOTS = Call("snapshots", Of, FarSnapshots)
FOLLOW = Call("follow", Follow, Nothing)
KEEP = Call("keep", Keep, Nothing)
RELEASE = Call("release", Release, Nothing)
TAKE = Call("take", About, FarSnapshot)
REMOVE = Call("remove", Remove, Nothing)
SEND = Call("send", About, Offering)
WITHDRAW = Call("withdraw", Withdraw, Nothing)
