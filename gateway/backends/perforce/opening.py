"""What happens when a pool on a Perforce server is opened: probing, identity, and what a crash left."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import Final
from uuid import uuid4

import msgspec
import structlog

from gateway.backends.perforce.connection import Connect, Connections, Record
from gateway.backends.perforce.failures import Meaning, Refused
from gateway.backends.perforce.pool import PerforceOptions, Pool, text
from gateway.backends.perforce.records import FORMAT, PoolRecord, VolumeRecord, decode, encode
from gateway.core.backend import FaultHook
from gateway.core.errors import GatewayError, Unavailable

log = structlog.get_logger(__name__)

_OLDEST: Final = (2016, 1)
_SPARSE: Final = (2024, 1)
_VERSION: Final = re.compile(r"[^/]+/[^/]+/(\d{4})\.(\d+)")
_ENOUGH: Final = frozenset({"admin", "super"})

NEVER_TRIED: Final = (
    "never run against a real Perforce server: tried with a stand-in that was made from Perforce's documentation"
)


class Opened(msgspec.Struct, frozen=True):
    """A pool that was opened, what it is, and what to know of it."""

    pool: Pool
    connections: Connections
    record: PoolRecord
    remarks: tuple[str, ...]


def open_pool(name: str, options: PerforceOptions, connect: Connect, fault: FaultHook) -> Opened:
    """Probe the server and the depot, and settle what a crash left; Unavailable says what is missing."""
    connections = Connections(connect)
    try:
        pool = Pool(name, options, connections, fault)
        info = _first(pool.read("info"))
        version = _version(pool, info)
        _check_depot(pool)
        _check_rights(pool)
        _check_history(pool)
        record = _identity(pool)
        _check_space(pool)
        _settle(pool)
    except BaseException:
        connections.close()
        raise
    return Opened(pool, connections, record, _remarks(version, info))


# --- probing ---


def _first(found: list[Record]) -> Record:
    return found[0] if found else {}


def _version(pool: Pool, info: Record) -> tuple[int, int]:
    said = info.get("serverVersion")
    found = _VERSION.match(said) if isinstance(said, str) else None
    if found is None:
        raise Unavailable(what=pool.name, reason="the server does not tell its version")
    version = int(found[1]), int(found[2])
    if version < _OLDEST:
        reason = f"the server is {found[1]}.{found[2]}; the gateway takes {_OLDEST[0]}.{_OLDEST[1]} and later"
        raise Unavailable(what=pool.name, reason=reason)
    return version


def _check_depot(pool: Pool) -> None:
    depot = pool.options.depot
    kinds = {line.get("name"): line.get("type") for line in pool.read("depots")}
    if depot not in kinds:
        raise Unavailable(what=pool.name, reason=f"there is no depot {depot}, or its user may not see it")
    if kinds[depot] != "stream":
        raise Unavailable(what=pool.name, reason=f"depot {depot} is none of streams")
    depth = str(pool.template("depot", depot).get("StreamDepth", "1")).rpartition("/")[2]
    if depth != "1":
        reason = f"streams of depot {depot} are {depth} levels deep; the gateway takes one of 1"
        raise Unavailable(what=pool.name, reason=reason)


def _check_rights(pool: Pool) -> None:
    try:
        held = _first(pool.read("protects", "-m", pool.names.everything)).get("permMax", "none")
    except Refused as refused:
        if refused.meaning is not Meaning.OPEN:
            raise
        return
    if held not in _ENOUGH:
        reason = f"its user needs the permission admin for {pool.names.everything} and has {held}"
        raise Unavailable(what=pool.name, reason=reason)


def _check_history(pool: Pool) -> None:
    # A snapshot of an empty volume is a name for the newest changelist of all.
    if not pool.read("changes", "-s", "submitted", "-m", "1"):
        raise Unavailable(what=pool.name, reason="nothing was submitted to the server yet: submit any file first")


def _check_space(pool: Pool) -> None:
    try:
        pool.capacity()
    except Refused as refused:
        if refused.meaning is not Meaning.DENIED:
            raise
        reason = "its user may not ask for the depot's disk, which takes the permission super: set `size`"
        raise Unavailable(what=pool.name, reason=reason) from refused


def _identity(pool: Pool) -> PoolRecord:
    form = pool.form("label", pool.names.pool)
    if form is None:
        record = PoolRecord(uuid4())
        title = f"Depot {pool.options.depot} is a pool of volume-gateway. Without this label it is another one."
        pool.save_label(pool.names.pool, encode(title, record))
        return record
    found = decode(form.get("Description"), PoolRecord)
    if found is None:
        raise Unavailable(what=pool.name, reason=f"label {pool.names.pool} cannot be read")
    if found.format > FORMAT:
        reason = f"its layout has format {found.format}, this release knows {FORMAT}"
        raise Unavailable(what=pool.name, reason=reason)
    return found


def _remarks(version: tuple[int, int], info: Record) -> tuple[str, ...]:
    remarks = [NEVER_TRIED, "sizes of volumes are recorded, and not enforced: the server has no quotas"]
    if version >= _SPARSE:
        remarks.append(
            "clones are streams of lazy copies: the server has sparse streams, but those follow what their parent gets"
        )
    if info.get("caseHandling") == "insensitive":
        remarks.append("the server takes names of files that differ by case alone for one")
    return tuple(remarks)


# --- leftovers ---


def _settle(pool: Pool) -> None:
    """Remove what changes left that did not end. One that resists must not keep the others out."""
    for line in pool.read("clients", "-e", pool.names.workspaces):
        with _lenient(pool):
            pool.clear(text(line, "client"))
    for line in pool.read("streams", pool.names.streams):
        volume = pool.names.volume_of(text(line, "Stream"))
        listed = decode(line.get("desc"), VolumeRecord)
        if volume is None or (listed is not None and listed.whole):
            continue
        with _lenient(pool):
            found = pool.find(volume)
            if found is not None and not found.record.whole:
                pool.discard(found)


@contextlib.contextmanager
def _lenient(pool: Pool) -> Iterator[None]:
    try:
        yield
    except GatewayError as error:
        log.warning("perforce_leftover", pool=pool.name, reason=str(error))
    except Refused as refused:
        if refused.meaning is Meaning.GONE:
            raise
        log.warning("perforce_leftover", pool=pool.name, text=refused.text)
