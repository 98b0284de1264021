"""The targets that the server has, kept in step with it by every step taken here.

tgtd 1.0 dies when it is asked to show a target of whose accounts one was taken
away while a later one stayed. So the accounts of a target are always all taken,
the last one first. While that happens nobody can log in, because a target
without accounts asks nobody for a password.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Iterable, Iterator, Mapping

import msgspec
import structlog

from gateway.core.errors import Busy, Unavailable
from gateway.core.secret import Secret
from gateway.exports.iscsi import shown
from gateway.exports.iscsi.control import NO_LUN, NO_TARGET, WHAT, Control, Mode, Op, Refused, Status
from gateway.exports.iscsi.shown import Session

log = structlog.get_logger(__name__)

VENDOR, PRODUCT, REVISION = "VGATEWAY", "VOLUME", "0001"
ACTIVE_LIMIT_S = 5.0
_ACTIVE_PAUSE_S = 0.02
_TID_BITS = 28
"""The server makes a unit's NAA identifier of the target's number and the unit's, and of its four first bits."""


class Unit(msgspec.Struct, frozen=True, kw_only=True):
    """A logical unit as it is served. `generation` and `size` None: not known since the server was adopted."""

    serial: str
    path: str
    write: bool
    generation: int | None = None
    size: int | None = None


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """A name and password for logging in to a target, or (`outgoing`) the target's own."""

    user: str
    password: Secret
    outgoing: bool = False


class Target:
    """One target of the server. `users` tells of each account whether it is the target's own."""

    def __init__(self, tid: int, name: str) -> None:
        self.tid = tid
        self.name = name
        self.units: dict[int, Unit] = {}
        self.users: dict[str, bool] = {}
        self.names: set[str] = set()


