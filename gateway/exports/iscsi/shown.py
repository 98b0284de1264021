"""What tgtd tells about its targets, read from the text that it has for people.

An initiator's alias is part of that text and may hold anything, lines that
look like others among them. So this is asked for only once, when a server is
adopted, and nothing that keeps somebody out relies on it.
"""

from __future__ import annotations

import re

import msgspec

_TARGET = re.compile(r"Target (\d+): (\S+)\Z")
_SECTION = re.compile(r" {4}(\w[^:]*):\Z")
_UNIT = re.compile(r" {8}LUN: (\d+)\Z")
_FIELD = re.compile(r" {12}([^:]+): ?(.*)\Z")
_ITEM = re.compile(r" {8}(\S+)( \(outgoing\))?\Z")
_CONNECTION = re.compile(r"Session: (\d+)\n +Connection: (\d+)\n +Initiator: (\S+)")


class ShownUnit(msgspec.Struct, frozen=True, kw_only=True):
    """A logical unit that is a disk."""

    lun: int
    serial: str
    path: str
    write: bool


class ShownTarget(msgspec.Struct, frozen=True, kw_only=True):
    """A target. `accounts` tells of each whether it is the target's own."""

    tid: int
    name: str
    units: tuple[ShownUnit, ...] = ()
    accounts: tuple[tuple[str, bool], ...] = ()
    names: tuple[str, ...] = ()


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """A connection of an initiator that is logged in."""

    sid: int
    cid: int
    initiator: str


def sessions(text: str) -> tuple[Session, ...]:
    """Give the connections of one target."""
    return tuple(
        Session(sid=int(sid), cid=int(cid), initiator=initiator) for sid, cid, initiator in _CONNECTION.findall(text)
    )


def targets(text: str) -> tuple[ShownTarget, ...]:
    """Give all targets."""
    blocks: list[list[str]] = []
    for line in text.splitlines():
        if _TARGET.match(line):
            blocks.append([])
        if blocks:
            blocks[-1].append(line)
    return tuple(_target(block) for block in blocks)


def _target(lines: list[str]) -> ShownTarget:
    head = _TARGET.match(lines[0])
    assert head is not None  # noqa: S101
    section = ""
    units: list[dict[str, str]] = []
    accounts: list[tuple[str, bool]] = []
    names: list[str] = []
    for line in lines[1:]:
        if found := _SECTION.match(line):
            section = found[1]
        elif section == "LUN information" and (found := _UNIT.match(line)):
            units.append({"LUN": found[1]})
        elif section == "LUN information" and units and (found := _FIELD.match(line)):
            units[-1][found[1]] = found[2]
        elif section == "Account information" and (found := _ITEM.match(line)):
            accounts.append((found[1], found[2] is not None))
        elif section == "ACL information" and (found := _ITEM.match(line)):
            names.append(found[1])
    disks = tuple(_unit(fields) for fields in units if fields.get("Type") == "disk")
    return ShownTarget(tid=int(head[1]), name=head[2], units=disks, accounts=tuple(accounts), names=tuple(names))


def _unit(fields: dict[str, str]) -> ShownUnit:
    return ShownUnit(
        lun=int(fields["LUN"]),
        serial=fields.get("SCSI SN", ""),
        path=fields.get("Backing store path", ""),
        write=fields.get("Readonly") == "No" and fields.get("Online") == "Yes",
    )
