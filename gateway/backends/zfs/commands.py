"""The `zfs` and `zpool` programs: command lines out, values back. All of it blocks and raises `Refused`."""
# ruff: noqa: D102 - the names are those of the program

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import ClassVar

import msgspec

from gateway.backends.zfs.failures import Meaning, Refused, refusal
from gateway.core.errors import Unavailable
from gateway.core.runner import Circuit

PATIENCE = 10
"""How many times longer than others those changes may take that grow with what they work on."""

_ABSENT = "-"
_TEXT_MAX = 512 * 1024
"""Bytes of properties in one command line; Linux takes some more in all."""


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """The properties of a dataset to make. Sizes in bytes; `volsize` makes it a volume of ZFS.

    reserved: the whole size is set aside. `user`: our properties.
    """

    refquota: int | None = None
    volsize: int | None = None
    volblocksize: int | None = None
    reserved: bool = False
    user: Mapping[str, str] = {}


class Dataset(msgspec.Struct, frozen=True):
    """One line of a list of volumes. `head` is our property, None where there is none."""

    name: str
    block: bool
    referenced: int
    volsize: int
    refquota: int
    refreservation: int
    token: str | None
    mounted: bool
    mountpoint: str
    head: str | None

    @property
    def short(self) -> str:
        """Give the last part of the name."""
        return self.name.rpartition("/")[2]


class Snap(msgspec.Struct, frozen=True):
    """One line of a list of snapshots. `deferred`: it goes when nothing holds it any more; nobody counts it."""

    name: str
    guid: int
    referenced: int
    createtxg: int
    deferred: bool
    holds: int
    head: str | None

    @property
    def dataset(self) -> str:
        """Give the name of what it was taken of."""
        return self.name.partition("@")[0]

    @property
    def short(self) -> str:
        """Give the part of the name after the volume's."""
        return self.name.partition("@")[2]