class Targets:
    """All targets of one server. Refused never leaves it; what the server declines is Unavailable."""

    def __init__(self, control: Control) -> None:
        self._control = control
        self._known: dict[str, Target] = {}
        self._passwords: dict[str, Secret | None] = {}

    def reset(self) -> None:
        """Forget everything, as a new server has."""
        self._known, self._passwords = {}, {}

    def read(self, text: str) -> None:
        """Take over what a server shows. Passwords are not among it."""
        self.reset()
        for found in shown.targets(text):
            target = Target(found.tid, found.name)
            target.units = {u.lun: Unit(serial=u.serial, path=u.path, write=u.write) for u in found.units}
            target.users = dict(found.accounts)
            target.names = set(found.names)
            self._known[found.name] = target
            self._passwords |= dict.fromkeys(target.users)

    def all(self) -> tuple[Target, ...]:
        """Give every target."""
        return tuple(self._known.values())

    def get(self, name: str) -> Target | None:
        """Give a target."""
        return self._known.get(name)

    def ensure(self, name: str) -> Target:
        """Give a target, made if needed. Nobody may log in to a new one."""
        found = self._known.get(name)
        if found is not None:
            return found
        target = Target(self._number(name), name)
        self._ask(Mode.TARGET, Op.NEW, f"targetname={name}", tid=target.tid)
        self._known[name] = target
        return target

    def remove(self, target: Target) -> None:
        """End a target and all sessions with it."""
        self._while_active(Mode.TARGET, target, force=True)
        self._known.pop(target.name, None)
        self._forget(target.users)

    def sessions(self, target: Target) -> tuple[Session, ...]:
        """Give who is logged in now."""
        return shown.sessions(self._ask(Mode.CONNECTION, Op.SHOW, tid=target.tid))

    def add_unit(self, target: Target, lun: int, unit: Unit) -> None:
        """Serve a unit. It is closed until all is said of it, as a session may be open that finds it at once."""
        self._ask(Mode.UNIT, Op.NEW, "bstype=rdwr", tid=target.tid, lun=lun)
        identity = f"vendor_id={VENDOR},product_id={PRODUCT},product_rev={REVISION},scsi_id={unit.serial}"
        rights = f"scsi_sn={unit.serial},thin_provisioning=1,removable=0,readonly={int(not unit.write)}"
        try:
            self._ask(Mode.UNIT, Op.UPDATE, f"{identity},{rights},path={unit.path}", tid=target.tid, lun=lun)
        except Unavailable:
            with contextlib.suppress(Refused):
                self._control.ask(Mode.UNIT, Op.DELETE, tid=target.tid, lun=lun)
            raise
        target.units[lun] = unit

    def open_up(self, target: Target, lun: int, unit: Unit) -> None:
        """Let a unit be written that could only be read."""
        self._ask(Mode.UNIT, Op.UPDATE, "readonly=0", tid=target.tid, lun=lun)
        target.units[lun] = unit

    def measure(self, target: Target, lun: int, unit: Unit) -> None:
        """Have the size of a unit's source noticed. A command that is under way would fail: only without sessions."""
        self._ask(Mode.UNIT, Op.UPDATE, f"online=0,path={unit.path},online=1", tid=target.tid, lun=lun)
        target.units[lun] = unit

    def remove_unit(self, target: Target, lun: int) -> None:
        """End a unit. Sessions stay, but find it no more."""
        self._while_active(Mode.UNIT, target, lun=lun)
        target.units.pop(lun, None)

    def admit(self, target: Target, names: Iterable[str]) -> None:
        """Let these initiators log in, besides those that may."""
        for name in sorted(set(names) - target.names):
            self._ask(
                Mode.TARGET, Op.BIND, f"initiator-name={name}", tid=target.tid, ignore=frozenset({Status.ACL_EXISTS})
            )
            target.names.add(name)

    def expel(self, target: Target, names: Iterable[str], *, cut: bool) -> None:
        """Let these initiators log in no more; `cut`: those that are logged in are cut off."""
        gone = frozenset(names)
        for name in sorted(gone):
            parameters = f"initiator-name={name}"
            self._ask(Mode.TARGET, Op.UNBIND, parameters, tid=target.tid, ignore=frozenset({Status.ACL_GONE}))
            target.names.discard(name)
        if cut:
            self._cut(target, gone)

    def accounts_are(self, target: Target, accounts: Mapping[str, Account]) -> bool:
        """Tell whether a target asks for exactly these."""
        bound = {user: account.outgoing for user, account in accounts.items()}
        return target.users == bound and all(
            self._passwords.get(user) == account.password for user, account in accounts.items()
        )

    def set_accounts(self, target: Target, accounts: Mapping[str, Account]) -> None:
        """Have a target ask for exactly these. Where one has another password elsewhere, it has this one there, too."""
        with self._shut(target):
            old = dict(target.users)
            self._unbind_all(target)
            for account in accounts.values():
                if self._passwords.get(account.user) != account.password:
                    self._renew(account)
                self._bind(target, account.user, outgoing=account.outgoing)
            self._forget(old.keys() - accounts.keys())

    def _renew(self, account: Account) -> None:
        """Replace an account. Other targets that ask for it go on asking, for the new password."""
        holders = [other for other in self.all() if account.user in other.users]
        with contextlib.ExitStack() as shut:
            kept = []
            for holder in holders:
                shut.enter_context(self._shut(holder))
                kept.append((holder, dict(holder.users)))
                self._unbind_all(holder)
            self._drop(account.user)
            self._ask(Mode.ACCOUNT, Op.NEW, f"user={account.user},password={account.password.reveal()}")
            self._passwords[account.user] = account.password
            for holder, users in kept:
                for user, outgoing in users.items():
                    self._bind(holder, user, outgoing=outgoing)

    @contextlib.contextmanager
    def _shut(self, target: Target) -> Iterator[None]:
        """Let nobody log in for a moment, nor afterwards if that moment ends badly."""
        names = frozenset(target.names)
        self.expel(target, names, cut=False)
        yield
        self.admit(target, names)

    def _bind(self, target: Target, user: str, *, outgoing: bool) -> None:
        self._ask(Mode.ACCOUNT, Op.BIND, f"user={user}", tid=target.tid, outgoing=outgoing)
        target.users[user] = outgoing

    def _unbind_all(self, target: Target) -> None:
        gone = frozenset({Status.NO_USER})
        # The last one first, so that there is no gap either if we end in between.
        for user, outgoing in reversed(tuple(target.users.items())):
            self._ask(Mode.ACCOUNT, Op.UNBIND, f"user={user}", tid=target.tid, outgoing=outgoing, ignore=gone)
            del target.users[user]

    def _forget(self, users: Iterable[str]) -> None:
        """Remove accounts that no target asks for any more."""
        for user in users:
            if not any(user in target.users for target in self.all()):
                self._drop(user)

    def _drop(self, user: str) -> None:
        self._ask(Mode.ACCOUNT, Op.DELETE, f"user={user}", ignore=frozenset({Status.NO_USER}))
        self._passwords.pop(user, None)

    def _cut(self, target: Target, names: frozenset[str] | None = None) -> None:
        """Cut off those initiators (None: all) that are logged in."""
        gone = frozenset({Status.NO_SESSION, Status.NO_CONNECTION})
        for session in self.sessions(target):
            if names is None or session.initiator in names:
                self._ask(Mode.CONNECTION, Op.DELETE, tid=target.tid, sid=session.sid, cid=session.cid, ignore=gone)

    def _while_active(self, mode: Mode, target: Target, *, lun: int = NO_LUN, force: bool = False) -> None:
        """Delete something that commands may be under way for: they end soon once their senders are cut off."""
        gone = {Status.NO_TARGET, Status.NO_UNIT}
        deadline = time.monotonic() + ACTIVE_LIMIT_S
        while True:
            try:
                self._control.ask(mode, Op.DELETE, tid=target.tid, lun=lun, force=force)
            except Refused as refused:
                if refused.status in gone:
                    return
                if refused.status not in {Status.UNIT_ACTIVE, Status.TARGET_ACTIVE}:
                    raise _unavailable(refused) from refused
                if time.monotonic() > deadline:
                    raise Busy(what="iscsi unit with commands under way", retry_after=1) from refused
                self._cut(target)
                time.sleep(_ACTIVE_PAUSE_S)
            else:
                return

    def _number(self, name: str) -> int:
        """Give a number for a target: the same one at every start, and hardly one that another gateway gives."""
        taken = {target.tid for target in self.all()}
        digest = hashlib.sha256(name.encode()).digest()
        number = int.from_bytes(digest[:4], "big") % (1 << _TID_BITS) or 1
        while number in taken:
            number = number % ((1 << _TID_BITS) - 1) + 1
        return number

    def _ask(
        self,
        mode: Mode,
        op: Op,
        parameters: str = "",
        *,
        tid: int = NO_TARGET,
        lun: int = NO_LUN,
        sid: int = 0,
        cid: int = 0,
        outgoing: bool = False,
        ignore: frozenset[int] = frozenset(),
    ) -> str:
        try:
            return self._control.ask(mode, op, parameters, tid=tid, lun=lun, sid=sid, cid=cid, outgoing=outgoing)
        except Refused as refused:
            if refused.status in ignore:
                return ""
            raise _unavailable(refused) from refused


def _unavailable(refused: Refused) -> Unavailable:
    log.warning("iscsi request refused", request=str(refused))
    return Unavailable(what=WHAT, reason="the target server refused a request")
