"""Whose a volume is, and what others may do with it.

A volume without an `Ownership` is everybody's, as is one without an owner. A
snapshot has its volume's. Roles say which calls a caller may make at all (see
`gateway.core.roles`); this says on which volumes.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

import msgspec

from gateway.core import errors
from gateway.core.principal import EVERY, Principal
from gateway.core.query import And, Compare, Filter, Op, Or

if TYPE_CHECKING:
    from gateway.core.model import Volume

PUBLIC, NAMED = "public", "*"
"""The readers of volumes that everybody may read, and of those that everybody may who has a name."""


class Access(enum.IntEnum):
    """What may be done with a volume; each includes those before."""

    READ = 0
    WRITE = 1
    ADMIN = 2


class Ownership(msgspec.Struct, frozen=True, kw_only=True):
    """The owner's name, and what groups, collaborators (other callers, by name) and everybody may do.

    `*` stands for any group, or any caller that has a name.
    """

    owner: str = ""
    groups: dict[str, Access] = {}
    collaborators: dict[str, Access] = {}
    public: Access | None = None


def level(caller: Principal | None, ownership: Ownership | None) -> Access | None:
    """Give the most that the caller may do; None: nothing. No caller is the gateway itself, which may everything."""
    if caller is None or ownership is None or not ownership.owner:
        return Access.ADMIN
    if caller.administrator or (caller.named and caller.name == ownership.owner):
        return Access.ADMIN
    if not caller.named:
        return ownership.public
    found = [
        ownership.public,
        *(ownership.groups.get(group) for group in (*caller.groups, EVERY)),
        *(ownership.collaborators.get(name) for name in (caller.name, EVERY)),
    ]
    return max((one for one in found if one is not None), default=None)


def may(caller: Principal | None, ownership: Ownership | None, access: Access) -> bool:
    """Tell whether the caller may do that much."""
    found = level(caller, ownership)
    return found is not None and found >= access


def permit(caller: Principal | None, volume: Volume, access: Access, *, action: str) -> None:
    """Raise PermissionDenied unless the caller may do that much with the volume."""
    if caller is not None and not (_within(caller, volume) and may(caller, volume.ownership, access)):
        raise errors.PermissionDenied(action=f"{action} volume {volume.id}")


def visible(caller: Principal | None, volume: Volume) -> bool:
    """Tell whether the caller may know of the volume."""
    return caller is None or (_within(caller, volume) and may(caller, volume.ownership, Access.READ))


def _for_all(caller: Principal | None) -> bool:
    """Tell whether what is made is everybody's: the gateway's own, and what administrators of a tenant make."""
    return caller is None or (caller.tenant_id is not None and caller.administrator)


def _within(caller: Principal, volume: Volume) -> bool:
    return caller.tenant_id is None or caller.tenant_id == volume.tenant_id


def readers(ownership: Ownership | None) -> list[str]:
    """Give who may read a volume, as the catalog keeps it beside the volume and `readable` asks for it."""
    if ownership is None or not ownership.owner or ownership.public is not None:
        return [PUBLIC]
    users = [NAMED if name == EVERY else _user(name) for name in ownership.collaborators]
    groups = [NAMED if name == EVERY else _group(name) for name in ownership.groups]
    return [_user(ownership.owner), *users, *groups]


def readable(caller: Principal | None, *, field: str = "reader") -> Filter | None:
    """Give the condition on volumes that the caller may read; None: on none, it may read all.

    `field` is `volume.reader` for what hangs on volumes, such as snapshots.
    """
    if caller is None:
        return None
    if caller.tenant_id is not None:
        own = Compare("tenant.id", Op.EQ, caller.tenant_id)
        elsewhere = msgspec.structs.replace(caller, tenant_id=None)
        rest = readable(elsewhere, field=field)
        return own if rest is None else And((own, rest))
    if caller.administrator:
        return None
    known = [PUBLIC]
    if caller.named:
        known += [NAMED, _user(caller.name), *map(_group, dict.fromkeys(caller.groups))]
    return Or(tuple(Compare(field, Op.EQ, reader) for reader in known))


def owned(caller: Principal | None, wanted: Ownership | None) -> Ownership | None:
    """Give the ownership of what a caller makes: its own, with the rights for others that it wants.

    What a guest makes is everybody's; what the gateway makes, or who
    administers one tenant, is as it wants.
    """
    if _for_all(caller) or caller is None:
        return wanted
    if not caller.named:
        return None
    return msgspec.structs.replace(wanted or Ownership(), owner=caller.name)


def inherited(caller: Principal | None, source: Ownership | None) -> Ownership | None:
    """Give the ownership of a clone about which nothing was said: the source's for its owner, else the caller's."""
    if _for_all(caller) or caller is None:
        return source
    if source is not None and source.owner and caller.named and source.owner == caller.name:
        return source
    return owned(caller, None)


def changed(caller: Principal | None, before: Ownership | None, wanted: Ownership | None) -> Ownership | None:
    """Give the ownership after a change by someone who may administer the volume.

    All rights are replaced. An owner is named, and an ownership taken away, by
    administrators only, else PermissionDenied; without a name the owner stays.
    The gateway sets the whole.
    """
    if caller is None:
        return wanted
    if not caller.administrator and (wanted is None or wanted.owner):
        raise errors.PermissionDenied(action="change the owner of a volume")
    if wanted is None or wanted.owner:
        return wanted
    return msgspec.structs.replace(wanted, owner="" if before is None else before.owner)


def _user(name: str) -> str:
    return f"user:{name}"


def _group(name: str) -> str:
    return f"group:{name}"
