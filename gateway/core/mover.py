"""The protocol of what moves content from one volume to another where no stream leads from pool to pool.

The bytes never pass through the process of the gateway: a mover is another
process under its control, which opens both ends itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable
from uuid import UUID

import msgspec

from gateway.core.handles import AccessHandle
from gateway.core.model import VolumeKind
from gateway.core.secret import AccessKeys, Secret

OURS = ".gateway/"
"""What the keys of objects begin with in which a mover notes what it put into a store: they are no files, or blocks."""


class ObjectPlace(msgspec.Struct, frozen=True, kw_only=True, tag="object_place"):
    """Objects whose keys begin with `prefix`, as a mover reaches them: it needs keys of the store for that.

    `endpoint` is a URL, empty for AWS. `addressing`: whether the bucket is in
    the "path" of a URL or in its host ("virtual"). `ca`: the file of the
    certificates by which the store is trusted. `keys` None: the machine's own.

    `snapshot`: what is read is a snapshot of a pool, which has a list of it in
    `control_bucket` and begins all of its keys with `pool_prefix`. `partial`:
    only some of the content is below the prefix, the rest is another volume's.
    """

    endpoint: str
    region: str
    bucket: str
    prefix: str
    addressing: str = "path"
    ca: str = ""
    keys: AccessKeys | None = None
    snapshot: UUID | None = None
    control_bucket: str = ""
    pool_prefix: str = ""
    partial: bool = False


class FarPlace(msgspec.Struct, frozen=True, kw_only=True, tag="far_place"):
    """What another gateway has offered (see `Senders`), as the mover of this one reaches it. Nothing moves into it.

    `certificate` and `key` are paths of files in PEM by which this side shows
    who it is, `peer_certificate` is the only certificate, in PEM, that the other
    side may have. `token` is good for one connection.
    """

    address: str
    port: int
    token: Secret
    certificate: str
    key: str
    peer_certificate: str


Place = AccessHandle | ObjectPlace | FarPlace
"""An end of a move."""


@runtime_checkable
class PlaceBackend(Protocol):
    """Has its volumes in an object store, where files and blocks can be kept that a mover brings."""

    async def place(self, volume: UUID, snapshot: UUID | None = None) -> ObjectPlace:
        """Give where a mover finds a volume or snapshot. It holds the pool's keys: nobody else may see it."""


class MoveJob(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be moved: all that `source`, which is only read, has and `destination` does not.

    `size` is the volume's in bytes. `throttle` is bytes per second, 0 for no
    limit. `full`: content is compared, and nothing believed of sizes and times.

    `kind` is that of the content, files or blocks. Where one end is a place of
    objects these are how such content is kept there: see `gateway.mover`.
    """

    id: UUID
    kind: VolumeKind
    source: Place
    destination: Place
    size: int
    throttle: int = 0
    full: bool = False


class MoveProgress(msgspec.Struct, frozen=True, kw_only=True):
    """How far a move is. `bytes_transferred` were written to the destination; `bytes_total` None: not known yet."""

    bytes_transferred: int = 0
    bytes_total: int | None = None
    files: int = 0


class Mover(Protocol):
    """Makes one place hold what another one does.

    A move that failed, was cancelled or died leaves the destination somewhere
    between; made again with the same job it moves what still differs. When it
    returns, the destination is equal to the source, and that survives a power cut.
    """

    def reaches(self, kind: VolumeKind, source: Place, destination: Place) -> str:
        """Give why there is no way between two such handles; empty when there is one."""

    async def move(self, job: MoveJob, *, progress: Callable[[MoveProgress], None]) -> MoveProgress:
        """Move, and give what it came to. Cancelling it ends the process before it returns.

        `progress` is called in the event loop, now and then. Raises errors of the core's tree only.
        """


class Offered(msgspec.Struct, frozen=True, kw_only=True):
    """Where something waits to be fetched: the place that listens, and the token that it takes, once."""

    id: UUID
    address: str
    port: int
    token: Secret


class Senders(Protocol):
    """Lets the movers of other gateways read what is here, one each, without the bytes passing through this process."""

    async def offer(self, *, kind: VolumeKind, path: str, listen_host: str, peer_certificate: str) -> Offered:
        """Offer a directory, or a raw file or device, to whoever has the token and the key of a certificate in PEM.

        An offer is for one connection and ends with it; when nobody comes for a
        while; when this process ends. Raises errors of the core's tree only.
        """

    async def withdraw(self, offer: UUID) -> None:
        """End an offer, and what is being read because of it. When it returns nothing is open any more. Idempotent."""
