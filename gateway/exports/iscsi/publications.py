"""The steps of publishing and withdrawing units, in an order that any crash may cut.

What goes is taken away before the record changes, what comes is made after it.
So a unit that is found beside a record was made for that record, and
withdrawing works from every half-done stage.

Passwords are remembered by no record. After a restart the targets that ask for
them stay closed (or, when the server outlived us, go on as they are) until the
core publishes anew, which it does at its start.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec
from uuid import UUID

import structlog

from gateway.core.backend import FaultHook
from gateway.core.errors import Conflict, GatewayError, InUse, InvalidArgument, Unavailable
from gateway.core.exporter import BlockAccess, BlockExport
from gateway.exports.iscsi.control import WHAT
from gateway.exports.iscsi.server import Tgtd
from gateway.exports.iscsi.targets import Account, Target, Targets, Unit
from gateway.exports.records import Grant, Record, Records, record_of

log = structlog.get_logger(__name__)

P = ParamSpec("P")

FAULT_POINTS = (
    "iscsi.publish.narrowed",
    "iscsi.publish.recorded",
    "iscsi.publish.targeted",
    "iscsi.publish.served",
    "iscsi.publish.admitted",
    "iscsi.withdraw.narrowed",
    "iscsi.withdraw.forgotten",
)

LUN_MIN, LUN_MAX = 1, 255
"""Unit 0 of a tgt target is its controller; beyond 255 initiators count in ways of their own."""

_PATH_MAX = 900
_PLAIN = re.compile(r"[^\s,]+\Z")


def check(export: BlockExport) -> None:
    """Raise InvalidArgument for a description that could never be published."""
    if not export.source.path.startswith("/") or "," in export.source.path or not export.source.path.isprintable():
        raise InvalidArgument(field="source", reason="a path that holds a comma or a control character")
    if len(export.source.path.encode()) > _PATH_MAX:
        raise InvalidArgument(field="source", reason=f"a path longer than {_PATH_MAX} bytes")
    for access in export.access:
        if not LUN_MIN <= access.lun <= LUN_MAX:
            raise InvalidArgument(field="lun", value=access.lun, reason=f"must be {LUN_MIN} to {LUN_MAX}")
        logins = (*access.logins, *((access.target_login,) if access.target_login is not None else ()))
        for field, text in (
            ("target", access.target),
            *(("initiators", name) for name in access.initiators),
            *(("user", login.user) for login in logins),
        ):
            if not _PLAIN.match(text):
                raise InvalidArgument(field=field, value=text[:64], reason="holds white space or a comma")


def _unit(record: Record, grant: Grant) -> Unit:
    return Unit(
        serial=record.serial,
        path=record.source.path,
        write=grant.write and not record.source.read_only,
        generation=record.generation,
        size=record.size,
    )


def _stays(unit: Unit, wanted: Unit) -> bool:
    """Tell whether whoever uses the unit may go on doing so."""
    same = (unit.serial, unit.path, unit.generation) == (wanted.serial, wanted.path, wanted.generation)
    return same and (wanted.write or not unit.write)


def _accounts(access: BlockAccess) -> dict[str, Account]:
    found = {login.user: Account(user=login.user, password=login.password) for login in access.logins}
    if access.target_login is not None:
        own = access.target_login
        found[own.user] = Account(user=own.user, password=own.password, outgoing=True)
    return found


class Publications:
    """Keeps the server's targets as the records say; see `gateway.exports.blocks.Steps`."""

    def __init__(self, server: Tgtd, records: Records[Record], fault: FaultHook) -> None:
        self._server = server
        self._records = records
        self._fault = fault
        self._targets = Targets(server.control)
        self._accounts: dict[str, dict[str, Account]] = {}
        self._waiting: set[str] = set()
        self._lock = threading.Lock()

    def open(self) -> None:
        """See `Steps`."""
        with self._lock:
            self._server.prepare()
            self._records.load()
            self._accounts, self._waiting = {}, set()
            shown = self._server.adopt()
            if shown is None:
                self._start()
            else:
                self._targets.read(shown)
                self._recognise()
            self._settle()

    def revive(self) -> None:
        """See `Steps`."""
        with self._lock:
            self._ensure_alive()

    def close(self) -> None:
        """See `Steps`."""
        with self._lock:
            self._targets.reset()
            self._server.stop()

    def pids(self) -> tuple[int, ...]:
        """See `Steps`."""
        return self._server.pids()

    def alive(self) -> bool:
        """See `Steps`."""
        return self._server.alive()

    def publish(self, export: BlockExport, *, force: bool) -> None:
        """See `Steps`. Conflict when an account has another password on another target."""
        check(export)
        with self._lock:
            self._ensure_alive()
            turn = 1 + max((record.turn for record in self._records.all()), default=0)
            wanted = record_of(export, turn=turn)
            if not force:
                self._object(wanted)
            self._narrow(wanted)
            self._fault("iscsi.publish.narrowed")
            before = self._records.get(export.id)
            if before is None or record_of(export, turn=before.turn) != before:
                self._records.put(wanted)
            self._fault("iscsi.publish.recorded")
            self._accounts |= {access.target: _accounts(access) for access in export.access}
            self._serve(wanted)
            self._admit({grant.target: grant for grant in wanted.grants})

    def withdraw(self, export_id: UUID, *, force: bool) -> None:
        """See `Steps`."""
        with self._lock:
            if export_id not in self._records.ids():
                return
            self._ensure_alive()
            record = self._records.get(export_id)
            if record is not None:
                nothing = Record(id=record.id, serial=record.serial, size=0, source=record.source, grants=())
                if not force:
                    self._object(nothing)
                self._narrow(nothing)
            self._fault("iscsi.withdraw.narrowed")
            self._records.remove(export_id)
            self._fault("iscsi.withdraw.forgotten")

    def published(self) -> frozenset[UUID]:
        """See `Steps`."""
        with self._lock:
            return self._records.ids()

    def _object(self, wanted: Record) -> None:
        """Raise InUse when somebody is logged in who could not go on."""
        leaving: dict[str, frozenset[str]] = {}
        for grant in wanted.grants:
            target = self._targets.get(grant.target)
            if target is not None:
                leaving[target.name] = frozenset(target.names - set(grant.initiators))
        hit = {target.name for target, _ in self._ending(wanted)}
        for known in self._targets.all():
            if known.name not in hit and not leaving.get(known.name):
                continue
            for session in self._targets.sessions(known):
                if known.name in hit or session.initiator in leaving[known.name]:
                    raise InUse(kind="volume", ref=str(wanted.id), by="sessions", action="detach")

    def _ending(self, wanted: Record) -> list[tuple[Target, int]]:
        """Give the units of the publication that may not stay as they are."""
        before = self._records.get(wanted.id)
        there = {(grant.target, grant.lun) for grant in before.grants} if before is not None else set()
        keep = {(grant.target, grant.lun): _unit(wanted, grant) for grant in wanted.grants}
        found = []
        for name, lun in sorted(there | keep.keys()):
            target = self._targets.get(name)
            unit = target.units.get(lun) if target is not None else None
            if target is not None and unit is not None and unit.serial in {wanted.serial, ""}:
                to_be = keep.get((name, lun))
                if to_be is None or not _stays(unit, to_be):
                    found.append((target, lun))
        return found

    def _narrow(self, wanted: Record) -> None:
        for ending, lun in self._ending(wanted):
            self._targets.remove_unit(ending, lun)
        before = self._records.get(wanted.id)
        kept = {grant.target for grant in wanted.grants}
        for name in {grant.target for grant in before.grants} - kept if before is not None else ():
            target = self._targets.get(name)
            if target is not None and not target.units:
                self._end(target)

    def _end(self, target: Target) -> None:
        self._targets.remove(target)
        self._accounts.pop(target.name, None)
        self._waiting.discard(target.name)
        self._retry()

    def _serve(self, record: Record) -> None:
        if not Path(record.source.path).exists():
            raise Unavailable(what=WHAT, reason="the source is not there")
        for grant in record.grants:
            target = self._targets.ensure(grant.target)
            self._fault("iscsi.publish.targeted")
            wanted = _unit(record, grant)
            unit = target.units.get(grant.lun)
            if unit is None:
                self._targets.add_unit(target, grant.lun, wanted)
            elif unit.serial != wanted.serial:
                raise Conflict(kind="lun", ref=str(grant.lun), holder=unit.serial)
            else:
                if wanted.write and not unit.write:
                    self._targets.open_up(target, grant.lun, wanted)
                if unit.size != wanted.size:
                    self._measure(target, grant.lun, wanted)
            self._fault("iscsi.publish.served")

    def _measure(self, target: Target, lun: int, wanted: Unit) -> None:
        """Have a new size noticed, unless that could fail a command: then it waits for the sessions' end."""
        if not self._targets.sessions(target):
            self._targets.measure(target, lun, wanted)
        elif target.units[lun].size is not None:
            log.info("iscsi unit keeps its size while a session is open", target=target.name, lun=lun)

    def _admit(self, grants: dict[str, Grant]) -> None:
        """Have targets let in whom the grants name, with the accounts that are known for them."""
        rivals = [rival for name, grant in grants.items() if (rival := self._fit(self._targets.ensure(name), grant))]
        self._fault("iscsi.publish.admitted")
        self._retry()
        if rivals:
            raise rivals[0]

    def _fit(self, target: Target, grant: Grant) -> Conflict | None:
        """Make a target's accounts and initiators right. When they cannot be, nobody may log in, and why is given."""
        accounts = self._accounts.get(target.name)
        if accounts is None and grant.chap:
            if not target.users:
                self._targets.expel(target, frozenset(target.names), cut=False)
            return None
        accounts = accounts or {}
        for user, account in accounts.items():
            for other, theirs in self._accounts.items():
                if other != target.name and user in theirs and theirs[user].password != account.password:
                    self._targets.expel(target, frozenset(target.names), cut=False)
                    self._waiting.add(target.name)
                    return Conflict(kind="login", ref=user, holder=other)
        self._waiting.discard(target.name)
        if not self._targets.accounts_are(target, accounts):
            self._targets.set_accounts(target, accounts)
        self._targets.expel(target, target.names - set(grant.initiators), cut=True)
        self._targets.admit(target, grant.initiators)
        return None

    def _retry(self) -> None:
        """Open the targets that waited for an account to have one password everywhere."""
        for name in tuple(self._waiting):
            target, grant = self._targets.get(name), self._newest(name)
            if target is not None and grant is not None:
                self._fit(target, grant)

    def _newest(self, name: str) -> Grant | None:
        found = [(record.turn, grant) for record in self._records.all() for grant in record.grants]
        of_it = [(turn, grant) for turn, grant in found if grant.target == name]
        return max(of_it, key=lambda one: one[0])[1] if of_it else None

    def _ensure_alive(self) -> None:
        if not self._server.alive():
            self._start()
            self._settle()

    def _start(self) -> None:
        self._targets.reset()
        self._server.start()

    def _recognise(self) -> None:
        """Tell of the units of an adopted server for which generation they were made; end those without a record."""
        known = {(g.target, g.lun): _unit(record, g) for record in self._records.all() for g in record.grants}
        names = {name for name, _ in known}
        for target in self._targets.all():
            for lun, unit in tuple(target.units.items()):
                wanted = known.get((target.name, lun))
                if wanted is None or (unit.serial, unit.path, unit.write) != (wanted.serial, wanted.path, wanted.write):
                    self._tolerantly(self._targets.remove_unit, target, lun)
                else:
                    target.units[lun] = Unit(
                        serial=unit.serial, path=unit.path, write=unit.write, generation=wanted.generation
                    )
            if target.name not in names:
                self._tolerantly(self._targets.remove, target)

    def _settle(self) -> None:
        """Make the server's targets those of the records."""
        for record in sorted(self._records.all(), key=lambda record: record.turn):
            self._tolerantly(self._serve, record)
        for target in self._targets.all():
            grant = self._newest(target.name)
            if grant is not None:
                self._tolerantly(self._fit, target, grant)

    def _tolerantly(self, step: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None:
        """Take a step for one publication without harm to the others; the next `publish` tries it again."""
        try:
            step(*args, **kwargs)
        except GatewayError as error:
            log.warning("iscsi publication left out", error=type(error).__name__, **error.fields)