class Commands:
    """The engine that needs nothing but the programs."""

    name: ClassVar[str] = "cli"

    def __init__(self, circuit: Circuit, *, timeout_s: float) -> None:
        self._circuit = circuit
        self._timeout_s = timeout_s

    def run(self, *arguments: str, patience: int = 1) -> str:
        """Run a program and give what it printed, or raise `Refused`."""
        done = self._circuit.run(arguments, timeout_s=self._timeout_s * patience)
        if done.status:
            raise refusal(done.stderr)
        return done.text

    def table(self, *arguments: str) -> list[list[str]]:
        """Run a program that prints lines of values between tabs; nothing there: no lines."""
        try:
            printed = self.run(*arguments)
        except Refused as refused:
            if refused.meaning is Meaning.MISSING:
                return []
            raise
        return [line.split("\t") for line in printed.splitlines()]

    # --- looking ---

    def datasets(self, name: str, prop: str, *, below: bool = False) -> list[Dataset]:
        """Give a dataset, or with `below` also what is directly below it."""
        columns = f"name,type,referenced,volsize,refquota,refreservation,receive_resume_token,mounted,mountpoint,{prop}"
        depth = ("-d", "1") if below else ()
        lines = self.table("zfs", "list", "-Hp", *depth, "-t", "filesystem,volume", "-o", columns, name)
        return [
            Dataset(
                name=line[0],
                block=line[1] == "volume",
                referenced=number(line[2]),
                volsize=number(line[3]),
                refquota=number(line[4]),
                refreservation=number(line[5]),
                token=text(line[6]),
                mounted=line[7] == "yes",
                # The only value that may hold a tab.
                mountpoint="\t".join(line[8:-1]),
                head=text(line[-1]),
            )
            for line in lines
        ]

    def snaps(self, name: str, prop: str, *, depth: int = 0) -> list[Snap]:
        """Give a snapshot, with depth 1 all of a dataset, with 2 also those of what is directly below it."""
        columns = f"name,guid,referenced,createtxg,defer_destroy,userrefs,{prop}"
        deep = ("-d", str(depth)) if depth else ()
        lines = self.table("zfs", "list", "-Hp", *deep, "-t", "snapshot", "-o", columns, name)
        return [
            Snap(
                name=line[0],
                guid=number(line[1]),
                referenced=number(line[2]),
                createtxg=number(line[3]),
                deferred=line[4] == "on",
                holds=number(line[5]),
                head=text(line[6]),
            )
            for line in lines
        ]

    def get(self, dataset: str, *properties: str) -> dict[str, str | None]:
        """Give properties of one dataset; nothing when it is not there."""
        names = ",".join(properties)
        return {
            line[0]: text(line[1]) for line in self.table("zfs", "get", "-Hp", "-o", "property,value", names, dataset)
        }

    def values(self, names: Sequence[str], properties: Sequence[str]) -> dict[str, dict[str, str]]:
        """Give properties of several datasets or snapshots by name; what is not there is left out."""
        arguments = ("zfs", "get", "-Hp", "-o", "name,property,value", ",".join(properties))
        try:
            lines = [line.split("\t") for line in self.run(*arguments, *names).splitlines()]
        except Refused as refused:
            if refused.meaning is not Meaning.MISSING:
                raise
            # One that is missing makes the whole command fail.
            lines = [line for name in names for line in self.table(*arguments, name)]
        found: dict[str, dict[str, str]] = {}
        for name, prop, value in lines:
            found.setdefault(name, {})[prop] = value
        return found

    def clones(self, snapshots: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """Give the clones of each snapshot that has some."""
        lines = self.table("zfs", "list", "-Hp", "-t", "snapshot", "-o", "name,clones", *snapshots)
        return {name: tuple(value.split(",")) for name, value in lines if text(value)}

    def bookmarks(self, dataset: str) -> dict[str, int]:
        """Give the bookmarks of a dataset and when they were made, as `createtxg`."""
        lines = self.table("zfs", "list", "-Hp", "-d", "1", "-t", "bookmark", "-o", "name,createtxg", dataset)
        return {name: number(made) for name, made in lines}

    # --- changing ---

    def create(self, name: str, shape: Shape) -> None:
        if shape.volsize is None:
            self.run("zfs", "create", "-u", "-o", "canmount=noauto", *_filesystem(shape), *options(shape.user), name)
            return
        thin = () if shape.reserved else ("-s",)
        block = () if shape.volblocksize is None else ("-b", str(shape.volblocksize))
        self.run("zfs", "create", *thin, *block, "-V", str(shape.volsize), *options(shape.user), name)

    def clone(self, snapshot: str, name: str, shape: Shape) -> None:
        if shape.volsize is None:
            kind = ("-o", "canmount=noauto", *_filesystem(shape))
        else:
            kind = ("-o", f"volsize={shape.volsize}", *(("-o", "refreservation=auto") if shape.reserved else ()))
        self.run("zfs", "clone", *kind, *options(shape.user), snapshot, name)

    def snapshot(self, names: Sequence[str], user: Mapping[str, str]) -> None:
        """Take snapshots at one instant, or none."""
        self.run("zfs", "snapshot", *options(user), *names)

    def destroy(self, name: str) -> None:
        """Remove a dataset without snapshots that is not mounted."""
        self.run("zfs", "destroy", name, patience=PATIENCE)

    def destroy_snapshots(self, dataset: str, shorts: Sequence[str], *, deferred: bool = False) -> None:
        """Remove snapshots of one dataset, all or none. `deferred`: one with clones goes with its last clone."""
        later = ("-d",) if deferred else ()
        self.run("zfs", "destroy", *later, f"{dataset}@{','.join(shorts)}", patience=PATIENCE)

    def rename(self, old: str, new: str) -> None:
        """Rename a snapshot, or a dataset that is not mounted."""
        self.run("zfs", "rename", old, new)

    def promote(self, name: str) -> None:
        self.run("zfs", "promote", name, patience=PATIENCE)

    def rollback(self, snapshot: str) -> None:
        """Bring back the content of a dataset's newest snapshot."""
        self.run("zfs", "rollback", snapshot, patience=PATIENCE)

    def close(self) -> None:
        """Let go of what the engine holds."""

    # --- what only the programs can do ---

    def set(self, dataset: str, values: Mapping[str, str]) -> None:
        """Set properties, in as many commands as they need."""
        batch: list[str] = []
        for name, value in values.items():
            batch.append(f"{name}={value}")
            if sum(map(len, batch)) > _TEXT_MAX:
                self.run("zfs", "set", *batch, dataset)
                batch = []
        if batch:
            self.run("zfs", "set", *batch, dataset)

    def mount(self, dataset: str, *, read_only: bool = False) -> None:
        """Mount a filesystem; mounted already: succeeds."""
        self._settled("zfs", "mount", *(("-o", "ro") if read_only else ()), dataset)

    def unmount(self, dataset: str) -> None:
        """Unmount a filesystem; not mounted: succeeds. Refused as busy while anything is open in it."""
        self._settled("zfs", "unmount", dataset)

    def settle_devices(self) -> None:
        """Wait until udev has dealt with all that happened so far, where there is udev."""
        with contextlib.suppress(Refused, Unavailable):
            self.run("udevadm", "settle", f"--timeout={int(self._timeout_s)}", patience=2)

    def abort_receive(self, dataset: str) -> None:
        """Drop what an interrupted receive left."""
        self.run("zfs", "receive", "-A", dataset)

    def _settled(self, *arguments: str) -> None:
        try:
            self.run(*arguments)
        except Refused as refused:
            if refused.meaning is not Meaning.SETTLED:
                raise


def number(value: str) -> int:
    """Read a number; 0 where the property does not apply."""
    return int(value) if value.isdecimal() else 0


def text(value: str) -> str | None:
    """Read a text; None where there is none."""
    return None if value == _ABSENT else value


def options(user: Mapping[str, str]) -> list[str]:
    """Give properties as arguments of a command that makes something."""
    return [argument for name, value in user.items() for argument in ("-o", f"{name}={value}")]


def _filesystem(shape: Shape) -> list[str]:
    limits = {"refquota": shape.refquota, "refreservation": shape.refquota if shape.reserved else None}
    return options({name: str(value) for name, value in limits.items() if value is not None})
