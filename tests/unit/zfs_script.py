"""Exchanges with a scripted `zfs`: what the backend asks, and what ZFS answers."""

from __future__ import annotations

from uuid import UUID

from gateway.backends.zfs.commands import Commands
from gateway.backends.zfs.documents import store
from gateway.backends.zfs.pool import Pool, ZfsOptions
from gateway.backends.zfs.records import (
    POOL,
    SNAPSHOT,
    VOLUME,
    PoolRecord,
    SnapshotRecord,
    VolumeRecord,
    encode,
    encode_pool,
)
from gateway.core.backend import Note
from gateway.core.errors import GatewayError
from gateway.core.runner import Circuit, Done
from gateway.testing.faults import Recorder
from gateway.testing.runner import Exchange, ScriptedRunner

MIB = 1024**2
ONE, TWO, A, B = (UUID(int=number, version=4) for number in (1, 2, 11, 12))
POOL_ID = UUID(int=77, version=4)
NOTE = Note(name="one", tenant="t", document=b"{}")
PARENT = "tank/gateway"
PLACE = f"{PARENT}/{ONE}"
DATASETS = f"name,type,referenced,volsize,refquota,refreservation,receive_resume_token,mounted,mountpoint,{VOLUME}"
SNAPS = f"name,guid,referenced,createtxg,defer_destroy,userrefs,{SNAPSHOT}"


def says(text: str, *arguments: str) -> Exchange:
    return Exchange(arguments, Done(status=0, stdout=text.encode()))


def does(*arguments: str) -> Exchange:
    return says("", *arguments)


def refuses(text: str, *arguments: str) -> Exchange:
    return Exchange(arguments, Done(status=1, stderr=text + "\n"))


def hangs(error: GatewayError, *arguments: str) -> Exchange:
    return Exchange(arguments, error)


THERE = says(f"{POOL}\t{encode_pool(PoolRecord(POOL_ID))}\n", "zfs", "get", "-Hp", "-o", "property,value", POOL, PARENT)
"""The pool is still in its place: asked whenever something was not found."""


def volume_head(**changes) -> str:
    return store(VOLUME, encode(VolumeRecord(**{"id": ONE, "size": 8 * MIB, "note": NOTE, **changes}))).head


def snapshot_head(snapshot: UUID = A, volume: UUID = ONE) -> str:
    return store(SNAPSHOT, encode([SnapshotRecord(snapshot, volume, NOTE)])).head


def dataset(
    name: str = PLACE,
    *,
    kind: str = "filesystem",
    volsize: str = "-",
    refquota: str = str(8 * MIB),
    mounted: str = "no",
    head: str | None = None,
) -> str:
    return f"{name}\t{kind}\t24576\t{volsize}\t{refquota}\t0\t-\t{mounted}\t/{name}\t{head or volume_head()}\n"


def snap(name: str, *, txg: int, head: str = "-", deferred: str = "off", holds: int = 0) -> str:
    return f"{name}\t{txg + 1000}\t24576\t{txg}\t{deferred}\t{holds}\t{head}\n"


def listed(text: str, name: str = PLACE) -> Exchange:
    return says(text, "zfs", "list", "-Hp", "-t", "filesystem,volume", "-o", DATASETS, name)


def snaps_listed(text: str, name: str = PLACE) -> Exchange:
    return says(text, "zfs", "list", "-Hp", "-d", "1", "-t", "snapshot", "-o", SNAPS, name)


def snap_listed(text: str, name: str) -> Exchange:
    return says(text, "zfs", "list", "-Hp", "-t", "snapshot", "-o", SNAPS, name)


class Scripted:
    """A pool whose `zfs` plays exchanges; `points` are the steps passed."""

    def __init__(self, *exchanges: Exchange, **options) -> None:
        self.runner = ScriptedRunner(*exchanges)
        self.fault = Recorder()
        commands = Commands(Circuit(self.runner, what="pool", trips=2), timeout_s=5)
        self.pool = Pool(
            "pool",
            ZfsOptions(pool="tank", **options),
            record=PoolRecord(POOL_ID),
            commands=commands,
            fault=self.fault,
            may_mount=True,
            quota=True,
        )
