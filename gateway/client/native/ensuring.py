"""Makers that may be repeated: what an earlier attempt made is given instead of an error.

An earlier attempt is one whose answer was lost, now or before a restart of
whoever asked. What it made is known by its name and by labels that only it has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TypeVar

from gateway.client.flows import Flow
from gateway.client.native.changing import clone_volume, create_snapshot, create_snapshot_group, create_volume
from gateway.client.native.reading import snapshot_named, volume, volume_named
from gateway.client.native.records import NewClone, NewMember, NewVolume, Snapshot, Volume
from gateway.client.native.steps import is_lost
from gateway.client.wire import ClientError, Pause

R = TypeVar("R", Volume, Snapshot)
T = TypeVar("T")

_TAKEN = frozenset({"AlreadyExists", "Conflict"})
_CREATING = "creating"
_USABLE = frozenset({"online", "offline", "valid"})
_FIRST_POLL_S = 0.05
_LAST_POLL_S = 1.0


def ensure_volume(new: NewVolume, *, same: Mapping[str, str]) -> Flow[Volume]:
    """Make a volume, or give the one of its name whose labels contain `same`."""
    return (
        yield from _ensured(
            create_volume(new), partial(_settled, partial(volume_named, new.name, tenant=new.tenant), same)
        )
    )


def ensure_clone(volume_id: str, new: NewClone, *, same: Mapping[str, str]) -> Flow[Volume]:
    """Make a clone, or give the volume of its name whose labels contain `same`."""

    def present() -> Flow[Volume | None]:
        tenant = (yield from volume(volume_id)).tenant
        return (yield from _settled(partial(volume_named, new.name, tenant=tenant), same))

    return (yield from _ensured(clone_volume(volume_id, new), present))


def ensure_snapshot(
    volume_id: str, name: str, *, same: Mapping[str, str], labels: Mapping[str, str] | None = None, comment: str = ""
) -> Flow[Snapshot]:
    """Take a snapshot, or give the one of its name whose labels contain `same`."""
    return (
        yield from _ensured(
            create_snapshot(volume_id, name, labels=labels, comment=comment),
            partial(_settled, partial(snapshot_named, volume_id, name), same),
        )
    )


def ensure_snapshot_group(members: Iterable[NewMember]) -> Flow[tuple[Snapshot, ...]]:
    """Take snapshots of several volumes at one instant, or those of their names that have all of their labels."""
    wanted = tuple(members)

    def present() -> Flow[tuple[Snapshot, ...] | None]:
        found = []
        for member in wanted:
            find = partial(snapshot_named, member.volume, member.name)
            one = yield from _settled(find, member.labels)
            if one is None:
                return None
            found.append(one)
        return tuple(found)

    return (yield from _ensured(create_snapshot_group(wanted), present))


def _ensured(maker: Flow[T], present: Callable[[], Flow[T | None]]) -> Flow[T]:
    """Give what the maker makes, or what is present when its name is taken or its answer was lost."""
    try:
        return (yield from maker)
    except ClientError as error:
        if error.code not in _TAKEN and not is_lost(error):
            raise
        failed = error
    try:
        found = yield from present()
    except ClientError as error:
        # The first one tells whether something may have been made.
        raise failed if is_lost(error) else error from error
    if found is None:
        raise failed
    return found


def _settled(find: Callable[[], Flow[R | None]], same: Mapping[str, str]) -> Flow[R | None]:
    """Give what is found once it is not being made any more; None for nothing, or what is not the same.

    Without labels nothing tells what the caller made from what others did.
    """
    pause = _FIRST_POLL_S
    while True:
        found = yield from find()
        if found is None or not same or not same.items() <= found.labels.items():
            return None
        if found.state != _CREATING:
            return found if found.state in _USABLE else None
        yield Pause(pause)
        pause = min(pause * 2, _LAST_POLL_S)
