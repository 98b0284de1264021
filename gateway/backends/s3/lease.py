"""Who may change a pool: one gateway at a time, as a document of the pool says. All of it blocks.

A lease is good for a while and renewed before that has passed. One whose
holder is known to have ended, because it was a process of this machine, is
taken over at once.
"""

from __future__ import annotations

import os
import time
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import msgspec
from botocore.exceptions import ClientError

from gateway.backends.s3.bucket import Bucket
from gateway.backends.s3.failures import PRECONDITION, code_of
from gateway.backends.s3.layout import Layout
from gateway.backends.s3.pool import Traits
from gateway.backends.s3.probing import as_asked
from gateway.core.model import utc_now

GOOD_S = 60.0
RENEW_S = 15.0
_MARGIN_S = 10.0
"""Changes end so long before the lease does: what has begun then still ends in time."""


class Holder(msgspec.Struct, frozen=True, kw_only=True):
    """A process: its machine since it started, its name space of processes there, its number, and when it began."""

    boot: str
    space: str
    pid: int
    started: str


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """Which opening (`id`) of a pool may change it, by whom, and until when."""

    id: UUID
    holder: Holder
    until: datetime


class Leasing:
    """One opening's part in the lease of a pool."""

    def __init__(self, control: Bucket, layout: Layout, traits: Traits) -> None:
        self._control = control
        self._key = layout.lease
        self._traits = traits
        self._id = uuid4()
        self._holder = this_process()
        self._good_until = 0.0

    @property
    def held(self) -> bool:
        """Whether changes may be made now."""
        return time.monotonic() < self._good_until - _MARGIN_S

    def renew(self) -> bool:
        """Take the lease, or keep it; tell whether it is held."""
        asked = time.monotonic()
        found = self._read()
        if found is not None and not self._may_take(found[0]):
            self._good_until = 0.0
            return False
        if self._write(None if found is None else found[1]):
            self._good_until = asked + GOOD_S
        else:
            self._good_until = 0.0
        return self.held

    def release(self) -> None:
        """Let others have it."""
        self._good_until = 0.0
        found = self._read()
        if found is not None and found[0].id == self._id:
            self._control.delete(self._key)

    def _may_take(self, lease: Lease) -> bool:
        return lease.id == self._id or lease.until < utc_now() or ended(lease.holder, self._holder)

    def _read(self) -> tuple[Lease, str] | None:
        found = self._control.get_tagged(self._key)
        return None if found is None else (msgspec.json.decode(found[0], type=Lease), found[1])

    def _write(self, before: str | None) -> bool:
        """Replace the lease unless somebody else just did, and tell by what came of it.

        A store may refuse, too, what it did before: the client tries again when an answer is lost.
        """
        mine = Lease(id=self._id, holder=self._holder, until=utc_now() + timedelta(seconds=GOOD_S))
        conditions: dict[str, str] = {}
        if before is None and self._traits.creates:
            conditions["IfNoneMatch"] = "*"
        elif before is not None and self._traits.updates:
            conditions["IfMatch"] = as_asked(before, quoted=self._traits.quoted)
        try:
            self._control.put(self._key, msgspec.json.encode(mine), **conditions)
        except ClientError as error:
            if code_of(error) not in PRECONDITION:
                raise
        found = self._read()
        return found is not None and found[0].id == self._id


def this_process() -> Holder:
    """Give this process."""
    return Holder(
        boot=Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip(),
        space=str(Path("/proc/self/ns/pid").readlink()),
        pid=os.getpid(),
        started=_started(os.getpid()) or "",
    )


def ended(holder: Holder, me: Holder) -> bool:
    """Tell whether a process is known to have ended, or is this one, which knows of its other openings."""
    if (holder.boot, holder.space) != (me.boot, me.space):
        return False
    return holder == me or _started(holder.pid) != holder.started


def _started(pid: int) -> str | None:
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    return status.rpartition(")")[2].split()[19]
